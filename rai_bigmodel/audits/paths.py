"""How much of a network's answer is due to each entry of a row, along a path from a start to the row?

Integrated Gradients (Sundararajan, Taly and Yan 2017) in a loop of our own that keeps no more than a byte budget and
takes more points only on the rows, and on the stretches of their paths, that need them: smooth rows stop at three or
seven, and where gates and maxima bend a path it is halved there. Captum's method is the oracle in the tests.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rai_bigmodel.audits.cases import by_part, scores
from rai_bigmodel.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.subject import Array

MOST = 256
"""Points that one row takes at most."""
TOLERANCE = 0.01
SURE = 0.1
"""At the fewest points a row stops at this part of the tolerance: so few could add up by accident."""
STILL = 0.1
"""A row stops where the last points moved its attributions by no more than this part of them: sums may add up early."""
WAITING = 16 * 2**20
"""Bytes of attributions of pieces that wait to be added or halved, at once."""
DEEPEST = 10
"""A path is halved so often at one place; a jump stays a jump however near one looks."""
NEW = (
    (0.0, 0.7745966692414834),
    (0.43424374934680254, 0.9604912687080203),
    (0.2233866844289669, 0.6211029467372264, 0.888459232872257, 0.993831963212755),
)
"""The points from 0 to 1 that each of Patterson's rules (1968), of 3, 7 and 15 points, adds to the one before; their
mirror images belong to them."""


class Path(NamedTuple):
    """Integrated gradients, and how well they add up.

    Args:
        values: ``(n, *shape)``, or of features ``(n, d)``.
        gap: what they leave unexplained of each row's change, in the units of the score ``(n,)``.
        change: the score's change from the start to the row ``(n,)``.
        steps: how many points each row's values took ``(n,)``.
    """

    values: Array
    gap: Array
    change: Array
    steps: Array


class Asked(NamedTuple):
    """Whose rows are asked about, and whether what is found is summed by feature."""

    case: Case
    features: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is found of a row."""
        return (len(self.case.names),) if self.features else self.case.x.shape[1:]


class Rule(NamedTuple):
    """Points on the way from 0 to 1 that are new, and the weights that they have now and in every later rule."""

    points: int
    new: Array
    weights: Array


class Pieces(NamedTuple):
    """Stretches of paths, and what was found on each.

    Args:
        row: whose path it is, as a place in the list of rows that are asked about ``(p,)``.
        low, high: from where to where, as shares of the path ``(p,)``.
        left, right: the score there ``(p,)``.
        points: how many points it rests on ``(p,)``.
        values: integrated gradients of the stretch ``(p, *shape)``, or of features ``(p, d)``.
    """

    row: Array
    low: Array
    high: Array
    left: Array
    right: Array
    points: Array
    values: Array

    def of(self, which: Array) -> Pieces:
        """Some of them."""
        return Pieces(*(column[which] for column in self))

    def missing(self) -> Array:
        """What each leaves unexplained of its own change, with its sign ``(p,)``."""
        return _sums(self.values) - (self.right - self.left)


def integrated_gradients(
    case: Case,
    *,
    steps: int | None = None,
    most: int = MOST,
    tolerance: float = TOLERANCE,
    features: bool = False,
) -> Path:
    """Gradients averaged along the straight path from the start.

    Rows whose attributions miss their change of the score by more than `tolerance` of it (of a tenth of the mean
    change, where a row's own is smaller), or that the last points have moved by more than a tenth of all, go on with
    more points: 3, 7 and 15 on the whole path, each of which holds those before; then the stretch that misses its own
    change most, and those that miss half as much, are halved.

    Args:
        steps: exactly so many Gauss–Legendre points on every row.
        most: points that a row may take at most; fewer than 3 are Gauss–Legendre's.
        features: sum the entries of each feature, batch by batch, so that those of all rows are never held at once.

    Raises:
        InputError: no gradient reaches the rows.
    """
    every, asked = np.arange(len(case.x)), Asked(case, features)
    end, begin = scores(case, case.x, every), scores(case, case.starts.copy(), every)
    moved = end - begin
    found = Path(
        np.empty((len(case.x), *asked.shape)),
        np.empty(len(moved)),
        moved,
        np.empty(len(moved), dtype=np.int64),
    )
    if steps is not None or most < nested()[0].points:
        _whole(asked, every, (_gauss(steps or most),), found, np.zeros(len(moved)))
        return found
    # Below what single precision can tell of two scores no gap can be closed.
    told = 4 * np.finfo(np.float32).eps * np.maximum(np.abs(end), np.abs(begin))
    allowed = np.maximum(tolerance * np.maximum(np.abs(moved), 0.1 * float(np.abs(moved).mean())), told)
    first, each = tuple(rule for rule in nested() if rule.points <= most), 4 * int(np.prod(asked.shape))
    rest = np.concatenate([
        _whole(asked, part, first, found, allowed) for part in _turns(every, len(first) * each)
    ])  # fmt: skip
    for part in _turns(rest, max(1, most // 3) * each):
        _halved(asked, part, found, allowed, most)
    return found


def _turns(rows: Array, each: int) -> list[Array]:
    """Rows in turns that hold no more than is allowed to wait, where one holds so many bytes."""
    many = max(1, WAITING // max(1, each))
    return [rows[i : i + many] for i in range(0, len(rows), many)] or [rows]


def _whole(asked: Asked, rest: Array, path: tuple[Rule, ...], found: Path, allowed: Array) -> Array:
    """Take rules on the whole path until each row adds up; the rows that do not, even by the last."""
    sums = np.zeros((len(path[0].weights), len(rest), *asked.shape), dtype=np.float32)
    before: Array | None = None
    for rule in path:
        at = np.broadcast_to(rule.new, (len(rest), len(rule.new)))
        sums[: len(rule.weights)] += _summed(asked, rest, at, rule.weights)
        found.values[rest], sums = sums[0], sums[1:]
        found.gap[rest] = np.abs(_sums(found.values[rest]) - found.change[rest])
        found.steps[rest] = rule.points
        near = SURE if before is None else 1.0
        over = found.gap[rest] > near * allowed[rest]
        if before is not None:
            over |= _size(found.values[rest] - before) > STILL * _size(found.values[rest])
        rest, sums, before = rest[over], sums[:, over], found.values[rest][over]
        if not len(rest):
            break
    return rest


def _halved(asked: Asked, rows: Array, found: Path, allowed: Array, most: int) -> None:
    """Halve paths where they miss their change until each row adds up, or is done for."""
    if not len(rows):
        return
    ends = scores(asked.case, asked.case.starts[rows], rows)
    zero, sure = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    all_ = Pieces(
        row=np.arange(len(rows)),
        low=zero,
        high=zero + 1,
        left=ends,
        right=ends + found.change[rows],
        points=found.steps[rows],
        values=found.values[rows],
    )
    while True:
        missing, count = all_.missing(), len(rows)
        total = np.bincount(all_.row, missing, minlength=count)
        worst = np.zeros(count)
        np.maximum.at(worst, all_.row, np.abs(missing))
        chosen = (np.abs(missing) >= 0.5 * worst[all_.row]) & (all_.high - all_.low > 2.0**-DEEPEST)
        more = np.bincount(all_.row[chosen], 2 * _of_half(all_.points[chosen]), minlength=count).astype(int)
        going = ~(sure & (np.abs(total) <= allowed[rows])) & (more > 0) & (found.steps[rows] + more <= most)
        chosen &= going[all_.row]
        if not chosen.any():
            break
        sure[:] = True
        old = all_.of(chosen)
        found.steps[rows] += np.where(going, more, 0)
        new = [
            _two(asked, rows, old.of(_of_half(old.points) == n), n) for n in np.unique(_of_half(old.points))
        ]
        all_ = Pieces(*(np.concatenate(c) for c in zip(all_.of(~chosen), *new, strict=True)))
    values = np.zeros((len(rows), *asked.shape))
    np.add.at(values, all_.row, all_.values)
    found.values[rows] = values
    found.gap[rows] = np.abs(_sums(values) - found.change[rows])


def _of_half(points: Array) -> Array:
    """How many points a half takes: together never fewer than the whole had, so that no stretch is known less well."""
    return np.maximum((points + 1) // 2, 3)


def _two(asked: Asked, rows: Array, old: Pieces, points: int) -> Pieces:
    """Both halves of stretches, with so many points each."""
    rule = _gauss(points)
    case, cut, here = asked.case, (old.low + old.high) / 2, rows[old.row]
    there = _points(case.x[here], case.starts[here], cut[:, None])[:, 0]
    between = scores(case, there, here)
    ends = ((old.low, cut, old.left, between), (cut, old.high, between, old.right))
    low, high, left, right = (np.concatenate(pair) for pair in zip(*ends, strict=True))
    row, many = np.concatenate([old.row, old.row]), np.full(len(low), points)
    at = low[:, None] + (high - low)[:, None] * rule.new
    wide = (high - low).reshape(-1, *[1] * len(asked.shape))
    values = wide * _summed(asked, rows[row], at, rule.weights)[0]
    return Pieces(row, low, high, left, right, many, values)


def _points(x: Array, start: Array, at: Array) -> Array:
    """Points on the ways of rows ``(k, m, *shape)``, at so much of each ``(k, m)``."""
    share = at.astype(np.float32).reshape(*at.shape, *[1] * (x.ndim - 1))
    out: Array = start[:, None] + share * (x - start)[:, None]
    return out


def _sums(values: Array) -> Array:
    """The sum of each row's entries ``(n,)``, float64."""
    out: Array = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
    return out


def _size(values: Array) -> Array:
    """The sum of the absolute entries of each row ``(n,)``."""
    return _sums(np.abs(values))


@lru_cache(maxsize=1)
def nested() -> tuple[Rule, ...]:
    """Patterson's rules of 3, 7 and 15 points; each holds the points of the one before."""
    out = []
    for level, points in enumerate(NEW):
        mine = _mirrored(points)
        later = [_weights(n, mine) for n in range(level, len(NEW))]
        out.append(Rule(2 ** (level + 2) - 1, (mine + 1) / 2, np.array(later) / 2))
    return tuple(out)


@lru_cache(maxsize=64)
def _gauss(points: int) -> Rule:
    node, weight = np.polynomial.legendre.leggauss(points)
    return Rule(points, (node + 1) / 2, weight[None] / 2)


def _mirrored(points: tuple[float, ...]) -> Array:
    return np.unique([sign * p for p in points for sign in (-1.0, 1.0)])


def _weights(level: int, at: Array) -> Array:
    """The weights of these points in one of Patterson's rules: those that integrate every polynomial it can."""
    every = _mirrored(sum(NEW[: level + 1], ()))
    polynomials = np.polynomial.legendre.legvander(every, len(every) - 1).T
    wanted = np.zeros(len(every))
    wanted[0] = 2.0
    weights = np.linalg.solve(polynomials, wanted)
    found: Array = weights[np.searchsorted(every, at - 1e-12)]
    return found


def _summed(asked: Asked, rows: Array, at: Array, weights: Array) -> Array:
    """Weighted gradients at points of each row's way, times the way ``(rules, k, *shape)``, or of features.

    Args:
        rows: whose ways ``(k,)``; a row may come several times.
        at: the points, as shares of the way ``(k, m)``.
        weights: of the points in each rule ``(rules, m)``.
    """
    import torch

    case, (_, steps) = asked.case, at.shape
    forward, starts = forward_of(case), case.starts
    by = torch.from_numpy(weights.astype(np.float32))
    out = np.empty((len(by), len(rows), *asked.shape), dtype=np.float32)
    many, few = max(1, case.batch // steps), min(steps, case.batch)
    for i in range(0, len(rows), many):
        here = rows[i : i + many]
        x, start, numbers = case.x[here], starts[here], torch.from_numpy(here)
        mean = torch.zeros(len(by), len(here), case.x[0].size)
        for j in range(0, steps, few):
            points = _points(x, start, at[i : i + many, j : j + few])
            entered = torch.from_numpy(points.reshape(-1, *case.x.shape[1:]))
            found = gradient(forward, entered, numbers.repeat_interleave(points.shape[1]))
            mean += torch.einsum("rm,kme->rke", by[:, j : j + few], found.reshape(*points.shape[:2], -1))
        shares = mean.reshape(len(by), *x.shape).numpy() * (x - start)
        out[:, i : i + many] = [by_part(case, of) for of in shares] if asked.features else shares
    return out


def gradient(forward: Any, points: Tensor, numbers: Tensor) -> Tensor:
    """The gradient of the explained number at each point.

    Raises:
        InputError: none reaches the points.
    """
    import torch

    with torch.enable_grad():
        points.requires_grad_()
        out = forward(points, numbers)
        found = torch.autograd.grad(out.sum(), points, allow_unused=True)[0] if out.requires_grad else None
    if found is None:
        msg = (
            "no gradient reaches the model's input: it is cut off on the way (rounded, looked up or detached); "
            "use a black-box method: shapley or ablation"
        )
        raise InputError(msg)
    return found


def forward_of(case: Case) -> Any:
    """The case's function of tensors.

    Raises:
        InputError: only answers are known.
    """
    if case.forward is None:
        msg = "only the answers of the model are known, not its gradients; use a black-box method: shapley or ablation"
        raise InputError(msg)
    return case.forward
