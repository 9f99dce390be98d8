"""Is an exported file the model that was trained? Asked on real rows where they are at hand, and at the edges.

What a file in less precision may differ by is stated here, before any was made: half precision knows three digits,
whole numbers of 8 bits 256 values between the smallest and the largest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from rai_bigmodel.deploy.edges import edges, within
from rai_bigmodel.errors import CheckFailed, InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.stats.exchanged import other_label, other_order
from rai_bigmodel.subject import inputs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rai_bigmodel.deploy.session import Session
    from rai_bigmodel.evidence import Decision
    from rai_bigmodel.nets.reads import Reads
    from rai_bigmodel.subject import Array, Cohort, Inputs, Outcome
    from rai_bigmodel.training.checkpoint import Run

TOLERANCES = {"fp32": 1e-5, "fp16": 2e-3, "int8": 0.1}
"""The largest difference of a score: of single precision what arithmetic in another order explains."""
FLIPS = {"fp32": 0.0, "fp16": 0.005, "int8": 0.02}
"""The largest share of real rows decided otherwise; of single precision none is."""
ALONE = 64
"""Rows that are also asked about one by one."""


class Parity(Record):
    """How far an exported file is from the run it came from, on some rows.

    Args:
        max_abs_difference: of the answers; of those that are no probabilities, relative to their size.
        flipped: how many rows are decided otherwise.
        alone: the largest difference between the file's answer to a row alone and among others.
        variant: in which precision it works.
        order: what is wrong with the order of its labels, in words; empty when nothing is.
        real: whether the rows are real ones, not made up at the edges.
    """

    rows: int
    max_abs_difference: float
    flipped: int
    alone: float = 0.0
    variant: str = "fp32"
    order: str = ""
    real: bool = True

    @property
    def good(self) -> bool:
        """Whether the answers agree within the tolerance, decisions with them, and no row changes another's answer."""
        return not self.order and self.close and self.flipped <= FLIPS[self.variant] * self.rows

    @property
    def close(self) -> bool:
        """Whether the answers agree within the tolerance, one by one too."""
        return max(self.max_abs_difference, self.alone) <= TOLERANCES[self.variant]

    @property
    def words(self) -> str:
        """What was seen, as the end of a sentence."""
        if self.order:
            return self.order
        if self.max_abs_difference <= TOLERANCES[self.variant] < self.alone:
            return (
                f"a row's answer moves by up to {self.alone:.2g} with the rows beside it in its batch: they share one "
                "range of 8 bits, and one far out widens it for all; a net with a limit on its inputs bounds it"
            )
        return (
            f"its answers differ by up to {self.max_abs_difference:.2g} ({TOLERANCES[self.variant]:g} is allowed for "
            f"{self.variant}) and {self.flipped} of {self.rows} decisions with them"
        )


class Original(NamedTuple):
    """What a file is to agree with: a run, or a module that somebody declared.

    Args:
        answer: raw columns → what it says of them.
        outcome: what its answers are.
        scale: the size of a number that it predicts; of probabilities 1.
    """

    name: str
    answer: Callable[[Inputs], Array]
    reads: Reads
    outcome: Outcome
    decision: Decision
    scale: float = 1.0


def of_run(run: Run) -> Original:
    """A run as what its file is to agree with."""
    from rai_bigmodel.training.fit import score_columns

    aim = run.card.aim
    return Original(
        name=run.name,
        answer=lambda columns: score_columns(run.module, columns, where=run.name, aim=aim),
        reads=run.card.reads,
        outcome=aim.outcome,
        decision=run.decision,
        scale=1.0 if aim.target is None else aim.target.scale,
    )


def parity(run: Run, content: bytes, columns: Inputs) -> Parity:
    """How far the exported bytes are from the run on these raw columns.

    Raises:
        InputError: a column is missing, or a score is not a number.
        MissingExtra: onnxruntime is not installed.
    """
    from rai_bigmodel.deploy.session import open_session

    return compare(of_run(run), open_session(content, where=f"{run.name} (ONNX)"), columns)


def compare(original: Original, session: Session, columns: Inputs) -> Parity:
    """As `parity`, from an open file.

    Raises:
        InputError: an answer is not a number.
    """
    before, after = original.answer(columns), session.score(columns)
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        msg = f"{original.name}: scores that are not finite cannot be compared"
        raise InputError(msg)
    # Rounding grows with the size of an answer; of a probability it is that of 1.
    size = np.maximum(original.scale, np.abs(before))
    some = np.unique(np.linspace(0, len(before) - 1, min(ALONE, len(before))).astype(np.int64))
    one_by_one = [session.score(_rows(columns, slice(i, i + 1))) for i in some.tolist()]
    alone = np.abs(np.concatenate(one_by_one) - after[some]) / size[some] if one_by_one else np.zeros(0)
    return Parity(
        rows=len(before),
        max_abs_difference=float((np.abs(before - after) / size).max(initial=0.0)),
        flipped=int((_decided(original, before) != _decided(original, after)).sum()),
        alone=float(alone.max(initial=0.0)),
        variant=session.variant,
        order=out_of_order(before, after, original.outcome, original.decision.labels)
        or _named(original.decision, session.decision),
    )


def _named(there: Decision, here: Decision) -> str:
    if (here.labels, here.positive) == (there.labels, there.positive):
        return ""
    return f"it names its labels {list(here.labels)[:8]}, what it was made from {list(there.labels)[:8]}"


def out_of_order(before: Array, after: Array, outcome: Outcome, labels: tuple[str, ...]) -> str:
    """Whether a file gives the right probabilities under the wrong labels, in words; empty when it does not."""
    if not len(before) or outcome not in {"binary", "classes"}:
        return ""
    if outcome == "binary":
        return "its score is that of the other label" if other_label(before, after) else ""
    found = other_order(before, after)
    if found is None:
        return ""
    theirs, given = labels[found[0]], labels[found[1]]
    return f"its labels are in another order: what it gives for {given!r} is that of {theirs!r}"


def check(
    original: Original,
    content: bytes,
    *,
    held_out: Cohort | None,
    calibrate: Cohort | None,
    full: bytes,
    beside: Mapping[str, bytes] | None = None,
) -> Parity:
    """The parity on the held-out rows, or at the edges where there are none; raises where it does not hold.

    Args:
        full: the same model in single precision.
        beside: the files that hold its weights, where these are not in `content`.

    Raises:
        CheckFailed: it does not score or decide as the original does, or would overflow; one line says how.
        InputError: the rows cannot be read.
    """
    from rai_bigmodel.deploy.session import open_session

    session = open_session(content, where=f"{original.name} (ONNX)", beside=beside)
    named, far = f"{original.name} ({session.variant})", _answered(original, edges(original.reads))
    if session.variant == "fp16":
        for rows in (far, *([] if held_out is None else [inputs_of(held_out)])):
            _refuse_overflow(named, content, full, rows)
    if bad := int((~np.isfinite(session.score(far))).sum()):
        msg = f"{named}: {bad} of its answers at the edges of what may come are not finite numbers; it was not written"
        raise CheckFailed(msg)
    if session.variant == "int8" and _saturates(content) and calibrate is not None:
        far = within(far, inputs_of(calibrate))
    at_edges = compare(original, session, far)
    # Not `good`: a made-up row may lie on the threshold itself, where rounding decides. On real rows it must hold.
    if at_edges.order or not at_edges.close:
        msg = f"{named}: at the edges of what may come {at_edges.words}; it was not written"
        raise CheckFailed(msg)
    if held_out is None:
        return msgspec.structs.replace(at_edges, real=False)
    agreed = compare(original, session, inputs_of(held_out))
    if not agreed.good:
        msg = f"{named}: on {held_out.name} {agreed.words}; it was not written"
        raise CheckFailed(msg)
    return agreed


def _answered(original: Original, rows: Inputs) -> Inputs:
    """The rows that the original has an answer to: a module of somebody else's may fill no missing value."""
    finite = np.isfinite(original.answer(rows)).reshape(len(next(iter(rows.values()))), -1).all(axis=1)
    return _rows(rows, finite)


def _refuse_overflow(named: str, content: bytes, full: bytes, rows: Inputs) -> None:
    from rai_bigmodel.deploy.half import ENDS
    from rai_bigmodel.deploy.quantise import overflows

    if found := overflows(content, full, rows):
        name, most = found
        msg = (
            f"{named}: overflows: {name!r} reaches {most:.3g}, half precision ends at {ENDS:,.0f}; "
            "it was not written"
        )
        raise CheckFailed(msg)


def _saturates(content: bytes) -> bool:
    """Whether ranges were fixed beforehand: what lies outside them saturates, by design."""
    import onnx

    return any(node.op_type == "QuantizeLinear" for node in onnx.load_from_string(content).graph.node)


def _rows(columns: Inputs, rows: slice | Array) -> Any:
    if hasattr(columns, "keys"):
        return {name: values[rows] for name, values in columns.items()}
    return columns[rows]


def _decided(original: Original, answers: Array) -> Array:
    """The decision of each row; all alike where nothing is decided."""
    if original.outcome == "classes":
        return answers.argmax(axis=1)
    if original.outcome != "binary":
        return np.zeros(len(answers))
    threshold = 0.5 if original.decision.threshold is None else original.decision.threshold
    return answers >= threshold
