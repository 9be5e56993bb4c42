import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cardigan import GAN, models, objectives
from cardigan.contracts import DiscriminatorNetwork, Step
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.errors import CardiganError
from cardigan.regularizers import Rotating, Rotation, quarter_turns, spectral_norm
from cardigan.training import Adam, Training, alternate

SHAPE = (1, 16, 16)


class Telling(DiscriminatorNetwork):
    """Tells its images as its map, plus ten times their class."""

    def __init__(self, classes=0):
        super().__init__()
        self.classes, self.arguments, self.independent = classes, {"classes": classes}, True
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, images, labels=None, *smaller):
        return self.examine(images, labels, *smaller)[0]

    def examine(self, images, labels=None, *smaller):
        maps = self.gain * images
        if labels is not None:
            maps = maps + 10.0 * labels[:, None, None, None]
        return maps.flatten(1).mean(1, keepdim=True) + sum(each.sum() for each in smaller), [-maps, maps]


class Remembering(nn.Module):
    """Stands for the head: remembers what it was shown, and says the same of everything."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, features):
        self.seen.append(features)
        return features.new_tensor([1.0, 2.0, 3.0, 4.0]).expand(len(features), 4)


def step(player, discriminator, **changes):
    """A step that shows six images and six fakes."""
    gan = GAN(models.mlp.Generator(size=16, latent=4), discriminator, objectives.hinge())
    real, fake = torch.rand(6, *SHAPE), torch.rand(6, *SHAPE)
    told = Step(player, real, fake, None, None, None, None, torch.zeros(6, 4), gan, shown=real + 5)
    return replace(told, **changes)


def by_hand(discriminator, images, labels=None):
    """-log of the softmax of the linear layer on the last map, added up, image by image, turn by turn."""
    values = []
    for turns in range(4):
        for place, image in enumerate(images):
            turned = torch.rot90(image, turns, dims=(1, 2))[None]
            _, maps = discriminator.discriminator.examine(turned, None if labels is None else labels[place : place + 1])
            logits = discriminator.head.weight @ maps[-1][0].sum(dim=(1, 2)) + discriminator.head.bias
            values.append(torch.logsumexp(logits, 0) - logits[turns])
    return torch.stack(values)


def test_a_bright_corner_goes_round_counter_clockwise():
    image = torch.zeros(1, 1, 3, 3)
    image[0, 0, 0, 0] = 1.0  # top left
    turned, turns = quarter_turns(image)
    assert turns.tolist() == [0, 1, 2, 3]
    assert [tuple(each[0].nonzero()[0].tolist()) for each in turned] == [(0, 0), (2, 0), (2, 2), (0, 2)]


def test_all_images_are_turned_alike_and_turning_on_comes_back():
    images = torch.rand(3, 2, 5, 5)
    turned, turns = quarter_turns(images)
    assert turns.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    for image, times, origin in zip(turned, turns.tolist(), images.repeat(4, 1, 1, 1), strict=True):
        assert torch.equal(torch.rot90(image, -times, dims=(1, 2)), origin)


@pytest.mark.parametrize("kind", [models.dcgan, models.resnet])
@pytest.mark.parametrize("classes", [0, 3])
def test_the_loss_is_the_cross_entropy_of_a_quarter_of_the_batch_in_all_rotations(kind, classes):
    discriminator = Rotating(kind.Discriminator(size=16, channels=1, width=4, classes=classes), SHAPE).eval()
    labels, asked = (torch.tensor([2, 0, 1, 1, 0, 2]), torch.tensor([1, 2, 0, 0, 0, 0])) if classes else (None, None)
    for player in ("discriminator", "generator"):
        seen = step(player, discriminator, labels=labels, fake_labels=asked)
        images, theirs = (seen.shown, labels) if player == "discriminator" else (seen.fake, asked)
        values = Rotation(player, weight=0.5)(seen)
        expected = 0.5 * by_hand(discriminator, images[::4], None if theirs is None else theirs[::4])
        assert values.shape == (8,)
        torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-4)
        assert values.std() > 1e-4


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_each_turned_image_keeps_its_class(player):
    discriminator = Rotating(Telling(classes=3), SHAPE)
    discriminator.head = Remembering()
    labels, asked = torch.tensor([2, 0, 0, 0, 1, 0]), torch.tensor([0, 1, 1, 1, 2, 1])
    values = Rotation(player)(step(player, discriminator, labels=labels, fake_labels=asked))
    (features,) = discriminator.head.seen
    first = 10 * (labels if player == "discriminator" else asked)[::4].float()
    brightness = 5.5 if player == "discriminator" else 0.5
    assert (features[:, 0] / 256).tolist() == pytest.approx((first + brightness).repeat(4).tolist(), abs=0.1)
    surprise = [torch.logsumexp(torch.arange(1.0, 5.0), 0).item() - logit for logit in (1.0, 2.0, 3.0, 4.0)]
    assert values.tolist() == pytest.approx([each for each in surprise for _ in range(2)])


def test_a_batch_of_one_is_turned_too():
    discriminator = Rotating(Telling(), SHAPE)
    one = torch.rand(1, *SHAPE)
    assert Rotation()(step("discriminator", discriminator, fake=one, shown=one)).shape == (4,)


def test_the_generators_images_are_augmented_as_in_the_game():
    discriminator = Rotating(Telling(), SHAPE)
    discriminator.head = Remembering()
    seen = step("generator", discriminator)
    seen.gan.augment = lambda images: -images
    Rotation("generator")(seen)
    torch.testing.assert_close(discriminator.head.seen[0][:2, 0], -seen.fake[::4].sum(dim=(1, 2, 3)))


def test_the_discriminator_learns_from_real_images_and_the_generator_from_its_own():
    discriminator = Rotating(Telling(), SHAPE)
    nn.init.normal_(discriminator.head.weight)
    weights = [discriminator.head.weight, discriminator.discriminator.gain]
    real, fake = torch.rand(4, *SHAPE).requires_grad_(), torch.rand(4, *SHAPE).requires_grad_()
    told = Rotation()(step("discriminator", discriminator, shown=real, fake=fake)).sum()
    gradients = torch.autograd.grad(told, [*weights, real, fake], allow_unused=True)
    assert [each is not None for each in gradients] == [True, True, False, False]
    assert gradients[0].abs().max() > 0

    drawn = Rotation("generator")(step("generator", discriminator, shown=None, real=real, fake=fake)).sum()
    of_real, of_fake = torch.autograd.grad(drawn, [real, fake], allow_unused=True)
    assert of_real is None
    assert (of_fake[1:] == 0).all(), "only a quarter is turned"
    assert of_fake[0].abs().max() > 0


def test_the_carried_discriminator_is_untouched():
    carried = models.dcgan.Discriminator(size=16, channels=1, width=4, classes=3)
    before = {name: value.clone() for name, value in carried.state_dict().items()}
    discriminator = Rotating(carried, SHAPE)
    assert carried.training
    assert all(torch.equal(value, before[name]) for name, value in carried.state_dict().items())
    images, labels = torch.rand(4, *SHAPE), torch.tensor([0, 1, 2, 2])
    discriminator.eval()
    assert torch.equal(discriminator(images, labels), carried(images, labels))
    logits, maps = discriminator.examine(images, labels)
    assert torch.equal(logits, carried(images, labels))
    assert maps[-1].shape[1] == discriminator.head.in_features == 8
    assert (discriminator.classes, discriminator.independent) == (3, False)
    assert Rotating(models.resnet.Discriminator(size=16, channels=1, width=4), SHAPE).independent
    told = json.loads(json.dumps(discriminator.arguments))
    assert told["shape"] == [1, 16, 16]
    assert told["discriminator"] == {"model": "cardigan.models.dcgan", **carried.arguments}


def test_fastgans_discriminator_carries_it_beside_its_decoders():
    carried = models.fastgan.Discriminator(size=16, channels=1, width=4, decoders=True)
    discriminator = Rotating(carried, SHAPE).eval()
    images = torch.rand(2, *SHAPE)
    logits, maps = discriminator.examine(images)
    assert discriminator.rotations(images).shape == (2, 4)
    part = (0.0, 0.5, 0.5, 0.5)
    for (mine, box), (theirs, same) in zip(discriminator.decode(maps, part), carried.decode(maps, part), strict=True):
        assert torch.equal(mine, theirs)
        assert box == same
    small = images[:, :, ::2, ::2]
    assert torch.equal(discriminator(images, None, small), carried(images, None, small))
    assert not torch.equal(discriminator(images, None, small), logits)


def test_spectral_norm_takes_the_head_too():
    discriminator = spectral_norm(Rotating(models.resnet.Discriminator(size=16, channels=1, width=4), SHAPE))
    assert float(torch.linalg.matrix_norm(discriminator.head.weight.detach(), 2)) == pytest.approx(1.0, abs=0.1)


def test_a_discriminator_without_maps_cannot_carry_it():
    with pytest.raises(CardiganError) as caught:
        Rotating(models.mlp.Discriminator(size=16), SHAPE)
    assert str(caught.value) == (
        "A mlp.Discriminator tells no maps, so it cannot carry a head for rotations: take a convolutional one, such as "
        "models.dcgan.Discriminator or models.resnet.Discriminator."
    )


def test_images_that_are_not_square_are_refused():
    told = "Only square images can be turned by a quarter, these are 16x24: train at a square size, such as --size 16."
    with pytest.raises(CardiganError) as caught:
        Rotating(models.dcgan.Discriminator(size=(16, 24), channels=1), (1, 16, 24))
    assert str(caught.value) == told
    with pytest.raises(CardiganError) as caught:
        quarter_turns(torch.zeros(1, 1, 16, 24))
    assert str(caught.value) == told


def test_a_discriminator_that_does_not_carry_it_is_named():
    with pytest.raises(CardiganError) as caught:
        Rotation()(step("discriminator", models.dcgan.Discriminator(size=16, channels=1, width=4)))
    assert str(caught.value) == (
        "Rotation needs a discriminator that can tell rotations, and this one is a dcgan.Discriminator: wrap it, "
        "regularizers.Rotating(discriminator, generator.shape)."
    )


# --- in the loop ---------------------------------------------------------------------------------------------------


def asymmetric(count, rng):
    """Noise that is brighter above than below: there is an upright."""
    slope = np.linspace(80, -80, 16)[None, :, None, None]
    return np.clip(128 + slope + rng.normal(0, 40, (count, 16, 16, 1)), 0, 255).astype(np.uint8)


def symmetric(count, rng):
    """Noise alike in all directions: there is none."""
    return np.clip(rng.normal(128, 60, (count, 16, 16, 1)), 0, 255).astype(np.uint8)


def training(images):
    shape = {"size": 16, "channels": 1, "deviation": None}
    gan = GAN(
        generator=models.dcgan.Generator(**shape, latent=8, width=4),
        discriminator=spectral_norm(Rotating(models.dcgan.Discriminator(**shape, width=8, normalise=False), SHAPE)),
        objective=objectives.hinge(),
        terms=(Rotation("discriminator", weight=1.0), Rotation("generator", weight=0.2)),
    )
    return Training(gan, optimizers=Adam(2e-3)), batches(Store.from_arrays(images), batch_size=32)


def accuracy(discriminator, images):
    turned, turns = quarter_turns(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1)
    with torch.no_grad():
        return float((discriminator.eval().rotations(turned).argmax(1) == turns).float().mean())


@pytest.mark.parametrize(("draw", "low", "high"), [(asymmetric, 0.9, 1.0), (symmetric, 0.15, 0.35)])
def test_a_discriminator_learns_which_way_up_images_are_where_they_have_one(draw, low, high):
    rng = np.random.default_rng(0)
    game, drawn = training(draw(256, rng))
    for _ in range(60):
        record = game.turn(drawn, alternate(discriminator=3))
        assert f"{record.progress.last[0]}/rotation" in record.losses
    assert low <= accuracy(game.gan.discriminator, draw(64, rng)) <= high


def test_the_generators_turn_leaves_the_discriminator_as_it_was():
    game, drawn = training(asymmetric(64, np.random.default_rng(0)))
    before = {name: value.clone() for name, value in game.gan.discriminator.state_dict().items()}
    drew = [weight.detach().clone() for weight in game.gan.generator.parameters()]
    game.turn(drawn, lambda progress: ("generator",))
    assert all(torch.equal(value, before[name]) for name, value in game.gan.discriminator.state_dict().items())
    assert any(not torch.equal(old, new) for old, new in zip(drew, game.gan.generator.parameters(), strict=True))


def test_the_generator_learns_to_be_told_from_its_loss_alone():
    game, drawn = training(asymmetric(256, np.random.default_rng(0)))
    for _ in range(40):
        game.turn(drawn, lambda progress: ("discriminator",))
    # From here on the discriminator stands still and the game itself is left out.
    game.gan.objective = replace(game.gan.objective, generator=None)
    losses = [
        float(game.turn(drawn, lambda progress: ("generator",)).losses["generator/rotation"]) / 0.2 for _ in range(40)
    ]
    assert losses[0] > 0.8
    assert losses[-1] < 0.5 * losses[0]
