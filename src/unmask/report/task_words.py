"""What the reports of tasks and of label curves share: names of tasks, figures and controls, and the recipe."""

from __future__ import annotations

from collections.abc import Mapping

from unmask.report.html import Details, Json, Section, Table, at, flat, plain

TASKS = {
    "classify": "Classification of texts",
    "tag": "Tagging of words",
    "answer": "Answers from a context",
    "embed": "Vectors of texts",
}
FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "entity_f1": "strict entity F1",
    "precision": "precision",
    "recall": "recall",
    "tag_accuracy": "accuracy of tags",
    "f1": "F1 of words",
    "exact_match": "exact match",
    "spearman": "Spearman's correlation",
}
BESIDE = {
    "pretrained": "pre-trained",
    "scratch": "the same network from scratch",
    "probe": "frozen states and a linear probe",
    "shuffled": "shuffled labels",
    "majority": "always the commonest",
    "tfidf": "TF-IDF and logistic regression",
    "frequent_tag": "the usual tag of each word",
    "sentence_overlap": "from the sentence most like the question",
    "no_answer": "never an answer",
}
LINES = {
    "pretrained": "pre-trained",
    "scratch": "scratch",
    "majority": "commonest",
    "tfidf": "TF-IDF",
    "frequent_tag": "usual tag",
    "sentence_overlap": "overlap",
    "no_answer": "no answer",
}
"""The same where there is room for few letters: at the end of a line, on a telephone."""


def capital(text: str) -> str:
    """Return ``text`` as it begins a heading."""
    return text[:1].upper() + text[1:]


def recipe(run: Json, settings: Json) -> Section:
    """Return the section with all settings and files."""
    rows = flat(settings)
    work = at(run, "work")
    rows += [(str(name), plain(value)) for name, value in (work.items() if isinstance(work, Mapping) else ())]
    table = Table("Settings and files", ("", "value"), rows, words=2)
    return Section("recipe", "Recipe", [Details("All settings", [table])])
