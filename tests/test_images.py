"""Images as the book holds them, and the loader that keeps them on the device."""

import io
from itertools import islice

import pytest
import torch

from gancourse.data import DeviceLoader, ImageData, to_unit


@pytest.fixture
def data() -> ImageData:
    """Twenty 2 x 2 images that each hold one value, so that a batch tells which images it has."""
    values = torch.arange(0, 200, 10, dtype=torch.uint8)
    return ImageData(values.reshape(-1, 1, 1, 1).repeat(1, 1, 2, 2), torch.arange(20), "twenty")


def loader(data: ImageData, batch_size: int = 4, seed: int = 3) -> DeviceLoader:
    return DeviceLoader(data, batch_size, generator=torch.Generator().manual_seed(seed))


def which(batch: torch.Tensor) -> list[int]:
    return (((batch[:, 0, 0, 0] + 1) * 127.5).round() / 10).int().tolist()


def test_an_epoch_is_a_permutation_and_no_two_are_alike(data: ImageData) -> None:
    batches = loader(data)
    assert batches.steps_per_epoch == 5
    epochs = [[i for batch in islice(batches, 5) for i in which(batch)] for _ in range(3)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_an_incomplete_batch_is_dropped_and_the_batches_never_end(data: ImageData) -> None:
    batches = loader(data, batch_size=6)
    assert batches.steps_per_epoch == 3
    seen = [which(batch) for batch in islice(batches, 30)]
    assert {len(batch) for batch in seen} == {6}
    for epoch in range(10):
        drawn = [i for batch in seen[3 * epoch : 3 * epoch + 3] for i in batch]
        assert len(set(drawn)) == 18, "an image came twice in an epoch"
    assert {i for batch in seen for i in batch} == set(range(20)), "an image was dropped from every epoch"


def test_batches_are_float32_in_the_unit_range_and_the_set_stays_bytes(data: ImageData) -> None:
    batches = loader(data, batch_size=20)
    batch = next(batches)
    assert batch.dtype == torch.float32
    assert batch.shape == (20, 1, 2, 2)
    assert batch.min() == -1
    assert batch.max() == pytest.approx(190 / 127.5 - 1)
    assert batches.images.dtype == torch.uint8
    batch.zero_()
    assert torch.equal(batches.images, data.images), "a batch shares memory with the data"


def test_the_same_generator_gives_the_same_batches(data: ImageData) -> None:
    first, again, other = (torch.stack(list(islice(loader(data, seed=seed), 12))) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_a_generator_the_order_is_fixed_and_ignores_the_global_seed(data: ImageData) -> None:
    torch.manual_seed(1)
    first = next(DeviceLoader(data, 20))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(first, next(DeviceLoader(data, 20)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("batch_size", [4, 6, 20])
@pytest.mark.parametrize("steps", [0, 1, 4, 5, 6, 11])
def test_a_saved_loader_goes_on_bit_for_bit(data: ImageData, steps: int, batch_size: int) -> None:
    batches = loader(data, batch_size)
    for _ in range(steps):
        next(batches)
    file = io.BytesIO()
    torch.save(batches.state_dict(), file)
    expected = torch.stack(list(islice(batches, 12)))
    file.seek(0)
    resumed = loader(data, batch_size, seed=99)
    next(resumed)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(torch.stack(list(islice(resumed, 12))), expected)


def test_a_state_is_a_snapshot(data: ImageData) -> None:
    batches = loader(data)
    next(batches)
    state = batches.state_dict()
    expected = torch.stack(list(islice(batches, 12)))
    batches.load_state_dict(state)
    assert torch.equal(torch.stack(list(islice(batches, 12))), expected)


def test_a_state_of_other_data_is_refused(data: ImageData) -> None:
    batches = loader(data, batch_size=1)
    for _ in range(15):
        next(batches)
    with pytest.raises(ValueError, match="position from 0 to 5, got 15"):
        loader(data).load_state_dict(batches.state_dict())


@pytest.mark.parametrize("batch_size", [0, -1, 21])
def test_a_batch_size_beyond_the_data_is_refused(data: ImageData, batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 20 .*, got {batch_size}"):
        DeviceLoader(data, batch_size)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_a_gpu_gives_the_same_batches_and_keeps_the_set(data: ImageData) -> None:
    on_gpu = DeviceLoader(data, 4, device="cuda", generator=torch.Generator().manual_seed(3))
    assert on_gpu.images.is_cuda
    for ours, theirs in zip(islice(loader(data), 12), islice(on_gpu, 12), strict=True):
        assert theirs.is_cuda
        assert torch.equal(ours, theirs.cpu())


# ImageData and to_unit


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(3, 1, 2, 2), torch.zeros(3), r"uint8 \(N, C, H, W\), got torch.float32 \(3, 1, 2, 2\)"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), torch.zeros(3), r"got torch.uint8 \(3, 2, 2\)"),
        (
            torch.zeros(3, 1, 2, 2, dtype=torch.uint8),
            torch.zeros(2),
            r"one label an image \(3,\), got torch.int64 \(2,\)",
        ),
        (torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0), "at least one image"),
    ],
    ids=["floats", "no channel", "a label short", "empty"],
)
def test_images_of_another_kind_are_refused(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageData(images, labels.long())


def test_take_keeps_images_and_labels_together(data: ImageData) -> None:
    few = data.take(5)
    assert len(few) == 5
    assert few.labels.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(few.images, data.images[:5])


def test_the_fingerprint_changes_with_a_pixel_or_a_shape_only(data: ImageData) -> None:
    same = ImageData(data.images.clone(), data.labels, "another name")
    assert same.fingerprint() == data.fingerprint()
    same.images[7, 0, 1, 1] += 1
    assert same.fingerprint() != data.fingerprint()
    flat = ImageData(data.images.reshape(20, 1, 1, 4), data.labels)
    assert flat.fingerprint() != data.fingerprint()
    strided = ImageData(data.images.transpose(2, 3), data.labels)
    assert strided.fingerprint() == data.fingerprint(), "these images are symmetric"


def test_to_unit_maps_the_ends_exactly() -> None:
    ends = torch.tensor([0, 255], dtype=torch.uint8)
    assert to_unit(ends).tolist() == [-1.0, 1.0]
    assert ends.tolist() == [0, 255]


def test_to_unit_passes_what_is_already_there() -> None:
    images = torch.rand(2, 1, 4, 4) * 2 - 1
    assert to_unit(images) is images


@pytest.mark.parametrize("bad", [255.0, -1.5, float("nan"), float("inf")])
def test_to_unit_refuses_floats_of_another_range(bad: float) -> None:
    images = torch.zeros(2, 1, 4, 4)
    images[1, 0, 2, 2] = bad
    with pytest.raises(ValueError, match=r"expected images in \[-1, 1\], got .*divide by 127.5"):
        to_unit(images)


def test_to_unit_refuses_other_integers() -> None:
    with pytest.raises(ValueError, match=r"expected uint8 or float images, got torch.int64"):
        to_unit(torch.zeros(2, dtype=torch.int64))
