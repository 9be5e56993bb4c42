"""Typing errors, and the names of other tools: answered with what to type, before torch is loaded."""

import subprocess
import sys

import pytest

from cardigan import recipes, spelling
from cardigan.data import DataSettings
from cardigan.errors import CardiganError
from cardigan.settings import RunSettings, resolve


@pytest.mark.parametrize("recipe", recipes.names())
def test_the_names_read_from_the_source_are_those_of_the_recipe(recipe):
    known = {*recipes.settings_model(recipe).model_fields}
    known |= {*DataSettings.__dataclass_fields__, *RunSettings.__dataclass_fields__}
    assert spelling.setting_names(recipe) == sorted(known)


def test_every_translation_leads_to_something_that_is_there():
    known = {*spelling.OPTIONS}.union(*(spelling.setting_names(recipe) for recipe in recipes.names()))
    assert set(spelling.SYNONYMS.values()) <= known


def test_a_setting_of_the_recipe_wins_over_a_translation():
    words = ["train", "photos", "--recipe", "projected", "--resolution", "64"]
    assert spelling.option(words, "--resolution") == "There is no option --resolution. Type: --set resolution=64"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("--batch-size 8", "Type: --set batch_size=8"),
        ("--batch-size=8", "Type: --set batch_size=8"),
        ("--batch_size 8", "Type: --set batch_size=8"),
        ("--lr 0.0002", "Type: --set learning_rate=0.0002"),
        ("--learning-rate", "Type: --set learning_rate=VALUE"),
        ("--image-size 64", "Type: --size 64"),
        ("--outdir x", "Type: --out x"),
        ("--cfg dcgan", "Type: --recipe dcgan"),
        ("--gpus 2", "Type: --device cuda (several GPUs: torchrun, see docs/scale.md)"),
        ("--fp16", "Type: --set precision=bfloat16"),
        ("--mirror", "Type: --set flip=true"),
        ("--grayscale", "Type: --set channels=1"),
        ("--z_dim 128", "Type: --set latent=128"),
        ("--continue", "Type: --resume"),
        ("--data photos", "The images are the first word: cardigan train photos"),
        ("--recipee dcgan", "Type: --recipe dcgan"),
        ("--xyzzy 3", "See: cardigan train --help"),
    ],
)
def test_an_option_of_other_tools_is_answered_with_what_to_type(typed, answer):
    words = ["train", "photos", "--recipe", "dcgan", *typed.split()]
    name = typed.split()[0].partition("=")[0]
    assert spelling.option(words, name) == f"There is no option {name}. {answer}"


@pytest.mark.parametrize("name", ["epochs", "num-train-steps", "kimg", "max_steps"])
def test_budgets_of_other_tools_are_explained(name):
    told = spelling.option(["train", "photos", f"--{name}", "5"], f"--{name}")
    assert told.startswith(f"There is no option --{name}. The budget is --images N, the images drawn from the data")
    assert resolve("dcgan", {name: "5"})[1][0].startswith(f"There is no setting {name!r}. The budget is --images N")


def test_advice_on_settings_works_when_it_is_followed():
    for other, ours in spelling.SYNONYMS.items():
        known = spelling.setting_names("quick")
        if ours in known:
            assert resolve("quick", {other: "1"})[1] == [f"There is no setting {other!r}. Did you mean {ours!r}?"]


def test_an_option_given_as_a_setting_is_told():
    assert resolve("dcgan", {"seed": "1"})[1] == ["There is no setting 'seed'. It is an option: --seed"]
    assert resolve("dcgan", {"resolution": "64"})[1] == ["There is no setting 'resolution'. It is an option: --size"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--size 64 64", "--size takes one word. Type: --size 64x64"),
        ("--size 48 64", "--size takes one word. Type: --size 48x64"),
        ("--set batch_size 8", "--set 'batch_size' has no '='. Expected KEY=VALUE. Type: --set batch_size=8"),
        (
            "--set batch_size --resume",
            "--set 'batch_size' has no '='. Expected KEY=VALUE. Type: --set batch_size=VALUE",
        ),
        ("--set", "--set '' has no '='. Expected KEY=VALUE. Type: --set KEY=VALUE"),
    ],
)
def test_two_words_for_one_are_told(words, told):
    with pytest.raises(CardiganError) as caught:
        spelling.check_tokens(["train", "photos", *words.split()])
    assert str(caught.value) == told


def test_all_wrong_names_are_told_at_once():
    with pytest.raises(CardiganError) as caught:
        spelling.check("dcgan", ["lr", "width", "wdth"], device="gpu:0")
    assert str(caught.value).splitlines() == [
        "There is no setting 'lr'. Did you mean 'learning_rate'?",
        "There is no setting 'wdth'. Did you mean 'width'?",
        "--device is 'gpu:0', expected auto, cpu, cuda, cuda:N or mps. A GPU of NVIDIA or AMD is cuda, of a Mac mps.",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["train", "digits", "--recipe", "stylegan2"],
        ["train", "digits", "--set", "batchsize=8"],
        ["train", "digits", "--device", "gpu"],
        ["train", "digits", "--minutes", "0"],
        ["train", "digits", "--size", "64", "64"],
        ["train", "digits", "--batch-size", "8"],
        ["generate", "run"],
        ["train", "no/such/folder"],
        ["train", "nothing*.png"],
        ["sample", "nothing"],
        ["report", "nothing"],
    ],
)
def test_typing_errors_are_answered_before_torch_is_loaded(words):
    script = (
        "import sys; from cardigan import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.stdout == "2 False\n", done.stderr
