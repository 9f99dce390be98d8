"""What are our own sentences about people, hostile or not, in English and Chinese?

``templates_en.yaml`` and ``templates_zh.yaml`` hold identities, templates and words. Every identity is put into
every template with two hostile and two neutral words, so neither an identity nor a template tells the label: only
the word does, and a classifier that scores one identity higher than another has learned something it should not.

Parts are divided by template: what is held out has the words and identities of the training rows in sentences that
no training row has. What these sentences do *not* hold: irony, quotation, denial ("nobody should …"), slurs, and
hostility without a hostile word. A net that is good here is not thereby good on what people write.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel import files
from rai_bigmodel.datasets.split import as_splits, whole_groups
from rai_bigmodel.evidence import Record
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from rai_bigmodel.subject import Splits

EACH = 2
"""Hostile words, and neutral ones, that each identity meets in each template."""
TRUTH = "hostile"
SENSITIVE = ("identity", "language")


class Forms(Record):
    """How an identity is named: one person of it, and all of them."""

    person: str
    people: str


class Words(Record):
    """What may be said or done, hostile or not; as many of the one as of the other."""

    neutral: tuple[str, ...]
    hostile: tuple[str, ...]


class Language(Record):
    """All that the sentences of one language are made of."""

    identities: dict[str, Forms]
    verbs: Words
    adjectives: Words
    templates: dict[str, tuple[str, ...]]


def language(code: str) -> Language:
    """The shipped words and templates of a language, ``en`` or ``zh``."""
    name = f"templates_{code}.yaml"
    content = resources.files("rai_bigmodel.datasets").joinpath(name).read_bytes()
    return files.parse_yaml(content, Language, where=name)


def sentences_of(made_of: Language, code: str) -> list[dict[str, object]]:
    """Every sentence as a row of ``text hostile identity language template kind``; no chance is involved.

    Words go round: template t and identity i take the words t + i, t + i + 5 …, so each word occurs equally often.
    """
    rows: list[dict[str, object]] = []
    for slot, words in (("verb", made_of.verbs), ("adjective", made_of.adjectives)):
        for t, template in enumerate(made_of.templates[slot]):
            for i, (identity, forms) in enumerate(made_of.identities.items()):
                for hostile, choice in ((1.0, words.hostile), (0.0, words.neutral)):
                    for k in range(EACH):
                        word = choice[(t + i + k * len(choice) // EACH) % len(choice)]
                        rows.append(
                            {
                                "text": _filled(template, slot, word, forms),
                                TRUTH: hostile,
                                "identity": identity,
                                "language": code,
                                "template": f"{code}-{slot}-{t + 1:02d}",
                                "kind": f"{code}-{slot}",
                            }
                        )
    return rows


def _filled(template: str, slot: str, word: str, forms: Forms) -> str:
    people = forms.people[:1].upper() + forms.people[1:]
    return (
        template.replace(f"{{{slot}}}", word)
        .replace("{person}", forms.person)
        .replace("{people}", forms.people)
        .replace("{People}", people)
    )


def templates(*, languages: tuple[str, ...] = ("en", "zh"), seed: int = 7) -> Splits:
    """Sentences about people, labelled hostile (1) or not (0), divided by template.

    A fifth of the templates is held out, a fifth calibrates.
    Columns: ``text`` (the feature), ``hostile`` (the truth), ``identity`` and, of several, ``language`` (sensitive),
    ``template``.

    Args:
        languages: ``en``, ``zh`` or both.
        seed: of the division of the templates into parts.
    """
    rows = [row for code in languages for row in sentences_of(language(code), code)]
    columns = {
        name: np.array([row[name] for row in rows], dtype=float if name == TRUTH else object)
        for name in ("text", TRUTH, "identity", "language", "template")
    }
    notes = (
        "Made of templates: no irony, quotation, denial or slurs; hostility always shows in one word.",
        "Every identity meets every template with as many hostile as neutral words.",
        "Parts are divided by template: no held-out sentence has a template of the training rows.",
    )
    whole = Table(
        name="templates",
        columns=columns,
        roles={
            "feature": ("text",),
            "truth": (TRUTH,),
            "sensitive": SENSITIVE if len(languages) > 1 else SENSITIVE[:1],
        },
        positive="1",
        notes=notes,
    )
    kinds = np.array([row["kind"] for row in rows])
    rng = np.random.default_rng(seed)
    names = columns["template"].astype(str)
    parts = whole_groups(names, rng, held_out=0.2, calibrate=0.2, strata=kinds)
    facts = {
        "label_means": "the sentence was made with a hostile word",
        "attributes_from": "the identity that was put into the template",
    }
    return as_splits(whole, parts, facts=facts)
