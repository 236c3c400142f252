"""The results of a study as a script or a notebook gets them: frames, rankings and figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from surrobench.api.ranking import Ranking

if TYPE_CHECKING:
    import polars as pl

    from surrobench.protocol.budget import Budget
    from surrobench.report.data.study_data import Blocks, StudyData
    from surrobench.report.figures.draw import Interval, Kind, Measure, OfRanking, Width
    from surrobench.report.frames import Source
    from surrobench.report.ranking import model
    from surrobench.report.ranking.pipeline import GroupBy
    from surrobench.results.folder import Results
    from surrobench.stats.correction import Correction
    from surrobench.stats.regret import Anchor
    from surrobench.stats.steps import Unit
    from surrobench.study.summary import Summary

Patterns = str | Sequence[str]
"""Names or patterns as a shell knows them, such as ``hpobench/mlp/*``; one or several."""


def several(patterns: Patterns) -> tuple[str, ...]:
    """Return one pattern or several as a tuple."""
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


class Study:
    """The results of a study: frames, rankings and figures. Made by ``run`` and ``load``.

    All frames are of Polars; ``frame.to_pandas()`` converts one where pandas and pyarrow are installed. A
    frame over all benchmarks has the columns that they share and, null where they do not apply, one for each
    objective, fidelity and hyperparameter: ``objective.NAME``, ``fidelity.NAME``, ``config.NAME``. Every
    frame names its runs by ``run`` (an id), ``benchmark``, ``method``, ``optimizer``, ``llm``, ``variant``
    and ``seed``.

    Attributes:
        folders: the results folders.
        summary: what the session did that ``run`` made; None of a study that was loaded.

    Example:
        >>> import surrobench
        >>> surrobench.load("results/tiny")
        <Study tiny: 2 methods on 1 benchmarks, 4 of 4 runs finished; results/tiny>
    """

    def __init__(
        self,
        folders: Sequence[Path],
        choice: Any = None,
        external: Sequence[Path] = (),
        summary: Summary | None = None,
    ) -> None:
        from surrobench.report.data.load import RunFilter
        from surrobench.results.folder import Results

        self.folders = tuple(folders)
        self.summary = summary
        self._results: list[Results] = [Results(folder) for folder in folders]
        self._choice: RunFilter = choice or RunFilter()
        self._external_files = tuple(external)

    def __repr__(self) -> str:
        runs = self.runs()
        finished = runs["state"].is_in(["ok", "exhausted"]).sum()
        names = ", ".join(dict.fromkeys(results.suite_name for results in self._results))
        return (
            f"<Study {names}: {runs['method'].n_unique()} methods on {runs['benchmark'].n_unique()} "
            f"benchmarks, {finished:,} of {len(runs):,} runs finished; {', '.join(map(str, self.folders))}>"
        )

    @property
    def complete(self) -> bool:
        """Whether every run that the suites name is finished and none failed."""
        return not self.problems

    @property
    def problems(self) -> dict[str, list[str]]:
        """Reason -> the runs that failed, wait for a model or were not run, by method, benchmark and seed."""
        found: dict[str, list[str]] = {}
        if self.summary is not None:
            for reason, runs in self.summary.problems.items():
                found[reason] = [f"{run.name} on {run.benchmark}, seed {run.seed}" for run in runs]
            return found
        for row in self.runs().iter_rows(named=True):
            if row["state"] not in ("ok", "exhausted"):
                reason = row["error"] or ("not run" if row["state"] == "to do" else "not finished")
                found.setdefault(reason, []).append(
                    f"{row['method']} on {row['benchmark']}, seed {row['seed']}"
                )
        return found

    # ------------------------------------------------------------------ frames

    def runs(self) -> pl.DataFrame:
        """Return a row per run that the suites name: its state, error, trials spent, budgets and costs.

        ``state`` is ``ok``, ``exhausted`` (the optimizer ended by itself), ``failed``, ``half-finished`` or
        ``to do``. Tokens and calls are of language models, ``latency`` and ``cost`` in seconds; the cost is
        simulated.
        """
        from surrobench.report.frames import runs_frame

        return runs_frame(self._source)

    def trials(self) -> pl.DataFrame:
        """Return a row per trial: what was tried and observed, who proposed it, what it cost.

        ``value`` is the observed objective, ``score`` the mean of the configuration where the benchmark has
        noise; ``source`` says who proposed it, ``status`` is ``ok``, ``invalid`` or ``failed``. For millions
        of trials see ``scan_trials``.
        """
        with self._reading():
            return self.scan_trials().collect()

    def scan_trials(self) -> pl.LazyFrame:
        """Return ``trials`` as a lazy frame: only the columns and rows that a query needs are read."""
        from surrobench.report.frames import scan_trials

        return scan_trials(self._source)

    def incumbents(self, budget: int | None = None, *, anchor: Anchor = "median") -> pl.DataFrame:
        """Return a row per run with its best configuration's ``value``, regrets and test metric.

        ``trial`` is the incumbent's: join it with ``trials`` for its configuration.

        Args:
            budget: trials of each run that count; by default all.
            anchor: the reference value whose normalised regret is 1: ``median`` or ``worst``.
        """
        from surrobench.report.frames import incumbents_frame

        return incumbents_frame(self._source, self._limit(budget), anchor)

    def curves(self, unit: Unit = "trials", *, anchor: Anchor = "median") -> pl.DataFrame:
        """Return a row per change of a run's incumbent: a step curve, which holds until the next row.

        Args:
            unit: what is counted, and the name of its column: ``trials``, ``equivalents`` (of full-fidelity
                trials), ``seconds`` (simulated) or ``tokens``.
            anchor: the reference value whose normalised regret is 1: ``median`` or ``worst``.
        """
        from surrobench.report.frames import curves_frame

        return curves_frame(self._source, unit, None, anchor)

    def replies(self, *, prompts: bool = False) -> pl.DataFrame:
        """Return a row per reply of a language model: its text, purpose, tokens and latency in seconds.

        Args:
            prompts: add the column ``prompt``, the messages that were sent.
        """
        from surrobench.report.frames import replies_frame

        return replies_frame(self._source, prompts=prompts)

    # ------------------------------------------------------------------ rankings

    def rank(
        self,
        metric: model.Metric = "quantile",
        budget: int | None = None,
        control: str | None = None,
        *,
        group_by: GroupBy | None = None,
        equivalents: float | None = None,
        seconds: float | None = None,
        anchor: Anchor = "median",
        alpha: float = 0.05,
        correction: Correction = "holm",
        posthoc: model.Posthoc = "wilcoxon",
        blocks: Blocks = "data-set",
        intervals: bool = False,
        target: float | None = None,
        unit: Unit = "trials",
        test_metric: bool = False,
        extra_tests: Sequence[Any] = (),
        rope: float | None = None,
        partial: bool = False,
        mixed_settings: bool = False,
        failed: str | None = None,
    ) -> Ranking:
        """Rank the methods, with tests against the control, as ``surrobench rank`` does.

        Args:
            metric: what ranks and tests use: ``quantile`` or ``normalised`` regret, its ``log``, or ``auc``.
            budget: trials that count; by default the suite's.
            control: the method that the others are compared with; by default the suite's.
            group_by: rank each ``family`` or ``scenario`` of benchmarks by itself.
            equivalents: full-fidelity equivalents that count.
            seconds: simulated seconds that count.
            anchor: the reference value whose normalised regret is 1: ``median`` or ``worst``.
            alpha: family-wise level of the tests.
            correction: of p-values: ``holm``, ``hommel`` or ``bh``.
            posthoc: the test of all pairs: ``wilcoxon``, ``nemenyi`` or ``conover``.
            blocks: what tests count: each ``data-set``, or each ``instance``.
            intervals: add interquartile means and probabilities of improvement with bootstrap intervals.
            target: add what it takes to reach this quantile regret.
            unit: what is counted on the way to the target.
            test_metric: add the incumbents' test metric.
            extra_tests: further tests: ``bayes``, ``hierarchical``, ``mixed``, ``sign-flip``.
            rope: of the Bayesian tests, differences up to this are the same.
            partial: leave out benchmarks on which a run is missing.
            mixed_settings: show folders that were run under different settings, without tests.
            failed: let failed runs count with their ``incumbent`` or the ``worst``, or ``leave out`` theirs.

        Raises:
            ResultsError: runs are missing, and ``partial`` is false; or settings differ.
            UnknownName: ``group_by`` is neither.
        """
        from surrobench.report.data.load import RunFilter
        from surrobench.report.ranking.extra_columns import with_claims
        from surrobench.report.ranking.pipeline import Wanted, rank_groups

        wanted = Wanted(
            metric, anchor, alpha, correction, posthoc, blocks, intervals, target, unit, test_metric,
            extra_tests, *(() if rope is None else (rope,)),
        )  # fmt: skip
        study = self._load(
            self._limit(budget, equivalents, seconds), control=control, units=(unit,) if target else (),
            area=metric == "auc", test_metric=test_metric, partial=partial, mixed_settings=mixed_settings,
            failed=failed,
        )  # fmt: skip
        rankings = rank_groups(study, wanted, group_by)
        whole = group_by is None and self._choice == RunFilter()
        rankings[-1] = with_claims(rankings[-1], self._results, whole=whole, left_out=study.by_outcome)
        return Ranking(rankings)

    def claims(self, alpha: float | None = None) -> pl.DataFrame:
        """Judge the claims that the suite states, and return a row for each with its ``verdict``.

        A claim ``holds``, ``does not hold`` or is ``not resolved``; it is judged on the whole study, as
        stated.

        Args:
            alpha: family-wise level over the claims; by default the suite's, which alone counts as a look.

        Raises:
            ResultsError: runs are missing.
        """
        from surrobench.report.claims import claims_frame, judge

        return claims_frame(judge(self._results, alpha))

    def power(
        self,
        *,
        methods: Patterns = (),
        effect: float | None = None,
        power: float = 0.8,
        alpha: float = 0.05,
        seeds: Sequence[int] = (),
        instances: Sequence[int] = (),
        simulations: int = 1000,
        control: str | None = None,
        partial: bool = False,
    ) -> pl.DataFrame:
        """Simulate larger studies from this one: how many seeds and instances does a difference need?

        Args:
            methods: whose power is shown; by default all but the control.
            effect: the difference in quantile regret to be found; by default each method's own.
            power: the power asked for, for ``needed``.
            alpha: family-wise level of the tests.
            seeds: numbers of seeds to try.
            instances: numbers of instances to try.
            simulations: simulated studies of each size.
            control: the method that the others are compared with; by default the suite's.
            partial: leave out benchmarks on which a run is missing.

        Returns:
            A row per method, number of seeds and of instances: the power with its standard error; ``needed``
            is the fewest instances with the power asked for, null where 200 are too few.
        """
        from surrobench.report.data.seed_array import cells_beside
        from surrobench.report.power import plan_power, power_frame

        study = self._load(None, control=control, partial=partial)
        planned = plan_power(
            cells_beside(study, study.control),
            study.control,
            methods=several(methods),
            effect=effect,
            wanted=power,
            alpha=alpha,
            seeds=seeds,
            instances=instances,
            simulations=simulations,
        )
        return power_frame(planned)

    def plot(
        self,
        kind: Kind = "curves",
        *,
        x: Unit = "trials",
        measure: Measure | None = None,
        interval: Interval = "seeds",
        anchor: Anchor = "median",
        log_x: bool | None = None,
        log_y: bool = True,
        width: Width = "column",
        bare: bool = False,
        partial: bool = False,
    ) -> Any:
        """Return a figure as an Altair chart, which a notebook displays without a network.

        ``chart.save("figure.svg")`` writes it; so does ``surrobench plot`` from the command line.

        Args:
            kind: ``curves``, ``targets``, ``profile``, ``cd``, ``heatmap``, ``wins``, ``proposals`` or
                ``origins``.
            x: what curves, targets and profile are drawn over: ``trials``, ``equivalents``, ``seconds``,
                ``tokens``.
            measure: ``quantile`` or ``normalised`` regret; in a heatmap ``rank``, too.
            interval: what bands are over: ``seeds``, ``instances`` or ``none``.
            anchor: the reference value whose normalised regret is 1: ``median`` or ``worst``.
            log_x: scale the axis of what was spent; by default not of curves over trials.
            log_y: scale the axis of regret.
            width: of a printed ``column`` or ``page``.
            bare: leave out title and notes.
            partial: leave out benchmarks on which a run is missing.

        Raises:
            UnknownName: there is no such kind.
            ResultsError: runs are missing, and ``partial`` is false.
        """
        from surrobench.report.figures import draw

        draw.check_kind(kind)
        look = draw.look(width, bare=bare)
        if kind in draw.TRIALS:
            return draw.of_trials(self._results, kind, self._choice, partial=partial, **look)
        if kind not in draw.CURVES:
            return self.rank(anchor=anchor, partial=partial).plot(
                cast("OfRanking", kind), measure=measure, width=width, bare=bare
            )
        study = self._load(None, units=(x,), partial=partial)
        return draw.of_curves(
            study,
            kind,
            x,
            measure=measure,
            anchor=anchor,
            interval=interval,
            log_x=log_x,
            log_y=log_y,
            **look,
        )

    # ------------------------------------------------------------------ behind them

    @cached_property
    def _external(self) -> pl.DataFrame | None:
        from surrobench.report.data.external_results import read_others

        return read_others(self._external_files) if self._external_files else None

    @property
    def _source(self) -> Source:
        from surrobench.report.frames import Source

        return Source(self._results, self._choice, self._external)

    def _limit(
        self, budget: int | None = None, equivalents: float | None = None, seconds: float | None = None
    ) -> Budget:
        from surrobench.protocol.budget import Budget

        return Budget(budget, equivalents, seconds)

    def _load(self, limit: Budget | None, **options: Any) -> StudyData:
        from surrobench.report.data.study_data import load_study

        return load_study(self._results, limit, choice=self._choice, others=self._external, **options)

    def _reading(self) -> Any:
        """Name the file that is to blame where reading fails."""
        import contextlib

        stack = contextlib.ExitStack()
        for results in self._results:
            stack.enter_context(results.reading())
        return stack
