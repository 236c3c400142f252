"""Keep the ledger of a study: what was claimed before which runs existed, and each look at a verdict.

The manifest's ``ledger`` has a list of statements. The first one is written before any run exists, and never
changes. A later session that states something else adds a statement, with its time and the number of runs
that were finished by then.

Looks stand in a file of their own, ``looks.jsonl``, a line each, which is only appended to. A look is a view
of the verdicts on data that were not looked at before: ranking the same runs twice is one look. Nobody's
looks at a published recording are kept, because nothing is added to it any more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from surrobench.seeding import content_hash
from surrobench.suite.schema import Suite

LOOKS = "looks.jsonl"


def statement(suite: Suite, benchmarks: Sequence[str], finished: int = 0) -> dict[str, Any]:
    """Return what a suite states now.

    Args:
        suite: the study.
        benchmarks: the benchmarks that it names.
        finished: the number of runs that are finished.
    """
    stated = {
        "claims": {
            name: claim.model_dump(mode="json", exclude_none=True) for name, claim in suite.claims.items()
        },
        "alpha": suite.alpha,
        "looks": suite.looks,
        "control": suite.control,
        "benchmarks": sorted(benchmarks),
    }
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return {**stated, "hash": content_hash(stated), "time": time, "finished": finished}


def continued(before: Mapping[str, Any], now: Mapping[str, Any], finished: int) -> list[dict[str, Any]]:
    """Return the statements of a study that goes on.

    Args:
        before: the manifest as it was. Where an older version wrote it, its claims count as the first
            statement, at an unknown time.
        now: what the suite states now, see ``statement``.
        finished: the number of runs that are finished.
    """
    statements: list[dict[str, Any]] = list(before.get("ledger", {}).get("statements", ()))
    if not statements:
        old = before["suite"]
        first = {"claims": old.get("claims", {}), "control": old.get("control")}
        statements = [{**first, "hash": content_hash(first), "time": None, "finished": None}]
        if all(now[key] == value for key, value in first.items()):
            return statements
    if now["hash"] != statements[-1]["hash"]:
        statements.append({**now, "finished": finished})
    return statements


def why_exploratory(
    statements: Sequence[Mapping[str, Any]], name: str, claim: Mapping[str, Any]
) -> str | None:
    """Return why a claim was not fixed before its results, or "" where it was; None where nobody can know.

    Args:
        statements: those of the ledger; empty for results of older versions.
        name: the key of the claim.
        claim: the claim as it is judged.
    """
    first = next((one for one in statements if name in one["claims"]), None)
    if first is None or first["finished"] is None:
        return None
    last = next(one for one in reversed(statements) if one["claims"].get(name) == claim)
    since = next(one for one in statements if one["claims"].get(name) == claim)
    if since is not first and first["claims"][name] != claim:
        return (
            f"it was changed when {since['finished']:,} runs were finished ({since['time']}); first it said: "
            f"{first['claims'][name]['says']} {_terms(first['claims'][name])}"
        )
    if first["finished"]:
        return f"it was stated when {first['finished']:,} runs were finished ({first['time']})"
    if last is not first and last.get("alpha") != first.get("alpha"):
        return f"its level was changed from {first.get('alpha')} to {last.get('alpha')} with results there"
    return ""


def _terms(claim: Mapping[str, Any]) -> str:
    """Return what a claim says beside its words, such as its margin."""
    terms = [f"{key} = {value}" for key, value in claim.items() if key not in ("says", "metric", "test")]
    return f"({', '.join(terms)})"


def added_benchmarks(statements: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the benchmarks that were added when results existed."""
    known = [set(one["benchmarks"]) for one in statements if "benchmarks" in one]
    late = [
        set(one["benchmarks"]) for one in statements if "benchmarks" in one and (one.get("finished") or 0) > 0
    ]
    return sorted(set().union(*late) - known[0]) if known and late else []


# ---------------------------------------------------------------------- looks


def read_looks(folder: Path) -> list[dict[str, Any]]:
    """Return the looks that were recorded, in order; lines that cannot be read are skipped."""
    try:
        lines = (folder / LOOKS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    looks = []
    for line in lines:
        try:
            look = json.loads(line)
        except ValueError:
            continue
        if isinstance(look, dict) and "data" in look:
            looks.append(look)
    return looks


def record_look(folder: Path, look: Mapping[str, Any]) -> None:
    """Append a look; nothing is recorded where the folder cannot be written to, or is a published
    recording.
    """
    published = (folder / "journal.jsonl.gz").exists() and not (folder / "journal.jsonl").exists()
    if published or any(one["data"] == look["data"] for one in read_looks(folder)):
        return
    time = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with (folder / LOOKS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time, **look}) + "\n")
    except OSError:
        return
