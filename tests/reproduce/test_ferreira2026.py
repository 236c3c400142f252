"""The published table from the published trials: to the printed digits, and no further than they go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from surrobench.errors import DataError
from surrobench.paths import data_dir
from surrobench.report.render.table import Cell, Table
from surrobench.reproduce import Means, ferreira2026

FROM_TRIALS = {
    ("Centaur", "Qwen 27B"): ("0.9763", "0.0005", "15"),
    ("TPE", ""): ("0.9768", "0.0019", "11"),
    ("SMAC", ""): ("0.9778", "0.0020", "36"),
    ("CMA-ES", ""): ("0.9785", "0.0036", "16"),
    ("Karpathy Agent (Code)", "Qwen 27B"): ("0.9814", "0.0046", "12"),
    ("LLAMBO (Paper)", "Qwen 27B"): ("0.9862", "0.0041", "48"),
    ("Random", ""): ("0.9873", "0.0021", "56"),
    ("LLAMBO (Optuna)", "Qwen 27B"): ("0.9882", "0.0012", "61"),
    ("Karpathy Agent (14 HPs)", "Qwen 27B"): ("0.9904", "0.0002", "1"),
}
FIGURES = ("mean", "std", "failed")


def sheets() -> dict[str, Table]:
    return {sheet.key: sheet for sheet in ferreira2026.reproduce(Means())}


@pytest.fixture(scope="module")
def found() -> dict[str, Table]:
    return sheets()


def rows(sheet: Table) -> dict[tuple[str, str], dict[str, Cell]]:
    return {
        (row[0].text, row[1].text): {
            column.key: cell for column, cell in zip(sheet.columns, row, strict=True)
        }
        for row in sheet.rows
    }


def test_the_nine_rows_with_public_trials_match_to_the_printed_digits(found):
    table = rows(found["table"])
    assert len(table) == 15
    for who, printed in FROM_TRIALS.items():
        for key, text in zip(FIGURES, printed, strict=True):
            cell = table[who][key]
            assert (cell.text, cell.mark) == (text, "matches"), (who, key)
            assert table[who][f"{key}_published"].text == text
        assert table[who]["source"].text == "trials"
    assert sum("9 of the 9 rows" in note for note in found["table"].notes) == 1
    # Worked out by hand from the minima of TPE's three seeds, deviation with ddof = 0.
    assert table["TPE", ""]["mean"].value == pytest.approx((0.979172 + 0.97689 + 0.974459) / 3, abs=1e-12)
    assert table["TPE", ""]["std"].value == pytest.approx(0.0019244, abs=1e-7)


def test_what_public_data_cannot_give_is_named(found):
    table = rows(found["table"])
    unknown = {who: [key for key in FIGURES if row[key].mark == "unknown"] for who, row in table.items()}
    assert {who: keys for who, keys in unknown.items() if keys} == {
        ("Centaur", "Opus 4.6"): ["failed"],  # its seeds are the tracker's, which has no trials
        ("Karpathy Agent (Code)", "Opus 4.6"): ["failed"],
        ("Centaur", "Qwen 0.8B"): [*FIGURES],
        ("Centaur", "Gemini 3.1 Pro"): [*FIGURES],
        ("Karpathy Agent (Code)", "Gemini 3.1 Pro"): [*FIGURES],
        ("Karpathy Agent (Code)", "Qwen 0.8B"): [*FIGURES],
    }
    [named] = [note for note in found["table"].notes if note.startswith("Cannot be checked: ")]
    assert named.count("(all)") == 4
    assert named.count("(failed)") == 2
    assert all(
        row[key].value is None for row in table.values() for key in FIGURES if row[key].mark == "unknown"
    )


def test_the_trackers_means_and_differences_match_and_its_p_values_cannot_be_checked(found):
    tracker = rows(found["tracker"])
    assert len(tracker) == 13
    for who, row in tracker.items():
        if who == ("TPE", ""):
            assert row["mean"].mark == "unknown"
            continue
        assert (row["mean"].mark, row["difference"].mark, row["p"].mark) == ("matches", "matches", "unknown")
        assert row["mean"].value - row["difference"].value == pytest.approx(0.975519125, abs=1e-12)
    assert "All are multiples of 1/256" in found["tracker"].notes[1]


def test_what_the_paper_lacks(found):
    lacks = rows(found["against_tpe"])
    assert set(lacks) == set(FROM_TRIALS)
    for who, row in lacks.items():
        if who != ("TPE", ""):
            assert row["p"].value >= 0.25
            assert row["power_3"].value == 0.0
    random = lacks["Random", ""]
    # (0.990314, 0.986315, 0.985377) less TPE's seeds: 0.011142, 0.009425 and 0.010918.
    assert random["difference"].value == pytest.approx(0.010495, abs=1e-12)
    assert random["difference_half_width"].value == pytest.approx(4.302653 * 0.00093339 / 3**0.5, abs=1e-7)
    assert random["power_8"].value == 1.0
    reach = {row[0].text: [cell.value for cell in row[1:]] for row in found["reach"].rows}
    assert reach["3"][0] == 0.25
    assert reach["8"] == [2 / 256, 1 / 256, 16 / 256, 24 / 256]
    assert "one task" in found["reach"].notes[-1]
    assert set(rows(found["tracker_lacks"])) == set(rows(found["tracker"])) - {("TPE", "")}


# ---------------------------------------------------------------------- other figures than published


@pytest.fixture
def tampered(tmp_path, monkeypatch):
    """Replaces one text in a published file."""
    own = tmp_path / "published"
    shutil.copytree(data_dir("results/published"), own)
    monkeypatch.setattr("surrobench.reproduce.published.data_dir", lambda name: own)

    def tamper(name: str, old: str, new: str) -> Path:
        path = own / "ferreira2026" / name
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        return path

    return tamper


@pytest.mark.parametrize(
    ("name", "old", "new", "where"),
    [
        ("paper_table.csv", "SMAC,,3,0.9778,", "SMAC,,3,0.9777,", ("table", ("SMAC", ""), "mean")),
        ("paper_table.csv", "0.9778,0.0020,36", "0.9778,0.0021,36", ("table", ("SMAC", ""), "std")),
        ("paper_table.csv", "0.0020,36", "0.0020,35", ("table", ("SMAC", ""), "failed")),
        (
            "tracker_published.csv",
            "0.974809875,-0.00070925",
            "0.974809875,-0.00070924",
            ("tracker", ("Centaur", "Opus 4.8"), "difference"),
        ),
    ],
)
def test_one_altered_cell_is_marked_and_no_other(tampered, name, old, new, where):
    tampered(name, old, new)
    key, who, figure = where
    found = sheets()
    assert rows(found[key])[who][figure].mark == "differs"
    assert sum(sheet.count("differs") for sheet in found.values()) == 1


def test_an_altered_seed_is_found_in_mean_and_difference(tampered):
    tampered("tracker_seeds.csv", "Centaur,Opus 4.8,3,0.972321", "Centaur,Opus 4.8,3,0.972322")
    found = sheets()
    changed = rows(found["tracker"])["Centaur", "Opus 4.8"]
    assert (changed["mean"].mark, changed["difference"].mark) == ("differs", "differs")
    assert sum(sheet.count("differs") for sheet in found.values()) == 2


def test_a_missing_file_is_one_line(tampered):
    tampered("paper_table.csv", "SMAC,,3,", "SMAC,,3,").unlink()
    with pytest.raises(DataError, match=r"paper_table\.csv cannot be read") as caught:
        sheets()
    assert "\n" not in str(caught.value)
