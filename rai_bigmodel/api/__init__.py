"""What can one do with this package from Python? The verbs; everything heavy is imported inside them."""

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
