"""What can only people say about a model? Answers that no measurement can give, each with a name and a date."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel import files
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Record

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from rai_bigmodel.dossier import Dossier

NAME = "statements.yaml"


class Question(NamedTuple):
    """What is asked: a short name for the head of a line, and the question in full."""

    title: str
    asks: str


QUESTIONS: dict[str, Question] = {
    "intended_use": Question("Intended use", "What is it for, and what is decided with it?"),
    "prohibited_use": Question("Prohibited use", "What must it not be used for?"),
    "population": Question("Population", "About whom will it decide, and do the audited rows stand for them?"),
    "oversight": Question("Oversight", "Who watches it, may overrule and stop it, and how?"),
    "inventory_id": Question("Inventory", "Under which number does it stand in the inventory of models?"),
    "tier": Question("Tier", "How material is it, or which class of risk, and why?"),
    "owner": Question("Owner", "Who answers for it?"),
    "developer": Question("Developer", "Who built it?"),
    "validator": Question("Validator", "Who validated it, when, and with what result?"),
    "label_means": Question("What the label means", "What does a positive label say about a person, and what not?"),
    "attributes_from": Question("Where attributes come from", "Were sensitive attributes told, recorded or guessed?"),
    "adverse_action_reasons": Question(
        "Reasons given", "How are the reasons that a person is told chosen, and how are they checked?"
    ),
    "caveats": Question("Caveats", "What was not tested, and what should a user know?"),
    "content_policy": Question("Content", "Which content is refused, and how is it kept out?"),
    "cybersecurity": Question("Security", "How are model, data and pipeline protected from others?"),
    "data_origin": Question("Origin of the data", "Who collected them, for what, how, and with which choices?"),
    "decision": Question("Decision to go on", "Who decided that it may be used, and on which grounds?"),
    "deployer_duties": Question("Duties in use", "Who oversees it in use, and how are workers and persons told?"),
    "design_rationale": Question("Design", "Why this kind of model and these features, and which were rejected?"),
    "dpia": Question("Data protection impact assessment", "Where is it, and what did the officer advise?"),
    "effective_challenge": Question("Challenge", "Who questioned it, and what was changed?"),
    "excluded_categories": Question("Categories left out", "Which categories were left out, and why?"),
    "filing": Question("Filing", "Where and when was it filed or registered?"),
    "gpai_documentation": Question(
        "General-purpose model", "Where are documentation, copyright policy and summary of the training content?"
    ),
    "human_decision": Question("Human decision", "Does a person decide, and how can a decision be contested?"),
    "impact_assessment": Question("Impact assessment", "Where is it, and what did it find?"),
    "incidents": Question("Incidents", "How are complaints and incidents taken in, and who reports them?"),
    "independence": Question("Independence", "What keeps the auditor independent of those who built it?"),
    "instructions_for_use": Question("Instructions for use", "What are those who use it told?"),
    "job_relatedness": Question("Relation to the job", "How was it validated that the criteria relate to the job?"),
    "limits_appropriate": Question("Why these limits", "Who set the limits of the policy, when, and why these?"),
    "logging": Question("Logs", "What is logged while it runs, and for how long is it kept?"),
    "monitoring": Question("Monitoring", "What is watched after release, how often, and what leads to a stop?"),
    "opt_out": Question("Opting out", "How can a person opt out?"),
    "publication": Question("Publication", "Where are results published, and who was given notice?"),
    "purpose_and_necessity": Question("Purpose and necessity", "Why are these personal data needed, on which ground?"),
    "question_banks": Question("Question banks", "Which questions were asked, how many, and who judged the answers?"),
    "risk_management": Question("Risks", "Which risks to whom were found, how are they treated, and what is left?"),
    "signature": Question("Signature", "Which responsible person signed the records, in which role?"),
    "societal_impact": Question("Society and environment", "Who gains, who loses, and what does it cost the planet?"),
    "statement_of_applicability": Question("Statement of applicability", "Where is it?"),
    "systemic_risk": Question("Systemic risk", "Which systemic risks were assessed, and how are they treated?"),
}  # fmt: skip
"""Every statement there can be; the first eleven are wanted of every model."""

ALWAYS = tuple(QUESTIONS)[:11]


class Statement(Record):
    """An answer, who gave it, and on which day (``YYYY-MM-DD``)."""

    says: str
    by: str
    date: str

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("says", "by"):
            if not getattr(self, name).strip():
                msg = f"{name} must not be empty: a statement needs words and a name"
                raise ValueError(msg)
        _ = self.day

    @property
    def day(self) -> dt.date:
        """The day on which it was made."""
        try:
            return dt.date.fromisoformat(self.date)
        except ValueError:
            msg = f"date must be a day as YYYY-MM-DD, got {self.date!r}"
            raise ValueError(msg) from None


class About(Record):
    """What the model is used for, where, and which kind it is; what is not said leaves nothing out."""

    use: tuple[str, ...] = ()
    jurisdiction: tuple[str, ...] = ()
    model_kind: tuple[str, ...] = ()


class Statements(Record):
    """What ``statements.yaml`` says.

    Args:
        frameworks: of the catalogue, those that the page shows evidence for.
        about: leaves out what is asked for another use, elsewhere, or of another kind of model.
        subject: the digest of the artefact that it is about, where it is about one only.
    """

    statements: dict[str, Statement] = {}
    frameworks: tuple[str, ...] = ()
    about: About = About()
    subject: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.statements:
            if name not in QUESTIONS:
                what = "statements"
                raise ValueError(str(InputError.unknown(what, name, QUESTIONS)))

    @property
    def digest(self) -> str:
        """The digest of what is stated, whatever its file looks like."""
        return files.digest(files.canonical_json(self))


def read(path: str | os.PathLike[str]) -> Statements:
    """A file of statements, refused with a path where it says something that it cannot say."""
    return files.read_yaml(path, Statements)


def check(
    statements: Statements,
    dossier: Dossier,
    *,
    frameworks: Iterable[str],
    today: dt.date,
    where: str = NAME,
) -> None:
    """Refuse statements that cannot be meant.

    Args:
        frameworks: those that the catalogue has.

    Raises:
        InputError: a framework is not in the catalogue, a date lies ahead, or they are about another artefact.
    """
    there = sorted(frameworks)
    for i, name in enumerate(statements.frameworks):
        if name not in there:
            what = f"{where}: $.frameworks[{i}]"
            raise InputError.unknown(what, name, there)
    for name, one in statements.statements.items():
        if one.day > today:
            msg = f"{where}: $.statements.{name}.date: {one.date} lies ahead of {today}"
            raise InputError(msg)
    primary = dossier.manifest.primary
    found = primary.digest if primary else ""
    if statements.subject and statements.subject != found:
        msg = (
            f"{where}: $.subject: the statements are about {statements.subject[:19]}…, "
            f"the evidence is about {found[:19] + '…' if found else 'a subject without a digest'}"
        )
        raise InputError(msg)
