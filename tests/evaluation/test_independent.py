"""Inception's numbers beside published ones. Needs what cannot be shipped: the weights, and CIFAR-10 as pictures.

``CARDIGAN_FIDELITY_IMAGES`` names a folder with what torch-fidelity's ``utils/util_dump_dataset_as_images.py`` writes:
``cifar10-train`` (50,000 pictures), and its subsets ``cifar10-train-5000``, ``cifar10-valid-5000``,
``cifar10-valid-5000-noised`` and ``cifar10-valid-100``.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cardigan.errors import CardiganError
from cardigan.evaluation.cache import seen
from cardigan.evaluation.extractors import extractor
from cardigan.evaluation.resize import resized
from cardigan.metrics.kernel import kernel_distance
from cardigan.metrics.manifold import manifold

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]


@pytest.fixture(scope="module")
def eyes(device):
    """The 2015 Inception as TensorFlow 1 resized for it, as the published values were found."""
    try:
        return extractor("inception-legacy", device=device)
    except CardiganError as missing:
        pytest.skip(str(missing))


def heap(eyes, name):
    folder = os.environ.get("CARDIGAN_FIDELITY_IMAGES")
    paths = sorted(Path(folder, name).glob("*.png")) if folder else []
    if not paths:
        pytest.skip(f"CARDIGAN_FIDELITY_IMAGES names no folder with pictures in {name}")
    return seen(eyes, np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths]))


def distance(real, fake):
    """The Fréchet distance, by the eigenvalues of the covariances' product."""
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    one, other = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(one @ other).astype(np.complex128)).real.sum()
    return np.square(real.mean(axis=0) - fake.mean(axis=0)).sum() + np.trace(one) + np.trace(other) - 2 * roots


def score(probabilities, seed=2020, parts=10):
    """The Inception Score of shuffled tenths, and its spread, as torch-fidelity shuffles."""
    chances = probabilities.astype(np.float64)[np.random.RandomState(seed).permutation(len(probabilities))]
    found = []
    for part in np.array_split(chances, parts):
        mean = part.mean(axis=0)
        apart = np.where(part > 0, part * (np.log(np.maximum(part, 1e-300)) - np.log(mean)), 0.0)
        found.append(np.exp(apart.sum(axis=1).mean()))
    return np.mean(found), np.std(found)


def test_the_inception_score_of_cifar10_is_the_published_one(eyes):
    mean, spread = score(heap(eyes, "cifar10-train").probabilities)
    assert abs(mean - 11.23678) < 1e-2
    assert abs(spread - 0.09514) < 1e-2


def test_subsets_of_cifar10_have_the_published_distance_and_score(eyes, device):
    train, valid = heap(eyes, "cifar10-train-5000"), heap(eyes, "cifar10-valid-5000")
    tolerance = 1e-3 if device.type == "cpu" else 1e-2
    assert abs(distance(train.features, valid.features) - 10.3233274) < tolerance
    mean, spread = score(train.probabilities)
    assert abs(mean - 10.75051) < 1e-2
    assert abs(spread - 0.5778723) < 1e-2


def test_subsets_of_cifar10_have_the_published_kernel_distances(eyes):
    """The library's mean over 100 drawn subsets of 1,000 has a spread of 1.0e-4; ours is drawn otherwise."""
    train = heap(eyes, "cifar10-train-5000").features
    near = kernel_distance(train, heap(eyes, "cifar10-valid-5000").features, rng=np.random.default_rng(0))
    assert abs(near[0] - -2.907863e-05) < 4e-5
    far = kernel_distance(train, heap(eyes, "cifar10-valid-5000-noised").features, rng=np.random.default_rng(0))
    assert abs(far[0] / 0.4718520 - 1) < 5e-3


def test_subsets_of_cifar10_have_the_published_precision_and_recall(eyes):
    train, valid = (heap(eyes, f"cifar10-{name}-5000").features for name in ("train", "valid"))
    found = manifold(valid, train, k=3)  # the first of the library's two heaps is the generated one
    assert abs(found.precision - 0.6852) < 1e-3
    assert abs(found.recall - 0.6908) < 1e-3


def test_the_small_subset_has_the_published_inception_score(eyes):
    assert abs(score(heap(eyes, "cifar10-valid-100").probabilities)[0] - 4.51089784587) < 1e-3


def test_images_reach_a_network_as_clean_fid_brings_them():
    """Its resizer, which needs no weights."""
    theirs = pytest.importorskip("cleanfid.resize").build_resizer("clean")
    images = np.random.default_rng(0).integers(0, 256, (4, 70, 53, 3), np.uint8)
    expected = np.stack([theirs(image) for image in images]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose((resized(images, 299) + 1) * 127.5, expected, atol=1e-3)


def test_features_and_distance_are_those_of_the_library_itself(eyes):
    """On pictures of our own, so that only the weights are needed."""
    import torch

    from cardigan.evaluation import inception

    make = inception._library("reference")
    reference = make("reference", ["2048"], feature_extractor_weights_path=inception._found())
    heaps = [
        np.random.default_rng(seed).integers(0, 256, (24, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)
        for seed in (0, 1)
    ]
    ours = [eyes.describe(images) for images in heaps]
    theirs = [reference(torch.from_numpy(images).movedim(3, 1).contiguous())[0].numpy() for images in heaps]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4)
    assert abs(distance(*ours) / distance(*theirs) - 1) < 1e-3
