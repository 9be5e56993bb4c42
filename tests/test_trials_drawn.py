"""Scores of generators that draw: what they see, when they are taken, which generator is kept, what is said of it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from cardigan.clock import Progress
from cardigan.data import Store
from cardigan.data.holding import Split, hold_out
from cardigan.errors import CardiganError
from cardigan.metrics.kernel import kernel_distance
from cardigan.recipes import Stage
from cardigan.sample import latents_for
from cardigan.trials import Budget, Drawn, Trials
from cardigan.trials.drawn import difference_error, planned, samples
from cardigan.trials.quick import detail, quick

STAGES = (Stage("training", 1.0, None),)
KEY = "this"


def line(images, kid, error=0.001, **changes):
    told = {"images": images, "kid": kid, "error": error, "key": KEY, "took": 0.1, "samples": 500, "floor": None}
    return told | changes


class Scripted(Drawn):
    """An exam whose results are known before."""

    results: list

    def measure(self, network, *, stream="trial samples"):
        kid = self.results.pop(0) if stream == "trial samples" else 0.5
        return {key: value for key, value in line(0, kid, took=self.took).items() if key != "images"}


def scripted(*results, trials=4, sparing=False, took=0.1, floor=0.0004):
    exam = Scripted(
        eyes=SimpleNamespace(name="a quick look"),
        real=None,
        against="180 held-out images",
        floor=floor,
        weights=None,
        count=500,
        seed=0,
        key=KEY,
        trials=trials,
        sparing=sparing,
    )
    object.__setattr__(exam, "results", list(results))
    object.__setattr__(exam, "took", took)
    return exam


# --- what a quick look sees ------------------------------------------------------------------------------------------


def pictures(count, seed, *, kinds=6, side=24):
    """Spots and bars on a calm ground, of several kinds, each a little different."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    kind = rng.integers(0, kinds, count)[:, None, None]
    middle = 0.3 + 0.4 * rng.random((count, 2, 1, 1))
    across = (x - middle[:, 0]) * np.cos(kind) + (y - middle[:, 1]) * np.sin(kind)
    shapes = np.exp(-((across / (0.08 + 0.04 * kind)) ** 2)) * (1 - 0.5 * (kind % 2) * (y > 0.5))
    return (30 + 190 * shapes[..., None]).round().astype(np.uint8)


def blurred(images):
    wide = np.pad(images.astype(float), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    size = images.shape[1]
    parts = [wide[:, i : i + size, j : j + size] for i in range(3) for j in range(3)]
    return np.mean(parts, axis=0).round().astype(np.uint8)


def noisy(images):
    return (images + np.random.default_rng(9).normal(0, 6, images.shape)).round().clip(0, 255).astype(np.uint8)


FAULTS = {
    "blur": blurred,
    "noise": noisy,
    "repeats": lambda images: images[np.arange(len(images)) % 12],
    "light": lambda images: (images * 0.8).astype(np.uint8),
}


@pytest.fixture(scope="module")
def looked():
    learnt, real, good = (pictures(300, seed) for seed in (1, 2, 3))
    return quick(learnt), real, good


@pytest.mark.parametrize("fault", FAULTS)
def test_a_quick_look_tells_blur_noise_repeats_and_light(looked, fault):
    eyes, real, good = looked
    score = lambda images: kernel_distance(  # noqa: E731
        eyes.describe(real), eyes.describe(images), rng=np.random.default_rng(0)
    )[0]
    assert score(FAULTS[fault](good)) > score(good) + 0.02


def test_detail_sees_at_every_scale_what_light_and_forms_make_small():
    flat = np.full((1, 128, 128, 3), 128, np.uint8)
    fine, coarse = flat.copy(), flat.copy()
    fine[:, ::2] = 160
    coarse.reshape(1, 8, 16, 128, 3)[:, ::2] = 160
    found = [detail(images).reshape(4, 16).mean(axis=1) for images in (fine, coarse)]
    assert found[0].argmax() == 0
    assert found[1].argmax() == 3
    assert detail(np.full((2, 20, 31, 2), 9, np.uint8)).shape == (2, 16)
    with_alpha = np.concatenate([fine, np.random.default_rng(0).integers(0, 256, (1, 128, 128, 1), np.uint8)], axis=3)
    np.testing.assert_allclose(detail(with_alpha), detail(fine), atol=1e-6)


def test_the_three_looks_weigh_alike_and_are_centred(looked):
    eyes, *_ = looked
    seen = eyes.describe(pictures(300, 1)).astype(float)
    ends = np.cumsum([408, 64, 16])
    assert seen.shape[1] == ends[-1] == eyes.width
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-3)
    lengths = [(part**2).sum(axis=1).mean() for part in np.split(seen, ends[:-1], axis=1)]
    np.testing.assert_allclose(lengths, eyes.width / 3, rtol=1e-4)


def test_pictures_that_are_all_alike_can_be_looked_at():
    assert np.isfinite(quick(np.full((5, 16, 16, 1), 7, np.uint8)).describe(pictures(5, 0))).all()


# --- the score -------------------------------------------------------------------------------------------------------


class Painter(nn.Module):
    """Draws pictures of classes 0 and 1, whose light follows the latents; remembers what it was asked for."""

    latent, shape = 3, (1, 16, 16)

    def __init__(self, classes=0):
        super().__init__()
        self.weight, self.classes, self.asked, self.labels = nn.Parameter(torch.zeros(1)), classes, [], []

    def forward(self, latents, labels=None):
        self.asked.append(latents)
        self.labels += [] if labels is None else labels.tolist()
        return torch.tanh(latents[:, :1, None, None] + self.weight).expand(-1, 1, 16, 16)


def store(count=600, labels=None):
    light = np.random.default_rng(0).normal(size=(count, 1, 1, 1))
    images = (127.5 + 127.5 * np.tanh(light)).round().astype(np.uint8) * np.ones((1, 16, 16, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(count) % 256
    return Store.from_arrays(images, labels, classes=("a", "b") if labels is not None else ())


def drawn(source, split, **changes):
    given = {"trials": 3, "sparing": True, "classes": False, "seed": 5, "features": "gradients"}
    return Drawn.of(source, split, **(given | changes))


def test_samples_are_drawn_on_streams_of_their_own_and_nothing_else_moves():
    source = store()
    exam = drawn(source, hold_out(source))
    painter, state = Painter(), torch.get_rng_state()
    first = exam.measure(painter)
    torch.manual_seed(77)
    again = exam.measure(painter)
    assert {**first, "took": 0} == {**again, "took": 0}
    torch.set_rng_state(state)
    exam.measure(painter)
    assert torch.equal(torch.get_rng_state(), state)
    calls = len(painter.asked) // 3
    other = exam.confirm(painter)
    assert other["kid"] != first["kid"]
    streams = [
        torch.cat(painter.asked[:calls]),
        torch.cat(painter.asked[3 * calls :]),
        latents_for(painter, 500, seed=5),
    ]
    assert len(streams[0]) >= 500
    firsts = {tuple(row) for row in streams[0].tolist()}
    for other_stream in streams[1:]:
        assert firsts.isdisjoint(tuple(row) for row in other_stream.tolist())
    assert drawn(source, hold_out(source), seed=6).measure(painter)["kid"] != first["kid"]


def test_the_score_is_the_kernel_distance_to_held_out_images():
    source = store()
    split = hold_out(source)
    exam = drawn(source, split)
    assert len(split.held) == 60
    assert exam.against == "60 held-out images"
    assert exam.because == ()
    painter = Painter()
    found = exam.measure(painter)
    images = torch.cat(painter.asked)[:500, 0]
    pixels = ((torch.tanh(images) + 1) * 127.5).round().to(torch.uint8).numpy()
    fake = exam.eyes.describe(pixels[:, None, None, None] * np.ones((1, 16, 16, 1), np.uint8))
    real = exam.eyes.describe(source.images[split.held])
    similar = lambda one, two: (one.astype(float) @ two.T.astype(float) / one.shape[1] + 1) ** 3  # noqa: E731
    within = [
        (similar(heap, heap).sum() - np.trace(similar(heap, heap))) / (len(heap) * (len(heap) - 1))
        for heap in (real, fake)
    ]
    assert found["kid"] == pytest.approx(sum(within) - 2 * similar(real, fake).mean(), abs=1e-6)
    assert found["error"] > 0
    assert found["samples"] == 500
    assert len(found["left"]) == 20
    assert len(json.dumps(found["left"])) < 400, "a line of trials.jsonl stays short"
    with torch.no_grad():
        painter.weight += 0.01
    near = exam.measure(painter)
    assert difference_error(near, found) < 0.2 * found["error"], "both are on the same latents and real images"
    with torch.no_grad():
        painter.weight += 0.99
    assert exam.measure(painter)["kid"] > found["kid"] + 3 * found["error"]
    assert abs(exam.floor) < 3 * found["error"] + 1e-4, "training images are like held-out ones"


def test_classes_are_asked_for_as_often_as_training_images_have_them():
    labels = np.repeat([0, 1], [450, 150])
    source = store(labels=labels)
    exam = drawn(source, hold_out(source), classes=True)
    painter = Painter(classes=2)
    exam.measure(painter)
    asked = painter.labels[:500]
    assert 0.19 < np.mean(asked) < 0.31
    assert set(asked) == {0, 1}
    exam.confirm(painter)
    assert painter.labels[512:1012] != asked


def test_with_too_few_held_out_images_training_images_serve_and_it_is_said():
    source = store(200)
    few = drawn(source, hold_out(source))
    assert few.against == "180 training images"
    assert few.floor is None
    assert few.because == (
        "20 images are held out, expected 50 or more: while it trains, the generator is scored against training "
        "images, so that a score cannot tell whether it copies.",
    )
    none = drawn(source, Split(np.arange(200), np.arange(0), ""))
    assert none.because[0].startswith("No image is held out, expected 50 or more: ")
    assert none.against == "200 training images"
    assert drawn(store(1000), hold_out(store(1000), share=0.05)).against == "50 held-out images"


def test_another_extractor_is_taken_by_its_name_and_an_unknown_one_refused():
    source = store(150)
    split = hold_out(source)
    assert drawn(source, split, features=None).eyes.name == "a quick look"
    assert drawn(source, split, features="pixels").eyes.name == "pixels (PCA)"
    with pytest.raises(CardiganError, match="There is no extractor 'inceptoin'"):
        drawn(source, split, features="inceptoin")


def test_only_what_was_measured_in_the_same_way_is_known():
    source = store(150)
    split = hold_out(source)
    exam, same = drawn(source, split), drawn(source, split)
    told = exam.measure(Painter())
    assert same.knows(told)
    assert not same.knows({key: value for key, value in told.items() if key != "kid"})
    others = [{"seed": 6}, {"features": "pixels"}, {"features": None}]
    assert not any(drawn(source, split, **change).knows(told) for change in others)
    assert not drawn(store(160), hold_out(store(160))).knows(told)
    assert not drawn(source, hold_out(source, share=0.2)).knows(told)


# --- when ------------------------------------------------------------------------------------------------------------


def clock(images=0, seconds=0.0):
    return Progress(images=images, seconds=seconds, steps={"generator": images + int(10 * seconds)})


def trials(path, exam, budget, **changes):
    return Trials(path / "trials.jsonl", exam, STAGES, budget=budget, **changes)


def walk(ledger, clocks):
    """Where it measured, writing everything down."""
    took = []
    for now in clocks:
        if ledger.due(now):
            ledger.write(ledger.take(None, now, stage="training"))
            took.append(now.images or now.seconds)
    return took


def test_scores_are_spread_evenly_over_the_budget_and_the_end_is_scored(tmp_path):
    ledger = trials(tmp_path, scripted(1, 1, 1, 1), Budget(1000, None))
    assert walk(ledger, [clock(images) for images in range(0, 1001, 50)]) == [250, 500, 750, 1000]


@pytest.mark.parametrize(
    ("took", "sparing", "expected"),
    [
        (0.1, True, [6, 12, 18, 24, 30, 36, 42, 48, 54, 60]),  # 1.8 s are enough for all
        (0.3, True, [6, 17, 28, 39, 50, 60]),  # for six
        (0.9, True, [6, 60]),
        (50.0, True, [6, 60]),  # however long it takes, the end is scored
        (50.0, False, [6, 12, 18, 24, 30, 36, 42, 48, 54, 60]),  # as the user asked
    ],
)
def test_slow_scores_become_rare_in_a_budget_of_minutes(tmp_path, took, sparing, expected):
    exam = scripted(*[1.0] * 10, trials=10, sparing=sparing, took=took)
    moments = [clock(seconds=float(second)) for second in range(61)]
    assert walk(trials(tmp_path, exam, Budget(None, 1.0)), moments) == expected


@pytest.mark.parametrize(
    ("drawing", "expected"),
    [
        (0.0, [6, 12, 18, 24, 30, 36, 42, 48, 54, 60]),  # not known
        (0.1, [6, 12, 18, 24, 30, 36, 42, 48, 54, 60]),
        (0.5, [20, 40, 60]),  # 1.8 s are enough for three
        (1.0, [60]),
        (2.0, []),  # not one is affordable: the last generator is kept
    ],
)
def test_scores_are_planned_by_what_drawing_takes_before_the_first_one(tmp_path, drawing, expected):
    exam = scripted(*[1.0] * 10, trials=10, sparing=True, took=drawing or 0.1)
    ledger = trials(tmp_path, exam, Budget(None, 1.0))
    ledger.expect(drawing / exam.count)
    assert walk(ledger, [clock(seconds=float(second)) for second in range(61)]) == expected


def test_after_a_restart_they_are_as_rare(tmp_path):
    moments = [clock(seconds=float(second)) for second in range(61)]
    first = walk(
        trials(tmp_path, scripted(1, 1, 1, trials=10, sparing=True, took=0.3), Budget(None, 1.0)), moments[:30]
    )
    later = trials(
        tmp_path, scripted(1, 1, 1, trials=10, sparing=True, took=9), Budget(None, 1.0), images=0, stored={0}
    )
    assert first + walk(later, moments[29:]) == [6, 17, 28, 39, 50, 60]


def test_a_budget_in_images_does_not_listen_to_the_clock(tmp_path):
    ledger = trials(tmp_path, scripted(1, 1, 1, 1, sparing=True, took=1e6), Budget(1000, None))
    assert walk(ledger, [clock(images) for images in range(0, 1001, 50)]) == [250, 500, 750, 1000]


def test_how_often_follows_from_the_budget():
    assert planned(Budget(14_999, None), 500, None) == 0
    assert planned(Budget(15_000, None), 500, None) == 3
    assert planned(Budget(1_000_000, None), 500, None) == 10
    assert planned(Budget(None, 1.9), 500, None) == 3
    assert planned(Budget(None, 2.0), 500, None) == 10
    assert [planned(Budget(100, None), 500, asked) for asked in (0, 7)] == [0, 7]
    assert [samples(*sides) for sides in ((8, 8), (90, 91), (91, 91), (128, 256), (512, 512))] == [
        500,
        500,
        494,
        125,
        100,
    ]


# --- which -----------------------------------------------------------------------------------------------------------


def test_the_lowest_is_kept_if_the_last_is_worse_beyond_chance():
    exam = scripted()
    assert exam.best((), []) is None
    assert exam.choice((), []) is None
    low, last = line(1, 0.100, 0.003), lambda kid: line(3, kid, 0.004)  # 0.005 between them
    assert exam.choice((), [low, line(2, 0.3), last(0.1101)]) == 0
    assert exam.choice((), [low, line(2, 0.3), last(0.1099)]) == 2
    assert exam.best((), [low, line(2, 0.3), last(0.1099)]) == 0
    assert exam.best((), [line(1, 0.2), line(2, 0.1), line(3, 0.1)]) == 1
    assert not exam.done((), [line(1, 0.1)] + [line(2, 9.0)] * 50)


def together(images, kid, odd=0.0):
    """A score that moves from group to group as every other one does, by 30 times what it moves by itself."""
    return line(images, kid, 0.05, left=[kid + 0.03 * (group % 2) + odd * (group == 3) for group in range(20)])


def test_what_two_scores_have_in_common_is_no_reason_to_keep_the_last():
    """One odd group of 20 by 0.001 makes an error of 19 / 20 of it, so that the bound is 0.0019."""
    exam, low = scripted(), together(1, 0.100)
    assert difference_error(low, together(2, 0.12, odd=0.001)) == pytest.approx(0.00095, rel=1e-6)
    assert exam.choice((), [low, together(2, 0.1020, odd=0.001)]) == 0
    assert exam.choice((), [low, together(2, 0.1018, odd=0.001)]) == 1
    fallen = [low, together(2, 0.16, odd=0.001), together(3, 0.17, odd=0.001)]
    assert exam.warning(fallen), "two spreads of 0.05 had blunted it"
    without = [{key: value for key, value in each.items() if key != "left"} for each in fallen]
    assert not exam.warning(without)


def test_lines_without_groups_or_with_other_ones_are_compared_as_independent():
    """As earlier versions wrote them."""
    low, old = together(1, 0.1), line(2, 0.2, 0.05)
    for other in (old, old | {"left": []}, old | {"left": [0.2] * 10}):
        assert difference_error(low, other) == difference_error(other, low) == pytest.approx(0.05 * 2**0.5)
        assert scripted().choice((), [low, other]) == 1


@pytest.mark.parametrize(
    ("kids", "error", "warned"),
    [
        ((0.10, 0.16, 0.16), 0.001, True),
        ((0.10, 0.16), 0.001, False),  # once
        ((0.10, 0.16, 0.12), 0.001, False),  # recovered
        ((0.10, 0.12, 0.16), 0.001, False),
        ((0.10, 0.149, 0.149), 0.001, False),  # not by half
        ((0.10, 0.16, 0.16), 0.015, False),  # not beyond three spreads of a difference, 0.064
        ((0.30, 0.10, 0.09, 0.2, 0.2), 0.001, True),
        ((-0.01, 0.02, 0.02), 0.001, True),  # a score may be negative
        ((-0.01, -0.006, -0.006), 0.001, False),
        ((), 0.001, False),
    ],
)
def test_two_bad_scores_in_a_row_are_told(kids, error, warned):
    told = scripted().warning([line(1000 * place, kid, error) for place, kid in enumerate(kids, start=1)])
    assert bool(told) == warned
    if warned:
        since = 1000 * (1 + int(np.argmin(kids)))
        assert told == (
            f"The generator has become worse since {since:,} images, as two scores in a row say. The one of then is "
            f"put aside; training goes on."
        )


def test_the_verdict_says_what_was_kept_and_why():
    exam, again = scripted(), line(2000, 0.013, 0.0006)
    kept = [line(1000, 0.02), line(2000, 0.0123, 0.0005), line(3000, 0.0201, 0.0009)]
    how = "500 samples against 180 held-out images, through a quick look"
    assert exam.verdict((), kept, again) == (
        "Kept the generator of 2,000 images: KID x 1,000 13 ± 0.6 on noise that it was not chosen by (12.3 ± 0.5 when "
        f"it was chosen); the last, of 3,000 images, scored 20.1 ± 0.9. {how}; training images score 0.4."
    )
    last = "Kept the generator of 3,000 images: KID x 1,000 12.4 ± 0.5 when it was chosen; "
    near = [*kept[:2], line(3000, 0.0124, 0.0005)]
    assert exam.verdict((), near, None) == (
        f"{last}the lowest of 2 before, 12.3 ± 0.5 after 2,000, is within chance. {how}; training images score 0.4."
    )
    assert "; none of 1 measured before scored lower. 500" in exam.verdict((), kept[:2], None)
    assert "; it is the only one measured. 500" in exam.verdict((), kept[:1], None)
    assert scripted(floor=None).verdict((), kept, None).endswith(f"scored 20.1 ± 0.9. {how}.")


def test_the_chosen_one_is_confirmed_once_and_written_down(tmp_path):
    ledger = trials(tmp_path, scripted(3.0, 1.0, 2.0, 2.0), Budget(1000, None))
    walk(ledger, [clock(images) for images in (250, 500, 750, 1000)])
    ledger.confirm(None)
    ledger.confirm(None)
    lines = [json.loads(text) for text in ledger.path.read_text().splitlines()]
    assert [(told["images"], told["kid"], told.get("again")) for told in lines[-2:]] == [
        (1000, 2.0, None),
        (500, 0.5, True),
    ]
    assert len(lines) == 5
    before = ledger.path.read_bytes()
    opened = trials(tmp_path, scripted(), Budget(1000, None), images=1000, stored={500})
    assert opened.chosen["kid"] == 1.0
    assert opened.again["kid"] == 0.5
    opened.confirm(None)
    assert ledger.path.read_bytes() == before


def test_another_choice_is_confirmed_anew(tmp_path):
    ledger = trials(tmp_path, scripted(1.0, 2.0), Budget(1000, None))
    walk(ledger, [clock(images) for images in (250, 500)])
    ledger.confirm(None)
    longer = trials(tmp_path, scripted(0.2), Budget(4000, None), images=500, stored={250})
    assert [told["images"] for told in longer.lines] == [250, 500], "of one stage, all go on competing"
    assert longer.again["images"] == 250
    walk(longer, [clock(4000)])
    assert longer.chosen["images"] == 4000
    assert longer.again is None
    assert not trials(tmp_path, scripted(), Budget(4000, None), images=4000, stored={4000}).again
    assert not any(json.loads(text).get("again") for text in ledger.path.read_text().splitlines())


def test_measurements_of_another_kind_are_dropped(tmp_path):
    ledger = trials(tmp_path, scripted(1.0), Budget(1000, None))
    walk(ledger, [clock(250)])
    with ledger.path.open("a") as file:
        file.write(json.dumps(ledger.lines[0] | {"key": "other", "kid": 0.1}) + "\n")
        file.write(json.dumps({key: value for key, value in ledger.lines[0].items() if key != "kid"}) + "\n")
    opened = trials(tmp_path, scripted(), Budget(1000, None), images=1000, stored={250})
    assert [told["kid"] for told in opened.lines] == [1.0]
    assert len(ledger.path.read_text().splitlines()) == 1
