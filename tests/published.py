"""Small models as others publish them: written by transformers, with a tokenizer made on the spot."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tests.made_text import sentences
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    CamembertConfig,
    CamembertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.inference.torch_engine import read_model
from unmask.model.tasks import TaskName, new_task_model
from unmask.tasks.block import TaskBlock

LONGEST = 64
"""Tokens of the longest row that any of them reads by learned positions."""

_BERT = {
    "hidden_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "intermediate_size": 96,
    "max_position_embeddings": LONGEST,
}
_ROBERTA = {**_BERT, "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
_DISTILBERT = {"dim": 48, "n_heads": 4, "n_layers": 3, "hidden_dim": 96, "max_position_embeddings": LONGEST}
_MODERNBERT = {**_BERT, "local_attention": 16, "cls_token_id": 2, "sep_token_id": 3, "global_rope_theta": 20_000.0}
_MODERNBERT |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}

PUBLISHED: dict[str, tuple[type[PreTrainedModel], type[Any], dict[str, Any]]] = {
    "bert": (BertForMaskedLM, BertConfig, _BERT),
    "bert with its pooler": (BertForPreTraining, BertConfig, _BERT),
    "bert alone": (BertModel, BertConfig, _BERT),
    "roberta": (RobertaForMaskedLM, RobertaConfig, _ROBERTA),
    "roberta alone": (RobertaModel, RobertaConfig, _ROBERTA),
    "xlm-roberta": (XLMRobertaForMaskedLM, XLMRobertaConfig, _ROBERTA),
    "camembert": (CamembertForMaskedLM, CamembertConfig, _ROBERTA),
    "modernbert": (ModernBertForMaskedLM, ModernBertConfig, _MODERNBERT),
    "modernbert alone": (ModernBertModel, ModernBertConfig, _MODERNBERT),
    "distilbert": (DistilBertForMaskedLM, DistilBertConfig, _DISTILBERT),
    "electra": (ElectraForMaskedLM, ElectraConfig, {**_BERT, "embedding_size": 32}),
    "electra of one width": (ElectraForMaskedLM, ElectraConfig, {**_BERT, "embedding_size": 48}),
    "electra discriminator": (ElectraForPreTraining, ElectraConfig, {**_BERT, "embedding_size": 32}),
}
BLOCKS: dict[TaskName, TaskBlock] = {
    "classify": TaskBlock(name="classify", labels=("bad", "fair", "good"), max_length=64, pooling="cls"),
    "tag": TaskBlock(name="tag", labels=("O", "B-PER", "I-PER"), scheme="BIO", max_length=64, stride=8),
    "answer": TaskBlock(name="answer", max_length=64, stride=8),
    "embed": TaskBlock(name="embed", max_length=64, normalize=True),
}
WITH_HEAD = [
    name for name, (kind, _, _) in PUBLISHED.items() if "MaskedLM" in kind.__name__ or kind is BertForPreTraining
]


def is_roberta(name: str) -> bool:
    return "roberta" in name or name == "camembert"


@cache
def tokenizer_like(name: str) -> Tokenizer:
    """Return a tokenizer in the manner of bert or of roberta: 300 tokens, the padding id 0 or 1."""
    if name == "bert":
        return train_tokenizer(sentences(400), TokenizerSettings(vocab_size=300))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sentences(400), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def publish(name: str, folder: Path, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """Write a model and its tokenizer into ``folder`` and return the model: logits of several nats, nothing at rest."""
    kind, configuration, shape = PUBLISHED[name]
    tokenizer = tokenizer_like("roberta" if is_roberta(name) else "bert")
    tokenizer.save(str(folder / "tokenizer.json"))
    model = kind(configuration(**{"vocab_size": tokenizer.get_vocab_size(), **shape, **changes}))
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for place, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=chance)
            is_scale = parameter.ndim == 1 and parameter.mean() > 0.5
            is_table = "embeddings" in place or "decoder" in place  # one of the names of a tied matrix
            parameter.copy_(1 + 0.1 * drawn if is_scale else (0.5 if is_table else 0.12) * drawn)
    model.train(mode=False)
    model.save_pretrained(folder)
    return model


def fine_tuned(family: str, task: TaskName, folder: Path, **changes: Any) -> Resolved:
    """Return a published model with a head of ``task`` on it, as a run of ours would hold it."""
    (folder / "base").mkdir()
    publish(family, folder / "base")
    base, block = resolve(folder / "base"), replace(BLOCKS[task], **changes)
    outputs = 2 if task == "answer" else len(block.labels)
    model = new_task_model(read_model(base), task, outputs, block.pooling, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in model.task.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) / 5)
    save_file({name: value.detach().clone() for name, value in model.named_parameters()}, folder / "run.safetensors")
    return replace(base, weights=(folder / "run.safetensors",), task=block, model_type=None)


def configure(folder: Path, **values: Any) -> None:
    """Set ``values`` in the configuration of the model in ``folder``."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")
