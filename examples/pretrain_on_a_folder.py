"""From a folder of text to a measured encoder.

python examples/pretrain_on_a_folder.py [SOURCE] [BUDGET]
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import unmask

source, budget = sys.argv[1:] or ("docs", "1m")
out = Path(mkdtemp(prefix="unmask-"))

# Documents are read, copies are dropped, a part is held out, and a tokenizer is trained on the rest.
corpus = unmask.build_corpus(source, out / "corpus", settings={"tokenizer.vocab_size": 2000})
print("documents:", corpus.manifest.documents)
print("refused:", corpus.manifest.refused or "nothing")

# Settings have the names of the command line: group.key. What is not named keeps its default (docs/settings.md).
run = unmask.pretrain(
    corpus, out / "run", budget=budget, settings={"model.preset": "tiny", "masking": {"mlm_probability": 0.2}}
)

# The same held-out positions for every model, beside what word frequency alone would score there. Nats: less is better.
mlm = run.evaluation["mlm"]
print(f"cross entropy at [MASK]: {mlm['cross_entropy']['masked']['value']:.3f}")
print(f"word frequency alone:    {mlm['unigram']['masked']['value']:.3f}")
print(f"better by {mlm['gap']['value']:.3f} nats, between {mlm['gap']['low']:.3f} and {mlm['gap']['high']:.3f}")

model = unmask.load(run)
[answers] = model.fill(["The [MASK] of a document is known."], top_k=3)
for answer in answers:
    print(f"{answer['score']:.1%}  {answer['sequence']}")

print("report:", run.path / "report.html")
