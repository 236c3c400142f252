"""Describe all pairs of methods in JSON: what the post hoc test found, and all that is needed to check it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from surrobench.report.ranking.model import Posthoc, Ranking
from surrobench.stats.paired import Comparisons
from surrobench.stats.ranks import Conover, Nemenyi

STATISTICS: Mapping[Posthoc, str] = {
    "nemenyi": "difference of mean ranks over sqrt(k (k + 1) / (12 n)), about a studentised range of k with "
    "infinite degrees of freedom",
    "conover": "t: rank sum of the method less that of the other, over its standard error",
    "wilcoxon": "the smaller sum of signed ranks",
}
"""What ``statistic`` is for each test of all pairs."""

_RANKS = "mean rank of the other less that of the method: positive where the method is better"
EFFECTS: Mapping[Posthoc, str] = {
    "nemenyi": _RANKS,
    "conover": _RANKS,
    "wilcoxon": "matched-pairs rank-biserial correlation: positive where the method is better",
}
"""What ``effect`` is for each test of all pairs."""


def pairs_document(ranking: Ranking) -> dict[str, Any]:
    """Return the test of all pairs as a JSON value: its n, family, correction, and result for each pair.

    A number that a test does not have is None. Nemenyi's p-values are those of the whole family from the
    start, and only Conover's t has finite degrees of freedom.
    """
    pairs, k = ranking.tested.pairs, len(ranking.methods)
    return {
        "test": ranking.settings.posthoc,
        "n": ranking.friedman.n,
        "comparisons": k * (k - 1) // 2,
        "correction": f"range of rank sums, {pairs.how}" if isinstance(pairs, Nemenyi) else pairs.correction,
        "dof": pairs.dof if isinstance(pairs, Conover) else None,
        "smallest_reachable_p": pairs.smallest_p if isinstance(pairs, Comparisons) else None,
        "statistic": STATISTICS[ranking.settings.posthoc],
        "effect": EFFECTS[ranking.settings.posthoc],
        "each": list(_each(ranking)),
    }


def _each(ranking: Ranking) -> Iterator[dict[str, Any]]:
    """Yield a row for each pair, with the method of better mean rank first."""
    methods, pairs = ranking.methods, ranking.tested.pairs
    if isinstance(pairs, Comparisons):
        for found in pairs.comparisons:
            yield {
                "method": methods[found.method],
                "against": methods[found.against],
                "statistic": found.statistic,
                "p_raw": found.p,
                "p_corrected": found.p_corrected,
                "effect": found.effect,
                "wins": found.wins,
                "ties": found.ties,
                "losses": found.losses,
            }
        return
    n, k = ranking.friedman.n, len(methods)
    for i, j in combinations(range(k), 2):
        effect = float(ranking.mean_rank[j] - ranking.mean_rank[i])
        if isinstance(pairs, Conover):
            statistic, p_raw = float(pairs.t[i, j]), float(pairs.p_raw[i, j])
        else:
            statistic, p_raw = float(abs(effect) / np.sqrt(k * (k + 1) / (12 * n))), None
        yield {
            "method": methods[i],
            "against": methods[j],
            "statistic": statistic,
            "p_raw": p_raw,
            "p_corrected": float(pairs.p[i, j]),
            "effect": effect,
        }
