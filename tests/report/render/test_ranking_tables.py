import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy import stats

from surrobench.errors import UnknownName
from surrobench.report.ranking.build import rank_methods
from surrobench.report.ranking.extra_columns import intervals, with_intervals
from surrobench.report.ranking.verdict_sentence import verdict_sentence
from surrobench.report.render.ranking_tables import COLUMNS, render, rich_table
from surrobench.stats.correction import correct
from tests.report.ranking.test_build import frame, random_scores, references, study

MODEL = "SmolLM2-135M_Instruct & co (135M)"
METHODS = ("random", "tpe", "llm_agent")


def ranking(n=8, k=3, **options):
    return study(random_scores(n, k), METHODS, models={"llm_agent": MODEL}, **options)


def with_further():
    runs = frame(random_scores(6, 3, 5), METHODS).filter(
        (pl.col("method") != "llm_agent") | (pl.col("seed") < 2)
    )
    return rank_methods(runs, references(6), models={"llm_agent": MODEL})


def printed(shown, width=140):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(rich_table(shown))
    return console.file.getvalue()


def test_every_format_shows_every_method_and_its_model():
    for text in (*(render(ranking(), f) for f in ("markdown", "latex", "csv", "json")), printed(ranking())):
        plain = text.replace("\\", "")
        for expected in ("random", "tpe", "llm_agent", MODEL):
            assert expected in plain


def test_text_formats_state_n_test_correction_effect_and_the_smallest_reachable_p():
    for text in (render(ranking(), "markdown"), render(ranking(), "latex"), printed(ranking(), 2000)):
        for expected in ("n = 8", "Wilcoxon", "Holm", "rank-biserial", "could reach is 0.0156", "over all"):
            assert expected in text


def test_the_best_is_bold_and_significance_is_marked():
    scores = random_scores(8, 3)
    scores[:, 1] /= 50
    shown = study(scores, METHODS)
    row = next(line for line in render(shown, "markdown").splitlines() if line.startswith("| tpe"))
    assert row.startswith("| tpe | **1.00** |")
    assert r"| 0.016\* | +1.00 | 8/0/0 |" in row
    assert r"0.016\textsuperscript{*} & $+1.00$ & 8/0/0 \\" in render(shown, "latex")
    assert "0.016*" in printed(shown)
    console = Console(width=140, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(rich_table(shown))
    assert re.search(r"\x1b\[1;32m *0\.016\*", console.file.getvalue())


def test_displayed_means_are_clipped_and_data_are_not():
    scores = random_scores(8, 3)
    scores[:, 0] = 0.9
    shown = study(scores, METHODS)
    row = next(line for line in render(shown, "markdown").splitlines() if line.startswith("| random"))
    assert "| 1.000 |" in row
    data = json.loads(render(shown, "json"))
    by_name = {row["method"]: row for row in data["methods"]}
    assert by_name["random"]["normalised_regret"] == pytest.approx(1.8)


def test_a_narrow_terminal_keeps_every_number_whole():
    text = printed(ranking(), 80)
    assert max(map(len, text.splitlines())) <= 80
    for number in re.findall(r"\d\.\d{3}", printed(ranking(), 200).split("n = 8")[0]):
        assert number in text


def test_markdown_is_a_table_of_even_rows():
    main = render(replace(ranking(), unresolved=()), "markdown")
    lines = [line for line in main.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_latex_is_balanced_and_escaped():
    text = render(replace(ranking(), unresolved=()), "latex")
    assert r"llm\_agent & " in text
    assert r"Language model of llm\_agent: SmolLM2-135M\_Instruct \& co (135M)}" in text
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert re.findall(r"(?<!\\)[#%_~]", body) == []
    assert len(re.findall(r"(?<!\\)\{", body)) == len(re.findall(r"(?<!\\)\}", body))
    assert body.isascii()
    for name in ("table", "tabular"):
        assert body.count(rf"\begin{{{name}}}") == body.count(rf"\end{{{name}}}") == 1
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 3
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1


def test_latex_escapes_every_special_character_of_a_name():
    shown = study(random_scores(4, 2), ("random", r"[a] \{b}~^#$%&_<>|*"))
    assert (
        r"{[}a{]} \textbackslash{}\{b\}\textasciitilde{}\textasciicircum{}\#\$\%\&\_"
        r"\textless{}\textgreater{}\textbar{}\textsuperscript{*}"
    ) in render(shown, "latex")


def test_markup_in_a_name_is_text():
    assert "[red]x[/]" in printed(study(random_scores(4, 2), ("random", "[red]x[/]")))


def test_csv_keeps_every_digit():
    shown = ranking()
    rows = list(csv.DictReader(io.StringIO(render(shown, "csv"))))
    assert [row["method"] for row in rows] == list(shown.methods)
    assert [float(row["quantile_regret"]) for row in rows] == list(shown.mean_quantile)
    assert list(rows[0])[3:] == [column.key for column in COLUMNS if not column.asked]
    control = rows[shown.methods.index("random")]
    assert control["p_corrected"] == ""
    assert sum(float(row["share_won"]) for row in rows) == pytest.approx(1)


def test_json_is_enough_to_check_the_ranking():
    shown = ranking()
    data = json.loads(render(shown, "json"))
    per_instance = np.array(
        [[row["quantile_regret"][method] for method in shown.methods] for row in data["per_instance"]]
    )
    assert study(random_scores(8, 3), METHODS).methods == shown.methods
    assert np.array_equal(per_instance, shown.measured.quantile)
    assert per_instance.mean(axis=0) == pytest.approx([row["quantile_regret"] for row in data["methods"]])
    for row in data["per_instance"]:
        for method, loss in row["loss"].items():
            regret = (loss - row["best_loss"]) / (row["anchor_loss"] - row["best_loss"])
            assert row["normalised_regret"][method] == pytest.approx(regret)
    assert data["friedman"]["p"] == shown.friedman.p
    assert data["versus_control"]["smallest_reachable_p"] == pytest.approx(2 / 2**7)
    assert data["seeds"] == [0, 1, 2]
    assert data["notes"] == [note.text for note in shown.notes]


def test_what_is_not_resolved_is_a_table_with_the_needed_and_the_observed_difference():
    shown = ranking()
    text = render(shown, "markdown")
    for one in shown.unresolved:
        name = one.method.replace("_", r"\_")
        assert f"| {name} | {one.needed:.2g} | {one.observed:+.2g} |" in text
    assert shown.unresolved
    listed = json.loads(render(shown, "json"))["not_resolved"]
    assert [row["method"] for row in listed] == [one.method for one in shown.unresolved]
    assert "not_resolved" not in render(shown, "csv")


def test_the_answer_comes_first_and_json_says_its_version():
    shown = ranking()
    answer = verdict_sentence(shown)
    assert printed(shown, 400).startswith(answer)
    assert render(shown, "markdown").replace("\\", "").startswith(answer)
    data = json.loads(render(shown, "json"))
    assert (data["schema_version"], data["answer"]) == (2, answer)
    groups = json.loads(render([replace(shown, group="a"), replace(shown, group="b")], "json"))
    assert groups["schema_version"] == 2
    assert groups["groups"][0]["answer"].startswith("On 8 benchmarks of a ")


def test_what_is_not_a_number_is_null_in_json():
    data = json.loads(render(ranking(1), "json"))
    assert data["friedman"]["p"] is None
    assert data["nemenyi"]["critical_difference"] is None


def test_a_further_ranking_follows_in_every_format():
    shown = with_further()
    assert "With more seeds: tpe, random" in printed(shown)
    assert "With more seeds: tpe, random" in render(shown, "markdown")
    assert render(shown, "latex").count(r"\begin{tabular}") == 2 + bool(shown.further.unresolved)
    assert [row["seeds"] for row in csv.DictReader(io.StringIO(render(shown, "csv")))] == ["2"] * 3 + [
        "5"
    ] * 2
    assert len(json.loads(render(shown, "json"))["further"]["methods"]) == 2


def test_groups_follow_each_other_in_every_format():
    groups = [replace(ranking(n), group=name) for n, name in ((8, "hpobench"), (6, "yahpo/lcbench"))]
    assert "**yahpo/lcbench: 3 methods, 6 instances" in render(groups, "markdown")
    assert render(groups, "latex").count(r"\begin{tabular}") == 2 + 1  # and what is not resolved
    rows = list(csv.DictReader(io.StringIO(render(groups, "csv"))))
    assert [(row["group"], row["instances"]) for row in rows] == [("hpobench", "8")] * 3 + [
        ("yahpo/lcbench", "6")
    ] * 3
    data = json.loads(render(groups, "json"))
    assert [group["group"] for group in data["groups"]] == ["hpobench", "yahpo/lcbench"]
    assert data["groups"][1]["friedman"]["n"] == 6
    assert render([ranking()], "json") == render(ranking(), "json")


def test_json_holds_the_number_of_every_run():
    shown = ranking(metric="log")
    data = json.loads(render(shown, "json"))
    for row in data["per_instance"]:
        unit = row["anchor_loss"] - row["best_loss"]
        for method in shown.methods:
            losses = np.array(row["by_seed"]["loss"][method])
            assert len(losses) == len(data["seeds"])
            logs = np.log10((losses - row["best_loss"]) / unit)
            assert row["by_seed"]["log_regret"][method] == pytest.approx(logs)
            assert row["ranked"][method] == pytest.approx(logs.mean())
            assert row["loss"][method] == pytest.approx(losses.mean())
            assert row["quantile_regret"][method] == pytest.approx(
                np.mean(row["by_seed"]["quantile_regret"][method])
            )


def test_what_was_asked_for_is_a_table_of_its_own_where_the_terminal_is_narrow():
    keys = ("target_share", "target_median", "target_ert")
    shown = replace(ranking(), extra={key: np.array([0.5, 0.25, 1.0]) for key in keys})
    wide, narrow = printed(shown, 200), printed(shown, 80)
    assert wide.count("random ") < narrow.count("random ")
    assert max(map(len, narrow.splitlines())) <= 80
    for text in (wide, narrow, render(shown, "markdown")):
        assert "100%" in text
    assert "target" not in render(ranking(), "markdown").splitlines()[2]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_as_it_is(tmp_path):
    awkward = study(
        random_scores(6, 3), ("random", "[a] b_c & 100%", r"x\{y}~z^2 #1 $ <|>*"), models={"random": MODEL}
    )
    groups = [replace(awkward, group="yahpo/rbv2_xgboost"), with_intervals(ranking())]
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}%s\end{document}"
    (tmp_path / "table.tex").write_text(document % ("\n" + render(groups, "latex")))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


def test_an_unknown_format_is_refused():
    with pytest.raises(UnknownName, match="Did you mean 'markdown'"):
        render(ranking(), "markdwn")


def test_intervals_show_the_paired_and_the_unpaired_improvement_in_every_format():
    shown = with_intervals(ranking())
    j = shown.methods.index("tpe")
    paired, unpaired = intervals(shown).improvement[j], intervals(shown).improvement_unpaired[j]
    assert paired.estimate != unpaired.estimate
    cells = [f"{one.estimate:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in (paired, unpaired)]
    assert "| improvement (paired) | improvement (unpaired) |" in render(shown, "markdown")
    assert "improvement (paired) & improvement (unpaired) &" in render(shown, "latex")
    for text in (render(shown, "markdown").replace("\\", ""), printed(shown, 200), printed(shown, 80)):
        row = next(line for line in text.splitlines() if "tpe" in line and cells[0] in line)
        assert row.index(cells[0]) < row.rindex(cells[1])
    row = next(row for row in csv.DictReader(io.StringIO(render(shown, "csv"))) if row["method"] == "tpe")
    assert (float(row["improvement"]), float(row["improvement_unpaired"])) == (
        paired.estimate, unpaired.estimate,
    )  # fmt: skip
    extra = json.loads(render(shown, "json"))["extra"]
    assert extra["improvement_unpaired"]["tpe"] == unpaired.estimate
    assert [extra[f"improvement_unpaired_{end}"]["tpe"] for end in ("low", "high")] == [
        unpaired.low, unpaired.high,
    ]  # fmt: skip
    assert extra["improvement_unpaired"]["random"] is None
    for text in (render(shown, "markdown"), render(shown, "latex"), printed(shown, 2000)):
        assert "Unpaired: any seed of one against any of the other, as rliable" in text


@pytest.mark.parametrize("width", [80, 100])
def test_whatever_is_asked_for_at_once_fits_a_narrow_terminal(width):
    keys = ("area", "test", "target_share", "target_median", "target_ert")
    asked = with_intervals(ranking())
    asked = replace(asked, extra={**asked.extra, **{key: np.array([0.123, 0.456, 0.789]) for key in keys}})
    text = printed(asked, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    # Every number of the one wide table stands in the narrow ones, once.
    narrow, wide = (
        re.findall(r"-?\d+\.\d+", shown.split("n = 8")[0]) for shown in (text, printed(asked, 300))
    )
    assert sorted(narrow) == sorted(wide)
    # A table has one rule, below its headings; there is none of names alone.
    assert (
        len(re.findall(r"(?m)^.*──.*$", printed(replace(with_intervals(ranking()), unresolved=()), 60))) == 3
    )


def test_json_holds_what_each_test_of_all_pairs_found_of_each_pair():
    scores = random_scores(12) * np.array([1, 0.6, 0.5, 0.1])[:, None]
    for posthoc in ("nemenyi", "conover", "wilcoxon"):
        shown = study(scores, posthoc=posthoc, correction="hommel")
        pairs = json.loads(render(shown, "json"))["pairs"]
        assert (pairs["test"], pairs["n"], pairs["comparisons"]) == (posthoc, 12, 6)
        assert pairs["correction"] == ("range of rank sums, exact" if posthoc == "nemenyi" else "hommel")
        assert pairs["dof"] == (33 if posthoc == "conover" else None)
        assert pairs["statistic"]
        assert pairs["effect"]
        assert len(pairs["each"]) == 6
        for one in pairs["each"]:
            assert one["p_corrected"] == pairs["p"][one["method"]][one["against"]]
            i, j = (shown.methods.index(one[key]) for key in ("method", "against"))
            gains = (shown.values[:, j] - shown.values[:, i]).round(12)
            difference = shown.mean_rank[j] - shown.mean_rank[i]
            if posthoc == "nemenyi":
                q = difference / np.sqrt(4 * 5 / (12 * 12))
                assert one["statistic"] == pytest.approx(q)
                assert stats.studentized_range.sf(q, 4, np.inf) == pytest.approx(one["p_corrected"], abs=0.06)
                assert one["p_raw"] is None
            elif posthoc == "conover":
                assert one["p_raw"] == pytest.approx(2 * stats.t.sf(abs(one["statistic"]), pairs["dof"]))
                assert (one["statistic"] < 0) == (one["effect"] > 0)
            else:
                by_scipy = stats.wilcoxon(gains, zero_method="zsplit")
                assert (one["statistic"], one["p_raw"]) == pytest.approx(tuple(by_scipy))
                assert [one[key] for key in ("wins", "ties", "losses")] == [
                    (gains > 0).sum(), (gains == 0).sum(), (gains < 0).sum(),
                ]  # fmt: skip
                assert pairs["smallest_reachable_p"] == pytest.approx(2 / 2**12)
            if posthoc != "wilcoxon":
                assert one["effect"] == pytest.approx(difference)
        raw = [one["p_raw"] for one in pairs["each"]]
        if posthoc != "nemenyi":
            assert [one["p_corrected"] for one in pairs["each"]] == pytest.approx(correct(raw, "hommel"))


@pytest.mark.parametrize("posthoc", ["nemenyi", "conover", "wilcoxon"])
def test_pairs_that_cannot_be_tested_are_null_in_json(posthoc):
    pairs = json.loads(render(ranking(1, posthoc=posthoc), "json"))["pairs"]
    assert pairs["n"] == 1
    assert [one["p_corrected"] for one in pairs["each"]] == ([1] * 3 if posthoc == "wilcoxon" else [None] * 3)
