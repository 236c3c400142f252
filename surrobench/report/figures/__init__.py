"""Draw figures of a study: data in, an Altair chart out, saved as SVG, PNG, PDF or HTML.

theme.py                sizes, fonts, colours, text widths, the frame around every figure
critical_difference.py  critical-difference diagram
curves.py               anytime curves, targets reached, performance profiles
lines.py                how such lines, their bands and names are drawn
axis.py                 an axis with as many ticks as there is room for
matrix.py               heat map of methods by instances, win/tie/loss of every pair
proposals.py            what was proposed: parallel coordinates, origin of the incumbents
data.py                 load the proposals and origins that figures show
offline.py              display a chart without a network
save.py                 write a chart to a file
"""

from surrobench.libraries import ALTAIR, VL_CONVERT

for _library in (ALTAIR, VL_CONVERT):  # every module of this package draws or saves
    _library.require("A figure")
