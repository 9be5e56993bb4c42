import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cardigan import augment
from cardigan.augment import POLICIES, adaptive, diffaugment, policies, sometimes
from cardigan.errors import CardiganError

SIDES = [(16, 16), (28, 28), (12, 32), (7, 9)]


def fixed(policy, images, seed=3):
    torch.manual_seed(seed)
    return policy(images)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_shape_and_type_are_kept(name, channels, device):
    for height, width in SIDES:
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            images = torch.randn(6, channels, height, width, device=device).to(dtype)
            out = POLICIES[name](images)
            assert out.shape == images.shape
            assert out.dtype == images.dtype
            assert out.isfinite().all()


@pytest.mark.parametrize("name", POLICIES)
def test_each_image_is_changed_by_a_draw_of_its_own(name):
    one = torch.randn(1, 3, 16, 16)
    out = fixed(POLICIES[name], one.expand(64, -1, -1, -1))
    different = len({row.numpy().tobytes() for row in out})
    if name in ("flip", "rotation"):
        assert different == {"flip": 2, "rotation": 4}[name]
    else:
        assert different > 15


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_seed_gives_the_same_draw_and_another_gives_another(name):
    images = torch.randn(16, 3, 16, 16)
    before = images.clone()
    assert torch.equal(fixed(POLICIES[name], images), fixed(POLICIES[name], images))
    assert not torch.equal(fixed(POLICIES[name], images), fixed(POLICIES[name], images, seed=4))
    assert torch.equal(images, before), "the images that came in were written to"


@pytest.mark.parametrize("name", POLICIES)
def test_no_image_sees_its_batch_mates(name):
    images = torch.randn(6, 3, 16, 16)
    changed = torch.cat([images[:1], torch.randn(5, 3, 16, 16)])
    assert torch.equal(fixed(POLICIES[name], images)[0], fixed(POLICIES[name], changed)[0])


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_left_alone_by_color_and_else_goes_with_the_picture(name, channels):
    alpha = torch.rand(32, 1, 8, 8)
    out = POLICIES[name](alpha.expand(-1, channels, -1, -1))
    assert torch.equal(out[:, -1], alpha[:, 0] if name == "color" else out[:, 0])
    assert not torch.equal(out[:, 0], alpha[:, 0])


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 5, 4), (2, 4, 4), (3, 4, 5), (4, 3, 3)])
def test_gradients_flow_through(name, channels, height, width):
    images = torch.randn(3, channels, height, width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda pixels: fixed(POLICIES[name], pixels), images)
    assert torch.autograd.gradcheck(lambda pixels: fixed(lambda x: sometimes(POLICIES[name], x, 0.5), pixels), images)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(("height", "width"), [(3, 3), (3, 4)])
def test_penalties_can_differentiate_through_twice(name, height, width):
    images = torch.randn(3, 3, height, width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda pixels: fixed(POLICIES[name], pixels).square(), images)
    half = adaptive(name)
    half.probability.fill_(0.5)
    assert torch.autograd.gradgradcheck(lambda pixels: fixed(half, pixels).square(), images)


@pytest.mark.parametrize("name", POLICIES)
def test_nothing_waits_for_the_device(name):
    """Tensors on the meta device hold no numbers, so whoever looked at one would fail."""
    on_meta = adaptive(name).to("meta")
    images = torch.empty(4, 3, 8, 8, device="meta")
    assert on_meta(images).shape == images.shape
    on_meta.observe(torch.empty(4, 2, device="meta"), images=4)
    assert all(gauge.shape == () for gauge in on_meta.gauges().values())


def moved(image, down, right):
    """The image shifted, 0 coming in from outside, by plain loops."""
    out = np.zeros_like(image)
    height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                out[row, column] = image[row - down, column - right]
    return out


@pytest.mark.parametrize(("height", "width"), SIDES)
def test_translation_moves_by_up_to_an_eighth_and_fills_with_the_middle(height, width):
    picture = np.arange(1.0, height * width + 1).reshape(height, width)
    most = max(height // 8, 1), max(width // 8, 1)
    expected = {
        (down, right): moved(picture, down, right)
        for down in range(-most[0], most[0] + 1)
        for right in range(-most[1], most[1] + 1)
    }
    out = augment.translation(torch.tensor(picture).expand(2000, 1, -1, -1))[:, 0].numpy()
    found = {shift for shift, image in expected.items() if (out == image).all(axis=(1, 2)).any()}
    assert found == set(expected)
    known = {image.tobytes() for image in expected.values()}
    assert all(image.tobytes() in known for image in out)


def shifts(side, count=20_000):
    """How far each of many images was moved along its height and, drawn apart, along its width, (2, count)."""
    ramp = torch.arange(1.0, side + 1)[:, None].expand(count, 1, -1, 4)
    down = augment.translation(ramp)[:, 0, side // 2, 2]
    right = augment.translation(ramp.mT)[:, 0, 2, side // 2]
    return (side // 2 + 1 - torch.stack([down, right])).long()


@pytest.mark.parametrize(("side", "unit", "most"), [(16, 1, 2), (32, 1, 4), (56, 1, 7), (64, 2, 8), (96, 2, 12)])
def test_translation_moves_by_multiples_of_a_unit_that_grows_with_the_side(side, unit, most):
    expected = torch.arange(-most, most + 1, unit)
    for moved_by in shifts(side):
        values, counts = moved_by.unique(return_counts=True)
        assert torch.equal(values, expected)
        share = counts / counts.sum() * len(expected)
        torch.testing.assert_close(share, torch.ones(len(expected)), atol=0.15, rtol=0.0)


@pytest.mark.parametrize("side", [64, 80, 112, 128])
def test_images_move_by_twice_what_their_halves_do(side):
    """With one seed exactly, so their distributions are the same."""
    torch.manual_seed(3)
    whole = shifts(side, count=1000)
    torch.manual_seed(3)
    assert torch.equal(whole, 2 * shifts(side // 2, count=1000))
    assert whole.unique().numel() > 8


@pytest.mark.parametrize(("height", "width", "factor"), [(64, 64, 2), (64, 96, 2), (128, 128, 2), (256, 256, 8)])
def test_shifted_images_shrink_to_shifted_images(height, width, factor):
    """A border at half its value would tell shrunk real images from small ones that were shifted themselves."""
    out = augment.translation(torch.ones(100, 1, height, width))
    assert set(F.avg_pool2d(out, factor).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("height", "width", "factor"), [(64, 64, 2), (80, 112, 2), (128, 128, 2), (256, 256, 8)])
def test_holes_shrink_to_holes(height, width, factor):
    out = augment.cutout(torch.ones(100, 1, height, width))
    assert set(F.avg_pool2d(out, factor).unique().tolist()) == {0.0, 1.0}


def test_images_below_64_pixels_move_as_they_always_did():
    images = torch.arange(1.0, 64 * 56 * 56 + 1).reshape(64, 1, 56, 56)
    torch.manual_seed(3)
    up, left = (torch.randint(-7, 8, (64,)).tolist() for _ in range(2))
    draws = zip(images[:, 0].numpy(), up, left, strict=True)
    expected = [moved(image, -rows, -columns) for image, rows, columns in draws]
    assert np.array_equal(fixed(augment.translation, images)[:, 0].numpy(), np.stack(expected))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (28, 32), (12, 8)])
def test_cutout_blanks_a_square_of_half_the_sides_also_partly_outside(height, width):
    out = augment.cutout(torch.ones(3000, 2, height, width))
    assert torch.equal(out[:, 0], out[:, 1])
    blank = out[:, 0] == 0
    heights, widths = blank.any(dim=2).sum(dim=1), blank.any(dim=1).sum(dim=1)
    assert torch.equal(blank.sum(dim=(1, 2)), heights * widths), "not a rectangle"
    assert heights.max() == height // 2
    assert widths.max() == width // 2
    assert heights.min() == height // 4  # its middle may lie on the border
    assert blank.any(dim=0).all(), "some place is never blanked"
    whole = (heights == height // 2) & (widths == width // 2)
    assert 0.1 < whole.float().mean() < 0.5


@pytest.mark.parametrize("channels", [1, 2])
def test_color_of_grey_images_is_brightness_then_contrast(channels):
    images = torch.rand(4000, channels, 4, 4) * 2 - 1
    out = augment.color(images)
    before, after = images[:, 0].flatten(1), out[:, 0].flatten(1)
    brightness = after.mean(dim=1) - before.mean(dim=1)  # contrast turns about the mean
    contrast = after.std(dim=1) / before.std(dim=1)
    rebuilt = (before - before.mean(dim=1, keepdim=True)) * contrast[:, None] + after.mean(dim=1, keepdim=True)
    torch.testing.assert_close(rebuilt, after, atol=1e-5, rtol=1e-4)
    for values, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5)):
        assert low - 1e-4 <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high + 1e-4
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.03)


@pytest.mark.parametrize("channels", [3, 4])
def test_color_of_colour_images_also_changes_saturation(channels):
    images = torch.rand(4000, channels, 3, 3) * 2 - 1
    before, after = images[:, :3], augment.color(images)[:, :3]
    grey_before, grey_after = before.mean(dim=1, keepdim=True), after.mean(dim=1, keepdim=True)
    contrast = grey_after.flatten(1).std(dim=1) / grey_before.flatten(1).std(dim=1)  # saturation leaves grey alone
    both = (after - grey_after).flatten(1).norm(dim=1) / (before - grey_before).flatten(1).norm(dim=1)
    saturation = both / contrast
    assert 0.0 <= saturation.min() < 0.01
    assert 1.99 < saturation.max() <= 2.0 + 1e-3
    assert 0.5 - 1e-4 <= contrast.min() < 0.51
    assert 1.49 < contrast.max() <= 1.5 + 1e-4
    turned = (after - grey_after) - (before - grey_before) * both[:, None, None, None]
    assert turned.abs().max() < 1e-4, "the hue is kept"


@pytest.mark.parametrize("channels", [2, 4])
def test_color_leaves_alpha_alone(channels):
    images = torch.rand(8, channels, 5, 5)
    out = augment.color(images)
    assert torch.equal(out[:, -1], images[:, -1])
    assert (out[:, 0] != images[:, 0]).any()


def test_flip_mirrors_half_of_the_images():
    images = torch.randn(1000, 2, 3, 5)
    out = augment.flip(images)
    mirrored = torch.stack(
        [torch.equal(new, old.flip(2)) * torch.ones(()) for new, old in zip(out, images, strict=True)]
    )
    kept = torch.stack([torch.equal(new, old) * torch.ones(()) for new, old in zip(out, images, strict=True)])
    assert torch.equal(mirrored + kept, torch.ones(1000))
    assert 430 < mirrored.sum() < 570


def test_rotation_turns_square_images_by_each_quarter():
    images = torch.randn(2000, 2, 5, 5)
    out = augment.rotation(images)
    turns = [(out == images.rot90(count, (2, 3))).flatten(1).all(dim=1) for count in range(4)]
    assert torch.stack(turns).sum(dim=0).eq(1).all()
    assert all(0.21 < turned.float().mean() < 0.29 for turned in turns)


def test_rotation_turns_other_images_by_half():
    images = torch.randn(1000, 1, 4, 6)
    out = augment.rotation(images)
    kept, turned = ((out == images.rot90(count, (2, 3))).flatten(1).all(dim=1) for count in (0, 2))
    assert (kept ^ turned).all()
    assert 430 < turned.sum() < 570


def zoomed_by_torch(images, factor):
    """Each image zoomed by its factor, (B,), by torch's own sampling."""
    theta = torch.zeros(len(images), 2, 3, dtype=images.dtype)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / factor
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@pytest.mark.parametrize(("height", "width"), SIDES)
def test_scaling_zooms_about_the_middle_by_its_factor(height, width):
    slope = torch.linspace(-1, 1, width, dtype=torch.float64).expand(500, 1, height, width)
    images = torch.cat([slope, torch.randn(500, 1, height, width, dtype=torch.float64)], dim=1)
    out = augment.scaling(images)
    # Interpolation keeps a slope straight, so the two places in the middle tell the factor.
    row, column = height // 2, width // 2
    steps = [each[:, 0, row, column] - each[:, 0, row, column - 1] for each in (images, out)]
    factor = steps[0] / steps[1]
    torch.testing.assert_close(out, zoomed_by_torch(images, factor), atol=1e-4, rtol=1e-4)
    assert 0.8 - 1e-4 <= factor.min() < 0.805
    assert 1.24 < factor.max() <= 1.25 + 1e-4
    assert factor.log().mean().abs() < 0.025, "zoomed in more often than out, or the reverse"
    assert factor.log().std().item() == pytest.approx(math.log(1.25) / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize(("height", "width"), SIDES)
def test_zooming_by_known_factors(height, width):
    images = torch.randn(3, 2, height, width)
    assert torch.equal(policies._zoomed(images, torch.ones(3, 1, 1, 1)), images)
    twice = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)
    top, left = height / 2, width / 2
    if top.is_integer() and left.is_integer():
        middle = twice[:, :, int(top) : int(top) + height, int(left) : int(left) + width]
        torch.testing.assert_close(policies._zoomed(images, torch.full((3, 1, 1, 1), 2.0)), middle)


def test_scaling_keeps_constants_inside_and_brings_in_the_middle_of_the_range():
    out = augment.scaling(torch.ones(500, 1, 40, 60))
    torch.testing.assert_close(out[:, :, 5:-5, 7:-7], torch.ones(500, 1, 30, 46))
    outermost = out[:, 0, 0, 0]
    assert ((outermost < 1e-6) | (outermost > 1 - 1e-5)).float().mean() > 0.7
    assert out.min() >= 0
    assert 0.3 < (outermost > 1 - 1e-5).float().mean() < 0.6
    assert (outermost < 1e-6).float().mean() > 0.3


@pytest.mark.parametrize("name", POLICIES)
def test_sometimes_applies_a_policy_to_its_share_of_the_images(name):
    images = torch.randn(4000, 3, 6, 6)

    def changed(probability):
        out = sometimes(POLICIES[name], images, probability)
        return (out != images).flatten(1).any(dim=1)

    always = changed(1.0).float().mean().item()
    assert always == pytest.approx({"flip": 0.5, "rotation": 0.75, "translation": 8 / 9}.get(name, 1.0), abs=0.03)
    assert not changed(0.0).any()
    assert not changed(torch.zeros(())).any()
    for probability in (0.2, torch.tensor(0.7)):
        assert changed(probability).float().mean().item() == pytest.approx(always * float(probability), abs=0.03)


def test_what_sometimes_changes_it_changes_wholly():
    images = torch.randn(400, 1, 4, 4)
    out = sometimes(lambda pixels: -pixels, images, 0.3)
    kept, negated = ((out == sign * images).flatten(1).all(dim=1) for sign in (1, -1))
    assert (kept ^ negated).all()


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan, "often", None])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(CardiganError) as caught:
        sometimes(augment.flip, torch.zeros(1, 1, 2, 2), wrong)
    assert str(caught.value) == f"probability is {wrong!r}, expected a number from 0 to 1. Type probability=0.5."


def test_policies_act_in_their_order():
    images = torch.randn(4, 3, 16, 16)
    torch.manual_seed(3)
    expected = augment.cutout(augment.color(images))
    assert torch.equal(fixed(diffaugment("color", "cutout"), images), expected)
    assert torch.equal(diffaugment()(images), images)
    assert repr(diffaugment("color", "flip")) == "DiffAugment(policies=('color', 'flip'))"


def test_an_unknown_policy_is_named_with_its_nearest():
    with pytest.raises(CardiganError) as caught:
        diffaugment("color", "translate")
    assert str(caught.value) == (
        "There is no augmentation 'translate'. Did you mean 'translation'? Known: color, translation, cutout, flip, "
        "rotation, scaling."
    )
