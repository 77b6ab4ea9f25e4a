"""A model in Hugging Face's form: configuration, weights, tokenizer, and what makes it a sentence transformer.

What bites: a head that transformers computes otherwise can not be exported by giving it the right names; such a model
is refused in one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save
from torch import Tensor

from unmask import files
from unmask.errors import ModelError
from unmask.inference.resolved import CARRIED, Resolved
from unmask.inference.torch_engine import convert, read_model, read_task_model, require_head
from unmask.model.config import EncoderConfig
from unmask.model.heads import MaskedLM
from unmask.model.hub.configuration import HEADS, STEMS, published_values
from unmask.model.hub.families import TABLES
from unmask.model.hub.tensors import to_published
from unmask.model.tasks import TaskModel
from unmask.tasks.block import TaskBlock

WEIGHTS: Final = "model.safetensors"


def model_type_of(found: Resolved) -> str:
    """Return the ``model_type`` that ``found`` is exported as: the one it once came from, or its own family."""
    return str(found.origin.get("model_type", found.config.family))


def read_network(found: Resolved) -> MaskedLM | TaskModel:
    """Return the network of ``found`` in evaluation mode, its head trained. Raises ModelError."""
    if found.task is not None:
        return read_task_model(found)
    model = read_model(found)
    require_head(model)
    return model


def write_hugging_face(found: Resolved, folder: Path) -> None:
    """Write ``found`` into the empty ``folder`` as transformers and sentence-transformers read it.

    Raises ModelError where its shape or its head is that of no published class.
    """
    files.write_json(folder / "config.json", _configuration(found))
    named = to_published(dict(read_network(found).named_parameters()), TABLES[model_type_of(found)])
    tensors = {name: value.detach().contiguous() for name, value in (named | _carried(found)).items()}
    files.write_bytes(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    files.write_bytes(folder / "tokenizer.json", found.tokenizer.to_str(pretty=True).encode())
    files.write_json(folder / "tokenizer_config.json", _tokenizer_values(found))
    if found.task is None or found.task.name == "embed":
        _write_sentence_transformer(found, folder)


def longest_window(found: Resolved) -> int:
    """Return how many tokens of a text the model reads at once, special tokens included."""
    return found.config.longest_row if found.task is None else found.task.max_length


def _configuration(found: Resolved) -> dict[str, Any]:
    kind, task = model_type_of(found), found.task
    name = "fill" if task is None else task.name
    words = found.vocabulary
    return {
        "architectures": [STEMS[kind] + HEADS[name]],
        **published_values(found.config, kind),
        "bos_token_id": words.cls_id,
        "eos_token_id": words.sep_id,
        "cls_token_id": words.cls_id,
        "sep_token_id": words.sep_id,
        "dtype": "float32",
        **({} if task is None else _task_values(task, found.config, kind)),
    }


def _task_values(task: TaskBlock, config: EncoderConfig, kind: str) -> dict[str, Any]:
    """Return what a configuration says of a task. Raises ModelError where transformers has another head for it."""
    if task.name not in TABLES[kind].tasks:
        raise ModelError(
            f"{STEMS[kind]}{HEADS[task.name]} has another head than a model of {task.name} here; it stays a run"
        )
    values: dict[str, Any] = {}
    if task.name == "classify":
        if config.family != "modernbert" and task.pooling != "cls":
            raise ModelError(
                f"{STEMS[kind]}{HEADS['classify']} reads the first token alone, and this model the mean of all; "
                "fine-tune it with task.pooling=cls to export it"
            )
        kinds = {True: "multi_label_classification", False: "single_label_classification"}
        values = {"classifier_pooling": task.pooling, "problem_type": kinds[task.multi_label]}
    if task.labels:
        values["id2label"] = {str(place): label for label, place in task.number.items()}
        values["label2id"] = task.number
    return values


def _tokenizer_values(found: Resolved) -> dict[str, Any]:
    """Return tokenizer_config.json: roles of tokens and the longest text, for transformers' plain fast tokenizer."""
    words = found.vocabulary
    roles = {
        "pad_token": words.pad_id,
        "cls_token": words.cls_id,
        "sep_token": words.sep_id,
        "mask_token": words.mask_id,
        "bos_token": words.cls_id,
        "eos_token": words.sep_id,
        **({} if words.unk_id is None else {"unk_token": words.unk_id}),
    }
    reads_kinds = found.config.family == "bert" and found.config.type_vocab_size > 1
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{role: found.tokenizer.id_to_token(number) for role, number in roles.items()},
        "model_max_length": longest_window(found),
        "model_input_names": ["input_ids", *(["token_type_ids"] if reads_kinds else []), "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }


def _carried(found: Resolved) -> dict[str, Tensor]:
    """Return the tensors that came along from a published model, under their published names."""
    if found.task is not None:
        return {}
    if found.model_type is not None:
        return convert(found).carried
    file = Path(found.origin["path"]) / CARRIED
    return load_file(file) if file.is_file() else {}


def _write_sentence_transformer(found: Resolved, folder: Path) -> None:
    """Write what sentence-transformers reads: what follows the encoder, and how a text's tokens become one vector."""
    pooling = "mean" if found.task is None else found.task.pooling
    parts = [("Transformer", ""), ("Pooling", "1_Pooling")]
    if found.task is not None and found.task.normalize:
        parts.append(("Normalize", "2_Normalize"))
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{name}"}
        for place, (name, path) in enumerate(parts)
    ]
    for _, path in parts:
        (folder / path).mkdir(exist_ok=True)
    pools = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    width = {"word_embedding_dimension": found.config.hidden_size}
    files.write_json(folder / "1_Pooling" / "config.json", width | pools)
    files.write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest_window(found)})
    files.write_json(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})
    files.write_json(folder / "modules.json", modules)
