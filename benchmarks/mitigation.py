"""What does each way to a fairer model do on the mortgage data, over many divisions of its rows?

    python benchmarks/mitigation.py [FIRST [HOW_MANY [ROUNDS]]]

Each division of the rows (895 to train on, 298 to choose on, 796 held out) trains the demo's plain network and all
that `rai mitigate --attribute race` tries. Printed, as the table in mitigation.md: the change on the held-out rows
of the difference in approval between the two groups of the pair, and of accuracy. ROUNDS are those of Fairlearn's
ExponentiatedGradient, whose models differ in number from one division to the next; 0, the default, leaves it out.
"""

from __future__ import annotations

import sys
from importlib import resources

import numpy as np

from rai_bigmodel import datasets, files
from rai_bigmodel.mitigate.search import mitigate
from rai_bigmodel.training import fit, recipe


def changes(division: int, rounds: int) -> dict[str, tuple[float, float, bool]]:
    """Candidate → change of the difference, change of accuracy, and whether the interval shows it narrower."""
    written = resources.files("rai_bigmodel.demo").joinpath("plain.yaml").read_bytes()
    splits = datasets.loan(seed=division)
    run = fit.train_recipe(files.parse_yaml(written, recipe.Recipe, where="plain.yaml"), splits=splits)
    frontier = mitigate(run, splits, attribute="race", rounds=rounds).frontier
    found = {}
    for point in frontier.points[1:]:
        against = [m for m in point.measurements if "against" in m.labels and "group" not in m.labels]
        accuracy, gap = sorted(against, key=lambda m: m.metric != "performance.accuracy")
        found[point.name] = (gap.value, accuracy.value, gap.interval.high < 0)
    found["the chosen one"] = found.get(frontier.chosen, (0.0, 0.0, False))
    return found


def main() -> None:
    """Print the table."""
    given = (*sys.argv[1:], *("20", "16", "0")[len(sys.argv) - 1 :])
    first, many, rounds = (int(number) for number in given)
    runs = [changes(division, rounds) for division in range(first, first + many)]
    print(
        f"| tried | change of the difference | narrower in | shown narrower in | change of accuracy |\n{'|---' * 5}|"
    )
    for name in dict.fromkeys(name for run in runs for name in run):
        gap, accuracy, shown = (
            np.array(column) for column in zip(*(r[name] for r in runs if name in r), strict=True)
        )
        counts = f"{(gap < 0).sum()} of {len(gap)} | {shown.sum()}"
        print(f"| {name} | {gap.mean():+.3f} | {counts} | {accuracy.mean():+.3f} |", flush=True)


if __name__ == "__main__":
    main()
