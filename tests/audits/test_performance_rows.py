"""Is the perplexity the one on paper, and does its interval cover?"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from rai_bigmodel.audits.performance import Performance
from rai_bigmodel.audits.performance_rows import perplexity, unknown_words
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.nets.reads import Tokens
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.tables import Table
from rai_bigmodel.training.words import encode


def test_a_model_that_finds_eight_words_equally_likely_has_perplexity_eight() -> None:
    """However long the rows are; nothing varies, so there is no interval."""
    words = np.array([1.0, 5, 0, 9])
    value, interval = perplexity(words * np.log(8), words)

    assert value == pytest.approx(8)
    assert interval is None or interval.high - interval.low < 1e-6


def test_perplexity_is_of_words_not_of_rows() -> None:
    """Naive: every word once, in one list, its mean surprise exponentiated."""
    rows = [[0.5, 2.0], [1.0], [3.0, 0.1, 0.2]]
    surprise, words = np.array([sum(r) for r in rows]), np.array([float(len(r)) for r in rows])
    value, interval = perplexity(surprise, words)

    assert value == pytest.approx(np.exp(np.mean([s for r in rows for s in r])))
    assert interval.low < value < interval.high


def test_its_interval_covers_nineteen_times_of_twenty() -> None:
    """400 samples of 80 rows of unlike lengths, surprises exponential with mean 1.5: e^1.5 is inside."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(400):
        words = rng.integers(1, 20, 80)
        surprise = np.array([rng.exponential(1.5, n).sum() for n in words])
        _, interval = perplexity(surprise, words.astype(float))
        inside += interval.low <= np.exp(1.5) <= interval.high

    assert 0.925 <= inside / 400 <= 0.98


def subject(answers: np.ndarray, outcome: str) -> Subject:
    return Subject(
        name="x",
        kind="callable",
        digest="",
        decision=Decision(kind="threshold", threshold=None, positive="", labels=()),
        predict=lambda _: answers,
        card={"outcome": outcome},
    )


def rows(n: int = 4) -> Splits:
    cohort = Table(name="t", columns={"a": np.arange(float(n))}, roles={"feature": ("a",)})
    return Splits(held_out=cohort, train=cohort)


def measured(answers: np.ndarray, outcome: str) -> dict:
    found = Performance()(subject(answers, outcome), rows(), np.random.default_rng(0))
    return {m.metric.removeprefix("performance."): m for m in found.measurements}


def test_rows_that_are_rebuilt_have_an_error_and_no_accuracy() -> None:
    """The mean over rows; the generalisation gap is of it."""
    found = measured(np.array([1.0, 2.0, 3.0, 6.0]), "reconstruction")

    assert found.keys() == {"reconstruction_error", "generalisation_gap"}
    assert found["reconstruction_error"].value == 3.0
    assert found["generalisation_gap"].value == 0.0


def test_answers_that_are_not_two_numbers_a_row_are_refused() -> None:
    """One clear line with the shape."""
    with pytest.raises(InputError, match=r"two finite numbers for each of 4 rows.*got the shape \(4,\)"):
        measured(np.ones(4), "language")
    found = measured(np.zeros((4, 2)), "language")
    assert found["perplexity"].value is None
    assert "no row has a word after its first" in found["perplexity"].why


@pytest.mark.parametrize(("outcome", "says"), [("language", "a model that knows them."), ("", "as one.")])
def test_rows_of_words_that_a_model_does_not_know_are_said_to_be(outcome: str, says: str) -> None:
    """Chinese before a model of English words: every word is the unknown one, and nothing said so."""
    words = Tokens(words=("we", "are", "warm"), length=8)
    known, half = np.array(["we are warm"], dtype=object), np.array(["we are cold today"], dtype=object)
    module = SimpleNamespace(reads=SimpleNamespace(tokens=words))

    def said(texts: np.ndarray) -> tuple[str, ...]:
        asked = replace(
            subject(np.ones((1, 2)), outcome),
            module=module,
            read=lambda given: (encode(given["text"], words),),
        )
        return unknown_words(asked, Table(name="t", columns={"text": texts}, roles={"feature": ("text",)}))

    assert said(known) == ()
    (note,) = said(half)
    assert note.startswith("50 % of the words")
    assert note.endswith(says)
