"""Do a real Spark, a real Dask cluster and Ibis give the same integers as memory?"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from rai_bigmodel import api, tables
from rai_bigmodel.audits.slices import Slices
from rai_bigmodel.subject import AtLeast, Splits
from rai_bigmodel.subjects.of_table import of_table
from rai_bigmodel.tables.coded import different_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.smoke,
    # Spark and Dask warn about versions and sockets of their own; what is counted is the matter here.
    pytest.mark.filterwarnings("ignore"),
]

ROLES = {"truth": ("y",), "sensitive": ("g", "h", "b"), "prediction": ("d",), "score": ("s",)}
ROLES |= {"feature": ("x",)}


def rows(n: int = 3_000) -> pl.DataFrame:
    """Text that looks missing, numbers with holes, booleans with holes, scores at the threshold."""
    rng = np.random.default_rng(5)
    score = np.r_[0.0, 1.0, 0.5, rng.random(n - 3)]
    return pl.DataFrame(
        {
            "g": rng.choice(np.array(["a", "NA", "a*b", "", None], dtype=object), n).tolist(),
            "h": [None if x > 2 else float(x) for x in rng.integers(0, 4, n)],
            "b": [[True, False, None][x] for x in rng.integers(0, 3, n)],
            "y": rng.integers(0, 2, n),
            "d": (score >= 0.5).astype(int),
            "s": score,
            "x": [None if i % 9 == 0 else v for i, v in enumerate(np.round(rng.normal(size=n), 2).tolist())],
        }
    )


@pytest.fixture(scope="module")
def spark() -> Iterator[object]:
    """A Spark of this machine's own."""
    pyspark = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None and not os.environ.get("RAI_REQUIRE_JAVA"):
        pytest.skip("Spark runs on Java 17 or later, and there is no java here")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        pyspark.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def dask() -> Iterator[object]:
    """A Dask cluster of two processes."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def in_spark(spark, tmp_path):
    """Read by Spark from four shards of parquet."""
    for i, part in enumerate(rows().iter_slices(750)):
        part.write_parquet(tmp_path / f"part{i}.parquet")
    return spark.read.parquet(str(tmp_path))


def in_dask(tmp_path):
    """Read by the workers from four shards of parquet."""
    dd = pytest.importorskip("dask.dataframe")
    for i, part in enumerate(rows().iter_slices(750)):
        part.write_parquet(tmp_path / f"part{i}.parquet")
    return dd.read_parquet(str(tmp_path / "part*.parquet"))


def in_ibis(tmp_path):
    """A table of Ibis on DuckDB, over a file."""
    ibis = pytest.importorskip("ibis")
    rows().write_parquet(tmp_path / "rows.parquet")
    return ibis.duckdb.connect().read_parquet(str(tmp_path / "rows.parquet"))


def same(native: object) -> None:
    """Counts of all attributes, pairs and thresholds, histograms and nulls, against memory."""
    table, there = tables.of(rows(), roles=ROLES), tables.of(native, roles=ROLES)
    assert isinstance(there, tables.Frame)
    assert there.rows == table.rows
    for decision in ("d", AtLeast(column="s", threshold=0.5)):
        for by in ([], ["g"], ["h"], ["b"], ["g", "h"], ["h", "b"]):
            assert there.count(by, truth="y", decision=decision) == table.count(
                by, truth="y", decision=decision
            )
    (counted, names), (known, want) = (
        c.histogram(["g"], score="s", truth="y", bins=32) for c in (there, table)
    )
    assert names == want
    assert (counted == known).all()
    assert there.missing(("g", "h", "s"))["s"] == 0
    assert there.missing(("g", "h", "s"))["h"] == rows()["h"].null_count()
    lazy = tables.of(rows().lazy(), roles=ROLES)
    assert there.digest == lazy.digest
    slices = [Slices()(of_table(c), Splits(held_out=c), np.random.default_rng(0)) for c in (there, lazy)]
    assert slices[0] == slices[1]
    assert different_rows(there, ("g", "h", "b", "y", "x")) == rows()["g", "h", "b", "y", "x"].n_unique()


def test_a_local_spark_counts_as_memory_does(spark, tmp_path) -> None:
    """Shards read by Spark; only cells come back."""
    same(in_spark(spark, tmp_path))


def test_a_local_dask_cluster_counts_as_memory_does(dask, tmp_path) -> None:
    """Shards read by two worker processes; only cells come back."""
    same(in_dask(tmp_path))


def test_ibis_counts_as_memory_does(tmp_path) -> None:
    """A table in a database that Ibis speaks to."""
    same(in_ibis(tmp_path))


def test_a_spark_table_of_predictions_is_audited(spark, tmp_path) -> None:
    """The whole call, from a table that never leaves Spark: gaps with intervals, nulls with why."""
    table = in_spark(spark, tmp_path)
    found = api.audit_predictions(table, truth="y", prediction="d", sensitive=("g",), intersections=False)
    by_metric = {m.metric: m for e in found.evidence for m in e.measurements}

    assert [e.failure for e in found.evidence if e.failure] == []
    assert by_metric["fairness.demographic_parity_difference"].interval is not None
    assert by_metric["performance.roc_auc"].why == "only decisions were given, no scores"
    scored = api.audit_predictions(
        table,
        truth="y",
        score="s",
        threshold=0.5,
        sensitive=("g",),
        intersections=False,
    )
    auc = next(m for e in scored.evidence for m in e.measurements if m.metric == "performance.roc_auc")

    assert 0 < auc.value < 1
    assert auc.interval is not None
