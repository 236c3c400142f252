"""Charts display without a network: in a page of their own, in a notebook, whatever their labels hold."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair as alt
import pytest

from surrobench.report.figures.offline import displayable, frame, page
from surrobench.report.figures.save import save
from surrobench.report.figures.theme import Margins, framed, text_at

HOSTILE = "</script><script>document.title = 'owned'</script> <!-- <script> &amp; \u2028 é"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def chart(label: str = "a label") -> Any:
    points = alt.Chart({"values": [{"x": i, "y": i * i, "name": label} for i in range(5)]})
    line = points.mark_line().encode(x="x:Q", y="y:Q", tooltip="name:N")
    return framed([line, text_at(label, 5, 5)], width=237.6, height=100, margins=Margins(), title=label)


class Scripts(HTMLParser):
    """Counts script elements as a browser does."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.count = 0
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.count += tag == "script"


def test_a_page_carries_its_scripts_and_names_no_address_to_load_from() -> None:
    text = page(chart().to_dict())
    assert "vegaEmbed(" in text
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']?(https?:|//)""", text)


def test_a_label_cannot_end_the_script() -> None:
    assert Scripts(page(chart(HOSTILE).to_dict())).count == Scripts(page(chart().to_dict())).count == 2


def test_a_notebook_gets_html_and_a_picture() -> None:
    bundle = chart()._repr_mimebundle_()
    assert b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/html"] == chart()._repr_html_()
    assert bundle["text/html"].startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert "a label" in bundle["text/plain"]
    assert not any("vegalite" in kind for kind in bundle)


def test_any_chart_of_altair_can_be_made_displayable_and_stays_so() -> None:
    plain = alt.Chart({"values": [{"x": 1}]}).mark_point().encode(x="x:Q")
    shown = displayable(plain)
    assert isinstance(shown, alt.Chart)
    assert shown.to_dict() == plain.to_dict()
    for one in (shown, shown.properties(title="t"), shown.configure(font="x"), displayable(shown)):
        assert "vegaEmbed" in one._repr_html_()
    assert not hasattr(type(plain), "_repr_html_")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("where", ["file", "frame"])
def test_a_browser_without_a_network_draws_it(tmp_path: Path, where: str) -> None:
    path = tmp_path / "figure.html"
    if where == "file":
        save(chart(HOSTILE), path)
    else:
        # The page as the frame holds it: a browser prints no frame's document.
        source = re.findall(r'srcdoc="([^"]*)"', frame(chart(HOSTILE).to_dict()))[0]
        path.write_text(html.unescape(source))
    assert CHROMIUM
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000", "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    drawn = done.stdout[done.stdout.index('<div id="chart"') :]
    assert re.search(r'<svg[^>]* class="marks"', drawn)
    assert re.search(r'<path aria-label="[^"]*"[^>]* d="M0,', drawn) or "mark-line" in drawn
    assert "owned" not in re.findall(r"<title>.*?</title>", done.stdout)
