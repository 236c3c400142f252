"""``surrobench power``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option
from surrobench.cli.options import ALPHA, BLOCKS, CONTROL, PARTIAL, PROPORTION, RESULTS

if TYPE_CHECKING:
    from surrobench.report.data.study_data import Blocks


def _counts(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Parse counts with commas between them."""
    if value is None:
        return ()
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of counts such as 5,10,20.")
    return tuple(int(part) for part in parts)


@click.command("power", cls=Command)
@RESULTS
@option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    show_default="all",
    section="Simulation",
    help="Plan for this method; repeatable.",
)
@option(
    "--effect",
    type=click.FloatRange(-1, 1),
    metavar="N",
    show_default="each method's own",
    section="Simulation",
    help="Look for this difference in quantile regret; 0.01 is a hundredth of the search space.",
)
@option(
    "--power",
    "wanted",
    type=PROPORTION,
    metavar="N",
    default=0.8,
    show_default=True,
    section="Simulation",
    help="Find the difference with this probability.",
)
@ALPHA
@option(
    "--seeds",
    callback=_counts,
    metavar="N,N,...",
    section="Simulation",
    help="Try these numbers of seeds, such as 5,10,20.",
)
@option(
    "--instances",
    callback=_counts,
    metavar="N,N,...",
    section="Simulation",
    help="Try these numbers of instances.",
)
@option(
    "--simulations",
    type=click.IntRange(min=10),
    metavar="N",
    default=1000,
    show_default=True,
    section="Simulation",
    help="Simulate N studies of each size.",
)
@option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    section="Simulation",
    help="Seed the simulation with N.",
)
@CONTROL
@BLOCKS
@PARTIAL
@option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    section="Output",
    help="Print as table or json.",
)
def command(
    results: Path, control: str | None, blocks: Blocks, partial: bool, form: str, **options: Any
) -> None:
    """Compute how many seeds and instances a difference needs, from the pilot study in RESULTS.

    Studies of each size are simulated from the instances and seeds of the pilot, and tested as rank does.
    Each method is compared with the control on the seeds and trials that these two have in common.

    \b
    Examples:
      surrobench power results/quick
      surrobench power results/quick --method tpe --effect 0.02 --seeds 5,10,20
    """
    import json
    from dataclasses import asdict

    from surrobench.cli.progress import bar
    from surrobench.report.data.seed_array import cells_beside
    from surrobench.report.data.study_data import load_study
    from surrobench.report.power import plan_power
    from surrobench.report.render.power_table import power_table
    from surrobench.report.render.terminal import terminal
    from surrobench.results.folder import Results

    study = load_study(Results(results), partial=partial, control=control)
    plan = plan_power(
        cells_beside(study, study.control, by_data_set=blocks == "data-set"),
        study.control,
        blocks=blocks,
        progress=bar("simulating"),
        **options,
    )
    if form == "json":
        document = asdict(plan)
        for row in document["rows"]:
            row["detectable"] = row["detectable"] if row["detectable"] < float("inf") else None
        output.write(json.dumps(document, indent=2))
    else:
        output.console(wide=False).print(terminal(power_table(plan)))
