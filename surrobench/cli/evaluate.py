"""``surrobench evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH = 10_000  # lines evaluated and printed at a time: a file may be larger than memory


@click.command()
@click.argument("name", metavar="BENCHMARK")
@click.option(
    "--config",
    "source",
    required=True,
    metavar="JSON|FILE",
    help="One configuration as a JSON object, or a file (- is standard input) with one a line.",
)
@click.option(
    "--fidelity",
    "fidelities",
    multiple=True,
    metavar="Z",
    help="NAME=VALUE, or VALUE of the first fidelity; what is not named is full. Repeatable.",
)
def command(name: str, source: str, fidelities: tuple[str, ...]) -> None:
    """Print every objective of configurations of BENCHMARK.

    The answer to each is a line of JSON: its objectives, in their natural direction, and "cost", the seconds
    the trial would have taken. Tables answer with the mean of their repetitions.

    \b
    Examples:
      surrobench evaluate hpobench/mlp/car --config car.jsonl
      surrobench evaluate yahpo/lcbench/167168 --fidelity 10 --config '{"batch_size": 64, ...}'
      surrobench evaluate yahpo/rbv2_rpart/14 --fidelity trainsize=0.5 --fidelity repl=3 --config r.jsonl
    """
    import json

    from surrobench.benchmarks.registry import benchmark

    where = benchmark(name)
    fidelity = dict(
        _fidelity(text, [known.name for known in where.scenario.fidelities]) for text in fidelities
    )
    where.scenario.fidelity_row(fidelity)  # refuse it before anything is read
    for batch in _batches(source):
        columns = where.evaluate(batch, fidelity=fidelity)
        for values in zip(*(column.tolist() for column in columns.values()), strict=True):
            click.echo(json.dumps(dict(zip(columns, values, strict=True))))


def _fidelity(text: str, names: list[str]) -> tuple[str, float]:
    from surrobench.errors import UsageError

    name, equals, value = text.rpartition("=")
    if not equals:
        name = names[0] if names else "fidelity"
    try:
        return name, float(value)
    except ValueError:
        raise UsageError(
            f"--fidelity {text!r} is no number.", "Write NAME=VALUE, such as epoch=10."
        ) from None


def _batches(source: str) -> Iterator[list[dict[str, Any]]]:
    """Configurations of a JSON text or of a file with one a line, some at a time.

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
        raise UsageError(f"--config {source!r} is neither a JSON object nor a file.")
    try:
        with click.open_file(source, encoding="utf-8") as file:
            lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
            while batch := list(islice(lines, _BATCH)):
                yield [_parse(line, f"{source}, line {number}") for number, line in batch]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{source} cannot be read: {error}.") from error


def _parse(text: str, place: str) -> dict[str, Any]:
    import json

    from surrobench.errors import UsageError

    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{place} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise UsageError(f"{place} is no JSON object.", 'A configuration is {"name": value, ...}.')
    return value
