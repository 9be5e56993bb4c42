"""The published model: written plain, opened anywhere, drawn from the same way by everyone."""

import json
import pickle
import re

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import parametrize

from cardigan import models, recipes, sample
from cardigan.errors import CardiganError
from cardigan.pixels import to_uint8
from cardigan.randomness import generator as stream
from cardigan.recipes import Task
from cardigan.sample import draw, interpolation, latents_for, load_generator, publish
from cardigan.training.ema import settled


def mlp(**settings):
    return models.mlp.Generator(**({"size": 8, "latent": 4, "hidden": (16,)} | settings)).eval()


def spectral(classes=0):
    """A generator with spectral norm and batch norm that has been run, as training leaves it."""
    task = Task(16, 16, 1, classes=classes)
    network = recipes.prepare("sngan", task, width=4, latent=8, generator_norm=True).gan.generator
    labels = torch.arange(8) % classes if classes else None
    for _ in range(3):
        network(torch.randn(8, 8), labels)
    return settled(network, [(torch.randn(8, 8), labels)])


@pytest.mark.parametrize("classes", [0, 3])
def test_the_published_model_draws_what_the_live_one_draws(tmp_path, classes):
    """Spectral norm is baked into the weights."""
    live = spectral(classes)
    publish(live, tmp_path, facts={"classes": {"a": 1, "b": 2, "c": 3} if classes else {}})
    opened, config = load_generator(tmp_path)
    assert [name for name, _ in opened.named_parameters() if "parametrizations" in name] == []
    assert not opened.training
    assert config["model"] == "resnet"
    labels = torch.arange(20) % classes if classes else None
    latents = latents_for(live, 20, seed=1)
    assert np.array_equal(draw(opened, latents, labels), draw(live, latents, labels))
    with torch.no_grad():
        torch.testing.assert_close(opened(latents, labels), live(latents, labels), rtol=0, atol=1e-6)


def test_a_published_fastgan_is_plain_and_draws_what_the_trained_one_draws(tmp_path):
    """Its own argument asks for spectral norm, which would divide the divided weights again."""
    live = models.fastgan.Generator(size=32, width=4)
    for _ in range(3):
        live(torch.randn(8, live.latent))
    live.eval()
    assert [module for module in live.modules() if parametrize.is_parametrized(module)]
    publish(live, tmp_path, facts={})
    opened, config = load_generator(tmp_path)
    assert [module for module in opened.modules() if parametrize.is_parametrized(module)] == []
    assert (config["arguments"]["spectral"], live.arguments["spectral"]) == (False, True)
    latents = latents_for(live, 20, seed=1)
    again = pickle.loads(pickle.dumps(opened))
    with torch.no_grad():
        expected = live(latents)
        for network in (opened, again):
            torch.testing.assert_close(network(latents), expected, rtol=0, atol=1e-6)
    assert np.array_equal(draw(opened, latents), draw(live, latents))
    publish(opened, tmp_path / "again", facts={})  # and what is plain stays as it is
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_publishing_leaves_the_live_network_as_it_is(tmp_path):
    live = spectral()
    before = {name: value.clone() for name, value in live.state_dict().items()}
    publish(live, tmp_path, facts={})
    assert {name for name, _ in live.named_parameters()} == {
        name for name in before if name in dict(live.named_parameters())
    }
    assert all(torch.equal(value, before[name]) for name, value in live.state_dict().items())
    normed = [module for module in live.modules() if parametrize.is_parametrized(module)]
    assert normed
    publish(live, tmp_path, facts={})  # and again, over the old one


def test_what_is_written(tmp_path):
    publish(mlp(), tmp_path, facts={"images": 7, "classes": {}})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["model"], config["images"]) == ("mlp", 7)
    assert config["arguments"]["hidden"] == [16]
    assert set(safetensors.torch.load_file(tmp_path / "model.safetensors")) == set(mlp().state_dict())


def spoil(tmp_path, what):
    config, model = tmp_path / "config.json", tmp_path / "model.safetensors"
    if what == "no config":
        config.unlink()
    elif what == "no weights":
        model.unlink()
    elif what == "cut":
        model.write_bytes(model.read_bytes()[:-10])
    elif what == "empty":
        model.write_bytes(b"")
    elif what == "not json":
        config.write_text("{")
    elif what == "a list":
        config.write_text("[]")
    else:
        told = json.loads(config.read_text())
        changes = {
            "unknown model": {"model": "transformer"},
            "a path as model": {"model": "../../etc/passwd"},
            "no model": {"model": None},
            "unknown argument": {"arguments": told["arguments"] | {"depth": 3}},
            "other sizes": {"arguments": told["arguments"] | {"latent": 5}},
            "absurd sizes": {"arguments": told["arguments"] | {"size": -1}},
        }
        config.write_text(json.dumps(told | changes[what]))


@pytest.mark.parametrize(
    "what",
    [
        "no config",
        "no weights",
        "cut",
        "empty",
        "not json",
        "a list",
        "unknown model",
        "a path as model",
        "no model",
        "unknown argument",
        "other sizes",
        "absurd sizes",
    ],
)
def test_a_damaged_model_is_a_clear_error(tmp_path, what):
    publish(mlp(), tmp_path, facts={})
    spoil(tmp_path, what)
    with pytest.raises(CardiganError) as caught:
        load_generator(tmp_path)
    told = str(caught.value)
    missing = {"no config": "config.json is missing", "no weights": "is missing"}
    assert re.match(rf"(There is no model in|The model in) {re.escape(str(tmp_path))}", told)
    assert missing.get(what, "is damaged: ") in told
    assert "\n" not in told
    assert what != "other sizes" or "layers.0.weight" in told
    assert len(told) > len(str(tmp_path)) + 20


def test_latents_are_a_function_of_seed_and_place():
    network = mlp()
    latents = latents_for(network, 5, seed=3)
    assert torch.equal(latents[:3], latents_for(network, 3, seed=3))
    assert torch.equal(latents[4], torch.randn(256, 4, generator=stream(3, "sample", 0))[4])
    assert not torch.equal(latents, latents_for(network, 5, seed=4))
    assert latents_for(network, 0, seed=3).shape == (0, 4)


@pytest.mark.parametrize("truncation", [0.2, 0.5, 0.9])
def test_truncation_bounds_every_value_keeps_its_order_and_is_a_truncated_normal(truncation):
    plain = latents_for(mlp(latent=50), 400, seed=0)
    bounded = latents_for(mlp(latent=50), 400, seed=0, truncation=truncation)
    limit = 2 * truncation
    assert bounded.abs().max() <= limit + 1e-5
    order = plain.flatten().argsort()
    assert (bounded.flatten()[order].diff() >= 0).all()
    # Its distribution is that of a normal cut off at the limit: variance 1 - 2 l phi(l) / (2 Phi(l) - 1).
    at = torch.tensor(limit, dtype=torch.float64)
    density = torch.exp(-(at**2) / 2) / (2 * torch.pi) ** 0.5
    variance = 1 - 2 * at * density / (2 * torch.special.ndtr(at) - 1)
    assert bounded.double().var().item() == pytest.approx(variance.item(), rel=0.05)
    assert torch.equal(latents_for(mlp(latent=50), 400, seed=0, truncation=1.0), plain)


@pytest.mark.parametrize("recipe", ["sngan", "dcgan", "vanilla"])
def test_an_image_does_not_depend_on_how_many_others_are_drawn(recipe):
    """To the last grey level, although matrix products of another height round differently."""
    network = recipes.prepare(recipe, Task(16, 16, 1), seed=2).gan.generator.eval()
    many = draw(network, latents_for(network, 70, seed=0))
    for count in (1, 2, 3, 15, 16, 17, 33, 65):
        assert np.array_equal(draw(network, latents_for(network, count, seed=0)), many[:count]), count


def test_the_network_is_always_shown_whole_chunks():
    class Watched(nn.Module):
        shape = (1, 2, 2)

        def __init__(self):
            super().__init__()
            self.weight, self.seen = nn.Parameter(torch.zeros(1)), []

        def forward(self, latents, labels=None):
            self.seen.append((len(latents), None if labels is None else len(labels)))
            return latents[:, :1, None, None].expand(-1, 1, 2, 2).clamp(-1, 1)

    network = Watched()
    latents = torch.linspace(-1, 1, 2 * sample.CHUNK + 3)[:, None]
    pictures = draw(network, latents, torch.zeros(len(latents), dtype=torch.int64))
    assert network.seen == 3 * [(sample.CHUNK, sample.CHUNK)]
    expected = to_uint8(latents[:, :, None, None].expand(-1, 1, 2, 2)).numpy()
    assert np.array_equal(pictures, expected)


def test_drawing_gives_uint8_images_last_channel_and_none_for_none():
    network = mlp(channels=3)
    pictures = draw(network, latents_for(network, 3, seed=0))
    assert (pictures.dtype, pictures.shape) == (np.uint8, (3, 8, 8, 3))
    assert draw(network, latents_for(network, 0, seed=0)).shape == (0, 8, 8, 3)


def test_each_label_is_given_to_its_own_latent():
    network = mlp(classes=3, embedding=4)
    latents = latents_for(network, 40, seed=0)
    mixed = draw(network, latents, torch.arange(40) % 3)
    for label in range(3):
        alone = draw(network, latents, torch.full((40,), label))
        assert np.array_equal(alone[label::3], mixed[label::3])


def test_walks_begin_and_end_at_the_latents_and_stay_on_their_sphere():
    network = mlp(latent=1024)  # so long, and they have nearly the same length
    seen = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    walks = interpolation(network, rows=2, steps=5, seed=3)
    assert walks.shape == (2, 5, 8, 8, 1)
    assert walks.dtype == np.uint8
    points, ends = torch.cat(seen)[:10].reshape(2, 5, 1024), latents_for(network, 4, seed=3)
    for row in range(2):
        torch.testing.assert_close(points[row, 0], ends[2 * row], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(points[row, 4], ends[2 * row + 1], rtol=1e-5, atol=1e-5)
    lengths = points.norm(dim=2)
    # On a straight line the middle would be shorter by a factor of sqrt 2.
    assert (lengths[:, 2] > 0.9 * lengths[:, [0, 4]].min(dim=1).values).all()
    angles = torch.nn.functional.cosine_similarity(points[:, :-1], points[:, 1:], dim=2).arccos()
    assert (angles.std(dim=1) < 0.02).all()


def test_walks_of_a_conditional_model_have_a_class_in_each_row():
    network, seen = mlp(classes=3), []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    interpolation(network, rows=4, steps=3)
    assert torch.cat(seen)[:12].reshape(4, 3).tolist() == [[0] * 3, [1] * 3, [2] * 3, [0] * 3]


def test_one_flipped_bit_in_a_published_model_is_found(tmp_path):
    network = models.mlp.Generator(size=8, latent=4).eval()
    publish(network, tmp_path, facts={})
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CardiganError, match=r"damaged: model\.safetensors does not match the SHA-256 in config\.json"):
        load_generator(tmp_path)


# --- networks from somebody's own code ------------------------------------------------------------------------------


class Own(nn.Module):
    """Of a module whose name ends like one of ours would."""

    latent, classes, shape = 4, 0, (1, 8, 8)

    def __init__(self, *, width=3, told=None):
        super().__init__()
        self.arguments = {"width": width} if told is None else told
        self.layers = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 64))

    def forward(self, latents, labels=None):
        return self.layers(latents).tanh().reshape(-1, 1, 8, 8)


def test_a_network_of_ones_own_is_published_by_its_whole_name_and_opened_by_who_names_it(tmp_path):
    # The last part of the module alone would open another network.
    Generator = type("Generator", (Own,), {"__module__": "elsewhere.models.dcgan"})  # noqa: N806
    live = Generator(width=5).eval()
    publish(live, tmp_path, facts={})
    with pytest.raises(CardiganError) as caught:
        load_generator(tmp_path)
    assert str(caught.value) == (
        f"The model in {tmp_path} is a elsewhere.models.dcgan:Generator, which is not one of Cardigan's own, and is "
        "not imported because a file says so. Give its class: load_generator(folder, build=Generator)."
    )
    opened, config = load_generator(tmp_path, build=Generator)
    assert (config["model"], config["arguments"]) == ("elsewhere.models.dcgan:Generator", {"width": 5})
    latents = latents_for(live, 3, seed=1)
    assert np.array_equal(draw(opened, latents), draw(live, latents))


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_a_network_of_ones_own_that_is_normalised_by_itself_is_published(tmp_path, norm):
    class Normed(Own):
        def __init__(self, **settings):
            super().__init__(**settings)
            norm(self.layers[0])

    live = Normed()
    live(torch.randn(8, 4))
    live.eval()
    publish(live, tmp_path, facts={})
    opened, _ = load_generator(tmp_path, build=Normed)
    latents = latents_for(live, 3, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(opened(latents), live(latents), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (7, "has no arguments that build it again, so it cannot be published. Set self.arguments in Own.__init__"),
        ({"height": 3}, "(**{'height': 3}) is not this generator again:"),
        ({"width": 9}, "(**{'width': 9}) is not this generator again: layers.0.weight has another shape."),
    ],
)
def test_a_network_that_cannot_be_built_again_is_refused(tmp_path, told, words):
    with pytest.raises(CardiganError) as caught:
        publish(Own(told=told), tmp_path / "generator", facts={})
    assert words in str(caught.value)
    assert not (tmp_path / "generator").exists()


def test_writing_and_opening_a_model_draw_from_nobodys_random_numbers(tmp_path):
    network = models.load("dcgan").Generator(size=16, latent=8, width=2)
    before = torch.get_rng_state()
    publish(network, tmp_path, facts={})
    load_generator(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
