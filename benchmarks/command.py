"""How long does the whole command take beside DuckDB reading the file, and intervals beside Fairlearn's bootstrap?

Processor seconds of whole processes, imports and all, one thread each; medians.

    OMP_NUM_THREADS=1 python benchmarks/command.py [--rows 1000000] [--times 3] [--no-bootstrap]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fairness_counts import columns, without_stack

READ = """
import sys, duckdb
duckdb.sql("SET threads = 1")
path = sys.argv[1]
names = [r[0] for r in duckdb.sql(f"DESCRIBE SELECT * FROM read_csv('{path}')").fetchall()]
duckdb.sql("SELECT " + ", ".join(f"count({n})" for n in names) + f" FROM read_csv('{path}')").fetchall()
"""


def spent(command: list[str]) -> float:
    """Processor seconds of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def made(path: Path, rows: int, features: int) -> None:
    """Two attributes of text, an outcome that follows the score, a score, numbers of four decimals."""
    import duckdb

    wanted = ", ".join(
        f"round((hash(range + {100 + i}) % 1000003) / 1000003.0, 4)::DOUBLE AS x{i}" for i in range(features)
    )
    duckdb.sql(
        "COPY (SELECT ['White','Black','Asian','Latino','Other'][(1 + hash(range) % 5)::BIGINT] AS race, "
        "['f','m'][(1 + hash(range + 7) % 2)::BIGINT] AS sex, "
        "((hash(range + 13) % 1000) < (hash(range + 29) % 100000) / 100)::INT AS y, "
        f"((hash(range + 29) % 100000) / 100000.0)::DOUBLE AS p, {wanted} FROM range({rows})) TO '{path}'"
    )


def command(rows: int, times: int) -> None:
    """`rai audit --predictions` beside DuckDB reading the same csv."""
    with tempfile.TemporaryDirectory() as folder:
        for features in (4, 20):
            path = Path(folder) / f"rows{features}.csv"
            made(path, rows, features)
            ours = [sys.executable, "-m", "rai_bigmodel", "audit", "--predictions", str(path), "--quiet"]
            ours += ["--truth", "y", "--score", "p", "--sensitive", "race", "--sensitive", "sex"]
            ours += ["--out", str(Path(folder) / "out")]
            mine = statistics.median(spent(ours) for _ in range(times))
            bare = statistics.median(spent([sys.executable, "-c", READ, str(path)]) for _ in range(times))
            print(
                f"| csv, {rows:,} rows, {features} features | {mine:.2f} s | {bare:.2f} s | {mine / bare:.1f} × |",
                flush=True,
            )


def bootstrap() -> None:
    """Six rates of 15 groups with Wilson's limits, and the widest gaps, beside 1,000 resamples of Fairlearn's."""
    import pandas as pd
    from fairlearn import metrics as fm
    from sklearn.metrics import accuracy_score, precision_score

    from rai_bigmodel.stats.counts import RATES, GroupCounts
    from rai_bigmodel.stats.intervals import wilson, z_two_sided

    c = columns(100_000)
    z = z_two_sided(0.05)

    def ours() -> None:
        counts = GroupCounts.of(c["race"] * 3 + c["sex"], c["y"], c["d"], groups=15)
        for rate in RATES.values():
            found = rate(counts)
            wilson(found.successes, found.trials, z)

    ours()
    runs = []
    for _ in range(31):
        start = time.process_time()
        ours()
        runs.append(time.process_time() - start)
    mine = statistics.median(runs)
    without_stack({k: v[:1000] for k, v in c.items()})  # imports
    start = time.process_time()
    fm.MetricFrame(
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
        n_boot=10,
        ci_quantiles=[0.025, 0.975],
        random_state=np.random.RandomState(0),
    )
    theirs = (time.process_time() - start) * 100
    print(
        f"| 100,000 rows, six rates of 15 groups with intervals | {mine * 1e3:.2f} ms | {theirs:,.0f} s, extrapolated from n_boot=10 | {theirs / mine:,.0f} × |",
        flush=True,
    )


def main() -> None:
    """Both tables of benchmarks/README.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--no-bootstrap", action="store_true")
    given = parser.parse_args()
    command(given.rows, given.times)
    if not given.no_bootstrap:
        bootstrap()


if __name__ == "__main__":
    main()
