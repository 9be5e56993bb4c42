"""Networks of timm: through a stand-in for the library, and through the library itself where it can be imported."""

import importlib.machinery
import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest
import safetensors.torch
import torch
from torch import nn

from cardigan import features
from cardigan.errors import CardiganError, MissingExtraError
from cardigan.features import timm_backbone

MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
log = logging.getLogger("timm.models._builder")


class Tiny(nn.Module):
    """A whole network: two levels and a head."""

    def __init__(self, classes=10, layout=None):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.fc = nn.Linear(6, classes) if classes else nn.Identity()


class Levels(nn.Module):
    """Its maps alone, in the layout that it keeps them in."""

    def __init__(self, network, layout):
        super().__init__()
        self.network = network
        if layout:
            self.output_fmt = SimpleNamespace(value=layout)

    def forward(self, images):
        first = self.network.first(images)
        maps = [first, self.network.second(first)]
        return [each.movedim(1, 3) for each in maps] if hasattr(self, "output_fmt") else maps


class StandIn(ModuleType):
    """What is used of timm, with its way of loading: features alone take what fits and only log the rest."""

    __version__ = "1.2.3"
    layout = None

    def is_model(self, name):
        return name.partition(".")[0] == "tiny"

    def list_models(self):
        return ["small", "tiny"]

    def get_pretrained_cfg(self, name):
        if name.endswith(".wrong"):
            raise RuntimeError("Invalid pretrained tag (wrong) for tiny.")
        if name.endswith(".unknown"):
            return None
        hub = None if name.endswith(".unpublished") else "timm/tiny.a1"
        head = ("fc", "other") if name.endswith(".two") else "fc"
        return SimpleNamespace(hf_hub_id=hub, classifier=head, mean=MEAN, std=DEVIATION, num_classes=10)

    def create_model(self, name, *, pretrained, pretrained_cfg_overlay, features_only=False, num_classes=10):
        assert pretrained
        assert pretrained_cfg_overlay["custom_load"] is False
        weights = safetensors.torch.load_file(pretrained_cfg_overlay["file"])
        network = Tiny(num_classes)
        if features_only:
            weights = {key: value for key, value in weights.items() if not key.startswith("fc.")}
            if network.load_state_dict(weights, strict=False).unexpected_keys:
                log.warning("Unexpected keys")
            return Levels(network, self.layout)
        assert pretrained_cfg_overlay["num_classes"] == num_classes
        assert pretrained_cfg_overlay["label_offset"] == 0
        network.load_state_dict(weights)
        return network


@pytest.fixture
def timm(monkeypatch):
    stand_in = StandIn("timm")
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    return stand_in


@pytest.fixture
def cache(monkeypatch):
    """The Hugging Face cache: files by (repository, name)."""
    files = {}
    hub = ModuleType("huggingface_hub")
    hub.try_to_load_from_cache = lambda repository, name: files.get((repository, name))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return files


def saved(tmp_path, network, name="tiny.safetensors", **more):
    path = tmp_path / name
    safetensors.torch.save_file({**network.state_dict(), **more}, path)
    return path


def refused(text):
    with pytest.raises(CardiganError) as caught:
        features.load(text)
    return str(caught.value)


def expected_maps(network, images):
    pixels = (images + 1) / 2
    normal = torch.stack([(pixels[:, c] - MEAN[c]) / DEVIATION[c] for c in range(3)], dim=1)
    first = network.first(normal)
    return [first, network.second(first)]


@pytest.mark.parametrize("layout", [None, "NHWC"])
@pytest.mark.parametrize(("classes", "name"), [(10, "tiny"), (3, "tiny.two"), (0, "tiny")])
def test_weights_in_a_file_are_seen_through_timms_normalisation(timm, tmp_path, classes, name, layout):
    timm.layout = layout
    network, images = Tiny(classes), torch.rand(2, 3, 16, 24) * 2 - 1
    path = saved(tmp_path, network)
    found = features.load(f"timm:{name}={path}")
    assert (found.name, found.widths, found.strides) == (f"timm:{name}={path}", (4, 6), (2, 4))
    for mine, expected in zip(found(images), expected_maps(network, images), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_the_digest_covers_the_normalisation(timm, tmp_path, monkeypatch):
    text = f"timm:tiny={saved(tmp_path, Tiny())}"
    before = features.load(text).digest
    monkeypatch.setattr(sys.modules[__name__], "MEAN", (0.0, 0.0, 0.0))
    assert features.load(text).digest != before


def test_published_weights_are_read_from_the_cache(timm, cache, tmp_path):
    network, images = Tiny(), torch.rand(2, 3, 16, 16) * 2 - 1
    cache["timm/tiny.a1", "model.safetensors"] = str(saved(tmp_path, network))
    found = features.load("timm:tiny.a1")
    assert found.name == "timm:tiny.a1"
    torch.testing.assert_close(found(images)[1], expected_maps(network, images)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("known_absent", [False, True])
def test_weights_that_are_not_here_are_not_fetched_but_told_how_to(timm, cache, known_absent):
    if known_absent:  # the cache then holds a mark instead of a path
        cache["timm/tiny.a1", "model.safetensors"] = object()
    assert refused("timm:tiny") == (
        "The weights of timm:tiny are not in the local Hugging Face cache, and nothing is downloaded unasked. Fetch "
        "them once with: hf download timm/tiny.a1 model.safetensors. Or give the file: "
        "timm:tiny=path/to/model.safetensors"
    )


def test_weights_that_nobody_publishes_are_told(timm, cache):
    assert refused("timm:tiny.unpublished") == (
        "The timm library publishes no weights of 'tiny.unpublished'. Give a file: "
        "timm:tiny.unpublished=weights.safetensors"
    )
    assert refused("timm:tiny.wrong") == (
        "The timm library has no weights 'tiny.wrong' (Invalid pretrained tag (wrong) for tiny.)."
    )
    assert refused("timm:tiny.unknown") == (
        "The timm library does not say how 'tiny.unknown' wants its pixels. Expected another network."
    )


def test_a_name_that_timm_does_not_know_is_told_the_nearest(timm):
    assert refused("timm:tinny") == (
        "The timm library 1.2.3 has no network 'tinny'. Did you mean 'tiny'? Expected one of the 2 that "
        "timm.list_models() shows."
    )


def test_files_that_are_none_are_refused(timm, tmp_path):
    absent = tmp_path / "absent.safetensors"
    assert refused(f"timm:tiny={absent}") == f"There is no file {absent}, expected the weights of timm:tiny."
    pickled = tmp_path / "weights.pth"
    assert refused(f"timm:tiny={pickled}") == (
        f"timm:tiny={pickled} names weights.pth, expected a file of weights that ends in .safetensors."
    )
    absent.write_bytes(b"no weights")
    said = refused(f"timm:tiny={absent}")
    assert said.startswith(f"timm:tiny={absent} cannot be used (SafetensorError: ")
    expected = f"Expected a network that timm builds with features_only=True, and all its weights in {absent}."
    assert said.endswith(expected)


def test_another_networks_weights_are_refused_although_timm_would_take_them(timm, tmp_path):
    more = saved(tmp_path, Tiny(), "more.safetensors", **{"third.weight": torch.zeros(1)})
    assert 'Unexpected key(s) in state_dict: "third.weight"' in refused(f"timm:tiny={more}")
    weights = Tiny().state_dict()
    del weights["second.weight"]
    safetensors.torch.save_file(weights, tmp_path / "fewer.safetensors")
    assert 'Missing key(s) in state_dict: "second.weight"' in refused(f"timm:tiny={tmp_path}/fewer.safetensors")


def test_timms_warning_of_weights_left_over_is_not_shown_and_its_log_left_as_it_was(timm, cache, tmp_path, caplog):
    cache["timm/tiny.a1", "model.safetensors"] = str(saved(tmp_path, Tiny(), bn2=torch.zeros(1)))
    before = log.level
    features.load("timm:tiny")
    assert caplog.records == []
    assert log.level == before
    log.warning("said afterwards")
    assert [record.message for record in caplog.records] == ["said afterwards"]


def test_without_timm_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError) as caught:
        features.load("timm:resnet18")
    assert str(caught.value) == (
        "The feature extractor timm:resnet18 needs a library that is not installed. Install it with: pip install "
        '"cardigan[timm]"'
    )


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'torchvision'", name="torchvision"), "ModuleNotFoundError: No module"),
        (RuntimeError("operator torchvision::nms does not exist"), "RuntimeError: operator torchvision::nms does not"),
    ],
)
def test_a_timm_that_cannot_be_imported_is_told_apart_from_none(monkeypatch, error, told):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            return importlib.machinery.ModuleSpec(name, self) if name == "timm" else None

        def create_module(self, spec):
            return None

        def exec_module(self, module):
            raise error

    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    said = refused("timm:resnet18")
    assert said.startswith(f"The timm library is installed but cannot be imported ({told}")
    assert said.endswith(
        f"It needs a torchvision that was built for this PyTorch ({torch.__version__}): install both from the same "
        "index."
    )


@pytest.mark.filterwarnings("ignore")  # of the library's own
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "convnext_atto", "mambaout_femto"])
def test_the_library_itself_loads_what_it_made(tmp_path, name):
    try:
        import timm as real
    except Exception as error:  # torchvision fails in several ways beside another torch
        pytest.skip(f"timm cannot be imported here ({error})")
    network = real.create_model(name, num_classes=7).eval()
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    found, images = features.load(f"timm:{name}={path}"), torch.rand(2, 3, 64, 64) * 2 - 1
    mean, deviation = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        expected = network.forward_intermediates(((images + 1) / 2 - mean) / deviation, intermediates_only=True)
    maps = found(images)
    assert found.strides[-1] == 32
    assert len(maps) == len(found.strides)
    torch.testing.assert_close(maps[-1], expected[-1], rtol=1e-4, atol=1e-4)
    (tmp_path / "other.safetensors").write_bytes(safetensors.torch.save(real.create_model("resnet34").state_dict()))
    assert "/other.safetensors cannot be used (" in refused(f"timm:{name}={tmp_path}/other.safetensors")


@pytest.mark.filterwarnings("ignore")  # of the library's own
@pytest.mark.parametrize("registers", [False, True])
def test_the_library_itself_gives_the_class_token_of_a_dinov2(tmp_path, registers):
    try:
        import timm as real
    except Exception as error:  # torchvision fails in several ways beside another torch
        pytest.skip(f"timm cannot be imported here ({error})")
    name = f"vit_small_patch14{'_reg4' * registers}_dinov2"
    network = real.create_model(name, depth=1).eval()
    torch.nn.init.normal_(network.pos_embed)
    path, create = tmp_path / "weights.safetensors", real.create_model
    safetensors.torch.save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real, "create_model", lambda *given, **options: create(*given, depth=1, **options))
        found, file = timm_backbone.vectors(name, path, side=224)
    assert file == path
    with torch.no_grad():
        (seen,) = found(torch.rand(2, 3, 224, 224) * 2 - 1)
        network.set_input_size((224, 224))
        images = torch.rand(2, 3, 224, 224) * 2 - 1
        mean, deviation = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
        tokens = network.forward_features(((images + 1) / 2 - mean) / deviation)
        assert seen.shape == (2, 384)
        torch.testing.assert_close(found(images)[0], tokens[:, 0], rtol=1e-3, atol=1e-3)
