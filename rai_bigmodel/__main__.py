"""``python -m rai_bigmodel`` is ``rai``."""

from rai_bigmodel.cli import main

main()
