"""Which runs lie in a folder, how did each end, and where is each number going? One page, newest first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from rai_bigmodel import dossier as folders
from rai_bigmodel import files, verdicts
from rai_bigmodel.errors import InputError
from rai_bigmodel.evidence import Dot, Dots
from rai_bigmodel.report import charts
from rai_bigmodel.report.facts import rows_of
from rai_bigmodel.report.headline import tally_said
from rai_bigmodel.report.language import _, spoken
from rai_bigmodel.report.phrases import N_, closed, named, prose, rule_title
from rai_bigmodel.report.rules import MARKS, ends_at, limit_of, value_words

if TYPE_CHECKING:
    import os

    from rai_bigmodel.dossier import Dossier
    from rai_bigmodel.rules import Ruling
    from rai_bigmodel.verdicts import VerdictFile

MOST_RUNS_DRAWN = 12
WORDS = {"pass": N_("met"), "fail": N_("not met"), "inconclusive": N_("undecided")}


class Listed(NamedTuple):
    """One run as a row of the page; `broken` says why a folder cannot be read."""

    folder: str
    created: str = ""
    subject: str = ""
    digest: str = ""
    rows: str = ""
    policy: str = ""
    outcome: str = ""
    mark: str = ""
    word: str = ""
    tally: str = ""
    page: str = ""
    broken: str = ""


class Trend(NamedTuple):
    """One rule over the runs: its words, and a picture with a row a run, newest first."""

    title: str
    picture: str
    values: tuple[tuple[str, str], ...]


class Index(NamedTuple):
    """Everything the template shows."""

    title: str
    runs: tuple[Listed, ...]
    trends: tuple[Trend, ...]
    policy: str


class Run(NamedTuple):
    """One run as it lies in its folder; `verdict` is what it was judged to be, if it was."""

    folder: Path
    dossier: Dossier
    verdict: VerdictFile | None

    @property
    def created(self) -> str:
        """When it was made, as its manifest says."""
        return self.dossier.manifest.circumstances.created


class Found(NamedTuple):
    """What lies in a folder: its name, the runs that can be read, newest first, and those that cannot, with why."""

    folder: str
    runs: tuple[Run, ...]
    broken: tuple[tuple[str, str], ...]


def found(folder: str | os.PathLike[str]) -> Found:
    """The runs in the folders of a folder.

    Raises:
        InputError: the folder is not there, or holds no run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        msg = f"{folder}: no such folder of runs"
        raise InputError(msg)
    runs: list[Run] = []
    broken: list[tuple[str, str]] = []
    for path in sorted(p.parent for p in folder.glob("*/manifest.json")):
        try:
            runs.append(Run(path, folders.load(path), _verdict(path)))
        except InputError as error:
            broken.append((path.name, str(error)))
    if not runs and not broken:
        msg = f"{folder}: no folder in it holds a run (a manifest.json)"
        raise InputError(msg)
    runs.sort(key=lambda run: (run.created, run.folder.name), reverse=True)
    return Found(folder.resolve().name, tuple(runs), tuple(broken))


def index(found: Found) -> Index:
    """The overview in words: each run, those that cannot be read last, and the trend of each rule."""
    judged = [run for run in found.runs if run.verdict is not None]
    newest = judged[0].verdict if judged else None
    unread = (Listed(named(name), broken=spoken(prose(why))) for name, why in found.broken)
    return Index(
        title=named(found.folder),
        runs=(*(_listed(run) for run in found.runs), *unread),
        trends=tuple(_trends(judged[:MOST_RUNS_DRAWN])),
        policy=named(newest.policy.name) if newest else "",
    )


def _verdict(folder: Path) -> VerdictFile | None:
    path = folder / verdicts.NAME
    if not path.exists():
        return None
    return files.parse_json(files.read_bytes(path), verdicts.VerdictFile, where=str(path))


def _listed(run: Run) -> Listed:
    primary = run.dossier.manifest.primary
    verdict = run.verdict
    # A verdict about other evidence (audited again since) is not this run's.
    stale = verdict is not None and verdict.manifest_digest != run.dossier.manifest.digest
    told = None if stale else verdict
    rows = next((e.data for e in run.dossier.evidence if e.subject.role == "primary"), None)
    name = run.folder.name
    return Listed(
        folder=named(name),
        created=prose(run.created.replace("T", " ")[:16]),
        subject=named(primary.name) if primary else "",
        digest=primary.digest.removeprefix("sha256:")[:12] if primary else "",
        rows=rows_of(rows.rows, rows.name) if rows else "",
        policy=named(told.policy.name) if told else "",
        outcome=told.outcome if told else "",
        mark=MARKS[told.outcome] if told else "",
        word=_(WORDS[told.outcome]) if told else _unjudged(stale=stale),
        tally=closed(tally_said(told.rulings)) if told else "",
        page=quote(f"{name}/report.html") if (run.folder / "report.html").is_file() else "",
    )


def _unjudged(*, stale: bool) -> str:
    return _("judged before it was audited again") if stale else _("not judged")


def _trends(runs: list[Run]) -> list[Trend]:
    """For each rule of the newest policy, what it was held against in every run of that policy's name."""
    if not runs or runs[0].verdict is None:
        return []
    newest = runs[0].verdict
    same = [run for run in runs if run.verdict is not None and run.verdict.policy.name == newest.policy.name]
    out = []
    for ruling in newest.rulings:
        dots, values = [], []
        for run in same:
            assert run.verdict is not None
            then = _same_rule(ruling, run.verdict)
            m = then.measurement if then else None
            if then is None or m is None or m.value is None:
                continue
            low, high = ends_at(m, run.verdict.policy) or (None, None)
            label = named(run.folder.name)
            dots.append(Dot(label=label, value=m.value, low=low, high=high))
            values.append((label, value_words(m, limit_of(then))))
        if len(dots) > 1:
            title = prose(rule_title(ruling.rule))
            picture = charts.dots(Dots(title=title, dots=tuple(dots)), limit=limit_of(ruling).value)
            out.append(Trend(title, picture, tuple(values)))
    return out


def _same_rule(ruling: Ruling, verdict: VerdictFile) -> Ruling | None:
    """The ruling about the same question, whatever its limit was then."""
    limits = [(x.metric, x.where) for x in ruling.rule.limits]
    return next(
        (
            r
            for r in verdict.rulings
            if r.rule.role == ruling.rule.role and [(x.metric, x.where) for x in r.rule.limits] == limits
        ),
        None,
    )
