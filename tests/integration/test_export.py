"""What is exported is what others read: same tensors, same answers, nothing missing and nothing left over."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tests.published import BLOCKS, PUBLISHED, WITH_HEAD, fine_tuned, publish, tensors_of

import unmask
from unmask.errors import CheckFailed, ModelError, UserError
from unmask.exporting.hugging_face import write_hugging_face
from unmask.exporting.parity import difference
from unmask.inference.loading import loaded
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.model.tasks import TaskName

TEXTS = ["the small red fox sees a tree", "a house", "the old man walks home over the green hill and sleeps"]
CLASSES = {
    "classify": transformers.AutoModelForSequenceClassification,
    "tag": transformers.AutoModelForTokenClassification,
    "answer": transformers.AutoModelForQuestionAnswering,
}
WITH_TASKS = [
    (family, task)
    for family in ("bert", "roberta", "xlm-roberta", "camembert", "modernbert", "distilbert", "electra")
    for task in CLASSES
    if (family, task) not in {("distilbert", "classify"), ("electra", "classify")}
]


@pytest.fixture(autouse=True)
def _no_complaint(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where transformers logs a warning while a test loads what was exported."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", WITH_HEAD)
def test_a_published_model_goes_out_as_it_came_in(name: str, tmp_path: Path) -> None:
    before: Any = publish(name, tmp_path)
    out = tmp_path / "out"
    unmask.export(tmp_path, out, progress=False)

    ours, theirs = tensors_of(out), tensors_of(tmp_path)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    after, told = type(before).from_pretrained(out, output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert before.config.to_diff_dict().keys() <= after.config.to_diff_dict().keys() | {"dtype", "transformers_version"}
    ids = torch.arange(5, 22)[None]
    with torch.no_grad():
        assert torch.equal(before(ids)[0], after.eval()(ids)[0])


@pytest.mark.parametrize("name", [name for name in WITH_HEAD if PUBLISHED[name][0].__name__.endswith("MaskedLM")])
def test_transformers_and_we_fill_alike(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    publish(name, tmp_path)
    unmask.export(tmp_path, tmp_path / "out", progress=False)
    model: Any = unmask.load(tmp_path / "out")
    pipe: Any = transformers.pipeline("fill-mask", model=str(tmp_path / "out"))
    text = f"the {model.mask_token} of a house"
    theirs = [one for one in pipe(text, top_k=10) if one["token"] not in pipe.tokenizer.all_special_ids]
    for one, other in zip(model.fill([text])[0], theirs, strict=False):  # we never answer with a special token
        assert one["token"] == other["token"]
        assert one["score"] == pytest.approx(other["score"], rel=1e-4)
    assert complaints(caplog) == []


@pytest.mark.parametrize("name", ["modernbert", "roberta"])
def test_sentence_transformers_and_we_embed_alike(name: str, tmp_path: Path) -> None:
    publish(name, tmp_path)
    unmask.export(tmp_path, tmp_path / "out", progress=False)
    theirs = SentenceTransformer(str(tmp_path / "out")).encode(TEXTS)
    assert np.allclose(theirs, unmask.load(tmp_path / "out").embed(TEXTS), atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_fine_tuned_vectors_are_those_of_sentence_transformers(pooling: str, tmp_path: Path) -> None:
    found = fine_tuned("modernbert", "embed", tmp_path, pooling=pooling)
    (tmp_path / "out").mkdir()
    write_hugging_face(found, tmp_path / "out")
    theirs = SentenceTransformer(str(tmp_path / "out")).encode(TEXTS)
    assert np.allclose(theirs, loaded(found).embed(TEXTS), atol=1e-5)


@pytest.mark.parametrize(("family", "task"), WITH_TASKS)
def test_heads_of_tasks_are_read_by_transformers(
    family: str, task: TaskName, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found, out = fine_tuned(family, task, tmp_path), tmp_path / "out"
    out.mkdir()
    write_hugging_face(found, out)
    model, told = CLASSES[task].from_pretrained(out, output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert complaints(caplog) == []

    ours: Any = loaded(found)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    pairs = [("what sees a tree ?", text) for text in TEXTS]
    windows = ours.maker.contexts(*zip(*pairs, strict=True)) if task == "answer" else ours.maker.texts(TEXTS)
    if task == "tag":
        windows = [replace(window, asked=np.arange(len(window.input_ids))) for window in windows]
    for window, scores, text, pair in zip(windows, ours.engine.scores(windows), TEXTS, pairs, strict=True):
        encoded = tokenizer(*pair, return_tensors="pt") if task == "answer" else tokenizer(text, return_tensors="pt")
        assert encoded["input_ids"][0].tolist() == window.input_ids.tolist()
        with torch.no_grad():
            said = model.eval()(**encoded)
        theirs = torch.stack([said.start_logits, said.end_logits], -1)[0] if task == "answer" else said.logits[0]
        assert np.abs(theirs.numpy() - scores).max() <= 2e-6 * max(1, np.abs(scores).max())


@pytest.mark.parametrize(("family", "task"), WITH_TASKS)
def test_tasks_of_others_are_read(family: str, task: TaskName, tmp_path: Path) -> None:
    """What transformers knows of a task is enough: labels, and where its text is read from."""
    found, out = fine_tuned(family, task, tmp_path), tmp_path / "out"
    out.mkdir()
    write_hugging_face(found, out)
    read = resolve(out)
    assert read.task is not None
    assert (read.task.name, read.task.labels) == (task, BLOCKS[task].labels)
    ours: Any = loaded(found)
    theirs: Any = loaded(replace(read, task=found.task))
    windows = ours.maker.texts(TEXTS)
    for one, other in zip(ours.engine.scores(windows), theirs.engine.scores(windows), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("family", "task", "changes", "words"),
    [
        ("distilbert", "classify", {}, "DistilBertForSequenceClassification has another head"),
        ("electra", "classify", {}, "ElectraForSequenceClassification has another head"),
        ("bert", "classify", {"pooling": "mean"}, "task.pooling=cls"),
    ],
)
def test_a_head_that_others_compute_otherwise_is_refused(
    family: str, task: TaskName, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    found = fine_tuned(family, task, tmp_path, **changes)
    with pytest.raises(ModelError, match=words):
        write_hugging_face(found, tmp_path)


def test_a_shape_that_no_family_has_is_refused(tmp_path: Path) -> None:
    publish("modernbert", tmp_path)
    found = resolve(tmp_path)
    causal = replace(found, config=replace(found.config, is_causal=True))
    with pytest.raises(ModelError, match=r"model\.is_causal is True, and no published modernbert can be"):
        write_hugging_face(causal, tmp_path)


def test_an_encoder_without_a_head_is_refused(tmp_path: Path) -> None:
    publish("bert alone", tmp_path)
    with pytest.raises(ModelError, match="without a head"):
        unmask.export(tmp_path, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_form_that_says_something_else_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish("bert", tmp_path)
    written = write_hugging_face

    def bent(found: Resolved, folder: Path) -> None:
        written(found, folder)
        tensors = tensors_of(folder)
        tensors["cls.predictions.bias"][7] += 1e-3
        save_file(tensors, folder / "model.safetensors")

    monkeypatch.setattr("unmask.cli.export.write_hugging_face", bent)
    with pytest.raises(CheckFailed, match="parity: the form for torch differs"):
        unmask.export(tmp_path, tmp_path / "out", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("task", list(BLOCKS))
def test_a_model_of_every_task_passes_its_own_gate(task: TaskName, tmp_path: Path) -> None:
    found, out = fine_tuned("modernbert", task, tmp_path), tmp_path / "out"
    out.mkdir()
    write_hugging_face(found, out)
    assert difference(found, loaded(found), loaded(replace(resolve(out), task=found.task))) == 0.0


def test_a_model_directory_answers_for_its_files(tmp_path: Path) -> None:
    publish("bert", tmp_path)
    out = tmp_path / "out"
    manifest = unmask.export(tmp_path, out, progress=False)
    assert json.loads((out / "unmask.json").read_text()) == manifest.plain()
    assert str(tmp_path) not in (out / "unmask.json").read_text()
    assert len(manifest.tokenizer["golden"]) == 16

    def refused_with(words: str, name: str, text: str) -> None:
        before = (out / name).read_text()
        (out / name).write_text(text)
        with pytest.raises(UserError, match=words):
            unmask.load(out)
        (out / name).write_text(before)

    configuration = (out / "config.json").read_text()
    refused_with("config.json: is not the file that was exported", "config.json", configuration + " ")
    refused_with("unmask.json: is damaged", "unmask.json", (out / "unmask.json").read_text().replace("fill", "full"))
    refused_with("unmask.json: is not of unmask-model 1", "unmask.json", '{"format": "unmask-model", "version": 2}')


def test_a_tokenizer_that_cuts_otherwise_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the same, and the library cuts another way: only the golden texts can tell."""
    publish("bert", tmp_path)
    unmask.export(tmp_path, tmp_path / "out", progress=False)
    monkeypatch.setattr("unmask.inference.model_directory.golden_ids", lambda tokenizer: [[1]] * 16)
    with pytest.raises(ModelError, match="cuts 'The quick brown fox jump' otherwise here"):
        unmask.load(tmp_path / "out")
