"""Compare what a language model knew and what it adds: other prompt variants, or a control in its place.

A *condition* is a method with one model that is shown one prompt variant, or the method with a slot control
in the model's place. Conditions are compared within their method, with a base that is fixed before any result
is seen. By variant, the base is the same method and model that is shown everything (``full``). What is lost
when names and data set are hidden was prior knowledge; what is left is search. By model, the base is the slot
control of the method: ``control:random`` if it was run, else ``control:default``, else ``control:tpe``. What
is gained is the model's own, prior knowledge included.

There are two measures, and lower is better: the quantile regret of the first configuration that the model
proposed, and that of the incumbent at the end. The *advantage* is the regret of the base less the regret of
the condition on the same instance with the same seed, averaged over seeds within an instance. It is positive
where the condition is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from surrobench.arrays import Floats
from surrobench.benchmarks.registry import scenario
from surrobench.errors import ResultsError
from surrobench.llm.prompt_variants import VARIANTS
from surrobench.optimizers.llm.control import CONTROLS, PREFIX
from surrobench.protocol.budget import ROUNDING, Budget
from surrobench.report.data.load import RunFilter, joint_plan, limited
from surrobench.report.data.seed_array import SeedArray, cells
from surrobench.report.data.study_data import Blocks, StudyData, load_study
from surrobench.report.llm.reply_statistics import BY_MODEL, INITIAL
from surrobench.report.ranking.extra_columns import RESAMPLES
from surrobench.report.ranking.model import DECIMALS
from surrobench.results.folder import Results
from surrobench.stats.bootstrap import Interval, bootstrap, mean
from surrobench.stats.clusters import average_within
from surrobench.stats.correction import holm
from surrobench.stats.regret import quantile_regret
from surrobench.stats.signed_rank import signed_rank
from surrobench.untrusted import load_toml

By = Literal["variant", "model"]


@dataclass(frozen=True)
class Condition:
    """One way in which a method is run.

    Attributes:
        name: the name in tables; see ``llm.prompt_variants.method_name``.
        method: the method's label.
        model: the label of the language model, or the slot control; None for the study's control, which is
            shown for orientation and compared with nothing.
        variant: what the model is shown; None where there is none.
        base: the name of the condition it is compared with; None where that was not run, and for a base.
        tested: whether its advantage is tested; the advantage of another slot control is only shown.
    """

    name: str
    method: str
    model: str | None
    variant: str | None
    base: str | None = None
    tested: bool = False

    @property
    def is_control(self) -> bool:
        """Return whether no language model answers."""
        return self.model is None or self.model.startswith(PREFIX)


@dataclass(frozen=True)
class Advantage:
    """The advantage of a condition over its base.

    Attributes:
        interval: the mean over blocks with its interval.
        n: the number of blocks on which both have a value.
        wins, ties, losses: on how many of these blocks the condition is better, equal and worse.
        p: the p-value of Wilcoxon's signed-rank test, two-sided.
        p_corrected: the same after correction; None where the advantage is only shown.
        effect: matched-pairs rank-biserial correlation, positive where better than the base.
    """

    interval: Interval
    n: int
    wins: int
    ties: int
    losses: int
    p: float
    effect: float
    p_corrected: float | None = None


@dataclass(frozen=True)
class Row:
    """What one measure says of one condition.

    Attributes:
        condition: the condition.
        regret: the mean quantile regret over blocks; None if no run has a value.
        n: the number of blocks that have a value.
        runs: the number of runs.
        never: the number of runs without a value.
        late: the number of runs whose first proposal could not be evaluated, so that a later one counts.
        advantage: the advantage over the base; None where there is nothing to compare with.
    """

    condition: Condition
    regret: Interval | None
    n: int
    runs: int
    never: int
    late: int
    advantage: Advantage | None


@dataclass(frozen=True)
class Comparison:
    """Both measures of all conditions, and how they were computed.

    Attributes:
        by: what differs between the conditions that are compared.
        first, final: a row per condition, in the same order.
        instances: the number of benchmarks.
        blocks: the number of independent blocks that they make.
        seeds: the number of seeds that all conditions have.
        trials: after how many trials the final incumbents are compared; None without a budget in trials.
        initial: the initial designs that the suites granted.
        alpha: the family-wise level.
        notes: the notes of the study.
    """

    by: By
    first: tuple[Row, ...]
    final: tuple[Row, ...]
    instances: int
    blocks: int
    seeds: int
    trials: int | None
    initial: tuple[str, ...]
    alpha: float
    notes: tuple[str, ...]


def load_comparison(
    folders: Sequence[Results],
    by: By,
    limit: Budget | None = None,
    *,
    choice: RunFilter | None = None,
    control: str | None = None,
    alpha: float = 0.05,
    partial: bool = False,
    blocks: Blocks = "data-set",
) -> Comparison:
    """Load and compare the conditions of a study, as its suites name them.

    Args:
        folders: the results.
        by: what differs between the conditions that are compared.
        limit: how much of the suites' budgets counts.
        choice: which part of the study counts.
        control: a method to show for orientation; by default the suite's control, if it is chosen.
        alpha: the family-wise level.
        partial: whether to leave out benchmarks on which a run is missing, instead of refusing.
        blocks: what tests count: benchmarks of one data set as one block, or each by itself.

    Raises:
        ResultsError: no method asks a language model, or runs are missing; as ``load_study``.
        UnknownName: a pattern of the choice matches nothing.
    """
    plan = (choice or RunFilter()).of(joint_plan(folders))
    asking = conditions_of(plan, by)
    study = load_study(folders, limit, partial=partial, choice=choice, control=control)
    known = set(study.incumbents["method"].unique())
    conditions = [condition for condition in asking if condition.name in known]
    if study.control in known and study.control not in {condition.name for condition in conditions}:
        conditions.append(Condition(study.control, study.control, None, None))
    final = cells(study, methods=[condition.name for condition in conditions], by_data_set=False)
    first, late = _first_proposals(folders, limited(plan, limit or Budget()), conditions, final, study)
    at = [final.methods.index(condition.name) for condition in conditions]
    block_of = study.blocks if blocks == "data-set" else {}
    counted = [block_of.get(name, name) for name in final.instances]
    suites = [load_toml(folder.manifest["suite"].get("text", "")) for folder in folders]
    return Comparison(
        by=by,
        first=compared(first, late, conditions, counted, alpha),
        final=compared(final.regret[:, at], np.zeros_like(late), conditions, counted, alpha),
        instances=len(final.instances),
        blocks=len(set(counted)),
        seeds=len(final.seeds),
        trials=final.trials,
        initial=tuple(dict.fromkeys(str(suite.get("initial", "default")) for suite in suites)),
        alpha=alpha,
        notes=study.notes,
    )


def conditions_of(plan: pl.DataFrame, by: By) -> list[Condition]:
    """Return the conditions of a plan with their bases, by method, models before slot controls.

    Args:
        plan: the plan, as ``joint_plan`` makes it.
        by: what differs between the conditions that are compared.

    Raises:
        ResultsError: no method asks a language model.
    """
    rows = plan.filter(pl.col("llm").is_not_null()).unique("method", keep="first", maintain_order=True)
    if rows.is_empty():
        raise ResultsError("No method here asks a language model.", "Add models to a method of the suite.")
    found = [
        Condition(row["method"], row["optimizer"], row["llm"], row["variant"])
        for row in rows.iter_rows(named=True)
    ]
    methods = list(dict.fromkeys(condition.method for condition in found))
    models = list(dict.fromkeys(condition.model for condition in found))
    found.sort(
        key=lambda condition: (
            methods.index(condition.method),
            condition.is_control,
            models.index(condition.model),
            _place(condition),
        )
    )
    return [_with_base(condition, found, by) for condition in found]


def _place(condition: Condition) -> int:
    return VARIANTS.index(condition.variant) if condition.variant in VARIANTS else 0


def _with_base(condition: Condition, conditions: Sequence[Condition], by: By) -> Condition:
    mine = [other for other in conditions if other.method == condition.method]
    if by == "variant":
        bases = [
            other for other in mine if other.model == condition.model and other.variant in (None, "full")
        ]
    else:
        order = [PREFIX + control for control in CONTROLS]
        bases = sorted(
            (other for other in mine if other.is_control), key=lambda o: order.index(o.model or "")
        )
    if not bases or bases[0].name == condition.name:
        return condition
    return replace(condition, base=bases[0].name, tested=not condition.is_control)


def _first_proposals(
    folders: Sequence[Results],
    plan: pl.DataFrame,
    conditions: Sequence[Condition],
    final: SeedArray,
    study: StudyData,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what the model of each run proposed first, for n instances, k conditions and s seeds.

    A method without a model counts with its first trial after the initial design.

    Returns:
        regret: shape (n, k, s), the quantile regret of the proposal; NaN where there is none.
        late: shape (n, k, s), whether an earlier proposal could not be evaluated.
    """
    wanted = plan.filter(
        pl.col("method").is_in([condition.name for condition in conditions])
        & pl.col("benchmark").is_in(list(final.instances))
        & pl.col("seed").is_in(list(final.seeds))
    )
    shape = len(final.instances), len(conditions), len(final.seeds)
    regret, late = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    columns = {condition.name: j for j, condition in enumerate(conditions)}
    for row in _first_trials(folders, wanted, final.trials).iter_rows(named=True):
        name = row["benchmark"]
        where = final.instances.index(name), columns[row["method"]], final.seeds.index(row["seed"])
        late[where] = row["late"]
        if row["score"] is not None:
            losses = study.references[name].sorted_losses
            regret[where] = quantile_regret(row["score"], losses)
    return regret, late


def _first_trials(folders: Sequence[Results], plan: pl.DataFrame, most: int | None) -> pl.DataFrame:
    """Return benchmark, method and seed of each run, the loss of its first valid proposal, and if it is late.

    Only trials within the budgets of the plan count, and only the first ``most`` of each run: incumbents are
    taken from the same trials.
    """
    parts = []
    own = pl.when(pl.col("llm").is_null()).then(pl.col("source") != INITIAL).otherwise(BY_MODEL)
    needed = ["run", "proposal", "source", "score", "share", "finished"]
    # A null is no limit. As for incumbents, of several workers' trials those count that were begun first.
    within = pl.all_horizontal(
        (pl.col("proposal") < pl.min_horizontal("trials", pl.lit(most, pl.Int64))).fill_null(True),
        (pl.col("spent") <= pl.col("equivalents") + ROUNDING).fill_null(True),
        (pl.col("finished") <= pl.col("seconds")).fill_null(True),
    )
    for number, folder in enumerate(folders):
        mine = plan.filter(pl.col("folder") == number).select(
            "run", "benchmark", "method", "llm", "seed", "trials", "equivalents", "seconds"
        )
        for key in sorted({str(name).rpartition("/")[0] for name in mine["benchmark"].unique()}):
            where = scenario(key)
            sign = where.objectives[where.target_index].sign
            known = pl.col("score").is_not_null()
            with folder.reading():
                parts.append(
                    folder.trials(needed, key)
                    .join(mine.lazy(), on="run")
                    .with_columns(spent=pl.col("share").cum_sum().over("run", order_by="proposal"))
                    .filter(within & own)
                    .sort("proposal")
                    .group_by("benchmark", "method", "seed")
                    .agg(score=sign * pl.col("score").drop_nulls().first(), late=~known.first())
                    .collect()
                )
    return pl.concat(parts)


# ---------------------------------------------------------------------- no I/O from here on


def compared(
    regret: Floats,
    late: NDArray[np.bool_],
    conditions: Sequence[Condition],
    blocks: Sequence[str],
    alpha: float,
) -> tuple[Row, ...]:
    """Return the rows of one measure; p-values are corrected by Holm over all tests of the measure.

    Args:
        regret: shape (n, k, s), n instances by k conditions by s seeds; NaN where a run has no value.
        late: shape (n, k, s).
        conditions: k.
        blocks: the block of each of the n instances.
        alpha: the level of the intervals.
    """
    names = [condition.name for condition in conditions]
    found = []
    for j, condition in enumerate(conditions):
        values = _of_blocks(regret[:, j], blocks)
        advantage = None
        if condition.base is not None and condition.base in names:
            gains = _of_blocks(regret[:, names.index(condition.base)] - regret[:, j], blocks)
            advantage = _advantage(gains, alpha) if len(gains) else None
        found.append(
            Row(
                condition=condition,
                regret=_interval(values, alpha, (0.0, 1.0)) if len(values) else None,
                n=len(values),
                runs=regret[:, j].size,
                never=int(np.isnan(regret[:, j]).sum()),
                late=int((late[:, j] & ~np.isnan(regret[:, j])).sum()),
                advantage=advantage,
            )
        )
    tested = [i for i, row in enumerate(found) if row.condition.tested and row.advantage]
    corrected = holm([row.advantage.p for i in tested if (row := found[i]).advantage])
    for i, p in zip(tested, corrected, strict=True):
        row = found[i]
        assert row.advantage is not None
        found[i] = replace(row, advantage=replace(row.advantage, p_corrected=float(p)))
    return tuple(found)


def _of_blocks(values: Floats, blocks: Sequence[str]) -> Floats:
    """Return one mean per block of values of shape (n, s), averaged over seeds first; NaN is left out."""
    present = ~np.isnan(values)
    some = present.any(axis=1)
    if not some.any():
        return np.empty(0)
    means = np.nanmean(values[some], axis=1)
    kept = [blocks[int(i)] for i in np.flatnonzero(some)]
    return np.asarray(average_within(means, kept)[0])


def _interval(values: Floats, alpha: float, bounds: tuple[float, float]) -> Interval:
    rng = np.random.default_rng(0)
    blocks = values[:, None, None]
    return bootstrap(blocks, mean, rng, level=1 - alpha, resamples=RESAMPLES, bounds=bounds)


def _advantage(gains: Floats, alpha: float) -> Advantage:
    rounded = gains.round(DECIMALS)
    p, effect = signed_rank(rounded)
    wins, losses = int((rounded > 0).sum()), int((rounded < 0).sum())
    return Advantage(
        interval=_interval(rounded, alpha, (-1.0, 1.0)),
        n=len(rounded),
        wins=wins,
        ties=len(rounded) - wins - losses,
        losses=losses,
        p=float(p),
        effect=float(effect),
    )
