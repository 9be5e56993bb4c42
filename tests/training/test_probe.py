"""Both networks are looked at before the first turn: what does not fit is said, and nothing is changed by it."""

import pytest
import torch
from torch import nn

from cardigan import GAN, Normal, fit, models, objectives, regularizers
from cardigan.contracts import Batch
from cardigan.errors import CardiganError
from cardigan.training import Training, together
from cardigan.training.precision import arithmetic
from cardigan.training.probe import probe

BATCH = 4


class Images:
    batch_size = BATCH

    def __init__(self, *, classes=0, real=None, labels=None):
        self.classes, self.real, self.labels, self.asked = classes, real, labels, []

    def at(self, images):
        self.asked.append(images)
        rng = torch.Generator().manual_seed(images)
        real = torch.rand(BATCH, 1, 8, 8, generator=rng) * 2 - 1 if self.real is None else self.real
        drawn = torch.randint(self.classes, (BATCH,), generator=rng) if self.classes else None
        return Batch(real, drawn if self.labels is None else self.labels)


class Draws(nn.Module):
    """A generator from somebody's own code."""

    latent = 4

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 64)

    def forward(self, latents, labels=None):
        return self.layer(latents).tanh().reshape(-1, 1, 8, 8)


class Judges(nn.Module):
    """A discriminator from somebody's own code."""

    def __init__(self, end=lambda logits: logits):
        super().__init__()
        self.layer, self.end = nn.Linear(64, 1), end

    def forward(self, images, labels=None):
        return self.end(self.layer(images.flatten(1)))


class OneArgument(Draws):
    def forward(self, latents):
        return super().forward(latents)


class NoLatent(Draws):
    latent = None


class Reads(Draws):
    classes = 2

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(2, 4)

    def forward(self, latents, labels=None):
        return super().forward(latents + self.embedding(labels))


class Pair(Draws):
    def forward(self, latents, labels=None):
        return super().forward(latents), latents


def conditional(module, classes=2):
    return module(size=8, classes=classes)


REFUSED = {
    "a generator of one argument": (
        lambda: (OneArgument(), Judges(), Images()),
        "has forward(latents), expected forward(latents, labels=None): labels are None for data without classes.",
    ),
    "a chain of layers as a discriminator": (
        lambda: (Draws(), nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), Images()),
        "Sequential has forward(input), expected forward(images, labels=None)",
    ),
    "a generator without a latent": (
        lambda: (NoLatent(), Judges(), Images()),
        "The generator NoLatent has no latent, and the batches bring no source",
    ),
    "images of another size": (
        lambda: (models.mlp.Generator(size=16, latent=4), Judges(), Images()),
        "gives images of shape (4, 1, 16, 16), expected (4, 1, 8, 8) as the batches have them",
    ),
    "more than images": (lambda: (Pair(), Judges(), Images()), "test_probe.Pair fails on latents"),
    "latents of another length": (
        lambda: (models.mlp.Generator(size=8, latent=5), Judges(), Images(), Normal(6)),
        "Generator fails on latents (B, latent) and labels: mat1 and mat2 shapes cannot be multiplied",
    ),
    "one number for all images": (
        lambda: (Draws(), Judges(lambda logits: logits.mean()), Images()),
        "gives an output of shape () for 4 images, expected logits of shape (4, K): one row for each image",
    ),
    "a tuple of logits": (
        lambda: (Draws(), Judges(lambda logits: (logits, logits)), Images()),
        "gives an output as tuple for 4 images, expected logits of shape (4, K)",
    ),
    "probabilities": (
        lambda: (Draws(), Judges(lambda logits: logits.sigmoid().view(-1)), Images()),
        "ends with a sigmoid, expected raw logits, high meaning real",
    ),
    "labels that the generator ignores": (
        lambda: (Draws(), Judges(), Images(classes=2)),
        "test_probe.Draws was given labels and does not read them, so it would learn all classes as one.",
    ),
    "labels that the discriminator ignores": (
        lambda: (Reads(), Judges(), Images(classes=2)),
        "test_probe.Judges was given labels and does not read them",
    ),
    "classes beyond those of a network": (
        lambda: (Reads(), Judges(), Images(labels=torch.tensor([0, 1, 2, 1]))),
        "labels from 0 to 2, and the generator has 2 classes, expected 0 to 1. Build it with classes=3.",
    ),
    "labels as numbers with a point": (
        lambda: (Reads(), Judges(), Images(labels=torch.zeros(BATCH))),
        "labels of shape (4,) of torch.float32, expected int64 of shape (4,).",
    ),
    "pixels": (
        lambda: (Draws(), Judges(), Images(real=torch.zeros(BATCH, 1, 8, 8, dtype=torch.uint8))),
        "real images of torch.uint8, expected floating point in [-1, 1]. Convert pixels (B, H, W, C)",
    ),
    "pixels as floats": (
        lambda: (Draws(), Judges(), Images(real=torch.full((BATCH, 1, 8, 8), 255.0))),
        "real images with values up to 255, expected [-1, 1].",
    ),
    "vectors": (
        lambda: (Draws(), Judges(), Images(real=torch.zeros(BATCH, 64))),
        "real images of shape (4, 64), expected a tensor (B, C, H, W).",
    ),
    "layers without sizes": (
        lambda: (Draws(), nn.Sequential(nn.LazyLinear(1)), Images()),
        "The discriminator has lazy layers, which do not know their sizes yet (0.weight); expected weights.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_said_before_the_first_turn(case):
    build, words = REFUSED[case]
    generator, discriminator, data, *prior = build()
    gan = GAN(generator, discriminator, objectives.hinge(), prior=prior[0] if prior else None)
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    with pytest.raises(CardiganError) as caught:
        next(fit(gan, data, images=64))
    assert words in str(caught.value)
    for name, tensor in generator.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("term", [regularizers.R1(), regularizers.R2(), regularizers.GradientPenalty()])
def test_plain_modules_train_with_logits_of_one_dimension_under_each_penalty(term):
    """(B,) is as good as (B, 1), to the last bit."""
    found = []
    for end in (lambda logits: logits, lambda logits: logits.squeeze(1)):
        torch.manual_seed(2)
        gan = GAN(Draws(), Judges(end), objectives.hinge(), terms=(term,))
        records = list(fit(gan, Images(), images=12, turns=together()))
        found.append([float(record.losses[f"discriminator/{term.name}"]) for record in records])
        assert all(value > 0 for value in found[-1])
    assert found[0] == found[1]


def test_the_look_changes_nothing():
    """Not a weight, a buffer, a mode, a random state or what a network counts; and the batch is drawn once."""

    class Counts(models.dcgan.Discriminator):
        asked = 0

        def forward(self, images, labels=None):
            self.asked += 1
            return super().forward(images, labels)

    discriminator = regularizers.spectral_norm(Counts(size=16, channels=1, width=4))
    gan = GAN(models.dcgan.Generator(size=16, channels=1, latent=4, width=4), discriminator, objectives.hinge())
    networks = (gan.generator, gan.discriminator)
    before = [{name: tensor.clone() for name, tensor in network.state_dict().items()} for network in networks]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    with torch.no_grad():
        batch = Batch(torch.zeros(BATCH, 1, 16, 16))
    probe(gan, batch, arithmetic=arithmetic("float32", torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), state)
    assert discriminator.asked == 0
    assert all(network.training for network in networks)
    for network, kept in zip(networks, before, strict=True):
        assert all(torch.equal(tensor, kept[name]) for name, tensor in network.state_dict().items())
    data = Images()
    list(fit(GAN(Draws(), Judges(), objectives.hinge()), data, images=8))
    assert data.asked == [0, 4]


def test_a_generator_alone_asks_for_no_discriminator_that_fits():
    from cardigan.contracts import Objective

    alone = Objective(lambda *, real, fake: real, None)
    gan = GAN(Draws(), Judges(lambda logits: (logits,)), alone, terms=(regularizers.Content(),))
    records = list(fit(gan, Images(), images=8, turns=lambda progress: ("generator",)))
    assert [set(record.losses) for record in records] == [{"generator/content"}] * 2


# --- the loop that people write -------------------------------------------------------------------------------------


def test_fit_called_again_goes_on():
    """As one call of the whole budget; the averaged generator is at hand."""
    torch.manual_seed(3)
    gan, whole = GAN(Draws(), Judges(), objectives.hinge()), None
    whole = GAN(Draws(), Judges(), objectives.hinge())
    whole.generator.load_state_dict(gan.generator.state_dict())
    whole.discriminator.load_state_dict(gan.discriminator.state_dict())
    seen, data = [], Images()
    for _ in range(3):
        seen += [record.progress.images for record in fit(gan, data, images=8, half_life=20)]
    list(fit(whole, Images(), images=24, half_life=20))
    assert seen == [4, 8, 12, 16, 20, 24]
    assert set(data.asked) == {0, 4, 8, 12, 16, 20}, "no latents or images twice"
    for one, other in zip(gan.generator.parameters(), whole.generator.parameters(), strict=True):
        assert torch.equal(one, other)
    drawn = gan.training.published(data)
    assert not drawn.training
    average = whole.training.average.network
    assert torch.equal(drawn.layer.weight, average.layer.weight)
    assert not torch.equal(drawn.layer.weight, gan.generator.layer.weight)


def test_a_training_is_gone_on_with_in_the_same_way_and_since_counts_from_its_beginning():
    training = Training(GAN(Draws(), Judges(), objectives.hinge()))
    for count in (1, 2):
        list(fit(training, Images(), images=8))
        assert training.progress.images == 8 * count
    assert list(fit(training, Images(), images=16, since=0)) == []
    assert [record.progress.images for record in fit(training, Images(), images=20, since=0)] == [20]


def test_other_settings_in_a_later_call_are_refused():
    gan = GAN(Draws(), Judges(), objectives.hinge())
    list(fit(gan, Images(), images=4, seed=3))
    list(fit(gan, Images(), images=4, seed=3))
    with pytest.raises(CardiganError) as caught:
        fit(gan, Images(), images=4, seed=5)
    assert str(caught.value) == (
        "This GAN is being trained already, for 8 images, with seed=3, and fit was given seed=5. Leave seed out to go "
        "on. To begin anew with these weights, type fit(Training(gan, seed=5), ...)."
    )
    with pytest.raises(CardiganError, match=r"the setting is 'learning_rate'\. Known: optimizers, half_life, seed"):
        fit(GAN(Draws(), Judges(), objectives.hinge()), Images(), images=4, learning_rate=1e-3)


def test_a_copy_of_a_gan_has_no_training():
    import copy

    gan = GAN(Draws(), Judges(), objectives.hinge())
    list(fit(gan, Images(), images=4))
    assert copy.deepcopy(gan).training is None
    assert gan.training.progress.images == 4


def test_evaluation_mode_in_the_loops_body_freezes_nothing():
    """Batch normalisation and spectral norm move on; a part that was frozen stays so."""

    def trained(look):
        torch.manual_seed(5)
        discriminator = regularizers.spectral_norm(models.dcgan.Discriminator(size=16, channels=1, width=4))
        gan = GAN(models.dcgan.Generator(size=16, channels=1, latent=4, width=4), discriminator, objectives.hinge())
        frozen = next(each for each in discriminator.modules() if isinstance(each, nn.BatchNorm2d))
        frozen.eval()
        for _ in fit(gan, Images(real=torch.rand(BATCH, 1, 16, 16) - 0.5), images=24, turns=together()):
            if look:
                gan.generator.eval()
                gan.discriminator.eval()
        return gan, frozen

    (looked, frozen), (other, _) = trained(True), trained(False)
    for player in ("generator", "discriminator"):
        mine, theirs = (each.network(player).state_dict() for each in (looked, other))
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    assert not frozen.training
    assert int(frozen.num_batches_tracked) == 0
    list(fit(looked, Images(real=torch.zeros(BATCH, 1, 16, 16)), images=4))
    assert looked.generator.training


def test_a_network_that_was_looked_through_before_training_is_trained():
    generator = models.dcgan.Generator(size=16, channels=1, latent=4, width=4).eval()
    training = Training(GAN(generator, models.dcgan.Discriminator(size=16, channels=1, width=4), objectives.hinge()))
    assert training.gan.generator.training


@pytest.mark.parametrize("half_life", [0, 100])
def test_a_generator_under_the_old_spectral_norm_is_published(half_life):
    """It keeps a computed weight beside its parameters, which deepcopy refuses."""

    class Old(Draws):
        def __init__(self):
            super().__init__()
            self.layer = nn.utils.spectral_norm(nn.Linear(4, 64))

    generator = Old()
    generator(torch.zeros(1, 4))
    gan = GAN(generator, Judges(), objectives.hinge())
    list(fit(gan, Images(), images=24, half_life=half_life))
    latents = torch.randn(3, 4)
    drawn, average = gan.training.published(Images()), gan.training.average.network
    weight, u, v = average.layer.weight_orig, average.layer.weight_u, average.layer.weight_v
    expected = (latents @ (weight / (u @ weight @ v)).T + average.layer.bias).tanh().reshape(3, 1, 8, 8)
    torch.testing.assert_close(drawn(latents), expected)
