"""What a diagnosis is handed: files read, the model asked, and all of it as arrays.

What bites: of large files a sample is looked at (MOST rows of training examples and of traffic), the same every time;
development examples are all looked at, since the figure is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unmask.cli.labelled import asked_of, figure_named, labelled, open_task, restyled, values_in
from unmask.errors import DataError
from unmask.finetuning.held_out import HeldOut, Outcome
from unmask.inference.loading import predictor_of
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.inference.task_predictor import TaskPredictor
from unmask.runs import RunDirectory
from unmask.stats.calibration import confidences, probabilities
from unmask.stats.figure import Figure, Floats
from unmask.tasks.block import TaskBlock
from unmask.tasks.examples import TagExample
from unmask.tasks.floors import floors
from unmask.tasks.records import Record, records
from unmask.watch.capture import capture
from unmask.watch.diagnosis.case import Case, Decisions, Examined, Files, Style, Traffic, Training
from unmask.watch.keys import new_key
from unmask.watch.signals import Reader, Seen, signals_of, whole
from unmask.watch.store import read
from unmask.watch.window import Window

MOST = 2000
"""Rows of training examples, and of traffic in a file, that the model is asked about."""
_AT_ONCE = 256
Told = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What was asked for."""

    model: Path
    dev: Path
    train: Path | None = None
    traffic: Path | None = None
    figure: str | None = None
    fields: Mapping[str, str] | None = None
    slices: Sequence[str] = ()

    @cached_property
    def run(self) -> RunDirectory | None:
        """The model as a run of unmask finetune; None where it is another form of one."""
        return RunDirectory(self.model) if (self.model / "run.json").is_file() else None

    @cached_property
    def recorded(self) -> Mapping[str, Any]:
        """What the run keeps of how it was asked for."""
        return (self.run.state.get("work") if self.run is not None else None) or {}

    @cached_property
    def learned_from(self) -> Path | None:
        """The training examples that were named, or those that the run recorded, where they are still there."""
        recorded = self.recorded.get("train")
        if self.train is not None or recorded is None:
            return self.train
        return Path(recorded) if Path(recorded).is_file() else None

    @cached_property
    def base(self) -> Path | None:
        """The pre-trained model before it, where the run knows it and it is still there."""
        parent = (self.run.state["parent"] or {}).get("path") if self.run is not None else None
        return Path(parent) if parent and Path(parent).exists() else None


def case_of(work: Work, told: Told) -> Case:
    """Return everything that the checks look at. Raises UserError for what can not be read or does not fit."""
    found, predictor = open_task(work.model)
    block, fields = predictor.block, {**work.recorded.get("fields", {}), **(work.fields or {})}
    dev = labelled(block, work.dev, fields)
    train = [] if work.learned_from is None else labelled(block, work.learned_from, fields)
    told("development", 0, len(dev))
    outcome = HeldOut(dev, predictor).outcome(predictor)
    metric = figure_named(outcome.metrics, work.figure)
    asked = [asked_of(example) for example in dev]
    examined = _examined(predictor, dev, outcome, metric.name, _answered(predictor, asked))
    learned = _sample(predictor, train, metric.name, told)
    told("floors", 0)
    built = floors(block, train, dev) if train else {}
    return Case(
        files=_files(work),
        block=block,
        figure=metric.name,
        combine=metric.combine,
        dev=examined,
        again=_again(found, predictor, dev, metric.name),
        longest=found.config.longest_row,
        learned=[whole(*asked_of(example)) for example in train],
        learned_where=[example.where for example in train],
        learned_labels=[example.labels[0] for example in train] if _is_of_one_class(block) else (),
        fields={name: values_in(work.dev, name) for name in work.slices},
        train=learned,
        floors={name: _named(metrics, metric.name) for name, metrics in built.items()},
        features=_features(work, predictor, examined, learned, told),
        traffic=None if work.traffic is None else traffic_in(work.traffic, predictor),
        training=_training(work, metric.name),
    )


def _files(work: Work) -> Files:
    """Return the names that proposed commands use; what is not known is in capitals."""
    train, base = (str(path or name) for path, name in ((work.learned_from, "TRAIN"), (work.base, "BASE")))
    return Files(model=str(work.model), dev=str(work.dev), train=train, base=base)


def _sample(predictor: TaskPredictor, train: Sequence[Any], figure: str, told: Told) -> Examined | None:
    """Return training examples, MOST of them at most, and what the model makes of them; None where there are none."""
    if not train:
        return None
    told("training examples", 0, len(train))
    sample = _drawn(train)
    texts, count = [whole(*asked_of(example)) for example in sample], len(sample)
    read = Seen(texts=texts, answers=[None] * count, time=np.zeros(count), latency_ms=np.full(count, np.nan))
    window = signals_of(Reader.of(predictor), read, new_key())
    return _examined(predictor, sample, HeldOut(sample, predictor).outcome(predictor), figure, window)


def _named(metrics: Sequence[Any], name: str) -> Floats:
    return figure_named(metrics, name).per_item


def _is_of_one_class(block: TaskBlock) -> bool:
    return block.name == "classify" and not block.multi_label


def _drawn(examples: Sequence[Any]) -> list[Any]:
    """Return MOST of ``examples`` at most, in their order, the same every time."""
    order = np.random.Generator(np.random.Philox(0)).permutation(len(examples))[:MOST]
    return [examples[place] for place in np.sort(order)]


def _examined(
    predictor: TaskPredictor, examples: Sequence[Any], outcome: Outcome, figure: str, window: Window
) -> Examined:
    """Return ``examples``, their signals and what the model made of them."""
    block = predictor.block
    chance: Floats | None = None
    if outcome.scores is not None:
        chance = probabilities(outcome.scores, block.temperature, multi_label=block.multi_label)
    of_one_class = _is_of_one_class(block)
    return Examined(
        texts=[whole(*asked_of(example)) for example in examples],
        where=[example.where for example in examples],
        window=window,
        per_item=figure_named(outcome.metrics, figure).per_item,
        given=None if not of_one_class or outcome.truth is None else outcome.truth.astype(np.int64),
        chance=chance if of_one_class else None,
        decisions=None if chance is None or outcome.truth is None else _decisions(examples, chance, outcome.truth),
    )


def _decisions(examples: Sequence[Any], chance: Floats, truth: Any) -> Decisions:
    """Return the decisions about classes: one a text, one a word, or one a label of a text."""
    confidence, right = confidences(chance, truth)
    if isinstance(examples[0], TagExample):
        each = np.array([len(example.tokens) for example in examples])
    else:
        each = np.full(len(examples), len(confidence) // len(examples))
    return Decisions(confidence=confidence, right=right, item=np.repeat(np.arange(len(examples)), each))


def _again(
    found: Resolved, predictor: TaskPredictor, dev: Sequence[Any], figure: str
) -> Callable[[Style | None, int | None], Floats | None]:
    """Return what asks the model once more, about texts in another style or in longer windows."""

    def again(style: Style | None, max_length: int | None) -> Floats | None:
        block = predictor.block
        if (style is not None and block.name == "answer") or (max_length or 0) > found.config.longest_row:
            return None
        asked = replace(block, max_length=max_length or block.max_length)
        other = TaskPredictor(predictor.engine, found.tokenizer, found.vocabulary, asked, {})
        examples = dev if style is None else restyled(dev, style)
        return _named(HeldOut(examples, other).outcome(other).metrics, figure)

    return again


def _features(
    work: Work, predictor: TaskPredictor, dev: Examined, train: Examined | None, told: Told
) -> tuple[Floats, Floats] | None:
    """Return the frozen states of the base, of training and of development texts; None where there is no such base."""
    if work.base is None or train is None or train.given is None:
        return None
    base = resolve(work.base)
    if base.task is not None or base.tokenizer.to_str() != predictor.tokenizer.to_str():
        return None
    engine, tables = predictor_of(base).engine, []
    for name, seen in (("training", train), ("development", dev)):
        windows = [window.input_ids for window in predictor.maker.texts(seen.texts)]
        states: list[Any] = []
        for first in range(0, len(windows), _AT_ONCE):
            told(f"states, {name}", first, len(windows))
            states += [one.mean(0) for one in engine.states(windows[first : first + _AT_ONCE])]
        tables.append(np.stack(states).astype(np.float64))
    return tables[0], tables[1]


def traffic_in(path: Path, predictor: TaskPredictor) -> Traffic:
    """Return the traffic in a store of unmask serve --watch, or in a csv, tsv or jsonl file of texts.

    Raises DataError where there is neither.
    """
    if path.is_dir():
        return Traffic(window=read(path))
    asked = [_asked(row) for row in _drawn(list(records(path, {})))]
    if not asked:
        raise DataError(path, "holds no text")
    return Traffic(window=_answered(predictor, asked), texts=[whole(*one) for one in asked])


def _asked(row: Record) -> tuple[str, str | None]:
    """Return what a row of traffic asks, under the names that its task gives it."""
    if "tokens" in row.values:
        return " ".join(row.texts("tokens")), None
    for text, pair in (("question", "context"), ("sentence1", "sentence2")):
        if text in row.values:
            return row.text(text), row.text(pair)
    return row.text("text"), row.text("text_pair") if row.values.get("text_pair") else None


def _answered(predictor: TaskPredictor, asked: Sequence[tuple[str, str | None]]) -> Window:
    """Return the signals of texts and of the answers to them."""
    texts, pairs = zip(*asked, strict=True)
    return capture(predictor, texts, pairs, sample=False)


def _training(work: Work, figure: str) -> Training | None:
    """Return how the fine-tuning went; None where the model is no run of it."""
    run = work.run
    if run is None or run.state["kind"] != "finetune":
        return None
    state, lines = run.state, run.metrics()
    curve = [(float(line["step"]), float(line[figure])) for line in lines if line["kind"] == "evaluation"]
    rows = state["step"] * run.settings["training"]["batch_rows"]
    return Training(curve=curve, epochs=rows / max(1, state["examples"]["train"]["count"]), forgotten=_forgotten(work))


def _forgotten(work: Work) -> Figure | None:
    """Return what the base's pre-training cost on general text, where it watched some."""
    if work.base is None or not (work.base / "evaluation.json").is_file():
        return None
    found = RunDirectory(work.base).evaluation.get("general", {}).get("forgotten")
    return None if found is None else Figure(**found)
