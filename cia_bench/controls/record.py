"""The controls in a result's record: as printed lines, as a frame, and whether they are what they should be."""

from collections.abc import Iterable

import pandas as pd

from cia_bench.controls import ARROW, FLIP_RATE, GAIN, MEASURES, ORDER_BLIND
from cia_bench.frame_order import REVERSED, SHUFFLED
from cia_bench.statistics import in_percent

WORDS = {
    ORDER_BLIND: "mean of the frames",
    ARROW: "forward or reversed",
    SHUFFLED: "frames shuffled",
    REVERSED: "reversed, opposite label",
    FLIP_RATE: "reversed, answers changed",
    "first_frame": "first frame",
    "middle_frame": "middle frame",
    "last_frame": "last frame",
    "random_frame": "random frame",
    "frames_2": "2 frames",
    "frames_4": "4 frames",
    "frames_8": "8 frames",
}
COLUMNS = ("control", "source", "accuracy", "interval_low", "interval_high", "reason")
MEAN = "mean"  # over sources


def _value(score: dict) -> float:
    return score["accuracy"] if "accuracy" in score else score["value"]


def _percent(score: dict, sign: str = "") -> str:
    return in_percent(_value(score), score["interval"], sign)


def gain_in_words(record: dict, source: str | None = None) -> str:
    """A source's gain, or that of the mean over sources, to stand behind its score; nothing where there is none."""
    gain = record.get("controls", {}).get(GAIN, {"reason": ""})
    if "reason" in gain:
        return ""
    return f", gain {_percent(gain['mean'] if source is None else gain['sources'][source], '+')}"


def controls_in_words(controls: dict) -> list[str]:
    """A line a control, aligned, in percent; then why others are left out, a line a reason."""
    rows = [(words, controls[name]) for name, words in WORDS.items() if "reason" not in controls[name]]
    lines = []
    if rows:
        sources = list(rows[0][1]["sources"])
        heads = [*sources, *([MEAN] if len(sources) > 1 else [])]
        cells = [
            [_percent(one) for one in [*score["sources"].values(), score[MEAN]][: len(heads)]] for _, score in rows
        ]
        wide = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        first = max(map(len, WORDS.values()))
        for what, line in [("time controls", heads), *zip([words for words, _ in rows], cells, strict=True)]:
            lines.append(f"  {what:<{first}}  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(line, wide, strict=True)))
    reasons = {}
    for name, words in [*WORDS.items(), (GAIN, "gain")]:
        if "reason" in controls[name]:
            reasons.setdefault(controls[name]["reason"], []).append(words)
    return lines + [f"  no control by {'; '.join(named)}: {reason}" for reason, named in reasons.items()]


def controls_frame(controls: dict) -> pd.DataFrame:
    """Columns control, source, accuracy, interval_low, interval_high, reason: a row a control and source or `mean`.

    Of flip_rate and gain the value stands under accuracy. A control that is left out has one row, with its reason.
    """
    rows = []
    for name, control in controls.items():
        if "reason" in control:
            rows.append({"control": name, "reason": control["reason"]})
            continue
        for source, score in [*control["sources"].items(), (MEAN, control[MEAN])]:
            low, high = score["interval"] or (None, None)
            rows.append(dict(zip(COLUMNS, (name, source, _value(score), low, high, None), strict=True)))
    numbers = {column: float for column in COLUMNS[2:5]}
    return pd.DataFrame(rows, columns=COLUMNS).astype(numbers)


def controls_problem(controls: dict, sources: Iterable[str]) -> str | None:
    """What keeps `controls` from being those of a result of these sources, or None; raises KeyError or TypeError."""
    if set(controls) != set(MEASURES):
        return f"controls are {', '.join(controls)}, not {', '.join(MEASURES)}"
    for name, control in controls.items():
        if "reason" in control:
            if not isinstance(control["reason"], str):
                return f"control {name} has the reason {control['reason']!r}"
            continue
        if set(control["sources"]) != set(sources):
            return f"control {name} is of the sources {', '.join(control['sources'])}"
        least = -1 if name == GAIN else 0
        for score in (control[MEAN], *control["sources"].values()):
            numbers = [score["value" if name in (FLIP_RATE, GAIN) else "accuracy"], *(score["interval"] or [])]
            if len(numbers) not in (1, 3) or not all(
                isinstance(number, int | float) and least <= number <= 1 for number in numbers
            ):
                return f"control {name} is {numbers[0]!r} with interval {score['interval']!r}"
    return None
