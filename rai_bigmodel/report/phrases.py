"""How is a metric called in words, and how is a rule about it read aloud?

One row a metric of the documented list; a metric of a plugin is called by its own name. The words say
what was measured, never what it means for a decision about the model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rai_bigmodel.files import visible
from rai_bigmodel.report.language import _, number, say
from rai_bigmodel.report.patterns import Said
from rai_bigmodel.rules import Limit, Rule, label_text

if TYPE_CHECKING:
    from collections.abc import Mapping


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for a message that is said later
    """Marks a message for the catalogue."""
    return message


class Phrase(NamedTuple):
    """The words for one metric.

    ``title`` reads a rule aloud: ``{limit}`` is "at most 0.05", other braces are labels. ``least`` and
    ``most`` are the ends that the metric cannot pass. ``base`` is the rate per group behind a gap.
    A ``flag`` is 1 for yes and 0 for no.
    """

    name: str
    title: str = ""
    least: float | None = None
    most: float | None = None
    base: str = ""
    unit: str = ""
    flag: bool = False


def _share(name: str, title: str = "", base: str = "") -> Phrase:
    return Phrase(name, title, 0.0, 1.0, base)


def _amount(name: str, title: str = "", unit: str = "") -> Phrase:
    return Phrase(name, title, 0.0, None, unit=unit)


def _flag(name: str, title: str = "") -> Phrase:
    return Phrase(name, title, 0.0, 1.0, flag=True)


_BYTES = N_("bytes")

KNOWN: dict[str, Phrase] = {
    "performance.accuracy": _share("Accuracy", "Share of decisions that agree with the label: {limit}"),
    "performance.balanced_accuracy": _share("Balanced accuracy", "Balanced accuracy is {limit}"),
    "performance.roc_auc": _share("ROC AUC", "It ranks cases usefully: ROC AUC {limit}"),
    "performance.log_loss": _amount("Log loss", "Log loss is {limit}"),
    "performance.brier": _share("Brier score", "The Brier score of its probabilities is {limit}"),
    "performance.f1_macro": _share("F1, macro average", "F1, averaged over classes, is {limit}"),
    "performance.mae": _amount("Mean absolute error", "The mean absolute error is {limit}"),
    "performance.rmse": _amount("Root mean square error", "The root mean square error is {limit}"),
    "performance.r2": Phrase("R²", "R² is {limit}", None, 1.0),
    "performance.perplexity": _amount("Perplexity", "Perplexity is {limit}"),
    "performance.reconstruction_error": _amount(
        "Reconstruction error", "The reconstruction error is {limit}"
    ),
    "performance.generalisation_gap": Phrase(
        "Generalisation gap", "Training rows do better than held-out ones by {limit}"
    ),
    "calibration.ece_debiased": _share(
        "Calibration error, debiased", "The debiased calibration error is {limit}"
    ),
    "calibration.consistency_p": _share("Calibration, p", "The test of calibration has p {limit}"),
    "fairness.selection_rate": _share("Selection rate", "The selection rate of {group} is {limit}"),
    "fairness.true_positive_rate": _share(
        "True positive rate", "The true positive rate of {group} is {limit}"
    ),
    "fairness.false_positive_rate": _share(
        "False positive rate", "The false positive rate of {group} is {limit}"
    ),
    "fairness.false_negative_rate": _share(
        "False negative rate", "The false negative rate of {group} is {limit}"
    ),
    "fairness.precision": _share("Precision", "Precision in {group} is {limit}"),
    "fairness.accuracy": _share("Accuracy", "Accuracy in {group} is {limit}"),
    "fairness.mean_prediction": Phrase("Mean prediction", "The mean prediction for {group} is {limit}"),
    "fairness.impact_ratio": _amount("Impact ratio", "The impact ratio of {group} is {limit}"),
    "fairness.scoring_rate": _share("Scoring rate", "The scoring rate of {group} is {limit}"),
    "fairness.roc_auc": _share("ROC AUC", "ROC AUC within {group} is {limit}"),
    "fairness.ece_debiased": _share(
        "Calibration error, debiased", "The calibration error in {group} is {limit}"
    ),
    "fairness.subgroup_auc": _share("Subgroup AUC", "The subgroup AUC of {group} is {limit}"),
    "fairness.bpsn_auc": _share("BPSN AUC", "The BPSN AUC of {group} is {limit}"),
    "fairness.bnsp_auc": _share("BNSP AUC", "The BNSP AUC of {group} is {limit}"),
    "fairness.demographic_parity_difference": _share(
        "Widest gap in selection rates",
        "Selection rates differ by {limit} between groups of {attribute}",
        base="selection_rate",
    ),
    "fairness.demographic_parity_ratio": _share(
        "Smallest ratio of selection rates",
        "The lowest selection rate is {limit} of the highest, among groups of {attribute}",
        base="selection_rate",
    ),
    "fairness.equal_opportunity_difference": _share(
        "Widest gap in true positive rates",
        "True positive rates differ by {limit} between groups of {attribute}",
        base="true_positive_rate",
    ),
    "fairness.equalized_odds_difference": _share(
        "Widest gap in error rates",
        "True and false positive rates differ by {limit} between groups of {attribute}",
        base="true_positive_rate",
    ),
    "fairness.accuracy_difference": _share(
        "Widest gap in accuracy", "Accuracy differs by {limit} between groups of {attribute}", base="accuracy"
    ),
    "fairness.mean_error_difference": _amount(
        "Widest gap in mean error",
        "Mean errors differ by {limit} between groups of {attribute}",
    ),
    "fairness.conditional_difference": Phrase(
        "Gap at equal {given}",
        "At equal {given}, selection rates differ by {limit} between groups of {attribute}",
        base="selection_rate",
    ),
    "fairness.any_disparity_p": _share(
        "Any disparity at all, p", "The test for any disparity between groups of {attribute} has p {limit}"
    ),
    "fairness.minimum_detectable_difference": _share("Smallest gap these rows can show"),
    "fairness.rows_needed": _amount("Rows needed to show a gap at the limit"),
    "slices.worst_accuracy_drop": Phrase(
        "Drop in accuracy in the worst slice", "Accuracy drops by {limit} in the worst slice", -1.0, 1.0
    ),
    "slices.count_significant": _amount("Slices that stand out", "Slices that stand out: {limit}"),
    "explainability.attribution_share": _share(
        "Share of attribution", "{feature} carries {limit} of the attribution"
    ),
    "explainability.sensitive_share": _share(
        "Share on sensitive columns", "{attribute} carries {limit} of the attribution"
    ),
    "explainability.proxy_strength": _share(
        "Strength as a proxy", "{attribute} can be told from the main features with an AUC of {limit}"
    ),
    "explainability.completeness_gap": _amount(
        "Completeness gap", "Attributions add up to the score, but for {limit}"
    ),
    "explainability.importance": _amount("Importance", "{feature} moves the score by {limit} on average"),
    "explainability.importance_difference": _amount(
        "Widest gap in importance",
        "The importance of {feature} differs by {limit} between groups of {attribute}",
    ),
    "explainability.permutation_drop": Phrase(
        "Drop in accuracy when permuted", "Accuracy drops by {limit} when {feature} is permuted", -1.0, 1.0
    ),
    "explainability.insertion_deletion_p": _share(
        "Insertion and deletion, p", "Rankings by chance do as well with p {limit}"
    ),
    "explainability.randomisation_similarity": Phrase(
        "Likeness after randomisation", "The likeness after randomising the model is {limit}", -1.0, 1.0
    ),
    "explainability.ablation_agreement": Phrase(
        "Agreement with ablation", "The agreement with ablation is {limit}", -1.0, 1.0
    ),
    "explainability.infidelity": _share("Infidelity", "The infidelity is {limit}"),
    "explainability.faithful": _flag("Faithful", "Explanations pass the battery of tests ({limit})"),
    "explainability.stability": _amount("Stability", "Explanations change by {limit} under small changes"),
    "privacy.epsilon_claimed": _amount("ε claimed", "Training claims ε {limit}"),
    "privacy.epsilon_spent": _amount("ε spent", "Training spent ε {limit}"),
    "privacy.epsilon_lower_bound": _amount("ε shown by attack", "Attacks show ε {limit}"),
    "privacy.largest_refutable_epsilon": _amount("Largest ε the attack could refute"),
    "privacy.noise_conformance_p": _share("Noise as claimed, p", "The test of the noise has p {limit}"),
    "privacy.conformance": _flag("Conformance", "Conformance ({check}) is {limit}"),
    "privacy.membership_auc": _share("Membership AUC", "Membership can be told with an AUC of {limit}"),
    "privacy.membership_tpr": _share(
        "Membership TPR", "Members are told apart at a rate of {limit} (FPR {fpr})"
    ),
    "privacy.blind_baseline_auc": _share("Blind baseline AUC"),
    "privacy.exposure": _amount("Exposure", "The exposure of {canary} is {limit} bits"),
    "privacy.extractable_rate": _share("Known by heart", "Training texts given back word for word: {limit}"),
    "privacy.accuracy_cost": Phrase(
        "Accuracy lost to privacy", "Privacy costs {limit} of accuracy in {group}", None, None
    ),
    "privacy.calibration_cost": Phrase(
        "Calibration lost to privacy", "Privacy costs {limit} of calibration in {group}"
    ),
    "deployment.max_abs_difference": _amount(
        "Largest difference in score",
        "Scores of the {variant} file differ from the trained model's by {limit}",
    ),
    "deployment.decision_flip_rate": _share(
        "Decisions that flip", "The {variant} file decides as the trained model: flips {limit}"
    ),
    "deployment.flip_rate_difference": _share(
        "Gap in flips between groups",
        "Flips by the {variant} file differ by {limit} between groups of {attribute}",
    ),
    "deployment.accuracy_drop": Phrase("Accuracy lost", "The {variant} file loses {limit} of accuracy"),
    "deployment.error_change": Phrase("Error changed", "The {variant} file's error grows by {limit}"),
    "deployment.recommended": _flag(
        "Recommended variant", "The {variant} file is the one recommended ({limit})"
    ),
    "deployment.calibration_change": Phrase(
        "Calibration changed", "The {variant} file changes calibration by {limit}"
    ),
    "deployment.fairness_change": Phrase(
        "Gap changed", "The {variant} file changes the gap between groups of {attribute} by {limit}"
    ),
    "deployment.explanation_agreement": _share(
        "Explanations agree", "Explanations of the {variant} file agree: {limit}"
    ),
    "deployment.load_ms": _amount("Loading", "The {variant} file loads in {limit} ms", unit="ms"),
    "deployment.peak_bytes": _amount(
        "Peak memory", "The {variant} file needs {limit} bytes at its peak", unit=_BYTES
    ),
    "deployment.latency_ms": _amount("Latency", "The {variant} file answers in {limit} ms", unit="ms"),
    "deployment.speedup": _amount("Speed-up", "The {variant} file is {limit} times as fast", unit="×"),
    "deployment.size_bytes": _amount("Size", "The {variant} file has {limit} bytes", unit=_BYTES),
    "data.duplicate_rate": _share("Exact duplicates", "Share of rows that are exact duplicates: {limit}"),
    "data.train_test_overlap": _share(
        "Held-out rows seen in training", "Share of held-out rows that were in training: {limit}"
    ),
    "data.missing_rate": _share("Missing", "Share of {feature} that is missing: {limit}"),
    "data.group_share": _share("Share of rows", "{group} makes up {limit} of the rows"),
    "data.label_rate": _share("Positive labels", "Share of {group} with the positive label: {limit}"),
    "data.leak_auc": _share(
        "AUC of the feature alone", "{feature} alone tells the label with an AUC of {limit}"
    ),
    "data.leak_purity": _share(
        "Purest part", "The purest part of {feature} tells the label in {limit} of its rows"
    ),
    "sustainability.energy_kwh": _amount("Energy of training", "Training used {limit} kWh", unit="kWh"),
    "sustainability.co2e_kg": _amount("CO₂e of training", "Training emitted {limit} kg CO₂e", unit="kg"),
    "sustainability.parameters": _amount("Parameters", "It has {limit} parameters"),
    "sustainability.flops_per_example": _amount("Operations a case", "A case costs {limit} operations"),
    "sustainability.train_seconds": _amount("Training time", "Training took {limit} s", unit="s"),
    "sustainability.energy_per_1000_decisions": _amount("Energy of 1,000 decisions", unit="kWh"),
}


def phrase(metric: str) -> Phrase:
    """The words for a metric; made from its own name where it is not a documented one."""
    if known := KNOWN.get(metric):
        return known._replace(name=_(known.name), title=_(known.title), unit=_(known.unit))
    name = metric.partition(".")[2].replace(".", ", ").replace("_", " ")
    if name.endswith(" p"):
        return _share(name[:1].upper() + name[1:-2] + ", p")
    return Phrase(name[:1].upper() + name[1:])


def name_of(metric: str, labels: Mapping[str, str]) -> str:
    """A metric's name, with the labels its words ask for."""
    return _fill(phrase(metric).name, labels)[0]


def within(text: str) -> str:
    """A name inside a sentence: a small letter at its beginning, unless it is a short form like ROC."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def named(text: str) -> str:
    """A name from the data as a person can see it: empty, blank and padded names are made plain."""
    if not text:
        return _("(empty)")
    return visible(text) if text == text.strip() else f"“{visible(text)}”"


_PLACE = re.compile(r"row \d+, column \d+|step \d+, feature \d+")


def is_place(text: str) -> bool:
    """Whether a feature's name is that of a place in a picture or a series, which is ours and no name of the data."""
    return _PLACE.fullmatch(text) is not None


def prose(text: str) -> str:
    """Free text on one line; line breaks become spaces, other hidden characters become visible."""
    return visible(" ".join(part.strip() for part in text.splitlines() if part.strip()))


def sentence(text: str) -> str:
    """A text with a capital at its beginning; what is not a Latin letter, like ε, is left as it is."""
    if not text[:1].isascii() or not text[:1].islower():
        return text
    if isinstance(text, Said):
        (first, english), *rest = text.parts
        return Said.made([(first[:1].upper() + first[1:], english), *rest])
    return text[:1].upper() + text[1:]


_ENDS = set(".!?:;…。！？：；")


def closed(text: str) -> str:
    """A sentence with its full stop; one that ends already, or a question, is left as it is."""
    if not text or text.rstrip(")）”")[-1:] in _ENDS:
        return text
    return Said.of("", [text, _(".")])


def limit_words(limit: Limit) -> str:
    """``at most 0.05``."""
    side = _("at most {number}") if limit.at_most is not None else _("at least {number}")
    return side.format(number=number(limit.value))


def rule_title(rule: Rule) -> str:
    """A rule read aloud."""
    titles = [_limit_title(limit) for limit in rule.limits]
    title = titles[0]
    if len(titles) > 1:
        title = say("One of these is kept: {titles}", titles=Said.of(_("; or "), titles))
    return (
        title
        if rule.role == "primary"
        else say("{title}, for the {role} model", title=title, role=named(rule.role))
    )


def _limit_title(limit: Limit) -> str:
    labels = {key: label_text(value) for key, value in limit.where.items()}
    said = limit_words(limit)
    words = phrase(limit.metric)
    if "against" in labels:
        text, used = _fill(words.name, labels)
        other = named(labels["against"])
        text = say("{name}: change against {other} {limit}", name=text, other=other, limit=said)
        used.add("against")
    else:
        text, used = _fill(
            words.title or say("{name}: {limit}", name=words.name, limit="{limit}"), labels, limit=said
        )
    if "scope" not in used and labels.get("scope") == "all":
        text = say("{title}, small groups among them", title=text)
        used.add("scope")
    rest = [f"{key} {named(value)}" for key, value in labels.items() if key not in used and key != "scope"]
    return say("{title} ({rest})", title=text, rest=_(", ").join(rest)) if rest else text


def _fill(text: str, labels: Mapping[str, str], *, limit: str = "") -> tuple[str, set[str]]:
    """A phrase with its braces filled, and which labels went into it."""
    out, used = text.replace("{limit}", limit), set()
    parts = out.split("{")
    pieces = [parts[0]]
    for part in parts[1:]:
        key, _brace, rest = part.partition("}")
        if key in labels:
            used.add(key)
            pieces.append(named(labels[key]) + rest)
        else:
            pieces.append(_unnamed(key, labels) + rest)
            used.update({"attribute"} if key == "group" else ())
    said = "".join(pieces)
    opens_with_a_name = text.startswith("{") and text[1:].partition("}")[0] in labels
    return (said if opens_with_a_name else sentence(said)), used


def _unnamed(key: str, labels: Mapping[str, str]) -> str:
    """What a rule speaks of when it names none: every one there is."""
    if key == "given":
        return _("strata")
    if key == "group" and "attribute" in labels:
        return _("each group of {attribute}").format(attribute=named(labels["attribute"]))
    known = {
        "group": _("each group"),
        "attribute": _("each attribute"),
        "feature": _("each feature"),
        "variant": _("exported"),
        "check": _("each check"),
        "fpr": _("each one measured"),
        "canary": _("each canary"),
    }
    return known.get(key) or _("each {key}").format(key=key)
