"""Charts to files, the one place where that is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from surrobench.errors import ResultsError, UsageError

SUFFIXES = (".svg", ".png", ".pdf", ".html")
RESOLUTION = 300
"""Pixels per inch of a PNG."""


def check_suffix(path: Path) -> None:
    """Say it before anything is computed when a file could not be drawn.

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
    # What Altair calls "v6.4.1" is "v6.4" to vl-convert.
    version = alt.SCHEMA_VERSION.rpartition(".")[0]
    data = _rendered(chart.to_dict(), version, path.suffix.lower())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise ResultsError(f"{path} cannot be written: {error.strerror or error}.") from error


def _rendered(spec: dict[str, Any], version: str, suffix: str) -> bytes:
    if suffix == ".html":  # with all it needs inside: it opens without a network
        html: str = vl_convert.vegalite_to_html(spec, vl_version=version, bundle=True)
        return html.encode()
    # One drawing for the other three.
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=version)
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
