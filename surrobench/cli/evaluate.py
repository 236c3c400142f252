"""``surrobench evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH = 10_000  # lines evaluated and printed at a time: a file may be larger than memory


@click.command("evaluate", cls=Command)
@click.argument("name", metavar="BENCHMARK")
@option(
    "--config",
    "source",
    required=True,
    metavar="JSON|FILE",
    help="Evaluate this JSON object, or each line of this file; - stands for standard input.",
)
@option(
    "--fidelity",
    "fidelities",
    multiple=True,
    metavar="NAME=N",
    help="Set a fidelity, or the first one where only N is given; the others are full; repeatable.",
)
def command(name: str, source: str, fidelities: tuple[str, ...]) -> None:
    """Evaluate configurations of your own on BENCHMARK and print every objective.

    Each configuration is answered by a line of JSON with its objectives, in their natural direction, and
    "cost", the seconds that the trial would have taken. A table answers with the mean of its repetitions.

    \b
    Examples:
      surrobench evaluate hpobench/mlp/car --config car.jsonl
      surrobench evaluate yahpo/lcbench/167168 --fidelity 10 --config '{"batch_size": 64, ...}'
      surrobench evaluate yahpo/rbv2_rpart/14 --fidelity trainsize=0.5 --config tree.jsonl
    """
    import json

    from surrobench.benchmarks.registry import benchmark

    chosen = benchmark(name)
    known = [fidelity.name for fidelity in chosen.scenario.fidelities]
    fidelity = dict(_fidelity(text, known) for text in fidelities)
    chosen.scenario.fidelity_row(fidelity)  # refuse it before anything is read
    for batch in _batches(source):
        columns = chosen.evaluate(batch, fidelity=fidelity)
        for values in zip(*(column.tolist() for column in columns.values()), strict=True):
            output.write(json.dumps(dict(zip(columns, values, strict=True))))


def _fidelity(text: str, names: list[str]) -> tuple[str, float]:
    """Parse ``NAME=N`` or ``N``; the latter is the first of ``names``."""
    from surrobench.errors import UsageError

    name, equals, value = text.rpartition("=")
    if not equals:
        name = names[0] if names else "fidelity"
    try:
        return name, float(value)
    except ValueError:
        raise UsageError(f"--fidelity {text!r} has no number.", "Write NAME=N, such as epoch=10.") from None


def _batches(source: str) -> Iterator[list[dict[str, Any]]]:
    """Read configurations from a JSON text, or from a file with one a line, a batch at a time.

    Raises:
        UsageError: a line is no JSON object, or the file cannot be read; the message names the line.
    """
    from itertools import islice
    from pathlib import Path

    from surrobench.errors import UsageError

    if source.lstrip().startswith("{"):
        yield [_parse(source, "--config")]
        return
    if source != "-" and not Path(source).is_file():
        raise UsageError(
            f"--config {source!r} is neither a JSON object nor a file.",
            "Write '{\"name\": value, ...}', or name a file with one such object a line.",
        )
    try:
        with click.open_file(source, encoding="utf-8") as file:
            lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
            while batch := list(islice(lines, _BATCH)):
                yield [_parse(line, f"{source}, line {number}") for number, line in batch]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{source} cannot be read: {error}.") from error


def _parse(text: str, place: str) -> dict[str, Any]:
    """Parse one configuration; ``place`` names it in errors."""
    from surrobench.errors import UsageError
    from surrobench.untrusted import load_json

    try:
        value = load_json(text)
    except ValueError as error:
        raise UsageError(f"{place} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UsageError(f"{place} is no JSON object.", 'A configuration is {"name": value, ...}.')
    return value
