"""Task heads are those of the published families: same weights, same answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from tests.numerics.test_model_parity import SHARED, bert_state, rotate_in_full
from tests.packed import FAMILIES, model_of, small
from torch import Tensor
from transformers.models.modernbert import modeling_modernbert

from unmask.batch import Batch, collate
from unmask.model.config import Family
from unmask.model.tasks import Pooling, TaskModel, TaskName, new_task_model

LENGTHS = (5, 17, 2)
LABELS = 3
THEIRS = {"classify": "ForSequenceClassification", "tag": "ForTokenClassification", "answer": "ForQuestionAnswering"}


@pytest.fixture(autouse=True)
def _rotation_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modeling_modernbert, "apply_rotary_pos_emb", rotate_in_full)


def task_model(family: Family, name: TaskName, pooling: Pooling) -> TaskModel:
    base = model_of(small(family, max_position_embeddings=64))
    outputs = 2 if name == "answer" else LABELS
    model = new_task_model(base, name, outputs, pooling, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in model.task.parameters():  # biases too, so that one that is left out is noticed
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) / 5)
    return model.double().eval()


def batch() -> Batch:
    chance = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 50, (len(LENGTHS), max(LENGTHS)), generator=chance)
    segment = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).int()
    labels = torch.where(segment > 0, 0, -100)
    return collate(
        input_ids=(ids * segment).numpy(), segment=segment.numpy(), labels=labels.numpy(), kind=(labels * 0).numpy()
    )


def their_name(family: Family, name: str) -> str:
    """Return what a parameter of ours inside ``task.<name>.`` is called there."""
    part = name.split(".", 2)[2]
    if family == "modernbert":
        return part
    return part.replace("head.dense", "bert.pooler.dense")


def theirs_for(model: TaskModel) -> transformers.PreTrainedModel:
    config, family = model.config, model.config.family
    shape: dict[str, Any] = {name: getattr(config, name) for name in SHARED}
    shape["num_labels"] = 2 if model.name == "answer" else LABELS
    if family == "modernbert":
        shape |= {"local_attention": config.local_attention, "classifier_pooling": model.pooling}
        shape |= {f"{token}_token_id": 0 for token in ("pad", "cls", "sep", "bos", "eos")}
    kind = "ModernBert" if family == "modernbert" else "Bert"
    made = getattr(transformers, f"{kind}Config")(**shape)
    theirs = getattr(transformers, kind + THEIRS[model.name])(made)
    state = model.state_dict()
    encoder = {name: value for name, value in state.items() if name.startswith("model.")}
    theirs_state = bert_state(encoder) if family == "bert" else encoder
    head = {their_name(family, name): value for name, value in state.items() if name.startswith("task.")}
    if family == "bert" and model.name == "answer":
        head = {name.replace("classifier", "qa_outputs"): value for name, value in head.items()}
    missing, unexpected = theirs.double().load_state_dict({**theirs_state, **head}, strict=False)
    assert not unexpected, unexpected
    assert not missing, missing
    theirs.train(mode=False)
    return theirs  # type: ignore[no-any-return]  # chosen by name


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert ((ours - theirs).abs().max() / theirs.abs().max()).item() < 1e-10


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["classify", "tag", "answer"])
def test_heads_answer_as_there(family: Family, name: TaskName) -> None:
    poolings: tuple[Pooling, ...] = ("mean", "cls") if (family, name) == ("modernbert", "classify") else ("cls",)
    for pooling in poolings:
        model, asked = task_model(family, name, pooling), batch()
        answer = theirs_for(model)(input_ids=asked.input_ids, attention_mask=(asked.segment > 0).long())
        ours, filled = model(asked), asked.segment > 0
        if name == "classify":
            close(ours, answer.logits)
        elif name == "tag":
            close(ours[: asked.num_asked], answer.logits[filled])
        else:
            close(ours[filled], torch.stack([answer.start_logits, answer.end_logits], -1)[filled])


def test_modernberts_heads_go_on_from_the_prediction_head() -> None:
    base = model_of(small("modernbert", max_position_embeddings=64))
    model = new_task_model(base, "tag", 3, "mean", torch.Generator().manual_seed(1))
    state = model.state_dict()
    assert torch.equal(state["task.tag.head.dense.weight"], base.head.dense.weight)
    assert state["task.tag.classifier.weight"].abs().max() > 0


@torch.no_grad()
def test_the_mean_of_a_window_leaves_padding_out() -> None:
    model, asked = task_model("modernbert", "embed", "mean"), batch()
    vectors = model(asked)
    states = model.model(asked.input_ids, asked.segment, asked.positions)
    for row, length in enumerate(LENGTHS):
        close(vectors[row], states[row, :length].mean(0))
