"""``surrobench rank``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "latex", "csv", "json"]),
    default="table",
    show_default=True,
)
@click.option(
    "--figure", type=click.Path(path_type=Path), help="Critical-difference diagram: .svg, .png or .pdf."
)
@click.option("--budget", type=click.IntRange(min=1), help="Trials that count.  [default: the suite's]")
@click.option(
    "--equivalents", type=click.FloatRange(0, min_open=True), help="Full-fidelity equivalents that count."
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Simulated seconds that count.")
@click.option(
    "--anchor",
    type=click.Choice(["median", "worst"]),
    default="median",
    show_default=True,
    help="Loss at which normalised regret is 1.",
)
@click.option(
    "--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True
)
@click.option("--control", help="Method to compare with.  [default: the suite's]")
@click.option("--partial", is_flag=True, help="Leave out benchmarks on which a run is missing.")
def command(
    results: Path,
    form: str,
    figure: Path | None,
    budget: int | None,
    equivalents: float | None,
    seconds: float | None,
    anchor: str,
    alpha: float,
    control: str | None,
    partial: bool,
) -> None:
    """Rank the methods of the study in RESULTS.

    Blocks are benchmarks, seeds are averaged within them, only seeds that all methods have count. The suite's
    claims are judged as it states them: each holds, does not hold, or is not resolved (not in CSV).

    \b
    Examples:
      surrobench rank results/quick --figure cd.svg
      surrobench rank results/quick --format latex > table.tex
    """
    from dataclasses import replace

    from rich.console import Console

    from surrobench.budget import Budget
    from surrobench.report.claims import judge
    from surrobench.report.ranking import rank_methods
    from surrobench.report.study import load_study
    from surrobench.report.tables import render, rich_table
    from surrobench.results import Results

    limit = Budget(budget, equivalents, seconds)
    folder = Results(results)
    study = load_study(folder, limit, partial=partial)
    ranking = rank_methods(
        study.incumbents,
        study.references,
        control=control or study.control,
        anchor=anchor,  # type: ignore[arg-type] # click has checked it
        alpha=alpha,
        models=study.models,
    )
    ranking = replace(ranking, claims=judge(folder, alpha, partial=partial))
    if figure:
        from surrobench.report.figures import cd_diagram

        cd_diagram(ranking, figure)
    if form == "table":
        Console().print(rich_table(ranking))
    else:
        click.echo(render(ranking, form), nl=False)  # type: ignore[arg-type] # click has checked it
    if figure:
        click.echo(f"Critical-difference diagram: {figure}", err=True)
