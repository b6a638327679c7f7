"""List the encoders and summaries that installed packages offer, and what is known of them; no weights are loaded."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby
from pathlib import Path

from cia_bench.encoders import ENCODERS, KINDS, SUMMARIES, Card
from cia_bench.errors import printable
from cia_bench.files import read_json

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

    config = try_to_load_from_cache(card.hub_id, "config.json", revision=card.revision)
    return isinstance(config, str) and _has_weights(Path(config).parent)


def _has_weights(folder: Path) -> bool:
    """Whether the weights that would be loaded are there, whole or in all the shards that their index names."""
    for name in ("model.safetensors", "pytorch_model.bin"):  # the first of which anything is there counts
        if (folder / name).is_file():
            return True
        index = folder / f"{name}.index.json"
        if index.is_file():
            try:
                shards = read_json(index, {"weight_map": dict})["weight_map"].values()
            except ValueError:
                return False
            return all((folder / str(shard)).is_file() for shard in shards)
    return False


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
