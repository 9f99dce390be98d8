"""What stands at the end of the page: what was not measured, and what one needs to repeat the rest?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import files
from rai_bigmodel.report.facts import Fact, audit_name, data_name, decision_words, runs_said
from rai_bigmodel.report.language import _, apart, counted, rows_said, say, spoken
from rai_bigmodel.report.patterns import Said
from rai_bigmodel.report.phrases import closed, name_of, named, prose, sentence, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.evidence import Measurement
    from rai_bigmodel.rules import Verdict
    from rai_bigmodel.statements import Statements


class Missing(NamedTuple):
    """What there is no number for, and why; `cases` are the groups, features … it is missing for."""

    what: str
    why: str
    cases: tuple[str, ...]


Cases = dict[str, dict[str, dict[str, None]]]
"""What a number is missing for: attribute → group, feature … → the roles it is missing for, in order."""


def not_run(dossier: Dossier) -> Iterable[tuple[str, str]]:
    """The audits that were not run, those for one reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, why in sorted(dossier.manifest.evidence.not_run.items()):
        by_reason.setdefault(why, []).append(audit_name(name))
    for why, names in by_reason.items():
        yield sentence(Said.of(" · ", names)), closed(sentence(spoken(prose(why))))


def missing(dossier: Dossier) -> Iterable[Missing]:
    """Broken audits first, then each reason with the metrics and cases that have no number for it."""
    for e in dossier.evidence:
        if e.failure:
            what = sentence(audit_name(e.audit))
            role = "" if e.subject.role == "primary" else f" ({named(e.subject.role)})"
            broke = say("The audit broke: {failure}", failure=spoken(prose(e.failure)))
            yield Missing(f"{what}{role}", broke, ())
    found: dict[tuple[str, str], dict[str, Cases]] = {}
    for e in dossier.evidence:
        for m in e.measurements:
            if m.value is None:
                names = found.setdefault((e.audit, prose(m.why)), {})
                attribute, case = _case(m)
                cases = names.setdefault(within(name_of(m.metric, m.labels)), {})
                roles = cases.setdefault(attribute, {}).setdefault(case, {})
                roles[named(e.subject.role)] = None
    for (audit, why), names in found.items():
        for same, alike in _alike(names):
            what = say("{audit}: {name}", audit=audit_name(audit), name=Said.of(" · ", same))
            yield Missing(sentence(what), closed(sentence(spoken(why))), tuple(_cases_said(alike)))


def _case(m: Measurement) -> tuple[str, str]:
    """The attribute a measurement is about, and its other labels in words."""
    left = {k: v for k, v in m.labels.items() if k not in {"high", "low", "to"} and v != "sized"}
    attribute = left.pop("attribute", "")
    scope = [_("small groups among them")] if left.pop("scope", "") == "all" else []
    ours = [spoken(left.pop(key).replace("_", " ")) for key in ("rate", "attack") if key in left]
    return named(attribute) if attribute else "", apart([*map(named, left.values()), *ours, *scope])


def _alike(names: Mapping[str, Cases]) -> list[tuple[list[str], Cases]]:
    """Metrics that lack a number for the same cases, together."""
    out: list[tuple[list[str], Cases]] = []
    for name, cases in names.items():
        same = next((known for known, those in out if those == cases), None)
        if same is None:
            out.append(([name], cases))
        else:
            same.append(name)
    return out


def _cases_said(cases: Cases) -> Iterable[str]:
    """``race*sex: Black*Female, White*Female (primary, plain)``: cases of the same roles together."""
    for attribute, by_case in cases.items():
        together: dict[tuple[str, ...], list[str]] = {}
        for case, roles in by_case.items():
            together.setdefault(tuple(roles), []).append(case)
        for whom, group in together.items():
            what = apart([case for case in group if case])
            text = (
                say("{title}: {parts}", title=attribute, parts=what)
                if attribute and what
                else attribute or what
            )
            whose = "" if whom == ("primary",) else apart(whom)
            if text and whose:
                yield say("{title} ({rest})", title=text, rest=whose)
            elif text or whose:
                yield text or whose


def repeat(
    dossier: Dossier, verdict: Verdict | None, statements: Statements | None
) -> Iterable[tuple[str, tuple[Fact, ...]]]:
    """What one needs to make the same bytes again: digests, versions, seeds, each under its heading."""
    made, when = dossier.manifest.evidence, dossier.manifest.circumstances
    run = [
        Fact(_("Run"), _("the digest of everything that can be reproduced"), dossier.manifest.run),
        Fact(_("Manifest"), _("the digest of manifest.json"), dossier.manifest.digest),
        Fact(_("Made by"), prose(dossier.manifest.tool)),
        Fact(_("Made"), prose(when.created) or _("undated")),
        Fact(_("Machine"), prose(when.host) or _("not stated")),
        Fact(_("Threads"), counted(made.threads)),
    ]
    run.append(Fact(_("Use of these rows"), runs_said(verdict)))
    if verdict:
        run.append(Fact(_("Policy"), named(verdict.policy.name), verdict.policy.digest))
    if statements:
        run.append(Fact(_("Statements"), _("what statements.yaml says"), statements.digest))
    yield _("This run"), tuple(run)
    yield (
        _("Subjects"),
        tuple(
            Fact(
                prose(s.role),
                f"{named(s.name)} ({prose(s.kind)}): {decision_words(s.decision)}",
                prose(s.digest) or _("no digest"),
            )
            for s in made.subjects
        ),
    )
    yield (
        _("Rows"),
        tuple(
            Fact(data_name(d.name), rows_said(d.rows), prose(d.digest) or _("no digest")) for d in made.data
        ),
    )
    yield (
        _("Configuration"),
        tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.configuration.items())),
    )
    yield _("Versions"), tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.versions.items()))
    asked = []
    for name, e in zip(dossier.manifest.names, dossier.evidence, strict=True):
        params = "" if not e.params else files.canonical_json(e.params).decode("utf-8", "replace").strip()
        asked.append(Fact(prose(name), say("seed {seed}", seed=e.seed), prose(params)))
    yield _("Seeds and parameters"), tuple(asked)
    yield _("Evidence files"), tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(made.files.items()))
    yield _("Timing files"), tuple(Fact(prose(k), "", prose(v)) for k, v in sorted(when.clocks.items()))
