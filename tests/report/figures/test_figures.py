import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.errors import UsageError
from surrobench.report.figures.critical_difference import (
    BAR,
    OVERHANG,
    THICK,
    _levels,
    _reach,
    cd_chart,
    cd_diagram,
)
from surrobench.report.figures.theme import COLUMN, PAGE, spread, styles, text_width, wrapped
from tests.report.ranking.test_build import METHODS, random_scores, study

MAGIC = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "html", "SVG"])
def test_the_suffix_is_the_format(tmp_path, suffix):
    path = tmp_path / "new folder" / f"cd.{suffix}"
    cd_diagram(study(random_scores()), path)
    assert path.read_bytes().lstrip().startswith(MAGIC[suffix.lower()])


def test_a_pdf_carries_its_fonts_and_is_as_wide_as_a_column(tmp_path):
    cd_diagram(study(random_scores()), tmp_path / "cd.pdf")
    data = (tmp_path / "cd.pdf").read_bytes()
    assert b"/FontFile" in data
    assert f"/MediaBox [0 0 {COLUMN}".encode() in data


def test_a_png_has_300_dots_per_inch_and_an_svg_is_sized_in_points(tmp_path):
    cd_diagram(study(random_scores()), tmp_path / "cd.png")
    cd_diagram(study(random_scores()), tmp_path / "cd.svg")
    assert int.from_bytes((tmp_path / "cd.png").read_bytes()[16:20], "big") == round(3.3 * 300)
    assert ET.parse(tmp_path / "cd.svg").getroot().get("width") == f"{COLUMN}pt"


@pytest.mark.parametrize("name", ["cd.gif", "cd", "svg"])
def test_another_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.pdf, \.html"):
        cd_diagram(study(random_scores()), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("k", [2, 3, 5, 12, 20])
def test_an_svg_names_every_method_its_model_and_rank_the_control_n_and_alpha(tmp_path, k):
    methods = ("random", *(f"method <{j}> & co" for j in range(k - 1)))
    models = {methods[1]: "Some-Model-7B (7B)"}
    ranking = study(random_scores(6, k, 2), methods, alpha=0.1, models=models, posthoc="nemenyi")
    cd_diagram(ranking, tmp_path / "cd.svg")
    texts = list(ET.parse(tmp_path / "cd.svg").getroot().itertext())
    joined = " ".join(texts)
    for method, rank in zip(ranking.methods, ranking.mean_rank, strict=True):
        assert method in joined
        assert f"{rank:.2f}" in texts
    assert texts[texts.index("random") + 1 :].count("(control)") == 1 or "(control)" in texts
    assert f"CD = {ranking.tested.nemenyi.critical_difference:.2f}" in texts
    assert "Some-Model-7B (7B)" in joined
    assert "n = 6 instances, 2 seeds each" in joined
    assert "alpha = 0.1" in joined
    assert "p = " in joined or "p < " in joined


def test_without_a_critical_difference_the_diagram_says_so(tmp_path):
    cd_diagram(study(random_scores(1)), tmp_path / "cd.svg")
    text = (tmp_path / "cd.svg").read_text(encoding="utf-8")
    assert "no critical difference" in text
    assert "CD =" not in text


@pytest.mark.parametrize("posthoc", ["nemenyi", "wilcoxon"])
def test_too_few_data_sets_give_no_order(posthoc):
    apart = np.linspace(0.1, 0.9, 4)[None, :, None] + np.zeros((2, 1, 2))
    shown = cd_chart(study(apart, METHODS[:4], posthoc=posthoc), bare=True).to_dict()
    texts = [text for text, *_ in boxes(shown)]
    assert "Too few data sets to order the methods" in texts
    assert ", ".join(sorted(METHODS[:4])) in texts
    assert not [text for text in texts if re.fullmatch(r"\d\.\d\d", text)]
    assert len(bars(shown)) == 1
    assert_clear(shown)
    enough = np.linspace(0.1, 0.9, 4)[None, :, None] + np.zeros((12, 1, 2))
    assert "Too few" not in str(cd_chart(study(enough, METHODS[:4], posthoc=posthoc)).to_dict())


def test_a_method_has_the_same_colour_and_dash_in_the_diagram_as_in_curves():
    ranking = study(random_scores(12))
    looks = styles(ranking.methods, ranking.control)
    rows = next(iter(cd_chart(ranking).to_dict()["datasets"].values()))
    drawn = {(row["colour"], tuple(row["dash"])) for row in rows if row["thickness"] == 1.2}
    assert drawn == {(look.colour, tuple(look.dash)) for look in looks.values()}


def test_bare_there_is_neither_title_nor_note(tmp_path):
    texts = [text for text, *_ in boxes(cd_chart(study(random_scores()), bare=True).to_dict())]
    assert not [text for text in texts if "Mean ranks" in text or "Nemenyi" in text]


def test_one_method_cannot_be_drawn(tmp_path):
    runs = study(random_scores())
    single = type(runs)(**{**vars(runs), "methods": ("random",)})
    with pytest.raises(UsageError, match="two methods"):
        cd_diagram(single, tmp_path / "cd.svg")


# ---------------------------------------------------------------------- layout


def boxes(spec):
    """Every text that a chart places by itself: text, left, top, right, bottom, in points of the plot."""
    found = []
    for layer in spec["layer"]:
        mark = layer["mark"]
        if mark["type"] != "text":
            continue
        data = layer["data"]
        for row in data["values"] if "values" in data else spec["datasets"][data["name"]]:
            size = row.get("size", mark.get("fontSize", 11))
            text = str(row.get("text", mark.get("text")))
            width = text_width(text, size, mark.get("fontWeight") == "bold")
            x, y = row.get("x", mark.get("x")), row.get("y", mark.get("y"))
            along = {"left": (0, width), "center": (-width / 2, width / 2), "right": (-width, 0)}[
                mark["align"]
            ]
            if mark.get("angle"):
                found.append((text, x - size / 2, y - along[1], x + size / 2, y - along[0]))
            else:
                found.append((text, x + along[0], y - size / 2, x + along[1], y + size / 2))
    return found


def assert_clear(spec, slack=0.6):
    """No text overlaps another or leaves the page."""
    placed, padding = boxes(spec), spec["padding"]
    for text, left, top, right, bottom in placed:
        assert left >= -padding["left"] - slack, text
        assert right <= spec["width"] + padding["right"] + slack, text
        assert top >= -padding["top"] - slack, text
        assert bottom <= spec["height"] + padding["bottom"] + slack, text
    for i, (text, left, top, right, bottom) in enumerate(placed):
        for other, left2, top2, right2, bottom2 in placed[:i]:
            across = min(right, right2) - max(left, left2)
            down = min(bottom, bottom2) - max(top, top2)
            assert across <= slack or down <= slack, (text, other)


NAMES = (
    "random", "karpathy-agent (smollm2)", "regularized-evolution-small", "llambo-discriminative (qwen3)",
    *(f"differential-evolution-variant-{j}" for j in range(8)), *(f"m{j}" for j in range(8)),
)  # fmt: skip


@pytest.mark.parametrize("k", [2, 3, 8, 20])
def test_no_texts_overlap_and_all_are_on_the_page(k):
    models = {NAMES[1]: "HuggingFaceTB/SmolLM2-135M-Instruct (135M)"}
    ranking = study(random_scores(12, k, 2), NAMES[:k], models=models)
    for width in (COLUMN, PAGE):
        spec = cd_chart(ranking, width=width).to_dict()
        assert_clear(spec)
        assert spec["width"] + spec["padding"]["left"] + spec["padding"]["right"] == pytest.approx(width)


def test_with_equal_methods_no_texts_overlap():
    assert_clear(cd_chart(study(np.full((5, 20, 2), 0.5), NAMES)).to_dict())


def test_a_name_that_cannot_be_broken_widens_the_figure():
    spec = cd_chart(study(random_scores(8, 3), ("random", "x" * 40, "y" * 30))).to_dict()
    assert spec["width"] > COLUMN
    assert_clear(spec)


def test_all_text_is_at_least_seven_points_high():
    spec = cd_chart(study(random_scores())).to_dict()
    assert spec["config"]["axis"]["labelFontSize"] >= 7
    for layer in spec["layer"]:
        if layer["mark"]["type"] == "text" and "fontSize" in layer["mark"]:
            assert layer["mark"]["fontSize"] >= 7


# ---------------------------------------------------------------------- cliques


def bars(spec):
    """The ends and the height of each clique bar."""
    lines = spec["layer"][0]["data"]
    rows = lines["values"] if "values" in lines else spec["datasets"][lines["name"]]
    thick = [row for row in rows if row["thickness"] == THICK]
    of = {row["line"]: [] for row in thick}
    for row in thick:
        of[row["line"]].append(row)
    return [(one["x"], other["x"], one["y"]) for one, other in of.values()]


def test_there_is_one_thick_bar_for_each_clique():
    scores = np.random.default_rng(1).random((20, 6, 2)) ** np.linspace(0.3, 6, 6)[:, None]
    ranking = study(scores, METHODS)
    assert len(ranking.cliques) > 1
    assert len(bars(cd_chart(ranking).to_dict())) == len(ranking.cliques)


def test_where_all_methods_differ_there_is_no_bar():
    # scikit-posthocs issue 82: one bar was drawn although all pairs differ.
    scores = np.linspace(0, 1, 4)[None, :, None] + np.zeros((60, 1, 2))
    ranking = study(scores, METHODS[:4])
    assert (ranking.tested.nemenyi.p[np.triu_indices(4, 1)] < 0.05).all()
    assert bars(cd_chart(ranking).to_dict()) == []


@pytest.mark.parametrize(
    ("n", "says"),
    [(8, "p = 0.73: not shown to differ, so that one bar joins all"), (60, "p < 1e-16. A bar")],
)
def test_the_p_below_the_diagram_is_one_that_so_many_instances_can_give(n, says):
    scores = np.array([0.8, 0.1])[None, :, None] + np.zeros((n, 1, 2))
    scores[:3] = scores[:3, ::-1] if n == 8 else scores[:3]
    ranking = study(scores, METHODS[:2], posthoc="nemenyi")
    assert says in cd_chart(ranking).to_dict()["description"]


def test_where_all_methods_tie_there_is_one_bar_over_all():
    ranking = study(np.full((5, 4, 2), 0.5), METHODS[:4])
    assert len(bars(cd_chart(ranking).to_dict())) == 1


@pytest.mark.parametrize("seed", range(5))
def test_no_bar_spans_methods_whose_extremes_differ_and_none_lies_in_another(seed):
    scores = np.random.default_rng(seed).random((15, 12, 2)) ** np.linspace(0.3, 4, 12)[:, None]
    ranking = study(scores, (*(f"m{j}" for j in range(11)), "random"), posthoc="nemenyi")
    groups = ranking.cliques
    for group in groups:
        extremes = ranking.mean_rank[group[-1]] - ranking.mean_rank[group[0]]
        assert extremes <= ranking.tested.nemenyi.critical_difference + 1e-9
    assert not [(a, b) for a in groups for b in groups if a != b and set(a) <= set(b)]
    drawn = bars(cd_chart(ranking).to_dict())
    for i, (low, high, y) in enumerate(drawn):
        for low2, high2, y2 in drawn[:i]:
            assert y != y2 or low - high2 > BAR or low2 - high > BAR


positions = st.lists(st.integers(0, 400).map(float), min_size=2, max_size=12).map(sorted)


@given(positions, st.integers(1, 200))
def test_bars_neither_overlap_nor_touch_the_line_of_another_method(at, distance):
    groups = []
    for start in range(len(at)):
        group = tuple(j for j in range(start, len(at)) if at[j] - at[start] <= distance)
        if len(group) > 1 and (not groups or group[-1] > groups[-1][-1]):
            groups.append(group)
    drawn = [_reach(at, group) for group in groups]
    levels = _levels(drawn)
    for group, (low, high) in zip(groups, drawn, strict=True):
        assert at[group[0]] - OVERHANG <= low <= at[group[0]] <= at[group[-1]] <= high
        assert all(not low <= at[j] <= high for j in range(len(at)) if j not in group)
    for i, (bar, level) in enumerate(zip(drawn, levels, strict=True)):
        for other, its_level in zip(drawn[:i], levels, strict=False):
            assert level != its_level or bar[0] - other[1] > BAR


# ---------------------------------------------------------------------- theme


def test_text_uses_fonts_of_one_width():
    assert re.fullmatch("Liberation Sans, Arial, Helvetica, sans-serif", cd_chart(
        study(random_scores())
    ).to_dict()["config"]["font"])  # fmt: skip


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(5, 12)), min_size=1, max_size=20),
    st.floats(300, 500),
)
def test_labels_are_spread_in_order_without_overlap(labels, high):
    wanted, heights = zip(*labels, strict=True)
    placed = spread(wanted, heights, 0, high)
    order = np.argsort(wanted, kind="stable")
    for i, j in pairwise(order):
        assert placed[j] - placed[i] >= (heights[i] + heights[j]) / 2 - 1e-6
    for at, height in zip(placed, heights, strict=True):
        assert at - height / 2 >= -1e-6
        assert at + height / 2 <= high + 1e-6


def test_labels_with_room_stay_where_they_want_to_be():
    assert spread([50, 10, 90], [9, 9, 9], 0, 100) == pytest.approx([50, 10, 90])


@given(st.text("abc -/_=<", max_size=60), st.floats(10, 100))
def test_wrapping_loses_nothing_but_spaces_at_breaks(text, width):
    assert "".join("".join(wrapped(text, width, 7)).split()) == "".join(text.split())


def test_equations_and_exponents_are_not_broken():
    assert wrapped("so p = 1e-05 or", 30, 7) == ["so", "p = 1e-05", "or"]


def test_the_styles_of_28_methods_differ_and_do_not_depend_on_the_others_order():
    names = [f"m{j:02}" for j in range(28)]
    looks = styles(names, "random")
    assert len({(style.colour, tuple(style.dash)) for style in looks.values()}) == 29
    assert looks == styles(reversed(names), "random")
