"""Studies that several tests of the command line read."""

import pytest

from surrobench.execution.process_pool import InlineExecutor
from surrobench.llm.client import Client
from tests.llm.faulty_server import FaultyServer, ok
from tests.studies import MLP, NAS, answer, run, suite_text


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Client.__init__, "__kwdefaults__", {"backoff": 0.005})
    monkeypatch.setattr("surrobench.study.session.process_pool", lambda jobs: InlineExecutor())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A finished study of three methods on two tables; not to be changed."""
    folder = tmp_path_factory.mktemp("cli") / "r"
    run(suite_text(MLP, NAS, methods=["random", "tpe", "sobol"], trials=6, seeds=2), folder)
    return folder


@pytest.fixture(scope="module")
def agent_results(tmp_path_factory):
    """A finished study with a model: one good reply, then one that is none."""
    folder = tmp_path_factory.mktemp("cli-agent") / "r"
    good = iter([True, False])
    with FaultyServer(lambda body: answer(body) if next(good) else ok("No, thanks.")) as server:
        run(suite_text(models={"m": server.url}, trials=3, seeds=1), folder)
    return folder
