"""Published tensors read from files, put under our names, and put back under theirs.

What bites: nothing is guessed. A tensor that is missing, surplus, of another shape or tied in name only is an error
that lists it, and a pickle is read by torch's loader of plain tensors, which runs no code.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unmask.errors import ModelError
from unmask.model.hub.families import Table

LISTED = 5
"""Names of a kind that an error lists; it counts the rest."""

_OLD_ENDINGS = {"gamma": "weight", "beta": "bias"}
"""What BERT's norms were called when they came from TensorFlow."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A published checkpoint under our names."""

    weights: dict[str, Tensor]
    """float32; the head's are absent where there is none."""
    has_head: bool
    carried: dict[str, Tensor]
    """Under their names and as they were."""


def read_tensors(paths: Iterable[Path]) -> dict[str, Tensor]:
    """Return the tensors in the files ``paths``: .safetensors, or pickles of plain tensors.

    Raises ModelError where one can not be read or holds anything else.
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        tensors |= _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return tensors


def from_published(tensors: Mapping[str, Tensor], table: Table, model: nn.Module, where: str) -> Converted:
    """Return the ``tensors`` of the model ``where`` under the names that ``model``, of that shape, has for them.

    Raises ModelError that lists what is missing, surplus or misshapen.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    there = _in_full(tensors, table, shapes)
    for twice, once in table.repeats.items():
        if twice in there:
            there.setdefault(once, there[twice])
    has_head = any(theirs in there for name in shapes if _is_head(name) for theirs in table.theirs(name))
    wanted = {name: table.theirs(name) for name in shapes if has_head or not _is_head(name)}
    expected = {
        theirs: torch.Size((shapes[name][0] // len(parts), *shapes[name][1:]))
        for name, parts in wanted.items()
        for theirs in parts
    }
    carried = {
        name: value
        for name, value in there.items()
        if name.rpartition(".")[0] in table.carried and name not in expected
    }
    _refuse(
        where,
        {
            "lacks": [name for name in expected if name not in there],
            "has, and should not,": [
                name for name in there if name not in {*expected, *carried, *table.repeats, *table.ignored}
            ],
            "has in another shape than its configuration says": [
                f"{name} {tuple(there[name].shape)} for {tuple(shape)}"
                for name, shape in expected.items()
                if name in there and there[name].shape != shape
            ],
            "has other than floating point numbers in": [
                name for name in expected if name in there and not there[name].is_floating_point()
            ],
            "ties in name only": [
                f"{twice} to {once}"
                for twice, once in table.repeats.items()
                if twice in there and not torch.equal(there[twice], there[once])
            ],
        },
    )
    weights = {name: torch.cat([there[theirs].float() for theirs in parts]) for name, parts in wanted.items()}
    return Converted(weights=weights, has_head=has_head, carried=carried)


def to_published(weights: Mapping[str, Tensor], table: Table) -> dict[str, Tensor]:
    """Return our ``weights`` under the names of ``table``: the way back of :func:`from_published`."""
    theirs: dict[str, Tensor] = {}
    for name, value in weights.items():
        parts = table.theirs(name)
        theirs |= dict(zip(parts, value.chunk(len(parts)), strict=True))
    return theirs


def _is_head(name: str) -> bool:
    return not name.startswith(("model.", "task."))


def _in_full(tensors: Mapping[str, Tensor], table: Table, ours: Iterable[str]) -> dict[str, Tensor]:
    """Return ``tensors`` under the names that the table knows: with the prefix, without the old names of norms."""
    known = {theirs for name in ours for theirs in table.theirs(name)} | {*table.repeats, *table.ignored}
    known |= {f"{module}.{kind}" for module in table.carried for kind in ("weight", "bias")}
    full = {}
    for name, value in tensors.items():
        module, _, kind = name.rpartition(".")
        newer = f"{module}.{_OLD_ENDINGS[kind]}" if kind in _OLD_ENDINGS else name
        chosen = next((form for form in (newer, table.prefix + newer) if form in known), name)
        full[name if chosen in full else chosen] = value  # a second one under the same name is surplus
    return full


def _refuse(where: str, faults: Mapping[str, Sequence[str]]) -> None:
    """Raise ModelError where there are any ``faults``, each kind with its first few names."""
    lines = [
        f"{fault} {', '.join(names[:LISTED])}" + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
        for fault, names in faults.items()
        if names
    ]
    if lines:
        raise ModelError(f"{where}: does not fit its configuration: it {'; it '.join(lines)}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: can not be read ({error})") from None


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about dialects of pickle, just before it opens or refuses them
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"{path}: holds more than plain tensors, which could be code, and is not opened; ask for .safetensors"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: can not be read ({str(error).splitlines()[0] if str(error) else 'it is cut off'})"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ModelError(f"{path}: is no table of tensors by name; ask for .safetensors")
    return {str(name): value for name, value in found.items()}
