"""Which words of evidence does no source line hold as a sentence? Those that code puts together from names.

Conditions of slices, reasons beside lists of columns, the names of parts of our data and of tests. The catalogue has
them beside what `extracting` reads off the source. Two braces are picky: what stands for ``{column}`` must be a name
from the data, and for ``{identifiers}`` names without blanks, so that no plugin's sentence is taken for one of these.
"""

from __future__ import annotations

from rai_bigmodel.report.phrases import N_

MADE = (
    N_("{column} is {value}"),
    N_("{column} is at most {high}"),
    N_("{column} is above {low}"),
    N_("{column} is above {low} and at most {high}"),
    N_("{column} is missing"),
    N_("{column} is {value} or missing"),
    N_("{identifiers}: {reason}"),
    N_("restates `{name}`"),
    N_("restates"),
    N_("completeness gap"),
    N_("insertion deletion p"),
    N_("randomisation similarity"),
    N_("ablation agreement"),
    N_("infidelity"),
    N_("stability"),
    N_("noise_fresh"),
    N_("clip"),
    N_("steps"),
    N_("sampling"),
    N_("delong, newcombe"),
    N_("score, wilson"),
    N_("tukey-newcombe"),
    N_("clopper-pearson"),
    N_("row {number}"),
    N_("Row {number}"),
    N_("step {number}"),
    N_("feature {number}"),
    N_("lowest"),
    N_("low"),
    N_("middle"),
    N_("high"),
    N_("highest"),
    N_("yes"),
    N_("no"),
    N_("passed"),
    N_("failed"),
)
