"""``unmask generate``: texts drawn from a model, and in a line what they are samples of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from unmask.cli.starting import MODEL
from unmask.cli.terminal import JsonFlag, QuietFlag, Terminal
from unmask.errors import ModelError, SettingError
from unmask.evaluation.pieces import plain_reader
from unmask.inference.generation import SWEEPS, Ids, Method, Way, asking, draw, note_on, read_for, usual_method
from unmask.inference.loading import engine_of
from unmask.inference.resolve import resolve
from unmask.inference.resolved import Resolved


def generate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=MODEL)],
    prompt: Annotated[str, typer.Argument(metavar="[PROMPT]", help="What the texts begin with.")] = "",
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to draw behind the prompt.")] = 32,
    samples: Annotated[int, typer.Option(min=1, help="How many texts.")] = 1,
    method: Annotated[
        Method | None, typer.Option(help="How to draw; by default as the model was trained, Gibbs for an MLM.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help=f"Steps of unmasking, as many as tokens by default, or sweeps of Gibbs, {SWEEPS}."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Where chance starts.")] = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Draw texts from a model, by the way that its training suits."""
    terminal = Terminal(json=json, quiet=quiet)
    found = resolve(model)
    if found.task is not None:
        raise ModelError(f"{model}: was fine-tuned to {found.task.name}, and draws no text")
    chosen = method or usual_method(found)
    way = way_of(chosen, tokens, steps)
    found, vocabulary = read_for(found, chosen), found.vocabulary
    window = window_of(found, prompt, tokens)
    places = np.arange(len(window) - 1 - tokens, len(window) - 1)
    ask = asking(engine_of(found), vocabulary.ordinary_ids)
    chance = np.random.Generator(np.random.Philox(seed))
    with terminal.progress() as progress:
        drawn = draw(
            way,
            ask,
            np.tile(window, (samples, 1)),
            places,
            vocabulary,
            chance,
            lambda done, total: progress("drawing", done, total),
        )
    texts = [found.tokenizer.decode(one[1:-1].tolist()) for one in drawn]
    note = note_on(found, chosen)
    how = {"method": chosen, "rounds": way.rounds, "tokens": tokens, "seed": seed}
    terminal.emit({**how, "texts": texts, "note": note})
    for text in texts:
        terminal.result(text)
    if note:
        terminal.say(f"\n{note}")


def way_of(method: Method, tokens: int, steps: int | None) -> Way:
    """Return how to draw ``tokens`` by ``method``. Raises SettingError where it does not go by steps."""
    if method == "ancestral":
        if steps is not None:
            raise SettingError("--steps is for unmasking and gibbs; ancestral draws one token after the other")
        return Way(method)
    return Way(method, steps or (tokens if method == "unmasking" else SWEEPS))


def window_of(found: Resolved, prompt: str, tokens: int) -> Ids:
    """Return (L,) the window [CLS] prompt [MASK] ... [MASK] [SEP]. Raises ModelError where it is too long."""
    of, longest = found.vocabulary, found.config.longest_row
    ids = plain_reader(found.tokenizer).encode(prompt, add_special_tokens=False).ids
    if len(ids) + tokens + 2 > longest:
        raise ModelError(
            f"the prompt has {len(ids)} tokens; with {tokens} more and two special ones that is over the {longest} "
            "that the model reads"
        )
    return np.array([of.cls_id, *ids, *[of.mask_id] * tokens, of.sep_id], np.int32)
