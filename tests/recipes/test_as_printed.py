"""The as-printed recipes against the loops that the documents print, written down again here from their mathematics.

The transcriptions use what the documents use (a sigmoid at the end, BCELoss or MSELoss, ``backward``, PyTorch's Adam,
the older ``spectral_norm``) and nothing of ours but the random streams, so that both sides see the same noise.
"""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from cardigan import recipes
from cardigan.contracts import Batch
from cardigan.errors import CardiganError
from cardigan.randomness import generator as stream
from cardigan.randomness import seeded
from cardigan.recipes import Task
from cardigan.training import together
from cardigan.training.loop import Training, fit

ITERATIONS = 5
SEED = 3


class BasicGenerator(nn.Module):
    """100 -> 256 -> 512 -> 1024 -> 784, ReLU between, tanh at the end."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(100, 256), nn.Linear(256, 512)
        self.three, self.four = nn.Linear(512, 1024), nn.Linear(1024, 784)

    def forward(self, z):
        for layer in (self.one, self.two, self.three):
            z = torch.relu(layer(z))
        return torch.tanh(self.four(z))


class BasicDiscriminator(nn.Module):
    """784 -> 1024 -> 512 -> 256 -> 1, leaky ReLU 0.2 and dropout 0.3 between, sigmoid at the end."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(784, 1024), nn.Linear(1024, 512)
        self.three, self.four = nn.Linear(512, 256), nn.Linear(256, 1)
        self.bend, self.drop = nn.LeakyReLU(0.2), nn.Dropout(0.3)

    def forward(self, x):
        for layer in (self.one, self.two, self.three):
            x = self.drop(self.bend(layer(x)))
        return torch.sigmoid(self.four(x))


class LabelledGenerator(nn.Module):
    """A class's vector of 32 beside 64 latents; 64, 128, 256, 512, 1024, 784; spectral norm on all six layers."""

    def __init__(self):
        super().__init__()
        self.vector = nn.Embedding(10, 32)
        widths = (64 + 32, 64, 128, 256, 512, 1024, 784)
        self.layers = nn.ModuleList(
            nn.utils.spectral_norm(nn.Linear(before, after)) for before, after in pairwise(widths)
        )

    def forward(self, z, y):
        h = torch.cat((z, self.vector(y)), dim=1)
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        return torch.tanh(self.layers[-1](h)).view(len(z), 1, 28, 28)


class LabelledDiscriminator(nn.Module):
    """A class's vector of 32 beside 784 pixels; 1024, 512, 256, 128, 64, 1; plain ReLU; sigmoid at the end."""

    def __init__(self):
        super().__init__()
        self.vector = nn.Embedding(10, 32)
        widths = (784 + 32, 1024, 512, 256, 128, 64, 1)
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, x, y):
        h = torch.cat((x.view(len(x), -1), self.vector(y)), dim=1)
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        return torch.sigmoid(self.layers[-1](h))


class FaceGenerator(nn.Module):
    """100 at 1x1 -> 512 at 4x4 -> 256 -> 128 -> 64 -> 3 at 64x64; no biases; batch norm and ReLU between; tanh."""

    def __init__(self):
        super().__init__()
        self.first = nn.ConvTranspose2d(100, 512, kernel_size=4, stride=1, padding=0, bias=False)
        self.doublings = nn.ModuleList()
        for before, after in ((512, 256), (256, 128), (128, 64), (64, 3)):
            up = nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1, bias=False)
            self.doublings.append(nn.ModuleDict({"norm": nn.BatchNorm2d(before), "up": up}))

    def forward(self, z):
        h = self.first(z)
        for doubling in self.doublings:
            h = doubling["up"](torch.relu(doubling["norm"](h)))
        return torch.tanh(h)


class FaceDiscriminator(nn.Module):
    """3 at 64x64 -> 64 -> 128 -> 256 -> 512 at 4x4 -> 1; batch norm on the middle three; leaky ReLU 0.2; sigmoid."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 64, kernel_size=4, stride=2, padding=1, bias=False)
        self.halvings = nn.ModuleList()
        for before, after in ((64, 128), (128, 256), (256, 512)):
            down = nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1, bias=False)
            self.halvings.append(nn.ModuleDict({"down": down, "norm": nn.BatchNorm2d(after)}))
        self.last = nn.Conv2d(512, 1, kernel_size=4, stride=1, padding=0, bias=False)

    def forward(self, x):
        h = nn.functional.leaky_relu(self.first(x), 0.2)
        for halving in self.halvings:
            h = nn.functional.leaky_relu(halving["norm"](halving["down"](h)), 0.2)
        return torch.sigmoid(self.last(h))


def adam(network):
    return torch.optim.Adam(network.parameters(), lr=0.0002, betas=(0.5, 0.999))


class Images:
    """Batches of fixed noise in the shape of images, with labels; precision as asked for."""

    def __init__(self, shape, *, batch_size, kind, classes=0):
        self.batch_size, self.shape, self.kind, self.classes = batch_size, shape, kind, classes

    def at(self, images):
        draw = torch.Generator().manual_seed(1000 + images)
        real = torch.rand(self.batch_size, *self.shape, generator=draw, dtype=self.kind) * 2 - 1
        labels = torch.randint(self.classes, (self.batch_size,), generator=draw) if self.classes else None
        return Batch(real, labels)


def ours(name, task, *, batch_size, kind):
    """Our recipe's training, and its data."""
    recipe = recipes.prepare(name, task, seed=SEED, batch_size=batch_size)
    recipe.gan.generator.to(kind)
    recipe.gan.discriminator.to(kind)
    prior = recipe.gan.prior

    def precise(labels, *, count, rng):
        latents, asked = prior(labels, count=count, rng=rng)
        return latents.to(kind), asked

    recipe.gan.prior = precise
    shape = (task.channels, task.height, task.width)
    data = Images(shape, batch_size=batch_size, kind=kind, classes=task.classes)
    training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life, seed=SEED)
    return training, recipe, data


def run_ours(training, recipe, data):
    losses = []
    for record in fit(
        training, data, turns=recipe.turns, schedule=recipe.schedule, images=ITERATIONS * data.batch_size
    ):
        assert len(record.losses) == 2
        losses.append([float(record.losses[f"{who}/adversarial"]) for who in ("generator", "discriminator")])
    assert training.progress.turns == ITERATIONS
    return losses


def copy_weights(printed, mine):
    """Parameters and buffers, in the order in which both networks define them: from the input to the output."""
    for get in (nn.Module.parameters, nn.Module.buffers):
        targets, sources = list(get(printed)), list(get(mine))
        assert [each.shape for each in targets] == [each.shape for each in sources]
        with torch.no_grad():
            for target, source in zip(targets, sources, strict=True):
                target.copy_(source)


def relative_errors(mine, theirs):
    """The norm of the difference over the norm of the printed side's, for each tensor."""
    pairs = [(one.detach().double(), other.detach().double()) for one, other in zip(mine, theirs, strict=True)]
    return [float((one - other).norm() / other.norm().clamp(min=1e-12)) for one, other in pairs]


def basic_loop(generator, discriminator, data, *, kind):
    """The basic tutorial's: generator first, then the discriminator on the same fakes, its two losses averaged."""
    judge = nn.BCELoss()
    optimizer_g, optimizer_d = adam(generator), adam(discriminator)
    losses = []
    for iteration in range(ITERATIONS):
        clock = iteration * data.batch_size
        real = data.at(clock).real.flatten(1)
        valid, fake = torch.ones(len(real), 1, dtype=kind), torch.zeros(len(real), 1, dtype=kind)
        z = torch.randn(len(real), 100, generator=stream(SEED, "latents", clock)).to(kind)
        with seeded(SEED, "layers", clock):
            optimizer_g.zero_grad()
            drawn = generator(z)
            g_loss = judge(discriminator(drawn), valid)
            g_loss.backward()
            optimizer_g.step()
            optimizer_d.zero_grad()
            d_loss = (judge(discriminator(real), valid) + judge(discriminator(drawn.detach()), fake)) / 2
            d_loss.backward()
            optimizer_d.step()
        losses.append([g_loss.item(), d_loss.item()])
    return losses


def labelled_loop(generator, discriminator, data, *, kind):
    """The basic tutorial's loop with MSELoss for BCELoss, and the class of each fake by ``randint(0, 9)``."""
    judge = nn.MSELoss()
    optimizer_g, optimizer_d = adam(generator), adam(discriminator)
    losses = []
    for iteration in range(ITERATIONS):
        clock = iteration * data.batch_size
        batch = data.at(clock)
        real, labels = batch.real, batch.labels
        valid, fake = torch.ones(len(real), 1, dtype=kind), torch.zeros(len(real), 1, dtype=kind)
        rng = stream(SEED, "latents", clock)
        z = torch.randn(len(real), 64, generator=rng).to(kind)
        asked = torch.randint(0, 9, (len(real),), generator=rng)
        optimizer_g.zero_grad()
        drawn = generator(z, asked)
        g_loss = judge(discriminator(drawn, asked), valid)
        g_loss.backward()
        optimizer_g.step()
        optimizer_d.zero_grad()
        d_loss = (judge(discriminator(real, labels), valid) + judge(discriminator(drawn.detach(), asked), fake)) / 2
        d_loss.backward()
        optimizer_d.step()
        losses.append([g_loss.item(), d_loss.item()])
    return losses


def face_loop(generator, discriminator, data, *, kind):
    """The face tutorial's: two backward passes add up in the discriminator, then the generator on the same fakes."""
    judge = nn.BCELoss()
    optimizer_g, optimizer_d = adam(generator), adam(discriminator)
    losses = []
    for iteration in range(ITERATIONS):
        clock = iteration * data.batch_size
        real = data.at(clock).real
        one, zero = torch.ones(len(real), dtype=kind), torch.zeros(len(real), dtype=kind)
        discriminator.zero_grad()
        real_loss = judge(discriminator(real).view(-1), one)
        real_loss.backward()
        z = torch.randn(len(real), 100, generator=stream(SEED, "latents", clock)).to(kind)
        drawn = generator(z.view(len(real), 100, 1, 1))
        fake_loss = judge(discriminator(drawn.detach()).view(-1), zero)
        fake_loss.backward()
        optimizer_d.step()
        generator.zero_grad()
        g_loss = judge(discriminator(drawn).view(-1), one)
        g_loss.backward()
        optimizer_g.step()
        losses.append([g_loss.item(), (real_loss + fake_loss).item()])
    return losses


LABELLED = Task(28, 28, 1, classes=10)
CASES = {
    "vanilla-as-printed": (Task(28, 28, 1), BasicGenerator, BasicDiscriminator, basic_loop),
    "cgan-as-printed": (LABELLED, LabelledGenerator, LabelledDiscriminator, labelled_loop),
    "dcgan-as-printed": (Task(64, 64, 3), FaceGenerator, FaceDiscriminator, face_loop),
}


def compare(name, *, kind, batch_size):
    """Both sides from the same start; the relative errors of losses, parameters and buffers."""
    task, make_generator, make_discriminator, loop = CASES[name]
    training, recipe, data = ours(name, task, batch_size=batch_size, kind=kind)
    printed = make_generator().to(kind), make_discriminator().to(kind)
    mine = training.gan.generator, training.gan.discriminator
    copy_weights(printed[0], mine[0])
    copy_weights(printed[1], mine[1])
    start = [each.detach().clone() for network in mine for each in network.parameters()]
    my_losses, their_losses = run_ours(training, recipe, data), loop(*printed, data, kind=kind)
    errors = {"losses": relative_errors(map(torch.tensor, my_losses), map(torch.tensor, their_losses))}
    for who, one, other in zip(("generator", "discriminator"), mine, printed, strict=True):
        errors[who] = relative_errors(one.parameters(), other.parameters())
        errors[f"{who}'s buffers"] = relative_errors(one.buffers(), other.buffers())
    moved = [float((now - before).norm()) for now, before in zip(chain_parameters(mine), start, strict=True)]
    assert min(moved) > 0
    return errors


def chain_parameters(networks):
    return [each.detach() for network in networks for each in network.parameters()]


@pytest.mark.parametrize("name", CASES)
def test_the_mathematics_is_the_documents(name):
    """In float64, where rounding is out of the way and any other mathematics would show."""
    errors = compare(name, kind=torch.float64, batch_size=4)
    assert {what: max(each, default=0.0) < 1e-10 for what, each in errors.items()} == dict.fromkeys(errors, True), (
        errors
    )


@pytest.mark.parametrize("name", ["vanilla-as-printed", "cgan-as-printed"])
def test_float32_agrees_to_four_digits(name):
    """Not the face tutorial: in float32 rounding decides on which side of their bend some of its half a million ReLUs
    lie, each moves the gradient by up to a percent, and Adam makes signs of it: even two orders of summation part."""
    errors = compare(name, kind=torch.float32, batch_size=64)
    assert max(max(each, default=0.0) for each in errors.values()) < 1e-4, errors


def test_a_wrong_order_of_players_would_show():
    """The comparison can fail: the face tutorial's order on the basic tutorial's networks."""
    training, recipe, data = ours("vanilla-as-printed", Task(28, 28, 1), batch_size=8, kind=torch.float64)
    generator, discriminator = BasicGenerator().double(), BasicDiscriminator().double()
    copy_weights(generator, training.gan.generator)
    copy_weights(discriminator, training.gan.discriminator)
    run_ours(training, replace(recipe, turns=together("discriminator")), data)
    basic_loop(generator, discriminator, data, kind=torch.float64)
    assert max(relative_errors(training.gan.generator.parameters(), generator.parameters())) > 1e-6


def test_parameters_are_as_many_as_the_documents_state():
    counts = {
        "vanilla-as-printed": (1_486_352, 1_460_225),
        "cgan-as-printed": (1_508_368, 1_534_273),
        "dcgan-as-printed": (3_576_704, 2_765_568),
    }
    for name, (task, *_) in CASES.items():
        gan = recipes.prepare(name, task).gan
        found = [sum(each.numel() for each in net.parameters()) for net in (gan.generator, gan.discriminator)]
        assert tuple(found) == counts[name]


def test_the_face_tutorials_first_weights():
    """Convolutions N(0, 0.02), batch norm gains N(1, 0.02), shifts 0; no other biases exist."""
    gan = recipes.prepare("dcgan-as-printed", Task(64, 64, 3), seed=1).gan
    for network in (gan.generator, gan.discriminator):
        convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)]
        norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
        assert convolutions
        assert norms
        assert all(each.bias is None for each in convolutions)
        weights = torch.cat([each.weight.detach().flatten() for each in convolutions])
        gains = torch.cat([each.weight.detach() for each in norms])
        assert abs(weights.mean()) < 1e-4
        assert weights.std() == pytest.approx(0.02, rel=0.01)
        assert gains.mean() == pytest.approx(1.0, abs=0.005)
        assert gains.std() == pytest.approx(0.02, rel=0.15)
        assert all((each.bias == 0).all() for each in norms)


def test_the_conditional_tutorials_spectral_norm_starts_as_the_older_function_does():
    """From random vectors, one iteration a step: at first the weights are divided by far too little."""
    generator = recipes.prepare("cgan-as-printed", LABELLED, seed=1).gan.generator
    layer = next(each for each in generator.layers if isinstance(each, nn.Linear))
    printed = nn.utils.spectral_norm(nn.Linear(96, 64))
    norm, original = layer.parametrizations.weight[0], layer.parametrizations.weight.original.detach()
    largest = torch.linalg.matrix_norm(original, 2)
    # Independent random starts estimate nothing: this is the dot product of two unit vectors, not a singular value.
    assert norm.left @ original @ norm.right < 0.5 * largest
    with torch.no_grad():
        printed.weight_orig.copy_(original)
        printed.bias.copy_(layer.bias)
        printed.weight_u.copy_(norm.left)
        printed.weight_v.copy_(norm.right)
    rows = torch.randn(4, 96)
    for _ in range(3):
        torch.testing.assert_close(layer(rows), printed(rows), rtol=1e-5, atol=1e-6)
    layer.eval()
    printed.eval()
    assert 1.01 < torch.linalg.matrix_norm(layer.weight.detach(), 2) < 2
    torch.testing.assert_close(layer(rows), printed(rows), rtol=1e-5, atol=1e-6)
    assert torch.equal(layer(rows), layer(rows))


def test_the_class_9_is_never_asked_for():
    gan = recipes.prepare("cgan-as-printed", LABELLED).gan
    _, asked = gan.prior(torch.full((5000,), 9), count=5000, rng=torch.Generator().manual_seed(0))
    assert sorted(set(asked.tolist())) == list(range(9))


def test_only_the_generator_of_the_conditional_tutorial_is_spectrally_normalised():
    gan = recipes.prepare("cgan-as-printed", LABELLED).gan
    normed = [each for each in gan.generator.modules() if nn.utils.parametrize.is_parametrized(each)]
    assert len(normed) == 6
    assert not [each for each in gan.discriminator.modules() if nn.utils.parametrize.is_parametrized(each)]


def test_the_documents_numbers():
    passes = {"vanilla-as-printed": None, "cgan-as-printed": None, "dcgan-as-printed": 5}
    batch = {"vanilla-as-printed": 64, "cgan-as-printed": 64, "dcgan-as-printed": 128}
    for name, (task, *_) in CASES.items():
        recipe = recipes.prepare(name, task)
        assert (recipe.batch_size, recipe.passes, recipe.half_life, recipe.flip) == (
            batch[name],
            passes[name],
            0,
            False,
        )
        assert recipe.schedule(0.99) == 1.0
        assert (recipe.optimizers.learning_rate, recipe.optimizers.beta1, recipe.optimizers.beta2) == (2e-4, 0.5, 0.999)


def test_the_conditional_tutorial_needs_classes():
    with pytest.raises(CardiganError, match="needs data with classes, and this data has none"):
        recipes.prepare("cgan-as-printed", Task(28, 28, 1))
