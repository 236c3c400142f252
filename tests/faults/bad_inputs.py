"""Bad inputs over all commands: each ends with a status and one clear line, and writes nothing.

Inputs are suites, options, results folders, tables, configurations, external results and recordings. What is
looked at: the exit status (never 0), standard error (one line, beside remarks that no error is), tracebacks,
hangs, and the files below the working folder, which must be what they were.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import polars as pl

from surrobench.execution.process_pool import InlineExecutor
from tests.results.test_damaged import OF_FILE
from tests.studies import Done, run, suite_text, surrobench

POOL = "surrobench.study.session.process_pool"
PATIENCE = 120.0
"""Seconds after which a command counts as hanging."""
Prepare = Callable[[Path], object]
TABLE = "config.x,config.act,minimize.loss\n" + "".join(
    f"{x},{act},{abs(x - 3) + len(act) / 10}\n" for x in range(8) for act in ("relu", "tanh")
)
SUITE = suite_text("table:grid.csv", methods=["random", "tpe"], trials=3, seeds=2)


@dataclass(frozen=True)
class Input:
    """A command that is wrong, and what is put into its working folder before."""

    words: tuple[str, ...]
    prepare: Prepare = lambda folder: None


def _file(name: str, content: str | bytes) -> Prepare:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


# ---------------------------------------------------------------------- suites

_CLAIM = '[claims.c]\nsays = "x"\nbetter = '
_AGENT = '[optimizers.karpathy-agent]\nmodels = ["control:random"]\n'
_CHANGED = {
    "seeds-0": ("seeds = 2", "seeds = 0"),
    "seeds-negative": ("seeds = 2", "seeds = -3"),
    "seeds-huge": ("seeds = 2", "seeds = 1_000_000_000"),
    "seeds-word": ("seeds = 2", 'seeds = "two"'),
    "seeds-list": ("seeds = 2", "seeds = [2]"),
    "seeds-date": ("seeds = 2", "seeds = 2026-01-01"),
    "seeds-nan": ("seeds = 2", "seeds = nan"),
    "seeds-half": ("seeds = 2", "seeds = 2.5"),
    "seeds-long": ("seeds = 2", "seeds = " + "9" * 5000),
    "trials-huge": ("trials = 3", "trials = 1e30"),
    "trials-inf": ("trials = 3", "trials = inf"),
    "trials-0": ("trials = 3", "trials = 0"),
    "trials-gone": ("trials = 3", ""),
    "name-path": ('"tiny"', '"../../tiny"'),
    "name-empty": ('"tiny"', '""'),
    "name-long": ('"tiny"', f'"{"x" * 5000}"'),
    "name-number": ('"tiny"', "5"),
    "benchmarks-empty": ('["table:grid.csv"]', "[]"),
    "benchmarks-word": ('["table:grid.csv"]', '"table:grid.csv"'),
    "benchmarks-number": ('["table:grid.csv"]', "[5]"),
    "benchmarks-gone": ("table:grid.csv", "table:gone.csv"),
    "benchmarks-kind": ("table:grid.csv", "table:grid.xlsx"),
    "benchmarks-escape": ("table:grid.csv", "table:\\u001b[31m.csv"),
    "benchmarks-unknown": ("table:grid.csv", "nobody/knows/this"),
    "benchmarks-nul": ("table:grid.csv", "table:a\\u0000b.csv"),
    "benchmarks-pattern": ("table:grid.csv", "hpobench/[x"),
    "benchmarks-instance": ("table:grid.csv", "table:grid.csv/other"),
    "method-unknown": ("[optimizers.tpe]", "[optimizers.tpee]"),
    "method-file": ("[optimizers.tpe]", '[optimizers.t]\nmethod = "./gone.py:Mine"'),
    "method-escape": ("[optimizers.tpe]", '[optimizers."t\\u001b]0;x"]\nmethod = "tpe"'),
    "method-formula": ("[optimizers.tpe]", '[optimizers."=1+1"]\nmethod = "tpe"'),
    "method-script": ("[optimizers.tpe]", '[optimizers."</script>"]\nmethod = "tpe"'),
    "method-long": ("[optimizers.tpe]", f'[optimizers.{"x" * 500}]\nmethod = "tpe"'),
    "method-number": ("[optimizers.tpe]", "[optimizers]\ntpe = 5"),
    "method-twice": ("[optimizers.tpe]", "[optimizers.tpe]\n[optimizers.tpe]"),
    "parameter-unknown": ("[optimizers.tpe]", "[optimizers.tpe]\nparameters = { nope = 1 }"),
    "parameter-type": ("[optimizers.tpe]", '[optimizers.tpe]\nparameters = { n_startup_trials = "x" }'),
    "parameter-list": ("[optimizers.tpe]", "[optimizers.tpe]\nparameters = [1]"),
    "key-unknown": ("[optimizers.tpe]", "[optimizers.tpe]\nsedes = 1"),
    "model-without": ("[optimizers.tpe]", '[optimizers.tpe]\nmodels = ["m"]'),
    "model-missing": ("[optimizers.tpe]", "[optimizers.karpathy-agent]"),
    "variant-unknown": ("[optimizers.tpe]", _AGENT + 'variants = ["x"]'),
    "prompts-gone": ("[optimizers.tpe]", _AGENT + 'prompts = "./gone"'),
    "control-unknown": ("[optimizers.random]", 'control = "nobody"\n[optimizers.random]'),
    "initial-word": ("[optimizers.random]", 'initial = "some"\n[optimizers.random]'),
    "initial-huge": ("[optimizers.random]", 'initial = "random:99999999999"\n[optimizers.random]'),
    "initial-all": ("[optimizers.random]", 'initial = "random:3"\n[optimizers.random]'),
    "initial-file": ("[optimizers.random]", 'initial = "file:gone.csv"\n[optimizers.random]'),
    "initial-folder": ("[optimizers.random]", 'initial = "file:results"\n[optimizers.random]'),
    "noise": ("[optimizers.random]", 'noise = "loud"\n[optimizers.random]'),
    "workers-huge": ("[optimizers.random]", "workers = 1_000_000_000\n[optimizers.random]"),
    "invalid": ("[optimizers.random]", 'invalid = "retry:-1"\n[optimizers.random]'),
    "schema-newer": ("[optimizers.random]", "schema = 99\n[optimizers.random]"),
    "schema-word": ("[optimizers.random]", 'schema = "one"\n[optimizers.random]'),
    "missing": ("[optimizers.random]", 'missing = "maybe"\n[optimizers.random]'),
    "claim-form": ("[optimizers.random]", '[claims.c]\nsays = "x"\n[optimizers.random]'),
    "claim-method": ("[optimizers.random]", _CLAIM + '"a"\nthan = "b"\n[optimizers.random]'),
    "claim-margin": (
        "[optimizers.random]",
        '[claims.c]\nsays = "x"\nequal = "random"\nto = "tpe"\nmargin = nan\n[optimizers.random]',
    ),
}  # fmt: skip
_TEXTS: dict[str, str | bytes] = {
    "empty": "",
    "not-toml": "name: tiny",
    "json": '{"name": "tiny"}',
    "deep": "a = " + "[" * 5000 + "]" * 5000,
    "dotted": ".".join("a" * 5000) + " = 1",
    "binary": b"\x00\xff\xfe",
    "latin": "name = 'é'".encode("latin-1"),
    "html": "<html></html>",
    "only-name": 'name = "x"',
    "optimizers-word": SUITE.partition("[optimizers")[0] + 'optimizers = "tpe"',
    "models-list": SUITE + "[[models]]\n",
}


def _suites() -> Iterator[tuple[str, Input]]:
    words = ("run", "bad.toml", "--jobs", "1", "--out", "new")
    for name, (old, new) in _CHANGED.items():
        assert old in SUITE, name
        yield f"suite-{name}", Input(words, _file("bad.toml", SUITE.replace(old, new, 1)))
    for name, text in _TEXTS.items():
        yield f"suite-{name}", Input(words, _file("bad.toml", text))
    yield "suite-folder", Input(("run", "results", "--out", "new"))
    yield (
        "suite-pipe",
        Input(("run", "pipe.toml", "--out", "new"), lambda folder: os.mkfifo(folder / "pipe.toml")),
    )
    yield (
        "suite-loop",
        Input(("run", "l.toml", "--out", "new"), lambda folder: (folder / "l.toml").symlink_to("l.toml")),
    )
    yield "suite-missing", Input(("run", "gone.toml", "--out", "new"))
    yield (
        "suite-dry",
        Input(("run", "bad.toml", "--dry-run"), _file("bad.toml", SUITE.replace("tpe", "tppe"))),
    )


# ---------------------------------------------------------------------- options

_OPTIONS = """
run
run suite.toml --jobs 0
run suite.toml --jobs 1000000000
run suite.toml --seeds nan
run suite.toml --seeds 99999999999999999999
run suite.toml --method nobody --out new
run suite.toml --benchmark nothing --out new
run suite.toml --reevaluate --out new
run suite.toml --replay gone --out new
run suite.toml --out grid.csv
run suite.toml --out grid.csv/below
run suite.toml --out /proc/surrobench
run suite.toml --cluster nowhere --jobs 2 --out new
run suite.toml --llm a=b --out new
run suite.toml --llm m=http://127.0.0.1:9/v1,x --out new
run --benchmark table:grid.csv --optimizer tpe --trials 1e9 --out new
run --benchmark table:grid.csv --optimizer nobody --trials 2 --out new
run --benchmark table:grid.csv --optimizer karpathy-agent --trials 2 --out new
run --benchmark table:grid.csv --optimizer karpathy-agent --trials 2 --llm ../x=http://h/v1,m --out new
run --benchmark table:gone.csv --optimizer tpe --trials 2 --out new
run --optimizer tpe
rank
rank gone
rank grid.csv
rank results
rank results/r --target nan
rank results/r --target 2
rank results/r --alpha 0
rank results/r --alpha nan
rank results/r --rope -1
rank results/r --rope 0.1
rank results/r --budget 0
rank results/r --budget 99999999
rank results/r --equivalents inf
rank results/r --seconds nan
rank results/r --method nobody
rank results/r --benchmark nothing
rank results/r --model nobody
rank results/r --control nobody
rank results/r --group-by colour
rank results/r --metric pretty
rank results/r --format xml
rank results/r --figure f.xyz
rank results/r --figure grid.csv/f.svg
rank results/r --figure f.svg --group-by scenario
rank results/r --external gone.csv
rank results/r --external results
rank results/r --external grid.csv
rank results/r --check
rank results/r --group-by variant --target 0.1
power results/r
power results/r --seeds 0
power results/r --seeds 1,,2
power results/r --seeds 99999999999999999999
power results/r --instances 1000000000
power results/r --simulations 1000000000000
power results/r --effect nan
power results/r --method nobody
plot
plot nothing results/r --out f.svg
plot wins gone --out f.svg
plot wins results/r --out f
plot wins results/r --out grid.csv/f.svg
plot cd results/r
plot proposals results/r --out f.svg --seed 99
plot proposals results/r --out f.svg --budget 2
plot curves results/r --out f.svg --measure rank
plot curves results/r --out f.svg --x tokens
show
show nobody --results results/r
show random --results gone
show random:nothing:0 --results results/r
status gone
status grid.csv
runs gone
runs results/r --seed x
runs results/r --seed 7
runs results/r --state asleep
runs results/r --limit 0
replies results/r
replies gone
list
list things
list benchmarks nothing
list optimizers --bench nothing
list suites --bench
evaluate
evaluate nothing --config {}
evaluate table:grid.csv
evaluate table:grid.csv/other --config {}
verify
verify nothing
verify yahpo --configurations 1
reproduce nothing
reproduce ferreira2026 --format table --jobs 0
data
data pull nothing
data pull smollm2 --scenario lcbench
data pack gone
serve
serve m --port 0
serve m --port 99999
serve smollm2 --dtype float16
journal
nothing
--nothing
"""


def _options() -> Iterator[tuple[str, Input]]:
    for line in _OPTIONS.strip().splitlines():
        yield f"option-{line.replace(' ', '_')}", Input(tuple(line.split()))


# ---------------------------------------------------------------------- tables and configurations


def _parquet(**columns: object) -> Prepare:
    def write(folder: Path) -> None:
        frame = {"config.x": [1, 2, 3], "minimize.loss": [3.0, 2.0, 1.0], **columns}
        pl.DataFrame(frame, strict=False).write_parquet(folder / "t.parquet")

    return write


_TABLES: dict[str, str | bytes] = {
    "empty": "",
    "header": "config.x,minimize.loss\n",
    "blank": "\n\n\n",
    "binary": b"\x00\x01\xff",
    "no-objective": "config.x\n1\n2\n",
    "no-hyperparameter": "minimize.loss\n1\n2\n",
    "role": "x,minimize.loss\n1,2\n2,3\n",
    "gap": "config.x,minimize.loss\n1,\n2,3\n",
    "nan": "config.x,minimize.loss\n1,nan\n2,3\n",
    "inf": "config.x,minimize.loss\n1,inf\n2,3\n",
    "words": "config.x,minimize.loss\n1,good\n2,bad\n",
    "twice": "config.x,minimize.loss\n1,2\n1,3\n",
    "constant": "config.x,repetition,minimize.loss\n1,1,2\n1,2,3\n",
    "huge": "config.x,minimize.loss\n" + "".join(f"{2**62 + i},{i}\n" for i in range(70)),
    "huger": "config.x,minimize.loss\n" + "".join(f"{2**70 + i},{i}\n" for i in range(3)),
    "near": "config.x,minimize.loss\n" + "".join(f"{1 + i * 1e-17!r},{i}\n" for i in range(70)),
    "ragged": "config.x,minimize.loss\n1,2,3\n2\n",
    "columns": "config.x,config.x,minimize.loss\n1,1,2\n2,2,3\n",
    "instance": "config.x,instance,minimize.loss\n1,a/b,2\n2,a/b,3\n",
    "fidelity": "config.x,fidelity.e,minimize.loss\n1,0,2\n2,1,3\n",
    "hole": "config.x,fidelity.e,minimize.loss\n1,1,2\n1,2,2\n2,2,3\n",
    "cost": "config.x,cost,minimize.loss\n1,-1,2\n2,1,3\n",
    "objective-way": "config.x,objective.loss\n1,2\n2,3\n",
}
_DESCRIPTIONS = {
    "empty": "",
    "deep": "file = " + "[" * 5000,
    "no-file": 'hyperparameters = ["x"]\nobjectives = { y = "min" }',
    "gone": 'file = "gone.csv"\nhyperparameters = ["x"]\nobjectives = { y = "min" }',
    "itself": 'file = "t.toml"\nhyperparameters = ["x"]\nobjectives = { y = "min" }',
    "column": 'file = "grid.csv"\nhyperparameters = ["y"]\nobjectives = { "minimize.loss" = "min" }',
    "way": 'file = "grid.csv"\nhyperparameters = ["config.x"]\nobjectives = { "minimize.loss" = "up" }',
    "resumable": 'file = "grid.csv"\nhyperparameters = ["config.x", "config.act"]\n'
    'objectives = { "minimize.loss" = "min" }\nresumable = true',
    "log": 'file = "grid.csv"\nhyperparameters = ["config.x", "config.act"]\n'
    'objectives = { "minimize.loss" = "min" }\nlog = ["config.x"]',
}
_TYPED: dict[str, Prepare] = {
    "list": _parquet(cost=[[1], [2], [3]]),
    "struct": _parquet(repetition=[{"a": 1}, {"a": 2}, {"a": 3}]),
    "null": _parquet(cost=[None, None, None]),
    "bytes": _parquet(instance=[b"a", b"b", b"c"]),
}
_CONFIGURATIONS = {
    "word": "hello",
    "number": "5",
    "list": "[1]",
    "cut": '{"x": ',
    "deep": '{"x":' + "[" * 50000,
    "unknown": '{"y": 1, "act": "relu"}',
    "missing": '{"x": 1}',
    "string": '{"x": "one", "act": "relu"}',
    "null": '{"x": null, "act": "relu"}',
    "nan": '{"x": NaN, "act": "relu"}',
    "infinity": '{"x": 1e999, "act": "relu"}',
    "long": '{"x": ' + "9" * 5000 + ', "act": "relu"}',
    "huge": '{"x": 1e300, "act": "relu"}',
    "value": '{"x": 1, "act": "gelu"}',
    "object": '{"x": {"y": 1}, "act": "relu"}',
    "nested-list": '{"x": [1], "act": "relu"}',
}


def _tables() -> Iterator[tuple[str, Input]]:
    for name, text in _TABLES.items():
        yield (
            f"table-{name}",
            Input(("evaluate", "table:t.csv", "--config", '{"x": 1}'), _file("t.csv", text)),
        )
    for name, text in _DESCRIPTIONS.items():
        yield (
            f"description-{name}",
            Input(("evaluate", "table:t.toml", "--config", "{}"), _file("t.toml", text)),
        )
    for name, prepare in _TYPED.items():
        yield f"parquet-{name}", Input(("evaluate", "table:t.parquet", "--config", '{"x": 1}'), prepare)
    parquet = ("evaluate", "table:t.parquet", "--config", '{"x": 1}')
    yield "parquet-text", Input(parquet, _file("t.parquet", TABLE))
    yield "parquet-cut", Input(parquet, _file("t.parquet", b"PAR1 and no more"))
    yield "parquet-folder", Input(parquet, lambda folder: (folder / "t.parquet").mkdir())
    yield "parquet-pipe", Input(parquet, lambda folder: os.mkfifo(folder / "t.parquet"))
    for name, text in _CONFIGURATIONS.items():
        yield (
            f"configuration-{name}",
            Input(("evaluate", "table:grid.csv", "--config", "c.jsonl"), _file("c.jsonl", text)),
        )
    for name, fidelity in {"name": "epoch=3", "word": "epoch=x", "nan": "nan"}.items():
        config = '{"x": 1, "act": "relu"}'
        yield (
            f"fidelity-{name}",
            Input(("evaluate", "table:grid.csv", "--config", config, "--fidelity", fidelity)),
        )
    yield (
        "configuration-binary",
        Input(("evaluate", "table:grid.csv", "--config", "c.jsonl"), _file("c.jsonl", b"\xff\xfe")),
    )
    yield "configuration-folder", Input(("evaluate", "table:grid.csv", "--config", "results"))


# ---------------------------------------------------------------------- folders, recordings, others' results

_EXTERNAL: dict[str, str | bytes] = {
    "empty": "",
    "columns": "a,b\n1,2\n",
    "seed": "method,benchmark,seed,trial,value\na,B,x,0,1\n",
    "trial": "method,benchmark,seed,trial,value\na,B,0,-1,1\n",
    "gap": "method,benchmark,seed,trial,value\na,B,0,0,1\na,B,0,2,1\n",
    "twice": "method,benchmark,seed,trial,value\na,B,0,0,1\na,B,0,0,1\n",
    "benchmark": "method,benchmark,seed,trial,value\na,nothing,0,0,1\n",
    "value": "method,benchmark,seed,trial,value\na,B,0,0,good\n",
    "same-name": "method,benchmark,seed,trial,value\ntpe,B,0,0,1\n",
    "binary": b"\xff\xfe\x00",
}


def _others() -> Iterator[tuple[str, Input]]:
    for name, content in _EXTERNAL.items():

        def prepare(folder: Path, content: str | bytes = content) -> None:
            benchmark = pl.read_parquet(folder / "results/r/plan.parquet")["benchmark"][0]
            data = (
                content if isinstance(content, bytes) else content.replace(",B,", f",{benchmark},").encode()
            )
            (folder / "o.csv").write_bytes(data)

        yield f"external-{name}", Input(("rank", "results/r", "--external", "o.csv"), prepare)
    for name in ("manifest-empty", "manifest-suite-word", "trials-cut", "trials-newer", "trials-no-metadata"):
        damage = OF_FILE[name][0]
        for command in (
            ("rank", "results/r"),
            ("status", "results/r"),
            ("run", "suite.toml", "--jobs", "1", "--out", "results/r"),
            ("run", "suite.toml", "--jobs", "1", "--replay", "results/r", "--out", "new"),
            ("data", "pack", "results/r"),
            ("plot", "wins", "results/r", "--out", "f.svg"),
        ):
            # What a command does not read, it may pack.
            if command[0] == "data" and name.startswith("trials"):
                continue
            yield (
                f"folder-{name}-{command[0]}{len(command)}",
                Input(command, lambda folder, damage=damage: damage(folder / "results/r")),
            )
    replay = ("run", "suite.toml", "--jobs", "1", "--out", "new", "--replay")
    yield "recording-file", Input((*replay, "grid.csv"))
    yield "recording-empty", Input((*replay, "empty"), lambda folder: (folder / "empty").mkdir())
    yield (
        "recording-other",
        Input(
            ("run", "other.toml", "--jobs", "1", "--out", "results/r"),
            _file("other.toml", SUITE.replace('"tiny"', '"other"')),
        ),
    )


INPUTS: dict[str, Input] = {
    name: one for inputs in (_suites(), _options(), _tables(), _others()) for name, one in inputs
}


# ---------------------------------------------------------------------- the campaign


@dataclass
class Count:
    """What became of the inputs."""

    statuses: Counter[int] = field(default_factory=Counter)
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Return whether every input ended as it should."""
        return not (self.tracebacks or self.hangs or self.accepted or self.unclear or self.written)

    def __str__(self) -> str:
        ended = ", ".join(f"{n} with status {status}" for status, n in sorted(self.statuses.items()))
        return (
            f"{self.statuses.total()} bad inputs: {ended}; {len(self.tracebacks)} tracebacks, "
            f"{len(self.hangs)} hangs, {len(self.accepted)} accepted, {len(self.unclear)} not one clear "
            f"line, {len(self.written)} that wrote something"
        )


def made_folder(folder: Path) -> None:
    """Make the working folder that every input finds: a table, a suite and its results."""
    folder.mkdir()
    (folder / "grid.csv").write_text(TABLE)
    (folder / "suite.toml").write_text(SUITE)
    with (
        contextlib.chdir(folder),
        mock.patch(POOL, return_value=InlineExecutor()),
    ):
        run(SUITE, folder / "results/r")


def campaign(n: int | None = None, seed: int = 0, *, subprocesses: bool = False) -> Count:
    """Give the command line bad inputs.

    Args:
        n: how many of ``INPUTS``, drawn; None for all.
        seed: of the drawing.
        subprocesses: whether each is a process of its own, as a user's is, and may hang.
    """
    names = list(INPUTS) if n is None else random.Random(seed).sample(list(INPUTS), n)
    count = Count()
    with tempfile.TemporaryDirectory() as root:
        whole = Path(root) / "whole"
        made_folder(whole)
        for name in names:
            folder = Path(root) / "work"
            shutil.copytree(whole, folder)
            _try(name, folder, count, subprocesses=subprocesses)
            shutil.rmtree(folder)
    return count


def _try(name: str, folder: Path, count: Count, *, subprocesses: bool) -> None:
    one = INPUTS[name]
    one.prepare(folder)
    before = _tree(folder)
    try:
        done = _in_process(one, folder) if subprocesses else _here(one, folder)
    except subprocess.TimeoutExpired:
        count.hangs.append(name)
        return
    except Exception as error:
        count.statuses[1] += 1
        count.tracebacks.append(f"{name}: {type(error).__name__}: {error}")
        return
    count.statuses[done.status] += 1
    if "Traceback" in done.err:
        count.tracebacks.append(f"{name}: {done.err.splitlines()[-1]}")
    elif done.status == 0:
        count.accepted.append(name)
    elif not _is_clear(done):
        count.unclear.append(f"{name}: {done.err!r}")
    if _tree(folder) != before:
        count.written.append(name)


def _is_clear(done: Done) -> bool:
    """Return whether standard error ends with one line that says what is wrong, in plain characters."""
    if done.err.startswith("Usage:"):  # a command without its words shows its help
        return True
    lines = done.err.splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    return len(errors) == 1 and lines[-1] == errors[0] and errors[0].isprintable() and len(errors[0]) > 20


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return all that is in a folder, with sizes and times; lock files are none of a user's."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.name != ".lock" and not path.is_dir()
    }


def _here(one: Input, folder: Path) -> Done:
    with (
        contextlib.chdir(folder),
        mock.patch(POOL, return_value=InlineExecutor()),
    ):
        return surrobench(*one.words)


def _in_process(one: Input, folder: Path) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "surrobench", *one.words],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")])),
        },
    )
    return Done(done.returncode, done.stdout, done.stderr)


def main(words: list[str]) -> int:
    """Run the campaign on all inputs, or on N, each in a process of its own, and print its figures."""
    count = campaign(int(words[0]) if words else None, subprocesses=True)
    print(count)
    for kind in ("tracebacks", "hangs", "accepted", "unclear", "written"):
        for one in getattr(count, kind):
            print(f"  {kind}: {one}")
    return 0 if count.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
