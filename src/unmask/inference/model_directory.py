"""``unmask.json``: what a model directory says of itself beside the files that everybody reads. Needs no torch.

It is compared with what is there each time the directory is opened: files by their checksums, the tokenizer by its
fingerprint and by texts that it must cut as it did when it was written. What bites: a tokenizers library of another
version may cut text otherwise from the same file, and only those texts would tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from unmask import files
from unmask.corpus.tokenizer import parse_tokenizer, tokenizer_fingerprint
from unmask.errors import ModelError
from unmask.tasks.block import TaskBlock

NAME: Final = "unmask.json"
FORMAT, VERSION = "unmask-model", 1

GOLDEN_TEXTS: Final = (
    "The quick brown fox jumps over the lazy dog.",
    "UPPER lower CamelCase snake_case",
    "café naïve re\u0301sume\u0301 Ångström Žluťoučký kůň",
    "Don't can't it's the dog's, well-known e.g. U.S.",
    "1234567890 3.14159 1,000,000 2026-11-24 ½ Ⅷ",
    "https://example.org/a?b=c&d=%20 someone@example.org #tag @name",
    "for i in range(10):\n\tprint(i)\n",
    "  two  spaces \u00a0 no-break \u2003 wide ",
    "Привет, мир! Ελληνικά İstanbul straße",
    "東京都に住んでいます。今天天气很好。한국어",
    "مرحبا بالعالم שלום עולם",
    "नमस्ते दुनिया สวัสดีชาวโลก",
    "\U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467 ❤\ufe0f \U0001f1eb\U0001f1f7 ✓ → ∞ €",
    "zero\u200bwidth soft\u00adhyphen \ufb01gure \uff26\uff35\uff2c\uff2c",
    "[MASK] <mask> [SEP] </s> [UNK] are words here",
    "pneumonoultramicroscopicsilicovolcanoconiosis aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
)
"""Sixteen texts on which tokenizers differ: case, accents both ways, apostrophes, numbers, white space, scripts, emoji,
invisible signs, names of special tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelManifest:
    """What stands in ``unmask.json``."""

    task: TaskBlock | None
    """None for a language model, whose task is to fill."""
    tokenizer: Mapping[str, Any]
    """``fingerprint`` and ``golden``, the ids of each golden text without special tokens."""
    files: Mapping[str, str]
    """Checksums by the file's path inside the directory."""
    onnx: Mapping[str, Any] = field(default_factory=dict)
    """Each graph's inputs and outputs, by its path inside the directory."""
    parity: Mapping[str, Any] = field(default_factory=dict)
    """How far each form was from the model that it was made of."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Where the model comes from."""

    def plain(self) -> dict[str, Any]:
        """Return it as it is written, with a checksum of itself."""
        task = {"name": "fill"} if self.task is None else self.task.plain()
        return files.sealed({"format": FORMAT, "version": VERSION, **asdict(self), "task": task})


def golden_ids(tokenizer: Tokenizer) -> list[list[int]]:
    """Return the ids of each golden text, without special tokens, as ordinary text is read."""
    plain = parse_tokenizer(tokenizer.to_str())
    plain.encode_special_tokens = True
    return [encoding.ids for encoding in plain.encode_batch(list(GOLDEN_TEXTS), add_special_tokens=False)]


def described(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what ``unmask.json`` says of a tokenizer."""
    return {"fingerprint": tokenizer_fingerprint(tokenizer), "golden": golden_ids(tokenizer)}


def read_manifest(folder: Path, tokenizer: Tokenizer) -> ModelManifest | None:
    """Return what ``folder`` says of itself, or None where it has no ``unmask.json``.

    Raises ModelError where it is of another version, a file is not as it was written, or ``tokenizer``, read from the
    folder, cuts text otherwise than when the model was exported.
    """
    where = folder / NAME
    if not where.is_file():
        return None
    values = _values(where)
    for name, digest in values["files"].items():
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name}: is missing, and {NAME} names it; export the model again")
        if files.digest(folder / name) != digest:
            raise ModelError(f"{folder / name}: is not the file that was exported (its checksum does not hold)")
    said = values["tokenizer"]
    for text, before, now in zip(GOLDEN_TEXTS, said["golden"], golden_ids(tokenizer), strict=True):
        if before != now:
            raise ModelError(
                f"{folder}: its tokenizer cuts {text[:24]!r} otherwise here than where the model was exported; "
                "it was changed, or the tokenizers library is of another version"
            )
    if tokenizer_fingerprint(tokenizer) != said["fingerprint"]:
        raise ModelError(f"{folder}: its tokenizer is not the one that the model was exported with")
    return _manifest(values)


def _manifest(values: Mapping[str, Any]) -> ModelManifest:
    task = None if values["task"]["name"] == "fill" else TaskBlock.from_plain(values["task"])
    known = {one.name for one in fields(ModelManifest)} - {"task"}
    return ModelManifest(task=task, **{name: values[name] for name in known})


def _values(where: Path) -> dict[str, Any]:
    values = files.read_object(where, ModelError)
    if (values.get("format"), values.get("version")) != (FORMAT, VERSION):
        raise ModelError(f"{where}: is not of {FORMAT} {VERSION}; it was written by another version")
    if files.sealed(values) != values:
        raise ModelError(f"{where}: is damaged (its checksum does not hold); export the model again")
    return values
