import re

import numpy as np
import pandas as pd
import pytest
from reviewing import CANDIDATES, CUP, FRIDGE, ODD, reviewed, say
from rich.cells import cell_len
from sklearn.metrics import cohen_kappa_score

from cia_bench.review.agreement import Agreement, agreements, disagreements, kappa, kappa_interval, words_of
from cia_bench.review.journal import DECISIONS, SHIPPED
from cia_bench.review.report import agreement_text, status_text
from cia_bench.review.status import SAID, Outcome, counts_of, outcome_of

GENERATOR = np.random.default_rng(0)


def test_kappa_of_two_words_is_what_a_hand_works_out():
    # 35 of 50 agree: 0.7; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5; (0.7 - 0.5) / (1 - 0.5)
    assert kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)


def test_kappa_of_three_words_is_what_a_hand_works_out():
    # 19 of 24 agree; by chance (12 * 11 + 7 * 8 + 5 * 5) / 24**2 = 213 / 576; (456 - 213) / (576 - 213)
    assert kappa(np.array([[10, 2, 0], [1, 5, 1], [0, 1, 4]])) == pytest.approx(243 / 363)


def drawn(shares: np.ndarray, n: int) -> np.ndarray:
    return GENERATOR.multinomial(n, shares.ravel()).reshape(shares.shape)


def test_kappa_is_scikit_learns_on_random_reviews():
    for n in (2, 5, 30, 300) * 10:
        table = drawn(GENERATOR.dirichlet(np.ones(9)).reshape(3, 3), n)
        one, other = np.nonzero(table >= 0)
        words = [np.repeat(place.ravel(), table.ravel()) for place in (one, other)]
        if kappa(table) is not None:
            assert kappa(table) == pytest.approx(cohen_kappa_score(*words)), table
        else:
            assert all(len(set(side)) == 1 for side in words), table


@pytest.mark.parametrize("place", [(0, 0), (0, 2)])
def test_kappa_of_two_who_always_say_their_one_word_is_undefined(place):
    table = np.zeros((3, 3), int)
    assert kappa(table) is None and kappa_interval(table) is None
    table[place] = 8
    assert kappa(table) is None and kappa_interval(table) is None
    table[1, place[1]] = 1
    assert kappa(table) is not None and kappa_interval(table) is not None


def test_the_interval_is_what_a_hand_works_out():
    # Wilson's for 35 of 50: (0.7 + 3.8415 / 100 -+ 1.96 * sqrt(0.21 / 50 + 3.8415 / 10000)) / (1 + 3.8415 / 50),
    # which is 0.5625 to 0.8090; by chance 0.5 agree, so that is 0.0625 / 0.5 to 0.3090 / 0.5
    assert kappa_interval(np.array([[20, 5], [10, 15]])) == pytest.approx((0.1250, 0.6179), abs=1e-4)


def mixed(words: list[float], agreed: float) -> np.ndarray:
    """The shares of two reviewers with the same frequencies of words whose kappa is `agreed`."""
    return (1 - agreed) * np.outer(words, words) + agreed * np.diag(words)


@pytest.mark.parametrize("words", [[0.4, 0.3, 0.3], [0.85, 0.1, 0.05]])
@pytest.mark.parametrize("true", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("n", [10, 50])
def test_the_interval_holds_kappa_about_as_often_as_it_says(words, true, n):
    shares = mixed(words, true)
    intervals = [kappa_interval(drawn(shares, n)) for _ in range(600)]
    held = [low <= true <= high for low, high in filter(None, intervals)]
    assert np.mean(held) > 0.89


def test_the_interval_of_many_candidates_is_about_that_of_a_slow_bootstrap():
    table = np.array([[300, 40, 20], [50, 200, 30], [20, 40, 300]])
    values = [kappa(drawn(table / 1000, 1000)) for _ in range(1000)]
    assert kappa_interval(table) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.01)


def test_two_who_never_differ_have_kappa_1_and_an_interval_that_narrows():
    small, large = (kappa_interval(np.diag([n, n, n])) for n in (3, 100))
    assert small[1] == pytest.approx(1) == large[1]
    assert 0.4 < small[0] < 0.6 and 0.97 < large[0] < 0.99


def test_pairs_are_compared_on_what_both_decided():
    words = {
        "a": {"ann": "accept", "ben": "accept", "eva": "reject"},
        "b": {"ann": "reject", "ben": "accept"},
        "c": {"ann": "unsure", "ben": "unsure", "zoe": "accept"},
        "d": {"eva": "unsure"},
    }
    found = {(pair.one, pair.other): pair for pair in agreements(words)}
    assert list(found) == [("ann", "ben"), ("ann", "eva"), ("ann", "zoe"), ("ben", "eva"), ("ben", "zoe")]
    # 2 of 3 agree; by chance (1 * 2 + 1 * 0 + 1 * 1) / 9 = 1 / 3
    table = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    assert found["ann", "ben"] == Agreement("ann", "ben", 3, 2, pytest.approx(0.5), kappa_interval(table))
    assert found["ann", "eva"] == Agreement("ann", "eva", 1, 0, None, None)


def test_words_are_the_last_that_stand_and_fit_and_no_finals(journal):
    said = [say("accept"), say("unsure"), say("reject"), say("retract"), say("final", CUP, decision="accept")]
    stale = say("accept", reviewer="ben", digest="old")
    found = reviewed(journal, *said, stale, shipped=(say("reject", reviewer=SHIPPED),))
    assert words_of(found) == {FRIDGE: {"ann": "unsure", SHIPPED: "reject"}, CUP: {}}


def test_disagreements_say_who_said_what_and_what_settles_it(journal):
    said = [
        say("accept", reason="opens", basis="video"),
        say("reject", reviewer="ben"),
        say("final", reviewer="zoe", decision="accept"),
        say("final", reviewer="eva", decision="accept"),
        say("final", reviewer="eva", decision="reject", reason="both ways"),
        say("accept", CUP),
        say("accept", CUP, reviewer="ben"),
        say("swap", CUP, reviewer="ben"),
        say("unsure", ODD),
        say("comment", ODD, reviewer="ben", reason="hm"),
    ]
    found = disagreements(reviewed(journal, *said, shipped=(say("reject", ODD, reviewer=SHIPPED),)))
    assert [(case.group_id, case.status, case.settled_by, case.said) for case in found] == [
        (ODD, "unsure", None, {"ann": "unsure on text", SHIPPED: "reject on text"}),
        (
            FRIDGE,
            "reject",
            "eva",
            {
                "ann": "accept on video (opens)",
                "ben": "reject on text",
                "eva": "final reject (both ways)",
                "zoe": "final accept",
            },
        ),
        (CUP, "conflict", None, {"ann": "accept on text", "ben": "accept on text, swap"}),
    ]
    text = agreement_text([reviewed(journal, shipped=(say("reject", ODD, reviewer=SHIPPED),))])
    assert f"  {ODD}: unsure, overrules cia-bench\n    ann: unsure on text\n    cia-bench: reject on text\n" in text
    assert f"  {FRIDGE}: reject, settled by the final of eva\n    ann: accept on video (opens)\n" in text
    assert f"  {CUP}: conflict, not settled\n" in text and "on which they differ: 3\n" in text


def test_a_shipped_final_settles_nothing_between_others(journal):
    said = [say("accept"), say("reject", reviewer="ben")]
    shipped = (say("final", reviewer=SHIPPED, decision="accept"),)
    (case,) = disagreements(reviewed(journal, *said, shipped=shipped))
    assert (case.status, case.settled_by) == ("conflict", None)


def test_agreement_is_a_row_a_pair(journal):
    said = [say(word, group) for word, group in zip(DECISIONS, CANDIDATES.group_id, strict=True)]
    said += [say("accept", group, "ben") for group in (FRIDGE, CUP)]
    text = agreement_text([reviewed(journal, *said, shipped=(say("accept", reviewer=SHIPPED),))])
    assert re.search(r"^ann +ben +2 +50.0% +0.00 +\[-0.81, 0.81\]$", text, re.MULTILINE), text
    assert re.search(r"^ben +cia-bench +1 +100.0% undefined$", text, re.MULTILINE), text
    assert "\nkappa is undefined where each of the two says one word all the time\n" in text
    only = agreement_text([reviewed(journal)], "zoe")
    assert "no two reviewers decided on the same candidate\ncandidates on which they differ: 0\n" in only
    assert "undefined" not in only


def test_status_counts_what_each_said(journal):
    said = [
        *(say("accept"), say("reject", basis="video"), say("accept", CUP), say("unsure", ODD, basis="video")),
        *(say("swap"), say("swap", CUP), say("swap", CUP), say("comment", reason="a"), say("comment", reason="b")),
        *(say("final", decision="accept"), say("final", decision="reject"), say("retract"), say("retract", ODD)),
        *(say("accept", CUP, digest="old"), say("accept", digest="old"), say("reject", reviewer="zoe", digest="old")),
        say("drop", clip_id="c1"),
    ]
    found = reviewed(journal, *said, say("accept", CUP, reviewer="zoe"), shipped=(say("unsure", reviewer=SHIPPED),))
    counts = {name: {kind: counts_of(found, name)[kind] for kind in SAID} for name in found.reviewers()}
    none = dict.fromkeys(SAID, 0)
    assert counts == {
        "ann": none
        | {"accept": 1, "reject": 1, "text": 1, "video": 1, "swap": 1, "final": 1, "comment": 2, "stale": 2}
        | {"unknown": 1},
        "zoe": none | {"accept": 1, "text": 1, "stale": 1},
        SHIPPED: none | {"unsure": 1, "text": 1},
    }
    assert list(counts) == ["ann", "zoe", SHIPPED]


def test_status_counts_the_candidates_that_are_ready_and_names_others_that_are_decided(journal):
    assert outcome_of(reviewed(journal)) == Outcome(3, 2, 0, 2, 0, 0)
    said = [say("unsure"), say("accept", CUP), say("reject", CUP, reviewer="ben"), say("reject", ODD)]
    found = reviewed(journal, *said)
    assert outcome_of(found) == Outcome(3, 2, 1, 0, 1, 1)
    text = status_text([found])
    assert "candidates: 3, of which 2 ready for review\nof these: 1 decided, 0 undecided, 1 in conflict\n" in text
    assert text.endswith("decided, but not ready: 1\n")


@pytest.mark.parametrize("name", ["a-reviewer-of-the-longest-of-names@an-institute.example.org", "Ünï😀" * 9])
def test_tables_fit_80_columns_and_cut_no_name(name, journal):
    said = [say("accept", reviewer=name), say("reject", reviewer="ben" * 30)]
    status, agreement = status_text([reviewed(journal, *said)]), agreement_text([reviewed(journal)])
    for text in (status, agreement):
        assert max(cell_len(line) for line in text.splitlines() if not line.startswith("    ")) <= 80
    assert name in "".join(line.split(" ")[0] for line in status.splitlines())
    assert min(name, "ben" * 30) in "".join(line.split(" ")[0] for line in agreement.splitlines())


def test_nothing_reaches_the_terminal_raw(journal):
    evil = "\x1b[31m\u202e\n[b]"
    said = [say("accept", reviewer=evil, reason=evil), say("reject", reviewer="ben", reason=evil)]
    shown = r"\x1b[31m\u202e\n[b]"
    status, agreement = status_text([reviewed(journal, *said)]), agreement_text([reviewed(journal)])
    assert all(line.isprintable() for text in (status, agreement) for line in text.splitlines())
    assert shown in "".join(line.split(" ")[0] for line in status.splitlines())
    assert f"    {shown}: accept on text ({shown})\n    ben: reject on text ({shown})\n" in agreement


def test_an_empty_build_is_an_empty_table(journal):
    empty = pd.DataFrame(columns=CANDIDATES.columns).astype({"ready": bool})
    found = reviewed(journal)
    found = type(found)("epic", empty, journal, found.standing, type(found.decisions)({}, [], []))
    assert status_text([found]).endswith(
        "candidates: 0, of which 0 ready for review\nof these: 0 decided, 0 undecided, 0 in conflict\n"
    )
