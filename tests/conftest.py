"""What all tests share: a cache of their own, few threads, and the device they run on."""

import os
import signal

import pytest
import torch

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
