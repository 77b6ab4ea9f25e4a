"""Stop a run with Ctrl-C, go on with it, and find it equal to the bit to one that was never stopped.

python examples/continue_a_run.py [SOURCE] [BUDGET]
"""

import signal
import sys
from pathlib import Path
from tempfile import mkdtemp

import unmask

source, budget = sys.argv[1:] or ("docs", "200steps")
out = Path(mkdtemp(prefix="unmask-"))
settings = {"model.preset": "tiny", "tokenizer.vocab_size": 2000}

corpus = unmask.build_corpus(source, out / "corpus", settings=["tokenizer.vocab_size=2000"], progress=False)
whole = unmask.pretrain(corpus, out / "whole", budget=budget, settings=settings, progress=False)


# In a terminal or a notebook you would press Ctrl-C. Here the program presses it, as soon as a few steps are done.
# `progress` is any function of a stage, how much of it is done, how much there is in all, and words.
def press_ctrl_c(stage: str, done: int, _total: int | None = None, _words: str = "") -> None:
    if stage == "training" and done >= 3 and not pressed:
        pressed.append(done)
        signal.raise_signal(signal.SIGINT)


pressed: list[int] = []
try:
    unmask.pretrain(corpus, out / "parts", budget=budget, settings=settings, progress=press_ctrl_c)
except unmask.Stopped as stopped:
    print(stopped)

# The run knows its corpus, its settings and its length; nothing has to be said again.
parts = unmask.pretrain(resume=out / "parts", progress=False)
print(f"attempts: {parts.state['attempt']}, steps: {parts.state['step']}")

newest = [run.checkpoints()[-1] / "model.safetensors" for run in (whole, parts)]
print("equal to the bit:", newest[0].read_bytes() == newest[1].read_bytes())
