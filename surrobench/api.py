"""Run, open, rank and draw studies from a script or a notebook: the Python interface of surrobench.

    import surrobench

    study = surrobench.run("quick")          # a suite's file or name, or a dictionary; resumes what is there
    study.rank()                             # in a notebook: a table; .to_latex(), .to_frame(), ...
    study.plot("curves")                     # an Altair chart, which needs no network
    study.trials()                           # a Polars frame of every trial of every benchmark

What ``surrobench`` itself offers (``surrobench.__all__``) is the only promised surface: all else, modules and
their functions, may change in any version. What is promised is deprecated before it changes: for at least
one minor version the old form goes on working and gives a ``DeprecationWarning`` that names the new one, and
CHANGELOG.md lists it. Columns may be added to frames, and keys to dictionaries, in any version; none is
renamed or removed without that.

This file is long because it is the interface in one place, and most of it is documentation.

Errors that a user can mend are of ``surrobench.SurrobenchError``; their message ends in the remedy.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrobench.errors import SurrobenchError, UsageError

if TYPE_CHECKING:
    import polars as pl

    from surrobench.protocol.budget import Budget
    from surrobench.report.data.study_data import Blocks, StudyData
    from surrobench.report.figures.draw import Interval, Kind, Measure, OfRanking, Width
    from surrobench.report.frames import Source
    from surrobench.report.ranking import model
    from surrobench.results.folder import Results
    from surrobench.stats.correction import Correction
    from surrobench.stats.regret import Anchor
    from surrobench.stats.steps import Unit
    from surrobench.study.summary import Summary
    from surrobench.suite.schema import Suite

__all__ = ["Ranking", "Study", "StudyWarning", "SurrobenchError", "load", "run"]

Patterns = str | Sequence[str]
"""Names or patterns as a shell knows them, such as ``hpobench/mlp/*``; one or several."""


class StudyWarning(UserWarning):
    """Says that runs of a study failed or are not finished.

    Example:
        >>> import surrobench
        >>> issubclass(surrobench.StudyWarning, UserWarning)
        True
    """


def run(
    suite: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    progress: bool = True,
    seeds: int | None = None,
    benchmarks: Patterns = (),
    methods: Patterns = (),
    models: Mapping[str, tuple[str, str]] | None = None,
    replay: str | Path | None = None,
    reevaluate: bool = False,
    retry_failed: bool = False,
    discard_unfinished: bool = False,
    cluster: str | None = None,
) -> Study:
    """Run a suite and return its study; what is finished is not run again.

    An interrupted study is resumed by the same call. A script needs no ``if __name__ == "__main__"``, and a
    notebook or a coroutine can call it as it is; a coroutine that must not be held up awaits
    ``asyncio.to_thread(surrobench.run, ...)``.

    Args:
        suite: a TOML file, the name of a suite that comes with surrobench, or a dictionary with the same
            keys.
        out: results folder; by default ``results/NAME``, of a replay ``results/NAME-replay``.
        jobs: worker processes for the methods that ask no language model.
        progress: show a progress bar, in a terminal or a notebook.
        seeds: run at most so many seeds of each method.
        benchmarks: run only these; what is left can follow later.
        methods: run only these, and the control.
        models: label -> (URL, model): ask this server instead, or in addition.
        replay: a results folder or a journal that serves all completions, so that no model is needed.
        reevaluate: with ``replay``, compare objective values with the recorded ones.
        retry_failed: run again what has failed.
        discard_unfinished: start half-finished runs anew instead of resuming them.
        cluster: address of a Dask scheduler, whose workers take the place of processes.

    Returns:
        The study, whether or not all runs succeeded: see ``Study.complete`` and ``Study.problems``.

    Raises:
        SuiteError: the suite is not valid.
        UnknownName: a pattern matches nothing.
        ResultsError: the folder cannot be used.
        KeyboardInterrupt: Ctrl-C; what is finished is stored.

    Warns:
        StudyWarning: runs failed, or a model's server does not answer.

    Example:
        >>> import surrobench
        >>> suite = {"name": "tiny", "benchmarks": ["hpobench/mlp/car"], "trials": 5, "seeds": 2}
        >>> suite["optimizers"] = {"random": {}, "sobol": {}}
        >>> surrobench.run(suite, progress=False).complete
        True
    """
    from surrobench.study.options import Options
    from surrobench.study.session import run_study
    from surrobench.study.watched import watched
    from surrobench.suite.model_overrides import add_models
    from surrobench.suite.selection import Selection

    if jobs < 1:
        raise UsageError(f"jobs = {jobs} is no number of processes.", "Give 1 or more.")
    if reevaluate and replay is None:
        raise UsageError("reevaluate goes with replay.")
    loaded, text = _suite(suite)
    loaded = add_models(loaded, models or {})
    part = Selection(_several(benchmarks), _several(methods), seeds)
    recording = Path(replay) if replay is not None else None
    if recording is not None and (recorded := _recorded_part(recording)) != Selection():
        part = recorded if part == Selection() else part.within(recorded, loaded)
    folder = Path(out) if out is not None else Path("results") / (loaded.name + "-replay" * bool(recording))
    options = Options(folder, jobs, recording, reevaluate, retry_failed, discard_unfinished, cluster, part)
    summary = watched(lambda status: run_study(loaded, text, options, status), progress=progress)
    study = Study([folder], summary=summary)
    if problems := study.problems:
        reason, runs = next(iter(problems.items()))
        count = sum(map(len, problems.values()))
        warnings.warn(
            f"{count} of {summary.total} runs did not finish: {runs[0]}: {reason} Study.problems lists all.",
            StudyWarning,
            stacklevel=2,
        )
    return study


def load(
    *folders: str | Path,
    external: Patterns | Path | Sequence[Path] = (),
    benchmarks: Patterns = (),
    methods: Patterns = (),
    models: Patterns = (),
    variants: Patterns = (),
) -> Study:
    """Open results folders as one study.

    Args:
        folders: made by ``run`` or the command line.
        external: CSV files with results of others: method, benchmark, seed, trial, value.
        benchmarks: only these count.
        methods: only these count; labels, with or without the model in brackets.
        models: of the methods with a language model, only those with these.
        variants: of the methods with a language model, only those that were shown these prompt variants.

    Raises:
        ResultsError: a folder holds no results, or a file cannot be read.

    Example:
        >>> import surrobench
        >>> surrobench.load("results/tiny", methods="random").trials().height
        10
    """
    from surrobench.report.data.load import RunFilter

    if not folders:
        raise UsageError("No results folder is named.", 'For example: surrobench.load("results/quick")')
    files: list[str | Path] = [external] if isinstance(external, str | Path) else [*external]
    choice = RunFilter(_several(benchmarks), _several(methods), _several(models), _several(variants))
    return Study([Path(folder) for folder in folders], choice, [Path(file) for file in files])


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
        equivalents: float | None = None,
        seconds: float | None = None,
        anchor: Anchor = "median",
        alpha: float = 0.05,
        correction: Correction = "holm",
        posthoc: model.Posthoc = "nemenyi",
        blocks: Blocks = "data-set",
        intervals: bool = False,
        target: float | None = None,
        unit: Unit = "trials",
        test_metric: bool = False,
        extra_tests: Sequence[Any] = (),
        rope: float | None = None,
        partial: bool = False,
    ) -> Ranking:
        """Rank the methods, with tests against the control, as ``surrobench rank`` does.

        Args:
            metric: what ranks and tests use: ``quantile`` or ``normalised`` regret, its ``log``, or ``auc``.
            budget: trials that count; by default the suite's.
            control: the method that the others are compared with; by default the suite's.
            equivalents: full-fidelity equivalents that count.
            seconds: simulated seconds that count.
            anchor: the reference value whose normalised regret is 1: ``median`` or ``worst``.
            alpha: family-wise level of the tests.
            correction: of p-values: ``holm``, ``hommel`` or ``bh``.
            posthoc: the test of all pairs: ``nemenyi``, ``conover`` or ``wilcoxon``.
            blocks: what tests count: each ``data-set``, or each ``instance``.
            intervals: add interquartile means and probabilities of improvement with bootstrap intervals.
            target: add what it takes to reach this quantile regret.
            unit: what is counted on the way to the target.
            test_metric: add the incumbents' test metric.
            extra_tests: further tests: ``bayes``, ``hierarchical``, ``mixed``, ``sign-flip``.
            rope: of the Bayesian tests, differences up to this are the same.
            partial: leave out benchmarks on which a run is missing.

        Raises:
            ResultsError: runs are missing, and ``partial`` is false.
        """
        from surrobench.report.data.load import RunFilter
        from surrobench.report.ranking.extra_columns import with_claims
        from surrobench.report.ranking.pipeline import Wanted, rank_study

        wanted = Wanted(
            metric, anchor, alpha, correction, posthoc, blocks, intervals, target, unit, test_metric,
            extra_tests, *(() if rope is None else (rope,)),
        )  # fmt: skip
        study = self._load(
            self._limit(budget, equivalents, seconds),
            control=control,
            units=(unit,) if target else (),
            area=metric == "auc",
            test_metric=test_metric,
            partial=partial,
        )
        ranking = rank_study(study, wanted)
        whole = self._choice == RunFilter()
        return Ranking(with_claims(ranking, self._results, whole=whole, partial=partial))

    def claims(self, alpha: float = 0.05, *, partial: bool = False) -> pl.DataFrame:
        """Judge the claims that the suite states, and return a row for each with its ``verdict``.

        A claim ``holds``, ``does not hold`` or is ``not resolved``; it is judged on the whole study, as
        stated.

        Args:
            alpha: family-wise level over the claims.
            partial: leave out benchmarks on which a run is missing.
        """
        import polars as pl

        from surrobench.report.claims import judge

        rows = [
            {
                "claim": one.name,
                "says": one.claim.says,
                "verdict": one.verdict,
                "n": one.evidence.n,
                "advantage": one.evidence.estimate,
                "low": one.evidence.low,
                "high": one.evidence.high,
                "p": one.p,
                "seeds": one.seeds,
                "trials": one.trials,
                "detectable": one.detectable,
            }
            for one in judge(self._results, alpha, partial=partial)
        ]
        texts, numbers = ("claim", "says", "verdict"), ("advantage", "low", "high", "p", "detectable")
        schema = dict.fromkeys(texts, pl.String) | dict.fromkeys(("n", "seeds", "trials"), pl.Int64)
        names = (
            "claim",
            "says",
            "verdict",
            "n",
            "advantage",
            "low",
            "high",
            "p",
            "seeds",
            "trials",
            "detectable",
        )
        of = {**schema, **dict.fromkeys(numbers, pl.Float64)}
        return pl.DataFrame(rows, schema={name: of[name] for name in names})

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
        import polars as pl

        from surrobench.report.data.seed_array import cells_beside
        from surrobench.report.power import plan_power

        study = self._load(None, control=control, partial=partial)
        planned = plan_power(
            cells_beside(study, study.control),
            study.control,
            methods=_several(methods),
            effect=effect,
            wanted=power,
            alpha=alpha,
            seeds=seeds,
            instances=instances,
            simulations=simulations,
        )
        return pl.DataFrame(
            [
                {
                    "method": row.method, "seeds": row.seeds, "instances": n, "power": one.value,
                    "error": one.error, "effect": row.effect, "observed": row.observed,
                    "detectable": row.detectable, "needed": row.needed,
                }
                for row in planned.rows
                for n, one in zip(planned.instances, row.power, strict=True)
            ],
            schema_overrides={"needed": pl.Int64},
            infer_schema_length=None,
        )  # fmt: skip

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
            ranking = self.rank(anchor=anchor, partial=partial)
            return draw.of_ranking(ranking._ranking, kind, measure, **look)
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


class Ranking:
    """The methods of a study from best to worst, with tests against the control. Made by ``Study.rank``.

    A notebook shows it as a table.

    Example:
        >>> import surrobench
        >>> ranking = surrobench.load("results/tiny").rank()
        >>> ranking.to_frame().columns[:2]
        ['seeds', 'trials']
        >>> "tab:tiny" in ranking.to_latex(label="tab:tiny", notes=False)
        True
    """

    def __init__(self, ranking: model.Ranking) -> None:
        self._ranking = ranking

    @property
    def answer(self) -> str:
        """One sentence that says which method ranks first, and whether it is better than the control."""
        from surrobench.report.ranking.verdict_sentence import verdict_sentence

        return verdict_sentence(self._ranking)

    def __repr__(self) -> str:
        rows = [
            f"{rank:6.2f}  {method}"
            for rank, method in zip(self._ranking.mean_rank[:5], self._ranking.methods, strict=False)
        ]
        more = len(self._ranking.methods) - len(rows)
        rows += [f"        and {more} more"] if more > 0 else []
        return "\n".join([self.answer, "  rank  method", *rows])

    def _repr_html_(self) -> str:
        """Return the ranking as an HTML table, for notebooks."""
        return self._render("html")

    def to_frame(self) -> pl.DataFrame:
        """Return a row per method with every digit, and the columns of ``surrobench rank --format csv``."""
        import io

        import polars as pl

        return pl.read_csv(io.StringIO(self._render("csv")), infer_schema_length=None)

    def to_dict(self) -> dict[str, Any]:
        """Return all that is needed to check the ranking: the object of ``surrobench rank --format json``."""
        found: dict[str, Any] = json.loads(self._render("json"))
        return found

    def to_markdown(self) -> str:
        """Return the ranking as Markdown."""
        return self._render("markdown")

    def to_latex(
        self, label: str | None = None, caption: str | None = None, notes: bool | Sequence[str] = True
    ) -> str:
        """Return the ranking as a LaTeX table, for a document with booktabs.

        Args:
            label: name for references; by default there is none.
            caption: plain text; by default what is ranked.
            notes: whether the notes stand below the table; or other notes.
        """
        return self._render("latex", label=label, caption=caption, notes=notes)

    def plot(
        self,
        kind: OfRanking = "cd",
        *,
        measure: Measure | None = None,
        width: Width = "column",
        bare: bool = False,
    ) -> Any:
        """Return a figure of this ranking as an Altair chart: ``cd``, ``heatmap`` or ``wins``.

        Args:
            kind: a critical-difference diagram, ranks on all instances, or wins and losses of all pairs.
            measure: in a heatmap: ``rank``, ``quantile`` or ``normalised``.
            width: of a printed ``column`` or ``page``.
            bare: leave out title and notes.
        """
        from surrobench.errors import UnknownName
        from surrobench.report.figures import draw

        kinds = ("cd", "heatmap", "wins")
        if kind not in kinds:
            raise UnknownName("figure of a ranking", kind, kinds)
        return draw.of_ranking(self._ranking, kind, measure, **draw.look(width, bare=bare))

    def _render(self, form: Any, **options: Any) -> str:
        from surrobench.report.render.ranking_tables import render

        return render([self._ranking], form, **options)


# ---------------------------------------------------------------------- arguments


def _suite(suite: str | Path | Mapping[str, Any]) -> tuple[Suite, str]:
    """Return a suite and its TOML text."""
    from surrobench.suite.loading import load_suite, suite_from_dict

    return suite_from_dict(suite, Path()) if isinstance(suite, Mapping) else load_suite(str(suite))


def _several(patterns: Patterns) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def _recorded_part(replay: Path) -> Any:
    """Return which part of its suite a recording holds."""
    from surrobench.results.folder import Results
    from surrobench.suite.selection import Selection

    folder = replay if replay.is_dir() else replay.parent
    found = (folder / "manifest.json").is_file()
    return Selection.recorded(Results(folder).manifest) if found else Selection()
