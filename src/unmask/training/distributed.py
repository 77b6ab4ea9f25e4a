"""Many processes that train one model: torchrun starts them, each has a rank, and all of them take the same steps.

What bites: every rank must come to every meeting, in the same order. Whatever decides whether there is one (an
evaluation, a stop, one more trial step) is therefore a function of the step, or told to all by the first rank.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from unmask.errors import FailedElsewhere, PeerLost
from unmask.runs import RunDirectory

T = TypeVar("T")

PATIENCE = timedelta(days=2)
"""How long ranks wait for each other, as for the first one to build a corpus. A rank that dies is noticed at once."""

BUCKET_ELEMENTS = 6_500_000
"""Gradients that travel together, 25 MB of them. Fixed, since the order of a sum hangs on it."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes of a run, as one of them sees them; by default it is the only one."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Its number on this machine."""
    local_count: int = 1
    launch: str | None = None
    """A name of the launch by torchrun, the same after it has started the processes again."""
    restarts: int = 0
    """How often torchrun has started the processes of this launch again."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def has_begun(self, path: Path) -> bool:
        """Say whether ``path`` holds a run of this launch, from before torchrun started the processes again."""
        if self.restarts == 0:
            return False
        found = (path / "run.json").is_file() and RunDirectory(path).state.get("launch") == self.launch
        return self.from_first(found)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of the ``values`` of all ranks, the same to the bit on each of them."""
        if self.count > 1:
            with _meeting():
                dist.all_reduce(values)
        return values

    def add(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return the sums over all ranks, by the names that all of them have."""
        if self.count == 1:
            return dict(sums)
        return dict(zip(sums, self.sum(torch.tensor([*sums.values()], dtype=torch.float64)).tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Say whether ``flag`` is true on some rank."""
        return flag if self.count == 1 else bool(self.sum(torch.tensor(int(flag))))

    def from_first(self, value: T) -> T:
        """Return the ``value`` of the first rank."""
        held = [value]
        if self.count > 1:
            with _meeting():
                dist.broadcast_object_list(held)
        return held[0]

    def clock(self) -> float:
        """Return the seconds of the first rank's clock, so that all decide alike."""
        return self.from_first(time.perf_counter())

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Let the first rank do what is inside, then the others: what it has built, they find.

        Where the first fails, the others raise FailedElsewhere.
        """
        done = False
        if not self.is_first and not self.from_first(done):
            raise FailedElsewhere
        try:
            yield
            done = True
        finally:
            if self.is_first:
                self.from_first(done)

    def run_at(self, path: Path) -> RunDirectory | None:
        """Return the run at ``path`` as a rank that is not the first has it; None for the first, which writes it."""
        return None if self.is_first else ReadOnlyRun(path)

    @contextmanager
    def summed_gradients(self, model: nn.Module, *, overlap: bool) -> Iterator[None]:
        """Sum over all ranks the gradients that the backward inside completes.

        With ``overlap`` a bucket travels as soon as its gradients are there, while the backward goes on. The sums are
        the same to the bit either way: what travels together is fixed, and so is the order.
        """
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        travel = _Buckets(parameters[::-1])  # about the order in which a backward completes them
        hooks = []
        for parameter in parameters if overlap else ():
            hook = parameter.register_post_accumulate_grad_hook(travel.complete)  # type: ignore[no-untyped-call]
            hooks.append(hook)
        try:
            yield
            with _meeting():
                travel.arrive()
        finally:
            for hook in hooks:
                hook.remove()


ALONE = Ranks()


def is_sharded(model: nn.Module) -> bool:
    """Say whether the weights of ``model`` are dealt over ranks (FSDP2)."""
    return hasattr(next(model.parameters()), "full_tensor")


def whole(value: Tensor) -> Tensor:
    """Return all of ``value``, on every rank; itself where it is not dealt."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def own_part(value: Tensor) -> Tensor:
    """Return what this rank holds of ``value``; itself where it is not dealt."""
    return value.to_local() if hasattr(value, "to_local") else value


class _Buckets:
    """Gradients on their way: sent bucket by bucket in a fixed order, and put back once their sums are there."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        """Fill the buckets in the order of ``parameters``."""
        self.buckets: list[list[nn.Parameter]] = []
        room = 0
        for parameter in parameters:
            if parameter.numel() > room:
                self.buckets.append([])
                room = BUCKET_ELEMENTS
            self.buckets[-1].append(parameter)
            room -= parameter.numel()
        self.missing = [len(bucket) for bucket in self.buckets]
        self.number_of = {parameter: number for number, bucket in enumerate(self.buckets) for parameter in bucket}
        self.sent: list[tuple[list[Tensor], Tensor, Any]] = []

    def complete(self, parameter: Tensor) -> None:
        """Take in that the gradient of ``parameter`` is there, and send what can be sent in order."""
        self.missing[self.number_of[parameter]] -= 1  # type: ignore[index]  # torch hands its parameters as tensors
        while len(self.sent) < len(self.buckets) and self.missing[len(self.sent)] == 0:
            self._send()

    def arrive(self) -> None:
        """Send the rest, wait for all and put the sums in place."""
        while len(self.sent) < len(self.buckets):
            self._send()
        for gradients, flat, work in self.sent:
            if gradients:
                work.wait()
                sums = torch.split(flat, [gradient.numel() for gradient in gradients])
                torch._foreach_copy_(gradients, [part.view_as(to) for part, to in zip(sums, gradients, strict=True)])

    def _send(self) -> None:
        gradients = [each.grad for each in self.buckets[len(self.sent)] if each.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients]) if gradients else torch.empty(0)
        self.sent.append((gradients, flat, dist.all_reduce(flat, async_op=True) if gradients else None))


class ReadOnlyRun(RunDirectory):
    """The run as ranks other than the first have it: they follow it and leave the writing to the first."""

    def update(self, **changes: Any) -> None:
        """Leave it to the first rank."""

    def record(self, line: Mapping[str, Any]) -> None:
        """Leave it to the first rank, but end where a figure that is not finite ends that one."""
        try:
            json.dumps(line, allow_nan=False)
        except ValueError:
            raise FailedElsewhere from None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Leave it to the first rank."""
        yield

    @contextmanager
    def new_checkpoint(self, step: int, state: Mapping[str, Any]) -> Iterator[Path]:  # noqa: ARG002  # the first rank's
        """Give no folder of its own: the first rank says which one it has made."""
        yield Path()

    def keep_checkpoints(self, keep: int, step: int, spared: int | None = None) -> None:
        """Leave it to the first rank."""


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes where torchrun has started this one, and leave them at the end.

    Without torchrun this process is alone, and nothing is set up.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    ranks = _from_environment(os.environ)
    if ranks.count == 1:
        yield ranks
        return
    _meet(ranks)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
        # Torch's caches of dealt tensors keep gloo's threads. One that lets go of its last tensor while Python ends
        # would bring the process down (pytorch 179291), so they are given the time to do so before.
        time.sleep(0.2)


def _meet(ranks: Ranks) -> None:
    """Set up the ways in which ranks talk: gloo between processors, NCCL between GPUs where there are any."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(ranks.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    with _meeting():
        store, *_ = next(rendezvous("env://", timeout=PATIENCE))
        if os.environ["TORCHELASTIC_USE_AGENT_STORE"] == "True":
            # It outlives the processes: started again, they would find the addresses of the dead (pytorch 135712).
            store = PrefixStore(f"restart {ranks.restarts}", store)
        dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.count, timeout=PATIENCE)


def _from_environment(said: Mapping[str, str]) -> Ranks:
    """Return what torchrun's variables say."""
    launch = said["TORCHELASTIC_RUN_ID"]
    return Ranks(
        rank=int(said["RANK"]),
        count=int(said["WORLD_SIZE"]),
        local_rank=int(said["LOCAL_RANK"]),
        local_count=int(said["LOCAL_WORLD_SIZE"]),
        # Without a name given to it torchrun calls every launch "none"; its own process then tells them apart.
        launch=launch if launch != "none" else f"{platform.node()}:{os.getppid()}",
        restarts=int(said["TORCHELASTIC_RESTART_COUNT"]),
    )


@contextmanager
def _meeting() -> Iterator[None]:
    """Turn the death of another rank into a PeerLost. What else torch raises here, it raises for it too."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise PeerLost(f"another process of this run is gone, or can not be reached ({reason})") from None
