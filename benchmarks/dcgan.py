"""DCGAN-28 on the CPU, against the loop that tutorials teach: same nets, same optimizer, same batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.pairs import Pair
from gancourse.data import ImageData, mnist_or_digits
from gancourse.losses import NON_SATURATING
from gancourse.models import DCGANDiscriminator, DCGANGenerator
from gancourse.training import TrainConfig, fit, preferred_precision

BATCH, LR, BETAS = 64, 2e-4, (0.5, 0.999)


class Pictures(Dataset[Tensor]):
    """Images as PIL pictures that are transformed one by one, as `torchvision.datasets` gives them."""

    def __init__(self, data: ImageData) -> None:
        self.arrays = data.images[:, 0].numpy()
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> Tensor:
        picture: Tensor = self.transform(Image.fromarray(self.arrays[index]))
        return picture


def players(seed: int) -> tuple[nn.Module, nn.Module]:
    """Return the 28-pixel pair of chapter 5."""
    generator = torch.Generator().manual_seed(seed)
    return DCGANGenerator(generator=generator), DCGANDiscriminator(generator=generator)


def tutorial(data: ImageData, steps: int, seed: int = 0, workers: int = 0) -> list[tuple[float, float]]:
    """Train with DataLoader, Sigmoid and BCELoss; return both losses of each step, read with `.item()`."""
    torch.manual_seed(seed)
    G, logits = players(seed)
    D = nn.Sequential(logits, nn.Sigmoid())
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), LR, BETAS) for net in (G, D))
    criterion, losses = nn.BCELoss(), []
    batches = endless(DataLoader(Pictures(data), BATCH, shuffle=True, drop_last=True, num_workers=workers))
    for _ in range(steps):
        real, ones, zeros = next(batches), torch.ones(BATCH), torch.zeros(BATCH)
        D.zero_grad()
        loss_real = criterion(D(real), ones)
        loss_real.backward()
        fake = G(torch.randn(BATCH, 100))
        loss_fake = criterion(D(fake.detach()), zeros)
        loss_fake.backward()
        opt_d.step()
        G.zero_grad()
        loss_g = criterion(D(fake), ones)
        loss_g.backward()
        opt_g.step()
        losses.append((loss_real.item() + loss_fake.item(), loss_g.item()))
    return losses


def endless(loader: DataLoader[Tensor]) -> Iterator[Tensor]:
    """Yield batches, epoch after epoch."""
    while True:
        yield from loader


def ours(data: ImageData, steps: int, seed: int = 0) -> list[tuple[float, float]]:
    """Train with `fit`; return both losses of each step."""
    config = TrainConfig(
        steps, BATCH, seed, lr_g=LR, lr_d=LR, betas=BETAS, precision=preferred_precision("cpu")
    )
    run = fit(*players(seed), data, loss=NON_SATURATING, config=config, progress=False)
    return list(zip(run.history["d_loss"].tolist(), run.history["g_loss"].tolist(), strict=True))


def pairs(steps: int = 150) -> list[Pair]:
    """Return the work of so many steps, against the loop without and with two loading processes."""
    data = mnist_or_digits("train", profile="quick")
    work = f"DCGAN-28, batch {BATCH}, {steps} steps, CPU"
    return [
        Pair(
            work,
            f"tutorial loop, {workers} workers",
            partial(ours, data, steps),
            partial(tutorial, data, steps, workers=workers),
            rounds=3,
        )
        for workers in (0, 2)
    ]


def compare_losses(steps: int = 300, last: int = 100, seeds: int = 3) -> str:
    """Return each loop's mean losses over the last steps, a line a seed: they should be of one kind."""
    data, lines = (
        mnist_or_digits("train", profile="quick"),
        ["| loop | seed | D's loss | G's loss |", "| - | - | - | - |"],
    )
    for name, train in (("ours", ours), ("tutorial", tutorial)):
        for seed in range(seeds):
            means = torch.tensor(train(data, steps, seed))[-last:].mean(0).tolist()
            lines += [f"| {name} | {seed} | {means[0]:.3f} | {means[1]:.3f} |"]
    return "\n".join(lines)
