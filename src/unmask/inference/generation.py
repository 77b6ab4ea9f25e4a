"""Text drawn from a language model: token after token, by unmasking in any order, or by Gibbs sampling.

Each way fills the same places of windows, from what a model says of hidden tokens (``Ask``), so that exact conditionals
of a known source can stand in for a model. What bites: tokens that are drawn in one step do not know of each other; and
the conditionals of a masked language model need not fit any joint distribution, so Gibbs sampling of them draws from
nothing that training has bounded (Wang and Cho 2019 called it one; Goyal et al. 2022 show that it is not).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from unmask.corpus.tokenizer import Vocabulary
from unmask.errors import ModelError
from unmask.inference.asks import Engine
from unmask.inference.resolved import Resolved, read_as

Ids = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Chances = npt.NDArray[np.float64]

Method = Literal["ancestral", "unmasking", "gibbs"]

Ask = Callable[[Ids, Places], Chances]
"""From windows (N, L) and places (N, A), ascending, to chances (N, A, V) of the tokens there."""

Told = Callable[[int, int], None]
"""Hears how many of how many passes are done."""

SWEEPS = 10
"""Times that Gibbs sampling draws every place anew, where nobody says."""

NOT_A_DISTRIBUTION = (
    "Gibbs sampling from a masked language model: what it says of one place given the others need not fit any joint "
    "distribution of texts, so these are not samples of one."
)


NOT_FROM_NOTHING = (
    "This model was not trained to unmask from nothing: with nearly all hidden, what it says is extrapolated."
)

GOES_ON = ("clm", "hybrid")
"""Objectives that teach a model to go on from left to right."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to draw: one after the other, or by unmasking in so many steps, or by so many sweeps of Gibbs sampling."""

    method: Method
    rounds: int = 0

    @property
    def words(self) -> str:
        """What it is called in a table."""
        match self.method:
            case "ancestral":
                return "left to right"
            case "unmasking":
                return "unmasking, all at once" if self.rounds == 1 else f"unmasking, {self.rounds} steps"
            case "gibbs":
                return f"Gibbs, {self.rounds} {'sweep' if self.rounds == 1 else 'sweeps'}"


def usual_method(found: Resolved) -> Method:
    """Return the way to draw that the training of ``found`` suits best."""
    objective = found.origin.get("objective")
    if objective in GOES_ON:
        return "ancestral"
    return "unmasking" if objective == "diffusion" else "gibbs"


def read_for(found: Resolved, method: Method) -> Resolved:
    """Return ``found`` as it is read to draw by ``method``. Raises ModelError where it was not trained for that."""
    where, objective = found.origin["path"], found.origin.get("objective", "mlm")
    if method == "ancestral":
        if objective not in GOES_ON:
            raise ModelError(
                f"{where}: was trained by {objective}, not to go on from left to right; draw by unmasking or gibbs"
            )
        return read_as(found, "causal")
    if found.config.is_left_to_right:
        raise ModelError(f"{where}: reads from left to right, and {method} looks at both sides; draw by ancestral")
    return found


def note_on(found: Resolved, method: Method) -> str | None:
    """Return what has to be said of samples of ``found`` that were drawn by ``method``."""
    if method == "gibbs":
        return NOT_A_DISTRIBUTION
    is_new_to_it = method == "unmasking" and found.origin.get("objective") != "diffusion"
    return NOT_FROM_NOTHING if is_new_to_it else None


def draw(
    way: Way,
    ask: Ask,
    windows: Ids,
    places: Places,
    vocabulary: Vocabulary,
    chance: np.random.Generator,
    told: Told = lambda *_: None,
) -> Ids:
    """Return ``windows`` (N, L), [MASK] at ``places`` (P,), ascending, with ordinary tokens drawn there.

    ``told`` hears of each pass through the network.
    """
    ids = vocabulary.ordinary_ids
    match way.method:
        case "ancestral":
            return ancestral(ask, windows, places, ids, chance, told)
        case "unmasking":
            return unmasking(ask, windows, places, ids, chance, told, steps=min(way.rounds, len(places)))
        case "gibbs":
            return gibbs(ask, windows, places, ids, chance, told, mask_id=vocabulary.mask_id, sweeps=way.rounds)


def asking(engine: Engine, ordinary: Ids) -> Ask:
    """Return what asks ``engine`` for the chances of the ids ``ordinary`` (V,), which alone may be drawn."""

    def ask(windows: Ids, places: Places) -> Chances:
        logits = np.stack(engine.logits_at(list(windows), list(places.astype(np.int32))))[..., ordinary]
        weights = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
        return np.asarray(weights / weights.sum(-1, keepdims=True))

    return ask


def ancestral(ask: Ask, windows: Ids, places: Places, ids: Ids, chance: np.random.Generator, told: Told) -> Ids:
    """Return ``windows`` (N, L) with ``places`` (P,), ascending, drawn one after the other from the ``ids`` (V,).

    Each is drawn given those before it: exact for a model that reads from left to right, and for no other.
    """
    filled = windows.copy()
    for done, place in enumerate(places, start=1):
        at = np.full((len(filled), 1), place)
        filled[:, place] = ids[_drawn(ask(filled[:, : place + 1], at)[:, 0], chance)]
        told(done, len(places))
    return filled


def unmasking(
    ask: Ask, windows: Ids, places: Places, ids: Ids, chance: np.random.Generator, told: Told, *, steps: int
) -> Ids:
    """Return ``windows`` (N, L), [MASK] at ``places`` (P,), with these drawn in a random order, in ``steps`` steps.

    Every text has an order of its own. As many steps as places draw one at a time, which is what diffusion bounds (any
    order; Hoogeboom et al. 2022); what fewer draw in one step does not know of each other.
    """
    filled = windows.copy()
    order = chance.random((len(filled), len(places))).argsort(1)  # (N, P)
    for done, part in enumerate(np.array_split(order, steps, axis=1), start=1):
        at = np.sort(places[part], axis=1)
        np.put_along_axis(filled, at, ids[_drawn(ask(filled, at), chance)], 1)
        told(done, steps)
    return filled


def gibbs(
    ask: Ask,
    windows: Ids,
    places: Places,
    ids: Ids,
    chance: np.random.Generator,
    told: Told,
    *,
    mask_id: int,
    sweeps: int,
) -> Ids:
    """Return ``windows`` (N, L), [MASK] at ``places`` (P,), with each place hidden and drawn anew ``sweeps`` times.

    It begins with all places drawn at once, and every sweep of a text goes through them in an order of its own.
    """
    filled = unmasking(ask, windows, places, ids, chance, lambda *_: None, steps=1)
    for sweep in range(sweeps):
        order = chance.random((len(filled), len(places))).argsort(1)
        for done, part in enumerate(order.T, start=1):
            at = places[part][:, None]
            np.put_along_axis(filled, at, np.int32(mask_id), 1)
            np.put_along_axis(filled, at, ids[_drawn(ask(filled, at), chance)], 1)
            told(sweep * len(places) + done, sweeps * len(places))
    return filled


def _drawn(chances: Chances, chance: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return (...,) one number from each distribution of ``chances`` (..., V)."""
    height = chances.cumsum(-1)
    drawn = (height < chance.random((*height.shape[:-1], 1)) * height[..., -1:]).sum(-1)
    return np.asarray(drawn, np.int64)
