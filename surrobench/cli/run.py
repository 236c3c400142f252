"""``surrobench run``."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from surrobench.cli import output
from surrobench.cli.command import Command, option
from surrobench.cli.options import COUNT, FILE, JOBS, POSITIVE, ResultsFolder, patterns

if TYPE_CHECKING:
    from surrobench.llm.models import ModelSpec
    from surrobench.suite.schema import Suite
    from surrobench.suite.selection import Selection

log = logging.getLogger(__name__)


@click.command("run", cls=Command)
@click.argument("suite_name", metavar="[SUITE]", required=False)
@patterns("--benchmark", "benchmarks", "Run these benchmarks; of SUITE, only these.", "What is run")
@option(
    "--optimizer",
    "optimizers",
    multiple=True,
    metavar="NAME",
    section="What is run",
    help="Run this optimizer, without SUITE.",
)
@option(
    "--trials", type=COUNT, metavar="N", section="What is run", help="Give each run N trials, without SUITE."
)
@option(
    "--seeds",
    type=COUNT,
    metavar="N",
    show_default="5, or all of SUITE",
    section="What is run",
    help="Run N seeds of each method; of SUITE, at most N.",
)
@patterns("--method", "methods", "Run only these methods of SUITE, and its control.", "What is run")
@option(
    "--out", type=FILE, metavar="DIR", show_default="results/NAME", help="Store the results in this folder."
)
@JOBS
@option(
    "--cluster", metavar="ADDRESS", help="Use the workers of this Dask scheduler instead of processes here."
)
@option(
    "--llm",
    "llms",
    multiple=True,
    metavar="NAME=URL,MODEL",
    section="What is run",
    help="Ask this server in place of the suite's model NAME, or as a further model; repeatable. Without "
    "SUITE, smollm2 is the embedded model.",
)
@option(
    "--replay",
    type=ResultsFolder(path_type=Path, exists=True),
    metavar="DIR",
    help="Take all completions from this recording, a results folder or a journal, and ask no model.",
)
@option("--reevaluate", is_flag=True, help="Evaluate a replay anew and compare with the recorded values.")
@option(
    "--step-limit",
    type=POSITIVE,
    metavar="SECONDS",
    show_default="3600",
    help="Give a method this long between two requests; the run of one that takes longer fails.",
)
@option("--retry-failed", is_flag=True, help="Run again what has failed.")
@option("--discard-unfinished", is_flag=True, help="Start half-finished runs from the beginning.")
@option("--print-suite", is_flag=True, help="Print the suite as TOML and stop.")
@option("--dry-run", is_flag=True, help="Print what the study would cost and stop.")
def command(suite_name: str | None, **options: Any) -> None:
    """Run SUITE, a TOML file or the name of one in suites/, or run a study that the options describe.

    A finished run is never repeated, and an interrupted one is continued: repeat the command after Ctrl-C, a
    crash or a change of the suite. Run a part first (--seeds, --method, --benchmark) and the rest later, by
    the command without these options.

    \b
    Examples:
      surrobench run quick
      surrobench run --benchmark 'hpobench/mlp/*' --optimizer tpe --optimizer random --trials 50
      surrobench run ferreira2026 --seeds 1 --method tpe --method 'centaur*'
      surrobench run suites/tabular.toml --jobs 8
      surrobench run suites/tabular.toml --cluster tcp://10.0.0.1:8786
      surrobench run quick --llm qwen=http://127.0.0.1:8000/v1,Qwen/Qwen3-8B
      surrobench run quick --replay results/quick
    """
    _check(suite_name, options)
    if options["replay"]:
        from surrobench.benchmarks.yahpo.data import remember

        remember(options["replay"])
    suite, text, part = _study(suite_name, options)
    if options["print_suite"]:
        output.write(text, nl=False)
        return
    if left_out := suite.left_out():
        output.say(f"Benchmarks whose data is not on this machine are left out: {', '.join(left_out)}")
    replay = options["replay"]
    if replay:
        part = _part_of_recording(replay, part, suite)
    out = options["out"] or Path("results") / (f"{suite.name}-replay" if replay else suite.name)
    if options["dry_run"]:
        _estimate(suite, part, out, options)
    else:
        _run(suite, text, part, out, options)


def _check(suite_name: str | None, options: dict[str, Any]) -> None:
    """Refuse options that do not go together.

    Raises:
        UsageError: they do not; the message says what to leave out or to add.
    """
    from surrobench.errors import UsageError

    if options["reevaluate"] and options["replay"] is None:
        raise UsageError("--reevaluate goes with --replay.", "Add --replay DIR.")
    if options["cluster"] and options["jobs"]:
        raise UsageError(
            "--jobs and --cluster exclude each other.", "A cluster has as many workers as joined it."
        )
    alone = {"--benchmark": "benchmarks", "--optimizer": "optimizers", "--trials": "trials"}
    if suite_name is None:
        missing = [option for option, name in alone.items() if not options[name]]
        if len(missing) == len(alone) and not options["methods"]:
            raise UsageError(
                "There is nothing to run.",
                "Name a suite (surrobench list suites), or give --benchmark, --optimizer and --trials.",
            )
        if options["methods"]:
            raise UsageError(
                "--method chooses among the methods of a suite.", "Without a suite, write --optimizer NAME."
            )
        if missing:
            raise UsageError(
                f"Without a suite, {' and '.join(missing)} must be given.",
                "Example: surrobench run --benchmark hpobench/mlp/car --optimizer tpe --trials 50",
            )
    elif options["optimizers"]:
        raise UsageError(
            f"--optimizer makes a study without a suite, and {suite_name} is one.",
            f"To run a part of {suite_name}, write --method PATTERN.",
        )
    elif options["trials"]:
        raise UsageError(
            f"--trials is for a study without a suite, and {suite_name} is one.",
            "Set trials in a copy of it: surrobench run SUITE --print-suite > mine.toml",
        )


def _study(suite_name: str | None, options: dict[str, Any]) -> tuple[Suite, str, Selection]:
    """Read or make the suite that is to be run.

    Returns:
        suite: with the models of the command line.
        text: its TOML text.
        part: which part of it the options choose.
    """
    from surrobench.cli.suite_from_options import DEFAULT_SEEDS, suite_text
    from surrobench.suite.loading import load_suite, parse_suite
    from surrobench.suite.model_overrides import add_models
    from surrobench.suite.selection import Selection

    if suite_name is not None:
        suite, text = load_suite(suite_name)
        servers = dict(map(_model, options["llms"]))
        servers_by_url = {label: (str(spec.url), spec.model) for label, spec in servers.items()}
        part = Selection(options["benchmarks"], options["methods"], options["seeds"])
        return add_models(suite, servers_by_url), text, part
    models = dict(_model(flag, embedded=True) for flag in options["llms"])
    seeds = options["seeds"] or DEFAULT_SEEDS
    text = suite_text(options["benchmarks"], options["optimizers"], options["trials"], seeds, models)
    return parse_suite(text, "The suite that these options make", Path()), text, Selection()


def _part_of_recording(replay: Path, part: Selection, suite: Suite) -> Selection:
    """Return which part of a suite a recording can answer, and say so where that is not the whole."""
    from surrobench.study.options import recorded_part

    found = recorded_part(replay, part, suite)
    if found is None:
        return part
    output.say(f"The recording holds a part of the suite, which is replayed: {found}.")
    return found


def _estimate(suite: Suite, part: Selection, out: Path, options: dict[str, Any]) -> None:
    """Print what the study would cost."""
    from surrobench.cli.run_summary import print_estimate
    from surrobench.study.fallbacks import stored_fallbacks, with_fallbacks
    from surrobench.system import usable_cores

    narrowed = part.of(suite)
    fallbacks = stored_fallbacks(narrowed, options["replay"] or out)
    suite = with_fallbacks(narrowed, {}, fallbacks, output.say)[0]
    print_estimate(suite, out, options["jobs"] or usable_cores())


def _run(suite: Suite, text: str, part: Selection, out: Path, options: dict[str, Any]) -> None:
    """Run the study and print what was done; exit with status 1 where something is left to do."""
    from surrobench.cli.heartbeat import display
    from surrobench.cli.run_summary import print_problems, print_summary
    from surrobench.engine.guard import STEP_SECONDS
    from surrobench.study.options import Options
    from surrobench.study.progress import Status
    from surrobench.study.session import run_study
    from surrobench.system import usable_cores

    replay = options["replay"]
    how = Options(
        out,
        options["jobs"] or usable_cores(),
        replay,
        options["reevaluate"],
        options["retry_failed"],
        options["discard_unfinished"],
        options["cluster"],
        part,
        options["step_limit"] or STEP_SECONDS,
    )
    log.info("Running suite %s with at most %d worker processes, into %s.", suite.name, how.jobs, out)
    console = output.errors()
    status = Status(note=lambda line: console.print(line, style="dim"))
    with display(status, console):
        summary = run_study(suite, text, how, status)
    print_summary(summary, out, console)
    if summary.complete:
        return
    print_problems(summary)
    resume = shlex.join(["surrobench", *sys.argv[1:]])
    if not summary.parked:
        output.complain(f"Repeat the failed ones with: {resume} --retry-failed")
    elif replay is None:  # a replay that diverged would diverge again
        output.complain(f"Resume with: {resume}")
    sys.exit(1)


def _model(flag: str, *, embedded: bool = False) -> tuple[str, ModelSpec]:
    """Parse ``NAME=URL,MODEL``, or, where ``embedded`` allows it, the name of the embedded model.

    Raises:
        UsageError: it is neither.
    """
    from surrobench.cli.serve import EMBEDDED
    from surrobench.errors import UsageError
    from surrobench.llm.models import ModelSpec

    if embedded and flag == EMBEDDED:
        return EMBEDDED, ModelSpec(serve="embedded")
    label, equals, rest = flag.partition("=")
    url, comma, name = rest.partition(",")
    if not (label and equals and comma and name and url.startswith(("http://", "https://"))):
        raise UsageError(
            f"--llm {flag!r} is not NAME=URL,MODEL.", "Example: qwen=http://127.0.0.1:8000/v1,Qwen3-8B"
        )
    return label, ModelSpec(url=url, model=name)
