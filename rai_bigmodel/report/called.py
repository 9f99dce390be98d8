"""What are roles and outcomes called on the page? One word or a few for each, the same wherever they are said."""

from __future__ import annotations

from rai_bigmodel.report.language import _
from rai_bigmodel.report.phrases import N_

_ROLES = {
    "primary": N_("audited"),
    "plain": N_("same net, no privacy"),
    "reference": N_("simple yardstick"),
    "baseline": N_("what runs today"),
    "recipe": N_("the procedure, cross-fitted"),
}


def role_words(role: str) -> str:
    """What a role means, in a few words; nothing for one that a plugin named."""
    return _(_ROLES.get(role, ""))


OUTCOMES = {
    "fail": N_("fails"),
    "inconclusive": N_("inconclusive"),
    "waived": N_("waived"),
    "pass": N_("passes"),
}
"""The one word for each outcome, in English; the order is that of the page."""


def outcome_word(outcome: str) -> str:
    """The one word for an outcome."""
    return _(OUTCOMES[outcome])
