"""Held-out measurements: when they are due, what they say, which generator they keep."""

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cardigan.data import Store
from cardigan.data.degrade import parse
from cardigan.recipes import Compromise, Stage
from cardigan.trials import MOST, HeldOut, Trials, moments


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


def recipe(choice=Compromise(price=1.0, patience=2)):  # noqa: B008
    stages = (Stage("content", 0.5, None, trials=2), Stage("critic", 0.6, None), Stage("game", 1.0, None, trials=4))
    return SimpleNamespace(choice=choice, course=stages)


@pytest.fixture
def trials(held, tmp_path):
    return Trials(tmp_path / "trials.jsonl", held, recipe())


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


def test_measurements_are_due_in_the_stages_that_ask_for_them(trials, held):
    took = []
    for step in range(101):
        if trials.due(step / 100, steps=step):
            took.append(step)
            trials.take(
                Blend(held, 0.5), images=step, spent=step / 100, stage="content" if step < 60 else "game", steps=step
            )
    assert took == [25, 50, 70, 80, 90, 100]


def test_moments_that_were_passed_at_once_are_measured_once(trials, held):
    assert trials.due(0.95, steps=1)
    trials.take(Blend(held, 0.5), images=1, spent=0.95, stage="game", steps=1)
    assert not trials.due(0.99, steps=2)
    assert trials.due(1.0, steps=2)


def test_a_generator_that_has_not_moved_is_not_measured_again(trials, held):
    trials.take(Blend(held, 0.5), images=10, spent=0.5, stage="content", steps=7)
    assert not trials.due(0.9, steps=7)
    assert trials.due(0.9, steps=8)


def test_going_on_measures_what_is_left_and_drops_what_lies_beyond(trials, held):
    for images, spent, stage in ((10, 0.25, "content"), (20, 0.5, "content"), (30, 0.7, "game")):
        trials.take(Blend(held, 0.5), images=images, spent=spent, stage=stage, steps=images)
    again = Trials(trials.path, held, recipe(), images=20)
    assert [line["images"] for line in again.lines] == [10, 20]
    assert len(trials.path.read_text().splitlines()) == 2
    assert not again.due(0.69, steps=21)
    assert again.due(0.7, steps=21)


def test_a_line_that_a_crash_cut_short_is_left_out(trials, held):
    trials.take(Blend(held, 0.5), images=10, spent=0.25, stage="content", steps=10)
    with trials.path.open("a") as file:
        file.write('{"images": 2')
    again = Trials(trials.path, held, recipe(), images=10)
    assert len(again.lines) == len(trials.path.read_text().splitlines()) == 1


# --- what ----------------------------------------------------------------------------------------------------------


def test_psnr_is_the_mean_over_the_held_out_images(trials, held):
    trials.take(Blend(held, 0.5), images=10, spent=0.25, stage="content", steps=10)
    (line,) = (json.loads(text) for text in trials.path.read_text().splitlines())
    halfway = (held.given.astype(float) + held.true.astype(float)) / 2
    errors = ((np.floor(halfway + 0.5).clip(0, 255) - held.true) ** 2).mean(axis=(1, 2, 3))
    assert line["psnr"] == pytest.approx(float(np.mean(10 * np.log10(255**2 / errors))), abs=0.05)
    assert set(line) == {"images", "spent", "stage", "steps", "psnr", "texture"}


def test_the_nearer_to_the_truth_the_smaller_the_distance_in_texture(trials, held):
    for place, share in enumerate((0.0, 0.4, 0.8, 1.0)):
        trials.take(Blend(held, share), images=place, spent=0.1 * place, stage="content", steps=place)
    distances = [line["texture"] for line in trials.lines]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] == 0.0


def test_the_best_of_the_last_stage_is_kept_if_it_beats_the_one_before(trials, held):
    def take(share, spent, stage):
        return trials.take(
            Blend(held, share), images=int(1000 * spent), spent=spent, stage=stage, steps=int(1000 * spent)
        )

    assert not take(0.4, 0.25, "content")
    assert not take(0.5, 0.5, "content")
    assert trials.kept is None
    assert "there was no last stage" in trials.verdict
    assert not take(0.45, 0.7, "game")
    assert trials.kept is None
    assert "none of 1 measured in the last stage was better" in trials.verdict
    assert take(0.6, 0.8, "game")
    assert trials.kept["images"] == 800
    assert not take(0.55, 0.9, "game")
    assert not trials.done
    assert not take(0.55, 1.0, "game")
    assert trials.done
    assert trials.verdict.startswith("Kept the generator of 800 images: PSNR ")
    assert "; before the last stage PSNR " in trials.verdict


# --- on what -------------------------------------------------------------------------------------------------------


def test_held_out_images_are_spread_evenly_and_degraded_as_in_training():
    store = Store.from_arrays(noise(count=100))
    held = HeldOut.of(store, np.arange(20, 90), parse("downscale2"), seed=3)
    assert held.unseen
    assert len(held.true) == MOST
    places = [int(np.flatnonzero((store.images == each).all(axis=(1, 2, 3)))[0]) for each in held.true]
    assert places[0] == 20
    assert places[-1] == 89
    assert {later - earlier for earlier, later in pairwise(places)} <= {2, 3}
    small = np.asarray(Image.fromarray(held.true[0]).resize((8, 8), Image.Resampling.BICUBIC))
    large = np.asarray(Image.fromarray(small).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.abs(held.given[0].astype(int) - large).max() <= 3
    assert np.array_equal(held.given, HeldOut.of(store, np.arange(20, 90), parse("downscale2"), seed=3).given)


def test_with_nothing_held_out_all_images_serve_and_it_is_said():
    store = Store.from_arrays(noise(count=4))
    held = HeldOut.of(store, np.arange(0), parse("jpeg20"), seed=0)
    assert not held.unseen
    np.testing.assert_array_equal(held.true, store.images)
