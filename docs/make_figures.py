"""Make the figures of README and documentation from the committed recordings.

Run it from the root of the repository after a change of tables or figures, and look at the pictures:

    python docs/make_figures.py

``ranking.svg`` shows the ranking of ``default-seed`` in a terminal. ``curves.svg`` and ``cd.svg`` show
``ferreira2026``: the incumbents over trials and the critical-difference diagram, with the same colours.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console, RenderableType

from surrobench.report.data.study_data import StudyData, load_study
from surrobench.report.figures.critical_difference import cd_chart
from surrobench.report.figures.curves import anytime_chart
from surrobench.report.figures.save import save
from surrobench.report.ranking.extra_columns import with_claims
from surrobench.report.ranking.pipeline import rank_study
from surrobench.report.render.ranking_tables import rich_table
from surrobench.results.folder import Results

DOCS = Path(__file__).parent
RECORDINGS = DOCS.parent / "results" / "recordings"
COLUMNS = 96
"""Characters of the terminal's width."""


def main() -> None:
    """Write all figures next to this file."""
    recording = Results(RECORDINGS / "default-seed")
    ranking = with_claims(rank_study(load_study(recording)), [recording])
    command = "surrobench rank results/recordings/default-seed"
    (DOCS / "ranking.svg").write_text(terminal_picture(rich_table(ranking, notes=False), command))
    study = load_study(Results(RECORDINGS / "ferreira2026"))
    save(curves(study), DOCS / "curves.svg")
    save(cd_chart(rank_study(study)), DOCS / "cd.svg")


def curves(study: StudyData) -> object:
    """Return the chart of incumbents over trials."""
    found = study.anytime("median").curves("trials", measures=["quantile"])
    return anytime_chart(found, control=study.control, clusters=study.blocks)


def terminal_picture(shown: RenderableType, title: str) -> str:
    """Return what a terminal shows as an SVG that loads no font from the network."""
    console = Console(
        width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(shown)
    # The identifier would else differ from run to run.
    picture = console.export_svg(title=title, unique_id="ranking")
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


if __name__ == "__main__":
    main()
