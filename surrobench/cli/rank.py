"""``surrobench rank``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import FORMAT, Command, option
from surrobench.cli.options import FILE, Finite, of_study

if TYPE_CHECKING:
    from surrobench.report.ranking.model import Ranking
    from surrobench.report.ranking.pipeline import GroupBy, Wanted
    from surrobench.results.folder import Results


@click.command(
    "rank",
    cls=Command,
    renamed={
        "--with": "--external",
        "--by": "--group-by",
        "--also": "--extra-test",
        "--test": "--test-metric",
    },
)
@of_study
@FORMAT
@option(
    "--figure",
    type=FILE,
    metavar="FILE",
    section="Output",
    help="Draw the critical-difference diagram, too: .svg, .png, .pdf or .html.",
)
@option(
    "--group-by",
    "by",
    type=click.Choice(["family", "scenario", "variant", "model"]),
    metavar="NAME",
    section="Comparison",
    help="Rank each family or scenario by itself, or compare what a language model was shown (variant), or "
    "each model with the controls in its place (model).",
)
@option(
    "--metric",
    type=click.Choice(["quantile", "normalised", "log", "auc"]),
    metavar="NAME",
    default="quantile",
    show_default=True,
    section="Comparison",
    help="Choose the number that is ranked and tested: quantile regret, normalised regret, the logarithm of "
    "normalised regret (log), or the area below the curve of quantile regret over the budget (auc).",
)
@option(
    "--correction",
    type=click.Choice(["holm", "shaffer", "hommel", "bh"]),
    metavar="NAME",
    default="holm",
    show_default=True,
    section="Comparison",
    help="Correct p-values by holm, shaffer (for all pairs; holm else), hommel, or bh (Benjamini and "
    "Hochberg).",
)
@option(
    "--posthoc",
    type=click.Choice(["wilcoxon", "nemenyi", "conover"]),
    metavar="NAME",
    default="wilcoxon",
    show_default=True,
    section="Comparison",
    help="Compare all pairs of methods by wilcoxon, nemenyi or conover, for the bars of the diagram. The "
    "last two are too ready to tell apart methods that vary more than others.",
)
@option(
    "--extra-test",
    "extra_tests",
    multiple=True,
    type=click.Choice(["bayes", "hierarchical", "mixed", "sign-flip"]),
    metavar="NAME",
    section="Comparison",
    help="Add a test against the control beside Wilcoxon's; repeatable: bayes (Bayesian signed-rank), "
    "hierarchical (Bayesian), mixed (mixed-effects model), sign-flip (permutation).",
)
@option(
    "--rope",
    type=Finite(0),
    metavar="N",
    show_default="0.01",
    section="Comparison",
    help="Take differences of at most N as none in the Bayesian tests.",
)
@option(
    "--intervals",
    is_flag=True,
    section="Output",
    help="Show interquartile mean and probability of improvement, with bootstrap intervals.",
)
@option(
    "--test-metric",
    "test_metric",
    is_flag=True,
    section="Output",
    help="Show the test metric of the incumbents, where there is one.",
)
@option(
    "--target",
    type=Finite(0, 1, min_open=True),
    metavar="N",
    section="Output",
    help="Show what it takes to reach a quantile regret of N.",
)
@option(
    "--unit",
    type=click.Choice(["trials", "equivalents", "seconds", "tokens"]),
    metavar="NAME",
    default="trials",
    show_default=True,
    section="Output",
    help="Count trials, equivalents, seconds or tokens on the way to the target.",
)
@option(
    "--multiverse",
    is_flag=True,
    section="Comparison",
    help="Show each verdict under every metric, budget and test, and without each data set.",
)
@option(
    "--notes", is_flag=True, section="Output", help="Show all notes below the table, not only the main ones."
)
@option(
    "--check", is_flag=True, section="Output", help="Exit with status 1 unless all claims of the suite hold."
)
def command(
    results: tuple[Path, ...], form: Any, figure: Path | None, by: Any, check: bool, **options: Any
) -> None:
    """Rank the methods of the studies in RESULTS, one folder or several.

    Benchmarks are the blocks of the tests; those of one data set count as one. Seeds are averaged within a
    benchmark, and only seeds that all methods have count. The claims of the suite are judged on the whole
    study, as the suite states them: a claim holds, does not hold, or is not resolved.

    \b
    Examples:
      surrobench rank results/quick --figure cd.svg
      surrobench rank results/quick --format latex > table.tex
      surrobench rank results/quick results/mine --benchmark 'hpobench/*' --target 0.01
      surrobench rank results/quick --extra-test bayes --rope 0.02
      surrobench rank results/quick --external theirs.csv --group-by scenario
      surrobench rank results/mine --group-by variant
      surrobench rank results/recordings/default-seed --check
    """
    from surrobench.results.folder import Results

    if figure:
        _check_figure(figure, by)
    folders = [Results(folder) for folder in results]
    if check:
        _check_claims_can_be_judged(folders, by, options)
    if by in ("variant", "model"):
        from surrobench.cli.conditions import print_conditions

        print_conditions(folders, by, form, options)
        return
    if options["multiverse"]:
        _print_multiverse(folders, form, by, options)
        return
    rankings = _rankings(folders, by, _wanted(options), options)
    if figure:
        from surrobench.report.figures.critical_difference import cd_diagram

        cd_diagram(rankings[0], figure)
    _print(rankings, form, notes=options["notes"])
    if figure:
        output.say(f"Critical-difference diagram: {figure}")
    if check:
        _check_claims(rankings[-1], folders[0])


def _wanted(options: dict[str, Any]) -> Wanted:
    """Return what the options ask a ranking for.

    Raises:
        UsageError: ``--rope`` was given without a test that uses it.
    """
    from dataclasses import fields

    from surrobench.errors import UsageError
    from surrobench.report.ranking.pipeline import Wanted

    if options["rope"] is not None and not {"bayes", "hierarchical"} & set(options["extra_tests"]):
        raise UsageError("--rope is for the Bayesian tests.", "Add --extra-test bayes or hierarchical.")
    given = {field.name: options[field.name] for field in fields(Wanted)}
    return Wanted(**{name: value for name, value in given.items() if value is not None})


def _check_figure(figure: Path, by: str | None) -> None:
    """Refuse a figure that cannot be drawn, before anything is computed.

    Raises:
        UsageError: its suffix is unknown, or there would be several rankings.
    """
    from surrobench.errors import UsageError
    from surrobench.report.figures.save import check_suffix

    check_suffix(figure)
    if by:
        raise UsageError(
            "A figure shows one ranking, and --group-by makes several.",
            "Choose one group with --benchmark.",
        )


def _check_claims_can_be_judged(folders: list[Results], by: str | None, options: dict[str, Any]) -> None:
    """Refuse ``--check`` where no claim would be judged.

    Raises:
        UsageError: there are no claims, the folders have different ones, or a part of the study is ranked.
    """
    from surrobench.cli.options import choice
    from surrobench.errors import UsageError
    from surrobench.report.claims import stated_claims
    from surrobench.report.data.load import RunFilter

    stated = [stated_claims(folder) for folder in folders]
    if not any(stated):
        raise UsageError(
            "This study has no claims to check.", "Write [claims.NAME] into its suite, or leave out --check."
        )
    if any(claims != stated[0] for claims in stated):
        raise UsageError("These folders state different claims.", "Check each by itself.")
    if by or choice(options) != RunFilter():
        raise UsageError(
            "Claims are about the whole study, and a part of it is ranked.",
            "Leave out --check, or --group-by and the filters.",
        )


def _check_claims(ranking: Ranking, folder: Results) -> None:
    """Fail unless every claim of the suite holds.

    Raises:
        ResultsError: some do not; the message says what is known of them.
    """
    from surrobench.errors import ResultsError
    from surrobench.report.claims import stated_claims

    verdicts = {one.name: one.verdict for one in ranking.claims}
    stated = stated_claims(folder)
    words = {"does not hold": "does not hold", "not resolved": "is not resolved"}
    others = [
        f"{name} {words[verdicts[name]] if name in verdicts else 'cannot be judged yet'}"
        for name in stated
        if verdicts.get(name) != "holds"
    ]
    if others:
        raise ResultsError(
            f"{len(stated) - len(others)} of {len(stated)} claims hold. The others: {', '.join(others)}."
        )


def _rankings(
    folders: list[Results], by: GroupBy | None, wanted: Wanted, options: dict[str, Any]
) -> list[Ranking]:
    """Return one ranking, or one for each group; the last holds the suite's claims."""
    from surrobench.cli.options import choice, load
    from surrobench.cli.progress import bar
    from surrobench.report.data.load import RunFilter
    from surrobench.report.ranking.extra_columns import with_claims
    from surrobench.report.ranking.pipeline import rank_groups

    study = load(
        folders,
        options,
        units=(wanted.unit,) if wanted.target else (),
        area=wanted.metric == "auc",
        test_metric=wanted.test_metric,
    )
    rankings = rank_groups(study, wanted, by, bar("sampling"))
    whole = not by and choice(options) == RunFilter()
    rankings[-1] = with_claims(rankings[-1], folders, whole=whole, left_out=study.by_outcome)
    return rankings


def _print_multiverse(folders: list[Results], form: Any, by: str | None, options: dict[str, Any]) -> None:
    """Print the table of all analyses of the study.

    Raises:
        UsageError: groups were asked for, too.
    """
    from surrobench.cli.options import load
    from surrobench.errors import UsageError
    from surrobench.report.ranking.multiverse import budgets, multiverse
    from surrobench.report.render.formats import render
    from surrobench.report.render.multiverse_table import multiverse_table
    from surrobench.report.render.terminal import terminal

    if by:
        raise UsageError("--multiverse is about the whole study.", "Leave out --group-by.")
    whole = load(folders, options, area=True)
    tried = budgets(whole)
    studies = {
        trials: whole if trials == tried[-1] else load(folders, {**options, "budget": trials}, area=True)
        for trials in tried
    }
    table = multiverse_table(multiverse(studies, _wanted(options)))
    if form == "table":
        output.console().print(terminal([table]))
    else:
        output.write(render([table], form), nl=False)


def _print(rankings: list[Ranking], form: Any, *, notes: bool) -> None:
    """Print rankings; ``notes`` are all shown in a terminal, too, where else the main ones are."""
    from surrobench.report.render.ranking_tables import render, rich_table

    if form != "table":
        output.write(render(rankings, form), nl=False)
        return
    for ranking in rankings:
        output.console(wide=False).print(rich_table(ranking, notes=notes))
