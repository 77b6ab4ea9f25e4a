"""A step is the same step however its rows are dealt: micro-batches, ranks that hold all, ranks that hold parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tests.numerics.ranks_step import gradients, new_model, plan_of, row_hashes
from tests.torchrun import ROOT, torchrun
from torch import Tensor

from unmask.corpus.directory import Corpus
from unmask.training.distributed import ALONE

WAYS = ("replicated", "overlapped", "sharded")


@pytest.fixture(scope="module")
def of_two_ranks(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], list[str]]:
    """Return what two ranks made of the step, by way and name, and the hashes of their rows in the step's order."""
    made_corpus.rows(32)  # before two ranks come for them
    return taken(2, made_corpus, tmp_path_factory.mktemp("ranks") / "step.safetensors")


def taken(ranks: int, corpus: Corpus, out: Path) -> tuple[dict[str, Tensor], list[str]]:
    process = torchrun(ranks, str(ROOT / "tests/numerics/ranks_step.py"), str(corpus.directory), str(out))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    with safe_open(out, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        return tensors, file.metadata()["rows"].split()


def agree(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() <= expected.keys()
    assert len(found) > 15
    for name, value in found.items():
        difference, scale = (value - expected[name]).abs().max(), expected[name].abs().max()
        assert difference <= 1e-5 * scale, name


def way_of(tensors: dict[str, Tensor], way: str) -> dict[str, Tensor]:
    return {name.partition("/")[2]: value for name, value in tensors.items() if name.startswith(way + "/")}


def test_gradients_agree_for_micro_batches_and_ranks_on_the_same_rows(
    made_corpus: Corpus, of_two_ranks: tuple[dict[str, Tensor], list[str]]
) -> None:
    tensors, rows = of_two_ranks
    whole, micro = (plan_of(made_corpus, new_model(made_corpus), size, ALONE) for size in (0, 16))
    expected = gradients(whole)
    assert len(micro.make_batches(0)) == 4
    agree(gradients(micro), expected)
    for way in WAYS:
        agree(way_of(tensors, way), expected)
    assert len(set(rows)) == 64
    assert rows == row_hashes(whole.make_batches(0)) == row_hashes(micro.make_batches(0))


def test_gradients_that_travel_early_are_the_same_to_the_bit(of_two_ranks: tuple[dict[str, Tensor], list[str]]) -> None:
    late, early = (way_of(of_two_ranks[0], way) for way in ("replicated", "overlapped"))
    for name, value in early.items():
        assert torch.equal(value, late[name]), name


@pytest.mark.slow
def test_four_ranks_say_the_same_twice_to_the_bit(made_corpus: Corpus, tmp_path: Path) -> None:
    """Where a sum has more than two parts its order counts."""
    (one, _), (other, _) = (taken(4, made_corpus, tmp_path / f"{name}.safetensors") for name in ("one", "other"))
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    agree(way_of(one, "replicated"), gradients(plan_of(made_corpus, new_model(made_corpus), 0, ALONE)))


@pytest.mark.gpu
def test_gradients_agree_on_two_gpus(made_corpus: Corpus, of_two_ranks: tuple[dict[str, Tensor], list[str]]) -> None:
    """The same script, by NCCL and with buckets that overlap; a float32 product on a GPU is exact enough for this."""
    assert torch.cuda.device_count() > 1
    expected = {
        name: value.cpu() for name, value in gradients(plan_of(made_corpus, new_model(made_corpus), 0, ALONE)).items()
    }
    for way in WAYS:
        agree(way_of(of_two_ranks[0], way), expected)
