"""EPIC-KITCHENS-100: narrated segments of long kitchen videos; the verb is the raw one, the noun its class key."""

import re

import pandas as pd

from cia_bench.download import Download, Release
from cia_bench.sources import seconds, tenths
from cia_bench.sources.files import AnnotationFiles

SPLIT_FILES = {"train": "EPIC_100_train.csv", "validation": "EPIC_100_validation.csv"}
NOUN_FILE, VERB_FILE, VIDEO_FILE = "EPIC_100_noun_classes.csv", "EPIC_100_verb_classes.csv", "EPIC_100_video_info.csv"
FILES = (*SPLIT_FILES.values(), NOUN_FILE, VERB_FILE, VIDEO_FILE)
WHERE = "get them from https://github.com/epic-kitchens/epic-kitchens-100-annotations (CC BY-NC 4.0)"
RELEASED = {  # SHA-256 of each file of the release
    "EPIC_100_train.csv": "a3a7ef2e397bd8af12bd0496b09d61b1f2c1f3f6e1726fa86af50a27f4855e87",
    "EPIC_100_validation.csv": "35f7932ba0a1127a96cac215a98d35398946f343e3cea9ad6688ed17eee9d75d",
    "EPIC_100_noun_classes.csv": "40f0a81c5bd06b33050df9f0bd17cd3c2fccd759f9581e4e5e04fec7562be893",
    "EPIC_100_verb_classes.csv": "aab8bf210d0234b6facb9b191ae402c03a5f8965d123586b4762d3468a85033e",
    "EPIC_100_video_info.csv": "75fd040f6662cb407b4ca2eed4811ca94df280a1aba00b6bf8a5cd286deff382",
}
SIZES = {VERB_FILE: 13_402, NOUN_FILE: 49_357, VIDEO_FILE: 27_721, "EPIC_100_validation.csv": 1_184_998}  # bytes
COMMIT = "ea8b40457a400c3fffa1c7f406ef3dc169cc2522"  # of the release whose digests these are
PLACE = f"https://raw.githubusercontent.com/epic-kitchens/epic-kitchens-100-annotations/{COMMIT}"
RELEASE = Release(
    downloads=tuple(Download(f"{PLACE}/{name}", RELEASED[name], SIZES.get(name)) for name in FILES),
    licence="EPIC-KITCHENS-100 annotations: CC BY-NC 4.0, https://creativecommons.org/licenses/by-nc/4.0",
    citation="Damen et al., Rescaling Egocentric Vision, IJCV 2022, https://epic-kitchens.github.io",
)
COLUMNS = (
    "narration_id participant_id video_id start_timestamp stop_timestamp narration verb verb_class noun_class "
    "all_noun_classes"
).split()


def actions(files: AnnotationFiles) -> pd.DataFrame:
    """Read both splits. Clip ids are the published ones: `P01/videos/P01_11_1.6_2.4`, times rounded to 0.1 s."""
    nouns, verbs = _class_keys(files, NOUN_FILE), _class_keys(files, VERB_FILE)
    durations = _durations(files)
    splits = [_read_split(files, name, split, nouns, verbs) for split, name in SPLIT_FILES.items()]
    both = set(splits[0].clip_id) & set(splits[1].clip_id)
    name = SPLIT_FILES["validation"]
    expected = "clip {clip_id} is in " + SPLIT_FILES["train"] + " too"
    splits[1] = files.keep(name, splits[1], ~splits[1].clip_id.isin(both), expected)
    frame = pd.concat(splits, ignore_index=True)
    return frame.assign(duration_s=frame.video.str.extract(r"([^/]*)\.MP4$")[0].map(durations))


def interval(clip_id: str) -> tuple[str, float, float]:
    """Video, start and stop that a published clip id names; raises ValueError if it is none."""
    match = re.fullmatch(r"((P[0-9]{2})/videos/\2_[0-9]+)_([0-9]+\.[0-9])_([0-9]+\.[0-9])", clip_id)
    if not match:
        raise ValueError(f"{clip_id!r} is not like P01/videos/P01_11_1.6_2.4")
    return f"{match[1]}.MP4", float(match[3]), float(match[4])


def _class_keys(files: AnnotationFiles, name: str) -> pd.Series:
    """The key of each noun or verb class, by the class id as text."""
    frame = files.csv(name, ("id", "key"))
    frame = files.keep(name, frame, frame.id.str.fullmatch(r"[0-9]+"), "id {id} is not a number")
    frame = files.keep(name, frame, ~frame.id.duplicated(), "id {id} stands in an earlier row too")
    frame = files.keep(name, frame, frame.key != "", "class {id} has no key")
    return frame.set_index("id").key


def _durations(files: AnnotationFiles) -> pd.Series:
    """Seconds that each video lasts, by its id."""
    frame = files.csv(VIDEO_FILE, ("video_id", "duration"))
    number = frame.duration.str.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?")
    frame = files.keep(VIDEO_FILE, frame, number, "duration {duration} of {video_id} is not a number of seconds")
    first = ~frame.video_id.duplicated()
    frame = files.keep(VIDEO_FILE, frame, first, "video_id {video_id} stands in an earlier row too")
    return frame.set_index("video_id").duration.astype(float)


def _read_split(files: AnnotationFiles, name: str, split: str, nouns: pd.Series, verbs: pd.Series) -> pd.DataFrame:
    rows = files.csv(name, tuple(COLUMNS))
    rows["start_s"], rows["stop_s"] = seconds(rows.start_timestamp), seconds(rows.stop_timestamp)
    checks = {
        "the id is not like P01_11_7": lambda: rows.narration_id.str.fullmatch(r"P[0-9]{2}_[0-9]+_[0-9]+"),
        "participant_id {participant_id} is not like P01": lambda: rows.participant_id.str.fullmatch(r"P[0-9]{2}"),
        "video_id {video_id} is not like P01_11": lambda: rows.video_id.str.fullmatch(r"P[0-9]{2}_[0-9]+"),
        "video {video_id} is not of {participant_id}": lambda: rows.video_id.str[:3] == rows.participant_id,
        "start_timestamp {start_timestamp} is not like 00:00:01.56": lambda: rows.start_s.notna(),
        "stop_timestamp {stop_timestamp} is not like 00:00:02.45": lambda: rows.stop_s.notna(),
        "it stops ({stop_timestamp}) before it starts ({start_timestamp})": lambda: rows.stop_s > rows.start_s,
        "noun_class {noun_class} is not in " + NOUN_FILE: lambda: rows.noun_class.isin(nouns.index),
        "verb_class {verb_class} is not in " + VERB_FILE: lambda: rows.verb_class.isin(verbs.index),
        "the verb is empty": lambda: rows.verb != "",
        "it stands in an earlier row too": lambda: ~rows.narration_id.duplicated(),
    }
    for expected, good in checks.items():
        rows = files.keep(name, rows, good(), "narration {narration_id}: " + expected)
    place = rows.participant_id + "/videos/" + rows.video_id
    return pd.DataFrame(
        {
            "clip_id": place + "_" + tenths(rows.start_s) + "_" + tenths(rows.stop_s),
            "video": place + ".MP4",
            "start_s": rows.start_s,
            "stop_s": rows.stop_s,
            "verb": rows.verb,
            "noun": rows.noun_class.map(nouns),
            "text": rows.narration,
            "split": split,
            "subject": rows.participant_id,
            "verb_class": rows.verb_class.map(verbs),
            "several_objects": rows.all_noun_classes.str.contains(",", regex=False),
        }
    )
