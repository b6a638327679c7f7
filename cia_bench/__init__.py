"""The open toolkit for chirality in video embeddings.

In Python: `evaluate(embeddings, data)` scores embeddings, `read_data(folder)` reads what `cia build` wrote,
`subset(data, groups, max_clips)` takes a part of it, `check(model)` checks that a model keeps the contract. All are
imported when first used, so that `import cia_bench` stays light. No module may have the name of one of them: importing
it would hide the function.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "CheckReport": "cia_bench.model_check",
    "Data": "cia_bench.build",
    "EvaluationSettings": "cia_bench.protocols",
    "Result": "cia_bench.results",
    "check": "cia_bench.model_check",
    "evaluate": "cia_bench.evaluation",
    "read_data": "cia_bench.build",
    "read_result": "cia_bench.results",
    "subset": "cia_bench.subsets",
    "write_report": "cia_bench.report",
    "write_result": "cia_bench.results",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'cia_bench' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
