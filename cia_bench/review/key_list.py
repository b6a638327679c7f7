"""The keys of the review screen, as its bottom line and its help show them."""

from textual.content import Content

from cia_bench.review.wording import CONFLICT, DROPPED, MARKS, RISK

WRITE = ("w", "write", "w")  # first while something is not on the disk
FIRST = [  # what is shown, in a word, the key's name: those that matter most first
    ("a", "accept", "a"),
    ("r", "reject", "r"),
    ("u", "unsure", "u"),
    ("z", "undo", "z"),
    ("n", "clips", "n"),
    ("f", "filter", "f"),
    ("/", "search", "slash"),
    ("s", "swap", "s"),
    ("c", "comment", "c"),
    ("i", "all", "i"),
    ("d", "drop", "d"),
    ("v", "strips", "v"),
    ("tab", "focus", "tab"),
]
LAST = [("?", "keys", "question_mark"), ("q", "quit", "q")]
HELP = [
    ("a", "accept: both actions are real, and each is the other backwards"),
    ("r", "reject, and say why"),
    ("u", "unsure: somebody else, or the video, has to tell"),
    ("s", "swap the labels: label 1 becomes label 0"),
    ("d", "drop the clip at the cursor of a list of clips (tab goes there)"),
    ("c", "comment"),
    ("z", "undo your last line; again for the one before"),
    ("w", "try again to write what is not on the disk"),
    ("j k", "next, previous; arrows do too, and page up and down"),
    ("g G", "first, last"),
    ("tab", "from the queue to the clips of label 1, of label 0, and back"),
    ("n", "other clips of this candidate"),
    ("← →", "earlier or later frames of the strips"),
    ("i", "all about this candidate and the clip at the cursor"),
    ("f", "show what is to do, decided, in conflict, or all"),
    ("/", "search in phrases, noun, id and hazards; escape clears it"),
    ("v", "fold the strips, or unfold them"),
    ("t", "light or dark"),
    ("q", "quit; the next review goes on here"),
]
LEGEND = [
    (MARKS["accept"], "you accept it"),
    (MARKS["reject"], "you reject it"),
    (MARKS["unsure"], "you are unsure"),
    (MARKS[None], "you have not decided"),
    (CONFLICT, "reviewers differ"),
    (f"{RISK}2", "two hazards mark it; a clip with one has the mark too"),
    (DROPPED, "beside a clip: dropped"),
    ("t v", "beside a clip: of the training or the validation split"),
]


def help_lines() -> list[Content]:
    """All keys, then all marks."""
    lines = [Content.assemble((f"{key:<5}", "bold $text-primary"), text) for key, text in HELP]
    return [*lines, Content(""), *(Content.assemble((f"{mark:<5}", "bold"), text) for mark, text in LEGEND)]
