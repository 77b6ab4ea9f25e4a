"""The settings of fine-tuning. Defaults follow what is known of its instability on small sets.

Bias-corrected Adam, a warm-up and many epochs where examples are few (Mosbach et al. 2021, "On the stability of
fine-tuning BERT"; Zhang et al. 2021, "Revisiting few-sample BERT fine-tuning"). What bites: a rate that suits a network
of width 768 leaves one of width 256 where it was, so the default follows the width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from unmask.inference.resolved import Attention
from unmask.settings import Count, OpenShare, Positive, Settings
from unmask.training.loop import LoopSettings
from unmask.training.optim import OptimizerSettings, ScheduleSettings

PUBLISHED_RATE, PUBLISHED_WIDTH, HIGHEST_RATE = 5e-5, 768, 1e-3
"""The usual rate of a base model, its width, and what no default exceeds."""

ENOUGH_EXAMPLES = 20_000
"""How often examples are seen by default, in all, within FEWEST_EPOCHS and MOST_EPOCHS."""
FEWEST_EPOCHS, MOST_EPOCHS = 3, 20

FEWEST_STEPS = 200
"""Steps that any set gets by default: fewer leave a network on the plateau that it starts from."""


class TaskSettings(Settings):
    """What the task reads and says."""

    multi_label: bool = False
    """Whether a text of classify may have several labels, or none."""
    max_length: Annotated[int, Field(ge=16, le=8192)] = 128
    """Tokens in a window; a longer text is cut (classify, embed) or read in several windows (tag, answer)."""
    stride: Annotated[int, Field(ge=0)] = 32
    """Tokens that neighbouring windows share."""
    pooling: Literal["mean", "cls"] | None = None
    """What stands for a text: the mean of its tokens' states, or the state of [CLS]. Where it is not given, the mean;
    for classify on BERT [CLS], the only one that its published head reads."""
    attention: Attention = "trained"
    """Which tokens a token sees: trained is those that it saw in pre-training, causal those before it, both all."""
    class_weights: Literal["equal", "balanced"] = "equal"
    """Whether rare classes weigh more in the loss, in inverse proportion to how often they occur."""
    risk: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of wrong answers that is accepted: below the confidence that met it on development data the model abstains
    (classify, one label a text); 0 always answers."""


class FinetuneOptimizer(OptimizerSettings):
    """AdamW, each layer at its own rate."""

    learning_rate: Positive | None = None  # type: ignore[assignment]  # resolved before the optimiser sees it
    """Peak rate; where it is not given, 5e-5 for a width of 768, more for less, by the square of the width."""
    betas: tuple[OpenShare, OpenShare] = (0.9, 0.999)
    """Decay rates of the running mean and the running square of the gradient."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Rate of a layer as a share of that of the layer above it (Howard and Ruder 2018)."""


class FinetuneSchedule(ScheduleSettings):
    """How the rate goes over fine-tuning."""

    name: Literal["wsd", "linear", "cosine"] = "linear"
    """Warm-up and then a linear or cosine decay to zero, or warm-up-stable-decay."""


class FinetuneTraining(LoopSettings):
    """How fine-tuning goes."""

    batch_rows: Count = 16
    """Windows (for embed: pairs) in a step of the optimiser."""
    epochs: Annotated[int, Field(ge=0)] = 0
    """Times that each window is seen; 0 is 20 for small sets, down to 3 for large ones, and 200 steps at least."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Evaluations without a better one that end the training; 0 goes to the end. The best weights are kept anyway."""


class FinetuneSettings(Settings):
    """A recipe of fine-tuning."""

    task: TaskSettings = TaskSettings()
    optimizer: FinetuneOptimizer = FinetuneOptimizer()
    schedule: FinetuneSchedule = FinetuneSchedule()
    training: FinetuneTraining = FinetuneTraining()


def rate_for(hidden_size: int) -> float:
    """Return the default peak rate of a network of that width."""
    return min(HIGHEST_RATE, PUBLISHED_RATE * (PUBLISHED_WIDTH / hidden_size) ** 2)


def steps_for(num_rows: int, training: FinetuneTraining) -> int:
    """Return how many steps show ``num_rows`` rows as often as asked."""
    if training.epochs:
        return max(1, round(training.epochs * num_rows / training.batch_rows))
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(ENOUGH_EXAMPLES / num_rows)))
    return max(FEWEST_STEPS, round(epochs * num_rows / training.batch_rows))


def scales_of(model: nn.Module, num_layers: int, layer_decay: float) -> Mapping[str, float]:
    """Return the share of the rate of each parameter, by name: 1 at the head, less with every layer down."""

    def depth(name: str) -> int:
        if ".embeddings." in f".{name}":
            return 0
        _, found, rest = f".{name}".partition(".layers.")
        return 1 + int(rest.split(".")[0]) if found else num_layers + 1

    return {name: layer_decay ** (num_layers + 1 - depth(name)) for name, _ in model.named_parameters()}
