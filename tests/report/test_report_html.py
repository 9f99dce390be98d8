"""Facts of the page: what it says, in which order, and that nothing from the data can act in it."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import report_dossier as made

from rai_bigmodel.dossier import Dossier, file_name
from rai_bigmodel.evidence import Decision, Measurement
from rai_bigmodel.files import visible
from rai_bigmodel.policy import Policy, Rule, Ruling, Verdict
from rai_bigmodel.report import charts, html
from rai_bigmodel.report.facts import decision_words
from rai_bigmodel.report.rules import sentences, shown_rules

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Reader(HTMLParser):
    """Collects the elements of a page and checks that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        assert len({k for k, _ in attrs}) == len(attrs), f"an attribute stands twice in <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element that closes itself."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be this one."""
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Remember a text."""
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element with this name."""
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        """All text, spaces made one."""
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def dossier() -> Dossier:
    """The synthetic dossier."""
    return made.dossier()


@pytest.fixture(scope="module")
def verdict(dossier: Dossier) -> Verdict:
    """Its verdict."""
    return made.verdict(dossier)


@pytest.fixture(scope="module")
def page(dossier: Dossier, verdict: Verdict) -> str:
    """Its page."""
    return html.render(dossier, verdict).decode("utf-8")


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    """Its page, read."""
    return Reader(page)


def test_same_dossier_gives_the_same_bytes_and_they_are_few(
    dossier: Dossier, verdict: Verdict, page: str
) -> None:
    """Rendering is pure, and a page of the demo's size keeps its promise of 300 kB."""
    again = html.render(dossier, verdict)

    assert again == page.encode("utf-8")
    assert len(again) < 300_000


def test_bytes_do_not_depend_on_hash_seed(dossier: Dossier, verdict: Verdict, page: str) -> None:
    """Another process with another order of sets gives the same page."""
    code = (
        "import sys,hashlib;sys.path[:0]=sys.argv[1:];import report_dossier as m;"
        "from rai_bigmodel.report import html;d=m.dossier();"
        "print(hashlib.sha256(html.render(d,m.verdict(d))).hexdigest())"
    )
    here, root = __file__.rpartition("/")[0], __file__.rpartition("/tests/")[0]
    run = subprocess.run(
        [sys.executable, "-c", code, here, root],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "77"},
    )

    assert run.stdout.strip() == hashlib.sha256(page.encode("utf-8")).hexdigest()


def test_hooks_for_programs_are_there(dossier: Dossier, verdict: Verdict, read: Reader) -> None:
    """The body says the verdict, each rule its metric and outcome, each audit has its section, the head the digest."""
    (body,) = read.all("body")
    metas = {m.get("name"): m.get("content") for m in read.all("meta")}
    rules = [a for a in read.all("li") if "data-metric" in a]
    sections = {a.get("id") for a in read.all("section")}

    assert body["data-verdict"] == verdict.outcome == "fail"
    assert metas["rai-manifest"] == dossier.manifest.digest
    assert sorted(a["data-outcome"] or "" for a in rules) == sorted(r.outcome for r in verdict.rulings)
    assert {r.rule.metric for r in verdict.rulings if r.rule.metric} <= {a["data-metric"] for a in rules}
    assert {f"audit-{e.audit}" for e in dossier.evidence} <= sections
    assert read.all("html") == [{"lang": "en"}]


def test_ids_are_unique_and_every_link_inside_the_page_leads_somewhere(read: Reader) -> None:
    """No id stands twice; every address is a place on the page."""
    ids = [a["id"] for _, a in read.elements if "id" in a]
    targets = [a["href"] or "" for a in read.all("a")]
    named = [i for _, a in read.elements for i in (a.get("aria-labelledby") or "").split()]

    assert len(ids) == len(set(ids))
    assert all(t.startswith("#") and t[1:] in ids for t in targets)
    assert set(named) <= set(ids)


def test_page_has_no_script_no_network_and_a_policy_that_forbids_both(page: str, read: Reader) -> None:
    """The style sheet is the one the policy names by hash; nothing has a style or an address of its own."""
    csp = next(
        m["content"] or "" for m in read.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert csp.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not read.all("script")
    assert not [a for _, a in read.elements if "style" in a or any(k.startswith("on") for k in a)]
    assert all((a["src"] or "").startswith("data:image/png;base64,") for a in read.all("img"))
    assert re.findall(r"(?:https?:)?//[a-z]|url\(|@import|javascript:", page) == []
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_verdict_stands_before_rules_and_rules_before_audits(page: str) -> None:
    """The order is that of the contract: verdict, rules, contents, audits, what is missing, how to repeat."""
    places = [
        page.index(x) for x in ('id="verdict"', 'id="rules"', 'id="contents"', 'id="audit-performance"')
    ]
    places += [page.index(x) for x in ('id="audit-fairness"', 'id="not-measured"', 'id="repeat"')]

    assert places == sorted(places)


def test_every_rule_has_its_reason_its_words_and_its_number(verdict: Verdict, read: Reader) -> None:
    """Each rule says why it exists and how it ended."""
    for ruling in verdict.rulings:
        assert ruling.rule.because in read.text
        assert ruling.words.replace(" %", "\u00a0%").replace("\u00a0", " ") in read.text.replace(
            "\u00a0", " "
        )


def test_rules_are_sorted_fails_first_and_warnings_last(dossier: Dossier, verdict: Verdict) -> None:
    """Fails, inconclusive, waived, passes; then the warnings in the same order."""
    order = [
        (["fail", "inconclusive", "waived", "pass"].index(r.outcome))
        for r in shown_rules(verdict, dossier)
        if not r.warning
    ]
    warned = [r.warning for r in shown_rules(verdict, dossier)]

    assert order == sorted(order)
    assert warned == sorted(warned)
    assert sum(warned) == 3


def test_interval_of_a_rule_is_the_rung_of_the_policy_not_the_interval_of_the_table(dossier: Dossier) -> None:
    """At 99 % confidence the line is the one at α = 0.01, though the measurement's own interval is at 95 %."""
    limit = {"metric": "performance.roc_auc", "at_least": 0.5, "because": "x"}
    strict = made.verdict(dossier, Policy(name="p", rules=(Rule(**limit),), confidence=0.99))
    (rule,) = shown_rules(strict, dossier)
    m = strict.rulings[0].measurement
    assert m is not None
    assert m.interval is not None
    rung = m.interval.rung(0.01)
    assert rung is not None

    assert rule.interval == f"{rung[1]:.3f} to {rung[2]:.3f}"
    assert m.interval.low != rung[1]


def test_gap_names_its_two_groups_and_the_rows_of_each(dossier: Dossier, verdict: Verdict) -> None:
    """The rows come from the per-group rates that stand in the same evidence."""
    rule = next(
        r for r in shown_rules(verdict, dossier) if "groups of race" in r.title and "Selection" in r.title
    )

    assert rule.rows == ("White 673", "Black 79")


def test_rule_over_many_measurements_names_the_one_that_decided(dossier: Dossier) -> None:
    """Of eight features the strongest is named beside its number."""
    rule = Rule(metric="data.leak_auc", at_most=0.98, because="x")
    (shown,) = shown_rules(made.verdict(dossier, Policy(name="p", rules=(rule,))), dossier)

    assert shown.rows == ("gdlin", "n 1,989")


def test_first_sentence_says_between_whom_and_by_how_much(dossier: Dossier, verdict: Verdict) -> None:
    """The reader learns the groups, their rates, their rows, the gap, its cautious end and the limit."""
    first = sentences(verdict, dossier)[0]

    for part in (
        "Black",
        "63.3 %",
        "79 rows",
        "White",
        "89.3 %",
        "673 rows",
        "26 points",
        "12.9 points",
        "limit is 5",
    ):
        assert part in first


def test_without_a_verdict_the_page_says_not_judged(dossier: Dossier) -> None:
    """No data-verdict, no rule, no outcome word in the head."""
    read = Reader(html.render(dossier, None).decode())

    assert "data-verdict" not in read.all("body")[0]
    assert not [a for a in read.all("li") if "data-metric" in a]
    assert "Not judged" in read.text
    assert "What the policy asks" not in read.text


def test_everything_that_is_null_says_why(dossier: Dossier, read: Reader) -> None:
    """Each reason stands among what was not measured, the audit that broke and what was not run too."""
    after = read.text.partition("What was not measured, and why")[2].partition(
        "What was not measured, and why"
    )[2]
    for e in dossier.evidence:
        assert e.failure in after
        for m in e.measurements:
            if m.value is None:
                assert m.why in after
    for why in dossier.manifest.evidence.not_run.values():
        assert why in after


def test_every_number_is_on_the_page(dossier: Dossier, read: Reader) -> None:
    """The primary's measurements are all there, each as the page writes numbers."""
    from rai_bigmodel.report.digits import even
    from rai_bigmodel.report.phrases import phrase

    for e in dossier.evidence:
        for m in e.measurements:
            if m.value is not None:
                assert even(m.value, unit=phrase(m.metric).unit) in read.text


def test_digests_versions_and_files_are_at_the_end(dossier: Dossier, read: Reader) -> None:
    """Whoever must repeat the run finds all of it."""
    end = read.text.partition("To repeat this")[2].partition("To repeat this")[2]
    made_by, when = dossier.manifest.evidence, dossier.manifest.circumstances
    stated = [
        *made_by.files,
        *made_by.files.values(),
        *when.clocks,
        *when.clocks.values(),
        *made_by.versions.values(),
    ]
    stated += [
        *(s.digest for s in made_by.subjects),
        *(d.digest for d in made_by.data),
        when.created,
        when.host,
    ]

    for text in [*stated, dossier.manifest.run, dossier.manifest.digest, *made_by.configuration.values()]:
        assert text in end
    assert "not counted" in end
    assert "prove nothing against someone who rewrote them all" in end


def test_relatives_stand_beside_the_primary(read: Reader) -> None:
    """Performance has one column for each subject."""
    heads = [t.strip() for t in read.texts]

    assert heads.index("primary") < heads.index("plain") < heads.index("reference")
    assert "simple yardstick" in heads


def test_page_never_says_that_a_model_may_ship(page: str) -> None:
    """The words that decide for people are not among ours."""
    words = Reader(page).text.lower()

    for claim in (
        "is fair",
        "is private",
        "compliant",
        "may ship",
        "is safe",
        "approved for use",
        "certified",
    ):
        assert claim not in words


HOSTILE = (*made.HOSTILE, "lone\ud800surrogate")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_name_is_shown_and_never_acts(name: str, page: str) -> None:
    """As a group, an attribute, a label of a chart, a title, a note: the page gains no element and no attribute."""
    tags = {"attribute": name or "empty", "group": name, "high": name, "low": "B"}
    audit = made.evidence(
        "fairness",
        name,
        [
            made.estimate("fairness.selection_rate", 0.5, 0.1, 40, attribute="a", group=name),
            made.estimate("fairness.selection_rate", 0.9, 0.1, 40, attribute="a", group="B"),
            made.estimate(
                "fairness.demographic_parity_difference", 0.4, 0.01, 80, **{**tags, "attribute": "a"}
            ),
            made.exact("fairness.other", 1, thing=name, more="x"),
            Measurement(metric="fairness.nothing", kind="exact", value=None, why=name or "none"),
        ],
        exhibits=(made.dots_of(name),),
        notes=(name,),
        failure=name,
    )
    if any(0xD800 <= ord(c) < 0xE000 for c in name):
        # JSON in UTF-8 cannot hold such a name, so it never reaches a manifest; the picture must bear it.
        assert "ud800" in charts.dots(made.dots_of(name)).encode("utf-8").decode()
        return
    found = made.dossier([(file_name("fairness", label="hostile"), audit)])
    rule = Rule(
        metric="fairness.demographic_parity_difference",
        where={"attribute": "a"},
        at_most=0.05,
        because=name or "x",
    )
    judged = made.verdict(found, Policy(name=name, rules=(rule,)))
    text = html.render(found, judged).decode("utf-8")
    read = Reader(text)

    assert {t for t, _ in read.elements} <= {t for t, _ in Reader(page).elements} | {"sup"}
    assert {k for _, a in read.elements for k in a} <= {k for _, a in Reader(page).elements for k in a}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b\u202e\ud800-\udfff]", text)
    assert (" ".join(visible(name).split()) or "(empty)") in read.text


def test_waived_rule_is_shown_as_waived(dossier: Dossier, verdict: Verdict) -> None:
    """The word and the tally are there for waivers to come."""
    first = verdict.rulings[0]
    waived = Ruling(
        rule=first.rule, outcome="waived", measurement=first.measurement, words="Waived until 2027-01-31."
    )
    changed = Verdict(policy=verdict.policy, rulings=(waived, *verdict.rulings[1:]), outcome=verdict.outcome)
    read = Reader(html.render(dossier, changed).decode())

    assert "1 rule is waived and does not count." in read.text
    assert [a for a in read.all("li") if a.get("data-outcome") == "waived"]


def test_policy_that_is_met_says_which_rule_is_closest(dossier: Dossier) -> None:
    """A pass is worded by what is shown, and the least room is named."""
    rules = (
        Rule(metric="performance.roc_auc", at_least=0.85, because="a"),
        Rule(metric="privacy.epsilon_spent", at_most=4, because="b"),
    )
    judged = made.verdict(dossier, Policy(name="p", rules=rules))

    assert judged.outcome == "pass"
    assert "Training spent ε at most 4" in sentences(judged, dossier)[-1]


def test_variants_and_timings_of_an_audit_stand_in_its_section(dossier: Dossier) -> None:
    """A second run of an audit under another label is a block of its own inside the same section."""
    again = made.evidence("performance", "Again?", [made.exact("performance.accuracy", 0.91234)])
    text = html.render(made.dossier([(file_name("performance", label="age"), again)]), None).decode()
    section = text.partition('id="audit-performance"')[2].partition("<section")[0]

    assert 'id="audit-performance-2"' in section
    assert "0.912" in section
    assert text.count('id="audit-performance"') == 1


def test_large_run_stays_small() -> None:
    """200 measurements and 60 exhibits: at most 800 kB."""
    shares = [
        made.estimate("explainability.importance", 0.1 + i / 1000, 0.01, 500, feature=f"f{i}")
        for i in range(200)
    ]
    pictures = tuple(made.performance().exhibits[i % 2] for i in range(60))
    audit = made.evidence("explainability", "Which?", shares, exhibits=pictures)

    assert len(html.render(made.dossier([(file_name("explainability", label="big"), audit)]), None)) < 800_000


def test_importing_report_loads_no_template_engine() -> None:
    """The command line may import the package without paying for jinja2."""
    code = "import sys, rai_bigmodel.report; print([m for m in ('jinja2', 'numpy', 'torch') if m in sys.modules])"
    root = __file__.rpartition("/tests/")[0]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

    assert run.stdout.strip() == "[]"


def test_rendering_loads_no_numpy() -> None:
    """The page needs no numeric library."""
    code = (
        "import sys;sys.path[:0]=sys.argv[1:];import report_dossier as m;from rai_bigmodel.report import html;"
        "html.render(m.dossier(),None);print([x for x in ('numpy','torch','pandas','matplotlib') if x in sys.modules])"
    )
    here, root = __file__.rpartition("/")[0], __file__.rpartition("/tests/")[0]
    run = subprocess.run([sys.executable, "-c", code, here, root], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (
            Decision(kind="threshold", threshold=0.4, positive="yes", labels=("no", "yes")),
            "the label yes at a score of 0.4 or more",
        ),
        (
            Decision(kind="threshold", threshold=None, positive="yes", labels=("no", "yes")),
            "the label yes where it is recorded",
        ),
        (
            Decision(kind="threshold", threshold=None, positive="1", labels=("1", "2", "3")),
            "one of 3 labels, as recorded",
        ),
        (Decision(kind="threshold", threshold=None, positive="", labels=()), "none"),
        (
            Decision(kind="argmax", threshold=None, positive="", labels=("1", "2", "3")),
            "the label with the largest score",
        ),
        (None, "not stated"),
    ],
)
def test_how_a_score_becomes_a_decision_is_said_as_it_is(decision, words: str) -> None:
    """Nothing is an unknown threshold of an empty label where a number is predicted or decisions were recorded."""
    assert decision_words(decision) == words
