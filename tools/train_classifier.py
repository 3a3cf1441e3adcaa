"""Train the MNIST classifier whose features measure the book's generators, once.

    python tools/train_classifier.py --output somewhere.safetensors

The weights in `gancourse/weights` are fixed: every Fréchet distance in the book names their hash, and
another training gives other features and voids them all. So this script refuses to overwrite them.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from gancourse.data import ImageData, mnist, to_unit
from gancourse.features import CLASSIFIER_CARD, CLASSIFIER_FILE, MNISTClassifier
from gancourse.published import file_sha256


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn (up to 12 degrees), scale (10 %) and shift (2 pixels) each image (N, 1, 28, 28) at random."""
    n = len(images)
    u = torch.rand(4, n, generator=generator) * 2 - 1
    angle, scale = u[0] * math.radians(12), 1 + 0.1 * u[1]
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = angle.cos() * scale, -angle.sin() * scale
    theta[:, 1, 0], theta[:, 1, 1] = angle.sin() * scale, angle.cos() * scale
    theta[:, :, 2] = u[2:].T * (2 / 14)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images + 1, grid, align_corners=False) - 1  # +1: outside is black, not gray


def train(data: ImageData, epochs: int, batch_size: int = 128, seed: int = 0) -> MNISTClassifier:
    """Return a classifier trained with AdamW, a one-cycle schedule, augmentation and label smoothing 0.05."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = MNISTClassifier().to(memory_format=torch.channels_last)
    steps = epochs * (len(data) // batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    progress = tqdm(total=steps, unit="step", mininterval=5)
    for _ in range(epochs):
        order = torch.randperm(len(data), generator=generator)
        for index in order.split(batch_size)[: len(data) // batch_size]:
            images = augment(to_unit(data.images[index]), generator)
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(images)
            loss = F.cross_entropy(logits.float(), data.labels[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.update()
    return net.eval()


@torch.no_grad()
def restandardize(net: MNISTClassifier, data: ImageData) -> None:
    """Set the feature mean and variance to those of the unaugmented training digits, exactly."""
    net.standardize.running_mean.zero_()  # type: ignore[union-attr]
    net.standardize.running_var.fill_(1.0 - net.standardize.eps)  # type: ignore[union-attr]
    raw = torch.cat([net.features(to_unit(batch)) for batch in data.images.split(1000)]).double()
    net.standardize.running_mean.copy_(raw.mean(0))  # type: ignore[union-attr]
    net.standardize.running_var.copy_(raw.var(0, correction=0))  # type: ignore[union-attr]


@torch.no_grad()
def accuracy(net: MNISTClassifier, data: ImageData) -> float:
    """Return the share of images classified as labelled."""
    hits = [
        net(to_unit(x)).argmax(1) == y
        for x, y in zip(data.images.split(1000), data.labels.split(1000), strict=True)
    ]
    return torch.cat(hits).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=CLASSIFIER_FILE)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    if args.output.exists():
        parser.error(f"{args.output} exists; its hash is what every Fréchet distance is quoted for")
    train_data, test_data = mnist("train"), mnist("test")
    net = train(train_data, args.epochs)
    restandardize(net, train_data)
    card = {"epochs": args.epochs, "test_accuracy": accuracy(net, test_data), "torch": torch.__version__}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, args.output)
    card["sha256"] = file_sha256(args.output)
    path = CLASSIFIER_CARD if args.output == CLASSIFIER_FILE else args.output.with_suffix(".json")
    path.write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
