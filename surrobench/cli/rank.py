"""``surrobench rank``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli.options import of_study

if TYPE_CHECKING:
    from surrobench.report.data.study_data import StudyData
    from surrobench.report.ranking.model import Ranking
    from surrobench.report.ranking.pipeline import Wanted
    from surrobench.results.folder import Results


@click.command()
@of_study
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
@click.option(
    "--by",
    type=click.Choice(["family", "scenario", "variant", "model"]),
    help="Rank each family or scenario apart; or compare what a language model was shown (variant), or each "
    "model with its slot control (model).",
)
@click.option(
    "--metric",
    type=click.Choice(["quantile", "normalised", "log", "auc"]),
    default="quantile",
    show_default=True,
    help="What ranks and tests use: quantile or normalised regret, its logarithm, area of the anytime curve.",
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
    "--also",
    "extra_tests",
    multiple=True,
    type=click.Choice(["bayes", "hierarchical", "mixed", "sign-flip"]),
    help="A further test against the control, beside Wilcoxon's: Bayesian signed-rank, Bayesian "
    "hierarchical, mixed-effects model, permutation of signs. May be repeated.",
)
@click.option(
    "--rope",
    type=click.FloatRange(0),
    help="Of the Bayesian tests: differences up to this are the same, in the metric's unit.  [default: 0.01]",
)
@click.option(
    "--intervals",
    is_flag=True,
    help="Show interquartile mean and probability of improvement, with bootstrap intervals.",
)
@click.option(
    "--test", "test_metric", is_flag=True, help="Show the incumbents' test metric, where there is one."
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
def command(
    results: tuple[Path, ...], form: Any, figure: Path | None, by: str | None, **options: Any
) -> None:
    """Rank the methods of the studies in RESULTS, one folder or several.

    Blocks are benchmarks, those of one data set together; seeds are averaged within them, only seeds that all
    methods have count. The suite's claims are judged on the whole study as it states them: each holds, does
    not hold, or is not resolved.

    \b
    Examples:
      surrobench rank results/quick --figure cd.svg
      surrobench rank results/quick --format latex > table.tex
      surrobench rank results/quick results/mine --benchmark 'hpobench/*' --target 0.01
      surrobench rank results/quick --also bayes --rope 0.02
      surrobench rank results/quick --with theirs.csv --by scenario
      surrobench rank results/mine --by variant
    """
    from surrobench.results.folder import Results

    if figure:
        _check(figure, by)
    folders = [Results(folder) for folder in results]
    if by in ("variant", "model"):
        from surrobench.cli.arms import print_arms

        print_arms(folders, by, form, options)
        return
    rankings = _rankings(folders, by, _wanted(options), options)
    if figure:
        from surrobench.report.figures.critical_difference import cd_diagram

        cd_diagram(rankings[0], figure)
    _print(rankings, form)
    if figure:
        click.echo(f"Critical-difference diagram: {figure}", err=True)


def _wanted(options: dict[str, Any]) -> Wanted:
    """What the options ask for.

    Raises:
        UsageError: --rope without a test that has one.
    """
    from dataclasses import fields

    from surrobench.errors import UsageError
    from surrobench.report.ranking.pipeline import Wanted

    if options["rope"] is not None and not {"bayes", "hierarchical"} & set(options["extra_tests"]):
        raise UsageError("--rope is of the Bayesian tests.", "Add --also bayes or --also hierarchical.")
    given = {field.name: options[field.name] for field in fields(Wanted)}
    return Wanted(**{name: value for name, value in given.items() if value is not None})


def _check(figure: Path, by: str | None) -> None:
    from surrobench.errors import UsageError
    from surrobench.report.figures.save import check_suffix

    check_suffix(figure)
    if by:
        raise UsageError("A figure shows one ranking, --by makes several.", "Choose with --benchmark.")


def _rankings(
    folders: list[Results], by: str | None, wanted: Wanted, options: dict[str, Any]
) -> list[Ranking]:
    """One, or one for each group; the last with the suite's claims."""
    from surrobench.cli.options import choice, load
    from surrobench.cli.progress import bar
    from surrobench.report.data.load import RunFilter
    from surrobench.report.ranking.extra_columns import with_claims
    from surrobench.report.ranking.pipeline import rank_study

    study = load(
        folders,
        options,
        units=(wanted.unit,) if wanted.target else (),
        area=wanted.metric == "auc",
        test_metric=wanted.test_metric,
    )
    rankings = [rank_study(part, wanted, group, bar("sampling")) for group, part in _parts(study, by)]
    whole = not by and choice(options) == RunFilter()
    rankings[-1] = with_claims(rankings[-1], folders, whole=whole, partial=options["partial"])
    return rankings


def _parts(study: StudyData, by: str | None) -> list[tuple[str, StudyData]]:
    """The groups by name; the whole study, without one, where none are asked for."""
    if by is None:
        return [("", study)]
    depth = 1 if by == "family" else 2
    return list(study.split(lambda name: "/".join(name.split("/")[:depth])))


def _print(rankings: list[Ranking], form: Any) -> None:
    from rich.console import Console

    from surrobench.report.render.ranking_tables import render, rich_table

    if form != "table":
        click.echo(render(rankings, form), nl=False)
        return
    for ranking in rankings:
        Console().print(rich_table(ranking))
