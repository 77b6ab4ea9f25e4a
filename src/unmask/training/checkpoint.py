"""A checkpoint: all that a run goes on from, in safetensors and JSON, never a pickle.

``model.safetensors`` holds the weights that are used and handed on: the average or the best where the run keeps them,
and then the weights as trained stand with the optimiser's tensors. What bites: a tied matrix is one parameter and is
written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from unmask import files
from unmask.errors import RunError
from unmask.runs import Checkpoint, RunDirectory
from unmask.training.distributed import Ranks, is_sharded, own_part, whole
from unmask.training.kept import KeptWeights
from unmask.training.telemetry import diverged

_TRAINED = "trained."


def save_checkpoint(
    run: RunDirectory,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    kept: KeptWeights,
    state: Mapping[str, Any],
    keep: int,
    ranks: Ranks,
    *,
    spared: int | None = None,
) -> None:
    """Write the checkpoint of ``step``, then say so in run.json, then remove all but the newest ``keep``.

    That of the step ``spared`` stays too. Where every one of ``ranks`` holds all, the first one writes. Where each
    holds a part, what is else in ``optimizer.safetensors`` comes in a file a rank; ``model.safetensors`` is whole all
    the same. Raises RunError where a weight is not finite, so that the last good checkpoint is one to go on from.
    """
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    moments = {
        f"{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
    if ranks.any(not all(bool(own_part(value).isfinite().all()) for value in weights.values())):
        raise diverged(run, step)
    trained = {_TRAINED + name: value for name, value in weights.items()} if kept.weights else {}
    used, rest = kept.weights or weights, {**moments, **trained}
    with run.new_checkpoint(step, state) as folder:
        if is_sharded(model):
            from unmask.training.sharding import write_parts

            used = {name: whole(value).cpu() for name, value in used.items()}
            write_parts(ranks.from_first(folder), rest)
        if ranks.is_first:
            _write(folder / "model.safetensors", used)
        if ranks.is_first and not is_sharded(model):
            _write(folder / "optimizer.safetensors", rest)
    run.update(step=step, **state)
    run.keep_checkpoints(keep, step, spared)


def load_checkpoint(
    checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer, kept: KeptWeights
) -> None:
    """Put everything back where :func:`save_checkpoint` took it from. Raises RunError where it does not fit."""
    if is_sharded(model) or not checkpoint.optimizer.is_file():
        _load_parts(checkpoint.path, model, optimizer, kept)
        return
    device = next(model.parameters()).device
    used, rest = _read(checkpoint.model, device), _read(checkpoint.optimizer, device)
    if kept.weights:
        kept.weights = {name: used[name] for name in kept.weights}
        used = {name.removeprefix(_TRAINED): value for name, value in rest.items() if name.startswith(_TRAINED)}
    parameters = dict(model.named_parameters())
    if surplus := sorted(parameters.keys() ^ used.keys()):
        raise RunError(f"{checkpoint.path}: does not fit the model of the run (differs in {', '.join(surplus[:3])})")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(used[name])
    for name, parameter in parameters.items():
        moments = {key: rest[f"{name}.{key}"] for key in _moment_names(name, rest)}
        if moments:
            optimizer.state[parameter] = moments


def _load_parts(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, kept: KeptWeights) -> None:
    """Load a checkpoint that was written in parts, or load into a model that is held in parts."""
    from unmask.training.sharding import read_parts, stored_shapes

    stored = stored_shapes(folder)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    wanted = {(_TRAINED if kept.weights else "") + name: value for name, value in parameters.items()} | kept.weights
    for name, parameter in model.named_parameters():
        shapes = {key: stored[f"{name}.{key}"] for key in _moment_names(name, stored)}
        optimizer.state[parameter] = moments = {
            key: torch.zeros_like(parameter) if shape == parameter.shape else parameter.new_zeros(shape)
            for key, shape in shapes.items()
        }
        wanted |= {f"{name}.{key}": value for key, value in moments.items()}
    if missing := sorted(wanted.keys() - stored.keys()):
        raise RunError(f"{folder}: does not fit the model of the run (lacks {', '.join(missing[:3])})")
    read_parts(folder, wanted, alone=not is_sharded(model))


def _moment_names(parameter: str, tensors: Iterable[str]) -> list[str]:
    """Return the names of the optimiser's tensors of one parameter; they hold no dot themselves."""
    prefix = parameter + "."
    return [name[len(prefix) :] for name in tensors if name.startswith(prefix) and "." not in name[len(prefix) :]]


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    files.write_bytes(path, save({name: value.contiguous() for name, value in tensors.items()}))


def _read(path: Path, device: torch.device) -> dict[str, Tensor]:
    try:
        return load_file(path, device=str(device))
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: can not be read ({error})") from None
