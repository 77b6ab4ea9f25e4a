"""Where the time of one training step goes: its parts, the operations under them, and the use of the machine's peak.

Run: .venv/bin/python benchmarks/profile_step.py --corpus DIR [group.key=value ...]. The parts are the calls that
`training.loop.train_step` makes, timed apart by the processor's clock over all threads, best of the rounds; what waits
for the other thread counts as work there, so compare it between runs of equal threads only. Operations are torch's own
profile. Utilisation is the model's own operations (`model/flops.py`) over the step's time on the wall, against the best
of ten seconds' share of plain matrix products in the same process.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from unmask.batch import Batch
from unmask.cli.planning import PretrainSettings, pretrain_settings, step_batches
from unmask.corpus.directory import Corpus, open_corpus
from unmask.model.config import resolve
from unmask.model.flops import flops_per_token
from unmask.model.heads import MaskedLM, new_masked_lm
from unmask.objectives import OBJECTIVES
from unmask.training.kept import WeightAverage
from unmask.training.machine import Machine, matmul_peak, peak_memory, prepare
from unmask.training.optim import clip_gradient, make_optimizer

STEP = ["training.batch_rows=32", "training.row_length=128", "training.compile=never"]

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "mkldnn_linear"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "softmax and its logarithm": ("softmax", "logsumexp", "aten::exp", "aten::log"),
    "norms of layers": ("native_layer_norm",),
    "copies and changes of number format": ("aten::copy_", "aten::cat", "aten::clone", "aten::fill_", "aten::scatter"),
    "products and sums, place by place": ("aten::mul", "aten::add", "aten::sub", "aten::sum", "aten::addcmul"),
    "optimiser and clipping": ("_fused_adamw_", "linalg_vector_norm", "_foreach"),
    "gathering": ("aten::index", "aten::gather", "embedding"),
}
"""Beginnings or parts of the names of operations, the first kind that fits."""


class Step:
    """One step of the optimiser, in the parts that are timed."""

    def __init__(self, corpus: Corpus, settings: PretrainSettings, machine: Machine) -> None:
        """Make the model and all that moves it."""
        config = resolve(settings.model, corpus.vocabulary.size, corpus.vocabulary.pad_id)
        self.settings, self.machine = settings, machine
        self.make = step_batches(corpus, settings)
        self.model: MaskedLM = new_masked_lm(config, torch.Generator().manual_seed(0)).train()
        self.model.model.gradient_checkpointing = settings.training.gradient_checkpointing
        if machine.compile:
            self.model.compile()
        self.optimizer = make_optimizer(self.model, settings.optimizer)
        self.average = WeightAverage(self.model, 0.999)
        self.objective = OBJECTIVES[settings.objective.name]
        self.batches: list[Batch] = []
        self.loss = torch.zeros(())

    def parts(self, number: int) -> dict[str, Callable[[], object]]:
        """Return what the ``number``-th step does, one part after the other."""
        return {
            "batch": lambda: self._take(number),
            "forward": self._forward,
            "backward": self._backward,
            "clipping": lambda: clip_gradient(self.model.parameters(), self.settings.optimizer.clip),
            "optimiser": self.optimizer.step,
            "average of the weights (where one is kept)": lambda: self.average.update(self.model, number),
        }

    def _take(self, number: int) -> None:
        self.batches = self.make(number)

    def _forward(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        [batch] = self.batches
        with self.machine.precision():
            [term] = self.objective.terms(self.model, batch)
        self.loss = term.loss_sum / term.weight_sum

    def _backward(self) -> None:
        self.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def measure(step: Step, rounds: int) -> tuple[dict[str, float], float, float]:
    """Return the best processor seconds of each part, the best wall seconds of a step, and its page faults."""
    best: dict[str, float] = defaultdict(lambda: float("inf"))
    wall, faults = float("inf"), 0
    for number in range(rounds + 3):
        if number == 3:  # the first are cold
            best.clear()
            wall, faults = float("inf"), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        begin = time.perf_counter()
        for name, part in step.parts(number).items():
            start = time.process_time()
            part()
            best[name] = min(best[name], time.process_time() - start)
        wall = min(wall, time.perf_counter() - begin)
    return best, wall, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults) / rounds


def operations(step: Step, rounds: int) -> dict[str, float]:
    """Return the processor seconds of a step by kind of operation."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for number in range(rounds):
            for part in step.parts(number).values():
                part()
    found = dict.fromkeys([*KINDS, "all else"], 0.0)
    for event in seen.key_averages():
        kind = next((kind for kind, names in KINDS.items() if any(name in event.key for name in names)), "all else")
        found[kind] += event.self_cpu_time_total / 1e6 / rounds
    return found


def table(title: str, seconds: dict[str, float]) -> list[str]:
    """Return a Markdown table of milliseconds and shares."""
    whole = sum(seconds.values())
    rows = [f"| {name} | {1e3 * spent:.1f} | {spent / whole:.1%} |" for name, spent in seconds.items()]
    return [f"| {title} | ms | share |", "| --- | ---: | ---: |", *rows, ""]


def main() -> None:
    """Measure and print one section of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("settings", nargs="*", metavar="group.key=value")
    chosen = parser.parse_args()
    corpus, settings = open_corpus(chosen.corpus), pretrain_settings([*STEP, *chosen.settings])
    training = settings.training
    machine = prepare(
        dtype=training.dtype,
        threads=training.threads,
        deterministic=training.deterministic,
        compiling=training.compile,
        budget_seconds=0.0,
    )
    step = Step(corpus, settings, machine)
    peak = matmul_peak(machine.dtype, threads=machine.threads)
    parts, wall, faults = measure(step, chosen.rounds)
    peak = max(peak, matmul_peak(machine.dtype, threads=machine.threads))
    by_kind = operations(step, 3)
    [batch] = step.batches
    places, real = batch.input_ids.numel(), int((batch.segment > 0).sum())
    flops = flops_per_token(step.model.config, training.row_length, batch.num_asked / places).total * places
    print(
        f"{settings.model.preset}, {training.batch_rows} rows of {training.row_length}, {machine.dtype}, "
        f"{machine.threads} threads{', compiled' if machine.compile else ''}: {1e3 * wall:.0f} ms a step at its best, "
        f"{real / wall:,.0f} real tokens a second,\n"
        f"{flops / 1e9:.0f} GFLOP a step at {flops / wall / 1e9:.0f} GFLOP/s of {peak / 1e9:.0f}: utilisation "
        f"{flops / wall / peak:.0%}. {faults:,.0f} page faults a step; peak memory {peak_memory() / 1e6:,.0f} MB.\n"
    )
    print("\n".join(table("Part of the step (processor time, all threads)", parts)))
    print("\n".join(table("Kind of operation (first thread)", by_kind)))


if __name__ == "__main__":
    main()
