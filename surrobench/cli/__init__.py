"""The command line: ``surrobench COMMAND``.

Each command is a file here that parses, calls one function and prints. Heavy libraries are imported inside
the commands, and the commands themselves only when used, so that ``--help`` is instant.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

import surrobench
from surrobench.errors import SurrobenchError

_COMMANDS = {
    "run": "Run a suite, or go on with it.",
    "rank": "Rank the methods of a study, with tests.",
    "power": "How many seeds and instances a difference needs.",
    "plot": "Figures of a study: curves, matrices, proposals.",
    "status": "What is finished in a results folder.",
    "show": "One run: its trials, prompts and replies.",
    "replies": "What models' replies came to, and their cost.",
    "evaluate": "The objectives of your own configurations.",
    "serve": "Start a server for a language model.",
    "list": "Benchmarks, optimizers, models and suites.",
    "reproduce": "A paper's figures, recomputed and compared.",
    "verify": "Compare benchmarks with their reference.",
    "data": "Fetch data and models, or say what is there.",
}


class _Commands(click.Group):
    """Loads a command's module when it is used, and suggests near misses."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        # A module called "list" would, once imported, take the builtin's place in this one.
        module = "listing" if cmd_name == "list" else cmd_name
        command: click.Command = import_module(f"surrobench.cli.{module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from surrobench.errors import UnknownName

            raise UnknownName("command", args[0], _COMMANDS, "See: surrobench --help")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(surrobench.__version__, prog_name="surrobench")
def group() -> None:
    """Can a language model beat classical hyperparameter optimization? Measured offline.

    \b
    A first study, with a built-in language model and no GPU:
      surrobench run quick
      surrobench rank results/quick
    """


def main() -> None:
    """Entry point: errors of ours are one line and an exit status, never a traceback."""
    try:
        group(standalone_mode=False)
    except SurrobenchError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("Interrupted. What is finished is stored; the same command goes on from there.", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader (head, less) has seen enough
        sys.exit(0)


def _fail(message: str, status: int) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(status)
