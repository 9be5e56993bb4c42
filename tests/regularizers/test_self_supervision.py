import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cardigan import GAN, models, objectives
from cardigan.contracts import Box, Step
from cardigan.errors import CardiganError
from cardigan.features import Features
from cardigan.randomness import seeded
from cardigan.regularizers import Reconstruction, Rotating, perceptual

BOXES: list[Box] = [(0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 0.5, 0.5)]


class Decoding(nn.Module):
    """Decodes a picture of zeros for the whole image and one for its lower left quarter."""

    def __init__(self, size=4):
        super().__init__()
        self.size, self.asked = size, []

    def decode(self, maps, part):
        self.asked.append((maps, part))
        return [(torch.zeros(len(maps[0]), 1, self.size, self.size), box) for box in BOXES]


def step(decoder, shown):
    gan = GAN(models.mlp.Generator(size=8, latent=4), decoder, objectives.hinge())
    nothing = torch.zeros(0)
    return Step("discriminator", nothing, nothing, None, None, None, None, nothing, gan, shown, [shown])


def absolute(pictures, targets):
    return (pictures - targets).abs().flatten(1).mean(dim=1)


def test_each_picture_is_compared_with_its_part_of_the_image_shown():
    """Zeros against one half and a quarter: the distances are the mean absolute pixels there, added up."""
    shown = torch.zeros(2, 1, 8, 8)
    shown[0] = 0.5
    shown[1, :, 4:, :4] = 1.0
    values = Reconstruction(weight=2.0, distance=absolute)(step(Decoding(), shown))
    assert values.tolist() == pytest.approx([2 * (0.5 + 0.5), 2 * (0.25 + 1.0)])


def parts_asked(**settings):
    decoder, shown = Decoding(), torch.zeros(2, 1, 8, 8)
    with seeded(0, "test"):
        for _ in range(200):
            Reconstruction(distance=absolute, **settings)(step(decoder, shown))
    assert all(maps[0] is shown for maps, _ in decoder.asked)
    return [part for _, part in decoder.asked]


def test_the_discriminator_gets_its_own_maps_and_a_quadrant_of_chance():
    assert set(parts_asked()) == {(row, column, 0.5, 0.5) for row in (0.0, 0.5) for column in (0.0, 0.5)}


def test_an_eighth_of_each_side_is_asked_for_anywhere():
    tops, lefts, heights, widths = zip(*parts_asked(part="eighth"), strict=True)
    assert set(heights) == set(widths) == {1 / 8}
    for starts in (tops, lefts):
        assert 0.0 <= min(starts) < 0.05
        assert 0.82 < max(starts) <= 7 / 8
    assert tops != lefts


@pytest.mark.parametrize("carried", [False, True])
def test_a_discriminator_without_decoders_is_told_what_to_take(carried):
    discriminator = models.dcgan.Discriminator(size=16, channels=1, width=4)
    if carried:
        discriminator = Rotating(discriminator, (1, 16, 16))
    with pytest.raises(CardiganError) as caught:
        Reconstruction()(step(discriminator, torch.zeros(2, 1, 16, 16)))
    assert str(caught.value) == (
        "Reconstruction has the discriminator draw images from its maps, and cardigan.models.dcgan.Discriminator has "
        "no decode(). Take models.fastgan.Discriminator(decoders=True), or leave the term out."
    )


@pytest.mark.parametrize("part", ["quadrant", "eighth"])
def test_the_part_is_drawn_on_the_host_whatever_the_default_device(part):
    decoder, shown = Decoding(), torch.zeros(2, 1, 8, 8)
    looked = step(decoder, shown)
    for device in ("cpu", "meta"):
        with seeded(0, "test"), torch.device(device):
            Reconstruction(distance=lambda pictures, targets: torch.zeros(len(pictures)), part=part)(looked)
    (_, first), (_, second) = decoder.asked
    assert first == second


@pytest.mark.parametrize(("targets", "expected"), [("antialias", 0.0), ("nearest", 1.0)])
def test_targets_are_made_smaller_without_stripes_unless_asked(targets, expected):
    """Stripes of one pixel, +1 and -1, are grey at half the size; every second pixel of them is white or black."""
    stripes = (1 - 2 * (torch.arange(16) % 2)).float().expand(1, 1, 16, 16)
    seen = []

    def distance(pictures, targets):
        seen.append(targets)
        return absolute(pictures, targets)

    Reconstruction(distance=distance, targets=targets)(step(Decoding(size=8), stripes))
    inside = seen[0][:, :, 1:-1, 1:-1]
    assert inside.abs().mean().item() == pytest.approx(expected, abs=1e-6)


def test_gradients_reach_the_decoders_and_not_the_images():
    class Scale(Decoding):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def decode(self, maps, part):
            return [(self.scale * F.avg_pool2d(maps[0], 2), BOXES[0])]

    shown = torch.rand(2, 1, 8, 8).requires_grad_()
    decoder = Scale()
    value = Reconstruction(distance=absolute)(step(decoder, shown.detach())).sum()
    value.backward()
    assert decoder.scale.grad is not None
    told = Reconstruction(distance=lambda pictures, targets: targets.flatten(1).sum(1))(step(Scale(), shown))
    assert not told.requires_grad


def test_records_name_the_network_that_the_decoders_are_judged_by():
    eyes = Features(nn.Conv2d(3, 4, 3, padding=1), name="eyes")
    told = repr(Reconstruction(distance=perceptual(eyes)))
    assert "distance=perceptual(Features('eyes', " in told
    assert f"digest={eyes.digest[:12]!r}" in told
