"""Something-Something v2 as its owner scores it: 174 templates, each a class."""

from pathlib import Path

import pandas as pd

from cia_bench.sources import read_actions, ssv2
from cia_bench.sources.files import MEND
from cia_bench.tasks.lists import class_names, open_lists

WHERE = ssv2.WHERE


def listed(splits: Path) -> tuple[list[str], pd.DataFrame]:
    """The classes as the labels file numbers them, and rows (see task.make_task); clips are those of the source."""
    actions = read_actions("ssv2", splits, advice=MEND).frame
    files = open_lists(splits, ssv2.FILES, WHERE)
    name = ssv2.LABEL_NAMES[0]
    labels = [(class_name, str(number)) for class_name, number in files.json(name).items()]
    rows = pd.DataFrame(labels, columns=["class_name", "number"], index=range(1, len(labels) + 1), dtype=object)
    classes = class_names(files, name, rows, first=0)
    bare = actions.verb.str.replace(r"[\[\]]", "", regex=True)
    return classes, actions[["clip_id", "video", "split", "subject"]].assign(number="1", class_name=bare)
