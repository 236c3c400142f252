"""Bits that flip on disk: files state their checksum, and damage is said before anything is ranked."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from surrobench.checksums import is_whole_parquet, seal_parquet, sealed, unsealed
from surrobench.errors import ResultsError
from surrobench.results.folder import Results
from tests.studies import MLP, NAS, edit_manifest, edit_parquet, run, suite_text, surrobench

TEXT = suite_text(MLP, NAS, methods=["random", "sobol"], trials=20, seeds=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "r"
    run(TEXT, out)
    return out


def trials_file(folder: Path) -> Path:
    return sorted(folder.glob("trials/*/all.parquet"))[0]


def flipped(data: bytes, number: int) -> bytes:
    draw, out = random.Random(number), bytearray(data)
    out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def test_no_flipped_bit_gives_other_trials(folder: Path, tmp_path: Path) -> None:
    """A flipped bit in a data page was another ranking, with status 0, in 7 of 150 cases."""
    shutil.copytree(folder, tmp_path / "r")
    path = trials_file(tmp_path / "r")
    data, expected = path.read_bytes(), Results(folder).trials().collect()
    noticed = 0
    for number in range(150):
        path.write_bytes(flipped(data, number))
        try:
            assert Results(tmp_path / "r").trials().collect().equals(expected)
        except ResultsError as error:
            noticed += 1
            assert str(error).startswith(f"{path} ")  # noqa: PT017 - nearly all are noticed
    assert noticed > 145
    path.write_bytes(data)
    assert Results(tmp_path / "r").trials().collect().equals(expected)


@pytest.mark.parametrize("command", [["rank"], ["status"], ["run", "--replay"]], ids=" ".join)
def test_commands_say_which_file_is_damaged(folder: Path, tmp_path: Path, command: list[str]) -> None:
    shutil.copytree(folder, tmp_path / "r")
    path = trials_file(tmp_path / "r")
    data = bytearray(path.read_bytes())
    data[1000] ^= 4
    path.write_bytes(data)
    suite = tmp_path / "tiny.toml"
    suite.write_text(TEXT)
    words = (
        [command[0], suite, *command[1:], tmp_path / "r", "--out", tmp_path / "o"]
        if "run" in command
        else [*command, tmp_path / "r"]
    )
    done = surrobench(*words)
    assert done.status == 1
    assert (
        done.error
        == f"Error: {path} is damaged. Delete it and repeat the run command: only its runs are run again.\n"
    )


def test_damage_is_not_merged_into_a_whole_file(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "r")
    path = trials_file(tmp_path / "r")
    data = bytearray(path.read_bytes())
    data[1000] ^= 4
    path.write_bytes(data)
    with pytest.raises(ResultsError, match=r"all\.parquet is damaged"):
        run(TEXT.replace("seeds = 5", "seeds = 6"), tmp_path / "r")
    path.unlink()
    assert run(TEXT.replace("seeds = 5", "seeds = 6"), tmp_path / "r").complete
    assert surrobench("rank", tmp_path / "r").status == 0


def test_only_files_that_are_read_are_verified(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "r")
    path = trials_file(tmp_path / "r")
    data = bytearray(path.read_bytes())
    data[1000] ^= 4
    path.write_bytes(data)
    other = next(name for name in (MLP, NAS) if not name.startswith(path.parent.name.replace(".", "/")))
    assert surrobench("rank", tmp_path / "r", "--benchmark", other).status == 0


@pytest.mark.parametrize("name", ["manifest.json", "plan.parquet"])
def test_every_flip_in_a_small_file_is_noticed_or_harmless(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "r")
    path = tmp_path / "r" / name
    data, whole = path.read_bytes(), Results(folder)
    noticed = 0
    for number in range(300):
        path.write_bytes(flipped(data, number))
        try:
            read = Results(tmp_path / "r")
            # Where the flip is in the name of the checksum, there is one more key.
            assert {key: read.manifest[key] for key in whole.manifest} == whole.manifest
            assert read.plan().to_dicts() == whole.plan().to_dicts()
        except ResultsError as error:
            noticed += 1
            assert re.search(r"is damaged|newer surrobench|no results", str(error))  # noqa: PT017
    assert noticed > 200


def test_files_of_older_versions_are_read_without_a_checksum(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "r")
    edit_manifest(tmp_path / "r", lambda manifest: None)
    for path in (tmp_path / "r").glob("trials/*/*.parquet"):
        edit_parquet(path, lambda frame: frame)
    plan = pl.read_parquet(tmp_path / "r" / "plan.parquet")
    plan.write_parquet(tmp_path / "r" / "plan.parquet")
    assert surrobench("status", tmp_path / "r").status == 0
    assert surrobench("rank", tmp_path / "r", "--format", "csv") == surrobench(
        "rank", folder, "--format", "csv"
    )


def test_a_checksum_holds_for_the_same_content_alone(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "ä\n"], "b": {"c": True}}
    stored = json.loads(json.dumps(sealed(value), indent=3))
    assert unsealed(stored) == value
    assert unsealed(value) == value
    with pytest.raises(ValueError, match="checksum"):
        unsealed({**stored, "b": {"c": False}})
    with pytest.raises(ValueError, match="checksum"):
        unsealed({name: of for name, of in stored.items() if name != "a"})
    path = tmp_path / "x.parquet"
    pl.DataFrame({"x": [1, 2]}).write_parquet(path, metadata={"k": json.dumps({"checksum": "0" * 8})})
    assert not is_whole_parquet(path)
    path.write_bytes(seal_parquet(path.read_bytes()))
    assert is_whole_parquet(path)
    assert json.loads(pl.read_parquet_metadata(path)["k"])["checksum"] != "0" * 8
