"""Two different things never have one id, and one thing never has two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surrobench.llm import models
from surrobench.llm.models import ModelSpec
from surrobench.llm.prompt_variants import VARIANTS, ShownSpace
from surrobench.llm.shown_values import ShownValues
from surrobench.optimizers.classical.tpe import tpe_study
from surrobench.optimizers.entry import Optimizer
from surrobench.optimizers.llm import centaur, centaur_tpe, propose, sllmbo
from surrobench.optimizers.registry import OPTIMIZERS
from surrobench.plan import identity, identity_1
from surrobench.plan.planning import plan
from surrobench.plan.run import Run
from surrobench.protocol.requests import Message
from surrobench.seeding import canonical
from surrobench.suite.loading import suite_from_dict

URL = "http://127.0.0.1:1/v1"


def suite(
    method: Mapping[str, Any], model: Mapping[str, Any] | None = None, label: str = "it", **head: Any
) -> dict[str, Any]:
    """A study of one run, as a dictionary; with ``model`` the method asks it."""
    values = {"name": "study", "benchmarks": ["hpobench/mlp/car"], "trials": 20, "seeds": 1, "control": label}
    values |= {**head, "optimizers": {label: {**method, **({"models": ["m"]} if model else {})}}}
    return {**values, "models": {"m": {"model": "tiny-1b", **model}}} if model else values


def the_run(
    values: Mapping[str, Any], held: Mapping[str, Any] | None = None, folder: Path | None = None
) -> Run:
    """The only run of a study; ``held`` are ids that a folder of scheme 1 holds."""
    planned = plan(suite_from_dict(values, folder)[0], text_rules=None if held is None else 1)
    [run] = planned if held is None else planned.as_held(held, {})
    return run


# ---------------------------------------------------------------------- both directions at once

HEADS = {
    "noise": ["seeded", "fresh", "mean"],
    "initial": ["none", "default", "random:2", "design:sobol:2"],
    "workers": [1, 4],
    "overhead": [False, True],
    "invalid": ["waste", "clip", "retry:1", "retry:2"],
}
METHODS: dict[str, dict[str, list[Any]]] = {
    "tpe": {"startup": [5, 10], "candidates": [24, 30]},
    "cma-es": {"sigma": [0.25, 1.0, 2.0]},
    "differential-evolution": {"population": [20, 30], "factor": [0.5, 1.0], "crossover": [0.0, 0.5, 1.0]},
    "karpathy-agent": {"history": [5, 20], "temperature": [0.0, 0.7, 1.0], "max_tokens": [16, 2048]},
}
MODELS: dict[str, list[Any]] = {
    "revision": ["", "a", "1"],
    "sampling": [{}, {"temperature": 1.0}, {"temperature": 0.5}, {"top_p": 1.0}, {"top_k": 1}],
    "structured": ["json_schema", "json_object", "none"],
    "seed": [True, False],
    "dtype": ["auto", "float32"],
    "weights": [None, "org/one", "org/two"],
    "extra": [[], [["quantization", "awq"]], [["quantization", "fp8"]], [["reasoning-parser", "qwen3"]]],
}


@st.composite
def meanings(draw: st.DrawFn) -> dict[str, Any]:
    """What a suite means: all settings of a run, in one form."""
    method = draw(st.sampled_from(sorted(METHODS)))
    asks = OPTIMIZERS[method].prompts is not None
    return {
        "method": method,
        "head": {name: draw(st.sampled_from(values)) for name, values in HEADS.items()},
        "parameters": {name: draw(st.sampled_from(values)) for name, values in METHODS[method].items()},
        "model": {name: draw(st.sampled_from(values)) for name, values in MODELS.items()} if asks else None,
    }


def otherwise(draw: st.DrawFn, value: Any) -> Any:
    """A value written in another way: 1 for 1.0."""
    if isinstance(value, dict):
        return {name: otherwise(draw, part) for name, part in value.items()}
    if isinstance(value, float) and value.is_integer() and draw(st.booleans()):
        return int(value)
    return value


@st.composite
def writings(draw: st.DrawFn, meaning: dict[str, Any]) -> dict[str, Any]:
    """A suite with a meaning; defaults are written out or not, and so on."""
    meaning = deepcopy(meaning)
    known = OPTIMIZERS[meaning["method"]].parameters()

    def some(values: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Values without those that are the default, or with some of them."""
        return {
            name: otherwise(draw, value)
            for name, value in values.items()
            if value != defaults.get(name) or draw(st.booleans())
        }

    head = some(meaning["head"], {name: values[0] for name, values in HEADS.items()} | {"initial": "default"})
    method: dict[str, Any] = {"method": meaning["method"], "parameters": some(meaning["parameters"], known)}
    model = meaning["model"]
    if model is not None:
        extra = model.pop("extra")
        model = {name: value for name, value in model.items() if value is not None}
        model = some(model, {name: values[0] for name, values in MODELS.items()})
        spread = draw(st.sampled_from([[], ["--port=1"], ["--gpu-memory-utilization", "0.5"], ["-tp", "2"]]))
        told = [f"--{name}={value}" if draw(st.booleans()) else (f"--{name}", value) for name, value in extra]
        flat = [part for flag in told for part in ([flag] if isinstance(flag, str) else flag)]
        model["extra"] = [*spread, *flat] if draw(st.booleans()) else [*flat, *spread]
        model |= {"serve": "vllm"} if draw(st.booleans()) else {"url": URL}
        model |= draw(st.sampled_from([{}, {"concurrency": 3}, {"timeout": 5}, {"size": "1B"}]))
    return suite(method, model, draw(st.sampled_from(["it", "another"])), **head)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), meaning=meanings())
def test_one_meaning_has_one_id_however_it_is_written(data: st.DataObject, meaning: dict[str, Any]) -> None:
    one, other = (the_run(data.draw(writings(meaning))) for _ in range(2))
    assert one.id == other.id
    assert one.parameters == other.parameters
    assert canonical(one.parameters) == canonical(other.parameters)  # 1 and 1.0 would be another stream


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), meaning=meanings())
def test_another_meaning_has_another_id(data: st.DataObject, meaning: dict[str, Any]) -> None:
    other = deepcopy(meaning)
    part, choices = data.draw(
        st.sampled_from(
            [("head", {k: v for k, v in HEADS.items() if meaning["model"] or k != "invalid"})]
            + [("parameters", METHODS[meaning["method"]])]
            + ([("model", MODELS)] if meaning["model"] else [])
        )
    )
    name = data.draw(st.sampled_from(sorted(choices)))
    others = [value for value in choices[name] if value != meaning[part][name]]
    other[part][name] = data.draw(st.sampled_from(others))
    assert the_run(data.draw(writings(meaning))).id != the_run(data.draw(writings(other))).id


# ---------------------------------------------------------------------- the rule of defaults


@pytest.mark.parametrize("name", sorted(ModelSpec.model_fields))
def test_every_setting_of_a_model_is_hashed_or_is_listed_as_no_part_of_the_identity(name: str) -> None:
    field = ModelSpec.model_fields[name]
    values = {"int": 7, "float": 7.5, "bool": not field.default, "list": ["--seed=1"], "dict": {"top_k": 7}}
    kind = (
        str(field.annotation).removeprefix("<class '").partition("'")[0].partition("[")[0].partition(" ")[0]
    )
    other = ModelSpec(url=URL).model_copy(
        update={name: values.get(kind, "none" if name == "structured" else "another")}
    )
    changes = other.identity() != ModelSpec(url=URL).identity()
    assert changes == (name not in models._REACHED)


def test_a_new_setting_of_a_model_at_its_default_changes_no_id() -> None:
    class Later(ModelSpec):
        thinking: int = 0

    assert Later(url=URL).identity() == ModelSpec(url=URL).identity()
    assert Later(url=URL, thinking=5).identity() != ModelSpec(url=URL).identity()


def test_a_new_parameter_of_a_method_at_its_default_changes_neither_id_nor_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = the_run(suite({"method": "tpe"}))
    entry = OPTIMIZERS["tpe"]
    stream = entry.stream("tpe", before.parameters)

    def later(task: Any, rng: Any, *, startup: int = 10, candidates: int = 24, added: float = 1.0) -> None:
        """As it was, with one parameter more."""

    monkeypatch.setattr(Optimizer, "function", property(lambda self: later))
    after = the_run(suite({"method": "tpe"}))
    assert after.parameters["added"] == 1.0
    assert after.id == before.id
    assert entry.stream("tpe", after.parameters) == stream
    changed = the_run(suite({"method": "tpe", "parameters": {"added": 2}}))
    assert changed.id != before.id
    assert entry.stream("tpe", changed.parameters) != stream


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_methods_stream_is_named_after_all_parameters_that_it_had_at_first(name: str) -> None:
    # Frozen on purpose: another name of the stream makes other trials of every method. A parameter that was
    # added since is not in it; a default that was changed needs a new version of the method.
    entry = OPTIMIZERS[name]
    assert entry.stream(name, entry.resolve({})) == (name, entry.as_written({}))
    assert entry.changed(entry.resolve({})) == {}


# ---------------------------------------------------------------------- what is the same


def test_noise_is_no_part_of_the_identity_where_no_configuration_has_repetitions(tmp_path: Path) -> None:
    rows = ["config.x,config.y,minimize.loss", *(f"{x},{y},{x * y + x}" for x in range(4) for y in range(3))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    ids = {
        noise: the_run(
            {**suite({"method": "random"}, noise=noise), "benchmarks": ["table:t.csv"], "trials": 5},
            folder=tmp_path,
        ).id
        for noise in ("seeded", "fresh", "mean")
    }
    assert len(set(ids.values())) == 1


def test_a_sampling_parameter_that_the_method_sends_anyway_is_no_part_of_the_identity() -> None:
    def id_of(**sampling: object) -> str:
        return the_run(suite({"method": "karpathy-agent"}, {"url": URL, "sampling": sampling})).id

    assert id_of(temperature=0.7, max_tokens=2048) == id_of()
    assert id_of(temperature=0.7, top_p=0.9) == id_of(top_p=0.9) != id_of()
    assert id_of(temperature=0.8) != id_of()


# ---------------------------------------------------------------------- the text that Python writes

ASKING = sorted(name for name, entry in OPTIMIZERS.items() if entry.prompts)


def ids_of_all(**head: Any) -> dict[str, str]:
    """The id of each method that asks a model, under each variant; nothing is remembered."""
    identity._known.clear()
    return {
        f"{name} {variant}": the_run(suite({"method": name}, {"url": URL}, variants=[variant], **head)).id
        for name in ASKING
        for variant in VARIANTS
    }


def unchanged(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The methods whose ids are the same."""
    return {name.partition(" ")[0] for name in before if before[name] == after[name]}


def test_how_a_space_is_described_is_part_of_every_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before, describe = ids_of_all(), ShownValues.describe
    monkeypatch.setattr(ShownValues, "describe", lambda self: f"{describe(self)}.")
    assert unchanged(before, ids_of_all()) == set()


def test_how_a_value_is_written_is_part_of_every_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = ids_of_all(), ShownSpace.write

    def rounded(self: ShownSpace, x: Any) -> dict[str, Any]:
        values = write(self, x).items()
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in values}

    monkeypatch.setattr(ShownSpace, "write", rounded)
    assert unchanged(before, ids_of_all()) <= {"zero-shot"}  # it asks once, before any trial


def test_what_is_said_of_an_invalid_reply_is_part_of_the_id_where_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, never, said = ids_of_all(invalid="retry:1"), ids_of_all(), propose._asked_again
    again = Message("user", "Once more:")
    monkeypatch.setattr(propose, "_asked_again", lambda *args: (*said(*args)[:-1], again))
    # LLAMBO asks again in rounds of its own; nobody is told anything.
    assert unchanged(before, ids_of_all(invalid="retry:1")) == {"llambo", "llambo-optunahub"}
    assert ids_of_all() == never


def test_how_a_librarys_state_is_shown_is_part_of_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids_of_all()
    monkeypatch.setattr(centaur, "_digits", lambda number: round(float(number), 2))
    monkeypatch.setattr(centaur_tpe, "good_group", lambda observed: 1 + (observed > 1))
    assert unchanged(before, ids_of_all()) == set(ASKING) - {"centaur", "centaur-tpe"}


def test_no_number_of_a_library_is_part_of_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of Optuna, which proposes something else, makes no other runs."""
    before, asked = ids_of_all(), []

    def elsewhere(*args: Any, **more: Any) -> Any:
        study = tpe_study(*args, **more)
        ask = study.ask

        def other() -> Any:
            asked.append((yield from ask()))
            return np.full_like(asked[-1], np.nan)

        monkeypatch.setattr(study, "ask", other)
        return study

    monkeypatch.setattr(sllmbo, "tpe_study", elsewhere)
    assert ids_of_all() == before
    assert asked


# ---------------------------------------------------------------------- weights in a folder


def test_weights_in_a_folder_are_known_by_what_it_holds(tmp_path: Path) -> None:
    def id_of(folder: Path) -> str:
        return the_run(suite({"method": "karpathy-agent"}, {"serve": "vllm", "weights": str(folder)})).id

    one, copy, other = (tmp_path / name for name in ("one", "copy", "other"))
    for folder, last in ((one, 0), (copy, 0), (other, 1)):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"\0" * (3 << 20) + bytes([last]))
    assert id_of(one) == id_of(copy)
    assert id_of(one) != id_of(other)
    before = id_of(one)
    (one / "config.json").write_text('{"rope": 1}')  # trained on, in the same place
    assert id_of(one) != before


# ---------------------------------------------------------------------- the scheme before


@pytest.mark.parametrize(
    ("values", "before"),
    [
        (suite({"method": "random"}), "414bddd61bcce91c"),
        (suite({"method": "karpathy-agent"}, {"url": "http://127.0.0.1:8000/v1"}), "918406f3e0baaae5"),
    ],
)
def test_ids_of_scheme_1_are_what_they_were(
    values: dict[str, Any], before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Frozen on purpose: results that were begun under these ids are found by them.
    monkeypatch.setattr(identity_1, "prompts_hash", lambda method, replaced: "0123456789abcdef")
    run = the_run(values, {before: None})
    assert (run.id, run.scheme) == (before, 1)
    assert the_run(values, {"something else": None}).scheme == identity.SCHEME == 2
    now = the_run(values, {"something else": None}).id
    assert the_run(values, {before: None, now: None}).scheme == 2


def test_a_run_of_scheme_1_has_its_parameters_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[str] = []
    monkeypatch.setattr(identity_1, "content_hash", lambda value: ids.append(json.dumps(value)) or "old")
    run = the_run(suite({"method": "cma-es", "parameters": {"sigma": 1}}), {"old": None})
    assert json.dumps(run.parameters) == '{"sigma": 1}'
    assert '"cma-es", 2, {"sigma": 1}' in ids[0]
    assert json.dumps(the_run(suite({"method": "cma-es", "parameters": {"sigma": 1}})).parameters) == (
        '{"sigma": 1.0}'
    )
