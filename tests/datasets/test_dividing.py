"""Do rows that belong together stay together, and does every part get its share?"""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_bigmodel.datasets.columns import banded, named, numbers_of, texts_of, unpacked, without_code
from rai_bigmodel.datasets.split import three_parts, whole_groups
from rai_bigmodel.errors import InputError


@given(
    st.lists(st.sampled_from("abcdefg"), min_size=3, max_size=60),
    st.integers(0, 2**32),
    st.floats(0.05, 0.5),
    st.floats(0.05, 0.4),
)
def test_a_group_is_in_one_part_only(groups: list[str], seed: int, held: float, tuned: float) -> None:
    """Whatever the groups and shares: every row once, no group in two parts, no part without a row."""
    if len(set(groups)) < 3:
        return
    rows = np.array(groups)

    parts = whole_groups(rows, np.random.default_rng(seed), held_out=held, calibrate=tuned)

    assert sorted(np.concatenate(parts)) == list(range(len(rows)))
    assert all(len(part) for part in parts)
    sets = [set(rows[part]) for part in parts]
    assert sum(map(len, sets)) == len(set(groups))


def test_every_kind_of_group_is_in_every_part() -> None:
    """Twenty groups of two kinds, half held out: five of each kind."""
    groups = np.repeat([f"g{i:02d}" for i in range(20)], 3)
    kinds = np.repeat(["x", "y"] * 10, 3)

    parts = whole_groups(groups, np.random.default_rng(0), held_out=0.5, calibrate=0.2, strata=kinds)

    assert [len(part) for part in parts] == [18, 12, 30]
    assert Counter(kinds[parts.held_out]) == {"x": 15, "y": 15}
    assert Counter(kinds[parts.calibrate]) == {"x": 6, "y": 6}


def test_two_groups_cannot_be_three_parts() -> None:
    """One clear line, with the number there is."""
    with pytest.raises(InputError, match=r"at least three groups.*got 2"):
        whole_groups(np.array(["a", "b", "b"]), np.random.default_rng(0), held_out=0.2, calibrate=0.2)


def test_three_parts_hold_every_row_once() -> None:
    """A quarter of what is not held out calibrates unless another number is given."""
    strata = np.array(["a"] * 80 + ["b"] * 20)

    parts = three_parts(strata, np.random.default_rng(0), held_out=20)

    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(np.concatenate(parts)) == list(range(100))
    assert Counter(strata[parts.held_out]) == {"a": 16, "b": 4}
    with pytest.raises(InputError, match="got 3 rows of which 2 are held out"):
        three_parts(np.array(["a"] * 3), np.random.default_rng(0), held_out=2)


def test_columns_are_cleaned_as_their_functions_say() -> None:
    """Codes become missing or words, numbers become bands; NaN is in no band."""
    values = np.array([20.0, 30.0, 39.9, 60.0, np.nan])

    assert banded(values, ((30, "under 30"), (60, "30 to 59"), (np.inf, "60 and over"))).tolist() == [
        "under 30",
        "30 to 59",
        "30 to 59",
        "60 and over",
        None,
    ]
    assert named(np.array([1.0, 2.0, 7.0]), {1: "one", 2: "two"}).tolist() == ["one", "two", None]
    assert np.isnan(without_code(values, 30.0)).tolist() == [False, True, False, False, True]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2,3\n", "row 2 has 3 fields, the header 2"),
        (b"a,a\n1,2\n", "names a column twice"),
        (b"a,b\n", "at least one row"),
        (b"", "at least one row"),
        (b"a,b\n\xff,2\n", "not a csv in UTF-8"),
    ],
)
def test_a_csv_that_cannot_be_read_says_why(content: bytes, said: str) -> None:
    """One clear line each."""
    with pytest.raises(InputError, match=said):
        texts_of(content, where="posts.csv")


def test_a_field_that_is_no_number_is_named() -> None:
    """With its column; an empty one is missing."""
    assert np.isnan(numbers_of(b"a\n1\n", where="x")["a"]).tolist() == [False]
    assert np.isnan(numbers_of(b"a,b\n1,\n", where="x")["b"]).tolist() == [True]
    with pytest.raises(InputError, match=r"x.csv: the column 'b' must hold numbers"):
        numbers_of(b"a,b\n1,two\n", where="x.csv")


def test_a_file_that_is_not_packed_as_its_name_says_is_refused(tmp_path) -> None:
    """Not a traceback of the unpacker."""
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(b"a,b\n1,2\n")

    with pytest.raises(InputError, match=r"rows.csv.gz: cannot be unpacked"):
        unpacked(path)
