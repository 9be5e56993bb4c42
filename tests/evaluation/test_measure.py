"""What is known about samples: the protocol of it, and the cheater gauntlet."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cardigan.data import Store
from cardigan.data.holding import hold_out
from cardigan.errors import CardiganError
from cardigan.evaluation.extractors import extractor as named
from cardigan.evaluation.extractors_arithmetic import gradients
from cardigan.evaluation.extractors_contract import Extractor, Seen
from cardigan.evaluation.measure import Origin, Real, measure

COUNT = 340
"""In each of three parts."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.fixture(scope="module")
def real(pictures):
    """400 training images and 120 held-out ones, of ten kinds."""
    images, labels = pictures(520)
    return Real(images[:400], images[400:], labels[:400], tuple("abcdefghij"))


def split(images):
    return [images[place * COUNT : (place + 1) * COUNT] for place in range(3)]


def blurred(images):
    return np.stack([np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.6))) for image in images])


def as_jpeg(images):
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=85)
        with Image.open(file) as opened:
            found.append(np.asarray(opened))
    return np.stack(found)


def again(images):
    """Of ``images`` as many as three parts take, from the first on again and again."""
    return images[np.arange(3 * COUNT) % len(images)]


CHEATS = {
    "new images": (lambda real, new: new(3 * COUNT, seed=1)[0], set()),
    "copies": (lambda real, new: again(real.training), {"copies", "repeats"}),
    "blurred copies": (lambda real, new: again(blurred(real.training)), {"copies", "repeats"}),
    "mirrored copies": (lambda real, new: again(real.training[:, :, ::-1]), {"copies", "repeats"}),
    "a twentieth of copies": (
        lambda real, new: np.concatenate([new(3 * COUNT - 51, seed=1)[0], real.training[:51]])[
            np.random.default_rng(0).permutation(3 * COUNT)
        ],
        {"copies"},
    ),
    "five of ten classes": (lambda real, new: new(3 * COUNT, seed=1, kinds=5)[0], {"missing classes", "narrow"}),
    "one image": (lambda real, new: np.repeat(new(1, seed=1)[0], 3 * COUNT, axis=0), {"repeats", "missing classes"}),
    "fifty images": (lambda real, new: again(new(50, seed=1)[0]), {"repeats"}),
    "compressed": (lambda real, new: as_jpeg(new(3 * COUNT, seed=1)[0]), {"compressed"}),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_the_cheater_gauntlet(real, pictures, knows_colours, cache, cheat):
    make, expected = CHEATS[cheat]
    found = measure(split(make(real, pictures)), real, knows_colours, cache=cache)
    names = {finding.name for finding in found.findings if finding.alarm}
    assert names - {"narrow"} == expected - {"narrow"}
    assert names >= expected
    if not expected:
        assert names == set()
        assert found.scores[0].value < 3 * abs(found.scores[0].spread) + 0.01


@pytest.mark.parametrize("features", ["pixels", "gradients"])
def test_what_needs_no_classes_is_found_without(real, pictures, cache, features):
    eyes = named(features, images=real.training)
    found = measure(split(pictures(3 * COUNT, seed=1, kinds=3)[0]), real, eyes, cache=cache)
    assert [finding.name for finding in found.findings if finding.alarm] == ["narrow"]
    assert "missing classes" not in [finding.name for finding in found.findings]
    fine = measure(split(pictures(3 * COUNT, seed=1)[0]), real, eyes, cache=cache)
    assert not [finding for finding in fine.findings if finding.alarm]


def test_two_hundred_samples_are_few(real, pictures, knows_colours, cache):
    found = measure([pictures(200, seed=1)[0]], real, knows_colours, cache=cache)
    assert [finding.name for finding in found.findings if finding.alarm] == ["few samples"]


def test_copies_are_found_without_held_out_images(real, pictures, knows_colours, cache):
    alone = Real(real.training, real.held_out[:0])
    found = measure([real.training[:300]], alone, knows_colours, cache=cache)
    names = {finding.name: finding.alarm for finding in found.findings}
    assert names["copies"]
    assert names["no floor"] is False
    new = measure([pictures(300, seed=1)[0]], alone, knows_colours, cache=cache)
    told = {finding.name: finding for finding in new.findings}
    assert not told["copies"].alarm
    assert told["copies"].text.startswith("Whether the generator copies cannot be tested without at least 5 held-out")


def test_a_real_split_has_no_alarm(pictures, knows_colours, cache):
    """The images that a split holds out, in the place of samples: what honest numbers look like."""
    images, _ = pictures(1600, seed=3)
    halves = hold_out(Store.from_arrays(images), share=0.5)
    known, samples = images[halves.training], images[halves.held]
    rest = hold_out(Store.from_arrays(known))
    found = measure([samples], Real(known[rest.training], known[rest.held]), knows_colours, cache=cache)
    assert {finding.name for finding in found.findings if finding.alarm} == {"few samples"}  # 800


def test_the_protocol_says_how_was_measured(real, pictures, knows_colours, cache):
    origin = Origin("averaged", 1.0, "as in the data", (7,), "cpu")
    parts = split(pictures(3 * COUNT, seed=1)[0])
    found = measure(parts, real, knows_colours, origin=origin, cache=cache).protocol
    assert found == measure(parts, real, knows_colours, origin=origin, cache=cache).protocol
    assert (found.extractor, found.digest, found.preprocessing) == ("colours", "c" * 64, "as they are")
    assert (found.device, found.shape, found.reference, found.real) == ("cpu", (32, 32, 3), "held-out", 120)
    assert (found.generated, found.compared, found.parts) == (340, 340, 3)
    assert (found.neighbours, found.points) == (5, 2)
    assert (found.weights, found.truncation, found.labels, found.seeds) == ("averaged", 1.0, "as in the data", (7,))
    fewer = measure(parts, Real(real.training[:200], real.held_out), knows_colours, origin=origin, cache=cache).protocol
    assert found.differences(fewer) == [("compared", 340, 200)]
    other = Real(real.training, np.concatenate([real.held_out[1:], real.held_out[:1]]))
    changed = measure(parts, other, knows_colours, origin=origin, cache=cache).protocol
    assert [name for name, _, _ in found.differences(changed)] == ["fingerprint"]


@pytest.mark.parametrize(("held", "reference"), [(49, "training"), (50, "held-out")])
def test_few_held_out_images_are_not_measured_against(real, pictures, knows_colours, cache, held, reference):
    less = Real(real.training, real.held_out[:held])
    found = measure([pictures(100, seed=1)[0]], less, knows_colours, cache=cache)
    assert found.protocol.reference == reference
    assert found.protocol.real == {"training": 400, "held-out": 50}[reference]
    floors = [score.floor for score in found.scores if score.metric != "is"]
    assert (None in floors) == (reference == "training")
    names = [finding.name for finding in found.findings]
    assert ("no floor" in names, "few real images" in names) == (reference == "training", reference == "held-out")


def test_the_device_of_the_protocol_is_the_one_that_was_looked_on(real, pictures, tmp_path):
    looked = []
    plain = of("nothing", "counted")
    eyes = dataclasses.replace(plain, look=lambda images: looked.append(len(images)) or plain.look(images))
    everything = 60 + len(real.training) + len(real.held_out)
    for device, images in (("cpu", everything), ("cuda", 2 * everything), ("cpu", 2 * everything)):
        found = measure([pictures(60, seed=1)[0]], real, eyes, origin=Origin(device=device), cache=tmp_path)
        assert (found.protocol.device, sum(looked)) == (device, images)


def test_the_card_has_every_score_in_its_order(real, pictures, knows_colours, cache):
    found = measure(split(pictures(3 * COUNT, seed=1)[0]), real, knows_colours, cache=cache).scores
    assert [score.metric for score in found] == [
        *("kid", "fd", "fd-infinity", "precision", "recall", "density", "coverage", "authenticity", "is"),
    ]
    plain, endless = found[1:3]
    assert 0 < endless.value < plain.value
    assert endless.floor < plain.floor
    through = measure(split(pictures(3 * COUNT, seed=1)[0]), real, gradients(), cache=cache).scores[2]
    assert (through.metric, through.value) == ("fd-infinity", None)
    assert through.note.startswith("not given: of 440 features it takes 441 real and 882 generated images or more, and")


def test_classes_are_measured_where_they_were_drawn(real, pictures, knows_colours, cache):
    images, labels = pictures(3 * COUNT, seed=1)
    wrong = images.copy()
    wrong[labels == 4] = images[labels == 7][np.arange((labels == 4).sum()) % (labels == 7).sum()]
    found = measure(split(wrong), real, knows_colours, labels=split(labels), cache=cache).classes
    assert list(found) == list("abcdefghij")
    assert max(found, key=found.get) == "e"
    assert found["e"] > 20 * found["h"]
    assert measure(split(wrong), real, knows_colours, cache=cache).classes == {}
    nameless = Real(real.training, real.held_out)
    assert measure(split(wrong), nameless, knows_colours, labels=split(labels), cache=cache).classes == {}


def of(learned_from, name="eyes", classes=0):
    def look(images):
        chances = np.full((len(images), classes), 1 / classes, np.float32) if classes else None
        return Seen(images.reshape(len(images), -1)[:, :8].astype(np.float32), chances)

    digest = f"{learned_from}{name}".encode().hex()
    return Extractor(name, digest, "as they are", 8, look=look, learned_from=learned_from, classes=classes)


@pytest.mark.parametrize(
    ("through", "eyes", "told"),
    [
        ("", of("ImageNet"), None),
        ("timm:vgg16", of("nothing"), None),
        ("timm:vgg16", of("ImageNet", "inception"), "timm:vgg16, and inception learned from ImageNet as well: its"),
        (
            "timm:vgg16",
            of("ImageNet (as most of timm's networks)"),
            "timm:vgg16, and eyes learned from ImageNet as well",
        ),
        (
            "mine.safetensors",
            of("unknown", "mine.safetensors"),
            "mine.safetensors, and is measured through the same one",
        ),
        ("mine.safetensors", of("ImageNet"), "Whether eyes learned from the same images is not known; if so, its"),
        ("timm:vgg16", of("LVD-142M"), "Whether eyes learned from the same images is not known; if so, its"),
    ],
)
def test_what_judged_in_training_does_not_judge_independently(real, pictures, cache, through, eyes, told):
    origin = Origin(looked_through=through)
    findings = measure([pictures(60, seed=1)[0]], real, eyes, origin=origin, cache=cache).findings
    found = [finding for finding in findings if finding.name == "not independent"]
    assert len(found) == (told is not None)
    for each in found:
        assert told in each.text
        assert each.text.startswith(f"The generator was trained to please a pretrained network, {through}")
        assert not each.alarm


def test_grey_images_through_eyes_for_photos_are_noted(real, pictures, cache):
    grey = Real(real.training[..., :1], real.held_out[..., :1])
    samples = [pictures(60, seed=1)[0]]
    for eyes, given, expected in (
        (of("ImageNet"), grey, True),
        (of("LVD-142M"), grey, True),
        (of("nothing"), grey, False),
        (of("ImageNet"), real, False),
    ):
        parts = [part[..., : given.training.shape[3]] for part in samples]
        findings = measure(parts, given, eyes, cache=cache).findings
        found = [finding for finding in findings if finding.name == "grey"]
        assert bool(found) == expected
        for each in found:
            assert each.text == (
                "eyes knows coloured photos, and these images are grey (as they are): numbers through it are relative "
                "only."
            )
            assert not each.alarm


def test_inceptions_classes_are_not_missed(real, pictures, cache):
    names = {
        eyes.learned_from: [finding.name for finding in measure([pictures(60)[0]], real, eyes, cache=cache).findings]
        for eyes in (of("ImageNet", classes=1008), of("unknown", "x.safetensors", classes=10))
    }
    assert "missing classes" not in names["ImageNet"]
    assert "missing classes" in names["unknown"]


def test_draws_are_not_searched_for_compression(real, pictures, cache):
    pressed = [as_jpeg(pictures(200, seed=1)[0])]
    for origin, expected in ((Origin(), True), (Origin(weights="averaged"), False)):
        findings = measure(pressed, real, gradients(), origin=origin, cache=cache).findings
        assert ("compressed" in [finding.name for finding in findings]) == expected


def message(*arguments):
    with pytest.raises(CardiganError) as caught:
        measure(*arguments)
    return str(caught.value)


def test_what_cannot_be_measured_is_told(real, pictures):
    images = pictures(20, seed=1)[0]
    eyes = gradients()
    assert message([], real, eyes) == "Scores take more than 5 samples in each part, got none. Draw more."
    assert message([images[:5]], real, eyes) == "Scores take more than 5 samples in each part, got 5. Draw more."
    few = Real(real.training[:5], real.held_out)
    assert message([images], few, eyes) == (
        "Scores take more than 5 real images to learn from, got 5. Measure against more."
    )
    assert message([images[:, :16]], real, eyes) == (
        "Samples and real images have one shape, got (16, 32, 3) beside (32, 32, 3). Bring all to one size and as many "
        "channels."
    )
    assert "got (32, 32, 1) beside" in message([images], Real(real.training, real.held_out[..., :1]), eyes)
    assert message([images, images[:10]], real, eyes) == "Parts have equally many samples, got 20, 10."
