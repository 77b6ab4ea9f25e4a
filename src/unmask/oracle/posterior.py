"""The best possible answer of a masked language model on a known source: the exact posterior at selected positions.

Positions are selected independently at rate p; a selected one shows [MASK] with probability m, a token drawn from R
with probability r (the true one among them), itself with probability k = 1 - m - r. The answer is wanted given that its
own position is selected, and which others are stays unknown. So a token y at another position has likelihood
((1 - p) + p k) [y = x] + p r / R, a [MASK] there says nothing; at the position itself a token has k [y = x] + r / R.
Forward-backward does the rest. What bites: this holds only where the choice of positions knows nothing of the text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unmask.oracle.sources import Floats, Source, Symbols

UNSEEN = -1
"""In place of a symbol: [MASK], or the empty places behind a short text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmissionRule:
    """How a token that is seen speaks for the true one: ``trust`` if they are the same, and ``doubt`` for any."""

    context_trust: float
    context_doubt: float
    own_trust: float
    own_doubt: float


def emission_rule(*, rate: float, mask: float, random: float, pool: int) -> EmissionRule:
    """Return the rule of selecting at ``rate`` and showing ``mask`` [MASK], ``random`` one of ``pool``, else itself."""
    keep = 1 - mask - random
    return EmissionRule(
        context_trust=(1 - rate) + rate * keep,
        context_doubt=rate * random / pool,
        own_trust=keep,
        own_doubt=random / pool,
    )


def posterior(source: Source, observed: Symbols, rule: EmissionRule) -> Floats:
    """Return (N, L, V) how likely each symbol is at each position, given that it is selected, and all that is seen.

    ``observed`` (N, L) are symbols, UNSEEN, or numbers from V on for tokens that the source never shows. NaN where what
    is seen says that the position was not selected: under a rule that hides whatever it selects.
    """
    context = _leave_one_out(source, _state_likelihoods(source, observed, rule))
    seen = observed != UNSEEN
    own = np.where(seen, rule.own_doubt, 1.0)[..., None] + rule.own_trust * _is_symbol(observed, source.num_symbols)
    with np.errstate(invalid="ignore"):
        return _normalised(own * context)


def least_losses(found: Floats, truth: Symbols) -> Floats:
    """Return (N,) what the best possible model loses on ``truth`` (N,), in nats, from its answers ``found`` (N, V)."""
    return np.asarray(-np.log(np.take_along_axis(found, truth[:, None], 1)[:, 0]))


def pseudo_losses(source: Source, symbols: Symbols) -> Floats:
    """Return (N, L) what it loses where one symbol of whole texts (N, L) is hidden at a time, in nats.

    Their sum is the pseudo-log-likelihood of Salazar et al. 2020; even at its best it is not the entropy of a text.
    """
    rest_alone = EmissionRule(context_trust=1.0, context_doubt=0.0, own_trust=0.0, own_doubt=1.0)
    found = posterior(source, symbols, rest_alone)
    return -np.log(np.take_along_axis(found, symbols[..., None], 2)[..., 0])


def causal_losses(source: Source, symbols: Symbols) -> Floats:
    """Return (N, L) what the best possible causal model loses at each symbol of whole texts (N, L), in nats."""
    likely = np.take_along_axis(onward(source, symbols), symbols[..., None], 2)
    return np.asarray(-np.log(likely[..., 0]))


def onward(source: Source, symbols: Symbols) -> Floats:
    """Return (N, L, V) how likely each symbol is at each place of texts (N, L), given those before it.

    What is UNSEEN, as the empty places behind a short text are, says nothing.
    """
    spoken = _spoken(source, symbols)
    found = np.empty((*symbols.shape, source.num_symbols))
    state = np.broadcast_to(source.initial, (len(symbols), len(source.initial)))
    for place in range(symbols.shape[1]):
        found[:, place] = state @ source.emission
        state = _normalised(state * spoken[:, place]) @ source.transition
    return found


def _state_likelihoods(source: Source, observed: Symbols, rule: EmissionRule) -> Floats:
    """Return (N, L, S) how likely what is seen at a context position is in each state."""
    return _spoken(source, observed, trust=rule.context_trust, doubt=rule.context_doubt)


def _spoken(source: Source, observed: Symbols, *, trust: float = 1.0, doubt: float = 0.0) -> Floats:
    """Return (N, L, S) how likely what is ``observed`` (N, L) is in each state; 1 where it is none of the symbols."""
    extended = np.vstack([source.emission.T, np.zeros(len(source.initial))])  # the last for what the source never shows
    symbol = np.minimum(observed, source.num_symbols)
    is_none = (observed == UNSEEN) | (symbol == source.num_symbols)
    return np.where(is_none[..., None], 1.0, doubt + trust * extended[symbol])


def _leave_one_out(source: Source, likelihood: Floats) -> Floats:
    """Return (N, L, V) how likely each symbol is at each position from all other positions (forward-backward)."""
    forward, backward = np.empty_like(likelihood), np.empty_like(likelihood)
    forward[:, 0], backward[:, -1] = source.initial, 1.0
    for place in range(1, likelihood.shape[1]):
        before = forward[:, place - 1] * likelihood[:, place - 1]
        forward[:, place] = _normalised(before @ source.transition)
    for place in range(likelihood.shape[1] - 2, -1, -1):
        behind = backward[:, place + 1] * likelihood[:, place + 1]
        backward[:, place] = _normalised(behind @ source.transition.T)
    return _normalised((forward * backward) @ source.emission)


def _is_symbol(observed: Symbols, num_symbols: int) -> npt.NDArray[np.bool_]:
    return np.asarray(observed[..., None] == np.arange(num_symbols))


def _normalised(weights: Floats) -> Floats:
    return np.asarray(weights / weights.sum(-1, keepdims=True))
