"""The models of a server, by name: what each can be asked, and texts made to fit what it reads.

What bites: the front process holds tokenizers and no network. A question is prepared here, answered by the batcher, and
finished here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from unmask.errors import SettingError
from unmask.inference.loading import chosen_engine
from unmask.inference.predictor import Predictor
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.inference.task_predictor import TaskPredictor
from unmask.serve.refusals import Refused
from unmask.serve.settings import TooLong

TASKS_OF: Final = {
    "fill": ("fill", "score", "embed", "similarity", "tokenize"),
    "classify": ("classify", "tokenize"),
    "tag": ("tag", "tokenize"),
    "answer": ("answer", "tokenize"),
    "embed": ("embed", "similarity", "tokenize"),
}
"""What a model that was made for a task can be asked; the first is what it is asked where nothing is said."""


@dataclass(frozen=True, slots=True)
class Shape:
    """All that a predictor reads of an engine that runs elsewhere."""

    hidden_size: int
    max_length: int


class ServedModel:
    """One model."""

    def __init__(self, name: str, where: str, engine: str) -> None:
        """Read the model at ``where`` but for its weights. Raises ModelError."""
        self.name, self.where = name, where
        self.found: Resolved = resolve(Path(where))
        has_graph = engine == "auto" and "onnx" in self.found.graphs
        self.engine = chosen_engine(self.found, "onnx" if has_graph else engine)
        shape: Any = Shape(self.found.config.hidden_size, self.found.config.longest_row)
        parts = (shape, self.found.tokenizer, self.found.vocabulary)
        info = {"engine": self.engine, **self.found.origin}
        self.task = "fill" if self.found.task is None else self.found.task.name
        self.predictor: Any = (
            Predictor(*parts, info) if self.found.task is None else TaskPredictor(*parts, self.found.task, info)
        )
        self.longest = self.found.config.longest_row if self.found.task is None else self.found.task.max_length

    @property
    def canary(self) -> list[Any]:
        """Return the least that its network can be asked."""
        predictor = self.predictor
        questions: dict[str, Callable[[], Any]] = {
            "fill": lambda: predictor.embedding(["a"]),
            "classify": lambda: predictor.classifying(["a"]),
            "tag": lambda: predictor.tagging(["a"]),
            "answer": lambda: predictor.answering(["a"], ["a"]),
            "embed": lambda: predictor.embedding(["a"]),
        }
        return list(next(questions[self.task]()))

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can be asked."""
        return TASKS_OF[self.task]

    def require(self, task: str) -> None:
        """Raise Refused where the model has not been made for ``task``."""
        if task not in self.tasks:
            raise Refused("invalid", f"{self.name} was made to {self.task}, not to {task}", param="model")

    def tokenized(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the tokens of each text, special ones left out."""
        encodings = self.predictor.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            {"tokens": one.tokens, "ids": one.ids, "offsets": [list(pair) for pair in one.offsets]} for one in encodings
        ]

    def pieces(self, text: str, too_long: TooLong) -> tuple[list[str], int]:
        """Return ``text`` in pieces that the model reads, and how many tokens were left out.

        Raises Refused (422) where it is too long and ``too_long`` is error.
        """
        room = self.longest - 2
        if len(text.encode("utf-8", "surrogatepass")) <= room:  # a token is a byte at least
            return [text], 0
        offsets = self.predictor.tokenizer.encode(text, add_special_tokens=False).offsets
        if len(offsets) <= room:
            return [text], 0
        if too_long == "error":
            raise Refused(
                "invalid", f"a text has {len(offsets):,} tokens and {self.name} reads {room:,}: cut it", param="inputs"
            )
        if too_long == "truncate":
            return [text[: offsets[room - 1][1]]], len(offsets) - room
        begins = range(0, len(offsets), room)
        return [text[offsets[at][0] : offsets[min(at + room, len(offsets)) - 1][1]] for at in begins], 0


def served_models(named: Sequence[str], engine: str) -> dict[str, ServedModel]:
    """Return the models that the words NAME=MODEL, or MODEL alone, say. Raises SettingError, ModelError."""
    models: dict[str, ServedModel] = {}
    for word in named:
        name, equals, where = word.partition("=")
        if not equals:
            name, where = Path(word).name, word
        if not name or not where:
            raise SettingError(f"a model is given as NAME=MODEL or as MODEL, got {word!r}")
        if name in models:
            raise SettingError(f"two models are called {name}; name them apart: NAME=MODEL")
        models[name] = ServedModel(name, where, engine)
    if not models:
        raise SettingError("give a model at least: unmask serve [NAME=]MODEL ...")
    return models
