"""Write charts to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vl_convert

from surrobench.errors import ResultsError, UsageError
from surrobench.report.figures import offline

SUFFIXES = (".svg", ".png", ".pdf", ".html")
RESOLUTION = 300
"""Pixels per inch of a PNG."""


def check_suffix(path: Path) -> None:
    """Check before anything is computed that a figure can be drawn in the format of this file.

    Raises:
        UsageError: the suffix is none of ``SUFFIXES``.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"Cannot draw a figure as {path.suffix or path.name!r}.", f"Name a file {', '.join(SUFFIXES)}."
        )


def save(chart: Any, path: Path) -> None:
    """Write a chart, whose unit is the point; the file's suffix is the format.

    Args:
        chart: an Altair chart.
        path: where to. An existing file is replaced; missing folders are made.

    Raises:
        UsageError: the suffix is none of ``SUFFIXES``.
        ResultsError: the file cannot be written.
    """
    check_suffix(path)
    data = _rendered(offline.drawable(chart.to_dict()), path.suffix.lower())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise ResultsError(f"{path} cannot be written: {error.strerror or error}.") from error


def _rendered(spec: dict[str, Any], suffix: str) -> bytes:
    if suffix == ".html":
        return offline.page(spec).encode()
    # One drawing for the other three.
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=offline.VERSION)
    if suffix == ".png":
        return bytes(vl_convert.svg_to_png(svg, scale=1, ppi=RESOLUTION))
    if suffix == ".pdf":
        return bytes(vl_convert.svg_to_pdf(svg))
    # A number without a unit would be a pixel, three quarters of a point.
    head, _, body = svg.partition(">")
    for side in ("width", "height"):
        before, _, after = head.partition(f' {side}="')
        head = f'{before} {side}="{after.replace(chr(34), "pt" + chr(34), 1)}'
    return f"{head}>{body}".encode()
