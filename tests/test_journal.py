import errno
import json
import os
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from conftest import SAMPLE
from said import DROPPABLE, GROUPS, NOON, say

from cia_bench.build import BuildSettings, build, read_data
from cia_bench.errors import ConfigError, JournalError, WriteError
from cia_bench.lexicon import published_groups
from cia_bench.mining import mine
from cia_bench.review.decisions import decide
from cia_bench.review.journal import (
    BASES,
    CLIP_DIGEST,
    GROUP_DIGEST,
    SHIPPED,
    VERDICTS,
    Verdict,
    append,
    clip_digest,
    group_digest,
    journal_path,
    mend,
    parse_journal,
    read_journal,
    read_shipped,
    reviewer_name,
)
from cia_bench.sources import read_actions
from cia_bench.tables import CANDIDATES, CLIPS
from cia_bench.verify import verify


@pytest.mark.parametrize("column", GROUP_DIGEST)
def test_a_groups_digest_changes_with_what_the_reviewer_saw(column):
    assert set(GROUP_DIGEST) == {"source", "forward", "reverse", "noun", "lexicon_row"}
    row = next(GROUPS.itertuples())
    assert group_digest(row._replace(**{column: "other"})) != group_digest(row)
    assert group_digest(row._replace(**{column: ""})) != group_digest(row)


def test_a_groups_digest_does_not_change_with_its_id_counts_or_hazards():
    row = next(GROUPS.assign(train_forward=3, hazards=[["short"], []], risk=1.0).itertuples())
    other = row._replace(group_id="g~2", train_forward=5, hazards=[], risk=0.0)
    assert group_digest(row) == group_digest(other) == group_digest(GROUPS.iloc[0])
    swapped = row._replace(forward=row.reverse, reverse=row.forward)
    assert group_digest(swapped) != group_digest(row)


def test_a_clips_digest_changes_with_each_column_of_its_row():
    assert set(CLIP_DIGEST) == {"clip_id", "video", "start_s", "stop_s", "verb", "noun", "text"}
    row = next(DROPPABLE.itertuples())
    others = [row._replace(**{column: 9.0 if column.endswith("_s") else "other"}) for column in CLIP_DIGEST]
    assert len({clip_digest(other) for other in [row, *others]}) == len(CLIP_DIGEST) + 1
    assert clip_digest(row._replace(group_id="h")) == clip_digest(row)


def test_no_time_is_one_digest_however_it_is_written():
    row = next(DROPPABLE[1:].itertuples())
    nothing = [None, float("nan"), np.nan, np.float64("nan")]
    assert len({clip_digest(row._replace(start_s=one, stop_s=other)) for one in nothing for other in nothing}) == 1
    assert clip_digest(row._replace(start_s=0.0)) != clip_digest(row)


def line(**changes) -> bytes:
    """A line of a journal; a change to ... leaves the field out."""
    fields = {"group_id": "g", "verdict": "accept", "reviewer": "ann", "time": NOON, "basis": "text", "digest": "d"}
    fields = {name: value for name, value in {**fields, **changes}.items() if value is not ...}
    return json.dumps(fields).encode() + b"\n"


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_kind_of_verdict_is_read_as_it_was_written(verdict, basis, tmp_path):
    more = {"drop": {"clip_id": "c1"}, "final": {"decision": "reject"}}.get(verdict, {})
    said = say(verdict, "Ännchen 😀", basis=basis, reason="warum\nnicht", **more)
    path = tmp_path / "epic.jsonl"
    path.write_bytes(json.dumps(asdict(said)).encode() + b"\n" + line())
    assert read_journal(path) == [said, Verdict("g", "accept", "ann", NOON, "text", "d")]
    append(path, [said])
    assert read_journal(path)[2:] == [said]


@pytest.fixture
def journal(tmp_path):
    """A journal of two lines."""
    path = tmp_path / "verdicts" / "epic.jsonl"
    path.parent.mkdir()
    path.write_bytes(line() + line(verdict="reject"))
    return path


def test_what_is_appended_comes_after_what_is_there_as_lines_without_empty_fields(journal):
    append(journal, [say("accept"), say("drop", clip_id="c1", reason="dark")])
    *before, one, other = journal.read_bytes().splitlines(keepends=True)
    assert b"".join(before) == line() + line(verdict="reject")
    assert json.loads(one) == {name: value for name, value in asdict(say("accept")).items() if value}
    assert json.loads(other)["clip_id"] == "c1" and json.loads(other)["reason"] == "dark"
    append(journal, [])
    assert len(journal.read_bytes().splitlines()) == 4


def test_a_journal_and_its_folder_are_made_with_their_first_line(tmp_path):
    path = tmp_path / "data" / "verdicts" / "epic.jsonl"
    append(path, [say("accept")])
    assert read_journal(path) == [say("accept")] and os.listdir(path.parent) == ["epic.jsonl"]


def test_a_cut_off_last_line_is_set_aside_before_more_is_appended(journal, caplog):
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"group_id": "g", "ver')
    append(journal, [say("unsure")])
    assert journal.read_bytes() == whole + say("unsure").line()
    assert journal.with_name("epic.jsonl.cut-off").read_bytes() == b'{"group_id": "g", "ver\n'
    assert caplog.messages == [f"{journal}: the last line was cut off; it was set aside into epic.jsonl.cut-off"]
    journal.write_bytes(whole + b"{")
    assert mend(journal) and not mend(journal)
    assert journal.read_bytes() == whole
    assert journal.with_name("epic.jsonl.cut-off").read_bytes() == b'{"group_id": "g", "ver\n{\n'


def test_a_last_line_that_lacks_its_end_gets_it_before_more_is_appended(journal):
    whole = journal.read_bytes()
    journal.write_bytes(whole.rstrip(b"\n"))
    append(journal, [say("unsure")])
    assert journal.read_bytes() == whole + say("unsure").line()
    assert not mend(journal) and not mend(journal.with_name("none.jsonl"))


@pytest.mark.parametrize("breaks", ["write", "fsync"])
def test_what_cannot_be_written_whole_leaves_the_journal_as_it_was(breaks, journal, monkeypatch):
    whole, real = journal.read_bytes(), os.write

    def full(handle, content=b""):
        if breaks == "write" and len(content) < 40:
            real(handle, content[:10])
        elif breaks == "write":
            return real(handle, content[:-20])  # a disk takes what it has room for
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, breaks, full)
    with pytest.raises(WriteError, match=f"can't write to {journal}: No space left on device"):
        append(journal, [say("unsure")])
    monkeypatch.undo()
    assert journal.read_bytes() == whole


def test_a_journal_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, reason in ((tmp_path / "file" / "epic.jsonl", "File exists"), (tmp_path / "folder", "Is a directory")):
        with pytest.raises(WriteError, match=f"can't write to {path}: {reason}"):
            append(path, [say("accept")])


def test_a_broken_line_is_left_out_only_when_told_so(journal, caplog):
    journal.write_bytes(line() + b"accept g\n" + line(verdict="reject"))
    with pytest.raises(JournalError, match=f"{journal} line 2 is no verdict: .* with --skip-bad-rows$"):
        read_journal(journal)
    read = read_journal(journal, skip_bad_rows=True)
    assert [verdict.verdict for verdict in read] == ["accept", "reject"]
    assert len(caplog.messages) == 1 and f"{journal} line 2 is no verdict" in caplog.messages[0]


def test_a_journal_of_another_source_is_refused_by_its_line(journal):
    journal.write_bytes(line(group_id="epic/open-close/door") + line(group_id="ssv2/open-close/door"))
    assert len(read_journal(journal)) == 2
    for skip in (False, True):
        with pytest.raises(JournalError, match=f"{journal} line 2 is on ssv2/open-close/door, .* no group of epic"):
            read_journal(journal, "epic", skip)


def test_a_reviewers_name_is_the_one_who_is_logged_in_but_never_ours(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    assert reviewer_name() == "ann" and reviewer_name("Ännchen B.") == "Ännchen B."
    for name in (SHIPPED, "", " ", "a\nb"):
        with pytest.raises(ConfigError, match="give --reviewer NAME"):
            reviewer_name(name)


def test_a_journal_is_in_the_data_folder_unless_another_is_named(tmp_path):
    assert journal_path(tmp_path, "epic") == tmp_path / "verdicts" / "epic.jsonl"
    assert journal_path(tmp_path, "epic", tmp_path / "mine") == tmp_path / "mine"


def test_an_empty_journal_holds_no_verdict(tmp_path):
    (tmp_path / "epic.jsonl").write_bytes(b"")
    assert read_journal(tmp_path / "epic.jsonl") == []


@pytest.mark.parametrize("cut", [b'{"group_id": "g", "ver', b"{", b"\xc3", line()[:-2]])
def test_a_last_line_that_was_cut_off_is_left_out_with_a_warning(cut, caplog):
    assert parse_journal(line() + line(verdict="reject") + cut, "my.jsonl") == parse_journal(
        line() + line(verdict="reject"), "my.jsonl"
    )
    assert caplog.messages == ["my.jsonl: the last line is cut off and was left out"]


def test_a_last_line_that_lacks_only_its_end_is_read(caplog):
    both = line() + line(verdict="reject")
    assert parse_journal(both.rstrip(b"\n"), "my.jsonl") == parse_journal(both, "my.jsonl")
    assert not caplog.messages


BROKEN = {
    "a line that was cut in the middle": (b'{"group_id": "g", "ver\n', "Expecting|Unterminated|Invalid"),
    "an empty line": (b"\n", "Expecting value"),
    "no JSON": (b"accept g\n", "Expecting value"),
    "a list": (b"[]\n", "not a JSON object"),
    "a number": (b"3\n", "not a JSON object"),
    "invalid UTF-8": (b'{"group_id": "\xff"}\n', "utf-8"),
    "deep nesting": (b"[" * 100_000 + b"\n", "recursion"),
    "deep nesting in a field": (line(reason=3).replace(b"3", b"[" * 100_000 + b"]" * 100_000), "recursion"),
    "an endless number": (line(reason=3).replace(b": 3", b": " + b"9" * 5000), "digits"),
    "half a surrogate pair": (line(group_id="\ud800"), "surrogates not allowed"),
    "an unknown field": (line(colour="red"), "unknown field colour"),
    "an unknown field with a line break": (line(**{"a\nb": "red"}), r"unknown field a\\nb"),
    "no group": (line(group_id=...), "it lacks group_id"),
    "nothing but an object": (b"{}\n", "it lacks group_id, verdict, reviewer, time, basis, digest"),
    "a number for text": (line(reviewer=3), "reviewer is 3, not text"),
    "null for a group": (line(group_id=None), "group_id is None, not text"),
    "a list for a reason": (line(reason=["a"]), "reason is .'a'., not text"),
    "an unknown verdict": (line(verdict="maybe"), "verdict is 'maybe'; choose from accept, reject, unsure, swap"),
    "a time that is none": (line(time="never"), "time is 'never'; write it like 2026-11-25T09:30:00Z"),
    "an empty comment": (line(verdict="comment"), "reason is empty; it holds what a comment says"),
    "an unknown basis": (line(basis="sound"), "basis is 'sound'; choose from text, video"),
    "a final without a decision": (line(verdict="final"), "decision is None; a final says accept or reject"),
    "a final that is unsure": (line(verdict="final", decision="unsure"), "decision is 'unsure'; a final says"),
    "an accept with a decision": (line(decision="accept"), "decision is 'accept'; a final says"),
    "a drop of nothing": (line(verdict="drop"), "clip_id is None; a drop names the clip"),
    "an accept of one clip": (line(clip_id="c1"), "clip_id is 'c1'; a drop names the clip"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_named_with_its_file_in_one_line(name, tmp_path):
    broken, expected = BROKEN[name]
    path = tmp_path / "mine.jsonl"
    path.write_bytes(line() + broken + line())
    with pytest.raises(JournalError, match=expected) as raised:
        read_journal(path)
    message = str(raised.value)
    assert message.startswith(f"{path} line 2 is no verdict: ") and message.isprintable()


def test_a_journal_that_is_not_there_or_a_folder_is_named(tmp_path):
    with pytest.raises(JournalError, match="none.jsonl can't be read: No such file"):
        read_journal(tmp_path / "none.jsonl")
    with pytest.raises(JournalError, match="can't be read: Is a directory"):
        read_journal(tmp_path)


@pytest.mark.parametrize("source, count", [("ssv2", 32), ("epic", 182), ("charades", 31)])
def test_the_shipped_journals_decide_on_text_with_a_reason(source, count):
    verdicts, sha256 = read_shipped(source)
    assert len(verdicts) == len({verdict.group_id for verdict in verdicts}) == count and len(sha256) == 64
    for verdict in verdicts:
        assert verdict.verdict in ("accept", "reject", "unsure")
        assert (verdict.reviewer, verdict.basis, verdict.clip_id) == (SHIPPED, "text", None)
        assert verdict.group_id.startswith(f"{source}/") and verdict.reason
        assert re.fullmatch("[0-9a-f]{16}", verdict.digest)


def test_a_source_without_a_shipped_journal_has_no_verdicts():
    assert read_shipped("synthetic") == ([], None)


@pytest.fixture(scope="module")
def real(epic100):
    """The candidates of the real EPIC files, and the decisions of the shipped journal on them."""
    actions = read_actions("epic", epic100).frame
    mined = mine("epic", actions, published_groups("epic"))
    shipped, _ = read_shipped("epic")
    return actions, mined.candidates, decide(mined.candidates, mined.clips(pd.Series([], dtype="str")), shipped, [])


def test_the_shipped_verdicts_fit_the_real_files_and_accept_no_group_that_a_hazard_marks(real):
    _, candidates, decisions = real
    assert decisions.stale == [] and decisions.unknown == []
    assert "none" not in {decision.status for decision in decisions.groups.values()}
    hazards = candidates.set_index("group_id").hazards
    accepted = [group_id for group_id, decision in decisions.groups.items() if decision.status == "accept"]
    assert accepted and [group_id for group_id in accepted if hazards[group_id]] == []


def test_what_ships_rejects_as_counted_twice_only_clips_of_a_group_that_it_accepts():
    verdicts = {verdict.group_id: verdict for verdict in read_shipped("epic")[0]}
    larger = {group_id: re.search(r"among those of (\S+),", verdict.reason) for group_id, verdict in verdicts.items()}
    named = [found[1] for found in larger.values() if found]
    assert len(named) > 30 and {verdicts[group_id].verdict for group_id in named} == {"accept"}


def test_no_narration_of_the_owners_is_in_the_shipped_journal(real):
    actions, _, _ = real
    verdicts, _ = read_shipped("epic")
    said = " \n ".join(f"{verdict.group_id} {verdict.reason}" for verdict in verdicts)
    longer = [text for text in actions.text.unique() if len(text.split()) > 2]
    assert longer and [text for text in longer if text in said] == []
    assert not re.search(r"P[0-9]{2}_", said)


DOOR, TAP = "epic/open*-close*/door", "epic/turn-on*-turn-off*/tap"  # nothing shipped on the first, the second accepted
FRIDGE = "epic/open*-close*/fridge"  # accepted, with one interval under both labels


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The candidates of the invented sample, and what the shipped journal makes of them."""
    data = tmp_path_factory.mktemp("extended")
    record = build("epic", SAMPLE, data, BuildSettings(profile="extended"))
    assert verify(data) == []
    return (
        CANDIDATES.read(data / "epic" / "candidates.parquet").set_index("group_id", drop=False),
        read_data(data),
        record,
    )


def of_sample(sample, group_id: str, verdict: str, reviewer: str = "ann", **more) -> dict:
    candidates, data, _ = sample
    digest = group_digest(candidates.loc[group_id])
    if "clip_id" in more:
        clips = data.clips[(data.clips.group_id == group_id) & (data.clips.clip_id == more["clip_id"])]
        digest = clip_digest(clips.iloc[0])
    said = {"group_id": group_id, "verdict": verdict, "reviewer": reviewer, "time": NOON, "basis": "text"}
    return {**said, "digest": digest, **more}


def build_with(tmp_path, *said: dict, annotations=SAMPLE, place: str = "mine.jsonl"):
    """Build the extended profile with these verdicts in a file of ours; the record and the tables, which are sound."""
    path, data = tmp_path / place, tmp_path / "data"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(fields) + "\n" for fields in said))
    given = None if place.startswith("data/") else path
    record = build("epic", annotations, data, BuildSettings(profile="extended"), verdicts=given)
    assert verify(data) == []
    return record, read_data(data)


def test_what_ships_builds_the_accepted_groups_of_the_sample(sample):
    _, data, record = sample
    assert set(data.groups.status) == {"accepted"} and TAP in set(data.groups.group_id)
    assert DOOR not in set(data.groups.group_id)
    assert record["verdicts"]["accept"] == len(data.groups) + len(record["held_back"]) == 13
    assert {held["reason"] for held in record["held_back"]} == {"accepted on text, but marked by few_validation"}
    assert record["verdicts"]["none"] == 1
    assert (record["conflicts"], record["stale"], record["unknown"]) == ([], [], [])


def test_ones_own_accept_adds_a_group_and_ones_own_reject_takes_one_out(sample, tmp_path):
    own = [of_sample(sample, DOOR, "accept"), of_sample(sample, TAP, "reject")]
    record, data = build_with(tmp_path, *own)
    before = set(sample[1].groups.group_id)
    assert set(data.groups.group_id) == before - {TAP} | {DOOR}
    assert record["inputs"][-1]["name"] == "verdicts/mine.jsonl"
    assert sample[2]["inputs"][-1]["name"] == "annotations/epic.jsonl"


def test_a_journal_in_the_data_folder_is_found_by_itself(sample, tmp_path):
    record, data = build_with(tmp_path, of_sample(sample, DOOR, "accept"), place="data/verdicts/epic.jsonl")
    assert DOOR in set(data.groups.group_id)
    assert record["inputs"][-1]["name"] == "verdicts/epic.jsonl"


def test_the_paper_profile_refuses_verdicts_that_it_would_ignore(tmp_path):
    with pytest.raises(ConfigError, match="the paper profile needs no verdicts; give --profile extended with --verd"):
        build("epic", SAMPLE, tmp_path / "data", verdicts=tmp_path / "mine.jsonl")


def test_a_journal_that_was_asked_for_must_be_there(tmp_path):
    with pytest.raises(JournalError, match="none.jsonl can't be read"):
        build("epic", SAMPLE, tmp_path / "data", BuildSettings(profile="extended"), tmp_path / "none.jsonl")
    assert not (tmp_path / "data").exists()


@pytest.fixture
def marked(annotations):
    """The sample with few validation clips of doors, a hazard."""
    path = annotations / "EPIC_100_validation.csv"
    header, *rows = path.read_text().splitlines()
    doors = [
        row for side in (",open,", ",close,") for row in [row for row in rows if "door," in row and side in row][3:]
    ]
    path.write_text("\n".join([header, *(row for row in rows if row not in set(doors))]) + "\n")
    return annotations


def test_an_accept_on_text_of_a_marked_group_is_held_back_and_listed(sample, marked, tmp_path):
    record, data = build_with(tmp_path, of_sample(sample, DOOR, "accept"), annotations=marked)
    candidates = CANDIDATES.read(tmp_path / "data" / "epic" / "candidates.parquet").set_index("group_id")
    assert candidates.loc[DOOR].hazards.tolist() == ["few_validation"]
    assert DOOR not in set(data.groups.group_id)
    reason = "accepted on text, but marked by few_validation"
    assert {"group_id": DOOR, "reason": reason} in record["held_back"]


def test_an_accept_on_video_of_a_marked_group_is_kept(sample, marked, tmp_path):
    record, data = build_with(tmp_path, of_sample(sample, DOOR, "accept", basis="video"), annotations=marked)
    door = data.groups.set_index("group_id").loc[DOOR]
    assert 2 <= door.validation_forward + door.validation_reverse < 10
    assert DOOR not in {row["group_id"] for row in record["held_back"]}


def test_a_swap_turns_phrases_labels_and_counts_round(sample, tmp_path):
    own = [of_sample(sample, DOOR, "accept"), of_sample(sample, TAP, "swap")]
    _, before = build_with(tmp_path / "before", own[0])
    record, after = build_with(tmp_path / "after", *own, of_sample(sample, DOOR, "swap"))
    assert record["conflicts"] == []
    for group_id in (DOOR, TAP):
        old, new = (data.groups.set_index("group_id").loc[group_id] for data in (before, after))
        assert (new.forward, new.reverse) == (old.reverse, old.forward)
        for split in ("train", "validation"):
            assert new[f"{split}_forward"] == old[f"{split}_reverse"] != 0
            assert new[f"{split}_reverse"] == old[f"{split}_forward"] != 0
        labels = [data.clips[data.clips.group_id == group_id].set_index("clip_id").label for data in (before, after)]
        assert (labels[0] + labels[1] == 1).all() and len(labels[0]) == len(labels[1])
    others = [
        data.clips[~data.clips.group_id.isin([DOOR, TAP])].drop(columns="strict_split") for data in (before, after)
    ]
    pd.testing.assert_frame_equal(others[0].reset_index(drop=True), others[1].reset_index(drop=True))


def test_a_dropped_clip_is_gone_and_counted_no_more(sample, tmp_path):
    clips = sample[1].clips
    clip = clips[(clips.group_id == TAP) & (clips.label == 1) & (clips.split == "train")].iloc[0]
    drop = of_sample(sample, TAP, "drop", clip_id=clip.clip_id)
    _, data = build_with(tmp_path, drop)
    keys = ["group_id", "clip_id"]
    gone = set(map(tuple, clips[keys].to_numpy())) - set(map(tuple, data.clips[keys].to_numpy()))
    assert gone == {(TAP, clip.clip_id)}
    old, new = (tables.groups.set_index("group_id").loc[TAP] for tables in (sample[1], data))
    assert new.train_forward == old.train_forward - 1 and new.train_reverse == old.train_reverse

    retract = of_sample(sample, TAP, "retract")
    _, again = build_with(tmp_path / "again", drop, retract)
    assert again.fingerprint("epic") == sample[1].fingerprint("epic")


def test_a_group_whose_clips_of_one_label_are_all_dropped_is_left_out_with_the_reason(sample, tmp_path):
    clips = sample[1].clips
    clips = clips[(clips.group_id == TAP) & (clips.label == 0) & (clips.split == "validation")]
    record, data = build_with(tmp_path, *(of_sample(sample, TAP, "drop", clip_id=clip_id) for clip_id in clips.clip_id))
    assert TAP not in set(data.groups.group_id)
    assert {"group_id": TAP, "reason": "no clip of turn-off* in validation"} in record["left_out"]


def test_a_conflict_keeps_the_group_out_and_is_reported_until_a_final_settles_it(sample, tmp_path):
    own = [of_sample(sample, DOOR, "accept"), of_sample(sample, DOOR, "reject", "ben")]
    record, data = build_with(tmp_path / "one", *own)
    assert record["conflicts"] == [DOOR] and record["verdicts"]["conflict"] == 1
    assert DOOR not in set(data.groups.group_id)
    record, data = build_with(tmp_path / "two", *own, of_sample(sample, DOOR, "final", "eva", decision="accept"))
    assert record["conflicts"] == [] and DOOR in set(data.groups.group_id)


def test_stale_and_unknown_verdicts_are_reported_and_change_nothing(sample, tmp_path):
    own = [
        of_sample(sample, DOOR, "accept", digest="0" * 16),
        {**of_sample(sample, TAP, "reject"), "group_id": "epic/cut-glue/bread"},
    ]
    record, data = build_with(tmp_path, *own)
    assert (record["stale"], record["unknown"]) == ([DOOR], ["epic/cut-glue/bread"])
    assert data.fingerprint("epic") == sample[1].fingerprint("epic")


def test_an_interval_under_both_labels_is_in_neither_side_of_an_accepted_group(sample):
    _, data, record = sample
    clip_id = "P03/videos/P03_01_159.0_160.5"
    assert {"group_id": FRIDGE, "clip_id": clip_id} in record["contradictory"]
    fridge = data.clips[data.clips.group_id == FRIDGE]
    assert len(fridge) and clip_id not in set(fridge.clip_id)


def test_a_clips_digest_is_the_same_when_its_table_is_read_again(sample, tmp_path):
    clips = sample[1].clips.head(20).copy()
    clips.loc[3:5, ["start_s", "stop_s"]] = np.nan
    CLIPS.write(tmp_path / "clips.parquet", clips)
    again = CLIPS.read(tmp_path / "clips.parquet")
    assert [clip_digest(row) for row in again.itertuples()] == [clip_digest(row) for row in clips.itertuples()]
