"""The output of commands, with rich. Lines are not wrapped, so that they can be copied."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

out = Console(soft_wrap=True, highlight=False)
err = Console(soft_wrap=True, highlight=False, stderr=True)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print a label and its value on each line."""
    facts = list(facts)
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        out.print(Text(f"  {label:<{width}}  ", style="bold"), Text(value), sep="")


def warn(sentence: str) -> None:
    err.print(Text(sentence, style="yellow"))
