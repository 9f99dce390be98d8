"""Files that are counted where they lie: the same as in memory, and the same refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from rai_bigmodel import api, cli, tables
from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import AtLeast
from rai_bigmodel.tables import files

ROLES = {"truth": ("y",), "sensitive": ("g", "h"), "score": ("p",), "feature": ("*",)}


def rows(n: int = 2_000) -> pl.DataFrame:
    """Text that looks missing, codes with holes, a score."""
    rng = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "g": rng.choice(np.array(["NA", "null", "b", None], dtype=object), n).tolist(),
            "h": [None if x > 2 else float(x) for x in rng.integers(0, 4, n)],
            "y": rng.integers(0, 2, n),
            "p": rng.random(n).round(4),
            "x": rng.normal(size=n),
        }
    )


@pytest.fixture(params=["csv", "parquet", "folder"])
def path(request, tmp_path):
    """The same rows in three kinds of files."""
    if request.param == "csv":
        rows().write_csv(tmp_path / "rows.csv")
        return tmp_path / "rows.csv"
    if request.param == "parquet":
        rows().write_parquet(tmp_path / "rows.parquet")
        return tmp_path / "rows.parquet"
    for i, part in enumerate(rows().iter_slices(700)):
        part.write_parquet(tmp_path / f"{i}.parquet")
    return tmp_path


def test_a_file_left_in_duckdb_counts_as_in_memory(path) -> None:
    """Groups, pairs, thresholds, histograms, nulls and the digest of the bytes."""
    small = tables.open_table(path, roles=ROLES)
    large = tables.open_table(path, roles=ROLES, memory=0)
    cut = AtLeast(column="p", threshold=0.3)

    assert isinstance(small, tables.Table)
    assert isinstance(large, tables.Frame)
    assert large.rows == small.rows
    assert large.digest == small.digest
    for by in (["g"], ["h"], ["g", "h"]):
        assert large.count(by, truth="y", decision=cut) == small.count(by, truth="y", decision=cut)
    assert (
        large.histogram(["h"], score="p", truth="y")[0] == small.histogram(["h"], score="p", truth="y")[0]
    ).all()
    assert large.missing(("x", "g")) == {"x": 0, "g": rows()["g"].null_count()}


def test_a_large_file_of_predictions_is_audited(path, monkeypatch) -> None:
    """Everything that counts give is equal; what scores give lies within the error stated, in a wider interval."""
    given = {"truth": "y", "score": "p", "sensitive": ("g", "h"), "threshold": 0.4}
    small = api.audit_predictions(path, **given)
    monkeypatch.setattr(files, "IN_MEMORY", 0)
    large = api.audit_predictions(path, **given)

    def values(dossier, audit):
        found = next(e for e in dossier.evidence if e.audit == audit)
        assert not found.failure
        return {(m.metric, str(sorted(m.labels.items()))): m for m in found.measurements}

    in_rows = ("fairness.roc_auc", "fairness.scoring_rate", "fairness.ece_debiased")
    counted, also = (
        {k: m for k, m in values(d, "fairness").items() if k[0] not in in_rows} for d in (small, large)
    )
    assert counted == also
    for audit in ("performance", "fairness", "data", "calibration"):
        before, after = values(small, audit), values(large, audit)
        assert set(before) == set(after)
        for k, m in after.items():
            if audit == "data" and k[0] in {"data.leak_auc", "data.leak_purity"}:
                assert m.value is not None or m.why
            elif m.why.startswith("counted in bins: cut"):
                assert m.value == pytest.approx(before[k].value, abs=5e-3)
            elif m.why.startswith("counted in bins"):
                error = float(m.why.rsplit(" ", 1)[1])
                assert abs(m.value - before[k].value) <= error * 1.1 + 1e-12
                assert m.interval.low <= before[k].interval.low
                assert m.interval.high >= before[k].interval.high
            elif k[0] == "fairness.scoring_rate":
                assert m.value == pytest.approx(before[k].value, abs=0.01)
            elif k[0] not in {"calibration.consistency_p", "performance.log_loss"}:
                assert m.value == before[k].value or m.why
    assert values(large, "performance")["performance.roc_auc", "[]"].value is not None


@pytest.mark.parametrize("memory", [0, files.IN_MEMORY])
@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("g,y,p\na,1,0.5\nb,0,1.2\n", (), "outside 0 to 1 in 1 of 2"),
        ("g,y,p\na,1,0.5\nb,0,\n", (), "missing"),
        ("g,y,p\na,1,0.5\nb,2,0.5\n", (), "none is declared positive"),
        ("g,y,p\na,yes,0.5\nb,no,0.5\n", (), "none is declared positive"),
        ("g,y,p\na,1,0.5\na,0,0.5\n", (), "one value"),
        ("g,y,p\n" + "".join(f"a{i},{i % 2},0.5\n" for i in range(60)), (), "is it an id"),
        ("g,y,p\na,1,0.5\nb,0\n", (), "cannot be read as csv"),
        ("g,y,p\n", (), "has no rows"),
        ("", (), "the file is empty"),
        ("g,yy,p\na,1,0.5\n", (), "Did you mean 'yy'"),
        ("g,y,p\na,1,0.5\nb,0,0.5\n", ("--threshold", "7"), "lies from 0 to 1, got 7"),
    ],
)
def test_a_file_or_column_that_is_wrong_is_one_line_and_exit_2(
    tmp_path, monkeypatch, memory, text, options, message
) -> None:
    """In memory and in the engine alike."""
    monkeypatch.setattr(files, "IN_MEMORY", memory)
    path = tmp_path / "rows.csv"
    path.write_text(text)
    args = ["audit", "--predictions", str(path), "--truth", "y", "--score", "p", "--sensitive", "g", *options]
    result = CliRunner().invoke(cli.cli, [*args, "--out", str(tmp_path / "out")])

    assert isinstance(result.exception, InputError), result.exception
    assert result.exception.exit_code == 2
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_a_file_that_is_not_what_its_ending_says_is_one_line(tmp_path, name) -> None:
    """Parquet called csv, and text called parquet."""
    rows(20).write_parquet(tmp_path / "rows.csv")
    (tmp_path / "rows.parquet").write_text("g,y\na,1\n")
    with pytest.raises(InputError, match="cannot be read as"):
        tables.open_table(tmp_path / name, roles=ROLES, memory=0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_counting_a_large_file_takes_little_memory(tmp_path) -> None:
    """3 million rows, and the process stays far under what the rows would take."""
    n, rng = 3_000_000, np.random.default_rng(0)
    pl.DataFrame({"g": rng.integers(0, 5, n), "y": rng.integers(0, 2, n), "p": rng.random(n)}).write_parquet(
        tmp_path / "rows.parquet"
    )
    code = (
        "import pathlib, sys\n"
        "from rai_bigmodel import tables\n"
        "from rai_bigmodel.subject import AtLeast\n"
        "roles = {'truth': ('y',), 'sensitive': ('g',), 'score': ('p',)}\n"
        "t = tables.open_table(sys.argv[1], roles=roles, memory=0)\n"
        "c = t.count(['g'], truth='y', decision=AtLeast(column='p', threshold=0.5))\n"
        # Not getrusage: its peak is inherited from the process that started this one.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(c.total.n[0], int(status.split('VmHWM:')[1].split()[0]) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "rows.parquet")],
        capture_output=True,
        text=True,
        check=True,
    )
    counted, peak = map(int, done.stdout.split())

    assert counted == n
    assert peak < 300
