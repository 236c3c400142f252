"""The ledger of a study: what was stated before which runs existed, and each look at a verdict."""

import json

import pytest

from surrobench.execution.process_pool import InlineExecutor
from surrobench.report.claims import judge
from surrobench.results.folder import Results
from surrobench.results.ledger import read_looks
from tests.studies import edit_manifest, run, suite_text, surrobench

SETS = [f"hpobench/mlp/{name}" for name in ("australian", "car", "kc1", "phoneme", "segment", "vehicle")]
CLAIM = '[claims.c]\nsays = "sobol is no worse"\nno_worse = "sobol"\nthan = "random"\nmargin = {margin}\n'


def text(seeds=1, margin=0.2, head="", sets=SETS, claim=CLAIM):
    study = suite_text(*sets, methods=("random", "sobol"), seeds=seeds, head=head)
    return study + claim.format(margin=margin)


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())


def judged(folder):
    (one,) = judge([Results(folder)])
    return one


def test_a_claim_that_was_stated_before_its_runs_confirms(tmp_path):
    run(text(), tmp_path / "r")
    one = judged(tmp_path / "r")
    assert (one.status, one.why, one.look.number) == ("confirmatory", "", 1)
    (first,) = Results(tmp_path / "r").manifest["ledger"]["statements"]
    assert (first["finished"], first["claims"]["c"]["margin"]) == (0, 0.2)
    assert first["time"]
    assert first["hash"]


def test_a_margin_that_was_edited_after_the_results_leaves_a_trace_for_ever(tmp_path):
    run(text(), tmp_path / "r")
    first = Results(tmp_path / "r").manifest["ledger"]["statements"]
    run(text(margin=0.9), tmp_path / "r")  # nothing is left to do: "0 trials in 0.0 s"
    statements = Results(tmp_path / "r").manifest["ledger"]["statements"]
    assert statements[:1] == first
    assert statements[1]["finished"] == 12
    one = judged(tmp_path / "r")
    assert one.status == "exploratory"
    assert "changed when 12 runs were finished" in one.why
    assert "margin = 0.2" in one.why
    shown = surrobench("rank", tmp_path / "r").out
    assert "(exploratory)" in " ".join(shown.split())
    # Running the suite once more, or the first claim again, does not wash it off.
    run(text(margin=0.9), tmp_path / "r")
    assert len(Results(tmp_path / "r").manifest["ledger"]["statements"]) == 2
    run(text(), tmp_path / "r")
    assert judged(tmp_path / "r").why == ""


def test_a_claim_that_was_added_after_the_results_explores(tmp_path):
    run(text(claim=""), tmp_path / "r")
    run(text(), tmp_path / "r")
    assert "stated when 12 runs were finished" in judged(tmp_path / "r").why


def test_a_second_look_at_more_data_explores_unless_looks_are_stated(tmp_path):
    run(text(), tmp_path / "r")
    assert judged(tmp_path / "r").look.number == judged(tmp_path / "r").look.number == 1
    run(text(seeds=2), tmp_path / "r")
    again = judged(tmp_path / "r")
    assert (again.look.number, again.status) == (2, "exploratory")
    assert "look 2 at growing results" in again.why
    assert len(read_looks(tmp_path / "r")) == 2


def test_stated_looks_share_the_level_of_the_suite(tmp_path):
    levels = []
    for seeds in (1, 2, 3):
        run(text(seeds=seeds, head="looks = 2\nalpha = 0.1"), tmp_path / "r")
        one = judged(tmp_path / "r")
        levels.append(one.look.level)
        assert one.status == ("confirmatory" if seeds < 3 else "exploratory")
    assert levels[0] + levels[1] == pytest.approx(0.1)
    assert "this is look 3, and the suite states 2" in one.why


def test_looks_without_a_limit_go_by_e_values(tmp_path):
    p = []
    for seeds in (1, 2):
        run(text(seeds=seeds, margin=0.9, head='looks = "unlimited"'), tmp_path / "r")
        one = judged(tmp_path / "r")
        assert one.status == "confirmatory"
        p.append(one.p_holds)
    first, second = (look["claims"]["c"]["e_holds"] for look in read_looks(tmp_path / "r"))
    assert p[1] == pytest.approx(1 / (first * 0.6079271 + second * 0.6079271 / 4), rel=1e-6)
    assert p[1] < p[0]


def test_benchmarks_that_were_added_after_results_are_named(tmp_path):
    run(text(sets=SETS[:5]), tmp_path / "r")
    run(text(), tmp_path / "r")
    notes = json.loads(surrobench("rank", tmp_path / "r", "--format", "json").out)["notes"]
    assert f"1 benchmarks were added when results existed: {SETS[5]}." in notes


def test_what_an_older_version_wrote_has_no_label_and_a_replay_keeps_what_was_stated(tmp_path):
    run(text(), tmp_path / "old")

    def as_older(manifest):
        del manifest["ledger"], manifest["suite"]["alpha"], manifest["suite"]["looks"]

    edit_manifest(tmp_path / "old", as_older)
    assert judged(tmp_path / "old").status == ""
    run(text(margin=0.9), tmp_path / "again", replay=tmp_path / "old")
    first, second = Results(tmp_path / "again").manifest["ledger"]["statements"]
    assert (first["time"], second["finished"]) == (None, 12)


def test_nobodys_looks_at_a_published_recording_are_kept(tmp_path):
    run(text(), tmp_path / "r")
    (tmp_path / "r" / "journal.jsonl.gz").write_bytes(b"")
    for journal in (tmp_path / "r").glob("journal.jsonl"):
        journal.unlink()
    judge([Results(tmp_path / "r")])
    assert read_looks(tmp_path / "r") == []
