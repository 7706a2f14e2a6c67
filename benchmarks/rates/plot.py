"""Draws the capacity of a destination, and the rate that follows it, as an SVG."""

from collections.abc import Callable, Sequence
from pathlib import Path

FILE = Path(__file__).parents[2] / "docs" / "rates.svg"
_WIDTH, _HEIGHT = 860, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 44, 44
_GRID, _TEXT = "#e3e3e3", "#444"
Line = Sequence[tuple[float, float]]
"""Seconds, and calls a second."""
_Place = Callable[[float, float], tuple[float, float]]


def drawn(capacity: Line, answered: Line, rate: Line, best_fixed: float) -> str:
    """The picture: capacity as an area, the others as lines."""
    seconds = capacity[-1][0]
    highest = 50.0 * (1 + max(y for line in (capacity, answered, rate) for _, y in line) // 50)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + x / seconds * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - min(y, highest) / highest * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    def points(line: Line) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in (place(*each) for each in line if 0 <= each[0] <= seconds))

    area = points([(0, 0), *capacity, (seconds, 0)])
    fixed = points([(0, best_fixed), (seconds, best_fixed)])
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            'font-family="sans-serif" font-size="12">',
            "<title>The adaptive rate follows the unannounced capacity of a destination</title>",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            f'<polygon points="{area}" fill="#dfe7ee"/>',
            *_grid(seconds, highest, place),
            f'<polyline points="{points(answered)}" fill="none" stroke="#7fb77e" stroke-width="1.5"/>',
            f'<polyline points="{fixed}" fill="none" stroke="#b5651d" stroke-width="1.5" stroke-dasharray="6 4"/>',
            f'<polyline points="{points(rate)}" fill="none" stroke="#1f4e9c" stroke-width="2"/>',
            *_legend(best_fixed),
            "</svg>\n",
        )
    )


def _grid(seconds: float, highest: float, place: _Place) -> list[str]:
    lines = []
    for y in range(0, int(highest) + 1, 50):
        (left, at), (right, _) = place(0, y), place(seconds, y)
        lines.append(f'<line x1="{left}" y1="{at}" x2="{right}" y2="{at}" stroke="{_GRID}"/>')
        lines.append(f'<text x="{left - 8}" y="{at + 4}" text-anchor="end" fill="{_TEXT}">{y}</text>')
    for x in range(0, int(seconds) + 1, 10):
        at, foot = place(x, 0)
        lines.append(f'<text x="{at}" y="{foot + 18}" text-anchor="middle" fill="{_TEXT}">{x}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    lines.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle" fill="{_TEXT}">seconds</text>')
    return lines


def _legend(best_fixed: float) -> list[str]:
    entries = (
        ("#c3d0dc", "capacity, calls/s"),
        ("#1f4e9c", "adaptive rate"),
        ("#7fb77e", "answered in each second"),
        ("#b5651d", f"best fixed limit, {best_fixed:g}/s"),
    )
    lines, x = [], _LEFT
    for colour, title in entries:
        lines.append(f'<rect x="{x}" y="16" width="14" height="10" fill="{colour}"/>')
        lines.append(f'<text x="{x + 20}" y="25" fill="{_TEXT}">{title}</text>')
        x += 44 + 7 * len(title)
    return lines
