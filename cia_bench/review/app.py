"""The screen of `cia review`: shows a session and passes keys on to it."""

import sys
from collections.abc import Mapping
from pathlib import Path

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from cia_bench.clip_files import video_places
from cia_bench.errors import ConfigError, printable
from cia_bench.review.dialogs import PageDialog, QuitDialog, ReasonDialog, TextDialog
from cia_bench.review.journal import Verdict
from cia_bench.review.key_list import FIRST, LAST, WRITE, help_lines
from cia_bench.review.lists import Clips, Queue
from cia_bench.review.panels import Bar, Group, Hint, Keys, in_lines
from cia_bench.review.rows import Rows
from cia_bench.review.session import FILTERS, Session
from cia_bench.review.strip_loader import StripLoader
from cia_bench.review.strip_view import StripView
from cia_bench.review.strips import NoStrip, Strip, Strips
from cia_bench.review.wording import clip_fields, fields

WIDE, TALL = 120, 32  # cells from which clips are side by side, and strips shown unasked
STRIP_ROWS, GROUP_ROWS = (4, 9), (4, 12)  # the least and the most of a strip, and of what is said of a group
OTHER_ROWS = 22  # that the rest of the screen wants before a strip has more than the least
LABELS = (1, 0)  # from top to bottom
STRIP_WORKERS = 2
PLAIN_COLOURS = ("standard", "windows", None)  # a terminal of 16 colours or none gets a theme made of them


def review(session: Session, videos: Path | None = None) -> None:
    """Show a session on this terminal until its reviewer quits, with the videos that are found (see video_folders).

    Raises ConfigError if there is no terminal, or not the folder `videos`.
    """
    places = video_places(session.data, session.sources, videos)
    found = {name: place for name, some in places.items() for place in reversed(some) if place.is_dir()}
    if videos is not None and not found:
        looked = ", ".join(str(place) for some in places.values() for place in some)
        raise ConfigError(f"no folder with videos at {looked}; --videos is the folder of the one source, or of all")
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # Textual draws on the last
        raise ConfigError("no terminal to review on; cia verdicts export and import take verdicts as a table instead")
    ReviewApp(session, found).run()


class ReviewApp(App):
    """The queue on the left, the candidate and its clips on the right, their filmstrips below."""

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]
    CSS = """
    #top { height: 1fr; }
    #left { width: 35%; min-width: 22; max-width: 56; border-right: vkey $primary-muted; }
    #banner { display: none; height: auto; padding: 0 1; background: $error; color: $text; text-style: bold; }
    #search { display: none; border: none; height: 1; padding: 0 1; }
    #strips { display: none; height: auto; }
    #clips { height: 1fr; layout: vertical; }
    .-wide #clips { layout: horizontal; }
    .-wide Clips { width: 1fr; height: 100%; }
    .-wide #clips-0 { margin-left: 1; }
    Queue, Clips, StripView {
        height: 1fr;
        border-top: solid $primary-muted;
        border-title-color: $foreground;
    }
    Queue:focus, Clips:focus { border-top: heavy $border; border-title-style: bold; }
    """
    BINDINGS = [
        Binding("a", "decide('accept')"),
        Binding("r", "reject"),
        Binding("u", "decide('unsure')"),
        Binding("s", "swap"),
        Binding("d", "drop"),
        Binding("c", "comment"),
        Binding("z", "undo"),
        Binding("w", "write"),
        Binding("n", "other_clips"),
        Binding("left", "scrub(-1)"),
        Binding("right", "scrub(1)"),
        Binding("f", "filter"),
        Binding("slash", "search"),
        Binding("escape", "end_search"),
        Binding("i", "all"),
        Binding("v", "fold_strips"),
        Binding("t", "turn_theme"),
        Binding("question_mark", "keys"),
        Binding("q", "quit"),
    ]

    class StripLoaded(Message):
        """A strip was loaded, in a thread."""

        def __init__(self, clip, strip: Strip | NoStrip):
            super().__init__()
            self.clip, self.strip = clip, strip

    def __init__(self, session: Session, folders: Mapping[str, Path] | None = None, cache: Path | None = None):
        """`folders` has the videos of each source that has any; strips are kept in `cache` (see Strips)."""
        super().__init__()
        self.session, self.page = session, 0
        self.strips = Strips(folders, cache, STRIP_WORKERS) if folders else None
        self.unfolded: bool | None = None  # whether strips are shown; None: where there is room

    # the screen

    def compose(self) -> ComposeResult:
        yield Bar(self.session)
        yield Static(id="banner")
        with Horizontal(id="top"):
            with Vertical(id="left"):
                yield Queue(self.session)
                yield Input(id="search", placeholder="search", select_on_focus=False)
            with Vertical(id="right"):
                yield Group(self.session)
                with Container(id="clips"):
                    for label in LABELS:
                        yield Clips(self.session, label, id=f"clips-{label}")
        with Vertical(id="strips"):
            for label in LABELS:
                yield StripView(label, id=f"strip-{label}")
        yield Hint()
        yield Keys(FIRST, LAST)

    def on_mount(self) -> None:
        if self.console.color_system in PLAIN_COLOURS and self.theme == "textual-dark":
            self.theme = "ansi-dark"
        if self.strips:
            self.loader = StripLoader(self.strips, self._strip_loaded, STRIP_WORKERS)
        self.query_one(Queue).focus()
        self.show_queue()
        self.set_interval(1, self.query_one(Bar).refresh)
        for note in self.session.notes:
            self.tell(note, "warning")

    def on_unmount(self) -> None:
        self.session.close()
        if self.strips:
            self.loader.close()
            self.strips.close()

    def on_resize(self) -> None:
        self._fold()

    def tell(self, text: str, severity: str = "information") -> None:
        """Show a line for some seconds; whatever is in it, it is no markup."""
        self.notify(printable(text), severity=severity, markup=False)

    # showing

    def show_queue(self) -> None:
        """Show the queue anew, and the candidate that the session is at."""
        self.query_one(Queue).show()
        self.show_candidate()

    def show_candidate(self) -> None:
        """Show the candidate that the session is at, from its first clips on."""
        self.page = 0
        self.query_one(Queue).put(self.session.position)
        self._show_group()

    def _show_group(self) -> None:
        item = self.session.current
        self.query_one(Group).show(item)
        for label in LABELS:
            self._clips(label).show(item, self.page)
        self._show_problem()
        self._fold()
        self._show_strips()

    def _show_problem(self) -> None:
        """Say on a banner what is not on the disk."""
        problem, count = self.session.problem, len(self.session.pending)
        banner = self.query_one("#banner", Static)
        banner.display = problem is not None
        if problem is not None:
            what = "Your last line is" if count == 1 else f"Your last {count} lines are"
            banner.update(Content(f"NOT SAVED. {what} not on the disk: {problem}. w tries again."))
        keys = self.query_one(Keys)
        keys.first = [WRITE, *FIRST] if problem is not None else FIRST
        keys.refresh()
        self.query_one(Bar).refresh()

    def _fold(self) -> None:
        """Give each part its room: strips, or how to get them, only if there is enough."""
        item, (_, height) = self.session.current, self.size
        has_videos = item is not None and self.strips is not None and item.source in self.strips.folders
        strips, hint = self.query_one("#strips"), self.query_one(Hint)
        strips.display = has_videos and (height >= TALL if self.unfolded is None else self.unfolded)
        roomy = height >= OTHER_ROWS if self.unfolded is None else self.unfolded
        hint.display = item is not None and not has_videos and roomy
        hint.show(item.source if item else "")
        rows = _between(STRIP_ROWS, (height - OTHER_ROWS) // 2)
        for label in LABELS:
            self._strip(label).styles.height = 1 + rows
        left = height - (2 * (1 + rows) if strips.display else 0)
        self.query_one(Group).styles.height = _between(GROUP_ROWS, left // 2 - 3)

    def _show_strips(self) -> None:
        """Show the strips of the clips at the cursors, those that are loaded at once."""
        if not self.strips or not self.query_one("#strips").display:
            return
        clips = [self._clips(label).clip for label in LABELS]
        for label, clip in zip(LABELS, clips, strict=True):
            self._strip(label).show(clip, self.strips.cached(clip) if clip else None)
        soon = [clip for clip in [*clips, *self._next_clips()] if clip and self.strips.cached(clip) is None]
        self.loader.want(soon)

    def _next_clips(self) -> list:
        """The first clips of the next candidate, whose strips may be made ready."""
        place = self.session.position + 1
        if place >= len(self.session.shown):
            return []
        samples = [self.session.sample(self.session.shown[place], label) for label in LABELS]
        return [next(sample.itertuples(index=False), None) for sample in samples]

    def _clips(self, label: int) -> Clips:
        return self.query_one(f"#clips-{label}", Clips)

    def _strip(self, label: int) -> StripView:
        return self.query_one(f"#strip-{label}", StripView)

    # what comes up

    def on_rows_moved(self, message: Rows.Moved) -> None:
        if isinstance(message.rows, Queue):
            self.session.go(message.rows.cursor)
            self.show_candidate()
        else:
            self._show_strips()

    def on_strip_view_drawn(self, message: StripView.Drawn) -> None:
        item = self.session.current
        if item is not None and item.group_id == message.clip.group_id:
            self.session.saw_video(item)

    def _strip_loaded(self, clip, strip: Strip | NoStrip) -> None:
        self.post_message(self.StripLoaded(clip, strip))

    def on_review_app_strip_loaded(self, message: StripLoaded) -> None:
        for label in LABELS:
            self._strip(label).offer(message.clip, message.strip)

    @on(Input.Changed, "#search")
    def search(self, event: Input.Changed) -> None:
        self.session.search(event.value)
        self.show_queue()

    @on(Input.Submitted, "#search")
    def leave_search(self) -> None:
        self.query_one("#search").display = False
        self.query_one(Queue).focus()

    # deciding

    def action_decide(self, decision: str, reason: str = "") -> None:
        """Decide on the candidate; the next one shows only once that is on the disk."""
        if self._tried_again(decision):
            return
        if self._say(lambda: self.session.decide(decision, reason)):
            self._advance()

    def action_reject(self) -> None:
        if self.session.current and not self._tried_again("reject"):
            self.push_screen(ReasonDialog(), lambda reason: reason and self.action_decide("reject", reason))

    def action_swap(self) -> None:
        self._say(self.session.swap)

    def action_drop(self) -> None:
        clips = self.focused
        if not isinstance(clips, Clips) or clips.clip is None:
            self.tell("d drops a clip: go to one with tab first")
        elif self._say(lambda: self.session.drop(clips.clip.clip_id)):
            clips.action_move(1)

    def action_comment(self) -> None:
        if self.session.current:
            self.push_screen(TextDialog("comment"), lambda text: text and self._say(lambda: self.session.comment(text)))

    def action_undo(self) -> None:
        taken = self.session.undo()
        self.show_queue()
        if taken is not None:
            self.tell(f"taken back: {taken.verdict} on {taken.group_id}")
        elif self.session.problem is None:
            self.tell("there is nothing to undo")

    def action_write(self) -> None:
        """Try again to write what is not on the disk."""
        if self.session.pending and self.session.flush():
            self.tell("saved")
        self._show_problem()

    async def action_quit(self) -> None:
        if self.session.pending and not self.session.flush():
            dialog = QuitDialog(len(self.session.pending), self.session.problem)
            self.push_screen(dialog, lambda lose: lose and self.exit())
        else:
            self.exit()

    def _say(self, say) -> bool:
        """Say something of the candidate and show what it changed; whether it is on the disk."""
        try:
            saved = say()
        except ConfigError as error:
            self.tell(str(error), "warning")
            return False
        self._show_said()
        return saved

    def _show_said(self) -> None:
        item, queue = self.session.current, self.query_one(Queue)
        queue.refresh_line(queue.cursor)
        self.query_one(Group).show(item)
        for label in LABELS:
            clips = self._clips(label)
            cursor = clips.cursor
            clips.show(item, self.page)
            clips.put(min(cursor, max(0, clips.count - 1)))
        self._show_problem()
        self._show_strips()

    def _tried_again(self, decision: str) -> bool:
        """Whether the key repeats what waits to be written: then it is tried again, not said twice."""
        last: Verdict | None = self.session.pending[-1] if self.session.pending else None
        item = self.session.current
        if not last or not item or last.group_id != item.group_id or decision not in (last.verdict, last.decision):
            return False
        if self.session.flush():
            self._advance()
        else:
            self._show_problem()
        return True

    def _advance(self) -> None:
        if not self.session.advance():
            self.tell("all that is shown is decided; f shows others")
        self.show_candidate()

    # looking

    def action_other_clips(self) -> None:
        self.page += 1
        for label in LABELS:
            self._clips(label).show(self.session.current, self.page)
        self._show_strips()

    def action_scrub(self, step: int) -> None:
        labels = [self.focused.label] if isinstance(self.focused, Clips) else LABELS
        for label in labels:
            self._strip(label).scrub(step)

    def action_filter(self) -> None:
        self.session.show(FILTERS[(FILTERS.index(self.session.filter) + 1) % len(FILTERS)])
        self.show_queue()

    def action_search(self) -> None:
        self.query_one("#search").display = True
        self.query_one("#search").focus()

    def action_end_search(self) -> None:
        """Show all again."""
        search = self.query_one("#search", Input)
        search.value, search.display = "", False
        self.query_one(Queue).focus()

    def action_all(self) -> None:
        """Show all about the candidate, and the clip at the cursor."""
        item = self.session.current
        if item is None:
            return
        side = self.focused if isinstance(self.focused, Clips) else self._clips(1)
        found = fields(self.session, item) + (clip_fields(side.clip) if side.clip else [])
        self.push_screen(PageDialog("all about it", in_lines(found, min(68, self.size.width * 96 // 100 - 5))))

    def action_fold_strips(self) -> None:
        strips, hint = self.query_one("#strips"), self.query_one(Hint)
        self.unfolded = not (strips.display or hint.display)
        self._fold()
        self._show_strips()

    def action_turn_theme(self) -> None:
        """From dark to light, or back."""
        kind, is_dark = ("ansi" if self.current_theme.ansi else "textual"), self.current_theme.dark
        self.theme = f"{kind}-{'light' if is_dark else 'dark'}"

    def action_keys(self) -> None:
        self.push_screen(PageDialog("keys and marks", help_lines()))


def _between(bounds: tuple[int, int], number: int) -> int:
    return max(bounds[0], min(bounds[1], number))
