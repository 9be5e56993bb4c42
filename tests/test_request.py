import shlex

import numpy as np
import pytest
import torch
from PIL import Image

from cardigan import cli, recipes
from cardigan.data import DataSettings, open_source
from cardigan.errors import CardiganError
from cardigan.request import Request, check, choose_size, differences, pick_device

DATA, CUT = DataSettings(), DataSettings(fit="cut")

DEVICES = "expected auto, cpu, cuda, cuda:N or mps."


def refused(device="cpu", **arguments):
    with pytest.raises(CardiganError) as caught:
        check(Request("digits", **({"recipe": "dcgan"} | arguments)), device=device)
    return str(caught.value).splitlines()


def test_a_good_request_gives_its_settings():
    settings = check(Request("digits", recipe="dcgan", images=64, settings={"width": "8"}), device="cpu")
    assert settings.recipe == {"width": 8}


def test_two_budgets_are_both_named():
    assert refused(images=64, minutes=1.0) == ["--images and --minutes exclude each other: give one budget."]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"images": 0}, "--images is 0, expected at least 1."),
        ({"images": -5}, "--images is -5, expected at least 1."),
        ({"minutes": 0.0}, "--minutes is 0, expected more than 0."),
        ({"minutes": float("nan")}, "--minutes is nan, expected more than 0."),
        ({"size": 2}, "--size is 2, expected 4 to 1024 pixels."),
        ({"size": (64, 2000)}, "--size is 64x2000, expected 4 to 1024 pixels."),
        ({"device": "gpux"}, f"--device is 'gpux', {DEVICES} A GPU of NVIDIA or AMD is cuda, of a Mac mps."),
        ({"device": "cuda:x"}, f"--device is 'cuda:x', {DEVICES}"),
        ({"device": "cuda:²"}, f"--device is 'cuda:²', {DEVICES}"),
    ],
)
def test_what_is_wrong_is_told_with_its_value(arguments, told):
    assert refused(**arguments) == [told]


def test_everything_wrong_is_told_at_once():
    wrong = {"lerning_rate": "1", "width": "x", "batch_size": "0"}
    found = refused(device="gpu", images=0, minutes=-1.0, size=3000, settings=wrong)
    for part in (
        "lerning_rate",
        "width is",
        "batch_size is",
        "--images is",
        "--minutes is",
        "exclude",
        "--size",
        "--device",
    ):
        assert sum(part in line for line in found) == 1, part
    assert len(found) == 8


def test_an_unknown_recipe_is_named_with_its_nearest():
    (line,) = refused(recipe="dgcan")
    assert line.startswith("There is no recipe 'dgcan'. Did you mean 'dcgan'? Known: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_an_absent_gpu_is_told_with_what_is_there(device):
    (line,) = refused(device=device)
    assert line.startswith(f"--device {device} is not present on this machine. Present: ")
    assert "cpu" in line
    assert line.endswith("Try --device auto.")


@pytest.mark.gpu
def test_a_gpu_that_is_not_there_is_refused_by_number():
    assert pick_device("cuda:0") == "cuda:0"
    assert pick_device("auto") == "cuda"
    with pytest.raises(CardiganError, match="--device cuda:99 is not present"):
        pick_device("cuda:99")


def test_the_device_that_is_there_is_taken():
    assert pick_device("cpu") == "cpu"
    assert pick_device("auto") in ("cpu", "cuda", "mps")


def parsed(command, monkeypatch):
    """The request that the command line makes of a command."""
    seen = {}

    def train(source, **arguments):
        seen.update(arguments, source=source)

    monkeypatch.setattr("cardigan.launch.train", train)
    monkeypatch.setattr(cli, "_closing", lambda run: None)
    monkeypatch.setattr("cardigan.data.sources.check_there", lambda named: None)
    cli.main(shlex.split(command)[1:])
    names = {"source", "recipe", "size", "images", "minutes", "seed"}
    given = {key: value for key, value in seen.items() if key in names}
    others = {"out", "device", "resume"} | names
    return Request(**given, settings={key: value for key, value in seen.items() if key not in others})


@pytest.mark.parametrize(
    "request_",
    [
        Request("digits"),
        Request("my photos/with 'quotes'", recipe="wgan-gp", size=64, images=500_000, seed=7),
        Request("a", size=(64, 96), minutes=0.5, settings={"width": 8, "flip": True, "r1": None, "fit": "pad"}),
        Request("a", recipe="lsgan", settings={"a": -1.0, "learning_rate": 1e-5, "background": "#ff 00"}),
    ],
)
def test_the_command_asks_for_the_same(request_, monkeypatch):
    again = parsed(request_.command(), monkeypatch)
    assert differences(request_.to_dict(), again.to_dict()) == []
    assert again.command() == request_.command()


def test_a_setting_from_python_equals_the_same_from_a_command_line():
    python = Request("a", settings={"rate": 0.5, "flip": True, "labels": False, "r1": None, "width": 8})
    line = Request("a", settings={"rate": "0.5", "flip": "true", "labels": "false", "r1": "none", "width": "8"})
    assert differences(python.to_dict(), line.to_dict()) == []
    assert python.command() == line.command()


def test_differences_name_what_changed():
    before = Request("a", recipe="dcgan", size=64, settings={"width": 8}).to_dict()
    now = Request("b", recipe="dcgan", size=(64, 64), images=100, settings={"r1": 1}).to_dict()
    assert differences(before, now) == [
        "images was not set, is 100",
        "source was a, is b",
        "r1 was not set, is 1",
        "width was 8, is not set",
    ]
    assert differences(before, before) == []


def pictures(folder, *sizes):
    for place, (height, width) in enumerate(sizes):
        pixels = np.random.default_rng(place).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{place}.png")
    return open_source(folder)


def chosen(source, *, recipe="dcgan", device="cpu", minutes=None):
    return choose_size(source, recipe, DATA, device, minutes=minutes, on_progress=lambda done, total: None)


def test_images_of_one_size_that_can_be_built_keep_it(tmp_path):
    assert chosen(open_source("digits")) == (16, 16)
    assert chosen(pictures(tmp_path, (24, 32), (24, 32))) == (24, 32)


def test_other_images_take_the_largest_power_of_two_that_most_reach(tmp_path):
    source = pictures(tmp_path, *[(50, 60)] * 3, (300, 300), (20, 20))
    assert chosen(source) == chosen(source, device="cuda") == (32, 32)


def test_a_cpu_stops_at_64_pixels_and_a_gpu_at_256(tmp_path):
    source = pictures(tmp_path, (400, 500), (600, 400))
    assert chosen(source) == (64, 64)
    assert chosen(source, device="cuda") == (256, 256)
    assert chosen(pictures(tmp_path, (128, 128), (128, 128))) == (64, 64)


def test_the_budget_decides_how_far_it_goes(tmp_path):
    source = pictures(tmp_path, (400, 500), (600, 400))
    assert [chosen(source, minutes=minutes) for minutes in (1, 119, 120)] == [(64, 64), (64, 64), (128, 128)]
    assert [chosen(source, minutes=minutes, device="cuda") for minutes in (9, 10)] == [(128, 128), (256, 256)]


def test_a_recipe_for_one_size_takes_it():
    assert chosen(open_source("digits"), recipe="vanilla-as-printed") == (28, 28)
    assert chosen(open_source("digits"), recipe="dcgan-as-printed") == (64, 64)


def test_settings_that_decide_nothing_may_differ():
    before = {"seed": 0, "settings": {"checkpoint_seconds": "30", "width": "8"}}
    assert differences(before, {"seed": 0, "settings": {"snapshots": "2", "width": "8"}}) == []
    assert differences(before, {"seed": 0, "settings": {"width": "9"}}) == ["width was 8, is 9"]


def cut_into(source, *, device="cpu", **own):
    return choose_size(source, "restore", CUT, device, own=own, on_progress=lambda done, total: None)


def test_photos_are_cut_into_the_largest_pieces_that_nearly_all_give(tmp_path):
    source = pictures(tmp_path, *[(120, 100)] * 12, (33, 40))
    assert cut_into(source) == cut_into(source, device="cuda") == (96, 96), "one small photo decides for no other"


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(96, 300)], 96),
        ([(300, 95)], 64),
        ([(48, 48)] * 3, 48),
        ([(20, 200)] * 3, 32),
        ([(100, 100)] * 4 + [(50, 50)], 96),
        ([(100, 100)] * 3 + [(50, 50)], 48),
        ([(100, 100)] * 28 + [(50, 60), (60, 50)], 48),
        ([(100, 100)] * 38 + [(50, 100), (100, 50)], 96),
        ([(100, 100)] * 37 + [(70, 100), (100, 50), (40, 40)], 64),
    ],
)
def test_a_twentieth_of_the_photos_may_be_smaller_than_a_piece_and_one_of_five(tmp_path, sizes, side):
    sizes = [*sizes, *sizes] if len(sizes) == 1 else sizes
    assert cut_into(pictures(tmp_path, *sizes)) == (side, side)


@pytest.mark.parametrize(("height", "side"), [(400, 96), (192, 96), (191, 64), (100, 48), (64, 32), (40, 32)])
def test_one_large_image_is_cut_into_the_same_pieces_where_it_gives_them(tmp_path, height, side):
    pictures(tmp_path, (height, 500))
    assert cut_into(open_source(tmp_path / "0.png"), device="cuda") == (side, side)


@pytest.mark.parametrize("factor", range(2, 9))
def test_every_factor_has_a_size_of_its_own_where_none_is_given(tmp_path, factor):
    degrade = f"jpeg50+downscale{factor}"
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, side in ((small, 40), (large, 130)):
        folder.mkdir()
        pictures(folder, *[(side, side)] * 3)
    for folder, largest in ((small, 32), (large, 96)):
        side, _ = size = cut_into(open_source(folder), degrade=degrade)
        assert largest - factor < side <= largest
        assert recipes.prepare("restore", recipes.Task(*size, 3), degrade=degrade, width=4).degradation.scale == factor
    cropped = choose_size(
        open_source(small), "restore", DATA, "cpu", own={"degrade": degrade}, on_progress=lambda done, total: None
    )
    assert not any(side % factor for side in cropped)


def test_the_factor_that_is_not_given_counts_too(tmp_path):
    assert cut_into(pictures(tmp_path, *[(50, 50)] * 2)) == (48, 48)
    assert chosen(open_source("digits"), recipe="auto") == (16, 16), "other recipes want no multiple"


@pytest.mark.parametrize("size", [4, 6, 15, (96, 12)])
def test_pieces_without_texture_are_refused_before_any_work(size):
    height, width = (size, size) if isinstance(size, int) else size
    assert refused(recipe="restore", size=size) == [
        f"Pieces of {height}x{width} pixels show no texture to restore; expected at least 16 a side. Try --size 96, or "
        f"the largest that most of your photos reach."
    ]


def test_the_smallest_pieces_are_not_refused():
    check(Request("digits", recipe="restore", size=16), device="cpu")


def test_a_recipe_that_chooses_by_the_data_may_have_any_size_that_one_of_its_choices_can_draw():
    """Many images are quick's, up to 256 pixels; few are FastGAN's, up to 1,024."""
    check(Request("photos", recipe="auto", size=512), device="cpu")
    with pytest.raises(CardiganError, match="each side must lie between 16 and 256"):
        check(Request("photos", recipe="auto", size=515), device="cpu")
    with pytest.raises(CardiganError, match="each side must lie between 16 and 256"):
        check(Request("photos", recipe="quick", size=512), device="cpu")
