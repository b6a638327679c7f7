from dataclasses import replace

import pytest
from said import DROPPABLE, GROUPS, say

from cia_bench.review.decisions import Decision, Decisions, Standing, Word, decide, word_of
from cia_bench.review.journal import SHIPPED, Verdict


def decided(*own: Verdict, shipped: tuple[Verdict, ...] = ()) -> Decisions:
    return decide(GROUPS, DROPPABLE, shipped, own)


def on_g(*own: Verdict, shipped: tuple[Verdict, ...] = ()) -> Decision:
    return decided(*own, shipped=shipped).groups["g"]


def status(*own: Verdict, shipped: tuple[Verdict, ...] = ()) -> str:
    return on_g(*own, shipped=shipped).status


def test_without_verdicts_nothing_is_decided():
    assert decided() == Decisions({"g": Decision("none"), "h": Decision("none")}, [], [])


@pytest.mark.parametrize("verdict", ["accept", "reject", "unsure"])
def test_one_reviewer_decides_and_only_of_that_group(verdict):
    assert decided(say(verdict)).groups == {"g": Decision(verdict), "h": Decision("none")}


def test_a_reviewers_last_word_counts():
    assert status(say("accept"), say("reject"), say("unsure")) == "unsure"
    assert status(say("accept"), say("reject", group="h")) == "accept"


@pytest.mark.parametrize("one", ["accept", "reject", "unsure"])
@pytest.mark.parametrize("other", ["accept", "reject", "unsure"])
def test_reviewers_whose_last_words_differ_are_in_conflict(one, other):
    assert status(say(one), say(other, "ben")) == (one if one == other else "conflict")
    assert status(say(other), say(one), say("reject", "ben"), say(other, "ben")) == (
        one if one == other else "conflict"
    )


def test_a_conflict_ends_when_one_gives_way():
    assert status(say("accept"), say("reject", "ben"), say("accept", "ben")) == "accept"


def test_a_decision_is_on_video_if_one_who_decided_looked_at_clips():
    assert on_g(say("accept")).basis == "text"
    assert on_g(say("accept"), say("accept", "ben", basis="video")).basis == "video"
    assert on_g(say("accept", basis="video"), say("accept")).basis == "text", "only the last word counts"
    assert on_g(say("accept"), say("swap", basis="video")).basis == "text"


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_a_final_settles_whatever_the_others_say(decision):
    final = say("final", "eva", decision=decision, basis="video")
    assert on_g(say("accept"), say("reject", "ben"), final) == Decision(decision, "video")
    assert status(final, say("accept"), say("unsure", "ben")) == decision
    assert status(final, say("unsure", "eva")) == decision
    assert status(final) == decision


def test_the_last_final_counts_and_a_retracted_one_does_not():
    accept, reject = say("final", "eva", decision="accept"), say("final", "ben", decision="reject")
    assert status(accept, reject) == "reject"
    assert status(reject, accept) == "accept"
    assert status(accept, reject, say("retract", "ben")) == "accept"
    assert status(say("accept"), say("reject", "ben"), accept, say("retract", "eva")) == "conflict"
    assert status(accept, reject, accept, say("retract", "eva")) == "reject", "two equal lines are two lines"


def test_a_retract_takes_back_one_line_after_another():
    said = [say("accept"), say("reject"), say("unsure")]
    retract = say("retract")
    assert status(*said, retract) == "reject"
    assert status(*said, retract, retract) == "accept"
    assert status(*said, retract, retract, retract) == "none"
    assert status(*said, retract, retract, retract, retract) == "none"
    assert status(*said, retract, say("accept"), retract) == "reject"


def test_a_retract_is_only_of_its_reviewer_and_group():
    assert status(say("accept"), say("retract", "ben")) == "accept"
    assert status(say("accept"), say("retract", group="h")) == "accept"
    assert status(say("accept"), say("reject", "ben"), say("retract")) == "reject"
    assert status(say("accept"), say("reject", group="h"), say("retract")) == "none"


def test_swapping_turns_the_labels_and_swapping_twice_does_not():
    assert on_g(say("accept"), say("swap")).swap
    assert on_g(say("swap"), say("accept")).swap
    assert not on_g(say("swap"), say("accept"), say("swap")).swap
    assert on_g(say("swap"), say("swap"), say("swap"), say("accept")).swap
    assert not on_g(say("accept"), say("swap"), say("retract")).swap
    assert status(say("swap")) == "none"


def test_reviewers_who_swap_differently_are_in_conflict():
    assert status(say("accept"), say("swap"), say("accept", "ben")) == "conflict"
    assert status(say("accept"), say("swap", "ben")) == "conflict"
    assert on_g(say("accept"), say("swap"), say("swap", "ben"), say("accept", "ben")) == Decision("accept", swap=True)
    assert on_g(say("accept"), say("swap", "ben"), say("swap", "ben")) == Decision("accept")


def test_a_final_has_the_swap_of_who_gives_it():
    others = [say("accept"), say("swap"), say("accept", "ben")]
    assert not on_g(*others, say("final", "eva", decision="accept")).swap
    assert on_g(*others, say("final", decision="accept")).swap
    assert on_g(*others, say("swap", "eva"), say("final", "eva", decision="accept")).swap


def test_clips_that_anybody_drops_are_left_out_until_the_drop_is_retracted():
    first, second = say("drop", clip_id="c2"), say("drop", "ben", clip_id="c1")
    assert on_g(say("accept"), first, second, first) == Decision("accept", dropped=["c1", "c2"])
    assert on_g(say("accept"), first, say("retract")) == Decision("accept")
    assert on_g(say("accept"), first, say("retract", "ben")).dropped == ["c2"]
    assert on_g(first, say("final", "eva", decision="accept")).dropped == ["c2"]
    assert decided(say("drop", group="h", clip_id="c1")).groups["g"].dropped == []


ACCEPTED = (say("accept", SHIPPED),)


@pytest.mark.parametrize("verdict", ["accept", "reject", "unsure"])
def test_a_shipped_verdict_decides_unless_anybody_else_does(verdict):
    shipped = (say(verdict, SHIPPED),)
    assert status(shipped=shipped) == verdict
    for own in ("accept", "reject", "unsure"):
        assert status(say(own), shipped=shipped) == own
        assert status(say(own), say("retract"), shipped=shipped) == verdict
        assert status(say(own, group="h"), shipped=shipped) == verdict
    assert status(say("final", decision="reject"), shipped=shipped) == "reject"
    assert status(say("accept"), say("reject", "ben"), shipped=shipped) == "conflict"


def test_a_swap_or_a_drop_alone_adds_to_a_shipped_verdict():
    assert on_g(say("swap"), shipped=ACCEPTED) == Decision("accept", swap=True)
    assert on_g(say("swap"), say("swap"), shipped=ACCEPTED) == Decision("accept")
    assert on_g(say("drop", clip_id="c1"), shipped=ACCEPTED) == Decision("accept", dropped=["c1"])
    assert status(say("swap"), say("accept", "ben"), shipped=ACCEPTED) == "conflict"


def test_of_a_group_that_somebody_decided_on_no_shipped_verdict_counts():
    shipped = (*ACCEPTED, say("swap", SHIPPED), say("drop", SHIPPED, clip_id="c1"))
    assert on_g(shipped=shipped) == Decision("accept", swap=True, dropped=["c1"])
    assert on_g(say("accept"), shipped=shipped) == Decision("accept")
    assert on_g(say("drop", clip_id="c2"), shipped=shipped) == Decision("accept", swap=True, dropped=["c1", "c2"])
    final = say("final", SHIPPED, decision="accept")
    assert status(say("reject"), shipped=(final,)) == "reject"


def test_a_verdict_on_what_has_changed_since_is_told_and_not_applied():
    old, old_drop = say("accept", digest="old"), replace(say("drop", clip_id="c1"), digest="old")
    found = decided(old, old_drop, say("accept", group="h"))
    assert found.stale == [old, old_drop] and found.unknown == []
    assert found.groups == {"g": Decision("none"), "h": Decision("accept")}
    assert status(say("accept"), say("reject", "ben", digest="old")) == "accept"
    assert status(say("reject", digest="old"), shipped=ACCEPTED) == "accept"


def test_a_verdict_on_what_is_no_candidate_is_told_and_not_applied():
    stranger = replace(say("accept"), group_id="epic/cut-glue/bread")
    lost = say("drop", clip_id="c9")
    elsewhere = say("drop", group="h", clip_id="c2")  # c2 is a clip of g
    found = decided(stranger, lost, elsewhere, say("accept"))
    assert found.unknown == [stranger, lost, elsewhere] and found.stale == []
    assert found.groups == {"g": Decision("accept"), "h": Decision("none")}


def test_a_retracted_drop_of_a_clip_that_is_gone_takes_nothing_else_along():
    for clip_id, digest in (("c9", "any"), ("c1", "old")):
        drop = replace(say("drop", clip_id="c1"), clip_id=clip_id, digest=digest)
        found = decided(say("accept"), drop, say("retract"))
        assert found == Decisions({"g": Decision("accept"), "h": Decision("none")}, [], [])


def test_a_drop_that_was_taken_back_stays_so_when_its_group_changes():
    drop, retract = say("drop", clip_id="c1"), say("retract", digest="of the group as it was")
    assert on_g(drop, retract, say("accept")) == Decision("accept")


def test_a_comment_decides_nothing_and_is_taken_back_like_any_line():
    comment = say("comment", "ben", reason="which door?")
    assert on_g(comment) == Decision("none")
    assert on_g(say("accept"), comment) == Decision("accept")
    assert on_g(say("accept"), say("comment", reason="sure?"), say("retract")) == Decision("accept")
    shipped = (say("accept", SHIPPED),)
    assert on_g(comment, shipped=shipped) == Decision("accept")


def test_the_lines_that_stand_are_kept_in_order_line_by_line():
    one, two, three = say("accept"), say("reject", "ben", group="h"), say("swap")
    standing = Standing([one, two, three])
    assert standing.all() == [one, two, three] and standing.on("g") == [one, three] and standing.on("none") == []
    assert standing.last_of("ann") == three and standing.last_of("ben") == two and standing.last_of("eva") is None
    standing.add(say("retract"))
    assert standing.all() == [one, two] and standing.on("g") == [one] and standing.last_of("ann") == one
    standing.add(say("retract"))
    standing.add(say("retract"))  # of nothing
    assert standing.all() == [two] and standing.last_of("ann") is None


def test_a_reviewers_word_is_what_their_own_lines_come_to():
    lines = [
        say("accept", reason="so it seemed"),
        say("swap"),
        say("drop", clip_id="c1"),
        say("comment", reason="dark"),
        say("reject", reason="one way only"),
        say("accept", "ben"),
    ]
    assert word_of([], "ann") == Word()
    assert word_of(lines, "ann") == Word("reject", "one way only", True, frozenset({"c1"}), ("dark",))
    assert word_of(lines, "ben") == Word("accept")
    final = say("final", decision="accept", reason="seen again")
    assert word_of([*lines, say("swap"), final], "ann") == Word(
        "accept", "seen again", False, frozenset({"c1"}), ("dark",), True
    )
