"""How long does the whole command take beside DuckDB reading the file?

Processor and wall-clock seconds of whole processes, imports and all, one thread each, in turns; medians. DuckDB reads
all columns into a table of its own, in memory.

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
import time
from pathlib import Path

READ = """
import sys, duckdb
duckdb.sql("SET threads = 1")
duckdb.sql(f"CREATE TABLE rows AS SELECT * FROM read_csv('{sys.argv[1]}')")
"""


def spent(command: list[str]) -> tuple[float, float]:
    """Processor seconds of a process and its children, and seconds on the clock."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    # With bytecode, as `pip` leaves it: where an environment forbids to write it, every run would compile the package.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, check=False, capture_output=True)  # noqa: S603 - ourselves
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    after, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock


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
            # In turns, so that what else the machine does costs both sides alike.
            runs = [(spent(ours), spent([sys.executable, "-c", READ, str(path)])) for _ in range(times)]
            mine, clock = (statistics.median(run[0][i] for run in runs) for i in (0, 1))
            bare, bare_clock = (statistics.median(run[1][i] for run in runs) for i in (0, 1))
            print(
                f"| csv, {rows:,} rows, {features} features | {mine:.2f} s ({clock:.2f} s) "
                f"| {bare:.2f} s ({bare_clock:.2f} s) | {mine / bare:.1f} × |",
                flush=True,
            )
    print("load of the machine: " + ", ".join(f"{v:.1f}" for v in os.getloadavg()), flush=True)


def main() -> None:
    """A table of benchmarks/README.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    command(given.rows, given.times)


if __name__ == "__main__":
    main()
