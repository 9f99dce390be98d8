"""Who is a member, who is not, and what is seen without the model: overlaps, pictures, texts, outcomes of all kinds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cohorts import rng, splits, subject

from rai_bigmodel.audits import privacy_rows
from rai_bigmodel.audits.privacy import Privacy
from rai_bigmodel.audits.privacy_membership import of_membership
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.subject import Splits
from rai_bigmodel.tables import Table

NOTHING = Decision(kind="threshold", threshold=None, positive="", labels=())


def test_rows_on_both_sides_are_refused_without_an_id_too() -> None:
    """One row of 600 in both files, alike in every column."""
    data = splits()
    columns = {
        name: np.concatenate([values, data.train.columns[name][:1]])
        for name, values in data.held_out.columns.items()
    }
    held_out = dataclasses.replace(data.held_out, columns=columns)

    with pytest.raises(InputError, match=r"1 rows .* members and non-members at once"):
        Privacy(membership=True)(subject(), Splits(held_out=held_out, train=data.train), rng())


def coins(rows: int, seed: int) -> Table:
    r = np.random.default_rng(seed)
    columns = {c: r.integers(0, 3, rows).astype(float) for c in "abcd"}
    return Table(name=f"coins {seed}", columns=columns, roles={"feature": tuple("abc"), "truth": ("d",)})


def test_rows_that_agree_by_chance_are_not_taken_for_overlap() -> None:
    """Four coarse columns have 81 values, so nearly every row has a twin on its own side too."""
    privacy_rows.no_overlap(coins(300, 1), coins(300, 2))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_pictures_are_looked_at_without_the_model(shift: float) -> None:
    """As at most 64 numbers; brighter ones on one side are told, others are not (at .001)."""
    r = np.random.default_rng(3)

    def pictures(seed: int, by: float) -> Table:
        x = np.random.default_rng(seed).normal(size=(300, 3, 16, 16)) + by
        return Table(
            name=f"pictures {seed}",
            columns={"image": x, "y": r.integers(0, 2, 300).astype(float)},
            roles={"feature": ("image",), "truth": ("y",)},
        )

    members, others = pictures(1, 0.0), pictures(2, shift)
    columns = privacy_rows.columns_of(members, others)
    box = subject(lambda inputs: np.full(len(inputs), 0.5))
    found = of_membership(box, Splits(train=members, held_out=others), (), rng()).measurements
    blind = next(m for m in found if m.metric == "privacy.blind_baseline_auc")

    assert len(columns) == 64
    assert (blind.interval.rung(0.001)[1] > 0.5) == bool(shift)


@pytest.mark.parametrize("language", ["the cat sat on", "le chat dort sur"])
def test_texts_are_looked_at_without_the_model(language: str) -> None:
    """Texts of other words on one side are told by their words; of the same, not (at .001)."""

    def texts(seed: int, words: str) -> Table:
        r = np.random.default_rng(seed)
        rows = [" ".join(r.choice(words.split(), 9)) + f" {i * 7919 + seed}" for i in range(300)]
        return Table(
            name=f"texts {seed}",
            columns={"text": np.array(rows, dtype=object)},
            roles={"feature": ("text",)},
        )

    mute = subject(
        lambda inputs: np.column_stack([np.ones(len(inputs["text"])), np.full(len(inputs["text"]), 9.0)]),
        decision=NOTHING,
        card={"outcome": "language"},
    )
    data = Splits(train=texts(1, "the cat sat on"), held_out=texts(2, language))
    found = of_membership(mute, data, (), rng()).measurements
    blind = next(m for m in found if m.metric == "privacy.blind_baseline_auc")

    assert (blind.interval.rung(0.001)[1] > 0.5) == (language != "the cat sat on")


def test_an_autoencoder_is_attacked_by_its_error_of_rebuilding_and_a_language_model_by_its_surprise() -> None:
    """Rows of `train` are rebuilt, or foreseen, twice as well; neither has an outcome."""
    data = splits()
    known = set(data.train.columns["x"].tolist())
    r = np.random.default_rng(5)

    def rebuilt(inputs) -> np.ndarray:
        error = r.chisquare(8, len(inputs["x"]))
        return error * np.where([x in known for x in inputs["x"].tolist()], 0.5, 1.0)

    def foreseen(inputs) -> np.ndarray:
        return np.column_stack([rebuilt(inputs) * 7, np.full(len(inputs["x"]), 7.0)])

    for outcome, predict in (("reconstruction", rebuilt), ("language", foreseen)):
        bare = [
            dataclasses.replace(t, roles={"feature": ("x", "z"), "sensitive": ("sex",)})
            for t in (data.train, data.held_out)
        ]
        box = subject(predict, decision=NOTHING, card={"outcome": outcome})
        found = of_membership(box, Splits(train=bare[0], held_out=bare[1]), ("sex",), rng()).measurements
        loss = [m for m in found if m.labels.get("attack") == "loss" and m.metric.endswith("auc")]

        assert all(m.interval.low > 0.7 for m in loss)
        assert [m.labels.get("group") for m in loss] == [None, "f", "m"]


def test_rows_without_a_sensitive_column_are_attacked_as_a_whole() -> None:
    """Nobody's groups are compared, and nothing is refused."""
    data = splits()
    bare = Splits(
        **{
            part: dataclasses.replace(t, roles={"feature": ("x", "z"), "truth": ("y",)})
            for part, t in (("train", data.train), ("held_out", data.held_out))
        }
    )
    found = Privacy(membership=True)(subject(), bare, rng()).measurements

    assert any(m.metric == "privacy.membership_auc" and m.value is not None for m in found)
