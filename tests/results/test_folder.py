import errno
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from surrobench.benchmarks.registry import benchmark, scenario
from surrobench.engine.loop import drive
from surrobench.errors import ResultsError
from surrobench.llm.journal import Journal
from surrobench.llm.journalled_model import JournalledModel
from surrobench.llm.models import ModelSpec
from surrobench.llm.scripted import ScriptedClient
from surrobench.plan.planning import plan
from surrobench.report.data.load import joint_plan, usable_runs
from surrobench.report.data.study_data import load_study
from surrobench.results import files as results_files
from surrobench.results.files import locked
from surrobench.results.folder import Results
from surrobench.results.manifest import make_manifest
from surrobench.results.recordings import read_recordings
from surrobench.results.schema import SCHEMA_VERSION
from surrobench.results.writing import MERGED
from surrobench.suite.loading import parse_suite
from tests.studies import FCN, MLP, NAS, edit_manifest, edit_parquet, files, run, suite_text, trials

COMMON = {
    "run": pl.String,
    "benchmark": pl.String,
    "optimizer": pl.String,
    "llm": pl.String,
    "variant": pl.String,
    "seed": pl.UInt32,
    "trial": pl.UInt32,
    "source": pl.String,
    "status": pl.String,
    "duplicate": pl.Boolean,
    "repairs": pl.String,
    "reply": pl.String,
    "error": pl.String,
    "value": pl.Float64,
    "score": pl.Float64,
    "cost": pl.Float64,
    "share": pl.Float64,
    "finished": pl.Float64,
    "overhead": pl.Float64,
    "proposal": pl.UInt32,
    "calls": pl.UInt32,
    "tokens_in": pl.UInt32,
    "tokens_out": pl.UInt32,
    "latency": pl.Float64,
}
OWN = {
    MLP: {
        "objective.val_balanced_accuracy": pl.Float64,
        "config.alpha": pl.Float64,
        "config.batch_size": pl.Int64,
    },
    FCN: {"config.activation_fn_1": pl.String, "config.batch_size": pl.Int64, "config.dropout_1": pl.Float64},
    NAS: {"objective.val_accuracy": pl.Float64, "config.Op0": pl.String},
}
TEXT = suite_text(MLP, NAS, FCN, methods=("random", "tpe"), trials=5)


@pytest.fixture(scope="module")
def outcomes():
    """Twelve finished runs on three tables."""
    done = []
    drive(plan(parse_suite(TEXT)), done.append)
    return done


def create(folder, text=TEXT):
    suite = parse_suite(text)
    return Results.create(folder, make_manifest(plan(suite), text), plan(suite))


def scripted(tmp_path, script, *, benchmarks=(NAS,), n=4, invalid="waste"):
    """The outcomes of agents whose model is a function; no initial design, so every trial is the model's."""
    head = f'initial = "none"\ncontrol = "karpathy-agent"\ninvalid = "{invalid}"'
    text = suite_text(
        *benchmarks, methods=(), models={"m": "http://model.invalid/v1"}, trials=n, seeds=1, head=head
    )
    spec = ModelSpec(url="http://model.invalid/v1", model="m-1")
    journal = Journal(tmp_path / "scripted.jsonl", versions={})
    done = []
    drive(
        plan(parse_suite(text)),
        done.append,
        models={"m": JournalledModel(spec, journal, ScriptedClient(script, spec))},
    )
    journal.close()
    return text, done


# ---------------------------------------------------------------------- what is stored


@pytest.mark.parametrize("name", [MLP, NAS, FCN])
def test_what_is_written_is_read_back_with_its_types(tmp_path, outcomes, name):
    create(tmp_path / "r").write(outcomes)
    where = benchmark(name)
    frame = trials(tmp_path / "r", where.scenario.key)

    schema = dict(frame.schema)
    assert list(schema)[: len(COMMON)] == list(COMMON)
    assert {column: schema[column] for column in COMMON | OWN[name]} == COMMON | OWN[name]
    assert {column for column in schema if column.startswith("config.")} == {
        f"config.{hp}" for hp in where.space.names
    }
    assert {column for column in schema if column.startswith("objective.")} == {
        f"objective.{objective.name}" for objective in where.scenario.objectives
    }
    for outcome in (outcome for outcome in outcomes if outcome.run.benchmark == name):
        rows = frame.filter(pl.col("run") == outcome.run.id)
        assert rows["trial"].to_list() == list(range(5))
        assert rows["seed"].unique().to_list() == [outcome.run.seed]
        assert rows["optimizer"].unique().to_list() == [outcome.run.method]
        assert (
            rows["source"].to_list()
            == ["initial"] + ["random" if outcome.run.method == "random" else "tpe"] * 4
        )
        assert rows["status"].unique().to_list() == ["ok"]
        assert rows["llm"].null_count() == rows["error"].null_count() == rows["repairs"].null_count() == 5
        np.testing.assert_array_equal(rows["value"], outcome.values[:, where.scenario.target_index])
        np.testing.assert_array_equal(rows["score"], outcome.score)
        np.testing.assert_array_equal(rows["cost"], outcome.cost)
        for j, objective in enumerate(where.scenario.objectives):
            np.testing.assert_array_equal(rows[f"objective.{objective.name}"], outcome.values[:, j])
        configurations = [
            {hp: row[f"config.{hp}"] for hp in where.space.names} for row in rows.iter_rows(named=True)
        ]
        np.testing.assert_array_equal(where.space.encode(configurations), outcome.configurations)


def test_a_wasted_trial_has_nulls_and_its_reason_and_a_repaired_one_says_how(tmp_path):
    replies = iter(['{"Op0": "none"}', "no idea", '{"Op0": "none", "Op1": "none"}', "{}"])
    text, done = scripted(tmp_path, lambda messages, purpose: next(replies))
    create(tmp_path / "r", text).write(done)
    wasted = trials(tmp_path / "r", "nasbench201/cell")
    assert wasted["status"].to_list() == ["invalid"] * 4
    assert [error.split(":")[0] for error in wasted["error"]] == [
        "missing",
        "unparsable",
        "missing",
        "unparsable",
    ]
    for column in wasted.columns:
        if column.startswith(("config.", "objective.")) or column in {"value", "score"}:
            assert wasted[column].null_count() == 4, column
    assert wasted["cost"].to_list() == [0.0] * 4
    assert wasted["duplicate"].to_list() == [False] * 4
    assert wasted["calls"].to_list() == [1] * 4
    assert wasted["tokens_out"].to_list() == [2, 2, 4, 1]

    text, done = scripted(
        tmp_path / "clip", lambda messages, purpose: '{"Op0": "none", "Op9": 1}', n=2, invalid="clip"
    )
    create(tmp_path / "c", text).write(done)
    mended = trials(tmp_path / "c", "nasbench201/cell")
    assert mended["status"].to_list() == ["ok", "ok"]
    assert mended["duplicate"].to_list() == [False, True]
    assert mended["repairs"][0].split(",")[:2] == ["dropped:'Op9'", "filled:Op1"]
    assert mended["config.Op0"].to_list() == ["none", "none"]


def test_a_run_that_failed_before_its_first_trial_is_kept_and_merges_with_the_others(tmp_path, outcomes):
    failed = replace(
        next(outcome for outcome in outcomes if outcome.run.benchmark == NAS),
        state="failed",
        error="broken",
        configurations=np.empty((0, 6)),
        values=np.empty((0, 3)),
        **dict.fromkeys(("score", "cost", "share", "finished", "overhead", "proposal"), np.empty(0)),
        origins=[],
        lengths=[],
        spent=[],
        duplicate=np.zeros(0, dtype=bool),
    )
    folder = create(tmp_path / "r")
    folder.write([failed])
    others = [outcome for outcome in outcomes if outcome.run.id != failed.run.id]
    folder.write(others)
    folder.merge()
    record = Results(tmp_path / "r").records()[failed.run.id]
    assert (record.state, record.error, record.trials) == ("failed", "broken", 0)
    assert len(trials(tmp_path / "r")) == 5 * len(others)


def test_recorded_is_the_inverse_of_what_was_written(tmp_path, outcomes):
    folder = create(tmp_path / "r")
    folder.write(outcomes)
    folder.merge()
    recorded = read_recordings(Results(tmp_path / "r"), plan(parse_suite(TEXT)).scenarios)
    assert recorded.keys() == {outcome.run.id for outcome in outcomes}
    for outcome in outcomes:
        configurations, columns, *_ = recorded[outcome.run.id]
        np.testing.assert_array_equal(configurations, outcome.configurations)
        np.testing.assert_array_equal(columns.values, outcome.values)
        np.testing.assert_array_equal(columns.score, outcome.score)
        np.testing.assert_array_equal(columns.cost, outcome.cost)


def test_recorded_has_nan_where_a_trial_was_wasted(tmp_path):
    replies = iter(
        ["rubbish", json.dumps(scenario("hpobench/mlp").space.decode(first_of("hpobench/mlp"))[0])]
    )
    text, done = scripted(tmp_path, lambda messages, purpose: next(replies), benchmarks=[MLP], n=2)
    create(tmp_path / "r", text).write(done)
    configurations, columns, *_ = read_recordings(Results(tmp_path / "r"), plan(parse_suite(TEXT)).scenarios)[
        done[0].run.id
    ]
    np.testing.assert_array_equal(configurations, done[0].configurations)
    np.testing.assert_array_equal(columns.values, done[0].values)
    assert np.isnan(columns.score).tolist() == [True, False]


def first_of(key):
    return scenario(key).default()[None, :]


def test_every_file_carries_the_schema_version(tmp_path, outcomes):
    create(tmp_path / "r").write(outcomes)
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["schema_version"] == SCHEMA_VERSION
    stored = [json.loads(pl.read_parquet_metadata(path)["surrobench"]) for path in parts(tmp_path / "r")]
    assert [metadata["schema_version"] for metadata in stored] == [SCHEMA_VERSION] * 3


def parts(folder):
    return sorted(folder.glob("trials/*/*.parquet"))


# ---------------------------------------------------------------------- writing


def grouped(outcomes, grouping):
    """Outcomes in a few orders and groups, some of them written twice."""
    if grouping == "one by one":
        return [[outcome] for outcome in outcomes]
    if grouping == "backwards":
        return [[outcome] for outcome in reversed(outcomes)]
    if grouping == "interleaved":
        return [outcomes[i::5] for i in (3, 0, 4, 2, 1)]
    return [outcomes[:7], outcomes[5:], outcomes[:3]]


@pytest.mark.parametrize("grouping", ["one by one", "backwards", "interleaved", "overlapping"])
def test_merged_bytes_do_not_depend_on_how_the_runs_were_written(tmp_path, outcomes, grouping):
    at_once = create(tmp_path / "at-once")
    at_once.write(outcomes)
    at_once.merge()

    folder = create(tmp_path / "r")
    for group, merge in zip(grouped(outcomes, grouping), itertools.cycle([False, False, True])):
        folder.write(group)
        if merge:
            folder.merge()
    folder = Results(tmp_path / "r")  # as the next session reads it
    folder.merge()
    assert files(tmp_path / "r") == files(tmp_path / "at-once")
    assert {Path(name).name for name in files(tmp_path / "r")} == {MERGED}


def test_writing_twice_changes_nothing(tmp_path, outcomes):
    folder = create(tmp_path / "r")
    folder.write(outcomes)
    before = files(tmp_path / "r")
    folder.write(outcomes)
    assert files(tmp_path / "r") == before
    folder.merge()
    merged = files(tmp_path / "r")
    folder.write(outcomes[:1])  # a cluster that ran a task twice, after the merge
    assert len(trials(tmp_path / "r")) == 5 * len(outcomes)
    Results(tmp_path / "r").merge()
    assert files(tmp_path / "r") == merged


def test_the_longer_run_wins_where_a_run_stands_in_two_files(tmp_path, outcomes):
    short = create(tmp_path / "r", TEXT.replace("trials = 5", "trials = 2"))
    done = []
    drive(plan(parse_suite(TEXT.replace("trials = 5", "trials = 2"))), done.append)
    assert {o.run.id for o in done} == {o.run.id for o in outcomes}
    short.write(outcomes[:1])
    short.write(done)
    longer = outcomes[0].run.id
    for folder in (short, Results(tmp_path / "r")):
        assert {run: record.trials for run, record in folder.records().items()} == {
            o.run.id: 5 if o.run.id == longer else 2 for o in done
        }
        counts = dict(folder.trials(["run"]).collect().group_by("run").len().iter_rows())
        assert counts[longer] == 5
        assert set(counts.values()) == {2, 5}
    short.merge()
    assert trials(tmp_path / "r").group_by("run").len()["len"].sum() == 5 + 2 * 11


def test_a_merge_that_was_killed_before_it_tidied_up_leaves_every_run_once(tmp_path, outcomes, monkeypatch):
    folder = create(tmp_path / "r")
    folder.write(outcomes[:6])
    folder.write(outcomes[6:])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        folder.merge()
    assert len(parts(tmp_path / "r")) > 3
    again = Results(tmp_path / "r")
    assert len(trials(tmp_path / "r")) == 5 * len(outcomes)
    again.merge()
    assert len(parts(tmp_path / "r")) == 3
    assert len(trials(tmp_path / "r")) == 5 * len(outcomes)


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_no_half_written_file_and_says_so_in_one_line(tmp_path, outcomes, monkeypatch):
    folder = create(tmp_path / "r")
    folder.write(outcomes[:1])
    before = files(tmp_path / "r")
    with monkeypatch.context() as patch:
        patch.setattr(results_files.os, "fsync", no_space)  # written already, but not to be trusted
        with pytest.raises(ResultsError, match=r"r cannot be written: No space left on device\.") as full:
            folder.write(outcomes)
    assert "\n" not in str(full.value)
    assert full.value.remedy
    assert files(tmp_path / "r") == before  # no temporary file either
    assert Results(tmp_path / "r").records().keys() == {outcomes[0].run.id}

    folder.write(outcomes)
    folder.merge()
    assert len(trials(tmp_path / "r")) == 5 * len(outcomes)


def test_a_full_disk_while_merging_loses_nothing(tmp_path, outcomes, monkeypatch):
    folder = create(tmp_path / "r")
    folder.write(outcomes[:6])
    folder.write(outcomes[6:])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(ResultsError, match="No space left on device"):
            folder.merge()
    assert len(trials(tmp_path / "r")) == 5 * len(outcomes)
    Results(tmp_path / "r").merge()
    assert len(trials(tmp_path / "r")) == 5 * len(outcomes)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from surrobench.cli import main
main()
"""


def test_what_the_operating_system_says_of_a_write_is_one_line_of_the_command(tmp_path):
    """A limit on the size of a file is the one full disk that a test can have without being root."""
    (tmp_path / "tiny.toml").write_text(suite_text(methods=["random"], trials=300))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "4000", "run", "tiny.toml", "--jobs", "1", "--out", "r"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: r cannot be written: File too large. ")
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "r").glob("trials/*/*"))


# ---------------------------------------------------------------------- damaged and foreign folders


def truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def emptied(path):
    path.write_bytes(b"")


def overwritten(path):
    path.write_text("run,trial,value\na,0,1\n")


def without_our_metadata(path):
    pl.read_parquet(path).write_parquet(path)


@pytest.mark.parametrize("damage", [truncated, emptied, overwritten, without_our_metadata])
def test_a_damaged_file_is_named_with_its_remedy_which_loses_only_its_runs(tmp_path, damage, monkeypatch):
    text = suite_text(MLP, NAS, trials=3)
    folder = tmp_path / "r"
    run(text, folder)
    whole = files(folder)
    damaged = folder / "trials" / "nasbench201.cell" / MERGED
    damage(damaged)
    for attempt in (lambda: Results(folder), lambda: run(text, folder)):
        with pytest.raises(ResultsError) as told:
            attempt()
        assert str(told.value) == (
            f"{damaged} is damaged. Delete it and repeat the run command: only its runs are run again."
        )
    damaged.unlink()
    summary = run(text, folder)
    assert (summary.finished_before, summary.states) == (2, {"ok": 2})
    assert files(folder) == whole


def test_damage_behind_intact_metadata_is_named_when_the_trials_are_read(tmp_path):
    folder = tmp_path / "r"
    run(suite_text(MLP, NAS, trials=30), folder)
    damaged = folder / "trials" / "nasbench201.cell" / MERGED
    data = bytearray(damaged.read_bytes())
    footer = int.from_bytes(data[-8:-4], "little") + 8
    data[4:-footer] = bytes(len(data) - footer - 4)
    damaged.write_bytes(data)
    results = Results(folder)  # the metadata, at the end of the file, is whole
    scenarios = plan(parse_suite(suite_text(MLP, NAS, trials=30))).scenarios
    for read in (lambda: load_study(results), lambda: read_recordings(results, scenarios)):
        with pytest.raises(ResultsError, match=r"nasbench201\.cell/all\.parquet is damaged\. Delete it"):
            read()


def test_files_merged_by_another_process_meanwhile_are_not_called_damaged(tmp_path, outcomes):
    writer = create(tmp_path / "r")
    writer.write(outcomes[:6])
    writer.write(outcomes[6:])
    reader = Results(tmp_path / "r")
    writer.merge()
    with pytest.raises(ResultsError, match=r"has just been merged by another process\. Repeat the command\."):
        load_study(reader)
    gone = tmp_path / "r" / "trials" / "hpobench.mlp" / "part-0.parquet"
    gone.symlink_to("nowhere")  # listed, and gone when it is opened
    with pytest.raises(ResultsError, match=r"part-0\.parquet has just been merged by another process\."):
        Results(tmp_path / "r")
    gone.unlink()
    assert len(load_study(Results(tmp_path / "r")).incumbents) == len(outcomes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[]",
        "{}",
        '{"schema_version": "new"}',
        '{"schema_version": 1}',
        '{"short_name": "app"}',
    ],
)
def test_a_damaged_manifest_is_one_clear_line(tmp_path, text):
    create(tmp_path / "r")
    (tmp_path / "r" / "manifest.json").write_text(text)
    with pytest.raises(
        ResultsError, match=r"manifest\.json is damaged: .+\. Restore it, or repeat the study"
    ):
        Results(tmp_path / "r")


def test_a_damaged_plan_says_that_the_run_command_writes_it(tmp_path):
    folder = create(tmp_path / "r")
    (tmp_path / "r" / "plan.parquet").write_bytes(b"PAR1")
    with pytest.raises(ResultsError, match=r"plan\.parquet is damaged\. Repeat the run command"):
        folder.plan()
    assert len(create(tmp_path / "r").plan()) == 12


def test_results_of_another_suite_are_left_alone(tmp_path):
    create(tmp_path / "r")
    before = (tmp_path / "r" / "manifest.json").read_bytes()
    with pytest.raises(ResultsError, match=r"holds results of suite 'tiny', not of 'other'\..*--out"):
        create(tmp_path / "r", TEXT.replace('"tiny"', '"other"'))
    assert (tmp_path / "r" / "manifest.json").read_bytes() == before


def test_results_of_a_newer_version_ask_for_an_upgrade(tmp_path):
    create(tmp_path / "r")
    edit_manifest(tmp_path / "r", lambda manifest: manifest.update(schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(ResultsError, match=r"newer surrobench\. Upgrade surrobench\."):
        Results(tmp_path / "r")


def test_a_missing_folder_and_one_that_holds_something_else_are_told_apart(tmp_path):
    with pytest.raises(ResultsError, match=r"No results folder .*nowhere"):
        Results(tmp_path / "nowhere")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mother.txt").write_text("Dear")
    with pytest.raises(ResultsError, match="letters holds no results"):
        Results(tmp_path / "letters")
    with pytest.raises(ResultsError, match="letters is not empty and holds no results"):
        create(tmp_path / "letters")
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["mother.txt"]


def test_a_folder_is_written_by_one_process_at_a_time(tmp_path):
    (tmp_path / "r").mkdir()
    hold = "import fcntl, sys; f = open('r/.lock', 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{hold}; sys.stdin.read()"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline()
        with (
            pytest.raises(ResultsError, match=r"r is being written by another process\."),
            locked(tmp_path / "r"),
        ):
            pytest.fail("both hold it")
        other.stdin.close()
    with locked(tmp_path / "r"):  # which has ended
        pass


def test_a_forgotten_failure_gives_way_to_what_is_written_next(tmp_path, outcomes):
    folder = create(tmp_path / "r")
    first = outcomes[0]
    folder.write([replace(first, state="failed", error="out of luck"), *outcomes[1:]])
    folder.merge()
    folder.forget([first.run.id])
    assert first.run.id not in folder.records()
    folder.write([first])
    assert folder.records()[first.run.id].state == "ok"
    folder.merge()
    assert Results(tmp_path / "r").records()[first.run.id].state == "ok"
    assert len(trials(tmp_path / "r")) == 5 * len(outcomes)


@pytest.mark.parametrize("portion", [1, 12, 1 << 21])
def test_trials_are_read_in_portions_of_whole_runs(tmp_path, outcomes, monkeypatch, portion):
    monkeypatch.setattr("surrobench.results.reading._PORTION", portion)
    folder = create(tmp_path / "r")
    folder.write(outcomes[:7])
    folder.write(outcomes[5:])  # two runs in both
    folder.forget([outcomes[0].run.id])
    seen = {}
    for key in ("hpobench/mlp", "nasbench201/cell", "hpolib/fcnet"):
        for runs, first, rows in folder.runs_in(key, ["trial", "score"]):
            assert len(first) == len(runs) + 1
            assert rows.columns == ["trial", "score"]
            for name, low, high in zip(runs, first[:-1], first[1:], strict=True):
                assert name not in seen
                seen[name] = rows["score"][int(low) : int(high)].to_list()
    expected = folder.trials(["run", "score"]).collect().group_by("run", maintain_order=True).agg("score")
    assert seen == dict(expected.iter_rows())
    assert len(seen) == len(outcomes) - 1


def test_rows_that_do_not_fit_the_records_are_damage(tmp_path, outcomes):
    folder = create(tmp_path / "r")
    folder.write(outcomes)
    path = parts(tmp_path / "r")[0]
    edit_parquet(path, pl.DataFrame.reverse)
    with pytest.raises(ResultsError, match="is damaged"):
        list(Results(tmp_path / "r").runs_in(path.parent.name.replace(".", "/", 1), ["trial"]))


@pytest.mark.parametrize("more", [5, 9])
def test_run_and_rank_agree_on_what_is_finished(tmp_path, outcomes, more):
    create(tmp_path / "r").write(
        [replace(outcome, state=("ok", "exhausted", "failed")[i % 3]) for i, outcome in enumerate(outcomes)]
    )
    runs = plan(parse_suite(suite_text(MLP, NAS, FCN, methods=("random", "tpe"), trials=more)))
    results = create(tmp_path / "r", suite_text(MLP, NAS, FCN, methods=("random", "tpe"), trials=more))
    assert {run.id for run in runs} == {outcome.run.id for outcome in outcomes}
    left = {run.id for run in results.unfinished(runs)}
    usable = set(usable_runs([results], joint_plan([results])))
    failed = {outcome.run.id for outcome in outcomes[2::3]}
    exhausted = {outcome.run.id for outcome in outcomes[1::3]}
    # What failed is not run again unless asked for, and is no result; what stopped by itself is complete.
    assert usable == {run.id for run in runs} - left - failed
    assert exhausted <= usable
    assert bool(left) == (more > 5)
