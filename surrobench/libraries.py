"""Optional libraries, and the extra of surrobench that installs each of them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from surrobench.errors import MissingLibrary, SurrobenchError


class Library(NamedTuple):
    """A library that only a part of surrobench needs."""

    module: str
    """What is imported."""
    extra: str
    """The extra of surrobench that installs it."""

    @property
    def installed(self) -> bool:
        """Whether the library is installed; nothing is imported to find out."""
        return find_spec(self.module) is not None

    @property
    def remedy(self) -> str:
        """The command that installs the library."""
        return f"pip install 'surrobench[{self.extra}]'"

    def require(self, what: str, error: type[SurrobenchError] = MissingLibrary) -> None:
        """Check that the library is installed.

        Args:
            what: the part of surrobench that needs it, as the subject of a sentence with "needs".
            error: the class that is raised.

        Raises:
            MissingLibrary: the library is not installed.
        """
        if not self.installed:
            raise error(f"{what} needs {self.module}, which is not installed.", self.remedy)


SMAC = Library("smac", "smac")
SKLEARN = Library("sklearn", "smac")
ONNXRUNTIME = Library("onnxruntime", "yahpo")
SKL2ONNX = Library("skl2onnx", "fit")
ALTAIR = Library("altair", "plots")
VL_CONVERT = Library("vl_convert", "plots")
DISTRIBUTED = Library("distributed", "dask")
XLLAMACPP = Library("xllamacpp", "embedded")
NEVERGRAD = Library("nevergrad", "nevergrad")
TORCH = Library("torch", "gp")
