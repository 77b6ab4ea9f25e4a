"""The bodies that are taken: Hugging Face's task schemas, and OpenAI's for embeddings.

What bites: a key that is not known is refused and not passed over, since a misspelt one would silently do nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1)]
Texts = Text | Annotated[list[Text], Field(min_length=1)]
TopK = Annotated[int, Field(ge=1, le=1000)]


class Body(BaseModel):
    """What all bodies have in common."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, strict=True)

    model: str | None = None
    """Name of the model; may be left out where there is one."""
    options: dict[str, Any] | None = None
    """Taken and not looked at: clients of hosted services send it."""


class Parameters(BaseModel):
    """What all parameters have in common."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, strict=True)


class FillParameters(Parameters):
    """How a mask is filled."""

    top_k: TopK | None = None
    """How many answers a mask gets; 5 by default."""
    targets: Annotated[list[Text], Field(min_length=1)] | None = None
    """Choose among these words alone; one of several tokens scores the product of their chances."""


class FillBody(Body):
    """Texts with masks."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputs": "The [MASK] of the array is returned.", "parameters": {"top_k": 3}}]}
    )

    inputs: Texts
    parameters: FillParameters = FillParameters()


class ScoreParameters(Parameters):
    """How a text is scored."""

    method: Literal["pll", "word_l2r"] = "pll"
    """Hide one token at a time, or the rest of its word too."""


class ScoreBody(Body):
    """Texts to score."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": "The length of the array is returned."}]})

    inputs: Texts
    parameters: ScoreParameters = ScoreParameters()


class ClassifyParameters(Parameters):
    """How labels are given."""

    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None
    """What is made of the scores; by default what the model was fine-tuned to."""
    top_k: TopK | None = None
    """How many labels; all by default."""


class Pair(BaseModel):
    """Two texts that are read together."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Text
    text_pair: str | None = None


class ClassifyBody(Body):
    """Texts, or pairs of texts, to classify."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputs": ["It does what it says.", "It broke at once."]}]}
    )

    inputs: Text | Pair | Annotated[list[Text | Pair], Field(min_length=1)]
    parameters: ClassifyParameters = ClassifyParameters()


class TagParameters(Parameters):
    """How entities are given."""

    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] | None = None
    """``none`` gives each word its tag; all others give entities, which are decoded as a whole here."""
    ignore_labels: list[str] = ["O"]
    """Tags that are left out under ``none``."""
    stride: int | None = None
    """Taken and not looked at: windows are those that the model was fine-tuned with."""


class TagBody(Body):
    """Texts to tag."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputs": "Ada Lovelace wrote to Charles Babbage in London."}]}
    )

    inputs: Texts
    parameters: TagParameters = TagParameters()


class Question(BaseModel):
    """A question to a context."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: Text
    context: Text


class AnswerParameters(Parameters):
    """How answers are given."""

    top_k: TopK | None = None
    """How many answers; one by default, as an object and no list."""
    align_to_words: bool | None = None
    doc_stride: int | None = None
    handle_impossible_answer: bool | None = None
    max_answer_len: int | None = None
    max_question_len: int | None = None
    max_seq_len: int | None = None


class AnswerBody(Body):
    """A question to a context, or several."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"inputs": {"question": "Who wrote?", "context": "Ada Lovelace wrote a letter."}}]
        }
    )

    inputs: Question | Annotated[list[Question], Field(min_length=1)]
    parameters: AnswerParameters = AnswerParameters()


class EmbedParameters(Parameters):
    """How vectors are given."""

    normalize: bool | None = None
    """Whether they have length one; by default what the model was fine-tuned to."""
    truncate: bool | None = None
    """Cut what is too long, whatever the server does by default."""
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = None
    prompt_name: None = None


class EmbedBody(Body):
    """Texts to turn into vectors."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": ["A first text.", "Another one."]}]})

    inputs: Texts
    parameters: EmbedParameters = EmbedParameters()
    normalize: bool | None = None
    """As under ``parameters``, where some clients put it."""
    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] | None = None
    prompt_name: None = None


class Comparison(BaseModel):
    """A text and others."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source_sentence: Text
    sentences: Annotated[list[Text], Field(min_length=1)]


class SimilarityBody(Body):
    """A text and others to compare it with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"inputs": {"source_sentence": "A first text.", "sentences": ["Another one."]}}]
        }
    )

    inputs: Comparison
    parameters: Parameters = Parameters()


class TokenizeBody(Body):
    """Texts to cut into tokens."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": "The length of the array."}]})

    inputs: Texts
    parameters: Parameters = Parameters()


class OpenAIEmbeddings(BaseModel):
    """OpenAI's request for embeddings."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"model": "NAME", "input": ["A first text.", "Another one."]}]},
    )

    input: Texts
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None
