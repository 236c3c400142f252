"""``surrobench fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option
from surrobench.cli.import_trials import imported, source_options


@click.command("fit", cls=Command)
@source_options
@option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    required=True,
    help="Write the surrogate to this folder.",
)
@option(
    "--accept-poor",
    is_flag=True,
    help="Write the surrogate even if it ranks unseen trials too badly for a verdict.",
)
def command(sources: tuple[str, ...], out: Path, accept_poor: bool, **asked: Any) -> None:
    """Fit a surrogate to past trials from SOURCE, and write it as a benchmark.

    The sources are those of surrobench import, or the file that it wrote. The command chooses a model by
    nested cross-validation and says how far the model can be believed. A surrogate whose rank correlation
    with unseen trials is below 0.7 is refused.

    The result is a benchmark: fitted:FOLDER in a suite. The instances fitted:FOLDER#refit-* are refits to
    resampled trials; they show how much a verdict depends on trials that were not made.

    \b
    Examples:
      surrobench fit ours.toml --out ours/
      surrobench fit past.db --out ours/
      surrobench run --benchmark fitted:ours/ --optimizer tpe --optimizer random
    """
    from surrobench.fitting.fit import fit, refuse_if_poor

    trials = imported(sources, **asked)
    for sentence in trials.summary():
        output.write(sentence)
    surrogate = fit(trials, output.say)
    for sentence in surrogate.quality.sentences():
        output.write(sentence)
    refuse_if_poor(surrogate, accept_poor)
    surrogate.write(out)
    output.write(f"Wrote {out}. Write fitted:{out} in the benchmarks of a suite.")
