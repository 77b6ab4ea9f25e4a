from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from unmask.watch.alarms import (
    Alarm,
    AlarmSettings,
    Judged,
    Levels,
    Wealth,
    after,
    bet,
    levels_of_deals,
    levels_of_ranks,
    raised,
    rank_among,
)

LEVELS = Levels(at_once=0.01, repeated=0.1)


def judged(p: float, name: str = "confidence", effect: float = 0.2) -> Judged:
    return Judged(0.0, 100, {name: p, "tokens": 1.0}, {name: effect, "tokens": 0.0})


def test_a_rare_window_is_an_alarm_at_once() -> None:
    assert raised([judged(0.01)], LEVELS, 0.05) == {"confidence"}
    assert raised([judged(0.02)], LEVELS, 0.05) == set()


def test_two_of_three_windows_are_an_alarm_for_the_same_signal() -> None:
    calm = judged(0.9)
    assert raised([judged(0.1), judged(0.1)], LEVELS, 0.05) == {"confidence"}
    assert raised([judged(0.1), calm, judged(0.1)], LEVELS, 0.05) == {"confidence"}
    assert raised([judged(0.1), calm, calm, judged(0.1)], LEVELS, 0.05) == set()
    assert raised([judged(0.1, "margin"), judged(0.1)], LEVELS, 0.05) == set()
    assert raised([judged(0.1), calm], LEVELS, 0.05) == set()  # the newest must be one of the two


def test_what_changed_too_little_is_no_alarm() -> None:
    assert raised([judged(1e-9, effect=0.049)], LEVELS, 0.05) == set()


def test_an_alarm_ends_after_three_quiet_windows() -> None:
    history = [judged(0.001)]
    alarm = after(None, history, LEVELS, 0.05)
    assert alarm == Alarm(0.0, frozenset({"confidence"}))
    for expected in (1, 2):
        history.append(judged(0.5))
        alarm = after(alarm, history, LEVELS, 0.05)
        assert alarm is not None
        assert alarm.quiet == expected
    noisy = after(alarm, [*history, judged(0.1)], LEVELS, 0.05)
    assert noisy is not None
    assert noisy.quiet == 0
    assert after(alarm, [*history, judged(0.5)], LEVELS, 0.05) is None


@given(budget=st.floats(1e-4, 0.5))
def test_deals_spend_the_budget_and_no_more(budget: float) -> None:
    levels = levels_of_deals(budget)
    assert levels.at_once + 2 * levels.repeated**2 <= budget * (1 + 1e-9)


@pytest.mark.parametrize(("count", "budget"), [(28, 1 / 30), (56, 1 / 30), (200, 1 / 30), (400, 1 / 100), (56, 1 / 10)])
def test_ranks_spend_the_budget_and_no_more(count: int, budget: float) -> None:
    """Draw reference and months together, all exchangeable, and count windows that give an alarm."""
    chance = np.random.default_rng(count)
    repeats, windows, alarms, possible = 300, 60, 0, 0
    for _ in range(repeats):
        scores = chance.random(count + windows)
        levels = levels_of_ranks(budget, scores[:count], np.arange(count))
        possible += levels.possible
        p = (1 + (scores[:count] >= scores[count:, None]).sum(1)) / (count + 1)
        once, again = p <= levels.at_once, p <= levels.repeated
        before = np.stack([np.roll(again, back) & (np.arange(windows) >= back) for back in (1, 2)]).any(0)
        alarms += int((once | (again & before)).sum())
    assert possible == repeats
    rate = alarms / repeats / windows
    assert rate <= 1.25 * budget  # windows after one reference rise and fall together, hence the room
    assert rate >= 0.25 * budget


def test_a_reference_whose_days_are_like_the_day_before_has_stricter_levels() -> None:
    null = np.zeros(56)
    null[[10, 11, 12, 13, 14]] = [5, 4, 3, 2, 1]
    apart = np.zeros(56)
    apart[[3, 10, 20, 30, 40]] = [5, 4, 3, 2, 1]
    place = np.arange(56)
    assert levels_of_ranks(1 / 30, null, place).repeated < levels_of_ranks(1 / 30, apart, place).repeated


def test_a_reference_that_is_too_short_has_no_levels() -> None:
    assert not levels_of_ranks(1 / 720, np.random.default_rng(0).random(14), np.arange(14)).possible


def test_a_bet_is_fair() -> None:
    whole, _ = quad(lambda t: bet(np.exp(-t)) * np.exp(-t), 0, 500, limit=200)  # of p = exp(-t)
    assert whole + 1 / 500 == pytest.approx(1, abs=1e-3)  # what lies beyond is 1 / t**2
    assert bet(1e-4) > bet(1e-2) > 1 > bet(0.5) > bet(1.0) == pytest.approx(0.5, abs=1e-3)


def test_wealth_seldom_grows_of_nothing_and_soon_of_something() -> None:
    chance = np.random.default_rng(0)
    ever, late = 0, []
    for _ in range(400):
        wealth, most = Wealth(), 0.0
        for p in chance.random(100):
            wealth = wealth.after(p)
            most = max(most, wealth.value)
        ever += most >= 20
        for number in range(1, 100):
            wealth = wealth.after(float(chance.random()) * 0.02)
            if wealth.value >= 20:
                late.append(number)
                break
    assert ever / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    assert len(late) == 400
    assert np.median(late) <= 8


def test_a_rank_is_uniform_even_among_equals() -> None:
    scores = np.array([1.0, 1.0, 1.0, 2.0])
    found = [rank_among(scores, 1.0, chance) for chance in np.linspace(0, 0.999, 1000)]
    assert min(found) == pytest.approx(0.2)
    assert max(found) == pytest.approx(1.0, abs=0.01)


def test_a_budget_is_by_the_window() -> None:
    assert AlarmSettings(every="1d").budget == pytest.approx(1 / 30)
    assert AlarmSettings(every="1h", alarms_per_month=2).budget == pytest.approx(2 / 720)
