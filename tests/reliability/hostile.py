"""Hostile input for the tests: a folder of files that are wrong in one way each, and how a command answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from tests.made_text import write_text

from unmask.cli.main import main

TINY = [
    *("model.preset=tiny", "model.hidden_size=16", "model.num_attention_heads=1", "model.num_hidden_layers=1"),
    *("training.row_length=32", "training.batch_rows=4", "training.threads=1", "evaluation.documents=20"),
]


@dataclass(frozen=True)
class Answer:
    """What a command said and returned."""

    code: int
    out: str
    err: str


Ask = Callable[..., Answer]


def ask(capsys: pytest.CaptureFixture[str], *words: object) -> Answer:
    """Run the command in this process."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return Answer(code, *capsys.readouterr())


def new_run(corpus: Path, out: Path, *more: str, steps: int = 2) -> list[str]:
    """Return the words that start a tiny run."""
    return ["pretrain", "--corpus", str(corpus), "--out", str(out), "--budget", f"{steps}steps", *TINY, *more]


def inventory(folder: Path) -> dict[str, str]:
    """Return every path below ``folder``, hidden ones too, with a hash of what is in it."""
    return {
        str(path.relative_to(folder)): blake2b(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def flip(path: Path, place: int, bit: int = 0) -> None:
    """Turn one bit of a file over."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def write_hostile_files(folder: Path) -> None:
    """Fill ``folder``."""
    text = write_text(folder / "good.txt", 60).read_bytes()
    (folder / "empty.txt").touch()
    (folder / "blank.txt").write_text(" \n\n\t\n")
    (folder / "few.txt").write_text("One document is not enough for three splits.")
    (folder / "no-files").mkdir()
    (folder / "no-text").mkdir()
    (folder / "no-text" / "a.txt").touch()
    (folder / "no-text" / "b.md").write_text("\n\n")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 40)
    (folder / "latin.txt").write_bytes("für alle Fälle".encode("latin-1"))
    (folder / "nul.txt").write_bytes(b"nothing\0here")
    (folder / "plain.txt.gz").write_bytes(b"this is not gzip at all")
    (folder / "cut.txt.gz").write_bytes(gzip.compress(text)[:-20])
    (folder / "plain.txt.zst").write_bytes(b"this is not zstandard at all")
    (folder / "cut.txt.zst").write_bytes(pa.compress(text, codec="zstd", asbytes=True)[:-20])
    (folder / "prose.jsonl").write_text("this is\nno JSON\n")
    (folder / "field.jsonl").write_text(json.dumps({"txet": "some words"}) + "\n")
    (folder / "numbers.jsonl").write_text(json.dumps({"text": 3}) + "\n")
    (folder / "field.csv").write_text("title,body\none,some words\n")
    (folder / "plain.parquet").write_bytes(b"PAR1 or so they say PAR1")
    pyarrow.parquet.write_table(pa.table({"text": [1, 2]}), folder / "numbers.parquet")
    (folder / "bad-tokenizer.json").write_text('{"model": {"type": "Nothing"}}')
    (folder / "words.txt").write_text("The small array.\n")
    (folder / "list.yaml").write_text("- model\n- training\n")
    (folder / "broken.yaml").write_text("model:\n  preset: tiny\n  hidden_size: [64\n")
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "group.yaml").write_text("modle:\n  preset: tiny\n")
    (folder / "key.yaml").write_text("training:\n  bacth_rows: 8\n")
    (folder / "type.yaml").write_text("training:\n  batch_rows: many\n")
    (folder / "flat.yaml").write_text("training: 8\n")
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("keep me")
