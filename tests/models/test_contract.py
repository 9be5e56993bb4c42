"""What every architecture promises, asked of every file found in models/: nothing lists them.

Each promise is a function ``promise_...(module, device)``; toys that break it show that it can fail.
"""

import inspect
import json
import sys
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from cardigan import discovery, models
from cardigan.errors import CardiganError
from cardigan.sample import load_generator, publish

BATCH, CLASSES = 6, 10
SIZES = (16, 28, 48, (16, 24), (32, 20))


SMALLEST = {"width": 4, "backbone": "torch.nn:Identity"}
"""As narrow as an architecture allows; what looks through another network looks at the pixels themselves."""


def architecture(name):
    """Both networks of a file. One that goes with any other's holds one of the two; the other is then the simplest."""
    module = discovery.load(models, name)
    simplest = {kind: getattr(models.mlp, kind) for kind in ("Generator", "Discriminator")}
    assert simplest.keys() & vars(module).keys(), "neither a Generator nor a Discriminator"
    return SimpleNamespace(**(simplest | vars(module)))


def make(kind, **wanted):
    """A small network."""
    known = inspect.signature(kind).parameters
    return kind(**wanted, **{key: value for key, value in SMALLEST.items() if key in known})


def shaken(network, scale=0.3):
    """The network somewhere else than at its start, where gains are all one and shifts all zero."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(scale * weight.abs().mean().clamp(min=0.05) * torch.randn_like(weight))
    return network


def generator(module, device, **wanted):
    return make(module.Generator, **{"size": 16, "channels": 1, **wanted}).to(device)


def discriminator(module, device, **wanted):
    return make(module.Discriminator, **{"size": 16, "channels": 1, **wanted}).to(device)


def latents(network, device, count=BATCH):
    """What a generator starts from: latents, or images."""
    return torch.randn(count, *network.source, device=device)


def pictures(device, shape=(1, 16, 16), count=BATCH):
    return torch.rand(count, *shape, device=device) * 2 - 1


def all_labels(device):
    return torch.arange(CLASSES, device=device)


def sides(size):
    return (size, size) if isinstance(size, int) else size


def pairs(module, device):
    """Both networks without and with classes, each with a function that runs it on what it takes."""
    for classes in (0, CLASSES):
        labels = all_labels(device) if classes else None
        count = CLASSES if classes else BATCH
        drawer, judge = generator(module, device, classes=classes), discriminator(module, device, classes=classes)
        source, seen = latents(drawer, device, count), pictures(device, count=count)
        yield drawer, lambda network, source=source, labels=labels: network(source, labels)
        yield judge, lambda network, seen=seen, labels=labels: network(seen, labels)


def promise_images_of_every_size_and_channel_count(module, device):
    for size in SIZES:
        for channels in (1, 2, 3, 4):
            network = generator(module, device, size=size, channels=channels)
            images = network(latents(network, device), None)
            assert images.shape == (BATCH, channels, *sides(size))
            assert images.dtype == torch.float32
            assert tuple(network.shape) == (channels, *sides(size))
            judge = discriminator(module, device, size=size, channels=channels)
            assert judge(images, None).shape[0] == BATCH


def promise_images_within_the_range_and_on_both_sides_of_zero(module, device):
    network = generator(module, device)
    for factor in (1.0, 4.0, 16.0, 64.0):
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(factor)
            images = network(10 * latents(network, device), None)
        assert images.isfinite().all()
        assert images.abs().max() <= 1.0
        assert images.min() < 0.0 < images.max()
    assert images.min() < -0.9
    assert images.max() > 0.9


def promise_logits_are_raw(module, device):
    network = discriminator(module, device)
    seen, reached = pictures(device), 0.0
    for _ in range(8):
        with torch.no_grad():
            logits = network(seen, None)
            for weight in network.parameters():
                weight.mul_(2.0)
        assert logits.ndim == 2
        assert logits.dtype == torch.float32
        if not logits.isfinite().all():
            break
        reached = max(reached, float(logits.abs().max()))
    assert reached > 10.0, "the logits are squashed"
    start = discriminator(module, device)(seen, None)
    assert start.isfinite().all()


def promise_every_parameter_has_a_gradient(module, device):
    for network, run in pairs(module, device):
        for training in (True, False):  # a bias before batch normalisation has no gradient in training
            shaken(network).train(training).zero_grad()
            output = run(network)
            (output * torch.randn_like(output)).sum().backward()
            for name, weight in network.named_parameters():
                assert weight.grad is not None, name
                assert weight.grad.isfinite().all(), name
        for name, weight in network.named_parameters():
            assert weight.grad.abs().max() > 0, name
            if weight.shape[0] == CLASSES and network.classes and weight.ndim == 2:
                assert (weight.grad.abs().amax(dim=1) > 0).all(), f"{name}: a class is never reached"


def promise_arguments_build_it_again(module, device):
    for kind in (module.Generator, module.Discriminator):
        network = make(kind, size=(16, 24), channels=4, classes=3)
        assert set(network.arguments) == set(inspect.signature(kind).parameters), "arguments must hold every argument"
        again = type(network)(**network.arguments)
        through_json = type(network)(**json.loads(json.dumps(network.arguments)))
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        for twin in (again, through_json):
            assert {name: value.shape for name, value in twin.state_dict().items()} == shapes
        assert network.classes == 3


def promise_saved_and_loaded_it_is_the_same(module, device, folder):
    for network, run in pairs(module, device):
        shaken(network)
        run(network.train())  # so that running statistics are not at their start
        network.eval()
        loaded = type(network)(**network.arguments).to(device).eval()
        loaded.load_state_dict(safetensors.torch.load(safetensors.torch.save(network.state_dict())))
        assert torch.equal(run(loaded), run(network))
        if isinstance(network, module.Generator):
            publish(network, folder, facts={})
            published, config = load_generator(folder, device=device)
            assert type(published) is module.Generator
            assert config["model"] == module.Generator.__module__.rpartition(".")[2]
            assert torch.equal(run(published), run(network))


def promise_labels_are_neither_ignored_nor_missing(module, device):
    some = torch.zeros(BATCH, dtype=torch.int64, device=device)
    for classes, labels in ((CLASSES, None), (0, some)):
        drawer, judge = generator(module, device, classes=classes), discriminator(module, device, classes=classes)
        assert drawer.classes == judge.classes == classes
        for network, seen in ((drawer, latents(drawer, device)), (judge, pictures(device))):
            with pytest.raises(CardiganError, match="labels"):
                network(seen, labels)


def promise_every_class_looks_and_counts_differently(module, device):
    drawer, judge = generator(module, device, classes=CLASSES), discriminator(module, device, classes=CLASSES)
    source, seen = latents(drawer, device, 1), pictures(device, count=1)
    for network, one in ((drawer, source), (judge, seen)):
        shaken(network).eval()
        outputs = network(one.expand(CLASSES, *one.shape[1:]), all_labels(device)).flatten(1)
        distances = torch.cdist(outputs, outputs) + torch.eye(CLASSES, device=device)
        assert distances.min() > 1e-7, "two classes give the same output"


def promise_an_image_does_not_depend_on_its_batch_mates(module, device):
    for classes in (0, CLASSES):
        network = shaken(generator(module, device, classes=classes))
        labels = all_labels(device)[:BATCH] if classes else None
        for _ in range(3):
            network.train()(latents(network, device), labels)
        network.eval()
        source = latents(network, device)
        together = network(source, labels)
        for row in range(BATCH):
            alone = network(source[row : row + 1], None if labels is None else labels[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)


PROMISES = {name: value for name, value in list(globals().items()) if name.startswith("promise_")}


def keep(name, promise, device, folder):
    """Ask one promise of the architecture of that name."""
    wanted = {"folder": folder} if "folder" in inspect.signature(PROMISES[promise]).parameters else {}
    PROMISES[promise](architecture(name), device, **wanted)


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("name", discovery.names(models))
def test_contract(name, promise, device, tmp_path):
    keep(name, promise, device, tmp_path)


# --- the contract finds a new file by itself, and can fail ---------------------------------------------------------

TOY = '''
"""A linear toy."""
from math import prod
import torch
from torch import nn
from cardigan.contracts import DiscriminatorNetwork, GeneratorNetwork
from cardigan.layers import Labelled, height_and_width

class Generator(GeneratorNetwork):
    def __init__(self, *, size, channels=1, latent=8, classes=0):
        super().__init__()
        self.arguments = dict(size=size, channels=channels, latent=latent, classes=classes)
        self.latent, self.classes, self.shape = latent, classes, (channels, *height_and_width(size))
        self.input = Labelled(width=latent, classes=classes, embedding=4)
        self.output = nn.Linear(self.input.features, prod(self.shape))

    def forward(self, latents, labels=None):
        return self.output(self.input(latents, labels)).tanh().unflatten(1, self.shape)

class Discriminator(DiscriminatorNetwork):
    def __init__(self, *, size, channels=1, classes=0):
        super().__init__()
        self.arguments = dict(size=size, channels=channels, classes=classes)
        self.classes = classes
        self.input = Labelled(width=channels * prod(height_and_width(size)), classes=classes, embedding=4)
        self.output = nn.Linear(self.input.features, 1)

    def forward(self, images, labels=None):
        return self.output(self.input(images.flatten(1), labels))
'''

BROKEN = {
    "sigmoid at the discriminator's end": (
        "images.flatten(1), labels))\n",
        "images.flatten(1), labels)).sigmoid()\n",
        {"promise_logits_are_raw"},
    ),
    "logits without their second axis": (
        "images.flatten(1), labels))\n",
        "images.flatten(1), labels))[:, 0]\n",
        {"promise_logits_are_raw"},
    ),
    "images in 0 to 1": (".tanh()", ".sigmoid()", {"promise_images_within_the_range_and_on_both_sides_of_zero"}),
    "images without bounds": (".tanh()", "", {"promise_images_within_the_range_and_on_both_sides_of_zero"}),
    "images transposed": (
        "unflatten(1, self.shape)",
        "unflatten(1, self.shape).mT",
        {"promise_images_of_every_size_and_channel_count"},
    ),
    "a layer that nobody uses": (
        "        self.output = nn.Linear(self.input.features, 1)",
        "        self.output = nn.Linear(self.input.features, 1)\n        self.spare = nn.Linear(1, 1)",
        {"promise_every_parameter_has_a_gradient"},
    ),
    "the last class is clamped away": (
        "self.input(latents, labels)",
        "self.input(latents, None if labels is None else labels.clamp(max=8))",
        {"promise_every_class_looks_and_counts_differently", "promise_every_parameter_has_a_gradient"},
    ),
    "an argument that is not kept": (
        "dict(size=size, channels=channels, classes=classes)",
        "dict(size=size, classes=classes)",
        {"promise_arguments_build_it_again"},
    ),
    "labels that are ignored": (
        "self.output(self.input(images.flatten(1), labels))",
        "self.output(torch.cat([images.flatten(1), images.new_zeros(len(images), 4 if self.classes else 0)], 1))",
        {"promise_labels_are_neither_ignored_nor_missing", "promise_every_class_looks_and_counts_differently"},
    ),
    "images that look at their batch": (
        ".tanh()",
        ".sub(latents.mean()).tanh()",
        {"promise_an_image_does_not_depend_on_its_batch_mates"},
    ),
    "a state that is not saved": (
        "self.output(self.input(latents, labels)).tanh()",
        "(self.output(self.input(latents, labels)) + self.secret).tanh()",
        {"promise_saved_and_loaded_it_is_the_same"},
    ),
}
SECRET = "super().__init__()\n        self.secret = torch.randn(1).item()"


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Writes a new architecture into a folder of its own, beside the package's."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(folder)])

    def write(name, text):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, f"cardigan.models.{name}", raising=False)
        return name

    yield write
    for path in folder.glob("*.py"):
        sys.modules.pop(f"cardigan.models.{path.stem}", None)
        vars(models).pop(path.stem, None)


def test_a_new_file_is_found_and_keeps_every_promise(toy, device, tmp_path):
    name = toy("toy_linear", TOY)
    assert "toy-linear" in discovery.names(models)
    for promise in PROMISES:
        keep(name.replace("_", "-"), promise, device, tmp_path)
    assert models.toy_linear.Generator(size=16).shape == (1, 16, 16)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_fails(toy, device, tmp_path, fault):
    before, after, promises = BROKEN[fault]
    text = TOY.replace("super().__init__()", SECRET, 1) if "secret" in after else TOY
    assert before in text
    name = toy(f"broken{len(fault)}", text.replace(before, after, 1))
    for promise in promises:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            keep(name, promise, device, tmp_path)


def test_every_promise_is_broken_by_some_toy():
    assert set().union(*(promises for _, _, promises in BROKEN.values())) == set(PROMISES)
