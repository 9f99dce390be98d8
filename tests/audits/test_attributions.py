"""Attributions with an answer known on paper, naive twins, Captum as oracle, and what is refused."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")

import torch
import trained
from torch import nn

from rai_bigmodel.audits import attributions, paths, shapley
from rai_bigmodel.audits import faithfulness as tests_of
from rai_bigmodel.audits.cases import by_part, change
from rai_bigmodel.audits.network_cases import bytes_per_row, network_case
from rai_bigmodel.errors import InputError

D = 6
NAMES = [f"f{i}" for i in range(D)]


def _rows(n: int = 30, d: int = D) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def _case(net: nn.Module, x: np.ndarray | None = None, **how):
    x = _rows() if x is None else x
    return network_case(net.eval(), x, how.pop("start", np.zeros((1, *x.shape[1:]))), names=NAMES, **how)


def _tanh_net(seed: int = 0, d: int = D) -> nn.Module:
    return trained.seeded(lambda: nn.Sequential(nn.Linear(d, 16), nn.Tanh(), nn.Linear(16, 1)), seed)


def test_of_a_linear_model_every_method_gives_weight_times_way() -> None:
    """IG = w ∘ (x − x₀) exactly; ablation, Shapley and gradient × input the same; infidelity 0."""
    net = trained.seeded(lambda: nn.Linear(D, 1), 1)
    start = np.full((1, D), 0.3, dtype=np.float32)
    case = _case(net, start=start)
    paper = net.weight.detach().numpy()[0] * (case.x - start)
    path = paths.integrated_gradients(case)
    rng = np.random.default_rng(0)

    for found in (
        path.values,
        attributions.gradient_times_input(case),
        shapley.ablation(case),
        shapley.shapley_values(case, rng=rng).values,
    ):
        np.testing.assert_allclose(found, paper, atol=2e-6)
    assert set(path.steps) == {3}
    assert tests_of.infidelity(case, paper, rng).value < 1e-9


def test_shapley_values_of_a_network_are_the_mean_over_every_order() -> None:
    """The naive twin asks the network after every joining of every order."""
    x = _rows(3, 4)
    case = network_case(_tanh_net(2, 4).eval(), x, np.zeros((1, 4)), names=list("abcd"))
    expected = np.zeros((3, 4))
    for order in itertools.permutations(range(4)):
        there = np.zeros_like(x)
        before = case.score(there.copy(), np.arange(3))
        for player in order:
            there[:, player] = x[:, player]
            after = case.score(there.copy(), np.arange(3))
            expected[:, player] += (after - before) / math.factorial(4)
            before = after

    np.testing.assert_allclose(
        shapley.shapley_values(case, rng=np.random.default_rng(0)).values, expected, atol=1e-6
    )


def test_sampled_shapley_values_come_as_near_to_the_exact_ones_as_they_say() -> None:
    """Within four stated standard errors, nearly always; until the precision that was asked."""
    case = network_case(_tanh_net(3, 10).eval(), _rows(20, 10), np.zeros((1, 10)), names=list("abcdefghij"))
    rng = np.random.default_rng(1)
    exact = shapley.shapley_values(case, rng=rng)
    found = shapley.shapley_values(case, rng=rng, precision=0.05, exact=0)

    assert not exact.errors.any()
    assert np.sqrt((found.errors**2).mean()) <= 0.05 * np.abs(found.values).mean()
    assert (np.abs(found.values - exact.values) <= 4 * found.errors + 1e-6).mean() > 0.98
    assert found.coalitions < exact.coalitions


def test_integrated_gradients_and_ablation_are_captums() -> None:
    """At the same Gauss–Legendre points; features taken away one by one."""
    captum = pytest.importorskip("captum.attr", reason="the oracle needs the extra 'explain'")
    net = _tanh_net(4).eval()
    case = _case(net)
    x, start = torch.from_numpy(case.x), torch.zeros(1, D)
    theirs = captum.IntegratedGradients(lambda z: net(z)[:, 0]).attribute(
        x, baselines=start, n_steps=16, method="gausslegendre"
    )
    ours = paths.integrated_gradients(case, steps=16).values
    removed = captum.FeatureAblation(lambda z: net(z)[:, 0]).attribute(x, baselines=start)

    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(shapley.ablation(case), removed.detach().numpy(), atol=1e-6)


def test_only_rows_that_need_it_take_more_steps() -> None:
    """A kink costs steps; every row ends below the tolerance or at the most steps; the gap is what is left."""
    case, _ = trained.mlp_cases(1, rows=100)
    path = paths.integrated_gradients(case)
    left = np.abs(path.values.sum(axis=1) - change(case))

    assert 7 in path.steps
    assert path.steps.max() > 15
    np.testing.assert_allclose(path.gap, left, atol=1e-5)
    floor = 0.1 * np.abs(path.change).mean()
    assert (left <= 0.01 * np.maximum(np.abs(path.change), floor)).all()
    assert path.steps.max() <= paths.MOST


def test_each_rule_holds_the_points_of_the_one_before_and_is_exact_as_far_as_it_says() -> None:
    """Patterson's rules of n points integrate every power up to (3 n + 1) / 2 exactly, and ask no point twice."""
    path = paths.nested()
    seen: list[float] = []
    for k, rule in enumerate(path):
        seen += rule.new.tolist()
        assert len(set(seen)) == len(seen) == rule.points
        weights = np.concatenate([earlier.weights[k - i] for i, earlier in enumerate(path[: k + 1])])
        for power in range((3 * rule.points + 1) // 2 + 1 if k else 6):
            assert np.dot(weights, np.array(seen) ** power) == pytest.approx(1 / (power + 1), abs=1e-12)


def test_no_gradient_is_asked_twice_and_the_nested_points_give_what_all_at_once_give() -> None:
    """The naive twin: the 15 points of one rule, each gradient asked for alone."""
    from dataclasses import replace

    case, _ = trained.mlp_cases(1, rows=20)
    asked = 0

    def counted(x, rows):
        nonlocal asked
        asked += len(x)
        return case.forward(x, rows)

    found = paths.integrated_gradients(replace(case, forward=counted), most=15, tolerance=1e-12)
    nested = paths.nested()
    at = np.concatenate([r.new for r in nested])
    weight = np.concatenate([nested[0].weights[2], nested[1].weights[1], nested[2].weights[0]])
    twin = np.zeros(case.x.shape)
    for a, w in zip(at, weight, strict=True):
        here = replace(case, x=(a * case.x).astype(np.float32))
        twin += w * attributions.gradients(here) * case.x

    assert asked == 20 * 15
    np.testing.assert_allclose(found.values, twin, atol=1e-5)


def test_a_kink_is_found_by_halving_and_a_jump_is_given_up() -> None:
    """Of relu(Σx − c) a row's share is x (1 − c / Σx) on paper; what a step adds no gradient can tell."""

    class Kinked(nn.Module):
        def forward(self, x):
            return torch.relu(x.sum(dim=1, keepdim=True) - 1)

    class Stepped(nn.Module):
        def forward(self, x):
            return x.sum(dim=1, keepdim=True) + torch.floor(x.sum(dim=1, keepdim=True))

    x = np.abs(_rows()) + 0.05
    path = paths.integrated_gradients(_case(Kinked(), x), tolerance=1e-3)
    whole = x.sum(axis=1, keepdims=True)
    stepped = paths.integrated_gradients(_case(Stepped(), x))

    np.testing.assert_allclose(path.values, x * np.maximum(1 - 1 / whole, 0), rtol=2e-3, atol=1e-4)
    assert (path.gap <= 1e-3 * np.abs(path.change).mean()).all()
    assert 15 < path.steps.max() <= 15 + 16 + 8 + 6 * (paths.DEEPEST - 2) < paths.MOST
    assert stepped.steps.max() < paths.MOST
    np.testing.assert_allclose(stepped.values, x, rtol=1e-4)
    np.testing.assert_allclose(stepped.gap, np.floor(whole[:, 0]), atol=1e-3)


def test_what_single_precision_cannot_tell_is_not_looked_for() -> None:
    """Beside a score of a million a change of a hundredth is rounding: no row takes points to close that gap."""

    class Far(nn.Module):
        def forward(self, x):
            return 1e6 + 1e-3 * x.sum(dim=1, keepdim=True)

    assert set(paths.integrated_gradients(_case(Far())).steps) <= {3, 7}


def test_rows_taken_in_turns_give_what_all_at_once_give(monkeypatch) -> None:
    """How much may wait changes nothing but the memory."""
    case, _ = trained.mlp_cases(1, rows=50)
    whole = paths.integrated_gradients(case)
    monkeypatch.setattr(paths, "WAITING", case.x[0].nbytes * 200)
    turns = paths.integrated_gradients(case)

    np.testing.assert_array_equal(turns.steps, whole.steps)
    np.testing.assert_allclose(turns.values, whole.values, atol=1e-5)


@pytest.mark.parametrize("name", ["deep_lift", "gradient_shap"])
def test_captums_methods_of_a_tanh_network_add_up(name) -> None:
    """DeepLift exactly, GradientShap about; the global random state is as before."""
    pytest.importorskip("captum.attr", reason="these methods need the extra 'explain'")
    case = _case(_tanh_net(5))
    state = torch.get_rng_state()
    if name == "deep_lift":
        found, near = attributions.deep_lift(case), 1e-4
    else:
        found, near = attributions.gradient_shap(case, np.random.default_rng(0), samples=64), 0.2
    moved = change(case)

    assert np.abs(found.sum(axis=1) - moved).sum() <= near * np.abs(moved).sum()
    assert torch.equal(state, torch.get_rng_state())


def test_grad_cam_and_occlusion_of_a_picture_find_the_bar() -> None:
    """Occlusion by patches is ablation of patches; Grad-CAM has the picture's shape and is finite."""
    pytest.importorskip("captum.attr", reason="these methods need the extra 'explain'")
    net = trained._net("cnn", 0).eval()
    from rai_bigmodel.audits.readings import of_pictures

    case = of_pictures(net, trained._bars(np.random.default_rng(0), 4)[0]).case
    slid = attributions.occlusion(case, window=(1, 2, 2))
    seen = attributions.grad_cam(case, net.blocks[3])

    np.testing.assert_allclose(slid[:, 0, ::2, ::2].reshape(4, -1), shapley.ablation(case), atol=1e-5)
    assert seen.shape == case.x.shape
    assert np.isfinite(seen).all()


def test_a_texts_attributions_are_captums_layer_integrated_gradients() -> None:
    """Through the embedding, from an unknown word in every place; padding gets nothing."""
    captum = pytest.importorskip("captum.attr", reason="the oracle needs the extra 'explain'")
    from rai_bigmodel.audits.readings import of_texts

    net = trained._net("transformer", 0).eval()
    ids, _ = trained._words(np.random.default_rng(1), 5)
    case = of_texts(net, ids).case
    ours = by_part(case, paths.integrated_gradients(case, steps=16).values)
    layer = captum.LayerIntegratedGradients(lambda i: net(i)[:, 0], net.embedding)
    for i in range(5):  # one by one: Captum's path moves the words, ours keeps where the padding is
        real = ids[i][ids[i] != 0]
        theirs = layer.attribute(
            torch.from_numpy(real[None]),
            baselines=torch.ones(1, len(real), dtype=torch.int64),
            n_steps=16,
            method="gausslegendre",
        )
        np.testing.assert_allclose(ours[i, : len(real)], theirs.sum(-1)[0].detach().numpy(), atol=2e-4)
        assert not ours[i, len(real) :].any()


def test_what_a_tokenizer_puts_around_a_text_gets_nothing_and_padding_costs_nothing(tmp_path: Path) -> None:
    """[CLS] and [SEP] stay at the start too; batches are as long as their longest text, and answer the same."""
    pytest.importorskip("transformers", reason="pretrained encoders need the extra 'huggingface'")
    from pretrained_models import write_bert

    from rai_bigmodel.audits.readings import of_texts, words_of
    from rai_bigmodel.nets import HuggingFace, Reads, Tokens
    from rai_bigmodel.nets.pretrained import base_of, pieces, places_of, tokenizer_of

    base = base_of(folder=write_bert(tmp_path / "bert"))
    tokens = Tokens(words=(), length=12, level="pieces", base=base)
    net = HuggingFace(folder=base.folder).build(
        Reads(tokens=tokens), generator=torch.Generator().manual_seed(0)
    )
    texts = ["we are warm", "cold", "we are colder", "", "[CLS]"]
    ids = pieces(texts, tokenizer_of(base), length=12, ours=places_of(base))
    lengths = []
    net.eval().model.embeddings.register_forward_hook(lambda _, __, out: lengths.append(out.shape[1]))
    case = of_texts(net, ids).case
    lengths.clear()

    said = change(case)
    values = by_part(case, paths.integrated_gradients(case).values)

    assert max(lengths) == 6
    words = words_of(tokens, ids)
    with torch.no_grad():
        whole = (net(torch.from_numpy(ids)) - net(torch.from_numpy(np.where(words == "", ids, 1))))[:, 0]
    np.testing.assert_allclose(said, whole.numpy(), atol=1e-6)
    assert words[0].tolist() == ["", "we", "are", "warm", "", *[""] * 7]
    assert not values[words == ""].any()
    assert values[0, 1:4].all()
    np.testing.assert_allclose(values.sum(axis=1), said, atol=0.01 * np.abs(said).max())


def test_a_series_padding_stays_padding() -> None:
    """Steps that are missing throughout get nothing; the rest adds up."""
    from rai_bigmodel.audits.readings import of_series

    net = trained._net("lstm", 0).eval()
    x, _ = trained._sums(np.random.default_rng(1), 6)
    x[:3, 8:] = np.nan
    case = of_series(net, x).case
    path = paths.integrated_gradients(case)

    assert not path.values[:3, 8:].any()
    assert path.gap.max() <= 0.01 * np.abs(path.change).max()


def test_batches_keep_to_the_byte_budget() -> None:
    """What autograd holds at once stays below the budget, whatever the number of rows."""
    net = trained._net("transformer", 0).eval()
    from rai_bigmodel.audits.readings import of_texts

    ids, _ = trained._words(np.random.default_rng(2), 60)
    budget = 4 * 2**20
    case = of_texts(net, ids, budget=budget).case
    most = 0

    def pack(t):
        seen[t.data_ptr()] = t.untyped_storage().nbytes()
        return t

    original = case.forward

    def counted(x, rows):
        nonlocal most, seen
        seen = {}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            out = original(x, rows)
        most = max(most, sum(seen.values()))
        return out

    from dataclasses import replace

    seen: dict[int, int] = {}
    paths.integrated_gradients(replace(case, forward=counted), steps=8)

    assert bytes_per_row(case) * case.batch <= budget
    assert 0 < most <= budget


# --- what is refused ----------------------------------------------------------------------------


class _Rounded(nn.Module):
    def forward(self, x):
        return x.round().detach().sum(dim=1, keepdim=True)


class _Noisy(nn.Module):
    def forward(self, x):
        return x.sum(dim=1, keepdim=True) + torch.randn(len(x), 1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: _case(nn.Linear(D, 3), target=3), "from 0 to 2; got 3"),
        (lambda: _case(nn.Linear(D, 1), start=np.zeros((1, 5))), r"baseline must have the shape \(1, 6\)"),
        (
            lambda: network_case(nn.Linear(D, 1).train(), _rows(), np.zeros((1, D)), names=NAMES),
            "training mode",
        ),
        (
            lambda: _case(nn.Linear(D, 1), start=np.full((1, D), np.nan)),
            "baseline holds values that are missing",
        ),
        (lambda: _case(nn.Linear(D, 3), target=np.zeros(4)), r"one a row \(30\); got shape \(4,\)"),
        (lambda: _case(_Noisy()), "asked twice"),
        (lambda: _case(nn.Linear(D, 1), _rows(0)), "no rows to explain"),
        (lambda: _case(nn.Linear(D, 1), np.full((2, D), np.nan, dtype=np.float32)), "missing or not finite"),
        (lambda: paths.integrated_gradients(_case(_Rounded())), "no gradient reaches"),
        (
            lambda: shapley.shapley_values(_case(_tanh_net()), rng=np.random.default_rng(0), precision=0),
            "precision",
        ),
    ],
)
def test_what_cannot_be_explained_is_one_clear_line(make, said) -> None:
    """No traceback of a library, no empty chart."""
    with pytest.raises(InputError, match=said) as caught:
        make()

    assert "\n" not in str(caught.value)


def test_columns_that_are_looked_up_are_named() -> None:
    """A code behind an embedding gets no gradient although the model reads it."""

    class Looked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 1)
            self.rest = nn.Linear(D - 1, 1)

        def forward(self, x):
            return self.table(x[:, 0].clamp(0, 4).long()) + self.rest(x[:, 1:])

    x = _rows()
    x[:, 0] = np.arange(len(x)) % 5
    case = _case(trained.seeded(Looked, 0), x)

    assert attributions.unreached(case) == ("f0",)
    assert attributions.unreached(_case(_Rounded())) == tuple(NAMES)


@pytest.mark.smoke
@pytest.mark.filterwarnings("ignore")  # what shap imports warns about the next versions of itself
def test_kernel_shap_is_shaps() -> None:
    """All coalitions of six features give the same values; of twelve, sampled, both come as near to the exact ones."""
    import shap

    for d, samples, near in ((6, 62, 1e-5), (12, 600, 0.05)):
        net, x = _tanh_net(8, d).eval(), _rows(10, d)
        case = network_case(net, x, np.zeros((1, d)), names=[f"f{i}" for i in range(d)])
        theirs = shap.KernelExplainer(
            lambda z, c=case: c.score(z.astype(np.float32), np.zeros(len(z), int)), np.zeros((1, d))
        )
        exact = shapley.shapley_values(case, rng=np.random.default_rng(0), exact=d).values
        ours = shapley.shapley_values(case, rng=np.random.default_rng(0), coalitions=samples).values
        size = np.abs(exact).mean()

        for found in (ours, theirs.shap_values(x, nsamples=samples, silent=True, l1_reg=False)):
            assert np.sqrt(((found - exact) ** 2).mean()) <= near * size
