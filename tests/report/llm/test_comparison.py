"""Conditions of methods that ask a language model, on made-up numbers and in a study that was run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from surrobench.benchmarks.base import Benchmark
from surrobench.benchmarks.registry import benchmark
from surrobench.protocol.budget import Budget
from surrobench.report.data.load import RunFilter
from surrobench.report.llm.comparison import (
    Comparison,
    Condition,
    Row,
    compared,
    conditions_of,
    load_comparison,
)
from surrobench.report.llm.comparison_table import tables_of
from surrobench.report.render.formats import render
from surrobench.results.folder import Results
from surrobench.stats.correction import holm
from surrobench.stats.regret import quantile_regret
from tests.llm.faulty_server import Behaviour, FaultyServer, ok
from tests.studies import AGENT, MLP, NAS, configuration, run, suite_text, surrobench

# ---------------------------------------------------------------------- made-up numbers

FULL = Condition("a (m)", "a", "m", "full")
HIDDEN = Condition("a (m, anonymous)", "a", "m", "anonymous", base="a (m)", tested=True)
OTHER = Condition("a (m, misleading)", "a", "m", "misleading", base="a (m)", tested=True)
CONTROL = Condition("a (control:tpe)", "a", "control:tpe", None, base="a (m)")


def rows(
    regret: Any, conditions: list[Condition], late: Any = None, blocks: list[str] | None = None
) -> tuple[Row, ...]:
    regret = np.asarray(regret, dtype=float)
    late = np.zeros(regret.shape, dtype=bool) if late is None else np.asarray(late)
    return compared(regret, late, conditions, blocks or [f"b{i}" for i in range(len(regret))], 0.05)


def made_up(n: int = 9, k: int = 3, s: int = 4) -> np.ndarray:
    return np.random.default_rng(1).random((n, k, s)) * np.linspace(0.4, 1, k)[None, :, None]


def test_advantages_are_paired_by_instance_and_seed_and_tested_as_scipy_does() -> None:
    regret = made_up()
    full, hidden, other = rows(regret, [FULL, HIDDEN, OTHER])
    gains = (regret[:, 0] - regret[:, 1]).mean(axis=1), (regret[:, 0] - regret[:, 2]).mean(axis=1)
    p = [stats.wilcoxon(gain).pvalue for gain in gains]
    assert full.advantage is None
    assert hidden.advantage is not None and other.advantage is not None  # noqa: PT018
    found = [hidden.advantage, other.advantage]
    assert [one.interval.estimate for one in found] == pytest.approx([gain.mean() for gain in gains])
    assert [one.p for one in found] == pytest.approx(p)
    assert [one.p_corrected for one in found] == pytest.approx(holm(p))
    assert [one.wins + one.ties + one.losses for one in found] == [one.n for one in found] == [9, 9]
    assert found[1].effect < 0  # more regret than the base
    assert found[1].interval.low < found[1].interval.estimate < found[1].interval.high < 0
    assert full.regret is not None
    assert full.regret.estimate == pytest.approx(regret[:, 0].mean())


def test_what_is_not_tested_is_shown_and_costs_the_others_nothing() -> None:
    regret = made_up()
    *_, hidden = rows(regret[:, :2], [FULL, HIDDEN])
    _, again, control = rows(regret, [FULL, HIDDEN, CONTROL])
    assert control.advantage is not None
    assert control.advantage.p_corrected is None
    assert again.advantage == hidden.advantage


def test_runs_without_a_value_are_counted_and_pairs_without_one_are_left_out() -> None:
    regret = made_up(4, 2, 2)
    regret[0, 1, 0] = np.nan  # one seed: the other pairs
    regret[1, 1] = np.nan  # no pair on this instance
    _, hidden = rows(regret, [FULL, HIDDEN])
    assert (hidden.runs, hidden.never, hidden.n) == (8, 3, 3)
    assert hidden.advantage is not None
    assert hidden.advantage.n == 3
    expected = [
        regret[0, 0, 1] - regret[0, 1, 1],
        *(regret[2:, 0] - regret[2:, 1]).mean(axis=1),
    ]
    assert hidden.advantage.interval.estimate == pytest.approx(np.mean(expected))


def test_an_arm_that_never_proposed_has_no_figure() -> None:
    regret = made_up(3, 2, 2)
    regret[:, 1] = np.nan
    _, hidden = rows(regret, [FULL, HIDDEN])
    assert (hidden.regret, hidden.advantage, hidden.never) == (None, None, 6)
    for form in ("markdown", "latex", "csv", "json"):
        assert render(tables_of(comparison_with(rows(regret, [FULL, HIDDEN]))), form)  # type: ignore[arg-type]


def test_instances_of_one_block_count_once() -> None:
    regret = made_up(4, 2, 1)
    _, hidden = rows(regret, [FULL, HIDDEN], blocks=["x", "x", "y", "z"])
    gains = regret[:, 0, 0] - regret[:, 1, 0]
    assert hidden.advantage is not None
    assert hidden.advantage.n == 3
    assert hidden.advantage.interval.estimate == pytest.approx(np.mean([gains[:2].mean(), *gains[2:]]))


def comparison_with(found: tuple[Row, ...], by: Any = "variant") -> Comparison:
    return Comparison(by, found, found, 3, 3, 2, 8, ("none",), 0.05, ())


def test_a_significant_difference_bears_a_star_and_says_which_way() -> None:
    regret = np.random.default_rng(0).random((10, 2, 1)) * 0.01 + np.array([0.1, 0.5])[None, :, None]
    first, _ = tables_of(comparison_with(rows(regret, [FULL, HIDDEN])))
    cells = dict(zip((column.key for column in first.columns), first.rows[1], strict=True))
    assert cells["p_corrected"].text == "0.002*"
    assert cells["p_corrected"].tone == "bad"
    assert cells["advantage"].text.startswith("-0.398 [-0.4")
    assert cells["effect"].text == "-1.00"
    assert cells["win_tie_loss"].text == "0/0/10"


# ---------------------------------------------------------------------- which condition is whose base


def plan(*conditions: tuple[str, str | None, str | None]) -> pl.DataFrame:
    names = [f"{o} ({m})" if v in (None, "full") else f"{o} ({m}, {v})" for o, m, v in conditions]
    columns = dict(zip(("optimizer", "llm", "variant"), zip(*conditions, strict=True), strict=True))
    return pl.DataFrame({"method": names, **columns})


def test_by_variant_the_base_is_the_same_method_and_model_shown_everything() -> None:
    found = conditions_of(
        plan(
            ("a", "m", "anonymous"), ("a", "control:random", None), ("a", "m", "full"),
            ("b", "m", "anonymous"), ("a", "n", "full"), ("a", "n", "no-dataset"),
        ),
        "variant",
    )  # fmt: skip
    assert [(condition.name, condition.base, condition.tested) for condition in found] == [
        ("a (m)", None, False),
        ("a (m, anonymous)", "a (m)", True),
        ("a (n)", None, False),
        ("a (n, no-dataset)", "a (n)", True),
        ("a (control:random)", None, False),
        ("b (m, anonymous)", None, False),  # it was never shown everything
    ]


def test_by_model_the_base_is_the_slot_control_of_the_method_random_before_others() -> None:
    found = conditions_of(
        plan(
            ("a", "m", "full"), ("a", "control:tpe", None), ("a", "control:random", None),
            ("b", "m", "full"), ("b", "control:tpe", None), ("c", "m", "full"),
        ),
        "model",
    )  # fmt: skip
    assert {condition.name: (condition.base, condition.tested) for condition in found} == {
        "a (m)": ("a (control:random)", True),
        "a (control:tpe)": ("a (control:random)", False),
        "a (control:random)": (None, False),
        "b (m)": ("b (control:tpe)", True),
        "b (control:tpe)": (None, False),
        "c (m)": (None, False),
    }


# ---------------------------------------------------------------------- a study that was run


def stubborn(body: Mapping[str, Any]) -> Behaviour:
    """Nonsense where names are hidden and a trial is shown; else a legal configuration."""
    prompt = body["messages"][0]["content"]
    if "->" in prompt and "black box" in prompt:
        return ok("no idea")
    return ok(json.dumps(configuration(body)))


@pytest.fixture(scope="module", params=["none", "default"])
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    out = tmp_path_factory.mktemp("conditions") / "r"
    head = f'variants = ["full", "anonymous"]\ninitial = "{request.param}"\ninvalid = "retry:1"'
    with FaultyServer(stubborn) as server:
        text = suite_text(MLP, NAS, models={"m": server.url}, trials=5, seeds=2, head=head)
        text = text.replace('models = ["m"]', 'models = ["m", "control:random", "control:tpe"]')
        assert run(text, out, jobs=1).complete
    return out


def first_by_hand(folder: Path, name: str, method: str, seed: int) -> float | None:
    where = benchmark(name)
    own = (pl.col("source") == "llm") | pl.col("source").str.starts_with("control:")
    found = (
        Results(folder)
        .trials(["benchmark", "optimizer", "llm", "variant", "seed", "trial", "source", "score"])
        .filter(
            (pl.col("benchmark") == name) & (pl.col("seed") == seed) & own & pl.col("score").is_not_null()
        )
        .sort("trial")
        .collect()
    )
    for row in found.iter_rows(named=True):
        shown = "" if row["variant"] in (None, "full") else f", {row['variant']}"
        if f"{row['optimizer']} ({row['llm']}{shown})" == method:
            loss = row["score"] * where.objective.sign
            return float(quantile_regret(loss, where.reference.sorted_losses))
    return None


def test_first_proposals_are_those_of_the_trials(folder: Path) -> None:
    conditions = load_comparison([Results(folder)], "variant")
    for row in conditions.first[:-1]:
        values = [
            [first_by_hand(folder, name, row.condition.name, seed) for seed in (0, 1)] for name in (MLP, NAS)
        ]
        observed = [[value for value in of if value is not None] for of in values]
        missing = sum(value is None for of in values for value in of)
        assert (row.runs, row.never) == (4, missing)
        assert (row.regret is None) == (missing == 4)
        if row.regret is not None:
            assert row.regret.estimate == pytest.approx(np.mean([np.mean(of) for of in observed if of]))
    assert [row.condition.name for row in conditions.first][-1] == "random"


def test_benchmarks_of_one_data_set_keep_their_runs_and_are_one_block_unless_told_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = load_comparison([Results(folder)], "variant")
    monkeypatch.setattr(Benchmark, "data_set", "the same")
    together = load_comparison([Results(folder)], "variant")
    assert (together.instances, together.blocks) == (2, 1)
    of_instances = load_comparison([Results(folder)], "variant", blocks="instance")
    # By their text, since an interval that is not known is not equal to itself.
    assert repr(replace(of_instances, notes=())) == repr(replace(alone, notes=()))
    for joint, one in zip((*together.first, *together.final), (*alone.first, *alone.final), strict=True):
        assert (joint.runs, joint.never, joint.late) == (one.runs, one.never, one.late)
        if one.regret is not None and joint.regret is not None:
            assert joint.regret.estimate == pytest.approx(one.regret.estimate)


def test_incumbents_are_those_of_the_ranking(folder: Path) -> None:
    conditions = load_comparison([Results(folder)], "model")
    ranked = {
        row["method"]: row["quantile_regret"]
        for row in json.loads(surrobench("rank", folder, "--format", "json").out)["methods"]
    }
    assert len(conditions.final) == len(ranked) == 5
    for row in conditions.final:
        assert row.regret is not None
        assert row.regret.estimate == pytest.approx(ranked[row.condition.name])
    assert (conditions.instances, conditions.seeds, conditions.trials) == (2, 2, 5)


def test_the_command_shows_both_measures_and_what_they_rest_on(folder: Path) -> None:
    done = surrobench("rank", folder, "--group-by", "variant")
    assert (done.status, done.err) == (0, "")
    said = " ".join(done.out.split())
    [initial] = load_comparison([Results(folder)], "variant").initial
    assert ("granted an initial design (default)" in said) == (initial == "default")
    assert ("No initial design was granted" in said) == (initial == "none")
    assert "First proposal: quantile regret" in said
    assert "Incumbent: quantile regret after 5 trials" in said
    assert said.count("Holm over the 1 comparison of this table") == (2 if initial == "none" else 1)
    assert "m, anonymous" in said
    by_model = " ".join(surrobench("rank", folder, "--group-by", "model").out.split())
    assert "over control" in by_model
    assert "Holm over the 2 comparisons of this table" in by_model


def test_runs_whose_replies_were_all_nonsense_never_had_a_proposal(folder: Path) -> None:
    conditions = load_comparison([Results(folder)], "variant")
    found = {row.condition.name: row for row in conditions.first}
    hidden = found[f"{AGENT} (m, anonymous)"]
    said = " ".join(surrobench("rank", folder, "--group-by", "variant").out.split())
    if conditions.initial == ("default",):
        assert (hidden.never, hidden.regret, hidden.advantage) == (4, None, None)
        assert "4 runs have no proposal that could be evaluated" in said
    else:
        assert (hidden.never, hidden.n) == (0, 2)
        assert "Never:" not in said
    assert sum(row.never for row in found.values()) == hidden.never
    assert sum(row.late for row in found.values()) == 0


def test_part_of_a_study(folder: Path) -> None:
    done = surrobench("rank", folder, "--group-by", "variant", "--variant", "full", "--format", "json")
    shown = json.loads(done.out)
    assert [(row["model"], row["variant"]) for row in shown["final"]["rows"]][:1] == [("m", "full")]
    assert "There is nothing to compare with" in shown["final"]["notes"][-1]
    less = load_comparison(
        [Results(folder)], "model", choice=RunFilter(models=["control:*"], benchmarks=[MLP])
    )
    assert [row.condition.model for row in less.final] == ["control:random", "control:tpe", None]
    assert less.instances == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--metric", "log"], "--metric is for rankings"),
        (["--figure", "f.svg", "--intervals"], "figure"),
        (["--target", "0.1"], "--target is for rankings"),
        (["--correction", "bh"], "--correction is for rankings"),
        (["--variant", "anonimous"], "Did you mean 'anonymous'?"),
    ],
)
def test_what_says_nothing_about_arms_is_refused(folder: Path, words: list[str], says: str) -> None:
    done = surrobench("rank", folder, "--group-by", "variant", *words)
    assert done.status == 2
    assert says in done.error


def test_a_later_proposal_counts_where_the_first_could_not_be_evaluated(tmp_path: Path) -> None:
    turns = iter([False, True, True])
    with FaultyServer(lambda body: ok(json.dumps(configuration(body)) if next(turns) else "{")) as server:
        head = 'initial = "none"'
        assert run(
            suite_text(MLP, models={"m": server.url}, trials=3, seeds=1, head=head), tmp_path / "r", jobs=1
        ).complete
    mine, random = load_comparison([Results(tmp_path / "r")], "model").first
    assert (mine.late, mine.never, mine.runs) == (1, 0, 1)
    assert mine.regret is not None
    assert mine.regret.estimate == first_by_hand(tmp_path / "r", MLP, mine.condition.name, 0)
    assert (random.late, random.condition.model) == (0, None)
    said = surrobench("rank", tmp_path / "r", "--group-by", "model").out
    assert "Late: in 1 runs the first proposal could not be evaluated" in " ".join(said.split())
    assert 'add "control:random" to the models of a method' in " ".join(said.split())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("budget", ["trials = 6", "equivalents = 6.0"])
def test_first_proposals_are_cut_by_whatever_limits_incumbents(
    tmp_path: Path, budget: str, workers: int
) -> None:
    # After the default, two replies are of no use: the first valid proposal is the fourth trial begun.
    turns = iter([False, False, True, True, True])
    with FaultyServer(lambda body: ok(json.dumps(configuration(body)) if next(turns) else "{")) as server:
        text = suite_text(MLP, models={"m": server.url}, seeds=1, head=f"workers = {workers}")
        assert run(text.replace("trials = 4", budget), tmp_path, jobs=1).complete
    columns = ["optimizer", "proposal", "source", "score", "finished"]
    found = Results(tmp_path).trials(columns).collect().filter(optimizer=AGENT).sort("proposal")
    assert found["score"].is_null().to_list() == [False, True, True, False, False, False]
    end = found["finished"][3]

    def never(limit: Budget) -> int:
        mine = load_comparison([Results(tmp_path)], "model", limit).first[0]
        return mine.never

    assert [never(Budget()), never(Budget(equivalents=4.0)), never(Budget(seconds=end))] == [0, 0, 0]
    assert [never(Budget(equivalents=3.5)), never(Budget(seconds=0.999 * end))] == [1, 1]
    if budget.startswith("trials"):
        assert [never(Budget(trials=4)), never(Budget(trials=3))] == [0, 1]


def test_a_study_without_a_model_is_one_line(tmp_path: Path) -> None:
    run(suite_text(MLP, methods=("random", "sobol")), tmp_path / "r", jobs=1)
    done = surrobench("rank", tmp_path / "r", "--group-by", "model")
    assert "No method here asks a language model" in done.error
