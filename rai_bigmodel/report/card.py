"""What does a model card say? The sections of Mitchell et al. (2019), numbers from evidence, the rest from people.

What a person should have said and did not is written as missing; nothing is filled in for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rai_bigmodel.report import measured
from rai_bigmodel.report.called import OUTCOMES
from rai_bigmodel.report.facts import decision_words
from rai_bigmodel.report.markdown import plain
from rai_bigmodel.report.phrases import named, prose, rule_title, sentence
from rai_bigmodel.statements import QUESTIONS
from rai_bigmodel.words import percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import Evidence
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements


def card(dossier: Dossier, verdict: Verdict | None = None, *, statements: Statements | None = None) -> bytes:
    """A model card as Markdown in UTF-8; the same bytes every time."""
    primary = dossier.manifest.primary
    made = (
        f"Made from the evidence of run `{dossier.manifest.run}`, manifest `{dossier.manifest.digest}`. Every number "
        "is from there. What people stated has a name and a date; what they did not state is *missing*."
    )
    lines = [f"# Model card: {plain(named(primary.name)) if primary else 'a model'}", "", made]
    for title, found in (
        ("Model details", _details(dossier, statements)),
        ("Intended use", _asked(statements, "intended_use", "prohibited_use", "oversight")),
        ("Factors", _factors(dossier, statements)),
        ("Metrics", _metrics(dossier, verdict, statements)),
        ("Evaluation data", _evaluated(dossier, statements)),
        ("Training data", _trained(dossier, statements)),
        ("Quantitative analyses", _quantities(dossier)),
        (
            "Ethical considerations",
            _asked(statements, "risk_management", "impact_assessment", "human_decision"),
        ),
        ("Caveats and recommendations", _caveats(dossier, verdict, statements)),
    ):
        lines += ["", f"## {title}", "", *found]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _asked(statements: Statements | None, *names: str) -> Iterator[str]:
    given = statements.statements if statements else {}
    for name in names:
        title = QUESTIONS[name].title
        if name in given:
            one = given[name]
            who = f"{prose(one.by)}, {prose(one.date)}"
            yield f"- **{title}**: {plain(prose(one.says))} ({plain(who)})"
        else:
            yield f"- **{title}**: *missing*. {QUESTIONS[name].asks}"


def _details(dossier: Dossier, statements: Statements | None) -> Iterator[str]:
    primary, made = dossier.manifest.primary, dossier.manifest
    if primary:
        yield f"- **Kind**: {plain(prose(primary.kind))}"
        yield f"- **Digest**: {f'`{primary.digest}`' if primary.digest else 'none'}"
        yield f"- **Decision**: {plain(decision_words(primary.decision))}"
    yield f"- **Evidence made**: {plain(prose(made.circumstances.created)) or 'undated'}, by {plain(prose(made.tool))}"
    yield from _asked(statements, "developer", "owner", "validator", "inventory_id", "tier")


def _factors(dossier: Dossier, statements: Statements | None) -> Iterator[str]:
    groups: dict[str, dict[str, int | None]] = {}
    for evidence in dossier.find("fairness"):
        for m in evidence.measurements:
            if m.metric == "fairness.selection_rate" and {"attribute", "group"} <= set(m.labels):
                groups.setdefault(m.labels["attribute"], {}).setdefault(m.labels["group"], m.n)
    for attribute, found in groups.items():
        rows = {group: "" if n is None else f" ({plural(n, 'row')})" for group, n in found.items()}
        of = ", ".join(f"{plain(named(group))}{n}" for group, n in rows.items())
        yield f"- **{plain(named(attribute))}**: {of}"
    if not groups:
        yield "- No groups were compared."
    yield from _asked(statements, "population")
    yield from _stated_or_noted(dossier, statements, "attributes_from")


def _stated_or_noted(dossier: Dossier, statements: Statements | None, name: str) -> Iterator[str]:
    yield from _asked(statements, name)
    noted = prose(dossier.manifest.evidence.facts.get(name, ""))
    if noted and (statements is None or name not in statements.statements):
        yield f"  - audit.yaml says, without a name and a date: {plain(noted)}"


def _metrics(dossier: Dossier, verdict: Verdict | None, statements: Statements | None) -> Iterator[str]:
    audits = dict.fromkeys(e.audit for e in dossier.evidence if e.subject.role == "primary")
    yield f"- **Measured**: {', '.join(plain(audit) for audit in audits) or 'nothing'}"
    if verdict is None:
        yield "- **Limits**: none; this evidence was not judged."
    else:
        policy = verdict.policy
        sure = f"at {percent(policy.confidence)} confidence"
        yield f"- **Policy**: {plain(named(policy.name))}, {sure}, `{policy.digest}`"
        for ruling in verdict.rulings:
            warned = ", a warning" if ruling.rule.severity == "warn" else ""
            yield (
                f"  - {plain(rule_title(ruling.rule))}: **{OUTCOMES[ruling.outcome]}**{warned}. "
                f"{plain(prose(ruling.words))} Why: {plain(prose(ruling.rule.because))}"
            )
    yield from _asked(statements, "limits_appropriate")


def _evaluated(dossier: Dossier, statements: Statements | None) -> Iterator[str]:
    used = dict.fromkeys(e.data for e in dossier.evidence if e.subject.role == "primary")
    for data in used:
        yield f"- {plain(named(data.name))}: {plural(data.rows, 'row')}, `{data.digest or 'no digest'}`"
    yield from _stated_or_noted(dossier, statements, "label_means")
    yield from _asked(statements, "data_origin")


def _trained(dossier: Dossier, statements: Statements | None) -> Iterator[str]:
    used = {e.data.digest for e in dossier.evidence}
    rest = [d for d in dossier.manifest.evidence.data if d.digest not in used]
    for data in rest:
        yield f"- {plain(named(data.name))}: {plural(data.rows, 'row')}, `{data.digest or 'no digest'}`"
    if not rest:
        yield "- The evidence names no rows beside those it was measured on."
    yield from _asked(statements, "data_origin")


def _quantities(dossier: Dossier) -> Iterator[str]:
    """All numbers of the primary subject that have no label, or are about an attribute or its groups."""
    for name, evidence in zip(dossier.manifest.names, dossier.evidence, strict=True):
        if evidence.subject.role != "primary" or name.endswith("-clock.json"):
            continue
        tables = list(_tables(evidence))
        if evidence.failure:
            yield f"The audit {plain(evidence.audit)} broke: {plain(prose(evidence.failure))}"
            yield ""
        if tables:
            label = prose(name.removesuffix(".json").removeprefix(evidence.audit).strip("-"))
            yield f"### {plain(sentence(evidence.audit))}{f': {plain(label)}' if label else ''}"
            yield ""
            level = measured.usual_level([evidence])
            if level is not None:
                yield f"Intervals at {percent(level)}."
                yield ""
            for title, table in tables:
                yield from _table(title, table)


def _tables(evidence: Evidence) -> Iterator[tuple[str, measured.ShownTable]]:
    shown = measured.shown({"primary": evidence})
    for table in shown.overall:
        yield "Overall", table
    for attribute, gaps, groups in shown.attributes:
        kind = "Intersection" if "*" in attribute else "By"
        for table in (*gaps, *groups):
            yield f"{kind} {attribute}: {table.caption.lower() or 'in numbers'}", table


def _table(title: str, table: measured.ShownTable) -> Iterator[str]:
    heads = [table.corner, *(name for name, _ in table.columns)]
    yield f"**{plain(title)}**"
    yield ""
    yield f"| {' | '.join(plain(head) for head in heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in table.rows:
        head = f"{row.head} ({row.small})" if row.small else row.head
        yield f"| {' | '.join([plain(head), *(_cell(cell) for cell in row.cells)])} |"
    yield ""


def _cell(cell: measured.Cell) -> str:
    inside = ", ".join(part for part in (cell.interval, cell.small) if part)
    return plain(f"{cell.value} ({inside})" if inside else cell.value)


def _caveats(dossier: Dossier, verdict: Verdict | None, statements: Statements | None) -> Sequence[str]:
    out = [*_asked(statements, "caveats")]
    out.append(f"- **Judged**: {plain(prose(verdict.headline))}" if verdict else "- **Judged**: not judged.")
    for name, why in sorted(dossier.manifest.evidence.not_run.items()):
        out.append(f"- **Not measured**: {plain(prose(name))}: {plain(prose(why))}")
    reasons: dict[tuple[str, str], int] = {}
    for evidence in dossier.evidence:
        for m in evidence.measurements if evidence.subject.role == "primary" else ():
            if m.value is None:
                reasons[m.metric, prose(m.why)] = reasons.get((m.metric, prose(m.why)), 0) + 1
    for (metric, why), count in reasons.items():
        times = f" ({count} times)" if count > 1 else ""
        out.append(f"- **Not measured**: {plain(metric)}{times}: {plain(why)}")
    out.append(
        "- This card does not decide whether the model may be used, and says of nothing that it complies."
    )
    return out
