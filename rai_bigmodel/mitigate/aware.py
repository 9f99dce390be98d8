"""What would thresholds per group give? Only where a policy allows methods that read the attribute to decide.

Fairlearn's ThresholdOptimizer (Hardt, Price and Srebro 2016), set on the calibration rows. It is measured and never
chosen: it must be told the attribute of everybody it decides about, and one model with one threshold, which is
all that can be saved and exported here, cannot do that.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.subject import scores_of, truth_of

if TYPE_CHECKING:
    from rai_bigmodel.policy import AttributeAware
    from rai_bigmodel.subject import Array, Subject
    from rai_bigmodel.tables import Table

_FAIRLEARN = {
    "demographic_parity": "demographic_parity",
    "equal_opportunity": "true_positive_rate_parity",
    "equalized_odds": "equalized_odds",
}


def said(aware: AttributeAware | None, attribute: str) -> str:
    """One line: who allowed methods that read the attribute, or that they are refused."""
    if aware is not None and aware.allowed:
        return f"Methods that read {attribute} to decide are allowed by {aware.owner}: {aware.because}"
    why = (
        "no policy was given"
        if aware is None
        else f"the policy forbids them ({aware.owner}: {aware.because})"
    )
    return (
        f"Methods that read {attribute} to decide were refused: {why}; a policy allows them with "
        "attribute_aware: {allowed: true, because, owner}."
    )


def _scored() -> Any:
    """An estimator, as Fairlearn asks for one, whose only column is a finished score."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Scored(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, X: Array, y: Array) -> Scored:  # noqa: ARG002 - scikit-learn's signature
            return self

        def predict_proba(self, X: Array) -> Array:
            scores = np.asarray(X, dtype=np.float64)[:, 0]
            return np.stack([1 - scores, scores], axis=1)

    return Scored()


def thresholds_per_group(
    subject: Subject,
    set_on: Table,
    decided: tuple[Table, ...],
    *,
    by: list[str],
    constraint: str,
    seed: int,
) -> list[Array]:
    """The decisions ``(rows,)`` about each of several tables.

    Args:
        set_on: the rows that the thresholds are set on.
        seed: Fairlearn draws lots between two thresholds of a group; this decides them.

    Raises:
        InputError: a group lacks one of the outcomes, or is not among the rows that thresholds were set on.
        MissingExtra: Fairlearn is not installed.
    """
    try:
        from fairlearn.postprocessing import ThresholdOptimizer
    except ImportError:
        package, extra = "fairlearn", "fairness"
        raise MissingExtra(package, extra, "thresholds per group") from None

    optimizer = ThresholdOptimizer(
        estimator=_scored(), constraints=_FAIRLEARN[constraint], prefit=True, predict_method="predict_proba"
    )
    group = _names(set_on, by)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the estimator came fitted, and of versions to come
            optimizer.fit(
                scores_of(subject, set_on)[:, None], truth_of(set_on).astype(int), sensitive_features=group
            )
            return [
                optimizer.predict(
                    scores_of(subject, rows)[:, None],
                    sensitive_features=_names(rows, by),
                    random_state=seed,
                ).astype(bool)
                for rows in decided
            ]
    except ValueError as error:
        msg = f"thresholds per group could not be set: {' '.join(str(error).split())[:160]}"
        raise InputError(msg) from None


def _names(rows: Table, by: list[str]) -> Array:
    codes, names = rows.groups(by)
    return np.array(names, dtype=object)[codes]
