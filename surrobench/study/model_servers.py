"""Ask the servers of a study's models what they can do, and open the models."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from surrobench.errors import ModelError, ModelUnavailable
from surrobench.llm.capabilities import capabilities, lacking
from surrobench.llm.journal import Journal
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.models import ModelSpec
from surrobench.plan.plan import Plan
from surrobench.protocol.requests import Complete, Completion
from surrobench.results.folder import Results
from surrobench.study.fallbacks import Fallbacks, with_fallbacks
from surrobench.suite.schema import Suite

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSettings:
    """How the models of a study are asked.

    Attributes:
        suite: with the models as they are asked.
        fallbacks: what of it fell back to what the servers support.
        servers: label of a model -> what its server can do, as the manifest keeps it, of those probed.
        problems: label of a model -> what its server cannot do, though the suite or earlier runs ask for it.
    """

    suite: Suite
    fallbacks: Fallbacks
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Mapping[str, ModelError] = field(default_factory=dict)


def choose_settings(
    suite: Suite, stored: ModelSettings, plan: Plan, results: Results | None, note: Callable[[str], None]
) -> ModelSettings:
    """Probe the servers that will be asked something, and choose how their models are asked.

    Args:
        suite: as written.
        stored: the settings with the fallbacks of earlier sessions.
        plan: of the suite with the stored fallbacks.
        results: of earlier sessions, if there are any.
        note: takes a line for each server that lacks something, and for each fallback.
    """
    asking = [run for run in plan if run.asks_model] if suite.models else []
    pending = results.unfinished(asking) if results is not None else asking
    servers = {}
    for label in sorted({run.model for run in pending if run.model}):
        with contextlib.suppress(ModelError):  # it is said where the model is opened, and its runs are parked
            servers[label] = capabilities(suite.models[label])
            if servers[label].lacks:
                note(f"{label}: {servers[label]}")
    if not servers:
        return stored
    _, fallbacks = with_fallbacks(suite, servers, stored.fallbacks, _say_nothing)
    started = {label for label in fallbacks if fallbacks[label] != stored.fallbacks.get(label)}
    if started and results is not None:  # rare, and reading a journal takes its time
        held = results.endings().keys() | Journal(results.journal_path).runs()
        started &= {run.model for run in plan if run.id in held and run.model and run.asks_model}
    elif results is None:
        started = set()
    asked, fallbacks = with_fallbacks(suite, servers, stored.fallbacks, note, started)
    judged = {
        label: lacking(asked.models[label], server, begun=label in started, counts=suite.tokens is not None)
        for label, server in servers.items()
    }
    problems = {label: problem for label, problem in judged.items() if problem is not None}
    records = {label: asdict(server) for label, server in servers.items()}
    return ModelSettings(asked, fallbacks, records, problems)


def open_models(
    labels: Iterable[str],
    settings: ModelSettings,
    journal: Journal,
    folder: Path,
    note: Callable[[str], None],
    stack: contextlib.ExitStack,
) -> dict[str, JournalledModel]:
    """Open some models of a study; servers that are started for them end with ``stack``.

    A model that cannot be asked is opened as dead: its runs are parked with the reason, all others go on.

    Args:
        labels: of the models.
        settings: how they are asked.
        journal: where their completions are kept.
        folder: where logs of servers are written.
        note: takes a line worth saying at once.
        stack: closes what was opened.
    """
    return {label: _open_model(label, settings, journal, folder, note, stack) for label in labels}


def _open_model(
    label: str,
    settings: ModelSettings,
    journal: Journal,
    folder: Path,
    note: Callable[[str], None],
    stack: contextlib.ExitStack,
) -> JournalledModel:
    from surrobench.llm.client import Client

    spec = settings.suite.models[label]
    model = JournalledModel(spec, journal, slots=spec.slots if spec.serve == "embedded" else None)
    try:
        if label in settings.problems:
            raise settings.problems[label]
        url = spec.url or _start_server(label, spec, folder, note, stack)
        model.client = Client(spec, url, samples=settings.servers.get(label, {}).get("samples") is not False)
    except ModelError as error:
        note(str(error))
        log.info("model %s cannot be asked: %s", label, error)
        model.dead = ModelUnavailable(error.message, error.remedy)
        model.client = NoServer()
    return model


def _start_server(
    label: str, spec: ModelSpec, folder: Path, note: Callable[[str], None], stack: contextlib.ExitStack
) -> str:
    """Start a model's own server, which ends with ``stack``; returns its URL."""
    from surrobench.llm.servers.llama_cpp import embedded_server
    from surrobench.llm.servers.providers import provided_server
    from surrobench.llm.servers.vllm import vllm_server

    server_log = folder / f"server-{label}.log"
    if spec.serve == "embedded":
        note(f"Starting the embedded model {spec.model} ...")
        return stack.enter_context(embedded_server(spec, server_log)).url
    if spec.serve != "vllm":
        note(f"Starting {spec.model} with {spec.serve} ...")
        return stack.enter_context(provided_server(spec, server_log))
    note(f"Starting vLLM with {spec.model}; its log: {server_log} ...")
    return stack.enter_context(vllm_server(spec, server_log)).url


class NoServer:
    """Stands for a server that could not be started; its model is marked dead and never asks it."""

    in_flight = completions = tokens_in = tokens_out = 0

    async def complete(
        self, request: Complete, seed: int | None, slot: int | None = None
    ) -> list[Completion]:
        """Refuse every request."""
        raise ModelUnavailable("There is no server.")

    def stop(self) -> None:
        """Stop nothing."""

    async def aclose(self) -> None:
        """Close nothing."""


def _say_nothing(line: str) -> None:
    """Take a line that was said already."""
