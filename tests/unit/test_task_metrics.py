"""Figures of tasks beside scikit-learn's and scipy's, SQuAD's by hand from the published rules; sums that resample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, f1_score

from unmask.tasks.metrics import Metric, answers, classification, mean_metric, normalised_answer, spearman, token_f1


def values(metrics: list[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def one_hot(classes: np.ndarray, count: int) -> np.ndarray:
    return np.asarray(np.eye(count, dtype=bool)[classes])


@pytest.mark.parametrize("seed", range(5))
def test_classes_score_as_in_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    true = random.integers(0, 5, 60)  # the classes 5 to 7 do not occur
    found = np.where(random.random(60) < 0.6, true, random.integers(0, 7, 60))
    ours = values(classification(one_hot(found, 8), one_hot(true, 8), multi_label=False))
    assert ours == pytest.approx(
        {"accuracy": accuracy_score(true, found), "macro_f1": f1_score(true, found, average="macro", zero_division=0)}
    )


@pytest.mark.parametrize("seed", range(5))
def test_several_labels_score_as_in_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    true = random.random((60, 6)) < 0.3
    true[:, 5] = False
    found = np.where(random.random(true.shape) < 0.8, true, ~true)
    found[:, 5] = False  # a label that nobody says has no F1, and does not count as 0
    assert (~true).all(1).any()
    ours = values(classification(found, true, multi_label=True))
    assert ours == pytest.approx(
        {
            "accuracy": accuracy_score(true, found),
            "macro_f1": f1_score(true, found, average="macro", zero_division=np.nan),
            "micro_f1": f1_score(true, found, average="micro"),
        }
    )


@given(st.integers(1, 30), st.integers(0, 10**6))
def test_figures_of_a_resample_are_those_of_the_chosen_items(items: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    true, found = random.integers(0, 3, items), random.integers(0, 3, items)
    drawn = random.integers(0, items, (4, items))
    texts = np.array(["", "a cat", "cat", "the dog ran"], object)
    said, gold = texts[random.integers(0, 4, items)], texts[random.integers(0, 4, items)]
    for at, metric in enumerate(classification(one_hot(found, 3), one_hot(true, 3), multi_label=True)):
        resampled = metric.combine(metric.per_item[drawn].sum(1))
        for row, places in enumerate(drawn):
            alone = classification(one_hot(found[places], 3), one_hot(true[places], 3), multi_label=True)[at]
            assert resampled[row] == pytest.approx(alone.value)
    for at, metric in enumerate(answers(list(said), [[text] for text in gold])):
        resampled = metric.combine(metric.per_item[drawn].sum(1))
        for row, places in enumerate(drawn):
            assert resampled[row] == pytest.approx(answers(list(said[places]), [[t] for t in gold[places]])[at].value)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.floats(-1e6, 1e6, allow_subnormal=False)), min_size=3, max_size=40).filter(
        lambda pairs: all(len({pair[side] for pair in pairs}) > 1 for side in (0, 1))
    )
)
def test_spearman_is_scipys_with_ties(pairs: list[tuple[int, float]]) -> None:
    one, two = zip(*pairs, strict=True)
    metric = spearman(one, two)
    assert metric.value == pytest.approx(spearmanr(one, two).statistic, abs=1e-9)
    assert metric.combine(np.stack([metric.per_item.sum(0), 3 * metric.per_item.sum(0)])) == pytest.approx(metric.value)


def test_figures_of_what_does_not_vary_or_is_not_there_are_no_numbers() -> None:
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]).value)
    assert np.isnan(spearman([0.1] * 7, [1, 2, 3, 4, 5, 6, 7]).value)
    assert np.isnan(mean_metric("accuracy", []).value)


# Written from the published evaluation of SQuAD 1.1 and 2.0: lower case, then no punctuation, then no articles, then
# single spaces; F1 over the bag of words; the best over the true answers.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("an  apple,\ta day\n", "apple day"),
        ("U.S.A.", "usa"),
        ("the", ""),
        ("Athens", "athens"),  # no article inside a word
        ("a-b", "ab"),  # punctuation goes before articles do
        ("$1,000.50", "100050"),
        ("\u201cthe\u201d end", "\u201c \u201d end"),  # only ASCII punctuation goes
        ("Çelik THE Été", "çelik été"),
    ],
)
def test_answers_are_normalised_as_published(text: str, expected: str) -> None:
    assert normalised_answer(text) == expected


@pytest.mark.parametrize(
    ("found", "true", "exact", "f1"),
    [
        ("the Norman dynasty", ["Norman dynasty"], 1, 1),
        ("Norman", ["the Norman dynasty", "Saxons"], 0, 2 / 3),
        ("in the tenth century", ["10th century", "tenth century"], 0, 0.8),
        ("cat cat", ["cat"], 0, 2 / 3),  # a word counts as often as it is in both
        ("dog", ["cat"], 0, 0),
        ("", [], 1, 1),  # no answer, rightly
        ("dog", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("the", [], 1, 1),  # nothing is left of it
        ("", ["the"], 1, 1),  # a true answer of which nothing is left is none
        ("cat", ["the", "cat"], 1, 1),
        ("", ["the", "cat"], 0, 0),
    ],
)
def test_answers_score_as_published(found: str, true: list[str], exact: float, f1: float) -> None:
    assert values(answers([found], [true])) == pytest.approx({"exact_match": exact, "f1": f1})


def test_answers_are_averaged_over_questions() -> None:
    assert values(answers(["cat", "cat cat", ""], [["Cat."], ["a cat"], ["dog"]])) == pytest.approx(
        {"exact_match": 1 / 3, "f1": 5 / 9}
    )
    assert token_f1("cat", "") == 0
