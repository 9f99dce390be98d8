"""Can a number look equal to a limit that it misses?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_bigmodel.words import exact, number, percent, plural

NUMBERS = st.one_of(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(-1, 1, allow_subnormal=False),
    st.integers(-1000, 1000).map(lambda i: i / 1000),
)


def read(text: str) -> float:
    return float(text.replace(",", ""))


@given(NUMBERS, NUMBERS)
def test_a_number_never_looks_equal_to_a_limit_it_misses(value: float, limit: float) -> None:
    """Beside the limit as it is written, it reads as what it is: more, less, or the same."""
    shown, written = read(number(value, beside=limit)), read(exact(limit))

    assert (shown > written) == (value > limit)
    assert (shown < written) == (value < limit)


@given(NUMBERS, st.integers(1, 12))
def test_a_near_miss_is_told_apart(limit: float, places: int) -> None:
    """One part in 10, 100 … 10¹² beside the limit."""
    value = limit * (1 + 10.0**-places) + 10.0 ** -(places + 2)
    if value != limit:
        assert number(value, beside=limit) != exact(limit)


@given(NUMBERS)
def test_a_chosen_number_keeps_all_its_digits(value: float) -> None:
    """A limit of 0.1004 is not written as 0.1."""
    assert read(exact(value)) == value


@given(NUMBERS)
def test_a_number_is_shown_to_about_three_digits(value: float) -> None:
    """Rounded, not wrong."""
    assert read(number(value)) == pytest.approx(value, rel=6e-3, abs=1e-12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_share_never_looks_equal_to_one_it_misses(share: float, allowed: float) -> None:
    """To a hundred-millionth of a percent."""
    if abs(share - allowed) > 1e-9:
        assert percent(share, beside=allowed) != percent(allowed, beside=allowed)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unbounded"), (0.0, "0"), (-0.0, "0"), (1.0, "1"), (1989.0, "1,989"), (0.1974, "0.197"), (0.5, "0.5"),
     (0.0123456, "0.0123"), (1234.5678, "1,235"), (-0.25, "-0.25"), (0.00001, "0.00001"), (12.3456, "12.346")],
)  # fmt: skip
def test_known_numbers(value: float | None, text: str) -> None:
    """As a person would write them."""
    assert number(value) == text


def test_known_shares_and_counts() -> None:
    """95 %, 99.995 %, 1 rule, 2 rules."""
    assert [percent(x) for x in (0.95, 1 - 0.00005, 0.025)] == ["95 %", "99.995 %", "2.5 %"]
    assert percent(0.020001, beside=0.02) == "2.0001 %"
    assert [plural(n, "rule") for n in (0, 1, 2, 1200)] == ["0 rules", "1 rule", "2 rules", "1,200 rules"]
    assert [exact(x) for x in (0.1, 1e-5, 4.0, 123456.7)] == ["0.1", "1e-05", "4", "123,456.7"]
