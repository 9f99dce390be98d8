"""Files of rows: what is read as what, and what is refused in one line."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rai_bigmodel import tables
from rai_bigmodel.errors import InputError
from rai_bigmodel.tables import canonical, read_table
from rai_bigmodel.tables.names import names_of, written

ROLES = {"truth": ("y",), "sensitive": ("g",), "feature": ("*",)}


def _csv(tmp_path, text: str, name: str = "rows.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_na_none_and_null_stay_names_and_only_an_empty_field_is_missing(tmp_path) -> None:
    """Pandas would lose three of these four groups."""
    path = _csv(tmp_path, 'g,y\nNA,1\nNone,0\nnull,1\n"",0\n,1\nNA,0\n')
    t = read_table(path, roles={"truth": ("y",), "sensitive": ("g",)})

    assert t.groups(["g"])[1] == ("", "(missing)", "NA", "None", "null")


def test_the_same_rows_have_the_same_groups_from_csv_and_parquet(tmp_path) -> None:
    """1, 1.0 and "1" are one group whatever the file; so are their digests' canonical values."""
    path = _csv(tmp_path, "g,y,x\n1.0,1,3\n2.0,0,4\n,1,\n2.0,1,5\n1.0,0,6\n")
    other = tmp_path / "rows.parquet"
    with duckdb.connect(":memory:") as db:
        db.execute(
            f"COPY (SELECT * FROM (VALUES (1, true, 3), (2, false, 4), (NULL, true, NULL), (2, true, 5), "
            f"(1, false, 6)) AS t(g, y, x)) TO '{other}' (FORMAT parquet)"
        )
    a, b = read_table(path, roles=ROLES), read_table(other, roles=ROLES)
    counts = [t.count(["g"], truth="y", decision=t.binary("y")) for t in (a, b)]

    assert counts[0] == counts[1]
    assert counts[0].groups == ("(missing)", "1", "2")


def test_a_folder_of_parquet_is_one_table(tmp_path) -> None:
    """Shards side by side, in the order of their names."""
    with duckdb.connect(":memory:") as db:
        for i in range(3):
            db.execute(
                f"COPY (SELECT 'g' || (range % 2) AS g, range % 2 AS y FROM range({4 + i})) "
                f"TO '{tmp_path / f'part{i}.parquet'}' (FORMAT parquet)"
            )

    assert read_table(tmp_path, roles={"truth": ("y",), "sensitive": ("g",)}).rows == 15


def test_codes_with_leading_zeros_stay_text_where_they_name_a_group(tmp_path) -> None:
    """01 and 1 are two postcodes."""
    t = read_table(_csv(tmp_path, "g,y\n01,1\n1,0\n01,0\n1,1\n"), roles=ROLES)

    assert t.groups(["g"])[1] == ("01", "1")


def test_quotes_line_breaks_and_a_byte_order_mark_are_read_exactly(tmp_path) -> None:
    """RFC 4180, as spreadsheets write it."""
    text = '\ufeffg,y\r\n"a, b",1\r\n"li\nne",0\r\n"say ""x""",1\r\n"a, b",0\r\n'
    t = read_table(_csv(tmp_path, text), roles=ROLES)

    assert set(t.columns["g"]) == {"a, b", "li\nne", 'say "x"'}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", "", "the file is empty"),
        ("rows.csv", "g,y\n", "has no rows"),
        ("rows.csv", "g,g,y\n1,2,0\n", "'g' stands twice in the header"),
        ("rows.csv", b"g,y\n\xff\xfe,1\n", "UTF-8"),
        ("rows.parquet", "g,y\na,1\nb,0\n", "cannot be read as parquet"),
        ("rows.xlsx", "g,y\na,1\n", "not .xlsx"),
        ("rows.csv", "race,y\na,1\nb,0\n", "'g' is not there; there are: race, y"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_names_the_file(tmp_path, name, content, message) -> None:
    """Empty, repeated headers, wrong encoding, another format, a column that is not there."""
    path = _csv(tmp_path, content, name)
    with pytest.raises(InputError) as caught:
        read_table(path, roles={"truth": ("y",), "sensitive": ("g",)})

    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    """The path as it was given."""
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        read_table(tmp_path / "nowhere.csv", roles=ROLES)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["yes", "no", "yes", "no"], "none is declared positive"),
        (["1", "2", "1", "2"], "none is declared positive"),
        (["true", "false", "true", "false"], None),
        (["1", "2", "3", "1"], "must have two labels, it has 3"),
        (["1", "", "0", "1"], "missing in 1 of 4 rows"),
    ],
)
def test_labels_must_be_two_and_contain_the_positive_one(tmp_path, labels, message) -> None:
    """0 and 1, false and true say themselves which is positive; anything else must be declared."""
    rows = "".join(f"g{i % 2},{y}\n" for i, y in enumerate(labels))
    t = read_table(_csv(tmp_path, f"g,y\n{rows}"), roles=ROLES)
    if message is None:
        assert t.binary("y").tolist() == [True, False, True, False]
        return
    with pytest.raises(InputError, match=message):
        t.binary("y")


def test_canonical_names_do_not_depend_on_how_a_number_came() -> None:
    """Integers, floats, booleans, text, None and NaN."""
    assert canonical(np.array([1, 2])).tolist() == ["1", "2"]
    assert canonical(np.array([1.0, 2.5, np.nan])).tolist() == ["1", "2.5", "(missing)"]
    assert canonical(np.array([True, False])).tolist() == ["true", "false"]
    assert canonical(np.array(["NA", None, 1.0, True], dtype=object)).tolist() == [
        "NA",
        "(missing)",
        "1",
        "true",
    ]


@pytest.mark.parametrize("pair", [("True", "False"), ("TRUE", "FALSE"), ("true", "false")])
@pytest.mark.parametrize("memory", [None, 0])
def test_booleans_of_a_csv_are_those_of_every_other_table(tmp_path, pair, memory) -> None:
    """However they are written, in memory and left in the engine; ``yes`` beside them makes words of all."""
    yes, no = pair
    path = tmp_path / "rows.csv"
    lines = [f"{yes if i % 3 else no},{yes if i % 2 else no},{['a', 'b'][i % 2]}" for i in range(60)]
    path.write_text("y,d,g\n" + "\n".join(lines) + "\n")
    roles = {"truth": ("y",), "prediction": ("d",), "sensitive": ("g",)}
    for positive, selected in (("", 30), (yes, 30), ("true", 30), (no, 30)):
        table = tables.open_table(path, roles=roles, positive=positive, memory=memory)
        assert table.labels("y") == ("false", "true")
        counts = table.count(("g",), truth="y", decision="d")
        assert counts.positives.sum() == (20 if positive == no else 40)
        assert counts.selected.tolist() == ([selected, 0] if positive == no else [0, selected])
    path.write_text("y,d,g\n" + "\n".join(lines).replace(f"{yes},", "yes,", 1) + "\n")
    assert tables.open_table(path, roles=roles, memory=memory).labels("y") == tuple(sorted((yes, no, "yes")))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
@example([1e-05, 0.1234567890123456, -5e-324, 1e300])
def test_numbers_as_python_writes_them_are_numbers_where_values_are_names_too(values) -> None:
    """An outcome of seventeen digits is a number, so a regression from a csv is one."""
    texts = {repr(v) for v in values}
    assert written(texts) == "numbers"
    names = names_of(sorted(texts), untyped=True)
    assert all(float(name) == float(text) for text, name in names.items())


@pytest.mark.parametrize(
    "texts", [["01", "2"], ["1e3"], ["0.12345678901234567890"], ["nan"], ["inf", "1"], ["True", "false"], []]
)
def test_text_that_a_number_would_not_be_written_as_stays_text(texts) -> None:
    assert written(texts) == "texts"
