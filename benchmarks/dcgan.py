"""DCGAN-28, against the loop that tutorials teach: same nets, same optimizer, same batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.pairs import Pair
from gancourse.data import DeviceLoader, ImageData, mnist_or_digits
from gancourse.losses import NON_SATURATING
from gancourse.models import DCGANDiscriminator, DCGANGenerator
from gancourse.training import Precision, Speed, TrainConfig, fit, preferred_precision

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


def tutorial(
    data: ImageData, steps: int, seed: int = 0, workers: int = 0, device: str = "cpu", resident: bool = False
) -> list[tuple[float, float]]:
    """Train with DataLoader, Sigmoid and BCELoss; return both losses of each step, read with `.item()`.

    With `resident` the images lie on the device, and only the loop is the tutorials'.
    """
    torch.manual_seed(seed)
    G, logits = (net.to(device) for net in players(seed))
    D = nn.Sequential(logits, nn.Sigmoid())
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), LR, BETAS) for net in (G, D))
    criterion, losses = nn.BCELoss(), []
    if resident:
        batches: Iterator[Tensor] = DeviceLoader(data, BATCH, device=device)
    else:
        loader = DataLoader(Pictures(data), BATCH, shuffle=True, drop_last=True, num_workers=workers)
        batches = endless(loader)
    for _ in range(steps):
        real = next(batches).to(device)
        ones, zeros = torch.ones(BATCH, device=device), torch.zeros(BATCH, device=device)
        D.zero_grad()
        loss_real = criterion(D(real), ones)
        loss_real.backward()
        fake = G(torch.randn(BATCH, 100, device=device))
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


def ours(
    data: ImageData,
    steps: int,
    seed: int = 0,
    device: str = "cpu",
    precision: Precision | None = None,
    speed: Speed | None = None,
) -> list[tuple[float, float]]:
    """Train with `fit`, in the precision that suits the device; return both losses of each step."""
    precision = precision or preferred_precision(device)
    config = TrainConfig(
        steps, BATCH, seed, lr_g=LR, lr_d=LR, betas=BETAS, precision=precision, checkpoint_every=steps
    )
    G, D = (net.to(device) for net in players(seed))
    run = fit(G, D, data, loss=NON_SATURATING, config=config, progress=False, speed=speed)
    return list(zip(run.history["d_loss"].tolist(), run.history["g_loss"].tolist(), strict=True))


def pairs(steps: int = 150) -> list[Pair]:
    """Return the work of so many steps on the CPU, in float32 and, where it is native, in bfloat16."""
    data = mnist_or_digits("train", profile="quick")
    native: list[Precision] = ["float32"]
    native += ["bfloat16"] if preferred_precision("cpu") == "bfloat16" else []
    return [
        Pair(
            f"DCGAN-28, batch {BATCH}, {steps} steps, CPU, {precision}",
            f"tutorial loop, {workers} workers",
            partial(ours, data, steps, precision=precision),
            partial(tutorial, data, steps, workers=workers),
            rounds=3,
            asked={"float32": 1.2, "bfloat16": 1.6}[precision],
        )
        for precision in native
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
