"""How long does the whole command take beside DuckDB reading the file?

Processor seconds of whole processes, imports and all, one thread each; medians.

    OMP_NUM_THREADS=1 python benchmarks/command.py [--rows 1000000] [--times 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

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
    done = subprocess.run(  # noqa: S603 - ourselves
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
        # ruff: noqa: S608 - our own words
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


def main() -> None:
    """A table of benchmarks/README.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    command(given.rows, given.times)


if __name__ == "__main__":
    main()
