"""What every recipe promises, asked of every file found in recipes/: nothing lists them."""

import inspect
import sys
import traceback
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.utils._python_dispatch import TorchDispatchMode

from cardigan import recipes
from cardigan.data import DataSettings
from cardigan.data.batches import batches
from cardigan.data.degrade import Pairs
from cardigan.data.store import Store
from cardigan.errors import CardiganError
from cardigan.recipes import Recipe, Task
from cardigan.settings import RunSettings, resolve
from cardigan.training import Training, loop
from cardigan.training.state import capture

CLASSES = 10
BATCH = 4


def task(name, *, classes=CLASSES, **changes):
    """The smallest shape that a recipe accepts."""
    height, width, channels = vars(recipes.find(name)).get("ONLY") or (16, 16, 1)
    return Task(height, width, channels or 1, **({"classes": classes, "count": 64} | changes))


def small(name):
    """Settings that make it cheap, and without which it could not be built; a backbone is the pixels themselves."""
    known = recipes.settings_model(name).model_fields
    wanted = {"batch_size": BATCH, "width": 4, "backbone": "torch.nn:Identity"}
    return {key: value for key, value in wanted.items() if key in known}


def store(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, shape.height, shape.width, shape.channels), dtype=np.uint8)
    return Store.from_arrays(images, np.arange(64) % CLASSES)


def weights(network):
    return [weight.detach().clone() for weight in network.parameters()]


def moved(before, network):
    return any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def promise_it_says_what_it_is(name):
    module = recipes.find(name)
    told = module.__doc__ or ""
    assert "\nSource: " in told, "where the numbers come from"
    assert "\nExpect: " in told, "what to expect"
    assert told.splitlines()[0].rstrip().endswith((".", ":"))
    assert module.recipe.__doc__
    only = vars(module).get("ONLY")
    if only is not None:
        assert len(only) == 3


def promise_what_is_recorded_of_it_is_the_same_in_every_process(name):
    """A function says where it lies in memory, unless somebody gives it words."""
    recipe = recipes.prepare(name, task(name), **small(name))
    parts = [recipe.gan.objective, *recipe.gan.terms, *recipe.gan.projections, recipe.gan.augment]
    told = [repr(part) for part in [*parts, recipe.optimizers, recipe.choice]]
    assert not [text for text in told if " at 0x" in text]


def promise_every_setting_has_a_default_and_no_other_is_taken(name):
    model = recipes.settings_model(name)
    for key, parameter in list(inspect.signature(recipes.find(name).recipe).parameters.items())[1:]:
        assert parameter.kind is parameter.KEYWORD_ONLY, f"{key} must be a keyword"
        assert parameter.default is not parameter.empty, f"{key} has no default"
    for key in model.model_fields:
        assert key not in DataSettings.__dataclass_fields__, f"{key} also belongs to the data"
        assert key not in RunSettings.__dataclass_fields__, f"{key} also belongs to the run"
    defaults = {key: field.default for key, field in model.model_fields.items()}
    model(**defaults)  # the defaults are themselves valid
    with pytest.raises(ValidationError):
        model(no_such_setting=1)
    with pytest.raises(CardiganError, match="no_such_setting"):
        recipes.prepare(name, task(name), no_such_setting=1)
    assert resolve(name, {"no_such_setting": 1})[1] == ["There is no setting 'no_such_setting'."], "told once"


def promise_one_turn_of_each_player_trains(name):
    shape = task(name)
    recipe = recipes.prepare(name, shape, seed=1, **small(name))
    assert isinstance(recipe, Recipe)
    assert tuple(recipe.gan.generator.shape) == (shape.channels, shape.height, shape.width)
    training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life, seed=1)
    drawn = batches(store(shape), batch_size=recipe.batch_size, labels=bool(recipe.gan.generator.classes))
    if recipe.degradation:
        drawn = Pairs(drawn, recipe.degradation)
    played = set()
    for stage in recipe.course:
        training.gan = stage.gan
        acted = set()
        for _ in range(12):
            training.set_rates(stage.schedule(0.0))
            before = {player: weights(recipe.gan.network(player)) for player in ("discriminator", "generator")}
            record = training.turn(drawn, stage.turns)
            for player, old in before.items():
                plays = player in record.progress.last
                judged = plays and (player == "discriminator" or stage.gan.objective.generator is not None)
                assert moved(old, recipe.gan.network(player)) is plays, f"{player} in turn {record.progress.last}"
                assert (f"{player}/adversarial" in record.losses) is judged
            assert all(value.isfinite() for value in (*record.losses.values(), *record.logits.values())), str(record)
            acted |= set(record.progress.last)
            if acted == {"discriminator", "generator"}:
                played.add(stage.name)
                break
    assert recipe.course[-1].name in played, "someone never plays"
    source = torch.randn(2, *recipe.gan.generator.source)
    images = training.published(drawn, images=8).eval()(source, *labels(recipe))
    assert images.shape == (2, shape.channels, shape.height, shape.width)
    assert images.abs().max() <= 1


def promise_a_turn_in_bfloat16_is_nearly_the_same(name):
    """The losses of the first turn, from the same weights, images and noise; and all that is kept stays float32."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        recipe = recipes.prepare(name, shape := task(name), seed=1, **small(name))
        training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=100, seed=1, precision=precision)
        drawn = batches(store(shape), batch_size=recipe.batch_size, labels=bool(recipe.gan.generator.classes))
        if recipe.degradation:
            drawn = Pairs(drawn, recipe.degradation)
        training.gan = recipe.course[0].gan
        record = training.turn(drawn, recipe.course[0].turns)
        assert {loss.dtype for loss in record.losses.values()} == {torch.float32}
        losses[precision] = torch.stack(list(record.losses.values()))
        kept = [tensor for file in capture(training)[0].values() for tensor in file.values()]
        assert not any(tensor.dtype is torch.bfloat16 for tensor in kept)
    torch.testing.assert_close(losses["bfloat16"], losses["float32"], rtol=0.1, atol=0.05)


class Reads(TorchDispatchMode):
    """Counts what makes a program wait for its device."""

    def __init__(self):
        super().__init__()
        self.places = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation._schema.name.removeprefix("aten::")
        if name in {"_local_scalar_dense", "equal", "nonzero", "_unique2", "masked_select"}:
            ours = Path(recipes.__file__).parents[1]
            frames = [frame for frame in traceback.extract_stack() if ours in Path(frame.filename).parents]
            # Who asked for it: the line itself is a property's where a verdict is read.
            self.places.append(f"{name} in {frames[-2].filename}:{frames[-2].lineno} {frames[-2].line}")
        return operation(*args, **(kwargs or {}))


MAY_READ = {
    "step.gan.discriminator)(step.maps, self._drawn())": "a crop's place, which lies in main memory on every device",
    "check_turn(turns(self.progress))": "turns that adapt to the losses have to know them",
    "elif not verdict.sound:": "torch's RMSprop cannot guard its weights, so its verdict is read at once",
}


def promise_no_turn_waits_for_its_device(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "DISTANT", {"cpu"})
        recipe = recipes.prepare(name, shape := task(name), seed=1, **small(name))
        training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life, seed=1)
        drawn = batches(store(shape), batch_size=recipe.batch_size, labels=bool(recipe.gan.generator.classes))
        if recipe.degradation:
            drawn = Pairs(drawn, recipe.degradation)
        for stage in recipe.course:
            training.gan = stage.gan
            for _ in range(6):
                training.judge()
                with Reads() as reads:
                    training.turn(drawn, stage.turns)
                assert [place for place in reads.places if not place.endswith(tuple(MAY_READ))] == []


def labels(recipe):
    return [torch.tensor([0, CLASSES - 1])] if recipe.gan.generator.classes else []


def promise_the_same_seed_starts_the_same(name):
    first, again, other = (
        recipes.prepare(name, task(name), seed=seed, **small(name)).gan.generator.state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def promise_data_without_classes_is_trained_on_or_refused_in_words(name):
    try:
        recipe = recipes.prepare(name, task(name, classes=0), **small(name))
    except CardiganError as error:
        assert "needs data with classes" in str(error)  # noqa: PT017
    else:
        assert recipe.gan.generator.classes == recipe.gan.discriminator.classes == 0


def promise_the_learning_rate_stays_within_its_full_value(name):
    recipe = recipes.prepare(name, task(name), **small(name))
    for stage in recipe.course:
        rates = [stage.schedule(place / 20) for place in range(21)]
        assert 0.0 < rates[0] <= 1.0
        assert all(0.0 <= later <= earlier for earlier, later in pairwise(rates))
    assert recipe.course[0].schedule(0.0) == 1.0


def promise_the_stages_fill_the_budget(name):
    ends = [stage.until for stage in recipes.prepare(name, task(name), **small(name)).course]
    assert ends[-1] == 1.0
    assert all(0.0 < earlier < later for earlier, later in pairwise(ends))


PROMISES = {key: value for key, value in list(globals().items()) if key.startswith("promise_")}


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("name", recipes.names())
def test_contract(name, promise):
    PROMISES[promise](name)


@pytest.mark.parametrize("sides", [None, (24, 40)], ids=["smallest", "no power of two"])
@pytest.mark.parametrize("name", recipes.names())
def test_a_turn_asks_for_nothing_that_apples_gpus_lack(name, sides, apple_gpu):
    """By a stand-in that runs on the processor."""
    shape = task(name) if sides is None else replace(task(name), height=sides[0], width=sides[1])
    try:
        recipe = recipes.prepare(name, shape, seed=1, **small(name))
    except CardiganError:
        assert sides, "its own size can be built"
        return  # it draws no others
    training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life, seed=1)
    drawn = batches(store(shape), batch_size=recipe.batch_size, labels=bool(recipe.gan.generator.classes))
    drawn = Pairs(drawn, recipe.degradation) if recipe.degradation else drawn
    with apple_gpu():
        for stage in recipe.course:
            training.gan = stage.gan
            training.turn(drawn, lambda progress: ("discriminator", "generator"))


# --- the contract finds a new file by itself, and can fail ---------------------------------------------------------

TOY = '''"""A toy.

Source: nowhere.
Expect: little.
"""

from cardigan import objectives
from cardigan.contracts import GAN
from cardigan.models import mlp
from cardigan.recipes._contract import BatchSize, Recipe, Task
from cardigan.training.optimizers import Adam


def recipe(task: Task, *, batch_size: BatchSize = 8) -> Recipe:
    """Its numbers."""
    shape = {"size": task.size, "channels": task.channels}
    gan = GAN(mlp.Generator(**shape, latent=4), mlp.Discriminator(**shape), objectives.hinge())
    return Recipe(gan, batch_size=batch_size, optimizers=Adam())
'''

BROKEN = {
    "Source: nowhere.\n": "promise_it_says_what_it_is",
    "Expect: little.\n": "promise_it_says_what_it_is",
    " = 8": "promise_every_setting_has_a_default_and_no_other_is_taken",
}


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(tmp_path)])

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return name.replace("_", "-")

    yield write
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"cardigan.recipes.{path.stem}", None)
        vars(recipes).pop(path.stem, None)


def test_a_new_file_is_found_and_keeps_every_promise(toy):
    name = toy("toy_hinge", TOY)
    assert name in recipes.names()
    for promise in PROMISES.values():
        promise(name)


@pytest.mark.parametrize("removed", BROKEN)
def test_a_broken_file_fails(toy, removed):
    name = toy(f"broken_{len(removed)}_{sum(map(ord, removed))}", TOY.replace(removed, "", 1))
    with pytest.raises(AssertionError):
        PROMISES[BROKEN[removed]](name)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Adam())", "Adam(), turns=lambda progress: ('discriminator',))"),
        ("Adam())", "{'discriminator': Adam(), 'generator': Adam(0.0)})"),
        ("objectives.hinge()", "objectives.scaled(objectives.hinge(), generator=0.0)"),
        ("**shape, latent=4", "size=task.size, channels=3, latent=4"),
    ],
)
def test_a_recipe_that_does_not_train_both_players_fails(toy, before, after):
    assert before in TOY
    name = toy(f"idle_{sum(map(ord, after))}", TOY.replace(before, after, 1))
    with pytest.raises(AssertionError):
        promise_one_turn_of_each_player_trains(name)


# --- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "generator", "discriminator"),
    [
        ("dcgan-as-printed", {"size": 64, "channels": 3}, 3_576_704, 2_765_568),
        ("vanilla-as-printed", {"size": 28, "channels": 1}, 1_486_352, 1_460_225),
        ("cgan-as-printed", {"size": 28, "channels": 1, "classes": 10}, 1_508_368, 1_534_273),
        ("fastgan-tutorial-as-printed", {"size": 64, "channels": 3}, 3_533_315, 108_133),
    ],
)
def test_the_printed_networks_have_the_printed_numbers_of_parameters(name, shape, generator, discriminator):
    gan = recipes.build(name, **shape)
    counts = [sum(weight.numel() for weight in network.parameters()) for network in (gan.generator, gan.discriminator)]
    assert counts == [generator, discriminator]


def test_build_takes_rectangles_and_settings():
    gan = recipes.build("dcgan", size=(16, 24), channels=2, classes=3, width=4, latent=7, seed=5)
    assert (gan.generator.shape, gan.generator.latent, gan.generator.classes) == ((2, 16, 24), 7, 3)


def test_a_wrong_recipe_or_setting_is_named_with_its_nearest():
    with pytest.raises(CardiganError) as caught:
        recipes.build("dgcan", size=16)
    assert str(caught.value).startswith("There is no recipe 'dgcan'. Did you mean 'dcgan'? Known: ")
    with pytest.raises(CardiganError) as caught:
        recipes.build("dcgan", size=16, widht=4)
    assert str(caught.value) == "There is no setting 'widht'. Did you mean 'width'?"


def test_a_size_that_cannot_be_built_is_refused():
    with pytest.raises(CardiganError, match="50x50 pixels cannot be built by doubling"):
        recipes.build("dcgan", size=50)


def test_classes_are_taken_demanded_or_left():
    with_classes, without = Task(16, 16, classes=10), Task(16, 16)
    assert recipes.classes_for(with_classes, None) == recipes.classes_for(with_classes, True) == 10
    assert recipes.classes_for(with_classes, False) == recipes.classes_for(without, None) == 0
    assert recipes.classes_for(without, False) == 0
    with pytest.raises(CardiganError, match="conditional=true needs data with classes, and this data has none"):
        recipes.classes_for(without, True)
