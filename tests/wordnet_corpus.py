"""Install WordNet 3.0 where nltk looks for it, from Debian's wordnet-base and wordnet-sense-index.

nltk.download('wordnet') needs the network; these packages hold the same files, but for `lexnames`.
"""

import shutil
from pathlib import Path

DEBIAN = Path("/usr/share/wordnet")
PARTS = ("adj", "adv", "noun", "verb")
FILES = [f"{kind}.{part}" for kind in ("data", "index") for part in PARTS]
FILES += [*(f"{part}.exc" for part in PARTS), "cntlist.rev", "index.sense"]

# The lexicographer files in the order of their numbers, 00 to 44: lexnames(5WN)
LEXICOGRAPHER_FILES = """
adj.all adj.pert adv.all
noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body noun.cognition noun.communication noun.event
noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant
noun.possession noun.process noun.quantity noun.relation noun.shape noun.state noun.substance noun.time
verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption verb.contact verb.creation
verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative verb.weather
adj.ppl
""".split()
CATEGORIES = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def lexnames() -> str:
    """The text of the file `lexnames`: number, name and syntactic category of each lexicographer file."""
    return "".join(
        f"{number:02d}\t{name}\t{CATEGORIES[name.split('.')[0]]}\n" for number, name in enumerate(LEXICOGRAPHER_FILES)
    )


def install_corpus(folder: Path) -> None:
    """Make `folder`/corpora/wordnet, so that nltk finds WordNet once `folder` is in $NLTK_DATA or nltk.data.path.

    Raises FileNotFoundError if Debian's packages are not installed.
    """
    missing = [name for name in FILES if not (DEBIAN / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{DEBIAN} lacks {', '.join(missing)}; install Debian's wordnet-base and wordnet-sense-index"
        )
    corpus = folder / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(DEBIAN / name, corpus / name)
    (corpus / "lexnames").write_text(lexnames(), encoding="utf-8")
    for path in (folder, corpus.parent, corpus, *corpus.iterdir()):
        path.chmod(path.stat().st_mode & ~0o022)  # nltk refuses what a group may write to, as under umask 002
