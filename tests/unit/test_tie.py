"""The decoder multiplies by the very table of embeddings, wherever a model comes from and whatever is done to it.

Checked by storage, not by values: a number that is moved in the table has to move what goes in and what comes out.
"""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from tests.packed import documents, model_of, pack, small
from tests.published import publish
from torch import Tensor

import unmask
from unmask.inference.resolve import resolve
from unmask.inference.torch_engine import load_weights, read_model
from unmask.model.growth import grown_masked_lm
from unmask.model.heads import MaskedLM, new_masked_lm
from unmask.objectives import OBJECTIVES
from unmask.training.optim import OptimizerSettings, make_optimizer

BATCH = pack([documents([20, 7])], 32)
SEEN = int(BATCH.input_ids[0, 0])
UNSEEN = next(token for token in range(1, 61) if token not in set(BATCH.input_ids.flatten().tolist()))


@torch.no_grad()
def require_tied(model: MaskedLM, name: str = "model.embeddings.tok_embeddings.weight") -> None:
    """Fail unless one table of the model is both read at the input and multiplied with at the output."""
    tables = [key for key, value in model.named_parameters() if value.shape[0] == model.config.vocab_size]
    assert tables == [name, "decoder.bias"]
    table = dict(model.named_parameters())[name]

    def moved(token: int) -> Tensor:
        before: Tensor = model(BATCH).clone()
        table[token] += 1.0
        after: Tensor = model(BATCH).clone()
        table[token] -= 1.0
        return (before != after).any(0)

    assert moved(UNSEEN).nonzero().flatten().tolist() == [UNSEEN]  # comes out, and went in nowhere
    assert moved(SEEN).sum() > 1  # went in


def step(model: MaskedLM) -> None:
    optimizer = make_optimizer(model, OptimizerSettings(), {})
    OBJECTIVES["mlm"].terms(model, BATCH)[0].loss_sum.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def test_new_trained_and_grown() -> None:
    model = new_masked_lm(small("modernbert"), torch.Generator().manual_seed(0))
    require_tied(model)
    step(model)
    require_tied(model)
    require_tied(grown_masked_lm(model, 61, [[5, 6], [7]]))


def test_compiled() -> None:
    model = model_of(small("bert"))
    model.compile(backend="eager", dynamic=False)
    require_tied(model)
    step(model)
    require_tied(model)


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = model_of(small("modernbert"))
    save_file({name: value.detach() for name, value in model.named_parameters()}, tmp_path / "model.safetensors")
    loaded = MaskedLM(model.config)
    load_weights(loaded, tmp_path / "model.safetensors")
    require_tied(loaded)


def test_published_and_exported(tmp_path: Path) -> None:
    publish("roberta", tmp_path)
    unmask.export(tmp_path, tmp_path / "out", progress=False)
    read = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert read.get_output_embeddings().weight is read.get_input_embeddings().weight
    model = read_model(resolve(tmp_path / "out"))
    tables = [key for key, value in model.named_parameters() if value.ndim == 2 and len(value) == 300]
    assert tables == ["model.embeddings.tok_embeddings.weight"]
