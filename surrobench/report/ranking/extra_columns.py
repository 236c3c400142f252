"""What a ranking shows beside ranks: the cost of a target and the test metric where asked for, claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.benchmarks.registry import benchmark
from surrobench.report.claims import judge, stated_claims
from surrobench.report.data.load import joint_plan, missing_parts
from surrobench.report.ranking.model import Ranking
from surrobench.results.folder import Results
from surrobench.stats.curves import Anytime, kaplan_meier_median, restricted_mean
from surrobench.stats.steps import Floats, Unit

_WORDS: Mapping[Unit, str] = {
    "trials": "trials",
    "equivalents": "full-fidelity equivalents",
    "seconds": "simulated seconds",
    "tokens": "tokens",
}


def with_target(ranking: Ranking, curves: Anytime, target: float, unit: Unit = "trials") -> Ranking:
    """The ranking with what it took each method to reach a target, runs that did not reach it censored.

    A further ranking of methods with more seeds is left as it is: the curves are of the common seeds.
    A method that spends nothing in the unit, as one without a language model spends no tokens, has no cost in
    it, and does not bound what is known of the others.

    Args:
        ranking: of the study.
        curves: of the same study, after as many trials as the ranking.
        target: a quantile regret, in (0, 1].
        unit: what is counted.
    """
    found = curves.reached(target, unit)
    instances = [curves.instances.index(name) for name in ranking.instances]
    seeds = [curves.seeds.index(seed) for seed in ranking.seeds]
    methods = [curves.methods.index(name) for name in ranking.methods]
    rows = np.ix_(instances, methods, seeds)
    spent, censored = found.spent[rows], found.censored[rows]
    ends = curves.steps[unit].end.reshape(curves.shape)[rows]
    free = ends.max(axis=(0, 2)) == 0
    known = _known(spent, censored)[~free]
    most = float(np.append(known, ends.max()).min())
    median, mean = np.full((2, len(methods)), np.nan)
    for j in np.flatnonzero(~free):
        median[j] = kaplan_meier_median(spent[:, j], censored[:, j])
        mean[j] = restricted_mean(spent[:, j], censored[:, j], most)
    extra = {"target_share": 1 - censored.mean(axis=(0, 2)), "target_median": median, "target_mean": mean}
    within = f"within {ranking.trials} trials " if ranking.trials else ""
    restricted = "" if free.all() else f"; mean restricted to {most:,.6g}"
    note = (
        f"Target: a quantile regret of {target:g}, on average that of the best of {1 / target - 1:,.0f} "
        f"random trials, in {_WORDS[unit]}, over all instances and seeds. Median by Kaplan and Meier, runs "
        f"not reaching it {within}censored where they end{restricted}."
    )
    if free.any():
        note += f" No cost where a method spends no {_WORDS[unit]}."
    by_run = {
        f"{unit}_to_target": np.where(censored | free[:, None], np.nan, spent),
        f"{unit}_spent": ends,
    }
    return replace(
        ranking,
        extra={**ranking.extra, **extra},
        by_run={**ranking.by_run, **by_run},
        notes=(*ranking.notes, note),
    )


def _known(spent: Floats, censored: NDArray[np.bool_]) -> Floats:
    """Shape (k,): how far Kaplan and Meier's curve of each method is known.

    As far as its longest censored run. Where another reached the target later, or none is censored, the curve
    comes down to 0, and all of it is known.

    Args:
        spent: shape (n, k, s), until the target was reached; where censored, all that the run spent.
        censored: the same shape.
    """
    hit, missed = (np.where(of, spent, -np.inf).max(axis=(0, 2)) for of in (~censored, censored))
    return np.where(hit > missed, np.inf, missed)


def with_tests(ranking: Ranking, incumbents: pl.DataFrame) -> Ranking:
    """The ranking with the test metric of the incumbents, where benchmarks map one.

    Args:
        ranking: of the study.
        incumbents: those of the study, with the column ``test``.
    """
    shape = len(ranking.instances), len(ranking.methods), len(ranking.seeds)
    chosen = incumbents.filter(
        pl.col("seed").is_in(list(ranking.seeds))
        & pl.col("method").is_in(list(ranking.methods))
        & pl.col("trials").eq_missing(pl.lit(ranking.trials, incumbents.schema["trials"]))
    )
    values = chosen.sort("benchmark", "method", "seed")["test"].fill_null(np.nan).to_numpy().reshape(shape)
    values = values[:, [sorted(ranking.methods).index(name) for name in ranking.methods]]
    names = [benchmark(name).scenario.test_objective for name in ranking.instances]
    mapped = [i for i, name in enumerate(names) if name is not None]
    extra = {}
    if not mapped:
        note = "Test metric: not available, as no benchmark here maps one."
    else:
        known = sorted({name for name in names if name is not None})
        note = (
            f"Test metric of the incumbents: {', '.join(known)}, on {len(mapped)} of {len(names)} instances"
        )
        if len(known) == 1:
            extra = {"test": values[mapped].mean(axis=(0, 2))}
            note += "; its mean is shown, empty where an incumbent has none."
        else:
            note += "; different metrics have no mean, see the format json."
    return replace(
        ranking,
        extra={**ranking.extra, **extra},
        by_run={**ranking.by_run, "test": values} if mapped else ranking.by_run,
        notes=(*ranking.notes, note),
        further=ranking.further and with_tests(ranking.further, incumbents),
    )


def with_claims(
    ranking: Ranking, results: Sequence[Results], *, whole: bool = True, partial: bool = False
) -> Ranking:
    """The ranking with the suite's claims judged, or with a note that says why they are not.

    Args:
        ranking: of the study.
        results: the folders it is in.
        whole: whether the ranking is of all of it, since a claim is about the whole study.
        partial: leave out benchmarks on which a run is missing, instead of refusing.
    """
    stated = [stated_claims(folder) for folder in results]
    if not any(stated):
        return ranking
    if whole and all(claims == stated[0] for claims in stated):
        judged = judge(results, ranking.alpha, partial=partial)
        notes = list(ranking.notes)
        if left := sorted(stated[0].keys() - {one.name for one in judged}):
            notes.append(f"Claims not judged, since a method of theirs was not run: {', '.join(left)}.")
        if judged and missing_parts(results, joint_plan(results)):
            notes.append("The claims are judged on the part that was run; the whole may decide otherwise.")
        return replace(ranking, claims=judged, notes=tuple(notes))
    why = "a part of the study is ranked" if not whole else "these folders state different claims"
    return replace(ranking, notes=(*ranking.notes, f"The suite's claims are not judged: {why}."))
