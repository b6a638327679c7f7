"""EPIC-KITCHENS-100: narrated segments of long kitchen videos; the verb is the raw one, the noun its class key."""

from pathlib import Path

import pandas as pd

from cia_bench.sources import read_csv, refuse_rows, seconds, tenths

SPLIT_FILES = {"train": "EPIC_100_train.csv", "validation": "EPIC_100_validation.csv"}
NOUN_FILE = "EPIC_100_noun_classes.csv"
FILES = (*SPLIT_FILES.values(), NOUN_FILE)
WHERE = "get them from https://github.com/epic-kitchens/epic-kitchens-100-annotations (CC BY-NC 4.0)"
COLUMNS = tuple("narration_id participant_id video_id start_timestamp stop_timestamp narration verb noun_class".split())


def actions(folder: Path) -> pd.DataFrame:
    """Read both splits. Clip ids are the published ones: `P01/videos/P01_11_1.6_2.4`, times rounded to 0.1 s."""
    nouns = _noun_keys(folder / NOUN_FILE)
    splits = [_read_split(folder / name, split, nouns) for split, name in SPLIT_FILES.items()]
    return pd.concat(splits, ignore_index=True)


def _noun_keys(path: Path) -> pd.Series:
    """The key of each noun class, by the class id as text."""
    frame = read_csv(path, ("id", "key"))
    refuse_rows(path, ~frame.id.str.fullmatch(r"[0-9]+"), frame, "id {id} is not a number")
    refuse_rows(path, frame.id.duplicated(), frame, "id {id} stands in an earlier row too")
    refuse_rows(path, frame.key == "", frame, "noun class {id} has no key")
    return frame.set_index("id").key


def _read_split(path: Path, split: str, nouns: pd.Series) -> pd.DataFrame:
    rows = read_csv(path, COLUMNS)
    start_s, stop_s = seconds(rows.start_timestamp), seconds(rows.stop_timestamp)
    clip = "narration {narration_id}: "
    refuse_rows(
        path,
        ~rows.participant_id.str.fullmatch(r"P[0-9]{2}"),
        rows,
        clip + "participant_id {participant_id} is not like P01",
    )
    refuse_rows(
        path, ~rows.video_id.str.fullmatch(r"P[0-9]{2}_[0-9]+"), rows, clip + "video_id {video_id} is not like P01_11"
    )
    refuse_rows(
        path, rows.video_id.str[:3] != rows.participant_id, rows, clip + "video {video_id} is not of {participant_id}"
    )
    refuse_rows(path, start_s.isna(), rows, clip + "start_timestamp {start_timestamp} is not like 00:00:01.56")
    refuse_rows(path, stop_s.isna(), rows, clip + "stop_timestamp {stop_timestamp} is not like 00:00:02.45")
    refuse_rows(
        path, stop_s <= start_s, rows, clip + "it stops ({stop_timestamp}) before it starts ({start_timestamp})"
    )
    refuse_rows(path, ~rows.noun_class.isin(nouns.index), rows, clip + "noun_class {noun_class} is not in " + NOUN_FILE)
    refuse_rows(path, rows.verb == "", rows, clip + "the verb is empty")
    refuse_rows(path, rows.narration_id.duplicated(), rows, "narration_id {narration_id} stands in an earlier row too")
    place = rows.participant_id + "/videos/" + rows.video_id
    return pd.DataFrame(
        {
            "clip_id": place + "_" + tenths(start_s) + "_" + tenths(stop_s),
            "video": place + ".MP4",
            "start_s": start_s,
            "stop_s": stop_s,
            "verb": rows.verb,
            "noun": rows.noun_class.map(nouns),
            "text": rows.narration,
            "split": split,
            "subject": rows.participant_id,
        }
    )
