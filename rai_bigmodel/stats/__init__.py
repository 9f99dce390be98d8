"""Numbers with laws: frozen statistics with ``of`` and ``+``, and plain functions of them."""
