"""``surrobench power``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from surrobench.cli.options import BLOCKS

if TYPE_CHECKING:
    from surrobench.report.data.study_data import Blocks


def _counts(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Counts, with commas between them."""
    if value is None:
        return ()
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of counts such as 5,10,20.")
    return tuple(int(part) for part in parts)


@click.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--method", "methods", multiple=True, help="Only this method; may be repeated.  [default: all]")
@click.option(
    "--effect",
    type=click.FloatRange(-1, 1),
    help="Difference in quantile regret to be found; 0.01 is a hundredth of the search space.  "
    "[default: each method's own in RESULTS]",
)
@click.option(
    "--power",
    "wanted",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    help="With which it is to be found.",
)
@click.option(
    "--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True
)
@click.option(
    "--seeds", callback=_counts, metavar="N,N,...", help="Numbers of seeds to try, such as 5,10,20."
)
@click.option("--instances", callback=_counts, metavar="N,N,...", help="Numbers of instances to try.")
@click.option(
    "--simulations",
    type=click.IntRange(min=10),
    default=1000,
    show_default=True,
    help="Simulated studies for each size.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the simulation.")
@click.option("--control", help="Method to compare with.  [default: the suite's]")
@BLOCKS
@click.option("--partial", is_flag=True, help="Leave out benchmarks on which a run is missing.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(
    results: Path,
    methods: tuple[str, ...],
    effect: float | None,
    wanted: float,
    alpha: float,
    seeds: tuple[int, ...],
    instances: tuple[int, ...],
    simulations: int,
    seed: int,
    control: str | None,
    blocks: Blocks,
    partial: bool,
    form: str,
) -> None:
    """How many seeds and instances a difference needs, from the pilot study in RESULTS.

    Studies of each size are simulated from the pilot's instances and seeds, and tested as rank does. Each
    method is compared with the control on the seeds and trials that these two have in common.

    \b
    Examples:
      surrobench power results/quick
      surrobench power results/quick --method tpe --effect 0.02 --seeds 5,10,20
    """
    import json
    from dataclasses import asdict

    from rich.console import Console

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
        methods=methods,
        effect=effect,
        wanted=wanted,
        alpha=alpha,
        seeds=seeds,
        instances=instances,
        simulations=simulations,
        seed=seed,
        blocks=blocks,
        progress=bar("simulating"),
    )
    if form == "json":
        document = asdict(plan)
        for row in document["rows"]:
            row["detectable"] = row["detectable"] if row["detectable"] < float("inf") else None
        click.echo(json.dumps(document, indent=2))
    else:
        Console().print(terminal(power_table(plan)))
