"""Figures of a study: data in, an Altair chart out, saved as SVG, PNG, PDF or HTML.

theme.py        sizes, fonts, colours, text widths, the frame around every figure
cd.py           critical-difference diagram
curves.py       lines over a budget or a tolerance: anytime curves, targets reached, performance profiles
matrix.py       heat map of methods by instances, win/tie/loss of every pair
proposals.py    what was proposed: parallel coordinates, origin of the incumbents
save.py         to a file
"""
