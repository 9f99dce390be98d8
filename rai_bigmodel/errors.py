"""What can go wrong, and the exit code of each.

RaiError
├── InputError        2  the input or the call is wrong; the message says what, where and what would do
│   └── MissingExtra  2  an optional package is not installed; the message names the extra
├── TrainingDiverged  2  the loss stopped being a number
├── CheckFailed       1  something was made or looked at, and is not what it should be
└── PolicyOutcome        raised by ``Verdict.raise_for_outcome``
    ├── PolicyNotMet     1
    └── PolicyUndecided  3

Anything else that escapes is our own bug, and the command line says so with exit code 4.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


_SHOWN = 1_200
"""Characters of names that an error shows."""


class RaiError(Exception):
    """Everything this package raises on purpose."""

    exit_code = 4


class InputError(RaiError, ValueError):
    """The caller gave something that cannot be used."""

    exit_code = 2

    @classmethod
    def unknown(cls, what: str, got: str, available: Iterable[str]) -> InputError:
        """An error for a name that is not among the ones there are: shows them and the nearest."""
        import difflib

        names = sorted(available)
        near = difflib.get_close_matches(got, names, n=2, cutoff=0.6)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        most = max(3, sum(total <= _SHOWN for total in accumulate(len(name) + 2 for name in names)))
        shown = ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
        return cls(f"{what}: {got!r} is not there; there are: {shown or 'none'}.{hint}")


class MissingExtra(InputError):
    """A feature needs a package that an extra of this one brings."""

    def __init__(self, package: str, extra: str, feature: str) -> None:
        super().__init__(
            f"{feature} needs {package!r}, which is not installed: pip install 'rai_bigmodel[{extra}]'"
        )


class TrainingDiverged(RaiError):
    """The loss became infinite or not a number."""

    exit_code = 2


class CheckFailed(RaiError):
    """Something was made or looked at as asked, and a check of it failed."""

    exit_code = 1


class PolicyOutcome(RaiError):
    """A verdict other than pass."""


class PolicyNotMet(PolicyOutcome):
    """A counting rule fails."""

    exit_code = 1


class PolicyUndecided(PolicyOutcome):
    """No counting rule fails, but one that blocks is inconclusive, or none passes."""

    exit_code = 3
