"""Does a run's generator copy? Asked of real runs, their generators replaced by ones that do and ones that do not."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps

from cardigan import copies, launch
from cardigan.contracts import GeneratorNetwork
from cardigan.data.holding import held_out_images, training_part
from cardigan.launch import train
from cardigan.pixels import to_float
from cardigan.runs import load

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SIZE = 32
SETTINGS = {"recipe": "quick", "images": 32, "device": "cpu", "quiet": True, "width": 2, "batch_size": 8}
SETTINGS |= {"snapshots": 2, "flip": False}


class Shows(GeneratorNetwork):
    """Stands in for a generator: it draws nothing, and shows one of its pictures, by the latent's first number."""

    def __init__(self, pictures, classes=0):
        super().__init__()
        self.latent, self.classes = 4, classes
        self.pictures = torch.nn.Parameter(to_float(torch.from_numpy(np.array(pictures))), requires_grad=False)
        self.shape = tuple(self.pictures.shape[1:])
        self.asked = []

    def forward(self, source, labels=None):
        self.asked += [] if labels is None else labels.tolist()
        places = (torch.special.ndtr(source[:, 0]) * len(self.pictures)).long().clamp(max=len(self.pictures) - 1)
        return self.pictures[places]


def made_up(count, size=SIZE, seed=0):
    """Coloured discs on slopes, no two pictures alike: uint8 (count, size, size, 3)."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:size, :size] / size
    images = []
    for _ in range(count):
        picture = 255 * (0.5 + 0.3 * np.einsum("c,hw->hwc", rng.uniform(-1, 1, 3), down - across))
        for _ in range(6):
            top, left, reach = rng.uniform((0, 0, 0.05), (1, 1, 0.3))
            picture[(down - top) ** 2 + (across - left) ** 2 < reach**2] = rng.uniform(0, 255, 3)
        images.append(picture)
    return np.clip(np.stack(images), 0, 255).astype(np.uint8)


def blurred(images, radius=0.7):
    blur = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(image).filter(blur)) for image in images])


def trained(images, folder, **changes):
    np.savez(folder / "data.npz", images=images)
    size = images.shape[1]
    return train(folder / "data.npz", out=folder / "run", size=size, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    return trained(made_up(300), tmp_path_factory.mktemp("discs"))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Too few images to hold any out."""
    return trained(made_up(60), tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module", params=["made up", "faces-128.zip", "pokemon-256.zip"])
def real(request, discs, tmp_path_factory):
    """A run on pictures."""
    if request.param == "made up":
        return discs
    if not (SHARED / request.param).exists():
        pytest.skip(f"the shared data set {request.param} is not here")
    with zipfile.ZipFile(SHARED / request.param) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        chosen = [names[place] for place in np.random.default_rng(0).permutation(len(names))[:400]]
        pictures = (Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in chosen)
        images = np.stack([np.asarray(ImageOps.fit(picture, (64, 64))) for picture in pictures])
    return trained(images, tmp_path_factory.mktemp("real"))


@pytest.fixture
def copy(tmp_path):
    return lambda run: load(shutil.copytree(run.path, tmp_path / "copy", dirs_exist_ok=True))


def shows(run, pictures):
    """The run, with a generator that shows these."""
    _, facts = run._opened()
    run._loaded[run.folder.generator, "cpu"] = (Shows(pictures), facts | {"sha256": f"stand-in of {len(pictures)}"})
    return run


def training(run):
    store, places = training_part(run.folder.samples, run.config["store"], run.config["data"]["fingerprint"])
    return store.images[places]


def page(run):
    return run.report().read_text(encoding="utf-8")


def section(html):
    """What the page says about copying."""
    return html.partition('<section id="copying">')[2].partition("</section>")[0]


def found(run):
    return json.loads((run.path / "copying.json").read_text(encoding="utf-8"))


def test_a_generator_that_returns_slightly_blurred_training_images_copies(real, copy):
    run = copy(real)
    html = page(shows(run, blurred(training(run))))
    assert '<p class="alarm">The generator copies: ' in html
    assert found(run)["copies"] is True
    assert found(run)["twins"] > 0.9
    assert found(run)["closer"] > 0.9
    assert copies.warning(run.folder).startswith("The generator copies: ")
    likeness = run._contents().likeness
    for title, _, pairs in likeness.groups[:2]:
        assert len(pairs) == 4, title
        for pair in pairs:
            by_pixels, by_forms = pair.neighbours
            assert by_pixels.name == by_forms.name
            assert "(twin)" in by_forms.caption
            assert np.abs(pair.pixels.astype(int) - by_pixels.pixels).mean() < 10
    assert not any("(twin)" in pair.neighbours[1].caption for pair in likeness.groups[2][2])


def test_held_out_images_are_no_copies(real, copy):
    run = copy(real)
    html = page(shows(run, held_out_images(run.folder.samples)))
    assert 'class="alarm"' not in html
    assert "No evidence of copying: " in html
    assert found(run)["copies"] is False
    assert found(run)["expected"] < 0.05
    assert copies.warning(run.folder) == ""


def test_a_tenth_of_copies_is_enough(discs, copy):
    run = copy(discs)
    new = made_up(270, seed=1)
    new[:27] = blurred(training(run)[:27])
    assert "The generator copies: " in page(shows(run, new))
    assert 0.05 < found(run)["twins"] < 0.15


def test_mirrored_copies_are_found_and_shown_as_such(discs, copy):
    run = copy(discs)
    likeness = shows(run, training(run)[:, :, ::-1])._contents().likeness
    assert likeness.alarm
    for pair in likeness.groups[1][2]:
        for neighbour in pair.neighbours:
            assert neighbour.mirrored
            np.testing.assert_array_equal(neighbour.pixels, pair.pixels)
    assert ", mirrored</figcaption>" in page(run)


def test_neighbours_are_those_of_plain_distances(discs, copy):
    run = copy(discs)
    learnt, new = training(run), made_up(120, seed=2)
    store, places = training_part(run.folder.samples, run.config["store"], run.config["data"]["fingerprint"])
    likeness = shows(run, new)._contents().likeness
    for _, _, pairs in likeness.groups:
        for pair in pairs:
            both = np.concatenate([learnt, learnt[:, :, ::-1]]).astype(float)
            apart = np.sqrt(((both - pair.pixels) ** 2).mean(axis=(1, 2, 3)))
            nearest = pair.neighbours[0]
            np.testing.assert_array_equal(nearest.pixels, both[apart.argmin()])
            assert nearest.caption == f"by pixels, {apart.min():.0f} levels"
            assert nearest.mirrored == (apart.argmin() >= len(learnt))
            assert [nearest.name] == store.names([places[apart.argmin() % len(learnt)]])
    held = held_out_images(run.folder.samples)
    assert all((held == pair.pixels).all(axis=(1, 2, 3)).any() for pair in likeness.groups[2][2])
    ratios = [row["ratio"] for row in found(run)["gallery"]]
    assert ratios[:4] == sorted(ratios[:4])
    assert ratios[3] <= min(ratios[4:8])


def test_samples_are_a_draw_of_their_own(discs, copy):
    run, asked = copy(discs), []
    (run.path / "copying.json").unlink()
    sample = run.sample
    run.sample = lambda count, **given: asked.append((count, given.get("seed", 0))) or sample(count, **given)
    run.report()
    (mine,) = [each for each in asked if each[1] not in (0, 1)]
    assert mine == (500, copies.SEED)


def test_larger_pictures_are_fewer():
    drawn = []

    class DrawnError(Exception):
        pass

    def draw(count, seed):
        drawn.append(count)
        raise DrawnError

    for side, held in ((64, 10), (128, 10), (160, 10), (512, 10), (64, 4)):
        store = copies.Store.from_arrays(np.zeros((20, side, side, 1), np.uint8))
        with pytest.raises(DrawnError):
            copies.search(draw, store, np.arange(20), np.zeros((held, side, side, 1), np.uint8))
    assert drawn == [500, 250, 160, 100, 100]


def test_what_was_found_is_kept_until_the_generator_changes(discs, copy, monkeypatch):
    run = copy(discs)
    before, first = page(run), found(run)
    monkeypatch.setattr(copies, "search", lambda *_: pytest.fail("sought again"))
    assert page(load(run.path)) == before
    monkeypatch.undo()
    page(shows(run, made_up(50, seed=3)))
    assert found(run)["generator"] == "stand-in of 50"
    assert found(run)["twins"] is not None
    assert found(run) != first


@pytest.mark.parametrize("damage", ["json", "pictures", "no pictures", "other pictures"])
def test_what_was_kept_and_is_damaged_is_sought_again(discs, copy, damage):
    run = copy(discs)
    before, (text, pictures) = page(run), (run.path / "copying.json", run.folder.samples / "copying.npz")
    if damage == "json":
        text.write_text("[1", encoding="utf-8")
    elif damage == "pictures":
        pictures.write_bytes(pictures.read_bytes()[:100])
    elif damage == "no pictures":
        pictures.unlink()
    else:
        np.savez(pictures, pictures=np.zeros((1, 3, 4, 4, 3), np.uint8))
    assert page(load(run.path)) == before


def test_few_images_are_not_judged_and_shown_all_the_same(few, copy):
    run = copy(few)
    html = page(shows(run, blurred(training(run))))
    assert 'class="alarm"' not in html
    assert "Whether the generator copies cannot be tested without at least 5 held-out images. " in html
    assert "--set hold_out=0.1 and another --out." in html
    assert "<td>100.0%</td><td>not known</td>" in html
    assert "Closer to training images" not in html
    assert [title for title, _, _ in run._contents().likeness.groups] == ["Most like copies", "Drawn by lot"]
    assert copies.warning(run.folder).startswith("Whether the generator copies cannot be tested")


def test_the_share_to_hold_out_is_enough(tmp_path):
    """As advised: with five images held out there is a verdict."""
    run = trained(made_up(30), tmp_path)
    (remark,) = run._contents().likeness.remarks
    assert "--set hold_out=0.17 " in remark
    (tmp_path / "again").mkdir()
    again = trained(made_up(30), tmp_path / "again", hold_out=0.17)
    assert again.config["data"]["held_out"] == 5
    assert found(again)["copies"] is False


def test_what_cannot_be_held_out_is_not_advised(tmp_path):
    """Pieces of one large image belong together."""
    Image.fromarray(made_up(1, size=96)[0]).save(tmp_path / "one.png")
    run = train(tmp_path / "one.png", out=tmp_path / "run", size=SIZE, **SETTINGS)
    likeness = run._contents().likeness
    assert likeness.verdict.startswith("Whether the generator copies cannot be tested")
    assert likeness.remarks == []


def test_a_handful_of_images_has_no_neighbours(tmp_path):
    run = trained(made_up(5), tmp_path, batch_size=2)
    likeness = run._contents().likeness
    assert likeness.verdict.startswith("A search for copies takes at least 6 training images, got 5.")
    assert (likeness.groups, likeness.measures, likeness.remarks) == ([], [], [])
    assert page(load(run.path)) == page(run)


def test_without_the_prepared_images_it_says_what_to_type(discs, copy, tmp_path, monkeypatch):
    run = copy(discs)
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path / "empty"))
    before = page(run)
    assert "Drawn by lot" in before, "what was found before needs no data"
    (run.path / "copying.json").unlink()
    html = page(run)
    told = f"cardigan train {run.config['request']['source']}"
    assert "the prepared images of this run are not in this machine&#39;s cache. Type: " + told in html
    assert f" --out {run.path}; that prepares them again" in html
    assert "Drawn by lot" not in html
    assert not (run.path / "copying.json").exists()
    again = train(run.config["request"]["source"], out=run.path, size=SIZE, **SETTINGS)
    assert section(page(again)) == section(before), "as promised"


def test_a_run_that_does_not_say_what_it_was_trained_on(discs, copy):
    run = copy(discs)
    (run.path / "copying.json").unlink()
    (run.folder.samples / "held-out-places.npy").unlink()
    assert "not tested: samples/held-out-places.npy is missing, which tells" in page(run)


def test_of_many_training_images_some_are_compared(discs, copy, monkeypatch):
    run = copy(discs)
    monkeypatch.setattr(copies, "SEARCHED", 100)
    likeness = shows(run, blurred(training(run)))._contents().likeness
    assert likeness.alarm
    assert likeness.remarks == [
        "Compared with 100 of 270 training images, drawn by lot: copies of the others are not seen."
    ]
    assert 0.25 < found(run)["twins"] < 0.5
    store, places = training_part(run.folder.samples, run.config["store"], run.config["data"]["fingerprint"])
    place = dict(zip(store.names(places), places, strict=True))
    for row, trio in zip(found(run)["gallery"][:4], copies._read(run.folder, {})[1], strict=False):
        for picture, measure in zip(trio[1:], ("pixels", "features"), strict=True):
            wanted = store.images[place[row[measure]["image"]]]
            np.testing.assert_array_equal(picture, wanted[:, ::-1] if row[measure]["mirrored"] else wanted)


def test_only_the_calibration_takes_some_of_the_training_images(discs, copy, monkeypatch):
    monkeypatch.setattr("cardigan.metrics.copying.CALIBRATED", 20)
    run = copy(discs)
    likeness = shows(run, training(run))._contents().likeness
    assert (likeness.alarm, likeness.remarks) == (True, [])
    assert found(run)["compared_with"] == found(run)["trained_on"] == 270
    assert found(run)["twins"] == 1.0


def test_a_kill_never_leaves_numbers_of_one_generator_beside_pictures_of_another(discs, copy, monkeypatch):
    run = copy(discs)
    shows(run, made_up(50, seed=3))
    replace = copies.replace_durably

    def killed(path, blob):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        replace(path, blob)

    monkeypatch.setattr(copies, "replace_durably", killed)
    with pytest.raises(KeyboardInterrupt):
        run.report()
    monkeypatch.undo()
    assert section(page(load(run.path))) == section(page(discs))


def test_a_conditional_generator_is_asked_for_all_classes(tmp_path):
    images = made_up(120)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(120) % 3)
    run = train(tmp_path / "data.npz", out=tmp_path / "run", size=SIZE, **SETTINGS)
    _, facts = run._opened()
    network = Shows(images[:50], classes=3)
    run._loaded[run.folder.generator, "cpu"] = (network, facts | {"sha256": "stand-in"})
    copies.likeness(run.folder, run.config, "stand-in", lambda count, seed: run.sample(count, seed=seed))
    counts = np.bincount(network.asked)
    assert len(counts) == 3
    assert counts.min() > 100


def test_the_terminal_tells_at_the_end_and_only_what_matters(tmp_path, capsys):
    trained(made_up(60), tmp_path, quiet=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("Whether the generator copies cannot be tested without at least 5 held-out images.")
    (tmp_path / "more").mkdir()
    trained(made_up(120), tmp_path / "more", quiet=False)
    assert not [line for line in capsys.readouterr().err.splitlines() if "twins" in line]


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({"copies": True, "sentence": "It copies.", "trained_on": 5000}, "It copies."),
        ({"copies": False, "sentence": "None.", "trained_on": 50}, ""),
        ({"copies": None, "sentence": "Cannot.", "trained_on": 50}, "Cannot."),
        ({"copies": None, "sentence": "Cannot.", "trained_on": 1000}, ""),
        ({}, ""),
    ],
)
def test_what_is_worth_a_warning(tmp_path, kept, told):
    folder = launch.RunFolder(tmp_path)
    assert copies.warning(folder) == ""
    (tmp_path / "copying.json").write_text(json.dumps(kept), encoding="utf-8")
    assert copies.warning(folder) == told
