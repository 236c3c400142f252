"""Add the requested columns to a ranking: intervals, the cost of a target, the test metric, and claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from surrobench.arrays import Floats
from surrobench.report.claims import judge, stated_claims
from surrobench.report.data.load import joint_plan, missing_parts
from surrobench.report.looks import late_benchmarks
from surrobench.report.ranking.model import DECIMALS, Measured, Note, Ranking
from surrobench.report.ranking.notes import blocks_in_words
from surrobench.results.folder import Results
from surrobench.stats.bootstrap import Interval, Statistic, bootstrap, interquartile_mean, mean
from surrobench.stats.bradley_terry import elo, elo_interval
from surrobench.stats.clusters import average_within
from surrobench.stats.curves import Anytime, expected_running_time, median_needed
from surrobench.stats.improvement import BOUNDS, score_tables, scores, unpaired_interval
from surrobench.stats.paired import rank_intervals, wilcoxon
from surrobench.stats.steps import Unit

_UNBOUNDED = (-np.inf, np.inf)

_WORDS: Mapping[Unit, str] = {
    "trials": "trials",
    "equivalents": "full-fidelity equivalents",
    "seconds": "simulated seconds",
    "tokens": "tokens",
}


RESAMPLES = 1000
"""The number of resamples; their generator starts from 0, so that a ranking printed twice is the same."""


# ---------------------------------------------------------------------- intervals


@dataclass(frozen=True)
class Intervals:
    """The estimates of k methods with their bootstrap intervals.

    Attributes:
        iqm: k intervals of the interquartile mean of normalised regret over all runs, unclipped.
        improvement: k intervals of the probability of less loss than the control with the same seed, where
            ties count half. The entry is None for the control itself, and without a control.
        improvement_unpaired: the same with any seed: every run is compared with every run of the control on
            the same instance, as rliable does. This is the probability to read where equal seeds share
            nothing.
    """

    iqm: tuple[Interval, ...]
    improvement: tuple[Interval | None, ...]
    improvement_unpaired: tuple[Interval | None, ...]


def intervals(ranking: Ranking) -> Intervals:
    """Draw the bootstrap intervals of a ranking."""
    loss, everyone = ranking.by_run["loss"], range(len(ranking.methods))
    level = 1 - ranking.alpha

    def of_blocks(values: Floats, statistic: Statistic, bounds: tuple[float, float] = _UNBOUNDED) -> Interval:
        """Return an interval from values of shape (n, s)."""
        blocks, _ = average_within(values, ranking.clusters)
        rng = np.random.default_rng(0)
        return bootstrap(blocks[..., None], statistic, rng, level=level, resamples=RESAMPLES, bounds=bounds)

    def unpaired(method: int) -> Interval:
        tables, _ = average_within(score_tables(loss[:, method], loss[:, control]), ranking.clusters)
        return unpaired_interval(tables, np.random.default_rng(0), level=level, resamples=RESAMPLES)

    regret = ranking.by_run["normalised_regret"]
    iqm = tuple(of_blocks(regret[:, method], interquartile_mean) for method in everyone)
    if ranking.versus_control is None:
        nothing = (None,) * len(ranking.methods)
        return Intervals(iqm, nothing, nothing)
    control = ranking.methods.index(ranking.control)
    return Intervals(
        iqm,
        tuple(
            None if j == control else of_blocks(scores(loss[:, j], loss[:, control]), mean, BOUNDS)
            for j in everyone
        ),
        tuple(None if j == control else unpaired(j) for j in everyone),
    )


def with_intervals(ranking: Ranking) -> Ranking:
    """Return the ranking with interquartile means and probabilities of improvement on the control.

    Each is three columns of ``Ranking.extra``: the estimate by its name, and its ends as ``NAME_low`` and
    ``NAME_high``.
    """
    found = intervals(ranking)
    extra: dict[str, Floats] = {}
    for name, of_methods in vars(found).items():
        for key, end in ((name, "estimate"), (f"{name}_low", "low"), (f"{name}_high", "high")):
            extra[key] = np.array([np.nan if one is None else getattr(one, end) for one in of_methods])
    extra |= _of_places(ranking)
    return replace(
        ranking,
        extra={**ranking.extra, **extra},
        notes=(*ranking.notes, Note("column", _interval_note(ranking, found)), Note("column", _PLACES)),
        further=ranking.further and with_intervals(ranking.further),
    )


_PLACES = (
    "Place: between which ranks a method lies, for all methods at once, by Wilcoxon's test of all pairs. "
    "Elo: Bradley and Terry's model of who has less loss on a block, 400 points for odds of ten, mean 1500, "
    "with a bootstrap interval over blocks; it counts wins, and is no test."
)


def _of_places(ranking: Ranking) -> dict[str, Floats]:
    """Return the intervals of ranks, and ratings with intervals where there are enough blocks for them."""
    blocks = average_within(ranking.measured.means, ranking.clusters)[0].round(DECIMALS)
    pairs = wilcoxon(blocks, None, ranking.settings.correction, DECIMALS)
    places = rank_intervals(pairs, ranking.alpha).astype(np.float64)
    level = 1 - ranking.alpha
    low, high = elo_interval(blocks, np.random.default_rng(0), level)
    if 2.0 ** (1 - len(blocks)) > 1 - level:
        low, high = np.full((2, len(ranking.methods)), np.nan)
    return {
        "place": ranking.mean_rank,
        "place_low": places[:, 0],
        "place_high": places[:, 1],
        **{"elo": elo(blocks), "elo_low": low, "elo_high": high},
    }


def _interval_note(ranking: Ranking, found: Intervals) -> str:
    of = [one for one in (*found.iqm, *found.improvement, *found.improvement_unpaired) if one]
    doubts = dict.fromkeys(interval.note for interval in of if interval.note)
    improvement = (
        f" Improvement: the probability of less loss than {ranking.control} on the same instance; ties count "
        "half. Paired: with the same seed, hence from the same start, which external results do not share. "
        "Unpaired: any seed of one against any of the other, as rliable (Agarwal et al. 2021)."
    )
    return (
        "IQM: interquartile mean of normalised regret over all runs, unclipped."
        + (improvement if ranking.versus_control else "")
        + f" Intervals: bootstrap-t at {1 - ranking.alpha:.0%}, each by itself, {RESAMPLES} resamples of "
        f"the {blocks_in_words(ranking.friedman.n, ranking.clusters)} and of seeds within them; they "
        f"generalise to {of[0].scope}." + "".join(f" Some: {doubt}." for doubt in doubts)
    )


# ---------------------------------------------------------------------- the cost of a target


def with_target(ranking: Ranking, curves: Anytime, target: float, unit: Unit = "trials") -> Ranking:
    """Return the ranking with what each method spent to reach a target.

    A further ranking of methods with more seeds stays as it is, because the curves are those of the common
    seeds. A method that spends nothing in the unit has no cost in it: one without a language model, for
    example, spends no tokens.

    Args:
        ranking: the ranking of the study.
        curves: the curves of the same study, after as many trials as the ranking.
        target: a quantile regret, in (0, 1].
        unit: the unit in which the cost is counted.
    """
    found = curves.reached(target, unit)
    instances = [curves.instances.index(name) for name in ranking.instances]
    seeds = [curves.seeds.index(seed) for seed in ranking.seeds]
    methods = [curves.methods.index(name) for name in ranking.methods]
    rows = np.ix_(instances, methods, seeds)
    spent, censored = found.spent[rows], found.censored[rows]
    ends = curves.steps[unit].end.reshape(curves.shape)[rows]
    free = ends.max(axis=(0, 2)) == 0
    median, ert = np.full((2, len(methods)), np.nan)
    for j in np.flatnonzero(~free):
        median[j] = median_needed(spent[:, j], censored[:, j])
        ert[j] = expected_running_time(spent[:, j], censored[:, j])
    extra = {"target_share": 1 - censored.mean(axis=(0, 2)), "target_median": median, "target_ert": ert}
    note = _target_note(ranking, target, unit, some_free=bool(free.any()))
    by_run = {
        f"{unit}_to_target": np.where(censored | free[:, None], np.nan, spent),
        f"{unit}_spent": ends,
    }
    return replace(
        ranking,
        extra={**ranking.extra, **extra},
        measured=_with_runs(ranking, by_run),
        notes=(*ranking.notes, note),
    )


def _with_runs(ranking: Ranking, by_run: Mapping[str, Floats]) -> Measured:
    """Return the measured values of a ranking with one more value per run."""
    return replace(ranking.measured, by_run={**ranking.by_run, **by_run})


def _target_note(ranking: Ranking, target: float, unit: Unit, *, some_free: bool) -> Note:
    within = f"within {ranking.trials} trials " if ranking.trials else ""
    note = (
        f"Target: a quantile regret of {target:g}, on average that of the best of {1 / target - 1:,.0f} "
        f"random trials. The cost is in {_WORDS[unit]}, over all instances and seeds. The median is what "
        f"half of the runs needed at most; a run not reaching the target {within}counts as one that never "
        "does. ERT: the expected running time with restarts, which is all that was spent over the number of "
        "hits (COCO)."
    )
    if some_free:
        note += f" A method that spends no {_WORDS[unit]} has no cost."
    return Note("column", note)


# ---------------------------------------------------------------------- the test metric


def with_test_metric(
    ranking: Ranking, incumbents: pl.DataFrame, metrics: Mapping[str, str | None]
) -> Ranking:
    """Return the ranking with the test metric of the incumbents, where benchmarks have one.

    Args:
        ranking: the ranking of the study.
        incumbents: the incumbents of the study, with the column ``test``.
        metrics: benchmark -> the name of its test metric; None where it has none.
    """
    shape = len(ranking.instances), len(ranking.methods), len(ranking.seeds)
    chosen = incumbents.filter(
        pl.col("seed").is_in(list(ranking.seeds))
        & pl.col("method").is_in(list(ranking.methods))
        & pl.col("trials").eq_missing(pl.lit(ranking.trials, incumbents.schema["trials"]))
    )
    values = chosen.sort("benchmark", "method", "seed")["test"].fill_null(np.nan).to_numpy().reshape(shape)
    values = values[:, [sorted(ranking.methods).index(name) for name in ranking.methods]]
    names = [metrics[name] for name in ranking.instances]
    mapped = [i for i, name in enumerate(names) if name is not None]
    known = sorted({name for name in names if name is not None})
    extra = {}
    if not mapped:
        note = "Test metric: not available, as no benchmark here has one."
    else:
        note = (
            f"Test metric of the incumbents: {', '.join(known)}, on {len(mapped)} of {len(names)} instances."
        )
        if len(known) == 1:
            extra = {"test": values[mapped].mean(axis=(0, 2))}
            note += " Its mean is shown; it is empty where an incumbent has none."
        else:
            note += " Different metrics have no mean; --format json has the value of each run."
    return replace(
        ranking,
        extra={**ranking.extra, **extra},
        measured=_with_runs(ranking, {"test": values}) if mapped else ranking.measured,
        notes=(*ranking.notes, Note("column", note)),
        further=ranking.further and with_test_metric(ranking.further, incumbents, metrics),
    )


# ---------------------------------------------------------------------- claims


def with_claims(
    ranking: Ranking, results: Sequence[Results], *, whole: bool = True, left_out: bool = False
) -> Ranking:
    """Return the ranking with the suite's claims judged, or with a note that says why they are not.

    Args:
        ranking: the ranking of the study.
        results: the folders that hold the study.
        whole: whether the whole study is ranked. A claim is about all of it.
        left_out: whether runs that failed or are missing were left out, or count by a rule that the suite
            does not state. A claim is about all of them.
    """
    stated = [stated_claims(folder) for folder in results]
    if not any(stated):
        return ranking
    if not whole or ranking.settings.untested or any(claims != stated[0] for claims in stated):
        why = "these folders state different claims" if whole else "a part of the study is ranked"
        if ranking.settings.untested:
            why = "these results are not comparable"
        note = Note("warning", f"The suite's claims are not judged: {why}.")
        return replace(ranking, notes=(*ranking.notes, note))
    plan = joint_plan(results)
    if left_out:
        why = "runs are missing, and they do not fail at random"
        note = Note("warning", f"The suite's claims are not judged: {why}.")
        return replace(ranking, notes=(*ranking.notes, note))
    judged = judge(results, plan=plan)
    notes = []
    alpha = results[0].manifest["suite"].get("alpha", 0.05)
    if ranking.alpha != alpha:
        notes.append(f"The claims are judged at the level that the suite states, {alpha:g}.")
    if late := late_benchmarks(results):
        notes.append(late)
    if left := sorted(stated[0].keys() - {one.name for one in judged}):
        notes.append(f"Claims not judged, since a method of theirs was not run: {', '.join(left)}.")
    if judged and missing_parts(results, plan):
        notes.append("The claims are judged on the part that was run; the whole may decide otherwise.")
    return replace(ranking, claims=judged, notes=(*ranking.notes, *(Note("warning", text) for text in notes)))
