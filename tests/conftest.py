"""What all tests share: a cache of their own, few threads, and the device they run on."""

import os
import signal

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

collect_ignore = ["two_runs.py", "training/two_processes.py"]
"""Programs that tests start in processes of their own: they read their command line when they are loaded."""

# Two workers of one thread each get through more small networks than one worker of two.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="where networks run: cpu (default), cuda, cuda:N or mps")


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test reads or fills the user's cache; subprocesses inherit this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARDIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def device(request):
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def forbidden(tmp_path):
    """A folder that may not be written to."""
    folder = tmp_path / "forbidden"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        (folder / "probe").touch()
    except OSError:
        yield folder
        folder.chmod(0o700)
    else:
        pytest.skip("root may write anywhere")


@pytest.fixture
def heard_signals():
    """Signals act as in a terminal, also under nohup or in the background. Child processes inherit this."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _fixed_draws():
    """Each test draws the same numbers, whatever ran before it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def spoil_turns():
    """Patches training so that the generator's loss is no number in the turns for which ``when(training)`` holds."""
    from dataclasses import replace

    from cardigan.training import Training

    def spoil(monkeypatch, when):
        turn = Training.turn

        def spoilt(self, batches, turns):
            if not when(self):
                return turn(self, batches, turns)
            whole = self.gan.objective
            self.gan.objective = replace(whole, generator=lambda **logits: whole.generator(**logits) * float("nan"))
            try:
                return turn(self, batches, turns)
            finally:
                self.gan.objective = whole

        monkeypatch.setattr(Training, "turn", spoilt)

    return spoil


# --- an Apple GPU that is not here ---------------------------------------------------------------------------------
# A stand-in that computes on the processor and refuses what torch lacks there. The list is literal: of torch 2.13 what
# its native_functions.yaml gives to CPU and CUDA and not to MPS, as far as a network might ask for it; of earlier
# versions by the pull requests that added it (145526, 149378).

MISSING_ON_APPLE = {
    "vdot": "before 2.11",
    "_upsample_bilinear2d_aa": "before 2.7",
    "_upsample_bicubic2d_aa": "before 2.8",
    "_upsample_bilinear2d_aa_backward": "in 2.13",
    "_upsample_bicubic2d_aa_backward": "in 2.13",
    "_linalg_eigh": "in 2.13",
    "_linalg_svd": "in 2.13",
    "linalg_eig": "in 2.13",
    "linalg_lstsq": "in 2.13",
    "linalg_matrix_exp": "in 2.13",
    "linalg_ldl_factor_ex": "in 2.13",
    "geqrf": "in 2.13",
    "ormqr": "in 2.13",
    "_adaptive_avg_pool3d": "in 2.13",
    "adaptive_max_pool3d": "in 2.13",
    "_aminmax": "in 2.13",
    "_ctc_loss": "in 2.13",
    "_fused_adagrad_": "in 2.13",
    "_pdist_forward": "in 2.13",
    "binomial": "in 2.13",
    "channel_shuffle": "in 2.13",
    "embedding_renorm_": "in 2.13",
    "fractional_max_pool2d": "in 2.13",
    "frexp": "in 2.13",
    "heaviside": "in 2.13",
    "logit_": "in 2.13",
    "logspace": "in 2.13",
    "mode": "in 2.13",
    "multi_margin_loss": "in 2.13",
    "poisson": "in 2.13",
    "put_": "in 2.13",
    "rrelu_with_noise": "in 2.13",
    "segment_reduce": "in 2.13",
    "take": "in 2.13",
}
"""Operations by the name that ATen gives them, and which versions of torch lack them there."""


class AppleGPU(TorchDispatchMode):
    """While it holds, every tensor is taken to lie on an Apple GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Refuse what such a device refuses."""
        name = func.name().removeprefix("aten::").partition(".")[0]
        if name in MISSING_ON_APPLE:
            raise NotImplementedError(f"aten::{name} is not implemented for the MPS device {MISSING_ON_APPLE[name]}")
        if name == "_adaptive_avg_pool2d" and any(
            size % wanted for size, wanted in zip(args[0].shape[2:], args[1], strict=True)
        ):
            raise RuntimeError("Adaptive pool MPS: input sizes must be divisible by output sizes (before 2.11)")
        found = func(*args, **(kwargs or {}))
        for each in tree_leaves(found):
            if isinstance(each, torch.Tensor) and each.dtype in (torch.float64, torch.complex128):
                raise TypeError(f"{name}: the MPS framework has no float64")
        return found


class OnAppleGPU(torch.Tensor):
    """A tensor that says of everything made from it that it lies on an Apple GPU, until ``cpu()`` brings it back."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """Run the operation as on such a device."""
        kwargs = kwargs or {}
        assert not kwargs.get("non_blocking"), "a copy that nobody waits for is read before it has arrived"
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        with AppleGPU():
            return super().__torch_function__(func, types, args, kwargs)


@pytest.fixture
def apple_gpu(monkeypatch):
    """A context in which every tensor is taken to lie on an Apple GPU."""
    from cardigan import pixels

    monkeypatch.setattr(pixels, "BY_MATRICES", {"cpu"})
    return AppleGPU


@pytest.fixture
def on_apple_gpu():
    """Makes a tensor that says of everything made from it that it lies on an Apple GPU, until ``cpu()`` is called."""
    return lambda tensor: tensor.as_subclass(OnAppleGPU)
