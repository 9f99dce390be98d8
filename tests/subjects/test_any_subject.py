"""Is whatever a user brings a subject: an estimator, a pipeline, a function, any torch module?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

import rai_bigmodel as rai
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import Splits, scores_of
from rai_bigmodel.subjects.of_callable import of_callable
from rai_bigmodel.subjects.of_module import of_module
from rai_bigmodel.subjects.of_sklearn import of_sklearn
from rai_bigmodel.tables import Table

AUDITS = ("performance", "calibration", "fairness", "slices", "data")


def splits_of(x: np.ndarray, y: np.ndarray, *, positive: str = "") -> Splits:
    """Rows with a made-up attribute beside the features ``f0 …``."""
    names = tuple(f"f{i}" for i in range(x.shape[1]))
    group = np.array(["a", "b"], dtype=object)[np.arange(len(x)) % 2]
    columns = {**dict(zip(names, x.T.astype(float), strict=True)), "y": y, "group": group}
    roles = {"feature": names, "truth": ("y",), "sensitive": ("group",)}
    return Splits(held_out=Table(name="rows", columns=columns, roles=roles, positive=positive))


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(x[:300], y[:300]), x[300:], y[300:]


def value(dossier, metric: str, **labels: str) -> float | None:
    return next(
        m.value
        for e in dossier.evidence
        for m in e.measurements
        if m.metric == metric and labels.items() <= m.labels.items()
    )


def test_a_pipeline_and_a_function_of_it_are_audited_alike(cancer) -> None:
    """And as scikit-learn itself scores them; the function has no digest, the pipeline has."""
    model, x, y = cancer
    splits = splits_of(x, y.astype(float))
    names = splits.held_out.roles["feature"]

    def scored(columns):
        return model.predict_proba(np.column_stack([columns[n] for n in names]))[:, 1]

    first, second = (rai.audit(one, splits, audits=AUDITS) for one in (model, scored))

    assert not any(e.failure for e in (*first.evidence, *second.evidence))
    assert value(first, "performance.accuracy") == pytest.approx(model.score(x, y))
    for metric in (
        "performance.roc_auc",
        "calibration.ece_debiased",
        "fairness.demographic_parity_difference",
    ):
        assert value(first, metric) == value(second, metric)
    assert first.evidence[0].subject.digest.startswith("sha256:")
    assert second.evidence[0].subject.digest == ""


def test_one_cohort_is_enough_and_a_dataframe_without_roles_is_not(cancer) -> None:
    """The same evidence as from splits that hold nothing else; the way out is named for what is no rows."""
    model, x, y = cancer
    splits = splits_of(x, y.astype(float))
    alone, whole = (
        [e.measurements for e in rai.audit(model, rows, audits=AUDITS).evidence]
        for rows in (splits.held_out, splits)
    )

    assert alone == whole
    for given in (pd.DataFrame(x), x, None, "rows.csv"):
        with pytest.raises(InputError, match=r"rows are handed over as Splits.*tables\.of\("):
            rai.audit(model, given, audits=AUDITS)


def test_ten_digits_are_ten_labels() -> None:
    """Probabilities of several labels, the largest of which decides."""
    x, y = load_digits(return_X_y=True)
    model = GaussianNB().fit(x[:900], y[:900])
    dossier = rai.audit(model, splits_of(x[900:], y[900:].astype(float)), audits=["performance", "fairness"])

    assert not any(e.failure for e in dossier.evidence)
    assert value(dossier, "performance.accuracy") == pytest.approx(model.score(x[900:], y[900:]))


def test_the_score_is_that_of_the_positive_label_whichever_comes_first(cancer) -> None:
    """Of 0, the complement; a decision function turns its sign and is cut at 0."""
    model, x, y = cancer
    splits = splits_of(x, y.astype(float))
    names = splits.held_out.roles["feature"]
    one, zero = (
        scores_of(of_sklearn(model, features=names, positive=p), splits.held_out) for p in ("1", "0")
    )
    machine = make_pipeline(StandardScaler(), LinearSVC()).fit(x, y)
    plus, minus = (of_sklearn(machine, features=names, positive=p) for p in ("1", "0"))

    assert np.allclose(one + zero, 1)
    assert (scores_of(plus, splits.held_out) == -scores_of(minus, splits.held_out)).all()
    assert ((scores_of(plus, splits.held_out) >= plus.decision.threshold) == machine.predict(x)).all()
    assert plus.card["answers_with"] == "decision_function"


def test_an_estimator_that_was_fitted_on_a_dataframe_gets_one() -> None:
    """With columns of text, by name, in whatever order the rows come."""
    frame = pd.DataFrame({"town": ["x", "y"] * 20, "n": np.arange(40.0)})
    y = np.arange(40) % 2
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["town"]), ("passthrough", ["n"])), LogisticRegression()
    )
    model.fit(frame, y)
    columns = {"n": frame.n.to_numpy(), "town": frame.town.to_numpy(dtype=object)}
    subject = of_sklearn(model, features=("n", "town"))

    assert np.allclose(subject.predict(columns), model.predict_proba(frame)[:, 1])
    with pytest.raises(InputError, match="'town' is not there"):
        of_sklearn(model, features=("n",))


def test_a_regressor_predicts_numbers() -> None:
    """It has no labels, and is measured by its errors."""
    x = np.random.default_rng(0).normal(size=(80, 2))
    y = x @ [1.0, 2.0] + 0.1 * x[:, 0] ** 2
    model = LinearRegression().fit(x, y)
    dossier = rai.audit(model, splits_of(x, y), audits=["performance"])

    assert value(dossier, "performance.r2") == pytest.approx(model.score(x, y))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda x, y: of_sklearn(object(), features=()), "has no predict"),
        (lambda x, y: of_sklearn(LogisticRegression(), features=("f0",)), "is not fitted"),
        (
            lambda x, y: of_sklearn(GaussianNB().fit(x, y), features=("f0",)),
            "was fitted on 2 features, the rows name 1",
        ),
        (
            lambda x, y: of_sklearn(Labels().fit(x, y), features=("a", "b")),
            "neither predict_proba nor decision_function",
        ),
        (
            lambda x, y: of_sklearn(GaussianNB().fit(x, ["no", "yes"] * 5), features=("a", "b")),
            "say which is positive",
        ),
        (lambda x, y: of_sklearn(GaussianNB().fit(x, y), features=("a", "b"), positive="2"), "got '2'"),
        (
            lambda x, y: of_callable(lambda c: c["a"][:3]).predict({"a": x[:, 0]}),
            r"shape \(3,\), expected \(10,\)",
        ),
        (
            lambda x, y: of_callable(lambda c: c["a"] * np.nan).predict({"a": x[:, 0]}),
            "10 of 10 rows are not finite",
        ),
        (lambda x, y: of_callable(lambda c: c["b"]).predict({"a": x[:, 0]}), "could not answer .KeyError"),
        (lambda x, y: of_callable(lambda c: "no").predict({"a": x[:, 0]}), "could not answer .ValueError"),
        (
            lambda x, y: of_module(torch.nn.Linear(3, 1), features=("a", "b"), gives="logits").predict(
                {"a": x[:, 0], "b": x[:, 1]}
            ),
            "could not answer",
        ),
        (
            lambda x, y: of_module(torch.nn.Linear(2, 1), features=("a",), gives="logits", labels=("1",)),
            "at least two labels",
        ),
        (lambda x, y: rai.audit(torch.nn.Linear(2, 1), splits_of(x, y * 1.0), audits=AUDITS), "of_module"),
        (
            lambda x, y: rai.audit(lambda c: c["f0"], splits_of(x, np.arange(10.0)), audits=AUDITS),
            "of_callable",
        ),
        (lambda x, y: rai.audit(3, splits_of(x, y * 1.0), audits=AUDITS), "got a int"),
    ],
)
def test_what_cannot_be_a_subject_says_why_in_one_line(make, said: str) -> None:
    """What it has, what is missing, or what would do."""
    x, y = np.random.default_rng(0).normal(size=(10, 2)), np.arange(10) % 2
    with pytest.raises(InputError, match=said) as error:
        make(x, y)

    assert "\n" not in str(error.value)


class Labels:
    """A classifier that only decides."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, x):
        return np.zeros(len(x))


@pytest.mark.parametrize("width", [1, 2])
def test_a_module_is_a_subject_once_it_says_what_it_reads_and_gives(width: int) -> None:
    """One logit or two; the same numbers as by hand; its digest follows weights and decision."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(3, width))
    x = np.random.default_rng(0).normal(size=(90, 3))
    splits = splits_of(x, (x[:, 0] > 0).astype(float))
    names = splits.held_out.roles["feature"]
    subject = of_module(net.train(), features=names, gives="logits")
    out = net.eval()(torch.tensor(x, dtype=torch.float32)).detach()
    by_hand = torch.sigmoid(out[:, 0]) if width == 1 else torch.softmax(out, 1)[:, 1]
    other = of_module(net, features=names, gives="logits", threshold=0.4)

    assert np.allclose(subject.predict(splits.held_out.arrays(*names)), by_hand, atol=1e-6)
    assert subject.digest == of_module(net, features=names, gives="logits").digest != other.digest
    assert not any(e.failure for e in rai.audit(subject, splits, audits=AUDITS).evidence)


def test_nearest_centroid_or_any_other_without_scores_is_told_or_used() -> None:
    """An estimator of the library itself: it has one of the two, or the refusal names both."""
    x, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    subject = of_sklearn(NearestCentroid().fit(x, y), features=("a", "b"))

    assert subject.predict({"a": x[:, 0], "b": x[:, 1]}).shape == (20,)


def test_a_module_is_audited_once_it_is_said_what_it_gives(cancer) -> None:
    """``rai.audit(module, splits, gives=…)`` takes features and labels from the rows, and agrees with the estimator."""
    model, x, y = cancer
    scale, weights = model[0], model[1]
    module = torch.nn.Linear(x.shape[1], 1)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weights.coef_ / scale.scale_))
        module.bias.copy_(torch.from_numpy(weights.intercept_ - weights.coef_ @ (scale.mean_ / scale.scale_)))
    splits = splits_of(x, y)
    ours, theirs = (
        rai.audit(subject, splits, audits=["performance", "fairness"], gives="logits")
        for subject in (module, model)
    )

    assert value(ours, "performance.accuracy") == value(theirs, "performance.accuracy")
    with pytest.raises(InputError, match="say gives='logits'"):
        rai.audit(module, splits, audits=["performance"])
    with pytest.raises(InputError, match="one of two labels"):
        rai.audit(module, splits_of(x, y + (x[:, 0] > 15)), audits=["performance"], gives="logits")


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_a_dataframe_of_predictions_is_audited_on_the_rows(cancer, make) -> None:
    """The same numbers as the model whose scores it holds; other rows or columns are one line."""
    model, x, y = cancer
    splits, scores = splits_of(x, y), model.predict_proba(x)[:, 1]
    told = rai.audit(make({"score": scores}), splits, audits=["performance", "calibration", "fairness"])
    asked = rai.audit(model, splits, audits=["performance", "calibration", "fairness"])

    for metric in ("performance.accuracy", "performance.roc_auc", "fairness.demographic_parity_difference"):
        assert value(told, metric) == value(asked, metric)
    assert told.manifest.primary.kind == "table"
    for wrong, why in (
        ({"p": scores}, "needs a column 'score'"),
        ({"score": scores[1:]}, "one is needed for each"),
    ):
        with pytest.raises(InputError, match=why):
            rai.audit(make(wrong), splits, audits=["performance"])


def test_predictions_in_another_order_than_their_index_are_refused(cancer) -> None:
    """They were matched by order in silence, however the index stood; put in order and counted anew they are taken."""
    model, x, y = cancer
    splits, scores = splits_of(x, y), model.predict_proba(x)[:, 1]
    turned = pd.DataFrame({"score": scores}).sample(frac=1, random_state=1)

    with pytest.raises(InputError, match=r"index does not count 0, 1, 2 .* frame\.reset_index\(drop=True\)"):
        rai.audit(turned, splits, audits=["performance"])
    back = rai.audit(turned.sort_index(), splits, audits=["performance"])
    assert value(back, "performance.accuracy") == pytest.approx(model.score(x, y))


def test_a_module_is_left_in_the_mode_it_came_in(cancer) -> None:
    """Part by part, also where the audit was refused; dropout is off while it is asked."""
    _, x, y = cancer
    module = torch.nn.Sequential(torch.nn.Dropout(0.9), torch.nn.Linear(x.shape[1], 1), torch.nn.Dropout(0.9))
    module.train()
    module[2].eval()
    asked = [
        rai.audit(
            module, splits_of(x, y), audits=["performance"], gives="logits", relatives={"plain": module}
        )
        for _ in range(2)
    ]
    with pytest.raises(InputError):
        rai.audit(module, splits_of(x, y), audits=["nonesuch"], gives="logits")

    assert [part.training for part in module.modules()] == [True, True, True, False]
    assert asked[0].manifest.evidence == asked[1].manifest.evidence


def test_a_module_whose_probabilities_are_none_is_refused() -> None:
    """Logits under a threshold of one half would be decided otherwise than the module decides."""
    module = torch.nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(3.0)
        module.bias.fill_(0.0)
    asked = of_module(module, features=("x",), gives="probabilities")

    with pytest.raises(InputError, match=r"answers to 2 of 3 rows lie outside 0 to 1; gives='logits'"):
        asked.predict({"x": np.array([-1.0, 0.1, 2.0])})
    assert of_module(module, features=("x",), gives="logits").predict({"x": np.array([0.0])}) == [0.5]
