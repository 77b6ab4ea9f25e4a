"""A model that is dealt over ranks (FSDP2): each holds a part of every weight and of what the optimiser keeps of it.

What bites: a weight is then a DTensor. Reading it as a whole is a meeting of all ranks, so all must do it. And this
module brings in all of torch's distributed tensors, so it is imported where something is in parts, and nowhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from unmask.errors import RunError


def shard(model: nn.Module, layers: Iterable[nn.Module], device: torch.device, count: int) -> None:
    """Deal the weights of ``model`` over ``count`` ranks and move them to ``device``, layer by layer.

    Gradients are summed over ranks, not averaged. The whole model gives its weights back after a forward too: without
    that, what stands under its names afterwards would be copies.
    """
    mesh = init_device_mesh(device.type, (count,))
    for part in (*layers, model):
        sharded = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)


def write_parts(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Let every rank write what it holds of ``tensors`` into ``folder``, a file of safetensors each.

    Returns once all have. Raises RunError where one of them can not.
    """
    try:
        save(dict(tensors), storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except CheckpointException as error:
        raise RunError(f"{folder}: a part of the checkpoint can not be written ({_reasons(error)})") from None


def stored_shapes(folder: Path) -> dict[str, torch.Size]:
    """Return the shapes of all tensors in the files of safetensors in ``folder``, of those in parts the whole one."""
    found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {name: stored.size for name, stored in found.items() if isinstance(stored, TensorStorageMetadata)}


def read_parts(folder: Path, tensors: Mapping[str, Tensor], *, alone: bool) -> None:
    """Fill ``tensors``, dealt or not, from the files of safetensors in ``folder``, however those were dealt.

    ``alone`` says that no other rank takes part. Raises RunError where a file can not be read.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # that is what no_dist asks for
        try:
            load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=alone)
        except CheckpointException as error:
            raise RunError(f"{folder}: a part of the checkpoint can not be read ({_reasons(error)})") from None


def _reasons(error: CheckpointException) -> str:
    return "; ".join(f"rank {rank}: {failure[0]}" for rank, failure in sorted(error.failures.items()))
