"""How does any table become a cohort? Columns in memory today; other engines come in by the same door."""

from rai_bigmodel.tables.files import read_table
from rai_bigmodel.tables.memory import Table, canonical

__all__ = ["Table", "canonical", "read_table"]
