"""What each task makes of a body: questions to the model, and the answer in the shape that clients expect.

What bites: clients index into what they get. A text gives what one text gives, a list gives a list, and a classifier
gives a list of lists either way, as the hosted service does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from unmask.inference.asks import Score
from unmask.inference.encoding import Word
from unmask.inference.task_predictor import WORD
from unmask.serve import schemas
from unmask.serve.models import ServedModel
from unmask.serve.refusals import Refused
from unmask.serve.settings import TooLong
from unmask.stats.calibration import probabilities
from unmask.tasks.block import TaskBlock
from unmask.tasks.decoding import best_tags


class Ticket(Protocol):
    """A request on its way."""

    truncated_tokens: int

    async def answer(self, model: ServedModel, question: Any) -> Any:
        """Return the answer of ``model`` to ``question``."""


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of question."""

    body: type[schemas.Body]
    run: Callable[[ServedModel, Any, Ticket, TooLong], Awaitable[Any]]
    help: str


def texts_of(inputs: Any) -> list[str]:
    """Return the texts of ``inputs``, one or several."""
    return [inputs] if isinstance(inputs, str) else list(inputs)


def _fitted(model: ServedModel, texts: Sequence[str], too_long: TooLong, ticket: Ticket) -> list[list[str]]:
    """Return each text in the pieces that are read of it, and take note of what is left out."""
    found = [model.pieces(text, too_long) for text in texts]
    ticket.truncated_tokens += sum(dropped for _, dropped in found)
    return [pieces for pieces, _ in found]


def _flat(pieces: Sequence[Sequence[str]]) -> list[str]:
    return [piece for of_text in pieces for piece in of_text]


def _by_text(found: Sequence[Any], pieces: Sequence[Sequence[str]]) -> list[list[Any]]:
    """Return what was ``found`` of each piece, text by text."""
    each = iter(found)
    return [[next(each) for _ in of_text] for of_text in pieces]


async def _fill(model: ServedModel, body: schemas.FillBody, ticket: Ticket, too_long: TooLong) -> Any:
    texts = texts_of(body.inputs)
    mask = model.predictor.mask_token
    for text in texts:
        if mask not in text:
            raise Refused("invalid", f"a text has no {mask}; write it where a word is to be found", param="inputs")
    pieces = _fitted(model, texts, too_long, ticket)
    asked = [[piece for piece in of_text if mask in piece] for of_text in pieces]
    if not all(asked):
        raise Refused("invalid", f"the {mask} of a text is in the part that was cut off", param="inputs")
    top_k, targets = body.parameters.top_k or 5, body.parameters.targets
    found = await ticket.answer(model, model.predictor.filling(_flat(asked), top_k, targets))
    answers = []
    for of_text in _by_text(found, asked):
        masks = [one for of_piece in of_text for one in (of_piece if isinstance(of_piece[0], list) else [of_piece])]
        answers.append(masks[0] if len(masks) == 1 else masks)
    return answers[0] if isinstance(body.inputs, str) else answers


async def _score(model: ServedModel, body: schemas.ScoreBody, ticket: Ticket, too_long: TooLong) -> Any:
    pieces = _fitted(model, texts_of(body.inputs), too_long, ticket)
    found = await ticket.answer(model, model.predictor.scoring(_flat(pieces), body.parameters.method))
    answers = []
    for text, of_text in zip(pieces, _by_text(found, pieces), strict=True):
        total, tokens = (sum(one[name] for one in of_text) for name in ("score", "tokens"))
        bits = -total / np.log(2) / max(1, sum(map(len, text)))
        answers.append({"score": total, "tokens": tokens, "bits_per_character": float(bits)})
    return answers[0] if isinstance(body.inputs, str) else answers


async def _classify(model: ServedModel, body: schemas.ClassifyBody, ticket: Ticket, too_long: TooLong) -> Any:
    given = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    texts = [one if isinstance(one, str) else one.text for one in given]
    pairs = [None if isinstance(one, str) else one.text_pair for one in given]
    pieces = [[text] if pair is not None else None for text, pair in zip(texts, pairs, strict=True)]
    alone = iter(
        _fitted(model, [text for text, pair in zip(texts, pairs, strict=True) if pair is None], too_long, ticket)
    )
    whole = [of_text if of_text is not None else next(alone) for of_text in pieces]
    spread = [pair for pair, of_text in zip(pairs, whole, strict=True) for _ in of_text]
    windows = model.predictor.maker.texts(_flat(whole), spread if any(pairs) else None)
    for window, pair in zip(windows, spread, strict=True):
        if pair is not None and window.is_cut:
            if too_long == "error":
                raise Refused(
                    "invalid",
                    f"a pair is longer than the {model.longest} tokens that {model.name} reads",
                    param="inputs",
                )
            ticket.truncated_tokens += 1  # at least

    def question() -> Any:
        scores = yield [Score(window) for window in windows]
        return scores

    scores = await ticket.answer(model, question())
    means = np.stack([np.mean(of_text, axis=0) for of_text in _by_text(scores, whole)])
    return [_labels(model, row, body.parameters) for row in means]


def _labels(model: ServedModel, scores: npt.NDArray[np.floating], parameters: schemas.ClassifyParameters) -> list[Any]:
    block, how = model.predictor.block, parameters.function_to_apply
    is_multi = block.multi_label if how is None else how == "sigmoid"
    chances = scores if how == "none" else probabilities(scores[None], block.temperature, multi_label=is_multi)[0]
    best = np.argsort(-chances, kind="stable")[: parameters.top_k or len(chances)]
    return [{"label": block.labels[place], "score": float(chances[place])} for place in best]


async def _tag(model: ServedModel, body: schemas.TagBody, ticket: Ticket, _: TooLong) -> Any:
    texts = texts_of(body.inputs)
    if body.parameters.aggregation_strategy != "none":
        found = await ticket.answer(model, model.predictor.tagging(texts))
    else:
        found = await ticket.answer(model, _word_by_word(model, texts, set(body.parameters.ignore_labels)))
    return found[0] if isinstance(body.inputs, str) else found


def _word_by_word(model: ServedModel, texts: Sequence[str], ignored: set[str]) -> Any:
    """Ask for the tag of every word."""
    predictor = model.predictor
    spans = [[found.span() for found in WORD.finditer(text)] for text in texts]
    windows = predictor.maker.words(texts, spans)
    scored = yield [Score(window) for window in windows]
    by_word = predictor.by_word(windows, scored, [len(places) for places in spans])
    return [
        _tagged(predictor.block, text, places, scores, ignored)
        for text, places, scores in zip(texts, spans, by_word, strict=True)
    ]


def _tagged(
    block: TaskBlock, text: str, places: Sequence[Word], scores: npt.NDArray[np.floating], ignored: set[str]
) -> list[dict[str, Any]]:
    """Return the words of ``text`` with their tags, those that are ``ignored`` left out."""
    chances = probabilities(scores, block.temperature)
    tags = best_tags(scores, block.labels)
    return [
        {
            "entity": tag,
            "score": float(chances[word, block.labels.index(tag)]),
            "index": word + 1,
            "word": text[start:end],
            "start": start,
            "end": end,
        }
        for word, (tag, (start, end)) in enumerate(zip(tags, places, strict=True))
        if tag not in ignored
    ]


async def _answer(model: ServedModel, body: schemas.AnswerBody, ticket: Ticket, _: TooLong) -> Any:
    given = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    questions, contexts = [one.question for one in given], [one.context for one in given]
    top_k = body.parameters.top_k or 1
    found = await ticket.answer(model, model.predictor.answering(questions, contexts, top_k))
    answers = [of_question[0] if top_k == 1 else of_question for of_question in found]
    return answers if isinstance(body.inputs, list) else answers[0]


async def _embed(model: ServedModel, body: schemas.EmbedBody, ticket: Ticket, too_long: TooLong) -> Any:
    normalize = body.parameters.normalize if body.normalize is None else body.normalize
    truncate = body.parameters.truncate or body.truncate
    vectors = await vectors_of(model, body.inputs, ticket, "truncate" if truncate else too_long, normalize)
    return vectors.tolist()


async def vectors_of(
    model: ServedModel, inputs: Any, ticket: Ticket, too_long: TooLong, normalize: bool | None = None
) -> npt.NDArray[np.float32]:
    """Return (N, D) a vector a text: the mean of those of its pieces, of length one again where they have it."""
    pieces = _fitted(model, texts_of(inputs), too_long, ticket)
    found = await ticket.answer(model, model.predictor.embedding(_flat(pieces)))
    vectors = np.stack([np.mean(of_text, axis=0) for of_text in _by_text(found, pieces)])
    if normalize is None:
        normalize = model.task == "embed" and model.predictor.block.normalize
    if normalize:
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray(vectors, np.float32)


async def _similarity(model: ServedModel, body: schemas.SimilarityBody, ticket: Ticket, too_long: TooLong) -> Any:
    texts = [body.inputs.source_sentence, *body.inputs.sentences]
    first, *others = (await vectors_of(model, texts, ticket, too_long, normalize=True)).astype(np.float64)
    return [float(first @ other) for other in others]


async def _tokenize(model: ServedModel, body: schemas.TokenizeBody, _: Ticket, __: TooLong) -> Any:
    found = model.tokenized(texts_of(body.inputs))
    return found[0] if isinstance(body.inputs, str) else found


TASKS: dict[str, Task] = {
    "fill": Task(schemas.FillBody, _fill, "The likeliest words for every mask"),
    "score": Task(schemas.ScoreBody, _score, "How expected each text is, in nats"),
    "classify": Task(schemas.ClassifyBody, _classify, "The labels of each text"),
    "tag": Task(schemas.TagBody, _tag, "The entities of each text, with the code points that they cover"),
    "answer": Task(schemas.AnswerBody, _answer, "The piece of a context that answers a question"),
    "embed": Task(schemas.EmbedBody, _embed, "A vector for each text"),
    "similarity": Task(schemas.SimilarityBody, _similarity, "How near texts are to another one, from -1 to 1"),
    "tokenize": Task(schemas.TokenizeBody, _tokenize, "The tokens of each text"),
}

PIPELINES = {
    "feature-extraction": "embed",
    "fill-mask": "fill",
    "question-answering": "answer",
    "sentence-similarity": "similarity",
    "text-classification": "classify",
    "token-classification": "tag",
}
"""What Hugging Face calls them."""
