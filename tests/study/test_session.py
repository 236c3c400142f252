import errno
import gc
import gzip
import json
import os
import re
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from surrobench.errors import ResultsError, UsageError
from surrobench.execution.process_pool import InlineExecutor, process_pool
from surrobench.llm import prompts
from surrobench.llm.client import Client
from surrobench.llm.journal import Journal
from surrobench.llm.journal_lines import encode
from surrobench.llm.prompts import TEXT_RULES
from surrobench.report.data.study_data import load_study
from surrobench.results.folder import Results
from surrobench.study import earlier_runs
from surrobench.study import session as study
from surrobench.study.options import Options
from surrobench.study.progress import Status
from surrobench.suite.loading import parse_suite
from tests.llm.faulty_server import FaultyServer, capable, drop, error, hang, ok, rubbish, too_long, truncated
from tests.llm.templates import forget_templates
from tests.studies import (
    AGENT,
    FCN,
    MLP,
    NAS,
    answer,
    asked,
    configuration,
    edit_manifest,
    edit_parquet,
    files,
    journalled,
    run,
    suite_text,
    surrobench,
    trials,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A hundredth of the client's pauses between tries, and no process for ``jobs=1`` beside a model."""
    monkeypatch.setattr(Client.__init__, "__kwdefaults__", {"backoff": 0.005})
    monkeypatch.setattr(
        study, "process_pool", lambda jobs: InlineExecutor() if jobs == 1 else process_pool(jobs)
    )


@pytest.fixture
def executed(monkeypatch):
    """Ids of the runs that were executed without a model, in order."""
    ids = []

    def execute(runs, *args, **options):
        ids.extend(run.id for run in runs)
        return original(runs, *args, **options)

    original = study.execute
    monkeypatch.setattr(study, "execute", execute)
    return ids


class Model:
    """A model whose server can fall ill: by default every request is answered, always in the same way.

    Attributes:
        fault: how it behaves once ``healthy`` requests were answered; None: it is well.
        only: which requests are treated so; by default all.
    """

    def __init__(self):
        self.fault = None
        self.healthy = 0
        self.only = lambda body: True
        self.answered = []
        self._lock = threading.Lock()

    def __call__(self, body):
        with self._lock:
            if self.fault and self.only(body) and len(self.answered) >= self.healthy:
                return self.fault
            self.answered.append(asked(body))
            return answer(body)

    def probed(self, body):
        """A server that fell ill answers no probe; one that refuses some requests only does."""
        ill = self.fault and self.fault.status != 400 and len(self.answered) >= self.healthy
        return self.fault if ill else capable(body)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def server(model):
    with FaultyServer(model, probed=model.probed) as running:
        yield running


def agent_rows(folder):
    return trials(folder).filter(pl.col("optimizer") == AGENT)


def finished(folder):
    """Method -> how many of its runs are recorded as finished."""
    return Counter(record.run.method for record in Results(folder).records().values())


# ---------------------------------------------------------------------- the same whatever the number of jobs


def test_one_process_and_two_write_identical_files(tmp_path):
    text = suite_text(MLP, NAS, FCN, methods=["random", "grid", "sobol", "tpe", "cma-es"], trials=14)
    one = run(text, tmp_path / "one", jobs=1)
    two = run(text, tmp_path / "two", jobs=2)
    assert one.states == two.states == {"ok": 30}
    assert one.trials == two.trials == 30 * 14
    assert len(files(tmp_path / "one")) == 3
    assert files(tmp_path / "one") == files(tmp_path / "two")
    plans = [(tmp_path / folder / "plan.parquet").read_bytes() for folder in ("one", "two")]
    assert plans[0] == plans[1]


@pytest.mark.parametrize("how", ["was killed by SIGKILL, as the system"])
def test_a_worker_that_dies_ends_the_study_with_one_line_and_it_goes_on(tmp_path, monkeypatch, caplog, how):
    text = suite_text(methods=["random", "tpe", "sobol"])
    with monkeypatch.context() as patch:
        patch.setattr(study, "execute", kill_this_worker if "killed" in how else end_this_worker)
        with pytest.raises(ResultsError, match=rf"^A worker process {how}.*fewer --jobs"):
            run(text, tmp_path, jobs=2)
    gc.collect()
    assert not [r for r in caplog.records if r.name == "asyncio"]  # it logs exceptions that nobody asked for
    assert run(text, tmp_path).states == {"ok": 6}


def test_a_worker_that_dies_does_not_stop_runs_with_a_model(tmp_path, monkeypatch, server):
    text = suite_text(methods=["random", "sobol"], models={"m": server.url}, trials=6)
    said = []
    with monkeypatch.context() as patch:
        patch.setattr(study, "execute", kill_this_worker)
        with pytest.raises(ResultsError, match=r"^A worker process was killed.*fewer --jobs"):
            study.run_study(parse_suite(text), text, Options(tmp_path, jobs=2), Status(note=said.append))
    assert finished(tmp_path) == {AGENT: 2}
    assert [line for line in said if line.endswith(" Runs with a model go on.")] == said
    assert len(said) == 1
    calls = len(server.bodies)
    assert run(text, tmp_path).states == {"ok": 4}
    assert len(server.bodies) == calls


def end_this_worker(runs, *args, **options):
    os._exit(9)


def kill_this_worker(runs, *args, **options):
    os.kill(os.getpid(), signal.SIGKILL)


# ---------------------------------------------------------------------- resuming and editing


def test_a_finished_study_executes_nothing_and_stays_as_it_is(tmp_path, executed):
    text = suite_text(MLP, NAS, methods=["random", "tpe"])
    run(text, tmp_path)
    assert len(executed) == len(set(executed)) == 8
    before = files(tmp_path)
    again = run(text, tmp_path)
    assert len(executed) == 8
    assert (again.total, again.finished_before, again.trials) == (8, 8, 0)
    assert again.complete
    assert files(tmp_path) == before
    assert len(Results(tmp_path).manifest["sessions"]) == 2


def test_more_seeds_and_another_method_only_add(tmp_path, executed):
    run(suite_text(methods=["random"], seeds=1), tmp_path)
    before = set(executed)
    run(suite_text(methods=["random"], seeds=3), tmp_path)
    assert len(executed) == len(set(executed)) == 3
    run(suite_text(methods=["random", "tpe"], seeds=3), tmp_path)
    assert len(executed) == len(set(executed)) == 6
    assert before < Results(tmp_path).records().keys() == set(executed)

    run(suite_text(methods=["random", "tpe"], seeds=3), tmp_path.parent / "at-once")
    assert files(tmp_path) == files(tmp_path.parent / "at-once")


def test_a_larger_budget_extends_every_run_and_asks_the_model_only_for_the_rest(tmp_path, server):
    text = suite_text(methods=["random", "tpe"], models={"m": server.url}, trials=3)
    run(text, tmp_path)
    before, calls = trials(tmp_path), len(server.bodies)
    assert calls == 2 * 2

    summary = run(text.replace("trials = 3", "trials = 5"), tmp_path)
    assert summary.finished_before == 0
    after = trials(tmp_path)
    assert after.group_by("run").len()["len"].unique().to_list() == [5]
    assert after.filter(pl.col("trial") < 3).equals(before)
    assert len(server.bodies) == calls + 2 * 2
    assert len(set(map(asked, server.bodies))) == len(server.bodies)

    smaller = run(text, tmp_path)  # and a smaller one takes nothing away
    assert smaller.finished_before == smaller.total == 6
    assert trials(tmp_path).equals(after)
    assert load_study(Results(tmp_path)).incumbents["score"].null_count() == 0


def test_a_removed_method_is_counted_as_unnamed_and_left_out_of_the_ranking(tmp_path, executed):
    both = suite_text(methods=["random", "tpe"])
    run(both, tmp_path)
    without = run(suite_text(methods=["random"]), tmp_path)
    assert (without.unnamed, without.finished_before, len(executed)) == (2, 2, 4)
    assert load_study(Results(tmp_path)).incumbents["method"].unique().to_list() == ["random"]
    shown = surrobench("status", tmp_path)
    assert "The folder holds 2 further runs that the suite does not name" in shown.out

    back = run(both, tmp_path)
    assert (back.unnamed, back.finished_before, len(executed)) == (0, 4, 4)
    assert set(load_study(Results(tmp_path)).incumbents["method"]) == {"random", "tpe"}


# ---------------------------------------------------------------------- a model that answers badly

OUT_OF_RANGE = {"alpha": 1e9, "batch_size": 16, "depth": 1, "learning_rate_init": 0.001, "width": 16}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (ok("I would rather talk about cats."), "unparsable: "),
        (ok(""), "unparsable: "),
        (ok(None), "unparsable: "),
        (ok(json.dumps(OUT_OF_RANGE)), "out-of-range: alpha = "),
        (ok(json.dumps(OUT_OF_RANGE | {"alpha": float("nan")})), "unparsable: "),
        (ok(json.dumps(OUT_OF_RANGE | {"alpha": [[]]})), "out-of-range: "),
        (ok('{"temperature": 1}'), "unknown-name: 'temperature' is no hyperparameter"),
        (ok('{"width": 16}'), "missing: "),
        (truncated('{"width": 16, "dep'), "truncated: "),
        (ok(r'{"[/red]\ud800\u001b[2J": 1}' + "\x1b[2J[/blue]\ud800"), "unknown-name: '[/red]"),
    ],
    ids=[
        "chatter",
        "empty",
        "no-content",
        "out-of-range",
        "nan",
        "list",
        "unknown",
        "missing",
        "truncated",
        "hostile",
    ],
)
def test_an_invalid_reply_costs_a_trial_and_is_never_replaced(tmp_path, reply, reason):
    with FaultyServer([reply]) as server:
        summary = run(
            suite_text(methods=["random", "tpe"], models={"m": server.url}, seeds=1, trials=3), tmp_path
        )
    assert summary.complete
    assert finished(tmp_path) == {"random": 1, "tpe": 1, AGENT: 1}
    rows = agent_rows(tmp_path)
    assert rows["status"].to_list() == ["ok", "invalid", "invalid"]
    assert rows["source"].to_list() == ["initial", "llm", "llm"]
    assert rows["error"][0] is None
    assert [message[: len(reason)] for message in rows["error"][1:]] == [reason] * 2
    assert rows["value"].is_null().to_list() == [False, True, True]
    assert trials(tmp_path, "hpobench/mlp").filter(pl.col("status") == "invalid")[
        "config.width"
    ].to_list() == [
        None,
        None,
    ]
    [entries] = [Journal(tmp_path / "journal.jsonl").of_run(run_id) for run_id in rows["run"].unique()]
    assert len(entries) == 2  # the raw text is kept
    shown = surrobench("show", f"{AGENT}:{MLP}:0", "--results", tmp_path, "--prompts")
    assert (shown.status, shown.err) == (0, "")
    assert "\x1b" not in shown.out


def test_a_legal_value_off_the_grid_is_a_repair_not_an_error(tmp_path):
    def between(body):
        return ok(json.dumps(configuration(body) | {"alpha": 0.0123}))

    with FaultyServer(between) as server:
        run(suite_text(models={"m": server.url}, seeds=1, trials=3), tmp_path)
    assert agent_rows(tmp_path)["status"].to_list() == ["ok"] * 3
    assert agent_rows(tmp_path)["repairs"].to_list() == [None, "snapped:alpha", "snapped:alpha"]


# ---------------------------------------------------------------------- a server that is ill for a while


@pytest.mark.parametrize("fault", [error(500), error(503), error(408), rubbish(), drop()])
def test_a_fault_that_mends_itself_leaves_no_trace_in_the_results(tmp_path, fault, server):
    answers = []

    def flaky(body):
        answers.append(asked(body))
        return answer(body) if answers.count(asked(body)) % 3 == 0 else fault

    with FaultyServer(flaky) as ill:
        summary = run(
            suite_text(models={"m": ill.url}, seeds=2, trials=3, model="retries = 2"), tmp_path / "ill"
        )
        assert len(ill.bodies) == 3 * 4
    run(suite_text(models={"m": server.url}, seeds=2, trials=3), tmp_path / "well")
    assert summary.complete
    ill, well = (trials(tmp_path / name, "hpobench/mlp").drop("latency") for name in ("ill", "well"))
    assert ill.equals(well)
    assert set(ill["source"]) == {"initial", "llm", "random"}


# ---------------------------------------------------------------------- a server that dies for good


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (error(500, "out of memory"), "last: status 500: out of memory"),
        (rubbish(), "last: not a chat completion: no JSON: '<html>"),
        (drop(), "last: RemoteProtocolError"),
        (hang(), "last: no whole answer within 0.7 seconds"),
    ],
    ids=["500", "rubbish", "drop", "hang"],
)
def test_a_dead_server_parks_its_runs_and_the_same_command_completes_them(
    tmp_path, fault, reason, model, server
):
    timeout = 0.7 if fault.hang else 30
    text = suite_text(
        MLP,
        NAS,
        methods=["random", "tpe"],
        models={"m": server.url},
        seeds=2,
        trials=4,
        model=f"retries = 1\ntimeout = {timeout}",
    )
    suite = tmp_path / "tiny.toml"
    suite.write_text(text)
    command = ("run", suite, "--jobs", 1, "--out", tmp_path / "r")
    model.fault, model.healthy = fault, 6
    parked = surrobench(*command)

    assert parked.status == 1
    assert "Traceback" not in parked.err
    lines = parked.err.splitlines()
    assert lines[-1] == f"Resume with: surrobench run {suite} --jobs 1 --out {tmp_path / 'r'}"
    assert "12 runs: 0 were finished before, now 8 ok, 4 parked." in parked.err
    [why] = [line for line in lines if line.startswith("Not finished: ")]
    assert re.match(
        rf"Not finished: {AGENT} \(m\) on ({MLP}|{NAS}), seed [01] \([0-9a-f]{{16}}\) and 3 more: ", why
    )
    assert ": No answer from " in why
    assert f" after 2 tries ({reason}" in why
    assert why.endswith("Start the server and repeat the command; it resumes where it stopped.")
    assert finished(tmp_path / "r") == {"random": 4, "tpe": 4}
    on_disk = journalled(tmp_path / "r" / "journal.jsonl")
    assert on_disk == set(model.answered)
    assert len(on_disk) == 6
    states = surrobench("status", tmp_path / "r").out
    assert "half-finished" in states

    model.fault = None
    before = len(server.bodies)
    resumed = surrobench(*command)
    assert resumed.status == 0, resumed.err
    assert "12 runs: 8 were finished before, now 4 ok." in resumed.err
    anew = list(map(asked, server.bodies[before:]))
    assert len(anew) == 4 * 3 - 6
    assert not on_disk & set(anew)
    assert journalled(tmp_path / "r" / "journal.jsonl") == on_disk | set(anew)
    assert set(agent_rows(tmp_path / "r")["source"]) == {"initial", "llm"}

    run(text, tmp_path / "never-ill")
    never_ill, resumed = (trials(tmp_path / name).drop("latency") for name in ("never-ill", "r"))
    assert resumed.equals(never_ill)


def test_a_dead_model_leaves_the_runs_of_another_untouched(tmp_path, model, server):
    with FaultyServer([error(503)]) as dead:
        summary = run(
            suite_text(methods=["random"], models={"dead": dead.url, "well": server.url}, trials=4), tmp_path
        )
    assert summary.states == {"ok": 4, "parked": 2}
    assert {r.run.model for r in Results(tmp_path).records().values()} == {None, "well"}
    assert [run.model for runs in summary.problems.values() for run in runs] == ["dead", "dead"]
    assert len(model.answered) == 2 * 3
    assert agent_rows(tmp_path)["status"].to_list() == ["ok"] * 8


def one_of_two(body):
    return error(500) if "learning_rate" in body["messages"][0]["content"] else answer(body, delay=1.0)


def test_a_prompt_that_always_fails_parks_its_run_alone(tmp_path):
    with FaultyServer(one_of_two) as server:
        text = suite_text(MLP, NAS, models={"m": server.url}, seeds=1, model="retries = 0")
        for states in ({"ok": 3, "parked": 1}, {"parked": 1}):
            summary = run(text, tmp_path)
            assert summary.states == states
            [problem] = summary.problems
            assert "answers, but not this request after 1 tries (last: status 500" in problem


def test_a_server_that_was_given_up_is_not_asked_again(tmp_path):
    healthy = [True]

    def probed(body):
        return capable(body) if healthy.pop() else error(500)

    def falls_ill(body):
        healthy[:] = [False]
        return one_of_two(body)

    with FaultyServer(falls_ill, probed) as server:
        text = suite_text(MLP, NAS, models={"m": server.url}, seeds=1, model="retries = 0")
        assert run(text, tmp_path).states == {"ok": 2, "parked": 2}
        assert len(server.bodies) == 2
    assert journalled(tmp_path / "journal.jsonl") < set(map(asked, server.bodies))  # the late answer is kept


def test_a_request_the_server_refuses_fails_that_run_alone_and_can_be_repeated(tmp_path, model, server):
    suite = tmp_path / "tiny.toml"
    suite.write_text(suite_text(MLP, NAS, models={"m": server.url}, seeds=1))
    model.fault = too_long()
    model.only = lambda body: "learning_rate" in body["messages"][0]["content"]
    failed = surrobench("run", suite, "--jobs", 1, "--out", tmp_path / "r")
    assert failed.status == 1
    assert failed.err.endswith(f"--out {tmp_path / 'r'} --retry-failed\n")
    assert "exceeds the available context size" in failed.err
    [record] = [r for r in Results(tmp_path / "r").records().values() if r.state == "failed"]
    assert (record.run.method, record.run.benchmark, record.trials) == (AGENT, MLP, 1)
    assert "exceeds the available context size" in surrobench("status", tmp_path / "r").out
    asked_for = len(server.bodies)
    assert surrobench("run", suite, "--replay", tmp_path / "r", "--out", tmp_path / "again").status == 1
    assert len(server.bodies) == asked_for
    assert files(tmp_path / "again") == files(tmp_path / "r")

    model.fault = None
    before = len(server.bodies)
    again = surrobench("run", suite, "--jobs", 1, "--out", tmp_path / "r")
    assert again.status == 1  # a failure is a result, repeated only on request
    assert "1 more" not in again.err
    assert len(server.bodies) == before
    repeated = surrobench("run", suite, "--jobs", 1, "--out", tmp_path / "r", "--retry-failed")
    assert repeated.status == 0
    assert len(server.bodies) == before + 3
    assert {r.state for r in Results(tmp_path / "r").records().values()} == {"ok"}


# ---------------------------------------------------------------------- replaying


@pytest.fixture
def recording(tmp_path, server):
    """A finished study with a model, in the folder ``live``; its text."""
    text = suite_text(
        MLP, NAS, methods=["random", "tpe"], models={"m": server.url}, seeds=2, head='invalid = "retry:1"'
    )
    run(text, tmp_path / "live")
    return text


def test_a_recording_replays_without_a_server_byte_for_byte(tmp_path, recording, server):
    calls = len(server.bodies)
    live = tmp_path / "live"
    whole = run(recording, tmp_path / "a", replay=live)
    again = run(recording, tmp_path / "b", replay=live)
    bare = run(recording, tmp_path / "c", replay=live / "journal.jsonl", jobs=2)
    copy = run(recording, tmp_path / "d", replay=tmp_path / "a")
    assert [s.states for s in (whole, again, bare, copy)] == [{"ok": 12}] * 4
    assert len(server.bodies) == calls
    for name in "abcd":
        assert files(tmp_path / name) == files(live), name
        assert Journal(tmp_path / name / "journal.jsonl").runs() == Journal(live / "journal.jsonl").runs()


def test_a_compressed_journal_is_a_recording_too(tmp_path, recording):
    packed = tmp_path / "journal.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "live" / "journal.jsonl").read_bytes()))
    assert run(recording, tmp_path / "r", replay=packed).complete
    assert files(tmp_path / "r") == files(tmp_path / "live")
    assert len(Journal(tmp_path / "r" / "journal.jsonl")) == len(Journal(tmp_path / "live" / "journal.jsonl"))


def test_a_study_keeps_the_rules_of_writing_and_reading_that_it_was_begun_with(tmp_path, server, monkeypatch):
    text = suite_text(MLP, methods=["random"], models={"m": server.url}, seeds=1)
    with monkeypatch.context() as before:
        before.setattr(earlier_runs, "text_rules_of", lambda folder: 1)
        run(text, tmp_path / "old")
    edit_manifest(tmp_path / "old", lambda manifest: manifest.pop("text_rules"))

    calls = len(server.bodies)
    shutil.copy(tmp_path / "old" / "journal.jsonl", tmp_path)
    for name, recording in (("a", tmp_path / "old"), ("b", tmp_path / "journal.jsonl")):
        assert run(text, tmp_path / name, replay=recording).states == {"ok": 2}
        assert files(tmp_path / name) == files(tmp_path / "old")
    assert len(server.bodies) == calls
    assert run(text.replace("seeds = 1", "seeds = 2"), tmp_path / "old").finished_before == 2
    rules = [record.run.text_rules for record in Results(tmp_path / "old").records().values()]
    assert rules == [1] * 4
    run(text, tmp_path / "new")
    rules = {
        record.run.model: record.run.text_rules for record in Results(tmp_path / "new").records().values()
    }
    assert rules == {None: 1, "m": TEXT_RULES}


def test_a_recording_is_never_written_to(tmp_path, recording):
    for replay in (tmp_path / "live", tmp_path / "live" / "journal.jsonl"):
        with pytest.raises(UsageError, match="is the recording itself"):
            run(recording, tmp_path / "live", replay=replay)


def test_a_replay_does_not_overwrite_a_folder_s_own_journal(tmp_path, recording, model, server):
    model.fault, model.healthy = error(500), len(model.answered) + 3
    run(recording.replace("seeds = 2", "seeds = 3"), tmp_path / "own")
    own = (tmp_path / "own" / "journal.jsonl").read_bytes()
    assert own
    with pytest.raises(ResultsError, match=r"holds completions that .* does not\. Name another folder"):
        run(recording, tmp_path / "own", replay=tmp_path / "live")
    assert (tmp_path / "own" / "journal.jsonl").read_bytes() == own


def test_an_interrupted_replay_goes_on(tmp_path, recording):
    live, out = tmp_path / "live", tmp_path / "again"
    run(recording.replace("seeds = 2", "seeds = 1"), out, replay=live)
    assert run(recording, out, replay=live).finished_before == 6
    assert files(out) == files(live)


def plant(folder, scenario, method, trial, **values):
    """Change recorded values of one trial of seed 0; the ids of the runs."""
    path = folder / "trials" / scenario / "all.parquet"
    frame = pl.read_parquet(path)
    here = (pl.col("optimizer") == method) & (pl.col("seed") == 0) & (pl.col("trial") == trial)
    changed = frame.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )
    edit_parquet(path, lambda before: changed)
    return frame.filter(here)["run"].to_list()


def test_reevaluating_a_recording_confirms_every_value(tmp_path, recording):
    assert run(recording, tmp_path / "r", replay=tmp_path / "live", reevaluate=True).complete
    assert files(tmp_path / "r") == files(tmp_path / "live")


@pytest.mark.parametrize("method", [AGENT, "tpe"])
def test_a_planted_value_is_served_by_a_replay_and_found_by_reevaluating(tmp_path, recording, method):
    live = tmp_path / "live"
    planted = {"value": 0.123, "objective.val_balanced_accuracy": 0.123}
    [run_id] = plant(live, "hpobench.mlp", method, 3, **planted)

    run(recording, tmp_path / "served", replay=live)
    served = trials(tmp_path / "served").filter((pl.col("run") == run_id) & (pl.col("trial") == 3))
    assert served["value"].to_list() == [0.123]

    suite = tmp_path / "tiny.toml"
    suite.write_text(recording)
    found = surrobench(
        "run", suite, "--jobs", 1, "--out", tmp_path / "found", "--replay", live, "--reevaluate"
    )
    assert found.status == 1
    why = f"Run {run_id} diverged at trial 3: the benchmark gives another value than was recorded."
    assert why in found.err
    assert "now 11 ok, 1 parked" in found.err
    assert "Resume with" not in found.err  # it would diverge again
    assert run_id not in Results(tmp_path / "found").records()


def test_a_value_that_changes_the_prompt_diverges_at_the_call_that_shows_it(tmp_path, recording):
    live = tmp_path / "live"
    [run_id] = plant(live, "hpobench.mlp", AGENT, 1, **{"objective.val_balanced_accuracy": 0.123})
    summary = run(recording, tmp_path / "r", replay=live)
    assert [f"Run {run_id} diverged at call 1: " in reason for reason in summary.problems] == [True]
    assert summary.states == {"ok": 11, "parked": 1}


def edit_request(path, run_id, call):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    edited = [line for line in lines if (line.get("run"), line.get("call")) == (run_id, call)]
    assert len(edited) == 1
    edited[0]["request"] = "0" * 16
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_an_edited_journal_diverges_instead_of_asking_or_serving(tmp_path, recording, server):
    calls = len(server.bodies)
    run_id = agent_rows(tmp_path / "live")["run"][0]
    shutil.copy(tmp_path / "live" / "journal.jsonl", tmp_path / "edited.jsonl")
    edit_request(tmp_path / "edited.jsonl", run_id, 1)
    summary = run(recording, tmp_path / "r", replay=tmp_path / "edited.jsonl")
    assert summary.states == {"ok": 11, "parked": 1}
    [(reason, [run_])] = summary.problems.items()
    assert run_.id == run_id
    assert reason.startswith(f"Run {run_id} diverged at call 1: its request is not the recorded one.")
    assert len(server.bodies) == calls


def test_resuming_from_an_edited_journal_asks_nothing_for_that_run(tmp_path, model, server):
    text = suite_text(models={"m": server.url}, seeds=2, trials=4)
    model.fault, model.healthy = error(500), 4
    run(text, tmp_path)
    journal = tmp_path / "journal.jsonl"
    half = [run_id for run_id in Journal(journal).runs() if len(Journal(journal).of_run(run_id)) >= 1]
    edit_request(journal, half[0], 0)
    model.fault = None
    before = len(server.bodies)
    summary = run(text, tmp_path)
    assert summary.states == {"ok": 1, "parked": 1}
    assert next(iter(summary.problems)).startswith(f"Run {half[0]} diverged at call 0: ")
    assert len(Journal(journal).of_run(half[0])) + len(server.bodies) - before <= 2 * 3
    assert half[0] not in Results(tmp_path).records()
    assert {asked(body) for body in server.bodies[before:]}.isdisjoint(model.answered[:4])


def other_sampling(text, monkeypatch, folder):
    return text + "sampling = { temperature = 0.1 }\n"


def other_prompts(text, monkeypatch, folder):
    shutil.copytree(prompts.data_dir("prompts"), folder / "prompts")
    head = folder / "prompts" / AGENT / "head.jinja"
    head.write_text(f"Be brief.\n{head.read_text()}")
    monkeypatch.setattr(prompts, "data_dir", lambda name: folder / name)
    forget_templates()
    return text


@pytest.fixture
def fresh_prompts():
    yield
    forget_templates()


@pytest.mark.parametrize("change", [other_sampling, other_prompts])
def test_a_replay_under_another_prompt_or_sampling_is_refused(
    tmp_path, recording, change, server, monkeypatch, fresh_prompts
):
    calls = len(server.bodies)
    changed = change(recording, monkeypatch, tmp_path)
    summary = run(changed, tmp_path / "r", replay=tmp_path / "live")
    assert summary.states == {"ok": 8, "parked": 4}
    assert all(
        "The recording has no answer for call 0 of run" in reason and "leave out --replay" in reason
        for reason in summary.problems
    )
    assert len(server.bodies) == calls
    assert finished(tmp_path / "r") == {"random": 4, "tpe": 4}


def test_a_replay_of_what_is_no_recording_is_one_clear_line(tmp_path, recording):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match="empty holds no recording"):
        run(recording, tmp_path / "r", replay=tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("remember the milk\n")
    with pytest.raises(ResultsError, match=r"notes\.txt is damaged at line 1"):
        run(recording, tmp_path / "r", replay=tmp_path / "notes.txt")


# ---------------------------------------------------------------------- other library versions


@pytest.fixture
def half_finished(tmp_path, model, server):
    """A study parked half-way whose journal says that another Optuna began it; its text and folder."""
    text = suite_text(models={"m": server.url}, seeds=3, trials=4)
    model.fault, model.healthy = error(500), 5
    run(text, tmp_path / "r")
    journal = tmp_path / "r" / "journal.jsonl"
    lines = journal.read_text().splitlines()
    versions = json.loads(lines[0])
    versions["versions"]["optuna"] = "0.0.1"
    journal.write_text("\n".join([json.dumps(versions), *lines[1:]]) + "\n")
    model.fault = None
    return text, tmp_path / "r"


def test_runs_begun_under_other_versions_are_not_resumed(half_finished, server):
    text, folder = half_finished
    begun = len(Journal(folder / "journal.jsonl").runs())
    before, calls = (folder / "journal.jsonl").read_bytes(), len(server.bodies)
    with pytest.raises(ResultsError) as refused:
        run(text, folder)
    assert str(refused.value).startswith(
        f"{begun} half-finished runs were begun under other versions (optuna 0.0.1 -> "
    )
    assert "Install those again, or start these runs anew with --discard-unfinished." in str(refused.value)
    assert (folder / "journal.jsonl").read_bytes() == before
    assert len(server.bodies) == calls


@pytest.mark.parametrize("torn", [b"", b'{"run":"torn by a ki'])
def test_unfinished_runs_can_be_discarded_and_are_kept_in_a_copy(half_finished, server, torn):
    text, folder = half_finished
    journal = folder / "journal.jsonl"
    # A reply may hold what Python, but not JSON, takes for the end of a line.
    data = b"".join(
        encode({**line, "text": f"\u2028\x85{line['text']}"} if "text" in line else line)
        for line in map(json.loads, journal.read_bytes().splitlines())
    )
    assert "\u2028".encode() in data
    journal.write_bytes(data + torn)
    discarded = Journal(journal).runs()
    before = len(server.bodies)
    assert run(text, folder, discard_unfinished=True).complete
    assert len(server.bodies) - before == 3 * 3
    [copy] = folder.glob("journal.*.bak")
    assert copy.read_bytes() == data + torn
    assert Journal(journal).runs() >= discarded
    assert len(Journal(journal)) == 3 * 3


def test_finished_runs_stay_when_unfinished_ones_are_discarded(half_finished, model, server):
    text, folder = half_finished
    run(text, folder, discard_unfinished=True)
    kept = {run_id: len(Journal(folder / "journal.jsonl").of_run(run_id)) for run_id in finished_ids(folder)}
    journal = folder / "journal.jsonl"
    journal.write_text(
        journal.read_text() + json.dumps({"versions": {"python": "2.7"}}) + "\n"
    )  # the last session was under others
    calls = len(server.bodies)
    assert run(text, folder).finished_before == 6  # nothing half-finished: nothing to refuse
    assert len(server.bodies) == calls
    assert {r: len(Journal(journal).of_run(r)) for r in finished_ids(folder)} == kept


def finished_ids(folder):
    return [r.run.id for r in Results(folder).records().values() if r.run.model]


# ---------------------------------------------------------------------- a full disk


def heard_by_now(server):
    """How many requests reached the server, those included that were cancelled on their way."""
    heard = -1
    while heard != len(server.bodies):
        heard = len(server.bodies)
        time.sleep(0.5)
    return heard


def test_a_full_disk_while_journalling_stops_the_study_with_one_line(tmp_path, model, server, monkeypatch):
    suite = tmp_path / "tiny.toml"
    suite.write_text(suite_text(MLP, NAS, models={"m": server.url}, seeds=2))
    command = ("run", suite, "--jobs", 1, "--out", tmp_path / "r")
    fsync, written = os.fsync, []

    def fills_up(file):
        if Path(f"/proc/self/fd/{file}").resolve().name == "journal.jsonl":
            written.append(file)
            if len(written) > 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fills_up)
        full = surrobench(*command)
    assert full.status == 1
    assert full.error == (
        f"Error: {tmp_path / 'r' / 'journal.jsonl'} cannot be written: No space left on device. "
        "Free some space and repeat the command.\n"
    )
    on_disk = journalled(tmp_path / "r" / "journal.jsonl")
    before = heard_by_now(server)
    done = surrobench(*command)
    assert done.status == 0, done.err
    assert not on_disk & set(map(asked, server.bodies[before:]))
    assert len(on_disk) + len(server.bodies) - before == 4 * 3
