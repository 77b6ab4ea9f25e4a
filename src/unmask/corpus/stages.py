"""The stages of a build: each reads the documents from the disk once more and remembers little of them.

What bites: the order of the stages is the order of what they need of each other, so they run as ``write`` has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer

from unmask.corpus.dedup import Overlap, SeenIds, Signatures
from unmask.corpus.directory import Manifest
from unmask.corpus.documents import document_id, low64, normalise
from unmask.corpus.growth import grow, words_to_grow
from unmask.corpus.readers import Refusals, read_documents
from unmask.corpus.recipe import CorpusSettings, Progress, Source
from unmask.corpus.segment import word_starts
from unmask.corpus.shards import Encoder, ShardWriter
from unmask.corpus.split import SPLITS, TEST, TRAIN, VALIDATION, split_of
from unmask.corpus.spool import Batch, Spool
from unmask.corpus.tokenizer import (
    TokenizerSettings,
    load_tokenizer,
    tokenizer_fingerprint,
    train_tokenizer,
    vocabulary_of,
)
from unmask.errors import DataError, SettingError
from unmask.files import digest, write_bytes

Splits = npt.NDArray[np.uint8]

_TRAINING_CHARACTERS = 32_000_000  # what a tokenizer is trained on at most
_MOST_UNKNOWN = 0.5
_REPORT_EVERY = 1000


class Build:
    """One build, stage by stage."""

    def __init__(
        self,
        sources: Sequence[Source],
        corpus: CorpusSettings,
        tokenizer: TokenizerSettings,
        progress: Progress,
        spool: Spool,
    ) -> None:
        """Build from ``sources``, through ``spool``."""
        self.sources, self.corpus, self.tokenizer, self.progress = sources, corpus, tokenizer, progress
        if tokenizer.grow and not tokenizer.path:
            raise SettingError(f"tokenizer.grow is {tokenizer.grow}; name what is to be grown as tokenizer.path")
        self.brought = load_tokenizer(tokenizer.path) if tokenizer.path else None  # refused before all is read
        self.spool = spool
        self.refused = Refusals()
        self.documents = {"read": 0, "kept": 0, "exact_duplicates": 0, "near_duplicates": 0, "clusters": 0}
        self.read = [{"documents": 0, "characters": 0} for _ in sources]

    def write(self, folder: Path, work: Path) -> None:
        """Write the whole corpus to ``folder``; ``work`` is for what passes."""
        self._read(work)
        split = split_of(self._names(self._clusters(work)), self.corpus.validation, self.corpus.test)
        self._check(split)
        tokenizer = self._tokenizer(split)
        write_bytes(folder / "tokenizer.json", tokenizer.to_str(pretty=True).encode("utf-8"))
        splits = self._write_shards(folder, split, tokenizer)
        overlap = self._overlap(split)
        checksums = {path.name: digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
        contents = [checksum for name, checksum in checksums.items() if not name.startswith("text-")]
        if len(self.sources) > 1:
            contents += [str(source.weight) for source in self.sources if source.weight is not None]
        sources = zip(self.sources, self.read, strict=True)
        Manifest(
            fingerprint=blake2b("".join(contents).encode(), digest_size=16).hexdigest(),
            tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
            vocab_size=vocabulary_of(tokenizer).size,
            sources=[{"name": s.name, "where": s.where, "weight": s.weight, **counts} for s, counts in sources],
            documents=self.documents,
            refused=self.refused.plain(),
            splits=splits,
            overlap_8gram=overlap,
            checksums=checksums,
            settings={"corpus": self.corpus.plain(), "tokenizer": self.tokenizer.plain()},
        ).write(folder)

    def _read(self, work: Path) -> None:
        """Read all sources; of texts with the same id the first one stays."""
        with closing(SeenIds(work)) as seen:
            for number, source in enumerate(self.sources):
                for document in read_documents(
                    source.where,
                    name=source.name,
                    document=self.corpus.document,
                    field=self.corpus.field,
                    refused=self.refused,
                ):
                    self._take(normalise(document.text), number, seen)
        self.documents["kept"] = len(self.spool)
        self.documents["exact_duplicates"] = self.documents["read"] - len(self.spool)
        self.progress("read", self.documents["read"], self.documents["read"])

    def _take(self, text: str, source: int, seen: SeenIds) -> None:
        self.documents["read"] += 1
        if self.documents["read"] % _REPORT_EVERY == 0:
            self.progress("read", self.documents["read"], None)
        identity = document_id(text)
        if seen.add(identity):
            self.spool.add(text, identity, source)
            self.read[source]["documents"] += 1
            self.read[source]["characters"] += len(text)

    def _clusters(self, work: Path) -> npt.NDArray[np.int64]:
        """Return (N,) the number of the first document of each document's cluster."""
        cluster = np.arange(len(self.spool))
        if self.corpus.near_duplicates < 1:
            with closing(Signatures(work, self.corpus.near_duplicates)) as signatures:
                for batch in self._batches("near duplicates"):
                    signatures.add(batch.texts)
                cluster = signatures.clusters()
        num_clusters = len(np.unique(cluster))
        self.documents |= {"clusters": num_clusters, "near_duplicates": len(cluster) - num_clusters}
        return cluster

    def _names(self, cluster: npt.NDArray[np.int64]) -> Iterator[bytes]:
        """Yield the smallest id of each document's cluster."""
        alone = np.bincount(cluster, minlength=len(cluster))[cluster] == 1
        smallest: dict[int, bytes] = {}
        for batch in self.spool.batches():
            for place in np.flatnonzero(~alone[batch.numbers]).tolist():
                home, identity = int(cluster[batch.first + place]), batch.ids[place].tobytes()
                smallest[home] = min(smallest.get(home, identity), identity)
        for batch in self.spool.batches():
            for home, identity in zip(cluster[batch.numbers].tolist(), batch.ids, strict=True):
                yield smallest.get(home) or identity.tobytes()

    def _check(self, split: Splits) -> None:
        """Refuse a corpus with an empty split."""
        where = ", ".join(source.where for source in self.sources)
        if not len(split):
            refused = ", ".join(
                f"{refusal.count} refused: {reason}, first at {refusal.first}"
                for reason, refusal in self.refused.items()
            )
            raise DataError(where, f"there is no document in it{f' ({refused})' if refused else ''}; give some text")
        for number, count in enumerate(np.bincount(split, minlength=len(SPLITS)).tolist()):
            if not count:
                name = SPLITS[number]
                more = "lower corpus.validation" if number == TRAIN else f"raise corpus.{name}"
                raise DataError(where, f"{len(split)} documents leave none for {name}; give more text or {more}")

    def _tokenizer(self, split: Splits) -> Tokenizer:
        if self.brought and not self.tokenizer.grow:
            return self.brought
        self.progress("tokenizer", 0, None)
        sample = self._sample(split)
        if self.brought:
            return grow(self.brought, words_to_grow(self.brought, sample, self.tokenizer.grow))
        return train_tokenizer(sample, self.tokenizer)

    def _sample(self, split: Splits) -> list[str]:
        """Return documents of train, chosen by their ids, that make up at most _TRAINING_CHARACTERS."""
        total = sum(len(text) for batch in self._of_split(split, TRAIN) for text in batch.texts)
        share = min(1.0, _TRAINING_CHARACTERS / max(total, 1))
        sample, left = [], _TRAINING_CHARACTERS
        for batch in self._of_split(split, TRAIN):
            for text, place in zip(batch.texts, low64(batch.ids) * 2.0**-64, strict=True):
                if place < share and left > 0:
                    sample.append(text[:left])
                    left -= len(text)
        return sample

    def _write_shards(self, folder: Path, split: Splits, tokenizer: Tokenizer) -> dict[str, dict[str, int]]:
        """Write shards and held-out texts and return what each split holds."""
        vocabulary = vocabulary_of(tokenizer)
        encoder = Encoder(tokenizer, vocabulary, word_starts if self.corpus.words == "segmenter" else None)
        writers = [ShardWriter(folder, name, vocabulary) for name in SPLITS]
        with ExitStack() as stack:
            paths = {number: str(folder / f"text-{SPLITS[number]}.jsonl.zst") for number in (VALIDATION, TEST)}
            held_out = {
                number: stack.enter_context(pa.output_stream(path, compression="zstd"))
                for number, path in paths.items()
            }
            for batch in self._batches("tokens"):
                encoded = encoder.encode(batch.texts)
                where = split[batch.numbers].tolist()
                for number, text, identity, source, (tokens, begins) in zip(
                    where, batch.texts, batch.ids, batch.sources.tolist(), encoded, strict=True
                ):
                    writers[number].add(tokens, begins, identity=identity, characters=len(text), source=source)
                    if number in held_out:
                        line = {"id": identity.tobytes().hex(), "source": self.sources[source].name, "text": text}
                        held_out[number].write(json.dumps(line, ensure_ascii=False).encode("utf-8") + b"\n")
        for writer in writers:
            writer.flush()
        self._check_train(writers[TRAIN])
        return {name: writer.counts for name, writer in zip(SPLITS, writers, strict=True)}

    def _check_train(self, train: ShardWriter) -> None:
        """Refuse text that the tokenizer does not know, and a weight for a source that ``train`` got nothing of."""
        unknown = train.num_unknown / max(1, train.counts["tokens"])
        if unknown > _MOST_UNKNOWN:
            where = ", ".join(source.where for source in self.sources)
            what = f"{unknown:.0%} of the tokens are unknown to the tokenizer"
            raise DataError(where, f"{what}; set another tokenizer.kind: characters for sequences, bpe for any text")
        for number, source in enumerate(self.sources):
            if source.weight is not None and not train.tokens_of[number]:
                what = f"none of its {self.read[number]['documents']} new documents came to train"
                raise DataError(source.where, f"has a weight, but {what}; give it more text or leave it out")

    def _overlap(self, split: Splits) -> dict[str, float]:
        """Return the share of each held-out split's 8-grams that also occur in train."""
        overlaps = {number: Overlap() for number in (VALIDATION, TEST)}
        for number, overlap in overlaps.items():
            for batch in self._of_split(split, number):
                overlap.hold(batch.texts)
        for batch in self._of_split(split, TRAIN):
            for overlap in overlaps.values():
                overlap.seek(batch.texts)
        return {SPLITS[number]: overlap.share for number, overlap in overlaps.items()}

    def _batches(self, stage: str) -> Iterator[Batch]:
        """Yield all documents, saying after each batch how far ``stage`` is."""
        for batch in self.spool.batches():
            yield batch
            self.progress(stage, batch.numbers.stop, len(self.spool))

    def _of_split(self, split: Splits, number: int) -> Iterator[Batch]:
        for batch in self.spool.batches():
            chosen = batch.select(split[batch.numbers] == number)
            if chosen.texts:
                yield chosen
