"""From text to a corpus directory and back: counts, splits, what damage and mistakes are answered with."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from unmask.corpus.build import CorpusSettings, Source, build_corpus, cached_corpus
from unmask.corpus.cache import user_cache
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.documents import document_id
from unmask.corpus.rows import PackedRows
from unmask.corpus.tokenizer import TokenizerSettings, tokenizer_fingerprint
from unmask.errors import DataError, ModelError, UserError

SETTINGS = CorpusSettings(document="line", validation=0.2, test=0.1)
TOKENIZER = TokenizerSettings(vocab_size=300)
EXACT, NEAR = 15, 25


def _lines(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghij", k=chance.randint(2, 7))) for _ in range(500)]
    return [" ".join(chance.choices(words, k=chance.randint(10, 40))) + " [MASK] é漢" for _ in range(count)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    lines = _lines(0, 300)
    near = [f"{line} and more" for line in lines[:NEAR]]
    (folder / "a.txt").write_text("\n".join(lines + lines[:EXACT]), encoding="utf-8")
    (folder / "b.txt").write_text("\n".join(near + _lines(1, 100)), encoding="utf-8")
    return folder


def _sources(text: Path) -> list[Source]:
    return [Source("a", str(text / "a.txt"), 0.9), Source("b", str(text / "b.txt"), 0.1)]


@pytest.fixture(scope="module")
def corpus(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_corpus(_sources(text), tmp_path_factory.mktemp("out") / "corpus", SETTINGS, TOKENIZER)


@pytest.fixture
def copy(corpus: Corpus, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus.directory, tmp_path / "copy"))


def test_the_manifest_counts_what_happened(corpus: Corpus) -> None:
    manifest = corpus.manifest
    kept = 300 + NEAR + 100
    assert manifest.documents == {
        "read": kept + EXACT,
        "kept": kept,
        "exact_duplicates": EXACT,
        "near_duplicates": NEAR,
        "clusters": kept - NEAR,
    }
    assert [(s["name"], s["weight"], s["documents"]) for s in manifest.sources] == [("a", 0.9, 300), ("b", 0.1, 125)]
    assert sum(counts["documents"] for counts in manifest.splits.values()) == kept
    assert sum(c["characters"] for c in manifest.splits.values()) == sum(s["characters"] for s in manifest.sources)
    assert manifest.vocab_size == corpus.vocabulary.size
    assert manifest.tokenizer_fingerprint == tokenizer_fingerprint(corpus.tokenizer)
    assert set(manifest.checksums) == {path.name for path in corpus.directory.iterdir()} - {"manifest.json"} - {
        path.name for path in corpus.directory.glob("rows-*")
    }
    for name, counts in manifest.splits.items():
        split = corpus.split(name)  # type: ignore[arg-type]  # a name of SPLITS
        assert (split.num_documents, split.num_tokens) == (counts["documents"], counts["tokens"])
        assert sum(shard.begins().sum() for shard in split.shards) == counts["words"]


def test_near_copies_share_a_split_and_every_document_is_in_one(corpus: Corpus) -> None:
    of: dict[bytes, str] = {}
    for name in ("train", "validation", "test"):
        for identity in corpus.split(name).ids():
            assert identity.tobytes() not in of
            of[identity.tobytes()] = name
    lines = _lines(0, 300)
    assert [of[document_id(line)] for line in lines[:NEAR]] == [
        of[document_id(f"{line} and more")] for line in lines[:NEAR]
    ]
    assert len({of[document_id(line)] for line in lines}) == 3
    assert corpus.manifest.overlap_8gram == {"validation": 0.0, "test": 0.0}


def test_held_out_texts_are_kept_as_they_were_read(corpus: Corpus) -> None:
    texts = list(corpus.texts("validation"))
    split = corpus.split("validation")
    assert [bytes.fromhex(text["id"]) for text in texts] == [identity.tobytes() for identity in split.ids()]
    assert all(document_id(text["text"]).hex() == text["id"] for text in texts)
    assert {text["source"] for text in texts} == {"a", "b"}
    assert [len(text["text"]) for text in texts] == split.characters().tolist()
    first = corpus.tokenizer.decode(split.shards[0].tokens[: split.shards[0].starts[1]].tolist())
    assert first.replace(" ", "").startswith(texts[0]["text"].partition("[")[0].replace(" ", ""))


def test_no_special_token_is_stored(corpus: Corpus) -> None:
    vocabulary = corpus.vocabulary
    counts = corpus.unigram_counts()
    assert counts.sum() == corpus.split("train").num_tokens
    assert not counts[[number for number in vocabulary.special_ids if number != vocabulary.unk_id]].any()


def _arrays(rows: PackedRows) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    gathered = rows.gather(np.arange(rows.num_rows))
    return [gathered.input_ids, gathered.segment, gathered.document, gathered.offset, gathered.word]


def test_rows_are_packed_once_and_made_again_where_they_are_damaged(copy: Path) -> None:
    corpus = open_corpus(copy)
    first = _arrays(corpus.rows(32))
    path = copy / "rows-32.safetensors"
    made = path.stat().st_mtime_ns
    again = _arrays(open_corpus(copy).rows(32))
    assert path.stat().st_mtime_ns == made
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    mended = _arrays(open_corpus(copy).rows(32))
    assert path.read_bytes() == data
    for one, two, three in zip(first, again, mended, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_rows_of_another_corpus_are_not_believed(copy: Path, text: Path, tmp_path: Path) -> None:
    other = build_corpus(_sources(text)[:1], tmp_path / "other", SETTINGS, TOKENIZER)
    other.rows(32)
    shutil.copy(tmp_path / "other" / "rows-32.safetensors", copy)
    assert open_corpus(copy).rows(32).num_tokens == open_corpus(copy).split("train").num_tokens


def test_held_out_rows_and_samples_leave_nothing_behind(corpus: Corpus) -> None:
    before = set(corpus.directory.iterdir())
    assert corpus.rows(32, "validation").num_tokens == corpus.split("validation").num_tokens
    some = corpus.rows(32, "validation", max_documents=10)
    named = np.unique(_arrays(some)[2])
    smallest = np.sort(corpus.split("validation").documents())[:10]
    np.testing.assert_array_equal(named[named > 0], smallest)
    assert corpus.rows(32, "test", max_documents=10**6).num_tokens == corpus.split("test").num_tokens
    assert set(corpus.directory.iterdir()) == before


def test_the_same_text_is_the_same_corpus_and_other_text_is_another(corpus: Corpus, text: Path, tmp_path: Path) -> None:
    again = build_corpus(_sources(text), tmp_path / "again", SETTINGS, TOKENIZER)
    assert again.fingerprint == corpus.fingerprint
    assert again.manifest.checksums == corpus.manifest.checksums
    part = build_corpus(_sources(text)[:1], tmp_path / "part", SETTINGS, TOKENIZER)
    assert part.fingerprint != corpus.fingerprint
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["again", "part"], "nothing is left aside"


def test_a_corpus_that_grows_keeps_its_splits(corpus: Corpus, text: Path, tmp_path: Path) -> None:
    part = build_corpus(_sources(text)[1:], tmp_path / "part", SETTINGS, TOKENIZER)
    new = {identity.tobytes() for identity in part.split("validation").ids()}
    lines = {document_id(line) for line in _lines(1, 100)}  # those of b that have no near copy in a
    old = {identity.tobytes() for identity in corpus.split("validation").ids()}
    assert new & lines == old & lines
    assert len(new & lines) > 5


def test_a_tokenizer_is_brought_along(corpus: Corpus, text: Path, tmp_path: Path) -> None:
    settings = TokenizerSettings(path=corpus.directory / "tokenizer.json")
    other = build_corpus(_sources(text)[1:], tmp_path / "out", SETTINGS, settings)
    assert other.manifest.tokenizer_fingerprint == corpus.manifest.tokenizer_fingerprint
    with pytest.raises(ModelError, match="there is no such tokenizer"):
        build_corpus(_sources(text), tmp_path / "no", SETTINGS, TokenizerSettings(path=tmp_path / "no.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "what was begun is gone"


@pytest.mark.parametrize(
    "name", ["train-00000.safetensors", "validation-00000.safetensors", "text-test.jsonl.zst", "tokenizer.json"]
)
def test_damaged_files_are_named(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[-100] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(DataError, match=rf"{name}: is damaged \(its checksum does not hold\); build the corpus again$"):
        open_corpus(copy)
    (copy / name).write_bytes(data[:1000])
    with pytest.raises(DataError, match=rf"{name}: is damaged"):
        open_corpus(copy)
    (copy / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: is missing; build the corpus again$"):
        open_corpus(copy)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"version": 2}, r"manifest.json: is of version 2, this reads 1; build the corpus again$"),
        ({"format": "other"}, r"manifest.json: does not describe an unmask-corpus"),
        ({"splits": None}, r"manifest.json: is damaged \(no 'splits'\)"),
    ],
)
def test_a_foreign_manifest_is_refused(copy: Path, change: dict[str, object], answer: str) -> None:
    path = copy / "manifest.json"
    values = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}), encoding="utf-8")
    with pytest.raises(DataError, match=answer):
        open_corpus(copy)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"manifest.json: is damaged"):
        open_corpus(copy)


def test_what_is_no_corpus_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no such corpus; make one with unmask corpus build$"):
        open_corpus(tmp_path / "none")
    with pytest.raises(DataError, match=r"is not a corpus, it has no manifest.json"):
        open_corpus(tmp_path)


def test_what_is_in_the_way_is_never_touched(text: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match=r"out: is already there; choose another --out or remove it$"):
        build_corpus(_sources(text), tmp_path / "out", SETTINGS, TOKENIZER)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="is a file, not a folder; choose another name"):
        build_corpus(_sources(text), tmp_path / "file" / "out", SETTINGS, TOKENIZER)
    assert (tmp_path / "out" / "mine").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("", r"few.txt: there is no document in it"),
        ("\n\n", r"few.txt: there is no document in it"),
        ("one\n", r"few.txt: 1 documents leave none for (validation|test); give more text or raise corpus\."),
    ],
)
def test_too_few_documents_are_one_line(tmp_path: Path, content: str, answer: str) -> None:
    path = tmp_path / "few.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=answer):
        build_corpus([Source("few", str(path))], tmp_path / "out", CorpusSettings(document="line"), TOKENIZER)
    assert [path.name for path in tmp_path.iterdir()] == ["few.txt"]


def test_progress_is_told_stage_by_stage(text: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    build_corpus(
        _sources(text),
        tmp_path / "out",
        SETTINGS,
        TOKENIZER,
        lambda stage, done, total: told.append((stage, done, total)),
    )
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["read", "near duplicates", "tokenizer", "tokens"]
    assert ("tokens", 425, 425) in told


def test_the_cache_knows_its_corpora_again(text: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(text / "a.txt", tmp_path))
    sources = [Source("a", str(path))]
    first = cached_corpus(sources, SETTINGS, TOKENIZER)
    assert first.directory.parent == user_cache() / "corpora"
    made = first.directory.stat().st_ino
    again = cached_corpus(sources, SETTINGS, TOKENIZER)
    assert (again.directory, again.directory.stat().st_ino) == (first.directory, made)
    other = cached_corpus(sources, CorpusSettings(document="line", validation=0.25, test=0.1), TOKENIZER)
    assert other.directory != first.directory
    os.utime(path, ns=(0, 0))
    assert cached_corpus(sources, SETTINGS, TOKENIZER).directory != first.directory
    with pytest.raises(DataError, match="standard input: has no name in the cache"):
        cached_corpus([Source("a", "-")], SETTINGS, TOKENIZER)
