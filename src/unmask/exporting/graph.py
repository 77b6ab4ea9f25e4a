"""A network as an ONNX graph that any runtime reads: rows of one text each, of any number and length.

What bites: a runtime computes every output, asked for or not, so each output has its own list of places. The product
with the vocabulary, and the last layer behind its attention, are paid for at ``asked`` and ``kept`` alone.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from unmask.batch import Batch
from unmask.errors import MissingExtra
from unmask.inference.onnx_engine import ASKED, EMBEDDING, IDS, KEPT, LOGITS, MASK, STATES, TYPES
from unmask.model.config import EncoderConfig
from unmask.model.heads import MaskedLM
from unmask.model.tasks import TaskModel

OPSET: Final = 20
"""Every operator is a plain one of this version. 23 has attention as one operator, which fewer runtimes know, and which
onnxruntime on a processor computes no faster."""

_NOT_THE_USERS: Final = (
    ("`isinstance.treespec, LeafSpec", FutureWarning),  # torch's exporter calls what torch has put aside
    ("# The axis name", UserWarning),  # the same dimension in several inputs, which is meant
)


def export_graph(model: MaskedLM | TaskModel, path: Path) -> None:
    """Write ``model``, in evaluation mode on the processor, to ``path``.

    A language model takes ``input_ids`` and ``attention_mask`` (B, L) and ``asked`` (M,), flat places in (B, L); it
    gives ``logits`` (M, V) there. Whoever wants last states names their places as ``kept`` (K,) and gets ``states``
    (K, D); left out, it is empty. A task's network takes no places, but ``token_type_ids`` where it reads them. It
    gives ``logits``: classify (B, C), tag (B, L, C), answer (B, L, 2); or ``sentence_embedding`` (B, D), before it is
    brought to length one. Weights of more than 1.5 GB are put beside it as ``<name>.data``. Raises MissingExtra.
    """
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MissingExtra("export", package)
    graph: nn.Module
    if isinstance(model, MaskedLM):
        graph, extra, outputs = _FillGraph(model), [ASKED, KEPT], [LOGITS, STATES]
    else:
        graph, extra = _TaskGraph(model), [TYPES] if _reads_types(model.config) else []
        outputs = [EMBEDDING if model.name == "embed" else LOGITS]
    examples, axes = _example(model.config, extra)
    with _quiet():
        program = torch.onnx.export(
            graph.eval(),
            kwargs=examples,
            dynamic_shapes=axes,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "only a file given to torch would make it return none"
    if KEPT in examples:
        _give_default(program.model, KEPT, np.empty(0, np.int64))
    _forget_where_it_was_made(program.model)
    program.save(path)


class _FillGraph(nn.Module):
    def __init__(self, model: MaskedLM) -> None:
        super().__init__()
        self.network = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, asked: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (M, V) at ``asked`` and last states (K, D) at ``kept``."""
        network, places = self.network, torch.cat([asked, kept])
        found = network.model(input_ids, attention_mask, _positions(input_ids), places=places)  # (M + K, D)
        of_asked, states = found[: asked.shape[0]], found[asked.shape[0] :]
        logits = network.decoder(network.head(of_asked), network.model.embeddings.tok_embeddings.weight)
        return logits, states


class _TaskGraph(nn.Module):
    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        self.network = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Return the scores of every text, or of every token."""
        places = torch.arange(input_ids.numel())
        batch = Batch(
            input_ids=input_ids,
            segment=attention_mask,
            positions=_positions(input_ids),
            token_type_ids=token_type_ids,
            asked=places,
            labels=input_ids,  # this and what follows is for losses, of which there are none here
            targets=places,
            kind=places,
            num_asked=0,
        )
        scores: Tensor = self.network(batch)
        return scores.view(*input_ids.shape, -1) if self.network.name == "tag" else scores


def _positions(input_ids: Tensor) -> Tensor:
    return torch.arange(input_ids.shape[1]).expand(input_ids.shape)


def _reads_types(config: EncoderConfig) -> bool:
    return config.family == "bert" and config.type_vocab_size > 1


def _example(config: EncoderConfig, extra: list[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return inputs to trace with, and what may vary about them.

    Rows are longer than a local layer sees to one side: shorter ones take a shortcut that a graph must not remember.
    """
    is_bert = config.family == "bert"
    length = min(8, config.longest_row) if is_bert else config.local_attention // 2 + 3
    rows = torch.ones(2, length, dtype=torch.int64)
    limit = {"max": config.longest_row} if is_bert else {}
    batch, long = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1, **limit)
    examples = {IDS: rows * config.pad_id, MASK: rows}
    axes: dict[str, Any] = {IDS: {0: batch, 1: long}, MASK: {0: batch, 1: long}}
    for name in extra:
        is_types = name == TYPES
        examples[name] = rows * 0 if is_types else torch.tensor([1, length])
        axes[name] = {0: batch, 1: long} if is_types else {0: torch.export.Dim(name)}
    return examples, axes


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch says of itself from the user."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it misses torchvision, for which there is no use
    try:
        with warnings.catch_warnings():
            for message, category in _NOT_THE_USERS:
                warnings.filterwarnings("ignore", message, category)
            yield
    finally:
        log.setLevel(level)


def _give_default(model: Any, name: str, value: Any) -> None:
    """Let the input ``name`` of ``model`` be left out: an initializer of its name stands for it."""
    import onnx_ir as ir

    [found] = [one for one in model.graph.inputs if one.name == name]
    found.const_value = ir.tensor(value, name=name)
    model.graph.register_initializer(found)


def _forget_where_it_was_made(model: Any) -> None:
    """Take out the notes of torch's exporter, which hold the paths of source files on this machine."""
    graph = model.graph
    nodes = list(graph.all_nodes())
    values = [*graph.inputs, *graph.initializers.values(), *(one for node in nodes for one in node.outputs)]
    for noted in (model, graph, *nodes, *values):
        noted.metadata_props.clear()
        noted.doc_string = None
