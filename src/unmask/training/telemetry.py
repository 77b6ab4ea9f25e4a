"""What a run tells of itself: lines in metrics.jsonl, and the same lines to whoever listens.

What bites: reading a number off the network waits for it, so sums are gathered as tensors and read once a line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from unmask.batch import MASKED
from unmask.errors import RunError
from unmask.runs import RunDirectory
from unmask.training.distributed import Ranks
from unmask.training.machine import Gauge

Listener = Callable[[dict[str, Any]], None]


def diverged(run: RunDirectory, step: int) -> RunError:
    """Return the error of a run whose figures are no longer finite at ``step``."""
    return RunError(
        f"{run.path}: the loss is not finite at step {step}; "
        "set a lower optimizer.learning_rate or a longer schedule.warmup and start anew"
    )


class Telemetry:
    """Gathers the figures of steps and writes a line for every few of them."""

    def __init__(
        self,
        run: RunDirectory,
        attempt: int,
        listener: Listener,
        sources: Sequence[str],
        kinds: Sequence[str],
        *,
        source_tokens: Sequence[int],
        seconds: float,
        ranks: Ranks,
        gauge: Gauge | None = None,
    ) -> None:
        """Go on from what earlier attempts saw of each of ``sources`` and the ``seconds`` that they spent."""
        self.run, self.attempt, self.listener, self.sources, self.kinds = run, attempt, listener, sources, kinds
        self.ranks, self.gauge, self._source_tokens = ranks, gauge, torch.tensor(source_tokens)
        self._seconds_before, self._start = seconds, time.perf_counter()
        self._clear()

    @property
    def tokens(self) -> int:
        """Tokens seen so far, earlier attempts included."""
        return int(self._source_tokens.sum())

    @property
    def seconds(self) -> float:
        """Seconds of training so far, earlier attempts included."""
        return self._seconds_before + time.perf_counter() - self._start

    def consumed(self) -> dict[str, Any]:
        """Return what a later attempt goes on from: tokens, in all and by source, and seconds."""
        return {"tokens": self.tokens, "source_tokens": self._source_tokens.tolist(), "seconds": self.seconds}

    def _clear(self) -> None:
        self._by_kind: list[Tensor] = []
        self._tokens_before, self._line_start = self.tokens, time.perf_counter()

    @contextmanager
    def off_the_clock(self) -> Iterator[None]:
        """Leave what happens inside out of the speed of the steps."""
        start = time.perf_counter()
        yield
        self._line_start += time.perf_counter() - start

    def gather(self, by_kind: Tensor, source_tokens: Tensor) -> None:
        """Take in a step: ``by_kind`` (2, S, K) sums of loss and counts, ``source_tokens`` (S,) real tokens.

        They are those of this rank; a line tells of all.
        """
        self._by_kind.append(by_kind)
        self._source_tokens += self.ranks.sum(source_tokens)

    def write_steps(self, step: int, in_force: Mapping[str, float], *, gradient_norm: Tensor, waited: float) -> None:
        """Write the line of the steps since the last one; ``waited`` seconds of them were spent on the loader.

        ``in_force`` are rates at ``step`` by name.
        """
        by_source = self.ranks.sum(torch.stack(self._by_kind).sum(0))  # (2, S, K)
        sums, counts = by_source.sum(1).tolist()
        elapsed, tokens = time.perf_counter() - self._line_start, self.tokens - self._tokens_before
        used = {} if self.gauge is None else {"utilisation": self.gauge.utilisation(tokens, sum(counts), elapsed)}
        line = {
            "kind": "train",
            "loss": sum(sums) / max(1, sum(counts)),
            **{
                name: total / count if count else None
                for name, total, count in zip(self.kinds, sums, counts, strict=True)
            },
            **in_force,
            "gradient_norm": gradient_norm.item(),
            "tokens_per_second": tokens / elapsed,
            **used,
            "loader_wait": waited / elapsed,
            **self._sources(by_source[:, :, MASKED]),
        }
        self.write(step, line)
        self._clear()

    def _sources(self, masked: Tensor) -> dict[str, Any]:
        """Return the part by source, where there are several; ``masked`` (2, S) is the loss there and its count."""
        if len(self.sources) == 1:
            return {}
        rows = zip(self.sources, *masked.tolist(), self._source_tokens.tolist(), strict=True)
        return {
            "sources": {name: {"masked": _mean(total, count), "tokens": tokens} for name, total, count, tokens in rows}
        }

    def write(self, step: int, line: dict[str, Any]) -> None:
        """Write a line of any kind, with the attempt, the step and where the run stands.

        Raises RunError where a figure in it is not finite.
        """
        whole = {
            "attempt": self.attempt,
            "step": step,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            **line,
        }
        try:
            self.run.record(whole)
        except ValueError:  # JSON has no word for it
            raise diverged(self.run, step) from None
        self.listener(whole)


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None
