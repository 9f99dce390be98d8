"""Is the page in another language complete, and does it say the same? What the code can say is read off its source."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from pathlib import Path
from string import Formatter

import fill_catalogues as catalogues
import msgspec
import pytest
import report_dossier as made

from rai_bigmodel import api
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Dots, Table
from rai_bigmodel.report import html
from rai_bigmodel.report.extracting import messages
from rai_bigmodel.report.language import (
    figure,
    language,
    language_of,
    languages,
    listed,
    number,
    percent,
    say,
    speaking,
    spoken,
)
from rai_bigmodel.report.patterns import Patterns, Reader, Said

SAMPLE = Path(__file__).parents[2] / "reports" / "samples" / "demo"
FILL = "Run `make messages`, write the empty msgstr in the .po file, run it again."


def page(dossier, verdict, lang="zh", **more) -> str:
    return html.render(dossier, verdict, lang=lang, **more).decode()


def in_english(text: str) -> list[str]:
    return re.findall(r'<span lang="en">(.*?)</span>', text)


@pytest.fixture(scope="module")
def sample():
    dossier = api.load(SAMPLE)
    return dossier, api.judge(dossier, SAMPLE / "policy.yaml")


@pytest.mark.parametrize(("domain", "po"), catalogues.catalogues(), ids=lambda x: getattr(x, "stem", x))
def test_every_message_that_the_code_can_say_is_translated(domain, po) -> None:
    """The messages are collected from the syntax trees and templates, not from a list somebody keeps."""
    written = catalogues.read(po)
    there = {m.id for m in written if m.id} - {m.id for m in catalogues.empty(written)}

    missing = [m.id for m in catalogues.said(domain) if m.id and m.id not in there]

    assert not missing, f"{len(missing)} messages are not in {po.name}: {missing[:5]}. {FILL}"


@pytest.mark.parametrize(("domain", "po"), catalogues.catalogues(), ids=lambda x: getattr(x, "stem", x))
def test_a_translation_has_the_braces_of_its_message(domain, po) -> None:
    """A number or a name that the sentence holds can be neither lost nor made up by translating it."""
    for message in catalogues.read(po):
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple | list) else (message.id,)
        said = message.string if isinstance(message.string, tuple | list) else (message.string,)
        wanted = {f for text in ids for _, f, _, _ in Formatter().parse(text) if f is not None}
        for text in said:
            assert {f for _, f, _, _ in Formatter().parse(text) if f is not None} == wanted, message.id


@pytest.mark.parametrize(("domain", "po"), catalogues.catalogues(), ids=lambda x: getattr(x, "stem", x))
def test_what_is_compiled_is_what_is_written(domain, po) -> None:
    """The page reads the compiled file; one left behind would say what was corrected long ago."""
    assert po.with_suffix(".mo").read_bytes() == catalogues.compiled(catalogues.read(po)), FILL


def test_nothing_of_ours_is_left_in_english_on_the_page_of_the_demo(sample) -> None:
    """The end of the mechanism, not its middle: sentences with numbers in them, from real evidence."""
    dossier, verdict = sample
    left = in_english(page(dossier, verdict))

    assert not left, (
        f"{left[:5]}: no message fits these sentences, so the source says them in a new way. {FILL}"
    )


def test_the_chinese_page_has_the_same_hooks_numbers_and_pictures(sample) -> None:
    """What a program reads, and what was measured, does not depend on who reads it."""
    dossier, verdict = sample
    chinese, english = page(dossier, verdict), page(dossier, verdict, lang="en")

    assert '<html lang="zh-Hans">' in chinese
    assert '<html lang="en">' in english
    for hook in (
        r'data-[a-z]+="[^"]*"',
        r' id="[^"]*"',
        r"<(?:rect|circle|line|path) [^>]*>",
        r'content="sha256:\w+"',
    ):
        assert re.findall(hook, chinese) == re.findall(hook, english)
    number = r"<strong>[−\d.,]+</strong>"
    assert len(re.findall(number, chinese)) > 5
    assert re.findall(number, chinese) == re.findall(number, english)
    day = dt.date.fromisoformat(dossier.manifest.circumstances.created[:10])
    assert f"{day.year}年{day.month}月{day.day}日" in chinese
    assert f"{day.day} {day:%B} {day.year}" in english


def test_verdicts_are_said_as_a_risk_officer_says_them(sample) -> None:
    """The words of the four outcomes, and of the verdict."""
    dossier, verdict = sample
    text = page(dossier, verdict)

    for word in ("不通过", "无法定论", "已豁免", "通过", "未满足政策 lending-v1", "整个区间都高于限值"):
        assert word in text


def test_a_sentence_of_a_plugin_stays_and_is_marked_as_english() -> None:
    """Nobody translated it, so a voice must read it as English; a program finds it by the mark."""
    foreign = msgspec.structs.replace(
        made.performance(),
        audit="churn",
        measurements=(),
        notes=("Churn is driven by tenure of the account.",),
        exhibits=(Table(title="Who leaves first and why", columns=("who",), rows=(("nobody we know of",),)),),
    )
    again = made.dossier([("churn.json", foreign)])
    text = page(again, None)

    assert '<span lang="en">Churn is driven by tenure of the account.</span>' in text
    assert '<span lang="en">Who leaves first and why</span>' in text
    assert "lang=" not in page(again, None, lang="en").partition("<body")[2]
    assert 'aria-label="<' not in text


def test_a_name_from_the_data_is_no_word_whatever_it_means() -> None:
    """A group called "Value" and a feature called "accuracy" are names, and stay."""
    chinese = language("zh")
    named = Reader(chinese.patterns, names=("accuracy", "Value"))
    plain = Reader(chinese.patterns)

    assert named.said("accuracy") == "accuracy"
    assert plain.said("accuracy") == "准确率"
    assert named.said("no rows of this group count towards its accuracy") == "该组没有可计入accuracy的行"


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "At most 0.058 with 95 % confidence; the limit is 0.1.",
            "在 95 % 置信度下不超过 0.058；限值为 0.1。",
        ),
        (
            "At most 0.0912 with 95 % confidence; the limit is 0.1. (3 of 3 measurements pass.)",
            "在 95 % 置信度下不超过 0.0912；限值为 0.1。（3 项测量中有 3 项通过。）",
        ),
        (
            "The whole interval lies above the limit, 0.1, also after Holm's correction.",
            "整个区间都高于限值 0.1，经 Holm 校正后仍然成立。",
        ),
        (
            "The interval contains the limit, 0.8. It is too near to the limit for more rows to settle it.",
            "区间包含限值 0.8。数值离限值太近，增加行数也无法定论。",
        ),
        (
            "Not measured: no training rows were given",
            "未测量：没有提供训练数据",
        ),
        (
            "1 row cannot be halved and searched; at least 400 are needed",
            "1 行无法对半拆分后搜索；至少需要 400 行",
        ),
    ],
)
def test_sentences_are_recognised_with_their_numbers(english, chinese) -> None:
    """What stands in the braces is carried over; several sentences are read one by one."""
    assert Reader(language("zh").patterns).said(english) == chinese


def test_a_sentence_that_only_looks_like_one_of_ours_is_left_alone() -> None:
    """A light pattern such as "{n} of {k}" may not swallow what somebody else wrote."""
    read = Reader(Patterns.of({"{n} of {k}": "{k} 中的 {n}", "{column} is {value}": "{column} 为 {value}"}))

    assert read.said("3 of 4") == "4 中的 3"
    for text in ("The state of the art is what we say", "Churn is high among the young"):
        said = read.said(text)
        assert said == text
        assert isinstance(said, Said)


def test_reading_ends_soon_whatever_it_is_given() -> None:
    """Evidence may come from anyone: a text made to match and match again costs a moment, not an hour."""
    import time

    began = time.process_time()
    for text in ("a and b, c; d: " * 130, "the limit is " * 150, "(" * 1900, "x. " * 600, "of " * 600):
        Reader(language("zh").patterns).said(text)

    assert time.process_time() - began < 2.0


def test_the_source_is_read_as_it_runs() -> None:
    """Braces have the names of what fills them, each way of an if is a message, and errors are none."""
    source = '''
def words(n, name, kind):
    """A docstring is no message."""
    if n < 0:
        msg = f"{n} rows cannot be"
        raise ValueError(msg)
    return f"{plural(n, 'row')} of {named(name)} {'are fine' if n else 'is empty'}" + f", says {kind!r}."
'''

    assert {text for _, text in messages(source)} >= {
        "{n} row(s) of {name} are fine, says {kind}.",
        "{n} row(s) of {name} is empty, says {kind}.",
    }
    assert not any("cannot be" in text or "docstring" in text for _, text in messages(source))


def test_numbers_and_days_are_written_as_the_language_does(monkeypatch) -> None:
    """Marks of numbers come from the locale; Chinese has no blank before a per cent sign."""
    import datetime as dt

    from rai_bigmodel.report import language as room

    german = language("en")._replace(decimal=",", group=".")
    monkeypatch.setattr(room, "_ENGLISH", german)

    assert (number(1234.0), number(12.5), percent(0.055), figure("1.2.0")) == (
        "1.234",
        "12,5",
        "5,5 %",
        "1.2.0",
    )
    with speaking("zh"):
        assert room.day(dt.date(2026, 11, 8)) == "2026年11月8日"
        assert (number(1234.0), number(12.5)) == ("1,234", "12.5")
        assert listed(["a", "b", "c"]) == "a、b和c"


def test_a_language_that_is_not_there_is_refused_by_name() -> None:
    """Those that are there are named."""
    with pytest.raises(InputError, match=r"lang.*'de'.*en, zh|lang: 'de'"), speaking("de"):
        pass
    assert languages() == ("en", "zh")


def test_the_language_ends_with_the_page() -> None:
    """What is said after a Chinese page is English again, also when the page broke."""

    def breaks() -> None:
        with speaking("zh"):
            assert spoken("not known") == "未知"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks()

    assert say("not measured") == "not measured"


def test_a_page_tells_its_language() -> None:
    """`rai verify` renders a page anew in the language it is in; anything else is taken for English."""
    assert language_of(b'<!doctype html>\n<html lang="zh-Hans">') == "zh"
    assert language_of(b'<!doctype html>\n<html lang="xx">') == "en"
    assert language_of(b"") == "en"


def test_words_in_pictures_are_translated_and_names_are_not() -> None:
    """Axis and title are ours, the labels of dots are the data's."""
    dossier = made.dossier()
    first = next(e for e in dossier.evidence if any(isinstance(x, Dots) for x in e.exhibits))
    dots = next(x for x in first.exhibits if isinstance(x, Dots))
    text = page(dossier, None)

    assert all(f">{dot.label}<" in text for dot in dots.dots)
    assert "as a table" not in text
    assert "not measured" not in re.sub(r"<style>.*?</style>", "", text, flags=re.S)


def test_a_chinese_page_is_verified_byte_for_byte(tmp_path, sample) -> None:
    """The page says its language, so the folder beside it shows whether a word of it was changed."""
    dossier, verdict = sample
    folder = Path(shutil.copytree(SAMPLE, tmp_path / "run"))
    api.save_verdict(dossier, verdict, folder)
    path = api.write_report(dossier, verdict, path=folder / "report.html", lang="zh")

    assert api.verify(folder).holds
    path.write_text(path.read_text("utf-8").replace("不通过", "通过", 1), "utf-8")
    assert not api.verify(folder).holds


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", 'x" onload="alert(1)', "{n} of {k}", "{", "}{0}"]
)
def test_hostile_names_stay_names_in_a_translated_sentence(name) -> None:
    """What stands in the braces is escaped like everything else, and is no template itself."""
    evidence = msgspec.structs.replace(
        made.performance(), notes=(f"Groups by {name}", f"{name} is told by nobody we could ask"), exhibits=()
    )
    text = page(made.dossier([("performance.json", evidence)], only=True), None)

    assert "<script>alert" not in text
    assert 'onload="' not in text
    assert "{n}" not in text or name == "{n} of {k}"
