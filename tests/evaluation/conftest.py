"""What tests of evaluation share: score cards that nobody measured, and pictures of ten colours."""

import dataclasses

import numpy as np
import pytest

from cardigan.evaluation.card import Finding, Protocol, Score, ScoreCard
from cardigan.evaluation.extractors_contract import Extractor, Seen

PROTOCOL = Protocol(
    extractor="pixels (PCA)",
    digest="d" * 64,
    preprocessing="16x16",
    device="cpu",
    shape=(32, 24, 3),
    reference="held-out",
    fingerprint="f" * 64,
    real=700,
    generated=1000,
    compared=900,
    parts=3,
    weights="averaged",
    truncation=1.0,
    labels="as in the data",
    seeds=(7,),
    neighbours=5,
    points=2,
)


@pytest.fixture
def card():
    """A score card; ``protocol`` changes fields of its protocol, other words fields of the card."""

    def make(subject="runs/a", kid=0.012, spread=0.001, protocol=None, **changes):
        whole = ScoreCard(
            subject=subject,
            protocol=dataclasses.replace(PROTOCOL, **(protocol or {})),
            scores=(
                Score("kid", kid, spread, 0.0005, "low", "unbiased"),
                Score("fd", None, None, None, "low", "not given: too few"),
                Score("recall", 0.5, 0.01, 0.9, "high", "how varied", (0.49, 0.5, 0.51)),
                Score("authenticity", 0.8, 0.01, 0.7, "near", "copies"),
            ),
            findings=(Finding("repeats", "Half of them repeat."), Finding("copies", "None copies.", alarm=False)),
            because=("As asked for.",),
            made="2026-01-02T03:04:05Z",
            trained={"generator": "a" * 64, "seed": 3},
            classes={"cat": 0.03, "dog": 0.01, "emu": None},
            versions="Cardigan 9",
        )
        return dataclasses.replace(whole, **changes)

    return make


COLOURS = np.array([[(v >> 2) & 1, (v >> 1) & 1, v & 1] for v in range(1, 8)] + [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])


def coloured(count, size=32, seed=0, kinds=10):
    """Discs in front of slopes, of ``kinds`` of ten colours that lie far apart: images and their kinds."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, kinds, count)
    down, across = np.mgrid[:size, :size] / size
    pictures = []
    for label in labels:
        picture = 30 * np.einsum("c,hw->hwc", rng.uniform(-1, 1, 3), down - across) + 40 + 150 * COLOURS[label]
        for _ in range(5):
            top, left, reach = rng.uniform((0, 0, 0.05), (1, 1, 0.25))
            picture[(down - top) ** 2 + (across - left) ** 2 < reach**2] += rng.uniform(-60, 60, 3)
        pictures.append(picture)
    return np.clip(np.stack(pictures), 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def pictures():
    return coloured


@pytest.fixture(scope="session")
def knows_colours():
    """An extractor that tells the ten colours apart: mean colours of nine parts of a picture, and the nearest kind."""

    def look(images):
        height, width = (side // 3 for side in images.shape[1:3])
        blocks = images[:, : 3 * height, : 3 * width].reshape(len(images), 3, height, 3, width, 3) / 255.0
        features = blocks.mean(axis=(2, 4)).reshape(len(images), 27)
        apart = ((images.mean(axis=(1, 2))[:, None] - 40 - 150 * COLOURS) ** 2).sum(axis=2)
        chances = np.eye(10)[apart.argmin(axis=1)] * 0.91 + 0.009
        return Seen(features.astype(np.float32), (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32))

    return Extractor("colours", "c" * 64, "as they are", 27, look=look, classes=10, learned_from="nothing")
