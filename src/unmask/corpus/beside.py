"""What Hugging Face keeps beside a tokenizer.json, and what older models have in place of one.

What bites: the case. A tokenizer_config.json that says ``do_lower_case`` beside a tokenizer.json that does otherwise is
read one way by some programs and the other way by others, and a model that is fed the wrong case still answers. And a
vocab.txt holds words alone: which kind of tokenizer they are for stands elsewhere, or nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from unmask.corpus.roles import NAMES, Roles, declared_roles
from unmask.errors import ModelError
from unmask.files import read_object

TOKENIZER: Final = "tokenizer.json"
CONFIGURATION: Final = "tokenizer_config.json"
VOCABULARY: Final = "vocab.txt"
BYTE_VOCABULARY: Final = "vocab.json"
MERGES: Final = "merges.txt"

WAY_OUT: Final = "transformers.AutoTokenizer.from_pretrained(...).save_pretrained(...) writes a tokenizer.json"

_BERT: Final = ("Bert", "DistilBert", "Electra")
_ROBERTA: Final = ("Roberta",)
_FOREIGN: Final = ("bpe.codes", "added_tokens.json", "spiece.model", "sentencepiece.bpe.model")
"""Files that say that there is more to a tokenizer than its vocabulary."""

Described = dict[str, Any]


def tokenizer_file(path: Path) -> Path:
    """Return the file of the tokenizer ``path``, which is that file or its folder; it need not be there."""
    if not path.is_dir():
        return path
    there = [path / name for name in (TOKENIZER, *OLDER) if (path / name).is_file()]
    return there[0] if there else path / TOKENIZER


def require_same_case(file: Path, tokenizer: Tokenizer) -> None:
    """Raise ModelError where the tokenizer_config.json beside ``file`` and ``tokenizer`` differ in case."""
    said = _configuration(file).get("do_lower_case")
    lowers = tokenizer.normalizer is not None and tokenizer.normalizer.normalize_str("A") == "a"
    if isinstance(said, bool) and said != lowers:
        does = "makes" if lowers else "does not make"
        raise ModelError(
            f"{file.with_name(CONFIGURATION)}: do_lower_case is {str(said).lower()}, and {file} {does} letters small; "
            "one of the two is not the model's: find out which case it was trained in, and make them agree"
        )


def read_older(file: Path) -> str:
    """Return the tokenizer.json that stands for an older ``file``: vocab.txt of BERT, vocab.json and merges of RoBERTa.

    Raises ModelError where it is that of another kind of tokenizer, and ValueError or OSError where it can not be read.
    """
    classes, describe = OLDER[file.name]
    configuration = _configuration(file)
    named = str(configuration.get("tokenizer_class") or _model(file).get("tokenizer_class") or classes[0])
    foreign = [name for name in _FOREIGN if file.with_name(name).exists()]
    if named.removesuffix("Fast").removesuffix("Tokenizer") not in classes or foreign:
        what = f"there is {foreign[0]} beside it" if foreign else f"it is for a {named}"
        raise ModelError(f"{file}: is not read here, {what}; {WAY_OUT}")
    return json.dumps({"version": "1.0", **describe(file, configuration)})


def _configuration(file: Path) -> dict[str, Any]:
    beside = file.with_name(CONFIGURATION)
    return read_object(beside, ModelError) if beside.is_file() else {}


def _model(file: Path) -> dict[str, Any]:
    beside = file.with_name("config.json")
    return read_object(beside, ModelError) if beside.is_file() else {}


def _wordpiece(file: Path, configuration: Mapping[str, Any]) -> Described:
    """Return BERT's tokenizer; one that does not say whether it folds case does so where no token has a capital."""
    tokens = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # a line may hold any other sign
    vocabulary = {token: number for number, token in enumerate(tokens)}
    lowers = configuration.get("do_lower_case")
    if not isinstance(lowers, bool):
        lowers = not any(token != token.lower() for token in vocabulary if not token.startswith("["))
    unknown = str(configuration.get("unk_token") or NAMES["unk"][0])
    if unknown not in vocabulary:
        raise ValueError(f"it holds no {unknown}")
    special, ends = _special(file, vocabulary, strips_before_mask=False)
    return {
        "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": configuration.get("tokenize_chinese_chars", True),
            "strip_accents": configuration.get("strip_accents"),
            "lowercase": lowers,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", **ends} if ends else None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }


def _byte_level(file: Path, configuration: Mapping[str, Any]) -> Described:
    """Return RoBERTa's tokenizer, GPT-2's with other ends."""
    vocabulary = json.loads(file.read_text(encoding="utf-8"))
    lines = file.with_name(MERGES).read_text(encoding="utf-8").split("\n")
    merges = [line for line in lines if line and not line.startswith("#version")]
    special, ends = _special(file, vocabulary, strips_before_mask=True)
    spaces = {"add_prefix_space": configuration.get("add_prefix_space", False), "trim_offsets": True}
    return {
        "added_tokens": special,
        "pre_tokenizer": {"type": "ByteLevel", **spaces},
        "post_processor": {"type": "RobertaProcessing", **spaces, **ends} if ends else None,
        "decoder": {"type": "ByteLevel", **spaces},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    }


def _special(
    file: Path, vocabulary: Mapping[str, int], *, strips_before_mask: bool
) -> tuple[list[Described], dict[str, tuple[str, int]]]:
    """Return the special tokens of ``vocabulary``, and those at the ends of a text where both are known."""
    roles: Roles = {
        role: vocabulary[name] for role, names in NAMES.items() for name in names[::-1] if name in vocabulary
    }
    roles |= declared_roles(file, vocabulary)
    names = {number: name for name, number in vocabulary.items()}
    special = [
        {
            "id": number,
            "content": names[number],
            "single_word": False,
            "lstrip": strips_before_mask and number == roles.get("mask"),
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number in sorted(set(roles.values()))
    ]
    if "cls" not in roles or "sep" not in roles:
        return special, {}
    return special, {"cls": (names[roles["cls"]], roles["cls"]), "sep": (names[roles["sep"]], roles["sep"])}


OLDER: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Path, Mapping[str, Any]], Described]]]] = {
    VOCABULARY: (_BERT, _wordpiece),
    BYTE_VOCABULARY: (_ROBERTA, _byte_level),
}
"""Which kinds of tokenizers an older file is read for, and how."""
