"""Endless batches for training, from data that stay whole on the device. Taught in chapter 5."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from gancourse.checks import check_tensor, is_count, is_float
from gancourse.data.images import ImageData, to_unit
from gancourse.data.mixtures import Mixture

Data = Mixture | ImageData | Tensor


class Loader(Protocol):
    """Endless batches whose order a state can restore, bit for bit."""

    def draw(self) -> tuple[Tensor, Tensor | None]:
        """Return the next batch (B, ...), and its labels (B,) where it has any."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as `epoch_rng` and `position`."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""

    def fingerprint(self, *, labelled: bool = False) -> str:
        """Return what changes with the data, `labelled` also with their labels."""


class DeviceLoader(Iterator[Tensor]):
    """Endless batches (B, C, H, W) in [-1, 1] from images kept whole on the device as uint8.

    MNIST is 47 MB as bytes: it fits on any device, and then no step waits for the host. Each epoch is
    a fresh permutation; the last, incomplete batch is dropped, so that every batch has one shape. A tensor
    of points (N, D), or of images in [-1, 1], is kept in float32 instead. `generator` lives on the CPU, so
    that the order of the data does not depend on the device. Raises ValueError for a batch size that the
    data cannot fill and for what no batch can be made of.
    """

    def __init__(
        self,
        data: ImageData | Tensor,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        if not isinstance(data, ImageData):
            _check_samples(data)
        if not is_count(batch_size) or batch_size > len(data):
            raise ValueError(
                f"expected a batch size from 1 to {len(data)} (the number of samples), got {batch_size!r}"
            )
        self.data, self.batch_size = data, batch_size
        self.labels = data.labels.to(device) if isinstance(data, ImageData) else None
        self.images = (data.images if isinstance(data, ImageData) else data.detach().float()).to(device)
        self.generator = generator if generator is not None else torch.Generator().manual_seed(0)
        self.steps_per_epoch = len(data) // batch_size
        self._start_epoch()

    def _start_epoch(self) -> None:
        self._epoch_rng = self.generator.get_state()
        self._order = torch.randperm(len(self.images), generator=self.generator).to(self.images.device)
        self._position = 0

    def __next__(self) -> Tensor:
        return self.draw()[0]

    def draw(self) -> tuple[Tensor, Tensor | None]:
        """Return the next batch (B, C, H, W) in [-1, 1] with its labels (B,); points (B, D) with None."""
        if self._position == self.steps_per_epoch:
            self._start_epoch()
        start = self._position * self.batch_size
        self._position += 1
        chosen = self._order[start : start + self.batch_size]
        batch = self.images[chosen]
        scaled = to_unit(batch) if batch.dtype == torch.uint8 else batch
        return scaled, None if self.labels is None else self.labels[chosen]

    def state_dict(self) -> dict[str, Any]:
        """Return what going on from here needs, bit for bit: the epoch's RNG state and the position in it."""
        return {"epoch_rng": self._epoch_rng, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of a loader over the same data with the same batch size."""
        position = int(state["position"])
        if not 0 <= position <= self.steps_per_epoch:
            raise ValueError(
                f"expected a position from 0 to {self.steps_per_epoch}, got {position}: other data?"
            )
        self.generator.set_state(state["epoch_rng"].cpu())
        self._start_epoch()
        self._position = position

    def fingerprint(self, *, labelled: bool = False) -> str:
        """Return 16 hexadecimal digits that change with any value or shape of the data (see `ImageData`)."""
        if isinstance(self.data, ImageData):
            return self.data.fingerprint(labelled=labelled)
        digest = hashlib.sha256(str(tuple(self.data.shape)).encode())
        digest.update(self.data.detach().float().cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]


class MixtureLoader(Iterator[Tensor]):
    """Endless fresh batches (B, D) from a mixture: no point is seen twice, so none can be memorized.

    `generator` lives on the CPU, so that the points do not depend on the device.
    """

    def __init__(
        self,
        mixture: Mixture,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        generator: torch.Generator | None = None,
    ) -> None:
        if not is_count(batch_size):
            raise ValueError(f"expected a batch size of at least 1, an integer, got {batch_size!r}")
        self.mixture, self.batch_size, self.device = mixture.to("cpu"), batch_size, device
        self.generator = generator if generator is not None else torch.Generator().manual_seed(0)

    def __next__(self) -> Tensor:
        return self.draw()[0]

    def draw(self) -> tuple[Tensor, Tensor | None]:
        """Return the next points (B, D) and the mode (B,) that each was drawn from."""
        points, modes = self.mixture.sample_with_modes(self.batch_size, generator=self.generator)
        return points.to(self.device), modes.to(self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return what going on from here needs, bit for bit."""
        return {"epoch_rng": self.generator.get_state(), "position": 0}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.generator.set_state(state["epoch_rng"].cpu())

    def fingerprint(self, *, labelled: bool = False) -> str:
        """Return 16 hexadecimal digits that change with the mixture, which has no labels."""
        return self.mixture.fingerprint()


class SeedsLoader:
    """Endless batches (S, B, ...): for each of S seeds those that it is given alone. The data are kept once.

    Raises ValueError and TypeError as `loader_of` does.
    """

    def __init__(
        self, data: Data, batch_size: int, *, device: torch.device | str, seeds: Sequence[int]
    ) -> None:
        self.each = [loader_of(data, batch_size, device=device, seed=seed) for seed in seeds]
        first = self.each[0]
        for other in self.each[1:]:
            if isinstance(first, DeviceLoader) and isinstance(other, DeviceLoader):
                other.images, other.labels = first.images, first.labels

    def draw(self) -> tuple[Tensor, None]:
        """Return the next batch (S, B, ...), without labels."""
        return torch.stack([loader.draw()[0] for loader in self.each]), None

    def state_dict(self) -> dict[str, Any]:
        """Return what going on from here needs, bit for bit; the seeds are at the same position."""
        states = [loader.state_dict() for loader in self.each]
        return {"epoch_rng": torch.stack([s["epoch_rng"] for s in states]), "position": states[0]["position"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` over the same data with the same batch size and seeds."""
        for loader, epoch_rng in zip(self.each, state["epoch_rng"], strict=True):
            loader.load_state_dict({"epoch_rng": epoch_rng.clone(), "position": state["position"]})

    def fingerprint(self, *, labelled: bool = False) -> str:
        """Return 16 hexadecimal digits that change with the data, `labelled` also with their labels."""
        return self.each[0].fingerprint(labelled=labelled)


def loader_of(
    data: Data | DeviceLoader, batch_size: int, *, device: torch.device | str, seed: int
) -> DeviceLoader | MixtureLoader:
    """Return the loader of a mixture, of images, of a tensor (N, ...); a DeviceLoader is returned as it is.

    Raises ValueError for a loader of another batch size, TypeError for anything else.
    """
    order = torch.Generator().manual_seed(seed)
    if isinstance(data, Mixture):
        return MixtureLoader(data, batch_size, device=device, generator=order)
    if isinstance(data, ImageData | Tensor):
        return DeviceLoader(data, batch_size, device=device, generator=order)
    if not isinstance(data, DeviceLoader):
        raise TypeError(
            f"expected a Mixture, ImageData, a tensor or a DeviceLoader, got {type(data).__name__}"
        )
    if data.batch_size != batch_size:
        raise ValueError(
            f"expected a loader of batch size {batch_size}, as configured, got {data.batch_size}"
        )
    return data


def _check_samples(samples: Tensor) -> None:
    """Raise ValueError unless samples are points (N, D), finite, or images (N, C, H, W) in [-1, 1]."""
    check_tensor("samples", samples)
    if samples.ndim not in (2, 4) or samples.numel() == 0 or not is_float(samples):
        got = f"{samples.dtype} {tuple(samples.shape)}"
        raise ValueError(f"expected float points (N, D) or images (N, C, H, W), at least one, got {got}")
    if samples.ndim == 4:
        to_unit(samples)  # raises for another range
    if not samples.float().isfinite().all():  # as they are kept: 1e300 would be infinite
        raise ValueError("expected finite points, got NaN or infinity; look at what made them")
