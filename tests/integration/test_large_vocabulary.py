"""A vocabulary of 250,000 from text to batch: ids of 32 bits everywhere, replacements from all of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.one_step import one_step
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from unmask.batch import RANDOM
from unmask.cli.planning import pretrain_settings, step_batches
from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.tokenizer import SPECIAL, TokenizerSettings

SIZE = 250_000


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a tokenizer of SIZE whole words, and a text that uses those with the highest ids."""
    folder = tmp_path_factory.mktemp("large")
    names = [*SPECIAL, *(f"w{number}" for number in range(SIZE - len(SPECIAL)))]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.WhitespaceSplit(), decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    chance = np.random.default_rng(0)
    lines = [" ".join(names[number] for number in chance.integers(5, SIZE, 40)) for _ in range(300)]
    (folder / "text.txt").write_text("\n\n".join(lines))
    return folder / "tokenizer.json", folder / "text.txt"


def test_ids_and_replacements_reach_the_end_of_the_vocabulary(words: tuple[Path, Path], tmp_path: Path) -> None:
    tokenizer, text = words
    source = Source(name="large", where=str(text))
    corpus = build_corpus([source], tmp_path / "corpus", CorpusSettings(), TokenizerSettings(path=tokenizer))
    [shard] = corpus.split("train").shards
    assert shard.tokens.dtype == np.uint32
    assert shard.tokens.max() > SIZE * 0.99

    chosen = ["masking.mlm_probability=1", "masking.mask_replace_prob=0", "masking.random_replace_prob=1"]
    batches = step_batches(corpus, pretrain_settings(chosen))
    rows, masked = batches.masked_at(np.arange(batches.rows.num_rows))
    assert np.array_equal(masked.labels[~rows.special], rows.input_ids[~rows.special])
    drawn = masked.input_ids[masked.kind == RANDOM]
    assert len(drawn) > 9_000
    assert drawn.max() > SIZE * 0.999
    assert drawn.min() >= len(SPECIAL)
    assert drawn.mean() == pytest.approx(SIZE / 2, rel=0.03)
    [batch] = batches(0)
    assert batch.labels.max() > 1 << 17
    step = one_step(corpus, "training.row_length=64")
    assert step.is_finite
    assert step.loss / step.asked == pytest.approx(np.log(SIZE), rel=0.05)  # it knows nothing yet
