"""The way from sources to a corpus directory, and the cache of corpora.

What bites: the texts pass through a folder beside ``out``, about six times their size, so that is where the room is
needed; ``out`` appears at the very end, whole, or not at all. A few dozen bytes a document stay in memory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from unmask.corpus.cache import user_cache
from unmask.corpus.directory import VERSION, Corpus, open_corpus
from unmask.corpus.docstrings import SOURCE as DOCSTRINGS
from unmask.corpus.docstrings import docstrings_key
from unmask.corpus.recipe import CorpusSettings, Progress, Source, check_sources, quiet
from unmask.corpus.segment import require_segmenter
from unmask.corpus.spool import Spool
from unmask.corpus.streams import files_of, is_stdin
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import DataError, MissingExtra
from unmask.files import answered, locked, publish_folder, refuse_unwritable, working_folder

__all__ = ["CorpusSettings", "Progress", "Source", "build_corpus", "cached_corpus"]


def build_corpus(
    sources: Sequence[Source],
    out: Path,
    corpus: CorpusSettings,
    tokenizer: TokenizerSettings,
    progress: Progress = quiet,
) -> Corpus:
    """Build the corpus directory ``out`` from ``sources`` and open it.

    Raises DataError where ``out`` exists, a source can not be read or there are too few documents, SettingError for
    weights that make no mixture, ModelError for a tokenizer that does not serve and UserError where ``out`` can not be
    written.
    """
    check_sources(sources)
    if corpus.words == "segmenter":
        require_segmenter()
    try:
        from unmask.corpus.stages import Build
    except ImportError:
        raise MissingExtra("train", "pyarrow") from None
    if out.exists():
        raise DataError(out, "is already there; choose another --out or remove it")
    with answered(out), working_folder(out) as aside:
        with TemporaryDirectory(prefix="work-", dir=aside) as work, closing(Spool(Path(work))) as spool:
            Build(sources, corpus, tokenizer, progress, spool).write(aside, Path(work))
        publish_folder(aside, out)
    return open_corpus(out)


def cached_corpus(
    sources: Sequence[Source], corpus: CorpusSettings, tokenizer: TokenizerSettings, progress: Progress = quiet
) -> Corpus:
    """Return the corpus of ``sources`` from the user's cache, built there first where it is absent.

    It is found by its sources (files by path, size and time of change) and settings. Raises what build_corpus raises.
    """
    described = {
        "version": VERSION,
        "sources": [[source.name, source.weight, _state(source.where)] for source in sources],
        "corpus": corpus.plain(),
        "tokenizer": [tokenizer.plain(), _state(str(tokenizer.path)) if tokenizer.path else None],
    }
    fingerprint = blake2b(json.dumps(described, sort_keys=True).encode("utf-8"), digest_size=16).hexdigest()
    folder = user_cache() / "corpora" / fingerprint
    if found := _cached(folder):
        return found
    refuse_unwritable(folder)
    with answered(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock"), held=lambda: progress("waiting", 0, None)):
        if found := _cached(folder):  # another process built it while this one waited
            return found
        shutil.rmtree(folder, ignore_errors=True)
        return build_corpus(sources, folder, corpus, tokenizer, progress)


def _cached(folder: Path) -> Corpus | None:
    """Return the corpus in the cache's ``folder``, or None where it is absent or damaged: made again is as good."""
    try:
        return open_corpus(folder) if folder.exists() else None
    except DataError:
        return None


def _state(where: str) -> list[Any]:
    """Return what changes when the text of a source does."""
    if where == DOCSTRINGS:
        return [where, docstrings_key()]
    if is_stdin(where):
        raise DataError("standard input", "has no name in the cache; keep it with unmask corpus build - --out DIR")
    files = [Path(name).absolute() for name in files_of(where)]
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
