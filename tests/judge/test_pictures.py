"""Pictures: uncurated, by one way into one kind of file, and nothing about them tells what they are."""

import io

import numpy as np
import pytest
from PIL import Image

from cardigan.errors import CardiganError
from cardigan.judge.pictures import preference, real_or_fake
from cardigan.judge.session import kind
from cardigan.randomness import derive
from cardigan.runs import load


def pixels(blob):
    with Image.open(io.BytesIO(blob)) as picture:
        return np.asarray(picture)


def chunks(blob):
    """The kinds of the parts of a PNG file, without repetitions, and what its head says."""
    place, kinds = 8, []
    while place < len(blob):
        length = int.from_bytes(blob[place : place + 4], "big")
        kinds.append(blob[place + 4 : place + 8])
        place += length + 12
    return list(dict.fromkeys(kinds)), blob[8:33]


@pytest.fixture(scope="module")
def run(untrained, tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("runs") / "faces")


@pytest.fixture(scope="module")
def other(untrained, tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("runs") / "others", size=16)


def test_fakes_are_the_first_samples_of_the_seed_and_reals_are_held_out(run):
    made = real_or_fake(run, count=20, seed=3)
    samples = run.sample(12, seed=derive(3, "judge samples"))
    for place in range(12):
        assert (pixels(made.pictures[f"fake {place}"]) == samples[place]).all()
    held = {image.tobytes() for image in np.load(run.folder.samples / "held-out.npy")}
    reals = {pixels(made.pictures[f"real {place}"]).tobytes() for place in range(10)}
    assert len(reals) == 10
    assert reals <= held
    practised = np.load(run.folder.samples / "real.npy")
    assert (pixels(made.pictures["known 1"]) == practised[1]).all()


@pytest.mark.parametrize("task", ["real-or-fake", "preference"])
def test_a_gallery_holds_what_the_plan_asks_for_and_no_more(run, other, task):
    made = real_or_fake(run, count=15) if task == "real-or-fake" else preference(run, other, count=15)
    asked = {name for trial in made.plan.trials("ann") for name in (trial.left, trial.right) if name}
    assert asked <= set(made.pictures)
    assert {kind(name) for name in set(made.pictures) - asked} <= {"A", "B"}  # beside noise lies only one of a pair


def test_no_byte_but_the_pixels_tells_a_fake(run):
    made = real_or_fake(run, count=20)
    told = [chunks(blob) for blob in made.pictures.values()]
    assert told == [told[0]] * len(told)
    assert told[0][0] == [b"IHDR", b"IDAT", b"IEND"]


def test_another_seed_shows_others_and_the_same_the_same(run):
    first, again, another = (real_or_fake(run, count=10, seed=seed).pictures for seed in (0, 0, 1))
    assert first == again
    assert first["fake 0"] != another["fake 0"]
    assert [first[f"real {place}"] for place in range(5)] != [another[f"real {place}"] for place in range(5)]


def test_the_held_out_images_set_how_many_there_are(run, untrained, tmp_path):
    assert real_or_fake(run).plan.count == 40
    assert real_or_fake(untrained(tmp_path / "many", held=60)).plan.count == 100
    with pytest.raises(
        CardiganError, match=r"42 pictures need 21 real ones, but .* has 20 .*Ask for --count 40 at most"
    ):
        real_or_fake(run, count=42)


@pytest.mark.parametrize(
    ("held", "told"), [(0, "no held-out images"), (1, "1 held-out image:"), (4, "4 held-out images")]
)
def test_without_held_out_images_the_way_to_get_them_is_told(untrained, tmp_path, held, told):
    run = untrained(tmp_path / "few", held=held)
    with pytest.raises(CardiganError, match=told) as caught:
        real_or_fake(run)
    for words in (
        "5 at least",
        "a tenth of their images from 100 on",
        "--set hold_out=0.1",
        f"cardigan judge {run.path} OTHER",
    ):
        assert words in str(caught.value)


def test_two_runs_are_compared_without_held_out_images(untrained, run, tmp_path):
    made = preference(untrained(tmp_path / "few", held=0, known=0), run, count=10)
    assert made.plan.runs == ("few", "faces")


def test_without_training_images_fakes_and_noise_are_practised_on(untrained, tmp_path):
    made = real_or_fake(untrained(tmp_path / "run", known=0), count=10)
    practice = [kind(trial.left) for trial in made.plan.trials("ann") if trial.part == "practice"]
    assert sorted(practice) == ["fake", "fake", "noise"]


def test_pairs_are_of_the_same_places_of_the_same_draw(run, untrained, tmp_path):
    second = untrained(tmp_path / "second")
    made = preference(run, second, count=12, seed=5)
    for name, each in (("A", run), ("B", second)):
        samples = each.sample(12, seed=derive(5, "judge samples"))
        assert all((pixels(made.pictures[f"{name} {place}"]) == samples[place]).all() for place in range(12))
    assert made.plan.notes == ()


def test_pictures_of_different_sizes_are_shown_at_the_larger_one(run, other):
    for pair, told in (
        ((run, other), "faces draws 8 x 8 and others draws 16 x 16"),
        ((other, run), "others draws 16 x 16"),
    ):
        made = preference(*pair, count=10)
        assert made.size == (16, 16)
        assert {pixels(blob).shape for blob in made.pictures.values()} == {(16, 16, 3)}
        assert told in made.plan.notes[0]
        assert "all were shown at the larger one" in made.plan.notes[0]


def test_runs_of_one_name_are_told_apart_by_their_folders(untrained, tmp_path):
    pair = [untrained(tmp_path / folder / "faces") for folder in ("monday", "tuesday")]
    assert preference(*pair, count=10).plan.runs == ("monday/faces", "tuesday/faces")


def test_a_generator_is_not_compared_with_itself(run):
    with pytest.raises(CardiganError, match="have the same generator, so there is nothing to prefer"):
        preference(run, load(run.path))


def test_a_run_that_restores_is_not_judged(untrained, run, tmp_path):
    restores = untrained(tmp_path / "sharp", facts={"degrade": "blur1"})
    for judged in (lambda: real_or_fake(restores), lambda: preference(run, restores)):
        with pytest.raises(CardiganError, match=r"sharp restores images \(blur1\) and draws none.*cardigan report"):
            judged()


def test_a_run_without_a_generator_is_told_to_go_on(untrained, tmp_path):
    run = untrained(tmp_path / "young")
    (run.folder.generator / "config.json").unlink()
    with pytest.raises(CardiganError, match="has no generator yet: nothing was trained"):
        real_or_fake(load(run.path))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_noise_is_as_strong_as_can_be_and_opaque(untrained, tmp_path, channels):
    made = real_or_fake(untrained(tmp_path / "run", channels=channels), count=10)
    noise = pixels(made.pictures["noise 0"]).reshape(8, 8, channels)
    colours = noise[..., : channels - 1] if channels in (2, 4) else noise
    assert colours.std() > 55
    assert channels in (1, 3) or (noise[..., -1] == 255).all()
    assert len({made.pictures[f"noise {place}"] for place in range(4)}) == 4
