"""Text as a cell of a Markdown or LaTeX table: what would mean something there is escaped."""

from __future__ import annotations

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "*": r"\textsuperscript{*}",
    '"': "''",
    "[": "{[}",  # else an option of the row end before it
    "]": "{]}",
    "±": r"$\pm$",  # known to new engines only
    "✓": r"$\surd$",
    "✗": r"$\times$",
    **{special: "\\" + special for special in "&%$#_"},
}


def latex_cell(text: str, bold: bool = False) -> str:
    """For LaTeX."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return rf"\textbf{{{escaped}}}" if bold and escaped else escaped


def markdown_cell(text: str, bold: bool = False) -> str:
    """For Markdown."""
    for special in "\\`*_[]<>|":
        text = text.replace(special, "\\" + special)
    return f"**{text}**" if bold and text else text
