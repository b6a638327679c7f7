"""What things are called where rankings are shown: a chiral benchmark's groups of clips, a standard one's splits."""

from dataclasses import dataclass

from cia_bench.protocols import CLASS_PROBES, PROTOCOLS

HEADINGS = {  # kinds of task, in their order
    "kinetics400": "K400",
    "ucf101": "UCF101",
    "hmdb51": "HMDB51",
    "ssv2": "SSv2",
}
CLASSES = {"kinetics400": 400, "ucf101": 101, "hmdb51": 51, "ssv2": 174}  # of the whole of each


@dataclass(frozen=True)
class Terms:
    """Words for one kind of benchmark, not escaped for any format."""

    clip: str  # what is scored
    group: str  # what scores are averaged over
    constant: str  # what the constant answer is
    reported: str  # what published numbers are of
    groups_order: str  # how the heat map orders its rows

    def count(self, count: int, what: str) -> str:
        """`3 splits`, `1 split`; `what` is a word of these terms."""
        return f"{count:,} {what}{'s' * (count != 1)}"


CHIRAL = Terms(
    clip="validation clip",
    group="group",
    constant="always the label that is more frequent in the group's training clips",
    reported="on the authors' clips, within 0.3, without interval, test or rank",
    groups_order="Accuracy on each chiral group, in percent; models in the table's order, of each source the groups "
    "that models do best on first.",
)
STANDARD = Terms(
    clip="test video",
    group="split",
    constant="always the class that is most frequent among the split's training videos",
    reported="on the authors' videos by their probe of this kind, without interval, test or rank",
    groups_order="Top-1 accuracy on each of the owner's splits, in percent; models in the table's order, splits that "
    "models do best on first.",
)


def terms_of(protocol: str) -> Terms:
    """The words for results of a protocol, by its name."""
    return STANDARD if PROTOCOLS[protocol].classes else CHIRAL


def place_of_task(kind: str, source: str) -> tuple[int, str]:
    """Where a task stands among others: those that are published in the order of the publication, then by name."""
    known = [*HEADINGS]
    return (known.index(kind) if kind in known else len(known)), source


def place_of_probe(probe: str) -> tuple[int, str]:
    """Where a probe stands among others: the plainest first."""
    known = [*CLASS_PROBES]
    return (known.index(probe) if probe in known else len(known)), probe
