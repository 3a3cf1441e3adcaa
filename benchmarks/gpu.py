"""On a CUDA GPU: the tutorials' loop, with and without loading of data, and a plain WGAN-GP loop."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from benchmarks import dcgan
from benchmarks.pairs import Pair, seconds
from gancourse.data import ImageData, grid, mnist_or_digits
from gancourse.losses import WASSERSTEIN
from gancourse.models import MLPDiscriminator, MLPGenerator
from gancourse.penalties import gradient_penalty
from gancourse.training import Run, Speed, TrainConfig, fit

CRITIC_STEPS, WIDTH, BATCH, WEIGHT = 5, 512, 256, 10.0
EPOCHS = 50


def players(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """Return the MLPs of the grid, on the GPU."""
    generator = torch.Generator().manual_seed(seed)
    G = MLPGenerator(2, 2, width=WIDTH, depth=3, generator=generator)
    return G.cuda(), MLPDiscriminator(2, width=WIDTH, depth=3, generator=generator).cuda()


def ours(steps: int, speed: Speed | None = None) -> Run:
    """Train WGAN-GP on the grid with `fit`."""
    facts = {"batch_size": BATCH, "d_steps": CRITIC_STEPS, "lr_g": 1e-4, "lr_d": 1e-4, "betas": (0.0, 0.9)}
    config = TrainConfig(steps, penalty_weight=WEIGHT, checkpoint_every=steps, **facts)
    given = {"loss": WASSERSTEIN, "penalty": gradient_penalty, "config": config, "progress": False}
    return fit(*players(), grid(), speed=speed, **given)


def plain(steps: int) -> list[tuple[float, float]]:
    """Train the same by a loop as it is usually written; return both losses of each step."""
    G, D = players()
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), 1e-4, (0.0, 0.9)) for net in (G, D))
    mixture, losses = grid(), []
    for _ in range(steps):
        for _ in range(CRITIC_STEPS):
            real = mixture.sample(BATCH).cuda()
            fake = G(torch.randn(BATCH, 2, device="cuda")).detach()
            t = torch.rand(BATCH, 1, device="cuda")
            between = (t * real + (1 - t) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
            penalty = (slope.norm(dim=1) - 1).square().mean()
            d_loss = D(fake).mean() - D(real).mean() + WEIGHT * penalty
            opt_d.zero_grad()
            d_loss.backward()
            opt_d.step()
        g_loss = -D(G(torch.randn(BATCH, 2, device="cuda"))).mean()
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()
        losses.append((d_loss.item(), g_loss.item()))
    return losses


def pairs(steps: int = 1_000) -> list[Pair]:
    """Return the works of so many steps that have a peer."""
    data = mnist_or_digits("train", profile="full")
    work = f"DCGAN-28, batch {dcgan.BATCH}, {steps:,} steps, GPU"
    mine = partial(_synchronized, partial(dcgan.ours, data, steps, device="cuda"))
    peers = {
        "tutorial loop, 2 workers": partial(dcgan.tutorial, data, steps, workers=2, device="cuda"),
        "the same, data on the GPU": partial(dcgan.tutorial, data, steps, device="cuda", resident=True),
    }
    found = [
        Pair(work, name, mine, partial(_synchronized, peer), rounds=3, asked=asked)
        for (name, peer), asked in zip(peers.items(), (10.0, 4.0), strict=True)
    ]
    critic = f"WGAN-GP, MLP on the grid, {CRITIC_STEPS} critic steps, {steps:,} steps, GPU"
    both = (partial(_synchronized, partial(train, steps)) for train in (ours, plain))
    return [*found, Pair(critic, "plain loop", *both, rounds=3, asked=5.0)]


def _synchronized(work: partial[object]) -> None:
    work()
    torch.cuda.synchronize()


def whole_training(data: ImageData | None = None) -> float:
    """Return the seconds of 50 epochs of MNIST."""
    data = data or mnist_or_digits("train", profile="full")
    steps = EPOCHS * (len(data) // dcgan.BATCH)
    return seconds(lambda: _synchronized(partial(dcgan.ours, data, steps, device="cuda")))
