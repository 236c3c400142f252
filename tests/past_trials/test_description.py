"""What import writes, a person corrects, and the next command reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from surrobench.errors import DataError
from surrobench.past_trials import description
from surrobench.past_trials.sources.registry import past_trials
from surrobench.past_trials.trials import Asked
from tests.studies import surrobench

HEADER = "config.boost'er,config.größe,config.l r,config.k,config.flag,loss\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        f"{'tree' if i % 2 else 'linear'},{i % 7 + 1 if i % 2 else ''},{10 ** (-i / 20)},9,{i % 3 == 0},{i}\n"
        for i in range(80)
    ]
    file = tmp_path / "trials.csv"
    file.write_text(HEADER + "".join(rows))
    return file


def test_what_is_written_reads_back_equal(table: Path, tmp_path: Path) -> None:
    found = past_trials([str(table)], Asked({"loss": True}))
    description.write(found, tmp_path / "ours.toml")
    back = past_trials([str(tmp_path / "ours.toml")])
    assert back.space == found.space
    assert back.frame.equals(found.frame)
    assert back.title == found.title


def test_a_correction_counts(table: Path, tmp_path: Path) -> None:
    description.write(past_trials([str(table)], Asked({"loss": True})), tmp_path / "ours.toml")
    text = (tmp_path / "ours.toml").read_text()
    (tmp_path / "ours.toml").write_text(text.replace("upper = 1.0", "upper = 2.0"))
    assert past_trials([str(tmp_path / "ours.toml")]).space["l r"].upper == 2.0


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('type = "float"', 'type = "flaot"', "type"),
        ("lower = ", "lowest = ", "lowest"),
        ('"boost\'er" = ["tree"]', '"other" = ["tree"]', "a condition names 'other'"),
        ('"boost\'er" = ["tree"]', '"boost\'er" = ["bush"]', "not possible"),
        ("trials.parquet", "none.parquet", "cannot be read"),
        ("title = ", "title = [", "cannot be read"),
    ],
)
def test_a_mistake_is_one_line(table: Path, tmp_path: Path, old: str, new: str, says: str) -> None:
    description.write(past_trials([str(table)], Asked({"loss": True})), tmp_path / "trials.toml")
    text = (tmp_path / "trials.toml").read_text()
    assert old in text
    (tmp_path / "trials.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=says) as caught:
        past_trials([str(tmp_path / "trials.toml")])
    assert "\n" not in str(caught.value)


def test_the_command_says_what_it_found(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "ours.toml"
    done = surrobench("import", str(table), "--objective", "loss=min", "--out", str(out))
    assert (done.status, done.err) == (0, "")
    assert "80 trials of 5 hyperparameters" in done.out
    assert "größe is taken to be active where boost'er is tree" in done.out
    assert out.exists()


def test_without_a_file_the_command_prints_the_description(table: Path) -> None:
    done = surrobench("import", str(table), "--objective", "loss=min")
    assert (done.status, done.err) == (0, "")
    assert '[space."größe"]' in done.out
