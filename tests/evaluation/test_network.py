"""Networks of the features room as extractors, and DINOv2 through a stand-in for timm."""

import hashlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from cardigan.errors import CardiganError, MissingExtraError
from cardigan.evaluation.extractors import extractor
from cardigan.evaluation.extractors_network import dinov2, from_features
from cardigan.evaluation.resize import RESIZER, resized

MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"

OWN = """
import torch
from torch import nn

class Strided(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 4, stride=4)
        self.deep = nn.Conv2d(4, 6, stride // 4, stride=stride // 4)

    def forward(self, images):
        fine = self.fine(images)
        return [fine, self.deep(fine)]

def strided(): return Strided(32)
def fine(): return Strided(8)
def picky(): return Picky()

class Picky(nn.Module):
    def forward(self, images):
        if images.shape[2] not in (64, 128):
            raise RuntimeError("my sizes are 64 and 128")
        return images
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own."""
    path = tmp_path / "eyes_of_my_own.py"
    path.write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "eyes_of_my_own", raising=False)
    yield path
    sys.modules.pop("eyes_of_my_own", None)


def pictures(height, width, channels=3, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


@pytest.mark.parametrize(
    ("name", "size", "shown"),
    [
        ("strided", (28, 28), (224, 224)),
        ("strided", (256, 240), (256, 240)),
        ("strided", (112, 168), (224, 336)),
        ("fine", (28, 42), (64, 96)),
        ("fine", (42, 28), (96, 64)),
        ("fine", (64, 70), (64, 70)),
    ],
)
def test_small_images_are_enlarged_and_others_shown_as_they_are(own, name, size, shown):
    found, images = from_features(f"eyes_of_my_own:{name}"), pictures(*size)
    from cardigan.features import load

    expected = load(f"eyes_of_my_own:{name}")(torch.from_numpy(resized(images, shown)))[-1].mean(dim=(2, 3))
    np.testing.assert_allclose(found.describe(images), expected.detach(), rtol=1e-4, atol=1e-5)
    least = {"strided": 224, "fine": 64}[name]
    assert found.preprocessing == (
        f"the shorter side enlarged to {least} where it is less, {RESIZER}; grey repeated for each colour, transparent "
        f"parts over middle grey; [-1, 1]; the mean of the deepest map"
    )
    assert (found.name, found.width, found.classes) == (f"eyes_of_my_own:{name}", 6, 0)
    assert found.learned_from == "unknown"


def test_the_digest_of_a_users_own_covers_its_source(own):
    before = from_features("eyes_of_my_own:strided").digest
    assert from_features("eyes_of_my_own:strided").digest == before
    del sys.modules["eyes_of_my_own"]
    own.write_text(OWN.replace("return [fine, self.deep(fine)]", "return [fine, self.deep(fine.square())]"))
    import importlib

    importlib.invalidate_caches()
    assert from_features("eyes_of_my_own:strided").digest != before
    assert from_features("eyes_of_my_own:fine").digest != from_features("eyes_of_my_own:strided").digest


def test_a_size_that_a_network_cannot_see_is_told(own):
    found = from_features("eyes_of_my_own:picky")
    assert found.describe(pictures(64, 64)).shape == (3, 3)
    with pytest.raises(CardiganError) as caught:
        found.describe(pictures(65, 65))
    assert str(caught.value).startswith(
        "The feature extractor eyes_of_my_own:picky fails on images of 65x65 pixels (RuntimeError: my sizes are 64 and "
    )


# --- DINOv2 ----------------------------------------------------------------------------------------------------------


class Transformer(nn.Module):
    """What is used of timm's: a class token that depends on every pixel."""

    def __init__(self, width):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.embed = nn.Linear(3, width)

    def forward(self, images):
        assert images.shape[1:] == (3, 224, 224)
        return self.cls_token[:, 0] + self.embed(images.mean(dim=(2, 3)))


class StandIn(ModuleType):
    """What is used of timm."""

    __version__ = "1.2.3"

    def __init__(self):
        super().__init__("timm")
        self.made = []

    def is_model(self, name):
        return name.endswith("_dinov2")

    def get_pretrained_cfg(self, name):
        return SimpleNamespace(hf_hub_id=f"timm/{name}.lvd142m", classifier="head", mean=MEAN, std=DEVIATION)

    def create_model(self, name, *, pretrained, pretrained_cfg_overlay, num_classes, img_size):
        assert (pretrained, num_classes, img_size) == (True, 0, 224)
        assert (pretrained_cfg_overlay["num_classes"], pretrained_cfg_overlay["custom_load"]) == (0, False)
        self.made.append(name)
        weights = safetensors.torch.load_file(pretrained_cfg_overlay["file"])
        weights.pop("reg_token", None)
        network = Transformer(weights["cls_token"].shape[-1])
        network.load_state_dict(weights)
        return network


@pytest.fixture
def timm(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    return stand_in


def saved(folder, width, **more):
    network, path = Transformer(width), folder / "model.safetensors"
    nn.init.normal_(network.cls_token)
    safetensors.torch.save_file({**network.state_dict(), **more}, path)
    return network, path


@pytest.mark.parametrize(
    ("width", "registers", "name"),
    [
        (384, False, "vit_small_patch14_dinov2"),
        (768, True, "vit_base_patch14_reg4_dinov2"),
        (1024, False, "vit_large_patch14_dinov2"),
        (1536, True, "vit_giant_patch14_reg4_dinov2"),
    ],
)
def test_the_class_token_of_any_size_of_dinov2(timm, tmp_path, width, registers, name):
    network, path = saved(tmp_path, width, **({"reg_token": torch.zeros(1, 4, width)} if registers else {}))
    found, images = extractor(f"dinov2={path}"), pictures(20, 30)
    assert timm.made == [name]
    pixels = (torch.from_numpy(resized(images, 224)) + 1) / 2
    normal = torch.stack([(pixels[:, c] - MEAN[c]) / DEVIATION[c] for c in range(3)], dim=1)
    np.testing.assert_allclose(found.describe(images), network(normal).detach(), rtol=1e-4, atol=1e-5)
    assert (found.name, found.width, found.classes) == (f"dinov2 ({name})", width, 0)
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.learned_from == "LVD-142M"
    assert found.preprocessing.startswith(f"224x224, {RESIZER}; ")
    assert found.preprocessing.endswith("; normalised as timm does; the class token")


def test_the_small_one_is_read_from_the_cache_and_never_fetched(timm, tmp_path, monkeypatch):
    files, hub = {}, ModuleType("huggingface_hub")
    hub.try_to_load_from_cache = lambda repository, name: files.get((repository, name))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(CardiganError) as caught:
        dinov2()
    assert str(caught.value) == (
        "The weights of timm:vit_small_patch14_dinov2 are not in the local Hugging Face cache, and nothing is "
        "downloaded unasked. Fetch them once with: hf download timm/vit_small_patch14_dinov2.lvd142m "
        "model.safetensors. Or give the file: timm:vit_small_patch14_dinov2=path/to/model.safetensors"
    )
    files["timm/vit_small_patch14_dinov2.lvd142m", "model.safetensors"] = str(saved(tmp_path, 384)[1])
    assert extractor("dinov2").name == "dinov2 (vit_small_patch14_dinov2)"


def refused(path):
    with pytest.raises(CardiganError) as caught:
        dinov2(path)
    return str(caught.value)


def test_files_of_other_networks_are_refused(timm, tmp_path):
    _, path = saved(tmp_path, 10)
    assert refused(path) == (
        f"{path} does not hold a DINOv2: its class token has 10 numbers, expected 384, 768, 1024, 1536. For another "
        f"network of timm, type timm:NAME={path}"
    )
    safetensors.torch.save_file({"weight": torch.zeros(1)}, path)
    assert "its class token has 0 numbers" in refused(path)
    for blob in (b"", b"no weights"):
        path.write_bytes(blob)
        assert refused(path).startswith(f"{path} is not a safetensors file that can be read (")
    assert "Expected the weights of a DINOv2 as timm publishes them" in refused(tmp_path / "absent.safetensors")
    saved(tmp_path, 384, more=torch.zeros(1))
    said = refused(path)
    assert said.startswith(f"timm:vit_small_patch14_dinov2={path} cannot be used (RuntimeError: Error(s) in loading")
    assert said.endswith(
        f"Expected a network that timm builds with img_size=224, and its weights without a head in {path}."
    )


def test_without_timm_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"cardigan\[timm\]"):
        extractor("dinov2")


# --- a network that has learned from photos --------------------------------------------------------------------------


def test_photos_of_a_class_are_nearer_to_each_other_through_a_network_that_knows_photos(tmp_path, monkeypatch):
    weights, photos = SHARED / "mobilenetv2-imagenet.npz", SHARED / "cifar10-jpeg.npz"
    if not weights.exists() or not photos.exists():
        pytest.skip(f"the shared data {weights.name} and {photos.name} are not here")
    import io

    from PIL import Image

    (tmp_path / "mobile_eyes.py").write_text(
        f"from pathlib import Path\nfrom mobilenet import MobileNetV2\n"
        f"def network(): return MobileNetV2(Path({str(weights)!r}))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    found = extractor("mobile_eyes:network")
    assert (found.width, found.classes) == (96, 0)
    assert found.preprocessing.startswith("the shorter side enlarged to 112 where it is less, ")
    with np.load(photos, allow_pickle=False) as file:
        data, at, labels = file["test_jpeg"], file["test_offsets"], file["test_labels"]
    chosen = [place for kind in (1, 7) for place in np.flatnonzero(labels == kind)[:16]]  # automobiles and horses
    images = np.stack([np.asarray(Image.open(io.BytesIO(data[at[place] : at[place + 1]]))) for place in chosen])

    def separation(features):
        apart = np.linalg.norm(features[:, None] - features, axis=2)
        same = np.arange(32)[:, None] // 16 == np.arange(32) // 16
        return apart[~same].mean() / apart[same].mean()

    flat = extractor("pixels", images=images).describe(images)
    assert separation(found.describe(images)) > 1.1 > separation(flat)
