"""What could be wrong with a clip or a candidate group: machine-found reasons to look twice."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

CLIP_HAZARDS = {  # in the order of their bits
    "overlaps_opposite": "overlaps in time an opposite action in its video, of whatever noun",
    "overlaps_opposite_same_noun": "overlaps in time an opposite action on the same noun in its video",
    "narrated_twice": "its interval is narrated more than once",
    "both_labels": "its interval is narrated with both actions of the group",
    "short": "lasts less than 0.5 s",
    "beyond_video": "ends after its video does",
    "several_objects": "its text names several objects",
    "both_verbs": "its text names both actions of the group",
    "video_in_both_splits": "its video is in both splits",
}
GROUP_HAZARDS = {
    "lopsided": "one action has more than 60 percent of the clips",
    "few_validation": "fewer than 10 validation clips",
    "not_carried_out": "a phrase is of pretending, failing or an outcome, which is no action of its own",
    "proposed_pair": "only WordNet or a prefix says that the verbs oppose; nobody has read them yet",
}
KEEP_OUT = ("not_carried_out", "proposed_pair")  # a candidate with one of these is not ready for review
SHORT_S = 0.5
LOPSIDED = 0.6  # share of the clips of the larger action
FEW_VALIDATION = 10  # clips
MARKING_SHARE = 0.2  # of a group's clips: above it a hazard of clips marks the group too
NOT_CARRIED_OUT = re.compile(
    r"\b(?:pretend\w*|fail\w*|try\w*|without|until|but|doesn't|does not|nothing|almost)\b", re.I
)
MICROSECONDS, LONGEST_S = 1_000_000, 1_000_000


def bit(hazard: str) -> int:
    """The flag of a clip hazard, to be joined with | into one number a clip."""
    return 1 << list(CLIP_HAZARDS).index(hazard)


def names_of(flags: pd.Series) -> list[list[str]]:
    """The hazards that each number of joined flags stands for."""
    known = {number: [name for name in CLIP_HAZARDS if number & bit(name)] for number in flags.unique()}
    return [known[number] for number in flags]


def action_flags(actions: pd.DataFrame, opposite_rows: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The hazards that an action has in whatever group, as joined flags, (len(actions),).

    `opposite_rows` gives for each pair of opposite verbs the positions of the actions of each, (A,) and (B,).
    """
    flags = np.zeros(len(actions), np.int16)
    flags[_rounded(actions.stop_s - actions.start_s) < SHORT_S * MICROSECONDS] |= bit("short")
    flags[_rounded(actions.stop_s - actions.duration_s) > 0] |= bit("beyond_video")
    flags[actions.several_objects.to_numpy(bool)] |= bit("several_objects")
    flags[actions.duplicated(["video", "start_s", "stop_s"], keep=False).to_numpy(bool)] |= bit("narrated_twice")
    videos = pd.factorize(actions.video)[0]
    is_train = (actions.split == "train").to_numpy(bool)
    both = np.intersect1d(videos[is_train], videos[~is_train])
    flags[np.isin(videos, both)] |= bit("video_in_both_splits")
    timed = actions.start_s.notna().to_numpy(bool)
    if timed.any():
        times = [_microseconds(actions[column]) for column in ("start_s", "stop_s")]
        nouns = pd.factorize(actions.noun)[0]
        same_noun = pd.factorize(videos.astype(np.int64) * (nouns.max() + 1) + nouns)[0]
        for one, other in opposite_rows:
            one, other = one[timed[one]], other[timed[other]]
            for place, hazard in ((videos, "overlaps_opposite"), (same_noun, "overlaps_opposite_same_noun")):
                for here, there in ((one, other), (other, one)):
                    flags[here[_overlapping(place, *times, here, there)]] |= bit(hazard)
    return flags


def _rounded(times_s: pd.Series) -> np.ndarray:
    """Whole microseconds, as floats: 2.3 - 1.8 is a hair less than 0.5. NaN stays and compares as false."""
    return np.round(times_s.to_numpy(float) * MICROSECONDS)


def _microseconds(times_s: pd.Series) -> np.ndarray:
    return _rounded(times_s.fillna(0).clip(upper=LONGEST_S - 1)).astype(np.int64)


def _overlapping(
    place: np.ndarray, start: np.ndarray, stop: np.ndarray, here: np.ndarray, there: np.ndarray
) -> np.ndarray:
    """Which of the rows `here` overlap in time, by more than a moment, a row of `there` with the same `place`.

    Of the rows there, those that start before this one stops less those that stop before it starts overlap it; the
    place goes in front of the time, so that all earlier places count in both.
    """
    offset = place.astype(np.int64) * (LONGEST_S * MICROSECONDS)
    starts, stops = np.sort((offset + start)[there]), np.sort((offset + stop)[there])
    begun = np.searchsorted(starts, (offset + stop)[here], side="left")
    ended = np.searchsorted(stops, (offset + start)[here], side="right")
    return begun > ended


def names_both(texts: pd.Series, forward: str, reverse: str) -> pd.Series:
    """Whether each text holds the words that only the forward phrase has and those that only the reverse one has.

    All are normalised (Lexicon.normalise).
    """
    one, other = set(forward.split()), set(reverse.split())
    one, other = one - other, other - one
    if not one or not other:
        return pd.Series(False, index=texts.index)
    found = {text: one <= (words := set(text.split())) and other <= words for text in texts.unique()}
    return texts.map(found).astype(bool)


def group_hazards(candidates: pd.DataFrame, shares: pd.DataFrame, confirmed: pd.Series) -> list[list[str]]:
    """The hazards that mark each candidate: its own, and those of more than a fifth of its clips.

    `shares` has a column a clip hazard: the share of each candidate's clips that has it.
    """
    forward = candidates.train_forward + candidates.validation_forward
    reverse = candidates.train_reverse + candidates.validation_reverse
    together = forward + reverse
    validation = candidates.validation_forward + candidates.validation_reverse
    phrases = candidates.forward + " " + candidates.reverse
    marks = {
        "lopsided": np.maximum(forward, reverse) > LOPSIDED * together,
        "few_validation": validation < FEW_VALIDATION,
        "not_carried_out": phrases.str.contains(NOT_CARRIED_OUT),
        "proposed_pair": ~confirmed,
        **{name: shares[name] > MARKING_SHARE for name in CLIP_HAZARDS},
    }
    columns = {name: np.asarray(mark, bool) for name, mark in marks.items()}
    return [[name for name in columns if columns[name][row]] for row in range(len(candidates))]
