"""``surrobench rank``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from surrobench.report.ranking import Ranking
    from surrobench.report.study import Study


@click.command()
@click.argument("results", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "latex", "csv", "json"]),
    default="table",
    show_default=True,
)
@click.option(
    "--figure",
    type=click.Path(path_type=Path),
    help="Critical-difference diagram: .svg, .png, .pdf or .html.",
)
@click.option("--benchmark", "benchmarks", multiple=True, metavar="PATTERN", help="Only these benchmarks.")
@click.option("--method", "methods", multiple=True, metavar="PATTERN", help="Only these methods.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="PATTERN",
    help="Of the methods with a language model, only those with this one.",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="PATTERN",
    help="Of the methods with a language model, only those shown this prompt variant.",
)
@click.option(
    "--with",
    "others",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="Results of others: method, benchmark, seed, trial, value.",
)
@click.option("--budget", type=click.IntRange(min=1), help="Trials that count.  [default: the suite's]")
@click.option(
    "--equivalents", type=click.FloatRange(0, min_open=True), help="Full-fidelity equivalents that count."
)
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Simulated seconds that count.")
@click.option(
    "--metric",
    type=click.Choice(["quantile", "normalised", "log", "auc"]),
    default="quantile",
    show_default=True,
    help="What ranks and tests use: quantile or normalised regret, its logarithm, area of the anytime curve.",
)
@click.option(
    "--anchor",
    type=click.Choice(["median", "worst"]),
    default="median",
    show_default=True,
    help="Loss at which normalised regret is 1.",
)
@click.option(
    "--target",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="Q",
    help="Show what it takes to reach this quantile regret.",
)
@click.option(
    "--unit",
    type=click.Choice(["trials", "equivalents", "seconds", "tokens"]),
    default="trials",
    show_default=True,
    help="What is counted on the way to the target.",
)
@click.option(
    "--correction",
    type=click.Choice(["holm", "hommel", "bh"]),
    default="holm",
    show_default=True,
    help="Of p-values: Holm, Hommel, or Benjamini and Hochberg.",
)
@click.option(
    "--posthoc",
    type=click.Choice(["nemenyi", "conover", "wilcoxon"]),
    default="nemenyi",
    show_default=True,
    help="Test of all pairs, for the bars of the diagram.",
)
@click.option(
    "--intervals",
    is_flag=True,
    help="Show interquartile mean and probability of improvement, with bootstrap intervals.",
)
@click.option("--test", "tests", is_flag=True, help="Show the incumbents' test metric, where there is one.")
@click.option(
    "--by",
    type=click.Choice(["family", "scenario", "variant", "model"]),
    help="Rank each family or scenario apart; or compare what a language model was shown (variant), or each "
    "model with its slot control (model).",
)
@click.option(
    "--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True
)
@click.option("--control", help="Method to compare with.  [default: the suite's]")
@click.option("--partial", is_flag=True, help="Leave out benchmarks on which a run is missing.")
def command(
    results: tuple[Path, ...],
    form: str,
    figure: Path | None,
    benchmarks: tuple[str, ...],
    methods: tuple[str, ...],
    models: tuple[str, ...],
    variants: tuple[str, ...],
    others: tuple[Path, ...],
    by: str | None,
    budget: int | None,
    equivalents: float | None,
    seconds: float | None,
    partial: bool,
    control: str | None,
    **shown: Any,
) -> None:
    """Rank the methods of the studies in RESULTS, one folder or several.

    Blocks are benchmarks, seeds are averaged within them, only seeds that all methods have count. The suite's
    claims are judged on the whole study as it states them: each holds, does not hold, or is not resolved.

    \b
    Examples:
      surrobench rank results/quick --figure cd.svg
      surrobench rank results/quick --format latex > table.tex
      surrobench rank results/quick results/mine --benchmark 'hpobench/*' --target 0.01
      surrobench rank results/quick --with theirs.csv --by scenario
      surrobench rank results/mine --by variant
    """
    from rich.console import Console

    from surrobench.budget import Budget
    from surrobench.errors import UsageError
    from surrobench.report.extras import with_claims
    from surrobench.report.gather import Choice
    from surrobench.report.others import read_others
    from surrobench.report.study import load_study
    from surrobench.report.tables import render, rich_table
    from surrobench.results import Results

    if figure and by:
        raise UsageError("A figure shows one ranking, --by makes several.", "Choose with --benchmark.")
    folders = [Results(folder) for folder in results]
    choice = Choice(benchmarks, methods, models, variants)
    limit = Budget(budget, equivalents, seconds)
    if by in ("variant", "model"):
        from surrobench.cli.arms import print_arms

        part = {"limit": limit, "choice": choice, "partial": partial, "control": control}
        print_arms(folders, by, form, part, {**shown, "others": others})
        return
    study = load_study(
        folders,
        limit,
        partial=partial,
        choice=choice,
        control=control,
        units=(shown["unit"],) if shown["target"] else (),
        area=shown["metric"] == "auc",
        tests=shown["tests"],
        others=read_others(others) if others else None,
    )
    if by:
        depth = 1 if by == "family" else 2
        parts = study.split(lambda name: "/".join(name.split("/")[:depth]))
        rankings = [_rank(part, group, **shown) for group, part in parts]
    else:
        rankings = [_rank(study, "", **shown)]
    whole = not (by or benchmarks or methods or models or variants)
    rankings[-1] = with_claims(rankings[-1], folders, whole=whole, partial=partial)
    if figure:
        from surrobench.report.figures.cd import cd_diagram

        cd_diagram(rankings[0], figure)
    if form == "table":
        for ranking in rankings:
            Console().print(rich_table(ranking))
    else:
        click.echo(render(rankings, form), nl=False)  # type: ignore[arg-type] # click has checked it
    if figure:
        click.echo(f"Critical-difference diagram: {figure}", err=True)


def _rank(
    study: Study,
    group: str,
    *,
    alpha: float,
    target: float | None,
    unit: Any,
    tests: bool,
    metric: Any,
    anchor: Any,
    correction: Any,
    posthoc: Any,
    intervals: bool,
) -> Ranking:
    """One ranking, with what else was asked for."""
    from dataclasses import replace

    from surrobench.report.extras import with_intervals, with_target, with_tests
    from surrobench.report.ranking import rank_methods

    ranking = rank_methods(
        study.incumbents,
        study.references,
        control=study.control,
        anchor=anchor,
        alpha=alpha,
        models=study.models,
        metric=metric,
        correction=correction,
        posthoc=posthoc,
    )
    if intervals:
        ranking = with_intervals(ranking)
    if target:
        ranking = with_target(ranking, study.anytime(anchor), target, unit)
    if tests:
        ranking = with_tests(ranking, study.incumbents)
    return replace(ranking, group=group, notes=(*ranking.notes, *study.notes))
