"""FastGAN's networks against the paper's formulas, written out."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from cardigan.errors import CardiganError
from cardigan.layers import Projection
from cardigan.models import _fastgan, fastgan
from cardigan.training.ema import Average, settled

BATCH = 3


def count(network):
    return sum(weight.numel() for weight in network.parameters())


def generator(**wanted):
    return fastgan.Generator(**{"size": 64, "width": 4, "latent": 16, "two_scales": True, **wanted})


def discriminator(**wanted):
    return fastgan.Discriminator(**{"size": 64, "width": 4, "decoders": True, **wanted})


def pictures(size=(64, 64), channels=3, count=BATCH):
    return torch.rand(count, channels, *size) * 2 - 1


def shaken(network):
    """Away from the start, where noise has no strength and shifts are zero."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * weight.abs().mean().clamp(min=0.1) * torch.randn_like(weight))
    return network


def as_it_stands(network):
    """Spectral norm and batch normalisation stand still, so that a formula can be compared."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return shaken(network).eval()


def sources(network, images):
    """The side of the map that each excitation reads, by the level it excites."""
    found = {}
    for level, gate in network.excitations.items():
        gate.register_forward_hook(lambda _, seen, __, level=level: found.update({level: seen[0].shape[-1]}))
    network(images)
    return found


# --- parts -----------------------------------------------------------------------------------------------------------


def test_the_doubling_convolution_is_nearest_neighbour_and_3x3():
    layer, maps = _fastgan.DoublingConv(6, 5), torch.randn(2, 6, 5, 7, requires_grad=True)
    expected = F.conv2d(F.interpolate(maps, scale_factor=2, mode="nearest"), layer.weight, padding=1)
    torch.testing.assert_close(layer(maps), expected, atol=1e-5, rtol=1e-4)
    towards = torch.randn_like(expected)
    inputs = (maps, layer.weight)
    ours, theirs = torch.autograd.grad(layer(maps), inputs, towards), torch.autograd.grad(expected, inputs, towards)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("leaky", [False, True])
def test_excitation_is_pool_convolve_activate_convolve_sigmoid(leaky):
    gate = _fastgan.Excitation(6, 5, leaky=leaky)
    maps = torch.randn(2, 6, 8, 12)
    pooled = maps.unflatten(3, (4, 3)).unflatten(2, (4, 2)).mean(dim=(3, 5))
    inside = torch.einsum("bchw,kchw->bk", pooled, gate.squeeze.weight)
    inside = torch.where(inside > 0, inside, 0.2 * inside) if leaky else inside / (1 + torch.exp(-inside))
    expected = 1 / (1 + torch.exp(-inside @ gate.choose.weight[:, :, 0, 0].T))
    torch.testing.assert_close(gate(maps)[:, :, 0, 0], expected)


def norm(maps, module):
    shape = (1, -1, 1, 1)
    whitened = (maps - module.running_mean.view(shape)) / (module.running_var.view(shape) + module.eps).sqrt()
    return whitened * module.weight.view(shape) + module.bias.view(shape)


def gated(maps):
    values, gates = maps.chunk(2, dim=1)
    return values / (1 + torch.exp(-gates))


def test_a_plain_block_doubles_normalises_and_gates():
    block = as_it_stands(_fastgan.doubling(6, 4))
    maps = torch.randn(2, 6, 5, 4)
    expected = gated(norm(F.conv2d(F.interpolate(maps, scale_factor=2), block[0].weight, padding=1), block[1]))
    assert block(maps).shape == (2, 4, 10, 8)
    torch.testing.assert_close(block(maps), expected, atol=1e-5, rtol=1e-4)


def test_a_composite_block_adds_noise_and_convolves_once_more():
    block = as_it_stands(_fastgan.doubling(6, 4, (10, 8)))
    convolutions = [module for module in block if isinstance(module, nn.Conv2d)]
    noises = [module for module in block if isinstance(module, _fastgan.Noise)]
    norms = [module for module in block if isinstance(module, nn.BatchNorm2d)]
    maps = torch.randn(2, 6, 5, 4)
    expected = F.interpolate(maps, scale_factor=2)
    for convolution, noise, after in zip(convolutions, noises, norms, strict=True):
        drawn = F.conv2d(expected, convolution.weight, padding=1) + noise.strength.item() * noise.fixed
        expected = gated(norm(drawn, after))
    assert len(norms) == 2
    torch.testing.assert_close(block(maps), expected, atol=1e-5, rtol=1e-4)


def test_a_down_block_is_the_mean_of_two_paths():
    block = as_it_stands(_fastgan.DownBlock(3, 5))
    first, first_norm, _, second, second_norm, _ = block.straight
    _, point, point_norm, _ = block.averaged
    maps = torch.randn(2, 3, 8, 6)
    straight = F.leaky_relu(norm(F.conv2d(maps, first.weight, stride=2, padding=1), first_norm), 0.2)
    straight = F.leaky_relu(norm(F.conv2d(straight, second.weight, padding=1), second_norm), 0.2)
    averaged = F.leaky_relu(norm(F.conv2d(F.avg_pool2d(maps, 2), point.weight), point_norm), 0.2)
    torch.testing.assert_close(block(maps), (straight + averaged) / 2, atol=1e-5, rtol=1e-4)


def test_noise_is_fresh_in_training_and_one_fixed_draw_in_evaluation():
    noise, maps = _fastgan.Noise((5, 4)), torch.zeros(2, 3, 5, 4)
    assert torch.equal(noise(maps), maps), "it must be silent at the start"
    nn.init.constant_(noise.strength, 0.5)
    one, other = noise(maps), noise(maps)
    assert (one != other).all()
    assert (one[0] != one[1]).all()
    assert torch.equal(one[:, :1].expand_as(one), one), "all channels get the same"
    assert one.std().item() == pytest.approx(0.5, rel=0.3)
    noise.eval()
    assert torch.equal(noise(maps), (0.5 * noise.fixed).expand(2, 3, 5, 4))
    assert 0.5 < noise.fixed.std() < 1.5


# --- numbers of parameters -------------------------------------------------------------------------------------------


def published_generator():
    """At 256 pixels and width 64, from the paper's structure: no convolution has a bias."""
    total = 256 * 2 * 1024 * 16 + 2 * 2 * 1024  # latents to 4x4, for a gated unit, and gains and shifts of its norm
    for before, after, composite in (
        (1024, 512, True),
        (512, 256, False),
        (256, 128, True),
        (128, 128, False),
        (128, 64, True),
        (64, 32, False),
    ):
        total += 9 * before * 2 * after + 2 * 2 * after
        total += composite * (9 * after * 2 * after + 2 * 2 * after + 2)  # and two strengths of noise
    for small, large in ((1024, 128), (512, 64), (256, 32)):
        total += 16 * small * large + large * large
    return total + 9 * 32 * 3 + 64 * 3


def published_discriminator():
    total = 9 * 3 * 16  # the stem
    for before, after in ((16, 32), (32, 64), (64, 128), (128, 256), (256, 512)):
        total += 16 * before * after + 9 * after * after + before * after + 3 * 2 * after
    for large, small in ((16, 128), (32, 256), (64, 512)):
        total += 16 * large * small + small * small
    total += 512 * 1024 + 2 * 1024 + 16 * 1024  # the head
    total += 16 * 3 * 32 + sum(16 * one * two + 2 * two for one, two in ((32, 64), (64, 128), (128, 256))) + 16 * 256
    for before in (512, 256, 256):  # the decoders
        maps = (before, 128, 64, 64, 32)
        total += sum(9 * one * 2 * two + 4 * two for one, two in pairwise(maps)) + 9 * 32 * 3
    return total


def test_the_published_numbers_of_parameters():
    with torch.device("meta"):
        drawer = fastgan.Generator(size=256, two_scales=True, spectral=False)
        judge = fastgan.Discriminator(size=256, decoders=True, spectral=False)
    assert count(drawer) == published_generator() == 29_127_846
    assert count(judge) == published_discriminator() == 11_526_160


# --- the generator ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "pairs"),
    [
        (16, {"1": 0, "2": 1}),
        (32, {"2": 0, "3": 1}),
        (64, {"3": 0, "4": 1}),
        (128, {"4": 0, "5": 1}),
        (256, {"4": 0, "5": 1, "6": 2}),
        (512, {"4": 0, "5": 1, "6": 2, "7": 3}),
        (1024, {"4": 0, "5": 1, "6": 2, "7": 3}),
    ],
)
def test_which_maps_excite_which(size, pairs):
    with torch.device("meta"):
        for kind in ("code", "paper"):
            network = generator(size=size, pairs=kind, spectral=False)
            expected = {level: 4 * 2**source for level, source in pairs.items() if kind == "code" or source > 0}
            assert sources(network, torch.zeros(2, 16)) == expected
            activation = nn.LeakyReLU if kind == "paper" else nn.SiLU
            assert all(isinstance(gate.activation, activation) for gate in network.excitations.values())


def test_the_generator_by_hand():
    network = as_it_stands(generator())
    latents = torch.randn(BATCH, 16)
    start = torch.einsum("bl,lchw->bchw", latents, network.first[0].weight)
    maps = [gated(norm(start, network.first[1]))]
    for block in network.blocks:
        maps.append(block(maps[-1]))
        if len(maps) in (4, 5):
            source = {4: 0, 5: 1}[len(maps)]
            maps[-1] = maps[-1] * network.excitations[str(len(maps) - 1)](maps[source])
    full = F.conv2d(maps[4], network.image.weight, padding=1).tanh()
    small = F.conv2d(maps[3], network.small_image.weight).tanh()
    assert [part.shape[-1] for part in maps] == [4, 8, 16, 32, 64]
    torch.testing.assert_close(network(latents), full, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network.scales(latents), (full, small), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "small"), [(16, (8, 8)), (28, (14, 14)), (64, (32, 32)), ((64, 96), (32, 48)), (128, (64, 64))]
)
def test_two_scales(size, small):
    network = generator(size=size, channels=2, classes=5)
    latents, labels = torch.randn(BATCH, 16), torch.tensor([0, 4, 1])
    images, smaller = network.eval().scales(latents, labels)
    assert images.shape == (BATCH, *network.shape)
    assert smaller.shape == (BATCH, 2, *small)
    assert torch.equal(images, network(latents, labels))
    (alone,) = generator(size=size, two_scales=False).scales(latents)
    assert alone.shape == (BATCH, 3, *network.shape[1:])
    judge = discriminator(size=size, channels=2, classes=5)
    assert torch.equal(judge.shrink(images), F.interpolate(images, size=small, mode="area"))
    assert judge(images, labels, smaller).isfinite().all()


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_the_published_sizes(size):
    with torch.device("meta"):
        drawer, judge = generator(size=size, spectral=False), discriminator(size=size, spectral=False)
        images, small = drawer.scales(torch.zeros(BATCH, 16))
        logits, maps = judge.examine(images, None, small)
        pictures = judge.decode(maps, (0.0, 0.5, 0.5, 0.5))
    assert images.shape == (BATCH, 3, size, size)
    assert small.shape == (BATCH, 3, 128, 128)
    assert logits.shape == (BATCH, 2 * 5 * 5)
    assert [part.shape[-1] for part in maps] == [16, 8, 8]
    assert [picture.shape for picture, _ in pictures] == [(BATCH, 3, 128, 128)] * 3


def test_it_is_deterministic_until_noise_has_strength():
    network = generator().eval().train()
    latents = torch.randn(BATCH, 16)
    network.apply(lambda module: setattr(module, "training", isinstance(module, nn.BatchNorm2d | _fastgan.Noise)))
    assert torch.equal(network(latents), network(latents))
    for module in network.modules():
        if isinstance(module, _fastgan.Noise):
            nn.init.constant_(module.strength, 0.5)
    assert not torch.equal(network(latents), network(latents))
    network.eval()
    assert torch.equal(network(latents), network(latents))


def test_an_averaged_settled_generator_draws_each_image_alone():
    network = shaken(generator(classes=4))
    average = Average(network, half_life=1000)
    latents, labels = torch.randn(8, 16), torch.arange(8) % 4
    network(latents, labels)
    average.update(shaken(network), images=100)
    drawer = settled(average.network, [(torch.randn(16, 16), torch.arange(16) % 4) for _ in range(3)])
    together = drawer(latents, labels)
    assert together.std(dim=0).mean() > 1e-3
    for row in range(8):
        alone = drawer(latents[row : row + 1], labels[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)


def test_without_an_activation_images_leave_the_range_only_in_training():
    bounded, raw = generator(), generator(output="none")
    with torch.no_grad():
        for name, weight in bounded.named_parameters():
            if "blocks" in name and weight.ndim == 1:
                weight.mul_(10)
    raw.load_state_dict(bounded.state_dict())
    latents = torch.randn(BATCH, 16)
    for tanh, plain in zip(bounded.scales(latents), raw.scales(latents), strict=True):
        assert plain.abs().max() > 1.5
        torch.testing.assert_close(tanh, plain.tanh())
    maps = raw.eval().maps(latents, None)
    full, small = raw.scales(latents)
    assert raw.image(maps[4]).abs().max() > 1.5
    torch.testing.assert_close(full, raw.image(maps[4]).clamp(-1, 1))
    torch.testing.assert_close(small, raw.small_image(maps[3]).clamp(-1, 1))


# --- the discriminator -----------------------------------------------------------------------------------------------


def test_the_discriminator_by_hand():
    network = as_it_stands(discriminator(size=256))
    images = pictures((256, 256), count=2)
    maps = [F.leaky_relu(F.conv2d(images, network.stem[0].weight, padding=1), 0.2)]
    for place, block in enumerate(network.blocks):  # to 128, 64, 32, 16 and 8 pixels
        maps.append(block(maps[-1]))
        if place >= 2:
            maps[-1] = maps[-1] * network.excitations[str(5 - place)](maps[place - 2])
    assert [part.shape[-1] for part in maps] == [256, 128, 64, 32, 16, 8]
    point, hidden, _, patch = network.head
    features = F.leaky_relu(norm(F.conv2d(maps[-1], point.weight), hidden), 0.2)
    large = F.conv2d(features, patch.weight)
    small = F.interpolate(images, size=(128, 128), mode="area")
    for step in network.small_path:
        small = F.conv2d(small, step[0].weight, stride=2, padding=1)
        small = F.leaky_relu(norm(small, step[1]) if len(step) == 3 else small, 0.2)
    assert [len(step) for step in network.small_path] == [2, 3, 3, 3]
    expected = torch.cat([large.flatten(1), F.conv2d(small, network.small_head[0].weight).flatten(1)], dim=1)
    logits, found = network.examine(images)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(found, [maps[4], small, maps[5]], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
    ("size", "pairs"),
    [
        (16, {"1": 16}),
        (32, {"2": 32, "1": 16}),
        (64, {"2": 64, "1": 32}),
        (128, {"2": 128, "1": 64}),
        (256, {"3": 256, "2": 128, "1": 64}),
        (512, {"3": 256, "2": 128, "1": 64}),
        (1024, {"3": 256, "2": 128, "1": 64}),
    ],
)
def test_which_maps_of_the_discriminator_excite_which(size, pairs):
    with torch.device("meta"):
        assert sources(discriminator(size=size, spectral=False), torch.zeros(2, 3, size, size)) == pairs


def test_examine_tells_what_forward_says_and_takes_the_smaller_image_as_it_is_given():
    network = discriminator(classes=3).eval()
    images, labels, other = pictures(), torch.tensor([0, 2, 1]), pictures((32, 32))
    logits, maps = network.examine(images, labels, other)
    assert torch.equal(network(images, labels, other), logits)
    alone, own = network.examine(images, labels)
    assert torch.equal(network(images, labels, F.avg_pool2d(images, 2)), alone)
    assert torch.equal(alone[:, :25], logits[:, :25])
    assert (alone[:, 25:] != logits[:, 25:]).all()
    assert [torch.equal(one, two) for one, two in zip(maps, own, strict=True)] == [True, False, True]


def test_a_class_shifts_every_logit_by_its_inner_product():
    network = discriminator(classes=3).eval()
    images = pictures()
    maps = network.examine(images, torch.zeros(BATCH, dtype=torch.int64))[1]
    features = maps[-1].mean(dim=(2, 3))
    per_class = torch.stack([network(images, torch.full((BATCH,), label)) for label in range(3)])
    vectors = network.projection.embedding.weight
    expected = features @ (vectors[2] - vectors[0])
    torch.testing.assert_close(
        per_class[2] - per_class[0], expected[:, None].expand(-1, per_class.shape[2]), atol=1e-5, rtol=1e-3
    )
    assert expected.abs().max() > 1e-4


def test_decoded_pictures_lie_where_their_boxes_say():
    network = discriminator(size=(64, 96))
    network.decoders = nn.ModuleList(nn.Identity() for _ in range(3))
    rows, columns = torch.meshgrid((torch.arange(16) + 0.5) / 16, (torch.arange(24) + 0.5) / 24, indexing="ij")
    places = torch.stack([rows, columns])[None]
    others = [torch.full((1, 2, 8, 12), 5.0), torch.full((1, 2, 8, 12), 7.0)]
    asked = [(row, column, 0.5, 0.5) for row in (0.0, 0.5) for column in (0.0, 0.5)]
    to_places = {
        (0.3, 0.7, 0.125, 0.125): (5 / 16, 17 / 24, 2 / 16, 3 / 24),
        (1.0, 1.0, 0.02, 0.02): (15 / 16, 23 / 24, 1 / 16, 1 / 24),
    }
    for box, shown in [*zip(asked, asked, strict=True), *to_places.items()]:
        decoded = network.decode([places, *others], box)
        part, (top, left, height, width) = decoded[0]
        assert (top, left, height, width) == pytest.approx(shown)
        assert part.shape == (1, 2, round(16 * height), round(24 * width))
        assert part.mean(dim=(0, 2, 3)).tolist() == pytest.approx([top + height / 2, left + width / 2])
        assert [box for _, box in decoded[1:]] == [(0.0, 0.0, 1.0, 1.0)] * 2
        assert [picture.mean().item() for picture, _ in decoded[1:]] == [5.0, 7.0]


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        (16, (8, 8)),
        (28, (14, 14)),
        (64, (32, 32)),
        ((64, 96), (32, 48)),
        (128, (64, 64)),
    ],
)
def test_decoded_pictures_have_half_the_sides_of_the_image(size, sides):
    network = discriminator(size=size, channels=4).eval()
    height, width = (size, size) if isinstance(size, int) else size
    decoded = network.decode(network.examine(pictures((height, width), 4))[1], (0.5, 0.5, 0.5, 0.5))
    assert [tuple(picture.shape) for picture, _ in decoded] == [(BATCH, 4, *sides)] * 3
    assert all(picture.abs().max() <= 1.0 and picture.min() < 0 < picture.max() for picture, _ in decoded)


def test_a_decoder_by_hand():
    network = as_it_stands(_fastgan.decoder(6, 3, width=8, doublings=2))
    maps = torch.randn(2, 6, 8, 8)
    expected = maps
    for block in network[:2]:
        expected = gated(norm(F.conv2d(F.interpolate(expected, scale_factor=2), block[0].weight, padding=1), block[1]))
    expected = F.conv2d(expected, network[2].weight, padding=1).tanh()
    torch.testing.assert_close(network(maps), expected, atol=1e-5, rtol=1e-4)
    assert [block[0].out_channels for block in network[:2]] == [2 * 16, 2 * 8]


@pytest.mark.parametrize(("size", "places"), [(16, 8 * 8), (32, 16 * 16), ((64, 96), 32 * 48), (512, 128 * 128)])
def test_every_head_counts_alike(size, places):
    with torch.device("meta"):
        shape = (size, size) if isinstance(size, int) else size
        logits = discriminator(size=size, texture=True, spectral=False)(torch.zeros(BATCH, 3, *shape))
    assert logits.shape == (BATCH, 3 * places)


def test_a_texture_logit_sees_a_small_patch_and_nothing_else():
    network = discriminator(size=64, excitation=False, decoders=False, texture=True).eval()
    images = pictures((64, 64)).requires_grad_()
    logits = network(images)[0].reshape(3, 32, 32)
    extents = []
    for head in (0, 2):
        (slopes,) = torch.autograd.grad(logits[head, 16, 16], images, retain_graph=True)
        extents.append([int(at.max() - at.min()) + 1 for at in slopes[0].abs().sum(dim=0).nonzero().T])
    assert min(extents[0]) > 40
    assert max(extents[1]) <= 14
    assert torch.equal(logits[0].flatten()[:25], logits[0].flatten()[25:50])


def test_decoding_without_decoders_is_refused():
    network = discriminator(decoders=False)
    with pytest.raises(CardiganError, match="no decoders") as caught:
        network.decode(network.examine(pictures())[1], (0.0, 0.5, 0.5, 0.5))
    assert "decoders=True" in str(caught.value)


# --- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 64])
def test_the_game_and_decoding_reach_every_parameter(size):
    drawer, judge = shaken(generator(size=size, classes=3)), shaken(discriminator(size=size, classes=3))
    labels = torch.tensor([0, 1, 2])
    images, small = drawer.scales(torch.randn(BATCH, 16), labels)
    logits, maps = judge.examine(images, labels, small)
    losses = [(logits * torch.randn_like(logits)).sum()]
    losses += [(picture * torch.randn_like(picture)).sum() for picture, _ in judge.decode(maps, (0.0, 0.5, 0.5, 0.5))]
    torch.stack(losses).sum().backward()
    for network in (drawer, judge):
        for name, weight in network.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
            assert weight.grad.abs().max() > 0, name


def test_every_convolution_is_spectrally_normalised_from_the_published_start():
    for network in (generator(width=16, classes=3), discriminator(width=16, classes=3)):
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
        assert len(convolutions) > 10
        for module in convolutions:
            for _ in range(30):
                _ = module.weight  # one power iteration
            assert module.bias is None
            matrix = module.weight if isinstance(module, nn.Conv2d) else module.weight.transpose(0, 1)
            assert torch.linalg.matrix_norm(matrix.flatten(1), 2).item() == pytest.approx(1.0, abs=0.05)
            raw = module.parametrizations.weight.original
            if raw.numel() > 10_000:
                assert raw.std().item() == pytest.approx(0.02, rel=0.05)
        normalised = {id(module) for module in network.modules() if parametrize.is_parametrized(module)}
        classes = [module.embedding for module in network.modules() if isinstance(module, Projection)]
        assert normalised == {id(module) for module in [*convolutions, *classes]}
    (vectors,) = classes
    for _ in range(30):
        largest = torch.linalg.matrix_norm(vectors.weight, 2).item()
    assert largest == pytest.approx(1.0, abs=0.05)


def test_ingredients_can_be_left_out():
    for make in (generator, discriminator):
        full, plain = make(), make(excitation=False, spectral=False)
        assert not any(parametrize.is_parametrized(module) for module in plain.modules())
        assert count(full) - count(plain) == count(full.excitations) > 0
    latents = torch.randn(BATCH, 16)
    assert generator(excitation=False)(latents).shape == (BATCH, 3, 64, 64)
    assert discriminator(excitation=False)(pictures()).shape == (BATCH, 50)
    assert count(discriminator()) - count(discriminator(decoders=False)) == count(discriminator().decoders) > 0


def test_narrow_networks_keep_four_channels():
    assert [fastgan.channels_of(times, 8) for times in (16.0, 1.0, 0.25)] == [128, 8, 4]
    with torch.device("meta"):
        narrow = [
            module.out_channels
            for network in (generator(size=1024, spectral=False), discriminator(size=1024, spectral=False))
            for module in network.modules()
            if isinstance(module, nn.Conv2d)
        ]
    assert set(narrow) - {1, 3} == {side for side in narrow if side >= 4}


@pytest.mark.parametrize("kind", [fastgan.Generator, fastgan.Discriminator])
@pytest.mark.parametrize("size", [12, 50, 2048, (64, 100)])
def test_a_size_that_cannot_be_built_is_refused(kind, size):
    with pytest.raises(CardiganError, match="cannot be built by doubling") as caught:
        kind(size=size)
    assert "between 16 and 1024" in str(caught.value)
    assert "--size" in str(caught.value)


def test_choices_that_do_not_exist_are_refused():
    with pytest.raises(CardiganError, match="output must be one of 'tanh', 'none', got 'sigmoid'"):
        generator(output="sigmoid")
    with pytest.raises(CardiganError, match="pairs must be one of 'code', 'paper', got 'all'"):
        generator(pairs="all")
