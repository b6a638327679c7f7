"""The page that says where a model fails."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from cia_bench.build import Data
from cia_bench.charts import STYLE, curve, forest, strip
from cia_bench.coverage import coverage_in_words
from cia_bench.diagnosis import by_group, by_hazard, by_verb_pair
from cia_bench.hazards import CLIP_HAZARDS
from cia_bench.pages import escape, page
from cia_bench.protocols import PROTOCOLS
from cia_bench.results import Result, percent
from cia_bench.scoring import DISCOVERY
from cia_bench.statistics import in_percent

PERCENTS = ("0", "25", "50", "75", "100")
SHOWN_CLIPS = 25
PAGE_STYLE = """
.scroll tbody th { min-width: 6rem; }
summary { cursor: pointer; color: var(--accent); margin: .5rem 0; }
"""


# numbers in words


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f}"


def _interval(value: float, low: float, high: float, sign: str = "") -> str:
    """A fraction and its interval in percent; `sign` is + for differences."""
    if np.isnan(value):
        return "–"
    return in_percent(value, None if np.isnan(low) else (low, high), sign).replace("-", "−")


def _found(above_chance: int, tested: int) -> str:
    return f"{above_chance:,} of {tested:,}" if tested else "not tested"


# parts of the page


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table of cells that are safe already; all but the first `texts` columns hold numbers."""

    def cell(tag: str, place: int, content: str, more: str = "") -> str:
        number = "" if place < texts else ' class="number"'
        return f"<{tag}{more}{number}>{content}</{tag}>"

    top = "".join(cell("th", place, head, ' scope="col"') for place, head in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(
            cell("th", 0, content, ' scope="row"') if place == 0 else cell("td", place, content)
            for place, content in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    return f'<div class="scroll"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'


def _head(result: Result, groups: pd.DataFrame) -> str:
    record = result.record
    model, protocol = record["model"], record["protocol"]
    rows = []
    for source, score in record["sources"].items():
        of_source = groups[groups.source == source]
        rows.append(
            [
                escape(source),
                percent(score),
                f"{100 * score['constant']['accuracy']:.1f}",
                f"{score['groups']:,}",
                f"{score['clips']:,}",
                _found(int(of_source.above_chance.sum()), int(of_source.p.notna().sum())),
            ]
        )
    what = PROTOCOLS[protocol["name"]].metric
    level = f"{100 * record['statistics']['level']:g}%"
    missing = [
        f"{source}: {words}" for source, score in record["sources"].items() if (words := coverage_in_words(score))
    ]
    notes = "".join(f'<p class="note">{escape(line)}</p>' for line in missing)
    return (
        f"<h1>{escape(model['name'])}: where it fails</h1>\n"
        f"<p>{model['dim']:,} numbers a clip, {escape(protocol['probe']['name'])} probe, protocol "
        f"{escape(protocol['name'])}: {what} in percent, with {level} intervals. A <em>constant answer</em> is always "
        "the label that is more frequent in the group’s training clips. Above chance: at a false discovery rate of "
        f"{100 * DISCOVERY:.0f}%.</p>\n"
        + _table(["source", what, "constant", "groups", "clips", "groups above chance"], rows)
        + notes
    )


def _learning(result: Result, learning: pd.DataFrame) -> str:
    charts = []
    for source, points in learning.groupby("source"):
        constant = result.record["sources"][source]["constant"]["accuracy"]
        words = "; ".join(f"{row.train_clips:,.0f} clips {_percent(row.accuracy)}" for row in points.itertuples())
        image = curve(points, constant, f"learning curve of {source}: {words}")
        charts.append(f"<figure><figcaption>{escape(source)}</figcaption>{image}</figure>")
    whole = learning.groupby("source").train_clips.max()
    rows = [
        [
            escape(row.source),
            f"{row.train_clips:,.1f}",
            f"{100 * row.train_clips / whole[row.source]:.0f}%",
            _interval(row.accuracy, row.low, row.high),
            _interval(row.gain, row.gain_low, row.gain_high, "+"),
        ]
        for row in learning.itertuples()
    ]
    return (
        "<h2>Would more training clips help?</h2>\n"
        "<p>The probe fitted again on nested parts of each group’s training clips, and scored on the same validation "
        "clips, mean over groups: about an eighth, a quarter and a half of them, or more where a part would lack a "
        "label or divide a person. Below the dots: training clips a group, and their share of all. Line across: a "
        "constant answer.</p>\n"
        f'<div class="curves">{"".join(charts)}</div>\n'
        + _table(["source", "training clips a group", "of all", "accuracy", "gain over the row above"], rows)
    )


def _accuracy_row(name: str, row, sure: bool) -> tuple[str, str, str]:
    """A row of forest; `name` is safe, `row` has accuracy, low, high and constant."""
    number = _interval(row.accuracy, row.low, row.high)
    words = f"{number}, a constant answer {_percent(row.constant)}"
    return name, strip(row.accuracy, row.low, row.high, (0, 1), row.constant, sure, words), number


def _verb_pairs(pairs: pd.DataFrame) -> str:
    rows = [
        _accuracy_row(f"{escape(row.verb_pair)} {_aside(row.source)}", row, row.tested == row.above_chance > 0)
        for row in pairs.itertuples()
    ]
    cells = [
        [
            escape(row.verb_pair),
            escape(row.source),
            f"{row.groups:,}",
            _found(row.above_chance, row.tested),
            f"{row.n:,}",
            _interval(row.accuracy, row.low, row.high),
            _percent(row.constant),
        ]
        for row in pairs.itertuples()
    ]
    heads = ["verb pair", "source", "groups", "above chance", "clips", "accuracy", "constant"]
    return (
        "<h2>Verb pairs, the best first</h2>\n"
        "<p>Dot: mean accuracy over the pair’s groups, filled if all of them are above chance. Line: its interval. "
        "Tick: a constant answer.</p>\n"
        + forest("verb pair", PERCENTS, "accuracy", rows)
        + _folded(f"All {len(pairs):,} verb pairs in numbers", _table(heads, cells, texts=2))
    )


def _groups(groups: pd.DataFrame) -> str:
    rows = [_accuracy_row(_slashed(row.group_id), row, row.above_chance) for row in groups.itertuples()]
    cells = [
        [
            _slashed(row.group_id),
            f"{row.n:,}",
            _interval(row.accuracy, row.low, row.high),
            _percent(row.constant),
            "–" if np.isnan(row.p) else f"{row.p:.3f}" if row.p >= 0.001 else "&lt; 0.001",
        ]
        for row in groups.itertuples()
    ]
    heads = ["chiral group", "clips", "accuracy", "constant", "p"]
    return (
        "<h2>Chiral groups, the best first</h2>\n"
        "<p>Dot: accuracy, filled if above chance. Line: its interval. Tick: a constant answer.</p>\n"
        + forest("chiral group", PERCENTS, "accuracy", rows)
        + _folded(
            f"All {len(groups):,} groups in numbers",
            _table(heads, cells) + '<p class="note">p: against chance, adjusted for all groups together.</p>',
        )
    )


def _hazards(hazards: pd.DataFrame) -> str:
    title = "<h2>Clips with a hazard</h2>\n"
    if hazards.empty:
        return f"{title}<p>No scored clip has a hazard.</p>"
    widest = np.nanmax(np.abs(hazards[["low", "high"]].to_numpy(float)), initial=0.1)
    end = np.ceil(10 * widest) / 10
    rows, cells = [], []
    for row in hazards.itertuples():
        number = _interval(row.difference, row.low, row.high, "+")
        told = not np.isnan(row.low)
        sure = told and not row.low <= 0 <= row.high
        image = strip(row.difference, row.low, row.high, (-end, end), 0.0, sure, number) if told else "too few to tell"
        what = f"{CLIP_HAZARDS[row.hazard]}; {row.compared:,} compared"
        name = f'{escape(row.hazard)} {_aside(row.source)}<br><span class="note">{escape(what)}</span>'
        rows.append((name, image, number if told else "–"))
        counts = [f"{row.n:,}", f"{row.compared:,}"]
        with_it, without = _percent(row.accuracy_with), _percent(row.accuracy_without)
        cells.append([escape(row.hazard), escape(row.source), *counts, with_it, without, number])
    heads = ["hazard", "source", "clips", "compared", "accuracy with it", "without", "difference"]
    labels = [f"{100 * value:+.0f}".replace("-", "−").replace("+0", "0") for value in np.linspace(-end, end, 5)]
    return (
        title
        + "<p>Accuracy of clips with a hazard minus that of clips without it of the same group and label, in points. "
        "Dot: filled if the interval leaves out 0. Each interval is for its hazard alone: of many, some leave out 0 by "
        "chance.</p>\n"
        + forest("hazard", labels, "difference", rows)
        + _folded("With and without, in numbers", _table(heads, cells, texts=2))
    )


def _wrong(wrong: pd.DataFrame, scored: int) -> str:
    title = "<h2>Clips most often wrong</h2>\n"
    if wrong.empty:
        return f"{title}<p>No clip was answered wrong.</p>"
    cells = [
        [
            f"<code>{_slashed(row.clip_id)}</code>",
            _slashed(row.group_id),
            escape(row.hazards.replace(" ", ", ")) or "–",
            f"{row.times_wrong} of {row.times_scored}",
            f"{row.label}",
            f"{row.score:+.2f}".replace("-", "−"),
        ]
        for row in wrong.head(SHOWN_CLIPS).itertuples()
    ]
    what = f"the first {SHOWN_CLIPS} of {len(wrong):,} clips" if len(wrong) > SHOWN_CLIPS else f"{len(wrong):,} clips"
    heads = ["clip", "group", "hazards", "wrong", "label", "score"]
    return (
        title
        + f"<p>Of {scored:,} answers, {what} that got a wrong one: wrong in most groups first, then by how far the "
        "score lies on the wrong side of 0 (above it the answer is label 1). The label may be wrong as well as the "
        "model: <code>wrong_clips.csv</code> beside this page lists them all, and this shows them, to judge by eye:"
        "</p>\n"
        "<pre><code>cia review --clips wrong_clips.csv</code></pre>\n" + _table(heads, cells, texts=3)
    )


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n{content}\n</details>"


def _aside(source: str) -> str:
    return f'<span class="note">{escape(source)}</span>'


def _slashed(name: str) -> str:
    """The id of a group or clip, that may break after its slashes."""
    return escape(name).replace("/", "/<wbr>")


# the whole


def report_page(result: Result, data: Data, learning: pd.DataFrame, wrong: pd.DataFrame) -> str:
    """The page, from what learning_curve and wrong_clips gave of the same result."""
    groups = by_group(result, data)
    sections = [
        _head(result, groups),
        _learning(result, learning),
        _verb_pairs(by_verb_pair(result, data)),
        _groups(groups),
        _hazards(by_hazard(result, data)),
        _wrong(wrong, len(result.predictions)),
    ]
    return page(f"{result.record['model']['name']}: where it fails", "\n".join(sections), style=STYLE + PAGE_STYLE)
