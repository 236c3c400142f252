"""Types of columns, big integers, learning curves that end early, and tables on which everything ties."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from surrobench import benchmark
from surrobench.benchmarks.registry import expand
from surrobench.errors import DataError, UsageError
from surrobench.stats.regret import has_unit, normalised_regret
from tests.studies import run, suite_text, surrobench, trials

ROWS = 6


def table(folder: Path, description: str = "", **columns: Any) -> str:
    """A table of ``ROWS`` rows as Parquet; the description, if any, is a TOML file beside it."""
    frame = pl.DataFrame({"x": list(range(ROWS)), "loss": [5.0, 3, 1, 2, 4, 6], **columns})
    frame.write_parquet(folder / "t.parquet")
    toml = folder / "t.toml"
    toml.write_text(
        'file = "t.parquet"\n' + (description or 'hyperparameters = ["x"]\nobjectives = { loss = "min" }\n')
    )
    return f"table:{toml}"


DESCRIBED = 'hyperparameters = ["x"]\nobjectives = { loss = "min" }\n'
ROLES = {
    "cost": DESCRIBED + 'cost = "odd"\n',
    "objective": 'hyperparameters = ["x"]\nobjectives = { loss = "min", odd = "max" }\n',
    "fidelity": DESCRIBED + 'fidelities = ["odd"]\n',
    "instance": DESCRIBED + 'instance = "odd"\n',
    "repetition": DESCRIBED + 'repetition = "odd"\n',
    "hyperparameter": 'hyperparameters = ["x", "odd"]\nobjectives = { loss = "min" }\n',
}
ODD = {
    "list": [[1, 2]] * ROWS,
    "struct": [{"a": 1}] * ROWS,
    "date": [date(2026, 1, 1)] * ROWS,
    "binary": [b"x"] * ROWS,
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", ODD)
def test_a_column_of_another_type_is_refused_by_the_users_name(tmp_path: Path, role: str, kind: str) -> None:
    done = surrobench("evaluate", table(tmp_path, ROLES[role], odd=ODD[kind]), "--config", "{}")
    assert done.status == 1
    assert f"t.toml: odd holds {kind} values. A column holds numbers, words or truth values;" in done.error


def test_a_duration_is_seconds(tmp_path: Path) -> None:
    took = [timedelta(minutes=1, milliseconds=500 * i) for i in range(ROWS)]
    where = benchmark(table(tmp_path, ROLES["cost"], odd=took))
    assert where.evaluate({"x": 3})["cost"] == [61.5]
    where = benchmark(table(tmp_path, ROLES["objective"], odd=took))
    assert where.evaluate({"x": 3})["odd"] == [61.5]


@pytest.mark.parametrize("role", ["instance", "repetition"])
def test_a_duration_names_no_instance_and_no_repetition(tmp_path: Path, role: str) -> None:
    with pytest.raises(DataError, match=r"t\.toml: odd holds duration values\."):
        benchmark(table(tmp_path, ROLES[role], odd=[timedelta(seconds=i) for i in range(ROWS)]))


def test_decimals_are_numbers(tmp_path: Path) -> None:
    decimals = {"odd": [Decimal(i) / 4 for i in range(ROWS)]}
    where = benchmark(table(tmp_path, ROLES["hyperparameter"], **decimals))
    assert where.evaluate({"x": 2, "odd": 0.5}) == {"loss": [1.0], "cost": [1.0]}
    whole = {"odd": [Decimal(i) for i in range(ROWS)]}
    where = benchmark(table(tmp_path, ROLES["hyperparameter"], **whole))
    assert where.space.decode(where.scenario.default())[0]["odd"] == 2
    assert run(suite_text(table(tmp_path, ROLES["cost"], **decimals), trials=3), tmp_path / "r").complete


@pytest.mark.parametrize("rows", [3, 70])
@pytest.mark.parametrize("exponent", [52, 61, 62, 63, 64, 70, 126])
def test_integers_are_exact_or_refused(tmp_path: Path, rows: int, exponent: int) -> None:
    """A range beyond 2 ** 53 would take neighbours for one; a grid knows its values up to 64 bits."""
    path = tmp_path / "t.csv"
    for sign in (1, -1):
        lines = [f"{sign * (2**exponent + i)},{i}" for i in range(rows)]
        path.write_text("\n".join(["config.n,minimize.l", *lines]) + "\n")
        if exponent < (63 if rows == 3 else 53):
            where = benchmark(f"table:{path}")
            assert where.evaluate([{"n": sign * (2**exponent + 1)}])["l"] == [1.0]
            assert run(
                suite_text(f"table:{path}", methods=["random", "tpe"], seeds=1), tmp_path / f"r{sign}"
            ).complete
        else:
            done = surrobench("evaluate", f"table:{path}", "--config", "{}")
            assert done.status == 1
            assert "t.csv: config.n has the value " in done.error


def test_errors_name_the_users_column(tmp_path: Path) -> None:
    for values, says in (
        ([None, *range(1, ROWS)], "odd has no value in row 1"),
        (["a", *map(str, range(1, ROWS))], "odd must be numbers, but row 1 has 'a'"),
        ([-1.0] * ROWS, "odd must be seconds, but the lowest is -1.0"),
    ):
        with pytest.raises(DataError, match=rf"^t\.toml: {says}"):
            benchmark(table(tmp_path, ROLES["cost"], odd=values))


def test_a_table_of_constants_has_nothing_to_tune(tmp_path: Path) -> None:
    description = 'hyperparameters = ["c"]\nobjectives = { loss = "min" }\nrepetition = "x"\n'
    with pytest.raises(DataError, match=r"has one configuration: .* There is nothing to tune\."):
        benchmark(table(tmp_path, description, c=[4] * ROWS))


# ---------------------------------------------------------------------- learning curves

CURVES = """\
file = "curves.csv"
hyperparameters = ["x"]
objectives = { loss = "min" }
fidelities = ["epoch"]
cost = "time"
"""
EPOCHS = (1, 2, 4, 8)


def curves(folder: Path, ends: dict[int, int], more: str = "resumable = true\n") -> str:
    """Learning curves of configurations x that end at an epoch each; ``ends``: x -> the last epoch."""
    lines = [
        f"{x},{epoch},{abs(x - 3) + 8 / epoch},{epoch * 10}"
        for x, end in ends.items()
        for epoch in EPOCHS
        if epoch <= end
    ]
    (folder / "curves.csv").write_text("\n".join(["x,epoch,loss,time", *lines]) + "\n")
    (folder / "curves.toml").write_text(CURVES + more)
    return f"table:{folder / 'curves.toml'}"


ENDS = {0: 2, 1: 8, 2: 4, 3: 1, 4: 8, 5: 8, 6: 2, 7: 8}


def test_what_a_curve_does_not_have_cannot_be_asked_for(tmp_path: Path) -> None:
    reference = curves(tmp_path, ENDS)
    where = benchmark(reference)
    assert where.scenario.fidelities[0].resumable
    assert where.evaluate({"x": 2}, fidelity={"epoch": 4}) == {"loss": [3.0], "cost": [40.0]}
    with pytest.raises(UsageError, match=r'The learning curve of {"x": 2} ends at epoch = 4\.'):
        where.evaluate({"x": 2})
    done = surrobench("evaluate", reference, "--config", '{"x": 3}', "--fidelity", "epoch=2")
    assert (done.status, done.out) == (2, "")
    assert 'The learning curve of {"x": 3} ends at epoch = 1. Ask for a fidelity that it has.' in done.error
    # The reference values are of what was trained to the end, and so is the default.
    assert where.reference.sorted_losses.tolist() == [2.0, 3.0, 3.0, 5.0]
    assert ENDS[where.space.decode(where.scenario.default())[0]["x"]] == 8


def test_in_a_study_a_trial_beyond_the_end_of_a_curve_observes_nothing(tmp_path: Path) -> None:
    suite = tmp_path / "s.toml"
    suite.write_text(suite_text(curves(tmp_path, ENDS), methods=["random", "hyperband"], trials=30, seeds=2))
    dry = surrobench("run", suite, "--dry-run")
    assert "4 of 8 learning curves end before epoch = 8: a trial that asks for more of one" in dry.out
    assert surrobench("run", suite, "--jobs", 1, "--out", tmp_path / "r").status == 0
    (key,) = {id_.rpartition("/")[0] for id_ in expand([curves(tmp_path, ENDS)])}
    found = trials(tmp_path / "r", key)
    beyond = found.filter(pl.col("fidelity.epoch") > pl.col("config.x").replace_strict(ENDS))
    assert set(beyond["status"]) == {"failed"}
    assert beyond["value"].null_count() == beyond.height > 0
    assert beyond["cost"].is_finite().all()
    within = found.filter(pl.col("fidelity.epoch") <= pl.col("config.x").replace_strict(ENDS))
    assert set(within["status"]) == {"ok"}
    assert "hyperband" in set(within["optimizer"])
    assert surrobench("rank", tmp_path / "r").status == 0


def test_only_curves_may_end_early_and_none_may_have_a_hole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks some of the 4 values of epoch\. .* resumable = true"):
        benchmark(curves(tmp_path, ENDS, ""))
    reference = curves(tmp_path, ENDS)
    path = tmp_path / "curves.csv"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("4,2,")]
    path.write_text("\n".join(kept))
    with pytest.raises(DataError, match=r'{"x": 4} on curves lacks some of the 4 values of epoch'):
        benchmark(reference)


def test_each_instance_has_a_whole_curve(tmp_path: Path) -> None:
    reference = curves(tmp_path, {}, 'instance = "data"\nresumable = true\n')
    lines = ["0,a,1,5,1", "0,a,8,1,8", "1,a,1,4,1", "1,b,1,3,1"]
    (tmp_path / "curves.csv").write_text("\n".join(["x,data,epoch,loss,time", *lines]))
    with pytest.raises(DataError, match="no configuration on b has a value at the full epoch, 8"):
        benchmark(f"{reference}/a")


def test_only_a_fidelity_is_resumable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="resumable is about a fidelity, and there is none"):
        benchmark(table(tmp_path, DESCRIBED + "resumable = true\n"))


# ---------------------------------------------------------------------- ties


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study on three tables: an ordinary one, one whose better half ties, and one where all is equal."""
    folder = tmp_path_factory.mktemp("tied")
    columns = {"good": [6, 2, 5, 1, 4, 3, 8, 7], "ceiling": [1, 1, 1, 0, 1, 1, 0.5, 1], "equal": [0.5] * 8}
    for name, values in columns.items():
        way = "minimize" if name == "good" else "maximize"
        lines = [f"{i},{value}" for i, value in enumerate(values)]
        (folder / f"{name}.csv").write_text("\n".join([f"config.x,{way}.acc", *lines]) + "\n")
    files = [f"table:{folder / name}.csv" for name in columns]
    (folder / "s.toml").write_text(suite_text(*files, methods=["random", "tpe", "cma-es"], trials=4, seeds=2))
    run((folder / "s.toml").read_text(), folder / "r")
    return folder


def test_regret_has_no_unit_where_the_best_is_as_good_as_the_anchor() -> None:
    assert np.isnan(normalised_regret([1.0, 2.0], 1.0, 1.0)).all()
    assert normalised_regret([1.0, 2.0], 1.0, 3.0).tolist() == [0.0, 0.5]


def test_tied_benchmarks_end_no_ranking_and_are_named(tied: Path) -> None:
    def alone(name: str) -> tuple[object, ...]:
        return tied / "r", "--benchmark", f"*/{name}"

    done = surrobench("rank", tied / "r", "--intervals", "--notes", "--target", 0.5)
    assert (done.status, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert "/ceiling; table/equal@" in said
    assert "the best loss is as large as the median: there is no normalised regret" in said
    rows = list(csv.DictReader(surrobench("rank", *alone("ceiling"), "--format", "csv").out.splitlines()))
    assert {row["normalised_regret"] for row in rows} == {""}
    # Six of eight rows tie at the best.
    assert 4 / 9 in {float(row["quantile_regret"]) for row in rows}
    assert '"normalised_regret": null' in surrobench("rank", *alone("equal"), "--format", "json").out
    for anchor in ("median", "worst"):
        assert surrobench("rank", tied / "r", "--anchor", anchor).status == 0
    refused = surrobench("rank", tied / "r", "--metric", "normalised")
    assert (refused.status, "/ceiling; table/equal@" in refused.error) == (1, True)


@pytest.mark.parametrize("kind", ["cd", "curves", "targets", "profile", "heatmap", "wins"])
def test_tied_benchmarks_end_no_figure(tied: Path, tmp_path: Path, kind: str) -> None:
    figure = tmp_path / "f.svg"
    done = surrobench("plot", kind, tied / "r", "--out", figure)
    assert (done.status, done.err) == (0, f"Figure: {figure}\n")


@pytest.mark.parametrize("kind", ["curves", "profile", "heatmap"])
def test_a_figure_of_normalised_regret_leaves_ties_out(tied: Path, tmp_path: Path, kind: str) -> None:
    words = ("plot", kind, tied / "r", "--measure", "normalised", "--out", tmp_path / "f.svg")
    assert surrobench(*words).status == 0
    alone = surrobench(*words, "--benchmark", "*/equal")
    assert (alone.status, "No benchmark has a normalised regret" in alone.error) == (1, True)


def test_a_dry_run_says_what_ties(tied: Path) -> None:
    said = surrobench("run", tied / "s.toml", "--dry-run").out
    assert "/equal: All configurations are as good: no method can be better than another." in said
    assert "/ceiling: The best loss is as large as the median: there is no normalised regret" in said
    assert "/good:" not in said
    for name, unit in (("good", True), ("equal", False)):
        assert has_unit(benchmark(f"table:{tied / name}.csv").reference, "median") == unit
