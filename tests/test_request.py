import shlex

import numpy as np
import pytest
import torch
from PIL import Image

from cardigan import cli
from cardigan.data import DataSettings, open_source
from cardigan.errors import CardiganError
from cardigan.request import Request, check, choose_size, differences, pick_device

DATA = DataSettings()


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
        ({"size": (64, 2000)}, "--size is (64, 2000), expected 4 to 1024 pixels."),
        ({"device": "gpu"}, "--device is 'gpu', expected auto, cpu, cuda, cuda:N or mps."),
        ({"device": "cuda:x"}, "--device is 'cuda:x', expected auto, cpu, cuda, cuda:N or mps."),
        ({"device": "cuda:²"}, "--device is 'cuda:²', expected auto, cpu, cuda, cuda:N or mps."),
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


def chosen(source, *, recipe="dcgan", device="cpu"):
    return choose_size(source, recipe, DATA, device, on_progress=lambda done, total: None)


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


def test_a_recipe_for_one_size_takes_it():
    assert chosen(open_source("digits"), recipe="vanilla-as-printed") == (28, 28)
    assert chosen(open_source("digits"), recipe="dcgan-as-printed") == (64, 64)


def test_settings_that_decide_nothing_may_differ():
    before = {"seed": 0, "settings": {"checkpoint_seconds": "30", "width": "8"}}
    assert differences(before, {"seed": 0, "settings": {"snapshots": "2", "width": "8"}}) == []
    assert differences(before, {"seed": 0, "settings": {"width": "9"}}) == ["width was 8, is 9"]
