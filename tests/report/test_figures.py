import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrobench.errors import UsageError
from surrobench.report.figures import BAR, OVERHANG, _levels, _reach, cd_chart, cd_diagram

from .test_ranking import METHODS, random_scores, study

MAGIC = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "SVG"])
def test_the_suffix_is_the_format(tmp_path, suffix):
    path = tmp_path / "new folder" / f"cd.{suffix}"
    cd_diagram(study(random_scores()), path)
    assert path.read_bytes().startswith(MAGIC[suffix.lower()])


def test_a_pdf_carries_its_fonts(tmp_path):
    cd_diagram(study(random_scores()), tmp_path / "cd.pdf")
    assert b"/FontFile" in (tmp_path / "cd.pdf").read_bytes()


@pytest.mark.parametrize("name", ["cd.gif", "cd", "svg"])
def test_another_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.pdf"):
        cd_diagram(study(random_scores()), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("k", [2, 3, 5, 12])
def test_an_svg_names_every_method_its_model_and_rank_the_control_n_and_alpha(tmp_path, k):
    methods = ("random", *(f"method <{j}> & co" for j in range(k - 1)))
    models = {methods[1]: "Some-Model-7B (7B)"}
    ranking = study(random_scores(6, k, 2), methods, alpha=0.1, models=models)
    cd_diagram(ranking, tmp_path / "cd.svg")
    texts = list(ET.parse(tmp_path / "cd.svg").getroot().itertext())
    joined = " ".join(texts)
    for method, rank in zip(ranking.methods, ranking.mean_rank, strict=True):
        assert (f"{method} (control)" if method == "random" else method) in texts
        assert f"{rank:.2f}" in texts
    assert f"CD = {ranking.nemenyi.critical_difference:.2f}" in texts
    assert "Some-Model-7B (7B)" in texts
    assert "n = 6 instances, 2 seeds each" in joined
    assert "alpha = 0.1" in joined


def test_without_a_critical_difference_the_diagram_says_so(tmp_path):
    cd_diagram(study(random_scores(1)), tmp_path / "cd.svg")
    text = (tmp_path / "cd.svg").read_text(encoding="utf-8")
    assert "no critical difference" in text
    assert "CD =" not in text


def test_one_method_cannot_be_drawn(tmp_path):
    runs = study(random_scores())
    single = type(runs)(**{**vars(runs), "methods": ("random",)})
    with pytest.raises(UsageError, match="two methods"):
        cd_diagram(single, tmp_path / "cd.svg")


def test_there_is_one_thick_bar_for_each_clique():
    scores = np.random.default_rng(1).random((20, 6, 2)) ** np.linspace(0.3, 6, 6)[:, None]
    ranking = study(scores, METHODS)
    assert len(ranking.cliques) > 1
    spec = cd_chart(ranking).to_dict()
    bars = [layer for layer in spec["layer"] if layer["mark"].get("strokeWidth") == 5]
    assert len(bars) == len(ranking.cliques)


positions = st.lists(st.integers(0, 400).map(float), min_size=2, max_size=12).map(sorted)


@given(positions, st.integers(1, 200))
def test_bars_neither_overlap_nor_touch_the_line_of_another_method(at, distance):
    groups = []
    for start in range(len(at)):
        group = tuple(j for j in range(start, len(at)) if at[j] - at[start] <= distance)
        if len(group) > 1 and (not groups or group[-1] > groups[-1][-1]):
            groups.append(group)
    bars = [_reach(at, group) for group in groups]
    levels = _levels(bars)
    for group, (low, high) in zip(groups, bars, strict=True):
        assert at[group[0]] - OVERHANG <= low <= at[group[0]] <= at[group[-1]] <= high
        assert all(not low <= at[j] <= high for j in range(len(at)) if j not in group)
    for i, (bar, level) in enumerate(zip(bars, levels, strict=True)):
        for other, its_level in zip(bars[:i], levels, strict=False):
            assert level != its_level or bar[0] - other[1] > BAR


def test_text_uses_fonts_of_one_width():
    assert re.fullmatch("Liberation Sans, Arial, Helvetica, sans-serif", cd_chart(
        study(random_scores())
    ).to_dict()["config"]["font"])  # fmt: skip
