import re
from dataclasses import replace

import numpy as np
import pytest

from surrobench.errors import UnknownName
from surrobench.report.figures.matrix import heat_map, instance_names, win_tie_loss
from surrobench.report.figures.save import save
from surrobench.report.figures.theme import COLUMN, PAGE, text_width
from tests.report.ranking.test_build import METHODS, random_scores, study

from .test_curves import layers, rows
from .test_figures import MAGIC, NAMES, assert_clear, boxes


@pytest.fixture(scope="module")
def ranking():
    return study(random_scores(7, 4, 2))


def cells(spec):
    return rows(spec, layers(spec, "rect")[0])


@pytest.mark.parametrize("measure", ["rank", "quantile", "normalised"])
def test_a_heat_map_has_a_cell_for_each_instance_and_method(ranking, measure):
    spec = heat_map(ranking, measure=measure).to_dict()
    values = {
        "rank": ranking.ranks,
        "quantile": ranking.measured.quantile,
        "normalised": ranking.measured.normalised,
    }[measure]
    found = cells(spec)
    assert len(found) == 28
    for cell in found:
        i, j = ranking.instances.index(cell["instance"]), ranking.methods.index(cell["method"])
        assert cell["value"] == values[i, j]
    assert_clear(spec)


def test_one_exact_zero_does_not_bleach_the_heat_map(ranking):
    regrets = ranking.measured.by_run["normalised_regret"].copy()
    regrets[0, 0] = 0.0
    by_run = {**ranking.measured.by_run, "normalised_regret": regrets}
    bleached = replace(ranking, measured=replace(ranking.measured, by_run=by_run))
    shades = sorted(cell["shade"] for cell in cells(heat_map(bleached, measure="normalised").to_dict()))
    assert shades[1] - shades[0] == pytest.approx(np.log10(3))  # and not the ten decades to 1e-12


def test_numbers_stand_in_cells_where_they_fit_else_there_is_a_legend(ranking):
    small = heat_map(ranking).to_dict()
    assert layers(small, "rect")[0]["encoding"]["color"]["legend"] is None
    assert len([text for text, *_ in boxes(small) if re.fullmatch(r"[1-4](\.5)?", text)]) == 28
    large = study(random_scores(120, 3, 1), METHODS[:3])
    spec = heat_map(large).to_dict()
    assert layers(spec, "rect")[0]["encoding"]["color"]["legend"]["title"] == "rank"
    assert spec["height"] <= 560


def test_an_unknown_measure_is_named(ranking):
    with pytest.raises(UnknownName, match="rank"):
        heat_map(ranking, measure="ranks")


def test_wins_ties_and_losses_of_every_pair_add_up():
    scores = np.round(random_scores(9, 4, 2), 1)
    ranking = study(scores)
    spec = win_tie_loss(ranking).to_dict()
    found = {(cell["method"], cell["against"]): cell for cell in cells(spec)}
    assert len(found) == 12
    for (method, against), cell in found.items():
        mirrored = found[against, method]
        assert cell["wins"] + cell["ties"] + cell["losses"] == 9
        assert (cell["wins"], cell["losses"]) == (mirrored["losses"], mirrored["wins"])
        i, j = ranking.methods.index(method), ranking.methods.index(against)
        assert (
            cell["wins"] == (ranking.measured.quantile[:, i] < ranking.measured.quantile[:, j] - 1e-9).sum()
        )
    control = ranking.methods.index("random")
    for comparison in ranking.versus_control.comparisons:
        cell = found[ranking.methods[comparison.method], ranking.methods[control]]
        assert (cell["wins"], cell["ties"], cell["losses"]) == (
            comparison.wins, comparison.ties, comparison.losses,
        )  # fmt: skip


@pytest.mark.parametrize("k", [2, 20])
def test_no_texts_overlap_and_all_are_on_the_page(k):
    ranking = study(random_scores(12, k, 1), NAMES[:k])
    for width in (COLUMN, PAGE):
        for chart in (heat_map(ranking, width=width), win_tie_loss(ranking, width=width)):
            spec = chart.to_dict()
            assert_clear(spec)
            for cell in cells(spec):
                fits = cell["x2"] - cell["x"] >= text_width(cell["text"], 7)
                assert fits or not [text for text, *_ in boxes(spec) if text == cell["text"]]
            assert spec["width"] + spec["padding"]["left"] + spec["padding"]["right"] == pytest.approx(width)


def test_names_that_fit_are_not_cut():
    methods = ("random", "successive-halving", "bohb", "tpe")
    for chart in (heat_map, win_tie_loss):
        texts = [text for text, *_ in boxes(chart(study(random_scores(7, 4, 2), methods)).to_dict())]
        assert not [text for text in texts if text.startswith("...")]


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_both_in_every_format(tmp_path, ranking, suffix):
    for name, chart in (("heat", heat_map(ranking)), ("wins", win_tie_loss(ranking))):
        save(chart, tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"{name}.{suffix}").read_bytes().startswith(MAGIC[suffix])


@pytest.mark.parametrize(
    ("instances", "names"),
    [
        (["yahpo/lcbench/1", "yahpo/lcbench/2"], ["1", "2"]),
        (["yahpo/lcbench/1", "yahpo/rbv2/2"], ["lcbench/1", "rbv2/2"]),
        (["yahpo/lcbench/1", "hpobench/mlp/car"], ["lcbench/1", "mlp/car"]),
        (["a/x/1", "b/x/1"], ["a/x/1", "b/x/1"]),
        (["b0"], ["b0"]),
    ],
)
def test_instances_are_named_without_what_they_share(instances, names):
    assert instance_names(instances) == names
