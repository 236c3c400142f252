"""What counts as a replicate: a model that always says the same is one observation, and a copy is none."""

import polars as pl
import pytest

from surrobench.errors import ResultsError
from surrobench.execution.process_pool import InlineExecutor
from surrobench.report.data.load import joint_plan
from surrobench.report.data.replicates import replicate_notes
from surrobench.report.data.study_data import load_study
from surrobench.results.folder import Results
from tests.llm.faulty_server import FaultyServer
from tests.studies import AGENT, MLP, answer, run, suite_text


def without_seed(body):
    """The answer of a deterministic model: it depends on the prompt alone."""
    return answer({name: value for name, value in body.items() if name != "seed"})


@pytest.fixture(scope="module", params=[without_seed, answer])
def studied(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("replicates") / "r"
    with FaultyServer(request.param) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
        head = 'noise = "mean"\ninitial = "none"'
        run(suite_text(MLP, models={"m": server.url}, seeds=3, trials=3, head=head), out)
    return Results(out), request.param is without_seed


def test_seeds_of_a_deterministic_model_are_one_observation_and_it_is_said(studied):
    results, deterministic = studied
    notes = " ".join(load_study(results).notes)
    assert (f"3 seeds on {MLP} are 1 observation." in notes) == deterministic
    assert (f"{AGENT} (m): the model gave the same completions" in notes) == deterministic


def test_the_same_completions_under_two_names_are_no_comparison(studied):
    results, _ = studied
    plan = joint_plan([results])
    copy = plan.with_columns(method=pl.lit("renamed"), folder=pl.lit(1, pl.UInt32))
    with pytest.raises(ResultsError, match="are the same completions, on hpobench/mlp/australian seed"):
        replicate_notes([results, results], pl.concat([plan, copy]))
