"""A part of a suite is run, ranked with a note of it, and gone on from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from surrobench.benchmarks.registry import scenario
from surrobench.errors import DataError, UnknownName
from surrobench.execution.process_pool import InlineExecutor
from surrobench.plan.planning import plan
from surrobench.results.folder import Results
from surrobench.suite.loading import parse_suite
from surrobench.suite.selection import Selection
from tests.studies import FCN, MLP, edit_manifest, suite_text, surrobench

TEXT = suite_text(MLP, FCN, methods=("random", "sobol", "tpe"), seeds=3) + (
    'seeds = 2\n[claims.sobol]\nsays = "Sobol is ahead"\nbetter = "sobol"\nthan = "random"\n'
    '[claims.model]\nsays = "A model is ahead"\nbetter = "tpe"\nthan = ["random", "sobol"]\n'
)


def flat(text: str) -> str:
    return " ".join(text.split())


def surro(*arguments: object) -> str:
    done = surrobench(*arguments)
    assert done.status == 0, done.err
    return str(done.out)


@pytest.fixture
def suite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
    path = tmp_path / "tiny.toml"
    path.write_text(TEXT)
    return path


def test_a_part_has_what_is_meant_in_the_order_of_the_suite_and_says_so() -> None:
    suite = parse_suite(TEXT)
    assert Selection().of(suite) == suite
    assert str(Selection()) == ""
    part = Selection(("*/fcnet/*",), ("t*",), 1)
    narrowed = part.of(suite)
    assert narrowed.benchmark_ids() == [FCN]
    assert [*narrowed.optimizers] == ["random", "tpe"]  # the control, too
    assert (narrowed.seeds, narrowed.optimizers["tpe"].seeds) == (1, 1)
    assert (narrowed.claims, narrowed.control) == (suite.claims, suite.control)
    assert str(part) == "at most 1 seed; t*; */fcnet/*"


def test_seeds_are_at_most_those_of_the_suite() -> None:
    narrowed = Selection(seeds=9).of(parse_suite(TEXT))
    assert (narrowed.seeds, narrowed.optimizers["tpe"].seeds) == (3, 2)
    assert narrowed.optimizers["random"].seeds is None


@pytest.mark.parametrize(
    ("part", "says"),
    [(Selection(methods=("smac",)), "method 'smac'"), (Selection((MLP, "hpobench/nowhere/*")), "bench")],
)
def test_a_pattern_that_means_nothing_is_an_error(part: Selection, says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        part.of(parse_suite(TEXT))


@pytest.fixture
def no_yahpo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SURROBENCH_YAHPO_DATA", str(tmp_path))
    scenario.cache_clear()
    yield
    scenario.cache_clear()


@pytest.mark.usefixtures("no_yahpo")
def test_missing_data_matters_only_to_the_benchmarks_that_are_in_it() -> None:
    suite = parse_suite(suite_text(MLP, "yahpo/lcbench/3945"))
    assert Selection((MLP,)).of(suite).benchmark_ids() == [MLP]
    origin = plan(suite, Selection((MLP,))).origin
    assert origin is not None
    assert not origin.complete
    assert origin.benchmarks == {MLP}
    with pytest.raises(DataError, match="YAHPO"):
        Selection(("yahpo/*",)).of(suite)
    with pytest.raises(UnknownName, match="hpobench/mlp/car"):
        Selection(("hpobench/mlp/car",)).of(parse_suite(suite_text(MLP)))


def test_two_parts_have_in_common_what_is_in_both() -> None:
    suite = parse_suite(TEXT)
    assert Selection(methods=("sobol",)).within(Selection(seeds=1), suite) == Selection(
        (MLP, FCN), ("random", "sobol"), 1
    )


def test_a_pilot_is_gone_on_from(suite_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert "6 of 6 to do" in surro("run", suite_file, "--seeds", 1, "--out", out, "--dry-run")
    surro("run", suite_file, "--seeds", 1, "--out", out)
    assert "A part of the suite was run: 1 of 3 seeds." in flat(surro("rank", out))
    assert "the whole may decide otherwise" in flat(surro("rank", out))
    assert "This is a part of the suite: 1 of 3 seeds." in surro("status", out)
    before = Results(out).trials().collect()
    surro("run", suite_file, "--out", out)
    ranked = surro("rank", out)
    assert "part of the suite" not in ranked + surro("status", out)
    after = Results(out).trials().collect()
    order = ["run", "trial"]
    assert after.join(before, on="run", how="semi").sort(order).equals(before.sort(order))
    assert after["run"].n_unique() == 2 * (3 + 3 + 2)


def test_options_that_leave_nothing_out_make_no_part(suite_file: Path, tmp_path: Path) -> None:
    surro("run", suite_file, "--seeds", 9, "--method", "*", "--out", tmp_path / "r")
    assert "part of the suite" not in surro("rank", tmp_path / "r")


def test_claims_about_methods_that_were_not_run_are_named_and_the_others_as_hard_to_resolve(
    suite_file: Path, tmp_path: Path
) -> None:
    surro("run", suite_file, "--out", tmp_path / "whole")
    surro("run", suite_file, "--method", "sobol", "--out", tmp_path / "part")
    ranked = surro("rank", tmp_path / "part", "--format", "markdown").replace("\\", "")
    assert "A part of the suite was run: 2 of 3 methods." in ranked
    assert "Sobol is ahead" in ranked
    assert "A model is ahead" not in ranked
    assert "Claims not judged, since a method of theirs was not run: model." in ranked
    assert "corrects the p-values for 2 claims" in " ".join(ranked.split())
    part, whole = (
        {one["name"]: one for one in json.loads(surro("rank", tmp_path / of, "--format", "json"))["claims"]}
        for of in ("part", "whole")
    )
    assert part["sobol"]["p_holds_corrected"] >= whole["sobol"]["p_holds_corrected"]


@pytest.mark.parametrize("together", [True, False])
def test_parts_add_up_in_one_folder_and_in_several(suite_file: Path, tmp_path: Path, together: bool) -> None:
    folders = [tmp_path / "r", tmp_path / ("r" if together else "other")]
    surro("run", suite_file, "--method", "tpe", "--out", folders[0])
    alone = surro("rank", folders[0], "--format", "markdown")
    assert "was not run: model, sobol." in alone
    assert "is ahead" not in alone
    surro("run", suite_file, "--method", "sobol", "--out", folders[1])
    both = surro("rank", *dict.fromkeys(folders), "--format", "markdown")
    assert "Sobol is ahead" in both
    assert "A model is ahead" in both
    assert "part of the suite" not in both


def test_a_part_run_again_leaves_the_rest_in_place(suite_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    surro("run", suite_file, "--out", out)
    before = surro("rank", out)
    surro("run", suite_file, "--method", "sobol", "--benchmark", MLP, "--retry-failed", "--out", out)
    assert surro("rank", out) == before


def test_a_replay_is_of_the_part_that_was_recorded(suite_file: Path, tmp_path: Path) -> None:
    surro("run", suite_file, "--seeds", 1, "--method", "sobol", "--out", tmp_path / "r")
    done = surrobench("run", suite_file, "--replay", tmp_path / "r", "--out", tmp_path / "again")
    assert done.status == 0, done.err
    assert "The recording holds a part of the suite, which is replayed: at most 1 seed; sobol." in flat(
        done.err
    )
    assert "4 runs: 0 were finished before, now 4 ok" in flat(done.err)
    assert Selection.recorded(Results(tmp_path / "again").manifest) == Selection((), ("sobol",), 1)
    part = ("--benchmark", MLP, "--replay", tmp_path / "r", "--out", tmp_path / "less")
    assert "2 runs: 0 were finished before, now 2 ok" in flat(surrobench("run", suite_file, *part).err)


def test_results_of_older_versions_are_no_part(suite_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    surro("run", suite_file, "--seeds", 1, "--out", out)
    edit_manifest(out, lambda manifest: [manifest["suite"].pop(name) for name in ("part", "whole")])
    assert "part of the suite" not in surro("rank", out)
    assert Selection.recorded(Results(out).manifest) == Selection()
