"""What all commands share: the options ``-v`` and ``-q``, and old names of options that still work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import click

from surrobench.cli import output

log = logging.getLogger(__name__)

GENERAL = "Options"
"""Heading of the options that belong to no other section of a command's help; it comes last."""


class Option(click.Option):
    """An option that stands in a section of the help, where its default is shown plainly.

    Args:
        section: heading under which the help shows it.
    """

    def __init__(self, *args: Any, section: str = GENERAL, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what stands in brackets after the help: the default, and whether the option is required."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)  # an error names the bounds where they matter
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default  # click puts words in brackets
        return extra


def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """Return the decorator that gives a command an ``Option``."""
    return click.option(*names, cls=Option, **attributes)


FORMATS = click.Choice(["table", "markdown", "latex", "csv", "json"])
"""The formats of every command that prints a table for people and for programs."""
FORMAT = option(
    "--format",
    "form",
    type=FORMATS,
    metavar="NAME",
    default="table",
    show_default=True,
    section="Output",
    help="Print as table, markdown, latex, csv or json.",
)


def _more(ctx: click.Context, param: click.Parameter, value: int) -> None:
    if value:
        output.configure(verbose=value, quiet=output.is_quiet())


def _less(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        output.configure(quiet=True)


def verbosity_options() -> list[click.Option]:
    """Return the options ``-v`` and ``-q``, which work before and after the name of a command."""
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            is_eager=True,
            expose_value=False,
            callback=_more,
            help="Say more; -vv says everything.",
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_less,
            help="Print results and errors only.",
        ),
    ]


class Command(click.Command):
    """A command with ``-v`` and ``-q`` that still understands its options' old names.

    Args:
        renamed: old name of an option -> its name today; both with their dashes. Whoever uses an old name
            is told the new one on standard error.
    """

    def __init__(self, *args: Any, renamed: Mapping[str, str] | None = None, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.renamed = dict(renamed or {})
        self.params += verbosity_options()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(parameter, "section", GENERAL), []).append(record)
        for heading in sorted(sections, key=GENERAL.__eq__):  # the general ones last
            with formatter.section(heading):
                formatter.write_dl(sections[heading])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words of the command line, old names of options included."""
        end = args.index("--") if "--" in args else len(args)
        old: list[str] = []
        current = [self._current(word, old) for word in args[:end]]
        rest = super().parse_args(ctx, [*current, *args[end:]])
        for option in dict.fromkeys(old):  # only now is it known whether -q was given
            say_renamed(option, self.renamed[option])
        return rest

    def _current(self, word: str, old: list[str]) -> str:
        """Return a word with an option's old name replaced; that name is appended to ``old``."""
        option, equals, value = word.partition("=")
        if option not in self.renamed:
            return word
        old.append(option)
        return f"{self.renamed[option]}{equals}{value}"


def say_renamed(old: str, new: str) -> None:
    """Warn that an old way of writing something still works, for one more release."""
    log.warning("%s is now %s; the next release drops the old form.", old, new)
