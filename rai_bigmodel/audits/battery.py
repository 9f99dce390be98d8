"""Does an explanation belong to this model? All tests that a wrong one fails, asked at once.

No single number tells a true explanation from a false one: a permuted explanation still adds up, a constant one is
perfectly stable, a sign-flipped one passes a rescaled infidelity. So the battery asks for all of them
(`audits.faithfulness` says what each is), and an explanation is faithful where every one passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rai_bigmodel.audits import faithfulness
from rai_bigmodel.audits.faithfulness import RANKINGS, Explain, Test

if TYPE_CHECKING:
    from rai_bigmodel.audits.cases import Case
    from rai_bigmodel.subject import Array


class Tested(NamedTuple):
    """All tests of one explanation, and what they say together."""

    tests: tuple[Test, ...]
    faithful: bool | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How many rows each test looks at, so that the battery costs a few passes of the explanation and no more."""

    rankings: int = RANKINGS
    ranked: int = 16
    ablated: int = 100
    foretold: int = 48
    coalitions: int = 24
    randomised: int = 32


def battery(
    case: Case,
    values: Array,
    explain: Explain,
    rng: np.random.Generator,
    *,
    adds_up: bool,
    effort: Effort | None = None,
    made_for: str = "",
) -> Tested:
    """Every test of one explanation.

    Args:
        values: the attributions that are to be shown ``(n, d)``.
        explain: how they were made, so that it can be repeated before a model that has learned nothing.
        adds_up: whether the method promises that they add up to the change of the score.
        made_for: digest of the model that `values` were made for, where it is known.
    """
    if made_for and case.digest and made_for != case.digest:
        why = f"the explanation was made for another model ({made_for[:19]}…, not {case.digest[:19]}…)"
        return Tested((), faithful=False, why=why)
    effort = effort or Effort()
    pick = rng.permutation(len(case.x))

    def some(most: int) -> tuple[Case, Array]:
        rows = np.sort(pick[:most])
        return case.some(rows), values[rows]

    def agreement() -> Test:
        # More rows are looked at for as long as the interval holds the limit: the test is then not done, but too short.
        rows = effort.ablated
        while (found := faithfulness.ablation_agreement(*some(rows))).passed is None and rows < len(pick):
            rows *= 3
        return found

    tests = [
        faithfulness.completeness(case, values, promised=adds_up),
        faithfulness.insertion_deletion(*some(effort.ranked), rng, rankings=effort.rankings),
        faithfulness.randomisation(*some(effort.randomised), explain, rng),
        agreement(),
        faithfulness.infidelity(*some(effort.foretold), rng, coalitions=effort.coalitions),
    ]
    failed = [t for t in tests if t.passed is False]
    untold = [t for t in tests if t.passed is None]
    if failed:
        return Tested(tuple(tests), faithful=False, why="; ".join(f"{t.name}: {t.why}" for t in failed))
    if untold:
        return Tested(tuple(tests), faithful=None, why="; ".join(f"{t.name}: {t.why}" for t in untold))
    return Tested(tuple(tests), faithful=True, why="all tests passed")
