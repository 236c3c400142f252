"""``surrobench serve``."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option
from surrobench.cli.options import COUNT, FILE

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from surrobench.llm.models import ModelSpec
    from surrobench.llm.servers.process import Server

EMBEDDED = "smollm2"
"""Name of the embedded model, here and in ``surrobench data pull``."""


@click.command("serve", cls=Command)
@click.argument("model")
@option("--host", metavar="NAME", default="127.0.0.1", show_default=True, help="Listen on this address.")
@option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    default=8000,
    show_default=True,
    help="Listen on this port.",
)
@option(
    "--max-model-len",
    type=click.IntRange(256, 10**8),
    metavar="N",
    show_default="all",
    help="Offer a context of N tokens.",
)
@option("--max-num-seqs", type=COUNT, metavar="N", show_default="256", help="Serve N sequences at a time.")
@option("--tensor-parallel", type=COUNT, metavar="N", show_default="1", help="Share the model among N GPUs.")
@option("--data-parallel", type=COUNT, metavar="N", show_default="1", help="Serve N copies of the model.")
@option("--dtype", metavar="NAME", show_default="auto", help="Load the weights as this type.")
@option(
    "--python",
    metavar="FILE",
    show_default="$SURROBENCH_VLLM_PYTHON, or this one",
    help="Start vLLM with the Python of this environment.",
)
@option(
    "--extra",
    multiple=True,
    metavar="ARG",
    help="Pass this argument to vLLM, as in --extra=--reasoning-parser --extra=qwen3; repeatable.",
)
@option(
    "--log",
    type=FILE,
    metavar="FILE",
    show_default="in the cache",
    help="Write the server's log to this file.",
)
def command(
    model: str, host: str, port: int, log: Path | None, extra: tuple[str, ...], **options: Any
) -> None:
    """Start a server for MODEL and print what a suite needs to use it; Ctrl-C stops it.

    MODEL is the name of a model on Hugging Face, or a folder with one; vLLM serves it. The name smollm2 is
    the embedded model, which llama.cpp serves without a GPU. The prefix cache is on, replies are constrained
    without free white space, and only the requests set sampling parameters.

    \b
    Examples:
      surrobench serve smollm2
      surrobench serve Qwen/Qwen3-8B --max-model-len 16384
      surrobench serve meta-llama/Llama-3.3-70B-Instruct --tensor-parallel 4 --data-parallel 2
    """
    from surrobench.errors import ModelError
    from surrobench.paths import cache_dir

    spec = _spec(model, {**options, "extra": list(extra)})
    log = log or cache_dir() / f"serve-{port}.log"
    console = output.errors(quiet=False)
    try:
        with ExitStack() as stack:
            with console.status(f"Starting {spec.model}; its log: {log}"):
                server = stack.enter_context(_server(spec, log, host, port))
            _say(spec, server, log)
            # Polars replaces the handler of Ctrl-C by one that resumes a blocking wait.
            while server.process.poll() is None:
                time.sleep(0.2)
        raise ModelError(f"The server of {spec.model} has ended.", f"Its log: {log}")
    except KeyboardInterrupt:
        output.complain("\nStopped.")


def _spec(model: str, options: dict[str, Any]) -> ModelSpec:
    """Return the model as a suite would describe it.

    Raises:
        UsageError: an option of vLLM was given for the embedded model.
    """
    from surrobench.errors import UsageError
    from surrobench.llm.models import EMBEDDED_MODEL, ModelSpec

    given = {name: value for name, value in options.items() if value}
    if model in (EMBEDDED, EMBEDDED_MODEL):
        slots, context = given.pop("max_num_seqs", 2), given.pop("max_model_len", 4096)
        if given:
            flag = f"--{next(iter(given)).replace('_', '-')}"
            raise UsageError(
                f"{flag} is for vLLM, and the embedded model is served by llama.cpp.", f"Leave out {flag}."
            )
        return ModelSpec(serve="embedded", slots=slots, context=context, concurrency=slots)
    folder = Path(model)
    if folder.is_dir():  # where it lies on this machine says nothing of a model
        return ModelSpec(serve="vllm", model=folder.resolve().name, weights=str(folder.resolve()), **given)
    return ModelSpec(serve="vllm", model=model, **given)


def _server(spec: ModelSpec, log: Path, host: str, port: int) -> AbstractContextManager[Server]:
    """Return the context in which the model is served."""
    from surrobench.llm.servers.llama_cpp import embedded_server
    from surrobench.llm.servers.vllm import vllm_server

    if spec.serve == "embedded":
        return embedded_server(spec, log, host, port, pinned=False)
    return vllm_server(spec, log, host, port)


def _say(spec: ModelSpec, server: Server, log: Path) -> None:
    """Print how a suite, or the command line, uses the server."""
    from surrobench.llm.probe import capabilities

    label = EMBEDDED if spec.serve == "embedded" else _label(spec.model)
    keys = ["model", *(key for key in ("revision", "size") if getattr(spec, key))]
    # What belongs to a run's identity, or the load that the server was started for.
    keys += [key for key in ("dtype", "extra", "concurrency") if key in spec.model_fields_set]
    lines = [f'url = "{server.url}"', *(f"{key} = {json.dumps(getattr(spec, key))}" for key in keys)]
    if capabilities(spec).seed is False:
        lines.append("seed = false # this build of vLLM takes none")
    output.write(f"{spec.model} is served at {server.url} (Ctrl-C stops it; its log: {log})\n")
    output.write("\n".join(["In a suite:", f"[models.{label}]", *lines]))
    output.write(f"\nOr:\nsurrobench run quick --llm {label}={server.url},{spec.model}")


def _label(model: str) -> str:
    """Return the label that a suite could give to a model of this name."""
    return re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-") or "model"
