"""Bar charts as SVG, readable on light and on dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABELS, FIGURES, ROW, TOP = 760, 170, 130, 30, 44
INK, BAR, MARKED = "#6b7280", "#9ca3af", "#0f766e"
PALE = 'fill-opacity="0.45"'


@dataclass(frozen=True, slots=True)
class Bar:
    """
    Attributes:
        further: the length of a second part after the first.
        least, most: the range of the value, drawn as a line.
    """

    label: str
    value: float
    further: float = 0
    least: float | None = None
    most: float | None = None

    @property
    def end(self) -> float:
        return max(self.value + self.further, self.most or 0)


def draw(
    title: str, bars: Sequence[Bar], *, marked: str, parts: tuple[str, str] | None = None
) -> str:
    """
    Args:
        marked: the label of the highlighted bar.
        parts: the names of the two parts of each bar.
    """
    most = max((bar.end for bar in bars), default=1) or 1
    scale = (WIDTH - LABELS - FIGURES) / most
    height = TOP + ROW * (len(bars) + bool(parts)) + 10
    size = f'viewBox="0 0 {WIDTH} {height}"'
    font = f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {font}>',
        f"<title>{escape(title)}</title>",
        f'<text x="10" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        lines += _draw_bar(bar, TOP + ROW * number, scale, MARKED if bar.label == marked else BAR)
    if parts:
        lines += _draw_legend(parts, TOP + ROW * len(bars))
    return "\n".join([*lines, "</svg>", ""])


def _draw_bar(bar: Bar, top: float, scale: float, color: str) -> list[str]:
    middle = top + ROW / 2
    text = f'y="{middle + 4:.1f}"'
    box = f'y="{top + 5:.1f}" height="{ROW - 10}" fill="{color}"'
    first, second = bar.value * scale, bar.further * scale
    figure = f"{bar.value:,.0f} + {bar.further:,.0f}" if bar.further else f"{bar.value:,.0f}"
    lines = [
        f'<text x="{LABELS - 10}" {text} text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{LABELS}" width="{first:.1f}" {box}/>',
        f'<text x="{LABELS + bar.end * scale + 8:.1f}" {text}>{figure}</text>',
    ]
    if bar.further:
        lines.append(f'<rect x="{LABELS + first:.1f}" width="{second:.1f}" {box} {PALE}/>')
    if bar.least is not None and bar.most is not None:
        left, right = (LABELS + length * scale for length in (bar.least, bar.most))
        lines.append(
            f'<path d="M{left:.1f} {middle:.1f}H{right:.1f}" stroke="{INK}" stroke-width="1.5"/>'
        )
    return lines


def _draw_legend(parts: tuple[str, str], top: float) -> list[str]:
    lines = []
    for place, (part, more) in enumerate(zip(parts, ("", PALE), strict=True)):
        left = LABELS + place * 130
        lines += [
            f'<rect x="{left}" y="{top + 9}" width="12" height="12" fill="{BAR}" {more}/>',
            f'<text x="{left + 18}" y="{top + 19}">{escape(part)}</text>',
        ]
    return lines
