"""The public interface for people with code of their own: Python and ``surrobench evaluate``."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest

import surrobench
from surrobench.errors import UsageError
from tests.studies import surrobench as command

CAR = "hpobench/mlp/car"
VEHICLE = "yahpo/lcbench/167168"
NETWORK = {
    "batch_size": 64,
    "learning_rate": 0.01,
    "max_dropout": 0.5,
    "max_units": 256,
    "momentum": 0.9,
    "num_layers": 3,
    "weight_decay": 0.01,
}


@pytest.fixture
def configuration():
    where = surrobench.benchmark(CAR)
    return where.space.decode(where.scenario.default())[0]


def lines(done):
    assert (done.status, done.err) == (0, "")
    return [json.loads(line) for line in done.out.splitlines()]


# ---------------------------------------------------------------------- Python


def test_what_is_public_is_exported_and_imported_late():
    assert "benchmark" in surrobench.__all__
    with pytest.raises(AttributeError, match="no attribute 'benchmarc'"):
        surrobench.benchmarc  # noqa: B018
    code = "import sys, surrobench; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_mapping_many_mappings_and_a_matrix_are_the_same(configuration):
    where = surrobench.benchmark(CAR)
    X = where.space.encode([configuration] * 3)
    one, many, matrix = where.evaluate(configuration), where.evaluate([configuration] * 3), where.evaluate(X)
    assert list(one) == ["val_balanced_accuracy", "val_precision", "val_f1", "cost"]
    for name, column in one.items():
        assert column.shape == (1,)
        assert np.array_equal(many[name], np.repeat(column, 3))
        assert np.array_equal(matrix[name], many[name])


def test_a_matrix_that_is_no_batch_of_the_space_is_refused():
    where = surrobench.benchmark(CAR)
    with pytest.raises(UsageError, match=r"shape \(2, 3\).*must be \(m, 5\)"):
        where.evaluate(np.zeros((2, 3)))
    with pytest.raises(UsageError, match="Row 1 is not in the search space"):
        where.evaluate(np.array([[0.0] * 5, [99.0] * 5]))


# ---------------------------------------------------------------------- the command


def test_the_command_prints_what_python_returns(configuration, tmp_path, monkeypatch):
    [printed] = lines(command("evaluate", CAR, "--config", json.dumps(configuration)))
    found = surrobench.benchmark(CAR).evaluate(configuration)
    assert printed == {name: column[0] for name, column in found.items()}
    other = {**configuration, "depth": 3 if configuration["depth"] != 3 else 1}
    text = f"{json.dumps(configuration)}\n\n{json.dumps(other)}\n"
    (tmp_path / "c.jsonl").write_text(text)
    from_file = lines(command("evaluate", CAR, "--config", tmp_path / "c.jsonl"))
    assert len(from_file) == 2
    assert from_file[0] == printed
    assert from_file[1] != printed
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert lines(command("evaluate", CAR, "--config", "-")) == from_file


@pytest.mark.yahpo
def test_a_fidelity_is_given_by_name_or_as_the_first_one():
    full, low, named = (
        lines(command("evaluate", VEHICLE, *options, "--config", json.dumps(NETWORK)))
        for options in ([], ["--fidelity", "10"], ["--fidelity", "epoch=10"])
    )
    assert low == named
    assert low[0]["cost"] < full[0]["cost"]


@pytest.mark.yahpo
def test_the_dictionaries_of_yahpo_gym_name_instance_and_fidelity_themselves():
    low, full = (
        lines(command("evaluate", VEHICLE, *options, "--config", json.dumps(NETWORK)))
        for options in (["--fidelity", "10"], [])
    )
    named = {"OpenML_task_id": "167168", "epoch": 10, **NETWORK}
    assert lines(command("evaluate", VEHICLE, "--config", json.dumps(named))) == low
    assert lines(command("evaluate", VEHICLE, "--fidelity", "10", "--config", json.dumps(named))) == low
    for other in ({"OpenML_task_id": 167168}, {"OpenML_task_id": 167168.0, "epoch": None}):
        assert lines(command("evaluate", VEHICLE, "--config", json.dumps(NETWORK | other))) == full
    both = surrobench.benchmark(VEHICLE).evaluate([named, NETWORK])
    assert both["cost"].tolist() == [low[0]["cost"], full[0]["cost"]]


@pytest.mark.yahpo
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"OpenML_task_id": "3945"}, [], "OpenML_task_id = '3945' is another instance than 167168"),
        ({"epoch": 10}, ["--fidelity", "52"], "epoch = 10 is not the fidelity 52"),
        ({"epoch": 53}, [], "It is an integer from 1 to 52"),
        ({"epoch": "10"}, [], "It is an integer from 1 to 52"),
        ({"task_id": "167168"}, [], "No hyperparameter 'task_id'"),
    ],
)
def test_a_configuration_that_says_it_is_of_something_else_is_an_error(change, options, message):
    done = command("evaluate", VEHICLE, *options, "--config", json.dumps(NETWORK | change))
    assert done.status == 2
    assert message in done.error


@pytest.mark.yahpo
def test_several_fidelities():
    default = surrobench.benchmark("yahpo/rbv2_rpart/14")
    text = json.dumps(default.space.decode(default.scenario.default())[0])
    options = ["--fidelity", "trainsize=0.5", "--fidelity", "repl=3"]
    [printed] = lines(command("evaluate", "yahpo/rbv2_rpart/14", *options, "--config", text))
    found = default.evaluate(json.loads(text), fidelity={"trainsize": 0.5, "repl": 3})
    assert printed == {name: column[0] for name, column in found.items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([CAR, "--config", "{"], "--config is not JSON"),
        ([CAR, "--config", "nowhere.jsonl"], "'nowhere.jsonl' is neither a JSON object nor a file"),
        ([CAR, "--config", '{"alpha": 7}'], "alpha = 7 is not in the space"),
        ([CAR, "--config", "{}"], "is missing"),
        ([CAR, "--fidelity", "3", "--config", "{}"], "hpobench/mlp has no fidelity 'fidelity'. It has none"),
        ([CAR, "--fidelity", "epoch=x", "--config", "{}"], "--fidelity 'epoch=x' has no number"),
        (["hpobench/mlp/cars", "--config", "{}"], "Did you mean 'hpobench/mlp/car'"),
    ],
)
def test_mistakes_are_one_line_with_status_2(arguments, message):
    done = command("evaluate", *arguments)
    assert done.status == 2
    assert message in done.error


@pytest.mark.yahpo
@pytest.mark.parametrize("value", ["0", "53", "epoch=2.5", "nan"])
def test_an_illegal_fidelity_is_one_line(value):
    done = command("evaluate", VEHICLE, "--fidelity", value, "--config", json.dumps(NETWORK))
    assert done.status == 2
    assert "It is an integer from 1 to 52" in done.error


def test_a_bad_line_of_a_file_is_named(tmp_path, configuration):
    (tmp_path / "c.jsonl").write_text(json.dumps(configuration) + "\n[1]\n")
    done = command("evaluate", CAR, "--config", tmp_path / "c.jsonl")
    assert done.status == 2
    assert "c.jsonl, line 2 is no JSON object" in done.error
