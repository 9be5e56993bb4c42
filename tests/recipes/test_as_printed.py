"""The as-printed recipes against the loops that the documents print, written down again here from their mathematics.

The transcriptions use what the documents use (a sigmoid at the end, BCELoss or MSELoss, ``backward``, PyTorch's Adam,
the older ``spectral_norm``) and nothing of ours but the random streams, so that both sides see the same noise.
"""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from cardigan import layers, recipes
from cardigan.contracts import Batch, Step
from cardigan.errors import CardiganError
from cardigan.randomness import generator as stream
from cardigan.randomness import seeded
from cardigan.recipes import Task
from cardigan.training import together
from cardigan.training.loop import Training, fit

ITERATIONS = 5
SEED = 3
PLAYERS = ("generator", "discriminator")


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


class BlogGenerator(nn.Module):
    """100 -> 128 at 16x16, normalised; twice doubled and convolved, to 128 and 64, normalised (eps 0.8); 3; tanh."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(100, 128 * 16 * 16), nn.BatchNorm2d(128)
        self.one, self.norm_one = nn.Conv2d(128, 128, 3, 1, 1), nn.BatchNorm2d(128, 0.8)
        self.two, self.norm_two = nn.Conv2d(128, 64, 3, 1, 1), nn.BatchNorm2d(64, 0.8)
        self.last = nn.Conv2d(64, 3, 3, 1, 1)
        self.larger, self.bend = nn.Upsample(scale_factor=2), nn.LeakyReLU(0.2)

    def forward(self, z):
        h = self.norm(self.first(z).view(-1, 128, 16, 16))
        h = self.bend(self.norm_one(self.one(self.larger(h))))
        h = self.bend(self.norm_two(self.two(self.larger(h))))
        return torch.tanh(self.last(h))


class BlogDiscriminator(nn.Module):
    """16, 32, 64, 128 at 4x4: 3x3 of stride 2, leaky ReLU, dropout 0.25 of maps, then norm (eps 0.8) but on the first;
    a sigmoid of one number, and a softmax of four."""

    def __init__(self):
        super().__init__()
        self.halvings = nn.ModuleList()
        for before, after in ((3, 16), (16, 32), (32, 64), (64, 128)):
            norm = nn.BatchNorm2d(after, 0.8) if before > 3 else nn.Identity()
            self.halvings.append(nn.ModuleDict({"down": nn.Conv2d(before, after, 3, 2, 1), "norm": norm}))
        self.validity, self.rotation = nn.Linear(128 * 4 * 4, 1), nn.Linear(128 * 4 * 4, 4)
        self.bend, self.drop = nn.LeakyReLU(0.2), nn.Dropout2d(0.25)

    def forward(self, x):
        for halving in self.halvings:
            x = halving["norm"](self.drop(self.bend(halving["down"](x))))
        x = x.view(len(x), -1)
        return torch.sigmoid(self.validity(x)), torch.softmax(self.rotation(x), dim=1)


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
        told = {who: [float(value) for name, value in record.losses.items() if name.startswith(who)] for who in PLAYERS}
        assert [len(told[who]) for who in PLAYERS] == [1, 1 + len(recipe.gan.terms)]
        losses.append([sum(told[who]) for who in PLAYERS])
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


def blog_loop(generator, discriminator, data, *, kind):
    """The "FastGAN" blog's: generator first; then three losses over 3, the third with random labels for real images."""
    judge, classify = nn.BCELoss(), nn.CrossEntropyLoss()
    optimizer_g, optimizer_d = adam(generator), adam(discriminator)
    losses = []
    for iteration in range(ITERATIONS):
        clock = iteration * data.batch_size
        real = data.at(clock).real
        valid, fake = torch.ones(len(real), 1, dtype=kind), torch.zeros(len(real), 1, dtype=kind)
        z = torch.randn(len(real), 100, generator=stream(SEED, "latents", clock)).to(kind)
        with seeded(SEED, "layers", clock):
            optimizer_g.zero_grad()
            drawn = generator(z)
            g_loss = judge(discriminator(drawn)[0], valid)
            g_loss.backward()
            optimizer_g.step()
            optimizer_d.zero_grad()
            told_real, rotation = discriminator(real)
            told_fake, _ = discriminator(drawn.detach())
            third = classify(rotation, torch.randint(0, 4, (len(real),)))
            d_loss = (judge(told_real, valid) + judge(told_fake, fake) + third) / 3
            d_loss.backward()
            optimizer_d.step()
        losses.append([g_loss.item(), d_loss.item()])
    return losses


LABELLED = Task(28, 28, 1, classes=10)
CASES = {
    "vanilla-as-printed": (Task(28, 28, 1), BasicGenerator, BasicDiscriminator, basic_loop),
    "cgan-as-printed": (LABELLED, LabelledGenerator, LabelledDiscriminator, labelled_loop),
    "dcgan-as-printed": (Task(64, 64, 3), FaceGenerator, FaceDiscriminator, face_loop),
    "fastgan-tutorial-as-printed": (Task(64, 64, 3), BlogGenerator, BlogDiscriminator, blog_loop),
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


@pytest.fixture(autouse=True)
def every_third_column_dropped(monkeypatch):
    """Both sides draw their masks in their own way; so both drop the same columns, by the share that each was given."""

    def dropped(rows, share):
        kept = torch.arange(rows.shape[1]) % 3 > 0
        return rows * kept / (1.0 - share)

    monkeypatch.setattr(nn.Dropout, "forward", lambda self, rows: dropped(rows, self.p))
    monkeypatch.setattr(layers.Dropout, "forward", lambda self, rows: dropped(rows, self.share))


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
        "fastgan-tutorial-as-printed": (3_533_315, 108_133),
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
    passes = {"dcgan-as-printed": 5, "fastgan-tutorial-as-printed": 100}
    batch = {"dcgan-as-printed": 128}
    for name, (task, *_) in CASES.items():
        recipe = recipes.prepare(name, task)
        assert (recipe.batch_size, recipe.passes, recipe.half_life, recipe.flip) == (
            batch.get(name, 64),
            passes.get(name),
            0,
            False,
        )
        assert recipe.schedule(0.99) == 1.0
        assert (recipe.optimizers.learning_rate, recipe.optimizers.beta1, recipe.optimizers.beta2) == (2e-4, 0.5, 0.999)


def test_the_conditional_tutorial_needs_classes():
    with pytest.raises(CardiganError, match="needs data with classes, and this data has none"):
        recipes.prepare("cgan-as-printed", Task(28, 28, 1))


def blog_step(second, count):
    """A discriminator's step of the "FastGAN" blog in which the second head says ``second`` of every image."""
    gan = recipes.prepare("fastgan-tutorial-as-printed", Task(64, 64, 3)).gan
    with torch.no_grad():
        gan.discriminator.second.weight.zero_()
        gan.discriminator.second.bias.copy_(torch.tensor(second))
    nothing = torch.zeros(0)
    maps = [torch.zeros(count, 128, 4, 4)]
    return Step("discriminator", nothing, nothing, None, None, None, None, nothing, gan, maps=maps), gan.terms[0]


def test_the_blogs_double_softmax_bounds_its_third_loss():
    """A head as sure as can be, right or wrong: log(1 + 3/e) and log(3 + e); and log 4 for one that knows nothing."""
    step, term = blog_step([100.0, 0.0, 0.0, 0.0], 400)
    values = 3 * term(step).detach()
    assert sorted({round(value, 3) for value in values.tolist()}) == [0.744, 1.744]
    right = (values < 1).float().mean().item()
    assert right == pytest.approx(0.25, abs=0.07), "the labels are drawn, evenly"
    assert values.mean() > math.log(4), "so being sure costs"
    step, term = blog_step([0.0, 0.0, 0.0, 0.0], 400)
    assert (3 * term(step)).tolist() == pytest.approx([math.log(4)] * 400)


def test_no_image_of_the_blog_is_ever_rotated_and_none_of_its_numbers_has_to_do_with_an_image():
    step, term = blog_step([2.0, 1.0, 0.0, -1.0], 64)
    with seeded(0, "test"):
        first, second = term(step), term(step)
    with seeded(0, "test"):
        again = term(step)
    assert torch.equal(first, again)
    assert not torch.equal(first, second), "the same images have other labels the next time"


def test_the_blogs_epsilon_shrinks_what_normalisation_should_bring_to_size_1():
    gan = recipes.prepare("fastgan-tutorial-as-printed", Task(64, 64, 3)).gan
    norms = {
        player: [each.eps for each in gan.network(player).modules() if isinstance(each, nn.BatchNorm2d)]
        for player in PLAYERS
    }
    assert norms == {"generator": [1e-5, 0.8, 0.8], "discriminator": [0.8, 0.8, 0.8]}
    norm = gan.generator.layers[3]
    maps = torch.randn(64, 128, 8, 8)
    assert norm(maps).std().item() == pytest.approx(1.8**-0.5, rel=0.01)
