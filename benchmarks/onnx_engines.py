"""ONNX beside torch: how fast, how many answers int8 changes, whether batch mates do, what memory is kept.

Run: .venv/bin/python benchmarks/onnx_engines.py --model RUN --corpus DIR [--rounds 40]. Speed is that of medium with
drawn weights, 1 x 128, one place asked, which is what a server does most. Every round gives each way a turn in a new
order, and ratios are taken within a round. Answers are those of RUN, a trained model, to hidden tokens of held-out
text: one at a time, and all of them in batches of like lengths. The other two ways to int8 are the library's own: one
range for a tensor, found as it comes (quantize_dynamic, a scale a column), and blocks of 128 weights (MatMulNBits).
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

import unmask
from unmask.corpus.directory import Corpus, open_corpus
from unmask.exporting.graph import export_graph
from unmask.exporting.parity import SURE, Decisions, flips, masked_decisions
from unmask.exporting.quantize import quantize_graph
from unmask.inference.asks import Engine, Ids
from unmask.inference.onnx_engine import OnnxEngine
from unmask.inference.predictor import Predictor
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved
from unmask.inference.torch_engine import TorchEngine, read_model
from unmask.model.config import ModelSettings
from unmask.model.config import resolve as shape_of
from unmask.model.heads import MaskedLM, new_masked_lm

LENGTH, VOCABULARY = 128, 8192
TEXTS = 150
RESULTS = Path(__file__).parent / "results"

TORCH, PLAIN = "torch float32", "onnx float32"
OURS, TENSOR, BLOCKS = "int8, a range a token (unmask)", "int8, a range a tensor", "8 bits in blocks of 128"

Way = Callable[[], Any]
Times = list[tuple[float, float]]
"""Seconds on the wall and of the processor."""


def per_tensor(source: Path, target: Path) -> None:
    """Quantise as the library's own dynamic way does."""
    quantize_dynamic(
        source, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
    )


def in_blocks(source: Path, target: Path) -> None:
    """Quantise weights in blocks, activations with them (accuracy level 4)."""
    how = DefaultWeightOnlyQuantConfig(block_size=128, is_symmetric=True, accuracy_level=4, bits=8)
    quantizer = MatMulNBitsQuantizer(onnx.load(source), algo_config=how)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target))


FORMS: dict[str, Callable[[Path, Path], None]] = {OURS: quantize_graph, TENSOR: per_tensor, BLOCKS: in_blocks}


def write_graphs(model: MaskedLM, folder: Path) -> dict[str, Path]:
    """Write ``model`` into ``folder`` in every form and return the files."""
    files = {PLAIN: folder / "plain.onnx", **{name: folder / f"{number}.onnx" for number, name in enumerate(FORMS)}}
    export_graph(model, files[PLAIN])
    for name, quantize in FORMS.items():
        quantize(files[PLAIN], files[name])
    return files


def engines(model: MaskedLM, graphs: dict[str, Path], threads: int) -> dict[str, Engine]:
    """Return every way to run ``model``."""
    torch.set_num_threads(threads)
    return {
        TORCH: TorchEngine(model, model.config.pad_id),
        **{name: OnnxEngine(path, model.config, None, threads) for name, path in graphs.items()},
    }


def interleaved(ways: dict[str, Way], rounds: int) -> dict[str, Times]:
    """Return the seconds, on the wall and of the processor, of each way in each round."""
    order = list(ways)
    found: dict[str, Times] = {name: [] for name in ways}
    for name in order:
        ways[name]()
    for number in range(rounds):
        random.Random(number).shuffle(order)
        for name in order:
            wall, processor = time.perf_counter(), time.process_time()
            ways[name]()
            found[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return found


def speed(folder: Path, threads: Sequence[int], rounds: int) -> dict[str, Any]:
    """Return how long medium takes over one window, each way, by the number of threads, and how large its files are."""
    config = shape_of(ModelSettings(preset="medium"), VOCABULARY, 0)
    model = new_masked_lm(config, torch.Generator().manual_seed(0))
    graphs = write_graphs(model, folder)
    window = np.random.default_rng(0).integers(5, VOCABULARY, LENGTH).astype(np.int32)
    measured = {}
    for count in threads:
        ways = engines(model, graphs, count)
        times = interleaved({name: partial(one.logits, [window], [60]) for name, one in ways.items()}, rounds)
        measured[str(count)] = {name: _compared(taken, times[PLAIN]) for name, taken in times.items()}
    return {"threads": measured, "megabytes": {name: path.stat().st_size / 1e6 for name, path in graphs.items()}}


def _compared(taken: Times, plain: Times) -> dict[str, Any]:
    return {
        "milliseconds": spread([1e3 * wall for wall, _ in taken]),
        "times_as_fast": spread([one / other for (one, _), (other, _) in zip(plain, taken, strict=True)]),
        "times_as_fast_processor": spread([one / other for (_, one), (_, other) in zip(plain, taken, strict=True)]),
    }


class Alone:
    """An engine that is asked for one window at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.hidden_size, self.max_length = engine.hidden_size, engine.max_length

    def logits(self, windows: Sequence[Ids], asked: Sequence[int]) -> Any:
        """See Engine."""
        return np.concatenate([self._engine.logits([one], [place]) for one, place in zip(windows, asked, strict=True)])

    def logits_at(self, windows: Sequence[Ids], asked: Sequence[Ids]) -> Any:
        """See Engine."""
        return self._engine.logits_at(windows, asked)

    def states(self, windows: Sequence[Ids]) -> Any:
        """See Engine."""
        return self._engine.states(windows)


def answers(found: Resolved, corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Return what becomes of the answers of the trained ``found``, each way."""
    texts = [record["text"] for record in islice(corpus.texts("validation"), TEXTS)]

    def decided(engine: Engine) -> Decisions:
        return masked_decisions(found, Predictor(engine, found.tokenizer, found.vocabulary, {}), texts)

    model = read_model(found)
    ways = engines(model, write_graphs(model, folder), threads=1)
    before = decided(ways[PLAIN])
    measured: dict[str, Any] = {}
    for name, engine in ways.items():
        together, alone = decided(engine), decided(Alone(engine))
        measured[name] = {
            **flips(before, together),
            "changed_by_company": float((together.chosen != alone.chosen).mean()),
        }
    return {"hidden_tokens": len(before.chosen), "sure_nats": SURE, "ways": measured}


MEMORY = """
import sys
import time
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
options.intra_op_num_threads = 1
options.enable_cpu_mem_arena = sys.argv[2] != "none"
options.enable_mem_pattern = False
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
giving_back = onnxruntime.RunOptions()
giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
chance = np.random.default_rng(0)

def now(rows, length):
    ids = chance.integers(5, 8000, (rows, length))
    how = giving_back if sys.argv[2] == "of small batches" and rows * length > 1024 else None
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "asked": np.arange(rows) * length}
    session.run(["logits"], feed, how)
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

marks = [now(1, 8), now(64, 128)]
start = time.process_time()
for number in range(200):
    last = now(int(chance.integers(1, 9)), int(chance.integers(5, 128)))
print(*marks, last, 1000 * (time.process_time() - start) / 200)
"""


def memory(graph: Path) -> dict[str, list[float]]:
    """Return megabytes in use after 1 x 8, 64 x 128 and 200 mixed batches, and milliseconds of one of these 200."""
    return {
        reserve: [
            float(word)
            for word in subprocess.run(
                [sys.executable, "-c", MEMORY, str(graph), reserve], capture_output=True, text=True, check=True
            ).stdout.split()
        ]
        for reserve in ("kept", "none", "of small batches")
    }


def spread(values: list[float]) -> dict[str, float]:
    """Return median and the middle 80 %."""
    low, high = np.quantile(values, [0.1, 0.9])
    return {"median": statistics.median(values), "low": float(low), "high": float(high)}


def measure(where: Path, corpus: Corpus, threads: Sequence[int], rounds: int) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        found = resolve(where)
        return {
            "command": "benchmarks/onnx_engines.py",
            "unmask": unmask.__version__,
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "machine": platform.machine(),
            "rounds": rounds,
            "shape": {"hidden_size": found.config.hidden_size, "num_hidden_layers": found.config.num_hidden_layers},
            "answers": answers(found, corpus, Path(other)),
            "memory": memory(Path(other, "plain.onnx")),
            "speed": speed(Path(one), threads, rounds),
        }


def page(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    asked, size = found["answers"], found["shape"]

    def times(of: dict[str, Any]) -> str:
        return f"{of['median']:.2f} ({of['low']:.2f} to {of['high']:.2f})"

    sizes = found["speed"]["megabytes"]
    fast = [
        f"| {threads} | {name} | {of['milliseconds']['median']:.1f} | {times(of['times_as_fast'])} "
        f"| {times(of['times_as_fast_processor'])} | {_megabytes(sizes.get(name))} |"
        for threads, ways in found["speed"]["threads"].items()
        for name, of in ways.items()
    ]
    said = [
        f"| {name} | {of['after']:.4f} | {of['flipped']['value']:.2%} | "
        f"{(of['flipped_where_sure'] or {'value': float('nan')})['value']:.2%} | {of['changed_by_company']:.2%} |"
        for name, of in asked["ways"].items()
    ]
    kept = [f"| {name} | {' | '.join(f'{mark:.0f}' for mark in marks)} |" for name, marks in found["memory"].items()]
    return "\n".join(
        [
            "# ONNX beside torch",
            "",
            f"`{found['command']}`, {found['rounds']} interleaved rounds, {found['machine']},",
            f"torch {found['torch']}, onnxruntime {found['onnxruntime']}.",
            "",
            f"Medium (8 x 512, {VOCABULARY} tokens), 1 x {LENGTH}, one place asked. Ratios are to onnx float32,",
            "within a round: median and the middle 80 %.",
            "",
            "| Threads | Way | ms | times as fast, wall | times as fast, processor | file, MB |",
            "| ---: | --- | ---: | ---: | ---: | ---: |",
            *fast,
            "",
            f"A trained model of {size['num_hidden_layers']} x {size['hidden_size']}; {asked['hidden_tokens']} hidden",
            "tokens of held-out text, against onnx float32. Sure answers were ahead of the next one by",
            f"{asked['sure_nats']:g} nat or more. Company: answers that differ between a text alone and in a batch.",
            "",
            "| Way | cross entropy | answers changed | of the sure | changed by company |",
            "| --- | ---: | ---: | ---: | ---: |",
            *said,
            "",
            "Megabytes that the process holds, by what is done with onnxruntime's reserve of memory (the engine keeps",
            "that of batches up to 1,024 places): after 1 x 8, after one batch of 64 x 128, after 200 batches of mixed",
            "shapes; and the processor time of one of these 200.",
            "",
            "| Reserve | small | large | at the end | ms |",
            "| --- | ---: | ---: | ---: | ---: |",
            *kept,
            "",
        ]
    )


def _megabytes(size: float | None) -> str:
    return "" if size is None else f"{size:.0f}"


def main() -> None:
    """Measure, and write results/onnx.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=40)
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    found = measure(chosen.model, open_corpus(chosen.corpus), chosen.threads, chosen.rounds)
    (RESULTS / "onnx.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "onnx.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
