"""What was exported says what the network says, whatever the family, the task and the company; int8 nearly so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from tests.made_text import sentences
from tests.packed import model_of
from tokenizers import Tokenizer

from unmask.corpus.tokenizer import TokenizerSettings, train_tokenizer, vocabulary_of
from unmask.errors import MissingExtra, ModelError
from unmask.exporting.graph import export_graph
from unmask.exporting.quantize import quantize_graph
from unmask.inference.asks import Chance, Chances, answers
from unmask.inference.encoding import Window
from unmask.inference.onnx_engine import OnnxEngine
from unmask.inference.predictor import Predictor
from unmask.inference.task_predictor import TaskPredictor
from unmask.inference.torch_engine import TorchEngine
from unmask.inference.torch_tasks import TorchTaskEngine
from unmask.model.config import EncoderConfig
from unmask.model.heads import MaskedLM
from unmask.model.tasks import START_AND_END, TaskModel, new_task_model
from unmask.tasks.block import TaskBlock

LONGEST = 64
SMALL: dict[str, Any] = {"vocab_size": 300, "pad_id": 0, "initializer_range": 0.3, "hidden_size": 24}
SMALL |= {"num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": LONGEST}
LOCAL = {"local_attention": 16, "global_attn_every_n_layers": 3}
SHAPES: dict[str, dict[str, Any]] = {
    "modernbert": {"family": "modernbert", **LOCAL},
    "bert": {"family": "bert"},
    "roberta": {"family": "bert", "type_vocab_size": 1, "position_offset": 2, "max_position_embeddings": LONGEST + 2},
    "distilbert": {"family": "bert", "type_vocab_size": 0},
    "electra": {"family": "bert", "embedding_size": 16},
}
BLOCKS = {
    "classify": TaskBlock(name="classify", labels=("no", "yes", "so"), pooling="cls", max_length=LONGEST),
    "classify the mean": TaskBlock(name="classify", labels=("no", "yes"), pooling="mean", max_length=LONGEST),
    "tag": TaskBlock(name="tag", labels=("O", "B-X", "I-X"), scheme="BIO", max_length=LONGEST),
    "answer": TaskBlock(name="answer", max_length=LONGEST, stride=8),
    "embed": TaskBlock(name="embed", pooling="mean", normalize=True, max_length=LONGEST),
    "embed the first": TaskBlock(name="embed", pooling="cls", max_length=LONGEST),
}

Export = Callable[[str], tuple[MaskedLM, Path]]
slow = pytest.mark.slow


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer(sentences(400), TokenizerSettings(vocab_size=300))


def config_of(shape: str) -> EncoderConfig:
    return EncoderConfig(**{**SMALL, **SHAPES[shape]})


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Return what gives the language model of a shape and its graph, made once."""

    @cache
    def exported(shape: str) -> tuple[MaskedLM, Path]:
        model, path = model_of(config_of(shape)), tmp_path_factory.mktemp(shape) / "model.onnx"
        export_graph(model, path)
        return model, path

    return exported


@pytest.fixture(scope="module")
def in_bits(export: Export) -> Path:
    """Return the int8 graph of ModernBERT's shape."""
    _, plain = export("modernbert")
    quantize_graph(plain, plain.with_name("model_quantized.onnx"))
    return plain.with_name("model_quantized.onnx")


def windows(*lengths: int) -> list[npt.NDArray[np.int32]]:
    chance = np.random.default_rng(0)
    return [chance.integers(1, 300, length).astype(np.int32) for length in lengths]


def close(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], within: float = 1e-4) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max(initial=0) <= within * np.abs(one).max(initial=0))


every_shape = pytest.mark.parametrize(
    "shape",
    ["modernbert", "bert", *(pytest.param(name, marks=slow) for name in ("roberta", "distilbert", "electra"))],
)


@every_shape
def test_the_graph_says_what_the_network_says(shape: str, export: Export) -> None:
    model, path = export(shape)
    here, there = TorchEngine(model, 0), OnnxEngine(path, model.config, threads=1)
    assert (there.hidden_size, there.max_length) == (24, LONGEST)
    for lengths in ((1,), (2,), (17,), (LONGEST,), (2, 1, 17), (LONGEST, 17, 30)):
        texts = windows(*lengths)
        for asked in ([0] * len(texts), [length - 1 for length in lengths]):
            assert close(here.logits(texts, asked), there.logits(texts, asked))
        for one, other in zip(here.states(texts), there.states(texts), strict=True):
            assert close(one, other)
    assert there.logits([], []).shape == (0, 300)
    assert there.states([]) == []


@every_shape
def test_any_places_may_be_asked(shape: str, export: Export) -> None:
    model, path = export(shape)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"], sess_options=silent())
    ids = np.stack(windows(31, 31, 31)).astype(np.int64)
    mask = (np.arange(31) < np.array([[31], [12], [3]])).astype(np.int64)
    every = np.flatnonzero(mask)
    feed = {"input_ids": ids, "attention_mask": mask}
    [full] = session.run(["logits"], {**feed, "asked": every})
    chosen = np.random.default_rng(1).permutation(len(every))[:9]
    [some] = session.run(["logits"], {**feed, "asked": every[chosen]})
    assert close(full[chosen], some)
    logits, states = session.run(["logits", "states"], {**feed, "asked": every[:2]})
    assert (logits.shape, states.shape) == ((2, 300), (0, 24))
    rows = [row[:size] for row, size in zip(ids.astype(np.int32), mask.sum(1), strict=True)]
    assert close(TorchEngine(model, 0).logits([rows[1]] * 12, range(12)), full[31:43])


@every_shape
def test_many_places_of_a_window_are_answered_in_one_pass(shape: str, export: Export) -> None:
    model, path = export(shape)
    texts = windows(17, 2, 30)
    places = [np.array(asked, np.int32) for asked in ([0, 3, 16], [1], range(30))]
    for engine in (TorchEngine(model, 0), OnnxEngine(path, model.config, threads=1)):
        for text, asked, found in zip(texts, places, engine.logits_at(texts, places), strict=True):
            assert close(engine.logits([text] * len(asked), asked.tolist()), found)
    window, hidden = texts[0], places[0]
    asks = [Chances(window, hidden, window[hidden]), *(Chance(window, int(at), int(window[at])) for at in hidden)]
    together, *each = answers(TorchEngine(model, 0), asks, np.arange(5, 300, dtype=np.int32))
    assert together == pytest.approx(each, rel=1e-5)


def silent() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


def test_a_predictor_answers_the_same_through_both(export: Export) -> None:
    model, path = export("bert")
    words, vocabulary = tokenizer(), vocabulary_of(tokenizer())
    here, there = (
        Predictor(engine, words, vocabulary, {})
        for engine in (TorchEngine(model, vocabulary.pad_id), OnnxEngine(path, model.config, threads=1))
    )
    texts = [text[:60] for text in sentences(5)]
    hidden = [f"[MASK] {text}" for text in texts] + ["[MASK] and [MASK]"]
    for one, other in zip(here.fill(hidden)[:5], there.fill(hidden)[:5], strict=True):
        assert [answer["token"] for answer in one] == [answer["token"] for answer in other]
        assert [answer["score"] for answer in one] == pytest.approx([answer["score"] for answer in other], rel=1e-4)
    for ours, theirs in zip(here.score(texts), there.score(texts), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert close(here.embed(texts), there.embed(texts))


def task_model(shape: str, block: TaskBlock) -> TaskModel:
    outputs = START_AND_END if block.name == "answer" else len(block.labels)
    chance = torch.Generator().manual_seed(3)
    return new_task_model(model_of(config_of(shape)), block.name, outputs, block.pooling, chance).eval()


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        ("tag", "bert"),
        *(pytest.param(task, "bert", marks=slow) for task in BLOCKS if task != "tag"),
        *(pytest.param(task, "modernbert", marks=slow) for task in BLOCKS),
        *(pytest.param("classify", shape, marks=slow) for shape in ("roberta", "distilbert", "electra")),
    ],
)
def test_a_task_gets_the_same_scores(task: str, shape: str, tmp_path: Path) -> None:
    block = BLOCKS[task]
    model = task_model(shape, block)
    export_graph(model, tmp_path / "model.onnx")
    vocabulary = vocabulary_of(tokenizer())
    here, there = (
        TaskPredictor(engine, tokenizer(), vocabulary, block, {})
        for engine in (TorchTaskEngine(model, 0), OnnxEngine(tmp_path / "model.onnx", model.config, block, threads=1))
    )
    for cut in task_windows(here, block):
        for one, other in zip(here.engine.scores(cut), there.engine.scores(cut), strict=True):
            assert close(one, other)
    answers = {
        "tag": lambda model: model.tag(TEXTS),
        "answer": lambda model: model.answer(TEXTS, TEXTS[::-1]),
        "embed": lambda model: model.embed(TEXTS).tolist(),
        "classify": lambda model: model.classify(TEXTS, TEXTS[::-1]),
    }
    one, other = (answers[block.name](model) for model in (here, there))
    assert rounded(one) == rounded(other)


TEXTS = ["", *sentences(6), " ".join(sentences(30))]


def task_windows(predictor: TaskPredictor, block: TaskBlock) -> list[list[Window]]:
    maker = predictor.maker
    if block.name == "tag":
        return [maker.words(TEXTS, [[(0, 3), (4, 6)] for _ in TEXTS]), maker.words(TEXTS[1:2], [[(0, 3)]])]
    if block.name == "answer":
        return [maker.contexts(TEXTS, TEXTS[::-1])]
    return [maker.texts(TEXTS), maker.texts(TEXTS, TEXTS[::-1]), maker.texts(TEXTS[:1])]


def rounded(value: Any) -> Any:
    """Return ``value`` with what differs by rounding alone made equal."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return pytest.approx(value, rel=1e-3, abs=1e-5) if isinstance(value, float) else value


def test_int8_is_near_and_knows_no_company(export: Export, in_bits: Path) -> None:
    model, plain = export("modernbert")
    exact, rough = (OnnxEngine(path, model.config, threads=1) for path in (plain, in_bits))
    texts = windows(2, 17, LONGEST, 40, 5, 17)
    asked = [len(text) // 2 for text in texts]
    together = rough.logits(texts, asked)
    assert close(exact.logits(texts, asked), together, within=0.1)
    alone = [rough.logits([text], [place])[0] for text, place in zip(texts, asked, strict=True)]
    assert np.array_equal(together, np.stack(alone))
    for one, text in zip(rough.states(texts), texts, strict=True):
        assert np.array_equal(one, rough.states([text])[0])


def test_int8_is_small_and_keeps_the_tie(export: Export, in_bits: Path) -> None:
    _, plain = export("modernbert")
    graph = onnx.load(in_bits).graph
    matrices = [one for one in graph.initializer if len(one.dims) == 2]
    assert {one.data_type for one in matrices} == {TensorProto.INT8}
    assert sum(300 in one.dims for one in matrices) == 1  # the table of tokens is the decoder's matrix
    assert {node.op_type for node in graph.node if node.domain} == {"MatMulIntegerToFloat"}
    assert bytes_of_weights(plain) > 3 * bytes_of_weights(in_bits)


def bytes_of_weights(path: Path) -> int:
    return sum(len(one.raw_data) for one in onnx.load(path).graph.initializer)


def test_memory_of_small_batches_is_kept_and_that_of_large_ones_given_back(tmp_path: Path) -> None:
    wide = {**SMALL, **SHAPES["bert"], "intermediate_size": 1024, "num_hidden_layers": 1}
    export_graph(model_of(EncoderConfig(**wide)), tmp_path / "model.onnx")
    code = f"""if True:
        import numpy as np
        from pathlib import Path
        from unmask.inference.onnx_engine import OnnxEngine
        from unmask.model.config import EncoderConfig
        engine = OnnxEngine(Path({str(tmp_path / "model.onnx")!r}), EncoderConfig(**{wide!r}), threads=1)

        def held(rows):
            engine.logits([np.ones({LONGEST}, np.int32)] * rows, [0] * rows)
            return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

        before = held(16)
        print(*(held(rows) - before for rows in (16, 16, 128, 16)))
    """
    small, again, large, behind = map(float, subprocess.check_output([sys.executable, "-c", code]).split())
    assert max(abs(small), abs(again), abs(large), abs(behind)) < 12  # kept, it would be 24


def test_nothing_tells_where_a_graph_was_made(export: Export, in_bits: Path) -> None:
    model, path = export("modernbert")
    for file in (path, in_bits):
        assert b".py" not in file.read_bytes()
        assert str(Path(__file__).parents[2]).encode() not in file.read_bytes()
    assert OnnxEngine(path, model.config).interface() == {
        "inputs": {
            "input_ids": ["batch", "length"],
            "attention_mask": ["batch", "length"],
            "asked": ["asked"],
            "kept": ["kept"],
        },
        "outputs": {"logits": ["asked", 300], "states": ["kept", 24]},
    }


def test_what_is_no_such_graph_is_refused_in_one_line(export: Export, tmp_path: Path) -> None:
    model, path = export("modernbert")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(path.read_bytes()[:-1000])
    for file, said in ((broken, "can not be read as an ONNX graph"), (tmp_path / "none.onnx", "can not be read")):
        with pytest.raises(ModelError, match=said) as raised:
            OnnxEngine(file, model.config)
        assert "\n" not in str(raised.value)
    with pytest.raises(ModelError, match=r"model.onnx: is not a graph of tag .* it takes asked, attention_mask"):
        OnnxEngine(path, model.config, BLOCKS["tag"])


def test_what_is_not_installed_is_named(export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = export("modernbert")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match="onnxruntime.*unmask.serve"):
        OnnxEngine(path, model.config)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match="onnx.*unmask.export"):
        quantize_graph(path, tmp_path / "other.onnx")


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import numpy as np
from pathlib import Path
from unmask.inference.onnx_engine import OnnxEngine
from unmask.model.config import EncoderConfig
config = EncoderConfig(**{config!r})
engine = OnnxEngine(Path({path!r}), config, threads=1)
print(engine.logits([np.array([1, 5, 9], np.int32)], [1])[0].argmax(), len(engine.states([np.arange(4)])[0]))
"""


def test_the_engine_runs_where_there_is_no_torch(export: Export) -> None:
    model, path = export("modernbert")
    values = {**SMALL, **SHAPES["modernbert"]}
    code = WITHOUT_TORCH.format(config=values, path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    best = TorchEngine(model, 0).logits([np.array([1, 5, 9], np.int32)], [1])[0].argmax()
    assert done.stdout.split() == [str(best), "4"]
