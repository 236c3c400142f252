from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    Integer,
    OrdinalHyperparameter,
)
from hypothesis import given
from hypothesis import strategies as st

from surrobench.benchmarks.registry import benchmark
from surrobench.llm.parse import parse_configuration, parse_configurations
from surrobench.llm.prompt_variants import VARIANTS, ShownSpace, Variant, shown_card
from surrobench.llm.prompts import TEXT_RULES, render
from surrobench.llm.schemas import json_schema
from surrobench.llm.shown_values import ShownValues
from surrobench.protocol.requests import Completion
from surrobench.space.hyperparameter import Matrix, bounds_of, values_of
from surrobench.space.search_space import SearchSpace

XGBOOST = "yahpo/rbv2_xgboost/16"
BENCHMARKS = [
    "hpobench/mlp/car",
    "hpolib/fcnet/protein_structure",
    "nasbench201/cell/cifar10",
    pytest.param(XGBOOST, marks=pytest.mark.yahpo),
]
everywhere = pytest.mark.parametrize("id_", BENCHMARKS)
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def reply(text: str) -> Completion:
    return Completion(text, "stop", 0, 0, 0.0)


def read(view: ShownSpace, text: str) -> Any:
    return parse_configuration(reply(text), view, clip=False, default=view.space.default)


def made_up() -> SearchSpace:
    """Every kind of hyperparameter, one of them conditional."""
    space = ConfigurationSpace()
    kernel = Categorical("kernel", ["rbf", "poly"])
    degree = Integer("degree", (2, 5))
    space.add(
        Float("gamma", (1e-6, 10.0), log=True),
        Float("momentum", (-0.5, 0.99)),
        Integer("units", (1, 4096), log=True),
        OrdinalHyperparameter("batch", [16, 32, 64]),
        Categorical("nesterov", [True, False]),
        kernel,
        degree,
        EqualsCondition(degree, kernel, "poly"),
    )
    return SearchSpace(space)


# ---------------------------------------------------------------------- what is written is read


@everywhere
@each_variant
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_again_without_a_repair(id_: str, variant: Variant, seed: int) -> None:
    there_and_back(ShownSpace(benchmark(id_).space, variant), seed)


@each_variant
@given(seed=st.integers(0, 2**32 - 1))
def test_so_it_is_with_every_kind_of_hyperparameter(variant: Variant, seed: int) -> None:
    there_and_back(ShownSpace(made_up(), variant), seed)


def there_and_back(view: ShownSpace, seed: int) -> None:
    space = view.space
    x = space.sample(1, np.random.default_rng(seed))[0]
    written = view.write(x)
    found = read(view, json.dumps(written))
    assert found.defect is None, found.detail
    assert found.repairs == ()
    back = found.configuration
    assert space.legal(back[None, :]).all()
    assert np.array_equal(np.isnan(back), np.isnan(x))
    few = (space.levels > 0) & (space.levels <= 100)
    assert np.array_equal(back[few], x[few], equal_nan=True)
    for name, value in view.write(back).items():  # numbers have three digits
        if isinstance(value, float):
            # In the unit cube, an integer stands at the middle of its bin.
            assert math.isclose(value, written[name], rel_tol=6e-3, abs_tol=6e-4)
        else:
            assert value == written[name]


@each_variant
def test_the_ends_of_every_range_are_written_and_read(variant: Variant) -> None:
    view = ShownSpace(made_up(), variant)
    for U in (np.zeros((1, 7)), np.ones((1, 7))):
        x = view.space.from_unit(U)[0]
        found = read(view, json.dumps(view.write(x)))
        assert found.defect is None
        few = (view.space.levels > 0) & (view.space.levels <= 100)
        assert np.array_equal(found.configuration[few], x[few], equal_nan=True)


def test_several_configurations_in_one_array_are_read_in_order() -> None:
    view = ShownSpace(benchmark("hpobench/mlp/car").space, "anonymous")
    X = view.space.sample(4, np.random.default_rng(0))
    text = json.dumps([view.write(x) for x in X])
    found = parse_configurations(reply(text), view, 4, clip=False, default=view.space.default)
    assert np.array_equal([proposal.configuration for proposal in found], X)


# ---------------------------------------------------------------------- the schema


@everywhere
@each_variant
def test_the_schema_allows_what_is_written_and_nothing_unknown(id_: str, variant: Variant) -> None:
    view = ShownSpace(benchmark(id_).space, variant)
    schema = json_schema(view)
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == set(view.names)
    assert schema["additionalProperties"] is False
    for x in view.space.sample(200, np.random.default_rng(0)):
        written = view.write(x)
        assert set(schema["required"]) <= set(written) <= set(schema["properties"])
        for name, value in written.items():
            assert allowed(schema["properties"][name], value), (name, value)


def allowed(schema: dict[str, Any], value: Any) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    number = isinstance(value, int if schema["type"] == "integer" else int | float)
    return number and schema["minimum"] <= value <= schema["maximum"]


@everywhere
@each_variant
def test_an_array_of_k_is_of_so_many_of_them(id_: str, variant: Variant) -> None:
    view = ShownSpace(benchmark(id_).space, variant)
    array = json_schema(view, 3)
    assert array == {"type": "array", "items": json_schema(view), "minItems": 3, "maxItems": 3}


# ---------------------------------------------------------------------- what each variant shows


@everywhere
def test_full_shows_the_space_as_it_is(id_: str) -> None:
    where = benchmark(id_)
    view = ShownSpace(where.space)
    assert view.names == where.space.names
    assert shown_card(where.card, "full") == where.card
    for hp, about in zip(where.space.hyperparameters, view.abouts, strict=True):
        assert about.startswith(ShownValues(hp, TEXT_RULES).describe())


@everywhere
def test_no_dataset_hides_the_data_and_nothing_else(id_: str) -> None:
    where = benchmark(id_)
    card, full = asdict(shown_card(where.card, "no-dataset")), asdict(where.card)
    hidden = {"dataset", "rows", "features", "classes"}
    assert all(card[name] is None for name in hidden)
    assert all(card[name] == full[name] for name in set(full) - hidden)
    assert ShownSpace(where.space, "no-dataset").abouts == ShownSpace(where.space).abouts


@everywhere
def test_nothing_can_be_recognised_in_anonymous(id_: str) -> None:
    where = benchmark(id_)
    view, card = ShownSpace(where.space, "anonymous"), shown_card(where.card, "anonymous")
    assert view.names == tuple(f"x{j + 1}" for j in range(where.space.d))
    X = where.space.sample(50, np.random.default_rng(0))
    text = render("karpathy-agent", "head", card=card, view=view)
    text += json.dumps(json_schema(view)) + json.dumps([view.write(x) for x in X])
    for word in words_of(where):
        assert word not in text, word
    for x in X:
        for name, value in view.write(x).items():
            j = view.columns[name]
            if values_of(view.hyperparameters[j]) is None:
                assert isinstance(value, float)
                assert 0 <= value <= 1
            else:
                assert value.startswith("c")
    assert (card.metric, card.minimize) == ("y", where.card.minimize)


def words_of(where: Any) -> list[str]:
    """What would give a task away: names, categories, words of the card, and the ends of wide ranges."""
    words = [name for name in where.space.names if len(name) > 2]
    for hp in where.space.hyperparameters:
        words += [choice for choice in values_of(hp) or () if isinstance(choice, str)]
        if values_of(hp) is None and bounds_of(hp)[1] > 1:
            words.append(f" {bounds_of(hp)[1]}")
    card = where.card
    return [*words, card.learner, card.dataset.split(" ")[0], card.metric, str(card.rows)]


@everywhere
def test_misleading_gives_every_hyperparameter_the_name_of_another(id_: str) -> None:
    where = benchmark(id_)
    view = ShownSpace(where.space, "misleading")
    assert set(view.names) == set(where.space.names)
    assert all(name != own for name, own in zip(view.names, where.space.names, strict=True))
    for shown, own in zip(view.values, ShownSpace(where.space).values, strict=True):
        assert shown.describe() == own.describe()  # ranges stay in place
    assert where.space.names == tuple(hp.name for hp in where.space.hyperparameters)  # not touched
    assert shown_card(where.card, "misleading") == where.card


def test_one_hyperparameter_alone_has_no_name_but_its_own() -> None:
    space = ConfigurationSpace()
    space.add(Float("eta", (0.1, 1.0)))
    view = ShownSpace(SearchSpace(space), "misleading")
    assert view.names == ("eta",)
    assert read(view, '{"eta": 0.5}').defect is None


def test_the_misleading_names_are_the_same_everywhere() -> None:
    code = (
        "from surrobench.benchmarks.registry import benchmark; "
        "from surrobench.llm.prompt_variants import ShownSpace; "
        "print(*ShownSpace(benchmark('hpobench/mlp/car').space, 'misleading').names)"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[0]
        for seed in ("1", "2")
    }
    assert printed == {ShownSpace(benchmark("hpobench/mlp/car").space, "misleading").names[0]}
    same = {
        ShownSpace(benchmark(f"hpobench/mlp/{name}").space, "misleading").names for name in ("car", "phoneme")
    }
    assert len(same) == 1  # and on every data set of a scenario


def test_conditions_are_told_in_the_names_and_values_shown() -> None:
    space = made_up()
    j, parent = space.column("degree"), space.column("kernel")
    for variant in VARIANTS:
        view = ShownSpace(space, variant)
        x: Matrix = space.from_unit(np.full((1, 7), 0.99))[0]
        x[parent] = 1.0
        shown = view.write(x)[view.names[parent]]
        value = "c2" if variant == "anonymous" else "poly"
        assert shown == value
        assert view.abouts[j].endswith(f", only if {view.names[parent]} is {value}")
        assert view.is_conditional(j)
        assert not view.is_conditional(parent)


@each_variant
def test_a_value_of_what_is_inactive_is_dropped_and_named_as_the_space_names_it(variant: Variant) -> None:
    view = ShownSpace(made_up(), variant)
    j, parent = view.space.column("degree"), view.space.column("kernel")
    x = view.space.sample(1, np.random.default_rng(1))[0]
    x[parent], x[j] = 0.0, np.nan
    written = view.write(x)
    assert view.names[j] not in written
    found = read(view, json.dumps(written | {view.names[j]: 0.5 if variant == "anonymous" else 3}))
    assert found.repairs == ("dropped:degree",)
    assert np.isnan(found.configuration[j])
