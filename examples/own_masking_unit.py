"""Decide yourself which tokens are hidden together.

A masking unit is a function from rows to whole numbers, one for each token. In a document, tokens with the same number
are hidden together or not at all. Which numbers are hidden is decided elsewhere, from the seed, the epoch and the
document, so masks stay without state: the function has no chance in it and remembers nothing.

python examples/own_masking_unit.py [SOURCE] [BUDGET]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import numpy.typing as npt

import unmask

source, budget = sys.argv[1:] or ("docs", "1m")
out = Path(mkdtemp(prefix="unmask-"))


# Rows hold arrays of (rows, row length): input_ids, offset (place in the document), word (number of the word in the
# document), segment, document, special. Special tokens are never hidden, whatever number they get.
def every_occurrence(rows: unmask.Rows) -> npt.NDArray[np.int32]:
    """Hide a token everywhere in its document, so that it can not be copied from another place."""
    return rows.input_ids


def four_in_a_row(rows: unmask.Rows) -> npt.NDArray[np.int32]:
    """Hide runs of four tokens."""
    return rows.offset // 4


corpus = unmask.build_corpus(source, out / "corpus", settings={"tokenizer.vocab_size": 2000}, progress=False)

for unit in (None, every_occurrence, four_in_a_row):
    name = unit.__name__ if unit else "token"
    run = unmask.pretrain(
        corpus, out / name, budget=budget, settings={"model.preset": "tiny"}, masking_unit=unit, progress=False
    )
    # Evaluation is frozen: it hides single tokens, whatever the run was trained with. So the figures can be compared.
    masked = run.evaluation["mlm"]["cross_entropy"]["masked"]
    print(f"{name:>16}: {masked['value']:.3f} nats at [MASK] [{masked['low']:.3f}, {masked['high']:.3f}]")
