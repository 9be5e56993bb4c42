"""The projected discriminator: what is frozen stays so, what is mixed follows the formula, what is judged is judged
alone.
"""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from cardigan import GAN, augment, models, objectives, recipes, regularizers
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.errors import CardiganError
from cardigan.features import Features, load
from cardigan.features.classifier import Classifier
from cardigan.models import projected
from cardigan.training import Training, alternate, together

WIDTHS = (5, 6, 7)


def network(widths=WIDTHS):
    """A small network with statistics and gains as after training, so that evaluation differs from training mode."""
    trunk = Classifier(classes=3, widths=widths).trunk
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.5)
    return trunk


def eyes(widths=WIDTHS):
    return Features(network(widths), name="small eyes")


def discriminator(**wanted):
    if "backbone" not in wanted:
        wanted["backbone"] = eyes()
    return projected.Discriminator(**{"size": 32, "width": 4, **wanted})


def pictures(size=(32, 32), channels=3, count=4):
    return torch.rand(count, channels, *size) * 2 - 1


def training(**wanted):
    """A game of small networks whose discriminator looks through small eyes."""
    torch.manual_seed(0)
    gan = GAN(
        models.mlp.Generator(size=32, channels=3, latent=4, hidden=(8,)),
        discriminator(),
        objectives.hinge(),
        augment=augment.diffaugment("color", "translation", "cutout"),
        **wanted,
    )
    return Training(gan, seed=0)


def data(batch_size=4):
    rng = np.random.default_rng(0)
    return batches(Store.from_arrays(rng.integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)), batch_size=batch_size)


# --- what is frozen ------------------------------------------------------------------------------------------------


def test_ten_turns_move_the_heads_and_nothing_else():
    run = training()
    judge = run.gan.discriminator.train()
    seen = copy.deepcopy(judge.backbone.network.state_dict())
    mixed = copy.deepcopy(judge.mixing.state_dict())
    before = [weight.detach().clone() for weight in judge.parameters()]
    for _ in range(10):
        run.turn(data(), together())
    assert any("running_mean" in name for name in seen)
    assert len(mixed) == 3 * len(WIDTHS) - 1
    for part, kept in ((judge.backbone.network, seen), (judge.mixing, mixed)):
        for name, tensor in part.state_dict().items():
            assert torch.equal(tensor, kept[name]), name
    for old, new in zip(before, judge.parameters(), strict=True):
        # While all logits lie within the margin, the last shift is pulled up as much as down.
        assert not torch.equal(old, new) or old.shape == (1,)
    assert not judge.backbone.training
    assert all(weight.grad is None and not weight.requires_grad for weight in judge.backbone.network.parameters())


def test_only_the_heads_are_parameters_and_all_but_the_backbone_is_saved():
    judge = discriminator()
    assert {name.partition(".")[0] for name, _ in judge.named_parameters()} == {"heads"}
    assert {name.partition(".")[0] for name in judge.state_dict()} == {"heads", "mixing", "_extra_state"}
    assert not any(module is judge.backbone for module in judge.modules())


def test_terms_and_projections_leave_the_frozen_parts_alone():
    judge = discriminator()
    seen, mixed = copy.deepcopy(judge.backbone.network.state_dict()), copy.deepcopy(judge.mixing.state_dict())
    regularizers.WeightClipping(1e-3)(judge)
    regularizers.spectral_norm(judge)
    judge(pictures())
    assert all(torch.equal(tensor, seen[name]) for name, tensor in judge.backbone.network.state_dict().items())
    assert all(torch.equal(tensor, mixed[name]) for name, tensor in judge.mixing.state_dict().items())


def test_the_same_seed_draws_the_same_mixtures_and_another_seed_others():
    backbone, drawn = eyes(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(discriminator(backbone=backbone).mixing.state_dict())
    first, again, other = drawn
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not torch.equal(first[name], other[name]) for name in first)


def test_a_state_goes_into_another_discriminator_of_the_same_backbone():
    backbone, images = eyes(), pictures()
    one, other = (discriminator(backbone=backbone).eval() for _ in range(2))
    assert not torch.allclose(one(images), other(images))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(images), other(images))


def test_a_state_is_refused_beside_another_backbone():
    one, other = discriminator(), discriminator()
    with pytest.raises(CardiganError) as caught:
        other.load_state_dict(one.state_dict())
    assert str(caught.value) == (
        f"The backbone small eyes has other weights now (SHA-256 {other.backbone.digest[:12]}) than when this "
        f"discriminator was trained ({one.backbone.digest[:12]}). Bring back the weights it was trained with, or train "
        f"anew."
    )


# --- what is mixed -------------------------------------------------------------------------------------------------


def test_mixtures_are_1x1_convolutions_and_a_path_from_coarse_to_fine():
    maps = [torch.randn(2, 5, 8, 12), torch.randn(2, 6, 4, 6), torch.randn(2, 7, 2, 3)]
    mixing = projected.Mixing(maps, (2, 3, 4))
    buffers = mixing.state_dict()

    def across_channels(level):
        weight, shift = buffers[f"channels_{level}"][:, :, 0, 0], buffers[f"shift_{level}"]
        return torch.einsum("kc,bchw->bkhw", weight, maps[level]) + shift[:, None, None]

    def below(level, mixture):
        height, width = mixture.shape[2:]
        patches = F.unfold(mixture, 3, padding=1)
        found = (buffers[f"scales_{level}"].flatten(1) @ patches).unflatten(2, (height, width))
        rows, columns = interpolation(height), interpolation(width)
        return rows @ found @ columns.T

    def interpolation(side):
        """Bilinear doubling as a matrix: each new place lies a quarter of the way between two old ones."""
        places = ((torch.arange(2 * side) + 0.5) / 2 - 0.5).clamp(0, side - 1)
        return (1 - (places[:, None] - torch.arange(side)).abs()).clamp(min=0)

    coarse = across_channels(2)
    middle = (across_channels(1) + below(1, coarse)) / 2**0.5
    fine = (across_channels(0) + below(0, middle)) / 2**0.5
    torch.testing.assert_close(mixing(maps), [fine, middle, coarse], atol=1e-5, rtol=1e-4)


def test_a_map_enters_centred_and_at_unit_deviation():
    maps = [3.0 + 0.1 * torch.randn(8, 32, 16, 16), 50.0 * torch.randn(8, 32, 8, 8) - 7.0]
    fine, coarse = projected.Mixing(maps, (256, 256))(maps)
    for mixture, deviation in ((coarse, 1.0), (fine, (0.5 * 1.0 + 0.5 * 0.4) ** 0.5)):  # enlarging white noise dims it
        assert mixture.mean(dim=(0, 2, 3)).abs().max() < 0.15
        assert float(mixture.std()) == pytest.approx(deviation, rel=0.1)


def test_the_size_of_a_backbones_numbers_does_not_matter():
    class Louder(nn.Module):
        def __init__(self, quiet):
            super().__init__()
            self.quiet = quiet

        def forward(self, images):
            return [factor * maps + 5.0 for factor, maps in zip((1000.0, 0.01, 7.0), self.quiet(images), strict=True)]

    quiet, images, found = network(), pictures(), []
    for backbone in (quiet, Louder(quiet)):
        torch.manual_seed(3)
        found.append(discriminator(backbone=Features(backbone, name="eyes")).eval()(images))
    torch.testing.assert_close(*found, atol=1e-3, rtol=1e-3)


def test_a_map_that_is_the_same_everywhere_does_no_harm():
    class Blind(nn.Module):
        def forward(self, images):
            return [images, torch.zeros_like(images[:, :, ::2, ::2])]

    logits = discriminator(backbone=Features(Blind(), name="half blind"))(pictures())
    assert logits.isfinite().all()
    assert logits.std() > 0


def test_the_four_coarsest_maps_are_looked_at():
    judge = discriminator(backbone=eyes((3, 4, 5, 6, 7)), width=2)
    _, mixtures = judge.examine(pictures())
    assert [tuple(each.shape[1:]) for each in mixtures] == [(2, 32, 32), (4, 16, 16), (8, 8, 8), (16, 4, 4)]
    assert judge.mixing.get_buffer("channels_0").shape == (2, 4, 1, 1)


# --- what is shown -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "resolution", "shown"),
    [
        (32, None, (32, 32)),  # the coarsest map has 8 places
        (16, None, (16, 16)),
        (12, None, (16, 16)),
        ((8, 20), None, (16, 40)),
        (32, 64, (64, 64)),
        ((32, 48), 16, (16, 24)),
    ],
)
def test_the_backbone_is_shown_images_of_the_resolution(size, resolution, shown):
    judge, sizes = discriminator(size=size, resolution=resolution), []
    judge.backbone.register_forward_hook(lambda _, given, __: sizes.append(tuple(given[0].shape[2:])))
    height, width = (size, size) if isinstance(size, int) else size
    assert judge(pictures((height, width))).isfinite().all()
    assert sizes == [judge.shown] == [shown]


def test_an_even_picture_stays_even_when_it_is_resized():
    """Enlarged or shrunk, so that a backbone sees the colours that are there."""
    for resolution in (16, 80):
        judge, given = discriminator(resolution=resolution), []
        judge.backbone.register_forward_hook(lambda _, shown, __, given=given: given.append(shown[0]))
        judge(torch.full((1, 3, 32, 32), 0.3))
        torch.testing.assert_close(given[0], torch.full((1, 3, resolution, resolution), 0.3))


def test_a_size_that_the_backbone_cannot_see_is_refused():
    with pytest.raises(CardiganError, match=r"small eyes fails on images of 2x2 pixels .* Use\s*larger images"):
        discriminator(resolution=2)


@pytest.mark.parametrize("size", [32, 64, 100, 128, 256, (48, 80)])
def test_each_scale_gives_as_many_logits(size):
    height, width = (size, size) if isinstance(size, int) else size
    judge = discriminator(size=size, width=2)
    images = pictures((height, width), count=2)
    logits, mixtures = judge.examine(images)
    counts = [head(mixture, None).shape[1] for head, mixture in zip(judge.heads, mixtures, strict=True)]
    assert len(set(counts)) == 1
    assert 4 * 4 <= counts[0] <= 7 * 14
    assert logits.shape == (2, sum(counts))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("classes", [0, 3])
def test_images_of_one_to_four_channels_with_and_without_classes(channels, classes):
    judge = discriminator(channels=channels, classes=classes)
    labels = torch.tensor([0, 1, 2, 0]) if classes else None
    logits = judge(pictures(channels=channels), labels)
    assert logits.shape == (4, 3 * 16)
    assert logits.isfinite().all()


# --- what is judged ------------------------------------------------------------------------------------------------


def test_to_examine_is_to_judge_and_to_tell_from_what():
    judge, images = discriminator().eval(), pictures()
    logits, mixtures = judge.examine(images)
    assert torch.equal(logits, judge(images))
    heads = [head(mixture, None) for head, mixture in zip(judge.heads, mixtures, strict=True)]
    assert torch.equal(logits, torch.cat(heads, dim=1))
    assert [each.shape[1] for each in mixtures] == [4, 8, 16]


@pytest.mark.parametrize("classes", [0, 3])
def test_an_image_is_judged_alone(classes):
    judge = discriminator(classes=classes)
    labels = torch.tensor([0, 1, 2, 0]) if classes else None
    assert judge.independent
    for mode in (True, False):
        images = pictures().requires_grad_()
        (gradient,) = torch.autograd.grad(judge.train(mode)(images, labels)[1].square().sum(), images)
        assert gradient[1].abs().max() > 0
        assert not gradient[[0, 2, 3]].any()
    alone = torch.cat([judge(images[i : i + 1], labels if labels is None else labels[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(alone, judge(images, labels), atol=1e-5, rtol=1e-4)


def test_a_class_adds_the_same_to_each_logit_of_a_head():
    judge, images = discriminator(classes=3).eval(), pictures(count=1)
    one, other = (judge(images, torch.tensor([label]))[0].unflatten(0, (3, 16)) for label in (0, 2))
    torch.testing.assert_close(other - one, (other - one)[:, :1].expand(3, 16), atol=1e-5, rtol=1e-4)
    assert (other - one)[:, 0].abs().min() > 1e-4


def test_every_trained_layer_is_spectrally_normalised():
    judge = discriminator(classes=3)
    layers = [module for module in judge.heads.modules() if isinstance(module, nn.Conv2d | nn.Embedding | nn.Linear)]
    assert len(layers) == (3 + 2 + 1) + 3 * 3, "halvings; and for each head two convolutions and the classes"
    for _ in range(30):
        judge(pictures(), torch.tensor([0, 1, 2, 0]))
    judge.eval()
    for layer in layers:
        assert parametrize.is_parametrized(layer, "weight")
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert float(largest) == pytest.approx(1.0, abs=0.05)


# --- gradients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", [40, 12])
def test_the_slope_reaches_every_pixel_and_is_right(resolution):
    """Also where images are shrunk, which without smoothing would pass pixels over."""
    judge = discriminator(resolution=resolution).double().eval()
    judge.backbone.double()
    images = pictures(count=1).double().requires_grad_()
    (slope,) = torch.autograd.grad(judge(images).sum(), images)
    assert (slope != 0).float().mean() > 0.99
    direction = torch.randn_like(images)
    step = 1e-6 * direction
    with torch.no_grad():
        rise = (judge(images + step).sum() - judge(images - step).sum()) / 2e-6
    assert float((slope * direction).sum()) == pytest.approx(float(rise), rel=1e-4)


def test_the_backbone_is_asked_once_a_step_and_keeps_a_graph_for_the_generator_only():
    run, asked = training(), []
    run.gan.discriminator.backbone.register_forward_hook(
        lambda _, images, maps: asked.append((len(images[0]), maps[-1].requires_grad))
    )
    run.turn(data(batch_size=4), together())
    assert asked == [(8, False), (4, True)]


def test_penalties_on_slopes_can_be_differentiated():
    run = training(terms=(regularizers.R1(1.0, every=2),))
    for _ in range(4):
        record = run.turn(data(), alternate(discriminator=3, generator=1))
        assert all(loss.isfinite() for loss in record.losses.values())
    images = pictures().requires_grad_()
    judge = run.gan.discriminator
    (slopes,) = torch.autograd.grad(judge(images).sum(), images, create_graph=True)
    second = torch.autograd.grad(slopes.square().sum(), judge.heads.parameters(), allow_unused=True)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in second)
    assert all(gradient is None or gradient.isfinite().all() for gradient in second)


def test_the_heads_learn_to_tell_fine_stripes_from_coarse():
    def stripes(period, count=8):
        phase = torch.rand(count, 1, 1, 1) * period
        return torch.sin(2 * torch.pi * (torch.arange(32.0) + phase) / period).expand(count, 3, 32, 32) * 0.8

    judge = discriminator()
    optimizer = torch.optim.Adam(judge.parameters(), lr=2e-3, betas=(0.0, 0.99))
    for _ in range(60):
        loss = objectives.hinge().discriminator(real=judge(stripes(4)), fake=judge(stripes(9))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    real, fake = judge.eval()(stripes(4)), judge(stripes(9))
    assert real.mean(dim=1).min() > fake.mean(dim=1).max() + 0.5


# --- a network that was really pretrained --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mobilenet():
    root = Path(__file__).parents[2]
    path = root.parent / "shared" / "data" / "mobilenetv2-imagenet.npz"
    if not path.exists():
        pytest.skip("the shared weights mobilenetv2-imagenet.npz are not here")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "benchmarks"))
        patch.setenv("MOBILENET", str(path))
        yield load("mobilenet:backbone")


def test_a_pretrained_network_gives_four_scales_of_common_size(mobilenet):
    judge = discriminator(backbone=mobilenet, size=64, width=16)
    assert judge.shown == (64, 64)
    logits, mixtures = judge.examine(pictures((64, 64), count=16))
    assert [tuple(each.shape[1:]) for each in mixtures] == [(16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4)]
    assert logits.shape == (16, 64)
    assert all(0.3 < float(each.detach().square().mean().sqrt()) < 3.0 for each in mixtures)
    assert 0.02 < float(logits.detach().std()) < 2.0


def test_a_pretrained_network_is_enlarged_for_and_grey_is_colour(mobilenet):
    judge = discriminator(backbone=mobilenet, size=28, channels=1, width=4).eval()
    assert judge.shown == (64, 64)
    images = pictures((28, 28), channels=1).requires_grad_()
    (slope,) = torch.autograd.grad(judge(images).sum(), images)
    assert (slope != 0).float().mean() > 0.99


def test_the_recipe_trains_against_it(mobilenet):
    """As the table of docs/seeds/fastgan.md has it, but for a few images."""
    recipe = recipes.prepare("projected", recipes.Task(64, 64, 3), backbone="mobilenet:backbone", width=4, batch_size=4)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    training = Training(recipe.gan, optimizers=recipe.optimizers)
    before = [weight.clone() for weight in mobilenet.buffers()]
    records = [training.turn(batches(Store.from_arrays(pixels), batch_size=4), recipe.turns) for _ in range(2)]
    assert all(torch.isfinite(loss) for record in records for loss in record.losses.values())
    assert records[0].losses["generator/adversarial"] != records[1].losses["generator/adversarial"]
    frozen = recipe.gan.discriminator.backbone.buffers()
    assert all(torch.equal(one, other) for one, other in zip(before, frozen, strict=True))
