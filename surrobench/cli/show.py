"""``surrobench show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from surrobench.results.folder import Results


@click.command()
@click.argument("run")
@click.option(
    "--results",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Where to look.  [default: every folder in results/]",
)
@click.option("--prompts", is_flag=True, help="Show every prompt and reply in full.")
def command(run: str, folders: tuple[Path, ...], prompts: bool) -> None:
    """One RUN: its trials and, with --prompts, every prompt and reply.

    RUN is a run id or its beginning, or METHOD:BENCHMARK:SEED.

    \b
    Examples:
      surrobench show karpathy-agent:hpobench/mlp/australian:0 --prompts
      surrobench show 3f9a --results results/quick
    """
    from rich.console import Console

    from surrobench.llm.journal import Journal
    from surrobench.results.folder import Results

    folder, found = _find(run, folders)
    results = Results(folder)
    entries = Journal(results.journal_path).of_run(found["run"])
    console = Console()
    _print_head(console, folder, results, found)
    trials = _trials(results, found)
    _print_trials(console, trials, found)
    if not entries:
        return
    console.print(
        f"{len(entries)} completions; a reply is named by its call, attempt and sample."
        + ("" if prompts else " Add --prompts to read them."),
        style="dim",
        highlight=False,
    )
    if prompts:
        became = _became(trials)
        for entry in entries:
            console.rule(
                f"call {entry.key.call}, attempt {entry.key.attempt}, sample {entry.sample} ({entry.purpose})"
            )
            console.print(became.get(entry.where, "became no trial"), style="dim", highlight=False)
            for message in entry.prompt or ():
                console.print(f"[bold]{message.role}[/]")
                console.print(message.content, markup=False, highlight=False)
            done = entry.completion
            if done.thinking or done.tokens_thinking:
                console.print("[bold]thinking[/]")
                console.print(_printable(done.thinking), markup=False, highlight=False, style="dim")
            thought = f" ({done.tokens_thinking} of them thinking)" if done.tokens_thinking else ""
            console.print(
                f"[bold]reply[/] ({done.finish_reason}, {done.tokens_in} tokens in, {done.tokens_out} out"
                f"{thought}, {done.latency:.2f} s)"
            )
            console.print(_printable(done.text), markup=False, highlight=False)


def _printable(text: str) -> str:
    """A model's words with control characters spelt out, which a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _find(run: str, folders: tuple[Path, ...]) -> tuple[Path, dict[str, Any]]:
    """The results folder and the plan's row of the run that is meant."""
    from surrobench.errors import UsageError
    from surrobench.plan.run import method_name
    from surrobench.results.folder import Results

    where = folders or tuple(sorted(path.parent for path in Path("results").glob("*/manifest.json")))
    if not where:
        raise UsageError("There are no results in results/.", "Name a folder with --results.")
    matches = []
    for folder in where:
        for row in Results(folder).plan().iter_rows(named=True):
            names = {row["optimizer"], method_name(row["optimizer"], row["llm"], row["variant"])}
            labels = {f"{name}:{row['benchmark']}:{row['seed']}" for name in names}
            if run in labels or (":" not in run and row["run"].startswith(run)):
                matches.append((folder, row))
    if not matches:
        listed = ", ".join(map(str, where))
        raise UsageError(f"No run {run!r} in {listed}.", "Name an id, or METHOD:BENCHMARK:SEED.")
    if len(matches) > 1:
        first = ", ".join(f"{row['run']} ({folder})" for folder, row in matches[:4])
        raise UsageError(f"{run!r} means {len(matches)} runs: {first} ...", "Name more of it, or a folder.")
    return matches[0]


def _print_head(console: Console, folder: Path, results: Results, found: dict[str, Any]) -> None:
    from surrobench.plan.run import method_name

    record = results.records().get(str(found["run"]))
    method = method_name(found["optimizer"], found["llm"], found["variant"])
    state = f"{record.state}, {record.trials} trials" if record else "not finished"
    console.print(
        f"[bold]{method}[/] on {found['benchmark']}, seed {found['seed']}: {state}", highlight=False
    )
    console.print(f"run {found['run']} in {folder}", style="dim", highlight=False)
    if record and record.error:
        console.print(record.error, markup=False, style="red")


def _trials(results: Results, found: dict[str, Any]) -> pl.DataFrame:
    """The run's trials in order; none while it is not finished."""
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
    """Completion -> the trials that were read from it, in words."""
    became: dict[str, list[str]] = {}
    for row in trials.iter_rows(named=True):
        if row["reply"]:
            became.setdefault(row["reply"], []).append(str(row["trial"]))
    return {
        reply: f"became trial{'' if len(of) == 1 else 's'} {', '.join(of)}" for reply, of in became.items()
    }


def _print_trials(console: Console, trials: pl.DataFrame, found: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from surrobench.benchmarks.registry import benchmark

    if trials.is_empty():
        return
    where = benchmark(str(found["benchmark"]))
    with_replies = trials["reply"].null_count() < len(trials)
    configuration = [name for name in trials.columns if name.startswith("config.")]
    table = Table(title=f"value: {where.objective.label}", title_justify="left", box=None, pad_edge=False)
    for name in ("trial", "source", "value"):
        table.add_column(name, justify="left" if name == "source" else "right", no_wrap=True)
    if with_replies:
        table.add_column("reply", justify="right", no_wrap=True)
    table.add_column("configuration")
    table.add_column("remarks")
    sign, best = where.objective.sign, float("inf")
    for row in trials.iter_rows(named=True):
        better = row["value"] is not None and row["value"] * sign < best
        best = row["value"] * sign if better else best
        remarks = [row["status"] if row["status"] != "ok" else "", "duplicate" if row["duplicate"] else ""]
        remarks += [row["repairs"] or "", row["error"] or ""]
        value = "-" if row["value"] is None else f"{row['value']:.5g}"
        table.add_row(
            str(row["trial"]),
            row["source"],
            f"[bold]{value}[/]" if better else value,
            *([row["reply"] or ""] if with_replies else []),
            ", ".join(
                f"{name.removeprefix('config.')} {_short(row[name])}"
                for name in configuration
                if row[name] is not None
            ),
            Text(", ".join(filter(None, remarks))),  # a model's words may look like markup
        )
    console.print(table)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
