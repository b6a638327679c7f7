"""Charts as SVG within a page: they take its colours, light or dark, and keep the size of their text on a phone.

Places along a line are percentages of the width that there is, so nothing is scaled. Numbers alone go in, and text that
`escape` made safe.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cia_bench.pages import escape

STYLE = """
.strip { overflow: visible; margin: 0 .5rem; width: calc(100% - 1rem); }
.grid { stroke: var(--line); }
.whisker { stroke: var(--soft); stroke-width: 2; }
.reference { stroke: var(--bad); stroke-width: 2; }
.dot { fill: var(--paper); stroke: var(--accent); stroke-width: 2; }
.dot.sure { fill: var(--accent); }
.curve { stroke: var(--accent); stroke-width: 2; }
svg text { font-size: 12px; }
svg .soft { fill: var(--soft); }
.curves figure { max-width: 40rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem 2rem; }
.forest td, .forest th { vertical-align: middle; overflow-wrap: anywhere; }
.forest thead td { border-bottom-color: var(--soft); }
.forest .chart { width: 45%; }
.forest .gap td { color: var(--soft); text-align: center; }
@media (max-width: 40rem) {
  .forest tr { display: grid; grid-template-columns: 1fr auto; border-bottom: 1px solid var(--line); padding: .3rem 0; }
  .forest th, .forest td { border: 0; padding: .1rem 0; }
  .forest .chart { grid-area: 2 / 1 / 2 / 3; width: auto; }
  .forest .number { grid-area: 1 / 2; padding-left: .75rem; }
}
"""
ENDS = 10  # rows shown of the first, and of the last, where there are many
HIGH = 18  # pixels of a strip
CURVE_HIGH, TOP, BOTTOM = 230, 18, 190  # pixels of a curve: whole, and where its highest and lowest values lie
LEFT, RIGHT = 10, 95  # percent of a curve's width between which its points lie


def strip(
    value: float, low: float, high: float, axis: tuple[float, float], reference: float | None, sure: bool, words: str
) -> str:
    """A value as a dot on a line of its interval (none if NaN) along `axis`, its ends; `reference` is a tick there.

    A dot that is `sure` is filled. `words` say the same to who can't see it.
    """
    at = [*np.linspace(0, 100, 5)]
    parts = [f'<line class="grid" x1="{x:g}%" x2="{x:g}%" y1="0" y2="{HIGH}"/>' for x in at]
    if not np.isnan(low):
        ends = f'x1="{_along(low, axis)}" x2="{_along(high, axis)}"'
        parts.append(f'<line class="whisker" {ends} y1="{HIGH / 2}" y2="{HIGH / 2}"/>')
    if reference is not None:
        x = _along(reference, axis)
        parts.append(f'<line class="reference" x1="{x}" x2="{x}" y1="2" y2="{HIGH - 2}"/>')
    if not np.isnan(value):
        kind = "dot sure" if sure else "dot"
        parts.append(f'<circle class="{kind}" cx="{_along(value, axis)}" cy="{HIGH / 2}" r="4.5"/>')
    return f'<svg class="strip" height="{HIGH}" role="img" aria-label="{escape(words)}">{"".join(parts)}</svg>'


def strip_axis(labels: Sequence[str]) -> str:
    """What stands above strips: five labels from one end of their axis to the other."""
    places = np.linspace(0, 100, len(labels))
    text = [
        f'<text class="soft" x="{x:g}%" y="13" text-anchor="middle">{escape(label)}</text>'
        for x, label in zip(places, labels, strict=True)
    ]
    return f'<svg class="strip" height="{HIGH}" aria-hidden="true">{"".join(text)}</svg>'


def forest(head: str, labels: Sequence[str], number_head: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """A table of names, strips and numbers, a row each, safe already: of many the first, the last, and a gap."""
    drawn = [
        f'<tr><th scope="row">{name}</th><td class="chart">{image}</td><td class="number">{number}</td></tr>\n'
        for name, image, number in rows
    ]
    if len(drawn) > 2 * ENDS + 2:
        gap = f'<tr class="gap"><td colspan="3">{len(drawn) - 2 * ENDS:,} between</td></tr>\n'
        drawn = [*drawn[:ENDS], gap, *drawn[-ENDS:]]
    top = f'<th scope="col">{head}</th><td class="chart">{strip_axis(labels)}</td>'
    return (
        f'<table class="forest">\n<thead><tr>{top}<th scope="col" class="number">{number_head}</th></tr></thead>\n'
        f"<tbody>\n{''.join(drawn)}</tbody></table>"
    )


def _along(value: float, axis: tuple[float, float]) -> str:
    start, stop = axis
    return f"{100 * (min(max(value, start), stop) - start) / (stop - start):.2f}%"


def curve(points: pd.DataFrame, reference: float, words: str) -> str:
    """Accuracy over training clips a group, on a logarithmic scale; `reference` is a line across.

    `points` has columns train_clips, accuracy, low and high (NaN: no interval), as learning_curve gives. Below each
    number of clips stands its share of the last.
    """
    values = [*points.accuracy, *points.low.dropna(), reference]
    lowest = min(0.4, np.floor(10 * min(values)) / 10)
    fewest, most = points.train_clips.min(), points.train_clips.max()

    def across(clips: float) -> float:
        return RIGHT + (RIGHT - LEFT) * np.log(clips / most) / max(np.log(most / fewest), 1)

    def down(accuracy: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (accuracy - lowest) / (1 - lowest)

    def line(kind: str, x: tuple[float, float], y: tuple[float, float]) -> str:
        return f'<line class="{kind}" x1="{x[0]:.2f}%" x2="{x[1]:.2f}%" y1="{y[0]:.1f}" y2="{y[1]:.1f}"/>'

    def label(text: str, x: float, y: float, kind: str = "soft", anchor: str = "middle") -> str:
        return f'<text class="{kind}" x="{x:.2f}%" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

    parts = []
    for tenths in range(round(10 * lowest), 11):
        y = down(tenths / 10)
        parts += [line("grid", (LEFT - 2, 100), (y, y)), label(f"{10 * tenths}", LEFT - 4, y + 4, anchor="end")]
    parts.append(line("reference", (LEFT - 2, 100), (down(reference), down(reference))))
    rows = list(points.itertuples())
    for one, other in zip(rows, rows[1:], strict=False):
        ends = (across(one.train_clips), across(other.train_clips)), (down(one.accuracy), down(other.accuracy))
        parts.append(line("curve", *ends))
    for row in rows:
        x = across(row.train_clips)
        if not np.isnan(row.low):
            parts.append(line("whisker", (x, x), (down(row.low), down(row.high))))
        parts.append(f'<circle class="dot sure" cx="{x:.2f}%" cy="{down(row.accuracy):.1f}" r="4.5"/>')
        parts.append(label(f"{row.train_clips:,.0f}", x, BOTTOM + 18, kind=""))
        parts.append(label(f"{100 * row.train_clips / most:.0f}%", x, BOTTOM + 34))
    image = f'<svg width="100%" height="{CURVE_HIGH}" role="img" aria-label="{escape(words)}">'
    return f"{image}{''.join(parts)}</svg>"
