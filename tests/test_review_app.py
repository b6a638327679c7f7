import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from conftest import refusal, run_cia
from rich.cells import cell_len
from terminal import played
from test_video import H264, write_numbers
from textual.pilot import Pilot

from cia_bench.review.app import ReviewApp
from cia_bench.review.dialogs import REASONS
from cia_bench.review.lists import Clips, Queue
from cia_bench.review.panels import Bar, Keys
from cia_bench.review.session import Session
from cia_bench.review.strip_view import StripView
from cia_bench.review.strips import Strip
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES

SIZES = [(80, 24), (160, 48)]
FRIDGE = "epic/open-close/fridge"  # 14 and 7 clips opening it, 12 and 7 closing it


def play(app: ReviewApp, story: Callable[[Pilot], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
    """Run the app without a terminal, and in it the story."""

    async def run():
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await story(pilot)

    asyncio.run(run())


def keys(*pressed: str):
    """A story of key presses."""

    async def story(pilot):
        await pilot.press(*pressed)
        await pilot.pause()

    return story


async def until(pilot: Pilot, is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(400):
        if is_so():
            return
        await pilot.pause(0.05)
    raise AssertionError(screen(pilot.app))


def screen(app: ReviewApp) -> str:
    """The text on the screen."""
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


def session_of(data: Path, group_id: str | None = FRIDGE, **settings) -> Session:
    """A session of ann, at a candidate."""
    session = Session(data, **{"reviewer": "ann", **settings})
    if group_id is not None:
        session.go([item.group_id for item in session.shown].index(group_id))
    return session


def told(app: ReviewApp) -> str:
    """What was notified."""
    return "\n".join(notification.message for notification in app._notifications)


def journal(data: Path) -> list[dict]:
    path = data / "verdicts" / "epic.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def said(data: Path) -> list[tuple[str, str]]:
    """Group and verdict of each line of the journal."""
    return [(line["group_id"], line["verdict"]) for line in journal(data)]


# what is shown


@pytest.mark.parametrize("size", SIZES)
def test_a_candidate_is_shown_with_all_that_is_known_of_it(data, size):
    async def story(pilot):
        text = screen(pilot.app)
        for expected in ("open  (14 train, 7 validation)", "close  (12 train, 7 validation)", "noun     fridge"):
            assert expected in text
        assert "cia-bench: reject (on text)" in text
        assert "1 to 12 of 21" in text and "1 to 12 of 19" in text
        assert "open fridge" in text and "close fridge" in text
        assert "0/17 0%" in text and "no filmstrips: give --videos DIR" in text
        await pilot.press("i")
        assert "cia_v1_groups.csv:dc3d5a64, published as dc3d5a64" in screen(pilot.app)

    play(ReviewApp(session_of(data)), story, size)


def test_hazards_are_told_in_plain_words_and_marked_in_the_queue(data):
    async def story(pilot):
        assert "▲ one action has more than 60 percent of" in screen(pilot.app)
        assert "▲1" in screen(pilot.app)

    play(ReviewApp(session_of(data, "epic/put-in-take-out/cup")), story)


def test_other_clips_come_page_after_page(data):
    async def story(pilot):
        first = {clip.clip_id for clip in pilot.app.query_one("#clips-1", Clips).clips}
        await pilot.press("n")
        second = {clip.clip_id for clip in pilot.app.query_one("#clips-1", Clips).clips}
        assert len(first) == 12 and len(second) == 9 and not first & second
        assert "13 to 21 of 21" in screen(pilot.app)
        await pilot.press("n")
        assert "1 to 12 of 21" in screen(pilot.app)

    play(ReviewApp(session_of(data)), story)


@pytest.mark.parametrize("size", [(60, 20), (61, 21), (80, 24), (100, 32), (160, 48)])
@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark"])
def test_a_screen_of_any_size_is_filled_and_keeps_its_keys_whole(data, size, theme):
    async def story(pilot):
        pilot.app.theme = theme
        await pilot.press("tab")
        await pilot.pause()
        lines = screen(pilot.app).split("\n")
        assert len(lines) == size[1] and {cell_len(line) for line in lines} == {size[0]}
        assert lines[-1].rstrip().endswith("? keys  q quit")
        assert "by risk" in lines[0] and re.search(r"0:\d\d:\d\d *$", lines[0])
        for widget in [*pilot.app.query(Clips), pilot.app.query_one(Queue)]:
            assert widget.size.height >= 3

    play(ReviewApp(session_of(data)), story, size)


def test_what_has_no_room_is_cut_with_an_ellipsis_and_shown_in_whole_by_i(data):
    path = data / "epic" / "candidate_clips.parquet"
    clips = CANDIDATE_CLIPS.read(path)
    clips["text"] = "open the fridge " * 20 + "until the end"
    CANDIDATE_CLIPS.write(path, clips)

    async def story(pilot):
        assert "until the end" not in screen(pilot.app) and "fridge open…" in screen(pilot.app)
        await pilot.press("i", *["j"] * 20)
        await pilot.pause()
        assert "until the end" in screen(pilot.app)

    play(ReviewApp(session_of(data)), story)


def test_text_of_annotations_is_neither_markup_nor_control(data):
    evil = "[red]it[/] [@click=app.quit]\x1b[1m\u202e食"
    path = data / "epic" / "candidate_clips.parquet"
    clips = CANDIDATE_CLIPS.read(path)
    clips["text"] = evil
    CANDIDATE_CLIPS.write(path, clips)
    candidates = CANDIDATES.read(data / "epic" / "candidates.parquet")
    candidates["noun"] = "[b]\x07"
    candidates["forward"] = "[/]\x1b"
    CANDIDATES.write(data / "epic" / "candidates.parquet", candidates)

    async def story(pilot):
        for pressed in ("s", "i", "escape"):
            text = screen(pilot.app)
            assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
            await pilot.press(pressed)
            await pilot.pause()
        assert screen(pilot.app).count("[red]it[/] [@click=app.quit]\\x1b[1m\\u202e食") >= 2
        assert "[b]\\x07" in screen(pilot.app) and "[/]\\x1b" in screen(pilot.app)

    play(ReviewApp(session_of(data), {"epic": data}, data / "cache"), story, (160, 48))


def test_without_colours_strips_and_marks_are_characters(data, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    async def story(pilot):
        await pilot.press("a")
        assert pilot.app.no_color and "✓" in screen(pilot.app) and "▸" in screen(pilot.app)

    play(ReviewApp(session_of(data)), story)


def test_an_empty_queue_says_what_that_means(data):
    session = session_of(data, None)
    for _ in session.items:
        session.decide("unsure")
        session.advance()

    async def story(pilot):
        assert "Nothing left to do: you have decided all" in screen(pilot.app)
        await pilot.press("a", "r", "s", "d", "c", "n", "i", "right", "j", "G", "tab", "down")
        assert len(journal(data)) == 17
        await pilot.press("f")
        assert "decided 17" in screen(pilot.app)

    play(ReviewApp(session_of(data, None)), story)


def test_notes_on_the_journal_are_shown_at_the_start(data):
    session_of(data).decide("accept")
    path = data / "verdicts" / "epic.jsonl"
    path.write_bytes(path.read_bytes().replace(b"fridge", b"[b]gone") + b'{"group_id')
    app = ReviewApp(session_of(data))

    async def story(pilot):
        assert "a cut-off last line was set aside" in told(pilot.app)
        assert "no candidate now: 'epic/open-close/[b]gone'" in told(pilot.app)
        await until(pilot, lambda: "[b]gone" in screen(pilot.app))

    play(app, story, (160, 48))


# moving


@pytest.mark.parametrize("size", SIZES)
def test_keys_move_through_the_queue(data, size):
    session = session_of(data, None)
    places = []

    async def story(pilot):
        for pressed in ("j", "down", "k", "up", "up", "G", "j", "g", "end", "home", "pagedown", "pageup"):
            await pilot.press(pressed)
            places.append(session.position)
            assert f"group    {session.current.group_id}" in screen(pilot.app) or size == (80, 24)

    play(ReviewApp(session), story, size)
    page = places.pop(10)
    assert places == [1, 2, 1, 0, 0, 16, 16, 0, 16, 0, 0] and 10 < page <= 16


def test_tab_goes_from_the_queue_to_the_clips_of_each_label(data):
    async def story(pilot):
        app = pilot.app
        assert isinstance(app.focused, Queue)
        await pilot.press("tab", "j")
        assert app.focused is app.query_one("#clips-1") and app.focused.cursor == 1
        await pilot.press("tab")
        assert app.focused is app.query_one("#clips-0")
        await pilot.press("tab")
        assert isinstance(app.focused, Queue) and app.session.current.group_id == FRIDGE

    play(ReviewApp(session_of(data)), story)


def test_f_shows_what_is_to_do_decided_in_conflict_and_all(data):
    titles = []

    async def story(pilot):
        await pilot.press("a")
        for _ in range(5):
            await pilot.press("f")
            await pilot.pause()
            titles.append(screen(pilot.app).split("\n")[1][1:12].strip("━"))

    play(ReviewApp(session_of(data)), story)
    assert titles == ["decided 1", "conflict 0", "all 17", "to do 16", "decided 1"]


def test_a_search_narrows_the_queue_while_it_is_typed_and_escape_ends_it(data):
    async def story(pilot):
        await pilot.press("slash", *"fridge", "space", *"star")
        assert [item.group_id for item in pilot.app.session.shown] == []
        await pilot.press(*["backspace"] * 5, "enter")
        assert {item.noun for item in pilot.app.session.shown} == {"fridge"}
        assert isinstance(pilot.app.focused, Queue) and "/fridge" in screen(pilot.app)
        await pilot.press("escape")
        assert len(pilot.app.session.shown) == 17

    play(ReviewApp(session_of(data)), story)
    assert journal(data) == []  # what was typed decided nothing


def test_the_mouse_chooses_rows_clips_and_keys(data):
    session = session_of(data, None)

    async def story(pilot):
        await pilot.click(Queue, offset=(5, 4))
        assert session.position == 3
        await pilot.click("#clips-1", offset=(5, 3))
        assert pilot.app.focused is pilot.app.query_one("#clips-1")
        line = screen(pilot.app).split("\n")[-1]
        await pilot.click(Keys, offset=(line.index("unsure") + 1, 0))
        await pilot.pause()
        await pilot.click(Keys, offset=(line.index("? keys"), 0))
        await pilot.pause()
        assert "keys and marks" in screen(pilot.app)

    play(ReviewApp(session), story)
    assert said(data) == [(session.items[3].group_id, "unsure")]


def test_leaving_and_coming_back_resumes_at_the_same_place(data):
    play(ReviewApp(session_of(data)), keys("k", "q"))
    assert session_of(data, None).current.group_id == "epic/open*-close*/fridge"


# deciding


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key, verdict", [("a", "accept"), ("u", "unsure")])
def test_a_decision_is_on_the_disk_and_the_next_candidate_shows(data, size, key, verdict):
    async def story(pilot):
        await pilot.press(key)
        assert said(data) == [(FRIDGE, verdict)]
        assert pilot.app.session.current.group_id == "epic/open*-close*/door"
        assert "noun     door" in screen(pilot.app) and "1/17 5%" in screen(pilot.app)

    play(ReviewApp(session_of(data)), story, size)
    assert journal(data)[0]["basis"] == "text" and journal(data)[0]["reviewer"] == "ann"


@pytest.mark.parametrize(
    "pressed, reason",
    [
        (["3"], REASONS[2]),
        (["down", "enter"], REASONS[1]),
        (["tab", *"a 1 zq", "enter"], "a 1 zq"),
        (["tab", "enter", "x", "enter"], "x"),
    ],
)
def test_rejecting_asks_why(data, pressed, reason):
    pressed = ["space" if key == " " else key for key in pressed]
    play(ReviewApp(session_of(data)), keys("r", *pressed))
    assert [(line["verdict"], line["reason"]) for line in journal(data)] == [("reject", reason)]


@pytest.mark.parametrize("dialog", ["r", "c", "i", "question_mark"])
def test_keys_in_a_dialog_reach_nothing_below_and_escape_leaves_it(data, dialog):
    session = session_of(data)

    async def story(pilot):
        await pilot.press(dialog, "a", "u", "s", "z", "G", "escape")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1

    play(ReviewApp(session), story)
    assert journal(data) == [] and session.current.group_id == FRIDGE


def test_swap_turns_the_labels_and_stays(data):
    async def story(pilot):
        await pilot.press("s")
        assert "label 1  close  (12 train, 7 validation)" in screen(pilot.app)
        assert "you say  labels swapped" in screen(pilot.app) or "more lines" in screen(pilot.app)
        assert pilot.app.query_one("#clips-1", Clips).clip.text == "close fridge"

    play(ReviewApp(session_of(data)), story)
    assert said(data) == [(FRIDGE, "swap")]


def test_d_drops_the_clip_at_the_cursor_once(data):
    session = session_of(data)
    clip_id = session.sample(session.current, 0).clip_id.iloc[1]

    async def story(pilot):
        await pilot.press("d")
        assert "go to one with tab first" in told(pilot.app)
        await pilot.press("tab", "tab", "j", "d")
        assert "›" in screen(pilot.app) and pilot.app.focused.cursor == 2
        assert pilot.app.focused.parts(1, 40)[0][0] == "✗"
        await pilot.press("k", "d")
        assert f"{clip_id} is dropped already" in told(pilot.app)

    play(ReviewApp(session), story)
    assert [(line["verdict"], line["clip_id"]) for line in journal(data)] == [("drop", clip_id)]


def test_a_comment_is_kept_and_shown(data):
    async def story(pilot):
        await pilot.press("c", "enter", *"why", "enter")
        await pilot.press("i")
        assert "you say  “why”" in screen(pilot.app)

    play(ReviewApp(session_of(data)), story)
    assert [(line["verdict"], line["reason"]) for line in journal(data)] == [("comment", "why")]


def test_undo_goes_back_step_by_step_to_where_each_was_said(data):
    session = session_of(data)
    back = []

    async def story(pilot):
        await pilot.press("s", "a", "u", "r", "1")
        assert session.progress().decided == 3
        for _ in range(5):
            await pilot.press("z")
            back.append((session.current.group_id, session.progress().decided))
        assert "there is nothing to undo" in told(pilot.app)

    play(ReviewApp(session), story)
    said_of = [group_id for group_id, _ in said(data)[:4]]
    assert said_of[0] == said_of[1] == FRIDGE and len(set(said_of)) == 3
    assert back == [(said_of[3], 2), (said_of[2], 1), (FRIDGE, 0), (FRIDGE, 0), (FRIDGE, 0)]
    assert [verdict for _, verdict in said(data)[4:]] == ["retract"] * 4
    assert session.word(session.current).is_swapped is False


def test_in_the_order_of_disagreement_a_decision_settles(data):
    for reviewer, decision in (("ann", "accept"), ("bob", "reject")):
        session_of(data, reviewer=reviewer).decide(decision, "because")

    async def story(pilot):
        text = screen(pilot.app)
        assert "conflict 1" in text and "bob: reject (on text): because" in text and "≠" in text
        await pilot.press("u")
        assert "settled by accept or reject" in told(pilot.app)
        await pilot.press("r", "2")

    async def small(pilot):
        says = [line.split("says     ")[1].split(":")[0] for line in screen(pilot.app).split("\n") if " says " in line]
        assert says == ["bob", "cia-bench"], "what there is to settle, before all hazards"

    play(ReviewApp(session_of(data, order="disagreement")), small)
    play(ReviewApp(session_of(data, order="disagreement")), story, (160, 48))
    last = journal(data)[-1]
    assert (last["verdict"], last["decision"], last["reason"]) == ("final", "reject", REASONS[1])
    assert len(journal(data)) == 3


def test_when_all_is_decided_that_is_told(data):
    session = session_of(data)
    session.search("fridge")

    async def story(pilot):
        await pilot.press("a", "a")
        assert "all that is shown is decided" in told(pilot.app)

    play(ReviewApp(session), story)
    assert len(journal(data)) == 2


# not on the disk


@pytest.fixture
def blocked(data, tmp_path) -> tuple[Session, Path]:
    """A session whose journal can't be written, for a file is where its folder should be."""
    place = tmp_path / "blocked"
    place.write_text("a file")
    return session_of(data, sources=["epic"], verdicts=place / "epic.jsonl"), place


def lines_at(place: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (place / "epic.jsonl").read_text().splitlines()]
    return [(line["group_id"], line["verdict"]) for line in lines]


@pytest.mark.parametrize("again", ["w", "a"])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_not_saved_is_said_and_the_candidate_stays_until_it_is(blocked, again, size):
    session, place = blocked

    async def story(pilot):
        await pilot.press("a")
        text = " ".join(screen(pilot.app).split())
        assert "NOT SAVED" in text and "can't write to" in text and "w write" in text
        assert session.current.group_id == FRIDGE
        await pilot.press(again)
        assert "NOT SAVED" in screen(pilot.app) and len(session.pending) == 1
        place.unlink()
        await pilot.press(again)
        assert "NOT SAVED" not in screen(pilot.app) and session.pending == []

    play(ReviewApp(session), story, size)
    assert lines_at(place) == [(FRIDGE, "accept")]
    assert (session.current.group_id == FRIDGE) == (again == "w")


def test_a_changed_mind_about_what_is_not_saved_counts(blocked):
    session, place = blocked

    async def story(pilot):
        await pilot.press("a", "r", "1", "s")
        assert len(session.pending) == 3
        await pilot.press("z")
        place.unlink()
        await pilot.press("c", "x", "enter")

    play(ReviewApp(session), story)
    assert [verdict for _, verdict in lines_at(place)] == ["accept", "reject", "comment"]


def test_quitting_asks_first_if_decisions_would_be_lost(blocked):
    session, place = blocked

    async def story(pilot):
        await pilot.press("a", "q")
        await pilot.pause()
        assert "1 line of yours is not on the disk" in screen(pilot.app)
        await pilot.press("n")
        assert pilot.app.is_running and pilot.app.return_code is None
        await pilot.press("q", "y")
        await pilot.pause()
        assert pilot.app.return_code == 0

    play(ReviewApp(session), story)
    assert place.is_file()


# filmstrips


@pytest.fixture
def videos(data, tmp_path) -> Path:
    """Videos of the two fridge groups' clips: the sample's intervals, on short pictures with numbers."""
    path = data / "epic" / "candidate_clips.parquet"
    clips = CANDIDATE_CLIPS.read(path)
    clips["start_s"], clips["stop_s"], clips["video"] = 0.0, 0.4, "all.mp4"
    CANDIDATE_CLIPS.write(path, clips)
    folder = tmp_path / "videos"
    folder.mkdir()
    write_numbers(folder / "all.mp4", options=H264)
    return folder


def test_strips_are_drawn_and_make_a_decision_one_on_video(data, videos, tmp_path):
    session = session_of(data)
    app = ReviewApp(session, {"epic": videos}, tmp_path / "cache")

    async def story(pilot):
        await until(pilot, lambda: all(isinstance(view.strip, Strip) for view in app.query(StripView)))
        await until(pilot, lambda: session._seen == {FRIDGE})
        text = screen(app)
        assert "1: open fridge, 0.0 to 0.4 s" in text and "0: close fridge, 0.0 to 0.4 s" in text
        assert "no filmstrips" not in text
        await pilot.press("a")

    play(app, story, (100, 40))
    assert journal(data)[0]["basis"] == "video"
    assert list((tmp_path / "cache").rglob("*.jpg"))


def test_arrows_scrub_both_strips_or_that_of_the_label_with_the_focus(data, videos, tmp_path):
    app = ReviewApp(session_of(data), {"epic": videos}, tmp_path / "cache")
    first = []

    async def story(pilot):
        views = [app.query_one(f"#strip-{label}", StripView) for label in (1, 0)]
        await until(pilot, lambda: all(isinstance(view.strip, Strip) for view in views))
        await pilot.pause()
        assert " of 16 frames" in screen(app)
        await pilot.press("right", "right")
        first.append([view.first for view in views])
        assert "frames 2 to " in screen(app)
        await pilot.press("tab", "left", "left", "left")
        first.append([view.first for view in views])
        await pilot.press("tab", *["right"] * 20)
        await pilot.pause()
        assert " to 16 of 16" in screen(app)

    play(app, story, (100, 40))
    assert first == [[1, 1], [-1, 1]]


def test_strips_that_have_no_room_are_folded_until_v_and_seen_by_nobody(data, videos, tmp_path):
    app = ReviewApp(session_of(data), {"epic": videos}, tmp_path / "cache")

    async def story(pilot):
        assert not app.query_one("#strips").display
        await pilot.press("u", "v")
        await until(pilot, lambda: app.query_one("#strip-1", StripView).strip is not None)
        assert app.query_one("#strips").display and app.query_one("#clips-0").size.height >= 1
        await pilot.press("v")
        assert not app.query_one("#strips").display

    play(app, story)
    assert [line["basis"] for line in journal(data)] == ["text"]


def test_a_video_that_is_missing_or_no_video_is_told_in_its_strip(data, videos, tmp_path):
    (videos / "all.mp4").write_bytes(b"no video")
    app = ReviewApp(session_of(data), {"epic": videos}, tmp_path / "cache")

    async def story(pilot):
        text = "can't be read as"
        await until(pilot, lambda: text in " ".join(screen(app).split()))  # wherever a long path breaks it
        await pilot.press("a")
        (videos / "all.mp4").unlink()

    play(app, story, (100, 40))
    assert journal(data)[0]["basis"] == "text"
    app = ReviewApp(session_of(data, "epic/open*-close*/fridge"), {"epic": videos}, tmp_path / "cache")

    async def missing(pilot):
        await until(pilot, lambda: "all.mp4 is missing" in screen(app))

    play(app, missing, (100, 40))


# the command


def test_a_list_of_clips_is_reviewed_alone(data):
    clips = CANDIDATE_CLIPS.read(data / "epic" / "candidate_clips.parquet")
    clip_id = clips[clips.group_id == FRIDGE].clip_id.iloc[0]

    async def story(pilot):
        assert "all 2" in screen(pilot.app) and "1 to 1 of 1" in screen(pilot.app)

    play(ReviewApp(session_of(data, clip_ids=[clip_id])), story)


def test_without_a_terminal_the_command_points_to_verdicts(data):
    assert "cia verdicts" in refusal("review", "--data", data, "--reviewer", "ann")


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--source", "ssv2"], "holds no build of 'ssv2'"),
        (["--order", "age"], "unknown order 'age'"),
        (["--clips", "nowhere.txt"], "nowhere.txt is no file"),
        (["--videos", "nowhere"], "no folder with videos at nowhere"),
        (["--reviewer", "cia-bench"], "reviewer is 'cia-bench'"),
    ],
)
def test_bad_options_are_refused_in_one_line(data, arguments, told):
    assert told in refusal("review", "--data", data, "--reviewer", "ann", *arguments, cwd=data)


def test_in_a_terminal_the_command_reviews_and_says_what_was_done(data):
    cia = shutil.which("cia", path=Path(sys.executable).parent)
    command = [cia, "review", "--data", data, "--reviewer", "ann"]
    shown, status = played(command, [(b"quit", b"a"), (b"1/17", b"q")], 80, 24)
    assert status == 0
    assert b"1 decisions in this session; 1 of 17 candidates are decided" in shown
    assert [verdict for _, verdict in said(data)] == ["accept"]


def test_help_does_not_import_the_screen():
    code = "import sys; from cia_bench.cli import main; print([m for m in sys.modules if m.startswith('textual')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    assert "--reviewer" in run_cia("review", "--help").stdout


def test_progress_and_rate_are_on_top(data):
    session = session_of(data)
    session._started -= 120

    async def story(pilot):
        await pilot.press("a", "u")
        pilot.app.query_one(Bar).refresh()
        await pilot.pause()
        top = screen(pilot.app).split("\n")[0]
        assert "2/17 11%" in top and "60/h" in top.replace("59/h", "60/h") and "0:02:0" in top

    play(ReviewApp(session), story)


def test_a_journal_that_somebody_breaks_meanwhile_is_told_and_the_decision_is_kept(data):
    async def story(pilot):
        path = data / "verdicts" / "epic.jsonl"
        path.parent.mkdir()
        path.write_text("accept it\n")
        await pilot.press("u")
        await pilot.pause()
        assert f"{path} line 1 is no verdict" in told(pilot.app)
        assert json.loads(path.read_text().splitlines()[1])["verdict"] == "unsure"

    play(ReviewApp(session_of(data)), story)
