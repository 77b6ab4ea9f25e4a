"""What every test stands on: a cache of its own, no network, and chance that repeats itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.made_text import write_text

from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.directory import Corpus
from unmask.corpus.tokenizer import TokenizerSettings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # the networks here are so small that a second thread would only wait for the first

# Two busy cores make deadlines lie, and a test that fails must fail again.
settings.register_profile("here", deadline=None, derandomize=True, database=None)
settings.load_profile("here")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what tests build out of the user's cache, and the user's cache out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield cache


@pytest.fixture(scope="session")
def made_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Return a small corpus of made text: some 500 documents, 300 tokens in the vocabulary."""
    folder = tmp_path_factory.mktemp("made")
    source = Source(name="made", where=str(write_text(folder / "text.txt", 500)))
    chosen = CorpusSettings(validation=0.1, near_duplicates=1)
    return build_corpus([source], folder / "corpus", chosen, TokenizerSettings(vocab_size=300))
