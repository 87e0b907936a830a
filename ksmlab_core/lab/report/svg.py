"""A matplotlib figure as SVG that lives inside a page: no outside references, the page's fonts and colours.

Figures are drawn in placeholder colours which become the page's CSS variables, so that one drawing serves a light and a
dark page. The same figure gives the same bytes.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = tuple(f"#0500{nth:02x}" for nth in range(8))
"""Colours for runs, told apart in print and by colour-blind eyes; `colour(n)` starts again after the last."""

_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"} | {
    code: f"series-{nth}" for nth, code in enumerate(SERIES)
}
_DECIMALS = re.compile(r"(\.\d\d)\d+")
"""Hundredths of a point are more than an eye can see, and less than half the bytes."""
_STYLE: Any = {
    "svg.hashsalt": "ksmlab",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.size": 11,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "lines.linewidth": 2,
    "path.simplify": True,
}


def style() -> Any:
    """The context in which every figure is made and saved."""
    return matplotlib.rc_context(_STYLE)


def colour(nth: int) -> str:
    """The placeholder colour of the nth run."""
    return SERIES[nth % len(SERIES)]


def inline(figure: Figure, name: str, description: str) -> str:
    """The figure as an `<svg>` element.

    Args:
        figure: made within `style()`.
        name: unique within the page; every id in the drawing begins with it.
        description: what the figure shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with style():
        figure.savefig(buffer, format="svg", metadata=nothing)
    return _domesticated(buffer.getvalue(), name, description)


def _domesticated(svg: str, name: str, description: str) -> str:
    """Drop what a page has no use for; give ids, colours and fonts to the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    wanted = set(re.findall(r'(?:href="|url\()#([^")]*)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in wanted else "", svg)
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r'\b(?:d|x|y|transform)="[^"]*"', lambda found: _DECIMALS.sub(r"\1", found[0]), svg)
    svg = re.sub(r"#0[0-5][0-9a-f]{4}\b", lambda found: _variable(found[0]), svg)
    svg = re.sub(r"(font-family:|font: [^;\"']*?px) [^;\"]*", r"\1 var(--font)", svg)
    svg = svg.replace("font-family: var(--font); ", "")
    svg = _ungrouped(re.sub(r"\s*\n\s*", "\n", svg))
    head = f'<svg role="img" aria-label="{escape(description)}" '
    return re.sub(r'<svg (?:width="[^"]*"|height="[^"]*"|version="[^"]*"|\s)*', head, svg, count=1).strip()


def _ungrouped(svg: str) -> str:
    """Without groups that say nothing; matplotlib writes each tag of a group on a line of its own."""
    kept: list[str] = []
    says: list[bool] = []  # of the groups that are open
    for line in svg.split("\n"):
        if line == "<g/>" or (line == "</g>" and not says.pop()):
            continue
        if line.startswith("<g"):
            says.append(line != "<g>")
            if line == "<g>":
                continue
        kept.append(line)
    return "\n".join(kept)


def _variable(code: str) -> str:
    return f"var(--{_VARIABLES[code]})" if code in _VARIABLES else code
