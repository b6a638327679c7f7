"""All verdicts on a source, ours and the user's, beside the candidates that they are on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cia_bench.build import built_sources
from cia_bench.errors import BuildError, ConfigError, some
from cia_bench.review.decisions import Decisions, Standing, decide, dropped_clips, word_of
from cia_bench.review.journal import DECISIONS, SHIPPED, Verdict, journal_path, read_journal, read_shipped
from cia_bench.tables import CANDIDATE_CLIPS, CANDIDATES


@dataclass(frozen=True)
class Reviewed:
    """A source's candidates and what was said of them."""

    source: str
    candidates: pd.DataFrame  # rows of tables.CANDIDATES
    journal: Path  # the user's own
    standing: Standing  # what nobody took back, stale and unknown lines too
    decisions: Decisions

    def lines(self) -> dict[str, list[Verdict]]:
        """What counts, by group: the standing lines that fit the candidates, in order."""
        left_out = {*self.decisions.stale, *self.decisions.unknown}
        found: dict[str, list[Verdict]] = {}
        for line in self.standing.all():
            if line not in left_out:
                found.setdefault(line.group_id, []).append(line)
        return found

    def reviewers(self) -> list[str]:
        """Who said anything that stands, by name; the reviewer of the shipped journals comes last."""
        return sorted({line.reviewer for line in self.standing.all()}, key=lambda name: (name == SHIPPED, name))


def read_reviewed(
    data: Path, source: str, verdicts: Path | None = None, skip_bad_rows: bool = False, may_be_new: bool = False
) -> Reviewed:
    """Read a built source's candidates, the shipped journal and the user's, which is `verdicts` or the one in DATA.

    Raises TableError or JournalError for what can't be read: also for `verdicts` that do not exist, unless they
    `may_be_new`.
    """
    journal = journal_path(data, source, verdicts)
    is_expected = verdicts is not None and not may_be_new
    shipped, _ = read_shipped(source)
    own = read_journal(journal, source, skip_bad_rows) if is_expected or journal.exists() else []
    candidates = CANDIDATES.read(data / source / "candidates.parquet")
    clips = _dropped_rows(data / source / "candidate_clips.parquet", [*shipped, *own])
    return Reviewed(source, candidates, journal, Standing([*shipped, *own]), decide(candidates, clips, shipped, own))


def _dropped_rows(path: Path, lines: Iterable[Verdict]) -> pd.DataFrame:
    """The rows of the groups that a clip was dropped from."""
    group_ids = sorted({group_id for group_id, _ in dropped_clips(lines)})
    if not group_ids:
        return pd.DataFrame(columns=CANDIDATE_CLIPS.schema.names)
    return CANDIDATE_CLIPS.read_where(path, "group_id", group_ids)


def reviewed_sources(data: Path, asked: Sequence[str] = (), verdicts: Path | None = None) -> list[str]:
    """The built sources that are asked for, or all.

    Raises BuildError if one is not built, ConfigError if one journal is given for several.
    """
    built = built_sources(data)
    unknown = [source for source in asked if source not in built]
    if unknown:
        raise BuildError(f"{data} holds no build of {some(unknown)}; it has {', '.join(built)}")
    sources = list(dict.fromkeys(asked)) or built
    if verdicts is not None and len(sources) > 1:
        raise ConfigError(f"--verdicts is one source's journal; say which of {', '.join(sources)} with --source")
    return sources


def the_source(data: Path, asked: str | None = None) -> str:
    """The one source that is asked for, or built; raises ConfigError if it could be several."""
    sources = reviewed_sources(data, [asked] if asked is not None else [])
    if len(sources) > 1:
        raise ConfigError(f"a spreadsheet is of one source; say which of {', '.join(sources)} with --source")
    return sources[0]


def last_words(lines: Iterable[Verdict]) -> dict[str, Verdict]:
    """Each reviewer's last accept, reject or unsure among the lines on one group.

    A final is no such word: it settles what others said, and who gives it has read that.
    """
    return {line.reviewer: line for line in lines if line.verdict in DECISIONS}


def in_words(lines: Sequence[Verdict], reviewer: str) -> str:
    """What a reviewer's lines on one group decide, like "accept on text (it opens), swap"; empty if nothing."""
    word = last_words(lines).get(reviewer)
    parts = [f"{word.verdict} on {word.basis}{_because(word)}"] if word else []
    if word_of(lines, reviewer).is_swapped:
        parts.append("swap")
    finals = [line for line in lines if line.reviewer == reviewer and line.verdict == "final"]
    return ", ".join(parts + [f"final {line.decision}{_because(line)}" for line in finals[-1:]])


def _because(line: Verdict) -> str:
    return f" ({line.reason})" if line.reason else ""
