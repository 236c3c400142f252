"""Ask the servers of a study's models what they can do, and open the models."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from surrobench.errors import ModelError, ModelUnavailable
from surrobench.llm.address import shown
from surrobench.llm.capabilities import Capabilities, lacking
from surrobench.llm.journal import Journal
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.models import ModelSpec
from surrobench.llm.probe import capabilities
from surrobench.plan.plan import Plan
from surrobench.plan.run import Run
from surrobench.protocol.requests import Complete, Completion
from surrobench.results.folder import Results
from surrobench.seeding import content_hash
from surrobench.study.expected_requests import expected_requests
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
        counted: labels of the models with runs whose budget is tokens.
    """

    suite: Suite
    fallbacks: Fallbacks
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Mapping[str, ModelError] = field(default_factory=dict)
    counted: frozenset[str] = frozenset()


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

    Raises:
        ModelError: a server will answer no request (a wrong key, say).
    """
    asking = [run for run in plan if run.asks_model] if suite.models else []
    pending = results.unfinished(asking) if results is not None else asking
    servers = {
        label: _probed(label, suite.models[label], _asking(label, pending), plan, results, note)
        for label in sorted({run.model for run in pending if run.model})
    }
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
    counted = frozenset(run.model for run in pending if run.model and run.tokens is not None)
    return ModelSettings(asked, fallbacks, records, problems, counted)


def _probed(
    label: str,
    spec: ModelSpec,
    runs: Sequence[Run],
    plan: Plan,
    results: Results | None,
    note: Callable[[str], None],
) -> Capabilities:
    """Return what a model's server can do, and note what a user should know of it."""
    requests = expected_requests(runs, plan) if spec.url else []
    waited = f"Waiting for the server of {label} ({shown(spec.url or '')}) to answer a probe"
    server = capabilities(spec, requests, lambda seconds: note(f"{waited}: {seconds:.0f} seconds so far."))
    if server.lacks:
        note(f"{label}: {server}")
    limits = sorted(
        {request.sampling["max_tokens"] for request in requests if "max_tokens" in request.sampling}
    )
    if server.thinks and not spec.thinking and limits:
        note(
            f"{label} thinks before it replies, and its thinking counts as output: the limits of this study "
            f"({', '.join(f'{limit:,}' for limit in limits)} tokens) may leave no reply. "
            f"Write, for example, thinking = 8192 into [models.{label}]."
        )
    before = _stated_before(label, results)
    for key, words in STATED.items():
        was, now = before.get(key), getattr(server, key)
        if was and now and was != now:
            note(f"{label}: since the last session, the {words} changed from {was} to {now}.")
    return server


def _asking(label: str, runs: Iterable[Run]) -> list[Run]:
    """Return the runs that ask a model."""
    return [run for run in runs if run.asks_model and run.model == label]


STATED = {
    "server": "server's version",
    "model": "name of the model",
    "fingerprint": "fingerprint of the model",
}
"""What a server states that must not change within a study, in words."""


def _stated_before(label: str, results: Results | None) -> Mapping[str, Any]:
    """Return what the server of a model could do when it was last probed."""
    for session in reversed(results.manifest["sessions"] if results is not None else []):
        servers = session.get("servers")
        if isinstance(servers, dict) and isinstance(known := servers.get(label), dict) and known.get("model"):
            return known
    return {}


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
    model = JournalledModel(
        spec,
        journal,
        slots=spec.slots if spec.serve == "embedded" else None,
        note=note,
        needs_counts=label in settings.counted,
    )
    try:
        if label in settings.problems:
            raise settings.problems[label]
        url = spec.url or _start_server(label, spec, folder, note, stack)
        samples = settings.servers.get(label, {}).get("samples") is not False
        model.client = Client(spec, url, samples=samples, note=note)
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

    server_log = folder / f"server-{file_name(label)}.log"
    if spec.serve == "embedded":
        note(f"Starting the embedded model {spec.model} ...")
        return stack.enter_context(embedded_server(spec, server_log)).url
    if spec.serve != "vllm":
        note(f"Starting {spec.model} with {spec.serve} ...")
        return stack.enter_context(provided_server(spec, server_log))
    note(f"Starting vLLM with {spec.model}; its log: {server_log} ...")
    return stack.enter_context(vllm_server(spec, server_log)).url


def file_name(label: str) -> str:
    """Return a label as a part of a file's name: whatever may stand in a path is replaced."""
    name = re.sub(r"[^\w.-]", "_", label, flags=re.ASCII).strip(".")[:50]
    return name if name == label else f"{name}-{content_hash(label)[:8]}"


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
