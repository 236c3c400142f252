"""Claims and power through the command line, on a study that is really run."""

import json
import re
import shutil

import pytest

from surrobench.execution.process_pool import InlineExecutor
from surrobench.plan.planning import plan
from surrobench.suite.loading import load_suite
from tests.studies import FCN, MLP, NAS, edit_manifest, run, suite_text, surrobench

CLAIMS = """
[claims.sobol]
says = "Sobol & co are 100% as good as random_search"
equal = "sobol"
to = "random"
margin = 0.9
[claims.early]
says = "after 2 trials random is no worse"
no_worse = "random"
than = "sobol"
margin = 0.2
after = 2
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims") / "r"
    text = suite_text(
        MLP, FCN, NAS, "hpobench/mlp/car", "hpobench/mlp/kc1", "hpobench/mlp/phoneme", "hpobench/mlp/segment",
        methods=("random", "sobol"), trials=6, seeds=3,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
        run(text + CLAIMS, folder)
    return folder


def test_rank_prints_each_claim_with_its_verdict_in_every_text_format(results):
    for form in ("table", "markdown", "latex"):
        out = surrobench("rank", results, "--format", form).out
        plain = out.replace("\\", "").replace("$", "")
        assert "Claims of the suite" in plain
        assert "Sobol & co are 100% as good as random_search" in plain
        assert "Advantage of sobol over random in quantile regret after 6 trials, 3 seeds" in plain
        assert "after 2 trials, 3 seeds, above -0.2: signed-rank test of the pseudomedian" in plain
        assert "corrects the p-values for 2 claims" in " ".join(plain.split())
        assert "holds" in plain
    assert (
        out.count(r"\begin{table}") == out.count(r"\end{table}") == 3
    )  # the ranking, what is not resolved, the claims
    assert len(re.findall(r"(?<!\\)\$", out)) % 2 == 0


def test_json_holds_what_is_needed_to_check_a_claim(results):
    first, second = json.loads(surrobench("rank", results, "--format", "json").out)["claims"]
    assert (first["name"], first["verdict"], first["n"], first["trials"]) == ("sobol", "holds", 7, 6)
    assert first["p_holds_corrected"] == pytest.approx(2 / 2**7)
    assert len(first["advantages"]) == 7
    assert first["low"] < first["estimate"] < first["high"]
    assert (second["after"], second["trials"], second["seeds"]) == (2, 2, 3)


def test_claims_are_judged_as_stated_whatever_the_ranking_is_limited_to(results):
    whole, cut = (
        json.loads(surrobench("rank", results, "--format", "json", *flags).out)
        for flags in ((), ("--budget", 3))
    )
    assert cut["trials"] == 3
    assert cut["claims"] == whole["claims"]


@pytest.mark.parametrize("part", [("--benchmark", "hpobench/*"), ("--method", "*"), ("--group-by", "family")])
def test_a_part_of_the_study_decides_no_claim_and_says_so(results, part):
    out = surrobench("rank", results, *part).out
    assert "The suite's claims are not judged: a part of the study is ranked." in out
    assert "Claims of the suite" not in out


def test_several_folders_decide_the_claims_they_share(results, tmp_path, monkeypatch):
    assert "Claims of the suite" in surrobench("rank", results, results).out
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
    run(suite_text(MLP, methods=("random", "sobol"), trials=6, seeds=3), tmp_path / "r")
    out = surrobench("rank", results, tmp_path / "r").out
    assert "not judged: these folders state different claims" in out


def test_csv_stays_one_table(results):
    lines = surrobench("rank", results, "--format", "csv").out.splitlines()
    assert len(lines) == 1 + 2
    assert "Sobol" not in "".join(lines)


def test_the_level_of_the_claims_is_the_suites_whatever_the_ranking_is_asked_for(results):
    usual, strict = (
        json.loads(surrobench("rank", results, "--format", "json", "--alpha", alpha).out)
        for alpha in (0.05, 0.001)
    )
    assert strict["claims"] == usual["claims"]
    assert "judged at the level that the suite states, 0.05" in " ".join(strict["notes"])


def test_a_study_without_claims_is_ranked_without_any(results, tmp_path, monkeypatch):
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
    run(suite_text(MLP, FCN, methods=("random", "sobol")), tmp_path / "r")
    assert "Claims" not in surrobench("rank", tmp_path / "r").out
    assert json.loads(surrobench("rank", tmp_path / "r", "--format", "json").out)["claims"] == []
    refused = surrobench("rank", tmp_path / "r", "--check")
    assert refused.status == 2
    assert "This study has no claims to check." in refused.error
    edit_manifest(tmp_path / "r", lambda manifest: manifest["suite"].pop("claims"))
    assert surrobench("rank", tmp_path / "r").status == 0


def test_check_succeeds_where_all_claims_hold(results):
    checked, plain = surrobench("rank", results, "--check"), surrobench("rank", results)
    assert (checked.status, checked.err, checked.out) == (0, "", plain.out)


def test_check_fails_and_names_the_claims_that_do_not_hold(results, tmp_path):
    strict = shutil.copytree(results, tmp_path / "strict")
    edit_manifest(strict, lambda manifest: manifest["suite"].update(alpha=0.001))
    done = surrobench("rank", strict, "--check", "--format", "csv")
    assert done.status == 1
    assert done.error == (
        "Error: 0 of 2 claims hold. The others: sobol is not resolved, early is not resolved.\n"
    )
    assert done.out.startswith("seeds,")  # the ranking is printed all the same


def test_check_fails_for_a_claim_that_cannot_be_judged_yet(tmp_path, monkeypatch):
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
    path = tmp_path / "s.toml"
    path.write_text(suite_text(MLP, FCN, methods=("random", "sobol", "tpe"), trials=6, seeds=2) + CLAIMS)
    assert surrobench("run", path, "--method", "tpe", "--out", tmp_path / "r", "-q", "-j", 1).status == 0
    done = surrobench("rank", tmp_path / "r", "--check")
    assert done.status == 1
    assert "0 of 2 claims hold. The others: sobol cannot be judged yet, early cannot be" in done.error


@pytest.mark.parametrize("part", [("--benchmark", "hpobench/*"), ("--group-by", "family")])
def test_check_of_a_part_of_a_study_is_refused(results, part):
    done = surrobench("rank", results, "--check", *part)
    assert (done.status, done.out) == (2, "")
    assert "Claims are about the whole study" in done.error


def test_rank_says_what_difference_it_could_have_resolved(results):
    out = surrobench("rank", results).out
    assert re.search(
        r"^Not resolved\n\nmethod +needed +observed *\n─+\nsobol +0\.\d+ +[+-]\d", out, re.MULTILINE
    )
    assert "surrobench power" in out


def test_power_prints_a_table_of_seeds_by_instances(results):
    done = surrobench("power", results, "--seeds", "3,6", "--instances", "7,14", "--simulations", 50)
    assert done.status == 0
    assert re.search(r"sobol .* 3 +\d+±\d+ +\d+±\d+ +(> )?\d+", done.out)
    assert "Holm over 1 comparison" in done.out
    again = surrobench("power", results, "--seeds", "3,6", "--instances", "7,14", "--simulations", 50)
    assert again.out == done.out


def test_power_as_json(results):
    done = surrobench("power", results, "--effect", 0.3, "--format", "json", "--simulations", 50)
    data = json.loads(done.out)
    assert data["instances"] == [3, 7, 14, 28]
    assert [row["seeds"] for row in data["rows"]] == [1, 3, 6, 12]
    assert {row["effect"] for row in data["rows"]} == {0.3}
    assert data["rows"][0]["power"][0] == {"value": 0.0, "error": pytest.approx(0.0256, abs=1e-3)}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--seeds", "3,x"], "'3,x' is not a list of counts such as 5,10,20."),
        (["--instances", "0"], "'0' is not a list of counts"),
        (["--method", "sobl"], "Did you mean 'sobol'?"),
        (["--control", "rndom"], "Did you mean 'random'?"),
        (["--power", "1"], "'--power'"),
    ],
)
def test_wrong_usage_of_power_is_one_line(results, flags, says):
    done = surrobench("power", results, *flags)
    assert done.status == 2
    assert says in done.error


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A study of which trials are not limited, but for one method, which has fewer seeds, too."""
    folder = tmp_path_factory.mktemp("uneven") / "r"
    text = suite_text(MLP, FCN, NAS, methods=("random", "sobol"), seeds=3)
    text = text.replace("trials = 4", "equivalents = 4.0")
    text += '[optimizers.short]\nmethod = "local-search"\ntrials = 2\nseeds = 1\n'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
        run(text + CLAIMS.partition("[claims.early]")[0], folder)
    return folder


def test_a_claim_about_methods_without_a_limit_is_not_cut_to_that_of_another(uneven):
    [claim] = json.loads(surrobench("rank", uneven, "--format", "json").out)["claims"]
    assert (claim["trials"], claim["seeds"]) == (None, 3)


def test_power_is_planned_for_who_has_more_seeds_than_another(uneven):
    flags = ("--instances", "4", "--simulations", 50, "--format", "json")
    done = surrobench("power", uneven, "--method", "sobol", "--seeds", "3,6", *flags)
    assert done.status == 0
    assert [(row["method"], row["seeds"]) for row in json.loads(done.out)["rows"]] == [
        ("sobol", 3), ("sobol", 6),
    ]  # fmt: skip
    assert "short: 1 common seed after 2 trials; sobol: 3 common seeds." in done.out
    refused = surrobench("power", uneven, "--method", "short", "--seeds", "3", *flags)
    assert refused.status == 2
    assert "short and random have one common seed" in refused.error


def test_power_counts_each_benchmark_by_itself_if_asked_to(results):
    flags = ("--seeds", "3", "--instances", "7", "--simulations", 50)
    by_data_set, by_itself = (
        " ".join(surrobench("power", results, *flags, *more).out.split())
        for more in ((), ("--blocks", "instance"))
    )
    assert "Benchmarks of one data set count as one instance." in by_data_set
    assert "Each benchmark is an instance of its own, as asked for" in by_itself


@pytest.mark.yahpo
@pytest.mark.parametrize(("name", "runs"), [("ferreira2026", 416), ("default-seed", 480)])
def test_the_suites_that_repeat_a_study_plan_and_say_what_they_would_cost(name, runs, tmp_path):
    suite, _ = load_suite(name)
    assert len(plan(suite)) == runs
    done = surrobench("run", name, "--out", tmp_path / "r", "--dry-run")
    assert f"{runs:,} of {runs:,} to do" in done.out
