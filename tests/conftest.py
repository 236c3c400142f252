import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from surrobench.benchmarks import registry
from surrobench.benchmarks.yahpo import data as yahpo_data
from surrobench.benchmarks.yahpo.data import find_folder
from surrobench.benchmarks.yahpo.family import available
from surrobench.errors import ModelError
from surrobench.libraries import XLLAMACPP
from surrobench.llm.weights import find_weights

collect_ignore = ["bench"]  # measurements, run by ``make bench``

# Which examples are drawn must not depend on luck or on how busy the machine is.
settings.register_profile("surrobench", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("surrobench")


def pytest_configure(config: pytest.Config) -> None:
    """Convert the tables once per session (its subprocesses included), away from the user's own cache."""
    if folder := find_folder():  # it may be in the cache that is not used here
        os.environ.setdefault("SURROBENCH_YAHPO_DATA", str(folder))
    if "SURROBENCH_CACHE" not in os.environ:
        folder = tempfile.mkdtemp(prefix="surrobench-tests-")
        os.environ["SURROBENCH_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """All cores; only this process where files are named, which takes less time than to start others."""
    named = [argument.partition("::")[0] for argument in config.args]
    return 0 if all(name.endswith(".py") for name in named) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs data or a model that is not here."""
    for marker, missing in {"yahpo": _missing_yahpo(), "embedded": _missing_embedded()}.items():
        for item in items:
            if missing and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=missing))


def _missing_yahpo() -> str:
    if {"lcbench", "rbv2_xgboost"} <= set(available()):
        return ""
    return "no data of YAHPO Gym: surrobench data pull yahpo, or name its folder in SURROBENCH_YAHPO_DATA"


def _missing_embedded() -> str:
    if not XLLAMACPP.installed:
        return f"xllamacpp is not installed: {XLLAMACPP.remedy}"
    try:
        find_weights()
    except ModelError as error:
        return error.message
    return ""


def _forget_recordings() -> Iterator[None]:
    """Forget which recordings were opened meanwhile: what they carry counts as data of this machine."""
    before = yahpo_data.remembered()
    yield
    if yahpo_data.remembered() != before:
        yahpo_data._remembered[:] = before
        registry.scenario.cache_clear()


recordings_of_a_module = pytest.fixture(scope="module", autouse=True)(_forget_recordings)
recordings_of_a_test = pytest.fixture(autouse=True)(_forget_recordings)
