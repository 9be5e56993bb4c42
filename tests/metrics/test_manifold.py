"""Precision, recall, density and coverage against golden counts, a brute-force loop, and the ways to get them wrong."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cardigan.errors import CardiganError
from cardigan.metrics.manifold import Manifold, manifold, radii

RNG = np.random.default_rng(0)


def squared(ours, theirs):
    """By subtraction, in double precision."""
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    return np.stack([((one - theirs) ** 2).sum(axis=1) for one in ours])


def slow(real, fake, k, *, strict=True, others=True):
    """The definitions, from all distances; and mistaken ones: a closed ball, and everybody their own neighbour."""

    def around(heap):
        return np.sort(squared(heap, heap), axis=1)[:, k if others else k - 1]

    apart = squared(real, fake)
    compare = np.less if strict else np.less_equal
    in_real, in_fake = compare(apart, around(real)[:, None]), compare(apart, around(fake))
    return Manifold(
        precision=float(in_real.any(axis=0).mean()),
        recall=float(in_fake.any(axis=1).mean()),
        density=int(in_real.sum()) / (k * len(fake)),
        coverage=float(in_real.any(axis=1).mean()),
        k=k,
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (3, Manifold(33 / 48, 50 / 60, 64 / (3 * 48), 36 / 60, 3)),
        (5, Manifold(46 / 48, 59 / 60, 174 / (5 * 48), 56 / 60, 5)),
    ],
)
def test_portable_heaps(portable, k, expected, dtype):
    real, fake = (heap.astype(dtype) for heap in portable)
    assert manifold(real, fake, k=k) == expected
    assert slow(*portable, k) == expected


@pytest.mark.parametrize("k", [3, 5])
def test_counting_oneself_gives_other_numbers(portable, k):
    wrong, found = slow(*portable, k, others=False), manifold(*portable, k=k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(wrong, name) < getattr(found, name)


def test_a_closed_ball_gives_other_numbers():
    """On a lattice, edges are everywhere."""
    real, fake = RNG.integers(0, 4, size=(2, 40, 3))
    found = manifold(real, fake, k=2)
    assert found == slow(real, fake, 2)
    wrong = slow(real, fake, 2, strict=False)
    assert wrong.precision > found.precision
    assert wrong.recall > found.recall
    assert wrong.density > found.density


def test_precision_is_of_generated_images_and_recall_of_real_ones():
    """By hand: one generated image of three in a real ball, three real ones of four in a generated ball."""
    real, fake = [[0.0], [1.0], [2.0], [30.0]], [[0.25], [-8.0], [-9.5]]
    # Real balls reach 1, 1, 1 and 28, so the last is open to none of the generated; theirs reach 8.25, 1.5 and 1.5.
    found = manifold(real, fake, k=1)
    assert (found.precision, found.recall) == (1 / 3, 3 / 4)
    assert (found.density, found.coverage) == (2 / 3, 2 / 4)
    swapped = manifold(fake, real, k=1)
    assert (swapped.precision, swapped.recall) == (found.recall, found.precision)


def test_a_tight_cluster_is_precise_and_recalls_little():
    rng = np.random.default_rng(1)
    real, fake = 3 * rng.normal(size=(200, 16)), 0.1 * rng.normal(size=(200, 16))
    found = manifold(real, fake)
    assert found.precision > 0.8
    assert found.recall < 0.3
    swapped = manifold(fake, real)
    assert swapped.precision < 0.3
    assert swapped.recall > 0.8


def test_dropping_half_of_the_classes_is_seen_in_recall_and_coverage():
    rng = np.random.default_rng(2)
    centres = 20 * rng.normal(size=(10, 8))
    real, fake, less = (
        (centres[:classes].repeat(600 // classes, axis=0) + rng.normal(size=(600, 8))) for classes in (10, 10, 5)
    )
    whole, half = manifold(real, fake), manifold(real, less)
    assert half.recall < 0.6 * whole.recall
    assert half.coverage < 0.6 * whole.coverage
    assert half.precision == pytest.approx(whole.precision, abs=0.05)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1024])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_brute_force_loop_agrees_for_any_chunk(chunk, k, dtype):
    rng = np.random.default_rng(3)
    real, fake = (rng.normal(size=(count, 6)).astype(dtype) for count in (90, 70))
    assert manifold(real, fake, k=k, chunk=chunk) == slow(real, fake, k)


def test_the_order_of_images_changes_nothing():
    rng = np.random.default_rng(4)
    real, fake = rng.normal(size=(150, 20)), rng.normal(0.1, 1, size=(130, 20))
    found = manifold(real, fake, chunk=32)
    for _ in range(3):
        assert manifold(rng.permutation(real), rng.permutation(fake), chunk=32) == found


def near_ties():
    """Generated images at the edges of real balls: exactly there, and inside or outside by parts in 10 to the 8th."""
    rng = np.random.default_rng(5)
    real = rng.normal(50, 1, size=(60, 24))
    neighbour = squared(real, real).argsort(axis=1)[:, 3]
    steps = real[neighbour] - real
    return real, np.concatenate([real[neighbour], real + steps * (1 - 1e-8), real + steps * (1 + 1e-8)])


@pytest.mark.parametrize("chunk", [16, 1024])
def test_what_single_precision_would_decide_by_chance_is_decided_exactly(chunk):
    real, fake = near_ties()
    expected = slow(real, fake, 3)
    assert manifold(real, fake, k=3, chunk=chunk) == expected
    # As neighbours' neighbours, edges count where they do; in single precision many would be lost.
    ours, theirs = real.astype(np.float32), fake.astype(np.float32)
    products = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * ours @ theirs.T
    within = np.sort(((ours[:, None] - ours) ** 2).sum(axis=2), axis=1)[:, 3]
    assert (products < within[:, None]).sum() != (squared(real, fake) < np.sort(squared(real, real))[:, 3:4]).sum()


def collapsed(kind):
    rng = np.random.default_rng(6)
    return {
        "all alike": np.full((80, 12), 0.1),
        "two spots": np.repeat(rng.normal(size=(2, 12)), 40, axis=0),
        "two spots with noise": np.repeat(rng.normal(size=(2, 12)), 40, axis=0) + 1e-9 * rng.normal(size=(80, 12)),
        "lattice": rng.integers(0, 2, size=(80, 12)).astype(float),
        "with an outlier": np.concatenate([rng.normal(size=(79, 12)), np.full((1, 12), 1e9)]),
    }[kind]


@pytest.mark.parametrize("kind", ["all alike", "two spots", "two spots with noise", "lattice", "with an outlier"])
@pytest.mark.parametrize("chunk", [9, 1024])
def test_a_generator_that_collapsed_is_measured_exactly(kind, chunk):
    heap, other = collapsed(kind), collapsed("lattice")[:70] + 0.01
    for k in (1, 5):
        assert radii(heap, k, chunk).tolist() == np.sort(squared(heap, heap), axis=1)[:, k].tolist()
        assert manifold(other, heap, k=k, chunk=chunk) == slow(other, heap, k)
        assert manifold(heap, heap, k=k, chunk=chunk) == slow(heap, heap, k)


def test_all_neighbours_that_there_are():
    heap = RNG.normal(size=(6, 3))
    assert radii(heap, 5, 2).tolist() == squared(heap, heap).max(axis=1).tolist()


@pytest.mark.parametrize("factor", [2.0**-90, 2.0**90])
def test_units_do_not_count(factor):
    real, fake = RNG.normal(size=(2, 50, 4))
    assert manifold(real * factor, fake * factor) == manifold(real, fake)


def test_two_samples_of_one_distribution_in_1000_dimensions():
    """Fewer images than in the golden value, and a loop; precision and recall stay far from 1."""
    real, fake = np.random.default_rng(7).normal(size=(2, 600, 1000)).astype(np.float32)
    found = manifold(real, fake, chunk=256)
    apart, among, between = cdist(real, fake), cdist(real, real), cdist(fake, fake)
    reach, others = np.sort(among, axis=1)[:, 5], np.sort(between, axis=1)[:, 5]
    assert found.precision == (apart < reach[:, None]).any(axis=0).mean()
    assert found.recall == (apart < others).any(axis=1).mean()
    assert found.density == (apart < reach[:, None]).sum() / 3000
    assert found.coverage == (apart < reach[:, None]).any(axis=1).mean()
    assert max(found.precision, found.recall) < 0.8


@pytest.mark.slow
def test_golden_values_in_1000_dimensions():
    """Of unseeded draws. Density strays from draw to draw, by a standard deviation of 0.045 in six of them."""
    real, fake = np.random.default_rng(8).standard_normal((2, 10_000, 1000), dtype=np.float32)
    found = manifold(real, fake, k=5)
    assert (found.precision, found.recall, found.coverage) == pytest.approx((0.4772, 0.4705, 0.9735), abs=0.02)
    assert found.density == pytest.approx(1.0555, abs=3 * 0.045)


@pytest.mark.parametrize("k", [1, 5])
def test_density_of_one_distribution_is_1_on_average(k):
    """A generated image is within the k nearest of N alike, N - 1 real ones and itself, k times of N."""
    rng = np.random.default_rng(9)
    found = np.array([manifold(*rng.normal(size=(2, 60, 3)), k=k).density for _ in range(300)])
    error = found.std() / np.sqrt(300)
    assert found.mean() == pytest.approx(1, abs=4 * error)
    assert error < 0.02


def test_memory_does_not_grow_with_pairs():
    """3,000 x 3,000 distances alone would be 34 MiB."""
    real, fake = RNG.normal(size=(2, 3000, 16)).astype(np.float32)
    tracemalloc.start()
    manifold(real, fake, chunk=256)
    assert tracemalloc.get_traced_memory()[1] < 12 * 2**20
    tracemalloc.stop()


FINE = RNG.normal(size=(20, 3))


@pytest.mark.parametrize(
    ("real", "fake", "options", "expected"),
    [
        (
            FINE,
            FINE,
            {"k": 0},
            "neighbour or further, and 1 vector or more is compared at once; got k=0, chunk=1024",
        ),
        (FINE, FINE, {"chunk": 0}, "got k=5, chunk=0. Usual are k=5, chunk=1024"),
        (
            FINE[:5],
            FINE,
            {},
            "Each image has 5 neighbours of its own kind only among 6 or more, and there are 5 real ones. Measure more "
            "images, or choose a smaller k",
        ),
        (FINE, FINE[:5], {}, "and there are 5 generated ones"),
        (FINE, FINE[:, :2], {}, "There are 3 features of a real image and 2 of a generated one"),
        (FINE * np.nan, FINE, {}, "Features of 20 of 20 real images are not finite"),
        (FINE, FINE[0], {}, r"generated ones have \(3,\)"),
    ],
)
def test_what_cannot_be_measured_is_said(real, fake, options, expected):
    with pytest.raises(CardiganError, match=expected):
        manifold(real, fake, **options)
