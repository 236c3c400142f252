"""Studies whose runs are computed together: in one process, in two, and killed in the middle."""

from __future__ import annotations

from tests.studies import FCN, MLP, files, run, suite_text
from tests.study.test_kill import LIMIT, go_on, study, wait_for

METHODS = ["random", "tpe", "tpe-univariate"]


def test_one_process_and_two_give_the_same_bytes(tmp_path):
    text = suite_text(MLP, FCN, methods=METHODS, trials=25, seeds=3)
    for jobs in (1, 2):
        assert run(text, tmp_path / str(jobs), jobs=jobs).complete
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_fewer_runs_together_give_the_same_trials(tmp_path):
    text = suite_text(MLP, methods=METHODS, trials=25, seeds=3)
    run(text, tmp_path / "many", jobs=1)
    run(suite_text(MLP, methods=METHODS, trials=25, seeds=1), tmp_path / "few", jobs=1)
    run(text, tmp_path / "few", jobs=1)  # the other seeds, later and without the first
    assert files(tmp_path / "many") == files(tmp_path / "few")


def test_after_kill_9_the_end_is_the_same(tmp_path):
    text = suite_text(MLP, FCN, methods=METHODS, trials=120, seeds=40)
    (tmp_path / "tiny.toml").write_text(text)
    with study(tmp_path, "--jobs", "1") as process:
        wait_for(lambda: any((tmp_path / "r" / "trials").glob("*/*.parquet")), "a finished run")
        process.kill()
        process.wait(LIMIT)
    stored = len(list((tmp_path / "r" / "trials").glob("*/*.parquet")))
    done = go_on(tmp_path)
    assert done.status == 0, done.err
    run(text, tmp_path / "whole", jobs=1)
    assert files(tmp_path / "whole") == files(tmp_path / "r")
    assert stored
