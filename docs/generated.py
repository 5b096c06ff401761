"""A directive that writes reference pages from the code: settings, commands, error codes."""

import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / ".env.example"
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")
SECTION = re.compile(r"# --- (.+?)(?: \((docs/\S+)\))? ---")
SETTING = re.compile(r"#?([A-Z][A-Z0-9_]+)=(.*)")
NOTE_FOR_GITHUB = re.compile(r"^> \[!NOTE\]\n(?:> .*\n)+", re.MULTILINE)


class Generated(SphinxDirective):
    """Usage: `{generated} settings`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines = WRITERS[self.arguments[0]]()
        found: list[nodes.Node] = self.parse_text_to_nodes(
            "\n".join(lines), allow_section_headings=True
        )
        return found


def write_settings() -> Iterator[str]:
    """Yield Markdown: each setting with its type, default, and the comment in `.env.example`."""
    from plinth.config import Settings  # noqa: PLC0415 - reads the environment

    schemas = Settings.model_json_schema()["properties"]
    comment: list[str] = []
    for line in EXAMPLE.read_text().splitlines():
        if section := SECTION.fullmatch(line):
            yield f"\n## {section[1]}\n"
            if section[2]:
                yield f"[Explained here](../{section[2].removeprefix('docs/')}).\n"
            comment = []
        elif setting := SETTING.fullmatch(line):
            name = setting[1]
            yield from _describe_setting(name, schemas.get(name), setting[2], " ".join(comment))
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []


def _describe_setting(
    name: str, schema: dict[str, Any] | None, example: str, description: str
) -> Iterator[str]:
    yield f"\n:::{{confval}} {name}"
    if schema:
        yield f":type: {_describe_type(schema)}"
        yield f":default: {_describe_default(schema.get('default'))}"
    elif example:
        yield f":default: `{example}`"
    yield f"\n{_to_markdown(description)}\n:::"


def _describe_type(schema: dict[str, Any]) -> str:
    if variants := schema.get("anyOf"):
        return _describe_type(next(it for it in variants if it.get("type") != "null"))
    if values := schema.get("enum"):
        return " or ".join(f"`{value}`" for value in values)
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = f", {low:,} to {high:,}" if low is not None and high is not None else ""
    if schema.get("type") == "array":
        return f"list of {_describe_type(schema['items'])}, as JSON"
    return f"{schema.get('type', 'string')}{bounds}"


def _describe_default(value: Any) -> str:
    if value is None:
        return "not set"
    if value == "":
        return "empty"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _to_markdown(text: str) -> str:
    """Link the names of pages, mark options as code, and escape Markdown's characters."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(it if it.startswith("`") else _escape(it) for it in pieces)


def _escape(prose: str) -> str:
    prose = re.sub(r"([*_<>\[\]|])", r"\\\1", prose)
    prose = re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"`\1`", prose)
    return re.sub(r"docs/([\w/-]+)\.md", r"[\1](../\1.md)", prose)


def write_commands() -> Iterator[str]:
    """Yield Markdown: each command of `plinth` with its arguments and options."""
    from plinth.cli.commands import plinth  # noqa: PLC0415

    yield from _describe_command("plinth", typer.main.get_command(plinth))


def _describe_command(name: str, command: Any) -> Iterator[str]:
    if commands := getattr(command, "commands", None):
        for word, inner in commands.items():
            if not inner.hidden:
                yield from _describe_command(f"{name} {word}", inner)
        return
    parameters = [it for it in command.params if not it.hidden]
    arguments = [it for it in parameters if not it.opts[0].startswith("-")]
    usage = [_show_argument(it) for it in arguments]
    if len(arguments) < len(parameters):
        usage.append("[OPTIONS]")
    yield f"\n## {name}\n\n```text\n{' '.join([name, *usage])}\n```\n"
    yield _to_markdown(re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or ""))
    if parameters:
        yield "\n| option | |\n| --- | --- |"
        for it in parameters:
            yield f"| {_name(it)} | {_to_markdown(it.help or '')} {_show_default(it)} |"


def _show_argument(parameter: Any) -> str:
    name = parameter.opts[0].upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _name(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{it if it.startswith('-') else it.upper()}`" for it in names)


def _show_default(parameter: Any) -> str:
    default = parameter.default
    if default is None or default is False or default in ("", [], ()) or callable(default):
        return f"Default: `${parameter.envvar}`." if parameter.envvar else ""
    return f"Default: `{getattr(default, 'value', default)}`."


def write_errors() -> Iterator[str]:
    """Yield a Markdown table of the library's error classes."""
    import plinth  # noqa: PLC0415
    from plinth.errors import PlinthError  # noqa: PLC0415
    from plinth.http.problems import find_status  # noqa: PLC0415

    for module in walk_packages(plinth.__path__, "plinth."):
        if module.name.startswith(("plinth.accounts.", "plinth.resources.", "plinth.http.")):
            import_module(module.name)
    found = sorted(
        {
            (find_status(it).value, it.code, it.detail)
            for it in _subclasses(PlinthError)
            if it.__module__.startswith("plinth.")
        }
    )
    yield "| status | `code` | `detail` |\n| --- | --- | --- |"
    for status, code, detail in found:
        yield f"| {status} | `{code}` | {_to_markdown(detail)} |"


def write_changelog() -> Iterator[str]:
    """Yield `CHANGELOG.md` without its title. Links to files outside of this site become code."""

    def move(link: re.Match[str]) -> str:
        if link[2].startswith("docs/"):
            return f"[{link[1]}](../{link[2].removeprefix('docs/')})"
        return f"{link[1]} (`{link[2]}`)"

    for line in (ROOT / "CHANGELOG.md").read_text().splitlines()[1:]:
        yield LINK.sub(move, line)


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for it in kind.__subclasses__():
        yield it
        yield from _subclasses(it)


WRITERS: dict[str, Callable[[], Iterator[str]]] = {
    "changelog": write_changelog,
    "settings": write_settings,
    "commands": write_commands,
    "errors": write_errors,
}


def skip_inherited_docs(_: Sphinx, __: str, name: str, member: object, *___: object) -> bool | None:
    """Skip fields that have no documentation of their own: those of tuples, `model_config`."""
    text = str(getattr(member, "__doc__", None))
    return True if name == "model_config" or text.startswith("Alias for field number") else None


def drop_note_for_github(_: Sphinx, __: str, source: list[str]) -> None:
    """Drop the note that a page is generated: this site has what GitHub does not show."""
    source[0] = NOTE_FOR_GITHUB.sub("", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("generated", Generated)
    app.connect("autodoc-skip-member", skip_inherited_docs)
    app.connect("source-read", drop_note_for_github)
    return {"parallel_read_safe": True}
