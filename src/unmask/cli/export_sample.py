"""What an int8 form is measured on: held-out text for a language model, labelled examples for a task."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path

import numpy as np

from unmask.cli.corpus import training_corpus
from unmask.cli.infer import in_groups
from unmask.errors import DataError, SettingError
from unmask.exporting.parity import Decisions, margins, masked_decisions
from unmask.finetuning.held_out import HeldOut
from unmask.inference.loaded import LoadedModel
from unmask.inference.predictor import Predictor
from unmask.inference.resolved import Resolved
from unmask.inference.task_predictor import TaskPredictor
from unmask.runs import RunDirectory
from unmask.stats.calibration import probabilities
from unmask.tasks.formats import read_examples

MOST_TEXTS = 400

Decide = Callable[[LoadedModel], Decisions]


def sample(found: Resolved, check: Path | None) -> Decide:
    """Return what says the decisions of a model on ``check``, or on what the run of ``found`` was developed on.

    Raises SettingError where neither is there, DataError for a file that can not be used.
    """
    if found.task is None:
        return _texts(found, check)
    return _examples(found, check)


def _texts(found: Resolved, check: Path | None) -> Decide:
    run = None if found.origin["kind"] != "run" else RunDirectory(found.origin["path"])
    if check is not None:
        texts = list(islice(chain.from_iterable(in_groups(str(check))), MOST_TEXTS))
    elif run is not None and Path(run.state["corpus"]["path"]).is_dir():
        held_out = training_corpus(run.path, run.state["corpus"]).texts("validation")
        texts = [record["text"] for record in islice(held_out, MOST_TEXTS)]
    else:
        raise _nothing("texts of the kind that it will read")

    def decide(model: LoadedModel) -> Decisions:
        assert isinstance(model, Predictor)
        return masked_decisions(found, model, texts)

    return decide


def _examples(found: Resolved, check: Path | None) -> Decide:
    assert found.task is not None
    block, fields = found.task, {}
    if found.origin["kind"] == "run":
        work = RunDirectory(found.origin["path"]).state.get("work", {})
        fields = work.get("fields", {})
        if check is None and Path(work.get("development", "")).is_file():
            check = Path(work["development"])
    if check is None:
        raise _nothing(f"labelled examples of {block.name}")
    examples = read_examples(block.name, check, multi_label=block.multi_label, fields=fields)
    if not examples:
        raise DataError(check, "holds no example")

    def decide(model: LoadedModel) -> Decisions:
        assert isinstance(model, TaskPredictor)
        return _outcome(HeldOut(examples, model), model)

    return decide


def _outcome(held_out: HeldOut, model: TaskPredictor) -> Decisions:
    """Return the decisions of a fine-tuned model: labels, tags, places of answers, or which pairs are alike."""
    outcome = held_out.outcome(model)
    headline, margin = outcome.metrics[0], None
    if outcome.answered is not None:
        best = [one.spans[0] if one.spans else None for one in outcome.answered]
        chosen = np.array([-1 if span is None else (span.start << 32) + span.end for span in best])
    elif outcome.scores is None:
        chosen = headline.per_item[:, 0]
    elif model.block.multi_label:
        chance = probabilities(outcome.scores, model.block.temperature, multi_label=True)
        chosen, margin = (chance >= 0.5).ravel(), np.abs(outcome.scores).ravel()
    else:
        chosen, margin = outcome.scores.argmax(1), margins(outcome.scores)
    return Decisions(
        chosen=chosen, margin=margin, figure=headline.name, per_item=headline.per_item, combine=headline.combine
    )


def _nothing(what: str) -> SettingError:
    return SettingError(f"int8 changes answers, so it is measured first: give --check FILE with {what}")
