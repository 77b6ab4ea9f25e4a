"""What a model is said to cost, against torch's own counter."""

from __future__ import annotations

import pytest
import torch
from tests.packed import FAMILIES, asking, documents, model_of, pack, small
from torch.utils.flop_counter import FlopCounterMode

from unmask.model.config import PRESETS, Family, ModelSettings, resolve
from unmask.model.flops import flops_per_token, num_parameters


@pytest.mark.parametrize("family", FAMILIES)
def test_operations_are_those_that_torch_counts(family: Family) -> None:
    config = small(family)
    model, whole = model_of(config), pack([documents([20, 12]), documents([32], seed=1)], 32)
    batch = asking(torch.arange(0, 64, 4), whole.input_ids, whole.segment, whole.positions)
    expected = flops_per_token(config, row_length=32, asked_share=0.25)
    with torch.autocast(
        "cpu", torch.bfloat16
    ):  # the explicit attention: the counter does not know the fused one of CPU
        with FlopCounterMode(display=False) as forward:
            loss = model(batch).float().logsumexp(-1).sum()
        with FlopCounterMode(display=False) as backward:
            loss.backward()
    assert forward.get_total_flops() == expected.forward * 64
    assert backward.get_total_flops() == expected.backward * 64
    assert expected.total == expected.forward + expected.backward


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_counted_once(family: Family) -> None:
    config = small(family)
    assert num_parameters(config) == sum(weight.numel() for weight in model_of(config).state_dict().values())


def test_published_sizes() -> None:
    modernbert = resolve(ModelSettings(preset="base"), vocab_size=50368, pad_id=50283)
    assert num_parameters(modernbert) == 149_655_232
    bert = resolve(ModelSettings(preset="bert-base"), vocab_size=30522, pad_id=0)
    assert num_parameters(bert) == 109_514_298
    assert all(num_parameters(resolve(ModelSettings(preset=preset), 8192, 0)) > 0 for preset in PRESETS)
