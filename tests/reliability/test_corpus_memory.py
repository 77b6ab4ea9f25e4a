"""The peak memory of a build does not grow with the corpus: ten copies with different words take what one takes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

# In the child, what is bounded is bounded low, so that both corpora go beyond every bound.
_BUILD = """
import resource, sys
from pathlib import Path
from unmask.corpus import dedup, shards, spool, stages
from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.tokenizer import TokenizerSettings
stages._TRAINING_CHARACTERS = 100_000
shards._SHARD_TOKENS = 100_000
dedup._GRAMS_MEASURED = 2_000
spool._BATCH_BYTES = 1 << 16
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = Source("words", sys.argv[1])
settings = CorpusSettings(document="line"), TokenizerSettings(vocab_size=400)
corpus = build_corpus([source], Path(sys.argv[2]), *settings)
assert corpus.manifest.splits["train"]["shards"] > 1
assert corpus.manifest.documents["near_duplicates"] > 5
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _write(path: Path, copies: int, documents: int) -> None:
    """Write ``copies`` times ``documents`` lines of 60 words, a copy of words of its own; one in 20 is a near copy."""
    with path.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            chance = random.Random(copy)
            words = ["".join(chance.choices("etaoinshrd", k=5)) + "uvwxyzabcf"[copy] for _ in range(2000)]
            line = words[:60]
            for number in range(documents):
                line = [*line[1:], "new"] if number % 20 == 19 else chance.choices(words, k=60)
                print(" ".join(line), file=file)


def _peak(folder: Path, copies: int, documents: int) -> tuple[int, int]:
    """Return the peak in KiB before and after the build."""
    _write(folder / f"{copies}.txt", copies, documents)
    command = [sys.executable, "-c", _BUILD, str(folder / f"{copies}.txt"), str(folder / f"{copies}")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = done.stdout.split()
    return int(before), int(after)


@pytest.mark.parametrize(
    "documents", [pytest.param(2500, id="quick"), pytest.param(6000, id="large", marks=pytest.mark.slow)]
)
def test_ten_copies_take_no_more_memory_than_one(tmp_path: Path, documents: int) -> None:
    _, one = _peak(tmp_path, 1, documents)
    _, ten = _peak(tmp_path, 10, documents)
    assert ten < 1.1 * one
