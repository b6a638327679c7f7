"""Write rankings as one web page that asks nobody for anything: tables, and charts that follow what the tables show."""

import json
from importlib.resources import files
from itertools import count

from cia_bench.errors import printable
from cia_bench.leaderboard.columns import Column, columns_of, score_of
from cia_bench.leaderboard.html_table import differences_table, models_of, overview_table, ranking_table
from cia_bench.leaderboard.look import KINDS, SCALE, groups_of, kind_of, rgb
from cia_bench.leaderboard.overview import Overview, overview_notes, overview_title, with_overviews
from cia_bench.leaderboard.rows import Row
from cia_bench.leaderboard.table import Ranking
from cia_bench.leaderboard.terms import terms_of
from cia_bench.leaderboard.wording import notes, title, warning
from cia_bench.pages import escape, page

SCRIPTS = ("table.js", "explore.js", "bubbles.js", "forest.js", "heat.js", "main.js")


def as_html(rankings: list[Ranking]) -> str:
    """Rankings as a page, a section each; every name is text wherever it stands."""
    folder = files("cia_bench.leaderboard") / "page"
    data = {"heat": [[percent, rgb(colour)] for percent, colour in SCALE], "rankings": list(map(_data, rankings))}
    literal = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", r"\u003c")
    code = "".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    named = _named(rankings)
    body = "".join(
        [
            "<h1>Chirality in Action: leaderboard</h1>\n",
            *(f"<p>{escape(line)}</p>\n" for line in warning(rankings)),
            _contents(named),
            *(_overview(name, one) if isinstance(one, Overview) else _section(name, one) for name, one in named),
            '<div id="tip" role="status" hidden></div>\n',
        ]
    )
    style = (folder / "board.css").read_text(encoding="utf-8") + _kind_style()
    return page("Chirality in Action: leaderboard", body, f'"use strict";\nconst DATA = {literal};\n{code}', style)


def _named(rankings: list[Ranking]) -> list[tuple[str, Overview | Ranking]]:
    """What the page shows, in order, with the ids of the sections; rankings have those that main.js looks for."""
    numbers = {Overview: count(1), Ranking: count(1)}
    words = {Overview: "overview", Ranking: "ranking"}
    return [(f"{words[type(one)]}-{next(numbers[type(one)])}", one) for one in with_overviews(rankings)]


def _contents(named: list[tuple[str, Overview | Ranking]]) -> str:
    if len(named) == 1:
        return ""
    links = (
        f'<li><a href="#{name}">{escape(overview_title(one) if isinstance(one, Overview) else title(one))}</a></li>'
        for name, one in named
    )
    return f'<nav aria-label="Tables"><ul>{"".join(links)}</ul></nav>\n'


def _kind_style() -> str:
    light, dark = (
        "".join(f".kind-{kind} {{ --kind: {look[place]} }}\n" for kind, look in KINDS.items()) for place in (1, 2)
    )
    return f"{light}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n"


# sections


def _overview(name: str, overview: Overview) -> str:
    return _head(name, overview_title(overview), overview_notes(overview)) + f"{overview_table(overview)}</section>\n"


def _section(name: str, ranking: Ranking) -> str:
    parts = (_filters(ranking), ranking_table(ranking), differences_table(ranking), _charts(ranking))
    return _head(name, title(ranking), notes(ranking)) + "".join(parts) + "</section>\n"


def _head(name: str, heading: str, facts: list[str]) -> str:
    listed = "".join(f"<li>{escape(line)}</li>" for line in facts)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{escape(heading)}</h2>\n'
        f'<ul class="note">{listed}</ul>\n'
    )


def _filters(ranking: Ranking) -> str:
    reported = any(row.reported for row in ranking.rows)
    choice = '<label class="check"><input type="checkbox" name="reported" checked> reported rows</label>\n'
    return (
        '<form class="filters" role="search" aria-label="Filter the rows" hidden>\n'
        '<label>Model or encoder has <input type="search" name="name" autocomplete="off"></label>\n'
        '<label>At most, million parameters <input type="number" name="parameters" min="0" step="any"></label>\n'
        '<label>At most, numbers in an embedding <input type="number" name="dim" min="1"></label>\n'
        f"{choice if reported else ''}"
        '<button type="reset">Show all</button>\n<output name="shown"></output>\n</form>\n'
        '<noscript><p class="note">Sorting, filters and charts need JavaScript.</p></noscript>\n'
    )


def _charts(ranking: Ranking) -> str:
    kinds = {kind_of(row) for row in models_of(ranking)}
    legend = "".join(f'<li class="kind-{kind}">{words}</li>' for kind, (words, *_) in KINDS.items() if kind in kinds)
    options = "".join(f'<option value="{index}">{escape(name)}</option>' for index, name in enumerate(_scored(ranking)))
    gradient = ", ".join(f"{colour} {percent}%" for percent, colour in SCALE)
    keys = "Arrow keys go from one to the next."
    terms = terms_of(ranking.protocol_name)
    cells = f"{terms.group.capitalize()}s and models"
    return (
        '<div class="charts" hidden>\n<div class="filters">'
        f"<label>The charts show {escape(ranking.metric)} of <select>{options}</select></label></div>\n"
        f'<ul class="legend">{legend}</ul>\n'
        f'<figure class="bubbles">\n<figcaption><h3>Accuracy against parameters</h3>'
        "The area of a bubble is the size of the embedding; dashed bubbles are of numbers that were published, or of "
        "models that state no size.</figcaption>\n"
        f'<svg tabindex="0" role="application" aria-label="Bubbles, a model each. {keys}"></svg>\n'
        '<p class="note"></p>\n</figure>\n'
        '<figure class="forest">\n<figcaption><h3>Intervals</h3>'
        f"{100 * ranking.level:g}% intervals, in the table's order; dashed, with its interval in grey: the constant "
        "answer.</figcaption>\n"
        f'<div class="drawing"><svg tabindex="0" role="application" aria-label="Intervals, a model each. {keys}"></svg>'
        "</div>\n</figure>\n"
        f'<figure class="heat">\n<figcaption><h3>{cells}</h3>{terms.groups_order}</figcaption>\n'
        f'<div class="scale">0 <i style="background: linear-gradient(90deg, {gradient})"></i> 100, white is 50'
        "</div>\n"
        '<div class="drawing"><div class="cells-grid"><div class="corner"></div><div class="tops"></div>'
        '<div class="lefts"></div><div class="cells">'
        f'<canvas tabindex="0" role="application" aria-label="{cells}, a cell each. {keys}"></canvas>'
        '<div class="cursor" hidden></div></div></div></div>\n</figure>\n</div>\n'
    )


# what the charts draw


def _scored(ranking: Ranking) -> list[str]:
    return ["mean", *ranking.sources] if len(ranking.sources) > 1 else [*ranking.sources]


def _data(ranking: Ranking) -> dict:
    columns, groups = columns_of(ranking), groups_of(ranking.rows)
    scored = _scored(ranking)
    constant = next(row for row in ranking.rows if row.constant)
    return {
        "scored": list(map(printable, scored)),
        "unit": terms_of(ranking.protocol_name).clip.rpartition(" ")[2] + "s",
        "constant": {"scores": [_numbers(score_of(constant, name)) for name in scored]},
        "groups": [{"name": printable(group_id), "clips": group["n"]} for group_id, group in groups.items()],
        "models": [
            {
                "name": printable(row.model),
                "find": printable(f"{row.model} {row.encoder or ''}").lower(),
                "kind": kind_of(row),
                "reported": row.reported,
                "parameters": row.parameters,
                "dim": row.dim,
                "scores": [_numbers(score_of(row, name)) for name in scored],
                "words": _words(columns, row),
                "cells": _by_group(row, groups),
            }
            for row in models_of(ranking)
        ],
    }


def _numbers(score: dict | None) -> list[float | None] | None:
    """Accuracy and the ends of its interval in percent."""
    if score is None:
        return None
    return [round(100 * score["accuracy"], 2), *(round(100 * end, 2) for end in score["interval"] or ())] + (
        [] if score["interval"] else [None, None]
    )


def _words(columns: list[Column], row: Row) -> str:
    """All that is known of a row, a line each."""
    known = [f"{column.name}: {column.text(row)}" for column in columns if column.value(row) is not None]
    known += [f"reported by {row.reported_by}"] if row.reported_by else []
    return "\n".join(map(printable, [row.model + (" (reported)" if row.reported else ""), *known]))


def _by_group(row: Row, groups: dict[str, dict]) -> list[list[float | None] | None] | None:
    if not row.groups:
        return None
    own = {group["group_id"]: _numbers(group) for group in row.groups}
    return [own.get(group_id) for group_id in groups]
