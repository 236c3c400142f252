"""A ranking as a script or a notebook gets it: as a table, a frame, a document, a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from surrobench.report.figures.draw import Measure, OfRanking, Width
    from surrobench.report.ranking import model


class Ranking:
    """The methods of a study from best to worst, with tests against the control. Made by ``Study.rank``.

    A notebook shows it as a table.

    Example:
        >>> import surrobench
        >>> ranking = surrobench.load("results/tiny").rank()
        >>> ranking.to_frame().columns[:2]
        ['seeds', 'trials']
        >>> "tab:tiny" in ranking.to_latex(label="tab:tiny", notes=False)
        True
    """

    def __init__(self, rankings: Sequence[model.Ranking]) -> None:
        self._rankings = rankings

    @property
    def answer(self) -> str:
        """A sentence that says which method ranks first, and whether it is better than the control.

        Where groups are ranked, there is a line for each.
        """
        from surrobench.report.ranking.verdict_sentence import verdict_sentence

        return "\n".join(map(verdict_sentence, self._rankings))

    def __repr__(self) -> str:
        from surrobench.report.ranking.verdict_sentence import verdict_sentence

        lines = []
        for ranking in self._rankings:
            best = list(zip(ranking.mean_rank, ranking.methods, strict=True))[:5]
            more = len(ranking.methods) - len(best)
            lines += [verdict_sentence(ranking), "  rank  method"]
            lines += [f"{rank:6.2f}  {method}" for rank, method in best]
            lines += [f"        and {more} more"] if more > 0 else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the ranking as an HTML table, for notebooks."""
        return self._render("html")

    def to_frame(self) -> pl.DataFrame:
        """Return a row per method with every digit, and the columns of ``surrobench rank --format csv``.

        Where groups are ranked, the first column is ``group``.
        """
        import io

        import polars as pl

        from surrobench.report.render.ranking_document import ranking_csv

        text = ranking_csv(self._rankings, guarded=False)
        return pl.read_csv(io.StringIO(text), infer_schema_length=None)

    def to_dict(self) -> dict[str, Any]:
        """Return all that is needed to check the ranking: the object of ``surrobench rank --format json``."""
        found: dict[str, Any] = json.loads(self._render("json"))
        return found

    def to_markdown(self) -> str:
        """Return the ranking as Markdown."""
        return self._render("markdown")

    def to_latex(
        self, label: str | None = None, caption: str | None = None, notes: bool | Sequence[str] = True
    ) -> str:
        """Return the ranking as a LaTeX table, for a document with booktabs.

        Args:
            label: name for references; by default there is none.
            caption: plain text; by default what is ranked.
            notes: whether the notes stand below the table; or other notes.
        """
        return self._render("latex", label=label, caption=caption, notes=notes)

    def plot(
        self,
        kind: OfRanking = "cd",
        *,
        measure: Measure | None = None,
        width: Width = "column",
        bare: bool = False,
    ) -> Any:
        """Return a figure of this ranking as an Altair chart: ``cd``, ``heatmap`` or ``wins``.

        Args:
            kind: a critical-difference diagram, ranks on all instances, or wins and losses of all pairs.
            measure: in a heatmap: ``rank``, ``quantile`` or ``normalised``.
            width: of a printed ``column`` or ``page``.
            bare: leave out title and notes.

        Raises:
            UnknownName: a ranking has no such figure.
            UsageError: groups are ranked, and a figure shows one ranking.
        """
        from surrobench.errors import UnknownName, UsageError
        from surrobench.report.figures import draw

        if kind not in draw.RANKING:
            raise UnknownName("figure of a ranking", kind, draw.RANKING)
        if len(self._rankings) > 1:
            raise UsageError(
                "A figure shows one ranking, and group_by makes several.",
                "Choose one group by the benchmarks of surrobench.load.",
            )
        return draw.of_ranking(self._rankings[0], kind, measure, **draw.look(width, bare=bare))

    def _render(self, form: Any, **options: Any) -> str:
        from surrobench.report.render.ranking_tables import render

        return render(self._rankings, form, **options)
