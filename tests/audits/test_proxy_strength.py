"""What can be known from what a model reads: of a black box, of a run, and where nothing can be said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cohorts import rng, splits, subject

from rai_bigmodel.audits.explainability import Explainability
from rai_bigmodel.audits.proxy_strength import strengths
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Splits


def _find(findings, attribute: str):
    (m,) = [
        m
        for m in findings.measurements
        if m.metric == "explainability.proxy_strength" and m.labels["attribute"] == attribute
    ]
    return m


def _with(**columns: np.ndarray) -> Splits:
    data = splits(600)
    held = data.held_out
    return Splits(held_out=replace(held, columns={**held.columns, **columns}))


def test_a_black_box_is_asked_what_its_features_tell() -> None:
    """Nothing but the names of its columns is needed; both attributes are told no better than by a guess."""
    found = Explainability()(subject(), splits(600), rng())
    for attribute, group in (("race", "A"), ("sex", "f")):
        m = _find(found, attribute)
        assert m.labels["group"] in {group, "m"}
        assert m.interval.low < 0.5 < m.interval.high
        assert "a stronger one might tell more" in m.why


def test_only_what_the_subject_reads_is_looked_at() -> None:
    """An exported model names its columns in its card: a column that gives the group away matters if it is one."""
    held = splits(600).held_out
    data = _with(z=(held.columns["race"] == "A") + 0.0)
    blind, seeing = (
        _find(Explainability()(subject(kind="onnx", card={"features": names}), data, rng()), "race")
        for names in (["x"], ["x", "z"])
    )

    assert blind.interval.low < 0.5
    assert seeing.value == 1.0
    assert seeing.n == sum(
        -(-int(k) // 2) for k in np.unique(data.held_out.columns["z"], return_counts=True)[1]
    )


def test_reading_the_attribute_itself_is_said() -> None:
    """Where it is a feature there is nothing to find out."""
    held = splits(600).held_out
    data = Splits(held_out=replace(held, roles={**held.roles, "feature": ("x", "sex")}))
    m = _find(Explainability()(subject(), data, rng()), "sex")

    assert m.value == 1.0
    assert m.why.startswith("the subject reads sex itself; ")


def test_rows_without_the_attribute_are_left_out_and_counted() -> None:
    """As the share that is excluded; over 2 % of it no rule passes."""
    race = splits(600).held_out.columns["race"].copy()
    race[:60] = None
    m = _find(Explainability()(subject(), _with(race=race), rng()), "race")

    assert m.excluded == pytest.approx(0.1)


def test_groups_too_small_and_tables_are_null_with_why() -> None:
    """Half of the rows teach, half measure, thirty of either side in each; predictions do not say what was read."""
    race = np.array(["A"] * 550 + ["B"] * 50, dtype=object)
    few = _find(Explainability()(subject(), _with(race=race), rng()), "race")
    table = _find(Explainability()(subject(kind="table"), splits(600), rng()), "race")

    assert few.value is None
    assert "50 rows; at least 60 are needed" in few.why
    assert table.value is None
    assert "does not say what a model reads" in table.why


def test_an_attribute_that_is_not_there_is_one_line() -> None:
    """With the nearest names."""
    with pytest.raises(InputError, match="Did you mean 'race'"):
        Explainability(attributes=("rase",))(subject(), splits(600), rng())


def test_a_run_has_attributions_and_the_strength_of_proxies() -> None:
    """White box: the gap of its attributions is a number, and so is what its features tell."""
    pytest.importorskip("captum", reason="attributions need the extra 'explain'")
    from rai_bigmodel.nets import MLP
    from rai_bigmodel.subjects.of_run import of_run
    from rai_bigmodel.training import fit

    data = splits(300)
    run = fit.train(MLP(hidden=()), replace(data, calibrate=data.train), epochs=1)
    found = Explainability(attributes=("race*sex",))(of_run(run), data, rng())

    assert next(m for m in found.measurements if m.metric.endswith("completeness_gap")).value is not None
    assert 0 < _find(found, "race*sex").value < 1


@pytest.mark.parametrize("kind", ["series", "picture", "text"])
def test_pictures_series_and_texts_tell_an_attribute_too(kind: str) -> None:
    """Series and pictures broke the audit, and of texts, all unlike, it was told that they tell nothing."""
    held = splits(600).held_out
    inside = held.columns["race"] == "A"
    noise = np.random.default_rng(3).normal(size=(len(inside), 6, 2)) + 3.0 * inside[:, None, None]
    read = {
        "series": noise,
        "picture": noise[:, None],
        "text": np.array([f"{'warm' if a else 'cold'} {k}" for k, a in enumerate(inside)], dtype=object),
    }[kind]
    table = replace(held, columns={**held.columns, "it": read}, roles={**held.roles, "feature": ("it",)})
    found = strengths(subject(), table, ("race",), rng())

    assert found[0].interval.low > 0.9
