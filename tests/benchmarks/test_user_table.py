"""Tables that a user brings: what the space is, what is evaluated, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from surrobench import benchmark
from surrobench.benchmarks.registry import expand, scenario
from surrobench.errors import DataError, SuiteError, UnknownName, UsageError
from surrobench.seeding import stream
from surrobench.space.hyperparameter import describe, is_log
from surrobench.suite.loading import parse_suite
from tests.own_tables import made_up
from tests.studies import run, suite_text, surrobench, trials

CONFIG = ["config.lr", "config.depth", "config.activation", "config.nesterov"]
SMALL = """\
config.width,config.act,minimize.loss,maximize.acc
16,relu,0.5,0.1
32,relu,0.4,0.2
64,relu,0.3,0.3
16,tanh,0.2,0.4
"""


def write(folder: Path, content: pl.DataFrame | str, name: str = "grid.csv") -> str:
    """A table's reference, ``table:FILE``."""
    path = folder / name
    if isinstance(content, str):
        path.write_text(content)
    elif path.suffix == ".parquet":
        content.write_parquet(path)
    else:
        content.write_csv(path)
    return f"table:{path}"


# ---------------------------------------------------------------------- names


def test_the_id_has_the_files_name_the_digits_of_its_content_and_the_instance(tmp_path: Path) -> None:
    ids = expand([write(tmp_path, made_up(), "my grid.v2.csv")])
    assert [re.sub("@[0-9a-f]{8}/", "@/", id_) for id_ in ids] == [
        "table/my_grid.v2@/iris",
        "table/my_grid.v2@/wine",
    ]
    assert expand([write(tmp_path, made_up(gaps=False), "my grid.v2.csv")]) != ids
    assert benchmark(ids[1]).id == ids[1]


def test_an_instance_may_be_picked(tmp_path: Path) -> None:
    reference = write(tmp_path, made_up())
    assert expand([f"{reference}/w*"]) == expand([reference])[1:]
    assert benchmark(f"{reference}/iris").instance == "iris"
    with pytest.raises(
        UsageError, match=r"several instances\. Add one of them: .*grid\.csv/NAME, of iris, wine"
    ):
        benchmark(reference)
    with pytest.raises(UnknownName, match="Did you mean 'wine'"):
        benchmark(f"{reference}/wien")


def test_parquet_and_csv_are_the_same_table(tmp_path: Path) -> None:
    frame = made_up()
    a = benchmark(write(tmp_path, frame, "a.csv") + "/iris")
    b = benchmark(
        write(tmp_path, frame.with_columns(pl.col("config.activation").cast(pl.Categorical)), "b.parquet")
        + "/iris"
    )
    X = a.space.sample(50, np.random.default_rng(0))
    assert a.space.decode(X) == b.space.decode(X)
    assert np.array_equal(a.evaluate(X)["val_loss"], b.evaluate(X)["val_loss"])


def test_a_table_that_is_not_in_the_cache_says_how_to_put_it_there() -> None:
    with pytest.raises(DataError, match=r"'gone@12345678' is not in the cache .* repeat the run command"):
        benchmark("table/gone@12345678/x")


# ---------------------------------------------------------------------- the space


def test_numbers_are_grids_or_ranges_and_words_are_categories(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 300
    frame = pl.DataFrame(
        {
            "config.lr": 10 ** rng.uniform(-5, -1, n),
            "config.dropout": rng.uniform(0, 0.9, n),
            "config.units": rng.integers(10, 500, n),
            "config.layers": rng.integers(1, 5, n),
            "config.batch": 2 ** rng.integers(3, 9, n),
            "config.act": rng.choice(["relu", "tanh"], n),
            "config.bias": rng.random(n) < 0.5,
            "config.threads": np.full(n, 4),
            "minimize.loss": rng.random(n),
        }
    )
    space = benchmark(write(tmp_path, frame, "sample.parquet")).space
    said = {name: describe(hp) for name, hp in zip(space.names, space.hyperparameters, strict=True)}
    assert said["lr"].startswith("a number in [")
    assert said["units"].startswith("an integer in [")
    assert said["layers"] == "one of 1, 2, 3, 4"
    assert said["batch"] == "one of 8, 16, 32, 64, 128, 256"
    assert said["act"] == "one of relu, tanh"
    assert said["bias"] == "one of false, true"
    assert said["threads"] == "one of 4"
    assert {name for name in said if is_log(space[name])} == {"lr", "batch"}


def test_the_default_is_the_listed_configuration_nearest_to_the_middle(tmp_path: Path) -> None:
    where = benchmark(write(tmp_path, SMALL))
    assert where.space.decode(where.scenario.default()) == [{"width": 32, "act": "relu"}]


# ---------------------------------------------------------------------- values


def test_every_value_of_the_file_is_found(tmp_path: Path) -> None:
    frame = made_up()
    names = [column.removeprefix("config.") for column in CONFIG]
    for instance, epoch in (("iris", 1), ("wine", 9)):
        where = benchmark(write(tmp_path, frame) + f"/{instance}")
        mine = frame.filter(pl.col("instance") == instance, pl.col("fidelity.epoch") == epoch)
        means = mine.drop("instance").group_by(CONFIG, maintain_order=True).mean()
        asked = means.select(CONFIG).rename(dict(zip(CONFIG, names, strict=True))).to_dicts()
        found = where.evaluate(asked, fidelity={"epoch": epoch})
        for column, objective in (
            ("minimize.val_loss", "val_loss"),
            ("maximize.val_accuracy", "val_accuracy"),
            ("cost", "cost"),
        ):
            assert np.allclose(found[objective], means[column].to_numpy(), rtol=1e-14)
        # With noise, one of the repetitions is observed, and each of them by some.
        keys = stream("test", 0).integers(2**64, size=len(asked), dtype=np.uint64)
        observed = where.evaluate(asked, keys, fidelity={"epoch": epoch})["val_loss"]
        both = mine.sort("repetition").group_by(CONFIG, maintain_order=True).agg("minimize.val_loss")
        both = (
            means.select(CONFIG).join(both, on=CONFIG, maintain_order="left")["minimize.val_loss"].to_list()
        )
        which = [values.index(value) for values, value in zip(both, observed.tolist(), strict=True)]
        assert 0.3 < np.mean(which) < 0.7


def test_the_order_of_the_rows_does_not_matter_to_values(tmp_path: Path) -> None:
    frame = made_up()
    a = benchmark(write(tmp_path, frame, "a.csv") + "/wine")
    b = benchmark(write(tmp_path, frame.sample(fraction=1.0, shuffle=True, seed=0), "b.csv") + "/wine")
    listed = frame.filter(pl.col("instance") == "wine").select(CONFIG).unique(maintain_order=True)
    asked = listed.rename({column: column.removeprefix("config.") for column in CONFIG}).to_dicts()
    for z in (1, 3, 9):
        one, other = (where.evaluate(asked, fidelity={"epoch": z})["val_loss"] for where in (a, b))
        assert np.allclose(one, other, rtol=1e-14)


def test_reference_values_are_those_of_the_listed_configurations(tmp_path: Path) -> None:
    where = benchmark(
        write(tmp_path, SMALL.replace("minimize.loss,maximize.acc", "maximize.acc,minimize.loss"))
    )
    assert where.objective.name == "acc"
    assert where.reference.sorted_losses.tolist() == [-0.5, -0.4, -0.3, -0.2]
    assert (where.reference.best, where.reference.median, where.reference.worst) == (-0.5, -0.35, -0.2)


def test_what_is_not_listed_is_snapped_to_the_nearest_and_told_back(tmp_path: Path) -> None:
    where = benchmark(write(tmp_path, SMALL))
    asked = [
        {"width": 64, "act": "tanh"},  # the other activation is 1 away, the width of tanh 2/3
        {"width": 32, "act": "tanh"},
        {"width": 64, "act": "relu"},
    ]
    legal, told = where.scenario.snap(where.space.encode(asked), np.zeros(3, dtype=np.intp))
    assert legal.all()
    assert where.space.decode(told) == [
        {"width": 16, "act": "tanh"},
        {"width": 16, "act": "tanh"},
        {"width": 64, "act": "relu"},
    ]
    assert where.evaluate(asked)["loss"].tolist() == [0.2, 0.2, 0.3]


def test_of_equally_near_ones_the_first_in_the_file_is_taken(tmp_path: Path) -> None:
    head = "config.x,config.y,minimize.loss\n"
    for lines, found in (
        ("5,p,1\n1,p,2\n4,p,3\n2,p,4\n3,q,5\n", 4),
        ("5,p,1\n1,p,2\n2,p,4\n4,p,3\n3,q,5\n", 2),
    ):
        where = benchmark(write(tmp_path, head + lines))
        told = where.scenario.snap(where.space.encode([{"x": 3, "y": "p"}]), np.zeros(1, dtype=np.intp))[1]
        assert where.space.decode(told) == [{"x": found, "y": "p"}]


def test_each_instance_has_its_own_gaps(tmp_path: Path) -> None:
    text = "instance,config.x,minimize.loss\na,1,0.1\na,2,0.2\nb,2,0.3\nb,3,0.4\n"
    where = scenario(expand([write(tmp_path, text)])[0].rpartition("/")[0])
    X = where.space.encode([{"x": 1}, {"x": 1}, {"x": 3}, {"x": 3}])
    told = where.snap(X, np.array([0, 1, 0, 1]))[1]
    assert [row["x"] for row in where.space.decode(told)] == [1, 2, 2, 3]
    assert where.space.decode(where.default()) == [{"x": 2}]  # the one that both have


def test_a_random_sample_answers_with_its_own_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"config.a": rng.random(200), "config.b": rng.random(200), "minimize.loss": rng.random(200)}
    )
    where = benchmark(write(tmp_path, frame))
    assert where.space.is_continuous.all()
    rows = frame.rename({"config.a": "a", "config.b": "b"}).to_dicts()
    assert (
        where.evaluate([{"a": r["a"], "b": r["b"]} for r in rows])["loss"].tolist()
        == frame["minimize.loss"].to_list()
    )
    U = where.space.sample(500, rng)
    listed = where.space.encode([{"a": r["a"], "b": r["b"]} for r in rows])
    nearest = ((U[:, None, :] - listed) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(where.evaluate(U)["loss"], frame["minimize.loss"].to_numpy()[nearest])


def test_only_listed_fidelities_are_legal_and_the_largest_is_full(tmp_path: Path) -> None:
    where = benchmark(write(tmp_path, made_up().drop("cost")) + "/iris")
    one = where.space.decode(where.scenario.default())[0]
    with pytest.raises(UsageError, match=r"epoch = 2 is no fidelity of .* It is one of 1, 3, 9\."):
        where.evaluate(one, fidelity={"epoch": 2})
    full, third = where.evaluate(one), where.evaluate(one, fidelity={"epoch": 3})
    assert where.evaluate(one, fidelity={"epoch": 9}) == full
    assert (full["cost"], third["cost"]) == (1.0, pytest.approx(1 / 3))


# ---------------------------------------------------------------------- in a study


@pytest.mark.parametrize("noise", ["seeded", "fresh", "mean"])
def test_what_is_recorded_is_in_the_file(tmp_path: Path, noise: str) -> None:
    frame = made_up()
    text = suite_text(write(tmp_path, frame), methods=("random", "tpe"), trials=25, head=f'noise = "{noise}"')
    assert run(text, tmp_path / "out").complete
    (key,) = {id_.rpartition("/")[0] for id_ in parse_suite(text).benchmark_ids()}
    full = frame.filter(pl.col("fidelity.epoch") == 9).drop("fidelity.epoch", "cost")
    full = full.with_columns(score=pl.col("minimize.val_loss").mean().over("instance", *CONFIG))
    found = trials(tmp_path / "out", key).with_columns(instance=pl.col("benchmark").str.extract("([a-z]+)$"))
    joined = found.join(full, on=["instance", *CONFIG], suffix="_of_file")
    assert joined["trial"].len() == 2 * found.height == 2 * 200
    assert np.allclose(joined["score"], joined["score_of_file"], rtol=1e-14)
    if noise == "mean":
        assert found["value"].equals(found["score"])
    else:
        same = joined.filter(pl.col("value") == pl.col("minimize.val_loss"))
        assert same.height == found.height


def test_evaluate_answers_on_the_command_line(tmp_path: Path) -> None:
    reference = write(tmp_path, SMALL)
    done = surrobench("evaluate", reference, "--config", '{"width": 64, "act": "relu"}')
    assert done.out == '{"loss": 0.3, "acc": 0.3, "cost": 1.0}\n'


# ---------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "config.width",
            "width",
            r"grid\.csv: column 'width' says nothing about what it is\. A column is",
        ),
        ("config.width", "conf.width", r"Did you mean 'config\.width'\?"),
        (
            "minimize.loss",
            "objective.loss",
            r"which way is objective\.loss better\? Call it minimize\.loss or",
        ),
        ("minimize.loss,maximize.acc", "repetition,cost", r"has no objective \(minimize\.NAME\)"),
        ("maximize.acc", "maximize.loss", r"two columns would be called the same objective"),
        ("maximize.acc", "maximize.cost", r"two columns would be called the same objective"),
        ("32,relu", ",relu", r"config\.width has no value in row 2\. Hyperparameters that are inactive"),
        ("0.4,0.2", ",0.2", r"minimize\.loss has no value in row 2\. Leave failed trials out"),
        ("0.4,0.2", "NaN,0.2", r"minimize\.loss has no value in row 2"),
        ("0.4,0.2", "inf,0.2", r"minimize\.loss has no value in row 2"),
        ("0.4,0.2", "bad,0.2", r"minimize\.loss must be numbers, but row 2 has 'bad'\."),
        (
            "32,relu",
            "16,relu",
            r"rows 1 and 2 are the same configuration\. Number them in a column called rep",
        ),
        ("maximize.acc", "fidelity.acc", r"lacks some of the 4 values of acc"),
        ("maximize.acc", "instance", r""),
    ],
)
def test_what_is_unclear_is_refused_in_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert SMALL.count(old) == 1
    if not says:
        expand([write(tmp_path, SMALL.replace(old, new))])
        return
    done = surrobench("evaluate", write(tmp_path, SMALL.replace(old, new)), "--config", "{}")
    assert done.status == 1
    assert re.search(says, done.error), done.error


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.csv", None, r"The table .*gone\.csv cannot be read: No such file"),
        ("empty.csv", b"", r"empty\.csv cannot be read: "),
        ("cut.parquet", b"PAR1 and no more", r"cut\.parquet cannot be read: "),
        ("header.csv", b"config.a,minimize.b\n", r"header\.csv has no rows"),
        ("bytes.csv", b"config.a,minimize.b\n\xff\xfe,1\n", r"bytes\.csv cannot be read: "),
        ("bad.toml", b"file = ", r"bad\.toml cannot be read: "),
        ("bad.toml", b"fiel = 'x.csv'", r"unknown key 'fiel'\. Did you mean 'file'\?"),
        (
            "bad.toml",
            b"file = 'x.csv'\nobjectives = {a = 'min'}",
            r"bad\.toml: hyperparameters: Field required",
        ),
    ],
)
def test_a_missing_or_damaged_file_is_one_line(tmp_path, name, content, says) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        expand([f"table:{tmp_path / name}"])
    assert re.search(says, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_without_a_known_ending_is_a_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"'table:grid\.xlsx' names no table"):
        expand(["table:grid.xlsx"])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"lr"', '"rl"', r"few\.csv has no column 'rl'\. Did you mean 'lr'\? It has lr, loss, seconds"),
        ('"seconds"', '"loss"', r"names column 'loss' twice"),
        ('"min"', '"low"', r"objectives\.loss: "),
        ('["lr"]  # log', '["loss"]', r"log names 'loss', which is no hyperparameter"),
        ('cost = "seconds"', 'test = { loss = "seconds" }', r"test names 'seconds', which is no objective"),
    ],
)
def test_a_description_must_fit_its_table(tmp_path: Path, old: str, new: str, says: str) -> None:
    (tmp_path / "few.csv").write_text("lr,loss,seconds\n1,2,3\n2,1,3\n")
    text = (
        'file = "few.csv"\nhyperparameters = ["lr"]\nobjectives = { loss = "min" }\ncost = "seconds"\n'
        'log = ["lr"]  # log\n'
    )
    assert expand([write(tmp_path, text, "few.toml")])
    with pytest.raises(DataError) as caught:
        expand([write(tmp_path, text.replace(old, new, 1), "few.toml")])
    assert re.search(says, str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("table:grid.xlsx", r"'table:grid\.xlsx' names no table"),
        ("table:grid.csv/irs", r"Unknown instance of grid\.csv 'irs'\. Did you mean 'iris'\?"),
    ],
)
def test_a_wrong_name_in_a_suite_is_named_with_its_line(tmp_path: Path, name: str, says: str) -> None:
    write(tmp_path, made_up())
    with pytest.raises(SuiteError, match=rf"own\.toml: benchmarks: {says}.*\(line 2: ") as caught:
        parse_suite(suite_text(name, name="own"), "own.toml", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_in_a_suite_stops_it_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(suite_text("table:gone.csv", name="own"))
    done = surrobench("run", tmp_path / "own.toml", "--out", tmp_path / "out")
    assert done.status == 1
    assert f"{tmp_path / 'gone.csv'} cannot be read" in done.error
    assert not (tmp_path / "out").exists()
