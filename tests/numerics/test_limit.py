"""The limit holds where it is measured: real masks, real models, and a planted leak that is called a bug."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.enumerated import Enumeration, Hiding, every_text, text_chances
from torch import Tensor, nn

from unmask.batch import IGNORE_INDEX, MASKED, Batch
from unmask.cli import limit as command
from unmask.cli.limit import RECIPE, source_corpus
from unmask.cli.main import main
from unmask.cli.planning import PretrainSettings
from unmask.corpus.directory import Corpus
from unmask.errors import CheckFailed, DataError
from unmask.evaluation.limit import SOURCE_FILE, known_source, require_possible
from unmask.evaluation.masked import FrozenSet, figures, freeze, masked_evaluation, means, score_frozen
from unmask.model.heads import MaskedLM
from unmask.oracle.posterior import emission_rule, posterior, pseudo_losses
from unmask.oracle.sources import chain, entropy_rate, hmm
from unmask.report.limit_page import halfway, memory_in_words, render_limit
from unmask.runs import RunDirectory
from unmask.settings import read_settings

PAGE = Path(__file__).parents[2] / "docs" / "limit.md"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Return a corpus of a hidden Markov model of 12 symbols."""
    chosen = read_settings(PretrainSettings, defaults=RECIPE, overrides=["corpus.validation=0.4"])
    known = hmm(12, np.random.Generator(np.random.Philox(5)))
    out = tmp_path_factory.mktemp("known")
    return source_corpus(known, "hmm", 900, out, chosen, lambda *_: None)


@pytest.fixture(scope="module")
def frozen(corpus: Corpus) -> FrozenSet:
    return freeze(corpus, 1000)


class Answers(nn.Module):
    """Gives the answers (N, V) that it was handed, in the order in which they are asked for."""

    def __init__(self, answers: np.ndarray) -> None:
        super().__init__()
        self.answers, self.given = torch.from_numpy(answers), 0

    def forward(self, batch: Batch) -> Tensor:
        given = self.answers[self.given : self.given + batch.num_asked]
        self.given += batch.num_asked
        return nn.functional.pad(given, (0, 0, 0, len(batch.asked) - batch.num_asked)).log().clamp(min=-300)


def best_of(frozen: FrozenSet) -> np.ndarray:
    assert frozen.best is not None
    return frozen.best


def measured(model: nn.Module, frozen: FrozenSet) -> dict[str, Any]:
    return figures(score_frozen(model, frozen), frozen)


def test_each_answer_is_that_of_its_own_window(corpus: Corpus, frozen: FrozenSet) -> None:
    known, best = known_source(corpus), iter(best_of(frozen))
    assert known is not None
    rule = emission_rule(rate=0.15, mask=0.8, random=0.1, pool=12)
    symbol_of = {int(token): symbol for symbol, token in enumerate(known.token_ids)} | {corpus.vocabulary.mask_id: -1}
    for shown, labels in list(zip(frozen.masked.input_ids, frozen.masked.labels, strict=True))[:20]:
        answers = posterior(known.source, np.array([[symbol_of[int(token)] for token in shown[1:-1]]]), rule)[0]
        for place in np.flatnonzero(labels != IGNORE_INDEX):
            answer = next(best)
            assert np.allclose(answer[known.token_ids], answers[place - 1], rtol=0, atol=1e-12)
            assert answer.sum() == pytest.approx(1)


def test_the_posterior_is_what_our_masks_make_true(frozen: FrozenSet) -> None:
    """Its answers are calibrated on what the masking really did, at [MASK] and where a token is seen."""
    best, asked = best_of(frozen), frozen.masked.labels != IGNORE_INDEX
    truth, shown = frozen.masked.labels[asked], frozen.masked.input_ids[asked]
    is_true = np.eye(best.shape[1])[truth]
    for chosen in (shown == 4, shown != 4):  # 4 is [MASK]
        off = (is_true - best)[chosen]
        spread = np.sqrt((best * (1 - best))[chosen].sum(0))
        assert (np.abs(off.sum(0)) <= 4 * spread + 1e-9).all()
    seen = shown != 4
    said = best[seen, shown[seen]]
    assert abs((truth[seen] == shown[seen]).sum() - said.sum()) < 4 * np.sqrt((said * (1 - said)).sum())
    assert said.mean() == pytest.approx(0.5, abs=0.1)  # half of what is seen is random, a little of that true


def test_the_best_possible_model_is_at_the_limit(frozen: FrozenSet) -> None:
    mlm = measured(Answers(best_of(frozen)), frozen)
    for name, figure in mlm["limit"]["cross_entropy"].items():
        assert mlm["cross_entropy"][name]["value"] == pytest.approx(figure["value"], abs=1e-6)
    assert mlm["limit"]["captured"]["value"] == pytest.approx(1, abs=1e-6)
    assert mlm["limit"]["divergence"]["value"] == pytest.approx(0, abs=1e-6)
    require_possible(mlm["limit"])


def test_the_unigram_line_has_gone_nothing_of_the_way(frozen: FrozenSet) -> None:
    line = (frozen.counts + 1) / (frozen.counts + 1).sum()
    scores = score_frozen(Answers(np.tile(line, (len(best_of(frozen)), 1))), frozen)
    assert means(scores)["limit"]["captured"] == pytest.approx(0, abs=1e-6)
    divergence = figures(scores, frozen)["limit"]["divergence"]["value"]
    gap = scores.unigram[scores.kind == MASKED].mean() - means(scores)["limit"]["masked"]
    assert divergence == pytest.approx(gap, abs=0.1)  # the same but for the noise of the sampled tokens


def test_halfway_between_the_two_the_share_has_no_noise(frozen: FrozenSet) -> None:
    best, line = best_of(frozen), (frozen.counts + 1) / (frozen.counts + 1).sum()
    captured = measured(Answers(0.5 * best + 0.5 * line), frozen)["limit"]["captured"]
    assert 0.5 < captured["low"] < captured["value"] < captured["high"] < 1
    assert captured["high"] - captured["low"] < 0.05


class Leaky(nn.Module):
    """Wraps a model and adds a little of the answer to what it says."""

    def __init__(self, model: nn.Module, strength: float) -> None:
        super().__init__()
        self.model, self.strength = model, strength

    def forward(self, batch: Batch) -> Tensor:
        answers: Tensor = self.model(batch)
        shown = nn.functional.one_hot(batch.targets.clamp(min=0), answers.shape[1])
        return answers + self.strength * shown


def test_a_small_leak_is_called_a_bug_and_no_leak_is_not(frozen: FrozenSet) -> None:
    best = best_of(frozen)
    with pytest.raises(CheckFailed, match=r"better than is possible at \[MASK\] positions .* this is a bug"):
        require_possible(measured(Leaky(Answers(best), 0.3), frozen)["limit"])
    require_possible(measured(Leaky(Answers(best), -0.3), frozen)["limit"])


def test_the_command_says_no_where_a_model_is_better_than_can_be(
    frozen: FrozenSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for strength, code in ((-0.3, 0), (0.3, 1)):
        found = masked_evaluation({}, frozen, measured(Leaky(Answers(best_of(frozen)), strength), frozen))
        monkeypatch.setattr("unmask.cli.evaluate.evaluate", lambda *_, found=found, **__: found)
        assert main(["evaluate", "runs/first"]) == code
        assert ("this is a bug" in capsys.readouterr().err) == bool(code)


def test_luck_within_three_standard_errors_is_no_bug() -> None:
    fine = {"value": 0.1, "standard_error": 0.01}
    require_possible({"above": {"masked": {"value": -0.029, "standard_error": 0.01}, "all": fine}})
    with pytest.raises(CheckFailed, match="positions asked for"):
        require_possible({"above": {"masked": fine, "all": {"value": -0.031, "standard_error": 0.01}}})


def test_the_standard_error_is_that_of_resampled_documents(frozen: FrozenSet) -> None:
    line = (frozen.counts + 1) / (frozen.counts + 1).sum()
    mlm = measured(Answers(0.5 * best_of(frozen) + 0.5 * line), frozen)
    gap = measured(Answers(np.tile(line, (len(best_of(frozen)), 1))), frozen)["limit"]["above"]["masked"]
    assert mlm["limit"]["above"]["masked"]["standard_error"] < gap["standard_error"]
    scores = score_frozen(Answers(np.tile(line, (len(best_of(frozen)), 1))), frozen)
    assert scores.limit is not None
    masked = scores.kind == MASKED
    off, document = (scores.loss - scores.limit.least)[masked], scores.document[masked]
    names = np.unique(document)
    chance = np.random.Generator(np.random.Philox(0))
    by_document = [off[document == name] for name in names]
    drawn = chance.integers(len(names), size=(400, len(names)))
    resampled = [np.concatenate([by_document[number] for number in numbers]).mean() for numbers in drawn]
    assert gap["standard_error"] == pytest.approx(np.std(resampled), rel=0.15)


def test_a_source_file_of_another_kind_is_refused_in_a_line(corpus: Corpus, tmp_path: Path) -> None:
    path = corpus.directory / SOURCE_FILE
    before = path.read_text()
    try:
        path.write_text(json.dumps({"format": "something"}))
        with pytest.raises(DataError, match=r"source\.json: is no unmask-source 1"):
            freeze(corpus, 10)
    finally:
        path.write_text(before)


SMALL = ["training.batch_rows=8", "training.eval_every=10", "training.threads=1", "--quiet"]


@pytest.fixture
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "TEXTS", 1000)
    monkeypatch.setattr(command, "MEASURED_TEXTS", 50)
    monkeypatch.setattr(command, "SAMPLES", 3)
    monkeypatch.setattr(command, "SWEEPS", 1)


@pytest.mark.usefixtures("few_texts")
def test_the_command_goes_down_to_the_limit_copying_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "limit"
    words = ["--symbols", "8", "--out", str(out), "--budget", "150steps", "optimizer.learning_rate=5e-3", "--json"]
    assert main(["limit", *words, *SMALL]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((out / "limit.json").read_text())
    assert 0.6 < found["mlm"]["limit"]["captured"]["value"] < 1
    run = RunDirectory(out / "run")
    assert run.evaluation["mlm"] == found["mlm"]
    watched = [line for line in run.metrics() if line["kind"] == "evaluation"]
    kept, masked = halfway(watched, "kept"), halfway(watched, "masked")
    assert kept is not None
    assert masked is not None
    assert kept["tokens"] < masked["tokens"]
    copied = next(line for line in watched if line["kept"] < line["unigram"]["kept"] - 0.4)
    assert copied["limit"]["captured"] < 0.1  # nothing of the context is used yet
    page = (out / "limit.html").read_text()
    for said in ("of the way to the limit", "limit, masked", "The same source, asked otherwise", "nothing is learned"):
        assert said in page, said
    ways = [one["way"] for one in found["samples"]]
    assert ways[0] == "the source itself"
    assert ways[-1] == "Gibbs, 1 sweep"
    assert "As a generator" in page
    assert "so this is a bound from above" in page.replace("\n", " ")
    assert found["text"]["above"]["value"] > 3 * found["text"]["above"]["standard_error"]
    assert ">limit " in (out / "run" / "report.html").read_text()
    assert ", the beginning" not in page
    on_and_on = [{**watched[-1], "tokens": watched[-1]["tokens"] * times} for times in range(2, 50)]
    assert ", the beginning" in render_limit(found, run.state, [*watched, *on_and_on])


@pytest.mark.usefixtures("few_texts")
def test_the_command_fails_loudly_where_the_model_sees_the_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest: Callable[[MaskedLM, Batch], Tensor] = MaskedLM.forward

    def leaky(self: MaskedLM, batch: Batch) -> Tensor:
        answers = honest(self, batch)
        return answers + 9.0 * nn.functional.one_hot(batch.targets.clamp(min=0), answers.shape[1])

    monkeypatch.setattr(MaskedLM, "forward", leaky)
    words = ["--symbols", "8", "--source", "hmm", "--out", str(tmp_path / "limit"), "--budget", "3steps"]
    assert main(["limit", *words, *SMALL]) == 1
    said = capsys.readouterr().err
    assert "nats better than is possible" in said
    assert "this is a bug" in said
    assert (tmp_path / "limit" / "limit.html").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["masking.unit=word"], "masking.unit must be token, got word: the limit is exact only where"),
        (["--symbols", "3"], "'--symbols': Input should be greater than or equal to 4"),
        (["--source", "pcfg"], "'pcfg' is not one of 'markov', 'hmm'"),
    ],
)
def test_what_has_no_exact_limit_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert main(["limit", "--out", str(tmp_path / "limit"), *words]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "limit").exists()


def test_what_is_below_the_limit_on_training_text_is_called_learned_by_heart() -> None:
    for value, said in (
        (-0.2, "below the limit at [MASK]: it knows some of that text by heart"),
        (-0.02, "nothing is learned by heart"),
        (0.2, "0.200 nats (standard error 0.010) above the limit at [MASK]"),
    ):
        assert said in memory_in_words({"value": value, "standard_error": 0.01}, "at [MASK]")


def test_the_worked_example_of_the_page_is_what_enumeration_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    tables = [np.array(json.loads(table)) for table in re.findall(r"^    (\[\[.*\]\])$", text, re.MULTILINE)]
    [transition] = tables
    said = {name: float(value) for name, value in re.findall(r"^\| ([^|]+?) \| ([0-9.]+) \|$", text, re.MULTILINE)}
    known, length = chain(transition), 5
    limits = Enumeration(known, length, Hiding(0.15, 0.8, 0.1, 3)).limits()
    chances = text_chances(known, length)
    entropy = float(-(chances * np.log(chances)).sum()) / length
    pseudo = float(chances @ pseudo_losses(known, every_text(3, length)).mean(1))
    rate = entropy_rate(known)
    assert rate is not None
    exact = {
        "`masked`: shown as [MASK]": limits["masked"],
        "`random`: a random token": limits["random"],
        "`kept`: as it was": limits["kept"],
        "`all`: over all three": limits["all"],
        "left to right, mean over the text": entropy,
        "left to right, far from the beginning": rate,
        "one hidden at a time": pseudo,
    }
    assert said == {name: pytest.approx(value, abs=5e-6) for name, value in exact.items()}
