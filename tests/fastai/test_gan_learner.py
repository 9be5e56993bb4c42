"""The GAN learner: its arithmetic against a plain loop, and that whoever does not play stands still to the last bit."""

import copy
import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cardigan import CardiganError
from cardigan.fastai import (
    AdaptiveLoss,
    Callback,
    FixedGANSwitcher,
    GANDiscriminativeLR,
    GANLearner,
    GANLoss,
    GANModule,
    Learner,
    RMSProp,
    accuracy_thresh_expand,
    partial,
    set_freeze_model,
)


def data(count=6, size=4, kind=torch.float32):
    rng = torch.Generator().manual_seed(5)
    return [
        (torch.randn(size, 2, generator=rng, dtype=kind), torch.rand(size, 3, generator=rng, dtype=kind))
        for _ in range(count)
    ]


def networks(*, norm=False):
    torch.manual_seed(11)
    layer = [nn.BatchNorm1d(8)] if norm else []
    generator = nn.Sequential(nn.Linear(2, 8), *layer, nn.LeakyReLU(0.2), nn.Linear(8, 3))
    torch.manual_seed(12)
    layer = [nn.BatchNorm1d(8)] if norm else []
    critic = nn.Sequential(nn.Linear(3, 8), *layer, nn.LeakyReLU(0.2), nn.Linear(8, 1))
    return generator, critic


def gen_loss(fake_pred, output, target):
    return F.softplus(-fake_pred).mean() + 0.5 * (2 * output - target).abs().mean()


def crit_loss(real_pred, fake_pred):
    return F.softplus(-real_pred).mean() + F.softplus(fake_pred).mean()


class History(Callback):
    def __init__(self):
        self.losses = []

    def after_batch(self):
        self.losses.append(float(self.learn.loss))


def quiet(learn):
    learn.logger = lambda line: None
    return learn


def learner(dls=None, *, norm=False, kind=torch.float32, **settings):
    generator, critic = networks(norm=norm)
    return quiet(GANLearner(dls or data(), generator.to(kind), critic.to(kind), gen_loss, crit_loss, **settings))


def plainly(turns, *, norm, switch_eval, adam):
    """The same game written out; a network that only looks on keeps its buffers."""
    generator, critic = (network.double() for network in networks(norm=norm))
    optimizers = {"c": adam(critic.parameters()), "g": adam(generator.parameters())}
    losses = []
    for player, (noise, real) in zip(turns, data(kind=torch.float64) * 3, strict=True):
        plays, looks_on = (critic, generator) if player == "c" else (generator, critic)
        plays.train()
        looks_on.train(not switch_eval)
        kept = copy.deepcopy(list(looks_on.buffers()))
        fake = generator(noise)
        judged = (critic(real), critic(fake.detach())) if player == "c" else (critic(fake), fake, real)
        loss = crit_loss(*judged) if player == "c" else gen_loss(*judged)
        for weight, gradient in zip(
            plays.parameters(), torch.autograd.grad(loss, list(plays.parameters())), strict=True
        ):
            weight.grad = gradient
        optimizers[player].step()
        with torch.no_grad():
            for buffer, before in zip(looks_on.buffers(), kept, strict=True):
                buffer.copy_(before)
        losses.append(loss.item())
    return generator, critic, losses


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("switch_eval", [True, False])
def test_the_arithmetic_is_that_of_a_plain_loop(norm, switch_eval):
    def adam(parameters):
        return torch.optim.AdamW(parameters, lr=1e-2, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.01)

    history = History()
    switcher = FixedGANSwitcher(2, 1)
    # In double precision, for Adam amplifies the rounding of biases that a normalisation takes out again.
    settings = {"dls": data(kind=torch.float64), "kind": torch.float64, "lr": 1e-2, "wd_bn_bias": True}
    learn = learner(norm=norm, switch_eval=switch_eval, cbs=history, switcher=switcher, **settings)
    learn.fit(3)
    generator, critic, losses = plainly("ccg" * 6, norm=norm, switch_eval=switch_eval, adam=adam)
    assert history.losses == pytest.approx(losses, abs=1e-10)
    for ours, plain in ((learn.generator, generator), (learn.critic, critic)):
        for name, value in plain.state_dict().items():
            assert torch.allclose(ours.state_dict()[name], value, atol=1e-9), name


class Only(Callback):
    """A switcher that never switches."""


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("opt_func", [partial(RMSProp, mom=0.9, wd=0.1), None, partial(torch.optim.SGD, momentum=0.9)])
@pytest.mark.parametrize("switch_eval", [True, False])
@pytest.mark.parametrize("gen_first", [True, False])
def test_who_does_not_play_stands_still_to_the_last_bit(opt_func, switch_eval, gen_first):
    settings = {"opt_func": opt_func} if opt_func else {}
    learn = learner(data(10), norm=True, switch_eval=switch_eval, gen_first=gen_first, **settings)
    learn.fit(2, 1e-2, wd=0.1)  # optimizers full of momentum
    for cb in [cb for cb in learn.cbs if isinstance(cb, FixedGANSwitcher)]:
        learn.remove_cb(cb)
    before = state(learn.generator), state(learn.critic)
    learn.fit(1, 1e-2, wd=0.1, cbs=Only)  # ten turns of whoever is first
    after = state(learn.generator), state(learn.critic)
    moved, still = (0, 1) if gen_first else (1, 0)
    assert same(before[still], after[still])
    alike = {name for name in before[moved] if torch.equal(before[moved][name], after[moved][name])}
    assert alike <= {"0.bias"}  # which the normalisation takes out again


def test_one_pass_over_the_data_is_one_epoch_and_a_smaller_last_batch_counts_as_it_is():
    items = torch.utils.data.TensorDataset(torch.randn(10, 2), torch.rand(10, 3))
    history = History()
    learn = learner(torch.utils.data.DataLoader(items, 4, shuffle=True), cbs=history)
    learn.fit(2)
    assert len(history.losses) == 6
    training = learn._engine().training
    assert training.progress.images == 20
    assert same(state(training.average.network.network), state(learn.generator))  # nothing is averaged
    assert training.progress.steps == {"discriminator": 3, "generator": 3}


def test_labels_between_input_and_target_reach_both_networks():
    class Conditional(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.body, self.kinds = nn.Linear(inputs, outputs), nn.Embedding(4, outputs)

        def forward(self, seen, labels):
            return self.body(seen) + self.kinds(labels)

    batches = [(noise, torch.arange(4), real) for noise, real in data(4)]
    learn = quiet(GANLearner((batches, batches), Conditional(2, 3), Conditional(3, 1), gen_loss, crit_loss))
    before = state(learn.model)
    learn.fit(1)
    assert not any(torch.equal(before[name], after) for name, after in learn.model.state_dict().items())


def test_the_wasserstein_critic_calls_real_images_high_and_the_shown_losses_are_fastais():
    def low_gen(fake_pred, output, target):
        return fake_pred.mean()

    def low_crit(real_pred, fake_pred):
        return real_pred.mean() - fake_pred.mean()

    generator, critic = networks()
    mirrored = copy.deepcopy(critic)
    with torch.no_grad():
        mirrored[-1].weight.neg_()
        mirrored[-1].bias.neg_()
    settings = {"opt_func": RMSProp, "switcher": FixedGANSwitcher(5, 1)}
    one, other = History(), History()
    low = quiet(
        GANLearner(
            data(),
            copy.deepcopy(generator),
            mirrored,
            low_gen,
            low_crit,
            clip=0.01,
            switch_eval=False,
            cbs=one,
            **settings,
        )
    )
    high = quiet(GANLearner.wgan(data(), generator, critic, opt_func=RMSProp, cbs=other))
    low.fit(6, 1e-3)
    high.fit(6, 1e-3)
    assert other.losses == pytest.approx(one.losses, abs=1e-7)
    noise, real = data()[0]
    with torch.no_grad():
        assert float(high.critic(real).mean()) > float(high.critic(high.generator(noise)).mean())
        assert float(low.critic(real).mean()) < float(low.critic(low.generator(noise)).mean())


def test_wgan_has_the_documented_defaults():
    learn = GANLearner.wgan(data(), *networks())
    trainer, switcher = learn.gan_trainer, learn.fixed_gan_switcher
    assert (trainer.clip, trainer.switch_eval, trainer.gen_first, trainer.show_img) == (0.01, False, False, True)
    assert (switcher.n_crit, switcher.n_gen) == (5, 1)
    assert isinstance(learn.loss_func, GANLoss)
    assert isinstance(learn.model, GANModule)
    plain = learner()
    assert (plain.gan_trainer.switch_eval, plain.gan_trainer.clip) == (True, None)
    assert (plain.fixed_gan_switcher.n_crit, plain.fixed_gan_switcher.n_gen) == (1, 1)
    other = FixedGANSwitcher(2, 2)
    assert GANLearner.wgan(data(), *networks(), switcher=other, clip=None).cbs.count(other) == 1


def test_what_was_frozen_stays_frozen_and_the_rest_trains():
    learn = learner()
    set_freeze_model(learn.generator[0], False)
    before = state(learn.generator)
    learn.fit(1, wd=0.5)
    after = state(learn.generator)
    assert [name for name in before if torch.equal(before[name], after[name])] == ["0.weight", "0.bias"]
    assert not learn.generator[0].weight.requires_grad
    learn.generator[2].weight.requires_grad_(False)  # between two fits, its optimizer is warm
    learn.fit(1, wd=0.5)
    assert torch.equal(state(learn.generator)["2.weight"], after["2.weight"])
    set_freeze_model(learn.generator, True)
    with pytest.raises(CardiganError, match=r"2 parameters became trainable.*reset_opt=True"):
        learn.fit(1)
    learn.fit(1, reset_opt=True)
    assert not torch.equal(state(learn.generator)["0.weight"], before["0.weight"])


def test_nothing_to_train_is_told():
    learn = learner()
    set_freeze_model(learn.critic, False)
    with pytest.raises(CardiganError, match=r"The critic has no parameter.*set_freeze_model\(learn.critic, True\)"):
        learn.fit(1)


def test_who_is_frozen_may_look_on_until_its_turn_comes():
    learn = learner(switcher=FixedGANSwitcher(n_crit=100))
    set_freeze_model(learn.generator, False)
    before = state(learn.generator)
    learn.fit(1)
    assert same(before, state(learn.generator))
    learn = learner(switcher=FixedGANSwitcher(n_crit=2))
    set_freeze_model(learn.generator, False)
    with pytest.raises(CardiganError, match=r"The generator has no parameter.*set_freeze_model\(learn.generator, True"):
        learn.fit(1)


@pytest.mark.parametrize("name", ["gen_loss_func", "crit_loss_func"])
def test_losses_that_teach_nothing_are_told(name):
    games = {"gen_loss_func": gen_loss, "crit_loss_func": crit_loss}
    for broken in (lambda *given: 1.0, lambda *given: given[0].detach().mean()):
        learn = quiet(GANLearner(data(), *networks(), **games | {name: broken}))
        with pytest.raises(CardiganError, match=rf"{name}"):
            learn.fit(1)
    learn = quiet(GANLearner(data(), *networks(), **games | {name: lambda *given: 1.0}))
    with pytest.raises(CardiganError, match=rf"{name} gave a float"):
        learn.validate(ds_idx=0)


def test_networks_without_weights_yet_are_told():
    learn = quiet(GANLearner.wgan(data(), networks()[0], nn.LazyLinear(1)))
    with pytest.raises(CardiganError, match=r"lazy layers.*Call each network once"):
        learn.fit(1)
    learn.critic(data()[0][1])
    learn.fit(1)


def test_a_buffer_that_is_set_anew_stands_still_too():
    class Centred(nn.Linear):
        def __init__(self):
            super().__init__(3, 1)
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x):
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
            return super().forward(x - self.mean)

    settings = {"switcher": Only(), "gen_first": True, "switch_eval": False}
    learn = quiet(GANLearner(data(), networks()[0], Centred(), gen_loss, crit_loss, **settings))
    learn.fit(1)
    assert torch.equal(learn.critic.mean, torch.zeros(3))


def test_a_second_fit_keeps_the_optimizers_and_reset_begins_anew():
    learn = learner()
    learn.fit(1)
    first = dict(learn.optimizers)
    learn.fit(1)
    assert all(learn.optimizers[player] is optimizer for player, optimizer in first.items())
    learn.fit(1, reset_opt=True)
    assert not any(learn.optimizers[player] is optimizer for player, optimizer in first.items())


def decays(learn):
    return {group["weight_decay"] for each in learn.optimizers.values() for group in each.param_groups}


def test_weight_decay_is_the_fits_then_the_learners_then_the_optimizers():
    learn = learner()
    learn.fit(1)
    assert decays(learn) == {0.01, 0.0}
    learn.fit(1, wd=0.3)
    assert decays(learn) == {0.3, 0.0}
    learn.fit(1, wd=0.0)
    assert decays(learn) == {0.0}
    learn.fit(1)  # the learner has none, so it stays
    assert decays(learn) == {0.0}
    learn = learner(wd=0.2, wd_bn_bias=True)
    learn.fit(1)
    assert decays(learn) == {0.2}
    learn.fit(1, wd=0.0)
    learn.fit(1)
    assert decays(learn) == {0.2}
    learn = learner(opt_func=torch.optim.Rprop)
    with pytest.raises(CardiganError, match=r"wd is 0.1, but this optimizer has no weight decay"):
        learn.fit(1, wd=0.1)


def test_a_rate_in_opt_func_counts_as_the_learners():
    learn = learner(opt_func=partial(RMSProp, lr=7e-5))
    learn.fit(1)
    assert {group["lr"] for each in learn.optimizers.values() for group in each.param_groups} == {7e-5}


def test_the_same_seed_trains_the_same_networks():
    def weights(seed):
        generator, critic = networks()
        critic.insert(2, nn.Dropout(0.5))
        learn = quiet(GANLearner(data(), generator, critic, gen_loss, crit_loss, switch_eval=False))
        torch.manual_seed(seed)
        learn.fit(1)
        return state(learn.model)

    assert same(weights(1), weights(1))
    assert not same(weights(1), weights(2))


def test_training_does_not_draw_from_the_users_random_numbers():
    learn = learner()
    learn.fit(1)
    torch.manual_seed(4)
    learn.fit(1)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(4)))


def test_a_loss_that_is_no_number_stops_and_moves_nothing():
    def broken(real_pred, fake_pred):
        return crit_loss(real_pred, fake_pred) * float("nan")

    learn = quiet(GANLearner(data(), *networks(), gen_loss, broken))
    before = state(learn.model)
    with pytest.raises(
        CardiganError, match=r"not finite in epoch 0, batch 0.*Lower the learning rate, such as fit"
    ) as told:
        learn.fit(1)
    assert "--set" not in str(told.value)
    assert same(before, state(learn.model))


def test_losses_of_any_shape_are_averaged():
    def rows(real_pred, fake_pred):
        return F.softplus(-real_pred) + F.softplus(fake_pred)

    one, other = History(), History()
    quiet(GANLearner(data(), *networks(), gen_loss, rows, cbs=one)).fit(1)
    learner(cbs=other).fit(1)
    assert one.losses == pytest.approx(other.losses)


def test_afterwards_the_model_draws():
    learn = learner(norm=True)
    learn.fit(1)
    noise = data()[0][0]
    assert not any(module.training for module in learn.model.modules())
    assert torch.equal(learn.model(noise), learn.generator(noise))
    assert learn.loss_func.gen_mode


def test_losses_are_kept_where_fastai_keeps_them():
    learn = learner(data(2))
    learn.fit(1)
    history = History()
    learn.fit(1, cbs=history)
    assert [float(learn.loss_func.crit_loss), float(learn.loss_func.gen_loss)] == history.losses


def pretrained():
    images = data()
    gen_learn = Learner((images, images[:1]), nn.Linear(2, 3), nn.L1Loss())
    judged = [(torch.cat([real, noise @ torch.ones(2, 3)]), torch.tensor([1] * 4 + [0] * 4)) for noise, real in images]
    critic = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    loss = AdaptiveLoss(nn.BCEWithLogitsLoss())
    crit_learn = Learner((judged, judged), critic, loss, metrics=accuracy_thresh_expand)
    return quiet(gen_learn), quiet(crit_learn)


def test_two_pretrained_learners_become_a_gan():
    gen_learn, crit_learn = pretrained()
    start = gen_learn.validate(), crit_learn.validate()
    gen_learn.fit(20, 1e-2)
    crit_learn.fit(20, 1e-2)
    end = gen_learn.validate(), crit_learn.validate()
    assert end[0][0] < start[0][0]
    assert end[1][0] < start[1][0]
    assert end[1][1] > 0.7
    learn = GANLearner.from_learners(
        gen_learn, crit_learn, weights_gen=(1.0, 50.0), cbs=GANDiscriminativeLR(3), lr=1e-4
    )
    assert learn.generator is gen_learn.model
    assert learn.critic is crit_learn.model
    assert learn.dls is gen_learn.dls
    assert learn.gan_trainer.switch_eval
    history = History()
    quiet(learn).fit(1, cbs=history)
    noise, real = data()[1]
    assert len(history.losses) == 6
    with torch.no_grad():
        output, rate = gen_learn.model(noise), 50.0 * nn.L1Loss()(gen_learn.model(noise), real)
        expected = F.softplus(-crit_learn.model(output)).mean() + rate
    learn.model.eval()
    assert learn.loss_func.generator(output, real).item() == pytest.approx(float(expected))


def test_a_loss_func_of_its_own_is_refused():
    with pytest.raises(CardiganError, match=r"loss_func is .*gen_loss_func and crit_loss_func are the losses"):
        learner(loss_func=nn.L1Loss())
    gen_learn, crit_learn = pretrained()
    with pytest.raises(CardiganError, match="loss_func"):
        GANLearner.from_learners(gen_learn, crit_learn, loss_func=nn.L1Loss())
    with pytest.raises(CardiganError, match="moms"):
        GANLearner.wgan(data(), *networks(), moms=(0.9, 0.8, 0.9))


@pytest.mark.parametrize("method", ["wgan", "from_learners"])
def test_class_methods_hand_every_argument_on(monkeypatch, method):
    told = {}
    names = list(inspect.signature(GANLearner).parameters)[5:]
    monkeypatch.setattr(GANLearner, "__init__", lambda self, *given, **settings: told.update(settings))
    learners = (Learner(data(), networks()[0], gen_loss), Learner(data(), networks()[1], crit_loss))
    given = learners if method == "from_learners" else (data(), *networks())
    marks = {name: object() for name in names}
    getattr(GANLearner, method)(*given, **marks)
    assert told == marks
