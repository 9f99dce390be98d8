"""Does the net read raw columns as it says?"""

import msgspec
import numpy as np
import pytest
import torch

from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import MLP, Input, Reads

READS = Reads(
    features=("a", "b"), numbers={"a": Input(fill=2.0, center=1.0, scale=2.0), "b": Input(fill=-1.0)}
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_missing_value_reads_as_the_declared_one() -> None:
    """NaN and the fill give the same logit, and `filled` shows what was put in."""
    net = MLP(hidden=(5,)).build(READS, generator=generator())
    holes = torch.tensor([[float("nan"), 3.0], [4.0, float("nan")]])
    whole = torch.tensor([[2.0, 3.0], [4.0, -1.0]])

    assert torch.equal(net.filled(holes), whole)
    assert torch.equal(net(holes), net(whole))


def test_the_logits_are_those_of_a_naive_twin() -> None:
    """A net written out in NumPy, with scaling, bending and tanh layers, gives the same logits."""
    net = MLP(hidden=(4, 3), limit=2.0).build(READS, generator=generator())
    x = np.array([[0.5, -3.0], [100.0, 2.0]], dtype=np.float32)
    z = 2.0 * np.tanh((x - [1.0, 0.0]) / [2.0, 1.0] / 2.0)
    layers = [layer for layer in (*net.body, net.head) if isinstance(layer, torch.nn.Linear)]
    for i, layer in enumerate(layers):
        z = z @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        z = np.tanh(z) if i < 2 else z

    assert np.allclose(net(torch.from_numpy(x)).detach().numpy(), z, atol=1e-6)


def test_without_hidden_layers_and_limit_it_is_a_logistic_regression() -> None:
    """The logit is linear in the raw columns."""
    net = MLP(hidden=(), limit=None).build(READS, generator=generator())
    x = torch.tensor([[0.0, 0.0], [1.0, 5.0], [2.0, 10.0]])
    logits = net(x)[:, 0]

    assert sum(p.numel() for p in net.parameters()) == 3
    assert torch.allclose(logits[1] - logits[0], logits[2] - logits[1], atol=1e-6)


def test_scaled_inputs_never_leave_the_limit() -> None:
    """One extreme amount cannot decide alone."""
    net = MLP(hidden=(), limit=3.0).build(READS)

    assert net.scaling(torch.tensor([[1e30, -1e30]])).abs().max() <= 3.0


def test_building_is_reproducible_and_leaves_the_global_generator_alone() -> None:
    """The same generator gives the same weights; torch's own state does not move."""
    before = torch.get_rng_state()
    one, two = (MLP().build(READS, generator=generator(3)).state_dict() for _ in range(2))

    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["body.0.weight"], MLP().build(READS, generator=generator(4)).body[0].weight)
    assert torch.equal(before, torch.get_rng_state())


def test_only_linear_layers_have_parameters() -> None:
    """So that Opacus trains it as it stands; constants are buffers and travel with the weights."""
    net = MLP(hidden=(4,)).build(READS)
    owners = {type(module) for module in net.modules() if list(module.parameters(recurse=False))}

    assert owners == {torch.nn.Linear}
    assert {"scaling.fill_F", "scaling.center_F", "scaling.scale_F"} <= net.state_dict().keys()


def test_rows_of_another_width_are_refused_with_both_shapes() -> None:
    """Wrong shapes name the layer and the shapes."""
    with pytest.raises(InputError, match=r"scaling: needs rows of 2 columns, got the shape \(1, 3\)"):
        MLP().build(READS)(torch.zeros((1, 3)))


@pytest.mark.parametrize("wrong", [{"hidden": [0]}, {"activation": "swish"}, {"limit": 0.0}, {"width": 3}])
def test_an_impossible_net_is_refused(wrong: dict[str, object]) -> None:
    """A recipe cannot ask for what cannot be built."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, MLP)


def test_a_scale_of_zero_is_refused() -> None:
    """Nothing is divided by zero."""
    with pytest.raises(ValueError, match="scale must be positive"):
        Input(scale=0.0)
