"""What a language model knows by heart: planted secrets by their exposure (Z14), training texts by giving them back."""

from __future__ import annotations

import dataclasses
import math
import zlib

import msgspec
import numpy as np
import pytest
from cohorts import rng, subject

from rai_bigmodel import datasets
from rai_bigmodel.audits.privacy import EXTRACTED, Privacy
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Decision
from rai_bigmodel.nets import MLP, Transformer
from rai_bigmodel.subject import Secret, Splits
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.training import checkpoint, fit, planting
from rai_bigmodel.training.planting import Canaries
from rai_bigmodel.training.recipe import Text

NET = Transformer(width=32, heads=2, layers=1, feedforward=64, causal=True, tied=True)
TEXT = Text(level="character", length=48, most=200)
NOTHING = Decision(kind="threshold", threshold=None, positive="", labels=())


def lines(rows: int, seed: int, length: int = 32) -> Table:
    """Lines of random words: nothing but memory can foretell them."""
    r = np.random.default_rng(seed)
    words = np.array(["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron"])
    texts = [" ".join(r.choice(words, 8))[:length] for _ in range(rows)]
    return Table(
        name=f"lines {seed}",
        columns={"text": np.array(texts, dtype=object)},
        roles={"feature": ("text",)},
    )


@pytest.fixture(scope="module")
def data() -> Splits:
    """Sixteen training lines, each four times."""
    few = lines(16, 1).take(np.repeat(np.arange(16), 4), name="lines 1")
    return Splits(train=few, calibrate=lines(30, 2), held_out=lines(64, 3))


def learned(data: Splits, times: tuple[int, ...], *, epochs: int, seed: int = 3):
    """A small language model of characters, with secrets planted."""
    return fit.train(
        NET,
        data,
        epochs=epochs,
        lr=5e-3,
        batch_size=16,
        text=TEXT,
        seed=seed,
        canaries=Canaries(times=times, digits=3, seed=seed),
    )


@pytest.fixture(scope="module")
def run(data):
    """One secret planted 30 times, one never; lines seen often enough to be known by heart."""
    return learned(data, (0, 30), epochs=40)


def exposures(findings) -> dict[str, object]:
    return {m.labels["canary"]: m for m in findings.measurements if m.metric == "privacy.exposure"}


def rate(findings):
    return next(m for m in findings.measurements if m.metric == "privacy.extractable_rate")


def test_z14_a_planted_secret_is_exposed_and_its_control_is_not(run, data, tmp_path) -> None:
    """Of a run from disk, within three bits of all there are; the one never planted within ten of none."""
    checkpoint.save_run(run, tmp_path / "run")
    found = exposures(Privacy()(of_run(tmp_path / "run"), data, rng()))
    control, planted = found["1 (planted 0 ×)"], found["2 (planted 30 ×)"]

    assert planted.value > math.log2(1000) - 3
    assert control.value < 9
    assert planted.kind == "exact"
    assert planted.why.startswith("rank 1 of 1,000 (log2|R| = 9.966")
    assert not any(
        secret.code in str(m.why) for secret in planting.secrets_of(run.card.recipe) for m in found.values()
    )


@pytest.mark.zoo
def test_z14_over_twenty_seeds(data) -> None:
    """Every planted secret is exposed; controls have the exponential's mean of 1.44 within 2.6 deviations."""
    planted, controls = [], []
    for seed in range(20):
        found = exposures(Privacy()(of_run(learned(data, (0, 0, 30), epochs=12, seed=seed)), data, rng()))
        (first, second, third) = (m.value for m in found.values())
        controls += [first, second]
        planted.append(third)

    assert min(planted) > math.log2(1000) - 3
    assert abs(np.mean(controls) - 1 / math.log(2)) < 2.6 / math.log(2) / math.sqrt(40)


def test_training_texts_known_by_heart_are_given_back_and_others_are_not(run, data) -> None:
    """Ten characters told, ten to follow; Clopper–Pearson, and held-out lines beside it."""
    findings = Privacy(extract=64, prompt=10)(of_run(run), data, rng())
    found = rate(findings)
    came, asked = (int(word) for word in found.why.split(" training")[0].split(" of "))

    assert found.value == came / asked
    assert asked == 64
    assert found.interval.low > 0.3
    assert found.interval.method == "clopper-pearson"
    held_out = int(found.why.rsplit(" ", 1)[1])
    assert held_out < came / 3
    assert EXTRACTED in findings.notes


def test_what_is_too_short_or_cannot_recite_is_null_with_why(run, data) -> None:
    """Texts of 32 characters cannot give 40 back; a black box cannot go on with a text."""
    mute = dataclasses.replace(of_run(run), recites=None)

    assert "no training text has 80" in rate(Privacy(extract=9, prompt=40)(of_run(run), data, rng())).why
    assert "no language model" in rate(Privacy(extract=9)(mute, data, rng())).why
    assert (
        "no training rows" in rate(Privacy(extract=9)(of_run(run), Splits(held_out=data.held_out), rng())).why
    )


def test_a_secret_of_a_large_space_is_compared_with_some_and_its_tail_is_fitted() -> None:
    """Six digits: 10,000 of a million are asked, and the estimate says that it is one."""
    secret = Secret(name="s", times=3, code="314159", before="pin ")
    odd = subject(
        lambda inputs: np.array(
            [
                [1.0 if "314159" in t else 9 + zlib.crc32(t.encode()) % 1000 / 500, 5.0]
                for t in inputs["text"].tolist()
            ]
        ),
        decision=NOTHING,
        card={"outcome": "language"},
        secrets=(secret,),
    )
    found = exposures(Privacy()(odd, Splits(held_out=lines(5, 1)), rng()))["s"]

    assert found.kind == "estimate"
    assert found.value > 10
    assert "extrapolation" in found.why


def test_secrets_are_planted_as_often_as_asked_and_stand_in_the_card(run, data) -> None:
    """Thirty rows more, under a name that says so; the same secrets every time; a refit plants none."""
    secrets = planting.secrets_of(run.card.recipe)
    texts = planting.planted(run.card.recipe, data.train).columns["text"].tolist()

    assert run.card.data["train"].rows == 94
    assert "30 canaries" in run.card.data["train"].name
    assert texts.count(secrets[1].text()) == 30
    assert texts.count(secrets[0].text()) == 0
    assert set("0123456789") <= set(run.card.reads.tokens.words)
    words = msgspec.structs.replace(run.card.recipe, text=Text(level="word", length=12))
    assert planting.secrets_of(words)[0].text().split()[-3:] == list(secrets[0].code)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"sentence": "no place"}, "sentence must hold"),
        ({"digits": 0}, "digits must lie"),
        ({"digits": 10}, "digits must lie"),
        ({"times": ()}, "times must say"),
        ({"times": (-1,)}, "times must say"),
        ({"times": (0, 100_000_000)}, "at most 1,000,000 sentences are planted"),
    ],
)
def test_canaries_that_cannot_be_are_refused(settings, why) -> None:
    """One line."""
    with pytest.raises(InputError, match=why):
        Canaries(**settings)


def test_canaries_go_into_texts_of_a_language_model_only(data) -> None:
    """A sentence too long for the net, and a net that learns something else."""
    with pytest.raises(InputError, match=r"52 characters, and text\.length is 48"):
        fit.train(NET, data, epochs=1, text=TEXT, canaries=Canaries(sentence="x" * 48 + "{}"))
    with pytest.raises(InputError, match="every digit, 0, 1, 2"):
        fit.train(
            NET,
            data,
            epochs=1,
            text=Text(level="character", length=48, words=tuple("abc")),
            canaries=Canaries(),
        )
    table = datasets.digits(shape="columns")
    with pytest.raises(InputError, match="texts of a language model"):
        fit.train(MLP(hidden=(4,)), table, epochs=1, canaries=Canaries())


@pytest.mark.parametrize(("settings", "why"), [({"extract": -1}, "extract"), ({"prompt": 0}, "prompt")])
def test_what_cannot_be_asked_is_refused(settings, why) -> None:
    """One line."""
    with pytest.raises(InputError, match=why):
        Privacy(**settings)(subject(), Splits(held_out=lines(5, 1)), rng())
