"""The report of a real result in a real browser, and its list of clips in a real review."""

import re
import sys
from pathlib import Path

import pytest
from browser import DESK, PHONE, browser
from terminal import played
from test_report import HOSTILE, written

OPEN_ALL = "for (const folded of document.querySelectorAll('details')) folded.open = true"


def test_the_page_opens_without_errors_or_requests_on_any_screen_in_light_and_dark(reported, tmp_path):
    hostile, _ = written(tmp_path, HOSTILE, noun=HOSTILE.replace("/", "|"), clip=HOSTILE)
    pages = [reported / "cia-results" / "random" / "report.html", hostile]
    with browser() as opened:
        for url in (page.as_uri() for page in pages):
            lightness = {}
            for size in (DESK, PHONE):
                for dark in (False, True):
                    opened.open(url, size, dark)
                    opened.run(OPEN_ALL)
                    assert opened.log("browser") == []
                    assert opened.requested() == [url]
                    wide = opened.run("return document.documentElement.scrollWidth")
                    assert wide <= size[0], "the page scrolls sideways"
                    assert opened.run("return document.querySelectorAll('script').length") == 0
                    for what in ("backgroundColor", "color"):
                        colour = opened.run(f"return getComputedStyle(document.body).{what}")  # rgb(20, 23, 27)
                        lightness[what, dark] = sum(map(int, re.findall(r"\d+", colour)))
            assert lightness["backgroundColor", True] < 150 < 600 < lightness["color", True]
            assert lightness["color", False] < 150 < 600 < lightness["backgroundColor", False]


def test_every_dot_lies_where_its_axis_says(reported):
    url = (reported / "cia-results" / "random" / "report.html").as_uri()
    with browser() as opened:
        opened.open(url, PHONE)
        places = opened.run(
            """return [...document.querySelectorAll('.forest')].slice(0, 2).flatMap(table =>
                 [...table.querySelectorAll('tbody tr:not(.gap)')].map(row => {
                   const dot = row.querySelector('circle').getBoundingClientRect();
                   const ticks = [...table.querySelectorAll('thead text')].map(t => t.getBoundingClientRect());
                   const middle = box => box.left + box.width / 2;
                   const share = (middle(dot) - middle(ticks[0])) / (middle(ticks[4]) - middle(ticks[0]));
                   return [100 * share, parseFloat(row.querySelector('.number').textContent)];
                 }))"""
        )
    assert len(places) > 10
    for drawn, said in places:
        assert drawn == pytest.approx(said, abs=1)


def test_cia_review_opens_the_list_as_it_is(reported):
    cia = Path(sys.executable).parent / "cia"
    wrong = reported / "cia-results" / "random" / "wrong_clips.csv"
    command = [cia, "review", "--clips", wrong, "--reviewer", "ann"]
    shown, status = played(command, [(b"quit", b"q")], 100, 30, cwd=reported)
    assert status == 0, shown
    assert b"0 decisions in this session" in shown
