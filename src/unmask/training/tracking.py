"""Listeners from outside: TensorBoard and MLflow are told of every line that a run writes, in a thread of their own.

What bites: a disk that is full or a server that hangs must not be the run's trouble. So lines wait in a queue that has
an end; what does not fit is dropped and counted, and a listener that raises is not asked again.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from unmask.errors import MissingExtra, SettingError, did_you_mean
from unmask.runs import RunDirectory

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

WAITING_LINES = 1000
"""Lines that may wait for a listener: hours of a run."""
LAST_SECONDS = 10.0
"""How long the end of a run waits for listeners to take the last lines."""


class Tracker(Protocol):
    """Takes the lines of a run, and at last its status."""

    def line(self, line: Mapping[str, Any]) -> None:
        """Take one line of metrics.jsonl."""

    def end(self, status: str) -> None:
        """Take the status that the run has in the end."""


@dataclass(frozen=True, slots=True)
class Track:
    """A listener that was asked for."""

    name: str
    open: Callable[[RunDirectory], Tracker]
    say: Callable[[str], None]
    """Who is told where it fails."""


class Aside:
    """A listener in a thread of its own, called like any other; what it raises and how long it takes stays there."""

    def __init__(self, track: Track, run: RunDirectory) -> None:
        """Open it there as well: the first word to a server may take long."""
        self.name, self.told, self.took = track.name, 0, 0
        self._say, self._trouble = track.say, ""
        self._lines: queue.Queue[Mapping[str, Any] | str] = queue.Queue(WAITING_LINES)
        self._thread = threading.Thread(target=self._listen, args=(track, run), name=track.name, daemon=True)
        self._thread.start()

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Hand over a line, or drop it where too many wait."""
        self._complain()
        self.told += 1
        with suppress(queue.Full):
            self._lines.put_nowait(line)

    def end(self, status: str) -> None:
        """Hand over the last status, wait a little for the listener to take it, and say what was lost."""
        deadline = time.monotonic() + LAST_SECONDS
        with suppress(queue.Full):
            self._lines.put(status, timeout=LAST_SECONDS if self._thread.is_alive() else 0.0)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._complain()
        if lost := self.told - self.took:
            self._say(f"{self.name}: {lost} of {self.told} lines did not get there; metrics.jsonl has them all")

    def _complain(self) -> None:
        """Say once, and in the thread of the run, what went wrong in the other."""
        if self._trouble:
            self._say(f"{self.name}: {self._trouble}; it is told no more, and the run goes on")
            self._trouble = ""

    def _listen(self, track: Track, run: RunDirectory) -> None:
        try:
            tracker = track.open(run)
            while not isinstance(line := self._lines.get(), str):
                tracker.line(line)
                self.took += 1
            tracker.end(line)
        except Exception as error:  # noqa: BLE001  # code of others at the edge of ours: all that it raises ends it alone
            words = str(error).strip().splitlines() or [""]
            self._trouble = f"{type(error).__name__}: {words[0]}"


@contextmanager
def told_beside(run: RunDirectory, tracks: Sequence[Track]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give a listener that tells each of ``tracks``; they hear of the run's status in the end."""
    asides = [Aside(track, run) for track in tracks]

    def tell(line: dict[str, Any]) -> None:
        for aside in asides:
            aside(line)

    try:
        yield tell
    finally:
        for aside in asides:
            aside.end(run.state["status"])


def track_of(text: str, say: Callable[[str], None]) -> Track:
    """Read ``tensorboard[:DIR]`` or ``mlflow[:URI]``. Raises SettingError, MissingExtra where it is not installed."""
    name, _, where = text.partition(":")
    if name not in TRACKERS:
        hint = did_you_mean(name, list(TRACKERS))
        raise SettingError(f"--track takes tensorboard[:DIR] or mlflow[:URI], got {text!r}{hint}")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would call home as soon as it is imported
    try:
        import_module(name)
    except ModuleNotFoundError:
        raise MissingExtra("track", name) from None
    return Track(name, lambda run: TRACKERS[name](run, where), say)


def numbers_of(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a line by name, what is nested as ``unigram/masked``, behind the kind of the line."""

    def flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from flat(f"{name}/{key}", inner)
        elif isinstance(value, (int, float)):
            yield name, float(value)

    own = {key: value for key, value in line.items() if key not in ("attempt", "step", "kind")}
    return dict(flat(str(line["kind"]), own))


class TensorBoard:
    """Writes event files into a folder, by default ``tensorboard`` in the run."""

    def __init__(self, run: RunDirectory, where: str) -> None:
        """Open the folder; the file is begun with the first line, which says where the run goes on."""
        self._folder = Path(where or run.path / "tensorboard")
        self._writer: SummaryWriter | None = None

    def line(self, line: Mapping[str, Any]) -> None:
        """Write the figures of ``line``; those that an earlier attempt wrote past it are hidden."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            past = line["step"] + 1 if line["kind"] == "resumed" else None
            self._writer = SummaryWriter(self._folder, purge_step=past)
        for name, value in numbers_of(line).items():
            self._writer.add_scalar(name, value, line["step"])
        self._writer.flush()

    def end(self, status: str) -> None:  # noqa: ARG002  # an event file has no place for it
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED", "running": "FAILED"}
"""Ours and MLflow's; a run that still says it is running when it ends has met an error of ours."""


class MLflow:
    """Tells a tracking server, or what MLFLOW_TRACKING_URI names: a run an attempt, in the experiment ``unmask``."""

    def __init__(self, run: RunDirectory, where: str) -> None:
        """Open a run there, with the settings as its parameters."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(tracking_uri=where or None)
        found = self._client.get_experiment_by_name("unmask")
        experiment = found.experiment_id if found else self._client.create_experiment("unmask")
        tags = {"unmask.run": str(run.path.resolve()), "unmask.attempt": str(run.state["attempt"])}
        self._run = self._client.create_run(experiment, tags=tags, run_name=run.path.name).info.run_id
        groups = run.settings
        params = [Param(f"{group}.{key}", str(value)) for group in groups for key, value in groups[group].items()]
        self._client.log_batch(self._run, params=params)

    def line(self, line: Mapping[str, Any]) -> None:
        """Log the figures of ``line``."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, line["step"]) for name, value in numbers_of(line).items()]
        self._client.log_batch(self._run, metrics=metrics)

    def end(self, status: str) -> None:
        """Log how the run ended."""
        self._client.set_terminated(self._run, STATUS[status])


TRACKERS: dict[str, Callable[[RunDirectory, str], Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
