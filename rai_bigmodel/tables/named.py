"""What do the cells of a GROUP BY say, once the values of their keys have names?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rai_bigmodel.errors import InputError
from rai_bigmodel.stats.counts import MISSING
from rai_bigmodel.tables.names import check_crossed, check_groups, names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rai_bigmodel.tables.group_by import Cells


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedCells:
    """Cells whose keys are columns, by the canonical names of their values.

    Args:
        table: what a reader calls the rows that were counted.
        columns: the keys, as they stand at the beginning of each cell; other things may follow them.
        cells: the last of each is how many rows it has.
        untyped: the rows come from a csv, where everything is text.
    """

    table: str
    columns: tuple[str, ...]
    cells: Cells
    untyped: bool

    @cached_property
    def rows(self) -> int:
        """How many rows were counted."""
        return sum(cell[-1] for cell in self.cells)

    @cached_property
    def _known(self) -> dict[str, list[str]]:
        return {}

    def of(self, column: str) -> list[str]:
        """The name that each cell has in a column."""
        if column not in self._known:
            at = self.columns.index(column)
            names = names_of({cell[at] for cell in self.cells}, untyped=self.untyped)
            self._known[column] = [names[cell[at]] for cell in self.cells]
        return self._known[column]

    def labels(self, column: str) -> set[str]:
        """The names in a column, without ``(missing)``."""
        return set(self.of(column)) - {MISSING}

    def missing(self, column: str) -> int:
        """In how many rows a column has no value."""
        return sum(
            cell[-1] for cell, name in zip(self.cells, self.of(column), strict=True) if name == MISSING
        )

    def totals(self) -> dict[tuple[str, ...], int]:
        """How many rows have each combination of names."""
        out: dict[tuple[str, ...], int] = {}
        for cell, parts in zip(self.cells, self._parts(self.columns), strict=True):
            out[parts] = out.get(parts, 0) + cell[-1]
        return out

    def groups(self, by: Sequence[str]) -> tuple[list[tuple[str, ...]], list[int]]:
        """The groups that columns make, each by its parts and in their order, as in memory; and each cell's place.

        Raises:
            InputError: there are no rows, or too many groups to be compared.
        """
        if not self.rows:
            msg = f"{self.table}: has no rows"
            raise InputError(msg)
        parts = self._parts(by)
        found: list[tuple[str, ...]] = sorted(set(parts))
        for i, column in enumerate(by):
            check_groups(self.table, column, {group[i] for group in found}, self.rows)
        if len(by) > 1:
            check_crossed(self.table, by, len(found))
        place = {group: i for i, group in enumerate(found)}
        return found, [place[part] for part in parts]

    def _parts(self, columns: Sequence[str]) -> list[tuple[str, ...]]:
        """The names that each cell has in some columns."""
        if not columns:
            return [()] * len(self.cells)
        return list(zip(*(self.of(column) for column in columns), strict=True))
