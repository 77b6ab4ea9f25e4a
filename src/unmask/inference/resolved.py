"""What a model is, once it is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from tokenizers import Tokenizer

from unmask.corpus.tokenizer import Vocabulary
from unmask.model.config import EncoderConfig
from unmask.tasks.block import TaskBlock

GRAPHS: Final = {"onnx": "onnx/model.onnx", "onnx-int8": "onnx/model_quantized.onnx"}
"""Where a model directory keeps the graph of an engine."""

CARRIED: Final = "carried.safetensors"
"""What a run calls the tensors that its parent had and a language model has no use for, under their published names."""


Attention = Literal["trained", "causal", "both"]
"""Which tokens a token sees: those that it saw in training, those before it, or all."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """All that is needed to use a model."""

    config: EncoderConfig
    weights: tuple[Path, ...]
    """The files of its tensors; those of a run have checksums that hold."""
    tokenizer: Tokenizer
    tokenizer_file: Path
    """Where the tokenizer was read from."""
    vocabulary: Vocabulary
    origin: dict[str, Any]
    """Where it comes from: path and kind; step and corpus of a run; objective where it was pre-trained; model_type
    where it was ever published."""
    task: TaskBlock | None = None
    """What it was fine-tuned to; None where it is a language model."""
    model_type: str | None = None
    """The family whose names its tensors bear; None where they bear ours."""
    graphs: Mapping[str, Path] = field(default_factory=dict)
    """Its ONNX graphs, by the engine that runs them."""


def read_as(found: Resolved, attention: Attention) -> Resolved:
    """Return ``found`` to be read with that attention, whatever it was trained with."""
    if attention == "trained":
        return found
    return replace(found, config=replace(found.config, is_causal=attention == "causal"))
