"""How does a scikit-learn estimator or pipeline become a subject? By its own probabilities, or what it has instead."""

from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.subject import Refit, Subject, column_of
from rai_bigmodel.subjects.of_callable import answered, decided
from rai_bigmodel.tables import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rai_bigmodel.subject import Array, Cohort, Inputs


def of_sklearn(
    estimator: Any,
    *,
    features: Sequence[str],
    positive: str = "",
    threshold: float | None = None,
    name: str = "",
) -> Subject:
    """A fitted estimator or pipeline as a subject of kind ``sklearn``.

    A classifier answers with ``predict_proba``; where it has none with ``decision_function``, which are scores but no
    probabilities; a regressor with ``predict``. The digest is that of the estimator's pickle and its decision: it is
    made, never loaded. It can be fitted again on other rows (`refit`).

    Args:
        features: the columns in the order it was fitted on; where it was fitted on a dataframe its own names are used.
        positive: of two labels, the one whose score counts; ``1`` or ``true`` where there is one.
        threshold: a score at or above it is a positive decision; 0.5 of a probability, 0 of a decision function.

    Raises:
        InputError: it is not fitted, was fitted on other columns, or gives labels only.
        MissingExtra: it was fitted on a dataframe and pandas is not installed.
    """
    name = name or type(estimator).__name__
    if not callable(getattr(estimator, "predict", None)):
        msg = f"{name}: has no predict, so it is no estimator of scikit-learn"
        raise InputError(msg)
    named = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
    width = getattr(estimator, "n_features_in_", None)
    if named and (missing := [c for c in named if c not in features]):
        msg = f"{name}: feature"
        raise InputError.unknown(msg, missing[0], features)
    if not named and width is not None and width != len(features):
        msg = f"{name}: was fitted on {width} features, the rows name {len(features)}"
        raise InputError(msg)
    labels, method = _answers(estimator, name)
    default = 0.0 if method == "decision_function" else 0.5
    decision = decided(
        labels, positive=positive, threshold=default if threshold is None else threshold, name=name
    )
    at = labels.index(decision.positive) if len(labels) == 2 else 0

    def ask(inputs: Inputs) -> Array:
        said = np.asarray(
            getattr(estimator, method)(_rows(inputs, named or tuple(features), named=bool(named)))
        )
        if len(labels) != 2:
            return said
        if said.ndim == 2:
            return said[:, at]
        return said if at == 1 else -said

    def predict(inputs: Inputs) -> Array:
        return answered(lambda: ask(inputs), name=name, inputs=inputs, labels=len(labels))

    whole = hashlib.sha256(pickle.dumps(estimator, protocol=5))
    whole.update(repr((decision.kind, decision.threshold, decision.positive, labels)).encode())
    return Subject(
        name=name,
        kind="sklearn",
        digest=f"sha256:{whole.hexdigest()}",
        decision=decision,
        predict=predict,
        refit=_refit(estimator, tuple(features), positive=decision.positive, threshold=threshold, name=name),
        card={"features": list(named or features), "answers_with": method},
    )


def _refit(
    estimator: Any, features: tuple[str, ...], *, positive: str, threshold: float | None, name: str
) -> Callable[[Cohort, np.random.Generator, Refit], Subject]:
    """The same estimator, unfitted, on other rows; every ``random_state`` in it is the seed."""

    def refit(cohort: Cohort, rng: np.random.Generator, how: Refit) -> Subject:  # noqa: ARG001 - the seed says it all
        from sklearn.base import clone

        if how.probes or how.weights is not None:
            msg = f"{name}: an estimator of scikit-learn is fitted again without weights and without probes"
            raise InputError(msg)
        again = clone(estimator)
        seeded = {
            k: how.seed for k in again.get_params() if k == "random_state" or k.endswith("__random_state")
        }
        again.set_params(**seeded)
        named = hasattr(estimator, "feature_names_in_")
        columns = tuple(map(str, estimator.feature_names_in_)) if named else features
        truth = column_of(cohort, "truth")
        again.fit(_rows(cohort.arrays(*columns), columns, named=named), cohort.arrays(truth)[truth])
        return of_sklearn(
            again, features=features, positive=positive, threshold=threshold, name=f"{name} again"
        )

    return refit


def _answers(estimator: Any, name: str) -> tuple[tuple[str, ...], str]:
    """Its labels, and the method that says most about them."""
    try:
        classes = getattr(estimator, "classes_", None)
        has = [m for m in ("predict_proba", "decision_function") if hasattr(estimator, m)]
    except Exception as error:  # noqa: BLE001 - a pipeline asks its last step, which may not be fitted
        msg = f"{name}: is not fitted ({type(error).__name__})"
        raise InputError(msg) from None
    if classes is None:
        if getattr(estimator, "_estimator_type", "") == "classifier" or has:
            msg = f"{name}: is not fitted, or its labels are not known (no classes_)"
            raise InputError(msg)
        return (), "predict"
    if isinstance(classes, list) or np.ndim(classes) != 1:
        msg = f"{name}: decides several outcomes at once; hand over one estimator an outcome"
        raise InputError(msg)
    if not has:
        msg = (
            f"{name}: has predict, but neither predict_proba nor decision_function, so it decides without a score; "
            "write its decisions into a column and audit that: rai audit --predictions FILE --prediction COL"
        )
        raise InputError(msg)
    return tuple(canonical(np.asarray(classes)).tolist()), has[0]


def _rows(inputs: Inputs, features: tuple[str, ...], *, named: bool) -> Any:
    for c in features:
        if c not in inputs:
            what = "scikit-learn: column"
            raise InputError.unknown(what, c, inputs)
    if named:
        try:
            import pandas as pd
        except ImportError:
            package, extra = "pandas", "fairness"
            raise MissingExtra(package, extra, "an estimator that was fitted on a dataframe") from None
        return pd.DataFrame({c: inputs[c] for c in features})
    return np.column_stack([np.asarray(inputs[c]) for c in features])
