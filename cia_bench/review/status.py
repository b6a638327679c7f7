"""How far the review of a source is: what each reviewer said, and what is left to decide."""

from collections import Counter
from dataclasses import dataclass

from cia_bench.review.decisions import word_of
from cia_bench.review.journal import BASES, DECISIONS
from cia_bench.review.reviewed import Reviewed, last_words


@dataclass(frozen=True)
class Outcome:
    """How many candidates there are, and what the verdicts on those that are ready for review come to."""

    candidates: int
    ready: int
    decided: int  # accept, reject or unsure, of the ready ones
    undecided: int
    conflict: int
    decided_unready: int  # of the others


def outcome_of(reviewed: Reviewed) -> Outcome:
    ready = reviewed.candidates.group_id[reviewed.candidates.ready].tolist()
    decided = {group_id: found.status in DECISIONS for group_id, found in reviewed.decisions.groups.items()}
    statuses = [reviewed.decisions.groups[group_id].status for group_id in ready]
    of_ready = sum(decided[group_id] for group_id in ready)
    return Outcome(
        candidates=len(reviewed.candidates),
        ready=len(ready),
        decided=of_ready,
        undecided=statuses.count("none"),
        conflict=statuses.count("conflict"),
        decided_unready=sum(decided.values()) - of_ready,
    )


SAID = (*DECISIONS, *BASES, "swap", "drop", "final", "comment", "stale", "unknown")


def counts_of(reviewed: Reviewed, reviewer: str) -> Counter:
    """What a reviewer said, by the names in SAID.

    Of a candidate its last accept, reject or unsure counts, once, and so does what that was given on; swap and final
    count candidates too, drop clips, comment comments. All are of lines that fit; of the others there is stale, whose
    candidate or clip has changed, and unknown, whose candidate or clip is none now.
    """
    counts: Counter = Counter()
    for lines in reviewed.lines().values():
        word = last_words(lines).get(reviewer)
        if word:
            counts.update([word.verdict, word.basis])
        all_of_it = word_of(lines, reviewer)
        counts["swap"] += all_of_it.is_swapped
        counts["drop"] += len(all_of_it.dropped)
        counts["comment"] += len(all_of_it.comments)
        counts["final"] += any(line.verdict == "final" and line.reviewer == reviewer for line in lines)
    counts["stale"] = sum(line.reviewer == reviewer for line in reviewed.decisions.stale)
    counts["unknown"] = sum(line.reviewer == reviewer for line in reviewed.decisions.unknown)
    return counts
