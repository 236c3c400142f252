"""The sentence at the top of a ranking is true, whatever was ranked."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from surrobench.report.ranking.build import rank_methods
from surrobench.report.ranking.verdict_sentence import _p, verdict_sentence
from tests.report.ranking.test_build import frame, references, study

MODELS = {"agent": "SmolLM2 (135M)"}
GRID = np.linspace(0, 0.9, 10)


def scores(*of_methods, n=8, s=2):
    """Shape (n, k, s): each method has the same place on every instance, instances differ a little."""
    place = np.array(of_methods, float)
    return place[None, :, None] + np.linspace(0, 0.05, n)[:, None, None] + np.zeros((1, 1, s))


def mixed(n=8):
    """tpe first, then agent: better than random on all instances but two, where it is much worse."""
    values = scores(0.6, 0.1, 0.5, n=n)
    values[:2, 2] = 0.9
    return values


def said(values, methods=("random", "tpe", "agent"), models=MODELS, **options):
    return verdict_sentence(study(values, methods, size=1001, models=models, **options))


def test_a_significant_difference_is_stated_as_a_fact():
    assert said(scores(0.2, 0.1, 0.8)) == (
        "On 8 benchmarks tpe ranks first; agent is worse than random search (p = 0.016)."
    )
    assert said(scores(0.8, 0.5, 0.1)) == (
        "On 8 benchmarks agent ranks first; it is better than random search (p = 0.016)."
    )


def test_what_was_not_shown_is_stated_as_an_observation_with_what_could_have_been():
    text = said(mixed())
    assert text.startswith(
        "On 8 benchmarks tpe ranks first; agent did better than random search, but 8 benchmarks do "
    )
    assert "not show it: p = 0." in text
    assert text.endswith("smallest reachable p = 0.016.")


@pytest.mark.parametrize(("n", "blocks"), [(1, "1 benchmark"), (3, "3 benchmarks")])
def test_too_few_blocks_cannot_show_anything(n, blocks):
    text = said(scores(0.2, 0.1, 0.8, n=n))
    assert text.startswith(
        f"On {blocks} tpe ranks first; agent did worse than random search, but {blocks} cannot "
    )


def test_one_seed_is_said():
    assert said(scores(0.2, 0.1, 0.8, s=1)).startswith("On 8 benchmarks with one seed each tpe ranks first; ")


def test_data_sets_are_counted_where_they_are_the_blocks():
    clusters = {f"b{i:02}": f"d{i % 4}" for i in range(8)}
    assert said(scores(0.2, 0.1, 0.8), clusters=clusters).startswith("On 4 data sets tpe ranks first; ")
    assert " but 1 data set cannot show it" in said(
        scores(0.2, 0.1, 0.8), clusters=dict.fromkeys(clusters, "d")
    )


def test_ties_for_the_first_rank():
    assert said(scores(0.8, 0.1, 0.1)).startswith(
        "On 8 benchmarks agent and tpe share the first rank; agent is "
    )
    text = said(scores(0.3, 0.3, 0.3))
    assert text == (
        "On 8 benchmarks all 3 methods have the same mean rank; agent did neither better nor worse than "
        "random search, which is no proof that both are equal."
    )


def test_the_control_may_be_first():
    text = said(scores(0.1, 0.3, 0.8))
    assert text.startswith(
        "On 8 benchmarks random, the control, ranks first; agent is worse than random search"
    )


def test_without_a_language_model_the_best_method_is_compared():
    assert said(scores(0.8, 0.1, 0.3), ("random", "tpe", "cmaes"), {}) == (
        "On 8 benchmarks tpe ranks first; it is better than random search (p = 0.016)."
    )
    text = said(scores(0.1, 0.3, 0.8), ("random", "tpe", "cmaes"), {})
    assert (
        text
        == "On 8 benchmarks random, the control, ranks first; tpe is worse than random search (p = 0.016)."
    )


def test_a_control_in_a_models_place_is_no_language_model():
    text = said(scores(0.8, 0.1, 0.3), models={"agent": "control:random"})
    assert text.startswith("On 8 benchmarks tpe ranks first; it is better")


def test_of_several_methods_with_a_model_the_best_is_named_and_all_are_counted():
    methods, models = ("random", "tpe", "agent", "opro"), {**MODELS, "opro": "SmolLM2 (135M)"}
    first = said(scores(0.8, 0.4, 0.1, 0.5), methods, models)
    assert first.startswith(
        "On 8 benchmarks agent ranks first; it, the best of the 2 methods with a language model, is better "
    )
    later = said(scores(0.2, 0.1, 0.5, 0.8), methods, models)
    assert "; the best of the 2 methods with a language model, agent, is worse than random search" in later
    tied = said(scores(0.2, 0.1, 0.5, 0.5), methods, models)
    assert "; one of the 2 best of the 2 methods with a language model, agent, is worse than " in tied


def test_a_language_model_may_be_the_control():
    text = said(scores(0.3, 0.1, 0.8), control="agent")
    assert text == "On 8 benchmarks tpe ranks first; it is better than agent (p = 0.016)."


def test_another_metric_is_named():
    assert "ranks first by normalised regret; " in said(scores(0.2, 0.1, 0.8), metric="normalised")


def test_a_group_is_named():
    shown = study(scores(0.2, 0.1, 0.8), ("random", "tpe", "agent"), models=MODELS)
    assert verdict_sentence(replace(shown, group="yahpo/lcbench")).startswith(
        "On 8 benchmarks of yahpo/lcbench tpe ranks first; "
    )


def test_without_the_control_nothing_is_tested():
    runs = frame(scores(0.2, 0.1, 0.8, s=4), ("random", "tpe", "agent"))
    shown = rank_methods(
        runs.filter((pl.col("method") != "random") | (pl.col("seed") < 2)), references(8), models=MODELS
    )
    assert verdict_sentence(shown.further) == (
        "On 8 benchmarks tpe ranks first; agent is not tested, since the control random is not among these "
        "methods."
    )


def test_a_method_that_is_alone_is_compared_with_none():
    runs = frame(scores(0.2, 0.1, 0.8, s=4), ("random", "tpe", "agent"))
    alone = rank_methods(
        runs.filter((pl.col("method") == "tpe") | (pl.col("seed") < 2)), references(8)
    ).further
    assert verdict_sentence(alone) == ("On 8 benchmarks tpe is alone: there is no method to compare it with.")


@pytest.mark.parametrize(
    ("p", "alpha", "text"),
    [
        (0.0601, 0.05, "p = 0.06"),
        (0.05004, 0.05, "p = 0.05004"),
        (0.0004, 0.05, "p < 0.001"),
        (0.0004, 0.0001, "p = 0.0004"),
        (1.0, 0.05, "p = 1"),
    ],
)
def test_a_p_value_shows_on_which_side_of_the_level_it_lies(p, alpha, text):
    assert _p(p, alpha) == text
