"""Our numbers beside those of other programs, on the same features. Each skips where its program is not installed."""

import numpy as np
import pytest
import torch

from cardigan.metrics.frechet import frechet_distance
from cardigan.metrics.inception_score import inception_score
from cardigan.metrics.kernel import kernel_distance
from cardigan.metrics.manifold import manifold

pytestmark = pytest.mark.slow

# Their habits on import and in loops are not ours to mend.
theirs_may_warn = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def heaps():
    """Features as networks give them: positive, skewed, correlated, and the second heap a little off."""
    rng = np.random.default_rng(7)
    mix = rng.normal(size=(48, 48)) / 7
    real = np.abs(rng.normal(size=(1200, 48)) @ mix)
    fake = np.abs((rng.normal(size=(1000, 48)) * 1.1 + 0.1) @ mix)
    return real.astype(np.float32), fake.astype(np.float32)


@theirs_may_warn
def test_the_frechet_distance_is_torch_fidelitys(heaps):
    library = pytest.importorskip("torch_fidelity.metric_fid")
    statistics = [library.fid_features_to_statistics(torch.from_numpy(heap)) for heap in heaps]
    theirs = library.fid_statistics_to_metric(*statistics, verbose=False)[library.KEY_METRIC_FID]
    assert frechet_distance(*heaps) == pytest.approx(theirs, rel=1e-4)


@theirs_may_warn
def test_the_kernel_distance_is_torch_fidelitys(heaps):
    """On the whole heaps, so that nothing is left to the draw."""
    library = pytest.importorskip("torch_fidelity.metric_kid")
    real, fake = (heap[:1000] for heap in heaps)
    theirs = library.kid_features_to_metric(
        torch.from_numpy(real), torch.from_numpy(fake), kid_subsets=1, kid_subset_size=1000, rng_seed=0, verbose=False
    )[library.KEY_METRIC_KID_MEAN]
    ours, _ = kernel_distance(real, fake, subsets=1, size=1000, rng=np.random.default_rng(0))
    assert ours == pytest.approx(theirs, rel=1e-4)


@theirs_may_warn
def test_precision_and_recall_are_torch_fidelitys(heaps):
    library = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = (torch.from_numpy(heap) for heap in heaps)
    theirs = library.prc_features_to_metric(
        fake, real, prc_neighborhood=3, prc_batch_size=500, save_cpu_ram=False, verbose=False
    )
    ours = manifold(*heaps, k=3)
    assert 0.1 < ours.precision < 1
    assert ours.precision == pytest.approx(theirs[library.KEY_METRIC_PRECISION], abs=2e-3)
    assert ours.recall == pytest.approx(theirs[library.KEY_METRIC_RECALL], abs=2e-3)


@theirs_may_warn
def test_the_inception_score_is_torch_fidelitys():
    library = pytest.importorskip("torch_fidelity.metric_isc")
    logits = torch.randn(1000, 12, generator=torch.Generator().manual_seed(0)) * 2
    theirs = library.isc_features_to_metric(logits, splits=10, shuffle=False)
    mean, spread = inception_score(logits.double().softmax(dim=1).numpy(), splits=10)
    assert mean == pytest.approx(theirs[library.KEY_METRIC_ISC_MEAN], rel=1e-6)
    assert spread == pytest.approx(theirs[library.KEY_METRIC_ISC_STD], rel=1e-6)


@theirs_may_warn
def test_distances_are_clean_fids(heaps):
    library = pytest.importorskip("cleanfid.fid", exc_type=ImportError)
    real, fake = heaps
    moments = [value for heap in heaps for value in (heap.mean(axis=0), np.cov(heap, rowvar=False))]
    assert frechet_distance(real, fake) == pytest.approx(library.frechet_distance(*moments), rel=1e-3)
    np.random.seed(0)
    theirs = library.kernel_distance(real[:1000], fake, num_subsets=1, max_subset_size=1000)
    ours, _ = kernel_distance(real[:1000], fake, subsets=1, size=1000, rng=np.random.default_rng(0))
    assert ours == pytest.approx(theirs, rel=1e-3)


@theirs_may_warn
def test_density_and_coverage_are_prdcs(heaps):
    library = pytest.importorskip("prdc")
    theirs = library.compute_prdc(real_features=heaps[0], fake_features=heaps[1], nearest_k=5)
    ours = manifold(*heaps, k=5)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, name) == pytest.approx(theirs[name], abs=2e-3), name
