"""Train privately on the mortgage data, audit, judge, and write the page: the README's example, runnable."""

import rai_bigmodel as rai

splits = rai.datasets.loan()
run = rai.train(
    rai.nets.MLP(hidden=(64, 32)),
    splits,
    epochs=10,
    privacy=rai.Privacy(epsilon=4, delta=1e-5, sample_rate=0.1, expected_batch_size=100),
)
dossier = rai.audit(run, splits, audits=["performance", "fairness", "privacy"])
verdict = rai.judge(dossier, "examples/policies/lending.yaml")
rai.write_report(dossier, verdict, path="reports/mine/report.html")
print(verdict.headline)
