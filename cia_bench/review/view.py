"""What `cia review` shows of a session, and where: the queue, the candidate, its clips and their filmstrips."""

from collections.abc import Mapping
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from cia_bench.review.key_list import FIRST, LAST, WRITE
from cia_bench.review.lists import Clips, Queue
from cia_bench.review.panels import Bar, Group, Hint, Keys
from cia_bench.review.rows import Rows
from cia_bench.review.session import Session
from cia_bench.review.strip_loader import StripLoader
from cia_bench.review.strip_view import StripView
from cia_bench.review.strips import NoStrip, Strip, Strips

WIDE, TALL = 120, 32  # cells from which clips are side by side, and strips shown unasked
STRIP_ROWS, GROUP_ROWS = (4, 9), (4, 12)  # the least and the most of a strip, and of what is said of a group
OTHER_ROWS = 22  # that the rest of the screen wants before a strip has more than the least
LABELS = (1, 0)  # from top to bottom
STRIP_WORKERS = 2
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
Queue, Clips, StripView { height: 1fr; border-top: solid $primary-muted; border-title-color: $foreground; }
Queue:focus, Clips:focus { border-top: heavy $border; border-title-style: bold; }
"""


class View(Vertical):
    """All of the screen: the queue on the left, the candidate on the right, filmstrips below."""

    class StripLoaded(Message):
        """A strip was loaded, in a thread."""

        def __init__(self, clip, strip: Strip | NoStrip):
            super().__init__()
            self.clip, self.strip = clip, strip

    def __init__(self, session: Session, folders: Mapping[str, Path], cache: Path | None):
        """`folders` has the videos of each source that has any; strips are kept in `cache` (see Strips)."""
        super().__init__()
        self.session, self.page = session, 0
        self.strips = Strips(folders, cache, STRIP_WORKERS) if folders else None
        self.unfolded: bool | None = None  # whether strips are shown; None: where there is room

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
        if self.strips:
            self.loader = StripLoader(self.strips, self._strip_loaded, STRIP_WORKERS)
        self.query_one(Queue).focus()
        self.set_interval(1, self.query_one(Bar).refresh)
        self.show_queue()

    def on_unmount(self) -> None:
        if self.strips:
            self.loader.close()
            self.strips.close()

    def on_resize(self) -> None:
        self._fold()

    def clips(self, label: int) -> Clips:
        """The list of clips of a label."""
        return self.query_one(f"#clips-{label}", Clips)

    def strip(self, label: int) -> StripView:
        """The filmstrip of a label."""
        return self.query_one(f"#strip-{label}", StripView)

    # what is shown

    def show_queue(self) -> None:
        """Show the queue anew, and the candidate that the session is at."""
        with self.prevent(Input.Changed):
            self.query_one("#search", Input).value = self.session.searched
        self.query_one(Queue).show()
        self.show_candidate()

    def show_candidate(self) -> None:
        """Show the candidate that the session is at, from its first clips on."""
        self.query_one(Queue).put(self.session.position)
        self.show_clips(0)
        self.show_said()

    def show_clips(self, page: int) -> None:
        """Show a page of the clips of the candidate."""
        self.page = page
        for label in LABELS:
            self.clips(label).show(self.session.current, page)
        self._fold()
        self.show_strips()

    def show_said(self) -> None:
        """Show anew what is said of the candidate."""
        queue = self.query_one(Queue)
        queue.refresh_line(queue.cursor)
        self.query_one(Group).show(self.session.current)
        self.query_one(Bar).refresh()
        self.show_problem()

    def show_swapped(self) -> None:
        """Show anew which clips have which label, or are dropped; the cursors stay."""
        for label in LABELS:
            clips = self.clips(label)
            clips.show(self.session.current, self.page, clips.cursor)
        self.show_said()
        self.show_strips()

    def show_problem(self) -> None:
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

    # filmstrips

    def fold_strips(self) -> None:
        """Fold the strips, or unfold them."""
        self.unfolded = not (self.query_one("#strips").display or self.query_one(Hint).display)
        self._fold()
        self.show_strips()

    def _fold(self) -> None:
        """Give each part its room: strips, or how to get them, only if there is enough."""
        item, (_, height) = self.session.current, self.app.size
        has_videos = item is not None and self.strips is not None and item.source in self.strips.folders
        strips, hint = self.query_one("#strips"), self.query_one(Hint)
        strips.display = has_videos and (height >= TALL if self.unfolded is None else self.unfolded)
        roomy = height >= OTHER_ROWS if self.unfolded is None else self.unfolded
        hint.display = item is not None and not has_videos and roomy
        hint.show(item.source if item else "")
        rows = _between(STRIP_ROWS, (height - OTHER_ROWS) // 2)
        for label in LABELS:
            self.strip(label).styles.height = 1 + rows
        left = height - (2 * (1 + rows) if strips.display else 0)
        self.query_one(Group).styles.height = _between(GROUP_ROWS, left // 2 - 3)

    def show_strips(self) -> None:
        """Show the strips of the clips at the cursors: at once if they are loaded, else when they will be."""
        if not self.strips or not self.query_one("#strips").display:
            return
        clips = [self.clips(label).clip for label in LABELS]
        for label, clip in zip(LABELS, clips, strict=True):
            self.strip(label).show(clip, self.strips.cached(clip) if clip else None)
        self.loader.want([clip for clip in [*clips, *self._next_clips()] if clip and self.strips.cached(clip) is None])

    def _next_clips(self) -> list:
        """The first clips of the next candidate, whose strips may be made ready."""
        following = self.session.shown[self.session.position + 1 :][:1]
        samples = [self.session.sample(item, label) for item in following for label in LABELS]
        return [next(sample.itertuples(index=False), None) for sample in samples]

    def _strip_loaded(self, clip, strip: Strip | NoStrip) -> None:
        self.post_message(self.StripLoaded(clip, strip))

    def on_view_strip_loaded(self, message: StripLoaded) -> None:
        for label in LABELS:
            self.strip(label).offer(message.clip, message.strip)

    # moving and searching

    @on(Rows.Moved)
    def follow(self, message: Rows.Moved) -> None:
        if isinstance(message.rows, Queue):
            self.session.go(message.rows.cursor)
            self.show_candidate()
        else:
            self.show_strips()

    def open_search(self) -> None:
        """Let the user type what to search."""
        self.query_one("#search").display = True
        self.query_one("#search").focus()

    def end_search(self) -> None:
        """Show all again."""
        self.query_one("#search", Input).value = ""
        self.leave_search()

    @on(Input.Changed, "#search")
    def search(self, event: Input.Changed) -> None:
        self.session.search(event.value)
        self.show_queue()

    @on(Input.Submitted, "#search")
    def leave_search(self) -> None:
        self.query_one("#search").display = False
        self.query_one(Queue).focus()


def _between(bounds: tuple[int, int], number: int) -> int:
    return max(bounds[0], min(bounds[1], number))
