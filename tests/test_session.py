import json
import os
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import run_cia, snapshot

from cia_bench.build import build
from cia_bench.errors import BuildError, ConfigError, JournalError
from cia_bench.review import session as session_module
from cia_bench.review.journal import Verdict, append, clip_digest, read_journal
from cia_bench.review.session import FILTERS, ORDERS, SAMPLE, Session
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES

DOOR, FRIDGE, SPOON = "epic/open*-close*/door", "epic/open*-close*/fridge", "epic/take*-put*/spoon"


@pytest.fixture
def journal(data: Path) -> Path:
    return data / "verdicts" / "epic.jsonl"


def review(data: Path, reviewer: str = "ann", **more) -> Session:
    return Session(data, reviewer=reviewer, **more)


def at(session: Session, group_id: str) -> Session:
    """The session, moved to a candidate."""
    session.go([item.group_id for item in session.shown].index(group_id))
    return session


def ids(session: Session) -> list[str]:
    return [item.group_id for item in session.shown]


def said(journal: Path) -> list[tuple]:
    return [(line.group_id, line.verdict, line.reviewer, line.reason) for line in read_journal(journal)]


def by_others(data: Path, journal: Path, reviewer: str, **verdicts: str) -> None:
    """Write what another reviewer says of door, fridge and spoon."""
    other = review(data, reviewer)
    for name, verdict in verdicts.items():
        at(other, {"door": DOOR, "fridge": FRIDGE, "spoon": SPOON}[name]).decide(verdict)
        other.show("all")


def test_the_queue_is_what_is_ready_and_has_clips_of_both_labels_the_riskiest_first(data):
    session = review(data)
    candidates = CANDIDATES.read(data / "epic" / "candidates.parquet").set_index("group_id")
    assert len(session.items) == 17 and session.shown == session.items and session.position == 0
    assert {item.group_id for item in session.items} < set(candidates.index)
    assert "epic/open-close/bag" not in ids(session), "it has no clip"
    assert "epic/put-in-take-out/cup" in ids(session)
    risks = [(-item.risk, item.group_id) for item in session.items]
    assert risks == sorted(risks) and risks[0] < risks[-1]
    door = at(session, DOOR).current
    row = candidates.loc[DOOR]
    assert (door.forward, door.reverse, door.noun) == ("open*", "close*", "door")
    assert door.lexicon_row == row.lexicon_row and door.clips == sum(door.counts.values()) == 40
    assert session.sides(door) == ("open*", "close*") and session.status(door) == "none"


def test_other_orders_are_by_size_and_mixed_for_each_reviewer_in_a_way_of_their_own(data):
    sizes = [item.clips for item in review(data, order="size").items]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    mixed = [ids(review(data, who, order="random")) for who in ("ann", "ann", "ben")]
    assert mixed[0] == mixed[1] != mixed[2] and sorted(mixed[0]) == sorted(mixed[2])
    with pytest.raises(ConfigError, match="unknown order 'age'; choose from risk, size, random, disagreement"):
        review(data, order="age")


def test_clips_come_twelve_at_a_time_mixed_and_each_page_has_others(data):
    session = at(review(data), DOOR)
    clips = CANDIDATE_CLIPS.read(data / "epic" / "candidate_clips.parquet")
    own = clips[(clips.group_id == DOOR) & (clips.label == 1)]
    pages = [session.sample(session.current, 1, page) for page in range(3)]
    assert [len(page) for page in pages] == [SAMPLE, len(own) - SAMPLE, SAMPLE] and len(own) == 21
    assert set(pages[0].clip_id) | set(pages[1].clip_id) == set(own.clip_id)
    assert pages[2].clip_id.tolist() == pages[0].clip_id.tolist() != sorted(pages[0].clip_id)
    assert set(pages[0].verb).isdisjoint(session.sample(session.current, 0).verb)


@pytest.mark.parametrize("verdict", ["accept", "reject", "unsure"])
def test_a_decision_is_on_the_disk_and_the_next_to_do_is_the_next_shown(verdict, data, journal):
    session = review(data)
    first, second = session.items[:2]
    assert session.decide(verdict, "because") and session.problem is None
    (line,) = read_journal(journal)
    assert (line.group_id, line.verdict, line.reason, line.basis) == (first.group_id, verdict, "because", "text")
    assert line.digest == first.digest and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.time)
    assert session.current == first and session.word(first).decision == session.status(first) == verdict
    assert session.advance() and session.current == second
    assert session.progress().decided == session.progress().now == 1 and session.progress().total == 17


def test_what_is_said_after_clips_were_seen_is_on_video(data, journal):
    session = at(review(data), DOOR)
    session.saw_video(session.current)
    session.decide("accept")
    at(session, FRIDGE).decide("accept")
    assert [line.basis for line in read_journal(journal)] == ["video", "text"]


def test_advancing_passes_what_is_decided_starts_again_at_the_front_and_ends(data):
    session = review(data)
    session.go(len(session.shown) - 1)
    session.decide("accept")
    assert session.advance() and session.position == 0
    for _ in range(len(session.shown) - 1):
        session.decide("accept")
        more = session.advance()
    assert not more and session.progress().decided == 17


def test_progress_counts_what_is_done_however_it_came_about(data, journal):
    session = at(review(data), DOOR)
    counts = [session.progress().decided]
    session.decide("accept")
    counts.append(session.progress().decided)
    session.decide("reject")  # of the same
    counts.append(session.progress().decided)
    append(journal, [replace(read_journal(journal)[0], group_id=FRIDGE, digest=at(session, FRIDGE).current.digest)])
    session.comment("seen")  # what ann wrote elsewhere meanwhile is read with it
    counts.append(session.progress().decided)
    for _ in range(4):
        session.undo()
        counts.append(session.progress().decided)
    assert counts == [0, 1, 1, 2, 2, 1, 1, 0]


def test_moving_stops_at_the_ends(data):
    session = review(data)
    session.go(-5)
    assert session.position == 0
    session.go(10_000)
    assert session.position == 16 and session.current == session.items[16]


def test_a_swap_turns_phrases_and_clips_round_until_it_is_swapped_back(data, journal):
    session = at(review(data), DOOR)
    before = session.sample(session.current, 1).clip_id.tolist()
    session.swap()
    assert session.sides(session.current) == ("close*", "open*")
    assert session.sample(session.current, 0).clip_id.tolist() == before
    session.swap()
    assert session.sides(session.current) == ("open*", "close*")
    assert [verdict for _, verdict, *_ in said(journal)] == ["swap", "swap"]


def test_a_dropped_clip_has_the_digest_of_its_row_and_is_dropped_once(data, journal):
    session = at(review(data), DOOR)
    clip = session.sample(session.current, 0).iloc[2]
    session.drop(clip.clip_id, "dark")
    (line,) = read_journal(journal)
    assert (line.verdict, line.clip_id, line.reason) == ("drop", clip.clip_id, "dark")
    assert line.digest == clip_digest(clip)
    assert session.word(session.current).dropped == {clip.clip_id}
    with pytest.raises(ConfigError, match="is dropped already"):
        session.drop(clip.clip_id)


def test_a_build_applies_what_a_session_says(data, journal, tmp_path):
    session = at(review(data), DOOR)
    clip_id = session.sample(session.current, 1).clip_id.iloc[0]
    session.saw_video(session.current)
    assert session.swap() and session.drop(clip_id) and session.comment("bright") and session.decide("accept")
    annotations = Path(__file__).parent / "data" / "epic"
    run = run_cia(
        *("build", "--source", "epic", "--annotations", annotations, "--profile", "extended", "--out", "again"),
        *("--verdicts", journal),
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    clips = CANDIDATE_CLIPS.read(tmp_path / "again" / "epic" / "candidate_clips.parquet")
    from cia_bench import read_data

    built = read_data(tmp_path / "again")
    door = built.groups.set_index("group_id").loc[DOOR]
    assert (door.forward, door.reverse, door.train_forward + door.validation_forward) == ("close*", "open*", 19)
    rows = built.clips[built.clips.group_id == DOOR]
    assert clip_id not in set(rows.clip_id) and len(rows) == (clips.group_id == DOOR).sum() - 1


def test_undo_takes_back_line_after_line_and_goes_where_they_were(data, journal):
    session = at(review(data), DOOR)
    clip_id = session.sample(session.current, 1).clip_id.iloc[0]
    session.decide("accept", "so")
    at(session, FRIDGE).drop(clip_id=session.sample(at(session, FRIDGE).current, 1).clip_id.iloc[0])
    session.decide("reject", "no")
    taken = [session.undo() for _ in range(2)]
    assert [line.verdict for line in taken] == ["reject", "drop"] and session.current.group_id == FRIDGE
    assert session.word(session.current).dropped == frozenset() and clip_id
    assert session.undo().verdict == "accept" and session.current.group_id == DOOR
    assert session.undo() is None and session.progress().decided == session.progress().now == 0
    kinds = [(group_id, verdict, reason) for group_id, verdict, _, reason in said(journal)]
    assert kinds[3:] == [(FRIDGE, "retract", ""), (FRIDGE, "retract", ""), (DOOR, "retract", "")]
    assert ids(review(data)) == ids(session)


def test_undo_reaches_what_an_earlier_session_said_but_nobody_elses(data, journal):
    by_others(data, journal, "ben", door="accept")
    at(review(data), DOOR).decide("reject")
    by_others(data, journal, "ben", fridge="accept")
    session = review(data)
    assert session.undo().verdict == "reject" and session.undo() is None
    assert [line.reviewer for line in read_journal(journal)] == ["ben", "ann", "ben", "ann"]


def test_undo_of_what_is_not_shown_shows_all(data):
    session = at(review(data), DOOR)
    session.decide("accept")
    session.search("fridge")
    session.undo()
    assert session.current.group_id == DOOR and session.filter == "all" and session.searched == ""


def test_filters_and_searches_narrow_what_is_shown_and_keep_the_place(data, journal):
    by_others(data, journal, "ben", door="reject", fridge="accept")
    session = at(review(data), DOOR)
    session.decide("accept")
    shown = {}
    for kind in FILTERS:
        session.show(kind)
        shown[kind] = set(ids(session))
    assert shown["decided"] == shown["conflict"] == {DOOR} and len(shown["all"]) == 17
    assert shown["to do"] == shown["all"] - {DOOR}
    session.show("all")
    at(session, FRIDGE).search("OPEN fridge")
    assert set(ids(session)) == {FRIDGE, "epic/open-close/fridge"} and session.current.group_id == FRIDGE
    session.search("lopsided")
    assert ids(session) == ["epic/put-in-take-out/cup"]
    session.search("nothing like it")
    assert session.shown == [] and session.current is None and not session.advance()
    with pytest.raises(ConfigError, match="no candidate is shown"):
        session.decide("accept")
    session.search("")
    assert len(session.shown) == 17
    with pytest.raises(ConfigError, match="unknown filter 'mine'"):
        session.show("mine")


def test_the_next_session_starts_where_this_one_ended(data):
    session = review(data)
    session.decide("accept")
    session.advance()
    session.go(session.position + 3)
    place = session.current.group_id
    session.close()
    assert review(data).current.group_id == place
    assert review(data, "ben").position == 0 and review(data, order="size").position == 0
    at(review(data), place).decide("accept")
    assert review(data).current.group_id != place, "decided: no longer in the queue"


def test_a_place_that_makes_no_sense_is_none(data):
    session = review(data)
    session.go(3)
    session.close()
    (place,) = (data / "verdicts").glob(".place-*")
    for content in (b"", b"[]", b"\xff", b'{"group_id": 3, "order": "risk"}', b'{"group_id": "gone", "order": "risk"}'):
        place.write_bytes(content)
        assert review(data).position == 0


def test_a_conflict_is_queued_by_disagreement_and_settled_by_a_final(data, journal):
    by_others(data, journal, "ann", door="accept", fridge="accept", spoon="unsure")
    by_others(data, journal, "ben", door="reject", fridge="accept", spoon="accept")
    session = review(data, "eva", order="disagreement")
    assert session.settles and set(ids(session)) == {DOOR, SPOON}
    with pytest.raises(ConfigError, match="a conflict is settled by accept or reject"):
        session.decide("unsure")
    at(session, DOOR).decide("reject", "both ways")
    line = read_journal(journal)[-1]
    assert (line.verdict, line.decision, line.reason) == ("final", "reject", "both ways")
    assert session.status(session.current) == "reject" and session.advance() and session.current.group_id == SPOON
    assert ids(review(data, "eva", order="disagreement")) == [SPOON]
    session.undo()
    assert set(ids(review(data, "eva", order="disagreement"))) == {DOOR, SPOON}


def test_what_cannot_be_written_is_pending_and_written_with_the_next(data, journal):
    session = at(review(data), DOOR)
    journal.parent.mkdir(exist_ok=True)
    journal.mkdir()  # in the way of the file
    assert not session.decide("accept") and f"can't write to {journal}" in session.problem
    assert [line.verdict for line in session.pending] == ["accept"]
    assert session.word(session.current).decision == "accept", "it is not forgotten"
    assert not session.comment("really") and len(session.pending) == 2 and not session.flush()
    journal.rmdir()
    assert at(session, FRIDGE).decide("reject") and session.pending == [] and session.problem is None
    assert [(line.group_id, line.verdict) for line in read_journal(journal)] == [
        (DOOR, "accept"),
        (DOOR, "comment"),
        (FRIDGE, "reject"),
    ]


def test_a_disk_that_is_full_in_the_middle_of_a_line_keeps_the_journal_whole_and_the_decision_pending(data, journal):
    session = at(review(data), DOOR)
    session.decide("accept")
    whole = journal.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, limit[1]))  # no file may grow beyond
    try:
        assert not at(session, FRIDGE).decide("reject", "a long reason " * 20) and "File too large" in session.problem
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert journal.read_bytes() == whole and len(session.pending) == 1
    assert session.flush() and [verdict for _, verdict, *_ in said(journal)] == ["accept", "reject"]


def test_undo_takes_back_what_is_pending_without_a_trace(data, journal):
    session = at(review(data), DOOR)
    journal.parent.mkdir(exist_ok=True)
    journal.mkdir()
    session.decide("accept")
    assert session.undo().verdict == "accept" and session.pending == [] and session.problem is None
    assert session.word(session.current).decision is None and session.progress().now == 0
    journal.rmdir()
    assert session.flush() and not journal.exists()


def test_an_undo_that_cannot_be_written_takes_nothing_back(data, journal):
    session = at(review(data), DOOR)
    session.decide("accept")
    kept = journal.read_bytes()
    journal.unlink()
    journal.mkdir()
    assert session.undo() is None and f"can't write to {journal}" in session.problem and session.pending == []
    assert session.word(session.current).decision == "accept" and len(session.notes) == 1
    journal.rmdir()
    journal.write_bytes(kept)
    assert session.undo().verdict == "accept" and session.problem is None


def test_what_others_write_meanwhile_is_seen_with_the_next_line(data, journal):
    session = at(review(data), DOOR)
    by_others(data, journal, "ben", door="reject")
    assert session.decide("accept")
    assert session.status(session.current) == "conflict"
    assert {line.reviewer for line in session.lines(session.current)} == {"ann", "ben"}


def test_verdicts_on_what_changed_or_is_gone_are_told_and_count_no_more(data, journal):
    session = review(data)
    door = at(session, DOOR).current
    old = Verdict(DOOR, "accept", "ann", "2026-01-01T12:00:00Z", "text", "of what it was")
    gone = Verdict("epic/open-close/zeppelin", "accept", "ann", "2026-01-01T12:00:00Z", "text", "any")
    append(journal, [old, gone])
    session = review(data)
    assert session.word(door).decision is None and DOOR in ids(session)
    assert session.notes == [
        "verdicts on what is no candidate now: 'epic/open-close/zeppelin'",
        f"verdicts on what has changed since, to be given again: '{DOOR}'",
    ]
    assert review(data, "ben").notes == []


def test_a_cut_off_last_line_is_set_aside_and_told(data, journal):
    at(review(data), DOOR).decide("accept")
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"group_id": "ep')
    session = review(data)
    assert session.notes == [f"{journal}: a cut-off last line was set aside"] and journal.read_bytes() == whole
    assert session.progress().decided == 1


def test_listed_clips_are_reviewed_in_the_groups_that_hold_them(data):
    door = at(review(data), DOOR)
    wanted = door.sample(door.current, 1).clip_id.tolist()[:2] + door.sample(door.current, 0).clip_id.tolist()[:1]
    session = review(data, clip_ids=[*wanted, wanted[0]])
    assert DOOR in ids(session) and len(ids(session)) < 17 and session.filter == "all"
    shown = [session.sample(at(session, DOOR).current, label).clip_id.tolist() for label in (1, 0)]
    assert sorted(shown[0]) == sorted(wanted[:2]) and shown[1] == wanted[2:]
    with pytest.raises(ConfigError, match="no candidate in .* has the clip 'P99_1' and 1 more"):
        review(data, clip_ids=[wanted[0], "P99_1", "P99_2"])
    with pytest.raises(ConfigError, match="no clip is listed"):
        review(data, clip_ids=[])


def test_several_sources_are_one_queue_each_with_its_journal(data, annotations, tmp_path):
    from invented import charades_rows, write_charades

    classes = ["c000 Opening a door", "c001 Closing a door"]
    rows = [charades_rows(classes, videos, first, clips) for videos, first, clips in ((8, 0, 20), (4, 8, 10))]
    folder = write_charades(tmp_path / "charades", classes, *rows)
    build("charades", folder, data)
    session = review(data)
    of_charades = next(item for item in session.items if item.source == "charades")
    at(session, of_charades.group_id).decide("accept")
    at(session, DOOR).decide("accept")
    for source, group_id in (("charades", of_charades.group_id), ("epic", DOOR)):
        assert [line.group_id for line in read_journal(data / "verdicts" / f"{source}.jsonl")] == [group_id]
    assert {item.source for item in review(data, sources=["epic"]).items} == {"epic"}
    with pytest.raises(ConfigError, match="--verdicts is one source's journal; say which of charades, epic"):
        review(data, verdicts=tmp_path / "mine.jsonl")


def test_bad_input_is_refused_in_one_line(data, journal, tmp_path):
    with pytest.raises(BuildError, match="no build of 'ssv2'; it has epic"):
        review(data, sources=["ssv2"])
    with pytest.raises(BuildError, match="does not exist; make it with cia build"):
        review(tmp_path / "none")
    with pytest.raises(ConfigError, match="give --reviewer NAME"):
        review(data, "cia-bench")
    append(journal, [Verdict("ssv2/a-b/c", "accept", "ann", "2026-01-01T12:00:00Z", "text", "any")])
    with pytest.raises(JournalError, match="line 1 is on ssv2/a-b/c, which is no group of epic"):
        review(data)
    journal.write_text("accept\n")
    with pytest.raises(JournalError, match="line 1 is no verdict"):
        review(data)
    assert len(review(data, skip_bad_rows=True).items) == 17
    (data / "epic" / "candidate_clips.parquet").unlink()
    with pytest.raises(
        BuildError, match="candidate_clips.parquet does not exist: an older cia-bench .* build it again"
    ):
        review(data, skip_bad_rows=True).sample(at(review(data, skip_bad_rows=True), DOOR).current, 1)


def test_looking_writes_nothing_but_the_place(data):
    before = snapshot(data)
    session = review(data)
    session.sample(session.current, 1)
    session.go(4)
    session.search("door")
    session.advance()
    assert snapshot(data) == before
    session.close()
    (new,) = set(snapshot(data)) - set(before)
    assert new == "verdicts/.place-ann.json" and json.loads((data / new).read_text())["order"] == "risk"


def test_the_reviewer_is_who_is_logged_in(data, monkeypatch):
    monkeypatch.setenv("LOGNAME", "carla")
    assert Session(data).reviewer == "carla" and set(ORDERS) == {"risk", "size", "random", "disagreement"}
    assert os.environ["LOGNAME"] == "carla" and session_module.SAMPLE == 12
