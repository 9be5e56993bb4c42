from torch import nn

from cardigan import recipes
from cardigan.recipes import Task
from cardigan.training.optimizers import RMSprop


def test_the_numbers_are_those_of_fastais_document():
    recipe = recipes.prepare("basic", Task(64, 64, channels=3))
    assert recipe.optimizers == RMSprop(2e-4)
    assert recipe.batch_size == 128
    assert [projection.limit for projection in recipe.gan.projections] == [0.01]
    assert recipe.gan.terms == ()
    assert sum(weight.numel() for weight in recipe.gan.generator.parameters()) == 3_613_696
    assert sum(weight.numel() for weight in recipe.gan.discriminator.parameters()) == 2_802_625
    slopes = {
        module.negative_slope for module in recipe.gan.discriminator.modules() if isinstance(module, nn.LeakyReLU)
    }
    assert slopes == {0.2}
    assert not any(isinstance(module, nn.LeakyReLU) for module in recipe.gan.generator.modules())


def test_settings_reach_the_networks():
    recipe = recipes.prepare("basic", Task(16, 16, channels=1, classes=3), width=4, extra_layers=0, slope=0.0, clip=0.5)
    assert (recipe.gan.generator.classes, recipe.gan.discriminator.classes) == (3, 3)
    assert recipe.gan.discriminator.arguments["slope"] == 0.0
    assert {network.arguments["extra_layers"] for network in (recipe.gan.generator, recipe.gan.discriminator)} == {0}
    assert recipe.gan.projections[0].limit == 0.5
