"""What can one do with this package from Python? The verbs, each imported when it is first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rai_bigmodel.api.auditing import (
        PREDICTION_AUDITS,
        audit,
        audit_file,
        audit_model,
        audit_predictions,
        by_group,
        read_splits,
    )
    from rai_bigmodel.api.demonstrating import demo
    from rai_bigmodel.api.judging import (
        as_recorded,
        check_policy,
        diff,
        judge,
        read_policy,
        read_waivers,
        record,
        save_verdict,
        starter_policy,
    )
    from rai_bigmodel.api.making import export, mitigate, mitigate_file, train, train_recipe, train_seeds
    from rai_bigmodel.api.proving import sign, verify
    from rai_bigmodel.api.writing import (
        read_statements,
        write_documents,
        write_index,
        write_outputs,
        write_report,
    )
    from rai_bigmodel.dossier import load, save

__all__ = [
    "PREDICTION_AUDITS",
    "as_recorded",
    "audit",
    "audit_file",
    "audit_model",
    "audit_predictions",
    "by_group",
    "check_policy",
    "demo",
    "diff",
    "export",
    "judge",
    "load",
    "mitigate",
    "mitigate_file",
    "read_policy",
    "read_splits",
    "read_statements",
    "read_waivers",
    "record",
    "save",
    "save_verdict",
    "sign",
    "starter_policy",
    "train",
    "train_recipe",
    "train_seeds",
    "verify",
    "write_documents",
    "write_index",
    "write_outputs",
    "write_report",
]

_ROOMS = {
    "demonstrating": ("demo",),
    "judging": (
        "as_recorded",
        "check_policy",
        "diff",
        "judge",
        "read_policy",
        "read_waivers",
        "record",
        "save_verdict",
        "starter_policy",
    ),
    "making": ("export", "mitigate", "mitigate_file", "train", "train_recipe", "train_seeds"),
    "proving": ("sign", "verify"),
    "writing": ("read_statements", "write_documents", "write_index", "write_outputs", "write_report"),
    "auditing": (
        "PREDICTION_AUDITS",
        "audit",
        "audit_file",
        "audit_model",
        "audit_predictions",
        "by_group",
        "read_splits",
    ),
}
_HOMES = {
    **{name: f"{__name__}.{room}" for room, names in _ROOMS.items() for name in names},
    **dict.fromkeys(("load", "save"), "rai_bigmodel.dossier"),
}


def __getattr__(name: str) -> Any:
    """The verbs, each from its room."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
