import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cardigan import GAN, models, objectives
from cardigan.contracts import Step
from cardigan.randomness import seeded
from cardigan.regularizers import Reconstruction
from cardigan.regularizers.self_supervision import Box

BOXES: list[Box] = [(0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 0.5, 0.5)]


class Decoding(nn.Module):
    """Decodes a picture of zeros for the whole image and one for its lower left quarter."""

    def __init__(self, size=4):
        super().__init__()
        self.size, self.asked = size, []

    def decode(self, maps, quadrant):
        self.asked.append((maps, quadrant))
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


def test_the_discriminator_gets_its_own_maps_and_a_quadrant_of_chance():
    decoder, shown = Decoding(), torch.zeros(2, 1, 8, 8)
    with seeded(0, "test"):
        for _ in range(40):
            Reconstruction(distance=absolute)(step(decoder, shown))
    assert all(maps[0] is shown for maps, _ in decoder.asked)
    assert {quadrant for _, quadrant in decoder.asked} == {0, 1, 2, 3}


def test_the_quadrant_is_drawn_on_the_host_whatever_the_default_device():
    decoder, shown = Decoding(), torch.zeros(2, 1, 8, 8)
    looked = step(decoder, shown)
    for device in ("cpu", "meta"):
        with seeded(0, "test"), torch.device(device):
            Reconstruction(distance=lambda pictures, targets: torch.zeros(len(pictures)))(looked)
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

        def decode(self, maps, quadrant):
            return [(self.scale * F.avg_pool2d(maps[0], 2), BOXES[0])]

    shown = torch.rand(2, 1, 8, 8).requires_grad_()
    decoder = Scale()
    value = Reconstruction(distance=absolute)(step(decoder, shown.detach())).sum()
    value.backward()
    assert decoder.scale.grad is not None
    told = Reconstruction(distance=lambda pictures, targets: targets.flatten(1).sum(1))(step(Scale(), shown))
    assert not told.requires_grad
