"""Get a study: run a suite, or open results."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surrobench.api.study import Patterns, Study, several
from surrobench.errors import UsageError

if TYPE_CHECKING:
    from surrobench.suite.schema import Suite


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
    step_limit: float = 3600.0,
) -> Study:
    """Run a suite and return its study, whether or not all runs succeed; what is finished is not run again.

    The same call resumes an interrupted study. A script needs no ``if __name__ == "__main__"``; a notebook
    or a coroutine can call it as it is (or await ``asyncio.to_thread(surrobench.run, ...)``).

    Args:
        suite: a TOML file, the name of a suite of surrobench's, or a dictionary with the same keys.
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
        step_limit: seconds between two requests of a method after which its run fails.

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
    from surrobench.study.options import Options, recorded_part
    from surrobench.study.session import run_study
    from surrobench.study.watched import watched
    from surrobench.suite.selection import Selection

    if reevaluate and not replay:
        raise UsageError("reevaluate goes with replay.", "Name the recording, too, or leave out reevaluate.")
    loaded, text = _suite(suite, models or {})
    source, part = Path(replay) if replay else None, Selection(several(benchmarks), several(methods), seeds)
    part = (source and recorded_part(source, part, loaded)) or part
    folder = Path(out or f"results/{loaded.name}{'-replay' * bool(source)}")
    switches = (reevaluate, retry_failed, discard_unfinished)
    options = Options(folder, jobs, source, *switches, cluster, part, step_limit)
    summary = watched(lambda status: run_study(loaded, text, options, status), progress=progress)
    _warn_of_problems(study := Study([folder], summary=summary), summary.total)
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
        folders: made by ``run`` or the command line; or names of recordings that surrobench carries.
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
    from surrobench.paths import find_results
    from surrobench.report.data.load import RunFilter

    if not folders:
        raise UsageError("No results folder is named.", 'For example: surrobench.load("results/quick")')
    files: list[str | Path] = [external] if isinstance(external, str | Path) else [*external]
    choice = RunFilter(several(benchmarks), several(methods), several(models), several(variants))
    return Study([find_results(Path(folder)) for folder in folders], choice, [Path(file) for file in files])


def _suite(suite: str | Path | Mapping[str, Any], models: Mapping[str, tuple[str, str]]) -> tuple[Suite, str]:
    """Return a suite that asks these servers, and its TOML text."""
    from surrobench.suite.loading import load_suite, suite_from_dict
    from surrobench.suite.model_overrides import add_models

    found = suite_from_dict(suite, Path()) if isinstance(suite, Mapping) else load_suite(str(suite))
    return add_models(found[0], models), found[1]


def _warn_of_problems(study: Study, total: int) -> None:
    """Warn the caller of ``run`` where runs did not finish."""
    if problems := study.problems:
        reason, runs = next(iter(problems.items()))
        count = sum(map(len, problems.values()))
        warnings.warn(
            f"{count} of {total} runs did not finish: {runs[0]}: {reason} Study.problems lists all.",
            StudyWarning,
            stacklevel=3,
        )
