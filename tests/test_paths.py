"""Results folders by path, and recordings by name."""

from pathlib import Path

import pytest

from surrobench.paths import data_dir, find_results, recordings


@pytest.mark.parametrize("written", ["{}", "recordings/{}", "results/recordings/{}"])
def test_a_recording_is_found_by_its_name_from_any_folder(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"default-seed", "llm-quick"} <= set(recordings())
    for name in recordings():
        found = find_results(Path(written.format(name)))
        assert found == data_dir("results/recordings") / name
        assert (found / "manifest.json").is_file()


def test_what_is_there_goes_before_a_recording_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default-seed").mkdir()
    for path in ("default-seed", "elsewhere/default-seed", "no-such-recording", "."):
        assert find_results(Path(path)) == Path(path)
