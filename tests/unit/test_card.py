"""The model card: what the hub reads of it, what people read, what never stands in it."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData
from tests.unit import test_report_run, test_report_task

from unmask.report.card_facts import CardFacts
from unmask.report.markdown import escaped
from unmask.report.model_card import model_card
from unmask.report.run_page import RunData

SHAPE = {"num_hidden_layers": 4, "hidden_size": 256, "vocab_size": 8192}
PLACEHOLDERS = re.compile(
    r"TODO|FIXME|More Information|N/A|\bNone\b|\bnan\b|\u2013|\{|\}|lorem|unknown|your[- ]", re.IGNORECASE
)
BLOCK = {"labels": ["good", "bad"], "max_length": 128}


def run() -> RunData:
    return test_report_run.example_run()


def language_model(**changes: Any) -> CardFacts:
    facts = CardFacts(
        name="team/encoder", model_type="modernbert", shape=SHAPE, mask_token="[MASK]", runs=[run()], license=None
    )
    return replace(facts, **changes)


def task_model(name: str = "classify", *, task: dict[str, Any] | None = None, **changes: Any) -> CardFacts:
    tuned = RunData(
        run=test_report_task.RUN,
        settings={"task": {"max_length": 128}, "training": {"batch_rows": 16, "seed": 0}},
        evaluation={"task": {**test_report_task.TASK, **(task or {})}},
    )
    return language_model(**{"task": {"name": name, **BLOCK}, "runs": [tuned, run()], **changes})


def converted(**changes: Any) -> CardFacts:
    return language_model(**{"runs": [], "base": "someone/model", "is_on_hub": True, **changes})


VARIANTS = {
    "language model": language_model(),
    "went on from the hub": language_model(base="someone/model", is_on_hub=True),
    "went on from a folder": language_model(base="theirs"),
    "went on from a run": language_model(runs=[run(), run()]),
    "of a run that is gone": language_model(is_whole=False),
    **{name: task_model(name) for name in ("classify", "tag", "answer", "embed")},
    "of the hub, fine-tuned": task_model(runs=task_model().runs[:1], base="someone/model", is_on_hub=True),
    "measured on development": task_model(task={"held_out": "development", "controls": {}, "trust": None}),
    "converted": converted(),
    "converted from a folder": converted(base="theirs", is_on_hub=False),
    "with forms": converted(
        parity={
            "torch": {"largest_difference": 0.0},
            "onnx": {"largest_difference": 4e-7},
            "onnx-int8": {
                "flipped": test_report_task.figure(0.02, 0.01),
                "flipped_where_sure": None,
                "figure": "cross entropy",
                "before": 3.991,
                "after": 4.002,
            },
        }
    ),
}


def read(facts: CardFacts) -> tuple[dict[str, Any], str]:
    """Return what the hub's own reader makes of a card: its data and its text."""
    card = ModelCard(model_card(facts))
    return card.data.to_dict(), card.text  # type: ignore[no-untyped-call]  # the hub leaves it untyped


@pytest.mark.parametrize("name", VARIANTS)
def test_no_card_holds_a_placeholder(name: str) -> None:
    text = model_card(VARIANTS[name])
    assert PLACEHOLDERS.search(text) is None, PLACEHOLDERS.search(text)
    assert text.count("```python") * 2 == text.count("```")
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    "missing",
    [
        names
        for size in range(1, 6)
        for names in itertools.combinations(("settings", "environment", "metrics", "evaluation", "corpus"), size)
    ],
)
def test_what_a_run_does_not_hold_is_left_out(missing: tuple[str, ...]) -> None:
    empty: dict[str, Any] = {"settings": {}, "environment": {}, "metrics": (), "evaluation": None, "corpus": None}
    less = replace(run(), **{name: empty[name] for name in missing})
    data, text = read(language_model(runs=[less]))
    assert PLACEHOLDERS.search(text) is None, PLACEHOLDERS.search(text)
    assert ("model-index" in data) == ("evaluation" not in missing)
    assert ("nothing is known of how good it is" in text) == ("evaluation" in missing)
    assert ("## Data" in text) == ("corpus" not in missing)


def test_the_hub_reads_what_it_does_and_how_well() -> None:
    data, text = read(language_model())
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "fill-mask"
    assert data["mask_token"] == "[MASK]"
    assert data["tags"] == ["unmask", "modernbert"]
    assert not data.keys() & {"license", "base_model", "datasets", "widget"}
    held = ModelCard(model_card(language_model())).data
    assert isinstance(held, ModelCardData)
    results = held.eval_results or []
    assert [(one.metric_type, one.metric_value, one.dataset_split) for one in results] == [
        ("cross_entropy", 4.02, "validation"),
        ("accuracy", 0.291, "validation"),
    ]
    assert text.lstrip().startswith("# encoder\n")


@pytest.mark.parametrize(
    ("task", "kind", "library"),
    [
        ("classify", "text-classification", "transformers"),
        ("tag", "token-classification", "transformers"),
        ("answer", "question-answering", "transformers"),
        ("embed", "sentence-similarity", "sentence-transformers"),
    ],
)
def test_the_hub_reads_what_a_task_is(task: str, kind: str, library: str) -> None:
    data, _ = read(task_model(task))
    assert (data["pipeline_tag"], data["library_name"]) == (kind, library)
    assert "mask_token" not in data
    metrics = data["model-index"][0]["results"][0]["metrics"]
    assert [(one["type"], one["value"]) for one in metrics] == [("accuracy", 0.81), ("f1", 0.7)]
    assert data["model-index"][0]["results"][0]["dataset"]["split"] == "test"
    assert ("feature-extraction" in data["tags"]) == (task == "embed")


def test_a_licence_is_said_and_never_made_up() -> None:
    data, text = read(language_model())
    assert "license" not in data
    assert "have not said under which licence" in text
    data, text = read(language_model(license="mit", base="someone/model", is_on_hub=True))
    assert data["license"] == "mit"
    assert "mit. That of the model that it started from holds as well." in text


def test_a_parent_is_named_to_the_hub_where_it_is_there() -> None:
    data, text = read(language_model(base="someone/model", is_on_hub=True))
    assert data["base_model"] == "someone/model"
    assert "Its training started from `someone/model`." in text
    data, text = read(language_model(base="theirs"))
    assert "base_model" not in data
    assert "Its training started from theirs." in text
    data, text = read(language_model(is_whole=False))
    assert "base_model" not in data
    assert "an earlier run, which was not at hand" in text
    assert "It was trained from random weights." in read(language_model())[1]


def trained_on(where: str) -> RunData:
    source = {"name": "docstrings", "where": where, "weight": 1.0, "documents": 10, "characters": 100}
    return replace(run(), corpus={**(run().corpus or {}), "sources": [source]})


def test_the_language_is_said_only_where_all_text_is_known() -> None:
    known, other = trained_on("docstrings"), trained_on("/data/docstrings.txt")
    assert read(language_model(runs=[known]))[0]["language"] == "en"
    for facts in (
        language_model(runs=[known, other]),
        language_model(runs=[other]),
        language_model(runs=[known, replace(known, corpus=None)]),
        language_model(runs=[known], is_whole=False),
        language_model(runs=[known], base="theirs"),
        task_model(runs=[task_model().runs[0], known]),
        converted(),
    ):
        assert "language" not in read(facts)[0]


def test_figures_stand_beside_their_controls() -> None:
    text = read(language_model())[1]
    assert "| cross entropy, nats per token | 4.02 \\[3.98, 4.06\\] |" in text
    assert "| guessing by frequency (unigram line), nats | 6.02 \\[5.97, 6.07\\] |" in text
    text = read(task_model())[1]
    assert "| this model | 0.81 \\[0.79, 0.83\\] |  |" in text
    assert "| the same network from scratch (control) | 0.70 | 0.11 \\[0.09, 0.13\\] |" in text
    assert "| TF-IDF and logistic regression (floor) | 0.75 \\[0.73, 0.77\\] |  |" in text
    assert "### Fine-tuning" in text
    assert "### Pre-training, the run before" in text


def test_a_floor_above_the_model_is_said_first() -> None:
    said = "It does no better than what needs no network: TF-IDF and logistic regression (floor) has 0.90"
    figure = test_report_task.figure
    high = {"majority": {"accuracy": figure(0.2)}, "tfidf": {"accuracy": figure(0.9)}}
    assert said in read(task_model(task={"floors": high}))[1]
    assert "needs no network" not in read(task_model())[1]
    assert "needs no network" not in read(task_model(task={"floors": {}}))[1]


def test_what_was_not_measured_is_said() -> None:
    text = read(task_model())[1]
    assert "There was no test set" not in text
    assert "from scratch was not trained beside it" not in text
    text = read(VARIANTS["measured on development"])[1]
    assert "These examples also chose its weights: on others it would do worse." in text
    assert "There was no test set" in text
    assert "from scratch was not trained beside it" in text
    assert "were not held against how often it is right" in text
    assert "the test split was not read" in read(language_model())[1]


def test_a_model_that_was_only_converted_claims_no_more() -> None:
    data, text = read(VARIANTS["with forms"])
    assert data["base_model"] == "someone/model"
    assert "model-index" not in data
    assert data["tags"] == ["unmask", "modernbert", "onnx"]
    assert not any(f"## {title}" in text for title in ("Figures", "Data", "Recipe"))
    assert "`model.safetensors` says the same to the bit" in text
    assert "`onnx/model.onnx` differs by 4.0e-07 of the largest score" in text
    assert "decides otherwise in 2.0\u202f% \\[1.0, 3.0\\]; cross entropy is 4.002 for 3.991" in text
    assert "its figures are those of its makers" in text
    assert "**Small differences.**" not in text


def test_nothing_tells_of_folders_or_documents() -> None:
    """Only names go out: not where a source lies, nor where a line of it was refused, nor a passage of it."""
    home = "/home/ann/letters"
    spied = replace(
        run(),
        run={**run().run, "parent": {"path": f"{home}/first", "kind": "run"}, "corpus": {"path": f"{home}/corpus"}},
        settings={**run().settings, "tokenizer": {"path": f"{home}/t.json"}, "masking": {"phrases": f"{home}/names"}},
        corpus={
            **(run().corpus or {}),
            "sources": [
                {"name": f"{home}/a/mail.txt", "where": f"{home}/a/inbox", "documents": 3, "characters": 90},
                {"name": "C:\\ann\\diary", "where": "C:\\ann\\diary", "documents": 3, "characters": 90},
            ],
            "refused": {"not UTF-8": {"first": f"{home}/b.txt:3", "count": 2}},
            "settings": {"tokenizer": {"path": f"{home}/t.json"}},
        },
    )
    text = model_card(language_model(runs=[spied]))
    assert "ann" not in re.findall(r"\w+", text)
    assert "inbox" not in text
    assert "| mail.txt | natural | 3 | 90 |" in text
    assert "| diary | natural | 3 | 90 |" in text
    for fill in spied.fills:
        for piece in fill["pieces"]:
            assert len(piece["text"]) < 12 or piece["text"] not in text


def test_labels_can_not_break_the_page() -> None:
    bad = "a|b <script> `x` [l](http://e) *s* _u_ #\nnew ![i](j) $m$ &amp; ~~s~~"
    facts = replace(task_model(), task={"name": "classify", "labels": [bad, "b"]})
    text = read(facts)[1]
    (line,) = [line for line in text.splitlines() if line.startswith("Labels: ")]
    assert line == f"Labels: {escaped(bad)}, b."
    assert re.search(r"(?<!\\)[|<>`\[\]*_#!$&~]", line) is None


def test_many_labels_are_counted() -> None:
    labels = [f"label {number}" for number in range(60)]
    assert "label 49, and 10 more." in read(replace(task_model(), task={"name": "classify", "labels": labels}))[1]


def test_a_local_model_is_used_by_the_name_of_its_folder() -> None:
    text = read(language_model(name="out"))[1]
    assert 'pipeline("fill-mask", model="out")' in text
    assert 'unmask.load("out")' in text
    assert 'SentenceTransformer("out")' in text
    assert "SentenceTransformer" not in read(task_model())[1]


def test_what_was_forgotten_is_said() -> None:
    general = {name: test_report_task.figure(value) for name, value in (("before", 3.0), ("after", 3.2))}
    general["forgotten"] = test_report_task.figure(0.2)
    forgetful = replace(run(), evaluation={**(run().evaluation or {}), "general": general})
    assert "What was forgotten: +0.20 nats" in read(language_model(runs=[forgetful]))[1]
    assert "forgotten" not in read(language_model())[1]
