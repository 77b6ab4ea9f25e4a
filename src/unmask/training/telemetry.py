"""What a run tells of itself: lines in metrics.jsonl, and the same lines to whoever listens.

What bites: reading a number off the network waits for it, so sums are gathered as tensors and read once a line.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unmask.batch import KINDS
from unmask.errors import RunError
from unmask.runs import RunDirectory

Listener = Callable[[dict[str, Any]], None]


class Telemetry:
    """Gathers the figures of steps and writes a line for every few of them."""

    def __init__(self, run: RunDirectory, attempt: int, listener: Listener, *, tokens: int, seconds: float) -> None:
        """Go on from ``tokens`` seen and ``seconds`` spent by earlier attempts."""
        self.run, self.attempt, self.listener = run, attempt, listener
        self.tokens, self._seconds_before, self._start = tokens, seconds, time.perf_counter()
        self._clear()

    @property
    def seconds(self) -> float:
        """Seconds of training so far, earlier attempts included."""
        return self._seconds_before + time.perf_counter() - self._start

    def _clear(self) -> None:
        self._by_kind: list[Tensor] = []
        self._tokens_before, self._line_start = self.tokens, time.perf_counter()

    def gather(self, by_kind: Tensor, tokens: int) -> None:
        """Take in a step: ``by_kind`` (2, 3) sums of loss and counts, ``tokens`` real tokens."""
        self._by_kind.append(by_kind)
        self.tokens += tokens

    def write_steps(self, step: int, *, learning_rate: float, gradient_norm: Tensor, waited: float) -> None:
        """Write the line of the steps since the last one; ``waited`` seconds of them were spent on the loader."""
        sums, counts = torch.stack(self._by_kind).sum(0).tolist()
        if not math.isfinite(sum(sums)):
            raise RunError(
                f"{self.run.path}: the loss is not finite at step {step}; "
                "set a lower optimizer.learning_rate or a longer schedule.warmup and start anew"
            )
        elapsed = time.perf_counter() - self._line_start
        line = {
            "kind": "train",
            "loss": sum(sums) / max(1, sum(counts)),
            **{name: total / count if count else None for name, total, count in zip(KINDS, sums, counts, strict=True)},
            "learning_rate": learning_rate,
            "gradient_norm": gradient_norm.item(),
            "tokens_per_second": (self.tokens - self._tokens_before) / elapsed,
            "loader_wait": waited / elapsed,
        }
        self.write(step, line)
        self._clear()

    def write(self, step: int, line: dict[str, Any]) -> None:
        """Write a line of any kind, with the attempt, the step and where the run stands."""
        whole = {
            "attempt": self.attempt,
            "step": step,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            **line,
        }
        self.run.record(whole)
        self.listener(whole)
