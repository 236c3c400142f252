"""``surrobench show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option
from surrobench.cli.options import FOLDER

if TYPE_CHECKING:
    import polars as pl

    from surrobench.llm.journal import Entry
    from surrobench.results.folder import Results
    from surrobench.terminal import Terminal

_LISTED = 4
"""Runs that an error names, of those that may be meant."""


@click.command("show", cls=Command)
@click.argument("run")
@option(
    "--results",
    "folders",
    type=FOLDER,
    multiple=True,
    metavar="DIR",
    show_default="every folder in results/",
    help="Look for the run in this folder; repeatable.",
)
@option("--prompts", is_flag=True, help="Print every prompt and reply in full.")
def command(run: str, folders: tuple[Path, ...], prompts: bool) -> None:
    """Show RUN: its trials and, with --prompts, every prompt and reply.

    RUN is an id or the beginning of one, as surrobench runs prints it, or METHOD:BENCHMARK:SEED. A method
    with a language model is written as in tables, 'karpathy-agent (smollm2)'; its label alone will do where
    that means one run.

    \b
    Examples:
      surrobench show 3f9a --results results/quick
      surrobench show karpathy-agent:hpobench/mlp/australian:0 --prompts
    """
    from surrobench.llm.journal import Journal
    from surrobench.results.folder import Results

    folder, found = _find(run, folders)
    results = Results(folder)
    entries = Journal(results.journal_path).of_run(found["run"])
    console = output.console()
    _print_head(console, folder, results, found)
    trials = _trials(results, found)
    _print_trials(console, trials, found)
    if not entries:
        return
    console.print(
        f"{len(entries)} completions; a reply is named by its call, attempt and sample."
        + ("" if prompts else " Add --prompts to read them."),
        style="dim",
    )
    if prompts:
        became = _became(trials)
        for entry in entries:
            _print_completion(console, entry, became)


def _print_completion(console: Terminal, entry: Entry, became: dict[str, str]) -> None:
    """Print a prompt, the model's thinking and reply, and which trials were read from it."""
    from rich.text import Text

    console.rule(
        f"call {entry.key.call}, attempt {entry.key.attempt}, sample {entry.sample} ({entry.purpose})"
    )
    console.print(became.get(entry.where, "became no trial"), style="dim")
    for message in entry.prompt or ():
        console.print(message.role, style="bold")
        console.print(message.content)
    done = entry.completion
    if done.thinking or done.tokens_thinking:
        console.print("thinking", style="bold")
        console.print(done.thinking, style="dim")
    thought = f" ({done.tokens_thinking} of them thinking)" if done.tokens_thinking else ""
    console.print(
        Text("reply", style="bold"),
        f" ({done.finish_reason}, {done.tokens_in} tokens in, {done.tokens_out} out"
        f"{thought}, {done.latency:.2f} s)",
        sep="",
    )
    console.print(done.text)


def _find(run: str, folders: tuple[Path, ...]) -> tuple[Path, dict[str, Any]]:
    """Find the run that is meant.

    Returns:
        folder: the results folder that it is in.
        row: what the folder's plan says of it.

    Raises:
        UsageError: no run is meant, or several are; the message lists them.
    """
    from surrobench.errors import UsageError
    from surrobench.report.data.load import joint_plan
    from surrobench.results.folder import Results

    where = folders or tuple(sorted(path.parent for path in Path("results").glob("*/manifest.json")))
    if not where:
        raise UsageError("There are no results in results/.", "Name a folder with --results.")
    matches = []
    for folder in where:
        for row in joint_plan([Results(folder)]).iter_rows(named=True):
            labels = {f"{row[name]}:{row['benchmark']}:{row['seed']}" for name in ("optimizer", "method")}
            if run in labels or (":" not in run and row["run"].startswith(run)):
                matches.append((folder, row))
    if not matches:
        listed = ", ".join(map(str, where))
        raise UsageError(
            f"No run {run!r} in {listed}.", f"List the runs and their ids with: surrobench runs {where[0]}"
        )
    if len(matches) > 1:
        _refuse(run, matches)
    return matches[0]


def _refuse(run: str, matches: list[tuple[Path, dict[str, Any]]]) -> NoReturn:
    """Say which runs are meant, since they are several.

    Raises:
        UsageError: always.
    """
    from surrobench.errors import UsageError

    in_several = len({row["run"] for _, row in matches}) == 1
    listed = [str(folder) for folder, _ in matches] if in_several else [
        f"{row['run']} = {row['method']}:{row['benchmark']}:{row['seed']}" for _, row in matches
    ]  # fmt: skip
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    message = f"{', '.join(listed[:_LISTED])}{more}."
    if in_several:
        raise UsageError(f"Run {run!r} is in {len(listed)} folders: {message}", "Choose one with --results.")
    raise UsageError(f"{run!r} means {len(listed)} runs: {message}", "Write the id of one.")


def _print_head(console: Terminal, folder: Path, results: Results, found: dict[str, Any]) -> None:
    """Print which run it is, where it is, and how it ended."""
    from rich.text import Text

    record = results.records().get(str(found["run"]))
    state = f"{record.state}, {record.trials} trials" if record else "not finished"
    where = f" on {found['benchmark']}, seed {found['seed']}: {state}"
    console.print(Text(found["method"], style="bold"), where, sep="")
    console.print(f"run {found['run']} in {folder}", style="dim", soft_wrap=True)
    if record and record.error:
        console.print(record.error, style="red")


def _trials(results: Results, found: dict[str, Any]) -> pl.DataFrame:
    """Return the run's trials in order; there are none while it is not finished."""
    import polars as pl

    if found["run"] not in results.records():
        return pl.DataFrame()
    with results.reading():
        return (
            results.trials(scenario_key=str(found["benchmark"]).rpartition("/")[0])
            .filter(pl.col("run") == found["run"])
            .sort("trial")
            .collect()
        )


def _became(trials: pl.DataFrame) -> dict[str, str]:
    """Return, for each completion, which trials were read from it, in words."""
    became: dict[str, list[str]] = {}
    for row in trials.iter_rows(named=True):
        if row["reply"]:
            became.setdefault(row["reply"], []).append(str(row["trial"]))
    return {
        reply: f"became trial{'' if len(of) == 1 else 's'} {', '.join(of)}" for reply, of in became.items()
    }


def _print_trials(console: Terminal, trials: pl.DataFrame, found: dict[str, Any]) -> None:
    """Print a row for each trial; a value that is better than all before is bold."""
    from rich.text import Text

    from surrobench.benchmarks.registry import benchmark

    if trials.is_empty():
        return
    objective = benchmark(str(found["benchmark"])).objective
    columns = ["trial>", "source", "value>", "reply>", "configuration", "remarks"]
    rows, best = [], float("inf")
    for row in trials.iter_rows(named=True):
        loss = float("inf") if row["value"] is None else row["value"] * objective.sign
        value = "-" if row["value"] is None else f"{row['value']:.5g}"
        rows.append(
            [str(row["trial"]), row["source"], Text(value, style="bold" if loss < best else ""),
             row["reply"] or "", _configuration(row), _remarks(row)]
        )  # fmt: skip
        best = min(best, loss)
    shown = [
        j for j in range(len(columns)) if columns[j] not in ("reply>", "remarks") or any(r[j] for r in rows)
    ]
    table = output.table(*(columns[j] for j in shown))
    table.columns[1].no_wrap = True
    better = "lower" if objective.minimize else "higher"
    table.title = f"value: {objective.label}, {better} is better; bold: better than all before"
    table.title_justify = "left"
    for cells in rows:
        table.add_row(*(cells[j] for j in shown))
    console.print(table)


def _configuration(row: dict[str, Any]) -> str:
    """Return the hyperparameters of a trial that are active, with their values."""
    return ", ".join(
        f"{name.removeprefix('config.')} {f'{value:.4g}' if isinstance(value, float) else value}"
        for name, value in row.items()
        if name.startswith("config.") and value is not None
    )


def _remarks(row: dict[str, Any]) -> str:
    """Return what is unusual about a trial: its status, a repetition, repairs, an error."""
    status = row["status"] if row["status"] != "ok" else ""
    duplicate = "duplicate" if row["duplicate"] else ""
    return ", ".join(filter(None, [status, duplicate, row["repairs"], row["error"]]))
