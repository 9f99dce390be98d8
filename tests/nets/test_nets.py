"""Does each net do what its docstring says? Padding, causality, positions, seeds, errors, scores."""

import math

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rai_bigmodel import nets
from rai_bigmodel.errors import InputError
from rai_bigmodel.nets import (
    CNN,
    KINDS,
    LSTM,
    MLP,
    Autoencoder,
    Category,
    Fusion,
    Input,
    Pixels,
    Reads,
    Series,
    Tokens,
    Transformer,
)
from rai_bigmodel.nets.transformer import angles, turned

WORDS = Reads(tokens=Tokens(words=tuple("abcdefgh"), length=7))
SERIES = Reads(series=Series(features=3, length=7))
PICTURES = Reads(pixels=Pixels(channels=1, height=8, width=8, center=0.5, scale=2.0))
COLUMNS = Reads(features=("a", "b"), numbers={"a": Input(fill=1.0, center=1.0, scale=2.0), "b": Input()})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padded(texts: list[list[int]], length: int) -> torch.Tensor:
    return torch.tensor([text + [nets.PADDING] * (length - len(text)) for text in texts])


TEXTS = [[3, 4, 5, 6, 7], [1], [5, 5, 2], []]
READERS = [
    LSTM(embedding=4, hidden=5, layers=2, both=both, head=head)
    for both in (False, True)
    for head in ("last", "mean")
] + [Transformer(width=8, heads=2, feedforward=8, positions=p) for p in ("rotary", "sinusoidal")]


@pytest.mark.parametrize("config", READERS, ids=str)
def test_padding_never_changes_a_text_s_logits(config: nets.Net) -> None:
    """A padded batch gives the logits of each row alone, however long it is padded; an empty text has some too."""
    net = config.build(WORDS, outputs=3, generator=generator()).eval()
    alone = torch.cat([net(padded([text], max(len(text), 1))) for text in TEXTS])

    for length in (5, 9):
        assert torch.allclose(net(padded(TEXTS, length)), alone, atol=1e-6)


@pytest.mark.parametrize("both", [False, True])
def test_padding_never_changes_the_logits_of_a_series(both: bool) -> None:
    """Steps that are NaN throughout are padding; one missing number is not."""
    net = LSTM(hidden=4, both=both).build(SERIES, generator=generator()).eval()
    x = torch.randn((1, 4, 3), generator=generator(1))
    x[0, 1, 2] = math.nan
    longer = torch.cat([x, torch.full((1, 3, 3), math.nan)], dim=1)

    assert torch.isfinite(net(x)).all()
    assert torch.allclose(net(x), net(longer), atol=1e-6)


def test_two_directions_are_those_of_torch_on_packed_rows() -> None:
    """torch's own bidirectional LSTM over a packed batch, with the same weights, gives the same steps."""
    config = LSTM(hidden=4, layers=2, both=True, head="steps")
    net = config.build(SERIES, outputs=2, generator=generator()).eval()
    twin = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    state = {}
    for i in range(2):
        for ours, suffix in ((net.forwards[i], ""), (net.backwards[i], "_reverse")):
            state |= {f"{k[:-1]}{i}{suffix}": v for k, v in ours.state_dict().items()}
    twin.load_state_dict(state)
    lengths = torch.tensor([5, 2, 3])
    x = torch.randn((3, 5, 3), generator=generator(1))
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    steps, _ = torch.nn.utils.rnn.pad_packed_sequence(twin(packed)[0], batch_first=True)
    for i, length in enumerate(lengths):
        x[i, length:] = math.nan

    for i, length in enumerate(lengths):
        assert torch.allclose(net(x)[i, :length], net.head(steps)[i, :length], atol=1e-6)


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal"])
def test_a_language_model_does_not_look_ahead(positions: str) -> None:
    """Changing a later word never changes an earlier logit; changing an earlier one changes a later."""
    config = Transformer(width=8, heads=2, feedforward=8, causal=True, positions=positions, norm="rms")
    net = config.build(WORDS, generator=generator()).eval()
    one, other = torch.tensor([[2, 3, 4, 5, 6]]), torch.tensor([[2, 3, 4, 9, 6]])

    assert net(one).shape == (1, 5, 10)
    assert torch.equal(net(one)[:, :3], net(other)[:, :3])
    assert not torch.allclose(net(one)[:, 4], net(other)[:, 4])


def test_rotary_positions_know_distances_only() -> None:
    """q·k of two turned vectors is the same wherever the pair stands, and length is kept."""
    q, k = torch.randn((2, 1, 1, 1, 8), generator=generator()).expand(2, 1, 1, 9, 8)
    turn = angles(torch.zeros((1, 9), dtype=torch.int64), 8)
    q_turned, k_turned = turned(q, turn), turned(k, turn)
    products = (q_turned @ k_turned.transpose(-1, -2))[0, 0]

    assert torch.allclose(products[2, 0], products[7, 5], atol=1e-5)
    assert not torch.allclose(products[2, 0], products[2, 1], atol=1e-2)
    assert torch.allclose(q_turned.norm(dim=-1), q.norm(dim=-1), atol=1e-5)


def test_words_in_another_order_mean_something_else() -> None:
    """Both kinds of positions let the classifier tell orders apart."""
    for positions in ("rotary", "sinusoidal"):
        config = Transformer(width=8, heads=2, feedforward=8, positions=positions)
        net = config.build(WORDS, generator=generator()).eval()

        assert not torch.allclose(net(torch.tensor([[2, 3, 4]])), net(torch.tensor([[4, 3, 2]])), atol=1e-4)


def test_a_tied_head_is_the_embedding_itself() -> None:
    """One matrix, saved once: its gradient has both parts, and the logits are its products."""
    config = Transformer(width=8, heads=2, feedforward=8, causal=True)
    tied = msgspec.structs.replace(config, tied=True).build(WORDS, generator=generator())
    free = config.build(WORDS, generator=generator())
    ids = torch.tensor([[2, 3, 4]])
    sizes = [sum(p.numel() for p in net.parameters()) for net in (free, tied)]

    assert sizes[0] - sizes[1] == 10 * 8 + 10
    assert torch.allclose(tied(ids), tied.positions(ids) @ tied.embedding.weight.T, atol=1e-6)
    assert all("head" not in name for name in tied.state_dict())


def test_a_tied_head_is_not_trained_privately() -> None:
    """Opacus would miss half of its gradient; the message says what to set."""
    config = Transformer(width=8, heads=2, feedforward=8, causal=True, tied=True)
    with pytest.raises(InputError, match="set tied to false"):
        nets.private_twin(config.build(WORDS))


@pytest.mark.parametrize("config", [LSTM(hidden=4, layers=2), LSTM(hidden=4, both=True, head="mean")])
def test_the_private_twin_of_an_lstm_is_the_same_net(config: LSTM) -> None:
    """The same logits to 1e-6, the very same parameters; a step on the twin moves the net."""
    net = config.build(WORDS, outputs=2, generator=generator())
    twin = nets.private_twin(net)
    ids = padded(TEXTS, 6)

    assert not any(isinstance(layer, torch.nn.LSTM) for layer in twin.modules())
    assert {id(p) for p in twin.parameters()} == {id(p) for p in net.parameters()}
    assert torch.allclose(net(ids), twin(ids), atol=1e-6)
    before = net(ids)
    twin(ids).sum().backward()
    torch.optim.SGD(twin.parameters(), lr=0.1).step()
    assert not torch.allclose(net(ids), before)
    assert torch.allclose(net(ids), twin(ids), atol=1e-6)


BUILDS = [
    (MLP(missing=True), COLUMNS),
    (CNN(widths=(4,), hidden=4, groups=2), PICTURES),
    (LSTM(hidden=4, both=True), WORDS),
    (Transformer(width=8, heads=2, norm="rms"), WORDS),
    (Autoencoder(hidden=(4,), code=2), COLUMNS),
    (Autoencoder(hidden=(4,), code=2, convolutional=True), PICTURES),
    (Fusion(cnn=CNN(widths=(4,), hidden=4)), msgspec.structs.replace(COLUMNS, pixels=PICTURES.pixels)),
    (Fusion(lstm=LSTM(hidden=4)), msgspec.structs.replace(COLUMNS, tokens=WORDS.tokens)),
]


@pytest.mark.parametrize(
    ("config", "reads"), BUILDS, ids=[type(c).__name__ + str(i) for i, (c, _) in enumerate(BUILDS)]
)
def test_the_same_generator_gives_the_same_bytes(config: nets.Net, reads: Reads) -> None:
    """Another seed other bytes, no generator zeros, and torch's global state does not move."""
    before = torch.get_rng_state()
    one, two, other, none = (
        config.build(reads, generator=g) for g in (generator(3), generator(3), generator(4), None)
    )
    assert torch.equal(before, torch.get_rng_state())

    weights = dict(one.named_parameters())
    assert all(
        p.numpy(force=True).tobytes() == weights[k].numpy(force=True).tobytes()
        for k, p in two.named_parameters()
    )
    assert any(not torch.equal(p, weights[k]) for k, p in other.named_parameters())
    assert {float(p.detach().abs().max()) for p in none.parameters()} <= {0.0, 1.0}  # norms start at 1
    none.load_state_dict(one.state_dict())
    x = nets.example(reads, 2)
    assert torch.equal(none.eval()(*x), one.eval()(*x))


@pytest.mark.parametrize(
    ("kind", "wrong", "named"),
    [
        ("mlp", {"hidden": [0]}, "hidden"),
        ("mlp", {"dropout": 1.0}, "dropout"),
        ("mlp", {"limit": -1.0}, "limit"),
        ("cnn", {"widths": [0]}, "widths"),
        ("cnn", {"kernel": 4}, "kernel"),
        ("cnn", {"groups": 5}, "groups"),
        ("cnn", {"groups": 0}, "groups"),
        ("lstm", {"layers": 0}, "layers"),
        ("lstm", {"head": "first"}, "head"),
        ("lstm", {"hidden": -1}, "hidden"),
        ("transformer", {"width": 60}, "width"),
        ("transformer", {"heads": 0}, "heads"),
        ("transformer", {"tied": True}, "tied"),
        ("transformer", {"positions": "learned"}, "positions"),
        ("autoencoder", {"code": 0}, "code"),
        ("autoencoder", {"convolutional": True, "hidden": []}, "hidden"),
        ("fusion", {}, "cnn, lstm, transformer"),
        ("fusion", {"cnn": {}, "lstm": {}}, "cnn and lstm"),
        ("fusion", {"lstm": {"head": "steps"}}, "lstm"),
        ("fusion", {"cnn": {"kernel": 2}}, "kernel"),
        ("fusion", {"cnn": {}, "mlp": {"head": "gaussian"}}, "mlp"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_its_key(
    kind: str, wrong: dict[str, object], named: str
) -> None:
    """As a recipe would meet it."""
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(wrong, KINDS[kind])

    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "reads", "said"),
    [
        (CNN(), COLUMNS, "cnn: reads one of pixels, got table"),
        (CNN(widths=(4, 4, 4, 4)), PICTURES, "4 pools leave nothing of pictures of 8 × 8"),
        (LSTM(), PICTURES, "lstm: reads one of tokens, series, got pixels"),
        (Transformer(), Reads(), "transformer: reads one of tokens, got nothing to read"),
        (Autoencoder(convolutional=True), COLUMNS, "convolutional goes with pictures"),
        (Fusion(cnn=CNN()), PICTURES, "fusion: reads a table beside something else, got pixels"),
        (Fusion(cnn=CNN()), COLUMNS, "cnn: reads one of pixels, got nothing to read"),
        (MLP(), msgspec.structs.replace(COLUMNS, tokens=WORDS.tokens), "mlp: .* got tokens and table"),
    ],
)  # fmt: skip
def test_a_net_refuses_what_it_does_not_read(config: nets.Net, reads: Reads, said: str) -> None:
    """One line with what it reads and what was got."""
    with pytest.raises(InputError, match=said):
        config.build(reads)


@pytest.mark.parametrize(
    ("config", "reads", "x", "said"),
    [
        (CNN(widths=(4,)), PICTURES, (2, 3, 8, 8), r"cnn: needs pictures .*\(any, 1, 8, 8\), got .*\(2, 3, 8, 8\)"),
        (MLP(), PICTURES, (2, 64), r"scaling: needs pictures .* got the shape \(2, 64\)"),
        (LSTM(), SERIES, (2, 7, 4), r"lstm: needs series of shape \(any, any, 3\), got the shape \(2, 7, 4\)"),
        (Transformer(), WORDS, (7,), r"transformer: needs word ids .* got the shape \(7,\)"),
        (Autoencoder(), COLUMNS, (2, 3), r"autoencoder: needs rows of shape \(any, 2\), got the shape \(2, 3\)"),
    ],
)  # fmt: skip
def test_a_wrong_shape_names_the_layer_and_both_shapes(
    config: nets.Net, reads: Reads, x: tuple[int, ...], said: str
) -> None:
    """Before torch would say something longer."""
    with pytest.raises(InputError, match=said):
        config.build(reads)(torch.zeros(x))


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ({"features": ["a"]}, "'a' stands in features only"),
        ({"numbers": {"a": {}}}, "'a' stands in numbers or categories only"),
        ({"features": ["a", "a"], "numbers": {"a": {}}}, "'a' stands there twice"),
        (
            {"features": ["a"], "numbers": {"a": {}}, "categories": {"a": {"values": ["x"]}}},
            "as a number and",
        ),
        ({"pixels": {"channels": 0, "height": 1, "width": 1}}, "channels must be positive"),
        ({"tokens": {"words": ["x", "x"], "length": 3}}, "words: 'x' stands there twice"),
    ],
)
def test_reads_that_contradict_themselves_are_refused(reads: dict[str, object], said: str) -> None:
    """Features name every number and category once."""
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(reads, Reads)


def test_labels_are_embedded_and_unknown_ones_are_the_missing_one() -> None:
    """Codes out of range and NaN read as 0; a number's hole lights its indicator."""
    reads = Reads(
        features=("a", "l"), numbers={"a": Input(fill=5.0)}, categories={"l": Category(values=("x", "y"))}
    )
    net = MLP(hidden=(4,), missing=True).build(reads, generator=generator())
    rows = torch.tensor([[1.0, 0.0], [1.0, 9.0], [1.0, -3.0], [1.0, math.nan], [1.0, 2.0]])
    # One by one: on some processors the last bit of a product hangs on the row's place in the batch.
    logits = torch.cat([net(row)[:, 0] for row in rows.split(1)])
    hole = net(torch.tensor([[math.nan, 1.0]])), net(torch.tensor([[5.0, 1.0]]))

    assert torch.equal(logits[:4], logits[:1].expand(4))
    assert logits[4] != logits[0]
    assert torch.equal(
        net.scaling(torch.tensor([[math.nan, 1.0]]))[0, :2],
        net.scaling(torch.tensor([[5.0, 1.0]]))[0, :2] + torch.tensor([0.0, 1.0]),
    )
    assert not torch.equal(*hole)


def test_the_gaussian_head_s_likelihood_is_that_of_the_normal_density() -> None:
    """Mean 1, variance 4, at 3: ln of the density is -½(ln 2π + ln 4 + 1); torch's Normal agrees."""
    head = torch.tensor([[1.0, math.log(4.0)], [0.5, -2.0]])
    y = torch.tensor([3.0, 0.0])
    twin = torch.distributions.Normal(head[:, 0], torch.exp(head[:, 1] / 2)).log_prob(y)

    assert math.isclose(
        float(nets.log_likelihood(head, y)[0]), -0.5 * (math.log(2 * math.pi * 4) + 1), rel_tol=1e-6
    )
    assert torch.allclose(nets.log_likelihood(head, y), twin)
    wild = MLP(hidden=(), limit=None, head="gaussian").build(COLUMNS, generator=generator())
    assert wild(torch.full((1, 2), 1e9))[0, 1].abs() <= 10.0


@pytest.mark.parametrize(
    "config", [Autoencoder(hidden=(4,), code=2), Autoencoder(hidden=(4,), code=2, convolutional=True)]
)
def test_the_anomaly_score_is_the_scaled_error_of_the_reconstruction(config: Autoencoder) -> None:
    """From forward's raw units back to scaled ones, by hand."""
    net = config.build(PICTURES, generator=generator())
    x = torch.randn((3, 1, 8, 8), generator=generator(1))
    by_hand = (((net(x) - x) / 2.0) ** 2).flatten(1).mean(1)

    assert net(x).shape == x.shape
    assert net.encode(x).shape == (3, 2)
    assert torch.allclose(net.error(x), by_hand, atol=1e-6)


def test_missing_values_do_not_count_in_the_anomaly_score() -> None:
    """The mean is over what was there; a row with nothing there scores 0."""
    net = Autoencoder(hidden=(4,), code=1).build(COLUMNS, generator=generator())
    x = torch.tensor([[math.nan, 3.0], [math.nan, math.nan]])
    filled = torch.tensor([[1.0, 3.0]])

    assert torch.allclose(net.error(x)[0], (net(filled)[0, 1] - 3.0) ** 2, atol=1e-6)
    assert net.error(x)[1] == 0.0


def test_an_autoencoder_with_room_learns_to_rebuild_a_line() -> None:
    """Points on a line need one number; one off the line is rebuilt worst."""
    net = Autoencoder(hidden=(8,), code=1, activation="tanh").build(COLUMNS, generator=generator())
    a = torch.linspace(-1, 1, 64)
    x = torch.stack([1 + 2 * a, a], dim=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        net.error(x).mean().backward()
        optimizer.step()

    assert net.error(x).mean() < 0.01
    assert net.error(torch.tensor([[3.0, -1.0]])) > 20 * net.error(x).max()


def test_dropout_rests_in_evaluation() -> None:
    """Training steps leave something out, decisions nothing."""
    net = MLP(hidden=(32,), dropout=0.5).build(COLUMNS, generator=generator())
    x = torch.ones((1, 2))
    state = torch.get_rng_state()
    trained = [net.train()(x).item() for _ in range(4)]
    torch.set_rng_state(state)

    assert len(set(trained)) > 1
    assert torch.equal(net.eval()(x), net(x))


@settings(max_examples=12, deadline=None)
@given(
    side=st.tuples(st.integers(4, 13), st.integers(4, 13)),
    channels=st.integers(1, 3),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    rows=st.integers(1, 3),
)
def test_pictures_of_any_size_fit(side: tuple[int, int], channels: int, widths: list[int], rows: int) -> None:
    """A CNN gives logits, a convolutional autoencoder the picture's own shape, odd sides and all."""
    reads = Reads(pixels=Pixels(channels=channels, height=side[0], width=side[1]))
    x = torch.randn((rows, channels, *side), generator=generator())
    cnn = CNN(widths=tuple(widths), hidden=3).build(reads, outputs=2, generator=generator())
    auto = Autoencoder(hidden=tuple(widths), code=2, convolutional=True).build(reads, generator=generator())

    assert cnn(x).shape == (rows, 2)
    assert auto(x).shape == x.shape
    assert np.isfinite(auto.error(x).detach().numpy()).all()
