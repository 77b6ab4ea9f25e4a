"""From a model that was found to one that answers: the engine is chosen here, and torch is loaded only if it is it.

What bites: ``auto`` takes torch where torch and the weights are there, and the plain ONNX graph otherwise; int8 changes
answers and is taken only where it is named.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from unmask.errors import MissingExtra, ModelError
from unmask.inference.loaded import LoadedModel
from unmask.inference.predictor import Predictor
from unmask.inference.resolve import resolve
from unmask.inference.resolved import GRAPHS, Attention, Resolved, read_as
from unmask.inference.task_predictor import TaskPredictor

ENGINES = ("auto", "torch", *GRAPHS)


def load(where: str | PathLike[str], engine: str = "auto", attention: Attention = "trained") -> LoadedModel:
    """Return the model that ``where`` names, ready to answer, on ``engine``: auto, torch, onnx or onnx-int8.

    A pre-trained one fills, scores and embeds; a fine-tuned one does what it was fine-tuned to. ``attention`` lets a
    token see those before it (causal) or all (both), whatever it saw in training. Raises ModelError.
    """
    found = resolve(Path(where))
    if attention == "trained":
        return loaded(found, engine)
    if engine not in ("auto", "torch"):
        raise ModelError(f"a graph sees what it was exported to see: take engine torch for attention {attention}")
    return loaded(read_as(found, attention), "torch")


def loaded(found: Resolved, engine: str = "auto") -> LoadedModel:
    """Return ``found``, ready to answer. Raises ModelError."""
    return predictor_of(found, engine) if found.task is None else task_predictor(found, engine)


def predictor_of(found: Resolved, engine: str = "auto") -> Predictor:
    """Return a predictor over the language model ``found``. Raises ModelError."""
    chosen = chosen_engine(found, engine)
    info = _info(found, chosen, model=asdict(found.config))
    return Predictor(engine_of(found, chosen), found.tokenizer, found.vocabulary, info)


def task_predictor(found: Resolved, engine: str = "auto") -> TaskPredictor:
    """Return a predictor over the fine-tuned ``found``. Raises ModelError."""
    assert found.task is not None
    chosen = chosen_engine(found, engine)
    info = _info(found, chosen, task=found.task.plain())
    return TaskPredictor(engine_of(found, chosen), found.tokenizer, found.vocabulary, found.task, info)


def engine_of(found: Resolved, engine: str = "auto", threads: int = 0) -> Any:
    """Return what runs the network of ``found``: an Engine, or a TaskEngine where it was fine-tuned.

    On ``threads`` threads, or (0) on as many as this process may use. Raises ModelError.
    """
    chosen = chosen_engine(found, engine)
    if chosen != "torch":
        from unmask.inference.onnx_engine import OnnxEngine

        return OnnxEngine(found.graphs[chosen], found.config, found.task, threads)
    from unmask.inference.torch_engine import TorchEngine, read_model, read_task_model, use_threads
    from unmask.inference.torch_tasks import TorchTaskEngine

    use_threads(threads)
    if found.task is not None:
        return TorchTaskEngine(read_task_model(found), found.vocabulary.pad_id)
    return TorchEngine(read_model(found), found.vocabulary.pad_id)


def chosen_engine(found: Resolved, engine: str) -> str:
    """Return the engine that ``engine`` stands for on this machine. Raises ModelError, MissingExtra."""
    where = found.origin["path"]
    if engine not in ENGINES:
        raise ModelError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    has_torch = find_spec("torch") is not None
    if engine == "auto":
        engine = "torch" if found.weights and (has_torch or "onnx" not in found.graphs) else "onnx"
    if engine == "torch" and not has_torch:
        raise MissingExtra("train", "torch")
    if engine == "torch" and not found.weights:
        raise ModelError(f"{where}: holds no weights for torch; take engine onnx, or export it again")
    if engine != "torch" and engine not in found.graphs:
        raise ModelError(
            f"{where}: holds no {GRAPHS.get(engine)}; make one: unmask export {where} --to {engine} --out DIR"
        )
    return engine


def _info(found: Resolved, engine: str, **more: Any) -> dict[str, Any]:
    return {"engine": engine, **found.origin, **more}
