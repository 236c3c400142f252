"""``surrobench run``."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from surrobench.study.progress import Status
    from surrobench.study.summary import Summary
    from surrobench.suite.schema import Suite
    from surrobench.suite.selection import Selection


@click.command()
@click.argument("suite_name", metavar="SUITE")
@click.option("--seeds", type=click.IntRange(min=1), help="At most so many seeds of each method.")
@click.option("--method", "methods", multiple=True, metavar="PATTERN", help="Only these, and the control.")
@click.option("--benchmark", "benchmarks", multiple=True, metavar="PATTERN", help="Only these benchmarks.")
@click.option("--out", type=click.Path(path_type=Path), help="Results folder.  [default: results/SUITE]")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: all cores]")
@click.option(
    "--cluster", metavar="ADDRESS", help="Use the workers of this Dask scheduler instead of processes here."
)
@click.option(
    "--llm",
    "llms",
    multiple=True,
    metavar="NAME=URL,MODEL",
    help="Ask this server (redirects a model of the suite, or adds one). May be repeated.",
)
@click.option(
    "--replay",
    type=click.Path(path_type=Path, exists=True),
    help="Serve all completions from a recording: a results folder or a journal. Needs no model.",
)
@click.option(
    "--reevaluate", is_flag=True, help="With --replay: compare objective values with the recorded ones."
)
@click.option("--retry-failed", is_flag=True, help="Run again what has failed.")
@click.option("--discard-unfinished", is_flag=True, help="Start half-finished runs anew.")
@click.option("--dry-run", is_flag=True, help="Only say what it would cost.")
def command(
    suite_name: str,
    seeds: int | None,
    methods: tuple[str, ...],
    benchmarks: tuple[str, ...],
    out: Path | None,
    jobs: int | None,
    cluster: str | None,
    llms: tuple[str, ...],
    replay: Path | None,
    reevaluate: bool,
    retry_failed: bool,
    discard_unfinished: bool,
    dry_run: bool,
) -> None:
    """Run SUITE: a TOML file, or the name of one in suites/.

    Finished runs are never repeated, interrupted ones go on where they were: after Ctrl-C, a crash or an
    edit of the suite, repeat the command. So it is after a part (--seeds, --method, --benchmark): what is
    left follows without these options.

    \b
    Examples:
      surrobench run quick
      surrobench run ferreira2026 --seeds 1 --method tpe --method 'centaur*'
      surrobench run suites/tabular.toml --jobs 8
      surrobench run suites/tabular.toml --cluster tcp://10.0.0.1:8786
      surrobench run quick --llm qwen=http://127.0.0.1:8000/v1,Qwen/Qwen3-8B
      surrobench run quick --replay results/quick
    """
    from rich.console import Console

    from surrobench.errors import UsageError
    from surrobench.study.fallbacks import stored_fallbacks, with_fallbacks
    from surrobench.study.options import Options
    from surrobench.study.progress import Status
    from surrobench.study.session import run_study
    from surrobench.suite.loading import load_suite
    from surrobench.suite.model_overrides import add_models
    from surrobench.suite.selection import Selection
    from surrobench.system import usable_cores

    if reevaluate and replay is None:
        raise UsageError("--reevaluate goes with --replay.")
    if cluster and jobs:
        raise UsageError(
            "--jobs and --cluster exclude each other.", "A cluster has as many workers as joined it."
        )
    suite, text = load_suite(suite_name)
    suite = add_models(suite, dict(_model(flag) for flag in llms))
    part = Selection(benchmarks, methods, seeds)
    if replay and (recorded := _recorded_part(replay)) != Selection():
        part = recorded if part == Selection() else part.within(recorded, suite)
        click.echo(f"Replaying what was recorded, a part of the suite: {part}.", err=True)
    out = out or Path("results") / (f"{suite.name}-replay" if replay else suite.name)
    console = Console(stderr=True)
    jobs = jobs or usable_cores()
    if left_out := suite.left_out():
        click.echo(f"Left out, their data is not on this machine: {', '.join(left_out)}", err=True)
    if dry_run:
        narrowed = part.of(suite)
        fallbacks = stored_fallbacks(narrowed, replay or out)
        _print_estimate(with_fallbacks(narrowed, {}, fallbacks, click.echo)[0], out, jobs)
        return
    options = Options(out, jobs, replay, reevaluate, retry_failed, discard_unfinished, cluster, part)
    status = Status(note=lambda line: console.print(line, style="dim", highlight=False, markup=False))
    with Display(status, console):
        summary = run_study(suite, text, options, status)
    _print_summary(summary, out, console)
    if not summary.complete:
        resume = shlex.join(["surrobench", *sys.argv[1:]])
        if not summary.parked:
            click.echo(f"Repeat the failed ones with: {resume} --retry-failed", err=True)
        elif replay is None:  # a replay that diverged would diverge again
            click.echo(f"Resume with: {resume}", err=True)
        sys.exit(1)


def _recorded_part(replay: Path) -> Selection:
    from surrobench.results.folder import Results
    from surrobench.suite.selection import Selection

    folder = replay if replay.is_dir() else replay.parent
    return (
        Selection.recorded(Results(folder).manifest) if (folder / "manifest.json").is_file() else Selection()
    )


def _model(flag: str) -> tuple[str, tuple[str, str]]:
    from surrobench.errors import UsageError

    label, equals, rest = flag.partition("=")
    url, comma, name = rest.partition(",")
    if not (label and equals and comma and name and url.startswith(("http://", "https://"))):
        raise UsageError(
            f"--llm {flag!r} is not NAME=URL,MODEL.", "Example: qwen=http://127.0.0.1:8000/v1,Qwen3-8B"
        )
    return label, (url, name)


# ---------------------------------------------------------------------- progress


class Display:
    """A live progress bar that reads ``Status``; nothing at all when standard error is no terminal."""

    def __init__(self, status: Status, console: Console) -> None:
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._status = status
        self._start = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(None),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            expand=True,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)
        self._console = console

    def __enter__(self) -> None:
        if self._console.is_terminal:
            self._live.start()

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def _render(self) -> Progress:
        status = self._status
        trials = status.trials + status.live.trials
        seconds = max(time.monotonic() - self._start, 1e-9)
        parts = [f"{status.done:,}/{status.total:,} runs", f"{trials / seconds:,.0f} trials/s"]
        clients = [model.client for model in status.models if model.client is not None]
        if clients:
            flying = sum(client.in_flight for client in clients)
            tokens = sum(client.tokens_in + client.tokens_out for client in clients)
            parts += [f"{flying} in flight", f"{tokens / seconds:,.0f} tokens/s"]
        self._bar.update(
            self._task,
            description=" · ".join(parts),
            total=status.work or None,
            completed=min(status.work_done + status.live_work(), status.work),
        )
        return self._bar


# ---------------------------------------------------------------------- what is printed


def _print_estimate(suite: Suite, out: Path, jobs: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from surrobench.study.cost_estimate import dry_run

    cost = dry_run(suite, out, jobs)
    table = Table(
        show_header=False, box=None, title=f"{suite.name}: what it would cost", title_justify="left"
    )
    table.add_row("runs", f"{cost.pending:,} of {cost.runs:,} to do")
    table.add_row("trials", f"{cost.trials:,}")
    table.add_row("time", f"about {_duration(cost.seconds)} (a rough figure; models: of the embedded one)")
    if cost.calls:
        table.add_row("completions", f"{cost.calls:,}")
        table.add_row("tokens", f"about {cost.tokens_in:,} in (most of them cached), {cost.tokens_out:,} out")
    table.add_row("disk", f"about {max(cost.disk_bytes / 2**20, 0.1):,.1f} MiB in {out}")
    Console().print(table)


def _print_summary(summary: Summary, out: Path, console: Console) -> None:
    ended = ", ".join(f"{count:,} {state}" for state, count in sorted(summary.states.items()))
    console.print(
        f"{summary.total:,} runs: {summary.finished_before:,} were finished before"
        + (f", now {ended}" if ended else "")
        + f". {summary.trials:,} trials in {_duration(summary.wall)}. Results: {out}",
        highlight=False,
    )
    if summary.unnamed:
        console.print(f"{summary.unnamed:,} runs in {out} are not named by the suite and are left out.")
    if summary.trials:
        console.print(_where_the_time_went(summary), highlight=False, style="dim")
    for model in summary.models:
        client = model.client
        if client is None or not client.completions:
            continue
        rate = (client.tokens_in + client.tokens_out) / summary.wall
        console.print(
            f"{model.spec.model}: {client.completions:,} completions, {client.tokens_in:,} tokens in, "
            f"{client.tokens_out:,} out, {rate:,.0f} tokens/s.",
            highlight=False,
            style="dim",
        )
    for reason, runs in summary.problems.items():
        first = runs[0]
        names = f"{first.name} on {first.benchmark}, seed {first.seed}"
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        console.print(f"[bold red]not finished[/]: {names} ({first.id}){more}: ", end="", highlight=False)
        console.print(reason, markup=False, highlight=False, soft_wrap=True)


def _where_the_time_went(summary: Summary) -> str:
    """The session's core-seconds by what they were spent on."""
    whole = summary.wall * summary.cores
    library, looked_up = summary.timing.library, summary.timing.benchmark
    ours = max(summary.timing.busy - library - looked_up, 0.0) + summary.storing
    idle = max(whole - library - looked_up - ours, 0.0)
    shares = {
        "optimizers' libraries": library,
        "benchmarks": looked_up,
        "engine and results": ours,
        "starting, waiting": idle,
    }
    listed = ", ".join(f"{name} {_duration(part)} ({part / whole:.1%})" for name, part in shares.items())
    return (
        f"Where {_duration(whole)} on {summary.cores} core{'s' if summary.cores > 1 else ''} went: {listed}."
    )


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
