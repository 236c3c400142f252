"""Readers of past trials, one file for each tool.

To add a tool, copy ``smac3.py`` and add a line to ``READERS`` in ``registry.py``.
"""
