"""A dossier like the demo's, made of plausible numbers, with every kind of measurement and exhibit in it."""

from __future__ import annotations

import datetime as dt
import math
import struct
import zlib
from statistics import NormalDist
from typing import Any

from rai_bigmodel.dossier import Dossier, file_name, seal
from rai_bigmodel.evidence import (
    LADDER,
    Bars,
    Curve,
    DataId,
    Decision,
    Dot,
    Dots,
    Evidence,
    Exhibit,
    Heatmap,
    Interval,
    Line,
    Measurement,
    Picture,
    SubjectId,
    Table,
)
from rai_bigmodel.policy import Limit, Policy, Rule, Verdict, judge

TODAY = dt.date(2026, 11, 22)
TOOL = "rai_bigmodel 0.1.0"
HELD_OUT = DataId(name="loanapp held-out", digest="sha256:" + "7e" * 32, rows=796)
DECISION = Decision(kind="threshold", threshold=0.7731, positive="1", labels=("0", "1"))

GROUPS: dict[str, dict[str, tuple[int, float]]] = {
    "race": {"White": (673, 0.893), "Black": (79, 0.633), "Hispanic": (44, 0.795)},
    "sex": {"Male": (635, 0.872), "Female": (156, 0.87), "(missing)": (5, 0.8)},
    "race*sex": {
        "White*Male": (548, 0.896),
        "White*Female": (121, 0.884),
        "White*(missing)": (4, 0.75),
        "Black*Male": (54, 0.611),
        "Black*Female": (24, 0.667),
        "Black*(missing)": (1, 1.0),
        "Hispanic*Male": (33, 0.788),
        "Hispanic*Female": (11, 0.818),
    },
}


def estimate(
    metric: str,
    value: float,
    se: float,
    n: int,
    *,
    ends: tuple[float, float] = (-math.inf, math.inf),
    wider: float = 1.0,
    open_above: bool = False,
    excluded: float = 0.0,
    why: str = "",
    kind: str = "estimate",
    **labels: str,
) -> Measurement:
    """A measurement with a whole ladder; `wider` is the price of looking at several groups at once."""
    normal = NormalDist()

    def low(z: float) -> float:
        return round(max(value - z * se, ends[0]), 6)

    def high(z: float) -> float | None:
        return None if open_above else round(min(value + z * se, ends[1]), 6)

    rungs = []
    for alpha in LADDER:
        z = normal.inv_cdf(1 - alpha / 2) * wider
        one = normal.inv_cdf(1 - alpha)
        rungs.append((alpha, low(z), high(z), low(one), high(one)))
    at = next(r for r in rungs if r[0] == 0.05)
    interval = Interval(low=at[1], high=at[2], level=0.95, method="wilson", ladder=tuple(rungs))
    return Measurement(
        metric=metric,
        kind=kind,
        value=value,
        n=n,
        excluded=excluded,
        labels=labels,
        why=why,
        interval=interval,
    )


def exact(
    metric: str, value: float, *, n: int | None = None, kind: str = "exact", **labels: str
) -> Measurement:
    """A measurement without an interval."""
    return Measurement(metric=metric, kind=kind, value=value, n=n, labels=labels)


def nothing(metric: str, why: str, **labels: str) -> Measurement:
    """A measurement that there is not, and why."""
    return Measurement(metric=metric, kind="estimate", value=None, why=why, labels=labels)


def subject(role: str = "primary", name: str = "loan-mlp") -> SubjectId:
    """A subject in a role."""
    digest = "sha256:" + {"primary": "91c4", "plain": "5d20", "reference": "0be7"}.get(role, "aaaa") * 16
    return SubjectId(name=name, kind="torch", digest=digest, role=role, decision=DECISION)


def evidence(
    audit: str,
    question: str,
    measurements: list[Measurement],
    *,
    exhibits: tuple[Exhibit, ...] = (),
    role: str = "primary",
    **more: Any,
) -> Evidence:
    """Evidence on the held-out rows."""
    name = {"primary": "loan-mlp", "plain": "loan-mlp-plain", "reference": "loan-logistic"}.get(role, role)
    settings = {"params": {}, "seed": 7, "tool": TOOL, "data": HELD_OUT, **more}
    return Evidence(
        audit=audit,
        question=question,
        subject=subject(role, name),
        measurements=tuple(measurements),
        exhibits=exhibits,
        **settings,
    )


def _binomial(rate: float, n: int) -> float:
    return math.sqrt(max(rate * (1 - rate), 0.02) / n)


def performance(role: str = "primary", lift: float = 0.0) -> Evidence:
    """How good are its decisions?"""
    ends = (0.0, 1.0)
    found = [
        estimate("performance.roc_auc", 0.879 + lift, 0.013, 796, ends=ends),
        estimate("performance.accuracy", 0.887 + lift / 2, 0.011, 796, ends=ends),
        estimate("performance.balanced_accuracy", 0.764 + lift, 0.02, 796, ends=ends),
        estimate("performance.brier", 0.089 - lift / 4, 0.006, 796, ends=ends),
        estimate("performance.log_loss", 0.301 - lift / 2, 0.018, 796),
    ]
    if role == "primary":
        found.append(estimate("performance.generalisation_gap", 0.004, 0.011, 1193))
    xs = tuple(i / 60 for i in range(61))
    roc = Line(label="loan-mlp", x=xs, y=tuple(round(x ** (0.14 - lift), 4) for x in xs))
    plain = Line(label="loan-logistic (reference)", x=xs, y=tuple(round(x**0.16, 4) for x in xs))
    calibration = Line(
        label="",
        x=tuple(i / 10 for i in range(11)),
        y=(0.02, 0.14, 0.18, 0.33, 0.37, 0.52, 0.55, 0.73, 0.78, 0.93, 0.98),
    )
    return evidence(
        "performance",
        "How good are its decisions?",
        found,
        exhibits=(
            Curve(
                title="Receiver operating characteristic",
                lines=(roc, plain) if role == "primary" else (roc,),
                x_axis="false positive rate",
                y_axis="true positive rate",
                diagonal=True,
                caption="How many good applications are approved for each share of bad ones.",
            ),
            Curve(
                title="Approved and observed",
                lines=(calibration,),
                x_axis="score",
                y_axis="share approved by the lender",
                diagonal=True,
                mark=0.7731,
                caption="On the diagonal a score means what it says. The dashed line is the threshold.",
            ),
        ),
        role=role,
    )


def fairness(role: str = "primary") -> Evidence:
    """Do decisions differ between groups?"""
    found: list[Measurement] = []
    pictures: list[Exhibit] = []
    few = "Fewer than 30 rows: the interval is shown, the group is left out of the widest gap."
    for attribute, groups in GROUPS.items():
        wider = 1.2 if len(groups) > 2 else 1.0
        sized = {g: v for g, v in groups.items() if v[0] >= 30 and "(missing)" not in g}
        for group, (n, rate) in groups.items():
            small = "" if group in sized else few
            tags = {"attribute": attribute, "group": group}
            found.append(
                estimate(
                    "fairness.selection_rate",
                    rate,
                    _binomial(rate, n),
                    n,
                    ends=(0, 1),
                    wider=wider,
                    why=small,
                    **tags,
                )
            )
            for metric, level, part in (
                ("true_positive_rate", 0.955, 0.87),
                ("false_positive_rate", 0.43, 0.13),
                ("accuracy", 0.89, 1.0),
            ):
                rows = round(n * part)
                if rows < 5:
                    found.append(
                        nothing(
                            f"fairness.{metric}",
                            f"Fewer than 5 rows of {metric.split('_')[0]} label.",
                            **tags,
                        )
                    )
                else:
                    value = round(min(level + (rate - 0.85) / 4, 1.0), 4)
                    found.append(
                        estimate(
                            f"fairness.{metric}",
                            value,
                            _binomial(value, rows),
                            rows,
                            ends=(0, 1),
                            wider=wider,
                            **tags,
                        )
                    )
            found.append(
                nothing("fairness.ece_debiased", few, **tags)
                if group not in sized
                else exact("fairness.ece_debiased", 0.021, n=n, kind="estimate", **tags)
            )
        high, low = max(sized, key=lambda g: sized[g][1]), min(sized, key=lambda g: sized[g][1])
        gap = sized[high][1] - sized[low][1]
        n = sized[high][0] + sized[low][0]
        error = math.hypot(_binomial(sized[high][1], sized[high][0]), _binomial(sized[low][1], sized[low][0]))
        left = round(sum(v[0] for g, v in groups.items() if g not in sized) / 796, 4)
        about = {"attribute": attribute, "scope": "sized", "high": high, "low": low}
        found += [
            estimate(
                "fairness.demographic_parity_difference",
                round(gap, 4),
                error,
                n,
                ends=(0, 1),
                wider=wider,
                excluded=left,
                **about,
            ),
            estimate(
                "fairness.demographic_parity_ratio",
                round(sized[low][1] / sized[high][1], 4),
                error * 1.1,
                n,
                ends=(0, 1.2),
                wider=wider,
                excluded=left,
                **about,
            ),
            estimate(
                "fairness.equal_opportunity_difference",
                round(gap / 4, 4),
                0.03,
                n,
                ends=(0, 1),
                wider=wider,
                excluded=left,
                **about,
            ),
            exact(
                "fairness.any_disparity_p",
                0.0004 if attribute == "race" else 0.31,
                n=796,
                kind="p_value",
                attribute=attribute,
            ),
            exact("fairness.minimum_detectable_difference", 0.128, n=n, attribute=attribute),
        ]
        if left:
            found.append(
                estimate(
                    "fairness.demographic_parity_difference",
                    round(gap + 0.07, 4),
                    0.12,
                    796,
                    ends=(0, 1),
                    wider=1.4,
                    **{**about, "scope": "all"},
                )
            )
        pictures.append(
            Dots(
                title=f"Selection rate by {attribute}",
                dots=tuple(
                    Dot(
                        label=g,
                        value=rate,
                        low=max(rate - 2.3 * _binomial(rate, n), 0.0),
                        high=min(rate + 2.3 * _binomial(rate, n), 1.0),
                        n=n,
                    )
                    for g, (n, rate) in groups.items()
                ),
                unit="share",
                axis="share approved",
                caption="With intervals that hold for all groups at once.",
            )
        )
    found.append(
        estimate(
            "fairness.demographic_parity_ratio",
            2.4,
            0.6,
            8,
            open_above=True,
            attribute="marital",
            scope="all",
            high="Married",
            low="(missing)",
            why="No successes in the denominator group: unbounded above.",
        )
    )
    return evidence(
        "fairness",
        "Do decisions differ between groups?",
        found,
        exhibits=tuple(pictures) if role == "primary" else (),
        role=role,
        params={"sensitive": ["race", "sex", "race*sex"]},
        notes=(
            "The label is the lender's own past decision: error rates measure agreement with it.",
            "Groups under 30 rows, and (missing), are listed and left out of the widest gap.",
        ),
    )


def explainability() -> Evidence:
    """Which columns carry the decision?"""
    shares = {
        "loanprc": 0.231,
        "gdlin": 0.204,
        "obrat": 0.118,
        "pubrec": 0.094,
        "mortlat1": 0.061,
        "dep": 0.02,
        "inss": -0.012,
    }
    names = tuple(shares)
    grid = tuple(
        tuple(round(math.cos(i - j) * (1 if i <= j else -0.6), 3) if i + j != 7 else None for j in range(7))
        for i in range(7)
    )
    return evidence(
        "explainability",
        "Which columns carry the decision?",
        [
            estimate("explainability.completeness_gap", 0.0021, 0.0004, 796, ends=(0, 1)),
            nothing("explainability.faithful", "The battery of tests comes with a later version."),
        ],
        exhibits=(
            Bars(
                title="Mean absolute attribution",
                bars=tuple(
                    Dot(label=k, value=abs(v), low=abs(v) * 0.9, high=abs(v) * 1.1) for k, v in shares.items()
                ),
                axis="share of all attribution",
                caption="Integrated Gradients; not yet tested for faithfulness.",
            ),
            Bars(
                title="Mean attribution, with its sign",
                bars=tuple(Dot(label=k, value=v) for k, v in shares.items()),
            ),
            Heatmap(
                title="Attribution of one column at values of another", rows=names, columns=names, values=grid
            ),
            Table(
                title="The five hardest cases",
                columns=("Case", "Score", "Decision", "Largest attribution"),
                rows=(("A", 0.771, "0", "gdlin"), ("B", 0.774, "1", "obrat"), ("C", 0.7699, "0", None)),
                caption="Nearest to the threshold.",
            ),
            Picture(title="A picture", png=tiny_png(), alt="A square in four greys"),
        ),
    )


def tiny_png() -> bytes:
    """A real PNG of 2 × 2 grey pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\x00\x20\x80\x00\xa0\xf0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def dots_of(name: str) -> Dots:
    """A small picture in which one name stands everywhere."""
    return Dots(
        title=name, caption=name, axis=name, dots=(Dot(label=name, value=0.5), Dot(label="B", value=1))
    )


def others() -> list[tuple[str, Evidence]]:
    """Privacy, deployment with its clock, data, and an audit that broke."""
    privacy = [
        exact("privacy.epsilon_claimed", 4),
        exact("privacy.epsilon_spent", 3.9712),
        estimate(
            "privacy.epsilon_lower_bound", 2.1, 0.3, 1000, open_above=True, kind="bound", method="steinke"
        ),
        exact("privacy.largest_refutable_epsilon", 4.3),
        *(
            estimate("privacy.accuracy_cost", cost, 0.012, n, attribute="race", group=group)
            for group, cost, n in (("White", 0.006, 673), ("Black", 0.025, 79), ("Hispanic", -0.011, 44))
        ),
    ]
    deployment = [
        exact("deployment.max_abs_difference", 2.4e-7, n=796, variant="onnx"),
        estimate("deployment.decision_flip_rate", 0.0, 0.0019, 796, ends=(0, 1), variant="onnx"),
        exact("deployment.size_bytes", 28412, variant="onnx"),
        exact("deployment.flip_rate_difference", 0, n=796, variant="onnx", attribute="race"),
    ]
    clock = [
        exact("deployment.load_ms", 3.81, kind="clock", variant="onnx"),
        *(
            estimate(
                "deployment.latency_ms",
                value,
                0.01 * value,
                400,
                kind="clock",
                variant="onnx",
                batch=batch,
                quantile=q,
            )
            for batch, q, value in (
                ("1", "0.5", 0.0213),
                ("1", "0.99", 0.0391),
                ("256", "0.5", 0.412),
                ("256", "0.99", 0.688),
            )
        ),
    ]
    features = ("gdlin", "obrat", "loanprc", "pubrec", "cons", "dep", "emp", "loanamt")
    data = [
        exact("data.duplicate_rate", 0, n=1989),
        exact("data.train_test_overlap", 0, n=796),
        *(exact("data.leak_auc", 0.762 - 0.03 * i, n=1989, feature=f) for i, f in enumerate(features)),
        *(exact("data.leak_purity", 0.93 - 0.01 * i, n=1989, feature=f) for i, f in enumerate(features)),
        *(exact("data.missing_rate", 0.013 * i, n=1989, feature=f) for i, f in enumerate(features)),
        *(
            exact("data.group_share", n / 796, n=796, attribute="race", group=g)
            for g, (n, _) in GROUPS["race"].items()
        ),
        *(
            exact("data.label_rate", r, n=n, attribute="race", group=g)
            for g, (n, r) in GROUPS["race"].items()
        ),
    ]
    return [
        (
            file_name("privacy"),
            evidence("privacy", "What could be learned about the people in the training data?", privacy),
        ),
        (
            file_name("deployment"),
            evidence("deployment", "Does what ships decide as what was trained?", deployment),
        ),
        (
            file_name("deployment", clock=True),
            evidence("deployment", "Does what ships decide as what was trained?", clock),
        ),
        (file_name("data"), evidence("data", "Are the data fit to learn and to judge from?", data)),
        (
            file_name("slices"),
            evidence(
                "slices",
                "Is there a part where it does worse?",
                [],
                failure="ZeroDivisionError: division by zero",
            ),
        ),
    ]


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "]]><svg/onload=alert(1)>",
    "nul\x00 esc\x1b[31m",
    "rlo\u202egnp.exe",
    "zero\u200bwidth",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "</style><script>1</script>",
    "&#x3c;b&#x3e;",
    "",
    " padded ",
    "A" * 300,
    "\uff21" * 200,
)
"""Names that try to be more than names."""


def hostile() -> Dossier:
    """A dossier in which every name is hostile."""
    found = [
        made
        for i, name in enumerate(HOSTILE)
        for made in (
            estimate("fairness.selection_rate", 0.5, 0.1, 40 + i, attribute="a", group=name),
            estimate(
                "fairness.demographic_parity_difference",
                0.4,
                0.01,
                80,
                attribute=name or "-",
                high=name,
                low="B",
            ),
            exact("fairness.other", i, thing=name, more="x"),
            nothing("fairness.nothing", name or "none", thing=name),
        )
    ]
    pictures = tuple(dots_of(name) for name in HOSTILE)
    grid = tuple(tuple(float(i - j) for j in range(len(HOSTILE))) for i in range(len(HOSTILE)))
    audit = evidence(
        "fairness",
        HOSTILE[0],
        found,
        exhibits=(
            *pictures,
            Heatmap(title=HOSTILE[1], rows=HOSTILE, columns=HOSTILE, values=grid),
            Curve(
                title=HOSTILE[2],
                lines=tuple(Line(label=n, x=(0, 1), y=(0, 1)) for n in HOSTILE),
                x_axis=HOSTILE[13],
            ),
            Table(title=HOSTILE[3], columns=HOSTILE, rows=(HOSTILE,)),
            Picture(title=HOSTILE[4], png=tiny_png(), alt=HOSTILE[1], caption=HOSTILE[5]),
        ),
        notes=HOSTILE,
        failure=HOSTILE[0],
    )
    facts = {f"fact {i} {name}": name for i, name in enumerate(HOSTILE)}
    return dossier([(file_name("fairness"), audit)], only=True, **facts)


def dossier(extra: list[tuple[str, Evidence]] | None = None, *, only: bool = False, **facts: str) -> Dossier:
    """All of it, sealed; or only what is handed in."""
    found = (
        list(extra or [])
        if only
        else [
            (file_name("performance"), performance()),
            (file_name("performance", role="plain"), performance("plain", 0.02)),
            (file_name("performance", role="reference"), performance("reference", 0.01)),
            (file_name("fairness"), fairness()),
            (file_name("fairness", role="plain"), fairness("plain")),
            (file_name("explainability"), explainability()),
            *others(),
            *(extra or []),
        ]
    )
    produced = {
        "subjects": (subject(), subject("plain", "loan-mlp-plain"), subject("reference", "loan-logistic")),
        "data": (HELD_OUT, DataId(name="loanapp train", digest="sha256:" + "c3" * 32, rows=895)),
        "configuration": {"recipe.yaml": "sha256:" + "12" * 32, "policy.yaml": "sha256:" + "34" * 32},
        "versions": {"python": "3.11.9", "torch": "2.13.0", "opacus": "1.6.0", "numpy": "2.4.1"},
        "threads": 2,
        "facts": {
            "label_means": "what the lender decided in 1990, not who would have repaid",
            "attributes_from": "as recorded on the application",
            **facts,
        },
        "not_run": {
            "robustness": "The policy does not ask for it.",
            "drift": "No later data were given.",
        },
    }
    return seal(
        found, produced=produced, created="2026-11-22T14:29:00+00:00", host="a machine, 2 cores", tool=TOOL
    )


def policy() -> Policy:
    """Rules of every kind."""
    gap, race = "fairness.demographic_parity_difference", {"attribute": "race"}
    return Policy(
        name="lending-v1",
        rules=(
            Rule(
                metric="performance.roc_auc", at_least=0.85, because="Below 0.85 manual review does as well."
            ),
            Rule(
                metric=gap,
                where=race,
                at_most=0.05,
                control=("nyc-ll144/impact-ratio",),
                because="Board decision, April 2026: a fair-lending review opens above five points.",
            ),
            Rule(metric=gap, where={"attribute": "sex"}, at_most=0.05, because="The same decision."),
            Rule(
                metric="fairness.demographic_parity_ratio",
                where=race,
                at_least=0.8,
                because="The four-fifths rule of thumb.",
            ),
            Rule(
                metric="deployment.decision_flip_rate",
                where={"variant": "onnx"},
                at_most=0.005,
                because="What ships is what was audited.",
            ),
            Rule(metric="privacy.epsilon_spent", at_most=4, because="Contract with the data owner."),
            Rule(metric="privacy.epsilon_lower_bound", at_most=4, because="No attack may refute the claim."),
            Rule(metric="data.train_test_overlap", at_most=0, because="Held-out rows must be unseen."),
            Rule(
                metric="slices.worst_accuracy_drop",
                at_most=0.1,
                because="No part of the portfolio may be served badly.",
            ),
            Rule(
                metric=gap,
                where={"attribute": "race*sex"},
                at_most=0.1,
                severity="warn",
                because="Small groups leave out 4 to 5 % of the rows, so this warns.",
            ),
            Rule(
                metric="fairness.equal_opportunity_difference",
                where=race,
                at_most=0.1,
                severity="warn",
                because="The label is a past decision, so error rates warn.",
            ),
            Rule(
                metric="fairness.any_disparity_p",
                where=race,
                at_least=0.05,
                judge="value",
                severity="warn",
                because="A first look before any gap is named.",
            ),
            Rule(
                any_of=(
                    Limit(metric="performance.accuracy", at_least=0.8),
                    Limit(metric="performance.balanced_accuracy", at_least=0.8),
                ),
                because="Either measure of agreement will do.",
            ),
        ),
    )


def verdict(found: Dossier | None = None, asked: Policy | None = None) -> Verdict:
    """The policy held against the dossier."""
    return judge(asked or policy(), found or dossier(), today=TODAY)
