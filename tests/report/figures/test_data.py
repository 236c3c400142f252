"""What figures are drawn from: trials as they stand in the results."""

from surrobench.execution.process_pool import InlineExecutor
from surrobench.report.data.load import RunFilter
from surrobench.report.figures.data import load_proposals
from surrobench.report.figures.proposals import parallel_coordinates
from surrobench.results.folder import Results
from tests.llm.faulty_server import FaultyServer, ok
from tests.studies import AGENT, MLP, run, suite_text


def test_a_reply_that_is_no_configuration_is_no_inactive_hyperparameter(tmp_path, monkeypatch):
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())
    with FaultyServer(lambda body: ok("I would rather not.")) as server:
        run(suite_text(MLP, models={"m": server.url}, seeds=1, trials=4), tmp_path / "r")
    found = load_proposals([Results(tmp_path / "r")], choice=RunFilter((MLP,), (AGENT,)))
    assert (len(found.loss), found.invalid) == (1, 3)  # the default, and three replies
    spec = parallel_coordinates(found).to_dict()
    assert "3 more were no configuration: no line." in spec["description"]
    assert "inactive" not in str(spec["layer"])
