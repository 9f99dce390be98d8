"""Explanations of every modality as a person sees them: pictures, coloured words, series, autoencoders, texts."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")

import cohorts
import torch
import trained

from rai_bigmodel.audits import battery as tests_of
from rai_bigmodel.audits import claims, pictures, readings
from rai_bigmodel.audits.explainability import Explainability
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Bars, Decision, Heatmap, Picture, Table
from rai_bigmodel.report.exhibits import shown_exhibit
from rai_bigmodel.subject import Splits, Subject

YES = Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1"))


def decoded(png: bytes) -> np.ndarray:
    """A naive reader of our PNGs: chunks with their checksums, then rows without a filter."""
    at, data, size = 8, b"", (0, 0)
    while at < len(png):
        (long,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + long]
        assert struct.unpack(">I", png[at + 8 + long : at + 12 + long])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        data += body if kind == b"IDAT" else b""
        at += 12 + long
    width, height = size
    rows = np.frombuffer(zlib.decompress(data), dtype=np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


class Rows:
    """A cohort of one column of arrays."""

    positive, name = "1", "rows"

    def __init__(self, column: str, values: np.ndarray, y: np.ndarray | None = None) -> None:
        self.columns = {column: values, **({} if y is None else {"y": y})}
        self.rows, self.digest = len(values), "sha256:" + "c" * 64
        self.roles = {"feature": (column,), **({} if y is None else {"truth": ("y",)})}

    def arrays(self, *names: str) -> dict[str, np.ndarray]:
        return {name: self.columns[name] for name in names}

    def binary(self, column: str) -> np.ndarray:
        return self.columns[column] == 1


def _subject(net, read=None, **fields) -> Subject:
    def predict(inputs):
        given = read(inputs)[0] if read else inputs
        with torch.no_grad():
            return torch.sigmoid(net(torch.from_numpy(np.asarray(given)))[:, 0]).numpy()

    known = {"name": "net", "kind": "torch", "digest": "sha256:" + "d" * 64, "decision": YES}
    return Subject(**{**known, "predict": predict, "module": net, "read": read, **fields})


@pytest.fixture(scope="module")
def cnn():
    """A trained CNN that tells upright bars from lying ones, and some rows."""
    x, y = trained._bars(np.random.default_rng(5), 800)
    return trained.fitted(trained._net("cnn", 0), x, y, epochs=8, seed=0), x[:24], y[:24].astype(float)


@pytest.fixture(scope="module")
def texts():
    """A trained Transformer that counts words for and against, and texts of its words."""
    ids, y = trained._words(np.random.default_rng(7), 1600)
    net = trained.fitted(trained._net("transformer", 1), ids, y, epochs=12, seed=1)
    written = np.array([" ".join(f"w{i - 2}" for i in row[row > 0]) for row in ids[:80]], dtype=object)

    def read(inputs):
        out = np.zeros((len(inputs["text"]), 12), dtype=np.int64)
        for row, text in zip(out, inputs["text"].tolist(), strict=True):
            found = [int(w[1:]) + 2 for w in text.split()]
            row[: len(found)] = found
        return (out,)

    return net, read, written, y[:80].astype(float)


def _found(subject, cohort, **how):
    return Explainability(**how)(subject, Splits(held_out=cohort), cohorts.rng())


# --- pictures -------------------------------------------------------------------------------------------


def test_a_png_is_what_was_drawn() -> None:
    """Read back by a naive reader; the same numbers give the same bytes."""
    rgb = np.random.default_rng(0).integers(0, 256, size=(7, 11, 3))

    assert (decoded(pictures.png(rgb)) == rgb).all()
    assert pictures.png(rgb) == pictures.png(rgb)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"together": {"a": ("b",)}}, "together speaks of columns of a table, and this model reads pixels"),
        ({"words": {"a": ("b",)}}, "words: only texts have words, and this model reads pixels"),
        ({"dependence": 1}, "dependence speaks of columns"),
        ({"mutable": {"a": (0, 1)}, "hardest": 1}, "mutable speaks of columns"),
    ],
)
def test_what_pictures_do_not_have_is_refused_in_one_line(cnn, how, said) -> None:
    """A parameter that says nothing of a picture is not passed over in silence."""
    with pytest.raises(InputError, match=said):
        _found(_subject(cnn[0]), Rows("image", *cnn[1:]), **how)


def test_the_heat_is_where_the_attribution_is_and_has_its_sign() -> None:
    """Blue where it raises, orange where it lowers, white where nothing is; twice as much, twice as strong."""
    parts, _ = readings.patches((1, 8, 8))
    values = np.zeros(64)
    values[0], values[9], values[63] = 1.0, 0.5, -1.0
    seen = pictures.blended(parts, values)

    assert (seen[0, 0] == pictures.RAISES).all()
    assert (seen[7, 7] == pictures.LOWERS).all()
    np.testing.assert_allclose(255 - seen[1, 1], (255 - pictures.RAISES) / 2, atol=1)
    assert (seen[4, 4] == 255).all()


def test_pictures_are_shown_only_where_that_was_asked_for(cnn) -> None:
    """By default the heat alone, so that two rows of equal attributions look alike; else each beside its heat."""
    net, x, y = cnn
    shown = {
        asked: next(
            e
            for e in _found(_subject(net), Rows("image", x, y), hardest=3, values=asked, steps=15).exhibits
            if isinstance(e, Picture) and e.title.startswith("Single")
        )
        for asked in (False, True)
    }
    without, beside = (decoded(shown[asked].png) for asked in (False, True))
    one = 14 * (pictures.SIDE // 14)

    assert without.shape == (one, 3 * one + 2 * 4, 3)
    assert beside.shape == (2 * one + 4, 4 * one + 3 * 4, 3)
    grey = beside[:one, :one]
    assert (grey[..., 0] == grey[..., 1]).all()
    assert len(np.unique(grey)) > 20
    assert (without.max(axis=2) > 200).mean() > 0.2, "what lies under the heat is white"
    assert "row" in shown[True].alt
    assert len(shown[True].png) < 8_000


@pytest.mark.zoo
@pytest.mark.parametrize("seed", range(5))
def test_a_corner_mark_that_gives_the_label_away_is_a_shortcut_and_its_shuffled_twin_is_none(seed) -> None:
    """Z22 in pictures: a bright corner in every picture of one label; its patch is permuted like a column."""
    found = {}
    for planted in (True, False):
        r = np.random.default_rng([seed, 22])
        x, y = trained._bars(r, 1200)
        x = r.normal(scale=0.3, size=x.shape).astype(np.float32) if planted else x
        x[:, 0, :2, :2] = 2.0 * (y if planted else r.permutation(y))[:, None, None]
        net = trained.fitted(trained._net("cnn", seed), x, y, epochs=8, seed=seed)
        held = Rows("image", x[:150], y[:150].astype(float))
        found[planted] = _found(_subject(net), held, steps=63).notes

    assert any("Shortcut: row 1, column 1 alone" in note for note in found[True])
    assert not any("Shortcut" in note for note in found[False])


# --- texts and series -------------------------------------------------------------------------------------


def test_a_texts_words_are_coloured_and_named_only_where_that_was_asked_for(texts) -> None:
    """Words that speak for are above 0; without `values` they are positions; over all rows only common words."""
    net, read, written, y = texts
    named, hidden = (
        _found(
            _subject(net, read), Rows("text", written, y), cases=(1, 2), values=v, method="ablation", rows=n
        )
        for v, n in ((True, 80), (False, 40))
    )
    heat = [e for e in named.exhibits if isinstance(e, Heatmap)]
    words = {w: v for e in heat for w, v in zip(e.columns, e.values[0], strict=True)}
    positions = {c for e in hidden.exhibits if isinstance(e, Heatmap) for c in e.columns}
    (ranked,) = [e for e in named.exhibits if isinstance(e, Bars)]

    assert heat[0].columns == tuple(written[0].split())
    assert np.mean([v for w, v in words.items() if int(w[1:]) < 8]) > 0
    assert np.mean([v for w, v in words.items() if 8 <= int(w[1:]) < 16]) < 0
    assert all(p.startswith("position ") for p in positions)
    assert all(sum(b.label in text.split() for text in written) >= claims.FEWEST_ROWS for b in ranked.bars)


def test_the_share_of_named_words_is_measured_and_without_names_it_is_null(texts) -> None:
    """The words that count have most of it, beside the share of places that they fill."""
    net, read, written, y = texts
    mine = tuple(f"w{i}" for i in range(16))
    found = _found(_subject(net, read), Rows("text", written, y), words={"spoken": mine}, method="ablation")
    (share,) = [m for m in found.measurements if m.metric == "explainability.sensitive_share"]
    places = np.mean([w in mine for text in written for w in text.split()])

    assert share.labels == {"attribute": "spoken"}
    assert share.interval.low > places + 0.1
    assert f"{places:.1%}" in share.why


def test_words_of_one_row_are_running_text_that_a_screen_reader_reads() -> None:
    """Every word stands in the picture's alternative with its value, in order; the table has a line for each."""
    words = ("these", "people", "are", "很好", "<b>", "")
    exhibit = Heatmap(title="t", rows=("words",), columns=words, values=((0.1, -2.0, 0.0, 1.5, None, 0.2),))
    shown = shown_exhibit(exhibit)

    assert (
        'aria-label="t: these +0.1, people -2, are +0, 很好 +1.5, &lt;b&gt; not measured, (empty) +0.2"'
        in shown.svg
    )
    assert "<b>" not in shown.svg
    assert [row[0] for row in shown.rows][:4] == ["these", "people", "are", "很好"]
    assert shown.svg.count('class="heat"') == 4
    assert shown.svg.count('class="cold"') == 1


def test_a_series_is_shown_over_its_steps() -> None:
    """Features down, steps across; the feature and the steps that count are the strongest cells."""
    x, y = trained._sums(np.random.default_rng(2), 1200)
    net = trained.fitted(trained._net("lstm", 1), x, y, epochs=14, seed=1)
    found = _found(_subject(net), Rows("series", x[:60], y[:60].astype(float)), hardest=1)
    mean, single = (e for e in found.exhibits if isinstance(e, Heatmap))
    grid = np.array(mean.values)

    assert grid.shape == (3, 12)
    assert single.rows == mean.rows == ("feature 1", "feature 2", "feature 3")
    assert grid[0, 2:7].mean() > 3 * grid[0, 8:].mean()
    assert grid[1, 6:11].mean() > 3 * grid[1, :5].mean()


# --- an autoencoder, and models that only answer -------------------------------------------------------------


def test_what_makes_a_reconstruction_bad_is_found_where_it_was_planted() -> None:
    """Of a linear autoencoder what each column adds to the square is known; most the column that was pushed away."""
    from rai_bigmodel import nets

    names = tuple(f"c{i}" for i in range(8))
    inputs = nets.Reads(features=names, numbers={n: nets.Input() for n in names})
    net = nets.Autoencoder(hidden=(), code=3).build(inputs, generator=torch.Generator().manual_seed(0))
    r = np.random.default_rng(0)
    x = (r.normal(size=(800, 3)) @ r.normal(size=(3, 8))).astype(np.float32)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(400):
        optimizer.zero_grad()
        net.error(torch.from_numpy(x)).mean().backward()
        optimizer.step()
    net.eval()
    directions = np.linalg.svd(x, full_matrices=False)[2][:3]
    least = int((directions**2).sum(axis=0).argmin())  # the column that the others tell least of
    odd = x[:100].copy()
    odd[:, least] += 3.0

    def predict(columns):
        with torch.no_grad():
            return net.error(
                torch.from_numpy(np.stack([columns[n] for n in names], axis=1).astype(np.float32))
            ).numpy()

    from rai_bigmodel.tables import Table as Cohort

    held = Cohort(
        name="t", columns={n: odd[:, i].astype(float) for i, n in enumerate(names)}, roles={"feature": names}
    )
    subject = replace(
        _subject(net), predict=predict, decision=Decision(kind="threshold", threshold=None, positive="", labels=()),
        card={"outcome": "reconstruction"},
    )  # fmt: skip
    found = _found(subject, held, hardest=2)
    (ranked,) = [e for e in found.exhibits if isinstance(e, Bars) and "on average" in e.title]
    faithful = next(m for m in found.measurements if m.metric == "explainability.faithful")

    rebuilt = net(torch.from_numpy(odd)).detach()
    half = ((rebuilt + torch.from_numpy(odd)) / 2).requires_grad_()
    net.error(half).sum().backward()
    way = (torch.from_numpy(odd) - rebuilt) * half.grad  # exact, because the error is a square
    paper = dict(zip(names, way.abs().mean(dim=0).tolist(), strict=True))

    assert "error of rebuilding" in ranked.title
    assert all(b.value == pytest.approx(paper[b.label], rel=1e-3) for b in ranked.bars)
    assert ranked.bars[0].label == f"c{least}"
    assert faithful.value == 1.0, faithful.why
    assert any(isinstance(e, Table) and e.title.startswith("Single rows") for e in found.exhibits)


def test_a_model_that_only_answers_is_explained_by_patches_too(cnn) -> None:
    """The same CNN without its weights at hand: what taking a patch away does."""
    net, x, y = cnn
    box = replace(_subject(net), module=None, kind="callable")
    found = _found(box, Rows("image", x, y), hardest=1, method="ablation")
    faithful = next(m for m in found.measurements if m.metric == "explainability.faithful")

    assert faithful.value == 1.0, faithful.why
    assert any(isinstance(e, Picture) for e in found.exhibits)


def test_a_model_of_texts_that_only_answers_is_explained_by_its_words(texts) -> None:
    """Words are left out, not replaced; those that count have the largest share."""
    weight = {f"w{i}": (1.0 if i < 8 else -1.0 if i < 16 else 0.0) for i in range(48)}
    _, _, written, y = texts

    def predict(inputs):
        return np.array([1 / (1 + np.exp(-sum(weight[w] for w in text.split()))) for text in inputs["text"]])

    found = _found(
        cohorts.subject(predict),
        Rows("text", written, y),
        shown=5,
        rows=40,
        words={"spoken": tuple(weight)[:16]},
    )
    (share,) = [m for m in found.measurements if m.metric == "explainability.sensitive_share"]
    faithful = next(m for m in found.measurements if m.metric == "explainability.faithful")

    assert faithful.value == 1.0, faithful.why
    assert share.value > 0.95


def test_rare_words_are_counted_together_and_never_named() -> None:
    """A word in fewer than five rows could tell of a person."""
    words = np.array([["a", "b"]] * 6 + [["a", "zebra"]], dtype=object)
    names, values = claims.by_word(words, np.ones((7, 2)))

    assert names == ("a", "b", claims.RARE)
    assert values.sum(axis=0).tolist() == [7.0, 6.0, 1.0]


def test_an_explanation_that_failed_is_drawn_nowhere_else(cnn, monkeypatch) -> None:
    """No heat over a picture, no direction, no single row rests on it; its ranked bars say FAILED."""
    from rai_bigmodel.audits import explainability

    monkeypatch.setattr(
        explainability, "battery", lambda *_, **__: tests_of.Tested((), faithful=False, why="it was planted")
    )
    net, x, y = cnn
    found = _found(_subject(net), Rows("image", x, y), hardest=2, values=True)

    assert not any(isinstance(e, Picture | Heatmap) for e in found.exhibits)
    assert all("FAILED" in e.caption for e in found.exhibits if isinstance(e, Bars))
