"""Does the audit of what ships find what a variant did, to whom, and say which one to ship?"""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from cohorts import logistic, rng, splits, subject, table

from rai_bigmodel.audits import deployment_clock
from rai_bigmodel.audits.deployment import Deployment
from rai_bigmodel.deploy import quantise, to_onnx
from rai_bigmodel.evidence import Decision, Findings, Measurement
from rai_bigmodel.nets import MLP
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.subjects.of_onnx import of_onnx
from rai_bigmodel.subjects.of_run import of_run
from rai_bigmodel.tables import Table
from rai_bigmodel.threads import torch_threads
from rai_bigmodel.training import fit

QUIET = Deployment(batches=())


def only(findings: Findings, metric: str, **labels: str) -> Measurement:
    (m,) = (
        m
        for m in findings.measurements
        if m.metric == f"deployment.{metric}" and all(m.labels.get(k) == v for k, v in labels.items())
    )
    return m


def compared(variant: Subject, data: Splits | None = None, audit: Deployment = QUIET) -> Findings:
    return audit(subject(relatives={"onnx": variant}), data or splits(1200), rng())


# --- one clean twin for all ------------------------------------------------------------------------


def test_an_equal_variant_is_quiet_everywhere() -> None:
    """Nothing flips, nothing moves, the reasons are the same; and every number has an interval that a rule can use."""
    found = compared(subject())
    for name in (
        "decision_flip_rate",
        "accuracy_drop",
        "calibration_change",
    ):
        m = only(found, name)
        assert m.value == 0
        assert m.interval is not None
    for attribute in ("race", "sex"):
        for name in ("flip_rate_difference", "fairness_change"):
            m = only(found, name, attribute=attribute)
            assert m.value == 0
            assert m.interval is not None
            assert m.interval.low is not None
            assert m.interval.low <= 0
    assert only(found, "explanation_agreement").value == pytest.approx(1)
    assert not found.notes


def test_one_group_that_loses_is_named_as_such() -> None:
    """A variant that refuses a fifth of race B: the gap of selection rates grows by a fifth of their rate."""

    def harsh(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.where(inputs["z"] > 0.84, 0.0, 1.0) * logistic(inputs)

    data = splits(3000)
    race, z = data.held_out.columns["race"], data.held_out.columns["z"]  # type: ignore[attr-defined]
    z[race != "B"] = -1.0
    found = compared(subject(harsh), data)
    moved = only(found, "fairness_change", attribute="race")

    assert moved.labels["low"] == "B"
    assert moved.interval is not None
    assert moved.interval.low is not None
    assert moved.interval.low > 0.02
    assert only(found, "flip_rate_difference", attribute="race").labels["high"] == "B"
    assert only(found, "fairness_change", attribute="sex").interval.low <= 0  # type: ignore[union-attr, operator]


def test_scores_that_were_blown_up_change_calibration() -> None:
    """Logits times three: the same decisions, another meaning."""

    def loud(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return 1 / (1 + np.exp(-6 * inputs["x"]))

    found = compared(subject(loud))

    assert only(found, "decision_flip_rate").value == 0
    assert only(found, "calibration_change").value > 0.05  # type: ignore[operator]
    assert only(found, "calibration_change").interval.low > 0.02  # type: ignore[union-attr, operator]


def test_a_variant_that_decides_for_other_reasons_is_told() -> None:
    """It reads the second column in place of half of the first: agreement falls well below one."""

    def other(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return 1 / (1 + np.exp(-inputs["x"] - 3 * inputs["z"]))

    assert only(compared(subject(other)), "explanation_agreement").value < 0.6  # type: ignore[operator]


# --- labels, numbers, arrays, texts --------------------------------------------------------------------


def three(order: list[int]) -> Subject:
    """Three labels by two columns, given in some order."""
    labels = ("a", "b", "c")

    def predict(inputs: dict[str, np.ndarray]) -> np.ndarray:
        logits = np.stack([inputs["x"], inputs["z"], 0 * inputs["x"]], axis=1) * 2
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return shares[:, order]

    decision = Decision(kind="argmax", threshold=None, positive="", labels=labels)
    return subject(predict, decision=decision)


def labelled(rows: int = 900) -> Splits:
    whole = table(rows)
    x, z = whole.columns["x"], whole.columns["z"]
    best = np.stack([x, z, 0 * x], axis=1).argmax(axis=1)
    columns = {**whole.columns, "y": np.array(["a", "b", "c"], dtype=object)[best]}
    return Splits(held_out=Table(name="rows", columns=columns, roles=whole.roles))


def test_z35_labels_in_another_order_are_said_and_the_twin_is_quiet() -> None:
    """The audit says which label is under which name, beside the flips that it makes; the same order says nothing."""
    swapped = Deployment(batches=())(three([0, 1, 2]).related(onnx=three([0, 2, 1])), labelled(), rng())
    straight = Deployment(batches=())(three([0, 1, 2]).related(onnx=three([0, 1, 2])), labelled(), rng())

    assert only(swapped, "decision_flip_rate").value > 0.3  # type: ignore[operator]
    assert "The labels of fp32 look as if they were in another order" in swapped.notes[0]
    assert only(straight, "decision_flip_rate").value == 0
    assert not straight.notes
    assert only(straight, "fairness_change", attribute="race").value == 0


def test_labels_that_a_file_names_in_another_order_are_put_in_ours() -> None:
    """A foreign file may name its labels in its own order; by name they agree."""
    other = three([2, 0, 1])
    decision = Decision(kind="argmax", threshold=None, positive="", labels=("c", "a", "b"))
    named = subject(other.predict, decision=decision)
    found = Deployment(batches=())(three([0, 1, 2]).related(onnx=named), labelled(), rng())

    assert only(found, "decision_flip_rate").value == 0
    assert only(found, "explanation_agreement").value == pytest.approx(1)


def test_a_number_has_an_error_that_changes_and_decides_nothing() -> None:
    """A bias of one in one group: the error grows there, and the groups move apart."""
    whole = table(900)
    columns = {**whole.columns, "y": whole.columns["x"] * 10}
    data = Splits(held_out=Table(name="rows", columns=columns, roles=whole.roles))
    decision = Decision(kind="threshold", threshold=None, positive="", labels=())
    right = subject(lambda i: i["x"] * 10, decision=decision)
    race = whole.columns["race"] == "B"
    worse = subject(lambda i: i["x"] * 10 + race * (1 + i["z"] / 4), decision=decision)
    found = Deployment(batches=(), explained=0)(right.related(onnx=worse), data, rng())

    assert only(found, "decision_flip_rate").value is None
    assert "decides nothing" in only(found, "decision_flip_rate").why
    assert only(found, "error_change").interval.low > 0.1  # type: ignore[union-attr, operator]
    assert only(found, "fairness_change", attribute="race").labels["high"] == "B"
    assert only(found, "fairness_change", attribute="race").interval.low > 0.5  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("kind", ["pictures", "series", "texts"])
def test_reasons_are_compared_part_by_part_of_pictures_series_and_texts(kind: str) -> None:
    """The same model agrees; one that reads the other half does not."""
    r, rows = np.random.default_rng(0), 120
    if kind == "texts":
        words = np.array(["up", "down", "so", "and"], dtype=object)
        inputs = np.array([" ".join(words[r.integers(0, 4, 9)]) for _ in range(rows)], dtype=object)

        def score(given, word="up"):
            texts = given["text"] if isinstance(given, dict) else given
            return np.array([t.split().count(word) for t in texts]) / 10

        first, other = subject(score), subject(lambda g: score(g, "down"))
    else:
        shape = (rows, 1, 8, 8) if kind == "pictures" else (rows, 20, 2)
        inputs = r.normal(size=shape)
        half = inputs.shape[-2] // 2
        first = subject(lambda g: g[..., :half, :].mean(axis=tuple(range(1, inputs.ndim))) + 0.5)
        other = subject(lambda g: g[..., half:, :].mean(axis=tuple(range(1, inputs.ndim))) + 0.5)
    columns = {"text" if kind == "texts" else "image": inputs, "y": np.arange(rows) % 2.0}
    roles = {"feature": tuple(columns)[:1], "truth": ("y",)}
    data = Splits(held_out=Table(name="rows", columns=columns, roles=roles))
    same, apart = (QUIET(first.related(onnx=v), data, rng()) for v in (first, other))

    assert only(same, "explanation_agreement").value == pytest.approx(1)
    assert only(apart, "explanation_agreement").value < 0.5  # type: ignore[operator]


# --- clocks and the recommendation ------------------------------------------------------------------------


def waiting(seconds: float) -> Subject:
    def predict(inputs: dict[str, np.ndarray]) -> np.ndarray:
        time.sleep(seconds)
        return logistic(inputs)

    return subject(predict)


def timed(**variants: Subject) -> Findings:
    audit = Deployment(batches=(1, 8), repeats=15, explained=0)
    return audit(waiting(0.006).related(**variants), splits(300), rng())


def test_the_quickest_variant_that_does_no_harm_is_recommended_in_words() -> None:
    """Twice as fast wins; what is slower, or decides otherwise, is named with the reason."""
    wrong = subject(lambda i: 1 - logistic(i))
    found = timed(onnx=waiting(0.001), fp16=waiting(0.02), int8=wrong)
    m = only(found, "recommended")

    assert m.labels["variant"] == "fp32"
    assert m.kind == "clock"
    assert "fp16 is slower at batch" in m.why
    assert "int8 decides 100.00% of rows otherwise" in m.why
    assert only(found, "speedup", variant="fp32", batch="1").value > 1.5  # type: ignore[operator]
    assert only(found, "speedup", variant="fp32", batch="1").interval.low > 1  # type: ignore[union-attr, operator]


def test_what_one_leaves_in_the_cache_is_not_the_next_ones_latency() -> None:
    """Whoever is asked right after another is slow once; none is called slow for it."""
    last: list[str] = []

    def after_another(name: str) -> Subject:
        def predict(inputs: dict[str, np.ndarray]) -> np.ndarray:
            if last and last[-1] != name:
                time.sleep(0.02)
            last.append(name)
            return logistic(inputs)

        return subject(predict)

    audit = Deployment(batches=(1,), repeats=15, explained=0)
    found = audit(after_another("trained").related(onnx=after_another("file")), splits(300), rng())

    for name in ("callable", "fp32"):
        assert only(found, "latency_ms", variant=name, quantile="p50").value < 10  # type: ignore[operator]


@pytest.mark.zoo
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of its own parts
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_is_timed_beside_its_file_and_never_recommended() -> None:
    """compiled: true adds torch.compile; it is no file that could ship."""
    r = np.random.default_rng(0)
    columns = {"a": r.normal(size=200), "b": r.normal(size=200)}
    columns["y"] = (columns["a"] > 0) * 1.0
    whole = Table(name="toy", columns=columns, roles={"feature": ("a", "b"), "truth": ("y",)})
    data = Splits(train=whole, calibrate=whole, held_out=whole)
    run = fit.train(MLP(hidden=(8,)), data, epochs=1)
    audit = Deployment(batches=(1, 16), repeats=15, explained=0, compiled=True)
    found = audit(of_run(run).related(onnx=of_onnx(to_onnx.to_onnx(run))), data, rng())

    assert only(found, "speedup", variant=deployment_clock.COMPILED, batch="16").value > 0  # type: ignore[operator]
    assert only(found, "recommended").labels["variant"] in {"fp32", "torch"}


def test_latency_is_that_of_one_thread_and_torch_gets_its_own_setting_back() -> None:
    """Also after a failure: threads that wait for one another on a busy machine are no speed of a file's."""
    import torch

    seen, before = [], torch.get_num_threads()

    def ask(inputs):
        seen.append(torch.get_num_threads())
        if len(seen) > 20:
            raise TimeoutError
        return np.zeros(len(inputs))

    torch.set_num_threads(3)
    try:
        with pytest.raises(TimeoutError), torch_threads(1):
            deployment_clock._times({"a": ask}, np.zeros(4), deployment_clock.Timing((1,), 50, 5.0, False))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_it_may_be_best_to_stay_with_what_was_trained() -> None:
    """Every variant is slower: the words say so."""
    m = only(timed(onnx=waiting(0.02)), "recommended")

    assert m.labels["variant"] == "callable"
    assert m.why.startswith("Stay with callable: fp32 is slower")


# --- a file that 8 bits made worse for one group ------------------------------------------------------------


@pytest.fixture(scope="module")
def saturated() -> tuple[Findings, Findings]:
    """Ranges of 8 bits measured without, and with, the group whose amounts are ten times larger."""
    r, rows = np.random.default_rng(7), 900
    group = np.where(r.random(rows) < 0.4, "B", "A").astype(object)
    scale = np.where(group == "B", 10.0, 1.0)
    amount, debt = scale * r.uniform(0, 1, rows), scale * r.uniform(0, 1, rows)
    columns = {"amount": amount, "debt": debt, "group": group, "y": (amount > debt).astype(float)}
    roles = {"feature": ("amount", "debt"), "truth": ("y",), "sensitive": ("group",)}
    whole = Table(name="toy", columns=columns, roles=roles)
    train, calibrate, held_out = (whole.take(np.arange(rows)[i::3], name=str(i)) for i in range(3))
    data = Splits(train=train, calibrate=calibrate, held_out=held_out)
    run = fit.train(MLP(hidden=(8,), activation="relu"), data, epochs=12, lr=0.05, batch_size=32)
    full = to_onnx.to_onnx(run)

    def audited(seen: np.ndarray) -> Findings:
        rows_seen = {c: calibrate.columns[c][seen] for c in ("amount", "debt")}
        small = of_onnx(quantise.int8(full, rows_seen, static=True))
        return QUIET(of_run(run).related(int8=small, onnx=of_onnx(full)), data, rng())

    return audited(calibrate.columns["group"] == "A"), audited(np.ones(calibrate.rows, bool))


def test_8_bits_that_hurt_one_group_only_are_found_and_the_twin_is_quiet(
    saturated: tuple[Findings, Findings],
) -> None:
    """The group whose amounts lie where 8 bits saturate flips; with its rows among those calibrated on, it does not."""
    hurt, twin = saturated
    m = only(hurt, "flip_rate_difference", variant="int8", attribute="group")

    assert m.labels["high"] == "B"
    assert m.interval is not None
    assert m.interval.low is not None
    assert m.interval.low > 0.05
    assert only(hurt, "flip_rate_difference", variant="fp32").value == 0
    quiet = only(twin, "flip_rate_difference", variant="int8", attribute="group")
    assert quiet.value < 0.05  # type: ignore[operator]
    assert quiet.interval.low <= 0.01  # type: ignore[union-attr, operator]
