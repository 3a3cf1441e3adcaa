"""The Inception score: are the classes sure, and are there many of them? Taught in chapter 8."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gancourse.checks import is_count
from gancourse.metrics.checks import checked_rows

# Rows that are turned into float64 at once.
CHUNK = 8192


class InceptionScore(NamedTuple):
    """Mean and standard deviation of the score over splits; from 1 (one class) to K (each as often)."""

    mean: float
    std: float


def inception_score(
    logits: Tensor, *, splits: int = 1, generator: torch.Generator | None = None
) -> InceptionScore:
    """Return the Inception score of class logits (N, K): exp E KL(p(y|x) || p(y)).

    Salimans et al. (2016), section 4; there over 10 splits of 50,000 images. The score is biased downward by
    a small split: compare only values of equal N and splits. Splits are made in the given order, or if there
    is a `generator` after shuffling: shuffle where images come class by class. The score sees no real image,
    nor whether the images within a class differ. Raises ValueError for a split without logits, another
    shape, NaN.
    """
    logits = checked_rows(logits, name="logits (N, K)")
    if not is_count(splits) or splits > len(logits):
        raise ValueError(f"expected from 1 to {len(logits)} splits (the number of logits), got {splits}")
    if generator is not None:
        order = torch.randperm(len(logits), generator=generator, device=generator.device)
        logits = logits[order.to(logits.device)]
    scores = torch.stack([_score(part) for part in logits.tensor_split(splits)])
    return InceptionScore(scores.mean().item(), scores.std(correction=0).item())


def _score(logits: Tensor) -> Tensor:
    """Return exp(H(y) - H(y|x)), which is the same: the entropies add up over chunks."""
    total = torch.zeros(logits.shape[1], dtype=torch.float64, device=logits.device)
    conditional = torch.zeros((), dtype=torch.float64, device=logits.device)
    for chunk in logits.split(CHUNK):
        p = chunk.double().softmax(1)
        total += p.sum(0)
        conditional += torch.special.entr(p).sum()
    divergence: Tensor = torch.special.entr(total / len(logits)).sum() - conditional / len(logits)
    return divergence.exp()
