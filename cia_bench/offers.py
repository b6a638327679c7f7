"""List the encoders and summaries that installed packages offer, without loading any."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from cia_bench.encoders import ENCODERS, KINDS, SUMMARIES
from cia_bench.errors import printable


@dataclass(frozen=True, order=True)
class Offer:
    """What one entry point offers."""

    kind: str  # encoder or summary
    name: str
    package: str  # with its version
    path: str  # module:Class


def offers() -> list[Offer]:
    """All encoders and summaries, ordered by kind and name; a package that is found twice offers once."""
    return sorted({_offer(group, point) for group in (ENCODERS, SUMMARIES) for point in entry_points(group=group)})


def _offer(group: str, point: EntryPoint) -> Offer:
    return Offer(KINDS[group], point.name, f"{point.dist.name} {point.dist.version}", point.value)


def in_columns(rows: list[Offer]) -> str:
    """A line of titles and a line an offer."""
    cells = [("kind", "name", "package", "class")]
    cells += [tuple(map(printable, (row.kind, row.name, row.package, row.path))) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells)
    return "".join(f"{line}\n" for line in padded)
