"""Who hears of every request that was answered: the texts that were asked, and what came of each.

What bites: the server waits for the listener, which therefore only takes note; and what it is handed are texts, which
must not get any further than memory unless that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from unmask.serve import schemas

Asking = Callable[[str, Sequence[Any]], list[Any] | None]
"""Has the network of a model, by its name, asked while nobody else asks; None where it had no time."""

UNHEARD: Final = ("tokenize",)
"""Tasks that ask no network."""


class Listener(Protocol):
    """Someone who listens."""

    def heard(
        self,
        *,
        request_id: str,
        model: str,
        task: str,
        time: float,
        seconds: float,
        texts: Sequence[str],
        answers: Sequence[Any],
    ) -> None:
        """Take note of a request that was answered at ``time`` (unix) after ``seconds``; returns at once."""

    def start(self, ask: Asking) -> None:
        """Start whatever else it does; ``ask`` is called from a thread of its own."""

    def stop(self) -> None:
        """End that; called from another thread than the event loop's."""

    def look(self) -> Mapping[str, Any]:
        """Return what it knows, as JSON; called from another thread than the event loop's."""


def texts_in(task: str, body: Any) -> list[str]:
    """Return the texts of ``body``; two that are read together as one, a line each."""
    inputs = body.inputs
    if task == "similarity":
        return [inputs.source_sentence, *inputs.sentences]
    given = inputs if isinstance(inputs, list) else [inputs]
    return [_whole(one) for one in given]


def _whole(one: Any) -> str:
    if isinstance(one, schemas.Question):
        return f"{one.question}\n{one.context}"
    if isinstance(one, schemas.Pair):
        return one.text if one.text_pair is None else f"{one.text}\n{one.text_pair}"
    return str(one)


def answers_in(task: str, body: Any, answer: Any, count: int) -> Sequence[Any]:
    """Return the answer to each of ``count`` texts in one shape, whatever the shape that the client got.

    classify: its labels, best first. tag: its entities. answer: its answers, best first. fill: for each mask its words,
    best first. None where there is none, or where scores are no probabilities of the model's own.
    """
    if task == "classify":
        return answer if body.parameters.function_to_apply is None else [None] * count
    if task in ("tag", "answer", "fill"):
        found = answer if isinstance(body.inputs, list) else [answer]
        return found if task == "tag" else [_ranked(one, masks=task == "fill") for one in found]
    return [None] * count


def _ranked(answer: Any, *, masks: bool) -> Any:
    """Return a list of ranked answers of each mask, or the ranked answers to a question."""
    if masks:
        return answer if isinstance(answer[0], list) else [answer]
    return answer if isinstance(answer, list) else [answer]
