"""Show a chart in a notebook or a browser without a network: the page carries Vega's scripts.

The scripts come with vl-convert. A notebook shows the page in a frame of its own, so that scripts of the
notebook cannot disturb it, and keeps a picture for viewers that show no frames.
"""

from __future__ import annotations

import html
import json
from base64 import b64encode
from functools import cache
from typing import Any

import altair as alt
import vl_convert

from surrobench.printable import printable_lines

VERSION = alt.SCHEMA_VERSION.rpartition(".")[0]
"""The version of Vega-Lite, as vl-convert calls it: "v6.4" for Altair's "v6.4.1"."""
SCALE = 2.0
"""Pixels of a screen for each point of the figure: small print is read from further away than paper."""
MENU = 40
"""Pixels right of a figure for the menu that saves it."""
UNKNOWN = 480
"""Pixels for a chart whose size is not fixed."""


class Offline:
    """A chart that brings along what it takes to display it.

    This class comes before a class of Altair: ``displayable`` makes such charts.
    """

    def to_dict(self, *args: Any, **options: Any) -> Any:
        """Return the specification; its texts hold nothing that a renderer cannot draw."""
        return drawable(super().to_dict(*args, **options))  # type: ignore[misc]  # an Altair chart

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Return what a notebook shows: HTML, a picture for viewers without scripts, and a line of text."""
        spec = self.to_dict()
        picture = vl_convert.vegalite_to_png(spec, vl_version=VERSION, scale=SCALE)
        return {
            "text/html": frame(spec),
            "image/png": b64encode(picture).decode(),
            "text/plain": f"<chart: {spec.get('description') or spec.get('title') or 'no title'}>",
        }

    def _repr_html_(self) -> str:
        """Return the chart as HTML that needs no network."""
        return frame(self.to_dict())


_KINDS: dict[type, type] = {}
"""A class of Altair -> the same that displays without a network."""


def displayable(chart: Any) -> Any:
    """Return a chart of Altair as one of the same class that displays without a network.

    Charts that are made from it, as by ``properties`` or ``configure``, display without a network, too.
    """
    if isinstance(chart, Offline):
        return chart
    kind = type(chart)
    if kind not in _KINDS:
        _KINDS[kind] = type(kind.__name__, (Offline, kind), {"__doc__": kind.__doc__})
    copy = chart.copy(deep=False)
    # Altair keeps what is assigned to an attribute in the chart's specification.
    object.__setattr__(copy, "__class__", _KINDS[kind])
    return copy


def drawable(spec: Any) -> Any:
    """Return a chart's specification with every control character as a visible escape.

    vl-convert ends the whole process where a text that it draws holds one.
    """
    if isinstance(spec, dict):
        return {key: drawable(value) for key, value in spec.items()}
    if isinstance(spec, list | tuple):
        return [drawable(value) for value in spec]
    return printable_lines(spec) if isinstance(spec, str) else spec


def frame(spec: dict[str, Any]) -> str:
    """Return a chart's specification as HTML for a notebook: its page in a frame without a network."""
    width, height = (round(SCALE * side) if side else UNKNOWN for side in size(spec))
    return (
        f'<iframe srcdoc="{html.escape(page(spec))}" width="{width + MENU}" height="{height + 8}" '
        'style="border:none;background:white" title="chart"></iframe>'
    )


def page(spec: dict[str, Any]) -> str:
    """Return a chart's specification as a page of HTML that carries its scripts."""
    width, height = size(spec)
    scaled = f"#chart svg.marks {{ width: {SCALE * width}px; height: {SCALE * height}px; }}" if width else ""
    # No menu entry may lead to a page on the network.
    menu = {"export": True, "source": False, "compiled": False, "editor": False}
    options = {"renderer": "svg", "actions": menu}
    call = (
        f'vegaEmbed("#chart", {_literal(spec)}, {_literal(options)})'
        ".catch(error => { document.body.textContent = error; });"
    )
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="UTF-8">\n'
        f"<style>body {{ margin: 0; background: white; }} {scaled}</style>\n"
        f"<script>{_scripts()}</script>\n</head>\n"
        f'<body>\n<div id="chart"></div>\n<script>\n{call}\n</script>\n</body>\n</html>\n'
    )


def size(spec: dict[str, Any]) -> tuple[float, float]:
    """Return how wide and how high a chart is with its margins, in points; 0 where that is not fixed."""
    padding = spec.get("padding")
    fixed = all(isinstance(spec.get(side), int | float) for side in ("width", "height"))
    if not fixed or not isinstance(padding, dict):
        return 0.0, 0.0
    return (
        float(spec["width"] + padding["left"] + padding["right"]),
        float(spec["height"] + padding["top"] + padding["bottom"]),
    )


@cache
def _scripts() -> str:
    """Return the scripts that draw; none of them may hold what ends a script element."""
    scripts: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VERSION)
    return scripts.replace("</script", r"<\/script")


def _literal(value: Any) -> str:
    """Return a value as a literal of JavaScript that cannot end its script, whatever its strings hold."""
    text = json.dumps(value)  # ASCII only: U+2028 would end a line
    return text.replace("<", r"\u003c").replace(">", r"\u003e")
