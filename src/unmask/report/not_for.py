"""What a pre-training run is not for: the conclusions that its page invites and does not bear.

What bites: every line here must hold for every run; what depends on the run is said only where the run says so.
"""

from __future__ import annotations

from unmask.report.html import Json, Listing, Section, at

SMALL_DIFFERENCES = (
    "Small differences.",
    "This is one seed. Intervals cover the choice of what was measured on, not the luck of a training run.",
)
OTHER_TEXT = ("Claims about other text.", "Every figure holds for the corpus that is described here and text like it.")
EVERY_MODEL = (
    ("Writing text.", "It fills gaps from both sides; it does not continue a sentence."),
    (
        "Publishing what must stay private.",
        "What stood in the training text, names and secrets included, can come out of the encoder again.",
    ),
    SMALL_DIFFERENCES,
)
"""What no encoder is for, whatever it was trained to."""
LANGUAGE_MODEL = (
    (
        "Decisions as it stands.",
        "It is no classifier, tagger or search engine until it has been fine-tuned and measured as one.",
    ),
    OTHER_TEXT,
    ("Facts.", "A likely word is not a true one: probabilities say what such text would have there."),
)
"""What an encoder is not for that was pre-trained and no more."""


def not_for(evaluation: Json | None) -> Section:
    """Return the section; without a final evaluation it says that too."""
    items = [
        *EVERY_MODEL,
        *LANGUAGE_MODEL,
        (
            "Training losses side by side.",
            "They are comparable at one mask rate only; compare frozen evaluations instead.",
        ),
        ("A ceiling.", "It is what this much training gave; nothing here says what more of it would."),
    ]
    if at(evaluation, "mlm") is None:
        items.append(
            (
                "A final figure.",
                "The evaluation at the end is missing; what is shown was measured on the way, without intervals.",
            )
        )
    return Section("not-for", "What this run is not for", [Listing(items)])
