"""Initial weights, as the two families were published: normal numbers cut off at two standard deviations.

What bites: the numbers are drawn in the order of the parameters, so they depend on the generator's state and the shape
of the model, and on nothing else.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import nn

from unmask.model.config import EncoderConfig, Family

SCALED_DOWN: Final[dict[Family, tuple[str, ...]]] = {"modernbert": ("Wo.weight", "head.dense.weight"), "bert": ()}
"""Matrices that write into the residual stream start smaller by sqrt(2 * layers): depth then adds no variance."""


@torch.no_grad()
def initialise(module: nn.Module, config: EncoderConfig, generator: torch.Generator) -> None:
    """Fill the parameters of ``module``, an encoder, a head or both: matrices at random, biases 0, norms 1."""
    std = config.initializer_range
    small = std / math.sqrt(2 * config.num_hidden_layers)
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif name.endswith("norm.weight"):
            parameter.fill_(1.0)
        else:
            width = small if name.endswith(SCALED_DOWN[config.family]) else std
            nn.init.trunc_normal_(parameter, std=width, a=-2 * width, b=2 * width, generator=generator)
