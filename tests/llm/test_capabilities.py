from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from surrobench.errors import ModelError
from surrobench.llm.capabilities import EMBEDDED, Capabilities, lacking
from surrobench.llm.journal import Journal
from surrobench.llm.models import ModelSpec
from surrobench.llm.probe import capabilities, probe
from surrobench.results.folder import Results
from surrobench.study.fallbacks import with_fallbacks
from surrobench.suite.loading import parse_suite
from tests.studies import AGENT, MLP, files, run, suite_text, surrobench

from .faulty_server import Behaviour, FaultyServer, busy, capable, drop, error, ok, raw, rubbish

EVERYTHING = {"json_schema": True, "seed": True, "samples": True, "logprobs": True, "usage": True}


def spec(**settings: Any) -> ModelSpec:
    return ModelSpec(**{"url": "http://127.0.0.1:9/v1", "model": "m", **settings})


def seen(answer: Any, **settings: Any) -> tuple[Capabilities, FaultyServer]:
    with FaultyServer([ok("not a probe")], probed=answer) as server:
        return probe(ModelSpec(url=server.url, model="m", **settings), server.url), server


def without(*names: str, status: int = 400):
    """A server that refuses requests with certain fields, ``json_schema`` among them."""

    def answer(body: dict[str, Any]) -> Behaviour:
        fields = {*body, body.get("response_format", {}).get("type")}
        return error(status, "I do not know that") if fields & set(names) else capable(body)

    return answer


def test_a_server_that_can_do_everything_is_asked_once() -> None:
    found, server = seen(capable)
    assert {name: getattr(found, name) for name in EVERYTHING} == EVERYTHING
    assert found.lacks == []
    assert len(server.probes) == 1
    assert server.bodies == []
    assert server.probes[0]["max_tokens"] <= 64


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("name", ["seed", "n", "logprobs"])
def test_what_it_refuses_is_found_out_one_by_one(name: str, status: int) -> None:
    found, _ = seen(without(name, status=status))
    expected = EVERYTHING | {{"n": "samples"}.get(name, name): False}
    assert {name: getattr(found, name) for name in EVERYTHING} == expected


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@pytest.mark.parametrize("name", ["seed", "n", "logprobs", "json_schema"])
def test_passing_trouble_refuses_nothing(name: str, status: int) -> None:
    found, _ = seen(without(name, status=status))
    assert {name: getattr(found, name) for name in EVERYTHING} == EVERYTHING | {
        {"n": "samples"}.get(name, name): None
    }
    assert found.lacks == []


def test_what_to_fall_back_to_is_not_guessed() -> None:
    busy = without("json_object", status=429)
    refused = without("json_schema")
    found, _ = seen(lambda body: refused(body) if "json_schema" in str(body) else busy(body))
    assert (found.json_schema, found.json_object) == (None, None)
    assert found.best(spec()) == {}


@pytest.mark.parametrize(
    ("answer", "best"),
    [
        (without("json_schema"), "json_object"),
        (without("json_schema", "json_object"), "none"),
        (lambda body: ok("Hello there!"), "none"),  # takes everything, heeds nothing
        (lambda body: ok('{"greeting": "hello"}'), "json_object"),
        (capable, "json_schema"),
    ],
)
def test_the_best_way_of_constraining(answer: Any, best: str) -> None:
    found, _ = seen(answer)
    assert found.best(spec()) == ({} if best == "json_schema" else {"structured": best})
    assert found.best(spec(structured="none")) == {}


@pytest.mark.parametrize("content", [None, "", "<think>They want me to", '{"surrobench": "pr'])
def test_a_reply_that_was_cut_off_does_not_show_the_contrary(content: str | None) -> None:
    found, _ = seen(lambda body: ok(content, finish_reason="length"))
    assert found.json_schema is True


def test_a_server_that_gives_fewer_completions_and_counts_nothing() -> None:
    found, _ = seen(lambda body: raw({"choices": [{"message": {"content": '{"surrobench": "probe"}'}}]}))
    assert (found.json_schema, found.samples, found.logprobs, found.usage) == (True, False, False, False)
    assert str(found).endswith("no several completions per request, no log-probabilities, no token counts")


@pytest.mark.parametrize(
    "trouble",
    [error(503), error(408), busy("0"), rubbish(), drop(), raw({"choices": []}), raw(b"[" * 100_000)],
)
def test_trouble_leaves_everything_unknown(trouble: Behaviour) -> None:
    found, _ = seen(lambda body: trouble)
    assert found.best(spec()) == {}
    assert {getattr(found, name) for name in EVERYTHING} == {None}


def test_no_server_is_unknown_and_no_url_is_an_error() -> None:
    assert capabilities(ModelSpec(url="http://127.0.0.1:9/v1", model="m")) == Capabilities()
    assert capabilities(ModelSpec(serve="embedded")) == EMBEDDED
    with pytest.raises(ModelError, match="not the URL"):
        probe(spec(), "nonsense")


def test_a_seed_that_is_not_wanted_or_could_end_vllm_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    _, server = seen(capable, seed=False)
    assert "seed" not in server.probes[0]

    async def vllm(self: Any) -> str:
        return "vLLM 0.31.0"

    monkeypatch.setattr("surrobench.llm.probe._Probe._server", vllm)
    found, server = seen(capable)
    assert "seed" not in server.probes[0]
    assert found.seed is None


def test_sampling_parameters_of_the_suite_are_probed_with() -> None:
    _, server = seen(capable, sampling={"max_completion_tokens": 5000, "reasoning_effort": "low"})
    assert server.probes[0]["max_completion_tokens"] == 64
    assert "max_tokens" not in server.probes[0]
    assert server.probes[0]["reasoning_effort"] == "low"


# ---------------------------------------------------------------------- in a study


def answer_anything(body: dict[str, Any]) -> Behaviour:
    return ok('{"lr": 0.001}')


def study(folder: Path, answer: Any, model: str = "retries = 0", out: str = "r"):
    """A study of one agent, and the server that it asked."""
    with FaultyServer(answer_anything, probed=answer) as server:
        path = folder / "tiny.toml"
        path.write_text(suite_text(models={"m": server.url}, trials=3, seeds=1, model=model))
        done = surrobench("run", path, "--out", folder / out, "--jobs", 1)
    return done, server


def settings(folder: Path) -> tuple[str, bool]:
    model = json.loads((folder / "manifest.json").read_text())["models"]["m"]
    return model["structured"], model["seed"]


def test_a_capable_server_is_not_talked_about_but_recorded(tmp_path: Path) -> None:
    done, server = study(tmp_path, capable)
    assert done.status == 0
    assert "JSON schemas" not in done.err
    assert {body["response_format"]["type"] for body in server.bodies} == {"json_schema"}
    [session] = json.loads((tmp_path / "r" / "manifest.json").read_text())["sessions"]
    assert session["servers"]["m"]["json_schema"] is True


def test_a_default_falls_back_with_a_note_and_another_identity(tmp_path: Path) -> None:
    done, server = study(tmp_path, without("json_schema", "seed"))
    assert done.status == 0, done.err
    assert 'as if [models.m] said: structured = "json_object", seed = false' in done.err
    assert "no JSON schemas, no seeds" in done.err
    assert {body["response_format"]["type"] for body in server.bodies} == {"json_object"}
    assert not any("seed" in body for body in server.bodies)
    assert settings(tmp_path / "r") == ("json_object", False)

    study(tmp_path, capable, 'structured = "json_object"\nseed = false', out="explicit")
    study(tmp_path, capable, out="by schema")
    ids = [set(Results(tmp_path / name).plan()["run"]) for name in ("r", "explicit", "by schema")]
    assert ids[0] == ids[1], "the runs are those of a suite that says so"
    assert len(ids[0] & ids[2]) == 1, "and not those of the default; but random search is the same"


def test_a_study_that_fell_back_stays_what_it_is(tmp_path: Path) -> None:
    study(tmp_path, without("json_schema"))
    done, server = study(tmp_path, capable)
    assert "2 runs: 2 were finished before" in done.err
    assert server.probes == [], "nothing is left to ask"
    (tmp_path / "tiny.toml").write_text(
        (tmp_path / "tiny.toml").read_text().replace("seeds = 1", "seeds = 2")
    )
    rehearsed = surrobench("run", tmp_path / "tiny.toml", "--out", tmp_path / "r", "--dry-run")
    assert "2 of 4 to do" in rehearsed.out
    replayed = surrobench(
        "run", tmp_path / "tiny.toml", "--replay", tmp_path / "r", "--out", tmp_path / "again"
    )
    assert settings(tmp_path / "again") == ("json_object", True), replayed.err
    assert set(files(tmp_path / "again"))


def longer(folder: Path, answer: Any, planned: Any = answer_anything):
    """The study of ``folder`` gone on with, two seeds in the place of one, and another server."""
    with FaultyServer(planned, probed=answer) as server:
        text = suite_text(models={"m": server.url}, trials=3, seeds=2, model="retries = 0")
        (folder / "tiny.toml").write_text(text)
        done = surrobench("run", folder / "tiny.toml", "--out", folder / "r", "--jobs", 1)
    return done, server


@pytest.mark.parametrize(
    ("lacks", "line"), [("json_schema", 'structured = "json_object"'), ("seed", "seed = false")]
)
def test_once_runs_were_begun_nothing_falls_back(tmp_path: Path, lacks: str, line: str) -> None:
    study(tmp_path, capable)
    before = set(Results(tmp_path / "r").records())
    done, server = longer(tmp_path, without(lacks))
    assert done.status == 1
    assert server.bodies == []
    assert "with which its runs here were begun" in done.err
    assert f"or write {line} into its table" in done.err
    assert "falls back" not in done.err
    assert settings(tmp_path / "r") == ("json_schema", True)
    records = Results(tmp_path / "r").records()
    assert before < set(records)
    assert len(records) == 3, "only the second run of the model is parked"

    done, server = longer(tmp_path, capable)
    assert done.status == 0, done.err
    assert len(server.bodies) == 2, "the first one was not asked for again"


def test_completions_of_an_unfinished_run_count_as_begun(tmp_path: Path) -> None:
    turns = iter([ok('{"lr": 0.001}')])
    done, _ = longer(tmp_path, capable, lambda body: next(turns, error(503)))
    assert "Resume with: " in done.err
    done, server = longer(tmp_path, without("json_schema"))
    assert "with which its runs here were begun" in done.err
    assert (done.status, server.bodies) == (1, [])


def test_a_study_of_which_nothing_was_begun_may_still_fall_back(tmp_path: Path) -> None:
    done, _ = longer(tmp_path, capable, lambda body: error(503))
    assert done.status == 1
    done, _ = longer(tmp_path, without("json_schema"))
    assert done.status == 0, done.err
    assert settings(tmp_path / "r") == ("json_object", True)


@pytest.mark.parametrize(
    ("model", "answer", "line"),
    [
        ('structured = "json_schema"', without("json_schema"), 'structured = "json_object"'),
        ('structured = "json_object"', without("json_schema", "json_object"), 'structured = "none"'),
        ("seed = true", without("seed"), "seed = false"),
    ],
)
def test_what_a_suite_demands_is_never_changed(tmp_path: Path, model: str, answer: Any, line: str) -> None:
    done, server = study(tmp_path, answer, f"retries = 0\n{model}")
    assert done.status == 1
    assert f"Write {line} into its table in the suite." in done.err
    assert "Resume with: " in done.err
    assert server.bodies == []
    assert {r.state for r in Results(tmp_path / "r").records().values()} == {"ok"}, "others are finished"


def test_several_completions_are_asked_for_one_by_one_where_they_are_refused(tmp_path: Path) -> None:
    with FaultyServer(answer_anything, probed=without("n")) as server:
        text = suite_text(models={"m": server.url}, trials=2, seeds=1)
        asks = (
            "from surrobench.protocol.requests import Complete, Message\n"
            "VERSION = 1\nPROMPTS = None\n"
            "def three(task, rng):\n"
            "    yield Complete((Message('user', 'hello'),), 'propose', n=3)\n"
        )
        (tmp_path / "three.py").write_text(asks)
        text = text.replace(f"[optimizers.{AGENT}]", f'[optimizers.a]\nmethod = "{tmp_path}/three.py:three"')
        summary = run(text, tmp_path / "r")
    assert summary.complete, summary.problems
    assert len(server.bodies) == 3
    assert not any("n" in body for body in server.bodies)
    assert len(Journal(tmp_path / "r" / "journal.jsonl")) == 3


def test_what_was_fallen_back_to_is_forgotten_where_the_suite_says_otherwise() -> None:
    text = suite_text(MLP, models={"m": "http://127.0.0.1:9/v1"}, model='structured = "json_schema"')
    notes: list[str] = []
    suite, fallbacks = with_fallbacks(parse_suite(text), {}, {"m": {"structured": "none"}}, notes.append)
    assert suite.models["m"].structured == "json_schema"
    assert (fallbacks, notes) == ({}, [])
    assert lacking(suite.models["m"], Capabilities(json_schema=True)) is None
