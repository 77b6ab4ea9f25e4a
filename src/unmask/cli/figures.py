"""How measured figures are said on the terminal.

What bites: it must load no torch, so that looking at runs is quick.
"""

from __future__ import annotations

from typing import Any

from unmask.cli.terminal import Terminal


def print_figures(terminal: Terminal, mlm: dict[str, Any]) -> None:
    """Print the table of cross entropies beside the unigram line, and what became of the gap between them."""
    rows = [
        (name, in_brackets(mlm["cross_entropy"][name]), in_brackets(mlm["unigram"][name]))
        for name in ("masked", "random", "kept", "all")
    ]
    terminal.table(["held-out, in nats", "cross entropy", "unigram line"], rows)
    if mlm["gap"] is not None:
        right = mlm["accuracy"]["masked"]
        terminal.result(f"At [MASK] the model is {_gap_in_words(mlm['gap'])};")
        terminal.result(
            f"the right token is first for {right['1']['value']:.1%}, among five for {right['5']['value']:.1%}."
        )


def in_brackets(figure: dict[str, Any] | None) -> str:
    """Return a figure with its interval, as in ``4.020 [3.981, 4.060]``."""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]" if figure else "none asked"


def _gap_in_words(gap: dict[str, Any]) -> str:
    if gap["low"] > 0:
        return f"{in_brackets(gap)} nats better than word frequency"
    if gap["high"] < 0:
        worse = {"value": -gap["value"], "low": -gap["high"], "high": -gap["low"]}
        return f"{in_brackets(worse)} nats worse than word frequency"
    return f"not told apart from word frequency, {in_brackets(gap)} nats"
