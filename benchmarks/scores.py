"""How fast are AUC and calibration for each group, beside scikit-learn? Medians of three, one thread.

OMP_NUM_THREADS=1 python benchmarks/scores.py [ROWS]
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from rai_bigmodel.audits.slices import Slices
from rai_bigmodel.evidence import Decision
from rai_bigmodel.stats import calibration, scores
from rai_bigmodel.subject import Splits, Subject
from rai_bigmodel.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable

GROUPS = 15


def median(work: Callable[[], object], *, times: int = 3) -> float:
    """Seconds: the median of some runs after one that warms up."""
    work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main(rows: int) -> None:
    """Time, compare and print."""
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    group, score = rng.integers(0, GROUPS, rows), rng.beta(1, 2, rows)
    truth = rng.random(rows) < score

    def theirs() -> list[float]:
        out = []
        for i in range(GROUPS):
            here = group == i
            out.append(roc_auc_score(truth[here], score[here]))
            calibration_curve(truth[here], score[here], n_bins=15, strategy="quantile")
        return out

    def counts() -> scores.ScoreCounts:
        return scores.ScoreCounts.of(group, truth, score, groups=GROUPS)

    def ours() -> scores.Bounded:
        counted = counts()
        for i in range(GROUPS):
            calibration.equal_mass_of_counts(counted, i)
        return scores.binned_auc(counted)

    def with_intervals() -> None:
        counted = counts()
        for i in range(GROUPS):
            calibration.of_bins(calibration.equal_mass_of_counts(counted, i))

    peer, mine = median(theirs), median(ours)
    found = ours()
    print(f"{rows:,} rows, {GROUPS} groups")
    print(f"scikit-learn, AUC and calibration curve   {peer:8.4f} s")
    print(f"ScoreCounts, the same                     {mine:8.4f} s   {peer / mine:.0f} x")
    print(f"  largest difference of an AUC {np.abs(found.value - theirs()).max():.1e}, ", end="")
    print(f"largest error it states {found.error.max():.1e}")
    print(f"  with debiased errors, 13 rungs each     {median(with_intervals):8.4f} s")
    print(
        "consistency resampling, 9,999 draws       "
        f"{median(lambda: calibration.consistency_p(score, truth, rng)):8.4f} s"
    )
    columns = {f"f{i}": rng.normal(size=rows) for i in range(20)}
    columns["y"] = ((columns["f0"] > 0) ^ (rng.random(rows) < 0.1)).astype(float)
    roles = {"feature": tuple(f"f{i}" for i in range(20)), "truth": ("y",)}
    data = Splits(held_out=Table(name="rows", columns=columns, roles=roles))
    box = Subject(
        name="box",
        kind="callable",
        digest="",
        decision=Decision(kind="threshold", threshold=0.5, positive="1", labels=("0", "1")),
        predict=lambda x: (x["f0"] > 0) * 1.0,
    )
    for yardstick in (False, True):
        audit = Slices(yardstick=yardstick)
        taken = median(lambda audit=audit: audit(box, data, np.random.default_rng(0)))
        print(f"slices, 20 columns{', with the tree' if yardstick else '':23} {taken:8.4f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
