"""Small studies for tests: suites as text, a model that answers by the request's body, the command line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import polars as pl

from surrobench.cli import main
from surrobench.llm.chat import SEED_MASK
from surrobench.llm.journal import Journal
from surrobench.results.folder import Results
from surrobench.seeding import content_hash, key, plain
from surrobench.study.options import Options
from surrobench.study.session import run_study
from surrobench.study.summary import Summary
from surrobench.suite.loading import parse_suite
from tests.llm.faulty_server import Behaviour, ok

MLP = "hpobench/mlp/australian"
NAS = "nasbench201/cell/cifar10"
FCN = "hpolib/fcnet/protein_structure"
AGENT = "karpathy-agent"


def suite_text(
    *benchmarks: str,
    methods: Iterable[str] = ("random",),
    models: Mapping[str, str] | None = None,
    trials: int = 4,
    seeds: int = 2,
    name: str = "tiny",
    head: str = "",
    model: str = "retries = 1",
) -> str:
    """A suite; with ``models`` (label -> URL) the agent is one of its methods."""
    lines = [f'name = "{name}"', f"benchmarks = {json.dumps(benchmarks or [MLP])}"]
    lines += [f"trials = {trials}", f"seeds = {seeds}", head]
    lines += [f"[optimizers.{method}]" for method in methods]
    if models:
        lines += [f"[optimizers.{AGENT}]", f"models = {json.dumps(list(models))}"]
    for label, url in (models or {}).items():
        lines += [f"[models.{label}]", f'url = "{url}"', f'model = "{label}-1"', model]
    return "\n".join(lines) + "\n"


def run(text: str, out: Path, **options: Any) -> Summary:
    return run_study(parse_suite(text), text, Options(out, **options))


# ---------------------------------------------------------------------- a model


def configuration(body: Mapping[str, Any]) -> dict[str, Any]:
    """A legal configuration for a request, always the same for the same request."""
    fields = body["response_format"]["json_schema"]["schema"]["properties"]
    draw = random.Random(json.dumps(body, sort_keys=True))
    return {name: _value(field, draw) for name, field in fields.items()}


def _value(field: Mapping[str, Any], draw: random.Random) -> Any:
    if "enum" in field:
        return draw.choice(field["enum"])
    between = draw.randint if field["type"] == "integer" else draw.uniform
    return between(field["minimum"], field["maximum"])


def answer(body: Mapping[str, Any], delay: float = 0.0) -> Behaviour:
    return ok(json.dumps(configuration(body)), delay=delay)


Asked = tuple[str, int]
"""Which request: the hash of its body without the seed, and the seed."""


def asked(body: Mapping[str, Any]) -> Asked:
    """Of a request as the server saw it."""
    return content_hash(plain({name: value for name, value in body.items() if name != "seed"})), body["seed"]


def journalled(path: Path) -> set[Asked]:
    """Of all completions of a journal; the study's calls have one sample each."""
    journal = Journal(path)
    return {
        (entry.request, (key("model", *entry.key, 0) >> 33) & SEED_MASK)
        for run_id in journal.runs()
        for entry in journal.of_run(run_id)
    }


# ---------------------------------------------------------------------- results


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of all Parquet files of trials, by their place in the results folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("trials/*/*")}


def edit_parquet(path: Path, edit: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change the trials of a file of results, as a version without checksums would have written them."""
    metadata = json.loads(pl.read_parquet_metadata(path)["surrobench"])
    del metadata["checksum"]
    edit(pl.read_parquet(path)).write_parquet(path, metadata={"surrobench": json.dumps(metadata)})


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, as a version without checksums would have written it."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["checksum"]
    edit(manifest)
    path.write_text(json.dumps(manifest))


def trials(folder: Path, scenario_key: str | None = None) -> pl.DataFrame:
    frame = Results(folder).trials(scenario_key=scenario_key).collect()
    return frame.sort("benchmark", "optimizer", "llm", "seed", "run", "trial")


# ---------------------------------------------------------------------- the command line


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """Standard error, which must be one line."""
        assert self.err.startswith("Error: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err


def surrobench(*arguments: object) -> Done:
    """Call the command line in this process, on a terminal 200 columns wide."""
    words = ["surrobench", *map(str, arguments)]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", words),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Done(status, out.getvalue(), err.getvalue())
