"""Every fast path beside its slow twin."""

from __future__ import annotations

import math

import pytest
import torch
from tests.packed import FAMILIES, asking, documents, model_of, pack, small
from torch import Tensor

from unmask.model import attention
from unmask.model.attention import (
    ExplicitAttention,
    FusedAttention,
    VarlenAttention,
    additive,
    cu_seqlens,
    nearby,
    sights,
    visible,
)
from unmask.model.config import Family
from unmask.model.rope import rotation, split_and_rotate, split_and_rotate_plainly

SEGMENT = torch.tensor([[1] * 3 + [2] * 9 + [3] + [0] * 2, [1] * 15, [0] * 15], dtype=torch.int32)
POSITIONS = torch.tensor([[*range(3), *range(9), 0, 0, 0], [*range(15)], [0] * 15])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_attention(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """Attention one token at a time: softmax over the visible keys, nothing else."""
    answer = torch.zeros_like(query)
    rows, heads, length, width = query.shape
    for row in range(rows):
        for place in range(length):
            keys = seen[row, place].nonzero().squeeze(1)
            for head in range(heads):
                scores = key[row, head, keys] @ query[row, head, place] / math.sqrt(width)
                answer[row, head, place] = scores.softmax(0) @ value[row, head, keys]
    return answer.transpose(1, 2).flatten(2)


def varlen_twin(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, _: Tensor, *longest: int, window_size: tuple[int, int]
) -> Tensor:
    """Stand in for the kernel of CUDA: (T, H, K) three times, one document after the other, inside the window."""
    answer = torch.zeros_like(query)
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        place = torch.arange(start, stop)
        apart = place[None, :] - place[:, None]
        left, right = window_size
        seen = ((left < 0) | (apart >= -left)) & ((right < 0) | (apart <= right))
        scores = torch.einsum("qhk,shk->hqs", query[place], key[place]) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
        answer[place] = torch.einsum("hqs,shk->qhk", weights, value[place])
    return answer


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("reach", [2, 100])
def test_every_way_to_attend_is_the_slow_one(monkeypatch: pytest.MonkeyPatch, is_causal: bool, reach: int) -> None:
    monkeypatch.setattr(attention, "varlen_attn", varlen_twin)
    query, key, value = (normal(3, 2, 15, 4, seed=seed) for seed in range(3))
    seen = visible(SEGMENT, is_causal=is_causal) & nearby(SEGMENT, reach)
    expected = slow_attention(query, key, value, seen)
    mask = additive(seen, torch.float64)
    window = (reach, 0 if is_causal else reach)
    for attend in (ExplicitAttention(mask), FusedAttention(mask), VarlenAttention(cu_seqlens(SEGMENT), window)):
        assert torch.allclose(attend(query, key, value), expected, rtol=1e-12, atol=1e-13), attend


@pytest.mark.parametrize("is_causal", [False, True])
def test_on_cuda_documents_become_spans(is_causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "varlen_attn", varlen_twin)
    config = small("modernbert", is_causal=is_causal)
    spans = attention._varlen(cu_seqlens(SEGMENT), config.local_attention // 2, is_causal=is_causal)
    dense = sights(SEGMENT, POSITIONS, config, torch.float64)
    query, key, value = (normal(3, 2, 15, 4, seed=seed) for seed in range(3))
    for kind, sight in dense.items():
        assert torch.allclose(spans[kind](query, key, value), sight.attend(query, key, value), rtol=1e-12), kind


def test_spans_start_where_the_segment_changes_or_a_row_begins() -> None:
    assert cu_seqlens(SEGMENT).tolist() == [0, 3, 12, 13, 15, 30, 45]
    assert cu_seqlens(torch.ones(2, 4, dtype=torch.int32)).tolist() == [0, 4, 8]


def test_short_rows_share_one_mask_and_long_ones_do_not() -> None:
    config = small("modernbert")  # a window of 16 reaches 8 to each side
    for length, is_shared in ((9, True), (10, False)):
        segment = torch.ones(1, length, dtype=torch.int32)
        seen = sights(segment, torch.arange(length)[None], config, torch.float32)
        assert (seen["global"].attend is seen["local"].attend) is is_shared


def test_short_bfloat16_rows_are_computed_explicitly() -> None:
    for dtype, length, expected in (
        (torch.bfloat16, 512, ExplicitAttention),
        (torch.bfloat16, 513, FusedAttention),
        (torch.float32, 64, FusedAttention),
    ):
        segment = torch.ones(1, length, dtype=torch.int32)
        assert isinstance(sights(segment, segment.long(), small("bert"), dtype)["global"].attend, expected)


def test_rotation_in_place_is_the_plain_rotation_and_so_is_its_gradient() -> None:
    turn = rotation(POSITIONS, head_width=6, theta=100.0, dtype=torch.float64)
    qkv, weights = normal(3, 15, 3, 2, 6).requires_grad_(), normal(3, 3, 2, 15, 6, seed=1)
    results = []
    for split in (split_and_rotate, split_and_rotate_plainly):
        parts = torch.stack(split(qkv, turn))
        (gradient,) = torch.autograd.grad((parts * weights).sum(), qkv)
        results.append((parts, gradient))
    for fast, slow in zip(*results, strict=True):
        assert torch.allclose(fast, slow, rtol=1e-13, atol=1e-14)


def test_rotated_scores_hang_on_the_distance_alone() -> None:
    vectors = normal(1, 1, 3, 1, 8).expand(1, 20, 3, 1, 8).contiguous()
    turn = rotation(torch.arange(20)[None], head_width=8, theta=10_000.0, dtype=torch.float64)
    query, key, _ = split_and_rotate(vectors, turn)
    scores = (query @ key.mT)[0, 0]
    for apart in (-5, 0, 3):
        along = scores.diagonal(apart)
        assert torch.allclose(along, along[0].expand_as(along), atol=1e-5)  # angles are float32 by design
    assert not torch.allclose(scores.diagonal(0)[0], scores.diagonal(3)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_stopping_at_the_asked_places_gives_the_gradients_of_going_on(family: Family) -> None:
    model, whole = model_of(small(family)).double(), pack([documents([20, 7]), documents([30], seed=1)], 32)
    asked = torch.tensor([3, 40, 8, 25, 0, 0])
    few = asking(asked, whole.input_ids, whole.segment, whole.positions)
    gradients = []
    for logits in (model(few), model(whole)[asked]):
        model.zero_grad()
        logits.logsumexp(-1).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for fast, slow in zip(*gradients, strict=True):
        assert fast is not None
        assert slow is not None
        assert torch.allclose(fast, slow, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_stays_near_float32(family: Family) -> None:
    model = model_of(small(family, initializer_range=0.1))
    batch = pack([documents([20, 7]), documents([30], seed=1)], 32)
    with torch.no_grad():
        exact = model(batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(batch)
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).std() < 0.02 * exact.std()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_rounded", [False, True])
def test_a_step_repeats_itself_to_the_bit_under_deterministic_algorithms(family: Family, is_rounded: bool) -> None:
    model, batch = model_of(small(family)), pack([documents([20, 7]), documents([30], seed=1)], 32)
    runs = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            model.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=is_rounded):
                logits = model(batch)
            logits.float().logsumexp(-1).sum().backward()
            runs.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first, again) for first, again in zip(*runs, strict=True))
    assert all(gradient.isfinite().all() for gradient in runs[0])


@pytest.mark.gpu
def test_spans_on_cuda_agree_with_the_mask() -> None:
    for is_causal in (False, True):
        config = small("modernbert", is_causal=is_causal)
        segment, positions = SEGMENT.cuda(), POSITIONS.cuda()
        query, key, value = (normal(3, 2, 15, 8, seed=seed).cuda().bfloat16() for seed in range(3))
        for kind, sight in sights(segment, positions, config, torch.bfloat16).items():
            reach = config.local_attention // 2 if kind == "local" else 100
            mask = additive(visible(segment, is_causal=is_causal) & nearby(segment, reach), torch.float32)
            exact = FusedAttention(mask)(query.float(), key.float(), value.float())
            assert isinstance(sight.attend, VarlenAttention)
            assert torch.allclose(sight.attend(query, key, value).float(), exact, atol=0.02), kind


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_rounded", [False, True])
def test_computing_layers_a_second_time_changes_no_bit(family: Family, is_rounded: bool) -> None:
    model, batch = model_of(small(family)), pack([documents([20, 7]), documents([30], seed=1)], 32)
    runs, calls = [], 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    model.get_submodule("model.layers.0.attn").register_forward_hook(count)
    for model.model.gradient_checkpointing in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_rounded):
            logits = model(batch)
        logits.float().logsumexp(-1).sum().backward()
        runs.append([logits, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert calls == 3
    assert all(torch.equal(first, again) for first, again in zip(*runs, strict=True))
