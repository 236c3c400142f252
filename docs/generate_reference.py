"""Make the reference pages of the documentation from the code: command line, suite keys, Python API.

``make docs`` runs this script before it builds the site. Git ignores the pages that it writes, so they are
always those of the code beside them. It writes plain Markdown, so it does not depend on what builds the site.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
GENERATED = "<!-- Made by docs/generate_reference.py; edit the code instead. -->\n\n"


# ---------------------------------------------------------------------- the command line


Found = tuple[str, click.Command, click.Context]
"""A command with its full name and its context."""


def commands() -> Iterator[Found]:
    """Yield every command with its full name (``surrobench data pull``) and its context, groups included."""
    from surrobench.cli import group

    yield from _walk(group, click.Context(group, info_name="surrobench"))


def _walk(command: click.Command, context: click.Context) -> Iterator[Found]:
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            if part is not None and not part.hidden:
                yield from _walk(part, click.Context(part, info_name=name, parent=context))


def command_line() -> str:
    """Return the page of the command line."""
    parts = [
        "# Command line\n",
        "Every command prints this text with `--help`. An error is one line with its remedy. The exit status "
        "is 0 for success, 1 for an error, 2 for a wrong command or suite, and 130 after Ctrl-C.\n",
    ]
    for path, command, context in commands():
        parts.append(f"## {path}\n" if path.count(" ") < 2 else f"### {path}\n")
        if path != "surrobench":
            usage = " ".join(command.collect_usage_pieces(context))
            parts.append(f"```text\n{path} {usage}\n```\n")
        parts.append(help_text(command.help or ""))
        rows = [record for option in command.params if (record := _record(option, context))]
        if rows:
            parts.append("| option | what it does |\n| --- | --- |")
            parts.append("\n".join(f"| `{names}` | {_cell(text)} |" for names, text in rows) + "\n")
        if command.epilog:
            parts.append(help_text(command.epilog))
    return GENERATED + "\n".join(parts)


def _record(option: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    if not isinstance(option, click.Option) or option.hidden:
        return None
    record = option.get_help_record(context)
    return None if record is None else (record[0].replace("|", "\\|"), record[1])


def help_text(text: str) -> str:
    """Return click's help as Markdown; indented lines become a code block."""
    out = []
    for paragraph in inspect.cleandoc(text).replace("\f", "").split("\n\n"):
        if paragraph.startswith("\b"):
            lines = paragraph.removeprefix("\b").strip("\n").splitlines()
            commands = [line.strip() for line in lines if line.startswith(" ")]
            rest = [line for line in lines if not line.startswith(" ")]
            out.append(" ".join(rest))
            if commands:
                out.append("```text\n" + "\n".join(commands) + "\n```")
        else:
            out.append(_prose(" ".join(paragraph.split())))
    return "\n\n".join(out) + "\n"


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("|", "\\|")


def _prose(text: str) -> str:
    """Guard what Markdown would take for HTML or emphasis."""
    return text.replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


# ---------------------------------------------------------------------- suite files


TABLES = {
    "Suite": ("Top level", "The study itself: these keys stand before the first table."),
    "Method": ("[optimizers.LABEL]", "One method of the study. An empty table runs the optimizer LABEL."),
    "ModelSpec": ("[models.NAME]", "One language model, its server, and how it is asked."),
    "Claim": ("[claims.NAME]", "One claim of the study; `surrobench rank` judges it."),
    "Pair": ("gap, smaller_than", "The two groups of methods in these keys of a claim."),
}


def models() -> dict[str, type[BaseModel]]:
    """Return every pydantic model of a suite by its name, the suite first."""
    from surrobench.suite.schema import Suite

    found: dict[str, type[BaseModel]] = {}
    queue: list[Any] = [Suite]
    while queue:
        kind = queue.pop(0)
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            if kind.__name__ not in found:
                found[kind.__name__] = kind
                queue += [field.annotation for field in kind.model_fields.values()]
        else:
            queue += get_args(kind)
    return found


def suite_keys() -> str:
    """Return the page of the suite files: each key with its type, its default and what it means."""
    parts = [
        "# Suite files\n",
        "A suite is a study in a TOML file. The keys below are all there are; a key that is not listed is an "
        "error that names the nearest one. [Quick start](../quick-start.md) shows a short suite.\n",
    ]
    for name, kind in models().items():
        title, about = TABLES.get(name, (name, summary(kind)))
        parts.append(f"## {title}\n\n{about}\n")
        parts.append("| key | type | default | meaning |\n| --- | --- | --- | --- |")
        schema = kind.model_json_schema()
        docs = field_docs(kind)
        for key, field in kind.model_fields.items():
            shape = schema["properties"][field.alias or key]
            default = "required" if field.is_required() else f"`{_toml(shape.get('default'))}`"
            if shape.get("default") is None and not field.is_required():
                default = "" if field.default_factory is None else "empty"
            text = _markup(" ".join(docs.get(key, "").split())).replace("|", "\\|")
            parts.append(f"| `{field.alias or key}` | {_type(shape)} | {default} | {text} |")
        parts.append("")
    return GENERATED + "\n".join(parts)


def field_docs(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a class, those of its bases included."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base is object or base is BaseModel or not hasattr(base, "__annotations__"):
            continue
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError):
            continue
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                docs[field.target.id] = inspect.cleandoc(text.value.value)
    return docs


BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}
WORDS = {"string": "text", "boolean": "true or false", "object": "table"}


def _type(shape: dict[str, Any]) -> str:
    """Return the type of a key in words, from its JSON schema."""
    kind = shape.get("type", "")
    if "$ref" in shape:
        words = f"table `{TABLES.get(shape['$ref'].rpartition('/')[2], ('?',))[0]}`"
    elif "anyOf" in shape:
        kinds = [_type(part) for part in shape["anyOf"] if part.get("type") != "null"]
        words = " or ".join(dict.fromkeys(kinds))
    elif "enum" in shape:
        words = " or ".join(f"`{json.dumps(value)}`" for value in shape["enum"])
    elif "const" in shape:
        words = f"`{json.dumps(shape['const'])}`"
    elif kind == "array":
        words = f"list of {_type(shape.get('items', {}))}"
    elif kind in ("integer", "number"):
        words = ", ".join([kind, *(f"{word} {shape[key]:g}" for key, word in BOUNDS.items() if key in shape)])
    else:
        words = WORDS.get(kind, "any value")
    return words.replace("|", "\\|")


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# ---------------------------------------------------------------------- Python


def python_api() -> str:
    """Return the page of the Python interface: everything in ``surrobench.__all__``, with its docstring."""
    import surrobench

    parts = [
        "# Python\n",
        "This page lists everything that is promised: the names in `surrobench.__all__`. All other "
        "modules are internal and may change in any version. What is promised is deprecated before it "
        "changes: for at least one minor version the old form works and gives a `DeprecationWarning` that "
        "names the new one.\n",
        "```text\nimport surrobench\n```\n",
    ]
    promised = {name: getattr(surrobench, name) for name in surrobench.__all__ if not name.startswith("__")}
    for name, thing in sorted(promised.items(), key=lambda item: inspect.isclass(item[1])):
        parts.append(describe(f"surrobench.{name}", thing, level=2))
    return GENERATED + "\n".join(parts)


def describe(path: str, thing: Any, level: int) -> str:
    """Return the section of a function or a class: heading, signature, docstring, public members."""
    heading = "#" * level
    short = path.rpartition(".")[2]
    if not inspect.isclass(thing):
        return f"{heading} {path}\n\n```text\n{short}{_signature(thing)}\n```\n\n{docstring(thing)}"
    parts = [f"{heading} {path}\n", docstring(thing)]
    for name, member in public_members(thing).items():
        if callable(member):
            parts.append(describe(f"{short}.{name}", member, level + 1))
        else:  # a property
            parts.append(f"{heading}# {short}.{name}\n\n{docstring(member)}")
    return "\n".join(parts)


def public_members(kind: type) -> dict[str, Any]:
    """Return the public methods and properties that a class defines, in their order."""
    found = {}
    for name, member in vars(kind).items():
        inner = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        known = inspect.isfunction(inner) or isinstance(inner, property | cached_property)
        if known and not name.startswith("_") and inspect.getdoc(inner):
            found[name] = inner
    return found


class _Bare(str):
    """An annotation that a signature shows without quotation marks."""

    def __repr__(self) -> str:
        return str(self)


def _signature(function: Callable[..., Any]) -> str:
    """Return the parameters of a function, one a line where they are many."""
    signature = inspect.signature(function)
    kept = [
        p.replace(annotation=_Bare(p.annotation)) if isinstance(p.annotation, str) else p
        for p in signature.parameters.values()
        if p.name != "self" and not p.name.startswith("_")
    ]
    returned = signature.return_annotation
    bare = signature.replace(
        parameters=kept, return_annotation=_Bare(returned) if isinstance(returned, str) else returned
    )
    text = str(bare)
    if len(text) <= LINE:
        return text
    inner, arrow, end = text[1:].rpartition(") -> ")
    pieces = [str(p) for p in kept]
    if ", *, " in f", {inner}":
        first = next(i for i, p in enumerate(kept) if p.kind is p.KEYWORD_ONLY)
        pieces.insert(first, "*")
    lines = "".join(f"    {piece},\n" for piece in pieces)
    return f"(\n{lines}){arrow.removeprefix(')')}{end}"


SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Warns", "Example", "Examples", "Note")
LINE = 90
"""Characters of a signature that still stand on one line."""


def summary(thing: Any) -> str:
    """Return the first paragraph of a docstring."""
    return _markup(" ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split()))


def docstring(thing: Any) -> str:
    """Return a Google-style docstring as Markdown: sections become lists, indented blocks stay code."""
    out: list[str] = []
    for block in (inspect.getdoc(thing) or "").split("\n\n"):
        head, _, rest = block.partition("\n")
        if head.rstrip(":") in SECTIONS and head.endswith(":"):
            body = textwrap.dedent(rest)
            out.append(f"**{head.rstrip(':')}**")
            out.append(_code(body) if head.startswith("Example") else _items(body, named=head != "Returns:"))
        elif block.startswith("    "):
            out.append(_code(textwrap.dedent(block)))
        else:
            out.append(_markup(block))
    return "\n\n".join(out) + "\n"


def _code(text: str) -> str:
    kind = "text" if text.lstrip().startswith("$") else "pycon" if ">>>" in text else "py"
    return f"```{kind}\n{text.rstrip()}\n```"


def _items(text: str, *, named: bool) -> str:
    """Return the entries of a section as a list; a line that is indented continues the one before."""
    if not named:
        return _markup(text.strip())
    entries: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    out = []
    for entry in filter(None, entries):
        found = re.match(r"([\w*, .]+?): (.*)", entry)
        out.append(f"- `{found[1]}`: {_markup(found[2])}" if found else f"- {_markup(entry)}")
    return "\n".join(out)


def _markup(text: str) -> str:
    """Return reStructuredText's double backticks as Markdown's single ones."""
    return re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)


# ---------------------------------------------------------------------- files at the top of the repository


def changelog() -> str:
    """Return the changelog."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def contributing() -> str:
    """Return the page for contributors; its links into ``docs/`` are the site's own."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/", "](", text)


PAGES: dict[str, Callable[[], str]] = {
    "reference/command-line.md": command_line,
    "reference/suite.md": suite_keys,
    "reference/python.md": python_api,
    "changelog.md": changelog,
    "contributing.md": contributing,
}


def main() -> None:
    """Write all pages."""
    for path, make in PAGES.items():
        (ROOT / "docs" / path).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
