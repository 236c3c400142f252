from itertools import pairwise

import numpy as np
import pytest

from surrobench.errors import ResultsError, UnknownName
from surrobench.report.figures.proposals import (
    MOST,
    SHADES,
    Origins,
    Proposals,
    origins_chart,
    parallel_coordinates,
    source_styles,
)
from surrobench.report.figures.save import save
from surrobench.report.figures.theme import COLUMN, PAGE, styles

from .test_curves import layers, rows
from .test_figures import MAGIC, NAMES, assert_clear, boxes


def proposals(m=20, d=4, methods=("random", "tpe"), seed=0, sources=("initial", "llm")):
    rng = np.random.default_rng(seed)
    return Proposals(
        "hpobench/mlp/car",
        tuple((f"hyperparameter_{j}", "1e-5", "0.1") for j in range(d)),
        rng.random((m * len(methods), d)),
        np.zeros(d),
        rng.random(m * len(methods)),
        [method for method in methods for _ in range(m)],
        [sources[i % len(sources)] for i in range(m * len(methods))],
        1,
    )


def origins(k=3, s=3, t=8, seed=0):
    share = np.random.default_rng(seed).dirichlet(np.ones(s), size=(k, t))
    trials = np.unique(np.geomspace(1, 100, t).astype(int))[:t]
    return Origins(NAMES[:k], ("initial", "llm", "cma-es")[:s], trials, share[:, : len(trials)], 6, 5)


def lines(spec):
    return [row for layer in layers(spec, "line") for row in rows(spec, layer)]


def test_every_trial_crosses_every_axis_once():
    spec = parallel_coordinates(proposals()).to_dict()
    assert len(lines(spec)) == 2 * 20 * 4
    texts = [text for text, *_ in boxes(spec)]
    assert {"random", "tpe", "hyperparameter_0", "1e-5 to 0.1"} <= set(texts)


def test_the_best_trials_are_drawn_last_darkest_and_thickest():
    found = proposals(methods=("tpe",), m=200)
    spec = parallel_coordinates(found).to_dict()
    marks = [layer["mark"] for layer in layers(spec, "line")]
    assert len(marks) == SHADES
    widths = [mark["strokeWidth"] for mark in marks]
    assert widths == sorted(widths)
    red = [int(mark["color"][1:3], 16) for mark in marks]
    assert red == sorted(red, reverse=True)
    best = rows(spec, layers(spec, "line")[-1])
    panel = 110
    drawn = {row["y"] for row in best if row["x"] == 0}
    wanted = found.values[np.argmin(found.loss), 0]
    assert any(abs(y - 13 - panel * (1 - wanted)) < 0.01 for y in drawn)


def test_by_source_colour_and_dash_tell_them_apart_and_a_key_names_them():
    spec = parallel_coordinates(proposals(sources=("initial", "llm", "cma-es")), colour="source").to_dict()
    looks = {(m["color"], tuple(m["strokeDash"])) for m in (layer["mark"] for layer in layers(spec, "line"))}
    assert len(looks) == 3
    assert {"initial", "llm", "cma-es"} <= {text for text, *_ in boxes(spec)}


def test_an_inactive_hyperparameter_is_below_its_axis():
    found = proposals(methods=("tpe",), m=5)
    found.values[2, 1] = np.nan
    spec = parallel_coordinates(found).to_dict()
    assert "inactive" in {text for text, *_ in boxes(spec)}
    ys = [row["y"] for row in lines(spec)]
    assert sum(y > 13 + 110 for y in ys) == 1


def test_of_very_many_trials_some_are_drawn_and_the_note_says_so():
    few = parallel_coordinates(proposals(m=50)).to_dict()
    many = parallel_coordinates(proposals(m=5 * MOST, methods=("tpe",)), colour="source").to_dict()
    assert len(lines(many)) == 2 * MOST * 4
    assert "lines are drawn" in many["description"]
    assert "lines are drawn" not in few["description"]


def test_what_observed_nothing_is_drawn_as_the_worst():
    found = proposals(methods=("tpe",))
    found.loss[:10] = np.nan
    assert len(lines(parallel_coordinates(found).to_dict())) == 20 * 4


def test_without_trials_or_with_an_unknown_colour_it_says_so():
    with pytest.raises(ResultsError, match="no trials"):
        parallel_coordinates(proposals(m=0))
    with pytest.raises(UnknownName, match="source"):
        parallel_coordinates(proposals(), colour="sourc")


@pytest.mark.parametrize("d", [1, 14])
def test_no_texts_overlap_and_all_are_on_the_page(d):
    for width in (COLUMN, PAGE):
        for colour in ("loss", "source"):
            found = proposals(m=5, d=d, methods=NAMES[:5])
            assert_clear(parallel_coordinates(found, colour=colour, width=width).to_dict())


@pytest.mark.parametrize("k", [1, 4, 20])
def test_origins_fit_on_the_page(k):
    for width in (COLUMN, PAGE):
        assert_clear(origins_chart(origins(k), width=width).to_dict())


def test_bars_are_the_shares_stacked():
    found = origins()
    spec = origins_chart(found).to_dict()
    cells = rows(spec, layers(spec, "rect")[0])
    assert len(cells) == found.share.size
    for i, method in enumerate(found.methods):
        for trials, share in zip(found.trials, found.share[i], strict=True):
            mine = [cell for cell in cells if (cell["method"], cell["trials"]) == (method, trials)]
            assert [cell["share"] for cell in mine] == pytest.approx(share)
            assert sum(cell["y"] - cell["y2"] for cell in mine) == pytest.approx(22)
            for below, above in pairwise(mine):
                assert below["y2"] == pytest.approx(above["y"])


def test_a_source_that_is_a_method_has_the_colour_of_the_method():
    methods, sources = ("tpe", "random", "agent (m)"), ("initial", "llm", "random", "tpe")
    of_methods, found = styles(methods, "random"), source_styles(sources, methods, "random")
    assert [found[name] for name in ("random", "tpe")] == [of_methods[name] for name in ("random", "tpe")]
    assert len({look.colour for look in found.values()}) == len(sources)


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_both_in_every_format(tmp_path, suffix):
    for name, chart in (("par", parallel_coordinates(proposals())), ("origins", origins_chart(origins()))):
        save(chart, tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"{name}.{suffix}").read_bytes().startswith(MAGIC[suffix])
