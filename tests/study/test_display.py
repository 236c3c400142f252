"""The bars that show how far a study is."""

import io

from rich.console import Console

from surrobench.study.display import Display, TerminalBar
from surrobench.study.progress import Status


def test_a_bar_says_what_is_done_and_is_gone_at_the_end():
    out = io.StringIO()
    status = Status(total=1200, done=300, trials=900, work=10.0, work_done=2.5)
    with TerminalBar(status, Console(file=out, force_terminal=True, width=100)):
        pass
    assert "300/1,200 runs" in out.getvalue()
    assert "25%" in out.getvalue()
    assert out.getvalue().endswith("\x1b[2K")


def test_work_done_counts_trials_that_a_model_drives_but_never_more_than_there_is():
    status = Status(work=10.0, work_done=2.0, seconds_per_live_trial=1.0)
    status.live.trials = 3
    assert Display(status).work_done == 5.0
    status.live.trials = 30
    assert Display(status).work_done == 10.0
