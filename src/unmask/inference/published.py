"""A model in Hugging Face's form, in a folder or on its hub, as its parts. Reads no weights and needs no torch.

What bites: the name of a folder wins over the same name on the hub, and the cache of the hub answers where there is no
network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from unmask import files
from unmask.corpus.beside import BYTE_VOCABULARY, MERGES, VOCABULARY, tokenizer_file
from unmask.corpus.tokenizer import load_tokenizer, vocabulary_of
from unmask.errors import ModelError
from unmask.inference import model_directory
from unmask.inference.model_directory import read_manifest
from unmask.inference.resolved import GRAPHS, Resolved
from unmask.model.config import EncoderConfig
from unmask.model.hub.configuration import HEADS, STEMS, encoder_config
from unmask.model.hub.families import TABLES
from unmask.tasks.block import TASKS, TaskBlock
from unmask.tasks.tags import OUTSIDE

CONFIGURATION: Final = "config.json"

MOST_SURPLUS: Final = 1024
"""Rows of a table that a tokenizer may leave unused: tables are padded to round sizes; more than this is no padding."""

_LONGEST_WINDOW: Final = 512
_STRIDES: Final = 4
"""Windows of a model that was fine-tuned elsewhere and does not say how: 512 tokens, 128 of them shared with the next
(Devlin et al. 2019)."""

_HUB_NAME: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_WEIGHTS: Final = ("model.safetensors", "model.safetensors.index.json")
_PICKLES: Final = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_TEXTS: Final = (
    CONFIGURATION,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    VOCABULARY,
    BYTE_VOCABULARY,
    MERGES,
    model_directory.NAME,
)


def is_hub_name(where: Path) -> bool:
    """Say whether ``where``, which is not on this machine, could be ORG/NAME on the hub."""
    return bool(_HUB_NAME.fullmatch(str(where)))


def from_hub(name: str) -> Resolved:
    """Return the model ORG/NAME, fetched from the hub or from its cache. Raises ModelError."""
    folder = _fetched(name, [*_TEXTS, *_WEIGHTS, "model-*.safetensors"])
    if not any((folder / file).is_file() for file in _WEIGHTS):
        folder = _fetched(name, [*_TEXTS, *_PICKLES, "pytorch_model-*.bin"])
    if (folder / model_directory.NAME).is_file():
        named = files.read_object(folder / model_directory.NAME, ModelError).get("files", {})
        folder = _fetched(name, [model_directory.NAME, *named])
    return from_folder(folder, name)


def from_folder(folder: Path, name: str | None = None) -> Resolved:
    """Return the model in ``folder``, which is ``name`` on the hub. Raises ModelError where a part does not fit."""
    where = folder / CONFIGURATION
    values = files.read_object(where, ModelError)
    tokenizer = load_tokenizer(folder)
    vocabulary = vocabulary_of(tokenizer)
    config = encoder_config(values, vocabulary.pad_id, where)
    if not 0 <= config.vocab_size - vocabulary.size <= MOST_SURPLUS:
        raise ModelError(
            f"{folder}: its tokenizer has {vocabulary.size:,} tokens and its model {config.vocab_size:,}; "
            "it is another model's tokenizer"
        )
    manifest = read_manifest(folder, tokenizer)
    graphs = {engine: folder / file for engine, file in GRAPHS.items() if (folder / file).is_file()}
    task = published_task(values, config, where) if manifest is None else manifest.task
    return Resolved(
        config=config,
        weights=_weights(folder, is_needed=not graphs),
        tokenizer=tokenizer,
        tokenizer_file=tokenizer_file(folder),
        vocabulary=vocabulary,
        origin={"path": name or str(folder.absolute()), "kind": "published", "model_type": values["model_type"]},
        task=task,
        model_type=values["model_type"],
        graphs=graphs,
    )


def published_task(values: Mapping[str, Any], config: EncoderConfig, where: Path) -> TaskBlock | None:
    """Return the task that the configuration ``values``, read from ``where``, say a model was fine-tuned to elsewhere.

    None where its class is that of a language model or of an encoder alone. Raises ModelError for a head that is
    computed otherwise here, or labels that are none.
    """
    kind, named = str(values["model_type"]), values.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else ""
    ending = str(architecture).removeprefix(STEMS[kind])
    name = next((task for task in TASKS if task != "embed" and HEADS[task] == ending), None)
    if name is None:
        return None
    if name not in TABLES[kind].tasks:
        raise ModelError(f"{where}: {architecture} has a head that is not computed here; use it with transformers")
    table = values.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # the default of every published family
    labels = () if name == "answer" else tuple(str(table[key]) for key in sorted(table, key=int))
    if name == "tag" and OUTSIDE not in labels:
        raise ModelError(f"{where}: its labels ({labels[0]}, ...) are no tags, there is no {OUTSIDE} among them")
    longest = min(_LONGEST_WINDOW, config.longest_row)
    return TaskBlock(
        name=name,
        labels=labels,
        multi_label=values.get("problem_type") == "multi_label_classification",
        scheme="BIO" if name == "tag" else None,
        max_length=longest,
        stride=0 if name == "classify" else longest // _STRIDES,
        pooling="mean" if values.get("classifier_pooling") == "mean" else "cls",
    )


def _weights(folder: Path, *, is_needed: bool) -> tuple[Path, ...]:
    """Return the files that hold the weights, safetensors before pickles."""
    for path in (folder / name for name in (*_WEIGHTS, *_PICKLES)):
        if path.is_file():
            return _shards(path) if path.suffix == ".json" else (path,)
    if not is_needed:
        return ()
    raise ModelError(f"{folder}: holds no weights, none of {', '.join((*_WEIGHTS, *_PICKLES))}")


def _shards(index: Path) -> tuple[Path, ...]:
    """Return the files that ``index`` spreads the tensors over."""
    table = files.read_object(index, ModelError).get("weight_map")
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
