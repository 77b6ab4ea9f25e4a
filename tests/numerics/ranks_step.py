"""One step of training as each rank takes it: run by torchrun, writes what the first rank then holds.

Arguments: the corpus directory, the file of safetensors to write.
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from unmask.batch import Batch
from unmask.corpus.directory import Corpus, open_corpus
from unmask.masking.mask import MaskingSettings
from unmask.model.config import ModelSettings
from unmask.model.config import resolve as resolve_shape
from unmask.model.heads import MaskedLM, new_masked_lm
from unmask.objectives import OBJECTIVES
from unmask.training import distributed
from unmask.training.batches import StepBatches
from unmask.training.distributed import Ranks, joined, whole
from unmask.training.kept import KeptWeights
from unmask.training.loop import LoopSettings, Plan, train_step
from unmask.training.machine import prepare
from unmask.training.optim import OptimizerSettings, ScheduleSettings, make_optimizer

ROWS, LENGTH = 64, 32


def new_model(corpus: Corpus) -> MaskedLM:
    shape = resolve_shape(
        ModelSettings(preset="tiny", hidden_size=64), corpus.vocabulary.size, corpus.vocabulary.pad_id
    )
    return new_masked_lm(shape, torch.Generator().manual_seed(1))


def plan_of(corpus: Corpus, model: MaskedLM, micro_batch_rows: int, ranks: Ranks) -> Plan:
    machine = prepare(
        dtype="float32", threads=1, deterministic=True, compiling="never", budget_seconds=0.0, ranks=ranks
    )
    batches = StepBatches(
        rows=corpus.rows(LENGTH),
        vocabulary=corpus.vocabulary,
        masking=MaskingSettings(mlm_probability=0.15),
        seed=5,
        batch_rows=ROWS,
        micro_batch_rows=micro_batch_rows,
        rank=ranks.rank,
        ranks=ranks.count,
    )
    return Plan(
        model=model.to(machine.device),
        objective=OBJECTIVES["mlm"],
        make_batches=batches,
        evaluate=lambda _: {},
        kept=KeptWeights(),
        machine=machine,
        optimizer=OptimizerSettings(clip=0),
        schedule=ScheduleSettings(),
        training=LoopSettings(batch_rows=ROWS),
        max_steps=1,
        ranks=ranks,
    )


def gradients(plan: Plan) -> dict[str, Tensor]:
    """Return the gradients of the first step, as each parameter's name, and the norm and sums that are told of it."""
    by_kind, norm = train_step(plan, make_optimizer(plan.model, plan.optimizer), plan.make_batches(0), 0)
    found = {name: whole(value.grad) for name, value in plan.model.named_parameters() if value.grad is not None}
    return {**found, "norm": norm, "by_kind": plan.ranks.sum(by_kind)}


def row_hashes(batches: list[Batch]) -> list[str]:
    """Return a hash of what each row shows and asks."""
    rows = [row for batch in batches for row in zip(batch.input_ids, batch.labels, batch.segment, strict=True)]
    return [blake2b(b"".join(part.numpy().tobytes() for part in row), digest_size=8).hexdigest() for row in rows]


def main(directory: str, out: str) -> None:
    corpus = open_corpus(Path(directory))
    with joined() as ranks:
        plan = plan_of(corpus, new_model(corpus), 0, ranks)
        replicated = gradients(plan)
        dealt: list[list[str]] = [[] for _ in range(ranks.count)]
        dist.all_gather_object(dealt, row_hashes(plan.make_batches(0)))

        distributed.BUCKET_ELEMENTS = 5000  # several buckets, sent while the backward goes on
        plan = plan_of(corpus, new_model(corpus), 0, ranks)
        [batch] = plan.make_batches(0)
        weight = plan.objective.step_weights([batch], ranks.add)["mlm"]
        with ranks.summed_gradients(plan.model, overlap=True):
            [term] = plan.objective.terms(plan.model, batch.to(plan.machine.device))
            (term.loss_sum / weight).backward()  # type: ignore[no-untyped-call]
        overlapped = {name: value.grad for name, value in plan.model.named_parameters() if value.grad is not None}

        from unmask.training.sharding import shard

        model = new_model(corpus)
        shard(model, model.model.layers, plan.machine.device, ranks.count)
        sharded = gradients(plan_of(corpus, model, 8, ranks))
        if ranks.is_first:
            found = {"replicated": replicated, "overlapped": overlapped, "sharded": sharded}
            tensors = {f"{way}/{name}": value.cpu() for way, of in found.items() for name, value in of.items()}
            save_file(tensors, out, {"rows": " ".join(row for rows in zip(*dealt, strict=True) for row in rows)})


if __name__ == "__main__":
    main(*sys.argv[1:])
