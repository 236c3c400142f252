"""Run, open, rank and draw studies from a script or a notebook: the Python interface of surrobench.

    import surrobench

    study = surrobench.run("quick")          # a suite's file or name, or a dictionary; resumes what is there
    study.rank()                             # in a notebook: a table; .to_latex(), .to_frame(), ...
    study.plot("curves")                     # an Altair chart, which needs no network
    study.trials()                           # a Polars frame of every trial of every benchmark

What ``surrobench`` itself offers (``surrobench.__all__``) is the only promised surface: all else, modules and
their functions, may change in any version. What is promised is deprecated before it changes: for at least
one minor version the old form goes on working and gives a ``DeprecationWarning`` that names the new one, and
CHANGELOG.md lists it. Columns may be added to frames, and keys to dictionaries, in any version; none is
renamed or removed without that.

Errors that a user can mend are of ``surrobench.SurrobenchError``; their message ends in the remedy.
"""

from surrobench.api.ranking import Ranking
from surrobench.api.run_and_load import StudyWarning, load, run
from surrobench.api.study import Study
from surrobench.errors import SurrobenchError

__all__ = ["Ranking", "Study", "StudyWarning", "SurrobenchError", "load", "run"]
