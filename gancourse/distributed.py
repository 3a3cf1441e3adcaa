"""Several processes, one run: PyTorch's own DistributedDataParallel around the steps of the book.

Every process draws the randomness of the whole batch and keeps its own part, so that N processes compute
what one computes on the same batch. Start a script with `torchrun --nproc-per-node=N script.py` and put
`with process_group():` around its call of `fit`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gancourse.checks import check_tensor

if TYPE_CHECKING:  # a loss need not load the metrics
    from gancourse.metrics import FeatureStats


@contextmanager
def process_group(backend: str | None = None) -> Iterator[torch.device]:
    """Join the processes that torchrun started; yield this one's device. Alone, without torchrun, do nothing.

    `backend` is "nccl" where there are CUDA GPUs, one for each process, else "gloo", on CPUs.
    """
    if "RANK" not in os.environ:
        yield torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return
    local = int(os.environ["LOCAL_RANK"])
    gpu = torch.cuda.device_count() > local
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(backend or ("nccl" if gpu else "gloo"))
    try:
        yield device
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Return how many processes train together; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number in 0..world_size() - 1; the one of number 0 writes."""
    return dist.get_rank() if world_size() > 1 else 0


def local_part(batch: Tensor) -> Tensor:
    """Return this process's rows (B / world_size, ...) of a batch (B, ...) that all of them hold.

    Raises ValueError where the processes cannot share the batch evenly: a mean of means would be no mean.
    """
    check_tensor("a batch", batch)
    if batch.ndim == 0:
        raise ValueError("expected a batch (B, ...), got a single number")
    size = world_size()
    if len(batch) % size:
        raise ValueError(f"expected a batch that {size} processes can share evenly, got {len(batch)} samples")
    part = len(batch) // size
    return batch[rank() * part : (rank() + 1) * part]


def rand_local(
    n: int, *, generator: torch.Generator | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Return n numbers (n,) from U[0, 1], this process's part of world_size() n that all of them draw."""
    return local_part(torch.rand(n * world_size(), generator=generator, device=device))


@torch.no_grad()
def average_(*tensors: Tensor) -> None:
    """Replace each tensor by its mean over the processes, in place; alone, do nothing."""
    for tensor in tensors if world_size() > 1 else ():
        whole = tensor.contiguous()  # what is sent must lie in one piece; a view does not
        dist.all_reduce(whole)
        tensor.copy_(whole / world_size())


def any_rank(flag: bool, device: torch.device) -> bool:
    """Tell whether the flag is set in any of the processes."""
    if world_size() == 1:
        return flag
    votes = torch.tensor(int(flag), device=device)
    dist.all_reduce(votes, dist.ReduceOp.MAX)
    return bool(votes)


def merged(stats: FeatureStats) -> FeatureStats:
    """Return the statistics of all processes' features together, the same in each process."""
    if world_size() == 1:
        return stats
    parts: list[FeatureStats] = [stats] * world_size()
    dist.all_gather_object(parts, stats)
    whole, *others = parts
    for part in others:
        whole = whole.merge(part)
    return whole


def data_parallel(net: nn.Module) -> nn.Module:
    """Wrap a net so that its gradients are averaged over the processes; alone, return it as it is.

    Buffers are not sent around at each forward pass, which D takes twice before it goes back: `average_`
    joins them when a checkpoint is due.
    """
    if world_size() == 1 or not any(p.requires_grad for p in net.parameters()):
        return net
    return nn.parallel.DistributedDataParallel(net, broadcast_buffers=False)
