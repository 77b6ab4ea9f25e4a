"""How the suites of ``unmask evaluate`` are said on the terminal."""

from __future__ import annotations

from typing import Any

from unmask.cli.figures import in_brackets
from unmask.cli.terminal import Terminal

SHOWN_GROUPS = ("phenomenon", "field", "paradigm")
"""Of the groups of minimal pairs the first that there is; the others are in the report and under --json."""


def print_suites(terminal: Terminal, evaluation: dict[str, Any]) -> None:
    """Print a table for every suite in ``evaluation``."""
    for name, show in _SHOW.items():
        if name in evaluation:
            show(terminal, evaluation[name])


def _likelihood(terminal: Terminal, found: dict[str, Any]) -> None:
    rows = [
        (words, in_brackets(found[method]["bits_per_character"]), in_brackets(found[method]["nats_per_token"]))
        for method, words in (("pll", "a token hidden at a time"), ("word_l2r", "and the rest of its word"))
    ]
    title = f"Pseudo-log-likelihood of {found['documents']:,} texts"
    terminal.table(["", "bits a character", "nats a token"], rows, title=title)
    terminal.result("No probability of the text: not to be put beside a causal model's figures.")


def _text(terminal: Terminal, found: dict[str, Any]) -> None:
    what = "exactly" if found["is_exact"] else "at most (the bound of diffusion)"
    rows = [(what, in_brackets(found["bits_per_character"]), in_brackets(found["nats_per_token"]))]
    if found["entropy"] is not None:
        rows.append(("the source of the text", "", in_brackets(found["entropy"])))
    terminal.table(["", "bits a character", "nats a token"], rows, title=f"{found['documents']:,} texts as wholes")


def _minimal_pairs(terminal: Terminal, found: dict[str, Any]) -> None:
    scorers = list(found["accuracy"])
    group = next((name for name in SHOWN_GROUPS if f"by_{name}" in found), None)
    parts = {**(found[f"by_{group}"] if group else {}), "all pairs": found}
    rows = [
        (name, f"{part['pairs']:,}", *(_share(part["accuracy"][scorer]) for scorer in scorers))
        for name, part in parts.items()
    ]
    terminal.table([group or "", "pairs", *scorers], rows, title="Minimal pairs: the acceptable sentence is preferred")


def _calibration(terminal: Terminal, found: dict[str, Any]) -> None:
    terminal.title("Calibration at [MASK]")
    terminal.result(
        f"First guesses are given {found['confidence']['value']:.1%} on average and right {_share(found['accuracy'])}; "
        f"calibration error {_share(found['ece'])}, perfect ones would show {found['perfect_ece']['value']:.1%}."
    )


def _robustness(terminal: Terminal, found: dict[str, Any]) -> None:
    kinds = found["kinds"]
    rates = list(next(iter(kinds.values()))["at"])
    rows = [
        (kind, *(f"{of['at'][rate]['value']:.3f}" for rate in rates), in_brackets(of["slope"]))
        for kind, of in kinds.items()
    ]
    clean = next(iter(kinds.values()))["clean"]["value"]
    title = f"{found['figure']}: {clean:.3f} without errors, and with"
    terminal.table(["errors", *(f"{float(rate):.0%}" for rate in rates), "change per per cent"], rows, title=title)


def _memorisation(terminal: Terminal, found: dict[str, Any]) -> None:
    rows = [(copies if copies != "0" else "0 (control)", in_brackets(of)) for copies, of in found["exposure"].items()]
    title = f"Exposure of canaries, bits: {found['by_chance']:.2f} by chance, {found['most']:.2f} at most"
    terminal.table(["copies", "exposure"], rows, title=title)
    terminal.result(f"Controls rank as chance has it: p {found['control']['uniform_p']:.3f}.")


def _share(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.1%} [{figure['low']:.1%}, {figure['high']:.1%}]"


_SHOW = {
    "likelihood": _likelihood,
    "text": _text,
    "minimal_pairs": _minimal_pairs,
    "calibration": _calibration,
    "robustness": _robustness,
    "memorisation": _memorisation,
}
