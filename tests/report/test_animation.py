import numpy as np
import pytest
from PIL import Image, ImageSequence

from cardigan.errors import CardiganError
from cardigan.report import animation


def frames(count, channels=3, side=8):
    return [np.full((side, side, channels), 40 * index, dtype=np.uint8) for index in range(count)]


def read(path):
    with Image.open(path) as film:
        return [
            (int(np.asarray(frame.convert("RGB"))[0, 0, 0]), frame.info["duration"])
            for frame in ImageSequence.Iterator(film)
        ]


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_come_in_order_and_the_last_is_held(suffix, channels, tmp_path):
    path = animation.write(frames(5, channels), tmp_path / f"film{suffix}", milliseconds=100, hold_last=1500)
    found = read(path)
    assert [value for value, _ in found] == [0, 40, 80, 120, 160]
    assert [duration for _, duration in found] == [100, 100, 100, 100, 1500]
    assert list(tmp_path.iterdir()) == [path], "no partial file is left"


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_kept(suffix, channels, tmp_path):
    shown = frames(2, channels)
    for frame in shown:
        frame[..., -1] = 255
        frame[:4, :, -1] = 0
    with Image.open(animation.write(shown, tmp_path / f"film{suffix}")) as film:
        assert film.n_frames == 2
        film.seek(1)
        alpha = np.asarray(film.convert("RGBA"))[..., 3]
    assert alpha[0, 0] == 0
    assert alpha[7, 7] == 255


def test_large_frames_stay_close(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 300).astype(np.uint8)[:, None, None], (300, 300, 3))
    with Image.open(animation.write([ramp], tmp_path / "one.webp")) as film:
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - ramp).mean() < 3


@pytest.mark.parametrize(
    ("shown", "name", "message"),
    [
        (frames(2), "film.mp4", r"film\.mp4"),
        ([], "film.webp", "none"),
        ([*frames(1), *frames(1, side=9)], "film.webp", "one shape"),
    ],
)
def test_what_cannot_be_written_is_refused(shown, name, message, tmp_path):
    with pytest.raises(CardiganError, match=message):
        animation.write(shown, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_growing_frames_are_matched():
    matched = animation.match([*frames(2, side=4), *frames(1, side=16)], side=32)
    assert {frame.shape for frame in matched} == {(32, 32, 3)}
    assert np.unique(matched[1]).tolist() == [40]


def test_thinning_keeps_both_ends():
    assert animation.thin([1, 2, 3], 10) == [1, 2, 3]
    kept = animation.thin(range(1000), 40)
    assert (len(kept), kept[0], kept[-1]) == (40, 0, 999)
