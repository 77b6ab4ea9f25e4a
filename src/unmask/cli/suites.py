"""The suites of ``unmask evaluate``: what each needs, and how its parts are put together.

What bites: likelihood and minimal pairs run the network once a token, so they look at far fewer documents than mlm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np

from unmask.cli.corpus import training_corpus
from unmask.cli.infer import in_groups
from unmask.cli.measure import evaluate_model
from unmask.cli.starting import require_same_tokenizer
from unmask.cli.terminal import Report
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.documents import document_id
from unmask.errors import DataError, ModelError, SettingError, did_you_mean
from unmask.evaluation.bound import text_likelihood
from unmask.evaluation.calibration import calibration
from unmask.evaluation.corruption import CORRUPTIONS, Kind
from unmask.evaluation.likelihood import Told, likelihood
from unmask.evaluation.masked import FROZEN_WINDOW, HeldOut, freeze
from unmask.evaluation.memorisation import memorisation, read_canaries
from unmask.evaluation.minimal_pairs import minimal_pairs, read_pairs, shorter
from unmask.evaluation.ngram import trigrams_of
from unmask.evaluation.pieces import pieces, plain_reader
from unmask.evaluation.robustness import RATES, MaskedRobustness, decay, noisy_examples
from unmask.finetuning.held_out import HeldOut as HeldOutExamples
from unmask.inference.loading import predictor_of, task_predictor
from unmask.inference.predictor import Predictor
from unmask.inference.resolved import Resolved
from unmask.inference.torch_engine import read_model, require_head
from unmask.tasks.formats import read_examples

DOCUMENTS, FEW_DOCUMENTS = 1000, 100
"""Documents that are looked at where nobody says how many: by suites that read each once, and once a token."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is measured, and on what."""

    found: Resolved
    given_corpus: Path | None
    """In place of the one that the model was trained on."""
    split: HeldOut
    file: Path | None
    documents: int | None
    told: Report

    @cached_property
    def corpus(self) -> Corpus:
        """The corpus. Raises SettingError where there is none, DataError where it is gone."""
        trained_on = self.found.origin.get("corpus")
        if self.given_corpus is not None:
            return open_corpus(self.given_corpus)
        if trained_on is not None:
            return training_corpus(Path(self.found.origin["path"]), trained_on)
        raise SettingError(
            f"{self.found.origin['path']}: say on which text by --corpus DIR, built with its tokenizer: "
            f"unmask corpus build SOURCE --out DIR tokenizer.path={self.found.tokenizer_file}"
        )

    @property
    def has_corpus(self) -> bool:
        """Whether there is one, for what is shown beside a figure only where it can be."""
        trained_on = self.found.origin.get("corpus")
        return self.given_corpus is not None or (trained_on is not None and Path(trained_on["path"]).exists())

    def require_file(self, suite: str, what: str) -> Path:
        """Return the file. Raises SettingError where there is none."""
        if self.file is None:
            raise SettingError(f"--suite {suite} needs --file FILE, {what}")
        return self.file

    def texts(self) -> list[str]:
        """Return the texts of the file, or the held-out documents of the corpus with the smallest ids."""
        most = self.documents or FEW_DOCUMENTS
        if self.file is not None:
            return [text for group in in_groups(str(self.file)) for text in group][:most]
        held_out = (record["text"] for record in self.corpus.texts(self.split))
        return nsmallest(most, held_out, key=document_id)

    def documents_in_pieces(self, longest: int) -> list[list[str]]:
        """Return the texts, each cut into pieces of at most ``longest`` tokens. Raises DataError where none has one."""
        reader = plain_reader(self.found.tokenizer)
        cut = [found for text in self.texts() if (found := pieces(reader, text, longest))]
        if not cut:
            raise DataError(self.file or self.corpus.directory, "holds no text that the model can read")
        return cut

    def predictor(self) -> Predictor:
        """Return the language model, ready to score. Raises ModelError."""
        return predictor_of(self.found)

    def hears(self, stage: str) -> Told:
        """Return who is told how much of ``stage`` is done."""
        return partial(self.told, stage)

    def longest(self) -> int:
        """Return the tokens of a piece, special ones not counted: a frozen window, or what the model reads."""
        return min(FROZEN_WINDOW, self.found.config.longest_row) - 2


def _mlm(work: Work) -> dict[str, Any]:
    return evaluate_model(work.found, work.corpus, work.documents or DOCUMENTS, work.split)


def _likelihood(work: Work) -> dict[str, Any]:
    documents = work.documents_in_pieces(work.longest())
    return {"likelihood": likelihood(work.predictor().score, documents, work.hears("likelihood"))}


def _text(work: Work) -> dict[str, Any]:
    require_same_tokenizer(work.found, work.corpus)
    model = read_model(work.found)
    require_head(model)
    return {"text": text_likelihood(model, work.corpus, work.documents or FEW_DOCUMENTS, work.split)}


def _minimal_pairs(work: Work) -> dict[str, Any]:
    path = work.require_file("minimal-pairs", "jsonl with sentence_good and sentence_bad (and UID, linguistics_term)")
    pairs = read_pairs(path, work.documents or FEW_DOCUMENTS)
    floors = {"shorter": shorter(pairs)}
    if work.has_corpus:
        require_same_tokenizer(work.found, work.corpus)
        reader, trigrams = plain_reader(work.found.tokenizer), trigrams_of(work.corpus)
        good, bad = (
            trigrams.score(
                [np.array(one.ids, np.int64) for one in reader.encode_batch(texts, add_special_tokens=False)]
            )
            for texts in ([pair.good for pair in pairs], [pair.bad for pair in pairs])
        )
        floors["trigrams"] = good - bad
    return {"minimal_pairs": minimal_pairs(work.predictor().score, pairs, floors, work.hears("minimal pairs"))}


def _calibration(work: Work) -> dict[str, Any]:
    corpus = work.corpus
    require_same_tokenizer(work.found, corpus)
    model = read_model(work.found)
    require_head(model)
    frozen = freeze(corpus, work.documents or DOCUMENTS, work.split, config=work.found.config)
    return {"calibration": {**calibration(model, frozen), "fingerprint": frozen.fingerprint}}


def _robustness(work: Work) -> dict[str, Any]:
    if work.found.task is not None:
        return {"robustness": _task_robustness(work)}
    if work.found.config.is_left_to_right:
        raise ModelError(f"{work.found.origin['path']}: reads from left to right, and robustness hides words in texts")
    model, longest = read_model(work.found), work.longest()
    require_head(model)
    measure = MaskedRobustness(
        model, plain_reader(work.found.tokenizer), work.found.vocabulary, work.found.config.longest_row
    )
    documents = work.documents_in_pieces(longest // 2)  # errors make more tokens of the same text
    return {"robustness": measure.measure(documents, work.hears("robustness"))}


def _task_robustness(work: Work) -> dict[str, Any]:
    """Return the headline figure of a fine-tuned model on examples with errors in them."""
    predictor = task_predictor(work.found)
    block = predictor.block
    path = work.require_file("robustness", f"examples of {block.name} with their answers")
    examples = read_examples(block.name, path, multi_label=block.multi_label)[: work.documents or DOCUMENTS]
    kinds: list[Kind] = [kind for kind in CORRUPTIONS if (block.name, kind) != ("tag", "whitespace")]  # words are given

    def headline(kind: Kind, rate: float) -> Any:
        noisy = noisy_examples(block.name, examples, kind, rate) if rate else examples
        return HeldOutExamples(noisy, predictor).outcome(predictor).metrics[0]

    clean, found = headline(kinds[0], 0.0), {}
    for number, kind in enumerate(kinds):
        noisy = []
        for place, rate in enumerate(RATES):
            noisy.append(headline(kind, rate).per_item)
            work.told("robustness", number * len(RATES) + place + 1, len(kinds) * len(RATES))
        found[kind] = decay([clean.per_item, *noisy], clean.combine)
    return {"figure": clean.name, "documents": len(examples), "kinds": found}


def _memorisation(work: Work) -> dict[str, Any]:
    path = work.require_file("memorisation", "the canaries that unmask corpus canaries wrote")
    return {"memorisation": memorisation(work.predictor().score, read_canaries(path), work.hears("memorisation"))}


SUITES: dict[str, Callable[[Work], dict[str, Any]]] = {
    "mlm": _mlm,
    "likelihood": _likelihood,
    "text": _text,
    "minimal-pairs": _minimal_pairs,
    "calibration": _calibration,
    "robustness": _robustness,
    "memorisation": _memorisation,
}
READ_FILES: tuple[str, ...] = ("likelihood", "minimal-pairs", "robustness", "memorisation")


def measured(suites: Sequence[str], work: Work) -> dict[str, Any]:
    """Return what ``suites`` say, each under its own name. Raises UserError for what one lacks."""
    if unknown := [name for name in suites if name not in SUITES]:
        raise SettingError(
            f"suite must be one of {', '.join(SUITES)}, got {unknown[0]!r}{did_you_mean(unknown[0], SUITES)}"
        )
    if work.file is not None and not set(suites) & set(READ_FILES):
        raise SettingError(f"--file is read by the suites {', '.join(READ_FILES)}; name one with --suite")
    if work.found.task is not None and set(suites) != {"robustness"}:
        where, task = work.found.origin["path"], work.found.task.name
        raise ModelError(f"{where}: was fine-tuned to {task}; of the suites, robustness alone is for such a model")
    found: dict[str, Any] = {}
    for name in suites:
        found |= SUITES[name](work)
    return found
