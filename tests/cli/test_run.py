"""``surrobench run``: with a suite, from options alone, and how far it says it is."""

import json
import re
from pathlib import Path

import pytest

from surrobench.errors import UsageError
from surrobench.results.folder import Results
from surrobench.suite.loading import load_suite, parse_suite
from surrobench.suite.model_overrides import add_models
from tests.llm.faulty_server import FaultyServer, ok
from tests.studies import AGENT, FCN, MLP, answer, files, run, suite_text, surrobench


def write(folder, text):
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


# ---------------------------------------------------------------------- running


def test_a_run_says_what_was_done_and_where_it_is(tmp_path):
    path = write(tmp_path, suite_text(methods=["random", "tpe"]))
    done = surrobench("run", path, "--jobs", 1, "--out", tmp_path / "r")
    assert (done.status, done.out) == (0, "")
    assert "4 runs: 0 were finished before, now 4 ok. 16 trials in " in done.err
    assert f"Results: {tmp_path / 'r'}" in done.err
    assert "\x1b" not in done.err  # no progress bar: this is no terminal
    again = surrobench("run", path, "--jobs", 1, "--out", tmp_path / "r")
    assert "4 runs: 4 were finished before. 0 trials" in again.err


def test_the_results_folder_is_named_after_the_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, suite_text(seeds=1))
    assert surrobench("run", "tiny.toml", "--jobs", 1).status == 0
    assert Results(tmp_path / "results" / "tiny").suite_name == "tiny"
    done = surrobench("run", "tiny.toml", "--jobs", 1, "--dry-run")
    assert re.search(r"MiB in results/tiny *$", done.out, re.MULTILINE)


def test_the_resume_line_survives_a_folder_with_a_space(tmp_path):
    folder = tmp_path / "my studies"
    folder.mkdir()
    with FaultyServer([ok("", n=0)]) as server:
        path = write(folder, suite_text(models={"m": server.url}, seeds=1, model="retries = 0"))
        done = surrobench("run", path, "--jobs", 1, "--out", folder / "r")
    assert done.status == 1
    assert done.err.splitlines()[-1] == (
        f"Resume with: surrobench run '{path}' --jobs 1 --out '{folder / 'r'}'"
    )


def test_a_dry_run_counts_what_is_left_and_asks_and_writes_nothing(tmp_path):
    with FaultyServer([ok("{}")]) as server:
        text = suite_text(methods=["random", "tpe"], models={"m": server.url}, trials=4, seeds=3)
        path = write(tmp_path, text)
        done = surrobench("run", path, "--out", tmp_path / "r", "--dry-run")
        assert done.status == 0
        rows = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in done.out.splitlines()[1:])
        assert rows["runs"] == "9 of 9 to do"
        assert rows["trials"] == "36"
        assert rows["completions"] == "9"
        tokens = re.match(r"about ([\d,]+) in \(most of them cached\), ([\d,]+) out", rows["tokens"])
        assert [int(n.replace(",", "")) > 9 * 10 for n in tokens.groups()] == [True, True]
        assert rows["disk"].endswith(f"MiB in {tmp_path / 'r'}")
        assert "s (a rough figure" in rows["time"]
        assert not (tmp_path / "r").exists()

        run(text.replace("seeds = 3", "seeds = 2"), tmp_path / "r")
        asked = len(server.bodies)
        assert asked == 2 * 3
        left = surrobench("run", path, "--out", tmp_path / "r", "--dry-run").out
        assert "3 of 9 to do" in left
        assert len(server.bodies) == asked


# ---------------------------------------------------------------------- models from the command line

AGENTS = suite_text(models={"m": "http://one.invalid/v1"}, model="sampling = { temperature = 0.1 }")


def test_llm_redirects_a_model_of_the_suite_and_keeps_how_it_is_asked():
    suite = add_models(parse_suite(AGENTS), {"m": ("http://two.invalid/v1", "other")})
    assert list(suite.models) == ["m"]
    assert (suite.models["m"].url, suite.models["m"].model) == ("http://two.invalid/v1", "other")
    assert suite.models["m"].sampling == {"temperature": 0.1}
    assert suite.optimizers[AGENT].models == ["m"]


def test_llm_redirects_an_embedded_model_without_its_weights_revision():
    suite, _ = load_suite("quick")
    moved = add_models(suite, {"smollm2": ("http://two.invalid/v1", "Qwen")}).models["smollm2"]
    assert (moved.serve, moved.revision, moved.size, moved.model) == (None, "", "", "Qwen")


def test_llm_adds_a_model_to_every_method_that_asks_one():
    suite = add_models(parse_suite(AGENTS), {"n": ("http://two.invalid/v1", "other")})
    assert suite.optimizers[AGENT].models == ["m", "n"]
    assert suite.optimizers["random"].models == []
    with pytest.raises(UsageError, match="No method of suite 'tiny' asks a language model"):
        add_models(parse_suite(suite_text()), {"n": ("http://two.invalid/v1", "other")})


def test_a_model_from_the_command_line_is_asked_and_ranked_under_its_name(tmp_path):
    with FaultyServer(answer) as one, FaultyServer(answer) as two:
        path = write(tmp_path, suite_text(models={"m": "http://127.0.0.1:9/v1"}, seeds=1))
        flags = ["--llm", f"m={one.url},first", "--llm", f"n={two.url},second"]
        done = surrobench("run", path, "--jobs", 1, "--out", tmp_path / "r", *flags)
        assert done.status == 0, done.err
        assert [body["model"] for body in one.bodies] == ["first"] * 3
        assert [body["model"] for body in two.bodies] == ["second"] * 3
    ranked = surrobench("rank", tmp_path / "r", "--format", "json")
    assert {row["method"] for row in json.loads(ranked.out)["methods"]} == {
        "random",
        f"{AGENT} (m)",
        f"{AGENT} (n)",
    }


# ---------------------------------------------------------------------- a study without a suite file

ALONE = (
    "run",
    "--benchmark",
    MLP,
    "--optimizer",
    "random",
    "--optimizer",
    "sobol",
    "--trials",
    6,
    "--seeds",
    2,
)


def test_a_study_is_run_from_options_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = surrobench(*ALONE, "-j", 1)
    assert (done.status, done.out) == (0, "")
    folder = Path("results/hpobench-mlp-australian-random-sobol")
    assert "4 ok. 24 trials in " in done.err
    assert f"Results: {folder}" in done.err
    results = Results(folder)
    text = results.manifest["suite"]["text"]
    assert surrobench(*ALONE, "--print-suite") == (0, text, "")
    assert parse_suite(text).optimizers.keys() == {"random", "sobol"}
    more = surrobench(*ALONE[:-1], 3, "--jobs", 1)  # more seeds extend the same folder
    assert "6 runs: 4 were finished before, now 2 ok." in more.err
    assert surrobench("rank", folder, "--format", "csv").out.count("\n") == 3


def test_the_suite_that_options_stand_for_runs_the_same_from_a_file(tmp_path):
    text = surrobench(*ALONE, "--print-suite").out
    surrobench(*ALONE, "--out", tmp_path / "a", "-j", 1)
    surrobench("run", write(tmp_path, text), "--out", tmp_path / "b", "-j", 1)
    assert files(tmp_path / "a") == files(tmp_path / "b") != {}


def test_options_take_patterns_files_and_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "class Mine:\n"
        "    def __init__(self, task, rng): self.space, self.rng = task.space, rng\n"
        "    def ask(self): return self.space.sample(1, self.rng)\n"
        "    def tell(self, X, loss): pass\n"
    )
    words = ["run", "--benchmark", "hpobench/mlp/c*", "--optimizer", AGENT, "--optimizer", "./mine.py:Mine"]
    done = surrobench(*words, "--trials", 3, "--llm", "m=http://127.0.0.1:9/v1,Qwen", "--print-suite")
    suite = parse_suite(done.out, folder=tmp_path)
    assert suite.benchmark_ids() == ["hpobench/mlp/car", "hpobench/mlp/credit_g"]
    assert (suite.name, suite.seeds, suite.control) == ("hpobench-mlp-c-all-mine-karpathy-agent", 5, AGENT)
    assert suite.optimizers["Mine"].method == f"{tmp_path}/mine.py:Mine"
    assert suite.optimizers[AGENT].models == ["m"]
    assert (suite.models["m"].url, suite.models["m"].model) == ("http://127.0.0.1:9/v1", "Qwen")
    embedded = surrobench(
        *ALONE[:3], "--optimizer", AGENT, "--trials", 3, "--llm", "smollm2", "--print-suite"
    )
    assert parse_suite(embedded.out).models["smollm2"].serve == "embedded"


def test_a_long_name_is_cut_and_stays_unique():
    words = ["--optimizer", "random", "--trials", 6, "--print-suite"]
    both = [("hpobench/mlp/*", "hpolib/fcnet/*", "nasbench201/cell/*", last) for last in (MLP, FCN)]
    names = []
    for benchmarks in both:
        flags = [word for name in benchmarks for word in ("--benchmark", name)]
        names.append(parse_suite(surrobench("run", *flags, *words).out).name)
        assert len(names[-1]) <= 60
    assert names[0] != names[1]


def test_print_suite_prints_the_file_of_a_suite(tmp_path):
    path = write(tmp_path, suite_text())
    assert surrobench("run", path, "--print-suite") == (0, suite_text(), "")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--benchmark", MLP], "Without a suite, --optimizer and --trials must be given. Example: "),
        (["--benchmark", MLP, "--trials", 5], "Without a suite, --optimizer must be given."),
        (
            ["--method", "tpe"],
            "--method chooses among the methods of a suite. Without a suite, write --optimizer",
        ),
        (
            ["quick", "--optimizer", "tpe"],
            "--optimizer makes a study without a suite, and quick is one. To run",
        ),
        (["quick", "--trials", 5], "--trials is for a study without a suite, and quick is one."),
        ([*ALONE[1:], "--optimizer", "tpee"], "Unknown optimizer 'tpee'. Did you mean 'tpe'?"),
        ([*ALONE[1:], "--benchmark", "hpobench/mlp/cars"], "Did you mean 'hpobench/mlp/car'?"),
        ([*ALONE[1:], "--trials", 0], "'--trials'"),
        ([*ALONE[1:], "--trials", 1], "leaves nothing of 1 trials"),
        ([*ALONE[1:], "--optimizer", AGENT], f"{AGENT} asks a language model. Add --llm smollm2"),
        ([*ALONE[1:], "--llm", "smollm2"], "None of the optimizers asks a language model. Leave out --llm."),
        (["quick", "--llm", "smollm2"], "--llm 'smollm2' is not NAME=URL,MODEL."),
    ],
)
def test_misuse_is_one_line_with_its_remedy(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = surrobench("run", *words)
    assert done.status == 2
    assert says in done.error
    assert not Path("results").exists()


# ---------------------------------------------------------------------- how far it is


def test_a_line_now_and_then_says_how_far_a_study_is(tmp_path, monkeypatch):
    monkeypatch.setattr("surrobench.cli.heartbeat.SECONDS", 0.2)
    with FaultyServer(lambda body: answer(body, delay=0.3)) as server:
        path = write(tmp_path, suite_text(models={"m": server.url}, trials=6, seeds=1))
        done = surrobench("run", path, "--jobs", 1, "--out", tmp_path / "r")
        lines = re.findall(
            r"^(\d) of 2 runs, (\d+) trials, (\d) completions(?:, about [\d.]+ s left)?\.$",
            done.err,
            re.MULTILINE,
        )
        assert done.status == 0
        assert len(lines) >= 4  # five completions of 0.3 s, one after the other
        completions = [int(line[2]) for line in lines]
        assert completions == sorted(completions)
        assert completions[-1] > completions[0]
        quiet = surrobench(
            "run", write(tmp_path, suite_text(seeds=3)), "-q", "-j", 1, "--out", tmp_path / "q"
        )
        assert quiet == (0, "", "")
    assert "\x1b" not in done.err


def test_a_short_study_says_nothing_on_the_way(tmp_path):
    done = surrobench("run", write(tmp_path, suite_text()), "--jobs", 1, "--out", tmp_path / "r")
    did, spent, then = done.err.splitlines()
    assert did.startswith("2 runs: 0 were finished before, now 2 ok. 8 trials in ")
    assert spent.startswith("Time on 1 core, ")
    assert then == f"Rank the methods with: surrobench rank {tmp_path / 'r'}"
