"""Duplicates: grams against an obvious twin, clusters of texts that are alike by construction, what overlaps."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.corpus import dedup

WORD = re.compile(r"[\u3000-\u9fff]|(?:(?![\u3000-\u9fff])(?:[a-z0-9_]|[^\x00-\x7f]))+")


def _words(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices("abcdefghijklmnop", k=6)) for _ in range(count)]


def _slow_grams(text: str) -> list[tuple[str, ...]]:
    words = WORD.findall(text.lower())
    return [tuple(words[i : i + 8]) for i in range(max(1, len(words) - 7))]


@given(st.lists(st.text(alphabet="aAbé_ 漢字.\n", max_size=60), min_size=1, max_size=6))
def test_grams_are_equal_where_an_obvious_twin_has_them_equal(texts: list[str]) -> None:
    hashes, starts = dedup.grams(texts)
    slow = [_slow_grams(text) for text in texts]
    assert np.diff(starts).tolist() == [len(grams) for grams in slow]
    flat: list[object] = [gram or (text.lower(),) for text, grams in zip(texts, slow, strict=True) for gram in grams]
    assert len(set(hashes.tolist())) == len(set(flat))
    assert len(set(zip(hashes.tolist(), flat, strict=True))) == len(set(flat))


def test_grams_do_not_hang_on_the_batch_or_on_case_and_punctuation() -> None:
    texts = [" ".join(_words(i, 20)) for i in range(5)]
    together, _ = dedup.grams(texts)
    alone = [dedup.grams([text])[0] for text in texts]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    np.testing.assert_array_equal(dedup.grams([texts[0].upper().replace(" ", ", ")])[0], alone[0])


def test_grams_are_the_same_on_any_machine() -> None:
    assert [f"{value:016x}" for value in dedup.grams(["The quick brown fox"])[0]] == ["dea6d38d2695fdc1"]


def _clusters(folder: Path, texts: list[str], threshold: float) -> npt.NDArray[np.int64]:
    signatures = dedup.Signatures(folder, threshold)
    for start in range(0, len(texts), 7):
        signatures.add(texts[start : start + 7])
    clusters = signatures.clusters()
    signatures.close()
    return clusters


@pytest.mark.parametrize("keys", [1 << 22, 50])
def test_near_copies_and_quotations_cluster_and_strangers_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: int
) -> None:
    monkeypatch.setattr(dedup, "_KEYS_IN_MEMORY", keys)
    texts = [" ".join(_words(seed, 100)) for seed in range(200)]
    edited = texts[3].split()
    edited[50] = "changed"
    texts += [" ".join(edited), " ".join(texts[7].split()[:40]), "one two three", "ONE, two; three!"]
    clusters = _clusters(tmp_path, texts, 0.5)
    expected = np.arange(204)
    expected[[200, 201, 203]] = [3, 7, 202]
    np.testing.assert_array_equal(clusters, expected)


def test_a_chain_is_one_cluster_named_by_its_first(tmp_path: Path) -> None:
    words = _words(0, 400)
    texts = [" ".join(words[start : start + 100]) for start in (75, 0, 50, 25, 100)]
    assert _clusters(tmp_path, texts, 0.6).tolist() == [0] * 5


def test_alike_means_a_share_of_the_smaller_text(tmp_path: Path) -> None:
    words, other = _words(1, 107), _words(2, 200)  # 100 grams; 40 words of it make 33 of them
    pair = [" ".join(words), " ".join(words[:40] + other)]
    for threshold, together in ((0.3, True), (0.36, False)):
        folder = tmp_path / str(threshold)
        folder.mkdir()
        assert (len(set(_clusters(folder, pair, threshold).tolist())) == 1) is together


def test_ids_seen_are_known_again(tmp_path: Path) -> None:
    seen = dedup.SeenIds(tmp_path)
    assert [seen.add(identity) for identity in (b"a", b"b", b"a", b"a", b"c")] == [True, True, False, False, True]
    seen.close()


def test_overlap_is_the_share_of_distinct_grams_found(monkeypatch: pytest.MonkeyPatch) -> None:
    words = _words(0, 47)  # 40 grams
    overlap = dedup.Overlap()
    assert overlap.share == 0
    overlap.hold([" ".join(words), " ".join(words)])
    overlap.seek([" ".join(words[:17])])  # 10 of them
    overlap.seek([" ".join(words[:15]), "nothing of it"])
    assert overlap.share == 0.25
    monkeypatch.setattr(dedup, "_GRAMS_MEASURED", 16)
    few = dedup.Overlap()
    few.hold([" ".join(words[:20])])
    few.hold([" ".join(words[20:])])
    few.seek([" ".join(words[:20]), " ".join(words[20:])])
    assert few.share == 1
