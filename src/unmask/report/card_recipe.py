"""The recipe of a run as a model card tells it: chosen rows, in words, without anything of the machine's folders."""

from __future__ import annotations

from collections.abc import Callable

from unmask.report.html import Json, Table, at, decimals, duration, number, percent, plain, short_count
from unmask.report.run_page import RunData

_UNITS = {
    "token": "tokens",
    "word": "whole words",
    "span": "spans of words",
    "phrase": "phrases of a list, and all other words",
    "function": "pieces by a rule of its makers",
}
_SCHEDULES = {
    "wsd": "warm-up, a plateau, then down to zero",
    "linear": "warm-up, then down in a line",
    "cosine": "warm-up, then down along a cosine",
}


_OBJECTIVES = {
    "mlm": "masked language modelling",
    "clm": "causal language modelling",
    "mntp": "masked next token prediction",
    "hybrid": "causal language modelling in some rows, masked next token prediction in the others",
    "clm_then_mlm": "causal language modelling, then masked language modelling",
    "diffusion": "masked diffusion",
}


_BY_THEMSELVES = {
    "clm": "nothing: each token is told from those before it",
    "diffusion": "tokens, each document at a rate of its own between 0 and 100\u202f%, all shown as the mask token",
}
"""Objectives that do not look at the rates of masking, and what they hide."""


def recipe(data: RunData) -> Table:
    """Return how a run was trained: what is known of it, a row each."""
    rows = [(name, made) for name, make in _ROWS.items() if (made := make(data))]
    return Table("Recipe", ("", "Value"), rows, words=2)


def _objective(data: RunData) -> str:
    if data.run.get("kind") != "pretrain":
        return ""
    return _OBJECTIVES.get(str(at(data.settings, "objective", "name")), "")


def _hidden(data: RunData) -> str:
    objective, chosen = at(data.settings, "objective", "name"), at(data.settings, "masking")
    if objective in _BY_THEMSELVES:
        return _BY_THEMSELVES[str(objective)]
    first, last = number(at(chosen, "mlm_probability")), number(at(chosen, "final_probability"))
    if first is None:
        return ""
    changes = at(chosen, "schedule") not in (None, "constant") and last is not None
    rate = f"{percent(first, 0)} of the tokens, going to {percent(last, 0)}" if changes else percent(first, 0)
    measured = percent(at(data.run, "mask_rates", "selected")) if number(at(data.run, "mask_rates", "selected")) else ""
    unit = _UNITS.get(str(at(chosen, "unit")), "")
    parts = [f"{unit}, {rate}" if unit else rate, f"measured at the start: {measured}" if measured else ""]
    return "; ".join(filter(None, parts))


def _shown(data: RunData) -> str:
    if at(data.settings, "objective", "name") in _BY_THEMSELVES:
        return ""
    chosen = at(data.settings, "masking")
    masked, drawn = number(at(chosen, "mask_replace_prob")), number(at(chosen, "random_replace_prob"))
    if masked is None or drawn is None:
        return ""
    kept = max(0.0, 1 - masked - drawn)
    return f"the mask token {percent(masked, 0)}, a random token {percent(drawn, 0)}, itself {percent(kept, 0)}"


def _steps(data: RunData) -> str:
    steps, rows = number(data.run.get("step")), at(data.settings, "training", "batch_rows")
    if steps is None:
        return ""
    length = at(data.settings, "training", "row_length") or at(data.settings, "task", "max_length")
    of = f" of {decimals(rows, 0)} rows of at most {decimals(length, 0)} tokens" if rows and length else ""
    planned = number(data.run.get("max_steps"))
    early = f", of {decimals(planned, 0)} planned" if planned is not None and planned > steps else ""
    return f"{decimals(steps, 0)}{early},{of}".rstrip(",")


def _tokens(data: RunData) -> str:
    tokens, consumed, num_rows = (number(data.run.get(key)) for key in ("tokens", "rows_consumed", "num_rows"))
    if tokens is None:
        return ""
    passes = f", {consumed / num_rows:.2g} passes over the training text" if consumed and num_rows else ""
    return f"{' '.join(short_count(tokens)).strip()}, repeats counted{passes}"


def _optimizer(data: RunData) -> str:
    chosen = at(data.settings, "optimizer")
    if at(chosen, "name") != "adamw":
        return ""
    rate, betas = number(at(chosen, "learning_rate")), at(chosen, "betas")
    parts = [
        "AdamW",
        "" if rate is None else f"peak rate {rate:g}",
        f"betas {plain(betas)}" if betas else "",
        f"weight decay {plain(at(chosen, 'weight_decay'))}",
        f"gradient clipped at {plain(at(chosen, 'clip'))}" if at(chosen, "clip") else "",
    ]
    return ", ".join(filter(None, parts))


def _schedule(data: RunData) -> str:
    chosen = at(data.settings, "schedule")
    words = _SCHEDULES.get(str(at(chosen, "name")), "")
    if not words:
        return ""
    decay = f", decay {percent(at(chosen, 'decay'), 0)}" if at(chosen, "name") == "wsd" else ""
    return f"{words} (warm-up {percent(at(chosen, 'warmup'), 0)}{decay} of the run)"


def _weights(data: RunData) -> str:
    decay, best = number(at(data.settings, "training", "ema")), number(at(data.run, "best", "step"))
    if best is not None:
        return f"those of step {decimals(best, 0)}, the best on the development examples"
    return f"an average over the steps, decay {decay:g}" if decay else "those of the last step"


def _texts(data: RunData) -> str:
    chosen = at(data.settings, "task")
    pooling = {"mean": "the mean of the states", "cls": "the state of the first token"}.get(
        str(at(data.run, "task", "pooling") or at(chosen, "pooling")), ""
    )
    length = number(at(chosen, "max_length"))
    return "" if length is None else f"windows of {decimals(length, 0)} tokens{f'; {pooling}' if pooling else ''}"


def _machine(data: RunData) -> str:
    place = data.environment
    threads, ranks = number(place.get("threads")), number(place.get("ranks"))
    parts = [
        str(place.get("processor") or ""),
        f"on {place['device']}" if place.get("device") else "",
        f"{threads:.0f} threads" if threads else "",
        f"{ranks:.0f} processes" if ranks and ranks > 1 else "",
    ]
    return ", ".join(filter(None, parts))


def _time(data: RunData) -> str:
    seconds = number(data.run.get("seconds"))
    return "" if seconds is None else duration(seconds)


def _software(data: RunData) -> str:
    place: Json = data.environment
    return ", ".join(f"{name} {place[name]}" for name in ("torch", "python") if place.get(name))


def _seed(data: RunData) -> str:
    seed = at(data.settings, "training", "seed")
    return "" if seed is None else str(seed)


_ROWS: dict[str, Callable[[RunData], str]] = {
    "Objective": _objective,
    "Hidden": _hidden,
    "Shown in place of what is hidden": _shown,
    "Texts": _texts,
    "Steps": _steps,
    "Tokens": _tokens,
    "Optimiser": _optimizer,
    "Rate over the run": _schedule,
    "Weights": _weights,
    "Precision of matrix products": lambda data: str(data.environment.get("dtype") or ""),
    "Machine": _machine,
    "Time": _time,
    "Seed": _seed,
    "Software": _software,
}
