"""Pre-trainings of several kinds at the same cost: each a run of its own, begun, gone on with, or there already.

What bites: the first is as long as the budget says, and all others are as many steps as make the same number of
operations; an objective that asks for every token takes fewer of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unmask import files
from unmask.cli.planning import PretrainSettings
from unmask.cli.pretrain import resume_run, start_run
from unmask.cli.starting import shape_for
from unmask.cli.terminal import Report
from unmask.comparison.arms import ARMS, MLM, Arm
from unmask.corpus.build import Source, build_corpus
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.model.flops import flops_per_token
from unmask.runs import RunDirectory
from unmask.training.budget import Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualCost:
    """Where the pre-trainings are, and what is the same for all of them."""

    folder: Path
    corpus: Corpus
    task_texts: Sequence[str]
    settings: PretrainSettings
    budget: Budget
    """Of the first; the others cost what it does."""
    told: Report
    say: Callable[[str], None]

    def runs(self, arms: Mapping[str, Arm]) -> dict[str, RunDirectory]:
        """Return the finished runs of all pre-trainings that ``arms`` begin with, by name; that of MLM is the first."""
        found: dict[str, RunDirectory] = {}
        for arm in (arms[MLM], *arms.values()):
            if arm.pretraining is not None and arm.pretraining not in found:
                found[arm.pretraining] = self._run(arm, found.get(MLM))
        return found

    def settings_of(self, arm: Arm) -> PretrainSettings:
        """Return the recipe of the pre-training of ``arm``."""
        objective = self.settings.objective.model_copy(update=dict(arm.objective))
        return self.settings.model_copy(update={"objective": objective})

    def asked_share(self, arm: Arm) -> float:
        """Return which share of the tokens the pre-training of ``arm`` asks for."""
        return self.settings_of(arm).objective.asked_share(self.settings.masking)

    def _run(self, arm: Arm, first: RunDirectory | None) -> RunDirectory:
        path = self.folder / str(arm.pretraining)
        told = partial(_staged, self.told, str(arm.pretraining))
        if (path / "run.json").is_file():
            run = RunDirectory(path)
            return run if run.state["status"] == "finished" else resume_run(path, told, self.say)
        budget, corpus = self.budget, self._corpus(arm)
        if first is not None:
            operations = first.state["max_steps"] * step_flops(self.corpus, self.settings_of(ARMS[MLM]))
            budget = Budget(steps=max(1, round(operations / step_flops(corpus, self.settings_of(arm)))))
        return start_run(corpus, path, self.settings_of(arm), budget, told)

    def _corpus(self, arm: Arm) -> Corpus:
        """Return what ``arm`` reads: the corpus, or the texts of the task cut by the tokenizer of the corpus."""
        if arm.text == "corpus":
            return self.corpus
        path, written = self.folder / "task-corpus", self.folder / "task-texts.jsonl"
        if (path / "manifest.json").is_file():
            return open_corpus(path)
        lines = (json.dumps({"text": text}, ensure_ascii=False) for text in self.task_texts)
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write_bytes(written, "".join(f"{line}\n" for line in lines).encode())
        chosen = self.settings.corpus.model_copy(update={"field": "text"})
        tokenizer = TokenizerSettings(path=self.corpus.directory / "tokenizer.json")
        return build_corpus([Source(name="task", where=str(written))], path, chosen, tokenizer, self.told)


def step_flops(corpus: Corpus, settings: PretrainSettings) -> float:
    """Return the operations of a step of a pre-training from first weights, there and back."""
    training = settings.training
    config = shape_for(corpus, settings.model, training.row_length, None, settings.objective)
    tokens = training.batch_rows * corpus.rows(training.row_length).tokens_per_row
    asked_share = settings.objective.asked_share(settings.masking)
    return tokens * flops_per_token(config, training.row_length, asked_share).total


def _staged(told: Report, name: str, stage: str, *more: Any) -> None:
    """Tell of a stage of one of several pre-trainings."""
    told(f"{name}: {stage}", *more)
