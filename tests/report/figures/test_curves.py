import json
from dataclasses import replace

import numpy as np
import pytest

from surrobench.errors import ResultsError, UnknownName
from surrobench.report.figures.axis import Axis, tick
from surrobench.report.figures.curves import anytime_chart, profile_chart, targets_chart
from surrobench.report.figures.save import save
from surrobench.report.figures.theme import COLUMN, PAGE, styles
from surrobench.stats.curves import Curves

from .test_figures import MAGIC, NAMES, assert_clear, boxes


def curves(k=4, t=30, unit="trials", names=NAMES, seed=0):
    """Made-up regrets of k methods that fall as trials go by."""
    rng = np.random.default_rng(seed)
    shape = (5, k, 6, t)
    q = np.minimum.accumulate(rng.random(shape) ** np.linspace(1, 4, k)[:, None, None], axis=3) + 1e-4
    return Curves(
        tuple(f"b{i}" for i in range(5)),
        tuple(sorted(names[:k])),
        tuple(range(6)),
        unit,
        np.arange(1.0, t + 1),
        q,
        2 * q,
        np.full(shape[:3], float(t)),
    )


CHARTS = {"curves": anytime_chart, "targets": targets_chart, "profile": profile_chart}


def layers(spec, kind):
    return [layer for layer in spec["layer"] if layer["mark"]["type"] == kind]


def rows(spec, layer):
    data = layer["data"]
    return data["values"] if "values" in data else spec["datasets"][data["name"]]


@pytest.mark.parametrize("name", CHARTS)
def test_each_method_has_a_step_line_a_band_and_its_name(name):
    found = curves()
    spec = CHARTS[name](found, control="random").to_dict()
    lines, areas = layers(spec, "line"), layers(spec, "area")
    assert len(lines) == len(areas) == 4
    assert {layer["mark"]["interpolate"] for layer in lines + areas} == {"step-after"}
    looks = styles(found.methods, "random")
    for method, line in zip(found.methods, lines, strict=True):
        assert {row["method"] for row in rows(spec, line)} == {method}
        assert line["mark"]["color"] == looks[method].colour
        assert line["mark"]["strokeDash"] == list(looks[method].dash)
    joined = "".join(text for text, *_ in boxes(spec)).replace(" ", "")
    assert all(method.replace(" ", "") in joined for method in found.methods)


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_every_figure_in_every_format(tmp_path, name, suffix):
    save(CHARTS[name](curves(2, 5)), tmp_path / f"x.{suffix}")
    assert (tmp_path / f"x.{suffix}").read_bytes().lstrip().startswith(MAGIC[suffix])


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("k", [2, 20])
def test_no_names_overlap_and_all_are_on_the_page(name, k):
    for width in (COLUMN, PAGE):
        spec = CHARTS[name](curves(k, 5), width=width).to_dict()
        assert_clear(spec)
        assert spec["width"] + spec["padding"]["left"] + spec["padding"]["right"] == pytest.approx(width)
        assert spec["width"] > 80  # of the plot itself


def test_a_mean_is_drawn_as_it_is():
    found = curves()
    spec = anytime_chart(found).to_dict()
    drawn = [[row["mean"] for row in rows(spec, line)] for line in layers(spec, "line")]
    means = found.quantile.mean(axis=(0, 2))
    # The last trial is as wide as any other: its value reaches to the next.
    assert np.array(drawn) == pytest.approx(np.column_stack([means, means[:, -1]]))
    assert [row["x"] for row in rows(spec, layers(spec, "line")[0])][-2:] == [30, 31]
    timed = anytime_chart(curves(unit="seconds")).to_dict()
    assert rows(timed, layers(timed, "line")[0])[-1]["x"] == 30
    double = anytime_chart(found, measure="normalised").to_dict()
    assert rows(double, layers(double, "line")[0])[-1]["mean"] == pytest.approx(2 * drawn[0][-1])


@pytest.mark.parametrize("chart", [anytime_chart, targets_chart])
def test_a_method_that_spends_no_tokens_has_no_curve_over_them(chart):
    found = curves(unit="tokens")
    free = replace(found, end=found.end * (np.arange(4) != 1)[:, None])
    spec = chart(free, control="random").to_dict()
    drawn = {row["method"] for line in layers(spec, "line") for row in rows(spec, line)}
    assert drawn == set(found.methods) - {found.methods[1]}
    assert f"No tokens are spent by {found.methods[1]}." in spec["description"]
    # The others have the colours that they have in all figures of the study.
    looks = styles(found.methods, "random")
    colours = {line["mark"]["color"] for line in layers(spec, "line")}
    assert colours == {looks[method].colour for method in drawn}


def test_axes_say_what_was_spent_and_their_scale():
    spec = anytime_chart(curves(unit="seconds"), log_x=True).to_dict()
    x, y = (layers(spec, "line")[0]["encoding"][axis] for axis in "xy")
    assert (x["title"], x["scale"]["type"]) == ("simulated seconds", "log")
    assert (y["title"], y["scale"]["type"]) == ("quantile regret", "log")
    assert (
        anytime_chart(curves(), log_y=False).to_dict()["layer"][0]["encoding"]["y"]["scale"]["type"]
        == "linear"
    )


def test_a_line_begins_where_all_runs_have_observed_something():
    found = curves()
    found.quantile[0, 1, 0, :7] = np.nan
    spec = anytime_chart(found).to_dict()
    assert rows(spec, layers(spec, "line")[1])[0]["x"] == 8
    assert rows(spec, layers(spec, "line")[0])[0]["x"] == 1
    found.quantile[0, :, 0] = np.nan
    with pytest.raises(ResultsError, match="no point"):
        anytime_chart(found)


def test_without_intervals_there_are_no_bands_and_no_word_of_them():
    spec = anytime_chart(curves(), over=None).to_dict()
    assert not layers(spec, "area")
    assert "interval" not in spec["description"]
    of_seeds, of_instances = (anytime_chart(curves(), over=over).to_dict() for over in ("seeds", "instances"))
    assert "pointwise 95 % t intervals over seeds, on these instances" in of_seeds["description"]
    assert "pointwise 95 % t intervals over instances and their seeds" in of_instances["description"]


def test_a_band_that_comes_close_to_zero_does_not_stretch_a_log_axis():
    found = curves(2)
    found.quantile[:] = 0.01
    found.quantile[0] = 0.9
    spec = anytime_chart(found, over="instances").to_dict()
    scale = layers(spec, "line")[0]["encoding"]["y"]["scale"]
    assert scale["type"] == "log"
    assert scale["domain"][0] == pytest.approx(found.quantile.mean() / 10)
    assert {row["low"] for row in rows(spec, layers(spec, "area")[0])} == {scale["domain"][0]}


@pytest.mark.parametrize("name", CHARTS)
def test_instances_of_one_data_set_count_once(name):
    found = curves()
    alike = {"b1": "d", "b3": "d"}
    twice = replace(found, quantile=found.quantile[[0, 1, 2, 1, 4]])  # what is one and the same, listed twice
    left = [0, 1, 2, 4]
    once = replace(
        found,
        instances=("b0", "b1", "b2", "b4"),
        quantile=found.quantile[left],
        normalised=found.normalised[left],
        end=found.end[left],
    )
    spec, wanted = (CHARTS[name](one, clusters=alike, over=None).to_dict() for one in (twice, once))
    means, expected = (
        np.array([row["mean"] for line in layers(one, "line") for row in rows(one, line)])
        for one in (spec, wanted)
    )
    assert means == pytest.approx(expected, abs=1e-12)
    assert "Mean over 4 data sets (5 instances) of 6 seeds each." in spec["description"]
    assert "data sets" not in wanted["description"]
    assert (
        "over data sets and seeds"
        in CHARTS[name](twice, clusters=alike, over="instances").to_dict()["description"]
    )


def test_targets_count_instances_seeds_and_targets_alike():
    found = curves()
    spec = targets_chart(found, targets=[0.5, 0.1]).to_dict()
    final = found.quantile[..., -1]
    share = ((final <= 0.5).mean(axis=(0, 2)) + (final <= 0.1).mean(axis=(0, 2))) / 2
    drawn = [rows(spec, line)[-1]["mean"] for line in layers(spec, "line")]
    assert drawn == pytest.approx(share)


@pytest.mark.parametrize("name", CHARTS)
def test_that_some_runs_ended_before_others_is_said(name):
    found = curves()
    remark = "A run that has ended counts with its last incumbent."
    assert remark not in CHARTS[name](found).to_dict()["description"]
    found.end[:, 1] = 20
    assert remark in CHARTS[name](found).to_dict()["description"]


def test_a_profile_says_after_what_it_compares():
    seconds = curves(unit="seconds")
    assert "profiles after 30 trials " in profile_chart(curves()).to_dict()["description"]
    assert "profiles after 30 simulated seconds " in profile_chart(seconds).to_dict()["description"]
    assert "profiles after 20 trials " in profile_chart(seconds, trials=20).to_dict()["description"]


def test_a_target_once_reached_stays_so_when_noise_raises_the_curve():
    found = curves()
    found.quantile[..., -1] = 1.0
    spec = targets_chart(found).to_dict()
    for line in layers(spec, "line"):
        shares = [row["mean"] for row in rows(spec, line)]
        assert shares == sorted(shares)
        assert shares[-1] > 0


def test_a_profile_rises_from_the_best_run_to_all():
    found = curves()
    spec = profile_chart(found).to_dict()
    final = found.quantile[..., -1]
    for j, line in enumerate(layers(spec, "line")):
        for row in rows(spec, line)[::40]:
            assert row["mean"] == pytest.approx((final[:, j] <= row["x"] * (1 + 1e-9)).mean())
        assert rows(spec, line)[-1]["mean"] == 1


def test_runs_without_regret_can_be_drawn():
    found = curves(2)
    found.quantile[:] = found.normalised[:] = 0.0
    for chart in CHARTS.values():
        spec = chart(found, **({} if chart is targets_chart else {"measure": "normalised"})).to_dict()
        json.dumps(spec, allow_nan=False)  # which a browser could not read
        assert spec["layer"] or spec["hconcat"]


@pytest.mark.parametrize("chart", [anytime_chart, profile_chart])
def test_an_unknown_measure_is_named(chart):
    with pytest.raises(UnknownName, match="quantile"):
        chart(curves(2), measure="quantil")


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "ends", [(1, 100), (1, 7), (3e-5, 0.4), (250.0, 345_674.0), (1e-3, 2e-3), (0.011, 0.019)]
)
def test_labels_of_ticks_keep_clear_of_each_other(ends, log, upright):
    axis = Axis(np.array(ends), "x", log, upright)
    ticks = axis.ticks(140)
    assert all(ends[0] * 0.999 <= tick <= ends[1] * 1.001 for tick in ticks)
    assert axis._fit(ticks, 140)
    if not log or ends[1] / ends[0] > 5:
        assert 2 <= len(ticks) <= 9


def test_ticks_are_short():
    assert [tick(value) for value in (1e-4, 0.003, 0, 5, 1000, 15_000, 2e6)] == [
        "1e-4", "0.003", "0", "5", "1000", "15k", "2M",
    ]  # fmt: skip


def test_the_control_is_grey_everywhere():
    assert styles(("tpe", "random"), "random")["random"].colour == "#5f5f5f"
    assert styles(("tpe",))["tpe"].colour != "#5f5f5f"
