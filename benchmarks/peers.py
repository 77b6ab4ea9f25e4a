"""The networks that `pretrain.py` sets beside each other, each in a process of its own that does what it is told.

What bites: the peers train in the Trainer of transformers as it is; all that is added is one callback, which counts
steps, stops the clock while it measures, and waits between blocks.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from unmask.cli.planning import of_length, plan_for, pretrain_settings, step_batches
from unmask.corpus.directory import Corpus, open_corpus
from unmask.corpus.loader import Prefetch
from unmask.evaluation.masked import FrozenSet, freeze, means, score_frozen
from unmask.model.config import resolve
from unmask.model.flops import flops_per_token
from unmask.model.heads import MaskedLM, new_masked_lm
from unmask.model.hub.configuration import encoder_config
from unmask.model.hub.families import TABLES
from unmask.model.hub.tensors import from_published
from unmask.training.loop import train_step
from unmask.training.machine import matmul_peak, peak_memory
from unmask.training.optim import make_optimizer, set_rate

LENGTH = 128
ENDLESS = 1_000_000
TRIAL = 8
SIZE: dict[str, Any] = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}


@dataclass(frozen=True)
class Shape:
    """A network and how it is trained."""

    kind: str
    rows: int
    rate: float
    dtype: str
    warmup: float
    compile: bool = False
    hidden: float = 0.15
    """Share of the tokens that a peer hides; ours goes by its own recipe."""
    beta2: float = 0.999


PEERS: dict[str, Shape] = {
    "bert-defaults": Shape("bert", 8, 5e-5, "float32", 0.0),
    "bert-tuned": Shape("bert", 32, 1e-3, "bfloat16", 0.1),
    "modernbert": Shape("modernbert", 32, 1e-3, "bfloat16", 0.1),
    "modernbert-compiled": Shape("modernbert", 32, 1e-3, "bfloat16", 0.1, compile=True),
    "modernbert-best": Shape("modernbert", 32, 1e-3, "bfloat16", 0.1, compile=True, hidden=0.3, beta2=0.98),
    "unmask": Shape("unmask", 32, 1e-3, "bfloat16", 0.1),
    "unmask-compiled": Shape("unmask", 32, 1e-3, "bfloat16", 0.1, compile=True),
}
"""run_mlm as it comes; the same by someone who knows; the strongest peer, as it comes and with what its paper
trained with (30 %, 0.98; Warner et al. 2024); this project at its defaults. All 4 x 256."""


class Stage(Protocol):
    """Is told of every step, with the real tokens in it, and says whether training goes on."""

    def begin(self) -> None:
        """Be told that the first step is about to be taken."""

    def step(self, tokens: int, model: Callable[[], nn.Module]) -> bool:
        """Take in a step; ``model`` gives the network as ours."""


@dataclass
class Blocks:
    """Runs as many steps as it is told over the pipe, says how long they took, and waits."""

    pipe: Connection
    left: int = 0
    told: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """See Stage."""
        self._wait()

    def step(self, tokens: int, model: Callable[[], nn.Module]) -> bool:  # noqa: ARG002  # nothing is measured here
        """See Stage."""
        self.left -= 1
        self.told["tokens"] = self.told.get("tokens", 0) + tokens
        if self.left:
            return True
        self.told |= {
            "seconds": time.perf_counter() - self.start,
            "processor": time.process_time() - self.processor,
            "memory": peak_memory(),
        }
        self.pipe.send(self.told)
        return self._wait()

    def _wait(self) -> bool:
        self.left, self.told = self.pipe.recv(), {}
        self.start, self.processor = time.perf_counter(), time.process_time()
        return self.left > 0


@dataclass
class Curve:
    """Measures at even steps, off the clock."""

    frozen: FrozenSet
    steps: int
    marks: int
    points: list[dict[str, float]] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    tokens: int = 0

    def begin(self) -> None:
        """See Stage."""
        self.start = time.perf_counter()

    def step(self, tokens: int, model: Callable[[], nn.Module]) -> bool:
        """See Stage."""
        now = time.perf_counter()
        self.durations.append(now - self.start)
        self.tokens += tokens
        done = len(self.durations)
        if self.marks and (done * self.marks) // self.steps > ((done - 1) * self.marks) // self.steps:
            masked = means(score_frozen(model(), self.frozen))["masked"]
            self.points.append({"step": done, "seconds": sum(self.durations), "tokens": self.tokens, "masked": masked})
        self.start = time.perf_counter()
        return done < self.steps


def chunks(corpus: Corpus) -> npt.NDArray[np.int64]:
    """Return (N, LENGTH) ids: every document of train as [CLS] ... [SEP], laid end to end and cut, as run_mlm does."""
    train = corpus.split("train")
    vocabulary = corpus.vocabulary
    parts: list[npt.NDArray[np.int64]] = []
    for shard in train.shards:
        for first, end in zip(shard.starts[:-1], shard.starts[1:], strict=True):
            parts += [np.array([vocabulary.cls_id]), shard.tokens[first:end].astype(np.int64)]
            parts.append(np.array([vocabulary.sep_id]))
    flat = np.concatenate(parts)
    return flat[: len(flat) // LENGTH * LENGTH].reshape(-1, LENGTH)


class Examples(torch.utils.data.Dataset[dict[str, Any]]):
    """Chunks as the collator takes them, its mask of special tokens made beforehand."""

    def __init__(self, ids: npt.NDArray[np.int64], special: list[int]) -> None:
        """Keep them in memory."""
        self.ids, self.special = ids, np.isin(ids, special).astype(np.int64)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ids)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return one."""
        return {"input_ids": self.ids[number], "special_tokens_mask": self.special[number]}


class Told(TrainerCallback):
    """Tells a stage of the steps of the Trainer."""

    def __init__(self, stage: Stage, tokens: int, model: Callable[[], nn.Module]) -> None:
        """``tokens`` pass in a step."""
        self.stage, self.tokens, self.model = stage, tokens, model

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Begin."""
        self.stage.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **__: Any) -> None:  # noqa: ARG002  # named there
        """Stop where the stage says so."""
        control.should_training_stop = not self.stage.step(self.tokens, self.model)


def train_peer(corpus: Corpus, shape: Shape, stage: Stage, steps: int, ids: npt.NDArray[np.int64]) -> None:
    """Train one of the networks of transformers in its Trainer."""
    set_seed(0)
    names = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=corpus.tokenizer, **names)  # type: ignore[no-untyped-call]
    model = network(corpus, shape.kind)
    table, config = TABLES[shape.kind], encoder_config(model.config.to_dict(), corpus.vocabulary.pad_id, Path("peer"))
    twin = MaskedLM(config)

    def as_ours() -> MaskedLM:
        found = from_published(model.state_dict(), table, twin, shape.kind)
        twin.load_state_dict(found.weights)
        return twin

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=shape.rows,
            learning_rate=shape.rate,
            adam_beta2=shape.beta2,
            warmup_steps=round(shape.warmup * steps) if steps < ENDLESS else 0,
            max_steps=steps,
            bf16=shape.dtype == "bfloat16",
            torch_compile=shape.compile,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            seed=0,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=Examples(ids, tokenizer.all_special_ids),
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=shape.hidden),
            callbacks=[Told(stage, shape.rows * LENGTH, as_ours)],
        )
        trainer.train()


def network(corpus: Corpus, kind: str) -> PreTrainedModel:
    """Return a new network of transformers."""
    vocabulary = corpus.vocabulary
    ends: dict[str, Any] = {
        "bos_token_id": vocabulary.cls_id,
        "eos_token_id": vocabulary.sep_id,
        "pad_token_id": vocabulary.pad_id,
    }
    if kind == "bert":
        return BertForMaskedLM(BertConfig(vocab_size=vocabulary.size, intermediate_size=1024, **SIZE))
    theirs: dict[str, Any] = {"cls_token_id": vocabulary.cls_id, "sep_token_id": vocabulary.sep_id, **ends}
    return ModernBertForMaskedLM(
        ModernBertConfig(vocab_size=vocabulary.size, intermediate_size=704, sparse_prediction=True, **theirs, **SIZE)
    )


def train_ours(corpus: Corpus, shape: Shape, stage: Stage, steps: int, words: list[str]) -> None:
    """Train ours by the calls of `training/loop.py`."""
    settings = pretrain_settings(
        [
            *(f"training.batch_rows={shape.rows}", f"training.row_length={LENGTH}", f"training.dtype={shape.dtype}"),
            *(f"optimizer.learning_rate={shape.rate}", f"schedule.warmup={shape.warmup}"),
            *(f"training.compile={'always' if shape.compile else 'never'}", "evaluation.documents=20", *words),
        ]
    )
    batches = step_batches(corpus, settings)
    config = resolve(settings.model, corpus.vocabulary.size, corpus.vocabulary.pad_id)
    model = new_masked_lm(config, torch.Generator().manual_seed(0)).train()
    plan = of_length(plan_for(corpus, settings, model, batches, 0.0, None), batches, steps)
    optimizer = make_optimizer(model, plan.optimizer)
    with Prefetch(plan.make_batches, range(steps)) as made:
        stage.begin()
        for number, micro_batches in enumerate(made):
            set_rate(optimizer, plan.optimizer.learning_rate * plan.course.factor(number))
            train_step(plan, optimizer, micro_batches, number)
            tokens = sum(int(batch.source_tokens().sum()) for batch in micro_batches)
            if not stage.step(tokens, lambda: model):
                return


def flops_of_step(corpus: Corpus, shape: Shape, words: list[str]) -> float:
    """Return the operations of a step of ours, by our own count."""
    settings = pretrain_settings(words)
    config = resolve(settings.model, corpus.vocabulary.size, corpus.vocabulary.pad_id)
    return flops_per_token(config, LENGTH, settings.masking.mlm_probability).total * shape.rows * LENGTH


def work(
    pipe: Connection,
    where: Path,
    name: str,
    rate: float | None,
    words: list[str],
    threads: int,
    quality: dict[str, int],
) -> None:
    """Be one of PEERS: in blocks over ``pipe``, or, where ``quality`` says for how long, from the start to the end."""
    torch.set_num_threads(threads)
    corpus, shape = open_corpus(where), PEERS[name]
    shape = replace(shape, rate=rate or shape.rate)
    ids = chunks(corpus) if shape.kind != "unmask" else np.empty((0, LENGTH), np.int64)
    words = [f"training.threads={threads}", *words]

    def train(stage: Stage, steps: int) -> None:
        if shape.kind == "unmask":
            train_ours(corpus, shape, stage, steps, words)
        else:
            train_peer(corpus, shape, stage, steps, ids)

    if not quality:
        pipe.send({"memory": peak_memory()})
        train(Blocks(pipe), ENDLESS)
        flops = flops_of_step(corpus, shape, words) if shape.kind == "unmask" else 0.0
        pipe.send({"flops": flops, "peak": matmul_peak(torch.bfloat16, threads=threads)})
        return
    frozen = freeze(corpus, quality["documents"])
    trial = Curve(frozen, TRIAL, 0)
    train(trial, TRIAL)
    steps = max(1, round(quality["seconds"] / sorted(trial.durations[3:])[len(trial.durations[3:]) // 2]))
    curve = Curve(frozen, steps, quality["marks"])
    train(curve, steps)
    pipe.send({"points": curve.points, "steps": steps, "rate": shape.rate, "fingerprint": frozen.fingerprint})
