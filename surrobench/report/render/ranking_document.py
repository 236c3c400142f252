"""A ranking as CSV and JSON, which keep every digit; JSON holds all that is needed to check the ranking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from surrobench.report.ranking.model import Ranking
from surrobench.report.ranking.pairwise import pairs_document
from surrobench.report.ranking.verdict_sentence import verdict_sentence
from surrobench.report.render.csv_json import to_csv, to_json
from surrobench.report.render.ranking_columns import COLUMNS
from surrobench.report.render.table import finite

SCHEMA_VERSION = 2
"""The version of the JSON document; it counts up when a key is renamed, removed or changes its meaning."""


def ranking_csv(rankings: Sequence[Ranking], *, guarded: bool = True) -> str:
    """Return a line for each method of each ranking, and of each ranking of methods with more seeds.

    Args:
        rankings: what is shown.
        guarded: see ``to_csv``.
    """
    parts = [part for ranking in rankings for part in _with_further(ranking)]
    # Each extra test has columns of its own: only those that were asked for are there.
    extra_tests = dict.fromkeys(key for part in parts for one in part.extra_tests for key in one.columns())
    shown = dict.fromkeys(key for part in parts for key in part.extra)
    columns = [
        key
        for column in COLUMNS
        if not column.asked or column.key in shown
        for key in (column.key, *_ends(column.key, shown))
    ]
    keys = ["seeds", "trials", "instances", *columns, *extra_tests]
    grouped = any(ranking.group for ranking in rankings)
    return to_csv(
        (
            {key: value for key, value in row.items() if key in keys or (grouped and key == "group")}
            for part in parts
            for row in _rows(part)
        ),
        ["group", *keys] if grouped else keys,
        guarded=guarded,
    )


def _ends(key: str, shown: Iterable[str]) -> list[str]:
    """Return the names of the columns for the ends of a column's interval, where there is one."""
    return [name for name in (f"{key}_low", f"{key}_high") if name in shown]


def _with_further(ranking: Ranking) -> Iterator[Ranking]:
    part: Ranking | None = ranking
    while part:
        yield part
        part = part.further


def _rows(ranking: Ranking) -> Iterator[dict[str, Any]]:
    for j, method in enumerate(ranking.methods):
        yield {
            "group": ranking.group,
            "seeds": len(ranking.seeds),
            "trials": ranking.trials,
            "instances": len(ranking.instances),
            **{column.key: column.value(ranking, j) for column in COLUMNS},
            **{
                key: finite(float(ranking.extra[key][j]))
                for column in COLUMNS
                for key in _ends(column.key, ranking.extra)
            },
            **{
                key: value
                for one in ranking.extra_tests
                for key, value in zip(one.columns(), one.values.get(method, ()), strict=False)
            },
        }


def ranking_json(rankings: Sequence[Ranking]) -> str:
    """Return a ranking as a JSON object, or several as its ``groups``; see ``ranking_document``."""
    documents = [ranking_document(ranking) for ranking in rankings]
    whole = {"groups": documents} if any(ranking.group for ranking in rankings) else documents[0]
    return to_json({"schema_version": SCHEMA_VERSION, **whole})


def ranking_document(ranking: Ranking) -> dict[str, Any]:
    """Return a ranking as nested dictionaries that hold all that is needed to check it.

    In JSON the whole document has ``schema_version`` first, then either these keys of one ranking, or
    ``groups``, a list of rankings. Numbers have all their digits, and null stands for a value that
    does not exist.

    - ``group``: the part of the study, where several are ranked;
    - ``source``: the version of surrobench, the suites with their hashes, what was read of them, and all
    options;
    - ``answer``: the sentence that answers the study's question;
    - ``instances`` (their number), ``blocks`` (the n of the tests), ``seeds``, ``trials``, ``control``,
      ``metric``, ``anchor``, ``alpha``: what is compared, and how;
    - ``methods``: a row of the table for each method, best first, with the columns of CSV;
    - ``friedman``, ``nemenyi``, ``pairs``, ``versus_control``, ``also`` (extra tests): the tests;
    - ``not_resolved``: the methods that the test cannot tell from the control, with the difference that is
      ``needed`` and the one that was ``observed``;
    - ``extra``: the columns that were asked for, by method;
    - ``per_instance``: what each method reached on each instance, and by seed;
    - ``notes``: all notes;
    - ``further``: a ranking of the methods with more seeds or trials;
    - ``claims``: the claims of the suite, judged.
    """
    test, versus = ranking.friedman, ranking.versus_control
    return {
        **({"group": ranking.group} if ranking.group else {}),
        "source": dict(ranking.source),
        "answer": verdict_sentence(ranking),
        "instances": len(ranking.instances),
        **{"seeds": list(ranking.seeds), "trials": ranking.trials},
        "control": ranking.control,
        "metric": ranking.metric,
        "anchor": ranking.settings.anchor,
        "alpha": ranking.alpha,
        "methods": [
            {c.key: c.value(ranking, j) for c in COLUMNS if not c.asked or c.key in ranking.extra}
            for j in range(len(ranking.methods))
        ],
        "friedman": {
            "p": test.p, "how": test.how, "chi_square": test.chi_square, "chi_square_p": test.chi_square_p,
            **{"iman_davenport_f": test.f, "iman_davenport_p": test.f_p, "note": test.note},
            **{"n": test.n, "k": test.k},
        },
        "nemenyi": {
            "critical_difference": ranking.tested.nemenyi.critical_difference,
            "how": ranking.tested.nemenyi.how,
            "p": _by_pair(ranking, ranking.tested.nemenyi.p),
        },
        "pairs": {
            **pairs_document(ranking),
            "p": _by_pair(ranking, ranking.tested.pairs.p),
            "groups": [[ranking.methods[j] for j in group] for group in ranking.cliques],
        },
        "extra": {name: _by_method(ranking, values) for name, values in ranking.extra.items()},
        "versus_control": versus and {
            "test": "wilcoxon",
            "correction": versus.correction,
            "n": versus.n,
            "comparisons": len(versus.comparisons),
            "smallest_reachable_p": versus.smallest_p,
            "statistic": {ranking.methods[c.method]: c.statistic for c in versus.comparisons},
        },
        "also": [one.document() for one in ranking.extra_tests],
        "blocks": ranking.friedman.n,
        "per_instance": list(_per_instance(ranking)),
        "not_resolved": [asdict(one) for one in ranking.unresolved],
        "notes": [note.text for note in ranking.notes],
        "further": ranking.further and ranking_document(ranking.further),
        "claims": [one.document() for one in ranking.claims],
    }  # fmt: skip


def _per_instance(ranking: Ranking) -> Iterator[dict[str, Any]]:
    for i, instance in enumerate(ranking.instances):
        yield {
            "benchmark": instance,
            "block": ranking.clusters[i],
            "best_loss": float(ranking.measured.best[i]),
            "anchor_loss": float(ranking.measured.anchor_loss[i]),
            "loss": _by_method(ranking, ranking.measured.loss[i]),
            "normalised_regret": _by_method(ranking, ranking.measured.normalised[i]),
            "quantile_regret": _by_method(ranking, ranking.measured.quantile[i]),
            "ranked": _by_method(ranking, ranking.values[i]),
            "rank": _by_method(ranking, ranking.ranks[i]),
            "by_seed": {name: _by_method(ranking, runs[i]) for name, runs in ranking.by_run.items()},
        }


def _by_method(ranking: Ranking, values: Any) -> dict[str, Any]:
    return dict(zip(ranking.methods, np.asarray(values).tolist(), strict=True))


def _by_pair(ranking: Ranking, values: Any) -> dict[str, Any]:
    return {method: _by_method(ranking, row) for method, row in zip(ranking.methods, values, strict=True)}
