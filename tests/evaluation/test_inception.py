"""The 2015 Inception: its file and nothing else, how images reach it, and torch-fidelity's own network beside it."""

import hashlib
import importlib.util
import io
import sys

import numpy as np
import pytest
import torch
from torch import nn

from cardigan.errors import CardiganError, MissingExtraError
from cardigan.evaluation import inception as room
from cardigan.evaluation.extractors import extractor
from cardigan.evaluation.inception import FILES, SHA256, inception
from cardigan.evaluation.resize import RESIZER, resized


class Tiny(nn.Module):
    """What is used of torch-fidelity's network, in small: the same way in and out, and a head with a bias."""

    def __init__(self, name="inception", layers=("2048", "logits_unbiased"), feature_extractor_weights_path=None):
        super().__init__()
        assert tuple(layers) == ("2048", "logits_unbiased")
        self.small = nn.AdaptiveAvgPool2d(8)
        self.wide = nn.Conv2d(3, 2048, 4, stride=4)
        self.AvgPool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, 1008)
        if feature_extractor_weights_path is not None:
            self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))
        self.eval().requires_grad_(False)

    def forward(self, images):
        assert images.dtype == torch.uint8
        features = self.AvgPool(self.wide(self.small((images.float() - 128) / 128))).flatten(1)
        return features, features @ self.fc.weight.T


@pytest.fixture
def network():
    return Tiny()


@pytest.fixture
def path(network, tmp_path, monkeypatch):
    """The file of weights, taken for the published one."""
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    path = tmp_path / "weights.pth"
    path.write_bytes(buffer.getvalue())
    monkeypatch.setattr(room, "SHA256", hashlib.sha256(buffer.getvalue()).hexdigest())
    monkeypatch.setattr(room, "_library", lambda name: Tiny)
    return path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Torch's cache of weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def pictures(count=3, side=40, channels=3):
    return np.random.default_rng(1).integers(0, 256, (count, side, side, channels), np.uint8)


def test_the_published_file_is_known_to_the_last_bit():
    assert (len(SHA256), SHA256[:8]) == (64, "6726825d")
    assert all(SHA256[:8] in name for name in (*FILES, room.ADDRESS))


def test_an_apple_gpu_is_asked_for_no_float64(path, monkeypatch, on_apple_gpu):
    """By a stand-in: there is none there."""
    expected, prepared = inception(path).see(pictures()), room.prepared
    monkeypatch.setattr(room, "prepared", lambda *given, **options: on_apple_gpu(prepared(*given, **options)))
    np.testing.assert_array_equal(inception(path).see(pictures()).probabilities, expected.probabilities)


def test_images_reach_the_network_by_the_pinned_path(path, network):
    found, images = inception(path), pictures()
    maps = (torch.from_numpy((resized(images, 299) + 1) * 127.5) - 128) / 128
    expected = network.wide(network.small(maps)).mean(dim=(2, 3))
    seen = found.see(images)
    np.testing.assert_allclose(seen.features, expected, rtol=1e-4, atol=1e-5)
    logits = seen.features.astype(np.float64) @ network.fc.weight.numpy().T
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(seen.probabilities, chances, rtol=1e-4)  # without the bias, as Inception Scores are made
    assert found.preprocessing == (
        f"299x299, {RESIZER}; grey repeated for each colour, transparent parts over middle grey; (pixel - 128) / 128"
    )
    assert (found.name, found.digest, found.width, found.classes) == ("inception", room.SHA256, 2048, 1008)
    assert found.learned_from == "ImageNet"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_legacy_network_is_given_the_very_pixels(path, network, channels):
    found, images = extractor(f"inception-legacy={path}"), pictures(channels=channels)
    features, _ = network(torch.from_numpy(images).movedim(3, 1).expand(-1, 3, -1, -1))
    np.testing.assert_allclose(found.describe(images), features, rtol=1e-4, atol=1e-5)
    assert found.name == "inception-legacy"
    assert found.preprocessing.startswith("299x299, bilinear as in TensorFlow 1 (not antialiased); grey")


@pytest.mark.parametrize("name", FILES)
def test_it_is_found_in_torchs_cache_under_both_names(path, hub, name):
    (hub / name).write_bytes(path.read_bytes())
    assert extractor("inception").describe(pictures(1)).shape == (1, 2048)


def refused(*given, **options):
    with pytest.raises(CardiganError) as caught:
        inception(*given, **options)
    return str(caught.value)


def test_without_weights_the_message_says_where_to_leave_which_file(path, hub):
    assert refused() == (
        f"The weights of the 2015 Inception are not on this machine, and nothing is downloaded unasked. Fetch "
        f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILES[0]} (95,628,359 bytes, SHA-256 "
        f"{room.SHA256}) and leave it as {hub / FILES[0]}, or name the file: inception=path/to/{FILES[0]}"
    )


def test_another_file_is_refused_before_it_is_opened(path, hub, monkeypatch):
    monkeypatch.setattr(room, "_library", lambda name: pytest.fail)
    blob = path.read_bytes()
    changed = blob[:-1] + bytes([blob[-1] ^ 1])
    for wrong in (changed, blob[:-1], b""):
        for place in (path, hub / FILES[1]):
            place.write_bytes(wrong)
        expected = (
            f" is not the 2015 Inception: it has {len(wrong):,} bytes and the SHA-256 "
            f"{hashlib.sha256(wrong).hexdigest()}, expected 95,628,359 bytes and {room.SHA256}. Fetch it again from "
            f"{room.ADDRESS}"
        )
        assert refused(path) == f"{path}{expected}"
        assert refused() == f"{hub / FILES[1]}{expected}"


def test_a_file_that_is_not_there_is_told(path, tmp_path):
    assert refused(tmp_path / "absent.pth") == (
        f"{tmp_path / 'absent.pth'} cannot be read (No such file or directory). Expected the weights of the 2015 "
        f"Inception: fetch {room.ADDRESS}"
    )


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(MissingExtraError) as caught:
        inception()
    assert str(caught.value) == (
        "The feature extractor inception needs a library that is not installed. Install it with: pip install "
        '"cardigan[fidelity]"'
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a library under torch-fidelity's name; what it leaves among the modules goes with it."""

    def ours():
        return [name for name in sys.modules if name.partition(".")[0] == "torch_fidelity"]

    def write(**files):
        (tmp_path / "torch_fidelity").mkdir()
        for file, text in {"__init__": "", **files}.items():
            (tmp_path / "torch_fidelity" / f"{file}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)

    before = {name: sys.modules.pop(name) for name in ours()}
    yield write
    for name in ours():
        del sys.modules[name]
    sys.modules.update(before)


def test_only_the_network_is_imported_of_the_library(package):
    network = "from torch_fidelity.helpers import number\nclass FeatureExtractorInceptionV3:\n    made_of = number\n"
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    package(__init__=broken, feature_extractor_inceptionv3=network, helpers="number = 7")
    assert room._library("inception").made_of == 7
    assert not [each for each in sys.modules if each.startswith("torch_fidelity")]
    with pytest.raises(RuntimeError, match="nms"):
        import torch_fidelity  # noqa: F401  # pyright: ignore[reportMissingImports]


def test_a_library_that_was_imported_already_stays_as_it_was(package):
    package(feature_extractor_inceptionv3="class FeatureExtractorInceptionV3: pass")
    import torch_fidelity.feature_extractor_inceptionv3 as before  # pyright: ignore[reportMissingImports]

    room._library("inception")
    assert sys.modules["torch_fidelity.feature_extractor_inceptionv3"] is before
    assert sys.modules["torch_fidelity"].feature_extractor_inceptionv3 is before


def test_a_library_without_an_inception_is_told(package):
    package()
    assert refused() == (
        "The torch-fidelity library is installed but has no Inception that can be imported (No module named "
        "'torch_fidelity.feature_extractor_inceptionv3'). Expected version 0.4 or newer: pip install --upgrade "
        '"cardigan[fidelity]"'
    )


def coarse(side, tile):
    """Two pictures of large tiles, for a network that has learned nothing hardly sees fine grain."""
    return pictures(2, side // tile).repeat(tile, axis=1).repeat(tile, axis=2)


@pytest.mark.slow
def test_the_library_itself_says_the_same(tmp_path, monkeypatch):
    """With random weights: 24 million of them, so that nothing need be downloaded."""
    if importlib.util.find_spec("torch_fidelity") is None:
        pytest.skip("torch-fidelity is not installed: the extra fidelity")
    network = room._library("inception")
    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "load_state_dict", lambda self, weights: None)
        random = network("random", ["2048", "logits_unbiased"], feature_extractor_weights_path=nothing)
    for module in random.modules():
        if isinstance(module, nn.Conv2d):  # so that the signal neither dies out nor grows
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.9, 1.1)
    path = tmp_path / "weights.pth"
    torch.save(random.state_dict(), path)
    monkeypatch.setattr(room, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    for found, images in ((inception(path), coarse(299, 23)), (inception(path, legacy=True), coarse(32, 8))):
        features, logits = random(torch.from_numpy(images).movedim(3, 1).contiguous())
        seen = found.see(images)
        assert 0.01 < features.std(dim=0).mean() < 100, "it tells the two images apart"
        np.testing.assert_allclose(seen.features, features, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(seen.probabilities, logits.softmax(dim=1), rtol=1e-3, atol=1e-6)
    assert seen.features.shape == (2, 2048)
    assert seen.probabilities.shape == (2, 1008)
    # The two ways of resizing are told apart by the numbers too.
    assert np.abs(inception(path).describe(images) - seen.features).max() > 1e-2
