"""Faults of private training, as benchmarks/privacy_zoo.py plants them, for the tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location(
    "privacy_zoo", Path(__file__).parents[1] / "benchmarks" / "privacy_zoo.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
zoo = importlib.util.module_from_spec(_SPEC)
sys.modules["privacy_zoo"] = zoo
_SPEC.loader.exec_module(zoo)
