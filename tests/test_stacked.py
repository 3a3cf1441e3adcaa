"""Stacked MNIST: fixed triples of digits, whose label is the number that they spell."""

import importlib
import os
from pathlib import Path

import pytest
import torch

from gancourse.data import DataNotFound, ImageData, mnist, stacked_mnist

MODULE = importlib.import_module("gancourse.data.stacked")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> ImageData:
    """Put twenty images in the place of MNIST, each filled with one value that tells which it is."""
    values = torch.arange(20, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    data = ImageData(values.repeat(1, 1, 64, 64), torch.arange(20) % 10)

    def stand_in(split: str, size: int, root: object, *, download: bool) -> ImageData:
        return ImageData(data.images[:, :, :size, :size], data.labels)

    monkeypatch.setattr(MODULE, "mnist", stand_in)
    return data


@pytest.mark.parametrize("size", [28, 32, 64])
def test_each_channel_is_a_digit_and_the_label_spells_them(few: ImageData, size: int) -> None:
    data = stacked_mnist(300, size=size)
    which = data.images[:, :, 0, 0].long()
    assert torch.equal(data.images, which[:, :, None, None].expand(-1, -1, size, size).byte())
    r, g, b = (which % 10).unbind(1)
    assert torch.equal(data.labels, 100 * r + 10 * g + b)
    assert (data.images.shape, data.name) == ((300, 3, size, size), f"stacked-mnist-{size}")


def independent(which: torch.Tensor, n_images: int) -> bool:
    """Tell by chi-square whether image indices (N, 3) are uniform and pairwise independent."""
    pairs = [(0, 1), (0, 2), (1, 2)]
    for first, second in pairs:
        cells = torch.bincount(which[:, first] * n_images + which[:, second], minlength=n_images**2).double()
        expected = len(which) / n_images**2
        statistic, freedom = ((cells - expected) ** 2 / expected).sum().item(), n_images**2 - 1
        if abs(statistic - freedom) > 5 * (2 * freedom) ** 0.5:
            return False
    return True


def test_digits_are_drawn_uniformly_independently_and_with_replacement(few: ImageData) -> None:
    which = stacked_mnist(8000).images[:, :, 0, 0].long()
    assert independent(which, 20)
    assert (which[:, 0] == which[:, 1]).any(), "one image may come twice in a triple"


def test_wrong_draws_are_caught() -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.randint(20, (8000, 1), generator=generator)
    assert not independent(one.repeat(1, 3), 20), "the same digit in all channels"
    neighbours = torch.cat([one, (one + 1) % 20, (one + 2) % 20], 1)
    assert not independent(neighbours, 20), "channels that are rolled copies"
    unlike = torch.stack([torch.randperm(20, generator=generator)[:3] for _ in range(8000)])
    assert not independent(unlike, 20), "without replacement"


def test_a_seed_fixes_the_triples(few: ImageData) -> None:
    torch.manual_seed(1)
    first = stacked_mnist(100, seed=3)
    torch.manual_seed(2)
    assert stacked_mnist(100, seed=3).fingerprint() == first.fingerprint()
    assert stacked_mnist(100, seed=4).fingerprint() != first.fingerprint()
    longer = stacked_mnist(300, seed=3)
    assert torch.equal(longer.images[:100], first.images)
    assert torch.equal(longer.labels[:100], first.labels)


def test_the_data_of_mnist_stay_as_they_are(few: ImageData) -> None:
    before = few.fingerprint()
    stacked_mnist(50).images.zero_()
    assert few.fingerprint() == before


@pytest.mark.parametrize("n", [0, -1, 1.5, "7"])
def test_other_counts_are_refused(few: ImageData, n: int) -> None:
    with pytest.raises(ValueError, match=f"number of images of at least 1, an integer, got {n!r}"):
        stacked_mnist(n)


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, None])
def test_other_seeds_are_refused(few: ImageData, seed: int) -> None:
    with pytest.raises(ValueError, match=r"seed from 0 to 2\^63 - 1, an integer, got"):
        stacked_mnist(10, seed=seed)


def test_split_and_size_are_mnists() -> None:
    with pytest.raises(ValueError, match='split to be "train" or "test", got \'valid\''):
        stacked_mnist(10, split="valid")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected size 28"):
        stacked_mnist(10, size=30)


def test_without_mnist_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataNotFound, match="put these four files"):
        stacked_mnist(10, root=tmp_path, download=False)


# On MNIST itself


@pytest.fixture(scope="module")
def digits() -> ImageData:
    """Return MNIST's test images; skip where there are none, except where CI=true."""
    try:
        return mnist("test", download=os.environ.get("CI") == "true")
    except DataNotFound as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason).splitlines()[0])


def test_seed_zero_is_the_same_set_for_ever(digits: ImageData) -> None:
    data = stacked_mnist(1000, split="test")
    assert data.labels[:8].tolist() == [115, 983, 294, 995, 303, 447, 261, 221]
    assert data.fingerprint() == "937d2253296c13f7"


def test_the_training_set_covers_all_modes(digits: ImageData) -> None:
    """20,000 triples already do; the 128,000 begin with them."""
    data = stacked_mnist(20_000)
    assert data.images.shape == (20_000, 3, 28, 28)
    assert data.labels[:8].tolist() == [995, 441, 145, 207, 589, 219, 319, 301]
    counts = torch.bincount(data.labels, minlength=1000)
    # A mode's share is the product of its digits' shares in MNIST, .09 to .112 each.
    share = torch.bincount(mnist("train").labels).double() / 60_000
    expected = 20_000 * torch.einsum("r,g,b->rgb", share, share, share).flatten()
    assert counts.min() > 0
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    assert chi_square == pytest.approx(999, abs=4 * (2 * 999) ** 0.5)
