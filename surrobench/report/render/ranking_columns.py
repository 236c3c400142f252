"""What a ranking shows of each method: one list of columns for every format."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from surrobench.report.ranking.model import Ranking
from surrobench.report.render.table import Value, small
from surrobench.stats.curves import share_won

INTERVALS, OTHERS = 1, 2
"""The parts of a table that a narrow terminal shows apart: wide intervals, and what else was asked for."""


@dataclass(frozen=True)
class RankingColumn:
    """A column of a ranking.

    Attributes:
        key: the column's name in CSV and JSON.
        title: the heading.
        value: the exact value of a method (its index); None where there is none.
        show: the value as people read it; a column that is empty for every method is left out.
        best: which of the values is set in bold.
        part: see ``table.Column``.
        asked: whether CSV has the column only where it was asked for.
    """

    key: str
    title: str
    value: Callable[[Ranking, int], Value]
    show: Callable[[Ranking, int], str]
    best: Callable[[list[float]], float] | None = None
    part: int = 0
    asked: bool = False


def _clipped(ranking: Ranking, method: int) -> str:
    return small(min(1.0, max(0.0, float(ranking.mean_normalised[method]))))


def _extra(key: str) -> Callable[[Ranking, int], float | None]:
    def value(ranking: Ranking, method: int) -> float | None:
        return float(ranking.extra[key][method]) if key in ranking.extra else None

    return value


def _shown_extra(key: str, show: Callable[[float], str]) -> Callable[[Ranking, int], str]:
    def text(ranking: Ranking, method: int) -> str:
        value = _extra(key)(ranking, method)
        return "" if value is None or math.isnan(value) else show(value)

    return text


def _further(
    key: str, title: str, show: Callable[[float], str], best: Callable[[list[float]], float] | None = min
) -> RankingColumn:
    """Return a column that is there only where it was asked for."""
    return RankingColumn(key, title, _extra(key), _shown_extra(key, show), best, part=OTHERS)


def _amount(value: float) -> str:
    """Return what was spent, in any unit; what nobody reached has a word of its own."""
    if math.isinf(value):
        return "never"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _versus(attribute: str) -> Callable[[Ranking, int], Value]:
    def value(ranking: Ranking, method: int) -> Value:
        comparison = ranking.comparison(method)
        found: Value = None if comparison is None else getattr(comparison, attribute)
        return found

    return value


def _p_corrected(ranking: Ranking, method: int) -> str:
    comparison = ranking.comparison(method)
    if comparison is None:
        return "control" if ranking.methods[method] == ranking.control else ""
    return small(comparison.p_corrected) + ("*" if ranking.significant(method) else "")


def _with_interval(key: str, title: str) -> RankingColumn:
    """Return a column of ``Ranking.extra`` whose interval stands there, too."""

    def value(ranking: Ranking, method: int) -> Value:
        found = ranking.extra.get(key)
        return None if found is None or math.isnan(found[method]) else float(found[method])

    def show(ranking: Ranking, method: int) -> str:
        if (estimate := value(ranking, method)) is None:
            return ""
        low, high = (float(ranking.extra[f"{key}_{end}"][method]) for end in ("low", "high"))
        # There is no interval where there are too few blocks for one.
        return f"{estimate:.2f}" + ("" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]")

    return RankingColumn(key, title, value, show, part=INTERVALS)


def _place(ranking: Ranking, method: int) -> str:
    """Return between which ranks a method lies."""
    if "place_low" not in ranking.extra:
        return ""
    low, high = (int(ranking.extra[f"place_{end}"][method]) for end in ("low", "high"))
    return str(low) if low == high else f"{low} to {high}"


def _elo(ranking: Ranking, method: int) -> str:
    if "elo" not in ranking.extra:
        return ""
    rating, low, high = (float(ranking.extra[key][method]) for key in ("elo", "elo_low", "elo_high"))
    return f"{rating:.0f}" + ("" if math.isnan(low) else f" [{low:.0f}, {high:.0f}]")


def _effect(ranking: Ranking, method: int) -> str:
    comparison = ranking.comparison(method)
    return f"{comparison.effect:+.2f}" if comparison else ""


def _record(ranking: Ranking, method: int) -> str:
    comparison = ranking.comparison(method)
    return f"{comparison.wins}/{comparison.ties}/{comparison.losses}" if comparison else ""


def _raw_record(ranking: Ranking, method: int) -> Value:
    return _record(ranking, method) or None


COLUMNS = (
    RankingColumn("method", "method", lambda r, j: r.methods[j], lambda r, j: r.methods[j]),
    RankingColumn("model", "model", lambda r, j: r.models.get(r.methods[j]),
           lambda r, j: r.models.get(r.methods[j], "")),
    RankingColumn("mean_rank", "mean rank", lambda r, j: float(r.mean_rank[j]),
           lambda r, j: f"{r.mean_rank[j]:.2f}", min),
    RankingColumn("normalised_regret", "norm. regret", lambda r, j: float(r.mean_normalised[j]),
                  _clipped, min),
    RankingColumn("quantile_regret", "quantile regret", lambda r, j: float(r.mean_quantile[j]),
           lambda r, j: small(r.mean_quantile[j]), min),
    RankingColumn("random_trials", "random trials", lambda r, j: float(r.random_trials[j]),
           lambda r, j: f"{r.random_trials[j]:.1f}", max),
    _further("log_regret", "log10 regret", "{:.2f}".format),
    _further("area", "area", small),
    RankingColumn("place", "place", _extra("place"), _place, part=OTHERS, asked=True),
    RankingColumn("elo", "Elo", _extra("elo"), _elo, part=OTHERS, asked=True),
    _with_interval("iqm", "IQM"),
    _with_interval("improvement", "improvement (paired)"),
    _with_interval("improvement_unpaired", "improvement (unpaired)"),
    _further("test", "test metric", "{:.4g}".format, None),
    _further("target_share", "target reached", "{:.0%}".format, max),
    _further("target_median", "median to target", _amount),
    _further("target_ert", "ERT of target", _amount),
    RankingColumn("share_won", "won", lambda r, j: float(share_won(r.values)[j]), lambda r, j: ""),
    RankingColumn("wins", "wins", lambda r, j: int(r.wins[j]), lambda r, j: str(r.wins[j]), max),
    RankingColumn("p", "p", _versus("p"), lambda r, j: ""),
    RankingColumn("p_corrected", "p (corrected)", _versus("p_corrected"), _p_corrected),
    RankingColumn("effect", "effect", _versus("effect"), _effect),
    RankingColumn("win_tie_loss", "w/t/l", _raw_record, _record),
)  # fmt: skip
"""What a ranking shows of each method, in order; what shows nothing stands in CSV and JSON only."""
