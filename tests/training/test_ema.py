"""The averaged generator: closed forms of the average, and the statistics of its normalisation."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from cardigan import GAN, models, objectives, recipes
from cardigan.contracts import Batch
from cardigan.randomness import generator as stream
from cardigan.recipes import Task
from cardigan.training.ema import Average, settled
from cardigan.training.loop import Training
from cardigan.training.state import Checkpoint, capture, restore
from cardigan.training.turns import alternate, together


def scalar(value):
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(layer.weight, value)
    return layer


def follow(average, values, steps):
    """The average after each weight, by the images of the step that led to it."""
    layer, path = scalar(0.0), []
    for value, images in zip(values, steps, strict=True):
        nn.init.constant_(layer.weight, value)
        average.update(layer, images=images)
        path.append(average.network.weight.item())
    return path


def test_an_old_weight_counts_half_after_the_half_life():
    """The weight jumps from 0 to 1 and stays: the distance halves each half-life, whatever the batch size."""
    for batch in (1, 10, 50, 100):
        average = Average(scalar(0.0), half_life=100, ramp=1e9)
        path = follow(average, [1.0] * (400 // batch), [batch] * (400 // batch))
        for lives in (1, 2, 4):
            assert path[100 * lives // batch - 1] == pytest.approx(1 - 0.5**lives, rel=1e-12)


def test_the_average_is_the_sum_with_exponential_weights():
    values = [3.0, -1.0, 4.0, 1.0, -5.0]
    steps = [64, 64, 72, 1, 299]
    average = Average(scalar(2.0), half_life=150, ramp=1e9)
    *_, last = follow(average, values, steps)
    kept = [0.5 ** (images / 150) for images in steps]
    expected = 2.0
    for value, keep in zip(values, kept, strict=True):
        expected = keep * expected + (1 - keep) * value
    assert last == pytest.approx(expected, rel=1e-12)


def test_the_ramp_limits_the_half_life_to_its_share_of_the_images_seen():
    """At ramp 0.05 an update of 64 images at 640 seen has a half-life of 32; at 10^6 seen the full one of 1,000."""
    average = Average(scalar(0.0), half_life=1000, ramp=0.05)
    average.images = 640 - 64
    assert follow(average, [1.0], [64]) == [pytest.approx(1 - 0.5 ** (64 / 32), rel=1e-12)]
    average = Average(scalar(0.0), half_life=1000, ramp=0.05)
    average.images = 10**6 - 64
    assert follow(average, [1.0], [64]) == [pytest.approx(1 - 0.5 ** (64 / 1000), rel=1e-9)]
    # The switch is where both agree: half-life = ramp x images.
    average = Average(scalar(0.0), half_life=1000, ramp=0.05)
    average.images = 20_000 - 64
    assert follow(average, [1.0], [64]) == [pytest.approx(1 - 0.5 ** (64 / 1000), rel=1e-9)]


def test_without_images_only_buffers_are_copied():
    network = nn.BatchNorm1d(2)
    average = Average(network, half_life=100)
    average.update(network, images=64)
    weight = average.network.weight.clone()
    nn.init.constant_(network.weight, 7.0)
    nn.init.constant_(network.running_mean, 3.0)
    average.update(network, images=0)
    assert average.images == 64
    assert torch.equal(average.network.weight, weight)
    assert (average.network.running_mean == 3.0).all()


class Flat:
    """Batches of nothing to see."""

    batch_size = 8

    def at(self, images):
        return Batch(torch.zeros(8, 1, 8, 8), None)


def trained(turns, count, *, half_life=200):
    """A training, and what the average would be by its definition: each generator step counts 8 images, no more."""
    small = {"size": 8, "hidden": (4,)}
    gan = GAN(models.mlp.Generator(latent=4, **small), models.mlp.Discriminator(**small), objectives.hinge())
    training = Training(gan, half_life=half_life)
    weight, average = next(gan.generator.parameters()), next(training.average.network.parameters())
    expected, seen = weight.detach().double(), 0
    for turn in range(count):
        training.turn(Flat(), turns)
        if "generator" in training.progress.last:
            seen += 8
            keep = 0.5 ** (8 / min(half_life, 0.05 * seen))
            expected = keep * expected + (1 - keep) * weight.detach().double()
        torch.testing.assert_close(average.double(), expected, rtol=1e-4, atol=1e-6, msg=f"turn {turn}")
    return training


@pytest.mark.parametrize(
    ("turns", "share"),
    [
        (alternate(discriminator=5), 6),
        (alternate(discriminator=1), 2),
        (together(), 1),
        (alternate(generator=3), 4 / 3),
    ],
    ids=["5 to 1", "1 to 1", "together", "1 to 3"],
)
def test_only_the_generators_own_steps_count(turns, share):
    training = trained(turns, 12)
    assert training.average.images * share == training.progress.images == 96


def test_after_a_pause_of_the_generator_its_first_step_counts_as_one_step():
    """As in a restoration: the generator alone, then the discriminator for long, then both."""
    stages = [("generator",)] * 4 + [("discriminator",)] * 8 + [("discriminator", "generator")] * 2
    training = trained(lambda progress: stages[progress.turns], len(stages))
    assert training.average.images == 6 * 8


def test_a_checkpoint_of_before_that_counted_all_images_goes_on():
    """Its count only ends the ramp sooner."""
    training = trained(alternate(discriminator=5), 12)
    files, state = capture(training)
    state["average_images"] = state["images"]
    restore(training, Checkpoint(Path(), training.progress.turns, state, files))
    before = next(training.average.network.parameters()).double().clone()
    for _ in range(6):
        training.turn(Flat(), alternate(discriminator=5))
    assert training.average.images == 104
    now, keep = next(training.gan.generator.parameters()).detach().double(), 0.5 ** (8 / (0.05 * 104))
    torch.testing.assert_close(
        next(training.average.network.parameters()).double(), keep * before + (1 - keep) * now, rtol=1e-4, atol=1e-6
    )


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo):
        raise AssertionError("nobody should copy")


def test_without_a_half_life_there_is_no_copy():
    layer = Uncopied(3, 3)
    average = Average(layer, half_life=0)
    average.update(layer, images=7)
    assert average.network is layer
    assert layer.weight.requires_grad


def test_buffers_are_copied_and_parameters_averaged():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = Average(network, half_life=100, ramp=1e9)
    start = network[0].weight.detach().clone()
    nn.init.normal_(network[0].weight)
    network(torch.randn(8, 2))
    average.update(network, images=100)
    torch.testing.assert_close(average.network[0].weight, (start + network[0].weight) / 2)
    for one, other in zip(average.network.buffers(), network.buffers(), strict=True):
        assert torch.equal(one, other)
    assert network[1].num_batches_tracked == 1


def test_the_average_is_a_network_of_its_own_that_asks_for_no_gradients():
    layer = nn.Linear(2, 2)
    average = Average(layer, half_life=10)
    with torch.no_grad():
        layer.weight.add_(1)
    assert not torch.equal(average.network.weight, layer.weight)
    assert not any(weight.requires_grad for weight in average.network.parameters())
    assert all(weight.requires_grad for weight in layer.parameters())


def pooled(network, draws):
    """The mean over draws of each normalisation's batch mean and unbiased batch variance, of what really enters it."""
    network = copy.deepcopy(network).train()
    seen = {}

    def look(name, dimensions):
        def hook(module, inputs):
            (maps,) = inputs
            axes = (0, *range(2, maps.dim()))
            seen.setdefault(name, []).append((maps.double().mean(axes), maps.double().var(axes, correction=1)))

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.register_forward_pre_hook(look(name, module.num_features))
    with torch.no_grad():
        for source, labels in draws:
            network(source, labels)
    return {
        name: [torch.stack(parts).mean(dim=0) for parts in zip(*values, strict=True)] for name, values in seen.items()
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.dcgan.Generator(size=16, channels=1, latent=8, width=4),
        lambda: models.resnet.Generator(size=16, channels=1, latent=8, width=4, classes=3),
        lambda: models.mlp.Generator(size=8, latent=8, hidden=(16, 16), normalise=True),
    ],
    ids=["dcgan", "conditional resnet", "mlp"],
)
def test_settled_statistics_are_the_pooled_ones(make):
    network = make()
    for norm in (each for each in network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)):
        nn.init.constant_(norm.running_mean, 100.0)  # what was there before must not matter
    draws = [(torch.randn(16, 8), torch.randint(network.classes, (16,)) if network.classes else None) for _ in range(5)]
    before = copy.deepcopy(network.state_dict())
    ready = settled(network, draws)
    expected = pooled(network, draws)
    assert expected
    for name, (mean, variance) in expected.items():
        norm = ready.get_submodule(name)
        torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-4, atol=1e-6)
        assert norm.momentum == 0.1
    assert not any(module.training for module in ready.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_a_settled_image_does_not_depend_on_its_batch_mates():
    network = models.dcgan.Generator(size=16, channels=1, latent=8, width=4)
    latents, others = torch.randn(4, 8), 3 + torch.randn(12, 8)
    ready = settled(network, [(torch.randn(64, 8), None)])
    with torch.no_grad():
        torch.testing.assert_close(ready(torch.cat([latents, others]))[:4], ready(latents), rtol=0, atol=1e-5)
        apart = (network(torch.cat([latents, others]))[:4] - network(latents)).abs().max()
    assert apart > 0.01  # without settling it does


def test_a_network_without_batch_normalisation_is_only_copied():
    network = models.mlp.Generator(size=8, latent=4)

    def nothing():
        raise AssertionError("nothing is to be measured")
        yield

    ready = settled(network, nothing())
    assert ready is not network
    assert not ready.training
    assert all(torch.equal(a, b) for a, b in zip(ready.parameters(), network.parameters(), strict=True))


def test_spectral_vectors_stand_still_while_statistics_are_measured():
    recipe = recipes.prepare("sngan", Task(16, 16, 1), width=4, latent=8, generator_norm=True)
    network = recipe.gan.generator
    ready = settled(network, [(torch.randn(8, 8), None) for _ in range(3)])
    vectors = [name for name, _ in network.named_buffers() if name.endswith(("_u", "_v"))]
    assert vectors
    assert all(torch.equal(ready.get_buffer(name), network.get_buffer(name)) for name in vectors)


class Labelled:
    """Batches whose labels are a function of the clock."""

    batch_size = 8

    def at(self, images):
        return Batch(torch.zeros(8, 1, 16, 16), torch.full((8,), images // 8 % 3))


def test_published_measures_on_the_datas_classes_and_the_priors_latents():
    gan = GAN(
        models.dcgan.Generator(size=16, channels=1, latent=8, width=4, classes=3),
        models.dcgan.Discriminator(size=16, channels=1, width=4, classes=3),
        objectives.hinge(),
    )
    training = Training(gan, seed=5)
    ready = training.published(Labelled(), images=20)  # three batches: the last one is whole
    draws = [
        (torch.randn(8, 8, generator=stream(5, "standing statistics", start)), torch.full((8,), start // 8))
        for start in (0, 8, 16)
    ]
    for name, (mean, variance) in pooled(gan.generator, draws).items():
        norm = ready.get_submodule(name)
        torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-4, atol=1e-6)


def test_published_is_the_average_and_not_the_trained_network():
    gan = GAN(models.mlp.Generator(size=8, latent=4), models.mlp.Discriminator(size=8), objectives.hinge())
    training = Training(gan)
    with torch.no_grad():
        for weight in training.average.network.parameters():
            weight.fill_(0.25)
    ready = training.published(Labelled())
    assert all((weight == 0.25).all() for weight in ready.parameters())
