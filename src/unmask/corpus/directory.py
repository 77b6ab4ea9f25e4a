"""A corpus on the disk: its manifest, and the door to its tokenizer, splits, rows and texts.

What bites: opening reads every file once, to compare it with its checksum; open a corpus once a command.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from unmask.corpus.phrases import PhrasePlaces, Phrases, read_phrases, words_back
from unmask.corpus.rows import PackedRows, pack_split
from unmask.corpus.shards import Split, Tensors, open_tensors
from unmask.corpus.split import SPLITS
from unmask.corpus.streams import opened
from unmask.corpus.tokenizer import load_tokenizer, vocabulary_of
from unmask.errors import DataError
from unmask.files import digest, digest_tensors, sealed, write_json, write_tensors

FORMAT, VERSION = "unmask-corpus", 1

_COUNTED_TOKENS = 1 << 20


class Text(TypedDict):
    """A held-out document as it was read."""

    id: str
    source: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What stands in manifest.json, beside the name and version of the format."""

    fingerprint: str
    """Names the contents: the checksums of tokenizer and shards, and the weights of a mixture."""
    tokenizer_fingerprint: str
    vocab_size: int
    sources: list[dict[str, Any]]
    """name, where, weight (None: its natural share), documents, characters of each, in the order of their numbers."""
    documents: dict[str, int]
    """read, kept, exact_duplicates, near_duplicates, clusters."""
    refused: dict[str, dict[str, Any]]
    """count and first place by reason."""
    splits: dict[str, dict[str, int]]
    """documents, tokens, words, characters, shards by split."""
    overlap_8gram: dict[str, float]
    """Share of a held-out split's distinct word 8-grams that also occur in train."""
    checksums: dict[str, str]
    settings: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write manifest.json to ``folder``."""
        write_json(folder / "manifest.json", self.plain())

    def plain(self) -> dict[str, Any]:
        """Return what manifest.json holds."""
        return sealed({"format": FORMAT, "version": VERSION, **asdict(self)})


class Corpus:
    """A corpus directory that is open for reading."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        """Open ``directory`` as ``manifest`` describes it; use open_corpus."""
        self.directory, self.manifest = directory, manifest
        self.fingerprint = manifest.fingerprint
        self.tokenizer = load_tokenizer(directory / "tokenizer.json")
        self.vocabulary = vocabulary_of(self.tokenizer)
        self.keeps = True
        """Whether what is made of it may be kept beside it."""
        self._made: dict[str, Tensors] = {}
        self._splits = {name: Split(directory, name, manifest.splits[name]["shards"]) for name in SPLITS}

    def __fspath__(self) -> str:
        return str(self.directory)

    @property
    def source_names(self) -> tuple[str, ...]:
        """The names of the sources, in the order of their numbers."""
        return tuple(source["name"] for source in self.manifest.sources)

    def split(self, name: Literal["train", "validation", "test"]) -> Split:
        """Return the split ``name``, memory-mapped."""
        return self._splits[name]

    def rows(
        self,
        length: int,
        split: Literal["train", "validation", "test"] = "train",
        max_documents: int | None = None,
        phrases: Phrases | None = None,
    ) -> PackedRows:
        """Return the rows of ``length`` of a split, or of its ``max_documents`` documents with the smallest ids.

        Ids are hashes: that is a fair sample, and it hardly changes when the corpus grows. All rows of train are packed
        once and kept beside the corpus, where its folder lets us, and so is where ``phrases`` stand, whose words count
        as one word.
        """
        of = self.split(split)
        chosen = None
        if max_documents is not None and max_documents < of.num_documents:
            chosen = np.zeros(of.num_documents, dtype=np.bool_)
            chosen[np.argsort(of.documents(), kind="stable")[:max_documents]] = True
        if split == "train" and chosen is None:
            tensors = self._kept(f"rows-{length}", lambda: pack_split(of, length))
        else:
            tensors = pack_split(of, length, chosen)
        places = self._places(of, phrases) if phrases else None
        weights = [source["weight"] for source in self.manifest.sources]
        return PackedRows(tensors, of, self.vocabulary, length, weights, places)

    def phrases(self, path: Path) -> Phrases:
        """Return the phrases in the file ``path``, one a line. Raises DataError where one can not be used."""
        return read_phrases(path, self.tokenizer, self.vocabulary)

    def texts(self, split: Literal["validation", "test"]) -> Iterator[Text]:
        """Yield the documents of a held-out split as they were read, in the order of the split."""
        path = self.directory / f"text-{split}.jsonl.zst"
        with opened(str(path)) as lines:
            try:
                yield from map(json.loads, lines)
            except ValueError as error:
                raise DataError(path, f"is damaged ({error}); build the corpus again") from None

    def unigram_counts(self) -> npt.NDArray[np.int64]:
        """Return (V,) how often each token occurs in train."""
        counts = np.zeros(self.vocabulary.size, dtype=np.int64)
        for shard in self.split("train").shards:
            for start in range(0, len(shard.tokens), _COUNTED_TOKENS):
                counts += np.bincount(shard.tokens[start : start + _COUNTED_TOKENS], minlength=len(counts))
        return counts

    def _places(self, split: Split, phrases: Phrases) -> PhrasePlaces:
        def find() -> Tensors:
            return {"back": words_back(split, phrases)}

        found = self._kept(f"phrases-{phrases.digest}", find) if split.name == "train" else find()
        return PhrasePlaces(found["back"], phrases.count)

    def _kept(self, name: str, make: Callable[[], Tensors]) -> Tensors:
        """Return what follows from train alone: as it stands beside the corpus, or made, and put there if we may."""
        if name not in self._made:
            self._made[name] = self._read_or_make(self.directory / f"{name}.safetensors", make)
        return self._made[name]

    def _read_or_make(self, path: Path, make: Callable[[], Tensors]) -> Tensors:
        if path.exists():
            try:
                tensors, metadata = open_tensors(path)
                if metadata == self._mark(tensors):
                    return tensors
            except DataError:
                pass  # these are made from the shards: made again is as good as mended
        tensors = make()
        if not self.keeps or not os.access(self.directory, os.W_OK):
            return tensors
        write_tensors(path, tensors, self._mark(tensors))
        return open_tensors(path)[0]

    def _mark(self, tensors: Tensors) -> dict[str, str]:
        """Return what tells tensors of another corpus, and damaged ones, from those that fit."""
        return {"rows": f"{self.fingerprint} {digest_tensors(tensors)}"}  # one entry: safetensors shuffles several


def open_corpus(path: Path) -> Corpus:
    """Return the corpus in the folder ``path``, every file of it compared with its checksum.

    Raises DataError where it is none, of another version, or a file of it is missing or damaged.
    """
    manifest = _read_manifest(path)
    for name, known in manifest.checksums.items():
        file = path / name
        try:
            found = digest(file)
        except FileNotFoundError:
            raise DataError(file, "is missing; build the corpus again") from None
        except OSError as error:
            raise DataError(file, f"can not be read ({error.strerror})") from None
        if found != known:
            raise DataError(file, "is damaged (its checksum does not hold); build the corpus again")
    return Corpus(path, manifest)


def _read_manifest(path: Path) -> Manifest:
    file = path / "manifest.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        what = "is not a corpus, it has no manifest.json" if path.exists() else "there is no such corpus"
        raise DataError(path, f"{what}; make one with unmask corpus build") from None
    except (OSError, ValueError) as error:
        raise DataError(file, f"is damaged ({error}); build the corpus again") from None
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise DataError(file, f"does not describe an {FORMAT}; make one with unmask corpus build")
    if values.get("version") != VERSION:
        raise DataError(file, f"is of version {values.get('version')}, this reads {VERSION}; build the corpus again")
    try:
        manifest = Manifest(**{field.name: values[field.name] for field in fields(Manifest)})
    except KeyError as error:
        raise DataError(file, f"is damaged (no {error}); build the corpus again") from None
    if manifest.plain() != values:
        raise DataError(file, "is damaged (its checksum does not hold); build the corpus again")
    return manifest
