"""Bars as SVG, readable on light and dark pages alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABELS, FIGURES, ROW, TOP = 760, 160, 90, 30, 44
INK, BAR, MARKED = "#6b7280", "#9ca3af", "#0f766e"


@dataclass(frozen=True, slots=True)
class Bar:
    """A value, and between what it lay."""

    label: str
    value: float
    least: float
    most: float


def draw(title: str, bars: Sequence[Bar], *, marked: str) -> str:
    most = max((bar.most for bar in bars), default=1) or 1
    scale = (WIDTH - LABELS - FIGURES) / most
    height = TOP + ROW * len(bars) + 10
    size = f'viewBox="0 0 {WIDTH} {height}"'
    font = f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {font}>',
        f"<title>{escape(title)}</title>",
        f'<text x="10" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        lines += _draw_bar(bar, TOP + ROW * number, scale, MARKED if bar.label == marked else BAR)
    return "\n".join([*lines, "</svg>", ""])


def _draw_bar(bar: Bar, top: float, scale: float, colour: str) -> list[str]:
    middle = top + ROW / 2
    left, right = (LABELS + length * scale for length in (bar.least, bar.most))
    line, length = f'y="{middle + 4:.1f}"', f'width="{bar.value * scale:.1f}"'
    box = f'x="{LABELS}" y="{top + 5:.1f}" {length} height="{ROW - 10}"'
    return [
        f'<text x="{LABELS - 10}" {line} text-anchor="end">{escape(bar.label)}</text>',
        f'<rect {box} rx="2" fill="{colour}"/>',
        f'<path d="M{left:.1f} {middle:.1f}H{right:.1f}" stroke="{INK}" stroke-width="1.5"/>',
        f'<text x="{right + 8:.1f}" {line}>{bar.value:,.0f}</text>',
    ]
