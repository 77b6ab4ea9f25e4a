"""Phrases: found as a slow reader finds them, in every family of tokenizers, hidden whole, wherever windows are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made_split import split_of
from tests.made_text import SUBJECTS, write_text
from tests.unit.test_words import FAMILIES, family
from tests.unit.test_words import _unparted as unparted

from unmask.batch import IGNORE_INDEX
from unmask.cli.planning import pretrain_settings, step_batches
from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.phrases import PhrasePlaces, Phrases, read_phrases, words_back
from unmask.corpus.shards import Encoder
from unmask.corpus.tokenizer import TokenizerSettings, vocabulary_of
from unmask.errors import DataError
from unmask.masking.mask import MaskingSettings, mask_rows

UNPARTED = ("bytes", "metaspace", "llama", "gemma")
LISTED = ["in memory", "in order", "The small", "array in", "the large", "the large array", "the large buffer"]


def listed(folder: Path, lines: list[str]) -> Path:
    path = folder / "phrases.txt"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module", params=["wordpiece", "bpe"])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp(request.param)
    source = Source(name="made", where=str(write_text(folder / "text.txt", 300, seed=3)))
    tokenizer = TokenizerSettings(kind=request.param, vocab_size=320)
    return build_corpus([source], folder / "corpus", CorpusSettings(near_duplicates=1), tokenizer)


@pytest.fixture
def phrases(corpus: Corpus, tmp_path: Path) -> Phrases:
    return corpus.phrases(listed(tmp_path, [*LISTED, "", "  "]))


def slow_back(tokens: list[int], begins: list[bool], starts: list[int], phrases: Phrases) -> list[int]:
    """Walk through the tokens and try every phrase at every one."""

    def fits(written: tuple[int, ...], at: int, limit: int) -> bool:
        end = at + len(written)
        starts_well = begins[at] or tokens[at - 1] in phrases.signs
        return (
            len(written) > 1
            and starts_well
            and tuple(tokens[at : min(end, limit)]) == written
            and (end == limit or begins[end] or tokens[end] in phrases.signs)
        )

    back, at = [0] * len(tokens), 0
    while at < len(tokens):
        limit = next(start for start in starts if start > at)
        lengths = [len(written) for written in phrases.written if fits(written, at, limit)]
        if not lengths:
            at += 1
            continue
        end = at + max(lengths)
        while end < limit and not begins[end]:  # the rest of its last word
            end += 1
        for place in range(at, end):
            back[place] = sum(begins[at + 1 : place + 1])
        at = end
    return back


def test_a_slow_reader_finds_the_same_phrases(corpus: Corpus, phrases: Phrases) -> None:
    split = corpus.split("train")
    [shard] = split.shards
    slow = slow_back(shard.tokens.tolist(), shard.begins().tolist(), shard.starts.tolist(), phrases)
    found = words_back(split, phrases)
    assert found.tolist() == slow
    assert found.max() == 2  # the longest of two that begin together
    assert 0.02 < (found > 0).mean() < 0.3


FEW = st.integers(0, 2)


@settings(max_examples=200)
@given(
    documents=st.lists(st.lists(st.tuples(FEW, st.booleans()), min_size=1, max_size=12), min_size=1, max_size=4),
    written=st.frozensets(st.lists(FEW, min_size=1, max_size=4).map(tuple), min_size=1, max_size=4),
    signs=st.frozensets(FEW, max_size=1),
)
def test_a_slow_reader_finds_the_same_in_any_tokens(
    documents: list[list[tuple[int, bool]]], written: frozenset[tuple[int, ...]], signs: frozenset[int]
) -> None:
    """Three tokens alone, so that phrases overlap, repeat, and go on over the ends of words and documents."""
    phrases = Phrases(written, signs, len(written))
    split = split_of([([token for token, _ in of], [True, *(begin for _, begin in of[1:])]) for of in documents])
    [shard] = split.shards
    slow = slow_back(shard.tokens.tolist(), shard.begins().tolist(), shard.starts.tolist(), phrases)
    assert words_back(split, phrases).tolist() == slow


SIGHTS = {  # a text, and in how many places of it "foo bar" or "вышел и" stands
    "foo bar": 1,
    "the foo bar is": 1,
    "(foo bar)": 1,
    "at foo bar, foo bar. foo bar!": 3,
    "foo barn": 0,
    "Xfoo bar": 0,
    "foo, bar": 0,
    "foo foo bar bar": 1,
    "foo": 0,
    "вышел и, вышел и": 2,
    "вышел ищ": 0,  # a letter of two bytes may be two tokens, and half a letter is no sign
}


@pytest.mark.parametrize("name", [*FAMILIES, *UNPARTED])
def test_phrases_are_found_between_spaces_and_signs_in_every_family(name: str, tmp_path: Path) -> None:
    tokenizer = unparted(name) if name in UNPARTED else family(name)
    vocabulary = vocabulary_of(tokenizer)
    phrases = read_phrases(listed(tmp_path, ["foo bar", "foo bar", "вышел и"]), tokenizer, vocabulary)
    assert phrases.count == 2
    for text, places in SIGHTS.items():
        split = split_of(Encoder(tokenizer, vocabulary).encode([text]))
        found = PhrasePlaces(words_back(split, phrases), phrases.count).counts(split)
        assert found["places"] == places, text
        assert found["listed"] == 2


def test_the_share_of_words_counts_all_words_of_a_phrase() -> None:
    split = split_of([([1, 2, 3, 4], [True, True, False, True])], [([1, 2, 3], [True, True, False])])
    places = PhrasePlaces(words_back(split, Phrases(frozenset({(1, 2, 3)}), frozenset(), 1)), 1)
    assert places.back.tolist() == [0, 1, 1, 0, 0, 1, 1]
    assert places.counts(split) == {"listed": 1, "places": 2, "word_share": 4 / 5}


def test_the_words_of_a_phrase_are_one_word_in_every_cut(corpus: Corpus, phrases: Phrases) -> None:
    seen: dict[tuple[int, int], int] = {}
    for length in (16, 128):
        rows = corpus.rows(length, phrases=phrases)
        gathered = rows.gather(np.arange(rows.num_rows))
        text = ~gathered.special
        keys = zip(gathered.document[text].tolist(), gathered.offset[text].tolist(), strict=True)
        for key, word in zip(keys, gathered.word[text].tolist(), strict=True):
            assert seen.setdefault(key, word) == word
    plain = corpus.rows(128).gather(np.arange(corpus.rows(128).num_rows))
    merged = corpus.rows(128, phrases=phrases).gather(np.arange(corpus.rows(128).num_rows))
    assert (merged.word <= plain.word).all()
    assert (merged.word < plain.word).any()
    assert np.array_equal(merged.input_ids, plain.input_ids)


def test_a_phrase_is_hidden_whole_or_not_at_all(corpus: Corpus, phrases: Phrases) -> None:
    rows = corpus.rows(128, phrases=phrases).gather(np.arange(40))
    masked = mask_rows(
        rows,
        MaskingSettings(unit="phrase", phrases=Path("phrases.txt")),
        mask_id=corpus.vocabulary.mask_id,
        ordinary_ids=corpus.vocabulary.ordinary_ids,
        seed=1,
        epoch=np.zeros(40, np.int64),
        rate=0.4,
    )
    hidden = masked.labels != IGNORE_INDEX
    for document in np.unique(rows.document[~rows.special]):
        of_document = (rows.document == document) & ~rows.special
        for word in np.unique(rows.word[of_document]):
            assert len(set(hidden[of_document & (rows.word == word)].tolist())) == 1


def test_what_was_found_is_kept_and_made_again_where_it_is_damaged(corpus: Corpus, phrases: Phrases) -> None:
    corpus.rows(64, phrases=phrases)
    path = corpus.directory / f"phrases-{phrases.digest}.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-3] + bytes(byte ^ 1 for byte in before[-3:]))
    again = open_corpus(corpus.directory)
    assert np.array_equal(
        again.rows(64, phrases=phrases).gather(np.arange(9)).word,
        corpus.rows(64, phrases=phrases).gather(np.arange(9)).word,
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no phrase; write one a line, or choose masking.unit=word"),
        (["in memory", "\u2603 \u2603"], ":2: the tokenizer has no tokens for '\u2603 \u2603'; leave it out"),
        ([" ".join(["in"] * 300)], ":1: a phrase has at most 255 tokens, this has 300"),
    ],
)
def test_lists_that_can_not_be_used(made_corpus: Corpus, tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        made_corpus.phrases(listed(tmp_path, lines))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_not_there_or_not_text(made_corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("none.txt", "bytes.txt"):
        with pytest.raises(DataError, match="can not be read as a list of phrases"):
            made_corpus.phrases(tmp_path / name)


def test_a_list_of_which_nothing_occurs_is_refused(made_corpus: Corpus, tmp_path: Path) -> None:
    path = listed(tmp_path, ["times times times", SUBJECTS[0]])
    chosen = pretrain_settings([f"masking.phrases={path}", "masking.unit=phrase"])
    with pytest.raises(DataError, match="none of its phrases of several words is in"):
        step_batches(made_corpus, chosen)
