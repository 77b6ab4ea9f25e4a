"""Masked language modelling for people who ship encoders.

What bites: importing this loads nothing heavy; each name is fetched when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unmask.batch import Rows
    from unmask.cli.compare import compare
    from unmask.cli.corpus import build_corpus
    from unmask.cli.evaluate import evaluate
    from unmask.cli.export import export
    from unmask.cli.finetune import finetune
    from unmask.cli.pretrain import pretrain
    from unmask.corpus.directory import Corpus, open_corpus
    from unmask.errors import Stopped, UserError
    from unmask.inference.loaded import LoadedModel
    from unmask.inference.loading import load
    from unmask.inference.predictor import Predictor
    from unmask.inference.task_predictor import TaskPredictor
    from unmask.runs import RunDirectory

__version__ = "0.1.0"
__all__ = [
    "Corpus",
    "LoadedModel",
    "Predictor",
    "Rows",
    "RunDirectory",
    "Stopped",
    "TaskPredictor",
    "UserError",
    "__version__",
    "build_corpus",
    "compare",
    "evaluate",
    "export",
    "finetune",
    "load",
    "open_corpus",
    "pretrain",
]

_FRONT_DOOR = {
    "Corpus": "unmask.corpus.directory",
    "LoadedModel": "unmask.inference.loaded",
    "Predictor": "unmask.inference.predictor",
    "Rows": "unmask.batch",
    "RunDirectory": "unmask.runs",
    "Stopped": "unmask.errors",
    "TaskPredictor": "unmask.inference.task_predictor",
    "UserError": "unmask.errors",
    "build_corpus": "unmask.cli.corpus",
    "compare": "unmask.cli.compare",
    "evaluate": "unmask.cli.evaluate",
    "export": "unmask.cli.export",
    "finetune": "unmask.cli.finetune",
    "load": "unmask.inference.loading",
    "open_corpus": "unmask.corpus.directory",
    "pretrain": "unmask.cli.pretrain",
}
"""Where each name of the package is made."""


def __getattr__(name: str) -> Any:
    if name not in _FRONT_DOOR:
        raise AttributeError(f"module 'unmask' has no attribute {name!r}")
    return getattr(import_module(_FRONT_DOOR[name]), name)


def __dir__() -> list[str]:
    return __all__
