"""A model in Hugging Face's form, in a folder or on its hub, as its parts. Reads no weights and needs no torch.

What bites: the name of a folder wins over the same name on the hub, and the cache of the hub answers where there is no
network.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from unmask.corpus.tokenizer import load_tokenizer, vocabulary_of
from unmask.errors import ModelError
from unmask.inference.resolved import Resolved
from unmask.model.hub.configuration import encoder_config

CONFIGURATION: Final = "config.json"

MOST_SURPLUS: Final = 1024
"""Rows of a table that a tokenizer may leave unused: tables are padded to round sizes; more than this is no padding."""

_HUB_NAME: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json")
_PICKLES: Final = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_TEXTS: Final = (CONFIGURATION, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def is_hub_name(where: Path) -> bool:
    """Say whether ``where``, which is not on this machine, could be ORG/NAME on the hub."""
    return bool(_HUB_NAME.fullmatch(str(where)))


def from_hub(name: str) -> Resolved:
    """Return the model ORG/NAME, fetched from the hub or from its cache. Raises ModelError."""
    folder = _fetched(name, [*_TEXTS, *_WEIGHTS, "model-*.safetensors"])
    if not any((folder / file).is_file() for file in _WEIGHTS):
        folder = _fetched(name, [*_TEXTS, *_PICKLES, "pytorch_model-*.bin"])
    return from_folder(folder, name)


def from_folder(folder: Path, name: str | None = None) -> Resolved:
    """Return the model in ``folder``, which is ``name`` on the hub. Raises ModelError where a part does not fit."""
    where = folder / CONFIGURATION
    values = _json(where)
    tokenizer = load_tokenizer(folder)
    vocabulary = vocabulary_of(tokenizer)
    config = encoder_config(values, vocabulary.pad_id, where)
    if not 0 <= config.vocab_size - vocabulary.size <= MOST_SURPLUS:
        raise ModelError(
            f"{folder}: its tokenizer has {vocabulary.size:,} tokens and its model {config.vocab_size:,}; "
            "it is another model's tokenizer"
        )
    return Resolved(
        config=config,
        weights=_weights(folder),
        tokenizer=tokenizer,
        tokenizer_file=folder / "tokenizer.json",
        vocabulary=vocabulary,
        origin={"path": name or str(folder), "kind": "published", "model_type": values["model_type"]},
        model_type=values["model_type"],
    )


def _weights(folder: Path) -> tuple[Path, ...]:
    """Return the files that hold the weights, safetensors before pickles."""
    for path in (folder / name for name in (*_WEIGHTS, *_PICKLES)):
        if path.is_file():
            return _shards(path) if path.suffix == ".json" else (path,)
    raise ModelError(f"{folder}: holds no weights, none of {', '.join((*_WEIGHTS, *_PICKLES))}")


def _shards(index: Path) -> tuple[Path, ...]:
    """Return the files that ``index`` spreads the tensors over."""
    table = _json(index).get("weight_map")
    names = sorted(set(table.values())) if isinstance(table, dict) else []
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise ModelError(f"{index}: names no files beside it under weight_map")
    for name in names:
        if not (index.parent / name).is_file():
            raise ModelError(f"{index.parent / name}: is missing, and {index.name} names it")
    return tuple(index.parent / name for name in names)


def _fetched(name: str, patterns: list[str]) -> Path:
    """Return the folder of the hub's cache that holds those files of ``name`` that match ``patterns``."""
    from huggingface_hub import errors, snapshot_download

    no_answer: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]  # of whichever client it is built on
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except errors.GatedRepoError:
        why = "asks on the hub for consent first: give it there, then log in with hf auth login"
    except errors.RepositoryNotFoundError:
        why = "there is no such folder, and no such model on the hub that you may read"
    except errors.LocalEntryNotFoundError:
        why = "there is no such folder, it is not whole in the cache of the hub, and the hub can not be reached"
    except (no_answer, errors.HFValidationError, errors.XetDownloadError, OSError) as error:
        why = f"can not be fetched from the hub ({(str(error).splitlines() or [type(error).__name__])[0]})"
    raise ModelError(f"{name}: {why}")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: is missing") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: can not be read as a JSON object")
    return value
