"""How does any table become a cohort? In memory where it fits, in the user's own engine where it does not."""

from rai_bigmodel.tables.engine import Frame
from rai_bigmodel.tables.files import open_table, read_table
from rai_bigmodel.tables.frames import of
from rai_bigmodel.tables.memory import Table
from rai_bigmodel.tables.names import canonical

__all__ = ["Frame", "Table", "canonical", "of", "open_table", "read_table"]
