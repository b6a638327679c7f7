"""Compare what a record claims with what was counted for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """How what was claimed differs from what was counted: the first difference, and what nobody counted."""

    difference: str | None
    uncounted: list[str]


def compare(counted: object, claimed: object, tolerance: float, place: str = "") -> Comparison:
    """Compare a record, or a part of it, with what was counted for it; numbers may differ by `tolerance`."""
    if isinstance(counted, dict):
        if not isinstance(claimed, dict):
            return Comparison(f"{place} is not an object", [])
        prefix = f"{place}." if place else ""
        missing = [f"{prefix}{name} is missing" for name in counted if name not in claimed]
        parts = [compare(counted[name], claimed[name], tolerance, prefix + name) for name in counted if name in claimed]
        more = [prefix + name for name in claimed if name not in counted]
    elif isinstance(counted, list):
        if not isinstance(claimed, list) or len(claimed) != len(counted):
            return Comparison(f"{place} is not a list of {len(counted)}", [])
        missing, more = [], []
        parts = [compare(*pair, tolerance, place) for pair in zip(counted, claimed, strict=True)]
    else:
        return Comparison(_unlike(counted, claimed, tolerance, place), [])
    differences = [*missing, *(part.difference for part in parts if part.difference)]
    uncounted = [*more, *(name for part in parts for name in part.uncounted)]
    return Comparison(differences[0] if differences else None, list(dict.fromkeys(uncounted)))


def _unlike(counted: object, claimed: object, tolerance: float, place: str) -> str | None:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (counted, claimed))
    if counted == claimed or (numbers and abs(counted - claimed) <= tolerance):
        return None
    return f"{place} is {str(claimed)[:100]}; counted again it is {counted}"
