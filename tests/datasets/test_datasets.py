"""Are digits, diagnoses, credit, sentences and running text read as they must be?"""

import csv
import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rai_bigmodel import datasets
from rai_bigmodel.datasets.breast_cancer import FEATURES
from rai_bigmodel.datasets.credit import COLUMNS
from rai_bigmodel.datasets.text_lines import cut_up
from rai_bigmodel.errors import InputError, MissingExtra
from rai_bigmodel.subject import Splits
from rai_bigmodel.training.asked import Credit, Data, Digits, Sentences, Templates, TextLines

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def parts_of(splits: Splits) -> list:
    return [splits.train, splits.calibrate, splits.held_out]


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared/data/{name} is not beside this checkout")
    return path


# --- digits and diagnoses ------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn() -> None:
    """Every picture and its digit, once, in the parts together."""
    from sklearn.datasets import load_digits

    parts = parts_of(datasets.digits())
    whole = load_digits()
    ours = sorted(
        (int(d), p.tobytes())
        for t in parts
        for p, d in zip(t.columns["image"], t.columns["digit"], strict=True)
    )

    assert [t.rows for t in parts] == [1077, 270, 450]
    assert parts[0].columns["image"].shape == (1077, 1, 8, 8)
    assert ours == sorted((int(d), p.tobytes()) for p, d in zip(whole.images, whole.target, strict=True))


def test_every_digit_has_its_share_of_the_held_out_rows() -> None:
    """No digit's quota is off by a whole row."""
    parts = parts_of(datasets.digits())
    counts = [Counter(t.columns["digit"].tolist()) for t in parts]
    whole = counts[0] + counts[1] + counts[2]

    assert all(abs(counts[2][d] - n * 450 / 1797) < 1 for d, n in whole.items())


def test_the_shapes_of_a_digit_hold_the_same_pixels() -> None:
    """A picture, eight steps of eight, or 64 columns."""
    picture = datasets.digits().held_out
    series = datasets.digits(shape="series").held_out
    table = datasets.digits(shape="columns").held_out

    assert np.array_equal(picture.columns["image"][:, 0], series.columns["series"])
    assert np.array_equal(picture.columns["image"][:, 0, 2, 5], table.columns["r2c5"])
    assert table.roles["feature"][0] == "r0c0"
    assert len(table.roles["feature"]) == 64


def test_breast_cancer_is_that_of_scikit_learn() -> None:
    """Same numbers under names of our own; 212 of 569 are malignant."""
    from sklearn.datasets import load_breast_cancer

    parts = parts_of(datasets.breast_cancer())
    whole = load_breast_cancer()
    ours = np.sort(np.concatenate([t.columns["worst_fractal_dimension"] for t in parts]))

    assert [t.rows for t in parts] == [256, 85, 228]
    assert len(FEATURES) == 30
    for mine, theirs in zip(FEATURES, whole.feature_names, strict=True):
        assert set(mine.replace("_", " ").split()) == set(theirs.split())
    assert np.array_equal(ours, np.sort(whole.data[:, 29]))
    assert sum(int(t.binary("diagnosis").sum()) for t in parts) == 212


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the extra that brings it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"scikit-learn.*rai_bigmodel\[fairness\]"):
        datasets.digits()


# --- credit --------------------------------------------------------------------------------------


def _credit(path: Path, *, codes: bool, rows: int = 40) -> Path:
    """A small file of either edition: row i is male where i is even, defaults where i % 4 is 0."""
    plain = [n for n, c in COLUMNS.items() if c.treatment == "feature"]
    lines = []
    for i in range(rows):
        row = {
            "ID": i,
            **dict.fromkeys(plain, 100 + i),
            "AGE": 20 + i,
            "default-payment-next-month": int(i % 4 == 0),
        }
        education, marriage = i % 7, i % 4
        if codes:
            row |= {"SEX": i % 2, **{f"EDUCATION_{k}": int(k == education) for k in range(7)}}
            row |= {f"MARRIAGE_{k}": int(k == marriage) for k in range(4)}
        else:
            row |= {"SEX": i % 2 + 1, "EDUCATION": education, "MARRIAGE": marriage}
        lines.append(row)
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    return path


def test_both_editions_of_credit_are_the_same_rows(tmp_path: Path) -> None:
    """One-hot codes and SEX 0/1 mean what EDUCATION, MARRIAGE and SEX 1/2 mean."""
    one = datasets.credit(_credit(tmp_path / "one.csv", codes=True))
    other = datasets.credit(_credit(tmp_path / "other.csv", codes=False))

    assert [t.digest for t in parts_of(one)] == [t.digest for t in parts_of(other)]
    assert one.notes == other.notes
    assert "education (16), marriage (10)" in one.notes[0]


def test_no_sensitive_column_of_credit_is_a_feature(tmp_path: Path) -> None:
    """Kept apart, as words, under names of their own."""
    held_out = datasets.credit(_credit(tmp_path / "c.csv", codes=True)).held_out

    assert not set(held_out.roles["feature"]) & {"SEX", "AGE", "EDUCATION", "MARRIAGE", "ID", "default"}
    assert held_out.roles["sensitive"] == ("sex", "age", "education", "marriage")
    assert set(held_out.columns["sex"]) <= {"Male", "Female"}
    assert all(column.why for column in COLUMNS.values() if column.treatment in {"out", "sensitive"})


def test_a_credit_file_of_another_kind_says_what_is_wrong(tmp_path: Path) -> None:
    """A missing column, and a code that nobody knows."""
    path = _credit(tmp_path / "c.csv", codes=False)
    text = path.read_text()
    path.write_text(text.replace("LIMIT_BAL", "LIMIT"))
    with pytest.raises(InputError, match=r"c.csv: column: 'LIMIT_BAL' is not there.*Did you mean 'LIMIT"):
        datasets.credit(path)
    head, *rest = text.splitlines()
    place = head.split(",").index("MARRIAGE")
    fields = rest[0].split(",")
    fields[place] = "9"
    path.write_text("\n".join([head, ",".join(fields), *rest[1:]]))
    with pytest.raises(InputError, match=r"'MARRIAGE' holds \[9.0\]"):
        datasets.credit(path)


def test_the_credit_file_has_the_counts_of_its_paper() -> None:
    """30,000 clients, 6,636 defaults, 18,112 women, 345 unexplained codes of education."""
    splits = datasets.credit(shared("credit_default.csv.gz"))
    parts = parts_of(splits)
    sexes = Counter(np.concatenate([t.columns["sex"] for t in parts]).tolist())

    assert [t.rows for t in parts] == [15750, 5250, 9000]
    assert sum(int(t.columns["default"].sum()) for t in parts) == 6636
    assert sexes == {"Female": 18112, "Male": 11888}
    assert "education (345), marriage (54)" in splits.notes[0]


# --- sentences -----------------------------------------------------------------------------------


def _posts(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("post", "toxic", "about"), *rows])
    return path


def test_equal_sentences_are_never_in_two_parts(tmp_path: Path) -> None:
    """One of each is kept; those with two labels, and those without one, go; the note counts them."""
    rows = [(f"sentence {i}", str(i % 2), "x") for i in range(20)]
    rows += [("sentence  1 ", "1", "y"), ("sentence 2", "1", "y"), ("", "1", "y"), ("no label", "", "y")]

    splits = datasets.sentences(
        _posts(tmp_path / "posts.csv", rows), text="post", label="toxic", sensitive=("about",)
    )
    texts = [text for t in parts_of(splits) for text in t.columns["text"]]

    assert sorted(texts) == sorted(f"sentence {i}" for i in range(20) if i != 2)
    assert splits.notes == (
        (
            "19 of 24 sentences are used: 2 rows had no sentence or no label, 2 repeated a sentence, "
            "1 sentences had two labels."
        ),
    )


def test_what_belongs_together_stays_together(tmp_path: Path) -> None:
    """Rows of one author are in one part."""
    rows = [(f"sentence {i}", "yes" if i % 2 else "no", f"author {i % 6}") for i in range(60)]
    splits = datasets.sentences(
        _posts(tmp_path / "posts.csv", rows),
        text="post",
        label="toxic",
        positive="yes",
        sensitive=("about",),
        together="about",
    )
    authors = [set(t.columns["about"]) for t in parts_of(splits)]

    assert sum(map(len, authors)) == 6
    assert splits.held_out.binary("toxic").sum() in {0, 10, 20}


def test_a_column_of_sentences_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the columns there are."""
    path = _posts(tmp_path / "posts.csv", [("a", "1", "x")])
    with pytest.raises(
        InputError, match=r"posts.csv: column: 'text' is not there; there are: about, post, toxic"
    ):
        datasets.sentences(path, text="text", label="toxic")
    with pytest.raises(InputError, match="1 different sentences with a label are too few"):
        datasets.sentences(path, text="post", label="toxic")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_shared_sentences_are_read(language: str) -> None:
    """Tens of thousands of them, packed; the parts share no sentence."""
    path = shared(f"toxicity_templates_{language}.csv.gz")

    splits = datasets.sentences(path, text="phrase", label="toxicity", positive="toxic")

    with gzip.open(path, "rt", encoding="utf-8") as rows:
        assert sum(t.rows for t in parts_of(splits)) == sum(1 for _ in csv.DictReader(rows))
    assert len(set.union(*(set(t.columns["text"]) for t in parts_of(splits)))) == sum(
        t.rows for t in parts_of(splits)
    )


# --- templates -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def templates() -> Splits:
    return datasets.templates()


def test_no_held_out_template_was_learned_from(templates: Splits) -> None:
    """Parts share identities and words, never a template."""
    names = [set(t.columns["template"]) for t in parts_of(templates)]

    assert [len(n) for n in names] == [36, 12, 12]
    assert len(set.union(*names)) == 60
    assert [t.rows for t in parts_of(templates)] == [2592, 864, 864]


def test_neither_identity_nor_template_tells_the_label(templates: Splits) -> None:
    """Each is hostile in exactly half of its sentences, in every part."""
    for part in parts_of(templates):
        hostile = part.columns["hostile"]
        for column in ("identity", "template", "language"):
            values = part.columns[column].astype(str)
            for value in set(values):
                assert hostile[values == value].mean() == 0.5


def test_both_languages_name_the_same_identities(templates: Splits) -> None:
    """So that a group holds sentences of both; each is large enough to be compared."""
    held_out = templates.held_out
    counts = Counter(zip(held_out.columns["language"], held_out.columns["identity"], strict=True))

    assert len(counts) == 36
    assert set(counts.values()) == {24}


def test_every_sentence_is_filled_and_occurs_once(templates: Splits) -> None:
    """No brace is left over, and English sentences begin with a capital."""
    texts = [text for t in parts_of(templates) for text in t.columns["text"]]

    assert len(set(texts)) == len(texts) == 4320
    assert not any("{" in text or "}" in text for text in texts)
    assert all(text[0].isupper() for text in texts if text.isascii())


def test_one_language_can_be_asked_for() -> None:
    """Half of the sentences."""
    assert datasets.templates(languages=("zh",)).held_out.rows == 432


# --- running text --------------------------------------------------------------------------------


def test_topics_are_never_divided_and_nothing_is_lost() -> None:
    """The pieces of a topic, one after the other, are the topic again."""
    from pydoc_data.topics import topics

    parts = parts_of(datasets.text_lines())
    names = [set(t.columns["topic"]) for t in parts]

    assert sum(map(len, names)) == len(topics)
    for t in parts:
        for name in sorted(set(t.columns["topic"]))[:5]:
            pieces = t.columns["text"][t.columns["topic"] == name]
            assert topics[name].startswith("".join(pieces))
            assert len(topics[name]) - len("".join(pieces)) <= 1


def test_a_text_of_the_users_own_is_divided_by_paragraph(tmp_path: Path) -> None:
    """Blank lines part paragraphs, also where they hold spaces or Windows wrote them."""
    path = tmp_path / "book.txt"
    path.write_bytes(b"One.\r\n \r\nTwo\r\nlines.\r\n\r\n\r\nThree.\r\n\r\nFour.")

    parts = parts_of(datasets.text_lines(file=path, length=4))

    assert sorted("".join(t.columns["text"]) for t in parts if t.rows) != []
    assert sorted(p for t in parts for p in t.columns["text"]) == sorted(
        ["One.", "Two\n", "line", "s.", "Thre", "e.", "Four"]
    )
    path.write_text("One.\n\nTwo.")
    with pytest.raises(InputError, match="at least three paragraphs"):
        datasets.text_lines(file=path)


def test_a_piece_that_nothing_follows_is_left_out() -> None:
    """A single character has nothing to be predicted from it."""
    assert cut_up("abcdefg", 3) == ["abc", "def"]
    assert cut_up("abcdefgh", 3) == ["abc", "def", "gh"]


# --- asked for by a recipe -----------------------------------------------------------------------


def test_every_name_gives_its_data() -> None:
    """By name alone where everything has a default; those from a file say how they are asked for."""
    for name in ("breast_cancer", "digits", "templates", "text_lines"):
        assert datasets.by_name(name).held_out.rows > 100
    with pytest.raises(InputError, match=r"'credit' are read from a file of yours: data: \{credit: \{file"):
        datasets.by_name("credit")
    with pytest.raises(InputError, match=r"'sentences' are read from a file of yours"):
        datasets.by_name("sentences")
    with pytest.raises(InputError, match=r"'digit' is not there.*Did you mean 'digits'"):
        datasets.by_name("digit")


def test_details_are_handed_on(tmp_path: Path) -> None:
    """And paths are looked for beside the file that names them."""
    _credit(tmp_path / "c.csv", codes=True)
    _posts(tmp_path / "p.csv", [(f"sentence {i}", str(i % 2), "x") for i in range(20)])
    (tmp_path / "t.txt").write_text("One.\n\nTwo.\n\nThree.")

    asked = [
        Data(digits=Digits(shape="series")),
        Data(credit=Credit(file="c.csv")),
        Data(sentences=Sentences(file="p.csv", text="post", label="toxic", positive=1)),
        Data(text_lines=TextLines(file="t.txt", length=2)),
        Data(templates=Templates(languages=("en",))),
    ]
    features = [datasets.by_name(data, here=tmp_path).held_out.roles["feature"][0] for data in asked]

    assert features == ["series", "LIMIT_BAL", "text", "text", "text"]
    assert datasets.by_name(Data(digits=Digits(seed=8))).held_out.digest != datasets.digits().held_out.digest


def test_a_recipe_names_its_data_or_says_more(tmp_path: Path) -> None:
    """An unknown key is refused with its path, and so are two kinds at once."""
    from rai_bigmodel.training import recipe

    path = tmp_path / "r.yaml"
    path.write_text("data: {digits: {shape: series}}\nnet: {mlp: {}}\n")
    assert recipe.read(path).data == Data(digits=Digits(shape="series"))
    for data, said in (
        ("{digits: {shapes: series}}", r"\$\.data\.digits\.shapes: unknown key"),
        ("{digits: {}, templates: {}}", r"\$\.data: .*exactly one of .*got digits, templates"),
        ("{templates: {languages: []}}", r"\$\.data\.templates: .*languages must be en, zh or both"),
        ("{text_lines: {length: 1}}", r"\$\.data\.text_lines: .*at least 2 characters, got 1"),
    ):
        path.write_text(f"data: {data}\nnet: {{mlp: {{}}}}\n")
        with pytest.raises(InputError, match=said):
            recipe.read(path)


def test_an_audit_file_asks_for_the_same_data() -> None:
    """By name, as in a recipe; everything else still describes a file of rows."""
    from rai_bigmodel.asking import splits_of

    held_out = splits_of({"digits": {"shape": "series"}}, "audit.yaml", Path()).held_out

    assert held_out.arrays("series")["series"].shape == (450, 8, 8)
    with pytest.raises(InputError, match=r"audit.yaml: \$\.data\.digits\.form: unknown key"):
        splits_of({"digits": {"form": "series"}}, "audit.yaml", Path())
    with pytest.raises(InputError, match=r"audit.yaml: \$\.data\.truth: this key is required"):
        splits_of({"file": "x.csv"}, "audit.yaml", Path())
