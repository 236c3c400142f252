"""A session resolves each name once, and builds the records of runs at most once."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from surrobench.benchmarks import registry as benchmarks
from surrobench.optimizers import registry as optimizers
from surrobench.results.folder import Results
from surrobench.results.run_records import Records
from surrobench.study.options import Options
from surrobench.study.session import run_study
from surrobench.suite.loading import parse_suite
from surrobench.suite.selection import Selection
from tests.studies import FCN, MLP, NAS, suite_text

METHODS = ("random", "tpe", "cma-es")
TEXT = suite_text(MLP, NAS, FCN, methods=METHODS, trials=6, seeds=2)


class Calls:
    """Counts the calls of a function, wherever in the package it was imported."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
        self.of: Counter[str] = Counter()

        def counted(name: str) -> Any:
            self.of[name] += 1
            return function(name)

        for module_name, module in list(sys.modules.items()):
            if module_name.split(".")[0] == "surrobench":
                for name, value in list(vars(module).items()):
                    if value is function:
                        monkeypatch.setattr(module, name, counted)


@pytest.mark.parametrize("how", ["new", "finished", "more", "part", "replay"])
def test_in_a_session_every_name_is_resolved_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    out, replay, part = tmp_path / "r", None, Selection()
    before = parse_suite(TEXT.replace("seeds = 2", "seeds = 1") if how == "more" else TEXT)
    if how != "new":
        run_study(before, TEXT, Options(out))
    if how == "replay":
        out, replay = tmp_path / "again", out
    if how == "part":
        part = Selection(methods=("tpe",), seeds=1)
    suite, built = parse_suite(TEXT), []
    build = Results.records

    def records(results: Results) -> Any:
        built.append(results.folder)
        return build(results)

    monkeypatch.setattr(Results, "records", records)
    read: list[Any] = []
    end = Records.endings
    monkeypatch.setattr(Records, "endings", lambda self, places: read.append(self) or end(self, places))
    asked, opened = Calls(monkeypatch, optimizers.optimizer), Calls(monkeypatch, benchmarks.benchmark)
    run_study(suite, TEXT, Options(out, replay=replay, part=part))

    assert asked.of == dict.fromkeys(METHODS, 1)
    assert opened.of == dict.fromkeys((MLP, NAS, FCN), 1)
    assert len(built) == (how == "replay")
    assert len(read) == len({id(records) for records in read})  # how runs ended is read once a file
