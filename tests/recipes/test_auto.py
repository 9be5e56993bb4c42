"""What auto chooses, and that it says why."""

import pytest

from cardigan import models, recipes
from cardigan.recipes import Task
from cardigan.recipes.auto import FEW


def chosen(**changes):
    task = {"height": 64, "width": 64, "channels": 3, "count": 800, "minutes": 60.0} | changes
    settings = task.pop("settings", {})
    return recipes.prepare("auto", Task(**task), **settings)


@pytest.mark.parametrize(
    ("changes", "few"),
    [
        ({}, True),
        ({"minutes": None}, True),
        ({"count": FEW - 1}, True),
        ({"count": FEW}, False),
        ({"count": 0}, False),
        ({"channels": 1}, True),
        ({"height": 32, "width": 32}, False),
        ({"minutes": 1.0}, True),
        ({"minutes": 1.0, "device": "cuda"}, True),
        ({"settings": {"r1": 0.5}}, False),
    ],
)
def test_few_pictures_get_what_is_made_for_few(changes, few):
    found = chosen(**changes)
    assert isinstance(found.gan.generator, models.fastgan.Generator if few else models.dcgan.Generator)
    name = "quick" if not few else "fastgan" if changes.get("device") == "cuda" else "fastgan-lite"
    assert found.because[0].startswith(f"auto takes the recipe {name} at ")


def test_the_device_decides_how_wide():
    cpu, gpu = chosen(), chosen(device="cuda")
    assert (cpu.gan.generator.arguments["width"], gpu.gan.generator.arguments["width"]) == (8, 64)
    assert (cpu.batch_size, gpu.batch_size) == (8, 8)
    assert (cpu.optimizers.learning_rate, gpu.optimizers.learning_rate) == (3e-3, 2e-4)


def test_every_choice_is_told_with_its_reason_and_what_overrules_it():
    told = chosen(classes=2, count=700).because
    assert told == (
        "auto takes the recipe fastgan-lite at 64x64 pixels: made for few pictures, and there are 700.",
        "width=8: what a CPU affords of it (--set width=... overrules).",
        "learning_rate=0.003: a narrow network learns faster (--set learning_rate=... overrules).",
        "batch_size=8: as published (--set batch_size=... overrules).",
        "flip=true: colour pictures usually may be mirrored; not if they hold text (--set flip=... overrules).",
        "Conditional, since the data has 2 classes (--set conditional=false goes without).",
    )


def test_what_is_given_is_taken_and_not_explained():
    found = chosen(settings={"width": 12, "batch_size": 4, "flip": False})
    assert (found.gan.generator.arguments["width"], found.batch_size, found.flip) == (12, 4, False)
    assert [line.split("=")[0] for line in found.because[1:]] == ["learning_rate"]
