"""Results of others: what is accepted, and what is said of what is not."""

import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import ResultsError, UnknownName, UsageError
from surrobench.protocol.budget import Budget
from surrobench.report.data.external_results import read_others
from surrobench.report.data.study_data import load_study
from surrobench.results.folder import Results
from tests.studies import MLP, NAS, run, suite_text, surrobench

HEAD = "method,benchmark,seed,trial,value\n"


def write(path, *rows, head=HEAD):
    path.write_text(head + "".join(f"{row}\n" for row in rows))
    return [path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("others") / "r"
    run(suite_text(MLP, methods=("random", "sobol"), trials=6, seeds=1), out)
    return out


@pytest.mark.parametrize("begin", [0, 1])
def test_trials_may_count_from_0_or_1_and_columns_stand_in_any_order(tmp_path, begin):
    head = "value,extra,trial,seed,benchmark,method\n"
    rows = [f"{v},x,{begin + t},3,{MLP},theirs" for t, v in enumerate(["0.5", "", "nan", "0.7"])]
    found = read_others(write(tmp_path / "o.csv", *reversed(rows), head=head))
    assert found["trial"].to_list() == [0, 1, 2, 3]
    assert found["seed"].unique().to_list() == [3]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([f"m,{MLP},0,0,0.5", f"m,{MLP},0,2,0.5"], f"m on {MLP} seed 0 lacks trial 1."),
        ([f"m,{MLP},0,2,0.5"], "lacks trial 1."),
        ([f"m,{MLP},0,0,0.5", f"m,{MLP},0,0,0.6"], f"m on {MLP} seed 0 has trial 0 twice: "),
        ([f"m,{MLP},0,0,good"], "line 2: 'good' is no value."),
        ([f"m,{MLP},0,0,0.5", f"m,{MLP},-1,0,0.5"], "line 3: '-1' is no seed."),
        ([f"m,{MLP},0,first,0.5"], "'first' is no trial."),
        ([f",{MLP},0,0,0.5"], "is no method."),
    ],
)
def test_what_is_wrong_with_a_row_is_said_in_one_line(tmp_path, rows, says):
    with pytest.raises(ResultsError) as wrong:
        read_others(write(tmp_path / "o.csv", *rows))
    assert says in wrong.value.message
    assert "\n" not in str(wrong.value)


def test_missing_columns_files_and_benchmarks_are_named(tmp_path):
    with pytest.raises(
        ResultsError, match=r"o\.csv has no column seed, trial; it has method, benchmark, value"
    ):
        read_others(write(tmp_path / "o.csv", head="method,benchmark,value\n"))
    with pytest.raises(ResultsError, match=r"nowhere\.csv cannot be read"):
        read_others([tmp_path / "nowhere.csv"])
    with pytest.raises(ResultsError, match="cannot be read"):
        read_others(write(tmp_path / "empty.csv", head=""))
    with pytest.raises(UnknownName, match="Did you mean 'hpobench/mlp/australian'"):
        read_others(write(tmp_path / "o.csv", "m,hpobench/mlp/australia,0,0,0.5"))


def test_they_are_ranked_after_as_many_trials_as_they_have_and_scored_by_value(tmp_path, folder):
    rows = [f"theirs,{MLP},0,{t},{v}" for t, v in enumerate([0.5, 0.9, 0.6, 0.95])]
    rows += [f"theirs,{NAS},0,0,50"]
    others = read_others(write(tmp_path / "o.csv", *rows))
    study = load_study(Results(folder), others=others, area=True, test_metric=True)
    assert set(study.incumbents["trials"]) == {4, 6}
    [mine] = study.incumbents.filter(method="theirs").rows(named=True)
    assert mine["score"] == benchmark(MLP).objective.sign * 0.95
    assert (mine["trials"], mine["test"]) == (4, None)
    assert mine["area"] > 0
    assert any("scored by the values" in note for note in study.notes)
    assert any(NAS in note for note in study.notes)


def test_curves_can_be_cut_after_as_many_trials_as_all_have(tmp_path, folder):
    rows = [f"theirs,{MLP},0,{t},0.5" for t in range(4)]
    rows += [
        f"theirs,{MLP},1,{t},0.5" for t in range(9)
    ]  # of which 4 count, too: as many as all of theirs have
    study = load_study(Results(folder), others=read_others(write(tmp_path / "o.csv", *rows)))
    assert study.common_trials == 4
    assert (study.after[4]["trials"].end == 4).all()
    assert (study.anytime(after=4).steps["trials"].end == 4).all()
    assert max(study.steps["trials"].end) == 9
    assert study.anytime().horizon("trials") == 6  # seed 1 is not common
    with pytest.raises(ValueError, match="No run was given 5 trials"):
        study.anytime(after=5)


def test_what_cannot_be_ranked_along_is_refused(tmp_path, folder):
    results = Results(folder)
    same = read_others(write(tmp_path / "same.csv", f"random,{MLP},0,0,0.5"))
    with pytest.raises(ResultsError, match="random is a method of the study and of the others"):
        load_study(results, others=same)
    apart = read_others(write(tmp_path / "apart.csv", f"theirs,{NAS},0,0,50"))
    with pytest.raises(ResultsError, match="share no benchmark"):
        load_study(results, others=apart)
    fine = read_others(write(tmp_path / "fine.csv", f"theirs,{MLP},0,0,0.5"))
    with pytest.raises(UsageError, match="by trial, not by seconds"):
        load_study(results, others=fine, units=("seconds",))
    with pytest.raises(UsageError, match="by trial, not by seconds"):
        load_study(results, Budget(seconds=5), others=fine)


@pytest.mark.parametrize("limit", [Budget(trials=2), Budget(equivalents=2)])
def test_a_limit_holds_for_others_too(tmp_path, folder, limit):
    others = read_others(
        write(tmp_path / "o.csv", *(f"theirs,{MLP},0,{t},{v}" for t, v in enumerate([0.5, 0.6, 0.9])))
    )
    study = load_study(Results(folder), limit, others=others)
    [mine] = study.incumbents.filter(method="theirs").rows(named=True)
    assert mine["score"] == benchmark(MLP).objective.sign * 0.6
    assert study.anytime().horizon("trials") == 2


def test_partial_leaves_out_the_benchmarks_that_others_lack(tmp_path):
    run(suite_text(MLP, NAS, methods=("random", "sobol"), seeds=1), tmp_path / "r")
    others = read_others(write(tmp_path / "o.csv", f"theirs,{MLP},0,0,0.5"))
    study = load_study(Results(tmp_path / "r"), others=others, partial=True)
    assert set(study.references) == {MLP}
    assert set(study.runs["method"]) == {"random", "sobol", "theirs"}


def test_a_run_in_two_files_is_not_the_better_of_both(tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    write(one, f"m,{MLP},0,0,0.5", f"m,{MLP},0,1,0.9")
    write(other, f"m,{MLP},1,0,0.5", f"m,{MLP},0,1,0.6", f"m,{MLP},0,0,0.8")
    for files, lines in (([one, other], (one, 2, other, 4)), ([one, one], (one, 2, one, 2))):
        with pytest.raises(ResultsError) as wrong:
            read_others(files)
        where = "{} line {} and {} line {}".format(*lines)
        assert wrong.value.message == f"m on {MLP} seed 0 has trial 0 twice: {where}."


def test_what_is_missing_in_all_files_together_is_missing(tmp_path):
    begin, end = tmp_path / "begin.csv", tmp_path / "end.csv"
    write(begin, f"m,{MLP},0,1,0.5")
    write(end, f"m,{MLP},0,3,0.5")
    with pytest.raises(ResultsError) as wrong:
        read_others([end, begin])
    assert wrong.value.message == f"{begin}, {end}: m on {MLP} seed 0 lacks trial 2."


def test_a_method_may_be_split_over_files_by_seed_benchmark_or_trial(tmp_path):
    files = [tmp_path / f"{i}.csv" for i in range(4)]
    write(files[0], f"m,{MLP},0,0,0.5", f"m,{MLP},0,1,0.6")
    write(files[1], f"m,{MLP},1,1,0.7", f"m,{MLP},1,2,0.8")
    write(files[2], f"m,{NAS},0,0,50")
    write(files[3], f"m,{MLP},0,2,0.9")
    found = read_others(files)
    runs = found.group_by("benchmark", "seed", maintain_order=True).agg("trial", "value")
    assert runs.rows() == [
        (MLP, 0, [0, 1, 2], [0.5, 0.6, 0.9]),
        (MLP, 1, [0, 1], [0.7, 0.8]),
        (NAS, 0, [0], [50.0]),
    ]


@pytest.mark.parametrize("nothing", ["", "nan", "inf", "-inf"])
def test_a_trial_without_a_finite_value_observed_nothing(tmp_path, folder, nothing):
    rows = [f"theirs,{MLP},0,{t},{v}" for t, v in enumerate([nothing, nothing, "0.5"])]
    others = read_others(write(tmp_path / "o.csv", *rows))
    study = load_study(Results(folder), others=others)
    [mine] = study.incumbents.filter(method="theirs").rows(named=True)
    assert mine["score"] == benchmark(MLP).objective.sign * 0.5
    with pytest.raises(ResultsError, match=f"observed nothing: theirs on {MLP} seed 0"):
        load_study(Results(folder), Budget(trials=2), others=others)


def test_a_run_of_infinite_values_is_one_line_on_the_command_line(tmp_path, folder):
    [file] = write(tmp_path / "o.csv", *(f"theirs,{MLP},0,{t},inf" for t in range(6)))
    for flags in (["--metric", "normalised"], ["--intervals"]):
        done = surrobench("rank", folder, "--external", file, *flags)
        assert done.status == 1
        assert f"observed nothing: theirs on {MLP} seed 0" in done.error
