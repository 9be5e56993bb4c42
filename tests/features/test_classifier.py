"""The small classifier: its layers, its training, its file."""

import io
import json
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

from cardigan.errors import CardiganError
from cardigan.features import classifier
from cardigan.features.classifier import Classifier, accuracy, load, train


def written_out(state, images, blocks):
    """Maps and logits in plain functions, from the weights alone."""
    maps = []
    for block in range(blocks):
        for place in (0, 3):
            name = f"trunk.blocks.{block}"
            images = F.conv2d(images, state[f"{name}.{place}.weight"], state[f"{name}.{place}.bias"], padding=1)
            mean, variance, gain, shift = (
                state[f"{name}.{place + 1}.{key}"][:, None, None]
                for key in ("running_mean", "running_var", "weight", "bias")
            )
            images = ((images - mean) / (variance + 1e-5).sqrt() * gain + shift).clamp(min=0)
        maps.append(images)
        images = images.unflatten(3, (-1, 2)).amax(dim=4).unflatten(2, (-1, 2)).amax(dim=3)
    pooled = maps[-1].mean(dim=(2, 3))
    return maps, pooled @ state["head.weight"].T + state["head.bias"]


@pytest.mark.parametrize(("channels", "widths"), [(1, (4,)), (3, (4, 6, 8)), (4, (8, 4))])
def test_it_is_the_network_that_is_described(channels, widths):
    network = Classifier(classes=5, channels=channels, widths=widths).double().eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.3)
    images = torch.rand(2, channels, 16, 24, dtype=torch.float64) * 2 - 1
    maps, logits = written_out(network.state_dict(), images, len(widths))
    torch.testing.assert_close(network(images), logits, rtol=0, atol=1e-10)
    torch.testing.assert_close(network.logits(images), logits, rtol=0, atol=1e-10)
    found = network.features()
    for mine, expected in zip(found(images), maps, strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-10)
    assert (found.widths, found.strides) == (widths, tuple(2**level for level in range(len(widths))))


def test_its_features_are_a_copy_that_further_training_does_not_change():
    network = Classifier(classes=2, widths=(4,))
    extractor = network.features(name="kept")
    assert all(weight.requires_grad for weight in network.parameters())
    assert network.training
    before = extractor.network.blocks[0][0].weight.clone()
    with torch.no_grad():
        network.trunk.blocks[0][0].weight.add_(1)
    assert torch.equal(extractor.network.blocks[0][0].weight, before)
    assert extractor.name == "kept"


def test_the_default_widths_have_the_parameters_of_their_layers():
    count = sum(weight.numel() for weight in Classifier(classes=10).parameters())
    layers = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    assert count == sum(9 * before * after + 3 * after for before, after in layers) + 128 * 10 + 10


# --- training --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    """8x8 scans of digits (N, 8, 8, 1) and their labels."""
    blob = resources.files("cardigan.data").joinpath("digits.npz").read_bytes()
    with np.load(io.BytesIO(blob), allow_pickle=False) as file:
        return (file["images"].astype(np.uint8) * 15)[..., None], file["labels"].astype(np.int64)


def test_it_learns_digits_it_has_not_seen(digits):
    images, labels = digits
    trained = train(images[:1400], labels[:1400], steps=200, widths=(16, 32), batch_size=64)
    assert not trained.training
    assert accuracy(trained, images[1400:], labels[1400:]) > 0.9


def states(digits, **options):
    images, labels = digits
    options = {"steps": 4, "widths": (4,), "batch_size": 32, "flip": True} | options
    return train(images[:200], labels[:200], **options).state_dict()


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_the_same_seed_and_steps_give_the_same_classifier(digits):
    before = torch.random.get_rng_state()
    first = states(digits, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    assert same(first, states(digits, seed=1))
    assert not same(first, states(digits, seed=2))
    assert not same(first, states(digits, seed=1, shift=0.0))
    assert not same(first, states(digits, seed=1, flip=False))


def test_each_step_changes_its_images_by_draws_of_its_own(digits, monkeypatch):
    drawn, real = [], classifier._changed

    def watched(images, *, rng, **options):
        drawn.append(rng.initial_seed())
        return real(images, rng=rng, **options)

    monkeypatch.setattr(classifier, "_changed", watched)
    for seed in (1, 2):
        states(digits, steps=3, seed=seed)
    assert len(set(drawn)) == 6


def steps_taken(state):
    return int(state["trunk.blocks.0.1.num_batches_tracked"])


def test_steps_and_seconds_are_kept_to(digits, monkeypatch):
    assert steps_taken(states(digits, steps=7)) == 7
    clock = iter(range(1000))
    monkeypatch.setattr(classifier, "time", SimpleNamespace(monotonic=lambda: 2.0 * next(clock)))
    assert steps_taken(states(digits, steps=None, seconds=10.0)) == 4  # at 2, 4, 6 and 8 seconds


def test_the_learning_rate_goes_through_one_cycle(digits, monkeypatch):
    seen = []

    class Watched(torch.optim.AdamW):
        def step(self, closure=None):
            seen.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    states(digits, steps=20, learning_rate=0.01)
    middles = (np.arange(20) + 0.5) / 20
    np.testing.assert_allclose(seen, 0.01 * np.interp(middles, [0.0, 0.1, 1.0], [0.0, 1.0, 0.0]))


def test_labels_are_smoothed_and_weights_decay(digits, monkeypatch):
    seen = {}
    real = F.cross_entropy
    monkeypatch.setattr(F, "cross_entropy", lambda *given, **options: seen.update(options) or real(*given, **options))

    class Watched(torch.optim.AdamW):
        def __init__(self, weights, **options):
            seen.update(options)
            super().__init__(weights, **options)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    states(digits, steps=1)
    assert seen == {"label_smoothing": 0.05, "lr": 3e-3, "weight_decay": 0.05}


@pytest.mark.parametrize("flip", [False, True])
def test_images_are_moved_and_mirrored_each_by_itself(flip):
    image = torch.arange(9 * 12 * 2, dtype=torch.uint8).reshape(9, 12, 2)
    found = classifier._changed(
        image.expand(1000, -1, -1, -1), shift=0.25, flip=flip, rng=torch.Generator().manual_seed(0)
    )
    seen = {}
    for down in range(-2, 3):
        for across in range(-3, 4):
            padded = np.pad(image.numpy(), [(4, 4), (4, 4), (0, 0)], mode="edge")
            moved = padded[4 + down : 13 + down, 4 + across : 16 + across]
            for mirrored in (False, True):
                expected = torch.from_numpy((moved[:, ::-1] if mirrored else moved).copy())
                count = int((found == expected).flatten(1).all(dim=1).sum())
                seen[down, across, mirrored] = count
    assert sum(seen.values()) == 1000, "each is the image, moved by at most a quarter"
    straight = sum(count for (_, _, mirrored), count in seen.items() if not mirrored)
    assert 400 < straight < 600 if flip else straight == 1000
    for down, across in {(key[0], key[1]) for key in seen}:
        assert 8 <= seen[down, across, False] + seen[down, across, True] <= 60  # 1000 / 35 = 29 on average


def test_every_pass_shows_every_image_once_in_an_order_of_its_own():
    batches = classifier._order(10, 3, seed=0)
    passes = [torch.cat([next(batches) for _ in range(3)]).tolist() for _ in range(3)]
    assert all(len(set(places)) == 9 and set(places) <= set(range(10)) for places in passes)
    assert len({tuple(places) for places in passes}) == 3
    assert len(next(classifier._order(4, 100, seed=0))) == 4


def test_accuracy_is_the_share_of_right_answers(digits):
    images, labels = digits
    constant = Classifier(classes=10, channels=1, widths=(4,)).train()
    with torch.no_grad():
        constant.head.weight.zero_()
        constant.head.bias.copy_(torch.eye(10)[3])
    assert accuracy(constant, images[:333], labels[:333], batch_size=100) == (labels[:333] == 3).mean()
    assert constant.training
    assert steps_taken(constant.state_dict()) == 0, "asked in evaluation mode"


def refused(function, *given, **options):
    with pytest.raises(CardiganError) as caught:
        function(*given, **options)
    return str(caught.value)


def test_what_cannot_be_learned_from_is_refused(digits):
    images, labels = digits[0][:20], digits[1][:20]
    assert refused(train, images, labels, steps=1, seconds=1.0) == (
        "steps is 1 and seconds is 1.0, expected one of the two, and more than 0."
    )
    for budget in ({}, {"steps": 0}, {"seconds": -1.0}):
        assert "expected one of the two, and more than 0." in refused(train, images, labels, **budget)
    assert refused(train, images.astype(np.float32), labels, steps=1) == (
        "Images to classify are uint8 of shape (N, H, W, C) with 1 to 4 channels, got float32 of shape (20, 8, 8, 1)."
    )
    assert "got uint8 of shape (20, 8, 8)" in refused(train, images[..., 0], labels, steps=1)
    assert refused(train, images, labels, steps=1, widths=(2, 2, 2, 2, 2)) == (
        "Images of 8x8 pixels cannot be halved 4 times. Use fewer widths than (2, 2, 2, 2, 2)."
    )
    assert refused(train, images, labels[:7], steps=1) == (
        "20 images came with labels of int64 and shape (7,), expected one whole number for each."
    )
    assert "labels of float64" in refused(train, images, labels * 0.5, steps=1)
    assert "0 images came with" in refused(train, images[:0], labels[:0], steps=1)
    assert refused(train, images, labels, steps=1, classes=4) == (
        f"Labels lie between {labels.min()} and {labels.max()}, expected 0 to 3 for 4 classes."
    )
    assert "Labels lie between -1 and" in refused(train, images, labels - 1, steps=1)


# --- its file --------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.safetensors"
    Classifier(classes=3, channels=2, widths=(4, 6)).save(path)
    return path


def test_what_is_saved_is_loaded(tmp_path):
    saved = Classifier(classes=3, channels=2, widths=(4, 6)).eval()
    with torch.no_grad():
        saved.trunk.blocks[1][4].running_var.uniform_(1, 2)
    path = tmp_path / "small.safetensors"
    Classifier(classes=9).save(path)
    saved.save(path)
    loaded, images = load(str(path)), torch.rand(2, 2, 8, 8)
    assert (loaded.classes, loaded.channels, loaded.widths, loaded.training) == (3, 2, (4, 6), False)
    assert torch.equal(loaded(images), saved(images))
    assert all(weight.requires_grad for weight in loaded.parameters())
    assert [file.name for file in tmp_path.iterdir()] == ["small.safetensors"]
    assert loaded.features().digest == saved.features().digest


def test_the_file_says_what_it_is(path):
    with safetensors.safe_open(path, framework="np") as file:
        facts = file.metadata()
    assert facts.pop("format") == "cardigan classifier"
    assert facts.pop("version") == "1"
    assert json.loads(facts.pop("arguments")) == {"classes": 3, "channels": 2, "widths": [4, 6]}
    assert facts == {}


def rewritten(path, weights=None, **facts):
    with safetensors.safe_open(path, framework="pt") as file:
        before = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kept = {name: fact for name, fact in (file.metadata() | facts).items() if fact is not None}
    path.write_bytes(safetensors.torch.save(before if weights is None else weights(before), metadata=kept))
    return refused(load, path)


def test_a_file_that_is_none_is_refused(path, tmp_path):
    absent = tmp_path / "absent.safetensors"
    assert refused(load, absent) == f"There is no file {absent}, expected a classifier."
    path.write_bytes(path.read_bytes()[:-10])
    assert refused(load, path).startswith(f"{path} is not a whole safetensors file (")
    path.write_bytes(b"")
    assert refused(load, path).startswith(f"{path} is not a whole safetensors file (")


def test_other_weights_are_refused(path):
    assert rewritten(path, format=None) == (
        f"{path} holds weights but does not say of which network, expected a classifier saved by "
        f"cardigan.features.classifier. For weights of the timm library, type timm:NAME={path}"
    )


def test_a_later_format_is_refused(path):
    assert rewritten(path, version="2") == (
        f"{path} was written in version 2 of the format, expected 1: update cardigan."
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"classes": 3, "channels": 2, "widths": [4, 8]}, "size mismatch"),
        ({"classes": 3, "channels": 2, "widths": [4, 10**7]}, "size mismatch"),
        ({"classes": 3, "channels": 2, "widths": [4]}, "Unexpected key"),
        ({"classes": 3, "channels": 2, "widths": [4, 6, 6]}, "Missing key"),
        ({"classes": 3, "channels": 2, "widths": []}, "range"),
        ({"classes": 3, "colour": 2}, "unexpected keyword argument 'colour'"),
        ([3], "mapping"),
    ],
)
def test_weights_that_do_not_fit_the_network_they_name_are_refused(path, arguments, word):
    said = rewritten(path, arguments=json.dumps(arguments))
    assert said.startswith(f"{path} does not hold the weights of the network that it names: ")
    assert word in said


def test_missing_weights_are_refused(path):
    assert "head.bias" in rewritten(path, lambda weights: weights | {"head.bias": weights["head.bias"][:2]})
