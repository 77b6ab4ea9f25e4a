"""What a run costs, before it is run: memory, time, tokens, and what other sizes would see in the same time.

What bites: memory is an estimate of what must be held at once. What the allocator keeps, and what lives for a moment
only, comes on top of it; so the peak that was measured stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unmask.model.config import PRESETS, EncoderConfig, ModelSettings, PresetName, resolve
from unmask.model.flops import flops_per_token, num_parameters
from unmask.training.loop import Plan

FLOAT32_BYTES = 4
TOKENS_A_PARAMETER = 20
RULE = (
    f"enough is {TOKENS_A_PARAMETER} tokens a parameter of the encoder, the table of tokens not counted: what is best "
    "for a given amount of computing in causal language models (Hoffmann et al. 2022), borrowed for masked ones"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How rows come: what the cost of a token hangs on."""

    row_length: int
    filled: float
    """Share of the places in a row that are not padding."""
    asked: float
    """Share of the tokens that are asked for."""

    def flops(self, config: EncoderConfig) -> float:
        """Return the operations of a token, there and back."""
        return flops_per_token(config, self.row_length, self.asked).total


def encoder_parameters(config: EncoderConfig) -> int:
    """Return how many parameters there are beside the table of tokens."""
    return num_parameters(config) - config.vocab_size * config.embedding_width


def memory_of(plan: Plan, config: EncoderConfig, activations: int) -> dict[str, int]:
    """Return the bytes that must be held at once: all in float32 but the activations, counted before.

    The optimiser keeps two numbers a weight (Kingma and Ba 2015).
    """
    weights = FLOAT32_BYTES * num_parameters(config)
    parts = {
        "weights": weights,
        "gradients": weights,
        "optimizer": 2 * weights,
        "average": sum(tensor.nbytes for tensor in plan.kept.weights.values()),
        "activations": activations,
    }
    return {**parts, "sum": sum(parts.values())}


def activation_bytes(plan: Plan) -> int:
    """Return the bytes that the way there keeps for the way back, of the first micro-batch, weights not counted."""
    own = {parameter.untyped_storage().data_ptr() for parameter in plan.model.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = plan.make_batches(0)[0].to(plan.machine.device)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor), plan.machine.precision():
        terms = plan.objective.terms(plan.model, batch)  # held: what is freed could be counted twice
    del terms
    return sum(kept.values())


def sizes(
    config: EncoderConfig, shape: Shape, memory: Mapping[str, int], tokens: float, preset: PresetName | None
) -> list[dict[str, Any]]:
    """Return what each preset of the family of ``config`` would see in the time in which ``config`` sees ``tokens``.

    Speeds are as the operations: a share of the peak that is the same for all. Activations go as layers times width.
    """
    rows = []
    for name in PRESETS:
        if PRESETS[name]["family"] != config.family:
            continue
        other = config if name == preset else resolve(ModelSettings(preset=name), config.vocab_size, config.pad_id)
        seen = tokens * shape.flops(config) / shape.flops(other)
        width = other.num_hidden_layers * other.hidden_size / (config.num_hidden_layers * config.hidden_size)
        held = (memory["sum"] - memory["activations"]) * num_parameters(other) / num_parameters(config)
        each = seen / encoder_parameters(other)
        rows.append(
            {
                "preset": name,
                "parameters": num_parameters(other),
                "tokens": round(seen),
                "tokens_per_parameter": each,
                "memory": round(held + width * memory["activations"]),
                "is_enough": each >= TOKENS_A_PARAMETER,
            }
        )
    return rows


def largest_enough(rows: list[dict[str, Any]]) -> str | None:
    """Return the preset with the most parameters among those that see enough."""
    enough = [row for row in rows if row["is_enough"]]
    return str(max(enough, key=lambda row: int(row["parameters"]))["preset"]) if enough else None
