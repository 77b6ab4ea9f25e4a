"""A published model answers here as in transformers, as near to a float64 twin; and goes back to the bit."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from tests.numerics.test_model_parity import rotate_in_full
from tests.packed import pack
from tests.published import LONGEST, PUBLISHED, WITH_HEAD, publish, tensors_of
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.models.modernbert import modeling_modernbert

from unmask.inference.resolve import resolve
from unmask.inference.torch_engine import convert, read_model
from unmask.model.heads import MaskedLM
from unmask.model.hub.families import TABLES
from unmask.model.hub.tensors import to_published

LENGTHS = (1, 2, 17, LONGEST)
"""Alone each, and all of them in one batch: padded there, packed here."""
FURTHEST = 2e-6
"""Of the largest logit."""


@cache
def pair(name: str) -> tuple[PreTrainedModel, MaskedLM]:
    """Return a model of theirs and what is read here from the folder that they wrote."""
    with TemporaryDirectory() as folder:
        return publish(name, Path(folder)), read_model(resolve(Path(folder)))


def texts_of(lengths: tuple[int, ...]) -> list[Tensor]:
    chance = torch.Generator().manual_seed(1)
    return [torch.randint(5, 290, (length,), generator=chance) for length in lengths]


def theirs_of(model: PreTrainedModel, texts: list[Tensor]) -> Tensor:
    """Return the logits, or the states of an encoder, (T, ...) of all texts, end to end, from one padded batch."""
    ids = pad_sequence(texts, batch_first=True, padding_value=model.config.pad_token_id)
    mask = (torch.arange(ids.shape[1]) < torch.tensor([[len(text)] for text in texts])).long()
    answer = model(input_ids=ids, attention_mask=mask)
    names = ("logits", "prediction_logits", "last_hidden_state")
    found: Tensor = next(getattr(answer, name) for name in names if hasattr(answer, name))
    return found[mask.bool()]


def ours_of(model: MaskedLM, texts: list[Tensor]) -> Tensor:
    """Return the logits, or the states of an encoder, (T, ...) of all texts, end to end, the short ones in one row."""
    short, long = [text for text in texts if len(text) < LONGEST], [text for text in texts if len(text) == LONGEST]
    rows = [row for row in (short, *([text] for text in long)) if row]
    batch = pack(rows, max(sum(map(len, row)) for row in rows))
    if model.has_new_head:
        states: Tensor = model.model(batch.input_ids, batch.segment, batch.positions)[batch.segment > 0]
        return states
    logits: Tensor = model(batch)[batch.segment.flatten() > 0]
    return logits


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in PUBLISHED if "discriminator" not in name])
@pytest.mark.parametrize("lengths", [*((length,) for length in LENGTHS), LENGTHS], ids=str)
def test_it_answers_as_there(name: str, lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    (theirs, ours), texts = pair(name), texts_of(lengths)
    their_answer, our_answer = theirs_of(theirs, texts), ours_of(ours, texts)
    monkeypatch.setattr(modeling_modernbert, "apply_rotary_pos_emb", rotate_in_full)
    exact = theirs_of(copy.deepcopy(theirs).double(), texts)
    largest = exact.abs().max()
    if name in WITH_HEAD:
        assert exact.max() - exact.min() > 6  # nats: as decided as a trained model
    our_error, their_error = ((answer - exact).abs().max() for answer in (our_answer, their_answer))
    assert our_error <= 2 * their_error
    assert our_error <= FURTHEST * largest


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_way_back_gives_every_tensor_as_it_was(name: str, tmp_path: Path) -> None:
    publish(name, tmp_path)
    found = resolve(tmp_path)
    read, table = convert(found), TABLES[str(found.model_type)]
    assert read.has_head == (name in WITH_HEAD)
    back = {**to_published(read.weights, table), **read.carried}
    before = {key if key in back else table.prefix + key: value for key, value in tensors_of(tmp_path).items()}
    assert back.keys() == before.keys() - set(table.repeats)
    assert all(torch.equal(value, before[key]) for key, value in back.items())
    model = read_model(found)
    assert model.has_new_head != read.has_head
    assert all(torch.equal(model.get_parameter(key), value) for key, value in read.weights.items())


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "distilbert", "electra"])
def test_what_goes_back_is_read_by_transformers_to_the_last_tensor(name: str, tmp_path: Path) -> None:
    before = publish(name, tmp_path)
    found = resolve(tmp_path)
    back = to_published(convert(found).weights, TABLES[name])
    again = type(before)(before.config)
    missing, surplus = again.load_state_dict(back, strict=False)
    again.tie_weights()
    assert not surplus
    assert set(missing) <= set(TABLES[name].repeats)
    assert all(torch.equal(again.get_parameter(key), value) for key, value in before.named_parameters())
