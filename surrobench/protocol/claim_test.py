"""Name the tests that may judge a claim, for the suite that states it and the statistics that run it."""

from __future__ import annotations

from typing import Literal

ClaimTest = Literal["wilcoxon", "sign", "mean"]
"""Wilcoxon's signed-rank test of the pseudomedian; the sign test of the median, which assumes less; or the
sign-flip permutation test of the mean, which is what tables show."""

Looks = int | Literal["unlimited"]
"""How often the verdicts of a study may be looked at while it grows."""
