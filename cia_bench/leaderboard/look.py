"""How models and accuracies look in charts, on the page and in pictures: one colour a kind, one scale of colours.

Kinds have colours of Okabe and Ito's palette; the scale goes from orange over white, which is 50 percent, to blue.
Neither needs telling red from green.
"""

from cia_bench.leaderboard.rows import Row

REPORTED = "reported"
KINDS = {  # what it is in words, its colour, and its colour on a dark page
    "lift": ("LiFT", "#D55E00", "#E8823A"),
    "concat": ("frames concatenated", "#0072B2", "#56B4E9"),
    "mean": ("frames averaged", "#009E73", "#2FBF94"),
    "other": ("others: video encoders, single frames, files", "#9A5B8A", "#CC79A7"),
    REPORTED: ("reported: published, not measured here", "#3D4248", "#E6E9ED"),
}
SCALE = ((0, "#7F3B08"), (25, "#E69F00"), (50, "#F7F7F7"), (75, "#56A0D0"), (100, "#053061"))  # percent: colour


def kind_of(row: Row) -> str:
    """The kind, of KINDS, of a model: by its summary, `lift` before the others if its parts have several.

    `lift` alone, or as a part, is the published model.
    """
    if row.reported:
        return REPORTED
    summaries = {part.rpartition(":")[2] for part in row.model.split("+") if ":" in part or part == "lift"}
    return next((kind for kind in ("lift", "concat", "mean") if kind in summaries), "other")


def rgb(colour: str) -> list[int]:
    """`#RRGGBB` as three numbers from 0 to 255."""
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def groups_of(rows: list[Row]) -> dict[str, dict]:
    """The groups that any row has, by id: source after source, in each those that models do best on first."""
    found: dict[str, list[dict]] = {}
    for row in rows:
        for group in row.groups:
            found.setdefault(group["group_id"], []).append(group)

    def place(group_id: str) -> tuple:
        accuracies = [group["accuracy"] for group in found[group_id]]
        return found[group_id][0]["source"], -sum(accuracies) / len(accuracies), group_id

    return {group_id: found[group_id][0] for group_id in sorted(found, key=place)}
