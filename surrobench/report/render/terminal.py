"""Render tables for a terminal.

A table takes the first of several layouts that fits the width of the terminal. Numbers are never broken, and
a name takes at most two lines: where even that is too wide, it has a line of its own above its numbers.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from surrobench.printable import printable
from surrobench.report.render.table import Cell, Mark, Table, Tone

_TONES: dict[Tone, str] = {
    "good": "bold green",
    "bad": "bold red",
    "doubt": "bold yellow",
    "faint": "dim",
    "": "",
}
_MARKS: dict[Mark | None, str] = {"matches": "green", "differs": "bold red", "unknown": "yellow", None: ""}
INDENT = 2
"""Spaces before what belongs to a name on a line of its own."""


def terminal(tables: Table | Iterable[Table], *, notes: bool = True) -> RenderableType:
    """Return tables as something that Rich can print.

    Args:
        tables: what to show.
        notes: whether ``Table.more_notes`` are shown; else a line says how many there are.
    """
    tables = [tables] if isinstance(tables, Table) else tables
    return Group(*(part for table in tables for part in _parts(table, notes)))


def _parts(table: Table, notes: bool) -> Iterator[RenderableType]:
    if table.lead:
        yield Text(printable(table.lead), style="bold")
        yield Text()
    yield Text(printable(table.title), style="bold")
    if table.subtitle:
        yield Text(printable(table.subtitle), style="dim")
    table = table.without_empty_columns()
    if any(column.sentences for column in table.columns):
        yield Padding(_list(table), (1, 0))
    else:
        yield _Fitted(table)
    shown = [*table.notes, *(table.more_notes if notes else ())]
    for note in shown:
        yield Text(printable(note), style="dim")
    if table.more_notes and not notes:
        n = len(table.more_notes)
        yield Text(f"{n} more note{'' if n == 1 else 's'}: --notes", style="dim")
    yield Text()


def _text(cell: Cell) -> Text:
    style = " ".join(filter(None, ["bold" if cell.bold else "", _TONES[cell.tone], _MARKS[cell.mark]]))
    return Text(printable(cell.shown), style=style)


# ---------------------------------------------------------------------- sentences


def _list(table: Table) -> Grid:
    """Return each row as a paragraph: its verdict, and beside it its sentence, its numbers and its note."""
    listed = Grid.grid(padding=(0, 2, 0, 0))
    listed.add_column(no_wrap=True)
    listed.add_column()
    for i, row in enumerate(table.rows):
        pairs = list(zip(table.columns, row, strict=True))
        lead = Text("  ").join(_text(cell) for column, cell in pairs if column.words and not column.sentences)
        sentences = [cell.shown for column, cell in pairs if column.sentences]
        numbers = ", ".join(
            f"{column.title} {cell.shown}" for column, cell in pairs if not column.words and cell.shown
        )
        beside = [Text(printable(text)) for text in (*sentences, numbers) if text]
        if table.row_notes and table.row_notes[i]:
            beside.append(Text(printable(table.row_notes[i]), style="dim"))
        listed.add_row(lead, Text("\n").join(beside))
    return listed


# ---------------------------------------------------------------------- numbers


@dataclass(frozen=True)
class _Layout:
    """How a table is laid out.

    Attributes:
        stacked: whether all names but the first stand on lines below it, and intervals below their figures.
        two_lines: whether a name is broken to two lines.
        above: whether a name has a line of its own above its numbers.
        gap: spaces between two columns.
        split: whether each part of the columns is a table of its own.
    """

    stacked: bool = False
    two_lines: bool = False
    above: bool = False
    gap: int = 2
    split: bool = False


_LAYOUTS = (
    _Layout(),
    _Layout(stacked=True),
    _Layout(stacked=True, two_lines=True),
    _Layout(stacked=True, two_lines=True, gap=1),
    _Layout(stacked=True, split=True),
    _Layout(stacked=True, two_lines=True, split=True),
    _Layout(stacked=True, two_lines=True, gap=1, split=True),
    _Layout(stacked=True, above=True, gap=1, split=True),
)


class _Fitted:
    """A table that chooses its layout once the width is known."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        splits = len({self.table.columns[i].part for i in _numbers(self.table)}) > 1
        layouts = [layout for layout in _LAYOUTS if splits or layout.above or not layout.split]
        grids = [_grids(self.table, layout) for layout in layouts]
        chosen = next((g for g in grids if all(one.width <= options.max_width for one in g)), grids[-1])
        for grid in chosen:
            yield Text()
            yield from grid.lines()
        yield Text()


def _numbers(table: Table) -> list[int]:
    return [i for i in range(len(table.columns)) if i not in table.names]


def _grids(table: Table, layout: _Layout) -> list[_Cells]:
    """Return the table as one grid, or as one for each part of its columns."""
    if not layout.split:
        return [_grid(table, layout)]
    parts = sorted({table.columns[i].part for i in _numbers(table)})
    return [
        _grid(
            table.select([*table.names, *(i for i in _numbers(table) if table.columns[i].part == part)]),
            layout,
        )
        for part in parts
    ]


Lines = list[Text]
"""What stands in one cell, line by line."""


@dataclass(frozen=True)
class _Cells:
    """Cells of several lines in columns.

    Attributes:
        heading: a cell for each column.
        rows: a cell for each column; or one line over all columns.
        left: for each column, whether it is aligned left.
        gap: spaces between two columns.
    """

    heading: list[Lines]
    rows: list[list[Lines] | Text]
    left: list[bool]
    gap: int

    @property
    def widths(self) -> list[int]:
        cells = [self.heading, *(row for row in self.rows if isinstance(row, list))]
        return [
            max((line.cell_len for row in cells for line in row[i]), default=0) for i in range(len(self.left))
        ]

    @property
    def width(self) -> int:
        # A name on a line of its own does not count: where it is too wide, it wraps.
        return sum(self.widths) + self.gap * (len(self.left) - 1)

    def lines(self) -> Iterator[Text]:
        height = max(map(len, self.heading))
        yield from self._set([[Text()] * (height - len(cell)) + cell for cell in self.heading], "bold")
        yield Text("─" * self.width)
        for row in self.rows:
            if isinstance(row, Text):
                yield row
            else:
                yield from self._set(row)

    def _set(self, cells: Sequence[Lines], style: str = "") -> Iterator[Text]:
        for n in range(max(map(len, cells))):
            out = Text(style=style, no_wrap=True, overflow="ignore")
            for i, (cell, width, left) in enumerate(zip(cells, self.widths, self.left, strict=True)):
                text = cell[n] if n < len(cell) else Text()
                blank = " " * (width - text.cell_len)
                last = i == len(cells) - 1
                out.append_text(Text(" " * self.gap * bool(i)))
                out.append_text(
                    Text.assemble(text, "" if last else blank) if left else Text.assemble(blank, text)
                )
            out.rstrip()
            yield out


def _grid(table: Table, layout: _Layout) -> _Cells:
    names, numbers = table.names, _numbers(table)
    if table.grouped and len(names) > 1:
        return _grouped(table, layout)
    side_by_side = [] if layout.above else names[:1] if layout.stacked else names
    headings = [[Text(table.columns[i].title)] for i in side_by_side] + _headings(table, numbers)
    rows: list[list[Lines] | Text] = []
    for row in table.rows:
        figures = [_figure(row[i], table.columns[i].words, layout) for i in numbers]
        if not layout.stacked:
            rows.append([*([_text(row[i])] for i in names), *figures])
            continue
        below = [_faint(row[i]) for i in names[1:] if row[i].shown]
        if layout.above:
            rows.append(Text(", ").join([_text(row[names[0]]), *below]))
            rows.append(_indented(figures))
        else:
            rows.append([[*_name(row[names[0]], layout), *below], *figures])
    return _Cells(headings, rows, [True] * len(side_by_side) + _left(table, numbers), layout.gap)


def _grouped(table: Table, layout: _Layout) -> _Cells:
    """Return the grid of a table whose first column is a heading above its rows."""
    first, *others = table.names
    numbers = _numbers(table)
    heading = [[Text(", ".join(table.columns[i].title for i in others))], *_headings(table, numbers)]
    rows: list[list[Lines] | Text] = []
    for _, group in groupby(table.rows, key=lambda row: row[first].shown):
        for n, row in enumerate(group):
            name = ", ".join(row[i].shown for i in others if row[i].shown)
            figures = [_figure(row[i], table.columns[i].words, layout) for i in numbers]
            if n == 0 and (name or layout.above):
                rows.append(Text(printable(row[first].shown), style="bold"))
            if layout.above:
                rows += [*([Text(" " + printable(name))] if name else []), _indented(figures)]
            else:
                shown = Cell(" " + name) if name else replace(row[first], bold=True)
                rows.append([_name(shown, layout), *figures])
    if layout.above:
        heading = heading[1:]
    left = [True] * (len(heading) - len(numbers)) + _left(table, numbers)
    return _Cells(heading, rows, left, layout.gap)


def _headings(table: Table, columns: Iterable[int]) -> list[Lines]:
    """Return the headings of numbers: a long one of two words takes two lines."""
    titles = [printable(table.columns[i].title) for i in columns]
    return [[Text(part) for part in title.split(" ", 1 if len(title) > 4 else 0)] for title in titles]


def _left(table: Table, columns: Iterable[int]) -> list[bool]:
    return [table.columns[i].words for i in columns]


def _indented(figures: list[Lines]) -> list[Lines]:
    return [[Text.assemble(" " * INDENT, line) for line in figures[0]], *figures[1:]] if figures else figures


def _figure(cell: Cell, words: bool, layout: _Layout) -> Lines:
    text = _text(cell)
    estimate, bracket, _ = text.plain.partition(" [")
    if layout.stacked and bracket and not words and cell.interval:
        return [text[: len(estimate)], text[len(estimate) + 1 :]]
    return [text]


def _faint(cell: Cell) -> Text:
    text = _text(cell)
    text.stylize("dim")
    return text


def _name(cell: Cell, layout: _Layout) -> Lines:
    text = _text(cell)
    if not layout.two_lines:
        return [text]
    return [Text(line, style=text.style) for line in _two_lines(text.plain)]


def _two_lines(name: str) -> list[str]:
    """Return a name in at most two lines that are as short as possible, broken at spaces and hyphens."""
    if cell_len(name) <= 16:
        return [name]
    indent = len(name) - len(name.lstrip())
    for width in range(8, len(name)):
        lines = textwrap.wrap(name[indent:], width, break_long_words=False)
        if len(lines) <= 2 and max(map(len, lines)) <= width:
            return [" " * indent + line for line in lines]
    return [name]
