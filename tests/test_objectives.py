"""The contract of every game in objectives.py, found without a list; then each against a formula that is not ours."""

import dataclasses
import inspect
import math

import pytest
import torch
import torch.nn.functional as F

from cardigan import objectives
from cardigan.contracts import Objective
from cardigan.errors import CardiganError
from cardigan.randomness import seeded


def games():
    """Every public function of the module that gives an Objective and needs no argument."""
    return {
        name: build
        for name, build in vars(objectives).items()
        if inspect.isfunction(build)
        and not name.startswith("_")
        and inspect.signature(build).return_annotation is Objective
        and all(parameter.default is not parameter.empty for parameter in inspect.signature(build).parameters.values())
    }


def keeps_the_contract(game):
    real, fake = torch.tensor([0.75], requires_grad=True), torch.tensor([0.25], requires_grad=True)
    d_real, d_fake = torch.autograd.grad(game.discriminator(real=real, fake=fake).sum(), (real, fake))
    assert d_real < 0 < d_fake  # lowering the discriminator's loss separates them, real on top
    (d_fake,) = torch.autograd.grad(game.generator(real=real if game.paired else None, fake=fake).sum(), fake)
    assert d_fake < 0  # lowering the generator's loss raises fake
    real, fake = torch.randn(6, 2), torch.randn(6, 2)
    for loss in (game.discriminator(real=real, fake=fake), game.generator(real=real, fake=fake)):
        assert loss.shape == (6, 2)
        assert loss.dtype == torch.float32
    one = game.discriminator(real=real[2:3], fake=fake[2:3])  # unreduced: each value belongs to its own logits
    torch.testing.assert_close(game.discriminator(real=real, fake=fake)[2:3], one)
    others = torch.randn(6, 2), torch.randn(6, 2)
    if game.separable:  # a sum over both: what is real may be exchanged without asking what is fake
        crossed = game.discriminator(real=real, fake=others[1]) + game.discriminator(real=others[0], fake=fake)
        straight = game.discriminator(real=real, fake=fake) + game.discriminator(real=others[0], fake=others[1])
        torch.testing.assert_close(crossed, straight)
    for size in (1e4, -1e4):
        for other in (1e4, -1e4, 0.0):
            real = torch.tensor([size], requires_grad=True)
            fake = torch.tensor([other], requires_grad=True)
            for loss in (game.discriminator(real=real, fake=fake), game.generator(real=real, fake=fake)):
                assert loss.isfinite().all()
                for gradient in torch.autograd.grad(loss.sum(), (real, fake), allow_unused=True):
                    assert gradient is None or gradient.isfinite().all()
    assert game.name == repr(game) != "objective"


@pytest.mark.parametrize("name", games())
def test_contract(name):
    keeps_the_contract(games()[name]())


def test_the_list_is_complete():
    assert set(games()) >= {"minimax", "non_saturating", "least_squares", "wasserstein", "hinge", "relativistic"}
    assert "scaled" not in games()
    assert {name for name, build in games().items() if not build().separable} == {"relativistic"}


def test_margins_of_chance_are_drawn_for_both_at_once():
    assert not objectives.hinge(margin=(0.8, 1.2)).separable
    assert objectives.scaled(objectives.hinge(), discriminator=0.5).separable


def quadratic() -> Objective:
    """A toy."""
    regression = objectives.least_squares(a=-2, b=2, c=2)
    return Objective(regression.discriminator, regression.generator, name="quadratic()")


def flipped() -> Objective:
    """Calls fakes real."""
    return Objective(lambda *, real, fake: real - fake, lambda *, real, fake: -fake, name="flipped()")


def discouraged() -> Objective:
    """Its generator wants to be called fake."""
    return Objective(lambda *, real, fake: fake - real, lambda *, real, fake: fake, name="discouraged()")


def reduced() -> Objective:
    """Takes the mean itself."""
    return Objective(lambda *, real, fake: (fake - real).mean(), lambda *, real, fake: -fake.mean(), name="reduced()")


def saturated() -> Objective:
    """Takes the logarithm of a sigmoid."""
    return Objective(
        lambda *, real, fake: -real.sigmoid().log() - (1 - fake.sigmoid()).log(),
        lambda *, real, fake: -fake.sigmoid().log(),
        name="saturated()",
    )


def test_a_game_that_is_not_the_sum_it_says_it_is_would_show():
    liar = dataclasses.replace(objectives.relativistic(), separable=True)
    with pytest.raises(AssertionError, match="not close"):
        keeps_the_contract(liar)


def test_a_new_function_is_found_and_judged(monkeypatch):
    for toy in (quadratic, flipped, discouraged, reduced, saturated):
        monkeypatch.setattr(objectives, toy.__name__, toy, raising=False)
    found = games()
    keeps_the_contract(found["quadratic"]())
    for broken in ("flipped", "discouraged", "reduced", "saturated"):
        with pytest.raises(AssertionError):
            keeps_the_contract(found[broken]())


# --- closed forms --------------------------------------------------------------------------------------------------


def logits():
    return 3 * torch.randn(64, 2, dtype=torch.float64), 3 * torch.randn(64, 2, dtype=torch.float64)


def cross_entropy(x, target):
    return F.binary_cross_entropy_with_logits(x, torch.full_like(x, target), reduction="none")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("build", [objectives.minimax, objectives.non_saturating])
def test_the_discriminator_classifies(build, smoothing):
    real, fake = logits()
    expected = cross_entropy(real, 1.0 - smoothing) + cross_entropy(fake, 0.0)
    torch.testing.assert_close(build(smoothing=smoothing).discriminator(real=real, fake=fake), expected)


def test_the_two_generators_of_the_original_game():
    _, fake = logits()
    torch.testing.assert_close(objectives.non_saturating().generator(real=None, fake=fake), cross_entropy(fake, 1.0))
    torch.testing.assert_close(objectives.minimax().generator(real=None, fake=fake), -cross_entropy(fake, 0.0))
    torch.testing.assert_close(objectives.minimax().generator(real=None, fake=fake), torch.log(1 - fake.sigmoid()))


def test_where_the_discriminator_is_sure_only_minimax_saturates():
    slopes = {}
    for build in (objectives.minimax, objectives.non_saturating):
        fake = torch.tensor([-12.0], requires_grad=True)
        (slope,) = torch.autograd.grad(build().generator(real=None, fake=fake).sum(), fake)
        slopes[build.__name__] = slope.item()
    assert slopes["minimax"] == pytest.approx(-1 / (1 + math.exp(12)), rel=1e-4)
    assert slopes["non_saturating"] == pytest.approx(-1 / (1 + math.exp(-12)), rel=1e-4)


def test_smoothing_puts_the_optimum_at_the_smoothed_probability():
    real = torch.tensor([math.log(0.9 / 0.1)], dtype=torch.float64, requires_grad=True)
    loss = objectives.non_saturating(smoothing=0.1).discriminator(real=real, fake=torch.zeros(1, dtype=torch.float64))
    (slope,) = torch.autograd.grad(loss.sum(), real)
    assert abs(slope.item()) < 1e-12


@pytest.mark.parametrize(("a", "b", "c"), [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0), (-2.0, 3.0, 0.5)])
def test_least_squares_is_regression_on_the_coding(a, b, c):
    real, fake = logits()
    game = objectives.least_squares(a=a, b=b, c=c)
    half = 0.5 * F.mse_loss(real, torch.full_like(real, b), reduction="none")
    half = half + 0.5 * F.mse_loss(fake, torch.full_like(fake, a), reduction="none")
    torch.testing.assert_close(game.discriminator(real=real, fake=fake), half)
    expected = 0.5 * F.mse_loss(fake, torch.full_like(fake, c), reduction="none")
    torch.testing.assert_close(game.generator(real=None, fake=fake), expected)


def test_the_default_coding_is_zero_one():
    game, zero = objectives.least_squares(), torch.zeros(1)
    assert game.discriminator(real=zero + 1, fake=zero).item() == 0.0
    assert game.generator(real=None, fake=zero + 1).item() == 0.0


def test_the_pearson_coding_gives_the_pearson_divergence():
    # Mao et al., section 3.2: with b - c = 1 and b - a = 2 and the best D, 2 C(G) is the Pearson chi-square divergence
    # between p_d + p_g and 2 p_g.
    data = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    made = torch.tensor([0.4, 0.1, 0.4, 0.1], dtype=torch.float64)
    game = objectives.least_squares(a=-1, b=1, c=0)
    best = (data - made) / (data + made)  # (b p_d + a p_g) / (p_d + p_g)
    logit = best.clone().requires_grad_()
    fit = game.discriminator(real=logit, fake=torch.zeros_like(logit) - 1) * data
    fit = fit + game.discriminator(real=torch.ones_like(logit), fake=logit) * made
    (slope,) = torch.autograd.grad(fit.sum(), logit)
    torch.testing.assert_close(slope, torch.zeros_like(slope))
    # The generator's loss on data counts too in the paper's criterion; it does not depend on G's parameters.
    cost = (data * game.generator(real=None, fake=best) + made * game.generator(real=None, fake=best)).sum()
    pearson = ((2 * made - (data + made)) ** 2 / (data + made)).sum()
    torch.testing.assert_close(2 * cost, pearson)


def test_wasserstein_hinge_and_relativistic():
    real, fake = logits()
    game = objectives.wasserstein()
    torch.testing.assert_close(game.discriminator(real=real, fake=fake).mean(), fake.mean() - real.mean())
    torch.testing.assert_close(game.generator(real=None, fake=fake), -fake)
    game = objectives.hinge()
    expected = F.margin_ranking_loss(real, torch.zeros_like(real), torch.ones_like(real), 1.0, reduction="none")
    expected = expected + F.hinge_embedding_loss(-fake, -torch.ones_like(fake), 1.0, reduction="none")
    torch.testing.assert_close(game.discriminator(real=real, fake=fake), expected)
    torch.testing.assert_close(game.generator(real=None, fake=fake), -fake)
    game = objectives.relativistic()
    assert game.paired
    torch.testing.assert_close(game.discriminator(real=real, fake=fake), cross_entropy(real - fake, 1.0))
    torch.testing.assert_close(game.generator(real=real, fake=fake), cross_entropy(fake - real, 1.0))


def test_a_margin_of_chance_is_each_logits_own_within_its_range():
    """Zeros pay the margin itself; uniform between 0.8 and 1.0 it has the mean 0.9 and the deviation 0.2 / sqrt(12)."""
    with seeded(0, "test"):
        nothing = torch.zeros(20_000, 1)
        paid = objectives.hinge(margin=(0.8, 1.0)).discriminator(real=nothing, fake=nothing)
    assert 1.6 <= float(paid.min()) < 1.61
    assert 1.99 < float(paid.max()) <= 2.0
    assert float(paid.mean()) == pytest.approx(1.8, abs=0.002)
    assert float(paid.std()) == pytest.approx(0.2 / 12**0.5 * 2**0.5, rel=0.02)  # two independent margins
    assert objectives.hinge(margin=0.5).discriminator(real=nothing, fake=nothing).unique().tolist() == [1.0]
    assert repr(objectives.hinge(margin=(0.8, 1.0))) == "hinge(margin=(0.8, 1.0))"


def test_a_list_of_two_margins_is_a_range_too():
    """As configuration files write pairs."""
    game, nothing = objectives.hinge(margin=[0.8, 1.0]), torch.zeros(1000, 1)
    paid = []
    for one in (game, objectives.hinge(margin=(0.8, 1.0))):
        with seeded(0, "test"):
            paid.append(one.discriminator(real=nothing, fake=nothing))
    assert torch.equal(*paid)
    assert game.name == "hinge(margin=(0.8, 1.0))"


@pytest.mark.parametrize(
    "margin",
    [-1.0, (1.0, 0.5), [1.0, 0.5], (-0.1, 1.0), float("nan"), (), [1.0], (0.1, 0.2, 0.3), "1", "12", None, [None, 1.0]],
)
def test_a_margin_that_is_none(margin):
    with pytest.raises(CardiganError, match=r"hinge\(margin=.*\) is no margin: give a number from 0 up"):
        objectives.hinge(margin=margin)


def test_hinge_stops_at_the_margin():
    real, fake = torch.tensor([1.5], requires_grad=True), torch.tensor([-1.5], requires_grad=True)
    slopes = torch.autograd.grad(objectives.hinge().discriminator(real=real, fake=fake).sum(), (real, fake))
    assert [slope.item() for slope in slopes] == [0.0, 0.0]


def test_scaled_multiplies_each_players_loss():
    real, fake = logits()
    for base in (objectives.non_saturating(), objectives.relativistic()):
        game = objectives.scaled(base, discriminator=0.5, generator=3.0)
        expected = 0.5 * base.discriminator(real=real, fake=fake)
        torch.testing.assert_close(game.discriminator(real=real, fake=fake), expected)
        torch.testing.assert_close(game.generator(real=real, fake=fake), 3.0 * base.generator(real=real, fake=fake))
        assert game.paired is base.paired
        assert base.name in game.name
        assert "0.5" in game.name
