"""Shares of the work on a list of clips, as `--shard i/n` gives them to n processes, and their parts of a store.

Each share is extracted into a folder of its own, STORE/shard-3-of-8, which is a store too. Its store.json says which
list it is a share of and whether it is done, so that STORE can be read as one, and only when it is complete.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cia_bench.errors import ConfigError, EmbeddingError

FIELDS = {"index": int, "of": int, "clips": int, "list_sha256": str, "done": bool}  # of a share in store.json


@dataclass(frozen=True)
class Share:
    """The `index`-th of `of` shares, counted from 1."""

    index: int
    of: int

    def __post_init__(self):
        if not 1 <= self.index <= self.of:
            raise ConfigError(f"there is no shard {self}; {self.of} shards are 1/{self.of} to {self.of}/{self.of}")

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    def folder(self, store: Path) -> Path:
        return store / f"shard-{self.index}-of-{self.of}"

    def of_list(self, clips: pd.DataFrame) -> pd.DataFrame:
        """This share's rows of a sorted list of clips: neighbours, as those of one video are read best by one."""
        first, last = ((self.index - 1) * len(clips) // self.of, self.index * len(clips) // self.of)
        return clips.iloc[first:last]

    def record(self, clips: pd.DataFrame) -> dict:
        """What store.json says of this share of a list of clips, before it is done."""
        names = "\n".join(f"{clip.source} {clip.clip_id}" for clip in clips.itertuples())
        digest = hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()
        mine = len(self.of_list(clips))
        return {"index": self.index, "of": self.of, "clips": mine, "list_sha256": digest, "done": False}


def parse_share(text: str) -> Share:
    """Take `i/n` apart; raises ConfigError for another form."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not found:
        raise ConfigError(f"shard {text!r} is not like 3/8, the third of eight")
    return Share(*map(int, found.groups()))


def share_folders(store: Path) -> list[Path]:
    """The folders of shares in a store, in their order."""
    named = {path: re.fullmatch(r"shard-([0-9]+)-of-([0-9]+)", path.name) for path in store.glob("shard-*-of-*")}
    numbers = {path: (int(found[2]), int(found[1])) for path, found in named.items() if found}
    return sorted(numbers, key=numbers.__getitem__)


def check_complete(store: Path, encoder: str, records: Mapping[Path, dict]) -> None:
    """Raise EmbeddingError unless the shares of a store, folder -> store.json, are all of one list, and done."""
    shares = {folder: _share(folder, record) for folder, record in records.items()}
    others = sorted({share["of"] for share in shares.values()})
    if len(others) > 1:
        raise EmbeddingError(f"{store} holds shards of {others[0]} and of {others[1]} of {encoder}; keep those of one")
    of = others[0]
    done = {share["index"] for share in shares.values() if share["done"]}
    lacking = [index for index in range(1, of + 1) if index not in done]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise EmbeddingError(
            f"{store} lacks shard {lacking[0]}/{of}{more} of {encoder}, or its end; run the same cia extract with "
            f"--shard {lacking[0]}/{of}"
        )
    first, *rest = shares
    strange = [folder for folder in rest if shares[folder]["list_sha256"] != shares[first]["list_sha256"]]
    if strange:
        raise EmbeddingError(f"{strange[0]} and {first} are shards of different lists of clips; extract both again")


def _share(folder: Path, record: dict) -> dict:
    share = record.get("share")
    if not isinstance(share, dict) or not all(isinstance(share.get(name), kind) for name, kind in FIELDS.items()):
        raise EmbeddingError(f"{folder / 'store.json'} does not say of which share it is; delete {folder}")
    return share
