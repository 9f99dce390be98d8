"""How long do the gate, the page and verify take, and how large is a page? Processor time, medians.

`python benchmarks/gate_and_page.py` prints a table for the README: `rai gate` with 60 rules as a process beside a bare
interpreter, the page of the committed sample in both languages, a page of 200 measurements and 60 exhibits, and
`rai verify`'s reading of a run beside sha256 of the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rai_bigmodel import api
from rai_bigmodel.dossier import file_name, seal
from rai_bigmodel.evidence import (
    Curve,
    DataId,
    Decision,
    Dot,
    Dots,
    Evidence,
    Exhibit,
    Heatmap,
    Interval,
    Line,
    Measurement,
    SubjectId,
)
from rai_bigmodel.report.html import render

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "reports" / "samples" / "demo"
REPEATS = 7
SUBJECT = SubjectId(
    name="model",
    kind="torch",
    digest="sha256:" + "ab" * 32,
    decision=Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1")),
)
DATA = DataId(name="rows", digest="sha256:" + "cd" * 32, rows=10_000)


def process_seconds(command: list[str]) -> float:
    """Processor time of a process, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def own_seconds(work: Callable[[], object]) -> float:
    """Processor time of a call in this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def large() -> Any:
    """A dossier of 200 measurements and 60 exhibits, as an audit of 25 groups would leave."""
    ladder = ((0.05, 0.2, 0.4, 0.21, 0.39),)
    evidence = []
    for i in range(10):
        measurements = tuple(
            Measurement(
                metric=f"fairness.{('selection_rate', 'true_positive_rate')[j % 2]}",
                kind="estimate",
                value=0.3,
                n=400,
                labels={"attribute": f"attribute {i}", "group": f"group {j // 2}"},
                interval=Interval(low=0.2, high=0.4, level=0.95, method="wilson", ladder=ladder),
            )
            for j in range(20)
        )
        exhibits = tuple(_exhibit(i, j) for j in range(6))
        evidence.append(
            Evidence(
                audit="fairness",
                question="Do decisions differ between groups?",
                subject=SUBJECT,
                data=DATA,
                params={},
                seed=0,
                tool="t",
                measurements=measurements,
                exhibits=exhibits,
            )
        )
    found = [(file_name("fairness", label=f"a{i}"), e) for i, e in enumerate(evidence)]
    produced = {
        "subjects": (SUBJECT,),
        "data": (DATA,),
        "configuration": {},
        "versions": {},
        "threads": 1,
        "facts": {},
        "not_run": {},
    }
    return seal(found, produced=produced, created="2026-11-28T09:00:00+00:00", host="h", tool="t")


def _exhibit(i: int, j: int) -> Exhibit:
    if j == 0:
        x = tuple(k / 100 for k in range(101))
        return Curve(
            title=f"Over the threshold, {i}", lines=tuple(Line(label=f"{n}", x=x, y=x) for n in range(3))
        )
    if j == 1:
        names = tuple(f"c{k}" for k in range(12))
        return Heatmap(title=f"Map {i}", rows=names, columns=names, values=((0.3,) * 12,) * 12)
    dots = tuple(Dot(label=f"group {k}", value=0.3, low=0.2, high=0.4, n=400) for k in range(10))
    return Dots(title=f"Rates {i} {j}", dots=dots)


def sixty_rules() -> str:
    """A policy of 60 rules about the sample."""
    rule = "  - {{metric: fairness.demographic_parity_difference, where: {{attribute: {a}}}, at_most: {x}, because: b}}"
    names = ("race", "sex", "race*sex")
    rules = [rule.format(a=names[i % 3], x=round(0.05 + i / 100, 2)) for i in range(60)]
    return "name: sixty\nrules:\n" + "\n".join(rules) + "\n"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "demo"  # the gate writes its verdict and a ledger; the committed sample stays
        shutil.copytree(SAMPLE, sample)
        policy = Path(folder) / "policy.yaml"
        policy.write_text(sixty_rules(), "utf-8")
        rai = str(Path(sys.executable).parent / "rai")
        gate, bare, wall = [], [], []
        for _ in range(REPEATS):  # in turns, so that others' load costs neither side
            began = time.perf_counter()
            gate.append(process_seconds([rai, "gate", str(sample), "--policy", str(policy), "--quiet"]))
            wall.append(time.perf_counter() - began)
            bare.append(process_seconds([sys.executable, "-c", "pass"]))
    dossier = api.load(SAMPLE)
    verdict = api.judge(dossier, SAMPLE / "policy.yaml")
    big = large()
    rows = [
        ("`rai gate`, 60 rules, as a process", gate, ""),
        ("the same, by the clock", wall, ""),
        ("`python -c pass`", bare, ""),
    ]
    for name, what, judged in (("demo", dossier, verdict), ("200 measurements, 60 exhibits", big, None)):
        for lang in ("en", "zh"):
            page = render(what, judged, lang=lang)
            times = [own_seconds(lambda: render(what, judged, lang=lang)) for _ in range(REPEATS)]  # noqa: B023
            rows.append((f"page, {name}, {lang}", times, f"{len(page) / 1000:,.0f} kB"))
    files = [p for p in SAMPLE.rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in files)
    hashing = [
        own_seconds(lambda: [hashlib.sha256(p.read_bytes()).digest() for p in files]) for _ in range(REPEATS)
    ]
    rows.append((f"sha256 of the sample's files ({size / 1e6:.1f} MB)", hashing, ""))
    rows.append(
        (
            "`rai verify` of it, in one process",
            [own_seconds(lambda: api.verify(SAMPLE)) for _ in range(REPEATS)],
            "",
        )
    )
    sys.stdout.write("| what | median s | size |\n|---|---:|---:|\n")
    for what, times, more in rows:
        sys.stdout.write(f"| {what} | {statistics.median(times):.3f} | {more} |\n")


if __name__ == "__main__":
    main()
