"""Which notes of a ranking are shown, and what is not resolved."""

from dataclasses import replace

from surrobench.report.ranking.model import Note
from surrobench.report.ranking.notes import SHOWN, notes_to_show, unresolved_caption
from tests.report.ranking.test_build import random_scores, study


def test_the_notes_that_matter_are_shown_and_the_rest_are_counted():
    ranking = study(random_scores())
    warnings = tuple(Note("warning", f"Warning {i}.") for i in range(3))
    ranking = replace(ranking, notes=(*ranking.notes, *warnings))
    shown = notes_to_show(ranking)
    assert len(shown.notes) == SHOWN
    assert [note.kind for note in shown.notes] == ["scope", "control", "warning", "warning", "warning"]
    assert shown.hidden == len(ranking.notes) - SHOWN
    assert shown.more == f"{shown.hidden} more notes: --notes"
    everything = notes_to_show(ranking, all=True)
    assert everything.notes == ranking.notes
    assert everything.more == ""


def test_one_more_note_is_one_note():
    ranking = study(random_scores())
    ranking = replace(ranking, notes=tuple(Note("scope", str(i)) for i in range(SHOWN + 1)))
    assert notes_to_show(ranking).more == "1 more note: --notes"


def test_what_is_not_resolved_says_what_was_needed():
    ranking = study(random_scores())
    undecided = {
        ranking.methods[c.method] for c in ranking.versus_control.comparisons if c.p_corrected > 0.05
    }
    assert {one.method for one in ranking.unresolved} == undecided
    assert all(one.needed > 0 for one in ranking.unresolved)
    assert "n = 8 is too few to tell these methods from random" in unresolved_caption(ranking)


def test_where_nothing_could_be_found_nothing_is_called_unresolved():
    assert study(random_scores(3)).unresolved == ()
