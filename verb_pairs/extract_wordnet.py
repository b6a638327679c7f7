"""Extract the antonyms among WordNet 3.0's verbs into wordnet.csv, which lies beside this file.

    python verb_pairs/extract_wordnet.py

The table ships with cia-bench, so run this only to check it or after changing what is extracted. It needs WordNet 3.0
where nltk looks for corpora, $NLTK_DATA/corpora/wordnet. Get it with `python -m nltk.downloader wordnet`, or from
Debian's packages wordnet-base and wordnet-sense-index, which tests/wordnet_corpus.py copies there:

    cd tests && python -c "from wordnet_corpus import *; install_corpus(Path('$NLTK_DATA'))"
"""

import csv
import sys
from pathlib import Path

from nltk.corpus import wordnet
from nltk.corpus.reader.wordnet import Lemma

from cia_bench.files import whole_file

TABLE = Path(__file__).with_name("wordnet.csv")
# Antonymy joins senses: open.v.01 is the opposite of close.v.01, not of every sense of close. So the same two verbs may
# have several rows. lexname is the lexicographer file of `sense`.
COLUMNS = ("verb", "antonym", "sense", "antonym_sense", "lexname")
VERSION = "3.0"


def check_corpus() -> None:
    """Load nltk's WordNet; raise LookupError, in one line, if it is missing, incomplete or another version."""
    try:
        wordnet.ensure_loaded()
        version = wordnet.get_version()
    except (LookupError, OSError) as error:
        why = f"is not whole ({error})" if isinstance(error, OSError) else "is not installed"
        raise LookupError(
            f"WordNet's corpus {why} ($NLTK_DATA/corpora/wordnet); get it with: python -m nltk.downloader wordnet"
        ) from error
    if version != VERSION:
        raise LookupError(f"the WordNet that nltk finds is version {version}; the table is of {VERSION}")


def spelled(lemma: Lemma) -> str:
    return lemma.name().replace("_", " ")


def antonym_pairs() -> list[tuple[str, str, str, str, str]]:
    """The rows of the table, sorted: each unordered pair of opposite verb lemmas once, the alphabetically first ahead.

    A pair counts even where WordNet points only one way, as from `legalise` to `outlaw`. `kern`, which has two opposite
    senses, is left out: one word is no pair of verbs.

    Raises LookupError if WordNet 3.0 is not where nltk looks for it.
    """
    check_corpus()
    rows = set()
    for synset in wordnet.all_synsets("v"):
        for lemma in synset.lemmas():
            for antonym in lemma.antonyms():
                first, second = sorted((lemma, antonym), key=spelled)
                senses = (first.synset().name(), second.synset().name())
                if spelled(first) != spelled(second):
                    rows.add((spelled(first), spelled(second), *senses, first.synset().lexname()))
    return sorted(rows)


def write_table(path: Path, rows: list[tuple[str, str, str, str, str]]) -> None:
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def main() -> None:
    try:
        rows = antonym_pairs()
    except LookupError as error:
        sys.exit(f"Error: {error}")
    write_table(TABLE, rows)
    print(f"wrote {len(rows)} pairs to {TABLE}")


if __name__ == "__main__":
    main()
