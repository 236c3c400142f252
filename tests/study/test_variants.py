"""Prompt variants and slot controls, from the suite to what is stored, resumed and replayed."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from surrobench.benchmarks.registry import benchmark
from surrobench.errors import SuiteError, UsageError
from surrobench.execution.process_pool import InlineExecutor, process_pool
from surrobench.llm.client import Client
from surrobench.llm.journal import Journal
from surrobench.llm.parse import parse_configuration
from surrobench.llm.prompt_variants import VARIANTS, ShownSpace
from surrobench.plan.planning import plan
from surrobench.plan.run import Run
from surrobench.report.claims import judge
from surrobench.report.llm.reply_statistics import load_replies
from surrobench.results.folder import Results
from surrobench.study import session as study
from surrobench.study.cost_estimate import dry_run, rehearse
from surrobench.suite.loading import parse_suite
from surrobench.suite.model_overrides import add_models
from tests.llm.faulty_server import FaultyServer
from tests.old_results import as_version_3
from tests.own_tables import made_up
from tests.studies import AGENT, MLP, NAS, answer, files, run, suite_text, surrobench, trials

URL = "http://model.invalid/v1"


def text(
    models: list[str], *, head: str = "", method: str = "", trials: int = 4, seeds: int = 2, url: str = URL
) -> str:
    """A suite with random search, the agent with these models, and lines at the top and of the agent."""
    written = suite_text(MLP, NAS, models={"m": url}, trials=trials, seeds=seeds, head=head)
    return written.replace('models = ["m"]', f"models = {json.dumps(models)}\n{method}")


def planned(models: list[str], **more: Any) -> list[Run]:
    return plan(parse_suite(text(models, **more)))


def agents(runs: list[Run]) -> list[Run]:
    """Of one benchmark and seed."""
    return [run for run in runs if run.model and (run.benchmark, run.seed) == (MLP, 0)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "backoff", 0.005)
    monkeypatch.setattr(
        study, "process_pool", lambda jobs: InlineExecutor() if jobs == 1 else process_pool(jobs)
    )


# ---------------------------------------------------------------------- suite and plan


def test_each_model_is_run_once_per_variant_and_each_slot_control_once() -> None:
    head = 'variants = ["full", "anonymous"]'
    runs = agents(planned(["m", "control:random", "control:tpe"], head=head))
    assert [(run.model, run.variant) for run in runs] == [
        ("m", "full"),
        ("m", "anonymous"),
        ("control:random", None),
        ("control:tpe", None),
    ]
    assert [run.name for run in runs] == [
        f"{AGENT} (m)",
        f"{AGENT} (m, anonymous)",
        f"{AGENT} (control:random)",
        f"{AGENT} (control:tpe)",
    ]
    assert [run.asks_model for run in runs] == [True, True, False, False]
    assert len({run.id for run in runs}) == 4


def test_a_method_s_own_variants_take_the_place_of_the_study_s() -> None:
    runs = agents(
        planned(["m"], head='variants = ["full"]', method='variants = ["misleading", "no-dataset"]')
    )
    assert [run.variant for run in runs] == ["misleading", "no-dataset"]


def test_ids_are_the_same_where_nothing_changed() -> None:
    def ids(models: list[str], **more: Any) -> dict[str, str]:
        return {run.name: run.id for run in agents(planned(models, **more))}

    plain = ids(["m"])
    assert ids(["m"], head='variants = ["full"]') == plain
    every = ids(["m", "control:random"], head=f"variants = {json.dumps(VARIANTS)}")
    assert every[f"{AGENT} (m)"] == plain[f"{AGENT} (m)"]
    control = {f"{AGENT} (control:random)": every[f"{AGENT} (control:random)"]}
    # No prompt, no model and no invalid reply is behind a slot control's trials.
    assert ids(["control:random"], head='invalid = "clip"\nvariants = ["anonymous"]') == control
    assert ids(["control:random"], head='initial = "none"') != control


@pytest.mark.parametrize(
    ("models", "more", "says"),
    [
        (["control:rnadom"], {}, "'control:rnadom'; did you mean 'control:random'? (line "),
        (["n"], {}, "unknown model of optimizers.karpathy-agent 'n'"),
        (["m"], {"head": 'variants = ["anonymos"]'}, "'anonymos'. Did you mean 'anonymous'?"),
        (["m"], {"method": 'variants = ["misleding"]'}, "Did you mean 'misleading'?"),
        (["m"], {"head": "variants = []"}, "variants"),
        (["m"], {"method": "[models.'control:random']\nurl = 'http://x'"}, "'control:' are slot controls"),
    ],
)  # fmt: skip
def test_what_is_misspelt_is_one_line_with_the_near_miss(
    models: list[str], more: dict[str, str], says: str
) -> None:
    with pytest.raises(SuiteError, match=re.escape(says)):
        parse_suite(text(models, **more))


def test_variants_of_a_method_without_a_model_are_refused() -> None:
    with pytest.raises(SuiteError, match="has no language model that variants could be shown to"):
        parse_suite(text(["m"]).replace("[optimizers.random]", '[optimizers.random]\nvariants = ["full"]'))


def test_misleading_is_refused_where_there_are_no_names_to_permute(tmp_path: Path) -> None:
    columns = ["config.lr", "instance", "minimize.val_loss"]
    path = tmp_path / "one.csv"
    made_up().select(columns).unique(columns[:2], maintain_order=True).write_csv(path)

    def planned_there(models: list[str], variants: list[str]) -> list[Run]:
        head = f"variants = {json.dumps(variants)}"
        return plan(parse_suite(text(models, head=head).replace(NAS, f"table:{path}")))

    with pytest.raises(SuiteError) as caught:
        planned_there(["m"], ["full", "misleading"])
    name = r"table/one@\w+/iris"
    says = f"Nothing on {name} can mislead {AGENT}: it has one hyperparameter, and so no names to permute"
    assert re.fullmatch(rf'{says}\. Leave out {name}, or the variant "misleading"\.', str(caught.value))
    assert planned_there(["m"], ["full", "no-dataset", "anonymous"])
    assert planned_there(["control:random"], ["misleading"])  # it reads no prompt


def test_one_variant_named_twice_is_refused() -> None:
    with pytest.raises(SuiteError, match="Two prompt variants are called"):
        planned(["m"], head='variants = ["full", "full"]')


def test_a_model_from_the_command_line_is_shown_the_variants_of_a_suite_of_controls() -> None:
    suite = parse_suite(text(["control:random"], head='variants = ["full", "anonymous"]'))
    more = add_models(suite, {"n": ("http://two.invalid/v1", "other")})
    assert [(run.model, run.variant) for run in agents(plan(more))] == [
        ("control:random", None),
        ("n", "full"),
        ("n", "anonymous"),
    ]
    with pytest.raises(UsageError, match="are those of slot controls"):
        add_models(suite, {"control:random": ("http://two.invalid/v1", "other")})


# ---------------------------------------------------------------------- dry run


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_rehearsal_asks_as_often_as_the_run_and_shows_what_it_would(variant: str) -> None:
    [one] = [run for run in agents(planned(["m"], trials=6)) if run.variant == "full"]
    [shown] = agents(planned(["m"], trials=6, method=f'variants = ["{variant}"]'))
    asked = rehearse(shown)
    assert asked.calls == 5
    assert 0 < asked.written < asked.read
    # Misleading names are the same ones, elsewhere.
    assert (asked.read < rehearse(one).read) == (variant in ("no-dataset", "anonymous"))
    assert rehearse(shown) == asked


def test_a_rehearsal_counts_about_what_the_server_is_sent(tmp_path: Path) -> None:
    with FaultyServer(answer) as server:
        written = text(["m"], trials=6, seeds=1, url=server.url)
        for one in agents(planned(["m"], trials=6, seeds=1)):
            asked = rehearse(one)
        run(written.replace(f', "{NAS}"', ""), tmp_path / "r", jobs=1)
        sent = sum(len(message["content"]) for body in server.bodies for message in body["messages"])
    assert asked.calls == len(server.bodies) == 5
    assert asked.read == pytest.approx(sent, rel=0.03)
    lines = map(json.loads, (tmp_path / "r" / "journal.jsonl").read_text().splitlines())
    fresh = sum(len(line["prompt"][1]) for line in lines if "prompt" in line)
    assert asked.fresh == pytest.approx(fresh, rel=0.1)  # the journal, too, keeps what is new in a prompt


def test_a_dry_run_counts_each_variant_and_no_calls_of_controls(tmp_path: Path) -> None:
    cost = dry_run(parse_suite(text(["m"])), tmp_path / "none", 1)
    more = dry_run(
        parse_suite(text(["m", "control:random"], head='variants = ["full", "anonymous"]')), tmp_path / "n", 1
    )
    assert (cost.runs, cost.calls) == (8, 12)
    assert (more.runs, more.calls) == (16, 24)
    assert cost.tokens_in < more.tokens_in < 2 * cost.tokens_in  # an anonymous prompt is shorter
    alone = dry_run(parse_suite(text(["control:random"])), tmp_path / "n", 1)
    assert (alone.calls, alone.tokens_in, alone.runs) == (0, 0, 8)


def test_a_dry_run_counts_a_prompt_for_each_completion_of_the_embedded_model(tmp_path: Path) -> None:
    at_url = text(["m"]).replace(f"[optimizers.{AGENT}]", '[optimizers.a]\nmethod = "opro"')
    embedded = at_url.replace(f'url = "{URL}"', 'serve = "embedded"')
    once, each = (dry_run(parse_suite(written), tmp_path / "n", 1) for written in (at_url, embedded))
    assert once.calls == each.calls
    assert once.tokens_out == each.tokens_out
    assert each.tokens_in == pytest.approx(8 * once.tokens_in, rel=0.01)  # opro asks for eight at a time


# ---------------------------------------------------------------------- a study


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A study of two models under two variants and of two slot controls, and its suite."""
    folder = tmp_path_factory.mktemp("variants") / "r"
    with FaultyServer(answer) as one, FaultyServer(answer) as two:
        written = text(["m", "n", "control:random", "control:tpe"], head='variants = ["full", "anonymous"]')
        written = written.replace(URL, one.url) + f'[models.n]\nurl = "{two.url}"\nmodel = "n-1"\n'
        assert run(written, folder, jobs=1).complete
    return written, folder


def test_every_trial_of_a_model_has_its_reply_prompt_and_request_in_the_journal(
    whole: tuple[str, Path],
) -> None:
    _, folder = whole
    results = Results(folder)
    journal = Journal(results.journal_path)
    records = results.records()
    found = trials(folder)
    proposed = found.filter(pl.col("source") == "llm")
    assert len(proposed) == 2 * 2 * 2 * 2 * 3  # benchmarks, models, variants, seeds, trials after the default
    for row in proposed.iter_rows(named=True):
        entries = {entry.where: entry for entry in journal.of_run(row["run"])}
        entry = entries[row["reply"]]
        of_run = records[row["run"]].run
        assert re.fullmatch(r"[0-9a-f]{16,}", entry.request)
        assert entry.prompt is not None
        assert entry.prompt[0].role == "user"
        assert entry.purpose == "propose"
        assert results.manifest["models"][of_run.model]["model"] == f"{of_run.model}-1"
        # The raw text is what the trial's configuration was read from.
        where = benchmark(row["benchmark"])
        view = ShownSpace(where.space, of_run.shows)
        read = parse_configuration(entry.completion, view, clip=False, default=where.space.default)
        assert read.configuration is not None
        [values] = where.space.decode(read.configuration[None, :])
        stored = results.trials(scenario_key=where.scenario.key).filter(
            (pl.col("run") == row["run"]) & (pl.col("trial") == row["trial"])
        )
        assert values == {name: stored.collect()[f"config.{name}"][0] for name in values}
    assert found.filter((pl.col("source") != "llm") & pl.col("reply").is_not_null()).is_empty()


def test_slot_controls_ask_nobody_and_are_named_as_the_source(whole: tuple[str, Path]) -> None:
    _, folder = whole
    found = trials(folder).filter(pl.col("llm").str.starts_with("control:"))
    journalled = Journal(folder / "journal.jsonl").runs()
    assert not journalled & set(found["run"])
    assert found["calls"].sum() == 0
    own = found.filter(pl.col("source") != "initial")
    assert (own["source"] == own["llm"]).all()
    assert set(own["llm"]) == {"control:random", "control:tpe"}
    answers = Counter[str]()
    for record in Results(folder).records().values():
        if record.run.control:
            answers.update(record.answers)
    assert sum(answers.values()) == len(own)
    assert set(answers) <= {"propose:valid", "propose:duplicate"}


def test_slot_controls_go_to_workers_and_give_the_same_bytes(tmp_path: Path) -> None:
    written = text(["control:random", "control:default", "control:tpe"])
    assert run(written, tmp_path / "one", jobs=1).complete
    assert run(written, tmp_path / "two", jobs=2).complete
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert not (tmp_path / "two" / "journal.jsonl").exists()


def test_variants_and_controls_are_replayed_without_a_server(whole: tuple[str, Path], tmp_path: Path) -> None:
    written, folder = whole
    assert run(written, tmp_path / "again", replay=folder, jobs=2).complete
    assert files(tmp_path / "again") == files(folder)


def test_a_finished_study_has_nothing_left_and_a_new_variant_adds_its_runs(whole: tuple[str, Path]) -> None:
    written, folder = whole
    runs = plan(parse_suite(written))
    assert Results(folder).unfinished(runs) == []
    more = plan(parse_suite(written.replace('"anonymous"]', '"anonymous", "misleading"]')))
    left = Results(folder).unfinished(more)
    assert {run.variant for run in left} == {"misleading"}
    assert len(left) == 2 * 2 * 2


def test_status_counts_variants_and_controls_apart(whole: tuple[str, Path]) -> None:
    done = surrobench("status", whole[1])
    assert (done.status, done.err) == (0, "")
    rows = dict(re.findall(r"^(\S.*?) +(\d+) *$", done.out, re.MULTILINE))
    assert rows == {
        "random": "4",
        **{
            f"{AGENT} ({shown})": "4"
            for shown in ("m", "m, anonymous", "n", "n, anonymous", "control:random", "control:tpe")
        },
    }


def test_two_models_are_ranked_side_by_side(whole: tuple[str, Path]) -> None:
    done = surrobench("rank", whole[1], "--format", "json", "--variant", "full")
    rows = {row["method"]: row["model"] for row in json.loads(done.out)["methods"]}
    assert rows == {
        "random": None,
        f"{AGENT} (m)": "m-1",
        f"{AGENT} (n)": "n-1",
        f"{AGENT} (control:random)": "control:random",
        f"{AGENT} (control:tpe)": "control:tpe",
    }
    one = surrobench("rank", whole[1], "--format", "json", "--model", "control:r*")
    assert {row["method"] for row in json.loads(one.out)["methods"]} == {
        "random",
        f"{AGENT} (control:random)",
    }


@pytest.mark.parametrize("kind", ["curves", "heatmap"])
def test_plot_draws_the_variants_that_are_chosen(whole: tuple[str, Path], kind: str, tmp_path: Path) -> None:
    done = surrobench(
        "plot", kind, whole[1], "--variant", "anon*", "--model", "m", "--out", tmp_path / "f.html", "--bare"
    )
    assert done.status == 0, done.err
    drawn = (tmp_path / "f.html").read_text()
    assert "m, anonymous" in drawn
    assert f"{AGENT} (n" not in drawn
    assert surrobench("plot", kind, whole[1], "--variant", "x", "--out", tmp_path / "g.svg").status == 2


def test_show_links_each_trial_to_its_reply_and_each_reply_to_its_trial(whole: tuple[str, Path]) -> None:
    done = surrobench("show", f"{AGENT} (m, anonymous):{MLP}:0", "--results", whole[1], "--prompts")
    assert done.status == 0, done.err
    rows = [line.split()[:4] for line in done.out.splitlines() if re.match(r" *\d+  (llm|initial)", line)]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert [row[3] for row in rows[1:]] == ["0.0.0", "1.0.0", "2.0.0"]
    said = re.findall(r"call (\d), attempt 0, sample 0 \(propose\) .*\n(.*)\n", done.out)
    assert said == [("0", "became trial 1"), ("1", "became trial 2"), ("2", "became trial 3")]


# ---------------------------------------------------------------------- claims


def claim(better: str, than: str) -> str:
    return f'\n[claims.c]\nsays = "it is"\nbetter = {better}\nthan = {than}\n'


@pytest.mark.parametrize(
    ("better", "known"),
    [
        ('"karpathy-agent (m, anonymous)"', True),
        ('"karpathy-agent (control:random)"', True),
        ('"karpathy-agent"', True),
        ('"karpathy-agent (m, misleading)"', False),
        ('"karpathy-agent (control:default)"', False),
    ],
)
def test_claims_name_variants_and_controls_as_tables_do(better: str, known: bool) -> None:
    written = text(["m", "control:random"], head='variants = ["full", "anonymous"]')
    written += claim(better, '"random"')
    if known:
        assert parse_suite(written).claims
    else:
        with pytest.raises(SuiteError, match="did you mean"):
            parse_suite(written)


def test_a_label_in_a_claim_means_its_models_with_nothing_hidden(
    whole: tuple[str, Path], tmp_path: Path
) -> None:
    written, folder = whole
    verdicts = []
    for better in (f'"{AGENT}"', f'["{AGENT} (m)", "{AGENT} (n)"]'):
        out = tmp_path / str(len(verdicts))
        assert run(written + claim(better, '"random"'), out, replay=folder, jobs=1).complete
        [judged] = judge([Results(out)])
        verdicts.append(judged.evidence)
    assert verdicts[0] == verdicts[1]


# ---------------------------------------------------------------------- results of before there were variants


def test_old_results_go_on_with_variants_and_are_read_together(tmp_path: Path) -> None:
    with FaultyServer(answer) as server:
        plain = text(["m"], url=server.url)
        assert run(plain, tmp_path / "new", jobs=1).complete
        old = as_version_3(tmp_path / "new", tmp_path / "old")
        before = Results(old)
        assert before.plan()["variant"].to_list() == Results(tmp_path / "new").plan()["variant"].to_list()
        assert trials(old).drop("reply").equals(trials(tmp_path / "new").drop("reply"))
        assert trials(old)["reply"].null_count() == len(trials(old))
        asked = len(server.bodies)
        more = text(["m", "control:random"], url=server.url, head='variants = ["full", "anonymous"]')
        summary = run(more, old, jobs=1)
        assert summary.complete
        assert summary.finished_before == 8
        assert len(server.bodies) - asked == 2 * 2 * 3  # the anonymous ones alone
    found = trials(old)
    assert found.group_by("llm", "variant").len().sort("llm", "variant", nulls_last=False).rows() == [
        (None, None, 16),
        ("control:random", None, 16),
        ("m", "anonymous", 16),
        ("m", "full", 16),
    ]
    replied = found.filter(pl.col("source") == "llm").group_by("variant").agg(pl.col("reply").count())
    assert dict(replied.iter_rows()) == {"anonymous": 12, "full": 0}
    assert surrobench("rank", old, "--group-by", "variant").status == 0
    folder = Results(old)
    for key in ("hpobench/mlp", "nasbench201/cell"):  # merged, every record stands where its trials do
        of_run = folder.trials(["run", "score"], key).collect()
        for ids, first, rows in folder.runs_in(key, ["trial", "score"]):
            for i, one in enumerate(ids):
                mine = rows["score"][int(first[i]) : int(first[i + 1])]
                assert mine.to_list() == of_run.filter(run=one)["score"].to_list()
    [full] = [one for one in load_replies([folder]) if one.variant == "full"]
    assert (full.unrecorded, full.runs) == (4, 4)
    assert surrobench("show", f"{AGENT} (m):{MLP}:0", "--results", old).status == 0
