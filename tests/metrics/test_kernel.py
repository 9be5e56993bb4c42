"""The kernel distance against numbers worked out by hand, a slow double loop, and torchmetrics where there is one."""

import itertools
import math

import numpy as np
import pytest

from cardigan.errors import CardiganError
from cardigan.metrics import kernel
from cardigan.metrics.kernel import jackknife, kernel_distance, leave_out, with_error


def distance(real, fake, seed=0, **options):
    return kernel_distance(real, fake, rng=np.random.default_rng(seed), **options)


def similarity(one, other):
    """The kernel as its definition says it, in plain floats."""
    return (sum(a * b for a, b in zip(one, other, strict=True)) / len(one) + 1) ** 3


def slow(real, fake, *, biased=False):
    """The definition, pair by pair, by way of nothing that is tested."""
    real, fake = np.asarray(real).tolist(), np.asarray(fake).tolist()
    total = 0.0
    for heap in (real, fake):
        pairs = [(i, j) for i, j in itertools.product(range(len(heap)), repeat=2) if biased or i != j]
        total += math.fsum(similarity(heap[i], heap[j]) for i, j in pairs) / len(pairs)
    cross = math.fsum(similarity(one, other) for one, other in itertools.product(real, fake))
    return total - 2 * cross / (len(real) * len(fake))


TOYS = [
    ([(1, 0), (0, 1)], [(1, 1), (0, 0)], -2.375, 0.5625),
    ([(1, 0), (0, 1), (1, 1)], [(0, 0), (2, 0), (0, 2)], -167 / 36, 23 / 12),
]


@pytest.mark.parametrize(("real", "fake", "unbiased", "biased"), TOYS)
def test_worked_out_by_hand(real, fake, unbiased, biased):
    assert distance(real, fake) == (pytest.approx(unbiased, abs=1e-12), 0.0)
    assert slow(real, fake, biased=True) == pytest.approx(biased, abs=1e-12)


def test_all_of_two_unequal_heaps(portable):
    """The golden value compares all of both heaps; the public function draws equally many, so it is asked below."""
    real, fake = portable
    assert kernel._discrepancy(real, fake) == pytest.approx(-0.002175352751, abs=1e-10)
    assert slow(real, fake) == pytest.approx(-0.002175352751, abs=1e-10)
    assert slow(real, fake, biased=True) == pytest.approx(0.077216640094, abs=1e-10)


def test_heaps_that_are_constant():
    """Every pair within is alike: (9/1 + 1)³ and (1/1 + 1)³, and (3/1 + 1)³ between."""
    assert distance(np.full((5, 1), 3.0), np.full((5, 1), 1.0)) == (1000 + 8 - 2 * 64, 0.0)


def test_slow_loop_agrees_on_subsets():
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(30, 7)), rng.normal(0.3, 1.2, size=(24, 7))
    mean, spread = distance(real, fake, subsets=6, size=10, seed=5)
    again = np.random.default_rng(5)
    found = []
    for _ in range(6):
        mine, other = again.choice(30, 10, replace=False), again.choice(24, 10, replace=False)
        found.append(slow(real[mine], fake[other]))
    assert mean == pytest.approx(math.fsum(found) / 6, rel=1e-12)
    assert spread == pytest.approx(np.std(found), rel=1e-10)
    assert spread > 0


def test_subsets_are_no_larger_than_the_smaller_heap():
    rng = np.random.default_rng(2)
    real, fake = rng.normal(size=(50, 3)), rng.normal(size=(9, 3))
    assert distance(real, fake, subsets=5) == distance(real, fake, subsets=5, size=9)
    assert distance(real, fake, subsets=5)[1] > 0


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    real, fake = rng.normal(size=(37, 5)), rng.normal(size=(37, 5))
    whole = distance(real, fake)
    monkeypatch.setattr(kernel, "BLOCK", 10)
    assert distance(real, fake)[0] == pytest.approx(whole[0], rel=1e-12)


def test_is_unbiased_and_the_biased_one_is_not():
    """Heaps of ten from one distribution: on average 0 within four standard errors, where the biased one is far off."""
    rng = np.random.default_rng(4)
    pairs = [(rng.normal(size=(10, 6)), rng.normal(size=(10, 6))) for _ in range(1500)]
    ours = np.array([distance(real, fake)[0] for real, fake in pairs])
    error = ours.std() / math.sqrt(len(ours))
    assert abs(ours.mean()) < 4 * error
    assert (ours < 0).any()
    biased = np.array([slow(real, fake, biased=True) for real, fake in pairs[:40]])
    assert biased.mean() > 10 * error


def test_does_not_depend_on_numbers_of_images_but_on_how_far_apart():
    rng = np.random.default_rng(5)
    real, shifts = rng.normal(size=(2000, 8)), (0.0, 0.1, 0.3, 1.0)
    other = rng.normal(size=(2000, 8))
    found = [distance(real, other + shift, subsets=20, size=500)[0] for shift in shifts]
    assert found == sorted(found)
    few = distance(real, other + 0.3, subsets=400, size=25)[0]
    assert few == pytest.approx(found[2], rel=0.25)


def test_is_measured_in_double_precision():
    """Values that single precision would round away: products of 1e8 differ in their last digits."""
    real = np.array([[1.0e4, 1.0], [1.0e4, 2.0], [1.0e4, 4.0]])
    fake = real + np.array([[0.0, 0.25]])
    assert distance(real, fake)[0] == pytest.approx(slow(real, fake), rel=1e-3)
    assert distance(real.astype(np.float32), fake.astype(np.float32)) == distance(real, fake)


def test_torchmetrics_agrees(portable):
    image = pytest.importorskip("torchmetrics.image.kid")
    torch = pytest.importorskip("torch")
    real, fake = portable
    theirs = image.poly_mmd(*map(torch.from_numpy, (real[:48], fake)))
    assert distance(real[:48], fake)[0] == pytest.approx(float(theirs), rel=1e-9)


FINE = np.ones((4, 3))


@pytest.mark.parametrize(
    ("real", "fake", "options", "expected"),
    [
        (np.ones((1, 3)), FINE, {}, r"^This takes at least 2 real images, and there are 1\. Add some\.$"),
        (FINE, np.ones((0, 3)), {}, "at least 2 generated images, and there are 0"),
        (FINE, np.ones((4, 2)), {}, "There are 3 features of a real image and 2 of a generated one. Use one extractor"),
        (FINE, [[1, 2, math.nan], [0, math.inf, 0], [1, 1, 1]], {}, "Features of 2 of 3 generated images are not fin"),
        (np.ones(3), FINE, {}, r"Features have the shape \(N, F\), one row an image; real ones have \(3,\)"),
        (FINE, FINE, {"subsets": 0}, "at least 1 subset of at least 2 images, got subsets=0, size=1000"),
        (FINE, FINE, {"size": 1}, "got subsets=100, size=1"),
    ],
)
def test_what_cannot_be_measured_is_said(real, fake, options, expected):
    with pytest.raises(CardiganError, match=expected):
        distance(real, fake, **options)


# --- how sure it is --------------------------------------------------------------------------------------------------


def test_whole_heaps_of_any_size_give_the_distance_and_the_jackknife_by_its_definition():
    rng = np.random.default_rng(3)
    real, fake, groups = rng.normal(size=(11, 3)), rng.normal(0.4, 1.2, size=(17, 3)), 4
    value, error = with_error(real, fake, groups=groups)
    assert value == pytest.approx(slow(real, fake), abs=1e-9)
    left = [
        slow(real[np.arange(11) % groups != group], fake[np.arange(17) % groups != group]) for group in range(groups)
    ]
    squares = sum((one - np.mean(left)) ** 2 for one in left)
    assert error == pytest.approx(math.sqrt((groups - 1) / groups * squares), rel=1e-9)


def test_the_error_is_what_the_distance_strays_by_from_draw_to_draw():
    rng = np.random.default_rng(4)
    found = [with_error(rng.normal(size=(120, 5)), rng.normal(0.3, 1.0, size=(90, 5))) for _ in range(150)]
    values, errors = np.array(found).T
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.35)


@pytest.mark.parametrize(("step", "real"), [(0.05, 60), (0.5, 100), (0.1, 20)])
def test_the_error_of_a_difference_is_what_it_strays_by_where_latents_and_real_images_are_shared(step, real):
    """Two generators on the same latents, from nearly one to two others; the truth is the spread over 150 draws."""
    rng = np.random.default_rng(7)
    first = rng.normal(size=(6, 12)) / 2
    generators = (first, first + step * rng.normal(size=first.shape))
    found = []
    for _ in range(150):
        images, latents = rng.normal(size=(real, 12)), rng.normal(size=(80, 6))
        (one, left), (other, left2) = (
            leave_out(images, np.tanh(latents @ weights) + 0.3, groups=20) for weights in generators
        )
        found.append((one - other, jackknife(left - left2), math.hypot(jackknife(left), jackknife(left2))))
    differences, stated, independent = np.array(found).T
    truth = differences.std(ddof=1)
    assert np.sqrt((stated**2).mean()) == pytest.approx(truth, rel=0.25)
    assert np.median(stated) == pytest.approx(truth, rel=0.25)
    assert np.sqrt((independent**2).mean()) > 2 * truth, "as if nothing were shared"


def test_more_groups_than_images_are_as_many_as_there_are_images():
    rng = np.random.default_rng(5)
    real, fake = rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    assert with_error(real, fake, groups=50) == with_error(real, fake, groups=4)


@pytest.mark.parametrize(("real", "fake", "groups"), [(3, 9, 10), (9, 3, 10), (9, 9, 1)])
def test_an_error_takes_four_of_each_in_two_groups(real, fake, groups):
    with pytest.raises(CardiganError) as caught:
        with_error(np.zeros((real, 2)), np.zeros((fake, 2)), groups=groups)
    assert str(caught.value) == (
        f"How sure a kernel distance is can be told from 4 images of each kind in 2 groups or more, got {real} real "
        f"and {fake} generated ones in {groups}. Measure more images."
    )
    with pytest.raises(CardiganError, match="not finite"):
        with_error(np.full((9, 2), np.nan), np.zeros((9, 2)))
