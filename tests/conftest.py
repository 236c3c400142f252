import os
import shutil
import tempfile

import pytest
from hypothesis import settings

collect_ignore = ["bench"]  # measurements, run by ``make bench``

# Which examples are drawn must not depend on luck or on how busy the machine is.
settings.register_profile("surrobench", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("surrobench")


def pytest_configure(config: pytest.Config) -> None:
    """Convert the tables once per session (its subprocesses included), away from the user's own cache."""
    if "SURROBENCH_CACHE" not in os.environ:
        folder = tempfile.mkdtemp(prefix="surrobench-tests-")
        os.environ["SURROBENCH_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
