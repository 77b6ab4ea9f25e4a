"""Turn texts into vectors, and search them with numpy.

python examples/embed_and_search.py [SOURCE] [BUDGET]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import numpy.typing as npt

import unmask

source, budget = sys.argv[1:] or ("docs", "1m")
out = Path(mkdtemp(prefix="unmask-"))

corpus = unmask.build_corpus(source, out / "corpus", settings={"tokenizer.vocab_size": 2000}, progress=False)
run = unmask.pretrain(corpus, out / "run", budget=budget, settings={"model.preset": "tiny"})
model = unmask.load(run)

# Any texts will do; these are the held-out ones, which the model has not seen.
texts = [document["text"] for split in ("validation", "test") for document in corpus.texts(split)][:200]
vectors = model.embed(texts)  # float32 (N, D): the mean of a text's last states
print(f"{len(texts)} texts, vectors {vectors.shape}")

# The mean of all texts says nothing about any of them, so it is taken away; then length 1, so a product is a cosine.
center = vectors.mean(axis=0)


def directions(found: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    moved = found - center
    turned: npt.NDArray[np.float32] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return turned


query = "What happens when a run is stopped?"
similarity = directions(vectors) @ directions(model.embed([query]))[0]  # (N,)

print(f"\n{query}")
for place in np.argsort(-similarity)[:3]:
    print(f"  {similarity[place]:.2f}  {' '.join(texts[place].split())[:90]}")

# An encoder that only ever filled gaps puts texts of like words close to each other. That is a start, not a search
# engine: for one that knows which texts answer which questions, it has to be fine-tuned on pairs.
