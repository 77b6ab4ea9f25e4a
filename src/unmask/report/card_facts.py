"""What a model card is made of, and its first part: the lines that the hub reads.

What bites: the hub files a model by these lines, so a licence, a language or a parent stands there only where it is
known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from unmask.report.html import Figure, Json, at, objects, read_figure
from unmask.report.run_page import RunData
from unmask.report.task_words import FIGURES, capital

DOCSTRINGS = "docstrings"
"""The source that every installation has; its text is English."""

_PIPELINES = {
    "fill": "fill-mask",
    "classify": "text-classification",
    "tag": "token-classification",
    "answer": "question-answering",
    "embed": "sentence-similarity",
}
"""The hub's name of what a model does."""
_METRICS = {
    "accuracy": "accuracy",
    "tag_accuracy": "accuracy",
    "macro_f1": "f1",
    "micro_f1": "f1",
    "entity_f1": "f1",
    "f1": "f1",
    "precision": "precision",
    "recall": "recall",
    "exact_match": "exact_match",
    "spearman": "spearmanr",
}
"""The hub's names of figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card is made of, as plain values."""

    name: str
    """What a reader loads: ORG/NAME, or the name of the folder."""
    model_type: str
    shape: Json
    """The encoder's configuration."""
    mask_token: str
    task: Json | None = None
    """The task block; None where it is a language model."""
    runs: Sequence[RunData] = ()
    """The run that made it, the run that this one started from, and so on back; empty where it was converted."""
    base: str | None = None
    """The published model that all of this started from, without the folder that it lay in."""
    is_on_hub: bool = False
    """Whether ``base`` is a name on the hub."""
    is_whole: bool = True
    """Whether ``runs`` go back to the beginning."""
    license: str | None = None
    parity: Mapping[str, Any] = field(default_factory=dict)
    """How far each form is from the model it was made of, as unmask.json has it."""

    @property
    def does(self) -> str:
        """fill, classify, tag, answer or embed."""
        return "fill" if self.task is None else str(self.task["name"])

    @property
    def title(self) -> str:
        """The name without the part before the slash."""
        return self.name.rpartition("/")[2]

    @property
    def evaluation(self) -> Json | None:
        """What was measured at the end of the run that made it."""
        return self.runs[0].evaluation if self.runs else None


def front_matter(facts: CardFacts) -> ModelCardData:
    """Return what the hub reads of a card."""
    does = facts.does
    embeds = {"embed": ["sentence-transformers", "feature-extraction"]}.get(does, [])
    forms = ["onnx"] if any(name.startswith("onnx") for name in facts.parity) else []
    results = _results(facts)
    of_its_task: dict[str, Any] = {"mask_token": facts.mask_token} if does == "fill" else {}
    return ModelCardData(
        language="en" if _is_english(facts) else None,
        license=facts.license,
        library_name="sentence-transformers" if does == "embed" else "transformers",
        pipeline_tag=_PIPELINES[does],
        tags=["unmask", facts.model_type, *embeds, *forms],
        base_model=facts.base if facts.is_on_hub else None,
        model_name=facts.title if results else None,
        eval_results=results or None,
        **of_its_task,
    )


def _is_english(facts: CardFacts) -> bool:
    """Say whether all that it was ever trained on is known to be English."""
    corpora = [run.corpus for run in facts.runs]
    known = facts.task is None and facts.base is None and facts.is_whole and all(corpora) and bool(corpora)
    return known and {at(one, "where") for corpus in corpora for one in objects(at(corpus, "sources"))} == {DOCSTRINGS}


def _results(facts: CardFacts) -> list[EvalResult]:
    """Return the figures as the hub lists them."""
    evaluation, does = facts.evaluation, facts.does
    if does == "fill":
        split, named = "validation", _fill_results(evaluation)
    else:
        split, named = str(at(evaluation, "task", "held_out")), _task_results(evaluation)
    return [
        EvalResult(
            task_type=_PIPELINES[does],
            dataset_type="held-out",
            dataset_name="held-out text of its own corpus" if does == "fill" else "held-out examples of its own task",
            dataset_split=split,
            metric_type=kind,
            metric_name=name,
            metric_value=round(value.value, 4),
        )
        for kind, name, value in named
        if value is not None
    ]


def _fill_results(evaluation: Json | None) -> list[tuple[str, str, Figure | None]]:
    mlm = at(evaluation, "mlm")
    masked, first = at(mlm, "cross_entropy", "masked"), at(mlm, "accuracy", "masked", "1")
    return [
        ("cross_entropy", "Cross entropy at masked positions, nats per token", read_figure(masked)),
        ("accuracy", "Accuracy of the first guess at masked positions", read_figure(first)),
    ]


def _task_results(evaluation: Json | None) -> list[tuple[str, str, Figure | None]]:
    figures = at(evaluation, "task", "figures")
    return [
        (_METRICS[name], capital(FIGURES[name]), read_figure(value))
        for name, value in (figures.items() if isinstance(figures, Mapping) else ())
        if name in _METRICS
    ]
