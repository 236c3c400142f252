"""What a study does about servers: before its runs begin, and where a server changes under it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from surrobench.errors import SuiteError
from surrobench.llm.chat import chat_body
from surrobench.llm.journal import Journal
from surrobench.llm.models import ModelSpec, shape_of
from surrobench.plan.planning import plan
from surrobench.protocol.requests import Complete, Message
from surrobench.results.folder import Results
from surrobench.study.expected_requests import expected_requests
from surrobench.study.model_servers import file_name
from surrobench.suite.loading import parse_suite
from tests.llm.faulty_server import Behaviour, FaultyServer, capable, dripping_body, error, ok, raw
from tests.studies import AGENT, MLP, answer, configuration, run, suite_text, surrobench, trials

SECRET = "sk-0123456789abcdef"


def written(folder: Path) -> str:
    """Everything that a study wrote, as text."""
    return "".join(path.read_bytes().decode("latin1") for path in folder.rglob("*") if path.is_file())


def stated(body: dict[str, Any], **top: Any) -> Behaviour:
    """A proper answer of a server that states more than it has to."""
    reply = json.loads(answer(body).payload)
    return raw({**reply, **top})


# ---------------------------------------------------------------------- before the runs begin


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_wrong_key_or_model_ends_the_study_at_once_and_is_no_failure_of_a_run(
    tmp_path: Path, status: int
) -> None:
    (tmp_path / "s.toml").write_text(suite_text(models={"m": "URL"}, seeds=2))
    with FaultyServer([error(status)], probed=lambda body: error(status, "go away")) as server:
        text = (tmp_path / "s.toml").read_text().replace("URL", server.url)
        (tmp_path / "s.toml").write_text(text)
        done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "r", "--jobs", 1)
        assert (done.status, server.bodies) == (1, [])
        assert f"answers no request: status {status}: go away" in done.error
        assert not (tmp_path / "r" / "trials").exists(), "nothing was computed"
        server._probed = capable
        server._plan = answer
        done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "r", "--jobs", 1)
        assert done.status == 0, done.err


def test_a_budget_of_tokens_needs_a_server_that_counts_them(tmp_path: Path) -> None:
    def uncounted(body: dict[str, Any]) -> Behaviour:
        reply = json.loads((capable(body) if "hello" in str(body) else answer(body)).payload)
        return raw({"choices": reply["choices"]})

    text = suite_text(MLP, models={"m": "URL"}, seeds=1).replace("trials = 4", "seconds = 1000\ntokens = 100")
    with FaultyServer(uncounted, probed=uncounted) as server:
        summary = run(text.replace("URL", server.url), tmp_path / "a")
    assert (summary.states["parked"], server.bodies) == (1, [])
    assert "does not count tokens" in next(iter(summary.problems))
    with FaultyServer(uncounted) as server:  # the probe was counted, and the replies are not
        summary = run(text.replace("URL", server.url), tmp_path / "b")
    assert summary.states["parked"] == 1
    assert len(server.bodies) == 1
    assert "counted no tokens" in next(iter(summary.problems))


def test_numbers_of_tokens_that_no_result_could_hold_do_not_end_the_study(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 2**33, "completion_tokens": 2**70}
    with FaultyServer(lambda body: stated(body, usage=usage)) as server:
        summary = run(suite_text(MLP, models={"m": server.url}, seeds=1), tmp_path / "r")
    assert summary.complete, summary.problems
    assert trials(tmp_path / "r")["tokens_in"].max() == 2**24


def test_a_server_that_drips_is_given_up_in_time_and_parks(tmp_path: Path) -> None:
    text = suite_text(MLP, models={"m": "URL"}, seeds=1, model="retries = 1\ntimeout = 0.3")
    with FaultyServer([dripping_body()]) as server:
        summary = run(text.replace("URL", server.url), tmp_path / "r")
    assert summary.states == {"ok": 1, "parked": 1}
    assert "no whole answer within 0.3 seconds" in next(iter(summary.problems))


# ---------------------------------------------------------------------- what a server states


def test_a_model_that_changes_under_a_study_is_said(tmp_path: Path, capsys: Any) -> None:
    suite = tmp_path / "s.toml"
    turns = iter(range(100))
    with FaultyServer(lambda body: stated(body, model=f"m-{next(turns) // 2}")) as server:
        suite.write_text(suite_text(MLP, models={"m": server.url}, seeds=1))
        done = surrobench("run", suite, "--out", tmp_path / "r", "--jobs", 1)
    assert done.status == 0, done.err
    assert "m-1: the server states model 'm-1', and stated 'm-0' before." in done.err
    served = [entry.completion.served for entry in Journal(tmp_path / "r" / "journal.jsonl").entries()]
    assert [one.model for one in served if one is not None][:3] == ["m-0", "m-0", "m-1"]


def test_a_model_that_changed_since_the_last_session_is_said(tmp_path: Path) -> None:
    for seeds, name in ((1, "old"), (2, "new")):
        reply = {**json.loads(capable({}).payload), "model": name, "system_fingerprint": f"fp-{name}"}
        with FaultyServer(answer, probed=lambda body, reply=reply: raw(reply)) as server:
            (tmp_path / "s.toml").write_text(
                suite_text(MLP, models={"m": server.url}, seeds=seeds, model='structured = "none"')
            )
            done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "r", "--jobs", 1)
    assert "since the last session, the name of the model changed from old to new" in done.err
    assert "the fingerprint of the model changed from fp-old to fp-new" in done.err


def test_a_server_that_ignores_the_schema_is_said_once(tmp_path: Path) -> None:
    def chatty(body: dict[str, Any]) -> Behaviour:
        return ok(f"Here you are: {json.dumps(configuration(body))}")

    with FaultyServer(chatty) as server:
        (tmp_path / "s.toml").write_text(suite_text(MLP, models={"m": server.url}, seeds=1))
        done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "r", "--jobs", 1)
    assert done.err.count("takes schemas but does not keep to them") == 1


def test_a_reasoning_model_is_told_what_its_limits_will_do(tmp_path: Path) -> None:
    def thinks(body: dict[str, Any]) -> Behaviour:
        choice = {"message": {"content": "", "reasoning": "Let me see"}, "finish_reason": "length"}
        return raw({"choices": [choice] * body.get("n", 1), "usage": {"completion_tokens": 64}})

    with FaultyServer(answer, probed=thinks) as server:
        text = suite_text(MLP, models={"m": server.url}, trials=2, seeds=1)
        (tmp_path / "s.toml").write_text(text)
        done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "r", "--jobs", 1)
        assert "m thinks before it replies" in done.err
        assert "2,048 tokens" in done.err
        assert "thinking = 8192 into [models.m]" in done.err
        (tmp_path / "s.toml").write_text(f"{text}thinking = 8192\n")
        done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "r", "--jobs", 1)
        assert "thinks before" not in done.err
    assert {body["max_tokens"] for body in server.bodies} == {2048, 2048 + 8192}


def test_room_for_thinking_is_added_to_every_limit_and_counts_for_the_identity() -> None:
    def body(**settings: Any) -> dict[str, Any]:
        spec = ModelSpec(url="http://127.0.0.1:9/v1", model="m", **settings)
        sampling = {"max_tokens": 16, "temperature": 0.5, "top_p": 0.9}
        return chat_body(spec, Complete((Message("user", "x"),), "predict", sampling=sampling), None)

    assert body(thinking=1000)["max_tokens"] == 1016
    assert body(thinking=1000, sampling={"max_completion_tokens": 5})["max_completion_tokens"] == 1005
    assert body(limit="max_completion_tokens")["max_completion_tokens"] == 16
    assert "max_tokens" not in body(limit="max_completion_tokens")
    assert "max_tokens" not in body(omit=["max_tokens"], thinking=1000)
    assert "temperature" not in body(omit=["temperature"])
    assert body(omit=["temperature"], sampling={"temperature": 1})["temperature"] == 1
    spec = ModelSpec(url="http://127.0.0.1:9/v1", model="m")
    assert spec.model_copy(update={"thinking": 5}).identity() == {**spec.identity(), "thinking": 5}
    assert ModelSpec(url="http://127.0.0.1:9/v1", model="m", thinking=0).identity() == spec.identity()


# ---------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "line",
    [
        f'url = "http://user:{SECRET}@127.0.0.1:9/v1"',
        f'url = "http://127.0.0.1:9/v1?api-key={SECRET}"',
        f'url = "ftp://user:{SECRET}@host/v1"',
        f'serve = "vllm"\nextra = ["--api-key", "{SECRET}"]',
        f'serve = "vllm"\nextra = ["--api-key={SECRET}"]',
        f'url = "http://127.0.0.1:9/v1"\nsampling = {{ extra_body = {{ api_key = "{SECRET}" }} }}',
    ],
)
def test_a_key_in_a_suite_is_refused_and_reaches_no_message(tmp_path: Path, line: str) -> None:
    text = suite_text(MLP, models={"m": "URL"}).replace('url = "URL"', line)
    (tmp_path / "s.toml").write_text(text)
    done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "r")
    assert done.status == 2
    assert SECRET not in done.out + done.error
    assert "key_env" in done.error or "not the URL" in done.error
    assert not (tmp_path / "r").exists()


def test_a_key_that_a_server_echoes_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", SECRET)
    turns = iter(
        [ok(f"I was asked with {SECRET}"), error(500, f"debug: {SECRET}"), error(400, f"no {SECRET}")]
    )

    def echo(body: dict[str, Any]) -> Behaviour:
        return next(turns, error(401, f"wrong: Bearer {SECRET}"))

    def probed(body: dict[str, Any]) -> Behaviour:
        reply = {**json.loads(capable(body).payload), "model": SECRET, "system_fingerprint": SECRET}
        return Behaviour(payload=json.dumps(reply).encode(), headers={"Server": SECRET})

    with FaultyServer(echo, probed) as server:
        text = suite_text(MLP, models={"m": server.url}, seeds=3, model='key_env = "SOME_KEY"\nretries = 1')
        (tmp_path / "s.toml").write_text(text)
        done = surrobench("run", tmp_path / "s.toml", "--out", tmp_path / "r", "--jobs", 1)
    assert done.status == 1
    assert SECRET not in done.out + done.err + written(tmp_path / "r")
    assert "[key]" in written(tmp_path / "r")


# ---------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('url = "http://127.0.0.1:99999/v1"', "not the URL of a model server"),
        ("sampling = { t = 1979-05-27 }", "'t' is no known sampling parameter"),
        ("sampling = { stop = 1979-05-27 }", "nothing that a request can carry"),
        ("sampling = { temperature = nan }", "nothing that a request can carry"),
        ('sampling = { temperature = "0.7" }', "temperature is a number, not '0.7'"),
        ("sampling = { max_tokens = 1.5 }", "max_tokens is an integer, not 1.5"),
        ("sampling = { temprature = 0.7 }", "did you mean 'temperature'?"),
        ("sampling = { wibble = 1 }", "write extra_body = { wibble = ... }"),
        ("sampling = { n = 3 }", "the method decides how many completions it asks for"),
        ("sampling = { stream = true }", "replies are read whole"),
        ("sampling = { extra_body = 1 }", "extra_body is a table of parameters"),
        ("sampling = { extra_body = { n = 3 } }", "extra_body.n is not the suite's to set"),
        ('structured = { list = "none" }', "structured"),
        ("thinking = -1", "thinking"),
        ("patience = 0", "patience"),
    ],
)
def test_settings_of_a_model_that_make_no_sense_are_one_line(tmp_path: Path, line: str, problem: str) -> None:
    key = line.partition(" ")[0]
    text = suite_text(MLP, models={"m": "http://127.0.0.1:9/v1"}, model="")
    text = text.replace('url = "http://127.0.0.1:9/v1"', line) if key == "url" else f"{text}{line}\n"
    with pytest.raises(SuiteError) as caught:
        parse_suite(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parameters_of_an_extra_body_are_sent_beside_the_others_and_are_the_same_as_before() -> None:
    def spec(**sampling: Any) -> ModelSpec:
        return ModelSpec(url="http://127.0.0.1:9/v1", model="m", sampling=sampling)

    ask = Complete((Message("user", "x"),), "propose")
    body = chat_body(spec(top_k=3, extra_body={"wibble": 1}), ask, None)
    assert (body["top_k"], body["wibble"], "extra_body" in body) == (3, 1, False)
    assert spec(extra_body={"top_k": 3}).identity() == spec(top_k=3).identity()


@pytest.mark.parametrize("label", ["/../../pwned", "..", "a/b", "a\\b", "x" * 300, "\x1b[31m", "", "naïve"])
def test_a_label_makes_a_safe_name_of_a_file(label: str) -> None:
    name = file_name(label)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert len(name) <= 60
    assert not name.startswith(".")
    assert name != file_name(label + "!"), "two labels never share a log"
    assert file_name("qwen-3.5_8B") == "qwen-3.5_8B"


def test_all_that_a_method_asks_for_is_expected() -> None:
    text = suite_text("hpobench/mlp/car", models={"m": "http://127.0.0.1:9/v1"}, trials=12, seeds=1)
    planned = plan(parse_suite(text.replace(f"[optimizers.{AGENT}]", "[optimizers.llambo]")))
    requests = expected_requests([run for run in planned if run.asks_model], planned)
    assert {shape_of(request.schema) for request in requests if request.schema} == {"object", "value"}
    assert {request.sampling.get("max_tokens") for request in requests} >= {16, 500}


def test_a_shape_falls_back_by_itself_in_a_study_and_its_replay(tmp_path: Path) -> None:
    def objects_only(body: dict[str, Any]) -> Behaviour:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {"type": "object"})
        return error(400, "the root is an object") if schema.get("type") != "object" else capable(body)

    def several(body: dict[str, Any]) -> Behaviour:
        schema = body["response_format"]["json_schema"]["schema"]
        one = {"response_format": {"json_schema": {"schema": schema["properties"]["answer"]["items"]}}}
        many = schema["properties"]["answer"]["minItems"]
        return ok(json.dumps({"answer": [configuration({**one, "k": k}) for k in range(many)]}))

    text = suite_text(MLP, models={"m": "URL"}, trials=4, seeds=1).replace(AGENT, "zero-shot")
    with FaultyServer(several, probed=objects_only) as server:
        text = text.replace("URL", server.url)
        summary = run(text, tmp_path / "r")
    assert summary.complete, summary.problems
    manifest = Results(tmp_path / "r").manifest
    assert manifest["fallbacks"] == {"m": {"structured": {"array": "strict"}}}
    assert set(trials(tmp_path / "r")["status"]) == {"ok"}
    assert run(text, tmp_path / "again", replay=tmp_path / "r").complete
