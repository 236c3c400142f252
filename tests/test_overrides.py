"""A part of a suite is run, ranked with a note of it, and gone on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from surrobench.errors import UnknownName
from surrobench.overrides import Part
from surrobench.results import Results
from surrobench.suite import parse_suite
from surrobench.workers import InlineExecutor
from tests.studies import FCN, MLP, suite_text, surrobench

TEXT = suite_text(MLP, FCN, methods=("random", "sobol", "tpe"), seeds=3) + (
    'seeds = 2\n[claims.sobol]\nsays = "Sobol is ahead"\nbetter = "sobol"\nthan = "random"\n'
    '[claims.model]\nsays = "A model is ahead"\nbetter = "tpe"\nthan = ["random", "sobol"]\n'
)


def surro(*arguments: object) -> str:
    done = surrobench(*arguments)
    assert done.status == 0, done.err
    return str(done.out)


@pytest.fixture
def suite_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("surrobench.study.process_pool", lambda jobs: InlineExecutor())
    path = tmp_path / "tiny.toml"
    path.write_text(TEXT)
    return path


def test_a_part_has_what_is_meant_in_the_order_of_the_suite_and_says_so() -> None:
    suite = parse_suite(TEXT)
    assert Part().of(suite) == suite
    assert str(Part()) == ""
    part = Part(("*/fcnet/*",), ("tpe", "ran*"), 1)
    narrowed = part.of(suite)
    assert narrowed.benchmark_ids() == [FCN]
    assert [*narrowed.optimizers] == ["random", "tpe"]
    assert (narrowed.seeds, narrowed.optimizers["tpe"].seeds) == (1, 1)
    assert (narrowed.claims, narrowed.control) == (suite.claims, suite.control)
    assert str(part) == "at most 1 seed; tpe ran*; */fcnet/*"


def test_seeds_are_at_most_those_of_the_suite() -> None:
    narrowed = Part(seeds=9).of(parse_suite(TEXT))
    assert (narrowed.seeds, narrowed.optimizers["tpe"].seeds) == (3, 2)
    assert narrowed.optimizers["random"].seeds is None


@pytest.mark.parametrize(
    ("part", "says"),
    [(Part(methods=("smac",)), "method 'smac'"), (Part((MLP, "hpobench/nowhere/*")), "bench")],
)
def test_a_pattern_that_means_nothing_is_an_error(part: Part, says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        part.of(parse_suite(TEXT))


def test_a_pilot_is_gone_on_from(suite_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    assert "6 of 6 to do" in surro("run", suite_file, "--seeds", 1, "--out", out, "--dry-run")
    surro("run", suite_file, "--seeds", 1, "--out", out)
    assert "was run in" in surro("rank", out)
    before = Results(out).trials().collect()
    surro("run", suite_file, "--out", out)
    ranked = surro("rank", out)
    assert "was run in" not in ranked
    after = Results(out).trials().collect()
    order = ["run", "trial"]
    assert after.join(before, on="run", how="semi").sort(order).equals(before.sort(order))
    assert after["run"].n_unique() == 2 * (3 + 3 + 2)


def test_claims_about_methods_that_were_not_run_are_named_and_the_others_judged(
    suite_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    surro("run", suite_file, "--method", "random", "--method", "sobol", "--out", out)
    ranked = surro("rank", out, "--format", "markdown").replace("\\", "")
    assert f"A part of the suite was run in {out}: random sobol." in ranked
    assert "Sobol is ahead" in ranked
    assert "A model is ahead" not in ranked
    assert "Not judged, since a method they are about is not in the results: model." in ranked


def test_parts_that_were_run_apart_are_ranked_together(suite_file: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    surro("run", suite_file, "--method", "random", "--method", "tpe", "--out", one)
    surro("run", suite_file, "--method", "sobol", "--out", other)
    alone = surro("rank", one, "--format", "markdown")
    assert "not in the results: model, sobol." in alone
    assert "is ahead" not in alone
    together = surro("rank", one, other, "--format", "markdown")
    assert "Sobol is ahead" in together
    assert "A model is ahead" in together
    assert together.count("A part of the suite was run in") == 2


def test_a_replay_is_of_the_part_that_was_recorded(suite_file: Path, tmp_path: Path) -> None:
    surro("run", suite_file, "--seeds", 1, "--method", "random", "--out", tmp_path / "r")
    done = surrobench("run", suite_file, "--replay", tmp_path / "r", "--out", tmp_path / "again")
    assert done.status == 0, done.err
    assert "Replaying the part of the suite that was recorded: at most 1 seed; random." in done.err
    assert "2 runs: 0 were finished before, now 2 ok" in " ".join(done.err.split())
    assert Part.recorded(Results(tmp_path / "again").manifest) == Part((), ("random",), 1)


def test_what_another_part_left_in_the_folder_is_kept_and_counted(suite_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    surro("run", suite_file, "--method", "random", "--out", out)
    done = surrobench("run", suite_file, "--method", "sobol", "--out", out)
    assert "6 runs in" in done.err
    assert "not in this part" in done.err
    assert Results(out).trials().collect()["run"].n_unique() == 12
