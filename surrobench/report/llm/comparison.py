"""What a language model knew, and what it adds: the same method under other prompt variants, or without it.

An *arm* is a method with one model, shown one prompt variant; or with a slot control in the model's place.
Comparison are compared within their method, with a base that is fixed before any result is seen:

- by variant: with the same method and model shown everything (``full``). What is lost when names and data set
  are hidden was prior knowledge; what is left is search;
- by model: with the method's slot control (``control:random`` where it is run, else ``control:default``, else
  ``control:tpe``). What is gained is the model's own, prior knowledge included.

Two measures, both quantile regret, lower is better: of the first configuration that the model proposed, and
of the incumbent at the end. The *advantage* over the base is the base's regret less the arm's on the same
instance with the same seed, seeds averaged within an instance: positive where the arm is better.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

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

By = Literal["variant", "model"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """One way in which a method is run.

    Attributes:
        name: as ``plan.run.method_name``.
        method: the method's label.
        model: of the language model, or the slot control; None for the study's control, which is shown for
            orientation and compared with nothing.
        variant: what the model is shown; None where there is none.
        base: name of the arm it is compared with; None where that was not run, and for a base itself.
        tested: whether its advantage is among the tests; that of another slot control is only shown.
    """

    name: str
    method: str
    model: str | None
    variant: str | None
    base: str | None = None
    tested: bool = False

    @property
    def is_control(self) -> bool:
        """Whether no language model answers."""
        return self.model is None or self.model.startswith(PREFIX)


@dataclass(frozen=True)
class Advantage:
    """Of an arm over its base.

    Attributes:
        interval: of its mean over blocks.
        n: blocks on which both have a value.
        wins, ties, losses: of these.
        p, p_corrected: of Wilcoxon's signed-rank test, two-sided; None where it is only shown.
        effect: matched-pairs rank-biserial correlation, positive: better than the base.
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
    """One arm by one measure.

    Attributes:
        arm: which.
        regret: mean quantile regret over blocks; None where no run has one.
        n: blocks that have one.
        runs: how many runs there are.
        never: of these, those without a value.
        late: of these, those whose first proposal could not be evaluated, so that a later one counts.
        advantage: over the base; None where there is nothing to compare.
    """

    arm: Condition
    regret: Interval | None
    n: int
    runs: int
    never: int
    late: int
    advantage: Advantage | None


@dataclass(frozen=True)
class Comparison:
    """Both measures of all arms, and how they came about.

    Attributes:
        by: what arms are compared by.
        first, final: a row per arm, in the same order.
        instances: how many benchmarks.
        blocks: how many of them are independent.
        seeds: common to all arms.
        trials: after how many the final incumbents are compared; None where the budget is another.
        initial: the initial designs that the suites granted.
        alpha: family-wise level.
        notes: of the study.
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


def load_arms(
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
    """The arms of a study, as its suites name them.

    Args:
        folders: the results.
        by: what arms are compared by.
        limit: what counts of the suites' budgets.
        choice: which part of the study.
        control: a method to show for orientation; the suite's where it is among those chosen.
        alpha: family-wise level.
        partial: leave out benchmarks on which a run is missing, instead of refusing.
        blocks: what tests count: benchmarks of one data set as one block, or each by itself.

    Raises:
        ResultsError: no method asks a language model, or runs are missing; as ``load_study``.
        UnknownName: a pattern of the choice matches nothing.
    """
    plan = (choice or RunFilter()).of(joint_plan(folders))
    asking = arms_of(plan, by)
    study = load_study(folders, limit, partial=partial, choice=choice, control=control)
    known = set(study.incumbents["method"].unique())
    arms = [arm for arm in asking if arm.name in known]
    if study.control in known and study.control not in {arm.name for arm in arms}:
        arms.append(Condition(study.control, study.control, None, None))
    final = cells(study, methods=[arm.name for arm in arms], by_data_set=False)
    first, late = _first_proposals(folders, limited(plan, limit or Budget()), arms, final, study)
    at = [final.methods.index(arm.name) for arm in arms]
    block_of = study.blocks if blocks == "data-set" else {}
    counted = [block_of.get(name, name) for name in final.instances]
    suites = [tomllib.loads(folder.manifest["suite"].get("text", "")) for folder in folders]
    return Comparison(
        by=by,
        first=compared(first, late, arms, counted, alpha),
        final=compared(final.regret[:, at], np.zeros_like(late), arms, counted, alpha),
        instances=len(final.instances),
        blocks=len(set(counted)),
        seeds=len(final.seeds),
        trials=final.trials,
        initial=tuple(dict.fromkeys(str(suite.get("initial", "default")) for suite in suites)),
        alpha=alpha,
        notes=study.notes,
    )


def arms_of(plan: pl.DataFrame, by: By) -> list[Condition]:
    """The arms of a plan by method, models before slot controls, with their bases.

    Args:
        plan: as ``gather.joint_plan`` makes it.
        by: what they are compared by.

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
    methods = list(dict.fromkeys(arm.method for arm in found))
    models = list(dict.fromkeys(arm.model for arm in found))
    found.sort(
        key=lambda arm: (methods.index(arm.method), arm.is_control, models.index(arm.model), _place(arm))
    )
    return [_with_base(arm, found, by) for arm in found]


def _place(arm: Condition) -> int:
    return VARIANTS.index(arm.variant) if arm.variant in VARIANTS else 0


def _with_base(arm: Condition, arms: Sequence[Condition], by: By) -> Condition:
    mine = [other for other in arms if other.method == arm.method]
    if by == "variant":
        bases = [other for other in mine if other.model == arm.model and other.variant in (None, "full")]
    else:
        order = [PREFIX + control for control in CONTROLS]
        bases = sorted(
            (other for other in mine if other.is_control), key=lambda o: order.index(o.model or "")
        )
    if not bases or bases[0].name == arm.name:
        return arm
    return replace(arm, base=bases[0].name, tested=not arm.is_control)


def _first_proposals(
    folders: Sequence[Results],
    plan: pl.DataFrame,
    arms: Sequence[Condition],
    final: SeedArray,
    study: StudyData,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Of each run, shapes (n, k, s): quantile regret of what its model proposed first, NaN where it never
    did; and whether a proposal before that could not be evaluated.

    Of a method without a model: of its first trial after the initial design.
    """
    wanted = plan.filter(
        pl.col("method").is_in([arm.name for arm in arms])
        & pl.col("benchmark").is_in(list(final.instances))
        & pl.col("seed").is_in(list(final.seeds))
    )
    shape = len(final.instances), len(arms), len(final.seeds)
    regret, late = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    columns = {arm.name: j for j, arm in enumerate(arms)}
    for row in _first_trials(folders, wanted, final.trials).iter_rows(named=True):
        name = row["benchmark"]
        where = final.instances.index(name), columns[row["method"]], final.seeds.index(row["seed"])
        late[where] = row["late"]
        if row["score"] is not None:
            losses = study.references[name].sorted_losses
            regret[where] = quantile_regret(row["score"], losses)
    return regret, late


def _first_trials(folders: Sequence[Results], plan: pl.DataFrame, most: int | None) -> pl.DataFrame:
    """Benchmark, method, seed; the loss of the first proposal that has one; whether that is late.

    Only trials within the plan's budgets count, and of each run the first ``most``: those that incumbents
    are taken from, too.
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
    regret: Floats, late: NDArray[np.bool_], arms: Sequence[Condition], blocks: Sequence[str], alpha: float
) -> tuple[Row, ...]:
    """The rows of one measure; p-values corrected by Holm over all tests of the measure.

    Args:
        regret: shape (n, k, s), n instances by k arms by s seeds; NaN where a run has no value.
        late: shape (n, k, s).
        arms: k.
        blocks: n, the block of each instance.
        alpha: level of the intervals.
    """
    names = [arm.name for arm in arms]
    found = []
    for j, arm in enumerate(arms):
        values = _of_blocks(regret[:, j], blocks)
        advantage = None
        if arm.base is not None and arm.base in names:
            gains = _of_blocks(regret[:, names.index(arm.base)] - regret[:, j], blocks)
            advantage = _advantage(gains, alpha) if len(gains) else None
        found.append(
            Row(
                arm=arm,
                regret=_interval(values, alpha, (0.0, 1.0)) if len(values) else None,
                n=len(values),
                runs=regret[:, j].size,
                never=int(np.isnan(regret[:, j]).sum()),
                late=int((late[:, j] & ~np.isnan(regret[:, j])).sum()),
                advantage=advantage,
            )
        )
    tested = [i for i, row in enumerate(found) if row.arm.tested and row.advantage]
    corrected = holm([row.advantage.p for i in tested if (row := found[i]).advantage])
    for i, p in zip(tested, corrected, strict=True):
        row = found[i]
        assert row.advantage is not None
        found[i] = replace(row, advantage=replace(row.advantage, p_corrected=float(p)))
    return tuple(found)


def _of_blocks(values: Floats, blocks: Sequence[str]) -> Floats:
    """Shape (n, s) to one mean per block, seeds averaged within instances first; NaN is left out."""
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
