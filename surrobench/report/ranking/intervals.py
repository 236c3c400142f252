"""Interquartile means and probabilities of improvement beside ranks, each with its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surrobench.report.ranking.model import Floats, Ranking


def with_intervals(ranking: Ranking) -> Ranking:
    """The ranking with interquartile means, probabilities of improvement on the control, and intervals.

    Each is three columns of ``Ranking.extra``: the estimate by its name, and its ends as ``NAME_low`` and
    ``NAME_high``.
    """
    shown = {
        "iqm": ranking.iqm,
        "improvement": ranking.improvement,
        "improvement_unpaired": ranking.improvement_unpaired,
    }
    extra: dict[str, Floats] = {}
    for name, found in shown.items():
        for key, end in ((name, "estimate"), (f"{name}_low", "low"), (f"{name}_high", "high")):
            extra[key] = np.array([np.nan if one is None else getattr(one, end) for one in found])
    further = ranking.further and with_intervals(ranking.further)
    notes = (*ranking.notes, ranking.interval_note)
    return replace(ranking, extra={**ranking.extra, **extra}, notes=notes, further=further)
