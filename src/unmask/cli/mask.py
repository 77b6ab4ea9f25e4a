"""``unmask mask``: what a recipe hides, in colour, and its effective rates. Nothing is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.text import Text

from unmask.batch import KINDS, RANDOM, Rows
from unmask.cli.corpus import open_or_build
from unmask.cli.planning import pretrain_settings, seeded, step_batches
from unmask.cli.terminal import JsonFlag, QuietFlag, SeedOption, Terminal
from unmask.corpus.directory import Corpus
from unmask.errors import SettingError
from unmask.masking.effective import PARTS
from unmask.masking.mask import Masked

STYLES = {"masked": "bold white on dark_green", "random": "bold black on dark_orange", "kept": "bold underline"}
"""How a token of each kind is coloured."""

SIGNS = {"masked": "[{}]", "random": "[{}]", "kept": "[={}]"}
"""What stands around a token of each kind: it says the same without colour, and where the text is copied."""

Piece = tuple[str, str]
"""A piece of text and the kind of its token, or nothing."""

LEGEND: list[Piece] = [
    ("was", "masked"),
    (" shown as [MASK]   ", ""),
    ("was>shown", "random"),
    (" as another token   ", ""),
    ("was", "kept"),
    (" as it was", ""),
]

COLUMNS = ("", "tokens", "selected", *KINDS)


def mask(
    recipe: Annotated[
        list[str] | None, typer.Argument(metavar="RECIPE|group.key=value", help="A YAML file, and settings over it.")
    ] = None,
    corpus: Annotated[str, typer.Option(help="A corpus directory, or text to build one from.")] = "docstrings",
    sentences: Annotated[int, typer.Option(min=0, help="How many windows of text to show.")] = 3,
    epoch: Annotated[int, typer.Option(min=0, help="In which epoch.")] = 0,
    place: Annotated[float, typer.Option(min=0, max=1, help="Where in the run, for a rate that changes.")] = 0.0,
    seed: SeedOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show what a recipe hides, and how much of what."""
    terminal = Terminal(json=json, quiet=quiet)
    settings = pretrain_settings([*(recipe or []), *seeded(seed)])
    with terminal.progress() as progress:
        opened = open_or_build(corpus, settings.corpus, settings.tokenizer, progress)
    batches = step_batches(opened, settings)
    if not batches.has_rate:
        raise SettingError(f"objective.name is {settings.objective.name}, which hides nothing at a rate of the recipe")
    rates = batches.mask_rates(opened.unigram_counts(), opened.source_names)
    rows, masked = batches.masked_at(np.arange(sentences), epoch=epoch, place=place)
    shown = [list(pieces(opened, rows, masked, row)) for row in range(sentences)]
    terminal.emit({"mask_rates": rates, "windows": [[list(piece) for piece in window] for window in shown]})
    for window in shown:
        terminal.result(drawn(window))
        terminal.result("")
    if shown:
        terminal.result(drawn(LEGEND))
    print_rates(terminal, rates)
    terminal.next_step(f"unmask pretrain {' '.join(recipe or [])} --corpus {corpus} --out RUN".replace("  ", " "))


def pieces(corpus: Corpus, rows: Rows, masked: Masked, row: int) -> Iterator[Piece]:
    """Yield the first window of a row in pieces, hidden tokens by themselves.

    A masked token is the text that was there, a random one what was there and what is shown, with > between them.
    """
    window = np.flatnonzero((rows.segment[row] == 1) & ~_frame(rows, row))
    ids, shown, kind = (array[row][window] for array in (rows.input_ids, masked.input_ids, masked.kind))
    texts = _texts(corpus, ids)
    for text, replaced, of in zip(texts, _texts(corpus, shown), kind, strict=True):
        space = text[: len(text) - len(text.lstrip())]
        if of < 0:
            yield text, ""
            continue
        if space:
            yield space, ""
        yield (f"{text.strip()}>{replaced.strip()}" if of == RANDOM else text.strip()), KINDS[of]


def _frame(rows: Rows, row: int) -> npt.NDArray[np.bool_]:
    """Return (L,) where a window's [CLS] and [SEP] stand: special tokens at its ends."""
    segment = rows.segment[row]
    ends = np.ones(len(segment), bool)
    ends[1:-1] = (segment[1:-1] != segment[:-2]) | (segment[1:-1] != segment[2:])
    return np.asarray(ends & rows.special[row])


def _texts(corpus: Corpus, ids: npt.NDArray[np.integer]) -> list[str]:
    """Return the text that each token adds to a window."""
    whole = [corpus.tokenizer.decode(ids[:end].tolist(), skip_special_tokens=False) for end in range(len(ids) + 1)]
    return [after.removeprefix(before) for before, after in pairwise(whole)]


def drawn(window: Iterable[Piece]) -> Text:
    """Return a window as it is printed: hidden tokens in colour and between signs."""
    text = Text()
    for piece, kind in window:
        text.append(SIGNS[kind].format(piece) if kind else piece, style=STYLES.get(kind, ""))
    return text


def print_rates(terminal: Terminal, rates: dict[str, Any]) -> None:
    """Print the effective rates under those of the recipe: of all tokens that may be hidden, then by part."""
    ends = [("", rates)] if "end" not in rates else [(" at the start", rates), (" at the end", rates["end"])]
    rows = [row for when, of in ends for row in (_wanted(f"recipe{when}", of), _row(f"measured{when}", of))]
    parts = {part: cells for part, cells in rates["by"].items() if len(cells) > 1}
    for part, cells in parts.items():
        rows += [[""] * len(COLUMNS), [PARTS[part], *[""] * (len(COLUMNS) - 1)]]
        rows += [_row(f"  {cell['name']}", cell) for cell in cells]
    terminal.table(COLUMNS, rows, title="Effective rates")
    low, _, high = rates["window_shares"]
    terminal.result(
        f"Nine in ten of {rates['windows']:,} windows have {low:.0%} to {high:.0%} of their tokens selected; "
        f"in {rates['windows_unasked']:.1%} nothing is asked."
    )
    if any(cell["is_off"] for cells in [[rates], *rates["by"].values()] for cell in cells):
        terminal.result("* not what the recipe asks for, by more than chance allows")


def _wanted(name: str, cell: dict[str, Any]) -> list[str]:
    recipe = cell["recipe"]
    return [name, "", f"{recipe:.2%}", *(f"{recipe * cell['mix'][kind]:.2%}" for kind in KINDS)]


def _row(name: str, cell: dict[str, Any]) -> list[str]:
    selected = f"{cell['selected']:.2%} ±{1.96 * cell['error']:.2%}"
    shares = (f"{cell[kind]:.2%}" for kind in KINDS)
    return [f"{name} *" if cell["is_off"] else name, f"{cell['tokens']:,}", selected, *shares]
