"""Degradations, held against Pillow's own bicubic, JPEG and grey."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.data.degrade import Damage, Degradation, Pairs, parse
from cardigan.errors import CardiganError
from cardigan.pixels import to_float, to_uint8

KINDS = "downscale2 to downscale8, jpeg1 to jpeg95, noise1 to noise100 (or a range such as jpeg10-60), grey"


def noise(seed, shape=(48, 72, 3), low=30, high=226):
    """Pixels with room on both sides: Pillow clips between its two passes, which a picture of extremes would show."""
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def degraded(text, pixels, seed=0):
    """What becomes of one picture or several, as uint8."""
    images = to_float(torch.from_numpy(pixels if pixels.ndim == 4 else pixels[None]))
    result = parse(text)(images, rng=torch.Generator().manual_seed(seed))
    assert result.shape == images.shape
    torch.testing.assert_close(result, to_float(to_uint8(result)), rtol=0, atol=1e-6)  # on the 256 levels
    return to_uint8(result).numpy() if pixels.ndim == 4 else to_uint8(result)[0].numpy()


def pillow(pixels, do):
    """Pillow, one channel after the other."""
    return np.stack([np.asarray(do(Image.fromarray(plane))) for plane in np.moveaxis(pixels, 2, 0)], axis=2)


def bicubic(pixels, height, width):
    return pillow(pixels, lambda image: image.resize((width, height), Image.Resampling.BICUBIC))


def jpeg(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(pixels.shape)


def apart(one, other):
    """The largest difference, in levels."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def refusal(text):
    with pytest.raises(CardiganError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_down_scaling_is_pillows_bicubic(scale, channels):
    pixels = noise(scale, (48, 72, channels))
    small = parse(f"downscale{scale}").shrink(pixels)
    assert small.shape == (48 // scale, 72 // scale, channels)
    assert small.dtype == np.uint8
    assert apart(small, bicubic(pixels, 48 // scale, 72 // scale)) <= 1
    assert apart(small, pixels[::scale, ::scale]) > 20  # picking every so-manyth pixel would be another thing


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_what_a_generator_takes_is_pillows_enlargement(scale, channels):
    small = noise(scale, (5, 7, channels))
    enlarged = parse(f"downscale{scale}").prepare(small)
    assert (enlarged.shape, enlarged.dtype) == ((5 * scale, 7 * scale, channels), np.uint8)
    assert apart(enlarged, bicubic(small, 5 * scale, 7 * scale)) <= 1


@pytest.mark.parametrize(
    "text", ["downscale2", "downscale3", "downscale4", "downscale8", "downscale4+jpeg40", "jpeg30"]
)
@pytest.mark.parametrize("more", ["", "+grey"])
def test_a_pair_made_on_the_fly_is_what_a_user_would_hand_in(text, more):
    for seed in range(3):
        pixels, degradation = noise(seed), parse(text + more)
        source = degraded(text + more, pixels)
        assert apart(source, degradation.prepare(degradation.shrink(pixels))) <= 1
        assert apart(source, pixels) > 20


def test_edges_between_black_and_white_survive_the_same_comparison():
    pixels = np.zeros((96, 96, 3), np.uint8)
    pixels[20:60, 30:70] = 255
    degradation = parse("downscale4")
    assert apart(degraded("downscale4", pixels), degradation.prepare(degradation.shrink(pixels))) == 0


def scene(seed, height=144, width=192):
    """Like a photo: smooth light, hard edges, fine texture, and parts that are as dark or as bright as can be."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:height, :width]
    picture = 128 + 90 * np.sin(across / 40)[:, :, None] * np.cos(down / 25)[:, :, None] * np.array([1, 0.8, 0.6])
    for _ in range(12):
        top, left = rng.integers(0, height), rng.integers(0, width)
        picture[top : top + 30, left : left + 24] = rng.choice([0, 255, 40, 220], 3)
    return np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "text", ["downscale2", "downscale3", "downscale4", "downscale8", "downscale4+jpeg40", "jpeg30"]
)
def test_training_and_restoring_prepare_a_photo_alike(text):
    """Pillow's enlargement clips between its two passes; on scenes of black and white it was several levels off."""
    degradation = parse(text)
    for seed in range(3):
        small = degradation.shrink(scene(seed))
        assert apart(degraded(text, scene(seed)), degradation.prepare(small)) == 0
    if text == "downscale4":
        assert apart(degradation.prepare(small), bicubic(small, 144, 192)) > 1, "the scene shows it"


@pytest.mark.parametrize("text", ["downscale2", "downscale3", "downscale4", "downscale8+grey", "grey", "noise5"])
@pytest.mark.parametrize("channels", [1, 4])
def test_a_part_is_what_the_whole_would_show(text, channels):
    degradation, small = parse(text), noise(3, (90, 37, channels), low=0, high=256)
    whole = degradation.prepare(small)
    high, wide = whole.shape[:2]
    for top, bottom, left, right in [(0, high, 0, wide), (0, 1, 0, 1), (high - 1, high, 3, wide), (13, 78, 5, 18)]:
        part = degradation.prepare(small, rows=slice(top, bottom), columns=slice(left, right))
        assert part.shape == (bottom - top, right - left, channels)
        assert apart(part, whole[top:bottom, left:right]) <= 1
    assert degradation.prepare(small, rows=slice(4, 4)).shape == (0, wide, channels)


@pytest.mark.parametrize("quality", [5, 30, 75, 95])
def test_jpeg_is_pillows_own_file(quality):
    pixels = noise(1, (3, 40, 24, 3))
    for one, row in zip(degraded(f"jpeg{quality}", pixels), pixels, strict=True):
        np.testing.assert_array_equal(one, jpeg(row, quality))
    grey = noise(2, (40, 24, 1))
    np.testing.assert_array_equal(degraded(f"jpeg{quality}", grey), jpeg(grey, quality))
    assert parse(f"jpeg{quality}").shrink(grey).shape == (40, 24, 1)


def test_each_image_draws_a_quality_of_its_own_from_the_whole_range():
    pixels = np.repeat(noise(3, (1, 16, 16, 3)), 200, axis=0)
    found = degraded("jpeg20-22", pixels)
    expected = {jpeg(pixels[0], quality).tobytes(): quality for quality in (20, 21, 22)}
    counts = np.bincount([expected[each.tobytes()] for each in found], minlength=23)[20:]
    assert (len(counts), counts.sum()) == (3, 200)
    assert counts.min() > 200 / 3 - 5 * (200 * 2 / 9) ** 0.5


@pytest.mark.parametrize("level", [5, 25])
def test_noise_has_the_standard_deviation_that_it_says(level):
    pixels = np.full((8, 128, 128, 3), 128, np.uint8)
    found = degraded(f"noise{level}", pixels).astype(float) - 128
    count = found.size
    expected = (level**2 + 1 / 12) ** 0.5  # rounding to whole levels adds a twelfth to the variance
    assert found.std() == pytest.approx(expected, abs=5 * expected / (2 * count) ** 0.5)
    assert abs(found.mean()) < 5 * expected / count**0.5
    planes = found.transpose(0, 3, 1, 2).reshape(24, -1)
    correlations = np.corrcoef(planes) - np.eye(24)
    assert np.abs(correlations).max() < 6 / 128  # of every image and channel its own
    inside = [np.corrcoef(plane[:-step], plane[step:])[0, 1] for plane in planes for step in (1, 128)]
    assert np.abs(inside).max() < 6 / 128  # and of every pixel


def test_each_image_draws_a_noise_of_its_own_from_the_whole_range():
    pixels = np.full((200, 24, 24, 3), 128, np.uint8)
    deviations = degraded("noise5-30", pixels).astype(float).std(axis=(1, 2, 3))
    assert deviations.min() > 5 * 0.9
    assert deviations.max() < 30 * 1.1
    # Kolmogorov-Smirnov against a uniform draw; chance exceeds 0.14 once in a thousand.
    assert np.abs((np.sort(deviations) - 5) / 25 - np.linspace(0, 1, 200)).max() < 0.14


def test_grey_is_pillows_grey():
    pixels = noise(4, low=0, high=256)
    found = degraded("grey", pixels)
    assert apart(found, np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None].repeat(3, axis=2)) <= 1
    assert (found == found[:, :, :1]).all()
    np.testing.assert_array_equal(parse("grey").prepare(found), found)
    np.testing.assert_array_equal(
        parse("grey").prepare(pixels)[:, :, 1], np.asarray(Image.fromarray(pixels).convert("L"))
    )


def test_a_picture_that_is_handed_in_is_not_written_to():
    pixels = noise(4)
    pixels.flags.writeable = False
    before = pixels.copy()
    for text in ("grey", "downscale2", "jpeg20", "noise5"):
        parse(text).prepare(pixels)
        parse(text).shrink(pixels)
    np.testing.assert_array_equal(pixels, before)
    images = to_float(torch.from_numpy(before[None]))
    twin = images.clone()
    parse("grey+downscale2+jpeg20+noise5")(images, rng=torch.Generator())
    assert torch.equal(images, twin)


@pytest.mark.parametrize("text", ["jpeg10", "grey", "grey+jpeg20", "noise50"])
def test_alpha_passes_by_all_but_scaling(text):
    pixels = noise(5, (24, 32, 4), low=0, high=256)
    for found in (degraded(text, pixels), parse(text).shrink(pixels), parse(text).prepare(pixels)):
        np.testing.assert_array_equal(found[:, :, 3], pixels[:, :, 3])
    assert apart(degraded(text, pixels)[:, :, :3], pixels[:, :, :3]) > 20
    if text == "jpeg10":
        np.testing.assert_array_equal(degraded(text, pixels)[:, :, :3], jpeg(pixels[:, :, :3].copy(), 10))
        two = pixels[:, :, 2:]
        np.testing.assert_array_equal(degraded(text, two)[:, :, :1], jpeg(two[:, :, :1].copy(), 10))
        np.testing.assert_array_equal(degraded(text, two)[:, :, 1], two[:, :, 1])


@pytest.mark.parametrize("texts", [("downscale2", "jpeg20"), ("jpeg20", "downscale2"), ("grey", "jpeg20")])
def test_damages_happen_in_the_order_they_are_written(texts):
    pixels = noise(6)
    one, other = map(parse, texts)
    found = parse("+".join(texts)).shrink(pixels)
    np.testing.assert_array_equal(found, other.shrink(one.shrink(pixels)))
    assert (found != parse("+".join(reversed(texts))).shrink(pixels)).any()


def test_the_same_stream_gives_the_same_damage_and_another_does_not():
    pixels = noise(7, (2, 16, 16, 3))
    for text in ("noise20", "jpeg5-90", "noise5-25+jpeg40-60"):
        np.testing.assert_array_equal(degraded(text, pixels, seed=3), degraded(text, pixels, seed=3))
        assert (degraded(text, pixels, seed=3) != degraded(text, pixels, seed=4)).any()


ONE = st.one_of(
    st.just(Damage("grey")),
    st.tuples(st.sampled_from([("jpeg", 95), ("noise", 100)]), st.integers(1, 100), st.integers(1, 100)).map(
        lambda drawn: Damage(drawn[0][0], *sorted(min(each, drawn[0][1]) for each in drawn[1:]))
    ),
)


@given(others=st.lists(ONE, min_size=1, max_size=3), scale=st.integers(1, 8), at=st.integers(0, 3))
def test_texts_go_there_and_back(others, scale, at):
    if scale > 1:
        others = [*others[:at], Damage("downscale", scale, scale), *others[at:]]
    degradation = Degradation(tuple(others))
    assert parse(str(degradation)) == degradation
    assert parse(str(degradation)).scale == scale


def test_texts_are_read_as_people_write_them():
    assert parse(" JPEG40 + grey ") == Degradation((Damage("jpeg", 40, 40), Damage("grey")))
    assert parse("noise5-25+downscale4") == Degradation((Damage("noise", 5, 25), Damage("downscale", 4, 4)))
    assert [str(parse(text)) for text in ("jpeg30-30", "downscale8", "jpeg10-95")] == [
        "jpeg30",
        "downscale8",
        "jpeg10-95",
    ]
    assert parse("jpeg1+noise100").scale == 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        *((text, text) for text in ("", "blur3", "noise", "grey5", "grey-5", "jpeg-60", "jpeg10-", "jpeg1.5", "4")),
        ("grey+", ""),
        ("downscale2++grey", ""),
        ("grey+wind3", "wind3"),
    ],
)
def test_what_is_no_degradation_is_refused(text, part):
    assert refusal(text) == (
        f"degrade is {text!r}, and {part!r} is no degradation. Expected {KINDS}, or several joined by '+'."
    )


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("downscale1", "downscale takes one factor from 2 to 8"),
        ("downscale9", "downscale takes one factor from 2 to 8"),
        ("downscale2-4", "downscale takes one factor from 2 to 8"),
        ("jpeg0", "jpeg takes a strength, or two such as 10-60, from 1 to 95"),
        ("jpeg96", "jpeg takes a strength, or two such as 10-60, from 1 to 95"),
        ("jpeg60-10", "jpeg takes a strength, or two such as 10-60, from 1 to 95"),
        ("jpeg60-0", "jpeg takes a strength, or two such as 10-60, from 1 to 95"),
        ("noise0", "noise takes a strength, or two such as 10-60, from 1 to 100"),
        ("noise5-101", "noise takes a strength, or two such as 10-60, from 1 to 100"),
    ],
)
def test_strengths_out_of_range_are_refused(part, expected):
    assert refusal(f"grey+{part}") == f"degrade is 'grey+{part}': {expected}, got {part!r}."


def test_noise_on_a_grey_picture_is_grey_and_as_strong_as_asked():
    flat = np.full((64, 64, 3), (120, 130, 110), np.uint8)
    found = degraded("grey+noise20", flat).astype(float)
    assert (found == found[:, :, :1]).all()
    assert found[:, :, 0].std() == pytest.approx(20, rel=0.06)
    np.testing.assert_array_equal(parse("grey+noise20").prepare(found.astype(np.uint8)), found)


def test_down_scaling_twice_is_refused():
    assert refusal("downscale2+grey+downscale3") == (
        "degrade is 'downscale2+grey+downscale3': it can down-scale once only. Use one larger factor."
    )


def test_sides_that_the_factor_does_not_divide_are_refused():
    for shape in ((30, 32, 3), (32, 30, 3)):
        with pytest.raises(CardiganError) as caught:
            degraded("downscale4", noise(8, shape))
        assert str(caught.value) == (
            f"Images of {shape[0]}x{shape[1]} pixels cannot be scaled down 4 times: choose a --size that is a "
            "multiple of 4."
        )


@pytest.mark.parametrize("channels", [1, 2])
def test_grey_images_have_no_colours_to_bring_back(channels):
    with pytest.raises(CardiganError) as caught:
        degraded("grey", noise(9, (16, 16, channels)))
    assert str(caught.value) == (
        "degrade is 'grey', but the images have no colours to bring back: use --set channels=3."
    )
    assert parse("grey").prepare(noise(9, (16, 16, channels))).shape == (16, 16, channels)


def pairs(text, pixels, *, seed=0, order=0, **options):
    return Pairs(batches(Store.from_arrays(pixels), seed=order, **options), parse(text), seed=seed)


def test_pairs_hold_the_clean_image_and_what_became_of_it():
    pixels = noise(10, (12, 16, 24, 3))
    store = Store.from_arrays(pixels, np.arange(12) % 3)
    drawn = Pairs(batches(store, batch_size=5, flip=True), parse("jpeg90"))
    plain = batches(store, batch_size=5, flip=True)
    assert drawn.batch_size == 5
    for clock in (0, 5, 10):  # the last one straddles two passes
        batch, expected = drawn.at(clock), plain.at(clock)
        for field in ("real", "labels", "indices"):
            assert torch.equal(getattr(batch, field), getattr(expected, field))
        for source, real in zip(to_uint8(batch.source).numpy(), to_uint8(batch.real).numpy(), strict=True):
            np.testing.assert_array_equal(source, jpeg(real, 90))


def test_pairs_are_a_function_of_seed_and_clock_alone():
    pixels = noise(11, (12, 16, 16, 3))
    one = pairs("noise5-25+jpeg10-90", pixels, batch_size=4)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    for clock in (0, 8, 400, 4, 8, 0):
        fresh = pairs("noise5-25+jpeg10-90", pixels, batch_size=4)
        assert torch.equal(one.at(clock).source, fresh.at(clock).source)
    assert torch.equal(torch.rand(3), expected)


def test_noise_depends_on_the_seed_and_the_clock_and_on_no_picture():
    def added(level, **options):
        clock = options.pop("clock", 0)
        batch = pairs("noise10", np.full((12, 16, 16, 3), level, np.uint8), batch_size=4, **options).at(clock)
        return to_uint8(batch.source).int() - to_uint8(batch.real).int()

    known = added(100)
    # The same noise; where it lies half way between two levels, a float of another picture rounds the other way.
    difference = (known - added(150)).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3
    assert torch.equal(known, added(100, order=7))
    for other in (added(100, seed=1), added(100, clock=4), added(100, clock=12)):
        assert (known != other).float().mean() > 0.9
