"""The Fréchet distance against closed forms, golden values, SciPy's root of a matrix, and the ways to get it wrong."""

import math

import numpy as np
import pytest
from scipy import linalg

from cardigan.errors import CardiganError
from cardigan.metrics.frechet import Moments, frechet_distance, infinite, moments

MANY = 10**9


def known(mean, covariance):
    return Moments(MANY, np.array(mean, float), np.array(covariance, float))


def by_scipy(real, fake, ddof=1):
    """As the definition has it, by way of nothing that is tested."""
    first, second = (np.atleast_2d(np.cov(side, rowvar=False, ddof=ddof)) for side in (real, fake))
    root = np.asarray(linalg.sqrtm((first @ second).astype(complex))).real
    moved = real.mean(axis=0) - fake.mean(axis=0)
    return float(moved @ moved + np.trace(first + second - 2 * root))


def test_one_dimension():
    assert frechet_distance(known([0], [[1]]), known([3], [[4]])) == pytest.approx(10, abs=1e-12)


def test_diagonal_covariances():
    first, second = known([1, -2, 0.5], np.diag([1, 4, 9])), known([0, 0, 0], np.diag([4, 1, 16]))
    assert frechet_distance(first, second) == pytest.approx(8.25, abs=1e-12)


def test_covariances_that_do_not_commute():
    first, second = known([0, 0], [[2, 1], [1, 2]]), known([0, 0], np.diag([1, 4]))
    expected = 9 - 2 * math.sqrt(10 + 2 * math.sqrt(12))
    assert expected == pytest.approx(0.771220447654, abs=1e-12)
    assert frechet_distance(first, second) == pytest.approx(expected, abs=1e-10)
    assert frechet_distance(second, first) == pytest.approx(expected, abs=1e-10)


def test_2048_features_that_differ_in_the_mean():
    first, second = known(np.zeros(2048), np.eye(2048)), known(np.ones(2048), np.eye(2048))
    assert frechet_distance(first, second) == 2048


@pytest.mark.parametrize("features", [2, 8, 96])
@pytest.mark.parametrize("rank", [0, 1, 5])
def test_equal_singular_covariances_are_at_distance_0(features, rank):
    """The plain formula is NaN here in reals, and -4e-08 in complex numbers."""
    half = np.random.default_rng(0).normal(size=(features, rank))
    found = frechet_distance(known(np.zeros(features), half @ half.T), known(np.zeros(features), half @ half.T))
    assert found == pytest.approx(0, abs=1e-11)
    assert math.copysign(1, found) == 1


def test_roots_of_eigenvalues_lose_half_the_digits():
    """The usual formula on the same covariances, for comparison: why singular values of factors are added up."""
    half = np.random.default_rng(0).normal(size=(96, 5))
    covariance = half @ half.T
    roots = np.sqrt(np.linalg.eigvals(covariance @ covariance).astype(complex)).real.sum()
    assert abs(2 * np.trace(covariance) - 2 * roots) > 1e-9


def test_singular_and_not():
    """Between a line and a plane, by hand: (2 - 1)² + 3²."""
    flat, round_ = known([0, 0], [[4, 0], [0, 0]]), known([0, 0], [[1, 0], [0, 9]])
    assert frechet_distance(flat, round_) == pytest.approx(10, abs=1e-12)


def test_portable_heaps(portable):
    real, fake = portable
    expected = pytest.approx(0.112930411247, abs=1e-9)
    assert frechet_distance(real, fake) == expected
    assert frechet_distance(fake, real) == expected
    assert frechet_distance(moments(real), iter(np.array_split(fake, 5))) == expected
    assert by_scipy(real, fake) == expected


def test_the_mistaken_denominator_gives_another_number(portable):
    wrong = by_scipy(*portable, ddof=0)
    assert wrong == pytest.approx(0.111114105545, abs=1e-9)
    assert abs(frechet_distance(*portable) - wrong) > 1e-3
    real = portable[0]
    assert np.abs(moments(real).covariance - np.cov(real, rowvar=False, ddof=0)).max() > 1e-3


@pytest.mark.parametrize(
    ("features", "count", "expected"),
    [
        *((64, n, fd) for n, fd in ((300, 7.5), (1000, 2.2), (5000, 0.45), (20000, 0.11))),
        *((256, n, fd) for n, fd in ((300, 112), (1000, 33.6), (5000, 6.7), (20000, 1.66))),
    ],
)
def test_two_samples_of_one_distribution_lie_apart(features, count, expected):
    """The bias: the fewer images, the larger the number, though nothing differs."""
    rng = np.random.default_rng(features + count)
    real, fake = rng.normal(size=(count, features)), rng.normal(size=(count, features))
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=0.15)


def test_what_rounding_leaves_below_0_is_0():
    """As a singular covariance may be stored: 1 for the missing spread, and nothing for its trace of a negative one."""
    first, second = known([0, 0], np.diag([1, -1e-8])), known([0, 0], np.eye(2))
    assert frechet_distance(first, second) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("count", "other"), [(12, 9), (9, 40), (60, 80), (200, 12), (30, 30)])
def test_fewer_images_than_features_and_more(count, other):
    """Features in the place of covariances, on one side, on both and on none, against SciPy's way."""
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(count, 30)), rng.normal(0.2, 1.5, size=(other, 30)) @ rng.normal(size=(30, 30)) / 5
    found = frechet_distance(real, fake)
    assert found == pytest.approx(by_scipy(real, fake), rel=1e-6)
    assert found == pytest.approx(frechet_distance(moments(real), moments(fake)), rel=1e-6)
    assert frechet_distance(fake, real) == pytest.approx(found, rel=1e-10)


def test_shifts_and_turns():
    """A shift of all images adds its squared length; turning both sides alike changes nothing, nor do units but by
    their square."""
    rng = np.random.default_rng(2)
    real, fake = rng.normal(size=(80, 6)), rng.normal(size=(70, 6)) * np.arange(1, 7)
    turn, shift = np.linalg.qr(rng.normal(size=(6, 6)))[0], np.array([3.0, 0, 0, -4.0, 0, 0])
    found = frechet_distance(real, fake)
    assert frechet_distance(real @ turn, fake @ turn) == pytest.approx(found, rel=1e-10)
    assert frechet_distance(1000 * real, 1000 * fake) == pytest.approx(1e6 * found, rel=1e-10)
    assert frechet_distance(real, real + shift) == pytest.approx(25, rel=1e-10)
    noise = [frechet_distance(real, real + level * rng.normal(size=real.shape)) for level in (0.1, 0.3, 1, 3)]
    assert noise == sorted(noise)


@pytest.mark.parametrize("sizes", [[90], [1] * 90, [30, 1, 59], [2, 88]])
def test_moments_do_not_depend_on_chunks(sizes):
    """Around a mean of 1e6, where a sum of squares would lose all digits."""
    rng = np.random.default_rng(3)
    features = rng.normal(1e6, 1.0, size=(90, 5)) @ np.triu(np.ones((5, 5)))
    edges = np.cumsum(sizes)[:-1]
    found = moments(iter(np.split(features, edges)))
    assert found.count == 90
    assert found.mean == pytest.approx(features.mean(axis=0), rel=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(features, rowvar=False), rtol=1e-9)
    # What does lose them: mean of products less product of means.
    naive = (features.T @ features / 90 - np.outer(features.mean(axis=0), features.mean(axis=0))) * 90 / 89
    assert np.abs(naive - found.covariance).max() > 1e-4


def test_single_precision_features_are_measured_in_double():
    rng = np.random.default_rng(4)
    features = rng.normal(1000, 1, size=(5000, 3)).astype(np.float32)
    found = moments(features)
    assert found.covariance.dtype == found.mean.dtype == np.float64
    np.testing.assert_allclose(found.covariance, np.cov(features.astype(np.float64), rowvar=False), rtol=1e-10)
    few, wide = features[:3], np.repeat(features[:4], 3, axis=1)
    assert frechet_distance(few, few + np.float32(1)) == pytest.approx(3, rel=1e-12)
    assert frechet_distance(wide, wide.astype(np.float64)) == pytest.approx(0, abs=1e-9)


def test_infinitely_many_images_have_no_bias():
    """Of a known distance, 0.64: what the plain number is off by more than half of, a line takes away."""
    rng = np.random.default_rng(5)
    real = known(np.zeros(16), np.eye(16))
    plain, corrected = [], []
    for _ in range(8):
        fake = rng.normal(0.2, 1.0, size=(400, 16))
        plain.append(frechet_distance(real, fake))
        corrected.append(infinite(real, fake, rng=rng))
    error = np.std(corrected) / math.sqrt(8)
    assert np.mean(corrected) == pytest.approx(0.64, abs=4 * error)
    assert error < 0.04
    assert np.mean(plain) > 0.64 + 0.1


def test_infinite_is_a_line_over_one_over_n():
    """Spelt out with SciPy and least squares, with the same lots: of each number as many heaps as there are."""
    rng = np.random.default_rng(6)
    real, fake = rng.normal(size=(90, 3)), rng.normal(0.5, 1, size=(120, 3))
    again = np.random.default_rng(7)
    table = []
    for count, heaps in ((20, 6), (45, 2), (70, 1), (95, 1), (120, 1)):
        order = again.permutation(120)[: heaps * count].reshape(heaps, count)
        table.append((1.0, 1 / count, np.mean([by_scipy(real, fake[chosen]) for chosen in order])))
    rows = np.array(table)
    expected = np.linalg.lstsq(rows[:, :2], rows[:, 2])[0][0]
    found = infinite(real, fake, points=5, fewest=20, rng=np.random.default_rng(7))
    assert found == pytest.approx(expected, rel=1e-7)
    assert found == infinite(moments(real), fake, points=5, fewest=20, rng=np.random.default_rng(7))
    assert found != infinite(real, fake, points=5, fewest=20, rng=np.random.default_rng(8))


@pytest.mark.parametrize("count", [60, 61])
def test_by_default_all_images_and_both_halves_are_measured(count):
    """A line through two points is a closed form: twice what all have less what a half has, where both are exact."""
    real, fake = FINE, np.random.default_rng(8).normal(size=(count, 3))
    rng = np.random.default_rng(1)
    halves = rng.permutation(count)[:60].reshape(2, 30)
    half, whole = np.mean([by_scipy(real, fake[chosen]) for chosen in halves]), by_scipy(real, fake)
    expected = whole + (whole - half) * (1 / count) / (1 / 30 - 1 / count)
    assert infinite(real, fake, rng=np.random.default_rng(1)) == pytest.approx(expected, rel=1e-9)


def test_in_one_dimension_infinite_is_expected_where_it_should_be():
    """Of n numbers, the squared mean is 1/n and the deviation c4(n), so the distance is 2 - 2 c4(n) + 1/n."""

    def expected(n):
        return 2 + 1 / n - 2 * math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))

    rng = np.random.default_rng(10)
    found = [infinite(known([0], [[1]]), rng.normal(size=(20, 1)), rng=rng) for _ in range(1000)]
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(2 * expected(20) - expected(10), abs=4 * error)
    assert error < expected(20) / 20
    assert abs(2 * expected(20) - expected(10)) < expected(20) / 30


def test_few_images_for_their_features_are_extrapolated_better_from_half_than_from_a_tenth():
    """Of five times as many images as features, with the moments of the truth as real ones: 0 is right."""
    real, rng = known(np.zeros(24), np.eye(24)), np.random.default_rng(11)
    heaps = [rng.normal(size=(120, 24)) for _ in range(40)]
    plain, ours, tenth = (
        np.array([measure(fake) for fake in heaps])
        for measure in (
            lambda fake: frechet_distance(real, fake),
            lambda fake: infinite(real, fake, rng=rng),
            lambda fake: infinite(real, fake, points=15, fewest=25, rng=rng),
        )
    )
    assert abs(ours.mean()) < 0.12 * plain.mean()
    assert abs(tenth.mean()) > 0.2 * plain.mean()
    assert ours.std() < 2 * plain.std()


def test_infinite_takes_away_what_generated_images_add_and_leaves_what_real_ones_do():
    """Of 2.2 between two samples of 1,000 each side adds half; against the moments of the truth nothing is left."""
    rng = np.random.default_rng(12)
    real, fake = rng.normal(size=(2, 1000, 64))
    assert infinite(real, fake, rng=rng) == pytest.approx(1.1, abs=0.15)
    assert infinite(known(np.zeros(64), np.eye(64)), fake, rng=rng) == pytest.approx(0, abs=0.15)


FINE = np.random.default_rng(9).normal(size=(40, 3))


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [
        (FINE, FINE[:, :2], "There are 3 features of a real image and 2 of a generated one. Use one extractor for"),
        (moments(FINE), FINE[:2, :2], "There are 3 features of a real image and 2 of a generated one"),
        (FINE[:1], FINE, "This takes at least 2 real images, and there are 1. Add some"),
        (FINE, FINE[:1], "at least 2 generated images, and there are 1"),
        (FINE, np.full((5, 3), np.inf), "Features of 5 of 5 generated images are not finite"),
        (FINE, [FINE, FINE], r"Features have the shape \(N, F\), one row an image; generated ones have \(2, 40, 3\)"),
        (
            FINE,
            known([0, 0, 0], np.diag([1, 1, -0.5])),
            "of generated ones: its smallest eigenvalue is -0.5",
        ),
    ],
)
def test_what_has_no_distance_is_said(real, fake, expected):
    with pytest.raises(CardiganError, match=expected):
        frechet_distance(real, fake)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (FINE[:1], "A covariance takes at least 2 images, and there are 1. Measure more images"),
        (iter([]), "at least 2 images, and there are 0"),
        (iter([FINE, FINE[:, :2]]), "Chunks have as many features each, got 3 and then 2. Use one extractor"),
        (iter([FINE, FINE * np.nan]), "Features of 40 of 40 measured images are not finite"),
    ],
)
def test_what_has_no_moments_is_said(features, expected):
    with pytest.raises(CardiganError, match=expected):
        moments(features)


@pytest.mark.parametrize(
    ("mean", "covariance", "expected"),
    [
        ([0, 0], [[1]], r"Moments are a mean \(F,\) and a covariance \(F, F\), got \(2,\) and \(1, 1\)"),
        ([], np.ones((0, 0)), r"got \(0,\) and \(0, 0\)"),
        ([0, np.nan], np.eye(2), "Moments are finite; these hold inf or NaN. Measure the features again"),
        ([0, 0], np.diag([1, np.inf]), "these hold inf or NaN"),
        ([0, 0], [[1, 0.5], [0.4, 1]], "A covariance is the same mirrored at its diagonal; this one is not"),
    ],
)
def test_what_are_no_moments_is_said(mean, covariance, expected):
    with pytest.raises(CardiganError, match=expected):
        known(mean, covariance)


@pytest.mark.parametrize(
    ("fake", "options", "expected"),
    [
        (FINE, {"points": 1}, "A line takes at least 2 points, got points=1. Usual is points=2"),
        (
            FINE,
            {"fewest": 3},
            "with more images than features, 3, up to at least twice as many; here from 3 up to 40 generated images. "
            "Generate more, or read the kernel distance",
        ),
        (FINE, {"fewest": 21}, "here from 21 up to 40 generated"),
        (FINE[:7], {}, "here from 3 up to 7 generated"),
        (FINE[:, :2], {}, "There are 3 features of a real image and 2"),
    ],
)
def test_what_cannot_be_extrapolated_is_said(fake, options, expected):
    with pytest.raises(CardiganError, match=expected):
        infinite(FINE, fake, rng=np.random.default_rng(0), **options)
