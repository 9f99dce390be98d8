"""Responsible-AI auditing: a subject before audits, evidence, a policy, a verdict, and the page that shows them.

``import rai_bigmodel as rai`` loads neither torch nor NumPy; each verb loads what it needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rai_bigmodel import datasets, nets
    from rai_bigmodel.accounting import Privacy
    from rai_bigmodel.api import audit, export, judge, load, save, train, write_report

__all__ = [
    "Privacy",
    "audit",
    "datasets",
    "export",
    "judge",
    "load",
    "nets",
    "save",
    "train",
    "write_report",
]

_HOMES = {
    "Privacy": "rai_bigmodel.accounting",
    **dict.fromkeys(
        ("audit", "export", "judge", "load", "save", "train", "write_report"), "rai_bigmodel.api"
    ),
}
_ROOMS = ("datasets", "nets")


def __getattr__(name: str) -> Any:
    """The public names, each imported when it is first asked for."""
    if name in _ROOMS:
        return importlib.import_module(f"rai_bigmodel.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    msg = f"module 'rai_bigmodel' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
