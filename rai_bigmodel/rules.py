"""What does a policy say, and what became of it? Rules, rulings and verdicts as records."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from rai_bigmodel import files
from rai_bigmodel.errors import PolicyNotMet, PolicyUndecided
from rai_bigmodel.evidence import LADDER, Measurement, Record
from rai_bigmodel.words import plural

Outcome = Literal["pass", "fail", "inconclusive", "waived"]
Label = str | int | float | bool

NOT_JUDGED = ("minimum_detectable_difference", "rows_needed")
ONLY_WHEN_NAMED = ("against", "class")


class Limit(Record):
    """One metric and the limit it must keep."""

    metric: str
    where: dict[str, Label] = {}
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.at_most is None) == (self.at_least is None):
            msg = f"{self.metric} needs exactly one of at_most and at_least"
            raise ValueError(msg)
        if self.metric.rpartition(".")[2] in NOT_JUDGED:
            msg = f"{self.metric} describes the sample, not the model; no rule can be about it"
            raise ValueError(msg)
        if "." not in self.metric:
            msg = f"metric must read audit.name, got {self.metric!r}"
            raise ValueError(msg)

    @property
    def value(self) -> float:
        """The limit itself."""
        limit = self.at_most if self.at_most is not None else self.at_least
        assert limit is not None
        return limit

    def keeps(self, value: float | None) -> bool:
        """Whether a number keeps the limit; unbounded does not."""
        if value is None:
            return False
        return value <= self.value if self.at_most is not None else value >= self.value

    def breaks(self, value: float | None) -> bool:
        """Whether a number lies strictly beyond the limit; unbounded does not."""
        return value is not None and not self.keeps(value)

    def matches(self, measurement: Measurement) -> bool:
        """Whether this limit speaks of that measurement."""
        if measurement.metric != self.metric:
            return False
        wanted = {key: label_text(value) for key, value in self.where.items()}
        labels = measurement.labels
        if any(labels.get(key) != value for key, value in wanted.items()):
            return False
        if labels.get("scope") == "all" and "scope" not in wanted:
            return False
        return not any(key in labels and key not in wanted for key in ONLY_WHEN_NAMED)


def label_text(value: Label) -> str:
    """A label as evidence writes it: ``1`` and ``1.0`` are "1", ``true`` is "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


class Rule(Record, omit_defaults=True):
    """A limit, the reason for it, and what happens when it is not kept.

    Args:
        any_of: alternatives, of which one must be kept, in place of a single limit.
        role: which subject of the dossier it is about.
        severity: ``warn`` is shown and never changes the verdict.
        when_inconclusive: ``warn`` lets the policy be met all the same.
        judge: ``value`` holds the number itself against the limit, without its interval.
        accept: ``declared`` lets a claim that nobody measured pass.
        excluded_at_most: the largest share of rows left out with which it may pass.
    """

    because: str
    metric: str = ""
    any_of: tuple[Limit, ...] = ()
    where: dict[str, Label] = {}
    at_most: float | None = None
    at_least: float | None = None
    id: str = ""
    role: str = "primary"
    severity: Literal["fail", "warn"] = "fail"
    when_inconclusive: Literal["block", "warn"] = "block"
    control: tuple[str, ...] = ()
    judge: Literal["interval", "value"] = "interval"
    accept: Literal["measured", "declared"] = "measured"
    excluded_at_most: float = 0.02
    waivable: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.because.strip():
            msg = "because must say why: the reader of the report is owed it"
            raise ValueError(msg)
        if bool(self.metric) == bool(self.any_of):
            msg = "a rule needs either metric or any_of"
            raise ValueError(msg)
        if self.any_of and (self.where or self.at_most is not None or self.at_least is not None):
            msg = "with any_of, where and limits belong to its members"
            raise ValueError(msg)
        if not 0 <= self.excluded_at_most <= 1:
            msg = f"excluded_at_most is a share from 0 to 1, got {self.excluded_at_most}"
            raise ValueError(msg)
        if self.metric:
            _ = self.limits

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits of which one must be kept."""
        if self.any_of:
            return self.any_of
        return (Limit(metric=self.metric, where=self.where, at_most=self.at_most, at_least=self.at_least),)


class AttributeAware(Record):
    """Whether methods that read a sensitive attribute at decision time may be run, and who says so."""

    allowed: bool
    because: str
    owner: str


class Policy(Record, omit_defaults=True):
    """Rules, and the confidence they are judged at.

    Args:
        subject, data: digests the policy is about.
        max_age_days: older evidence, or evidence of unknown age, is inconclusive.
        max_attempts: how many runs on these rows are allowed; while runs are not counted, all is inconclusive.
    """

    name: str
    rules: tuple[Rule, ...]
    confidence: float = 0.95
    subject: str = ""
    data: str = ""
    max_age_days: int | None = None
    max_attempts: int | None = None
    attribute_aware: AttributeAware | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("max_age_days", 0), ("max_attempts", 1)):
            if (most := getattr(self, name)) is not None and most < least:
                msg = f"{name} must be {least} or more, got {most}"
                raise ValueError(msg)
        if not self.rules:
            msg = "a policy needs at least one rule"
            raise ValueError(msg)
        if not any(abs(1 - self.confidence - a) < 1e-9 for a in LADDER):
            allowed = ", ".join(str(round(1 - a, 5)) for a in LADDER)
            msg = f"confidence must be one of {allowed}, got {self.confidence}"
            raise ValueError(msg)
        named = [rule.id for rule in self.rules if rule.id]
        if twice := {i for i in named if named.count(i) > 1}:
            msg = f"two rules have the id {min(twice)!r}"
            raise ValueError(msg)

    @property
    def alpha(self) -> float:
        """1 − confidence, as a rung of the ladder."""
        return next(a for a in LADDER if abs(1 - self.confidence - a) < 1e-9)

    @property
    def digest(self) -> str:
        """The digest of what the policy says, whatever its file looks like."""
        return files.digest(files.canonical_json(self))


class Waiver(Record, omit_defaults=True):
    """Somebody's decision to go on although a rule is not kept: for one artefact, until a day.

    Args:
        rule, metric, where: the rule it is about, by its id or by what it says.
        subject: the digest of the artefact that the rule reads.
        approver: may not be the owner.
        expires: the last day on which it counts, ``YYYY-MM-DD``.
    """

    policy: str
    subject: str
    owner: str
    approver: str
    because: str
    expires: str
    metric: str = ""
    where: dict[str, Label] = {}
    rule: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("policy", "subject", "owner", "approver", "because"):
            if not getattr(self, name).strip():
                msg = f"{name} must not be empty: a waiver without it cannot be defended"
                raise ValueError(msg)
        if _same(self.owner) == _same(self.approver):
            msg = f"the approver must be somebody else than the owner, got {self.owner!r} for both"
            raise ValueError(msg)
        if bool(self.rule) == bool(self.metric) or (self.rule and self.where):
            msg = "a waiver names either rule, or metric (and where)"
            raise ValueError(msg)
        _ = self.until

    @property
    def until(self) -> dt.date:
        """The last day on which it counts."""
        try:
            day = dt.date.fromisoformat(self.expires)
        except ValueError:
            day = None
        if day is None or day.isoformat() != self.expires:  # 2026-W50-1 would be read, and not understood
            msg = f"expires must be a day as YYYY-MM-DD, got {self.expires!r}"
            raise ValueError(msg)
        return day


def _same(name: str) -> str:
    """A person's name as far as one can be told from another: whatever its case, spaces and width."""
    import unicodedata

    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


class Ruling(Record):
    """What became of one rule: the measurement that decided it, why, in words, and a waiver that counts."""

    rule: Rule
    outcome: Outcome
    measurement: Measurement | None
    words: str
    waiver: Waiver | None = None


class Attempts(Record, omit_defaults=True):
    """How often some rows were used, as the ledger has it.

    Args:
        run: which run of this policy on these rows this one is.
        audited: how many runs have audited these rows at all.
        otherwise: how many other texts of this policy were judged on these rows before this one ever was. What is
            asked after its answer was seen is exploratory: it was not written down beforehand.
    """

    run: int
    audited: int
    otherwise: int = 0

    @property
    def words(self) -> str:
        """``run 4 of this policy on these rows``, and how many there were beside it."""
        more = f" ({self.audited} audits of them in all)" if self.audited > self.run else ""
        late = (
            " (exploratory: the policy said otherwise when these rows were first judged)"
            if self.otherwise
            else ""
        )
        return f"run {self.run} of this policy on these rows{more}{late}"


class Verdict(Record):
    """What became of the policy; `waivers` are all that were handed in, whether they count or not.

    `attempts` is null where runs on these rows are not counted; `judged_on` is the day, and `pinned` the digest
    that the primary subject had to have, if any; `baseline` the manifest of the run that changes were taken from.
    """

    policy: Policy
    rulings: tuple[Ruling, ...]
    outcome: Literal["pass", "fail", "inconclusive"]
    waivers: tuple[Waiver, ...] = ()
    attempts: Attempts | None = None
    judged_on: str = ""
    pinned: str = ""
    baseline: str = ""

    @property
    def exit_code(self) -> int:
        """0 the policy is met, 1 not met, 3 undecided."""
        return {"pass": 0, "fail": 1, "inconclusive": 3}[self.outcome]

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        state = {"pass": "met", "fail": "not met", "inconclusive": "undecided"}[self.outcome]
        return f"Policy {self.policy.name} is {state}: {self.tally}."

    @property
    def tally(self) -> str:
        """How many rules ended how, warnings apart."""
        counting: list[str] = [r.outcome for r in self.rulings if r.rule.severity == "fail"]
        words = {"fail": "fails", "inconclusive": "is inconclusive", "waived": "is waived", "pass": "passes"}
        many = {"fail": "fail", "inconclusive": "are inconclusive", "waived": "are waived", "pass": "pass"}
        parts = [
            f"{counting.count(o)} {words[o] if counting.count(o) == 1 else many[o]}"
            for o in words
            if counting.count(o)
        ]
        if parts:  # the first says what is counted: "1 rule fails, 7 pass"
            count, _, rest = parts[0].partition(" ")
            parts[0] = f"{plural(int(count), 'rule')} {rest}"
        warned = [r for r in self.rulings if r.rule.severity == "warn" and r.outcome != "pass"]
        if warned:
            parts.append(f"{plural(len(warned), 'warning')}")
        return ", ".join(parts) if parts else "no rule counts"

    def raise_for_outcome(self) -> None:
        """Do nothing when the policy is met.

        Raises:
            PolicyNotMet: a counting rule fails.
            PolicyUndecided: the policy is undecided.
        """
        if self.outcome == "fail":
            raise PolicyNotMet(self.headline)
        if self.outcome == "inconclusive":
            raise PolicyUndecided(self.headline)
