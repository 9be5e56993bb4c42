"""Held-out measurements: when they are due, what they say, which generator they keep."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cardigan.clock import Progress
from cardigan.data import Store
from cardigan.data.degrade import parse
from cardigan.recipes import Compromise, Stage
from cardigan.trials import Budget, HeldOut, Restored, Trials, moments
from cardigan.trials.ledger import KEYS
from cardigan.trials.restored import MOST


def noise(count=6, side=16):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


class Blend(nn.Module):
    """What was given, moved towards the truth by a share: as good a generator as one likes."""

    def __init__(self, held, share):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(share)))
        self.true, self.given = held.true, held.given

    def forward(self, source, labels=None):
        truth = torch.from_numpy(self.true).movedim(3, 1) / 127.5 - 1
        places = [
            next(at for at, each in enumerate(self.given) if np.abs(each / 127.5 - 1 - row).max() < 1e-5)
            for row in source.movedim(1, 3).numpy()
        ]
        return source + self.weight * (truth[places] - source)


@pytest.fixture
def held():
    return HeldOut.of(Store.from_arrays(noise()), np.arange(6), parse("downscale4"), seed=0)


STAGES = (Stage("content", 0.5, None, trials=2), Stage("critic", 0.6, None), Stage("game", 1.0, None, trials=4))


def exam(held):
    return Restored(held, Compromise(price=1.0, patience=2))


BUDGET = Budget(1000, None)


def clock(images, *, steps=None):
    return Progress(images=images, seconds=images / 10, steps={"generator": images if steps is None else steps})


def take(trials, share, images, stage, *, steps=None):
    """Measure and write down; says whether it is kept as things stand."""
    line = trials.take(Blend(trials.exam.held_out, share), clock(images, steps=steps), stage=stage)
    trials.write(line)
    return trials.kept is line


@pytest.fixture
def trials(held, tmp_path):
    return Trials(tmp_path / "trials.jsonl", exam(held), STAGES, budget=BUDGET)


# --- the rule ------------------------------------------------------------------------------------------------------


def test_the_nearest_texture_is_kept_among_those_that_cost_no_more_than_the_price():
    rule, before = Compromise(price=1.0), (30.0, 9.0)
    assert rule.best(before, [(29.5, 6.0), (29.0, 5.0), (28.99, 4.0)]) == 1
    assert rule.best(before, [(31.0, 9.5)]) is None  # more accurate, and softer
    assert rule.best(before, [(28.0, 1.0)]) is None  # too dear
    assert rule.best(before, []) is None
    assert rule.best(before, [(29.5, 6.0), (29.9, 6.0)]) == 0  # the earlier of two alike
    assert Compromise(price=3.0).best(before, [(29.5, 6.0), (28.0, 4.0)]) == 1


def test_patience_counts_from_the_best():
    rule, before = Compromise(price=1.0, patience=3), (30.0, 9.0)
    good, bad = (29.5, 5.0), (20.0, 1.0)
    assert [rule.done(before, [bad] * count) for count in range(5)] == [False, False, False, True, True]
    assert not rule.done(before, [bad, bad, good, bad, bad])
    assert rule.done(before, [bad, bad, good, bad, bad, bad])


# --- when ----------------------------------------------------------------------------------------------------------


def test_a_stage_is_measured_at_even_distances_the_last_time_at_its_end():
    assert list(moments(0.6, 1.0, 4)) == pytest.approx([0.7, 0.8, 0.9, 1.0])
    assert list(moments(0.0, 0.5, 0)) == []


def test_measurements_are_due_in_the_stages_that_ask_for_them(trials):
    took = []
    for images in range(0, 1001, 10):
        if trials.due(clock(images)):
            took.append(images)
            take(trials, 0.5, images, "content" if images < 600 else "game")
    assert took == [250, 500, 700, 800, 900, 1000]


def test_a_budget_in_minutes_goes_by_the_seconds(held, tmp_path):
    trials = Trials(tmp_path / "trials.jsonl", exam(held), STAGES, budget=Budget(None, 1.0))
    assert not trials.due(Progress(images=10**9, seconds=14.9, steps={"generator": 1}))
    assert trials.due(Progress(images=1, seconds=15.0, steps={"generator": 1}))


def test_moments_that_were_passed_at_once_are_measured_once(trials):
    assert trials.due(clock(950))
    take(trials, 0.5, 950, "game")
    assert not trials.due(clock(990))
    assert trials.due(clock(1000))


def test_a_generator_that_has_not_moved_is_not_measured_again(trials):
    take(trials, 0.5, 500, "content", steps=7)
    assert not trials.due(clock(900, steps=7))
    assert trials.due(clock(900, steps=8))


def again(trials, *, budget=BUDGET, images=1000, stored=()):
    return Trials(trials.path, trials.exam, STAGES, budget=budget, images=images, stored=stored)


def test_going_on_measures_what_is_left_and_drops_what_lies_beyond(trials):
    for images, stage in ((250, "content"), (500, "content"), (700, "game")):
        take(trials, 0.5, images, stage)
    later = again(trials, images=500)
    assert [line["images"] for line in later.lines] == [250, 500]
    assert len(trials.path.read_text().splitlines()) == 2
    assert not later.due(clock(690))
    assert later.due(clock(700))


def test_what_was_not_written_down_is_due_again(trials):
    take(trials, 0.5, 250, "content")
    trials.take(
        Blend(trials.exam.held_out, 0.5), clock(500), stage="content"
    )  # and killed before its generator lay safe
    assert not trials.due(clock(600))
    assert again(trials, images=500).due(clock(500))


def test_lines_that_a_crash_cut_short_or_another_version_wrote_are_left_out(trials):
    take(trials, 0.5, 250, "content")
    with trials.path.open("a") as file:
        file.write('{"images": 300, "stage": "content"}\n{"images": 2')
    later = again(trials)
    assert len(later.lines) == len(trials.path.read_text().splitlines()) == 1


def test_an_untouched_file_is_not_written_again(trials):
    take(trials, 0.5, 250, "content")
    before = trials.path.stat().st_mtime_ns
    again(trials)
    assert trials.path.stat().st_mtime_ns == before


def test_under_a_larger_budget_the_last_stage_goes_on_and_its_generators_go_on_competing(trials):
    for share, images, stage in ((0.4, 250, "content"), (0.5, 500, "content"), (0.6, 700, "game"), (0.7, 1000, "game")):
        take(trials, share, images, stage)
    assert again(trials, stored={1000}).kept["images"] == 1000
    longer = again(trials, budget=Budget(4000, None, since=(1000, 9.0, 0.6)), stored={1000})
    assert [line["images"] for line in longer.lines] == [250, 500, 700, 1000]
    assert longer.kept["images"] == 1000
    first = next(images for images in range(1001, 4001) if longer.due(clock(images)))
    (game,) = (stage for stage in longer.exam.course(STAGES) if stage.name == "game")
    assert first == 1000 + round(3000 / game.trials)


def test_a_best_generator_that_is_gone_competes_no_more(trials):
    for share, images, stage in ((0.5, 500, "content"), (0.6, 700, "game")):
        take(trials, share, images, stage)
    assert again(trials, stored={700}).kept["images"] == 700
    lost = again(trials, stored={650})
    assert lost.kept is None
    assert [line["stage"] for line in lost.lines] == ["content"]


# --- what ----------------------------------------------------------------------------------------------------------


def test_psnr_is_the_mean_over_the_held_out_images(trials, held):
    take(trials, 0.5, 250, "content")
    (line,) = (json.loads(text) for text in trials.path.read_text().splitlines())
    halfway = (held.given.astype(float) + held.true.astype(float)) / 2
    errors = ((np.floor(halfway + 0.5).clip(0, 255) - held.true) ** 2).mean(axis=(1, 2, 3))
    assert line["psnr"] == pytest.approx(float(np.mean(10 * np.log10(255**2 / errors))), abs=0.05)
    assert set(line) == KEYS | {"psnr", "texture", "way", "key"}
    assert (line["images"], line["seconds"], line["budget"], line["steps"]) == (250, 25.0, [1000, None], 250)


def test_the_nearer_to_the_truth_the_smaller_the_distance_in_texture(trials):
    for place, share in enumerate((0.0, 0.4, 0.8, 1.0)):
        take(trials, share, 100 * place, "content")
    distances = [line["texture"] for line in trials.lines]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] == 0.0


def test_the_best_of_the_last_stage_is_kept_if_it_beats_the_one_before(trials):
    assert not take(trials, 0.4, 250, "content")
    assert not take(trials, 0.5, 500, "content")
    assert trials.kept is None
    texture = trials.lines[-1]["texture"]
    assert f"dB, texture distance {texture:.4g}; the last stage was too short to measure one." in trials.verdict
    assert not take(trials, 0.45, 700, "game")
    assert trials.kept is None
    assert "none of 1 measured in the last stage was better" in trials.verdict
    assert take(trials, 0.6, 800, "game")
    assert trials.kept["images"] == 800
    assert not take(trials, 0.55, 900, "game")
    assert not trials.done
    assert not take(trials, 0.55, 1000, "game")
    assert trials.done
    assert trials.verdict.startswith("Kept the generator of 800 images: PSNR ")
    assert "; before the last stage PSNR " in trials.verdict


# --- on what -------------------------------------------------------------------------------------------------------


def test_held_out_images_are_spread_evenly_and_degraded_as_in_training():
    store = Store.from_arrays(noise(count=100))
    held = HeldOut.of(store, np.arange(20, 90), parse("downscale2"), seed=3)
    assert held.unseen
    assert len(held.true) == len(held.others.true) == MOST
    places = [int(np.flatnonzero((store.images == each).all(axis=(1, 2, 3)))[0]) for each in held.true]
    assert places[0] == 20
    assert places[-1] == 88
    assert {later - earlier for earlier, later in pairwise(places)} <= {2, 4}
    small = np.asarray(Image.fromarray(held.true[0]).resize((8, 8), Image.Resampling.BICUBIC))
    large = np.asarray(Image.fromarray(small).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.abs(held.given[0].astype(int) - large).max() <= 3
    assert np.array_equal(held.given, HeldOut.of(store, np.arange(20, 90), parse("downscale2"), seed=3).given)


@pytest.fixture
def divided():
    """Twenty images, of which every second one is to report on."""
    return HeldOut.of(Store.from_arrays(noise(count=20)), np.arange(20), parse("downscale4"), seed=0)


class Flatterer(nn.Module):
    """Restores the images that it is chosen by better than all others."""

    def __init__(self, held, *, chosen, others):
        super().__init__()
        self.parts = nn.ModuleList([Blend(held, chosen), Blend(held.others, others)])

    def forward(self, source, labels=None):
        try:
            return self.parts[0](source)
        except StopIteration:  # an image that the first part has not seen
            return self.parts[1](source)


def test_no_image_and_no_photo_is_both_to_choose_and_to_report_on():
    images = noise(count=40)
    store = Store.from_arrays(images)
    held = HeldOut.of(store, np.arange(8, 40), parse("downscale2"), seed=3)
    assert held.unseen
    assert held.others.unseen
    np.testing.assert_array_equal(held.true, images[8::2])
    np.testing.assert_array_equal(held.others.true, images[9::2])
    pieces = replace(store, pieces=(10, 3, 9, 9, 9))
    held = HeldOut.of(pieces, np.arange(10, 40), parse("downscale2"), seed=3)
    np.testing.assert_array_equal(held.true, images[np.r_[10:13, 22:31]])
    np.testing.assert_array_equal(held.others.true, images[np.r_[13:22, 31:40]])


@pytest.mark.parametrize(
    ("count", "changes", "whole"),
    [(16, {}, False), (15, {}, True), (40, {"pieces": (40,)}, True), (40, {"pieces": (33, 7)}, True)],
)
def test_where_a_half_would_have_less_than_8_images_nothing_is_divided(count, changes, whole):
    store = replace(Store.from_arrays(noise(count=count)), **changes)
    held = HeldOut.of(store, np.arange(count), parse("downscale2"), seed=3)
    assert (held.others is None) is whole
    undivided = HeldOut.of(store, np.arange(count), parse("downscale2"), seed=3, divided=False)
    assert undivided.others is None
    assert len(undivided.true) == min(count, MOST)


def test_the_chosen_one_is_reported_on_images_that_it_was_not_chosen_by(divided, tmp_path):
    trials = Trials(tmp_path / "trials.jsonl", exam(divided), STAGES, budget=BUDGET)
    for images, stage, share in ((500, "content", 0.4), (800, "game", 0.7), (900, "game", 0.5)):
        network = Flatterer(divided, chosen=share, others=0.3)
        trials.write(trials.take(network, clock(images), stage=stage))
    assert trials.chosen["images"] == 800
    trials.confirm(Flatterer(divided, chosen=0.7, others=0.3))
    alone = exam(replace(divided.others, others=None)).measure(Blend(divided.others, 0.3))
    again = json.loads(trials.path.read_text().splitlines()[-1])
    assert again == {**again, **alone, "key": exam(divided).key, "again": True, "images": 800}
    assert again["psnr"] < trials.chosen["psnr"] - 2
    assert trials.verdict == (
        f"Kept the generator of 800 images: PSNR {again['psnr']:.2f} dB, texture distance {again['texture']:.4g} on 10 "
        f"held-out images that it was not chosen by (PSNR {trials.chosen['psnr']:.2f} dB, texture distance "
        f"{trials.chosen['texture']:.4g} on those that it was chosen by); before the last stage PSNR "
        f"{trials.lines[0]['psnr']:.2f} dB, texture distance {trials.lines[0]['texture']:.4g}."
    )
    reopened = Trials(trials.path, exam(divided), STAGES, budget=BUDGET, images=1000, stored={800})
    assert reopened.verdict == trials.verdict


def test_the_one_from_before_the_last_stage_is_reported_on_others_too(divided, tmp_path):
    trials = Trials(tmp_path / "trials.jsonl", exam(divided), STAGES, budget=BUDGET)
    for images, stage, share in ((500, "content", 0.6), (800, "game", 0.5)):
        trials.write(trials.take(Flatterer(divided, chosen=share, others=0.3), clock(images), stage=stage))
    assert trials.chosen is None
    trials.confirm(Flatterer(divided, chosen=0.6, others=0.3))
    assert trials.again["images"] == 500
    assert trials.verdict.startswith(
        f"Kept the generator from before the last stage: PSNR {trials.again['psnr']:.2f} dB, texture distance "
        f"{trials.again['texture']:.4g} on 10 held-out images that it was not chosen by (PSNR "
    )
    assert trials.verdict.endswith("that it was chosen by); none of 1 measured in the last stage was better.")


def test_where_nothing_is_divided_it_is_said(trials):
    take(trials, 0.5, 500, "content")
    take(trials, 0.6, 800, "game")
    trials.confirm(Blend(trials.exam.held_out, 0.6))
    assert trials.again is None
    assert trials.verdict.endswith(
        " It was chosen and measured on the same 6 held-out images, so these numbers are a little too good: more "
        "photos held out, with --set hold_out, would leave others to measure on."
    )


def test_lines_without_a_key_are_known_by_runs_that_divide_nothing(held, divided):
    old = {"psnr": 25.0, "texture": 0.3}
    assert exam(held).knows(old)
    assert not exam(divided).knows(old)
    assert exam(divided).knows(old | {"key": exam(divided).key})
    assert not exam(held).knows(old | {"key": exam(divided).key})


def test_with_nothing_held_out_all_images_serve_and_it_is_said():
    store = Store.from_arrays(noise(count=4))
    held = HeldOut.of(store, np.arange(0), parse("jpeg20"), seed=0)
    assert not held.unseen
    np.testing.assert_array_equal(held.true, store.images)
