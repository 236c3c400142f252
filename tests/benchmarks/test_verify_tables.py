import copy

import pytest

from surrobench.benchmarks import verify_tables as verify
from surrobench.benchmarks.registry import SCENARIOS, scenario
from surrobench.benchmarks.tables import load_records

SMALL = "nasbench201/cell"


@pytest.fixture(autouse=True)
def only_the_smallest_scenario(monkeypatch):
    monkeypatch.setattr(verify, "SCENARIOS", {SMALL: SCENARIOS[SMALL]})


@pytest.fixture
def plant(monkeypatch):
    """Change one record of cifar100, as it is read for the comparison, of which there are a few only."""

    def plant(name, change):
        def load(table, instance):
            records = {
                key: record for key, record in load_records(table, instance).items() if key[1:3] == "12"
            }
            if instance == "cifar100":
                records[name] = copy.deepcopy(records[name])
                change(records[name])
            return records

        monkeypatch.setattr(verify, "load_records", load)
        return {found.benchmark: found for found in verify.verify_tables()}

    return plant


def test_the_tables_are_the_packages_records_bit_for_bit():
    found = list(verify.verify_tables())
    assert [one.benchmark for one in found] == [f"{SMALL}/{name}" for name in scenario(SMALL).instances]
    for one in found:
        records = load_records(scenario(SMALL), one.benchmark.rsplit("/")[-1])
        assert one.rows == len(records) == 15_625
        assert one.values == sum(len(record["val_acc"]) for record in records.values()) * 4
        assert (one.different, one.example) == (0, "")


def last_digit(record):
    record["val_acc"][-1] *= 1 + 1e-15


def one_more(record):
    for values in record.values():
        values.append(values[-1])


@pytest.mark.parametrize("change", [last_digit, one_more])
def test_a_planted_difference_is_found_and_shown(plant, change):
    found = plant("012340", change)
    different = {name: one.different for name, one in found.items()}
    assert different == {f"{SMALL}/cifar10": 0, f"{SMALL}/cifar100": 1, f"{SMALL}/imagenet": 0}
    assert found[f"{SMALL}/cifar100"].example.startswith("record 012340: [[")


def test_every_scenario_made_of_tables_is_compared(monkeypatch):
    compared = []
    monkeypatch.setattr(verify, "SCENARIOS", SCENARIOS)
    monkeypatch.setattr(verify, "_verify", lambda table, instance: compared.append((table.key, instance)))
    list(verify.verify_tables())
    assert len(compared) == 15
    assert {key for key, _ in compared} == {"hpobench/mlp", "hpolib/fcnet", "nasbench201/cell"}
