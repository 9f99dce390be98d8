"""How long do fairness counts take, beside Fairlearn's MetricFrame and beside the bare engine?

Ratios within one run, one thread, medians. Each peer as shipped and as a user would tune it: Fairlearn also with its
row-by-row ``np.stack`` replaced, DuckDB with one hand-written query for the same cells.

    OMP_NUM_THREADS=1 python benchmarks/fairness_counts.py [--largest 100000000]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ROLES = {"truth": ("y",), "sensitive": ("race", "sex"), "score": ("p",)}


def seconds(run: Callable[[], object], times: int = 3) -> float:
    """The median of some runs, in processor seconds: another program on the machine costs neither side."""
    found = []
    for _ in range(times):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return statistics.median(found)


def columns(n: int) -> dict[str, np.ndarray]:
    """Five by three groups, an outcome, a decision: integer codes."""
    rng = np.random.default_rng(0)
    return {
        "race": rng.integers(0, 5, n),
        "sex": rng.integers(0, 3, n),
        "y": rng.integers(0, 2, n),
        "d": rng.integers(0, 2, n),
    }


def ours(c: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Six rates of fifteen groups, from columns of codes."""
    from rai_bigmodel.stats.counts import RATES, GroupCounts

    counts = GroupCounts.of(c["race"] * 3 + c["sex"], c["y"], c["d"], groups=15)
    return {name: rate(counts).values for name, rate in RATES.items()}


def fairlearn(c: dict[str, np.ndarray], **bootstrap: object) -> object:
    """The same six of Fairlearn and scikit-learn."""
    import pandas as pd
    from fairlearn import metrics as fm
    from sklearn.metrics import accuracy_score, precision_score

    frame = fm.MetricFrame(
        metrics={
            "selection_rate": fm.selection_rate,
            "true_positive_rate": fm.true_positive_rate,
            "false_positive_rate": fm.false_positive_rate,
            "false_negative_rate": fm.false_negative_rate,
            "precision": precision_score,
            "accuracy": accuracy_score,
        },
        y_true=c["y"],
        y_pred=c["d"],
        sensitive_features=pd.DataFrame({"race": c["race"], "sex": c["sex"]}),
        **bootstrap,
    )
    return frame.by_group


def without_stack(c: dict[str, np.ndarray], **bootstrap: object) -> object:
    """Fairlearn with the stacking of rows replaced by what it gives for a column of numbers: the column."""
    from types import SimpleNamespace
    from unittest import mock

    import fairlearn.metrics._annotated_metric_function as module

    with mock.patch.object(module, "np", SimpleNamespace(stack=np.asarray)):
        return fairlearn(c, **bootstrap)


PEERS = {"as shipped": fairlearn, "as tuned": without_stack}


def beside_fairlearn() -> None:
    """Rows of the first table."""
    for n in (100_000, 1_000_000):
        c = columns(n)
        ours(c)  # what is imported once is timed for neither side
        without_stack({k: v[:1000] for k, v in c.items()})
        mine = seconds(lambda c=c: ours(c), 21)
        shipped = seconds(lambda c=c: fairlearn(c), 3 if n < 1_000_000 else 1)
        tuned = seconds(lambda c=c: without_stack(c), 3)
        theirs = without_stack(c)
        gap = max(float(np.abs(v - theirs[name].to_numpy()).max()) for name, v in ours(c).items())
        print(
            f"| {n:,} | {mine * 1e3:.2f} ms | {shipped:.2f} s | {tuned:.2f} s | {shipped / mine:,.0f} × "
            f"| {tuned / mine:,.0f} × | {gap:.1e} |",
            flush=True,
        )


def with_intervals(draws: int) -> None:
    """Six metrics of fifteen groups with intervals at 100,000 rows, beside Fairlearn's bootstrap.

    Args:
        draws: bootstrap samples of Fairlearn that are run; the time of 1,000 is extrapolated from one by one.
    """
    from rai_bigmodel.stats.counts import RATES, GroupCounts
    from rai_bigmodel.stats.intervals import group_rates

    c = columns(100_000)

    def mine() -> None:
        counts = GroupCounts.of(c["race"] * 3 + c["sex"], c["y"], c["d"], groups=15)
        for rate in RATES.values():
            of = rate(counts)
            group_rates(of.successes, of.trials)

    mine()
    bootstrap = {"n_boot": draws, "ci_quantiles": [0.025, 0.975], "random_state": 0}
    fairlearn({k: v[:1000] for k, v in c.items()})
    took = seconds(mine, 21)
    theirs = {name: seconds(lambda f=f: f(c, **bootstrap), 1) for name, f in PEERS.items()}
    for name, spent in theirs.items():
        whole = spent / draws * 1000
        print(
            f"intervals at 100,000 rows: {took * 1e3:.2f} ms (13 rungs) beside {whole:,.0f} s of Fairlearn {name} "
            f"(1,000 draws from {draws} in {spent:.1f} s): {whole / took:,.0f} ×",
            flush=True,
        )


def strings() -> None:
    """Group columns as text and as codes, through a table in memory; text is encoded once."""
    from rai_bigmodel import tables

    n = 1_000_000
    c = columns(n)
    words = np.array([f"group {i}" for i in range(5)], dtype=object)
    roles = {"truth": ("y",), "sensitive": ("race", "sex")}
    made = {
        kind: {k: c[k].astype(float) for k in ("sex", "y")} | {"race": race}
        for kind, race in (("codes", c["race"].astype(float)), ("text", words[c["race"]]))
    }
    flags = c["d"].astype(bool)
    first, again = {}, {}
    for kind, values in made.items():

        def fresh(values: dict[str, np.ndarray] = values) -> tables.Table:
            t = tables.Table(name="rows", columns=values, roles=roles)
            t.count(["race", "sex"], truth="y", decision=flags)
            return t

        first[kind] = seconds(fresh, 5)
        known = fresh()
        again[kind] = seconds(lambda t=known: t.count(["race", "sex"], truth="y", decision=flags), 5)
    print(
        f"text / codes at {n:,} rows: {first['text'] / first['codes']:.1f} × the first time "
        f"({first['text'] * 1e3:.0f} / {first['codes'] * 1e3:.0f} ms), "
        f"{again['text'] / again['codes']:.2f} × once encoded "
        f"({again['text'] * 1e3:.0f} / {again['codes'] * 1e3:.0f} ms)",
        flush=True,
    )


FROM_FILE = """
import sys, time
from rai_bigmodel import tables
from rai_bigmodel.subject import AtLeast
import duckdb, narwhals
path, which = sys.argv[1:]
source = f"read_csv('{path}')" if path.endswith("csv") else f"read_parquet('{path}')"
start = time.process_time()
if which == "ours":
    roles = {"truth": ("y",), "sensitive": ("race", "sex"), "score": ("p",)}
    t = tables.open_table(path, roles=roles, memory=0)
    cut = AtLeast(column="p", threshold=0.5)
    for by in (["race"], ["sex"], ["race", "sex"]):
        t.count(by, truth="y", decision=cut)
elif which == "cells":
    duckdb.sql("SET threads = 1; SET enable_progress_bar = false")
    duckdb.sql(f"SELECT race, sex, y, p >= 0.5, count(*) FROM {source} GROUP BY ALL").fetchall()
else:
    duckdb.sql("SET threads = 1; SET enable_progress_bar = false")
    duckdb.sql(f"SELECT sum(race), sum(sex), sum(y), sum(p) FROM {source}").fetchall()
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
print(time.process_time() - start, peak)
"""


def of_file(path: Path, which: str) -> tuple[float, int]:
    """Processor seconds and peak MiB of a fresh process, imports left out of the seconds; medians of three."""
    runs = []
    for _ in range(3):
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-c", FROM_FILE, str(path), which], capture_output=True, text=True, check=True
        )
        spent, peak = done.stdout.split()
        runs.append((float(spent), int(peak)))
    return statistics.median(r[0] for r in runs), max(r[1] for r in runs)


def files(largest: int) -> None:
    """A csv of a million rows beside DuckDB reading it; parquet of many rows beside the bare query."""
    import duckdb

    made = (
        "SELECT (hash(range) % 5)::UTINYINT AS race, (hash(range + 7) % 3)::UTINYINT AS sex, "
        "(hash(range + 13) % 2)::UTINYINT AS y, ((hash(range + 29) % 1000) / 1000.0)::{kind} AS p FROM range({n})"
    )
    with tempfile.TemporaryDirectory() as folder:
        for n, name, kind, against in (
            (1_000_000, "rows.csv", "DOUBLE", "read"),
            (largest, "rows.parquet", "FLOAT", "cells"),
        ):
            path = Path(folder) / name
            with duckdb.connect(":memory:") as db:
                db.execute(f"COPY ({made.format(kind=kind, n=n)}) TO '{path}'")
            mine, peak = of_file(path, "ours")
            bare, bare_peak = of_file(path, against)
            print(
                f"{name}, {n:,} rows: {mine:.2f} s and {peak} MiB beside {bare:.2f} s and {bare_peak} MiB of bare "
                f"DuckDB ({against}): {mine / bare:.2f} ×",
                flush=True,
            )


def main() -> None:
    """Everything, in the order of benchmarks/README.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--largest", type=int, default=10_000_000)
    parser.add_argument("--draws", type=int, default=2)
    given = parser.parse_args()
    files(given.largest)
    strings()
    beside_fairlearn()
    with_intervals(given.draws)


if __name__ == "__main__":
    main()
