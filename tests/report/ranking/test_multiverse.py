"""A study in all its analyses: each is the ranking that its choices give."""

import json

import pytest

from surrobench.execution.process_pool import InlineExecutor
from surrobench.protocol.budget import Budget
from surrobench.report.data.load import RunFilter
from surrobench.report.data.study_data import load_study
from surrobench.report.ranking.multiverse import budgets, multiverse
from surrobench.report.ranking.pipeline import Wanted, rank_study
from surrobench.results.folder import Results
from tests.studies import run, suite_text, surrobench

SETS = [
    f"hpobench/mlp/{name}"
    for name in ("australian", "car", "credit_g", "kc1", "phoneme", "segment", "vehicle")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("multiverse") / "r"
    text = suite_text(*SETS, methods=("random", "sobol", "grid"), trials=8, seeds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
        run(text, out)
    return out


def verdicts(ranking):
    return {
        ranking.methods[one.method]: ("better" if one.effect > 0 else "worse")
        if one.p_corrected <= 0.2
        else ""
        for one in ranking.versus_control.comparisons
    }


def test_each_analysis_is_the_ranking_of_its_choices(folder):
    results = Results(folder)
    tried = budgets(load_study(results))
    assert tried == [2, 4, 8]
    studies = {trials: load_study(results, Budget(trials=trials), area=True) for trials in tried}
    found = multiverse(studies, Wanted(alpha=0.2))
    assert len(found.analyses) == 4 * 3 * 2 * (1 + len(SETS))
    whole = rank_study(load_study(results), Wanted(alpha=0.2))
    assert found.usual.findings == verdicts(whole)
    for one in found.analyses:
        if one.test != "wilcoxon" or one.without not in ("", "car", "kc1"):
            continue
        kept = [name for name in SETS if not one.without or not name.endswith(one.without)]
        part = load_study(results, Budget(trials=one.trials), choice=RunFilter(benchmarks=kept), area=True)
        assert one.findings == verdicts(rank_study(part, Wanted(alpha=0.2, metric=one.metric)))


def test_the_table_says_what_share_of_all_agrees(folder):
    table = json.loads(surrobench("rank", folder, "--multiverse", "--format", "json").out)["multiverse"]
    assert "192" in surrobench("rank", folder, "--multiverse").out
    for row in table["rows"]:
        assert row["better"] + row["not_shown"] + row["worse"] == pytest.approx(1)
        assert row["agree"] == row[{"not shown": "not_shown"}.get(row["verdict"], row["verdict"])]
    assert {row["method"] for row in table["rows"]} == {"sobol", "grid"}
    refused = surrobench("rank", folder, "--multiverse", "--group-by", "family")
    assert refused.status == 2
