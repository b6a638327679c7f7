"""Results whose every answer is decided by hand: a clip's vector is one number, and its sign is the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cia_bench import Data, EvaluationSettings, evaluate
from cia_bench.results import Result
from cia_bench.tables import CLIPS, COUNTS, GROUPS


@dataclass(frozen=True)
class Answer:
    """A validation clip, its answer and what is known of it."""

    clip_id: str
    label: int
    prediction: int
    subject: str
    hazards: tuple[str, ...] = ()
    size: float = 1.0  # of the clip's number


def made_data(groups: dict[str, Sequence[Answer]], train: int = 2) -> Data:
    """A source of such groups, each with `train` training clips of each label, each of a person of its own."""
    rows = []
    for group_id, answers in groups.items():
        for label in (0, 1):
            names = [f"{group_id} {label} {number}" for number in range(train)]
            rows += [_row(group_id, Answer(name, label, label, name), "train") for name in names]
        rows += [_row(group_id, answer, "validation") for answer in answers]
    clips = pd.DataFrame(rows)[CLIPS.schema.names].astype({"label": "int8"})
    about = [dict(zip(("source", "verbs", "noun"), group_id.split("/"), strict=True)) for group_id in groups]
    table = pd.DataFrame(about).assign(group_id=list(groups), published_id=None, status="accepted")
    table[["forward", "reverse"]] = table.pop("verbs").str.split("-", expand=True)
    counts = pd.DataFrame(0, table.index, COUNTS, np.int32)
    return Data(table.join(counts)[GROUPS.schema.names], clips)


def _row(group_id: str, answer: Answer, split: str) -> dict:
    source, verbs, noun = group_id.split("/")
    return {
        "group_id": group_id,
        "clip_id": answer.clip_id,
        "source": source,
        "video": f"{answer.clip_id}.mp4",
        "start_s": None,
        "stop_s": None,
        "label": answer.label,
        "verb": verbs.split("-")[1 - answer.label],
        "noun": noun,
        "text": "",
        "split": split,
        "strict_split": split,
        "subject": answer.subject,
        "hazards": np.array(answer.hazards, object),
    }


def made_vectors(groups: dict[str, Sequence[Answer]], data: Data) -> pd.DataFrame:
    """The embeddings that make a probe give these answers."""
    numbers = dict(zip(data.clips.clip_id, 2.0 * data.clips.label - 1, strict=True))
    for answer in (answer for answers in groups.values() for answer in answers):
        numbers[answer.clip_id] = (2 * answer.prediction - 1) * answer.size
    return pd.DataFrame({"clip_id": list(numbers), "embedding": [np.array([number]) for number in numbers.values()]})


def answered(groups: dict[str, Sequence[Answer]], model: str = "by-hand", **settings) -> tuple[Result, Data]:
    """The result of a model that gives these answers, and the data that it stands on."""
    data = made_data(groups)
    settings = EvaluationSettings(draws=200, permutations=0, **settings)
    return evaluate(made_vectors(groups, data), data, model, settings=settings), data
