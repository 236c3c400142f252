"""Mistakes on the command line, and ``surrobench rank``."""

import json
import re

import pytest

from surrobench.results.folder import Results
from tests.studies import AGENT, MLP, NAS, run, suite_text, surrobench


def write(folder, text):
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


# ---------------------------------------------------------------------- bad input

SUITE = suite_text(trials=4)
BAD_SUITES = {
    "misspelt-key": (SUITE.replace("trials", "trails"), "unknown key 'trails'; did you mean 'trials'?"),
    "missing-key": (SUITE.replace("seeds = 2", ""), "seeds is missing"),
    "optimizer": (SUITE.replace("[optimizers.random]", "[optimizers.randon]"), "Unknown optimizer 'randon'"),
    "parameter": (SUITE + "parameters = { k = 3 }", "It takes none."),
    "instance": (
        SUITE.replace("australian", "austria"),
        "Did you mean 'hpobench/mlp/australian'? (line 2: benchmarks = ",
    ),
    "scenario": (SUITE.replace("hpobench/mlp", "hpobench/svm"), "hpobench/svm"),
    "family": (SUITE.replace("hpobench/", "hpo-bench/"), "hpo-bench/"),
    "budget-0": (SUITE.replace("trials = 4", "trials = 0"), "trials: "),
    "budget-word": (SUITE.replace("trials = 4", 'trials = "many"'), "trials: "),
    "control": (SUITE.replace("[optimizers.random]", "[optimizers.tpe]"), "unknown control 'random'"),
    "agent-without-model": (SUITE + f"[optimizers.{AGENT}]", "needs a language model"),
    "model-for-random": (
        SUITE + 'models = ["m"]\n[models.m]\nurl = "http://127.0.0.1:9/v1"',
        "takes no language model",
    ),
    "not-toml": ("name: tiny", "is not TOML"),
    "twice": (SUITE + '[optimizers.again]\nmethod = "random"', "'random' and 'again' are the same"),
}


@pytest.mark.parametrize(("text", "says"), BAD_SUITES.values(), ids=BAD_SUITES)
def test_a_bad_suite_is_one_line_that_names_the_mistake(tmp_path, text, says):
    path = write(tmp_path, text)
    done = surrobench("run", path, "--out", tmp_path / "r")
    assert done.status == 2
    assert says in done.error
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnak"], "Unknown command 'rnak'. Did you mean 'rank'?"),
        (["run"], "There is nothing to run. Name a suite (surrobench list suites), or give --benchmark,"),
        (
            ["run", "quik"],
            "No suite 'quik'. Did you mean 'quick'? Name a TOML file, or one of classical, ",
        ),
        (["run", "quick", "--jobs", "0"], "'--jobs'"),
        (["run", "quick", "--jbos", "2"], "No such option"),
        (["run", "quick", "--reevaluate"], "--reevaluate goes with --replay."),
        (["run", "quick", "--replay", "nowhere"], "'nowhere' does not exist"),
        (["run", "quick", "--llm", "qwen"], "--llm 'qwen' is not NAME=URL,MODEL."),
        (["run", "quick", "--llm", "qwen=http://host/v1"], "is not NAME=URL,MODEL."),
        (["run", "quick", "--llm", "qwen=host:80,Qwen"], "is not NAME=URL,MODEL."),
        (["run", "tabular", "--llm", "q=http://h/v1,Q"], "No method of suite 'tabular' asks a language"),
        (["rank", "r", "--format", "html"], "'html' is not one of"),
        (["rank", "r", "--budget", "0"], "'--budget'"),
        (["rank", "r", "--alpha", "1"], "'--alpha'"),
        (["rank", "r", "--control", "randon"], "Did you mean 'random'?"),
        (["rank", "r", "--extra-test", "bays"], "'bays' is not one of 'bayes'"),
        (["rank", "r", "--rope", "0.1"], "Add --extra-test bayes or hierarchical."),
        (["rank", "r", "--extra-test", "mixed", "--rope", "0.1"], "--rope is for the Bayesian tests."),
        (["rank", "r", "--extra-test", "bayes", "--rope", "-1"], "'--rope'"),
        (["rank", "r", "--figure", "cd.jpeg"], "Name a file .svg, .png, .pdf, .html."),
        (["show", "nothing", "--results", "r"], "No run 'nothing' in r."),
        (["list", "optimisers"], "is not one of"),
        (["verify", "nasbench"], "'nasbench' is not one of 'hpobench', 'yahpo'"),
        (["rank", "r", "--budget", "7"], "A budget of 7 trials is more than the suite's 6."),
        (["data", "pull", "everything"], "'everything' is not one of 'smollm2', 'yahpo'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(words, says, results, monkeypatch):
    monkeypatch.chdir(results.parent)
    done = surrobench(*words)
    assert done.status == 2
    assert says in done.error


@pytest.mark.parametrize("command", ["rank", "status"])
def test_a_folder_without_results_is_one_line_and_status_1(command, tmp_path, results, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        "No results folder nowhere. Make one with: surrobench run SUITE"
        in surrobench(command, "nowhere").error
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    done = surrobench(command, "full")
    assert (done.status, done.error) == (1, "Error: full holds no results (no manifest.json).\n")


def test_show_without_any_results_says_how_to_name_some(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "There are no results in results/. Name a folder with --results." in surrobench("show", "x").error


@pytest.mark.parametrize("command", ["rank", "status", "show"])
def test_a_damaged_file_is_one_line_that_names_it(command, tmp_path):
    run(suite_text(MLP, seeds=1), tmp_path / "r")
    damaged = tmp_path / "r" / "trials" / "hpobench.mlp" / "all.parquet"
    damaged.write_bytes(damaged.read_bytes()[:100])
    words = ["show", f"random:{MLP}:0", "--results"] if command == "show" else [command]
    done = surrobench(*words, tmp_path / "r")
    assert (done.status, done.out) == (1, "")
    assert f"{damaged} is damaged. Delete it" in done.error


def test_results_of_another_suite_are_not_written_into(tmp_path, results):
    path = write(tmp_path, suite_text(name="other"))
    done = surrobench("run", path, "--out", results)
    assert done.status == 1
    assert "holds results of suite 'tiny', not of 'other'. Name another folder with --out." in done.error


def test_a_defect_of_ours_is_not_hidden_behind_one_line(monkeypatch, results):
    def broken(self):
        raise ZeroDivisionError

    monkeypatch.setattr(Results, "plan", broken)
    with pytest.raises(ZeroDivisionError):
        surrobench("status", results)


# ---------------------------------------------------------------------- ranking


def test_rank_prints_the_same_methods_in_every_format(results):
    first = {
        "table": r"^ *3 methods, 2 instances, 2 common seeds",
        "markdown": r"^\|? *[Mm]ethod",
        "latex": r"\\begin\{tabular\}",
        "csv": r"^seeds,trials,instances,method,",
        "json": r"^\{",
    }
    for form, pattern in first.items():
        done = surrobench("rank", results, "--format", form)
        assert (done.status, done.err) == (0, ""), form
        assert re.search(pattern, done.out, re.MULTILINE), form
        assert all(re.search(rf"\b{name}\b", done.out) for name in ("random", "tpe", "sobol")), form
    assert surrobench("rank", results).out == surrobench("rank", results, "--format", "table").out
    ranks = [
        row["mean_rank"] for row in json.loads(surrobench("rank", results, "--format", "json").out)["methods"]
    ]
    assert sum(ranks) == 1 + 2 + 3


@pytest.mark.parametrize(("suffix", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_rank_writes_a_figure_by_its_suffix(results, tmp_path, suffix, begins):
    figure = tmp_path / "figures" / f"cd.{suffix}"
    done = surrobench("rank", results, "--figure", figure)
    assert done.status == 0
    assert done.err == f"Critical-difference diagram: {figure}\n"
    assert figure.read_bytes().startswith(begins)


def test_rank_of_a_smaller_budget_and_another_control(results):
    whole = json.loads(surrobench("rank", results, "--format", "json").out)
    start = json.loads(surrobench("rank", results, "--format", "json", "--budget", 1).out)
    assert len({row["mean_rank"] for row in start["methods"]}) == 1  # all begin with the default
    assert start["methods"] != whole["methods"]
    other = surrobench("rank", results, "--control", "tpe")
    assert re.search(r"tpe .* control", other.out)


def test_rank_of_an_incomplete_study_lists_what_is_missing(tmp_path, monkeypatch):
    text = suite_text(MLP, NAS, methods=["random", "tpe"], seeds=2)
    run(text, tmp_path / "r")
    (tmp_path / "r" / "trials" / "nasbench201.cell" / "all.parquet").unlink()
    done = surrobench("rank", tmp_path / "r")
    assert done.status == 1
    assert "4 runs are missing, failed or observed nothing: " in done.error
    assert f"tpe on {NAS} seed 1" in done.error
    assert MLP not in done.error
    assert f"See surrobench status {tmp_path / 'r'}; --partial leaves their benchmarks out" in done.error

    partial = surrobench("rank", tmp_path / "r", "--partial", "--format", "json")
    assert partial.status == 0
    assert json.loads(partial.out)["instances"] == 1

    (tmp_path / "r" / "trials" / "hpobench.mlp" / "all.parquet").unlink()
    nothing = surrobench("rank", tmp_path / "r", "--partial")
    assert nothing.status == 1
    assert "8 runs are missing" in nothing.error
    assert "and 3 more" in nothing.error


def ranked(*words):
    done = surrobench("rank", *words, "--format", "json")
    assert (done.status, done.err) == (0, ""), done.err
    return json.loads(done.out)


def test_rank_by_another_metric_with_a_target_and_the_test_metric(results):
    data = ranked(results, "--metric", "auc", "--target", 0.2, "--unit", "seconds", "--test-metric")
    assert data["metric"] == "auc"
    for row in data["methods"]:
        assert 0 < row["area"] <= 1
        assert 0 <= row["target_share"] <= 1
    assert any("in simulated seconds" in note for note in data["notes"])
    assert "Test metric: not available, as no benchmark here has one." in data["notes"]
    assert all(row["by_seed"]["seconds_spent"] for row in data["per_instance"])
    plain = ranked(results)
    assert plain["metric"] == "quantile"
    assert {row["area"] for row in plain["methods"]} == {None}


def test_rank_of_a_part_and_of_each_part_apart(results):
    part = ranked(results, "--benchmark", "hpobench/*", "--method", "random", "--method", "so*")
    assert (part["instances"], len(part["methods"])) == (1, 2)
    apart = ranked(results, "--group-by", "family")
    assert [group["group"] for group in apart["groups"]] == ["hpobench", "nasbench201"]
    assert [group["group"] for group in ranked(results, "--group-by", "scenario")["groups"]] == [
        "hpobench/mlp",
        "nasbench201/cell",
    ]
    assert "nasbench201: 3 methods, 1 instance" in surrobench("rank", results, "--group-by", "family").out


def test_rank_shows_further_tests_and_names_the_region_of_equivalence(results):
    words = ["--extra-test", "bayes", "--extra-test", "sign-flip", "--rope", 0.02]
    data = ranked(results, *words)
    assert [(one["test"], one.get("rope")) for one in data["also"]] == [("bayes", 0.02), ("sign-flip", None)]
    assert ranked(results)["also"] == []
    shown = surrobench("rank", results, *words).out
    assert shown.index("Bayesian signed-rank test against") < shown.index("Sign-flip test against")
    apart = ranked(results, "--group-by", "family", "--extra-test", "mixed")
    assert all(group["also"][0]["test"] == "mixed" for group in apart["groups"])


def test_rank_of_two_folders_and_of_results_of_others(results, tmp_path):
    more = suite_text(MLP, NAS, methods=["random", "latin-hypercube"], trials=6, name="more")
    run(more, tmp_path / "more")
    rows = [f"theirs,{name},{s},{t},{50 + t}" for name in (MLP, NAS) for s in (0, 1) for t in range(6)]
    (tmp_path / "o.csv").write_text("\n".join(["method,benchmark,seed,trial,value", *rows]) + "\n")
    data = ranked(results, tmp_path / "more", "--external", tmp_path / "o.csv")
    names = {row["method"] for row in data["methods"]}
    assert names == {"random", "tpe", "sobol", "latin-hypercube", "theirs"}
    assert any("results of others" in note for note in data["notes"])


def test_methods_of_others_are_chosen_by_name_too(results, tmp_path):
    rows = [
        f"{method},{name},{s},{t},{50 + t}"
        for method in ("their first", "their second")
        for name in (MLP, NAS)
        for s in (0, 1)
        for t in range(6)
    ]
    (tmp_path / "o.csv").write_text("\n".join(["method,benchmark,seed,trial,value", *rows]) + "\n")

    def names(*words):
        data = ranked(results, "--external", tmp_path / "o.csv", *words)
        return {row["method"] for row in data["methods"]}

    assert names("--method", "their first", "--method", "random") == {"their first", "random"}
    assert names("--method", "their*", "--method", "random") == {"their first", "their second", "random"}
    assert names("--method", "random") == {"their first", "their second", "random"}
    unknown = surrobench("rank", results, "--external", tmp_path / "o.csv", "--method", "their frist")
    assert "Did you mean 'their first'?" in unknown.error or "their first" in unknown.error


def test_rank_shows_the_test_metric_that_a_table_maps(tmp_path):
    rows = [f"{lr},{10 - lr},{0.5 + lr / 100}" for lr in range(10)]
    (tmp_path / "t.csv").write_text("\n".join(["lr,val_loss,test_loss", *rows]) + "\n")
    (tmp_path / "t.toml").write_text(
        'file = "t.csv"\nhyperparameters = ["lr"]\nobjectives = { val_loss = "min", test_loss = "min" }\n'
        'test = { val_loss = "test_loss" }\n'
    )
    run(suite_text(f"table:{tmp_path / 't.toml'}", methods=["random", "grid"], trials=10), tmp_path / "r")
    data = ranked(tmp_path / "r", "--test-metric")
    by_seed = data["per_instance"][0]["by_seed"]
    for row in data["methods"]:
        tests = [0.5 + (10 - loss) / 100 for loss in by_seed["loss"][row["method"]]]
        assert by_seed["test"][row["method"]] == pytest.approx(tests)
        assert row["test"] == pytest.approx(sum(tests) / 2)
    assert "Test metric of the incumbents: test_loss, on 1 of 1 instances" in data["notes"][-1]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--benchmark", "hpobnch/*"], 2, "Unknown benchmark 'hpobnch/*'."),
        (["--method", "tpee"], 2, "Did you mean 'tpe'?"),
        (["--group-by", "family", "--figure", "cd.svg"], 2, "--group-by makes several"),
        (["--external", "nowhere.csv"], 1, "nowhere.csv cannot be read"),
        (["--target", "2"], 2, "'--target'"),
        (["--metric", "median"], 2, "'--metric'"),
    ],
)
def test_what_rank_refuses_is_one_line(results, words, status, says):
    done = surrobench("rank", results, *words)
    assert done.status == status
    assert says in done.error


def test_rank_shows_intervals_and_names_the_correction_and_the_test_of_pairs(tmp_path):
    names = ("car", "kc1", "vehicle", "phoneme", "segment")
    benchmarks = [f"hpobench/mlp/{name}" for name in names]
    assert run(suite_text(MLP, *benchmarks, methods=("random", "tpe"), seeds=3), tmp_path).complete
    words = ["rank", tmp_path, "--correction", "bh", "--posthoc", "conover", "--intervals"]
    done = surrobench(*words)
    assert done.status == 0, done.err
    assert "p (Benjamini-Hochberg)" in " ".join(done.out.split()) or "(Benjamini-Hochberg)" in done.out
    done = surrobench(*words, "--notes")
    assert "Conover's t of rank sums" in done.out
    assert "bootstrap-t at 95%" in " ".join(done.out.split())
    document = json.loads(surrobench(*words, "--format", "json").out)
    assert document["versus_control"]["correction"] == "bh"
    assert document["pairs"]["test"] == "conover"
    low, high = (document["extra"][f"iqm_{end}"]["tpe"] for end in ("low", "high"))
    assert low < document["extra"]["iqm"]["tpe"] < high
    figure = tmp_path / "cd.svg"
    assert surrobench("rank", tmp_path, "--posthoc", "wilcoxon", "--figure", figure).status == 0
    assert "CD =" not in figure.read_text()


def test_rank_shows_the_notes_that_matter_and_on_request_all(results):
    more = ("--target", 0.2, "--test-metric", "--intervals")

    def said(*words):
        return " ".join(surrobench("rank", results, *more, *words).out.split())

    few, everything = said(), said("--notes")
    document = json.loads(surrobench("rank", results, *more, "--format", "json").out)
    notes = [" ".join(note.split()) for note in document["notes"]]
    left = sum(note not in few for note in notes)
    assert len(notes) - left == 5
    assert f" {left} more note{'s' * (left > 1)}: --notes" in few
    assert all(note in everything for note in notes)
    assert "--notes" not in everything
