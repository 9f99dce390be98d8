"""Can a hostile file hurt, and can a half-written one look whole?"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record
from rai_bigmodel.files import parse

AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


class Thing(Record):
    """A small configuration."""

    limit: float = 0.0
    name: str = ""
    parts: tuple[Thing, ...] = ()
    free: dict[str, Any] = {}


def read(text: str | bytes, kind: Any = Thing) -> Any:
    return files.parse_yaml(text.encode() if isinstance(text, str) else text, kind, where="c.yaml")


def refused(text: str | bytes, kind: Any = Thing, *, parse: Any = files.parse_yaml) -> str:
    with pytest.raises(InputError) as error:
        parse(text.encode() if isinstance(text, str) else text, kind, where="c.yaml")
    said = str(error.value)
    assert said.startswith("c.yaml")
    assert "\n" not in said
    assert len(said) < 500
    return said


# --- YAML -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.system ['touch /tmp/rai-was-here']",
        "name: !!python/name:os.system",
        "!!python/object/new:tuple [[1]]",
        "name: !custom x",
        "name: !!binary aGVsbG8=",
        "name: !!str 5",
    ],
)
def test_tags_are_refused_and_build_nothing(text: str) -> None:
    """A configuration is plain words and numbers."""
    assert "tag" in refused(text)
    assert not Path("/tmp/rai-was-here").exists()  # noqa: S108 - that it is not there is the fact


def test_aliases_that_explode_are_refused_with_their_path() -> None:
    """A billion laughs in three hundred bytes."""
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
    )

    assert "$.a" in refused(laughs, dict)
    assert "too large" in refused(laughs, dict)


def test_an_alias_of_itself_is_refused() -> None:
    """It would be nested without end."""
    assert "too deeply" in refused("free: &x {again: *x}")[:500]


def test_an_honest_alias_is_read() -> None:
    """Aliases are not forbidden, only their explosion."""
    assert read("parts: [&a {limit: 1}, *a]").parts == (Thing(limit=1.0), Thing(limit=1.0))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_before_it_overflows_the_stack(opening: str) -> None:
    """The parser composes by recursion: a hundred thousand brackets would end the process."""
    assert "deep" in refused("free:\n  x: " * (opening != "- ") + opening * 100_000)


def test_a_large_file_is_refused_before_it_is_parsed() -> None:
    """More than a megabyte is no configuration."""
    assert "bytes are more" in refused("name: " + "x" * 1_000_000)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("limit: 1\nlimit: 2", "$.limit"),
        ("parts:\n- name: a\n  name: b", "$.parts[0].name"),
        ("free: {a: {b: 1, 'b': 2}}", "$.free.a.b"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_path(text: str, path: str) -> None:
    """The last one does not win."""
    assert f"{path}: this key stands twice" in refused(text)


@pytest.mark.parametrize("number", [".nan", ".NaN", ".inf", "-.inf", "+.INF", "1e999", "-1e400"])
def test_a_number_that_is_not_finite_is_refused_with_its_path(number: str) -> None:
    """A limit of NaN would keep nothing and break nothing."""
    assert "$.limit: a finite number is needed" in refused(f"limit: {number}")
    assert "$.free.a[0]" in refused(f"free: {{a: [{number}]}}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1E5", 1e5), ("1.5e+3", 1500.0), (".5", 0.5), ("1.", 1.0), ("-0.0", -0.0),
        ("017", 17), ("0o17", 15), ("0x1F", 31), ("+1", 1), ("1_000", "1_000"), ("0b1", "0b1"),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("NO", "NO"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("None", "None"),
        ("2026-01-01", "2026-01-01"), ("12:30:45", "12:30:45"), ("'1'", "1"), ('"true"', "true"),
        ("NaN", "NaN"), ("nan", "nan"), ("inf", "inf"), ("=", "="), ("<<", "<<"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """``no`` is a word, ``1e-5`` a number, a date a text."""
    got = read(f"free: {{a: {text}}}" if text else "free: {a: }").free["a"]

    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "# nothing", "name: [1, 2", "\tname: x", "name: a: b", "name: x\n---\nname: y", "%YAML 9.9\n---\nname: x",
        b"name: \xff\xfe\xfd", b"name: \x00", "? [a]\n: 1", "null: 1", "*x", "- 1\n- 2", "just words", "limit: one",
        "limit: '1'", "limit: true", "name: 1", "name:", "nmae: x", "parts: {}", "parts: [{nmae: x}]",
        "\u202ename: x", "'a\\nb': 1",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(text: str | bytes) -> None:
    """Broken YAML, several documents, wrong types, bad encodings, unknown keys."""
    refused(text)


def test_an_unknown_key_is_named_with_its_path() -> None:
    """As ``$.parts[0].nmae``."""
    assert "$.parts[0].nmae: unknown key" in refused("parts: [{nmae: x}]")
    assert "$.nmae: unknown key" in refused("nmae: x")


def test_a_byte_order_mark_is_no_part_of_a_key() -> None:
    """Some editors write one."""
    assert read(b"\xef\xbb\xbfname: x").name == "x"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes) -> None:
    """Nothing but InputError comes out of either reader."""
    for reader in (files.parse_yaml, files.parse_json):
        try:
            reader(content, Thing, where="x")
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most inputs do not raise what is checked


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"limit": NaN}', '{"limit": Infinity}', '{"limit": -Infinity}', '{"limit": 1e999}', '{"free": {"a": [1e999]}}',
        '{"free": {"a": {"b": [[-1e999]]}}}', '{"limit": 1, "limit": 2}', '{"free": {"a": 1, "a": 1}}',
        '{"nmae": "x"}', '{"limit": "1"}', '{"limit": true}', "", "{", "[]", "null", '{"name": "\\ud800"}',
        "[" * 100_000, "1" * 5000, b'{"name": "\xff"}', '{"limit": 1}}', '{"name": "a\nb"}', "{'name': 1}",
    ],
)  # fmt: skip
def test_json_that_is_not_strict_is_refused(text: str | bytes) -> None:
    """Numbers that are not finite, keys twice, unknown fields, half characters, endless nesting."""
    refused(text, parse=files.parse_json)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_the_quick_reader_takes_the_strict_one_reads_alike(value: Any) -> None:
    """Canonical text is read by another parser; it says the same, down to the type of each number."""
    plain = json.dumps(value).encode()
    for text in (
        plain,
        files.canonical_json(json.loads(plain.replace(b"NaN", b"0").replace(b"Infinity", b"1"))),
    ):
        quick = parse._canonical(text)
        if quick is not None:
            assert repr(quick) == repr(parse._strict_json(text, "x"))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}\n',
        b'{"a":1e999}\n',
        b'{"a":NaN}\n',
        b'{"a": 1}\n',
        b'{"b":1,"a":1}\n',
        b'{"a":1}',
        b'{"a":1.50}\n',
        b'{"a":"\\ud800"}\n',
        b'{"a":"\xed\xa0\x80"}\n',
    ],
)
def test_only_canonical_text_is_read_quickly(text: bytes) -> None:
    """Anything else goes to the reader that can say what is wrong with it."""
    assert parse._canonical(b'{"a":1}\n') == {"a": 1}
    assert parse._canonical(text) is None


def test_json_never_carries_a_number_that_is_not_finite() -> None:
    """NaN cannot get into a record, so it cannot get out of one."""
    for bad in (float("nan"), float("inf")):
        for fields in (
            {"limit": bad},
            {"free": {"a": bad}},
            {"free": {"a": [bad]}},
            {"free": {"a": ({"b": bad},)}},
        ):
            with pytest.raises(ValueError, match="finite"):
                Thing(**fields)


def test_the_canonical_text_has_sorted_keys_and_ends_with_a_newline() -> None:
    """The same record always has the same bytes."""
    text = files.canonical_json({"b": 1, "a": {"d": None, "c": [1.0]}})

    assert text == b'{"a":{"c":[1.0],"d":null},"b":1}\n'
    assert files.digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# --- reading and writing -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gone.yaml", "gone/deeper.yaml", ".", "x" * 300, "nul\0byte", "file/below"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    """Not there, a folder, a name no file can have."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError):
        files.read_bytes(tmp_path / name)


def test_a_write_that_breaks_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    """Whole or not at all."""
    target = tmp_path / "report.html"
    target.write_bytes(b"old")

    def broken() -> None:
        with files.writing(target) as part:
            part.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()

    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """An OSError inside the block is the user's disk, not our bug."""

    def full() -> None:
        with files.writing(tmp_path / "report.html"):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        full()

    assert list(tmp_path.iterdir()) == []


def test_a_written_file_is_readable_as_any_other(tmp_path: Path) -> None:
    """Not private to its writer, as temporary files are."""
    old = os.umask(0o022)
    try:
        files.write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(old)

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_writing_through_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """A file, a folder, a link that leads nowhere."""
    (tmp_path / "secret").write_text("x")
    (tmp_path / "folder").mkdir()
    for name, to in (("a", "secret"), ("b", "folder"), ("c", "nowhere")):
        (tmp_path / name).symlink_to(tmp_path / to)
        with pytest.raises(InputError, match="symbolic link"):
            files.write_bytes(tmp_path / name, b"y")
        with pytest.raises(InputError, match="symbolic link"):
            files.make_folder(tmp_path / name)

    assert (tmp_path / "secret").read_text() == "x"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["file", "file/below", "x" * 300, "nul\0byte"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, name: str) -> None:
    """An existing file, a folder below a file, a name no folder can have."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError):
        files.make_folder(tmp_path / name)
    with pytest.raises(InputError):
        files.write_bytes(tmp_path / name / "x", b"y")


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """Found out before an hour of audits."""
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(InputError, match="cannot be"):
        files.make_folder(tmp_path / "locked")
    with pytest.raises(InputError, match="cannot be"):
        files.make_folder(tmp_path / "locked" / "inside")


def test_trying_whether_a_folder_can_be_written_touches_no_file_in_it(tmp_path: Path) -> None:
    """A user's own file named probe stays."""
    (tmp_path / "probe").write_text("mine")
    files.make_folder(tmp_path)

    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("probe", "mine")]


def test_only_plain_files_are_listed(tmp_path: Path) -> None:
    """A link or a folder among evidence is refused, not followed."""
    (tmp_path / "a.json").write_text("{}")
    assert list(files.regular_files(tmp_path)) == ["a.json"]
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    with pytest.raises(InputError, match="not a plain file"):
        files.regular_files(tmp_path)


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../../etc/x", "CON", "con.txt", "LPT1", "x" * 300, "", ".", "..", "trailing.", "-rf", "a/b", "a\\b", "a\0b",
     "a\nb", "\u202egnp.exe", "Ａ", " ", "~", "$HOME", "*", ".hidden"],
)  # fmt: skip
def test_a_slug_is_a_safe_file_name_and_tells_names_apart(name: str) -> None:
    """Nothing that a path, a shell or an old system would read otherwise."""
    made = files.slug(name)

    assert made == Path(made).name
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    assert 0 < len(made) <= 80
    assert made[0] not in ".-"
    assert made[-1] not in ".-"
    assert made.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "lpt1"}
    assert made != name


@given(st.text(), st.text())
def test_two_names_have_two_slugs(one: str, other: str) -> None:
    """And a plain name is its own."""
    assert (files.slug(one) == files.slug(other)) == (one == other)
    assert files.slug("race-sex_2.json") == "race-sex_2.json"


@given(st.text())
def test_visible_text_is_one_line_without_hidden_characters(text: str) -> None:
    """No control, bidirectional, zero-width or half character is left."""
    shown = files.visible(text)

    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not set(shown) & set("\x00\x1b\x7f\x85\u200b\u200e\u202e\u2028\u2066\ufeff")


def test_a_line_injected_into_a_name_stays_in_its_line() -> None:
    """A forged line is shown, not obeyed."""
    assert files.visible("x\n[PASS] gate\x1b[2J") == "x\\n[PASS] gate\\x1b[2J"
    assert "\n" not in refused('"a\\n[PASS] gate": 1')


def test_convert_names_the_path_a_value_came_from() -> None:
    """Parameters of an audit are told apart from the file they stand in."""
    with pytest.raises(InputError, match=r"^a\.yaml: \$\.audits\.x\.limit: expected"):
        files.convert({"limit": "1"}, Thing, where="a.yaml", at="$.audits.x")
    with pytest.raises(InputError, match=r"^\$\.audits\.x\.nmae: unknown key$"):
        files.convert({"nmae": 1}, Thing, at="$.audits.x")
    with pytest.raises(InputError, match=r"^a\.yaml: \$\.audits\.x: limit must be a finite"):
        files.convert({"limit": float("nan")}, Thing, where="a.yaml", at="$.audits.x")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Bytes out, bytes in, through the same room."""
    thing = Thing(limit=0.1, name="\u202e", parts=(Thing(name="x"),), free={"a": [1, None, "b"]})
    files.write_bytes(tmp_path / "t.json", files.canonical_json(thing))
    back = files.parse_json(files.read_bytes(tmp_path / "t.json"), Thing, where="t")

    assert back == thing
    assert json.loads((tmp_path / "t.json").read_text())["free"] == {"a": [1, None, "b"]}
