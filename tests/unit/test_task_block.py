"""The task block goes to JSON and back, and what is no block is refused in one line."""

import json

import pytest

from unmask.errors import ModelError
from unmask.tasks.block import TaskBlock


def test_a_block_comes_back_from_json() -> None:
    block = TaskBlock(name="tag", labels=("O", "B-a", "I-a"), scheme="BIO", stride=32, temperature=1.5, threshold=0.7)
    assert TaskBlock.from_plain(json.loads(json.dumps(block.plain()))) == block


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"name": "tag", "lables": []}, "the task block has an unknown key lables; did you mean 'labels'?"),
        ({"name": "translate"}, "the task must be one of classify, tag, answer, embed, got 'translate'"),
        ({}, "the task must be one of classify, tag, answer, embed, got None"),
    ],
)
def test_what_is_no_block_is_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError) as error:
        TaskBlock.from_plain(values)
    assert str(error.value) == says
