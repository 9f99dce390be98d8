"""Do the laws for plugin authors find an audit that breaks them, and leave a sound one alone?"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from rai_bigmodel.evidence import Bars, Dot, Findings, Measurement
from rai_bigmodel.subject import scores_of
from rai_bigmodel.testing import check_audit, example_splits, example_subject


class Mean(msgspec.Struct, frozen=True):
    """A sound audit: the mean score of a random half, and the time it took."""

    question: ClassVar[str] = "How high are the scores?"
    needs: ClassVar[tuple[str, ...]] = ("predict",)

    def __call__(self, subject: Any, data: Any, rng: np.random.Generator) -> Findings:
        start = time.perf_counter()
        scores = scores_of(subject, data.held_out)
        half = rng.permutation(scores)[: len(scores) // 2]
        return Findings(
            measurements=(
                Measurement(metric="mean.score", kind="exact", value=float(half.mean()), n=len(half)),
                Measurement(metric="mean.why", kind="exact", value=None, why="there is no reason"),
                Measurement(metric="mean.seconds", kind="clock", value=time.perf_counter() - start),
            ),
            exhibits=(Bars(title="Scores", bars=(Dot(label="a", value=1.0),)),),
        )


class Broken(Mean, frozen=True):
    """The same, broken in one place."""

    how: str = ""

    def __call__(self, subject: Any, data: Any, rng: np.random.Generator) -> Any:
        value, labels, why = 1.0, {}, ""
        match self.how:
            case "global random":
                value = float(np.random.default_rng().random())
            case "a time that is no clock":
                value = time.perf_counter()
            case "more each time":
                return Findings(
                    measurements=tuple(
                        Measurement(metric="mean.x", kind="exact", value=1.0) for _ in range(_more())
                    )
                )
            case "a number of NumPy":
                value = np.float32(1.0)  # type: ignore[assignment]
            case "a label that is no text":
                labels = {"group": 1}  # type: ignore[dict-item]
            case "a reason of nothing":
                value, why = None, " "  # type: ignore[assignment]
            case "no findings":
                return [1.0]
            case "another's metric":
                return Findings(measurements=(Measurement(metric="fairness.gap", kind="exact", value=0.0),))
        measured = Measurement(metric="mean.x", kind="exact", value=value, labels=labels, why=why)
        return Findings(measurements=(measured,))


def _more(calls: list[int] = []) -> int:  # noqa: B006 - the mistake on purpose
    calls.append(1)
    return len(calls)


def test_a_sound_audit_is_left_alone_and_what_it_found_is_handed_back() -> None:
    """Its time may differ between two runs; everything else may not."""
    found = check_audit(Mean(), name="mean")

    assert [m.metric for m in found.measurements] == ["mean.score", "mean.why", "mean.seconds"]
    assert (
        check_audit(Mean(), subject=example_subject(), data=example_splits(rows=30)).measurements[0].n == 15
    )


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("global random", "differs between two runs"),
        ("a time that is no clock", "of kind 'clock'"),
        ("more each time", r"measurements\[\d+\] differs"),
        ("a number of NumPy", "cannot be written|another thing"),
        ("a label that is no text", r"labels|cannot be written"),
        ("a reason of nothing", "no value and no why"),
        ("no findings", "must give Findings, got list"),
        ("another's metric", "must begin with mean"),
    ],
)
def test_an_audit_that_breaks_a_law_is_told_which(how: str, said: str) -> None:
    """Each law by one audit that breaks it."""
    with pytest.raises(AssertionError, match=said):
        check_audit(Broken(how=how), name="mean")


def test_a_class_that_the_door_would_refuse_is_refused_here_too() -> None:
    """So that an author hears of it before any user."""

    class Thawed(msgspec.Struct):
        question: ClassVar[str] = "Is it?"
        needs: ClassVar[tuple[str, ...]] = ()

    with pytest.raises(AssertionError, match="must be frozen"):
        check_audit(Thawed())  # type: ignore[arg-type]


def test_an_audit_that_needs_more_than_there_is_says_what_to_give() -> None:
    """The made-up lender is a black box."""

    class Inside(Mean, frozen=True):
        needs: ClassVar[tuple[str, ...]] = ("predict", "module")

    with pytest.raises(AssertionError, match="needs 'module'"):
        check_audit(Inside())


def test_the_made_up_lender_is_the_same_every_time() -> None:
    """And has two groups, some gaps and both outcomes."""
    one, two = example_splits(), example_splits()
    table = one.held_out

    assert one.held_out.digest == two.held_out.digest
    assert one.train is not None
    assert one.train.digest != one.held_out.digest
    assert table.rows == 240
    assert set(table.arrays("group")["group"]) == {"north", "south"}
    assert np.isnan(table.arrays("income")["income"]).any()
    assert 0 < table.arrays("approved")["approved"].mean() < 1
