"""Figures of a study: data in, an Altair chart out, saved as SVG, PNG, PDF or HTML.

theme.py        sizes, fonts, colours, text widths, the frame around every figure
cd.py           critical-difference diagram
curves.py       lines over a budget or a tolerance: anytime curves, targets reached, performance profiles
matrix.py       heat map of methods by instances, win/tie/loss of every pair
proposals.py    what was proposed: parallel coordinates, origin of the incumbents
save.py         to a file
"""

from surrobench.libraries import ALTAIR, VL_CONVERT

for _library in (ALTAIR, VL_CONVERT):  # every module of this package draws or saves
    _library.require("A figure")
