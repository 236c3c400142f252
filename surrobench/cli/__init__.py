"""The command line: ``surrobench COMMAND``.

Each command is a file here that parses, calls one function and prints. Heavy libraries are imported inside
the commands, and the commands themselves only when used, so that ``--help`` is instant.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from importlib import import_module

import click

import surrobench
from surrobench.cli import output
from surrobench.cli.command import verbosity_options
from surrobench.errors import OutputError, SurrobenchError, in_one_line
from surrobench.printable import printing

log = logging.getLogger(__name__)

_GROUPS = {
    "Run": {
        "run": "Run a study, or continue it.",
        "status": "Show how far the runs of a study are.",
        "serve": "Start a server for a language model.",
    },
    "Analyse": {
        "rank": "Rank the methods of a study, with statistical tests.",
        "plot": "Draw a figure of a study.",
        "power": "Compute how many seeds and data sets a difference needs.",
        "replies": "Count valid, repeated and defective replies of language models.",
        "reproduce": "Recompute the tables of a paper and compare them.",
    },
    "Inspect": {
        "list": "List benchmarks, optimizers, models, suites or recordings.",
        "runs": "List the runs of a study with their ids.",
        "show": "Show a run: its trials, prompts and replies.",
        "evaluate": "Evaluate configurations of your own on a benchmark.",
        "verify": "Compare the benchmarks with their reference packages.",
    },
    "Data": {
        "import": "Import past trials of your own from another tool.",
        "fit": "Make a benchmark of past trials: fit a surrogate to them.",
        "data": "Fetch data and models, or show which are here.",
        "journal": "Repair the journal of a study.",
    },
}
_MODULES = {"list": "listing", "import": "import_trials"}
"""Commands whose modules have other names, since theirs are words of Python's."""
COMMANDS = {name: line for group in _GROUPS.values() for name, line in group.items()}
"""Name of each command -> its line in the help, in the order of the help."""


class _Commands(click.Group):
    """Loads a command's module when it is used, and suggests near misses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = import_module(f"surrobench.cli.{module}").command
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, COMMANDS))
        for group, commands in _GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(widest), line) for name, line in commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from surrobench.errors import UnknownName

            raise UnknownName("command", args[0], COMMANDS, "See: surrobench --help")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=verbosity_options(),
)
@click.version_option(surrobench.__version__, "-V", "--version", prog_name="surrobench")
def group() -> None:
    """Measure offline whether language models beat classical hyperparameter optimization.

    \b
    A first study, with a built-in language model and no GPU:
      surrobench run quick
      surrobench rank results/quick
    """


def main() -> None:
    """Run the command line: an error of ours is one line and an exit status, never a traceback."""
    output.configure()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal of another encoding shows an escape for a character that it does not know.
            stream.reconfigure(errors="backslashreplace")
    try:
        group(standalone_mode=False)
        with printing():
            if sys.stdout is not None:
                sys.stdout.flush()
    except SurrobenchError as error:
        log.debug("Where the error was raised:", exc_info=True)
        if isinstance(error, OutputError):
            output.discard()
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(_in_one_line(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        goes_on = {"run", "reproduce"}.intersection(sys.argv)
        stored = " What is finished is stored; the same command goes on from there." if goes_on else ""
        _fail(f"Interrupted.{stored}", 130)
    except BrokenPipeError:
        output.discard()  # the reader (head, less) has seen enough
        sys.exit(0)
    except (OSError, MemoryError) as error:
        log.debug("Where the error was raised:", exc_info=True)
        _fail(_of_system(error), 1)
    finally:
        output.release()


def _in_one_line(error: click.ClickException) -> str:
    """Return click's message as one line; a wrong command line is told where its help is."""
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message += f" See: {error.ctx.command_path} --help"
    return message


def _of_system(error: OSError | MemoryError) -> str:
    """Return in words what the operating system refuses."""
    if isinstance(error, MemoryError):
        return "There is not enough memory for this."
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EFBIG):
        output.discard()  # click prints help and versions by itself
        return f"Standard output cannot be written: {error.strerror}."
    if error.filename is None or not error.strerror:
        return f"The operating system refuses: {in_one_line(error)}."
    return f"{os.fsdecode(error.filename)}: {error.strerror}."


def _fail(message: str, status: int) -> None:
    output.fail(message)
    sys.exit(status)
