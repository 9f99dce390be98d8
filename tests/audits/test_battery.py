"""Every wrong explanation is rejected and every right one accepted, by the tests that are meant for it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="networks need the extra 'train'")

import trained

from rai_bigmodel.audits import faithfulness as tests_of
from rai_bigmodel.audits.battery import battery


@pytest.fixture(scope="module")
def mlp():
    """A trained MLP, and its label-shuffled twin."""
    return trained.mlp_cases(0)


def _outcomes(tested) -> dict[str, bool | None]:
    return {t.name: t.passed for t in tested.tests}


@pytest.mark.parametrize("name", trained.right())
def test_a_true_explanation_of_a_trained_network_is_accepted(mlp, name) -> None:
    """Integrated Gradients, ablation, Shapley values, gradient × input."""
    explain, adds_up = trained.right()[name]
    rng = np.random.default_rng(1)
    tested = battery(mlp[0], explain(mlp[0], rng), explain, rng, adds_up=adds_up)

    assert tested.faithful is True, tested.why


@pytest.mark.parametrize(
    "name",
    [
        "random",
        "constant",
        "the input itself",
        "of the label-shuffled model",
        "sign-flipped",
        "columns permuted",
        "permuted and rescaled",
    ],
)
@pytest.mark.parametrize("promises", [True, False])
def test_a_false_explanation_is_rejected(mlp, name, promises) -> None:
    """Also where it does not promise to add up, so that completeness is not what finds it."""
    explain, _ = trained.wrong(*mlp)[name]
    rng = np.random.default_rng(1)
    tested = battery(mlp[0], explain(mlp[0], rng), explain, rng, adds_up=promises)

    assert tested.faithful is False
    assert tested.why


def test_z23_what_never_asks_the_model_is_found_by_randomisation(mlp) -> None:
    """The input itself is the same before any model; Integrated Gradients are not."""
    explain, _ = trained.wrong(*mlp)["the input itself"]
    rng = np.random.default_rng(2)
    found, twin = (tests_of.randomisation(mlp[0], f(mlp[0], rng), f, rng) for f in (explain, trained.ig))

    assert (found.passed, twin.passed) == (False, True)
    assert found.value == pytest.approx(1.0)


def test_z24_permuted_attributions_still_add_up_and_fall_to_insertion_and_deletion(mlp) -> None:
    """Completeness passes them: it is necessary, not sufficient."""
    explain, _ = trained.wrong(*mlp)["permuted and rescaled"]
    rng = np.random.default_rng(3)
    found = battery(mlp[0], explain(mlp[0], rng), explain, rng, adds_up=True)
    twin = battery(mlp[0], trained.ig(mlp[0], rng), trained.ig, rng, adds_up=True)

    assert _outcomes(found)["completeness_gap"] is True
    assert _outcomes(found)["insertion_deletion_p"] is False
    assert twin.faithful is True


def test_z25_a_flipped_sign_is_found_by_deletion_and_by_a_scale_that_may_not_be_negative(mlp) -> None:
    """With a free sign the infidelity would be that of the twin."""
    explain, _ = trained.wrong(*mlp)["sign-flipped"]
    rng = np.random.default_rng(4)
    found = _outcomes(battery(mlp[0], explain(mlp[0], rng), explain, rng, adds_up=False))
    values = trained.ig(mlp[0], rng)
    twin, flipped = (tests_of.infidelity(mlp[0], v, np.random.default_rng(5)) for v in (values, -values))

    assert found["insertion_deletion_p"] is False
    assert found["infidelity"] is False
    assert twin.value < 0.2
    assert flipped.value == 1.0


def test_z26_an_explanation_of_another_checkpoint_is_refused_by_its_digest_or_by_its_sums(mlp) -> None:
    """Another seed of the same training explains much alike, and still does not add up to this model's answers."""
    from dataclasses import replace

    fresh = trained.mlp_cases(0)[0]
    x, y = trained.table_rows(0)
    stale = trained.fitted(trained.seeded(trained.mlp, 50), x, y, epochs=3, seed=50)
    stale_case = trained.network_case(stale, fresh.x, fresh.start, names=fresh.names)
    rng = np.random.default_rng(6)
    old = trained.ig(stale_case, rng)

    by_sums = battery(fresh, old, trained.ig, rng, adds_up=True)
    bound = replace(fresh, digest="sha256:new")
    by_digest = battery(bound, old, trained.ig, rng, adds_up=True, made_for="sha256:old")
    same = battery(bound, trained.ig(bound, rng), trained.ig, rng, adds_up=True, made_for="sha256:new")

    assert by_sums.faithful is False
    assert by_digest.faithful is False
    assert "another model" in by_digest.why
    assert same.faithful is True


def test_z27_another_baseline_or_class_does_not_add_up_to_what_is_declared(mlp) -> None:
    """Integrated Gradients from the wrong start, held against the declared one."""
    from dataclasses import replace

    elsewhere = replace(mlp[0], start=np.full_like(mlp[0].start, 1.5))
    rng = np.random.default_rng(7)
    found = tests_of.completeness(mlp[0], trained.ig(elsewhere, rng), promised=True)
    twin = tests_of.completeness(mlp[0], trained.ig(mlp[0], rng), promised=True)

    assert (found.passed, twin.passed) == (False, True)
