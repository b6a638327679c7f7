"""Which clips a trained part of a model saw, as short digests: small for 240,000 clips, and giving no name away."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

DIGEST = 8  # bytes of SHA-256: two of a million names share theirs with a chance of one in 40 million


@dataclass(frozen=True)
class SeenClips:
    """The clips that a part of a model was trained on, or was chosen by, as an epoch is by clips that are held out.

    Clips and videos are known by the names that a store gives them: make it with `of`.
    """

    clips: np.ndarray  # digests of clip ids, sorted, uint64
    videos: np.ndarray  # and of the paths of their videos
    labels: bool = False  # whether it was told their labels

    @classmethod
    def of(cls, clip_ids: Iterable[str], videos: Iterable[str], labels: bool = False) -> "SeenClips":
        """Of the clips of those ids, and their videos."""
        return cls(np.unique(_digests(clip_ids)), np.unique(_digests(videos)), labels)

    def has_clips(self, clip_ids: Iterable[str]) -> np.ndarray:
        """Which of some clips it saw, bool."""
        return np.isin(_digests(clip_ids), self.clips)

    def has_videos(self, videos: Iterable[str]) -> np.ndarray:
        """Of which of some videos it saw a clip, bool."""
        return np.isin(_digests(videos), self.videos)

    def to_json(self) -> dict:
        """As an object that is fit for JSON, a checkpoint's metadata say: about 11 characters a name."""
        return {"clips": _as_text(self.clips), "videos": _as_text(self.videos), "labels": self.labels}

    @classmethod
    def from_json(cls, content: object) -> "SeenClips":
        """What to_json gave; raises ValueError if `content` is not like that."""
        try:
            labels = content["labels"]
            if not isinstance(labels, bool):
                raise TypeError(f"labels is {labels!r}")
            return cls(_from_text(content["clips"]), _from_text(content["videos"]), labels)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the digests of clips: {error}") from error


def _digests(names: Iterable[str]) -> np.ndarray:
    one_after_another = b"".join(
        hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:DIGEST] for name in names
    )
    return np.frombuffer(one_after_another, dtype="<u8")


def _as_text(digests: np.ndarray) -> str:
    return base64.b64encode(digests.astype("<u8").tobytes()).decode("ascii")


def _from_text(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text.encode("ascii"), validate=True), dtype="<u8")
