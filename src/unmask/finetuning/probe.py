"""A linear probe: what is in the states of an encoder that is left as it is.

BERT's own ablation shows the effect of the 80/10/10 mix here and not after fine-tuning (Devlin et al. 2019, C.2). What
bites: a probe reads what is linearly there; a low score does not say that the encoder does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from unmask.finetuning.data import prepare
from unmask.finetuning.fit import Job
from unmask.finetuning.held_out import HeldOut
from unmask.inference.encoding import Window
from unmask.inference.task_predictor import TaskPredictor
from unmask.inference.torch_tasks import TorchTaskEngine
from unmask.model.tasks import TaskName, new_task_model
from unmask.tasks.metrics import Metric

PROBED = ("classify", "tag")
"""Tasks that a probe answers: those with classes."""


class _Probe:
    """An engine of frozen states and a regression on them."""

    def __init__(self, states: TorchTaskEngine, regression: Any, num_classes: int) -> None:
        self._states, self._regression, self._num_classes = states, regression, num_classes

    def scores(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        found = []
        for states in self._states.scores(windows):
            rows = np.atleast_2d(states)
            scores = np.full((len(rows), self._num_classes), -100.0, np.float32)
            if len(rows):
                scores[:, self._regression.classes_] = self._regression.predict_log_proba(rows)
            found.append(scores if states.ndim == 2 else scores[0])
        return found


def probe(job: Job, held_out: Sequence[Any]) -> list[Metric]:
    """Return the figures on ``held_out`` of a logistic regression on the frozen states of the job's base.

    For classes of one label a text and for tags; the states are means over the text, or of a word's first token.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    block = replace(job.block, temperature=1.0)
    name: TaskName = "tag" if block.name == "tag" else "embed"
    model = new_task_model(job.base, name, 1, "mean", torch.Generator().manual_seed(0)).eval()
    model.task[name] = nn.Identity()
    states = TorchTaskEngine(model, job.vocabulary.pad_id)
    maker = TaskPredictor(states, job.tokenizer, job.vocabulary, block, {}).maker
    data = prepare(block, job.train, maker)
    assert data.labels is not None
    features = np.concatenate([np.atleast_2d(found) for found in states.scores(data.windows)])
    labels = np.concatenate([np.array(of_window, np.int64) for of_window in data.labels])
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)).fit(features, labels)
    engine = _Probe(states, regression, len(block.labels))
    predictor = TaskPredictor(engine, job.tokenizer, job.vocabulary, block, {})
    return HeldOut(held_out, predictor).outcome(predictor).metrics
