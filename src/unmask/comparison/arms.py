"""The arms that are set beside each other, as data: what each learns from, how it is read, and what it can not do.

What bites: two arms may share one pre-training and differ only in how it is read, so a pre-training has a name of its
own; all that we pre-train here cost the same number of operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from unmask.comparison.verdict import OWN_TEXT
from unmask.errors import SettingError, did_you_mean
from unmask.tasks.block import TaskName

MLM, SCRATCH = "mlm", "scratch"
"""The arm that is asked about, and the one without which nothing can be said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to begin a fine-tuning, or to do without one."""

    title: str
    """In words, as in a sentence."""
    short: str
    """The same where there is room for few letters."""
    can_not: str
    pretraining: str | None = None
    """The pre-training that it begins with, by name; None where there is none of ours."""
    text: Literal["corpus", "task"] = "corpus"
    """What that pre-training reads."""
    objective: Mapping[str, Any] = field(default_factory=dict)
    """Settings of its objective that differ from masked language modelling."""
    attention: Literal["trained", "causal", "both"] = "trained"
    """How the network is read when it is fine-tuned."""
    model: str | None = None
    """Where it is, for one that the user names."""


ARMS: dict[str, Arm] = {
    SCRATCH: Arm(
        title="the same network without pre-training",
        short="scratch",
        can_not="Knows no word that the labelled examples do not hold. Fills, scores and embeds nothing.",
    ),
    OWN_TEXT: Arm(
        title="MLM pre-training on the task's own text",
        short="own text",
        pretraining=OWN_TEXT,
        text="task",
        can_not="Writes no text. Knows no word that the task's texts do not hold.",
    ),
    MLM: Arm(
        title="MLM pre-training",
        short="MLM",
        pretraining="mlm",
        can_not="Writes no text. Knows nothing that its corpus did not say.",
    ),
    "clm": Arm(
        title="causal pre-training, read causally",
        short="causal",
        pretraining="clm",
        objective={"name": "clm"},
        can_not="A word sees nothing of what stands behind it; fills no gap.",
    ),
    "clm_both": Arm(
        title="causal pre-training, read in both directions",
        short="causal, both",
        pretraining="clm",
        objective={"name": "clm"},
        attention="both",
        can_not="Was never taught to look ahead: only its labels teach it. Read so, it writes no text.",
    ),
    "biphasic": Arm(
        title="causal, then masked pre-training",
        short="biphasic",
        pretraining="biphasic",
        objective={"name": "clm_then_mlm"},
        can_not="Writes no text once its second part is over. Knows nothing that its corpus did not say.",
    ),
}
"""Arms by name, the cheapest first."""

OF_OTHERS = "What it was trained on, at what cost and under which licence is for others to say."
"""What any model that the user names can not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What a task is answered with where there is no network: an arm, and the answer that looks at nothing."""

    name: str
    blind: str | None
    arm: Arm

    @property
    def names(self) -> list[str]:
        """What the figures of both are kept under."""
        return [self.name, *([self.blind] if self.blind else [])]


_BAG = Arm(
    title="a bag of words",
    short="bag of words",
    can_not="Knows no word that the labelled examples do not hold, and no order but that of neighbours.",
)
FLOORS: dict[TaskName, Floor] = {
    "classify": Floor(name="tfidf", blind="majority", arm=_BAG),
    "tag": Floor(
        name="frequent_tag",
        blind="majority",
        arm=Arm(
            title="the usual tag of each word",
            short="usual tag",
            can_not="Knows no word that the labelled examples do not hold, and nothing of what stands beside it.",
        ),
    ),
    "answer": Floor(
        name="sentence_overlap",
        blind=None,
        arm=Arm(
            title="the sentence most like the question",
            short="overlap",
            can_not="Learns nothing; finds no answer that shares no word with its question.",
        ),
    ),
    "embed": Floor(name="tfidf", blind=None, arm=_BAG),
}


def chosen_arms(text: str, models: Sequence[str] = ()) -> dict[str, Arm]:
    """Return the arms in ``text``, as in mlm,scratch,clm, and one for each of ``models`` that the user names.

    Those that no verdict can do without are among them whether they are named or not. Raises SettingError.
    """
    asked = [word.strip() for word in text.split(",") if word.strip()]
    for word in asked:
        if word not in ARMS:
            raise SettingError(f"arms must be of {', '.join(ARMS)}, got {word!r}{did_you_mean(word, ARMS)}")
    arms = {name: arm for name, arm in ARMS.items() if name in (MLM, SCRATCH, *asked)}
    for model in models:
        name = model.rstrip("/").rpartition("/")[2]
        if name in (*ARMS, *arms):
            raise SettingError(f"{model}: an arm named {name} is there already; name the model by another folder")
        arms[name] = Arm(title=name, short=name, can_not=OF_OTHERS, model=model)
    return arms
