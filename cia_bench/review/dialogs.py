"""The dialogs of the review screen. What is typed in one reaches nothing below it."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from cia_bench.errors import printable

REASONS = (
    "the two actions do not undo each other",
    "the phrases say too little: what is seen may be something else",
    "the clips do not show what the phrases say",
    "nothing of the direction of time can be seen",
    "an outcome, or pretending, not an action",
    "the same clips are in another group",
)


class Dialog(ModalScreen):
    """A box in the middle, which escape leaves without an answer."""

    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        & > Vertical {
            width: 72; max-width: 96%; height: auto; max-height: 94%;
            padding: 0 1; border: round $primary; background: $surface;
        }
        OptionList, OptionList:focus { height: auto; max-height: 8; border: none; padding: 0; background: $surface; }
        Input, Input:focus { border: none; height: 1; padding: 0; background: $boost; }
        Static { height: auto; }
        .hint { text-style: dim; }
    }
    """
    BINDINGS = [Binding("escape", "leave", "leave")]

    def action_leave(self) -> None:
        self.dismiss(None)


class ReasonDialog(Dialog):
    """Asks why a candidate is rejected; answers with the reason."""

    BINDINGS = [Binding(str(number), f"choose({number - 1})", show=False) for number in range(1, len(REASONS) + 1)]

    def compose(self) -> ComposeResult:
        options = [Option(Content(f"{number} {reason}")) for number, reason in enumerate(REASONS, start=1)]
        with Vertical() as box:
            box.border_title = "why reject it?"
            yield OptionList(*options)
            yield Input(placeholder="or in your own words: tab, then type", max_length=500)
            yield Static("1-6 or enter takes one, tab goes to your own words, escape leaves", classes="hint")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.action_choose(event.option_index)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.dismiss(event.value.strip())

    def action_choose(self, index: int) -> None:
        self.dismiss(REASONS[index])


class TextDialog(Dialog):
    """Asks for a line of text; answers with it."""

    def __init__(self, title: str):
        super().__init__()
        self.asked = title

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self.asked)
            yield Input(max_length=500)
            yield Static("enter keeps it, escape leaves it", classes="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.dismiss(event.value.strip())


class QuitDialog(Dialog):
    """Asks whether to quit though decisions would be lost; answers with True if so."""

    BINDINGS = [Binding("y", "lose", "quit"), Binding("n,enter", "leave", "stay")]

    def __init__(self, count: int, problem: str):
        super().__init__()
        self.count, self.problem = count, problem

    def compose(self) -> ComposeResult:
        what = "1 line of yours is" if self.count == 1 else f"{self.count} lines of yours are"
        with Vertical() as box:
            box.border_title = "quit?"
            yield Static(Content(f"{what} not on the disk and would be lost:"))
            yield Static(Content(printable(self.problem)))
            yield Static("y quits and loses them, n stays; w on the screen below tries again to write", classes="hint")

    def action_lose(self) -> None:
        self.dismiss(True)


class PageDialog(Dialog):
    """Shows lines, which scroll if they are many."""

    DEFAULT_CSS = "PageDialog { VerticalScroll { height: auto; max-height: 100%; } }"
    BINDINGS = [
        Binding("q,question_mark,i,enter", "leave", show=False),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
    ]

    def __init__(self, title: str, lines: list[Content]):
        super().__init__()
        self.about, self.lines = title, lines

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self.about
            box.border_subtitle = "escape closes"
            with VerticalScroll():
                yield Static(Content("\n").join(self.lines))

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
