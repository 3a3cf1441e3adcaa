"""A folder of a reader's own pictures: what is read, how it is made square, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from gancourse.data import ImageData, image_folder

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ORIENTATION = 0x0112  # the EXIF tag


def save(path: Path, color: object = RED, size: tuple[int, int] = (12, 12), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)  # type: ignore[arg-type]
    return path


def colors(data: ImageData) -> list[tuple[int, ...]]:
    """Return each image's pixel in the middle."""
    middle = data.images.shape[2] // 2
    return [tuple(pixel) for pixel in data.images[:, :, middle, middle].tolist()]


def one(path: Path, size: int = 8, channels: int = 3) -> torch.Tensor:
    """Return the single picture of a folder (C, size, size), as int64."""
    data = image_folder(path, size, channels=channels)
    assert len(data) == 1
    return data.images[0].long()


# Which files, in which order, with which labels


def test_a_flat_folder_is_one_class_in_sorted_order(tmp_path: Path) -> None:
    for name, color in (("b.png", GREEN), ("c.png", BLUE), ("a.png", RED)):
        save(tmp_path / "pictures" / name, color)
    data = image_folder(tmp_path / "pictures", 16)
    assert data.labels.tolist() == [0, 0, 0]
    assert colors(data) == [RED, GREEN, BLUE]
    assert (data.images.dtype, data.images.shape, data.name) == (
        torch.uint8,
        (3, 3, 16, 16),
        "folder-pictures-16",
    )
    again = image_folder(str(tmp_path / "pictures"), 16)
    assert data.fingerprint() == again.fingerprint()


def test_each_subfolder_with_pictures_is_a_class(tmp_path: Path) -> None:
    """By name, at any depth; "a-b" sorts after "a" although "a-b/x" sorts before "a/x"."""
    save(tmp_path / "a-b" / "x.png", GREEN)
    save(tmp_path / "a" / "deep" / "deeper" / "x.png", RED)
    save(tmp_path / "a" / "z.png", RED)
    save(tmp_path / "c" / "x.png", BLUE)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "readme.txt").write_text("no picture, no class")
    data = image_folder(tmp_path, 8)
    assert data.labels.tolist() == [0, 0, 1, 2]
    assert colors(data) == [RED, RED, GREEN, BLUE]


def test_hidden_files_and_others_are_left_out(tmp_path: Path) -> None:
    save(tmp_path / "a.png", RED)
    save(tmp_path / ".thumbnails" / "b.png", BLUE)
    for name in ("._a.png", ".hidden.jpg", "notes.txt", "a.png.part", "png"):
        (tmp_path / name).write_bytes(b"not a picture")
    (tmp_path / "folder.png").mkdir()
    assert colors(image_folder(tmp_path, 8)) == [RED]


def test_a_hidden_folder_above_hides_nothing(tmp_path: Path) -> None:
    save(tmp_path / ".cache" / "pictures" / "a.png")
    assert len(image_folder(tmp_path / ".cache" / "pictures", 8)) == 1


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "png", "webp", "bmp", "gif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_format_is_read(tmp_path: Path, ending: str, channels: int) -> None:
    save(tmp_path / f"a.{ending}", (200, 200, 200), (20, 20))
    pixels = one(tmp_path, 8, channels)
    assert pixels.shape == (channels, 8, 8)
    assert ((pixels - 200).abs() <= 2).all()


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), color) for color in (RED, BLUE)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert colors(image_folder(tmp_path, 8)) == [RED]


# Square, sized, antialiased


def framed(width: int, height: int) -> Image.Image:
    """Return a picture whose middle square is green, and red what lies beside it."""
    picture = Image.new("RGB", (width, height), RED)
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    picture.paste(GREEN, (left, top, left + side, top + side))
    return picture


def is_green(pixels: torch.Tensor) -> bool:
    return bool((pixels == torch.tensor(GREEN)[:, None, None]).all())


@pytest.mark.parametrize(("width", "height"), [(90, 30), (30, 90), (30, 30), (31, 90)])
def test_the_square_in_the_middle_is_kept(tmp_path: Path, width: int, height: int) -> None:
    framed(width, height).save(tmp_path / "a.png")
    assert is_green(one(tmp_path, 10))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda picture: picture.resize((10, 10)),
        lambda picture: picture.crop((0, 0, 30, 30)).resize((10, 10)),
        lambda picture: picture.resize((10, 10), Image.Resampling.LANCZOS, box=(30, 0, 60, 30)),
    ],
    ids=["squeezed", "from the corner", "with a filter that reaches beyond the square"],
)
def test_a_wrong_square_is_caught(wrong: Callable[[Image.Image], Image.Image]) -> None:
    assert not is_green(torch.from_numpy(np.array(wrong(framed(90, 30)))).permute(2, 0, 1))


@pytest.mark.parametrize("size", [8, 9, 28, 64])
def test_any_size_larger_and_smaller_than_the_picture(tmp_path: Path, size: int) -> None:
    save(tmp_path / "a.png", BLUE, (20, 15))
    assert (one(tmp_path, size) == torch.tensor(BLUE)[:, None, None].expand(3, size, size)).all()


def is_antialiased(resized: torch.Tensor) -> bool:
    """Tell whether a fine black-and-white board has become the grey that it is from far."""
    return bool(((resized.float() - 127.5).abs() < 12).all())


def board(side: int) -> torch.Tensor:
    ticks = torch.arange(side)
    return ((ticks[:, None] + ticks) % 2 * 255).byte()


@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_shrinking_averages_what_it_drops(tmp_path: Path, ending: str) -> None:
    Image.fromarray(board(160).numpy()).save(tmp_path / f"a.{ending}")
    assert is_antialiased(one(tmp_path, 10, 1)[:, 1:-1, 1:-1])


def test_a_large_jpeg_is_antialiased_too(tmp_path: Path) -> None:
    """It is decoded at a fraction of its size."""
    Image.fromarray(board(640).numpy()).save(tmp_path / "a.jpg", quality=95)
    assert is_antialiased(one(tmp_path, 20, 1)[:, 1:-1, 1:-1])
    ramp = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (640, 1))
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)
    expected = (torch.arange(20) + 0.5) * 255 / 20
    assert ((one(tmp_path, 20, 1)[0] - expected).abs() < 3).all()


@pytest.mark.parametrize("side", [64, 100, 520, 2000])
def test_a_jpeg_of_any_size_stays_sharp(tmp_path: Path, side: int) -> None:
    """Decoding a fraction of it must leave more pixels than are asked for."""
    half = np.repeat(np.array([[0, 255]], np.uint8), side // 2, axis=1).repeat(side, axis=0)
    Image.fromarray(half).save(tmp_path / "a.jpg", quality=95)
    row = one(tmp_path, 64, 1)[0, 32]
    assert row[:31].max() < 35
    assert row[33:].min() > 220


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_a_resize_without_antialiasing_is_caught(mode: str) -> None:
    """As torch's interpolate does unless told otherwise: the board comes out black, or white, or striped."""
    image = board(160).float()[None, None]
    keywords = {} if mode == "nearest" else {"align_corners": True}
    assert not is_antialiased(F.interpolate(image, size=(10, 10), mode=mode, **keywords).clamp(0, 255))


# Turned, on white, in 8 bits


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        (1, (0, 0)),
        (2, (0, -1)),
        (3, (-1, -1)),
        (4, (-1, 0)),
        (5, (0, 0)),
        (6, (0, -1)),
        (7, (-1, -1)),
        (8, (-1, 0)),
    ],
)
def test_a_picture_is_turned_as_its_exif_data_say(
    tmp_path: Path, ending: str, orientation: int, corner: tuple[int, int]
) -> None:
    """The stored picture is white at the top left; a camera held sideways stores 6 or 8."""
    picture = Image.new("L", (64, 64), 0)
    picture.paste(255, (0, 0, 32, 32))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture.save(tmp_path / f"a.{ending}", exif=exif)
    pixels = one(tmp_path, 8, 1)[0]
    quarter = {(i, j): pixels[i, j].item() for i in (0, -1) for j in (0, -1)}
    assert max(quarter, key=lambda place: quarter[place]) == corner
    assert sorted(quarter.values())[2] < 30


@pytest.mark.parametrize("ending", ["png", "webp"])
@pytest.mark.parametrize(("alpha", "expected"), [(0, (255, 255, 255)), (128, (255, 127, 127)), (255, RED)])
def test_transparency_lies_on_white(
    tmp_path: Path, ending: str, alpha: int, expected: tuple[int, ...]
) -> None:
    Image.new("RGBA", (16, 16), (*RED, alpha)).save(tmp_path / f"a.{ending}", lossless=True)
    assert ((one(tmp_path) - torch.tensor(expected)[:, None, None]).abs() <= 1).all()


def transparent_palette() -> Image.Image:
    picture = Image.new("P", (16, 16), 0)
    picture.putpalette([0, 0, 0, *GREEN, *BLUE])
    picture.info["transparency"] = 0
    picture.paste(2, (8, 0, 16, 16))
    return picture


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    picture = transparent_palette()
    del picture.info["transparency"]
    picture.save(tmp_path / "a.png")
    assert one(tmp_path)[:, 4, [0, -1]].T.tolist() == [[0, 0, 0], list(BLUE)]
    assert one(tmp_path, channels=1)[0, 4, [0, -1]].tolist() == [0, 29]


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_palette_lies_on_white(tmp_path: Path, ending: str) -> None:
    transparent_palette().save(tmp_path / f"a.{ending}", transparency=0)
    assert one(tmp_path)[:, 4, [0, -1]].T.tolist() == [[255, 255, 255], list(BLUE)]


def test_grey_with_transparency(tmp_path: Path) -> None:
    Image.new("LA", (16, 16), (100, 0)).save(tmp_path / "a.png")
    assert (one(tmp_path, channels=1) == 255).all()


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (256, 1), (32896, 128), (65535, 255)])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path, value: int, expected: int, channels: int) -> None:
    Image.fromarray(np.full((16, 16), value, np.uint16)).save(tmp_path / "a.png")
    assert (one(tmp_path, channels=channels) == expected).all()


def test_black_and_white_and_print_colors(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1, mode="1")
    save(tmp_path / "b.jpg", (0, 255, 255, 0), mode="CMYK")
    white, red = colors(image_folder(tmp_path, 8))
    assert white == (255, 255, 255)
    assert red[0] > 200
    assert max(red[1:]) < 60


@pytest.mark.parametrize("color", [RED, GREEN, BLUE])
def test_grey_is_luma(tmp_path: Path, color: tuple[int, int, int]) -> None:
    """ITU-R 601: .299 R + .587 G + .114 B."""
    save(tmp_path / "a.png", color)
    luma = sum(w * c for w, c in zip((0.299, 0.587, 0.114), color, strict=True))
    assert ((one(tmp_path, channels=1) - luma).abs() <= 0.6).all()


# What is refused


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere; check the path"):
        image_folder(tmp_path / "nowhere")


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match=r"got the file .*a\.png; give the folder that it lies in"):
        image_folder(save(tmp_path / "a.png"))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected pictures \(\.jpg.*\.gif\) in .*, got no files"):
        image_folder(tmp_path)


def test_a_folder_of_other_files_is_told_what_it_has(tmp_path: Path) -> None:
    for name in ("a.heic", "b.HEIC", "c.txt", "notes"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"got 2 \.heic, 1 \.txt, 1 no ending"):
        image_folder(tmp_path)


def test_pictures_beside_the_classes(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "cats" / "b.png")
    save(tmp_path / "dogs" / "c.png")
    with pytest.raises(ValueError, match=r"got 1 beside 2 subfolders with pictures \(cats, dogs\); move"):
        image_folder(tmp_path)


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-1500])


def text(path: Path) -> None:
    path.write_text("<html>404</html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "gif"])
@pytest.mark.parametrize("damage", [truncated, text, empty])
def test_an_unreadable_picture_is_named(tmp_path: Path, damage: Callable[[Path], None], ending: str) -> None:
    save(tmp_path / "good" / "a.png")
    damage(tmp_path / "good" / f"b.{ending}")
    with pytest.raises(
        ValueError, match=rf"1 of 2 pictures in .* cannot be read:\s+good.b\.{ending} \("
    ) as caught:
        image_folder(tmp_path)
    assert "Move them out of the folder or save them anew" in str(caught.value)


def test_of_many_unreadable_pictures_the_first_are_named_and_all_counted(tmp_path: Path) -> None:
    for i in range(8):
        text(tmp_path / f"{i}.png")
    save(tmp_path / "good.png")
    with pytest.raises(ValueError, match="8 of 9 pictures") as caught:
        image_folder(tmp_path)
    message = str(caught.value)
    assert all(f"{i}.png" in message for i in range(5))
    assert not any(f"{i}.png" in message for i in range(5, 8))
    assert "and 3 more" in message


@pytest.mark.parametrize("size", [7, 0, -64, 32.0, "64", None])
def test_other_sizes_are_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match=f"size of at least 8 pixels, an integer, got {size!r}"):
        image_folder(tmp_path, size)


@pytest.mark.parametrize("channels", [0, 2, 4, "RGB"])
def test_other_channels_are_refused(tmp_path: Path, channels: int) -> None:
    with pytest.raises(ValueError, match=rf"3 channels \(RGB\) or 1 \(grey\), got {channels!r}"):
        image_folder(tmp_path, channels=channels)


# Progress


@pytest.mark.parametrize("n", [2, 4])
def test_only_many_pictures_show_progress(
    tmp_path: Path, n: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gancourse.data.folder.MANY", 3)
    for i in range(n):
        save(tmp_path / f"{i}.png")
    image_folder(tmp_path, 8)
    assert ("reading pictures" in capsys.readouterr().err) == (n >= 3)
