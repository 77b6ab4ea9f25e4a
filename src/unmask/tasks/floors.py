"""What is reached without any network: the floors beside which a model's figure is read.

What bites: a floor is built with care or it proves nothing. The bag of words is TF-IDF over words, pairs of words and
pieces of words with logistic regression, its strength of regularisation chosen on part of the training examples.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.tasks.block import TaskBlock
from unmask.tasks.examples import AnswerExample, ClassifyExample, EmbedExample, TagExample
from unmask.tasks.metrics import Metric, answers, classification, entity_f1, mean_metric, spearman
from unmask.tasks.tags import OUTSIDE, Entity, entities

STRENGTHS = (1.0, 10.0, 100.0)
"""Inverse strengths of regularisation that are tried."""
_FEW = 5  # examples of a class below which there is nothing to choose a strength by
_ENOUGH = 2000  # examples to choose a strength by: it hardly moves with more

_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[^\n.!?]+(?:[.!?](?!\s)[^\n.!?]+)*")
_TOKEN = re.compile(r"(?u)\w+|[^\w\s]")

Truth = npt.NDArray[np.bool_]


def floors(block: TaskBlock, train: Sequence[Any], held_out: Sequence[Any]) -> dict[str, list[Metric]]:
    """Return the figures on ``held_out`` of each floor of the block's task, built on ``train``; the headline first."""
    return _FLOORS[block.name](block, train, held_out)


def shuffled_labels(examples: Sequence[Any], seed: int) -> list[Any]:
    """Return ``examples`` with their labels dealt anew: what a model learns from these is nothing, or a leak."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(examples))
    if isinstance(examples[0], ClassifyExample):
        return [replace(example, labels=examples[place].labels) for example, place in zip(examples, order, strict=True)]
    if isinstance(examples[0], EmbedExample):
        return [replace(one, sentence2=examples[place].sentence2) for one, place in zip(examples, order, strict=True)]
    if isinstance(examples[0], AnswerExample):
        return [_answered_anywhere(example, place) for example, place in zip(examples, order.tolist(), strict=True)]
    tags = [tag for example in examples for tag in example.tags]
    dealt = iter(np.random.Generator(np.random.Philox(seed)).permutation(len(tags)))
    return [replace(example, tags=tuple(_begun(tags[next(dealt)]) for _ in example.tags)) for example in examples]


def _answered_anywhere(example: AnswerExample, chance: int) -> AnswerExample:
    """Return ``example`` with as many words of its context for an answer as it had, from wherever chance says."""
    words = list(_WORD.finditer(example.context))
    if not example.answers or not words:
        return example
    length = min(len(words), max(1, len(_WORD.findall(example.answers[0][1]))))
    begin = chance % (len(words) - length + 1)
    start, end = words[begin].start(), words[begin + length - 1].end()
    return replace(example, answers=((start, example.context[start:end]),))


def _begun(tag: str) -> str:
    """Return a tag that may stand anywhere: dealt words are entities by themselves."""
    return f"B-{tag[2:]}" if tag != OUTSIDE else tag


def _classify(
    block: TaskBlock, train: Sequence[ClassifyExample], held_out: Sequence[ClassifyExample]
) -> dict[str, list[Metric]]:
    true, learned = (block.table([example.labels for example in of]) for of in (held_out, train))
    majority = np.zeros_like(true)
    share = learned.mean(0)
    majority[:, (share >= 0.5) if block.multi_label else [int(share.argmax())]] = True
    found = {"majority": majority, "tfidf": BagOfWords(block, train).labels(held_out)}
    return {name: classification(labels, true, multi_label=block.multi_label) for name, labels in found.items()}


class BagOfWords:
    """TF-IDF and logistic regression: what says a label without a network."""

    def __init__(self, block: TaskBlock, train: Sequence[ClassifyExample]) -> None:
        """Learn from ``train``."""
        self._block, self._words = block, _words()
        features = self._words.fit_transform([_joined(example) for example in train]).tocsr()
        learned = block.table([example.labels for example in train])
        truths = [column.astype(int) for column in learned.T] if block.multi_label else [learned.argmax(1)]
        self._fits = [_fitted(features, truth) for truth in truths]

    @property
    def num_parameters(self) -> int:
        """How many weights there are; a fit that had nothing to tell apart has none."""
        return sum(fit.coef_.size + fit.intercept_.size for fit in self._fits if hasattr(fit, "coef_"))

    def labels(self, examples: Sequence[ClassifyExample]) -> Truth:
        """Return (N, C) which labels ``examples`` get."""
        features = self._words.transform([_joined(example) for example in examples]).tocsr()
        found = np.stack([fit.predict(features) for fit in self._fits], 1)
        return found.astype(bool) if self._block.multi_label else np.arange(len(self._block.labels)) == found


def _joined(example: ClassifyExample) -> str:
    return example.text if example.text_pair is None else f"{example.text}\n{example.text_pair}"


def _words() -> Any:
    """Return what makes features of texts: words, pairs of them, and pieces of them."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_TOKEN.pattern),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
    )


def _fitted(features: Any, labels: npt.NDArray[np.integer]) -> Any:
    """Return the regression of the best strength on a fifth set aside, fitted on all; a constant where all is alike."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2:  # nothing to tell apart
        return DummyClassifier().fit(features, labels)
    strength = STRENGTHS[1]
    if counts.min() >= _FEW:
        count = min(len(labels), max(_ENOUGH, _FEW * len(labels) // counts.min()))  # the rarest class is in both parts
        one, two, learned, aside = train_test_split(
            features, labels, train_size=int(0.8 * count), test_size=count - int(0.8 * count), random_state=0,
            stratify=labels,
        )  # fmt: skip
        fits = {c: LogisticRegression(C=c, max_iter=300).fit(one, learned).score(two, aside) for c in STRENGTHS}
        strength = max(fits, key=lambda c: (fits[c], -c))
    return LogisticRegression(C=strength, max_iter=300).fit(features, labels)


def _tag(_: TaskBlock, train: Sequence[TagExample], held_out: Sequence[TagExample]) -> dict[str, list[Metric]]:
    """Return the floor of the most frequent tag of each word; a word that was never seen is outside."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for example in train:
        for token, tag in zip(example.tokens, example.tags, strict=True):
            seen[token][tag] += 1
    usual = {token: max(sorted(tags), key=lambda tag: tags[tag]) for token, tags in seen.items()}
    true = [entities(example.tags) for example in held_out]
    guesses = [_repaired([usual.get(token, OUTSIDE) for token in example.tokens]) for example in held_out]
    found: dict[str, list[list[Entity]]]
    found = {"majority": [[] for _ in held_out], "frequent_tag": [entities(tags) for tags in guesses]}
    return {name: entity_f1(spans, true) for name, spans in found.items()}


def _repaired(tags: Sequence[str]) -> list[str]:
    """Return ``tags`` with an I- that continues nothing as the B- that it stands for."""
    before, found = OUTSIDE, []
    for tag in tags:
        begins = tag.startswith("I-") and before[2:] != tag[2:]
        found.append(f"B-{tag[2:]}" if begins else tag)
        before = tag
    return found


def _answer(_: TaskBlock, train: Sequence[AnswerExample], held_out: Sequence[AnswerExample]) -> dict[str, list[Metric]]:
    """Return the floor of the sentence that shares most with the question, cut to the length of a long answer."""
    lengths = [len(_WORD.findall(text)) for example in train for _, text in example.answers[:1]]
    length = int(np.quantile(lengths, 0.9)) if lengths else 1
    rarity = _rarity([example.context for example in (*train, *held_out)])
    true = [[text for _, text in example.answers] for example in held_out]
    overlap = [_overlapping(example, length, rarity) for example in held_out]
    found = {"sentence_overlap": overlap}
    if any(not example.answers for example in train):
        found["no_answer"] = [""] * len(held_out)
    return {name: answers(texts, true) for name, texts in found.items()}


def _rarity(texts: Sequence[str]) -> dict[str, float]:
    counts = Counter(word for text in texts for word in set(_WORD.findall(text.lower())))
    return {word: float(np.log(len(texts) / count)) for word, count in counts.items()}


def _overlapping(example: AnswerExample, length: int, rarity: dict[str, float]) -> str:
    """Return the longest run of words that the question does not say, of the sentence that shares most with it.

    The last ``length`` words of it at most; words count by how rare they are.
    """
    asked = set(_WORD.findall(example.question.lower()))
    sentences = [list(_WORD.finditer(example.context, *span.span())) for span in _SENTENCE.finditer(example.context)]
    if not any(sentences):
        return ""
    said = [{found[0].lower() for found in words} & asked for words in sentences]
    shared = [sum(rarity.get(word, 0.0) for word in words) for words in said]
    best = sentences[int(np.argmax(shared))] or next(filter(None, sentences))
    runs = [list(run) for is_asked, run in groupby(best, lambda found: found[0].lower() in asked) if not is_asked]
    longest = max(runs or [best], key=len)[-length:]
    return example.context[longest[0].start() : longest[-1].end()]


def _embed(_: TaskBlock, train: Sequence[EmbedExample], held_out: Sequence[EmbedExample]) -> dict[str, list[Metric]]:
    """Return the floor of the cosine of bags of words."""
    from sklearn.preprocessing import normalize

    known = [text for example in train for text in (example.sentence1, example.sentence2)]
    texts = [text for example in held_out for text in (example.sentence1, example.sentence2)]
    vectors = normalize(_words().fit(known).transform(texts).tocsr())
    one, two = vectors[0::2], vectors[1::2]
    scores = [example.score for example in held_out]
    if None not in scores:
        return {"tfidf": [spearman(np.asarray(one.multiply(two).sum(1)).ravel(), np.array(scores, float))]}
    best = np.asarray((one @ two.T).argmax(1)).ravel()
    return {"tfidf": [mean_metric("accuracy", best == np.arange(len(best)))]}


_FLOORS: dict[str, Callable[[TaskBlock, Sequence[Any], Sequence[Any]], dict[str, list[Metric]]]] = {
    "classify": _classify,
    "tag": _tag,
    "answer": _answer,
    "embed": _embed,
}
