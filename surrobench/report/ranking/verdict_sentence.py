"""Write the one sentence that answers the question of a study, for the top of its ranking. No I/O.

The sentence says which method ranks first, and whether the best method with a language model (where there is
none, the best method) is better than the control. "Is better" and "is worse" are said of significant
differences alone; "did better" and "did worse" are said of what was observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from surrobench.optimizers.llm.control import PREFIX
from surrobench.report.ranking.model import MEASURES, Ranking

_EQUAL_RANKS = 1e-9


def verdict_sentence(ranking: Ranking) -> str:
    """Return the sentence that answers whether a method, above all one with a language model, is better.

    Examples:
        On 12 data sets tpe ranks first; karpathy-agent (smollm2) is worse than random search (p = 0.001).

        On 8 data sets cma-es ranks first; karpathy-agent (smollm2) did worse than random search, but 8 data
        sets do not show it: p = 0.06, smallest reachable p = 0.03.
    """
    if len(ranking.methods) == 1:
        return f"{_where(ranking)} {ranking.methods[0]} is alone: there is no method to compare it with."
    first = _level_with(ranking, range(len(ranking.methods)), 0)
    others = [j for j, name in enumerate(ranking.methods) if name != ranking.control]
    arms = [j for j in others if _asks_model(ranking, ranking.methods[j])]
    best = (arms or others)[0]
    alone_first = first == [best]
    subject = "it" if alone_first else ranking.methods[best]
    if len(arms) > 1:
        tied = len(_level_with(ranking, arms, best))
        role = "the best" if tied == 1 else f"one of the {tied} best"
        role += f" of the {len(arms)} methods with a language model"
        subject = f"{subject}, {role}," if alone_first else f"{role}, {ranking.methods[best]},"
    return f"{_where(ranking)} {_first(ranking, first)}; {_against_control(ranking, best, subject)}"


def _level_with(ranking: Ranking, methods: Iterable[int], best: int) -> list[int]:
    """Return those of some methods that have the same mean rank as the best method."""
    return [j for j in methods if abs(ranking.mean_rank[j] - ranking.mean_rank[best]) < _EQUAL_RANKS]


def _where(ranking: Ranking) -> str:
    group = f" of {ranking.group}" if ranking.group else ""
    seeds = " with one seed each" if len(ranking.seeds) == 1 else ""
    return f"On {_blocks(ranking)}{group}{seeds}"


def _blocks(ranking: Ranking) -> str:
    """Return the number of blocks, and what they are, in words."""
    n = ranking.friedman.n
    return f"{n} {'data set' if ranking.settings.clusters else 'benchmark'}{'s' * (n != 1)}"


def _asks_model(ranking: Ranking, method: str) -> bool:
    """Return whether a language model answers, rather than a slot control in its place."""
    return method in ranking.models and not ranking.models[method].startswith(PREFIX)


def _first(ranking: Ranking, first: Sequence[int]) -> str:
    """Return a clause that says which methods have the best mean rank."""
    metric = "" if ranking.metric == "quantile" else f" by {MEASURES[ranking.metric].replace('_', ' ')}"
    if len(first) == len(ranking.methods):
        return f"all {len(first)} methods have the same mean rank{metric}"
    names = [ranking.methods[j] for j in first]
    if len(names) > 1:
        return f"{_listed(names)} share the first rank{metric}"
    control = ", the control," if names == [ranking.control] else ""
    return f"{names[0]}{control} ranks first{metric}"


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}"


def _against_control(ranking: Ranking, method: int, subject: str) -> str:
    """Return a clause that says whether a method is better than the control, with a full stop."""
    comparison, versus = ranking.comparison(method), ranking.versus_control
    if ranking.settings.untested:
        return "nothing is tested, as these results are not comparable (see the notes)."
    if comparison is None or versus is None:
        return f"{subject} is not tested, since the control {ranking.control} is not among these methods."
    control = "random search" if ranking.control == "random" else ranking.control
    direction = "better" if comparison.effect > 0 else "worse"
    p = _p(comparison.p_corrected, ranking.alpha)
    if comparison.effect == 0:
        return (
            f"{subject} did neither better nor worse than {control}, which is no proof that both are equal."
        )
    if ranking.significant(method):
        return f"{subject} is {direction} than {control} ({p})."
    cannot = "do not" if versus.n > 1 else "does not"
    if versus.smallest_p > ranking.alpha:
        cannot = "cannot"
    return (
        f"{subject} did {direction} than {control}, but {_blocks(ranking)} {cannot} show it: {p}, smallest "
        f"reachable {_p(versus.smallest_p, ranking.alpha)}."
    )


def _p(p: float, alpha: float) -> str:
    """Format a p-value with as many digits as show on which side of ``alpha`` it lies."""
    if p < min(0.001, alpha):
        return "p < 0.001"
    texts = (f"{p:.{digits}g}" for digits in range(2, 18))
    return "p = " + next(text for text in texts if (float(text) <= alpha) == (p <= alpha))
