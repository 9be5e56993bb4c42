"""What tests of metrics share: pictures, made up and real, and slight changes of them."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def made_up(count, size=64, seed=0):
    """Coloured discs on slopes, no two pictures alike: uint8 (count, size, size, 3)."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:size, :size] / size
    images = []
    for _ in range(count):
        picture = 255 * (0.5 + 0.3 * np.einsum("c,hw->hwc", rng.uniform(-1, 1, 3), down - across))
        for _ in range(6):
            top, left, reach = rng.uniform((0, 0, 0.05), (1, 1, 0.3))
            picture[(down - top) ** 2 + (across - left) ** 2 < reach**2] = rng.uniform(0, 255, 3)
        images.append(picture)
    return np.clip(np.stack(images), 0, 255).astype(np.uint8)


def each(images, change):
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def as_jpeg(picture):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    return Image.open(file).convert("RGB")


def mirror(images):
    return np.ascontiguousarray(images[:, :, ::-1])


def blur(images, radius):
    return each(images, lambda picture: picture.filter(ImageFilter.GaussianBlur(radius)))


SLIGHT = {
    "blurred": lambda images: blur(images, 1),
    "as JPEG": lambda images: each(images, as_jpeg),
    "shifted": lambda images: np.pad(images, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")[:, :-1, :-1],
    "mirrored": mirror,
}


@pytest.fixture(scope="session")
def portable():
    """Two heaps, real and generated, that any language makes alike; the second is a little smaller and shifted."""
    real = [[math.sin(1.3 * i + 0.7 * j) + 0.1 * math.cos(0.37 * i * (j + 1)) for j in range(4)] for i in range(60)]
    fake = [
        [math.sin(1.1 * k + 0.5 * j + 0.2) + 0.1 * math.cos(0.29 * k * (j + 2)) + 0.05 for j in range(4)]
        for k in range(48)
    ]
    assert np.sum(real) == pytest.approx(4.738553378370, abs=1e-11)
    assert np.sum(fake) == pytest.approx(15.932946067506, abs=1e-11)
    return np.array(real), np.array(fake)


@pytest.fixture(scope="session")
def scenes():
    return made_up


@pytest.fixture
def blurred():
    return blur


@pytest.fixture
def mirrored():
    return mirror


@pytest.fixture
def changed():
    """A slight change, by name."""
    return lambda images, name: SLIGHT[name](images)


@pytest.fixture(scope="session", params=["made up", "faces-128.zip", "pokemon-256.zip", "bees-ants-256.zip"])
def pictures(request):
    """Up to 700 different pictures, 64 pixels a side, in random order."""
    if request.param == "made up":
        return made_up(400)
    if not (SHARED / request.param).exists():
        pytest.skip(f"the shared data set {request.param} is not here")
    with zipfile.ZipFile(SHARED / request.param) as archive:
        names = sorted(archive.namelist())
        chosen = np.random.default_rng(0).permutation(len(names))[:700]
        images = (Image.open(io.BytesIO(archive.read(names[place]))).convert("RGB") for place in chosen)
        return np.stack([np.asarray(ImageOps.fit(image, (64, 64))) for image in images])
