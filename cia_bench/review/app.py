"""The app of `cia review`: its keys, and what each does to the session and the screen."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from textual.app import App, ComposeResult
from textual.binding import Binding

from cia_bench.clip_files import first_folders, video_places
from cia_bench.errors import ConfigError, printable
from cia_bench.review.dialogs import PageDialog, QuitDialog, ReasonDialog, TextDialog
from cia_bench.review.key_list import help_lines
from cia_bench.review.lists import Clips
from cia_bench.review.panels import in_lines
from cia_bench.review.session import FILTERS, Session
from cia_bench.review.strip_view import StripView
from cia_bench.review.view import CSS, LABELS, WIDE, View
from cia_bench.review.wording import clip_fields, fields

PLAIN_COLOURS = ("standard", "windows", None)  # a terminal of 16 colours or none gets a theme made of them
PAGE_CELLS = 68  # of a line in a dialog, if the screen is wide enough


def review(session: Session, videos: Path | None = None) -> None:
    """Show a session on this terminal until its reviewer quits, with the videos that are found (see video_folders).

    Raises ConfigError if there is no terminal, or not the folder `videos`.
    """
    places = video_places(session.data, session.sources, videos)
    found = first_folders(places)
    if videos is not None and not found:
        looked = ", ".join(str(place) for of_source in places.values() for place in of_source)
        raise ConfigError(f"no folder with videos at {looked}; --videos is the folder of the one source, or of all")
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # Textual draws on the last
        raise ConfigError("no terminal to review on; cia verdicts export and import take verdicts as a table instead")
    ReviewApp(session, found).run()


class ReviewApp(App):
    """A reviewer's keys on one session."""

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]
    CSS = CSS
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

    def __init__(self, session: Session, folders: Mapping[str, Path] | None = None, cache: Path | None = None):
        """`folders` and `cache` as in View."""
        super().__init__()
        self.session, self._told = session, 0  # how many of its notes were shown
        self.view = View(session, folders or {}, cache)

    def compose(self) -> ComposeResult:
        yield self.view

    def on_mount(self) -> None:
        if self.console.color_system in PLAIN_COLOURS and self.theme == "textual-dark":
            self.theme = "ansi-dark"
        self._tell_notes()
        if not self.is_headless:
            self.set_interval(1, self._end_without_terminal)

    def _end_without_terminal(self) -> None:
        """Textual would go on reading, as fast as it can, from a terminal that is gone."""
        if not os.isatty(0):
            self.exit()

    def _tell_notes(self) -> None:
        """Show what the session noted since."""
        for note in self.session.notes[self._told :]:
            self.tell(note, "warning")
        self._told = len(self.session.notes)

    def on_unmount(self) -> None:
        self.session.close()

    def on_strip_view_drawn(self, message: StripView.Drawn) -> None:
        item = self.session.current
        if item is not None and item.group_id == message.clip.group_id:
            self.session.saw_video(item)

    def tell(self, text: str, severity: str = "information") -> None:
        """Show a line for some seconds; whatever is in it, it is no markup."""
        self.notify(printable(text), severity=severity, markup=False)

    # deciding

    def action_decide(self, decision: str, reason: str = "") -> None:
        """Decide on the candidate; the next one shows only once that is on the disk."""
        if self._repeats_pending(decision):
            self._advance_if(self.session.flush())
        else:
            self._advance_if(self._say(lambda: self.session.decide(decision, reason)))

    def action_reject(self) -> None:
        if self._repeats_pending("reject"):
            self._advance_if(self.session.flush())
        elif self.session.current:
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
        self.view.show_queue()
        if taken is not None:
            self.tell(f"taken back: {taken.verdict} on {taken.group_id}")
        elif self.session.problem is None:
            self.tell("there is nothing to undo")

    def action_write(self) -> None:
        """Try again to write what is not on the disk."""
        if self.session.pending and self.session.flush():
            self.tell("saved")
        self.view.show_problem()

    async def action_quit(self) -> None:
        if self.session.pending and not self.session.flush():
            dialog = QuitDialog(len(self.session.pending), self.session.problem)
            self.push_screen(dialog, lambda lose: lose and self.exit())
        else:
            self.exit()

    def _say(self, say: Callable[[], bool]) -> bool:
        """Say something of the candidate and show what it changed; whether it is on the disk."""
        try:
            saved = say()
        except ConfigError as error:
            self.tell(str(error), "warning")
            return False
        self.view.show_swapped()
        self._tell_notes()
        return saved

    def _repeats_pending(self, decision: str) -> bool:
        """Whether the key repeats what waits to be written: then it is tried again, not said twice."""
        last, item = (self.session.pending or [None])[-1], self.session.current
        return bool(last and item and last.group_id == item.group_id and decision in (last.verdict, last.decision))

    def _advance_if(self, saved: bool) -> None:
        """Go to the next candidate that is to do, but only from one whose decision is on the disk."""
        if not saved:
            self.view.show_problem()
            return
        if not self.session.advance():
            self.tell("all that is shown is decided; f shows others")
        self.view.show_candidate()

    # looking

    def action_other_clips(self) -> None:
        self.view.show_clips(self.view.page + 1)

    def action_scrub(self, step: int) -> None:
        labels = [self.focused.label] if isinstance(self.focused, Clips) else LABELS
        for label in labels:
            self.view.strip(label).scrub(step)

    def action_filter(self) -> None:
        self.session.show(FILTERS[(FILTERS.index(self.session.filter) + 1) % len(FILTERS)])
        self.view.show_queue()

    def action_search(self) -> None:
        self.view.open_search()

    def action_end_search(self) -> None:
        self.view.end_search()

    def action_all(self) -> None:
        """Show all about the candidate, and the clip at the cursor."""
        if self.session.current:
            side = self.focused if isinstance(self.focused, Clips) else self.view.clips(1)
            found = fields(self.session, self.session.current) + (clip_fields(side.clip) if side.clip else [])
            width = min(PAGE_CELLS, self.size.width * 96 // 100 - 5)
            self.push_screen(PageDialog("all about it", in_lines(found, width)))

    def action_fold_strips(self) -> None:
        self.view.fold_strips()

    def action_turn_theme(self) -> None:
        """From dark to light, or back."""
        kind, is_dark = ("ansi" if self.current_theme.ansi else "textual"), self.current_theme.dark
        self.theme = f"{kind}-{'light' if is_dark else 'dark'}"

    def action_keys(self) -> None:
        self.push_screen(PageDialog("keys and marks", help_lines()))
