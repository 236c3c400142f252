"""The Python interface: what ``import surrobench`` offers to a script or a notebook."""

import asyncio
import doctest
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import polars as pl
import pytest
import threadpoolctl

import surrobench
from surrobench import api
from surrobench.cli.plot import KINDS
from surrobench.errors import ResultsError, SuiteError, SurrobenchError, UnknownName, UsageError
from tests.studies import FCN, MLP, files, suite_text
from tests.studies import run as run_suite

SUITE = {
    "name": "tiny",
    "benchmarks": [MLP, FCN],
    "trials": 6,
    "seeds": 2,
    "optimizers": {"random": {}, "sobol": {}, "tpe": {"parameters": {"startup": 3}}},
}
REPOSITORY = Path(surrobench.__file__).parent.parent
RECORDING = REPOSITORY / "results" / "recordings" / "llm-quick"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "tiny"
    surrobench.run(SUITE, out, progress=False)
    return out


@pytest.fixture
def study(folder):
    return surrobench.load(folder)


def python(program: str, cwd: Path, **options) -> subprocess.CompletedProcess:
    (cwd / "script.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


# ---------------------------------------------------------------------- what is offered


def test_all_is_what_is_exported_and_each_has_a_docstring_with_an_example():
    assert set(surrobench.__all__) - {"__version__", "benchmark"} == set(api.__all__)
    assert set(surrobench.__all__) <= set(dir(surrobench))
    for name in api.__all__:
        found = getattr(surrobench, name)
        assert found is getattr(api, name)
        if name != "SurrobenchError":  # its example is any error
            assert ">>> import surrobench" in found.__doc__
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        surrobench.rum  # noqa: B018


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner, finder = doctest.DocTestRunner(), doctest.DocTestFinder(recurse=False)
    for name in ("StudyWarning", "run", "load", "Study", "Ranking"):
        for test in finder.find(getattr(api, name), name, globs={}):
            runner.run(test)
    assert runner.tries > 8
    assert runner.failures == 0


def test_importing_is_instant():
    program = (
        "import sys, surrobench; print(sorted({'polars', 'numpy', 'click', 'altair'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


# ---------------------------------------------------------------------- running


def test_a_dictionary_is_the_same_suite_as_its_toml(tmp_path, folder):
    text = suite_text(MLP, FCN, methods=["random", "sobol", "tpe"], trials=6, seeds=2)
    text = text.replace("[optimizers.tpe]", "[optimizers.tpe]\nparameters = {startup = 3}")
    run_suite(text, tmp_path / "toml")
    assert files(tmp_path / "toml") == files(folder)
    stored = json.loads((folder / "manifest.json").read_text())["suite"]["text"]
    (tmp_path / "stored.toml").write_text(stored)
    again = surrobench.run(tmp_path / "stored.toml", folder, progress=False)
    assert again.summary.finished_before == again.summary.total == 12


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 3}, "unknown key 'seed'; did you mean 'seeds'"),
        ({"trials": object()}, "a value that TOML does not know"),
        ({"optimizers": {"tpee": {}}}, "tpee"),
    ],
)
def test_a_wrong_dictionary_is_an_error_that_names_the_key_and_no_line(tmp_path, change, said):
    with pytest.raises(SuiteError, match=said) as caught:
        surrobench.run({**SUITE, **change}, tmp_path / "r", progress=False)
    assert "line" not in str(caught.value)
    with pytest.raises(UsageError, match="jobs = 0"):
        surrobench.run(SUITE, tmp_path / "r", jobs=0)


def test_a_script_without_main_guard_runs_with_two_jobs(tmp_path, folder):
    done = python(
        f"import surrobench\nprint('begin')\nstudy = surrobench.run({SUITE!r}, 'out', jobs=2)\n"
        "print(study.complete, study.trials().height)\n",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "begin\nTrue 72\n"), done.stderr
    assert done.stderr == ""
    assert files(tmp_path / "out") == files(folder)


def test_it_runs_within_an_event_loop(tmp_path, folder):
    async def main():
        return surrobench.run(SUITE, tmp_path / "r", progress=False)

    assert asyncio.run(main()).complete
    assert files(tmp_path / "r") == files(folder)


def test_it_leaves_everything_as_it_was(tmp_path):
    tasks = Path(f"/proc/{os.getpid()}/task")

    def now():
        children = {pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()}
        threads = {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
        return (
            dict(os.environ),
            children,
            threads,
            signal.getsignal(signal.SIGINT),
            len(threading.enumerate()),
        )

    surrobench.run(SUITE, tmp_path / "a", progress=False)  # libraries are loaded
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        before = now()
        surrobench.run(SUITE, tmp_path / "b", jobs=2, progress=False)
        assert now() == before
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


LONG = {**SUITE, "benchmarks": [MLP], "trials": 40, "seeds": 60, "optimizers": {"random": {}, "tpe": {}}}


@pytest.mark.parametrize("within", ["", "loop"])
def test_ctrl_c_stores_what_is_finished_and_the_same_call_goes_on(tmp_path, within):
    call = f"surrobench.run({LONG!r}, 'out', jobs=2)"
    main = f"async def main():\n    {call}\nasyncio.run(main())\n" if within else f"{call}\n"
    (tmp_path / "script.py").write_text(
        "import asyncio, signal, surrobench\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        + main
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("out/trials/*/*.parquet")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    assert process.returncode in (1, 130, -signal.SIGINT)
    stored = surrobench.load(tmp_path / "out").runs()
    finished = (stored["state"] == "ok").sum()
    assert 0 < finished < len(stored) == 120
    again = surrobench.run(LONG, tmp_path / "out", progress=False)
    assert again.complete
    assert again.summary.finished_before == finished


def test_failed_runs_are_a_warning_and_a_list(tmp_path):
    (tmp_path / "bad.py").write_text(
        "class Bad:\n"
        "    def __init__(self, task, rng): pass\n"
        "    def ask(self): raise ValueError('no idea')\n"
        "    def tell(self, configuration, loss): pass\n"
    )
    suite = {**SUITE, "optimizers": {"random": {}, "bad": {"method": f"{tmp_path / 'bad.py'}:Bad"}}}
    with pytest.warns(surrobench.StudyWarning, match=r"4 of 8 runs did not finish: bad on .*no idea"):
        study = surrobench.run(suite, tmp_path / "r", progress=False)
    assert not study.complete
    loaded = surrobench.load(tmp_path / "r")
    assert sorted(map(len, study.problems.values())) == sorted(map(len, loaded.problems.values()))
    assert loaded.runs().filter(method="bad")["error"].str.contains("no idea").all()
    with pytest.raises(ResultsError, match="4 runs are missing"):
        loaded.rank()
    assert surrobench.load(tmp_path / "r", methods="random").complete


# ---------------------------------------------------------------------- frames


def test_trials_of_all_scenarios_are_one_frame(study):
    trials = study.trials()
    assert trials.height == 3 * 2 * 2 * 6
    assert trials.columns[:7] == ["run", "benchmark", "method", "optimizer", "llm", "variant", "seed"]
    own = trials.filter(pl.col("benchmark") == MLP)
    theirs = [
        name for name in trials.columns if name.startswith("config.") and own[name].null_count() == len(own)
    ]
    assert theirs  # what only the other scenario has
    assert all(trials.filter(benchmark=FCN)[name].null_count() == 0 for name in theirs)
    lazy = study.scan_trials().filter(pl.col("method") == "tpe").select("value").collect()
    assert lazy.height == 24
    assert lazy["value"].to_list() == trials.filter(method="tpe")["value"].to_list()


def test_incumbents_are_the_last_points_of_the_curves_and_in_the_trials(study):
    incumbents, curves, trials = study.incumbents(), study.curves(), study.trials()
    assert incumbents.height == study.runs().height == 12
    last = curves.group_by("run", maintain_order=True).last()
    names = ["run", "trial", "value", "quantile_regret", "normalised_regret"]
    assert last.sort("run").select(names).equals(incumbents.sort("run").select(names))
    joined = incumbents.join(trials, on=["run", "trial"], suffix="_trial")
    assert joined["value"].to_list() == joined["score"].to_list()
    assert study.incumbents(budget=3)["trials"].max() <= 3
    assert set(study.curves("seconds").columns) == set(curves.columns) - {"trials"} | {"seconds"}


def test_runs_say_their_state(study, tmp_path):
    runs = study.runs()
    assert runs["state"].to_list() == ["ok"] * 12
    assert runs["trials"].to_list() == runs["most_trials"].to_list() == [6] * 12
    assert study.complete
    assert repr(study).startswith("<Study tiny: 3 methods on 2 benchmarks, 12 of 12 runs finished; ")
    part = surrobench.run(SUITE, tmp_path / "r", seeds=1, methods=["random"], progress=False)
    assert part.runs()["method"].unique().to_list() == ["random"]
    with pytest.raises(UnknownName, match="Did you mean 'sobol'"):
        surrobench.load(study.folders[0], methods="sobl").runs()


def test_replies_name_the_trials_that_were_read_from_them():
    study = surrobench.load(RECORDING)
    replies = study.replies(prompts=True)
    assert replies["prompt"].null_count() == 0
    assert replies["prompt"][0][0]["role"] in {"system", "user"}
    named = study.scan_trials().filter(pl.col("reply").is_not_null()).select("run", "reply").collect()
    first = named.with_columns(pl.col("reply").str.split(",").list.first())
    assert first.join(replies, on=["run", "reply"], how="anti").is_empty()
    assert "prompt" not in study.replies().columns
    assert surrobench.load(RECORDING, methods="tpe").replies().is_empty()


def test_results_of_others_stand_in_all_frames(folder, tmp_path):
    rows = [f"theirs,{name},{seed},{t},{0.1 * t}" for name in (MLP, FCN) for seed in (0, 1) for t in range(6)]
    (tmp_path / "theirs.csv").write_text("\n".join(["method,benchmark,seed,trial,value", *rows]))
    study = surrobench.load(folder, external=tmp_path / "theirs.csv")
    assert study.trials().filter(method="theirs").height == 24
    assert study.incumbents().filter(method="theirs").height == 4
    assert "theirs" in study.rank().to_frame()["method"].to_list()


# ---------------------------------------------------------------------- rankings and figures


def test_a_ranking_has_every_form(study):
    ranking = study.rank()
    frame = ranking.to_frame()
    assert sorted(frame["method"]) == ["random", "sobol", "tpe"]
    assert frame["method"].to_list() == [row["method"] for row in ranking.to_dict()["methods"]]
    assert ranking.answer in repr(ranking)
    assert len(repr(ranking).splitlines()) <= 9
    assert "<table" in ranking._repr_html_()
    latex = ranking.to_latex(label="tab:a", caption="Of 5 % & more", notes=False)
    assert r"\label{tab:a}" in latex
    assert r"\caption{Of 5 \% \& more}" in latex
    assert ranking.to_markdown().count("|") > 10
    assert study.rank(control="tpe", budget=3, metric="log", partial=True).to_dict()["control"] == "tpe"
    with pytest.raises(UsageError, match="more than the suite's"):
        study.rank(budget=7)


def test_a_ranking_of_each_scenario_has_a_group(study):
    ranking = study.rank(group_by="scenario")
    frame = ranking.to_frame()
    assert frame.columns[0] == "group"
    assert sorted(frame["group"].unique()) == ["hpobench/mlp", FCN.rpartition("/")[0]]
    assert [one["group"] for one in ranking.to_dict()["groups"]] == sorted(frame["group"].unique())
    assert len(ranking.answer.splitlines()) == 2
    assert ranking.to_latex().count(r"\begin{table}") >= 2
    with pytest.raises(UsageError, match="one ranking, and group_by makes several"):
        ranking.plot("cd")
    with pytest.raises(UnknownName, match="Did you mean 'family'"):
        study.rank(group_by="famliy")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"proposals"}))
def test_every_figure_displays_without_a_network(study, kind):
    bundle = study.plot(kind)._repr_mimebundle_()
    assert "<iframe" in bundle["text/html"]
    assert not any(f'src="{start}' in bundle["text/html"] for start in ("http", "//"))
    with pytest.raises(UnknownName, match="Did you mean 'curves'"):
        study.plot("curvs")


def test_proposals_are_drawn_of_one_benchmark(study, folder):
    with pytest.raises(SurrobenchError, match="benchmark"):
        study.plot("proposals")
    chart = surrobench.load(folder, benchmarks=MLP, methods="tpe").plot("proposals")
    assert "<iframe" in chart._repr_mimebundle_()["text/html"]
    assert "tpe" in chart.to_json()


def test_power_and_claims_are_frames(folder, study, tmp_path):
    power = study.power(seeds=[2, 4], instances=[2, 8], simulations=20)
    assert power.select("method", "seeds", "instances").is_unique().all()
    assert power.height == 2 * 2 * 2
    assert study.claims().is_empty()
    claim = {"says": "tpe is better", "better": "tpe", "than": "random"}
    surrobench.run({**SUITE, "claims": {"better": claim}}, tmp_path / "r", progress=False)
    claims = surrobench.load(tmp_path / "r").claims()
    assert claims["verdict"].to_list() == ["not resolved"]
    assert claims.columns == study.claims().columns


def test_no_warning_is_given_where_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert surrobench.run(SUITE, tmp_path / "r", methods="sobol", benchmarks=MLP, progress=False).complete
