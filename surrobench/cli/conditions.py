"""``surrobench rank --group-by variant`` and ``model``: language models under several conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surrobench.results.folder import Results

REFUSED = {
    "target": "--target", "test_metric": "--test-metric", "intervals": "--intervals", "others": "--external",
    "extra_tests": "--extra-test", "rope": "--rope", "failed": "--failed",
}  # fmt: skip
"""Options of ``rank`` that mean nothing for conditions, which are shown with intervals anyway."""


def print_conditions(folders: Sequence[Results], by: Any, form: Any, options: dict[str, Any]) -> None:
    """Compare the conditions and print both tables.

    Args:
        folders: the results.
        by: ``variant`` or ``model``.
        form: format of the output.
        options: the other options of ``rank``, by their parameters' names.

    Raises:
        UsageError: an option was given that only a ranking can take.
    """
    from surrobench.cli import output
    from surrobench.cli.options import choice, limit
    from surrobench.errors import UsageError
    from surrobench.report.llm.comparison import load_comparison
    from surrobench.report.llm.comparison_table import tables_of
    from surrobench.report.render.formats import render
    from surrobench.report.render.terminal import terminal

    given = [written for name, written in REFUSED.items() if options.get(name)]
    for name, usual in (("metric", "quantile"), ("correction", "holm")):
        given += [f"--{name}"] if options.get(name, usual) != usual else []
    if given:
        raise UsageError(
            f"--group-by {by} compares quantile regret, Holm-corrected; {', '.join(given)} is for rankings.",
            f"Leave out {', '.join(given)}, or --group-by {by}.",
        )
    comparison = load_comparison(
        folders,
        by,
        alpha=options["alpha"],
        limit=limit(options),
        choice=choice(options),
        partial=options["partial"],
        control=options["control"],
        blocks=options["blocks"],
    )
    tables = tables_of(comparison)
    if form == "table":
        output.console(wide=False).print(terminal(tables))
    else:
        output.write(render(tables, form), nl=False)
