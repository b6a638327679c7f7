import re

import pandas as pd
from conftest import SAMPLE, refusal, run_cia
from test_mining import actions, many
from test_wordnet_table import debian_corpus, wordnet_corpus  # noqa: F401

from cia_bench.lexicon import Lexicon
from cia_bench.pairs import describe_lexicon, describe_proposals, found_pairs, propose


def rows(*verbs: str) -> pd.DataFrame:
    return actions(*(row for verb in verbs for row in many(verb, "x", 2, 1)))


def test_found_pairs_name_their_row_and_count_the_clips_of_each_side():
    frame = actions(*many("put-in", "cup", 4, 1), *many("take-out", "pan", 2, 0), *many("wash", "cup"))
    (pair,) = found_pairs(frame)
    assert (pair.forward, pair.reverse, pair.row) == ("put-in", "take-out", "pairs.csv:take/put+in/out")
    assert (pair.forward_clips, pair.reverse_clips) == (5, 2)
    assert pair.examples[0] == "put-in_cup_train_0 (put-in)" and len(pair.examples) == 4


def test_pairs_of_verb_classes_stand_once():
    frame = rows("open", "close", "shut").assign(verb_class=["open"] * 3 + ["close"] * 6)
    assert [(pair.forward, pair.forward_clips, pair.reverse_clips) for pair in found_pairs(frame)] == [("open*", 3, 6)]


def test_proposals_are_what_the_hand_list_lacks(monkeypatch):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])  # without the corpus
    frame = rows("open", "close", "push", "pull", "frob", "unfrob", "lie", "pretend to fasten", "pretend to unfasten")
    found = {(pair.forward, pair.reverse): pair.row for pair in propose(frame)}
    assert found == {("pull", "push"): "wordnet.csv:pull/push", ("frob", "unfrob"): "morphology:un-"}
    assert "without WordNet's corpus" in describe_proposals("toy", frame)


def test_with_its_corpus_wordnet_proposes_by_every_sense_and_synonym(wordnet_corpus, monkeypatch):  # noqa: F811
    frame = rows("gather", "distribute", "open", "close")
    found = {frozenset((pair.forward, pair.reverse)): pair.row for pair in propose(frame)}
    assert found == {frozenset(("gather", "distribute")): "WordNet, spread.v.01"}
    assert ", with WordNet's corpus" in describe_proposals("toy", frame)


def test_the_lexicon_is_listed_with_origins():
    lines = describe_lexicon().splitlines()
    assert re.fullmatch(r"open +close +verb +hand", lines[1])
    assert any(re.fullmatch(r"stand on \[something\] +sit in \[something\] +phrase +published", line) for line in lines)
    assert any(re.fullmatch(r"abolish +establish +verb +wordnet abolish.v.01", line) for line in lines)
    assert any(re.fullmatch(r"<verb> +un-<verb> +verb +morphology", line) for line in lines)
    (counts,) = [line for line in lines if re.match(r"\d+ pairs: ", line)]
    assert re.search(r": \d+ hand, 3 published, \d+ wordnet$", counts)
    listed = [line for line in lines[1 : lines.index(counts)] if not line.endswith(" morphology")]
    assert len(listed) == int(counts.split(" ")[0]) == len(Lexicon().pairs)
    assert "noun category wallet of pairs.csv:open/close: wallet, purse" in lines


def test_the_command_lists_counts_and_proposals(tmp_path):
    run = run_cia("pairs", "--source", "epic", "--annotations", SAMPLE, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "  open* / close*: 66 and 57 clips, pairs.csv:open/close\n" in run.stdout
    run = run_cia("pairs", "--source", "epic", "--annotations", SAMPLE, "--propose", cwd=tmp_path)
    assert re.match(r"epic: 0 proposals, with(out)? WordNet's corpus", run.stdout)


def test_bare_it_counts_in_the_sources_whose_files_are_here(tmp_path):
    nowhere = {"CIA_ANNOTATIONS": str(tmp_path), "CIA_CACHE": str(tmp_path / "cache")}
    (tmp_path / "epic").symlink_to(SAMPLE)
    assert "epic: " in run_cia("pairs", **nowhere).stdout
    (tmp_path / "epic").unlink()
    (tmp_path / "cache" / "epic").mkdir(parents=True)  # as a download that failed leaves it
    (tmp_path / "cache" / "epic" / "EPIC_100_train.csv").touch()
    run = run_cia("pairs", **nowhere)
    assert run.returncode == 0 and "epic" not in run.stdout
    assert "in which source? give --source" in refusal("pairs", "--propose", **nowhere)
    assert "say which with one --source" in refusal("pairs", "--annotations", SAMPLE, **nowhere)
