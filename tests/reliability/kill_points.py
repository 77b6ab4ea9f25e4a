"""Dies at every named write point of a tiny run, in a child each, and checks that the resumed run is equal to the bit.

A script of its own: forking is only safe in a process that has started no threads. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.made_text import write_text

from unmask import files
from unmask.cli import pretrain as command
from unmask.cli.planning import PretrainSettings
from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.runs import RunDirectory
from unmask.settings import read_settings
from unmask.training.budget import Budget

DIED = 9
STEPS = 6
TINY = [
    *("model.preset=tiny", "model.hidden_size=16", "model.num_attention_heads=1", "model.num_hidden_layers=1"),
    *("training.row_length=16", "training.batch_rows=4", "training.save_every=2", "training.eval_every=3"),
    *("training.threads=1", "training.ema=0.9", "training.micro_batch_rows=3", "evaluation.documents=20"),
]
Point = tuple[str, str]


def silent(*words: object) -> None:
    """Say nothing."""


def go(corpus: Corpus, out: Path) -> None:
    """Start the run at ``out``, or go on with it where it exists: what a user's retry does."""
    if (out / "run.json").exists():
        if RunDirectory(out).state["status"] != "finished":
            command.resume_run(out, silent, silent)
        return
    settings = read_settings(PretrainSettings, overrides=TINY)
    command.start_run(corpus, out, settings, Budget(steps=STEPS), silent)


def watched(reached: Callable[[str, Path], None], act: Callable[[], None]) -> None:
    """Run ``act`` with ``reached`` told of every write point."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "reached", reached)
        act()


def in_a_child(act: Callable[[], None]) -> int:
    """Run ``act`` in a forked child and return its exit code."""
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def weights(out: Path) -> tuple[bytes, bytes]:
    """Return the bytes of the last checkpoint."""
    folder = RunDirectory(out).checkpoints()[-1]
    return (folder / "model.safetensors").read_bytes(), (folder / "optimizer.safetensors").read_bytes()


def main(work: Path) -> dict[str, Any]:
    """Return the points, and those after which something was lost."""
    torch.set_num_threads(1)
    pytest.MonkeyPatch().setattr(command, "finish_run", silent)  # figures and report are written by the same functions
    texts = {name: write_text(work / f"{name}.txt", seed=seed) for seed, name in enumerate(("notes", "mails"))}
    sources = [
        Source(name=name, where=str(path), weight=weight)
        for (name, path), weight in zip(texts.items(), (0.7, 0.3), strict=True)
    ]
    kind = TokenizerSettings(vocab_size=200)
    corpus = build_corpus(sources, work / "corpus", CorpusSettings(), kind)
    corpus.rows(16)

    points: list[Point] = []
    watched(lambda point, path: points.append((point, path.name)), lambda: go(corpus, work / "whole"))
    expected, lost = weights(work / "whole"), []
    for number in range(len(points)):
        out, count = work / "killed", iter(range(len(points)))

        def die(point: str, path: Path, number: int = number, count: Any = count) -> None:
            if next(count) == number:
                os._exit(DIED)

        code = in_a_child(partial(watched, die, partial(go, corpus, out)))
        assert code == DIED, f"the child ended with {code} instead of dying at {points[number]}"
        assert in_a_child(partial(go, corpus, out)) == 0
        if weights(out) != expected or RunDirectory(out).state["status"] != "finished":
            lost.append(points[number])
        shutil.rmtree(out)
    return {"points": points, "lost": lost}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
