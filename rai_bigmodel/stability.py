"""How far do numbers lie apart when only the seed is another? Each metric's lowest and highest under all of them.

A subject with `members` is a recipe under several seeds, the relative of role ``recipe``. An audit is run on every
member, and of what they give there remains, for each metric and its labels, a pair under role ``recipe``:

- ``labels["spread"]`` is ``"lowest"`` or ``"highest"``, `value` the lowest or highest among the seeds' values, and
  `why` says under which seed: ``seed 9 of 7, 8, 9, 10, 11``. A verdict that hangs on the seed is one whose rule has
  another outcome for the one than for the other.
- The two groups of a gap (``high``, ``low``) stay where they are the same under every seed, else they are left out.
- An interval holds for the lowest (highest) true value of all members at once. A two-sided one takes each member's at
  α / seeds, as does the bound that some member proves; the bound that all must keep is the weakest of theirs at α
  (intersection and union: Berger 1982). So a rule with ``role: recipe`` passes only where every seed's model passes.
- A metric without a value under some seed has none here, with why. p-values, times and exhibits are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import LADDER, Interval, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rai_bigmodel.subject import Subject

    Found = Mapping[str, Sequence[Measurement]]
    Side = float | None

SPREAD = "spread"
LEVEL = 0.95
OF_THE_DATA = ("high", "low")
"""Labels that say what was found, and so may differ from seed to seed."""
LEFT_OUT = {"p_value", "clock"}


def spreads(found: Found) -> tuple[Measurement, ...]:
    """Seed → what an audit measured of its model; the lowest and the highest of each metric, in the first one's order.

    Raises:
        ValueError: there are fewer than two seeds.
    """
    if len(found) < 2:
        msg = f"a spread needs at least two seeds, got {len(found)}"
        raise ValueError(msg)
    by_key: dict[tuple[str, frozenset[tuple[str, str]]], dict[str, Measurement]] = {}
    for seed, measurements in found.items():
        for m in measurements:
            if m.kind not in LEFT_OUT:
                about = frozenset((k, v) for k, v in m.labels.items() if k not in OF_THE_DATA)
                by_key.setdefault((m.metric, about), {})[seed] = m
    return tuple(
        _one(of_seed, list(found), end) for of_seed in by_key.values() for end in ("lowest", "highest")
    )


def _one(of_seed: Mapping[str, Measurement], seeds: Sequence[str], end: str) -> Measurement:
    first = next(iter(of_seed.values()))
    shared = [
        item for item in first.labels.items() if all(item in m.labels.items() for m in of_seed.values())
    ]
    labels = {**dict(shared), SPREAD: end}
    told = [m for m in of_seed.values() if m.value is not None]
    kind = told[0].kind if told else first.kind
    excluded = max(m.excluded for m in of_seed.values())
    if len(told) < len(seeds):
        lacking = [s for s in seeds if s not in of_seed or of_seed[s].value is None]
        said = next((of_seed[s].why for s in lacking if s in of_seed), "it was not measured there")
        why = f"no value under seed {', '.join(lacking)}: {said}"
        return Measurement(
            metric=first.metric, kind=kind, value=None, labels=labels, excluded=excluded, why=why
        )
    pick = min if end == "lowest" else max
    at = pick(seeds, key=lambda s: _value(of_seed[s]))
    rows = [m.n for m in told if m.n is not None]
    return Measurement(
        metric=first.metric,
        kind=kind,
        value=of_seed[at].value,
        n=min(rows) if rows else None,
        labels=labels,
        excluded=excluded,
        why=f"seed {at} of {', '.join(seeds)}",
        interval=_interval([m.interval for m in told], pick) if kind in {"estimate", "bound"} else None,
    )


def _value(m: Measurement) -> float:
    assert m.value is not None
    return m.value


def _interval(of_each: Sequence[Interval | None], pick: Callable[..., float]) -> Interval | None:
    """The interval of the lowest, or highest, true value; ``None`` where a member has none or too short a ladder."""
    intervals = [i for i in of_each if i is not None]
    if len(intervals) < len(of_each):
        return None
    ladder = []
    for alpha in LADDER:
        # The nearest rung that is not above: together the members miss no more often than α.
        strict = next((a for a in LADDER if a <= alpha / len(intervals)), None)
        outer = [i.rung(strict) for i in intervals] if strict else [None]
        inner = [i.rung(alpha) for i in intervals]
        if any(r is None for r in (*outer, *inner)):
            continue
        lows, highs = ([r[i] for r in outer if r] for i in (1, 2))
        if pick is max:
            rung = (_any(lows, max), _all(highs, max), _any([r[3] for r in outer if r], max))
            ladder.append((alpha, *rung, _all([r[4] for r in inner if r], max)))
        else:
            rung = (_all(lows, min), _any(highs, min), _all([r[3] for r in inner if r], min))
            ladder.append((alpha, *rung, _any([r[4] for r in outer if r], min)))
    shown = next((r for r in ladder if abs(1 - LEVEL - r[0]) < 1e-9), None)
    if shown is None:
        return None
    method = f"simultaneous over {len(intervals)} seeds"
    return Interval(low=shown[1], high=shown[2], level=LEVEL, method=method, ladder=tuple(ladder))


def _all(sides: Sequence[Side], pick: Callable[..., float]) -> Side:
    """The outermost side; unbounded where one is."""
    known = [s for s in sides if s is not None]
    return pick(known) if len(known) == len(sides) else None


def _any(sides: Sequence[Side], pick: Callable[..., float]) -> Side:
    """The innermost side; unbounded where all are."""
    known = [s for s in sides if s is not None]
    return pick(known) if known else None


def refuse_other_recipe(subject: Subject, recipe: Subject) -> None:
    """Refuse seeds of another recipe, or of other rows, than the subject was made by: they would tell nothing of it.

    Raises:
        InputError: as said; where the subject does not tell how it was made there is nothing to compare.
    """
    mine, theirs = (_made_by(s.card) for s in (subject, recipe))
    if mine and theirs and mine != theirs:
        differ = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
        msg = (
            f"relatives: recipe: {recipe.name} was made by another recipe than {subject.name} "
            f"({', '.join(differ)}), so its seeds tell nothing of it"
        )
        raise InputError(msg)


def _made_by(card: Mapping[str, object]) -> dict[str, object]:
    """All that a card says of how a model came to be, but for its seed and its name."""
    written, data = card.get("recipe"), card.get("data")
    if not isinstance(written, dict) or data is None:
        return {}
    plain = msgspec.to_builtins({**written, "rows": data})
    return {k: v for k, v in plain.items() if k not in {"seed", "name"}}
