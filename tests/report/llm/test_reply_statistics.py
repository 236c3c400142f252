"""What came of replies: counted by hand on a study whose server misbehaves on purpose."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from surrobench.errors import ResultsError
from surrobench.llm.journal import Journal
from surrobench.report.data.load import RunFilter
from surrobench.report.llm.reply_statistics import REPAIRS, Replies, load_replies, tables_of
from surrobench.report.render.formats import Format, render
from surrobench.results.folder import Results
from tests.llm.faulty_server import Behaviour, FaultyServer, ok, raw
from tests.old_results import as_version_3
from tests.studies import AGENT, MLP, configuration, run, suite_text, surrobench

SCRIPT = ("valid", "prose", "missing", "same", "unknown", "range", "snap")
"""What the server answers, in turns; ``same`` repeats the first valid configuration."""


def reply(kind: str, body: Mapping[str, Any], first: dict[str, Any]) -> Behaviour:
    values = configuration(body)
    if kind == "prose":
        return ok("I would try a smaller step.")
    if kind == "missing":
        values.pop("depth")
    elif kind == "same":
        values = dict(first)
    elif kind == "unknown":
        values = {"momentum": 0.9}
    elif kind == "range":
        values["alpha"] = 1e6
    elif kind == "snap":
        values |= {"batch_size": 5, "reasoning": "smaller, [json:] and text:"}
        return ok(json.dumps(values)[:-1] + ",}")
    if kind == "valid":
        first.clear()
        first.update(values)
    return ok(json.dumps(values))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven trials of the agent, one for each of ``SCRIPT``, and as many of a slot control."""
    out = tmp_path_factory.mktemp("replies") / "r"
    turns, first = itertools.cycle(SCRIPT), dict[str, Any]()
    with FaultyServer(lambda body: reply(next(turns), body, first)) as server:
        text = suite_text(MLP, models={"m": server.url}, trials=8, seeds=1)
        text = text.replace('models = ["m"]', 'models = ["m", "control:random"]')
        assert run(text, out, jobs=1).complete
    return out


def of(found: list[Replies], model: str) -> Replies:
    [one] = [one for one in found if one.model == model]
    return one


def test_verdicts_repairs_and_costs_are_those_of_the_replies(folder: Path) -> None:
    mine = of(load_replies([Results(folder)]), "m")
    assert (mine.method, mine.variant, mine.runs, mine.planned, mine.unrecorded) == (AGENT, "full", 1, 1, 0)
    assert mine.answers == {
        "propose": Counter(
            {"valid": 2, "duplicate": 1, "unparsable": 1, "missing": 1, "unknown-name": 1, "out-of-range": 1}
        )
    }
    assert (mine.trials, mine.proposed, mine.wasted, mine.duplicates, mine.repaired) == (7, 7, 4, 1, 1)
    journal = Journal(folder / "journal.jsonl")
    entries = [entry.completion for run_id in journal.runs() for entry in journal.of_run(run_id)]
    assert mine.calls == len(entries) == 7
    assert mine.tokens_in == sum(one.tokens_in for one in entries)
    assert mine.tokens_out == sum(one.tokens_out for one in entries)
    assert mine.latency == pytest.approx(sum(one.latency for one in entries))


def test_a_slot_control_answers_without_a_call(folder: Path) -> None:
    control = of(load_replies([Results(folder)]), "control:random")
    assert (control.variant, control.trials, control.calls, control.tokens_in) == (None, 7, 0, 0)
    assert control.count("propose") == 7
    assert control.wasted == control.repaired == 0


@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "json"])
def test_every_format_has_all_models(folder: Path, form: Format) -> None:
    text = render(tables_of(load_replies([Results(folder)])), form)
    assert all(name in text for name in (AGENT, "control:random"))
    assert text.endswith("\n")
    assert text == surrobench("replies", folder, "--format", form).out


def test_exact_shares_are_in_csv_and_json(folder: Path) -> None:
    sheets = tables_of(load_replies([Results(folder)]))
    rows = [row for row in csv.DictReader(io.StringIO(render(sheets, "csv"))) if row["model"] == "m"]
    assert [row["sheet"] for row in rows] == ["proposals", "trials", "repairs", "cost"]
    proposals, spent, repairs, cost = rows
    assert [kind for kind in REPAIRS if repairs.get(kind)] == ["json", "snapped", "dropped"]
    assert float(repairs["dropped"]) == pytest.approx(1 / 7)
    assert float(proposals["valid"]) == pytest.approx(2 / 7)
    assert (float(proposals["truncated"]), proposals["answers"]) == (0.0, "7")
    assert float(spent["wasted"]) == pytest.approx(4 / 7)
    assert float(cost["calls_per_trial"]) == 1
    document = json.loads(render(sheets, "json"))
    control = document["cost"]["rows"][1]
    assert (control["calls_per_trial"], control["latency"]) == (0.0, None)


def test_configurations_that_stand_in_the_reasoning_alone_are_said(tmp_path: Path) -> None:
    def behaviour(body: dict[str, Any]) -> Behaviour:
        message = {"content": "", "reasoning": json.dumps(configuration(body))}
        return raw({"choices": [{"message": message, "finish_reason": "stop"}]})

    with FaultyServer(behaviour) as server:
        run(suite_text(MLP, models={"m": server.url}, trials=3, seeds=1), tmp_path / "r", jobs=1)
    assert of(load_replies([Results(tmp_path / "r")]), "m").in_reasoning == 2
    note = "although there was a configuration in what the server calls the model's reasoning"
    assert f"2 trials were wasted {note}" in " ".join(surrobench("replies", tmp_path / "r").out.split())


def test_a_terminal_shows_what_occurred_and_leaves_out_what_did_not(folder: Path) -> None:
    done = surrobench("replies", folder)
    assert (done.status, done.err) == (0, "")
    row = re.findall(r"^ m, full .*", done.out, re.MULTILINE)[0].split()
    assert row[:4] == ["m,", "full", "7", "28.6%"]
    assert "truncated" not in done.out
    assert "unparsable" in done.out


def test_other_purposes_stand_apart() -> None:
    asked = {"propose": Counter(valid=3), "predict": Counter({"valid": 6, "unparsable": 2})}
    one = Replies("llambo", "m", "full", 1, 1, 0, asked, 3, 3, 0, 0, 0, 11, 100, 10, 1.0)
    two = Replies("agent", "m", "full", 1, 1, 0, {"propose": Counter(valid=1)}, 1, 1, 0, 0, 0, 1, 10, 1, 1.0)
    proposals, questions, spent, cost = tables_of([one, two])
    assert (len(proposals.rows), len(spent.rows), len(cost.rows)) == (2, 2, 2)
    [row] = questions.rows
    shown = {column.key: cell.value for column, cell in zip(questions.columns, row, strict=True)}
    assert shown == {
        "method": "llambo", "model": "m", "variant": "full", "purpose": "predict",
        "answers": 8, "valid": 0.75, "unparsable": 0.25,
    }  # fmt: skip


def test_results_of_before_verdicts_were_counted_say_so(folder: Path, tmp_path: Path) -> None:
    old = as_version_3(folder, tmp_path / "old")
    mine = of(load_replies([Results(old)]), "m")
    assert (mine.answers, mine.unrecorded, mine.runs) == ({}, 1, 1)
    assert (mine.trials, mine.wasted, mine.repaired, mine.calls) == (7, 4, 1, 7)
    assert mine.variant == "full"
    done = surrobench("replies", old)
    assert "not recorded" in done.out
    assert "in 1 of 2 runs nobody counted what answers came to" in " ".join(done.out.split())


def test_unfinished_runs_are_counted_and_left_out(folder: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    as_version_3(folder, half, keep=lambda run: run["model"] == "m")
    found = load_replies([Results(half)])
    assert [(one.model, one.planned, one.runs) for one in found] == [("m", 1, 1), ("control:random", 1, 0)]
    assert of(found, "control:random").trials == 0
    assert "1 runs are not finished" in surrobench("replies", half).out


def test_a_study_without_a_model_is_one_line(tmp_path: Path) -> None:
    run(suite_text(MLP), tmp_path / "r", jobs=1)
    with pytest.raises(ResultsError, match="No method here asks a language model"):
        load_replies([Results(tmp_path / "r")])
    assert surrobench("replies", tmp_path / "r").status == 1


def test_a_part_is_chosen_by_pattern(folder: Path) -> None:
    found = load_replies([Results(folder)], RunFilter(models=["control:*"]))
    assert [one.model for one in found] == ["control:random"]
    done = surrobench("replies", folder, "--model", "control:rnd")
    assert done.status == 2
    assert "Did you mean 'control:random'?" in done.error
