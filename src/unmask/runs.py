"""The run directory: everything that is known of one run, written so that a kill at any moment loses nothing.

``run.json`` says what the run is and where it stands, ``metrics.jsonl`` only grows, a checkpoint appears whole or not
at all. What bites: after a resume the lines that the earlier attempt wrote past the checkpoint are still in the file;
:meth:`RunDirectory.metrics` leaves them out.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from unmask import files
from unmask.errors import RunError

FORMAT, VERSION = "unmask-run", 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One folder of ``checkpoints``: the weights, the optimiser's tensors and the state at one step."""

    path: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """How many optimiser steps are in it."""
        return int(self.state["step"])

    @property
    def model(self) -> Path:
        """The file of the weights that are used and handed on."""
        return self.path / "model.safetensors"

    @property
    def optimizer(self) -> Path:
        """The file of all other tensors that training goes on from."""
        return self.path / "optimizer.safetensors"


class RunDirectory:
    """A run that exists on disk."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the run at ``path``. Raises RunError where there is none, or a file of it is not as it was written."""
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise RunError(f"{path}: holds no run (there is no run.json in it)")
        claimed = files.read_object(self.path / "run.json", RunError)
        if (claimed.get("format"), claimed.get("version")) != (FORMAT, VERSION):
            raise RunError(f"{self.path / 'run.json'}: is not of {FORMAT} {VERSION}; it was written by another version")
        if fault := _fault_of(self.path, self.state["checksums"]):
            raise RunError(f"{fault}; bring back a copy of it, or start a new run")

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        state = self.state
        return f"RunDirectory({str(self.path)!r}: {state['status']}, step {state['step']} of {state.get('max_steps')})"

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        kind: str,
        settings: Mapping[str, Any],
        environment: Mapping[str, Any],
        copies: Mapping[str, bytes],
        **more: Any,
    ) -> RunDirectory:
        """Write a new run at ``path``, whole or not at all; ``copies`` are further files by name.

        Raises RunError where something stands there already.
        """
        refuse_occupied(path)
        state = {"format": FORMAT, "version": VERSION, "kind": kind, "status": "running", "attempt": 1, "step": 0}
        with files.working_folder(path) as aside:
            files.write_bytes(aside / "settings.yaml", yaml.safe_dump(dict(settings), sort_keys=False).encode())
            files.write_json(aside / "environment.json", dict(environment))
            for name, data in copies.items():
                files.write_bytes(aside / name, data)
            state |= {"created": datetime.now(UTC).isoformat(), "checksums": _checksums(aside), **more}
            files.write_json(aside / "run.json", files.sealed(state))
            files.publish_folder(aside, path)
        return cls(path)

    @property
    def state(self) -> dict[str, Any]:
        """What run.json says now. Raises RunError where it is damaged."""
        return _read_sealed(self.path / "run.json")

    def update(self, **changes: Any) -> None:
        """Write ``changes`` into run.json."""
        files.write_json(self.path / "run.json", files.sealed({**self.state, **changes}))

    @property
    def settings(self) -> dict[str, Any]:
        """The resolved settings."""
        text = (self.path / "settings.yaml").read_text(encoding="utf-8")
        return yaml.safe_load(text)  # type: ignore[no-any-return]  # we wrote a mapping

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the object in the JSON file ``name`` of the run, or None where the run has no such file."""
        return files.read_object(self.path / name, RunError) if (self.path / name).is_file() else None

    @property
    def evaluation(self) -> dict[str, Any]:
        """The unmask-evaluation that ended the run. Raises RunError where it has not ended."""
        found = self.read("evaluation.json")
        if found is None:
            raise RunError(f"{self.path}: has no evaluation yet; it is made at the end of the run")
        return found

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the run for this process alone, and remove what dead ones left aside in it.

        Raises RunError where another process holds it.
        """

        def refuse() -> None:
            raise RunError(f"{self.path}: another process is writing this run; wait for it or stop it")

        with files.locked(self.path / ".lock", held=refuse):
            for folder in (self.path, self.path / "checkpoints"):
                files.sweep(folder)
            yield

    def is_held(self) -> bool:
        """Say whether a process is writing the run now."""
        return files.is_locked(self.path / ".lock")

    def record(self, line: Mapping[str, Any]) -> None:
        """Append ``line`` to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        text = json.dumps(line, allow_nan=False) + "\n"
        with files.answered(path), path.open("ab+") as stream:
            if stream.tell() and _last_byte(stream) != b"\n":
                text = "\n" + text  # the line before was cut by a kill
            stream.write(text.encode())

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl that belong to the run as it went on, cut lines left out."""
        path = self.path / "metrics.jsonl"
        lines: list[dict[str, Any]] = []
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
            try:
                line = json.loads(text)
            except (json.JSONDecodeError, RecursionError):
                continue
            if not (isinstance(line, dict) and isinstance(line.get("step"), int)):
                continue
            if line.get("kind") == "resumed":
                lines = [kept for kept in lines if kept["step"] <= line["step"]]
            lines.append(line)
        return lines

    def checkpoints(self) -> list[Path]:
        """Return the folders of checkpoints, oldest first."""
        return sorted((self.path / "checkpoints").glob("step-*"))

    @contextmanager
    def new_checkpoint(self, step: int, state: Mapping[str, Any]) -> Iterator[Path]:
        """Give a folder to write tensors into; afterwards it becomes the checkpoint of ``step``, with checksums."""
        final = self._checkpoint(step)
        final.parent.mkdir(exist_ok=True)
        with files.working_folder(final) as aside:
            yield aside
            whole = {"step": step, **state, "checksums": _checksums(aside)}
            files.write_json(aside / "state.json", files.sealed(whole))
            if final.exists():  # a damaged one that was passed over
                shutil.rmtree(final)
            files.publish_folder(aside, final)

    def last_good_checkpoint(self, up_to: int | None = None) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest checkpoint whose checksums hold, and what is wrong with those that were passed over.

        ``up_to`` is the last step that is looked at.
        """
        damaged: list[str] = []
        for path in reversed(self.checkpoints()):
            if up_to is not None and path > self._checkpoint(up_to):
                continue
            fault = _fault(path)
            if fault is None:
                return Checkpoint(path, files.read_object(path / "state.json", RunError)), damaged
            damaged.append(f"{fault}; passed over")
        return None, damaged

    def keep_checkpoints(self, keep: int, step: int, spared: int | None = None) -> None:
        """Remove all but the newest ``keep`` checkpoints up to ``step``, and those past it: they were passed over.

        That of the step ``spared`` stays.
        """
        self.drop_checkpoints_past(step)
        for path in self.checkpoints()[:-keep]:
            if spared is None or path != self._checkpoint(spared):
                shutil.rmtree(path)

    def drop_checkpoints_past(self, step: int) -> None:
        """Remove the checkpoints of later steps than ``step``."""
        for path in self.checkpoints():
            if path > self._checkpoint(step):
                shutil.rmtree(path)

    def branch(self, path: Path, checkpoint: Checkpoint, **changes: Any) -> RunDirectory:
        """Write a new run at ``path`` that stands where this one stood at ``checkpoint``, and has its files and lines.

        ``changes`` are what its run.json says otherwise. Raises RunError where something stands there already.
        """
        refuse_occupied(path)
        state, step = self.state, checkpoint.step
        whole = {**state, **{key: value for key, value in checkpoint.state.items() if key != "checksums"}, **changes}
        with files.working_folder(path) as aside:
            for name in state["checksums"]:
                shutil.copyfile(self.path / name, aside / name)
            lines = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= step]
            files.write_bytes(aside / "metrics.jsonl", "".join(lines).encode())
            shutil.copytree(checkpoint.path, aside / "checkpoints" / checkpoint.path.name)
            files.write_json(aside / "run.json", files.sealed({**whole, "created": datetime.now(UTC).isoformat()}))
            files.publish_folder(aside, path)
        return RunDirectory(path)

    def _checkpoint(self, step: int) -> Path:
        return self.path / "checkpoints" / f"step-{step:08d}"


def refuse_occupied(path: Path) -> None:
    """Raise UserError where a new run at ``path`` would meet something that stands there, or could not be written."""
    files.refuse_unwritable(path)
    if (path / "run.json").exists():
        raise RunError(f"{path}: holds a run already; go on with it by --resume {path}, or give another --out")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path}: is in the way; give an --out that does not exist or is empty")


def _fault(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, by its checksums, or None."""
    try:
        state = _read_sealed(checkpoint / "state.json")
    except RunError as error:
        return str(error)
    return _fault_of(checkpoint, state["checksums"])


def _checksums(folder: Path) -> dict[str, str]:
    return {path.name: files.digest(path) for path in sorted(folder.iterdir())}


def _fault_of(folder: Path, checksums: Mapping[str, str]) -> str | None:
    """Return the first fault of the files in ``folder`` that ``checksums`` names, or None."""
    for name, digest in checksums.items():
        path = folder / name
        if not path.is_file():
            return f"{path}: is missing"
        if files.digest(path) != digest:
            return f"{path}: is damaged (its checksum does not hold)"
    return None


def _read_sealed(path: Path) -> dict[str, Any]:
    values = files.read_object(path, RunError)
    if files.sealed(values) != values:
        raise RunError(f"{path}: is damaged (its checksum does not hold); bring back a copy of it, or start a new run")
    return values


def _last_byte(stream: Any) -> bytes:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1)  # type: ignore[no-any-return]  # a stream of bytes
