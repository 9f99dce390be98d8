"""What are the credit-card clients of Taiwan in 2005, and how is each of their columns treated?

30,000 clients, UCI Machine Learning Repository 350 (I-C. Yeh and C. Lien, "The comparisons of data mining
techniques for the predictive accuracy of probability of default of credit card clients", Expert Systems with
Applications 36 (2009), 2473-2480), CC BY 4.0. The file is the user's copy, in either of two editions: UCI's own
(columns EDUCATION and MARRIAGE, SEX 1 and 2) or the one with a column for each code (EDUCATION_0 … MARRIAGE_3, SEX 0
and 1). That the latter's 1 is UCI's 2, female, shows in the counts: 18,112 of 30,000 in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.datasets import columns as treat
from rai_bigmodel.datasets.columns import Column, feature, out, sensitive
from rai_bigmodel.datasets.split import as_splits, three_parts
from rai_bigmodel.errors import InputError
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    import os

    from rai_bigmodel.subject import Array, Splits

TRUTH = "default"
OUTCOMES = ("default-payment-next-month", "default payment next month", "default.payment.next.month")
"""The outcome's names in the editions there are; here it is `default`."""
SENSITIVE = ("sex", "age", "education", "marriage")

_STATUS = "-2 nothing was due, -1 paid in full, 0 the minimum was paid, 1 to 9 so many months late"
_UNDOCUMENTED = "-2 and 0 are not in the paper; their meaning is what its author told users later"

COLUMNS: dict[str, Column] = {
    "ID": out("number of the client", "only names rows"),
    "LIMIT_BAL": feature("amount of credit given, NT$"),
    "SEX": sensitive("1 male, 2 female; in the other edition 0 male, 1 female", "sex; becomes `sex`"),
    "AGE": sensitive("years", "age; becomes `age`, in bands"),
    "EDUCATION": sensitive(
        "1 graduate school, 2 university, 3 high school, 4 others; 0, 5 and 6 are not explained",
        "stands in for origin and means; becomes `education`, 345 unexplained codes missing",
    ),
    "MARRIAGE": sensitive(
        "1 married, 2 single, 3 others; 0 is not explained",
        "marital status; becomes `marriage`, 54 unexplained codes missing",
    ),
    "PAY_0": feature(f"how the bill of August was paid by September: {_STATUS}", _UNDOCUMENTED),
    **{f"PAY_{i}": feature(f"the same {i - 1} months before: {_STATUS}", _UNDOCUMENTED) for i in range(2, 7)},
    **{f"BILL_AMT{i}": feature(f"bill {i} months before October, NT$") for i in range(1, 7)},
    **{f"PAY_AMT{i}": feature(f"paid {i} months before October, NT$") for i in range(1, 7)},
    TRUTH: Column("1 if the next payment was missed", "truth"),
}

SEX = {1.0: "Male", 2.0: "Female"}
EDUCATION = {1.0: "Graduate school", 2.0: "University", 3.0: "High school", 4.0: "Others"}
MARRIAGE = {1.0: "Married", 2.0: "Single", 3.0: "Others"}
AGE = ((30, "under 30"), (40, "30 to 39"), (50, "40 to 49"), (60, "50 to 59"), (np.inf, "60 and over"))


def credit(file: str | os.PathLike[str], *, seed: int = 7) -> Splits:
    """Credit-card clients: 30 % of the rows held out, 17.5 % to calibrate, each part with its share of sex and outcome.

    A positive outcome is a default: what a positive decision means to a client is a refusal, not a grant.

    Args:
        file: a csv, or csv.gz, of either edition.
        seed: of the division into parts.

    Raises:
        InputError: the file is not there or lacks a column, or a code is one that neither edition has.
    """
    path = Path(file)
    raw = treat.numbers_of(treat.unpacked(path), where=path.name)
    raw = _one_edition(raw, where=path.name)
    features = tuple(c for c in COLUMNS if COLUMNS[c].treatment == "feature")
    columns: dict[str, Array] = {c: raw[c] for c in features}
    columns |= {
        "sex": treat.named(raw["SEX"], SEX),
        "age": treat.banded(raw["AGE"], AGE),
        "education": treat.named(raw["EDUCATION"], EDUCATION),
        "marriage": treat.named(raw["MARRIAGE"], MARRIAGE),
        TRUTH: raw[TRUTH],
    }
    gone = {a: sum(v is None for v in columns[a].tolist()) for a in SENSITIVE}
    listed = ", ".join(f"{a} ({n:,})" for a, n in gone.items() if n)
    notes = (
        f"Codes that nobody explains became missing: {listed or 'none'}.",
        "Sex, age, education and marital status are kept apart from the features.",
        f"Left out: {treat.left_out(COLUMNS, features)}.",
        "A yes is a default: a positive decision speaks against the client.",
    )
    whole = Table(
        name="credit",
        columns=columns,
        roles={"feature": features, "truth": (TRUTH,), "sensitive": SENSITIVE},
        positive="1",
        notes=notes,
    )
    strata = np.array([f"{s}{int(t)}" for s, t in zip(columns["sex"], raw[TRUTH], strict=True)])
    parts = three_parts(strata, np.random.default_rng(seed), held_out=round(0.3 * whole.rows))
    facts = {
        "label_means": "the client missed the next month's payment",
        "attributes_from": "the bank's records of 2005",
    }
    return as_splits(whole, parts, facts=facts)


def _one_edition(raw: dict[str, Array], *, where: str) -> dict[str, Array]:
    """Either edition with UCI's codes and the outcome under one name."""
    raw = dict(raw)
    if TRUTH not in raw:
        name = next((name for name in OUTCOMES if name in raw), OUTCOMES[0])
        raw[TRUTH] = _column(raw, name, where)
    for name, codes in (("EDUCATION", 7), ("MARRIAGE", 4)):
        if name not in raw:
            flags = np.stack([_column(raw, f"{name}_{i}", where) for i in range(codes)], axis=1)
            if not (np.isin(flags, (0, 1)).all() and (flags.sum(axis=1) == 1).all()):
                msg = f"{where}: {name}_0 to {name}_{codes - 1} must be 1 once in every row"
                raise InputError(msg)
            raw[name] = flags.argmax(axis=1).astype(float)
    for name, column in COLUMNS.items():
        if column.treatment != "out":
            _column(raw, name, where)
    sexes = set(np.unique(raw["SEX"]).tolist())
    if sexes <= {0.0, 1.0} and 0.0 in sexes:
        raw["SEX"] = raw["SEX"] + 1.0
    for name, allowed in (("SEX", {1, 2}), ("EDUCATION", range(7)), ("MARRIAGE", range(4)), (TRUTH, {0, 1})):
        if strange := sorted(set(np.unique(raw[name]).tolist()) - {float(code) for code in allowed}):
            msg = f"{where}: {name!r} holds {strange[:4]}, which neither edition of these data has"
            raise InputError(msg)
    return raw


def _column(raw: dict[str, Array], name: str, where: str) -> Array:
    if name not in raw:
        what = f"{where}: column"
        raise InputError.unknown(what, name, raw)
    return raw[name]
