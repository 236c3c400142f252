"""What ``surrobench run`` prints: an estimate before, and a summary after."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from surrobench.cli import output
from surrobench.cli.output import count, duration

if TYPE_CHECKING:
    from surrobench.study.summary import Summary
    from surrobench.suite.schema import Suite
    from surrobench.terminal import Terminal


def print_estimate(suite: Suite, out: Path, jobs: int) -> None:
    """Print what a suite would cost: runs, trials, time, tokens and disk.

    Args:
        suite: the study, or the part of it that is to be run.
        out: its results folder; what is finished there costs nothing.
        jobs: worker processes.
    """
    from rich.table import Table

    from surrobench.study.cost_estimate import dry_run

    cost = dry_run(suite, out, jobs)
    table = Table(
        show_header=False, box=None, title=f"{suite.name}: what it would cost", title_justify="left"
    )
    table.add_row("runs", f"{cost.pending:,} of {cost.runs:,} to do")
    table.add_row("trials", f"{cost.trials:,}")
    models = "; as fast as the embedded model" if cost.calls else ""
    table.add_row("time", f"about {duration(cost.seconds)} (a rough figure{models})")
    if cost.calls:
        table.add_row("completions", f"{cost.calls:,}")
        table.add_row("tokens", f"about {cost.tokens_in:,} in (most of them cached), {cost.tokens_out:,} out")
    table.add_row("disk", f"about {max(cost.disk_bytes / 2**20, 0.1):,.1f} MiB in {out}")
    output.console(wide=False).print(table)


def print_summary(summary: Summary, out: Path, console: Terminal) -> None:
    """Print what a session did, where its time went, and what its models were asked."""
    ended = ", ".join(f"{count:,} {state}" for state, count in sorted(summary.states.items()))
    console.print(
        f"{summary.total:,} runs: {summary.finished_before:,} were finished before"
        + (f", now {ended}" if ended else "")
        + f". {summary.trials:,} trials in {duration(summary.wall)}. Results: {out}",
        soft_wrap=True,  # a path that is broken cannot be copied
    )
    if summary.unnamed:
        console.print(
            f"{summary.unnamed:,} runs in {out} are not (or no longer) in the suite and are left out."
        )
    if summary.trials:
        console.print(_where_the_time_went(summary), style="dim", soft_wrap=True)
    for model in summary.models:
        client = model.client
        if client is None or not client.completions:
            continue
        rate = (client.tokens_in + client.tokens_out) / summary.wall
        console.print(
            f"{model.spec.model}: {client.completions:,} completions, {client.tokens_in:,} tokens in, "
            f"{client.tokens_out:,} out, {rate:,.0f} tokens/s.",
            style="dim",
            soft_wrap=True,
        )
    if summary.complete:
        console.print(f"Rank the methods with: surrobench rank {quote(str(out))}", soft_wrap=True)


def print_problems(summary: Summary) -> None:
    """Print why runs failed or are parked, one line a reason; ``-q`` does not silence it."""
    from rich.text import Text

    console = output.errors(quiet=False)
    for reason, runs in summary.problems.items():
        first = runs[0]
        names = f"{first.name} on {first.benchmark}, seed {first.seed}"
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        said = Text("Not finished", style="bold red")
        console.print(said, f": {names} ({first.id}){more}: {reason}", sep="", soft_wrap=True)


def _where_the_time_went(summary: Summary) -> str:
    """Return a sentence on what the core-seconds of the session were spent on."""
    whole = summary.wall * summary.cores
    library, looked_up = summary.timing.library, summary.timing.benchmark
    ours = max(summary.timing.busy - library - looked_up, 0.0) + summary.storing
    idle = max(whole - library - looked_up - ours, 0.0)
    shares = {
        "optimizers' libraries": library,
        "benchmarks": looked_up,
        "engine and results": ours,
        "starting and waiting": idle,
    }
    listed = ", ".join(f"{name} {duration(part)} ({part / whole:.1%})" for name, part in shares.items())
    said = f"Time on {count(summary.cores, 'core')}, {duration(whole)} in all: {listed}."
    proposals, referred = summary.timing.proposals, summary.timing.referred
    if referred:
        said += f" Optuna itself decided {referred:,} of {count(proposals, 'proposal')} of TPE."
    return said
