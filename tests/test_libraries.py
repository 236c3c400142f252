"""Optional libraries: the extras of pyproject.toml are those that the messages name."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import surrobench
from surrobench import libraries
from surrobench.errors import MissingLibrary
from surrobench.libraries import Library

LIBRARIES = [value for value in vars(libraries).values() if isinstance(value, Library)]
PYPI = {"sklearn": "scikit-learn", "vl_convert": "vl-convert-python"}
PROJECT = tomllib.loads((Path(surrobench.__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.module)
def test_a_library_is_in_its_extra_and_in_nothing_that_everyone_gets(library):
    def names(lines):
        return {Requirement(line).name for line in lines}

    name = PYPI.get(library.module, library.module)
    assert name in names(PROJECT["optional-dependencies"][library.extra])
    assert name not in names(PROJECT["dependencies"])


def test_what_is_missing_is_named_with_its_extra():
    Library("json", "none").require("Nothing")
    with pytest.raises(MissingLibrary) as error:
        Library("no_such_library", "extra").require("A picture")
    assert str(error.value) == (
        "A picture needs no_such_library, which is not installed. pip install 'surrobench[extra]'"
    )
