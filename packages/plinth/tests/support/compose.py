"""`compose.yaml` as Compose reads it, without Docker."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<operator>:-)(?P<default>[^}]*))?\}|(?P<bad>.|$))",
    re.DOTALL,
)


def load_compose(folder: Path, **environment: str) -> dict[str, Any]:
    """Return the folder's compose.yaml, interpolated.

    Args:
        environment: the variables of `.env`.
    """

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value) for value in node]
        return interpolate(node, environment) if isinstance(node, str) else node

    compose = walk(yaml.safe_load((folder / "compose.yaml").read_text()))
    assert isinstance(compose, dict)
    return compose


def interpolate(text: str, environment: Mapping[str, str]) -> str:
    """Replace `$$`, `${NAME}` and `${NAME:-default}` as Compose does; refuse any other `$`."""

    def fill(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        assert found["bad"] is None, f"write $$ to pass a $ to the shell: {found.string!r}"
        return environment.get(found["name"]) or found["default"] or ""

    return VARIABLE.sub(fill, text)
