"""What the probe tries beyond features: the shapes and parameters that a study will send."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from surrobench.errors import ModelError
from surrobench.llm.capabilities import Capabilities, as_toml, lacking
from surrobench.llm.chat import chat_body
from surrobench.llm.models import ModelSpec
from surrobench.llm.probe import kinds, probe
from surrobench.protocol.requests import Complete, Message

from .faulty_server import Behaviour, FaultyServer, capable, dripping_body, error, ok, raw

OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "number", "minimum": 0.5, "maximum": 2}, "b": {"enum": ["x", "y"]}},
    "required": ["a"],
    "additionalProperties": False,
}
ARRAY = {"type": "array", "items": OBJECT, "minItems": 3, "maxItems": 3}
VALUE = {"type": "number"}
LIMITED = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 500}


def request(schema: Any = None, **sampling: Any) -> Complete:
    return Complete((Message("user", "the study's own words"),), "propose", schema=schema, sampling=sampling)


def seen(answer: Any, *requests: Complete, **settings: Any) -> tuple[Capabilities, FaultyServer, ModelSpec]:
    with FaultyServer([ok("not a probe")], probed=answer) as server:
        spec = ModelSpec(url=server.url, model="m", **settings)
        return probe(spec, server.url, requests), server, spec


def schema_of(body: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    return schema


def strict(body: dict[str, Any]) -> Behaviour:
    """As OpenAI's strict mode: an object at the root, all properties required."""
    schema = schema_of(body)
    if schema and (schema.get("type") != "object" or set(schema["required"]) != set(schema["properties"])):
        return error(400, "Invalid schema for response_format 'reply'")
    return capable(body)


def without_bounds(body: dict[str, Any]) -> Behaviour:
    return error(400, "minimum is not permitted") if "minimum" in str(schema_of(body)) else strict(body)


def objects_only(body: dict[str, Any]) -> Behaviour:
    """Any schema of an object, and no array anywhere in it."""
    return error(422, "no arrays") if "array" in str(schema_of(body)) else strict(body)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (capable, {}),
        (strict, {"object": "strict", "array": "strict", "value": "strict"}),
        (without_bounds, {"object": "strict_unbounded", "array": "strict_unbounded", "value": "strict"}),
        (objects_only, {"object": "strict", "array": "json_object", "value": "strict"}),
    ],
)
def test_each_shape_of_replies_falls_back_by_itself(answer: Any, expected: dict[str, str]) -> None:
    found, server, spec = seen(answer, request(OBJECT), request(ARRAY), request(VALUE))
    assert found.shapes == expected
    assert found.best(spec) == ({"structured": expected} if expected else {})
    assert server.bodies == [], "a probe asks nothing else"
    if expected:
        asked = spec.model_copy(update=found.best(spec))
        for schema in (OBJECT, ARRAY, VALUE):
            assert answer(chat_body(asked, request(schema), None)).status == 200


def test_the_schemas_that_are_tried_are_those_that_will_be_sent() -> None:
    _, server, _ = seen(capable, request(OBJECT), request(ARRAY, temperature=0.3))
    sent = [schema_of(body) for body in server.probes]
    assert OBJECT in sent
    assert ARRAY in sent
    assert all(body["temperature"] == 0.3 for body in server.probes)
    assert all("the study's own words" not in str(body) for body in server.probes)


def test_one_request_of_each_kind_is_enough() -> None:
    more = {
        **OBJECT,
        "properties": {**OBJECT["properties"], "c": {"type": "number", "minimum": 1, "maximum": 9}},
    }
    assert kinds([request(OBJECT), request(more), request(ARRAY), request(VALUE), request()]) == [
        request(OBJECT),
        request(ARRAY),
        request(VALUE),
        request(),
    ]
    assert len(kinds([request(OBJECT), request({**OBJECT, "required": ["a", "b"]})])) == 2


def test_a_shape_that_the_suite_demands_is_an_error_with_the_line() -> None:
    found, _, spec = seen(strict, request(VALUE), structured="json_schema")
    problem = lacking(spec, found)
    assert problem is not None
    assert 'Write structured = { value = "strict" } into its table' in str(problem)
    found, _, spec = seen(strict, request(OBJECT), structured={"object": "strict"})
    assert lacking(spec, found) is None


def test_trouble_between_leaves_a_shape_as_it_is() -> None:
    def busy_later(body: dict[str, Any]) -> Behaviour:
        return error(503) if schema_of(body) == OBJECT else capable(body)

    found, _, _ = seen(busy_later, request(OBJECT))
    assert found.shapes == {}


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        (["max_tokens"], {"limit": "max_completion_tokens"}),
        (["temperature"], {"omit": ["temperature"]}),
        (["temperature", "top_p"], {"omit": ["temperature", "top_p"]}),
        (["max_tokens", "temperature"], {"limit": "max_completion_tokens", "omit": ["temperature"]}),
    ],
)
def test_parameters_that_are_refused_are_renamed_or_left_out(
    refused: list[str], expected: dict[str, Any]
) -> None:
    def answer(body: dict[str, Any]) -> Behaviour:
        wrong = [name for name in refused if name in body]
        return error(400, f"Unsupported parameter: {wrong[0]}") if wrong else capable(body)

    found, _, spec = seen(answer, request(OBJECT, **LIMITED))
    assert found.best(spec) == expected
    body = chat_body(spec.model_copy(update=expected), request(OBJECT, **LIMITED), None)
    assert answer(body).status == 200
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 500
    assert found.json_schema is True, "features are asked for in the way that is taken"


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        (401, "Incorrect API key", "key_env"),
        (402, "no credit", "credit"),
        (403, "not allowed", "key_env"),
        (404, "no such model", "model's name"),
        (302, "", "check that the URL"),
        (204, "", "check that the URL"),
        (400, "model not found", ""),
    ],
)
def test_a_server_that_answers_no_request_is_an_error_at_once(status: int, message: str, remedy: str) -> None:
    with pytest.raises(ModelError, match=f"answers no request: status {status}") as caught:
        seen(lambda body: error(status, message))
    assert message in str(caught.value)
    assert remedy in str(caught.value)


def test_the_probe_has_a_deadline_and_says_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surrobench.llm.probe.BEAT", 0.05)
    beats: list[float] = []
    start = time.monotonic()
    with FaultyServer([ok("x")], probed=lambda body: dripping_body()) as server:
        found = probe(ModelSpec(url=server.url, model="m", timeout=0.3), server.url, (), beats.append)
    assert found == Capabilities()
    assert time.monotonic() - start < 10
    assert len(beats) >= 3


def test_a_model_that_thinks_is_noticed_with_what_the_server_states() -> None:
    choice = {"message": {"content": "", "reasoning": "hm"}, "finish_reason": "length"}
    usage = {"prompt_tokens": 3, "completion_tokens": 64}
    reply = {"choices": [choice] * 2, "usage": usage, "model": "m-1", "system_fingerprint": "fp"}
    found, _, _ = seen(lambda body: raw(reply))
    assert (found.thinks, found.model, found.fingerprint, found.usage) == (True, "m-1", "fp", True)
    assert found.json_schema is True
    found, _, _ = seen(capable)
    assert found.thinks is False


def test_a_reply_nested_too_deeply_is_no_reply() -> None:
    deep = {"choices": [{"message": {"content": "[" * 50_000}, "finish_reason": "stop"}]}
    found, _, _ = seen(lambda body: raw(deep))
    assert found.json_schema is False
    found, _, _ = seen(lambda body: raw(b'{"choices":' + b"[" * 100_000))
    assert found == Capabilities(server=found.server)


def test_settings_are_written_as_a_suite_has_them() -> None:
    settings = {"structured": {"array": "none"}, "seed": False, "omit": ["top_p"]}
    assert as_toml(settings) == 'structured = { array = "none" }, seed = false, omit = ["top_p"]'
    assert json.loads(json.dumps(settings)) == settings
