import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nltk
import pytest
from nltk.corpus import wordnet
from wordnet_corpus import FILES, install_corpus

from cia_bench.lexicon import read_lexicon_text
from cia_bench.verb_pairs.extract_wordnet import COLUMNS, antonym_pairs, write_table


@pytest.fixture(scope="session")
def debian_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for nltk.data.path with WordNet from Debian's packages; tests read it only."""
    folder = tmp_path_factory.mktemp("nltk_data")
    try:
        install_corpus(folder)
    except FileNotFoundError as error:
        pytest.skip(f"WordNet's corpus is not installed ($NLTK_DATA/corpora/wordnet): {error}")
    return folder


@pytest.fixture(scope="module")
def wordnet_corpus(request: pytest.FixtureRequest) -> Iterator[None]:
    """nltk.corpus.wordnet works: with the corpus that nltk finds, else with Debian's."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            wordnet.ensure_loaded()
        except LookupError:
            patch.setattr(nltk.data, "path", [str(request.getfixturevalue("debian_corpus"))])
        yield
        wordnet._unload()  # else later tests that did not ask for a corpus would have Debian's


def table() -> list[tuple[str, ...]]:
    """The rows of wordnet.csv, its header first."""
    return [tuple(row) for row in csv.reader(read_lexicon_text("wordnet.csv").splitlines())]


def refusal(*search_path: Path) -> str:
    """Extract with a fresh nltk that looks only in `search_path`; return the one line that says why it refuses."""
    code = (
        "import sys, nltk; nltk.data.path[:] = sys.argv[1:]\n"
        "from cia_bench.verb_pairs.extract_wordnet import main; main()"
    )
    command = [sys.executable, "-c", code, *map(str, search_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1, run.stderr
    return run.stderr


def test_wordnets_table_is_sorted_and_has_each_pair_of_two_verbs_once():
    header, *rows = table()
    assert header == COLUMNS == ("verb", "antonym", "sense", "antonym_sense", "lexname")
    assert rows == sorted(set(rows)) and len(rows) == 548
    assert len({row[:2] for row in rows}) == 476
    assert all(verb < antonym for verb, antonym, *_ in rows)


def test_wordnets_table_names_senses_and_lexicographer_files():
    _, *rows = table()
    assert ("close", "open", "close.v.01", "open.v.01", "verb.contact") in rows
    assert ("have", "lack", "have.v.02", "miss.v.06", "verb.stative") in rows  # a sense bears its first verb's name
    for verb, antonym, sense, antonym_sense, lexname in rows:
        assert re.fullmatch(r"[a-z' -]+", verb + antonym), (verb, antonym)
        assert re.fullmatch(r"[a-z'_-]+\.v\.\d\d", sense) and re.fullmatch(r"[a-z'_-]+\.v\.\d\d", antonym_sense)
        assert re.fullmatch(r"verb\.[a-z]+", lexname), lexname


@pytest.mark.parametrize(
    "pair",
    [
        "attach/detach", "ascend/descend", "close/open", "connect/disconnect", "cover/uncover", "dress/undress",
        "empty/fill", "enter/exit", "fold/unfold", "lock/unlock", "lower/raise", "pack/unpack", "pull/push",
        "screw/unscrew", "tie/untie", "unwrap/wrap",
    ],
)  # fmt: skip
def test_wordnets_table_holds_opposites_seen_in_videos(pair):
    assert tuple(pair.split("/")) in {row[:2] for row in table()}


def test_wordnets_table_lacks_opposites_that_wordnet_does_not_name():
    pairs = {frozenset(row[:2]) for row in table()}
    for pair in ("put/take", "insert/remove", "lift/lower", "roll/unroll", "catch/throw", "plug/unplug", "kern/kern"):
        assert frozenset(pair.split("/")) not in pairs, pair


def test_wordnets_table_is_what_the_script_extracts(wordnet_corpus, tmp_path):
    write_table(tmp_path / "wordnet.csv", antonym_pairs())
    assert (tmp_path / "wordnet.csv").read_text(encoding="utf-8") == read_lexicon_text("wordnet.csv")


def test_another_version_of_wordnet_is_refused(wordnet_corpus, monkeypatch):
    wordnet.ensure_loaded()
    monkeypatch.setattr(wordnet, "get_version", lambda: "3.1")
    with pytest.raises(LookupError, match="the WordNet that nltk finds is version 3.1; the table is of 3.0"):
        antonym_pairs()


def test_the_script_says_in_one_line_where_the_corpus_belongs(tmp_path):
    assert "WordNet's corpus is not installed ($NLTK_DATA/corpora/wordnet); get it with: " in refusal(tmp_path)


def test_the_script_says_in_one_line_what_the_corpus_lacks(debian_corpus, tmp_path):
    folder = tmp_path / "nltk_data"
    shutil.copytree(debian_corpus, folder)
    (folder / "corpora" / "wordnet" / "lexnames").unlink()
    assert re.search("WordNet's corpus is not whole .*lexnames", refusal(folder))


def test_installing_the_corpus_names_the_packages_that_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("wordnet_corpus.DEBIAN", tmp_path)
    for name in FILES[1:]:
        (tmp_path / name).touch()
    with pytest.raises(
        FileNotFoundError, match="lacks data.adj; install Debian's wordnet-base and wordnet-sense-index"
    ):
        install_corpus(tmp_path / "nltk_data")
    assert not (tmp_path / "nltk_data").exists()
