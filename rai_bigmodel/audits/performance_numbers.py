"""How far are predicted numbers from the right ones?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.performance_classes import estimate
from rai_bigmodel.evidence import Findings, Table
from rai_bigmodel.stats import means, regression

if TYPE_CHECKING:
    from rai_bigmodel.audits.answers import Numbers

SAME = "every row has the same error, so nothing is known about its spread"


def measure(answers: Numbers) -> Findings:
    """Mean absolute error, root mean square error and R²."""
    truth, predicted = answers
    error, n = predicted - truth, len(truth)
    mae = means.mean(np.abs(error))
    rmse = regression.rmse_interval(error)
    found = [
        estimate("mae", np.abs(error).mean(), n, interval=mae, why="" if mae else SAME),
        estimate("rmse", regression.rmse(error), n, interval=rmse, why="" if rmse else SAME),
    ]
    explained = regression.r2(truth, predicted)
    if explained is None:
        found.append(estimate("r2", None, n, why="the outcome has one value, so there is nothing to explain"))
    else:
        r2 = regression.r2_interval(truth, predicted)
        found.append(estimate("r2", explained, n, interval=r2, why="" if r2 else SAME))
    return Findings(measurements=tuple(found), exhibits=(_errors(answers),))


def _errors(answers: Numbers) -> Table:
    """Errors by quarters of the outcome: a model may be good on average and bad at the ends."""
    truth, predicted = answers
    order = np.argsort(truth, kind="stable")
    rows = []
    for part in np.array_split(order, min(4, len(order))):
        e = predicted[part] - truth[part]
        span = (round(float(truth[part[0]]), 4), round(float(truth[part[-1]]), 4))
        rows.append((*span, len(part), round(float(e.mean()), 4), round(float(np.abs(e).mean()), 4)))
    columns = ("outcome from", "to", "rows", "mean error", "mean absolute error")
    return Table(title="Errors by quarters of the outcome", columns=columns, rows=tuple(rows))
