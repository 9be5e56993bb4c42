"""A classifier of the data's own labels: trained once, judged on what it has not seen, the same from the same seed."""

import io
import re
from importlib import resources

import numpy as np
import pytest
import torch

from cardigan.errors import CardiganError
from cardigan.evaluation import extractors_classifier as room
from cardigan.evaluation.extractors_classifier import from_file, own_classifier
from cardigan.features import classifier
from cardigan.features.classifier import Classifier


@pytest.fixture(scope="module")
def digits():
    """8x8 scans of digits (N, 8, 8, 1) and their labels."""
    blob = resources.files("cardigan.data").joinpath("digits.npz").read_bytes()
    with np.load(io.BytesIO(blob), allow_pickle=False) as file:
        return (file["images"].astype(np.uint8) * 15)[..., None], file["labels"].astype(np.int64)


def small(digits, **options):
    images, labels = digits
    return own_classifier(images[:300], labels[:300], **{"steps": 5, "widths": (4, 8), **options})


def test_it_learns_digits_and_says_how_often_it_is_right(digits, tmp_path):
    images, labels = digits
    found = own_classifier(images, labels, cache=tmp_path, steps=120, widths=(12, 24))
    share, count = re.fullmatch(r"right on (\d+\.\d) % of (\d+) images that it did not learn from", found.note).groups()
    assert int(count) == len(images) // 5
    assert 80 < float(share) <= 100
    probabilities = found.probabilities(images[:200])
    assert (probabilities.argmax(axis=1) == labels[:200]).mean() > 0.8
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (found.name, found.width, found.classes) == ("own classifier", 24, 10)
    assert found.learned_from == "these images and their labels"
    # Images of one class lie nearer to each other than to those of the others.
    features = found.describe(images[:200])
    apart = np.linalg.norm(features[:, None] - features, axis=2)
    same = labels[:200, None] == labels[:200]
    assert apart[same].mean() < 0.8 * apart[~same].mean()


def test_the_digest_repeats_from_the_same_seed_and_from_nothing_else(digits, tmp_path):
    images, labels = digits
    first = small(digits, cache=tmp_path / "one")
    assert small(digits, cache=tmp_path / "two").digest == first.digest
    assert small(digits, cache=tmp_path / "one", seed=1).digest != first.digest
    assert small(digits, cache=tmp_path / "one", steps=6).digest != first.digest
    others = labels[:300].copy()
    others[:2] = others[1::-1]
    assert own_classifier(images[:300], others, cache=tmp_path / "one", steps=5, widths=(4, 8)).digest != first.digest
    assert first.digest == small(digits, cache=tmp_path / "one").digest


def test_the_second_time_nothing_is_trained(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path))
    first = small(digits)
    with monkeypatch.context() as patch:
        patch.setattr(classifier, "train", lambda *given, **options: pytest.fail("trained again"))
        again = small(digits)
    assert (again.digest, again.note) == (first.digest, first.note)
    np.testing.assert_array_equal(again.describe(digits[0][:9]), first.describe(digits[0][:9]))
    (path,) = (tmp_path / "classifiers").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    assert small(digits).digest == first.digest
    assert classifier.load(path).classes == 10, "the damaged file was made again"


def test_where_it_cannot_be_kept_it_is_trained_all_the_same(digits, tmp_path):
    (tmp_path / "taken").write_text("a file where the folder would be")
    assert small(digits, cache=tmp_path / "taken").width == 8


@pytest.mark.parametrize("channels", [1, 3])
def test_what_tells_how_good_it_is_was_not_learned_from(tmp_path, monkeypatch, channels):
    images = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((8, 8, channels), np.uint8)
    asked = {}

    def train(images, labels, **options):
        asked.update(learned={int(image.max()) for image in images}, **options)
        assert (labels == images[:, 0, 0, 0] % 2).all()
        return Classifier(classes=2, channels=channels, widths=(4,)).eval()

    def accuracy(network, images, labels):
        asked["held"] = {int(image.max()) for image in images}
        assert (labels == images[:, 0, 0, 0] % 2).all()
        return 0.1234

    monkeypatch.setattr(classifier, "train", train)
    monkeypatch.setattr(classifier, "accuracy", accuracy)
    found = own_classifier(images, np.arange(60) % 2, cache=tmp_path)
    assert len(asked["held"]) == 12
    assert asked["learned"] | asked["held"] == set(range(60))
    assert not asked["learned"] & asked["held"]
    assert asked["held"] != set(range(12))
    assert asked["flip"] is (channels == 3), "photos may be mirrored, digits may not"
    assert (asked["steps"], asked["widths"]) == (room.STEPS, room.WIDTHS)
    assert found.note == "right on 12.3 % of 12 images that it did not learn from"


def refused(*given):
    with pytest.raises(CardiganError) as caught:
        own_classifier(*given)
    return str(caught.value)


def test_what_cannot_be_learned_from_is_refused(digits):
    images, labels = digits[0][:100], digits[1][:100]
    assert refused(images, labels[:7]) == (
        "100 images came with labels of int64 and shape (7,), expected one whole number for each."
    )
    assert "labels of float64" in refused(images, labels * 0.5)
    assert refused(images, np.zeros(100, np.int64)) == (
        "A classifier cannot be trained on 100 images of 1 class, expected at least 50 images of 2 classes."
    )
    assert refused(images[:49], np.arange(49) % 2) == (
        "A classifier cannot be trained on 49 images of 2 classes, expected at least 50 images of 2 classes."
    )
    with pytest.raises(TypeError, match="got float32"):
        own_classifier(images.astype(np.float32), labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_gives_features_and_probabilities(tmp_path, channels):
    network, path = Classifier(classes=3, channels=channels, widths=(4, 6)).eval(), tmp_path / "small.safetensors"
    network.save(path)
    found = from_file(path)
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 16, channels), np.uint8)
    pixels = torch.from_numpy(images).movedim(3, 1).float() / 127.5 - 1
    with torch.no_grad():
        features, logits = network.trunk(pixels)[-1].mean(dim=(2, 3)), network(pixels)
    seen = found.see(images)
    np.testing.assert_allclose(seen.features, features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(seen.probabilities, logits.softmax(dim=1), rtol=1e-5)
    assert (found.name, found.classes, found.learned_from) == (str(path), 3, "unknown")
    grey = {1: "colours as luma", 3: "grey repeated for each colour"}[channels]
    assert found.preprocessing.startswith(f"at their own size; {grey}, transparent parts over middle grey; [-1, 1]; ")


def test_an_apple_gpu_is_asked_for_no_float64(tmp_path, monkeypatch, on_apple_gpu):
    """By a stand-in: there is none there."""
    path = tmp_path / "small.safetensors"
    Classifier(classes=3, channels=1, widths=(4,)).save(path)
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 16, 1), np.uint8)
    expected, prepared = from_file(path).see(images), room.prepared
    monkeypatch.setattr(room, "prepared", lambda *given, **options: on_apple_gpu(prepared(*given, **options)))
    np.testing.assert_array_equal(from_file(path).see(images).probabilities, expected.probabilities)


def test_the_digest_of_a_file_covers_the_head_too(tmp_path):
    network, path = Classifier(classes=3, widths=(4,)), tmp_path / "small.safetensors"
    network.save(path)
    before = from_file(path).digest
    assert from_file(path).digest == before
    with torch.no_grad():
        network.head.bias[0] += 1
    network.save(path)
    assert from_file(path).digest != before


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(CardiganError, match=r"There is no file .*absent\.safetensors, expected a classifier"):
        from_file(tmp_path / "absent.safetensors")
