"""What every feature extractor promises, asked of one of each kind."""

import copy

import pytest
import torch
from torch import nn

from cardigan import discovery, features
from cardigan.features import Features, pooled
from cardigan.features.classifier import Classifier
from cardigan.features.timm_backbone import Backbone


def scrambled(network):
    """With statistics and gains as after training, so that evaluation mode differs from training mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.5)
    return network


class Levels(nn.Module):
    """A network as timm makes them: maps after each of two strided layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 5, 3, stride=4, padding=1), nn.BatchNorm2d(5), nn.Dropout(0.5))

    def forward(self, images):
        first = self.first(images)
        return [first, self.second(first)]


def own():
    return nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4), nn.Tanh())


# One for each file of the room, and the user's own.
KINDS = {
    "classifier": lambda: scrambled(Classifier(classes=3, widths=(4, 6, 8))).features(),
    "classifier of grey": lambda: scrambled(Classifier(classes=3, channels=1, widths=(4, 8))).features(),
    "classifier with alpha": lambda: scrambled(Classifier(classes=3, channels=4, widths=(4, 8))).features(),
    "timm-backbone": lambda: Features(
        Backbone(scrambled(Levels()), mean=(0.4, 0.5, 0.6), deviation=(0.2, 0.3, 0.4)), name="two levels"
    ),
    "own": lambda: Features(scrambled(own()), name="my.networks:own"),
}
SHAPE = (32, 48)


def test_every_file_of_the_room_is_a_kind():
    assert set(discovery.names(features)) <= set(KINDS)


def pictures(channels=3, count=3):
    return torch.rand(count, channels, *SHAPE) * 1.6 - 0.8


def promise_maps_of_the_widths_and_strides_it_tells_the_finest_first(extractor):
    maps = extractor(pictures())
    assert len(maps) == len(extractor.widths) == len(extractor.strides) > 0
    for found, width, stride in zip(maps, extractor.widths, extractor.strides, strict=True):
        assert found.shape == (3, width, SHAPE[0] // stride, SHAPE[1] // stride)
        assert found.dtype == torch.float32
        assert found.isfinite().all()
        assert found.std() > 1e-3
    assert list(extractor.strides) == sorted(extractor.strides)
    assert pooled(extractor, pictures()).shape == (3, extractor.widths[-1])


def promise_images_of_one_to_four_channels(extractor):
    for channels in (1, 2, 3, 4):
        assert all(found.isfinite().all() for found in extractor(pictures(channels)))
    grey, alpha = pictures(1), pictures(1)
    opaque = torch.ones_like(alpha)
    for one, other in [
        (grey, grey.expand(-1, 3, -1, -1)),
        (grey, torch.cat([grey, opaque], dim=1)),
        (torch.cat([grey, alpha], dim=1), torch.cat([grey.expand(-1, 3, -1, -1), alpha], dim=1)),
    ]:
        for mine, theirs in zip(extractor(one), extractor(other), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def promise_it_stays_frozen(extractor):
    parent = nn.Sequential(extractor, nn.BatchNorm2d(3))
    images = pictures()
    before = [found.clone() for found in extractor(images)]
    state = copy.deepcopy(extractor.state_dict())
    parent.train()
    assert parent[1].training
    assert not any(module.training for module in extractor.modules())
    for mine, theirs in zip(before, extractor(images), strict=True):
        assert torch.equal(mine, theirs)
    assert all(torch.equal(state[key], now) for key, now in extractor.state_dict().items())
    assert not any(weight.requires_grad for weight in extractor.parameters())


def promise_gradients_reach_the_images(extractor):
    for channels in (1, 2, 3, 4):
        images = pictures(channels).requires_grad_()
        sum(found.sin().sum() for found in extractor(images)).backward()
        assert images.grad.isfinite().all()
        assert (images.grad.flatten(2).abs().sum(dim=2) > 0).all(), "every channel of every image"


def promise_an_image_is_seen_alone(extractor):
    images = pictures()
    for whole, alone in zip(extractor(images), extractor(images[1:2]), strict=True):
        torch.testing.assert_close(whole[1:2], alone, rtol=1e-4, atol=1e-5)


def promise_its_name_and_digest_tell_which_it_is(extractor):
    assert extractor.name
    assert len(bytes.fromhex(extractor.digest)) == 32
    again = copy.deepcopy(extractor.network)
    assert Features(again, name="again", channels=extractor.channels).digest == extractor.digest
    with torch.no_grad():
        next(again.parameters()).flatten()[0] += 1e-3
    assert Features(again, name="again", channels=extractor.channels).digest != extractor.digest
    told = repr(extractor)
    assert "\n" not in told
    assert extractor.name in told
    assert extractor.digest[:12] in told


def promise_it_follows_its_images(extractor):
    moved = copy.deepcopy(extractor)
    assert {found.device.type for found in moved(pictures().to("meta"))} == {"meta"}
    assert {tensor.device.type for tensor in moved.state_dict().values()} == {"meta"}
    assert moved.digest == extractor.digest


def promise_it_makes_no_inference_tensors(extractor):
    mover = copy.deepcopy(extractor)
    with torch.inference_mode():
        mover(pictures().to("meta"))
    assert not any(tensor.is_inference() for tensor in mover.state_dict().values())


PROMISES = {key: value for key, value in list(globals().items()) if key.startswith("promise_")}


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind, promise):
    PROMISES[promise](KINDS[kind]())


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_it_follows_its_images_to_a_gpu_and_back(kind):
    extractor, images = KINDS[kind](), pictures()
    before = extractor(images)
    there = extractor(images.cuda().requires_grad_())
    sum(found.sum() for found in there).backward()
    for mine, theirs, back in zip(before, there, extractor(images), strict=True):
        torch.testing.assert_close(mine, theirs.detach().cpu(), rtol=1e-2, atol=1e-2)
        assert torch.equal(mine, back)
