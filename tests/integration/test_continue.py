"""Going on from a model that is there: from a published one, from a run; checked before the first step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.made_text import write_text
from tests.published import publish

import unmask
from unmask.cli.main import main
from unmask.cli.planning import PretrainSettings
from unmask.corpus.directory import Corpus, open_corpus
from unmask.inference.resolve import resolve
from unmask.inference.torch_engine import read_model
from unmask.model.hub.families import BERT
from unmask.model.hub.tensors import to_published
from unmask.runs import RunDirectory
from unmask.settings import read_settings

ROOT = Path(__file__).parents[2]
ROWS = ["training.row_length=64", "training.batch_rows=8", "training.threads=1"]
SMALL = ["model.preset=bert-tiny", "model.hidden_size=64", "model.num_hidden_layers=1", *ROWS]
SMALL += ["optimizer.learning_rate=1e-2"]
POOLER = torch.arange(64.0)


@pytest.fixture(scope="module")
def run(made_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that knows its text better than frequencies do."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["--corpus", str(made_corpus.directory), "--out", str(out), "--budget", "100steps", "--quiet"]
    assert main(["pretrain", *words, *SMALL]) == 0
    return out


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same model as others would have published it, with a pooler."""
    made = tmp_path_factory.mktemp("published")
    found = resolve(run)
    config = found.config
    values = {"model_type": "bert", "vocab_size": config.vocab_size, "max_position_embeddings": 512}
    values |= {name: getattr(config, name) for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    (made / "config.json").write_text(json.dumps({**values, "intermediate_size": config.intermediate_size}))
    tensors = {name: value.clone() for name, value in to_published(read_model(found).state_dict(), BERT).items()}
    save_file({**tensors, "bert.pooler.dense.bias": POOLER}, made / "model.safetensors")
    shutil.copy(run / "tokenizer.json", made)
    return made


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Return the one line in which a pre-training is refused, which leaves nothing behind."""
    capsys.readouterr()
    assert main(["pretrain", *ROWS, "--budget", "4steps", "--quiet", *map(str, words)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not Path(str(words[words.index("--out") + 1])).exists()
    return said


def test_a_published_model_is_measured_as_the_run_that_it_was(
    run: Path, folder: Path, made_corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--corpus", str(made_corpus.directory), "--json"]) == 0
    there, here = json.loads(capsys.readouterr().out), RunDirectory(run).evaluation
    assert there["mlm"] == here["mlm"]
    assert there["frozen"] == here["frozen"]
    assert there["model"] == {"path": str(folder), "kind": "published", "model_type": "bert"}


def test_a_run_goes_on_from_a_published_model(
    folder: Path, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "on"
    words = ["--corpus", str(made_corpus.directory), "--out", str(out), "--budget", "10steps"]
    capsys.readouterr()
    assert main(["pretrain", str(ROOT / "recipes" / "continue.yaml"), "--init", str(folder), *words, *ROWS]) == 0
    assert f"from {folder}: " in capsys.readouterr().err
    on = RunDirectory(out)
    state, before = on.state, json.loads((folder / "config.json").read_text())
    assert state["parent"]["path"] == str(folder)
    assert state["parent"]["model_type"] == "bert"
    assert state["model"]["config"]["hidden_size"] == before["hidden_size"]
    assert "model" not in on.settings
    first, *_, last = [line for line in on.metrics() if line["kind"] == "evaluation"]
    assert first["step"] == 0
    assert first["masked"] < first["unigram"]["masked"] - 0.5
    assert abs(last["masked"] - first["masked"]) < 0.3  # at a rate so low that it is still the same model
    assert torch.equal(load_file(out / "carried.safetensors")["bert.pooler.dense.bias"], POOLER)
    assert f"from {folder}" in (out / "report.html").read_text()
    again = tmp_path / "again"
    assert main(["pretrain", "--init", str(out), *words[:2], "--out", str(again), "--budget", "2steps", *ROWS]) == 0
    assert (again / "carried.safetensors").read_bytes() == (out / "carried.safetensors").read_bytes()
    assert RunDirectory(again).state["parent"]["model_type"] == "bert"


def test_text_is_cut_by_the_tokenizer_of_the_model(folder: Path, tmp_path: Path) -> None:
    text = write_text(tmp_path / "other.txt", 300, seed=9)
    on = unmask.pretrain(text, tmp_path / "on", init=folder, budget="2steps", settings=ROWS, progress=False)
    assert resolve(on.path).config.vocab_size == resolve(folder).config.vocab_size
    assert (on.path / "tokenizer.json").read_text() == resolve(folder).tokenizer.to_str()


def test_an_encoder_without_a_head_gets_one_and_it_is_said(
    folder: Path, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = shutil.copytree(folder, tmp_path / "bare")
    tensors = load_file(bare / "model.safetensors")
    save_file({name: value for name, value in tensors.items() if "cls." not in name}, bare / "model.safetensors")
    words = ["--corpus", str(made_corpus.directory), "--out", str(tmp_path / "on"), "--budget", "2steps", *ROWS]
    capsys.readouterr()
    assert main(["pretrain", "--init", str(bare), *words]) == 0
    assert f"{bare} came without a head: a new one starts from chance" in capsys.readouterr().err
    assert main(["evaluate", str(bare), "--corpus", str(made_corpus.directory)]) == 2
    assert "was published without a head" in capsys.readouterr().err


def test_a_wrong_conversion_is_seen_before_the_first_step(
    folder: Path, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = shutil.copytree(folder, tmp_path / "wrong")
    tensors = load_file(wrong / "model.safetensors")
    words = tensors["bert.embeddings.word_embeddings.weight"]
    save_file({**tensors, "bert.embeddings.word_embeddings.weight": words.roll(1, 0)}, wrong / "model.safetensors")
    said = refused(capsys, "--init", wrong, "--corpus", made_corpus.directory, "--out", tmp_path / "on")
    assert "nats at [MASK] on this corpus before training, and guessing by frequency" in said


def test_a_model_that_does_not_go_with_the_corpus_or_the_settings_is_refused(
    run: Path, folder: Path, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("bert", tmp_path)
    words = ["--corpus", made_corpus.directory, "--out", tmp_path / "on"]
    said = refused(capsys, "--init", tmp_path, *words)
    assert "was made with another tokenizer than the model; build it with the model's" in said
    assert f"tokenizer.path={tmp_path / 'tokenizer.json'}" in said
    for setting in ("model.preset=tiny", "model.hidden_size=32", "model.is_causal=true"):
        said = refused(capsys, "--init", folder, *words, setting)
        assert f"{setting.partition('=')[0]} is " in said
        assert "brings a shape of its own; leave it out" in said
    assert "rows of 600 tokens do not fit" in refused(capsys, "--init", run, *words, "training.row_length=600")
    assert "there is no such model" in refused(capsys, "--init", tmp_path / "none", *words)
    assert main(["pretrain", "--resume", str(run), "--init", str(folder)]) == 2
    assert "has its own init; leave that out" in capsys.readouterr().err


def test_a_run_that_died_before_its_first_checkpoint_starts_from_the_same_model(
    folder: Path, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = shutil.copytree(folder, tmp_path / "parent")
    words = ["--corpus", str(made_corpus.directory), "--budget", "4steps", "--quiet", *ROWS]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert main(["pretrain", "--init", str(parent), "--out", str(whole), *words]) == 0
    assert main(["pretrain", "--init", str(parent), "--out", str(cut), *words]) == 0
    for checkpoint in RunDirectory(cut).checkpoints():
        shutil.rmtree(checkpoint)
    RunDirectory(cut).update(status="running", step=0)
    assert main(["pretrain", "--resume", str(cut), "--quiet"]) == 0
    one, two = (RunDirectory(path).checkpoints()[-1] / "model.safetensors" for path in (whole, cut))
    assert one.read_bytes() == two.read_bytes()
    for checkpoint in RunDirectory(cut).checkpoints():
        shutil.rmtree(checkpoint)
    RunDirectory(cut).update(status="running", step=0)
    save_file(
        {**load_file(parent / "model.safetensors"), "bert.pooler.dense.bias": POOLER + 1}, parent / "model.safetensors"
    )
    assert main(["pretrain", "--resume", str(cut), "--quiet"]) == 2
    assert "is not as it was when the run started from it" in capsys.readouterr().err


def test_the_recipe_is_lower_and_shorter_than_a_new_start() -> None:
    new, on = PretrainSettings(), read_settings(PretrainSettings, ROOT / "recipes" / "continue.yaml")
    assert on.optimizer.learning_rate < new.optimizer.learning_rate / 10
    assert on.schedule.warmup < new.schedule.warmup
    assert on.model == new.model


def new_text(folder: Path) -> Path:
    """Write text of which two words are new to the model, and return its file."""
    text = write_text(folder / "new.txt", 300, seed=5)
    text.write_text(text.read_text().replace("server", "potatoes").replace("kernel", "tornadoes"))
    return text


def test_a_model_grows_with_the_words_of_the_text(
    folder: Path, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, text = tmp_path / "on", new_text(tmp_path)
    words = ["--init", str(folder), "--corpus", str(text), "--budget", "6steps", "tokenizer.grow=2", *ROWS]
    assert main(["pretrain", "--out", str(out), *words]) == 0
    assert f"from {folder}, vocabulary grown by 2 (potatoes, tornadoes): " in capsys.readouterr().err
    before, on = resolve(folder), RunDirectory(out)
    found = resolve(out)
    assert found.config.vocab_size == found.vocabulary.size == before.vocabulary.size + 2
    new = {found.tokenizer.id_to_token(before.vocabulary.size + number) for number in (0, 1)}
    assert new == {"potatoes", "tornadoes"}
    weights = read_model(found).state_dict()
    assert weights["decoder.bias"].shape == (found.config.vocab_size,)
    assert "decoder.weight" not in weights
    assert on.state["model"]["config"]["vocab_size"] == found.config.vocab_size
    assert on.evaluation["mlm"]["cross_entropy"]["masked"]["n"] > 1
    shutil.rmtree(out / "checkpoints")  # as if it had died before the first one
    on.update(status="running", step=0)
    assert main(["pretrain", "--resume", str(out), "--quiet"]) == 0
    for name, value in read_model(resolve(out)).state_dict().items():
        assert torch.equal(value, weights[name])
    again = ["--init", str(out), "--corpus", str(text), "--out", str(tmp_path / "again"), "--budget", "2steps", *ROWS]
    assert main(["pretrain", *again]) == 0
    said = refused(capsys, "--init", out, "--corpus", made_corpus.directory, "--out", tmp_path / "back")
    assert "was made with another tokenizer than the model" in said
    said = refused(capsys, "--corpus", text, "--out", tmp_path / "new", "tokenizer.grow=2")
    assert "tokenizer.grow is 2; name what is to be grown as tokenizer.path" in said


def test_what_is_forgotten_is_measured_beside_what_is_learned(
    folder: Path, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, text = tmp_path / "on", write_text(tmp_path / "new.txt", 300, seed=5)
    text.write_text(text.read_text().replace(" the ", " small "))
    words = ["--init", str(folder), "--corpus", str(text), "--general", str(made_corpus.directory), *ROWS]
    words += ["--budget", "24steps", "optimizer.learning_rate=2e-2", "training.save_every=12"]
    capsys.readouterr()
    assert main(["pretrain", "--out", str(out), *words]) == 0
    on = RunDirectory(out)
    general = on.evaluation["general"]
    forgotten, before, after = (general[name] for name in ("forgotten", "before", "after"))
    said = capsys.readouterr().out
    assert f"forgotten: {forgotten['value']:+.3f} [{forgotten['low']:+.3f}, {forgotten['high']:+.3f}]" in said
    assert forgotten["value"] == pytest.approx(after["value"] - before["value"])
    assert 0 < forgotten["low"] < forgotten["value"] < forgotten["high"]
    assert forgotten["high"] - forgotten["low"] < 2 * (after["high"] - after["low"])
    assert general["fingerprint"] == made_corpus.fingerprint
    for where, path in (("before", folder), ("after", out)):  # the same frozen set as anybody measures on
        assert main(["evaluate", str(path), "--corpus", str(made_corpus.directory), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["frozen"] == general["frozen"]
        assert found["mlm"]["cross_entropy"]["masked"]["value"] == pytest.approx(general[where]["value"], abs=1e-5)
    first, *_, last = [line for line in on.metrics() if line["kind"] == "evaluation"]
    assert first["step"] == 0
    assert last["general"]["masked"] > first["general"]["masked"]
    page = (out / "report.html").read_text()
    assert f"What was forgotten: {forgotten['value']:+.2f} nats [{forgotten['low']:+.2f}" in page
    shutil.rmtree(on.checkpoints()[-1])  # as if it had been killed at half its way, and its parent were gone
    on.update(status="running", step=12)
    assert main(["pretrain", "--resume", str(out), "--quiet"]) == 0
    assert RunDirectory(out).evaluation["general"] == general


def test_general_text_is_cut_as_the_corpus_is(
    folder: Path, made_corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = new_text(tmp_path)
    words = ["--init", folder, "--corpus", text, "tokenizer.grow=2", "--out", tmp_path / "on"]
    said = refused(capsys, *words, "--general", made_corpus.directory)
    assert "was made with another tokenizer than" in said
    assert "or give its text" in said
    other = write_text(tmp_path / "general.txt", 200, seed=8)
    assert main(["pretrain", *ROWS, "--budget", "2steps", *map(str, words), "--general", str(other)]) == 0
    on = RunDirectory(tmp_path / "on")
    general = open_corpus(Path(on.state["general"]["path"]))
    assert general.tokenizer.to_str() == resolve(on.path).tokenizer.to_str()
    assert on.evaluation["general"]["forgotten"]["n"] > 1
    on.update(status="running", general={"path": str(general.directory), "fingerprint": made_corpus.fingerprint})
    capsys.readouterr()
    assert main(["pretrain", "--resume", str(on.path), "--quiet"]) == 2
    assert f"is not the general text that {on.path} was started with" in capsys.readouterr().err
