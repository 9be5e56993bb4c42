import numpy as np
import pytest
import torch

from cardigan import augment
from cardigan.augment import POLICIES, diffaugment
from cardigan.errors import CardiganError

SIDES = [(16, 16), (28, 28), (12, 32), (7, 9)]


def fixed(policy, images, seed=3):
    torch.manual_seed(seed)
    return policy(images)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_shape_and_type_are_kept(name, channels, device):
    for height, width in SIDES:
        images = torch.randn(6, channels, height, width, device=device)
        out = POLICIES[name](images)
        assert out.shape == images.shape
        assert out.dtype == images.dtype
        assert out.isfinite().all()


@pytest.mark.parametrize("name", POLICIES)
def test_each_image_is_changed_by_a_draw_of_its_own(name):
    one = torch.randn(1, 3, 16, 16)
    out = fixed(POLICIES[name], one.expand(64, -1, -1, -1))
    assert len({row.numpy().tobytes() for row in out}) >= 2
    if name != "flip":
        assert len({row.numpy().tobytes() for row in out}) > 15


@pytest.mark.parametrize("name", POLICIES)
def test_no_image_sees_its_batch_mates(name):
    images = torch.randn(6, 3, 16, 16)
    changed = torch.cat([images[:1], torch.randn(5, 3, 16, 16)])
    assert torch.equal(fixed(POLICIES[name], images)[0], fixed(POLICIES[name], changed)[0])


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_gradients_flow_through(name, channels):
    images = torch.randn(2, channels, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda pixels: fixed(POLICIES[name], pixels), images)


@pytest.mark.parametrize("name", POLICIES)
def test_penalties_can_differentiate_through_twice(name):
    images = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda pixels: fixed(POLICIES[name], pixels).square(), images)


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
        "There is no augmentation 'translate'. Did you mean 'translation'? Known: color, translation, cutout, flip."
    )
