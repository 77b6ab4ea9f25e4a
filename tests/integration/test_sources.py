"""Documents as users have them: mixtures of sources, sequences and code, from the command to the report."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.made_text import write_text

import unmask
from unmask.batch import IGNORE_INDEX, MASKED
from unmask.cli.main import main
from unmask.corpus.build import CorpusSettings, Source, build_corpus
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.order import pattern_counts
from unmask.corpus.tokenizer import TokenizerSettings
from unmask.errors import DataError
from unmask.evaluation.masked import freeze
from unmask.masking.mask import MaskingSettings
from unmask.runs import RunDirectory
from unmask.training.batches import StepBatches
from unmask.training.signals import StopRequest

SMALL = ["model.preset=tiny", "model.hidden_size=32", "training.row_length=32", "training.threads=1", "--quiet"]
SETTINGS = CorpusSettings(validation=0.2, test=0.1, near_duplicates=1)


def write_digits(path: Path, documents: int) -> Path:
    """Write paragraphs of numbers: another language than that of write_text."""
    chance = random.Random(7)
    path.write_text("\n\n".join(" ".join(str(chance.randrange(1000)) for _ in range(30)) for _ in range(documents)))
    return path


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("texts")
    return [write_text(folder / "words.txt", 200), write_digits(folder / "digits.txt", 60)]


def mixed(texts: list[Path], weights: tuple[float | None, float | None], out: Path) -> Corpus:
    sources = [Source(path.stem, str(path), weight) for path, weight in zip(texts, weights, strict=True)]
    return build_corpus(sources, out, SETTINGS, TokenizerSettings(vocab_size=200))


@pytest.fixture(scope="module")
def mixture(texts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return mixed(texts, (0.25, 0.75), tmp_path_factory.mktemp("mixed") / "mixture")


@pytest.fixture(scope="module")
def pool(texts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return mixed(texts, (None, None), tmp_path_factory.mktemp("mixed") / "pool")


def batches_of(corpus: Corpus, batch_rows: int) -> StepBatches:
    return StepBatches(
        rows=corpus.rows(32),
        vocabulary=corpus.vocabulary,
        masking=MaskingSettings(mlm_probability=0.3),
        seed=0,
        batch_rows=batch_rows,
        micro_batch_rows=0,
    )


def source_of(corpus: Corpus) -> dict[int, int]:
    """Return the number of the source of each training document."""
    [shard] = corpus.split("train").shards
    return dict(zip(corpus.split("train").documents().tolist(), shard.source.tolist(), strict=True))


def test_a_row_holds_one_source_and_rows_stand_source_by_source(mixture: Corpus, pool: Corpus) -> None:
    for corpus in (mixture, pool):
        packed, known = corpus.rows(32), source_of(corpus)
        documents = packed.gather(np.arange(packed.num_rows)).document
        for row, source in zip(documents, packed.source.tolist(), strict=True):
            assert {known[name] for name in row[row > 0].tolist()} == {source}
        assert packed.source.tolist() == sorted(packed.source.tolist())
        assert packed.num_tokens == corpus.split("train").num_tokens


def test_every_step_deals_the_exact_shares(mixture: Corpus) -> None:
    batches = batches_of(mixture, 8)
    for step in (0, 1, 77, 10**6):
        [batch] = batches(step)
        assert batch.source is not None
        assert torch.bincount(batch.source).tolist() == [2, 6]
        filled = (batch.segment > 0).sum(1)
        assert batch.source_tokens().tolist() == [int(filled[batch.source == number].sum()) for number in (0, 1)]


@pytest.mark.parametrize(("micro", "ranks"), [(3, 1), (2, 4), (0, 3)])
def test_ranks_and_micro_batches_deal_the_same_rows_of_a_mixture(mixture: Corpus, micro: int, ranks: int) -> None:
    batches = batches_of(mixture, 12)
    [whole] = batches(41)
    for rank in range(ranks):
        dealt = replace(batches, micro_batch_rows=micro, rank=rank, ranks=ranks)(41)
        for name in ("input_ids", "labels", "source"):
            parts = torch.cat([getattr(part, name) for part in dealt])
            assert torch.equal(parts, getattr(whole, name)[rank::ranks])


def test_a_row_that_comes_again_in_its_source_is_masked_anew(mixture: Corpus) -> None:
    packed = mixture.rows(32)
    [batch] = batches_of(mixture, 4 * packed.num_rows)(0)
    assert batch.source is not None
    shown: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    truth = batch.labels.where(batch.labels != IGNORE_INDEX, batch.input_ids)
    for row in torch.flatten(torch.nonzero(batch.source == 1)).tolist():
        shown.setdefault(tuple(truth[row].tolist()), []).append(tuple(batch.input_ids[row].tolist()))
    counts = {len(masked) for masked in shown.values()}
    assert len(shown) == (packed.source == 1).sum()
    assert max(counts) - min(counts) <= 1 < min(counts)
    assert all(len(set(masked)) == len(masked) for masked in shown.values())


def test_without_weights_an_epoch_shows_every_row_once(pool: Corpus) -> None:
    packed = pool.rows(32)
    [batch] = batches_of(pool, packed.num_rows)(2)
    assert batch.source is not None
    np.testing.assert_array_equal(np.bincount(batch.source), np.bincount(packed.source))
    truth = batch.labels.where(batch.labels != IGNORE_INDEX, batch.input_ids)
    assert sorted(truth.tolist()) == sorted(packed.gather(np.arange(packed.num_rows)).input_ids.tolist())


def test_tokens_of_a_row_are_those_that_are_dealt(mixture: Corpus, pool: Corpus) -> None:
    for corpus, steps in ((mixture, 4), (pool, 1)):
        packed = corpus.rows(32)
        rows, _ = packed.order.at(np.arange(steps * packed.num_rows), 1)
        held = packed.gather(rows)
        dealt = (~held.special).sum() / len(rows)
        assert packed.tokens_per_row == pytest.approx(dealt, rel=0.01)
    assert mixture.rows(32).tokens_per_row != pytest.approx(pool.rows(32).tokens_per_row, rel=0.001)


def test_other_weights_are_another_corpus_of_the_same_text(mixture: Corpus, pool: Corpus) -> None:
    assert mixture.fingerprint != pool.fingerprint
    assert mixture.manifest.checksums == pool.manifest.checksums
    assert [source["weight"] for source in pool.manifest.sources] == [None, None]
    assert freeze(mixture, 30).fingerprint == freeze(pool, 30).fingerprint


def test_a_weight_for_nothing_is_refused(texts: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(texts[0].read_bytes())
    with pytest.raises(DataError, match=r"copy.txt: has a weight, but none of its 0 new documents came to train; give"):
        mixed([texts[0], copy], (1, 1), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.txt"]


@pytest.fixture(scope="module")
def run(mixture: Corpus, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["--corpus", str(mixture.directory), "--out", str(out), "--budget", "60steps", *SMALL]
    assert main(["pretrain", *words, "training.batch_rows=8", "optimizer.learning_rate=3e-3"]) == 0
    return RunDirectory(out)


def test_a_run_tells_its_sources_apart(run: RunDirectory, mixture: Corpus) -> None:
    train = [line for line in run.metrics() if line["kind"] == "train"]
    batches, seen = batches_of(mixture, 8), torch.zeros(2, dtype=torch.int64)
    for step in range(60):
        seen += sum(batch.source_tokens() for batch in batches(step))
    last = train[-1]["sources"]
    assert [last[name]["tokens"] for name in ("words", "digits")] == seen.tolist()
    assert train[-1]["tokens"] == run.state["tokens"] == int(seen.sum())
    assert run.state["source_tokens"] == seen.tolist()
    for line in train:
        by_source = [line["sources"][name]["masked"] for name in ("words", "digits")]
        assert min(by_source) <= line["masked"] <= max(by_source)
    assert last["words"]["masked"] != last["digits"]["masked"]


def test_the_evaluation_tells_its_sources_apart(run: RunDirectory, mixture: Corpus) -> None:
    evaluation = run.read("evaluation.json")
    assert evaluation is not None
    mlm, frozen = evaluation["mlm"], freeze(mixture, 1000)
    parts: dict[str, Any] = mlm["by_source"]
    assert list(parts) == ["words", "digits"]
    assert sum(part["documents"] for part in parts.values()) == evaluation["frozen"]["documents"]
    asked = (frozen.masked.kind == MASKED).sum(1)
    positions = [int(asked[frozen.source == number].sum()) for number in (0, 1)]
    for key in ("cross_entropy", "unigram"):
        mean = sum(n * part[key]["value"] for n, part in zip(positions, parts.values(), strict=True)) / sum(positions)
        assert mean == pytest.approx(mlm[key]["masked"]["value"], rel=1e-6)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert 'id="sources"' in page
    assert "Nats per token, by source" in page


def test_a_resumed_run_counts_the_tokens_of_its_sources_on(
    mixture: Corpus, run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    words = ["--corpus", str(mixture.directory), "--out", str(out), "--budget", "60steps", *SMALL]
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "requested", property(lambda _: True, lambda _, value: None), raising=False)
        assert main(["pretrain", *words, "training.batch_rows=8", "optimizer.learning_rate=3e-3"]) == 75
    assert main(["pretrain", "--resume", str(out), "--quiet"]) == 0
    first, again = ([line for line in of.metrics() if line["kind"] == "train"][-1] for of in (run, RunDirectory(out)))
    assert again["sources"] == first["sources"]
    assert RunDirectory(out).state["source_tokens"] == run.state["source_tokens"]
    assert RunDirectory(out).read("evaluation.json")["mlm"] == run.read("evaluation.json")["mlm"]  # type: ignore[index]


def test_one_source_has_no_parts(tmp_path: Path, texts: list[Path]) -> None:
    corpus = build_corpus(
        [Source("words", str(texts[0]), 2.0)], tmp_path / "corpus", SETTINGS, TokenizerSettings(vocab_size=200)
    )
    out = tmp_path / "run"
    assert main(["pretrain", "--corpus", str(corpus.directory), "--out", str(out), "--budget", "4steps", *SMALL]) == 0
    run = RunDirectory(out)
    assert all("sources" not in line for line in run.metrics())
    assert "by_source" not in run.read("evaluation.json")["mlm"]  # type: ignore[index]
    assert 'id="sources"' not in (out / "report.html").read_text(encoding="utf-8")


def test_the_command_takes_weights(texts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{texts[0]}=0.9", f"{texts[1]}=0.1", "corpus.validation=0.2", "tokenizer.vocab_size=200"]
    assert main(["corpus", "build", *words, "--out", str(tmp_path / "out"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["sources"]
    assert [(source["name"], source["weight"]) for source in shown] == [("words", 0.9), ("digits", 0.1)]
    assert pattern_counts([source["weight"] for source in shown]).tolist() == [9, 1]


def test_code_by_the_file_keeps_its_indentation(tmp_path: Path) -> None:
    code = "import os\n\n\ndef {name}(path):\n    if path:\n\treturn [\n            os.sep,\n        ]\n\n    return"
    folder = tmp_path / "code"
    (folder / "deep").mkdir(parents=True)
    written = {code.format(name=f"function_{number}") for number in range(60)}
    for number, text in enumerate(sorted(written)):
        (folder / ("deep" if number % 2 else ".") / f"module_{number}.py").write_text(text + "\n", encoding="utf-8")
    settings = CorpusSettings(document="file", validation=0.3, test=0.3, near_duplicates=1)
    corpus = build_corpus([Source("code", str(folder))], tmp_path / "out", settings, TokenizerSettings(kind="bpe"))
    assert corpus.manifest.documents["kept"] == 60
    held_out = [text["text"] for split in ("validation", "test") for text in corpus.texts(split)]
    assert len(held_out) > 20
    assert set(held_out) < written
    [shard] = corpus.split("train").shards
    read_back = {corpus.tokenizer.decode(tokens.tolist()) for tokens in np.split(shard.tokens, shard.starts[1:-1])}
    assert read_back | set(held_out) == written, "a byte-level tokenizer gives line breaks and indentation back"


def write_proteins(path: Path, records: int) -> Path:
    """Write made proteins, each of one half of the residues alone."""
    chance = random.Random(1)
    lines = []
    for number in range(records):
        text = "".join(chance.choices("ACDEFGHIKL" if number % 2 else "MNPQRSTVWY", k=120))
        lines += [f">record {number} of a family", text[:60], text[60:].lower() if number == 0 else text[60:]]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_pretraining_on_sequences_from_fasta_to_filled_gaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write_proteins(tmp_path / "proteins.fasta", 150), tmp_path / "run"
    words = ["--corpus", str(source), "--out", str(out), "--budget", "120steps", *SMALL]
    learning = ["tokenizer.kind=characters", "optimizer.learning_rate=5e-3", "training.batch_rows=16"]
    assert main(["pretrain", *words, *learning, "corpus.validation=0.1", "masking.mlm_probability=0.15"]) == 0
    run = RunDirectory(out)
    evaluation = run.read("evaluation.json")
    assert evaluation is not None
    assert evaluation["mlm"]["gap"]["low"] > 0.3  # of ln 2 that is to be had
    corpus = open_corpus(Path(run.state["corpus"]["path"]))
    letters = set(corpus.tokenizer.get_vocab()) - {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    assert set("ACDEFGHIKLMNPQRSTVWY") <= letters <= set("ACDEFGHIKLMNPQRSTVWYacdefghiklmnpqrstvwy")
    assert all(text["text"].isalpha() and len(text["text"]) == 120 for text in corpus.texts("validation"))
    [answer] = unmask.load(out).fill([f"{next(corpus.texts('test'))['text'][:10]}[MASK]"], top_k=3)
    assert all(len(choice["token_str"]) == 1 for choice in answer)
    capsys.readouterr()


def test_sequences_cut_into_words_are_refused_before_they_train(tmp_path: Path) -> None:
    source = write_proteins(tmp_path / "proteins.fa", 60)
    with pytest.raises(DataError, match=r"proteins.fa: 100% of the tokens are unknown .* characters for sequences"):
        build_corpus([Source("proteins", str(source))], tmp_path / "out", SETTINGS, TokenizerSettings())
    assert not (tmp_path / "out").exists()
