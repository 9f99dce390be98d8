"""Audit decisions that somebody else's model made: a table is enough, no model, no torch."""

import csv
import random
import tempfile
from pathlib import Path

import rai_bigmodel as rai
from rai_bigmodel.api import audit_predictions
from rai_bigmodel.policy import Policy, Rule

chance = random.Random(7)  # noqa: S311 - a made-up table, not a secret
with tempfile.TemporaryDirectory() as folder:
    table = Path(folder) / "scored.csv"
    with table.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["region", "repaid", "score"])
        for _ in range(2_000):
            region = chance.choice(["north", "south"])
            repaid = chance.random() < 0.6
            score = min(max(chance.gauss(0.5 + 0.2 * repaid - 0.1 * (region == "south"), 0.2), 0.0), 1.0)
            writer.writerow([region, int(repaid), round(score, 3)])

    dossier = audit_predictions(table, truth="repaid", score="score", threshold=0.6, sensitive=["region"])

rule = Rule(
    metric="fairness.demographic_parity_difference",
    where={"attribute": "region"},
    at_most=0.10,
    because="A gap of more than ten points between regions opens a review.",
)
verdict = rai.judge(dossier, Policy(name="regions", rules=(rule,)))
print(verdict.headline)
print(verdict.rulings[0].words)
