"""What the commands print, by rich: no line is broken, so that it can be copied."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

out = Console(soft_wrap=True, highlight=False)
err = Console(soft_wrap=True, highlight=False, stderr=True)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """A label and its value in each line."""
    facts = list(facts)
    width = max(len(label) for label, _ in facts)
    for label, value in facts:
        out.print(Text(f"  {label:<{width}}  ", style="bold"), Text(value), sep="")


def warn(sentence: str) -> None:
    err.print(Text(sentence, style="yellow"))
