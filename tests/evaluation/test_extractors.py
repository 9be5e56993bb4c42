"""What every extractor promises, asked of one of each kind; the texts that name them; which one is the default."""

import hashlib
import io
import re
import sys

import numpy as np
import pytest
import torch
from torch import nn

from cardigan.errors import CardiganError, MissingExtraError
from cardigan.evaluation import extractors as room
from cardigan.evaluation import inception as inception_room
from cardigan.evaluation.extractors import default_extractor, extractor
from cardigan.evaluation.extractors_classifier import own_classifier
from cardigan.evaluation.extractors_contract import Extractor, Seen
from cardigan.evaluation.inception import inception
from cardigan.features.classifier import Classifier

COUNT = 70
"""More than one chunk of most kinds, and no multiple of any."""


def pictures(channels=3, count=COUNT, side=20):
    coarse = np.random.default_rng(0).integers(0, 256, (count, side // 4, side // 4, channels), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


class TinyInception(nn.Module):
    def __init__(self, name, layers, feature_extractor_weights_path):
        super().__init__()
        self.small = nn.AdaptiveAvgPool2d(4)
        self.wide = nn.Conv2d(3, 2048, 4)
        self.fc = nn.Linear(2048, 1008)
        self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))
        self.requires_grad_(False).eval()

    def forward(self, images):
        features = self.wide(self.small((images.float() - 128) / 128)).flatten(1)
        return features, features @ self.fc.weight.T


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A small network in Inception's place."""
    state = {
        "wide.weight": torch.randn(2048, 3, 4, 4) / 7,
        "wide.bias": torch.zeros(2048),
        "fc.weight": torch.randn(1008, 2048) / 45,
        "fc.bias": torch.randn(1008),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = tmp_path / "weights.pth"
    path.write_bytes(buffer.getvalue())
    monkeypatch.setattr(inception_room, "SHA256", hashlib.sha256(buffer.getvalue()).hexdigest())
    monkeypatch.setattr(inception_room, "_library", lambda name: TinyInception)
    return path


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "eyes_that_convolve.py").write_text(
        "from torch import nn\ndef network(): return nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.Tanh())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "eyes_that_convolve:network"
    sys.modules.pop("eyes_that_convolve", None)


def file(folder):
    path = folder / "small.safetensors"
    Classifier(classes=3, widths=(4, 6)).save(path)
    return str(path)


KINDS = {
    "inception": lambda weights, own, folder: inception(weights),
    "inception-legacy": lambda weights, own, folder: inception(weights, legacy=True),
    "features": lambda weights, own, folder: extractor(own),
    "file": lambda weights, own, folder: extractor(file(folder)),
    "own": lambda weights, own, folder: own_classifier(
        pictures(), np.arange(COUNT) % 3, cache=folder, steps=3, widths=(4, 6)
    ),
    "pixels": lambda weights, own, folder: extractor("pixels", images=pictures()),
    "gradients": lambda weights, own, folder: extractor("gradients"),
}


@pytest.fixture(params=KINDS)
def kind(request, weights, own, tmp_path):
    return KINDS[request.param](weights, own, tmp_path)


def test_every_image_has_its_own_vector_whoever_stands_beside_it(kind):
    images = pictures()
    together = kind.see(images)
    assert together.features.shape == (COUNT, kind.width)
    assert together.features.dtype == np.float32
    spread = np.abs(together.features).max()
    assert together.features.std(axis=0).max() > 1e-3 * spread
    alone = np.concatenate([kind.describe(images[at : at + 1]) for at in range(COUNT)])
    order = np.random.default_rng(0).permutation(COUNT)
    backwards = np.empty_like(alone)
    backwards[order] = kind.describe(images[order])
    for found in (alone, backwards):
        np.testing.assert_allclose(found / spread, together.features / spread, rtol=0, atol=1e-5)


def test_probabilities_add_up_or_are_refused(kind):
    images = pictures(count=5)
    if kind.classes:
        chances = kind.probabilities(images)
        assert (chances.shape, chances.dtype) == ((5, kind.classes), np.float32)
        assert chances.min() >= 0
        np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_array_equal(chances, kind.see(images).probabilities)
        return
    assert kind.see(images).probabilities is None
    with pytest.raises(CardiganError) as caught:
        kind.probabilities(images)
    assert str(caught.value) == (
        f"The feature extractor {kind.name} tells no classes apart. Expected one that does: inception, own, or a file "
        f"of cardigan.features.classifier."
    )


def test_images_of_one_to_four_channels_are_seen(kind):
    grey = pictures(channels=1, count=4)
    of_colours = kind.describe(grey.repeat(3, axis=3))
    scale = np.abs(of_colours).max()
    np.testing.assert_allclose(kind.describe(grey) / scale, of_colours / scale, rtol=0, atol=1e-5)
    opaque = np.concatenate([grey, np.full_like(grey, 255)], axis=3)
    np.testing.assert_allclose(kind.describe(opaque) / scale, of_colours / scale, rtol=0, atol=1e-5)
    assert kind.describe(pictures(channels=4, count=4)).shape == (4, kind.width)


def test_it_says_what_it_is(kind):
    assert re.fullmatch(r"[0-9a-f]{64}", kind.digest)
    assert kind.name
    assert kind.learned_from
    assert re.match(r"\d+x\d+, |at their own size; |the shorter side enlarged to \d+ ", kind.preprocessing)
    assert "over middle grey" in kind.preprocessing
    assert "0x7f" not in repr(kind)
    with pytest.raises(AttributeError):
        kind.name = "another"


def test_what_are_no_images_is_refused(kind):
    with pytest.raises(TypeError, match="Images are judged as uint8, got float32"):
        kind.describe(pictures().astype(np.float32))
    for shape in ((4, 20, 20), (0, 20, 20, 3), (2, 20, 20, 5)):
        with pytest.raises(CardiganError) as caught:
            kind.describe(np.zeros(shape, np.uint8))
        assert str(caught.value) == (
            f"Images of the shape {shape} cannot be judged. Expected (N, H, W, C), at least one image of 1 to 4 "
            f"channels, channels last."
        )


def test_numbers_that_are_not_finite_are_told():
    def look(images):
        return Seen(np.where(images[:, 0, 0] == 7, np.nan, 1.0).astype(np.float32), None)

    images = np.zeros((9, 4, 4, 2), np.uint8)
    images[6, 0, 0, 1] = images[8, 0, 0, 0] = 7
    with pytest.raises(CardiganError) as caught:
        Extractor("mine", "0" * 64, "as it is", 2, look=look, chunk=4).describe(images)
    assert str(caught.value) == (
        "The feature extractor mine gives numbers that are not finite, first for image 6. Expected finite ones for "
        "every image: use another extractor."
    )


# --- the texts -------------------------------------------------------------------------------------------------------


def refused(text, **options):
    with pytest.raises(CardiganError) as caught:
        extractor(text, **options)
    return str(caught.value)


def test_each_text_names_its_extractor(weights, own, tmp_path):
    images, labels = pictures(), np.arange(COUNT) % 2
    names = {
        f"inception={weights}": "inception",
        f"inception-legacy={weights}": "inception-legacy",
        "gradients": "gradients",
        "pixels": "pixels (PCA)",
        own: own,
        file(tmp_path): file(tmp_path),
    }
    for text, name in names.items():
        assert extractor(text, images=images, labels=labels).name == name


def test_own_learns_from_what_is_given(tmp_path, monkeypatch):
    asked = {}

    def train(images, labels, *, cache, device):
        asked.update(cache=cache, device=device, count=len(images), labels=labels)
        return "trained"

    monkeypatch.setattr(room, "own_classifier", train)
    labels = np.arange(COUNT)
    assert extractor("own", images=pictures(), labels=labels, cache=tmp_path, device="meta") == "trained"
    assert (asked["cache"], asked["device"], asked["count"]) == (tmp_path, "meta", COUNT)
    assert asked["labels"] is labels


def test_texts_that_name_nothing_are_refused():
    said = refused("vgg")
    assert said.startswith("There is no extractor 'vgg'. Expected inception or inception=FILE (the 2015 Inception; ")
    assert said.endswith("path/to/classifier.safetensors, package.module:function.")
    for form in ("dinov2=FILE", "own (", "pixels", "gradients", "timm:NAME"):
        assert form in said
    assert refused("inception=") == "inception= names no file, expected inception or inception=FILE."
    assert refused("dinov2=") == "dinov2= names no file, expected dinov2 or dinov2=FILE."
    assert "There is no feature extractor" in refused("timm:")
    assert refused("pixels") == (
        "The extractor pixels learns from real images, and none were given. Expected a data set that has them."
    )
    assert refused("own", images=pictures()) == (
        "The extractor own learns from real images and their labels, and none were given. Expected a data set that has "
        "them."
    )


# --- the default -----------------------------------------------------------------------------------------------------


def named(name):
    return Extractor(
        name, "0" * 64, "as it is", 1, look=lambda images: Seen(np.zeros((len(images), 1), np.float32), None)
    )


@pytest.fixture
def there(monkeypatch):
    """Says which extractors this machine has; those that are absent say why."""

    def have(*names):
        def make(name, complaint):
            def build(*given, **options):
                if name not in names:
                    raise complaint
                return named(name)

            return build

        absent = CardiganError("The weights are not here. Fetch them.")
        monkeypatch.setattr(room, "inception", make("inception", MissingExtraError("Inception", extra="fidelity")))
        monkeypatch.setattr(room, "dinov2", make("dinov2", absent))
        monkeypatch.setattr(room, "own_classifier", make("own", CardiganError("Only one class. Get more.")))

    return have


@pytest.mark.parametrize(
    ("channels", "side", "labelled", "names", "expected"),
    [
        (3, 64, False, ("inception", "dinov2", "own"), "inception"),
        (3, 64, True, ("inception", "dinov2", "own"), "inception"),
        (3, 64, True, ("dinov2", "own"), "dinov2"),
        (3, 32, True, ("own",), "own"),
        (3, 32, True, ("inception", "own"), "inception"),
        (3, 33, True, ("own",), "pixels (PCA)"),
        (3, 32, False, ("own",), "pixels (PCA)"),
        (4, 32, True, ("inception", "own"), "inception"),
        (1, 28, True, ("inception", "dinov2", "own"), "own"),
        (2, 64, True, ("inception", "dinov2", "own"), "own"),
        (1, 65, True, ("inception", "dinov2", "own"), "dinov2"),
        (1, 28, False, ("inception", "dinov2", "own"), "dinov2"),
        (1, 28, False, ("inception", "own"), "inception"),
        (1, 28, True, (), "pixels (PCA)"),
        (3, 64, False, (), "pixels (PCA)"),
    ],
)
def test_the_default_is_the_best_of_what_is_there(there, channels, side, labelled, names, expected):
    there(*names)
    images = np.random.default_rng(0).integers(0, 256, (60, side, side, channels), np.uint8)
    found, why = default_extractor(images, np.arange(60) % 2 if labelled else None)
    assert found.name == expected
    assert why.endswith(".")
    start = {
        "inception": "The 2015 Inception, whose weights are on this machine",
        "dinov2": "DINOv2, whose weights are on this machine",
        "own": "A classifier trained on the data's own labels, which knows small images like these better than ",
        "pixels (PCA)": "Raw pixels, as the last resort: they hardly see what a picture shows; tried before: ",
    }[expected]
    assert why.startswith(start)
    assert ("relative only" in why) == (expected == "inception" and channels == 1)


def test_the_reason_says_what_was_tried_before(there):
    there()
    images = np.random.default_rng(0).integers(0, 256, (60, 40, 48, 3), np.uint8)
    last = "Raw pixels, as the last resort: they hardly see what a picture shows; tried before: "
    first = (
        "inception: Inception needs a library that is not installed; dinov2: The weights are not here; own: The images "
        "have"
    )
    assert default_extractor(images)[1] == f"{last}{first} no labels."
    assert default_extractor(images, np.arange(60))[1] == f"{last}{first} 40x48 pixels, more than 32."
    assert default_extractor(images[:, :32, :32], np.arange(60))[1].endswith("; own: Only one class.")
    there("inception")
    assert default_extractor(images)[1] == "The 2015 Inception, whose weights are on this machine."
