"""List the encoders and summaries that installed packages offer, and what is known of them; no weights are loaded."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby

from cia_bench.encoders import ENCODERS, KINDS, SUMMARIES, Card
from cia_bench.errors import printable

TITLES = ("name", "gives", "frames", "dim", "parameters", "saw", "here", "weights")


@dataclass(frozen=True, order=True)
class Offer:
    """What one entry point offers."""

    kind: str  # encoder or summary
    name: str
    package: str  # with its version
    path: str  # module:Class

    @cached_property
    def card(self) -> Card | None:
        """What is known of an encoder; None of a summary, of an encoder without, and of one that can't be imported."""
        try:
            card = getattr(EntryPoint(self.name, self.path, ENCODERS).load(), "card", None)
        except Exception:  # another's package: whatever its import raises, the others are to be listed
            return None
        return card if isinstance(card, Card) else None


def offers() -> list[Offer]:
    """All encoders and summaries, ordered by kind and name; a package that is found twice offers once."""
    return sorted({_offer(group, point) for group in (ENCODERS, SUMMARIES) for point in entry_points(group=group)})


def _offer(group: str, point: EntryPoint) -> Offer:
    return Offer(KINDS[group], point.name, f"{point.dist.name} {point.dist.version}", point.value)


def is_here(card: Card) -> bool:
    """Whether a model's weights lie on this disk, in the hub's cache, at the revision that would be loaded."""
    if card.hub_id is None:
        return card.parameters == 0
    from huggingface_hub import try_to_load_from_cache

    names = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    found = [try_to_load_from_cache(card.hub_id, name, revision=card.revision) for name in ("config.json", *names)]
    return isinstance(found[0], str) and any(isinstance(path, str) for path in found[1:])


def listed(rows: list[Offer]) -> str:
    """Encoders by family, then those of which nothing is known and the summaries, a line each."""
    known = [row for row in rows if row.kind == "encoder" and row.card]
    known.sort(key=lambda row: (_family(row.card), row.card.parameters, row.name))
    text = _families([(_family(row.card), _cells(row.name, row.card)) for row in known])
    rest = [row for row in rows if row not in known]
    cells = [("kind", "name", "package", "class"), *((row.kind, row.name, row.package, row.path) for row in rest)]
    return text + "\n" + "".join(f"{line}\n" for line in _aligned(cells))


def _family(card: Card) -> str:
    return f"{card.family} (supervision: {card.supervision}; data: {card.data}; licence: {card.licence})"


def _cells(name: str, card: Card) -> tuple[str, ...]:
    saw = ", ".join(f"{source} {what}" for source, what in card.saw.items()) or "-"
    place = f"{card.hub_id}@{(card.revision or 'main')[:12]}" if card.hub_id else card.url or "-"
    size = f"{card.parameters / 1e6:.0f}M" if card.parameters else "0"
    return name, card.gives, str(card.frames), str(card.dim), size, saw, "yes" if is_here(card) else "no", place


def _families(lines: list[tuple[str, tuple[str, ...]]]) -> str:
    """The lines under headings of their families."""
    aligned = _aligned([TITLES, *(cells for _, cells in lines)])
    text = f"{aligned[0]}\n"
    for heading, group in groupby(zip(lines, aligned[1:], strict=True), key=lambda pair: pair[0][0]):
        text += f"\n{printable(heading)}\n" + "".join(f"{line}\n" for _, line in group)
    return text


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    cells = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
