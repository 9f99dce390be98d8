"""Is more of a metric better, or less? Of most rates of single groups neither is."""

from __future__ import annotations

HIGHER = frozenset(
    (
        "accuracy",
        "balanced_accuracy",
        "roc_auc",
        "f1_macro",
        "r2",
        "consistency_p",
        "demographic_parity_ratio",
        "impact_ratio",
        "any_disparity_p",
        "subgroup_auc",
        "bpsn_auc",
        "bnsp_auc",
        "faithful",
        "ablation_agreement",
        "explanation_agreement",
        "speedup",
        "noise_conformance_p",
        "conformance",
    )
)
"""Metrics of which more is better, by the part of the name behind the dot."""

LOWER = frozenset(
    (
        "log_loss",
        "brier",
        "mae",
        "rmse",
        "perplexity",
        "reconstruction_error",
        "generalisation_gap",
        "ece_debiased",
        "demographic_parity_difference",
        "equal_opportunity_difference",
        "equalized_odds_difference",
        "accuracy_difference",
        "mean_error_difference",
        "worst_accuracy_drop",
        "count_significant",
        "completeness_gap",
        "infidelity",
        "insertion_deletion_p",
        "epsilon_spent",
        "epsilon_claimed",
        "epsilon_lower_bound",
        "membership_auc",
        "membership_tpr",
        "exposure",
        "extractable_rate",
        "accuracy_cost",
        "calibration_cost",
        "max_abs_difference",
        "decision_flip_rate",
        "flip_rate_difference",
        "accuracy_drop",
        "load_ms",
        "peak_bytes",
        "latency_ms",
        "size_bytes",
        "duplicate_rate",
        "train_test_overlap",
        "missing_rate",
        "leak_auc",
        "leak_purity",
        "energy_kwh",
        "co2e_kg",
        "energy_per_1000_decisions",
    )
)
"""Metrics of which less is better."""
