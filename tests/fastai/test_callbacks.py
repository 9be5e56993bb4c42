"""Whose turn it is, at which rate, in which mode; and what callbacks are told."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from cardigan import CardiganError
from cardigan.fastai import (
    Adam,
    AdaptiveGANSwitcher,
    Callback,
    CancelFitException,
    FixedGANSwitcher,
    GANDiscriminativeLR,
    GANLearner,
    GANTrainer,
    Learner,
    Recorder,
)
from cardigan.fastai.callbacks import Smoothed


def data(count=6, size=4):
    rng = torch.Generator().manual_seed(5)
    return [(torch.randn(size, 2, generator=rng), torch.rand(size, 3, generator=rng)) for _ in range(count)]


def gen_loss(fake_pred, output, target):
    return -fake_pred.mean()


def crit_loss(real_pred, fake_pred):
    return (fake_pred - real_pred).mean()


class Turns(Callback):
    """Who played which batch."""

    def __init__(self):
        self.seen = []

    def after_batch(self):
        self.seen.append("g" if self.gan_trainer.gen_mode else "c")

    @property
    def told(self):
        return "".join(self.seen)


def learner(batches=None, **settings):
    generator, critic = nn.Linear(2, 3), nn.Linear(3, 1)
    games = {"gen_loss_func": gen_loss, "crit_loss_func": crit_loss}
    learn = GANLearner(batches or data(), generator, critic, **games | settings)
    learn.logger = lambda line: None
    return learn


def played(epochs=1, batches=6, **settings):
    turns = Turns()
    learner(data(batches), cbs=turns, **settings).fit(epochs)
    return turns.told


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "cgcgcg"),
        ({"gen_first": True}, "gcgcgc"),
        ({"switcher": FixedGANSwitcher(2, 1)}, "ccgccg"),
        ({"switcher": FixedGANSwitcher(n_crit=1, n_gen=3)}, "cgggcg"),
        ({"switcher": FixedGANSwitcher(4)}, "ccccgc"),
    ],
)
def test_players_take_turns(settings, expected):
    assert played(**settings) == expected


def test_the_count_goes_on_from_epoch_to_epoch():
    assert played(epochs=4, batches=3, switcher=FixedGANSwitcher(5, 1)) == "cccccgcccccg"


def test_each_fit_begins_anew():
    turns = Turns()
    learn = learner(data(2), cbs=turns, switcher=FixedGANSwitcher(2, 1))
    learn.fit(1)
    learn.fit(1)
    assert turns.told == "cccc"
    first = Turns()
    learn = learner(data(1), cbs=first, gen_first=True)
    learn.fit(1)
    learn.fit(1)
    assert first.told == "gg"


def test_a_callable_is_told_how_often_its_player_had_its_phase():
    told = {"c": [], "g": []}

    def n_crit(phase):
        told["c"].append(phase)
        return 3 if phase < 1 else 1

    def n_gen(phase):
        told["g"].append(phase)
        return phase + 1

    assert played(batches=10, switcher=FixedGANSwitcher(n_crit, n_gen)) == "cccgcggcgg"
    assert told == {"c": [0, 0, 0, 1, 2], "g": [0, 1, 1, 2, 2]}


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "5"])
def test_a_count_that_cannot_be_is_refused(wrong):
    with pytest.raises(CardiganError, match=r"n_crit is .*whole number of at least 1"):
        FixedGANSwitcher(n_crit=wrong)
    with pytest.raises(CardiganError, match=r"n_gen is .*whole number of at least 1"):
        played(switcher=FixedGANSwitcher(1, lambda phase: wrong))
    with pytest.raises(CardiganError, match=r"longest is .*at least 1"):
        AdaptiveGANSwitcher(longest=wrong)


class Losses:
    """A loss that is what the list says, whatever the networks do."""

    def __init__(self, *values):
        self.values = list(values)

    def __call__(self, *predictions):
        return predictions[0].mean() * 0 + self.values.pop(0)


def test_the_loss_of_the_last_batch_switches_and_none_hands_over_at_once():
    # Smoothed, 0.125 after 5.0 would still be far above the threshold.
    losses = {"crit_loss_func": Losses(5.0, 0.75, 0.625, 0.125, 0.5), "gen_loss_func": Losses(9.0, 9.0)}
    assert played(batches=7, switcher=AdaptiveGANSwitcher(critic_thresh=0.625), **losses) == "ccccgcg"
    losses = {"crit_loss_func": Losses(9, 9), "gen_loss_func": Losses(3.0, 1.0, 3.0)}
    assert played(batches=5, switcher=AdaptiveGANSwitcher(gen_thresh=2.0), **losses) == "cggcg"
    assert played(switcher=AdaptiveGANSwitcher()) == "cgcgcg"


def test_an_adaptive_switch_cannot_stall():
    assert (
        played(batches=8, switcher=AdaptiveGANSwitcher(0.0, -1e9, longest=3), gen_loss_func=Losses(*[1.0] * 9))
        == "cccgggcc"
    )
    assert played(batches=24, switcher=AdaptiveGANSwitcher(critic_thresh=-1e9)) == "c" * 20 + "gccc"


def test_a_switcher_of_ones_own_is_a_callback_that_calls_switch():
    class Coin(Callback):
        order = 60

        def after_batch(self):
            if self.learn.iter in (1, 2):
                self.learn.gan_trainer.switch()

    assert played(switcher=Coin()) == "ccgccc"


def rates_of(learn):
    return {player: [group["lr"] for group in each.param_groups] for player, each in learn.optimizers.items()}


class Rates(Callback):
    def __init__(self):
        self.seen = []

    def after_batch(self):
        self.seen.append(rates_of(self.learn))


def test_the_critics_rates_are_multiplied_for_the_whole_fit_and_nobody_elses():
    seen = Rates()
    learn = learner(cbs=[GANDiscriminativeLR(5), seen], lr=1e-3, wd_bn_bias=True)
    learn.fit(2)
    assert seen.seen == [{"discriminator": [5e-3], "generator": [1e-3]}] * 12
    learn.fit(1, 1e-4)  # not multiplied twice
    assert seen.seen[-1] == {"discriminator": [pytest.approx(5e-4)], "generator": [1e-4]}


def test_slices_keep_their_ratios_under_the_critics_factor():
    def splitter(model):
        return [
            [w for n in (model.generator, model.critic) for w in (n.weight,)],
            [model.generator.bias, model.critic.bias],
        ]

    learn = learner(cbs=GANDiscriminativeLR, splitter=splitter, lr=slice(1e-4, 1e-2), wd_bn_bias=True)
    learn.fit(1)
    assert rates_of(learn) == {"discriminator": pytest.approx([5e-4, 5e-2]), "generator": pytest.approx([1e-4, 1e-2])}


def test_without_it_both_have_the_rate_of_the_fit():
    learn = learner(lr=3e-3, wd_bn_bias=True)
    learn.fit(1)
    assert rates_of(learn) == {"discriminator": [3e-3], "generator": [3e-3]}
    learn.fit(1, 1e-5)
    assert rates_of(learn) == {"discriminator": [1e-5], "generator": [1e-5]}


def test_smoothing_is_corrected_for_its_start():
    mean, values = Smoothed(0.9), [3.0, 1.0, 4.0, 1.0, 5.0]
    total = 0.0
    for count, value in enumerate(values, start=1):
        mean.add(torch.tensor(value))
        total = 0.9 * total + 0.1 * value
        assert mean.value.item() == pytest.approx(total / (1 - 0.9**count))
    assert Smoothed(0.5).value.isnan()
    for wrong in (1.0, -0.1, 2):
        with pytest.raises(CardiganError, match=r"beta is .*below 1"):
            Smoothed(wrong)


def test_the_trainer_keeps_both_losses_smoothed():
    losses = {"crit_loss_func": Losses(4.0, 2.0, 8.0), "gen_loss_func": Losses(1.0, 3.0, 1.0)}
    learn = learner(cbs=GANTrainer(beta=0.5, switch_eval=True), **losses)
    learn.fit(1)
    trainer = learn.gan_trainer
    assert [round(float(x), 4) for x in trainer.crit_losses] == [4.0, 2.6667, 5.7143]
    assert [round(float(x), 4) for x in trainer.gen_losses] == [1.0, 2.3333, 1.5714]
    assert float(learn.recorder.smooth_loss.value) != float(trainer.crit_loss.value)


def test_what_a_trainer_among_the_callbacks_says_holds():
    given = GANTrainer(clip=0.02, beta=0.5, gen_first=True, show_img=False)
    for trainer in (given, GANTrainer):
        learn = GANLearner.wgan(data(), nn.Linear(2, 3), nn.Linear(3, 1), cbs=trainer)
        learn.logger = lambda line: None
        assert sum(isinstance(cb, GANTrainer) for cb in learn.cbs) == 1
        learn.fit(1)
        assert len(learn.gan_trainer.gen_losses) == 1
        if trainer is given:
            assert learn.gan_trainer is given
            assert float(learn.critic.weight.detach().abs().max()) <= 0.02
        else:
            assert learn.gan_trainer.clip == 0.01  # the learner's, for this trainer names none
            assert float(learn.critic.weight.detach().abs().max()) <= 0.01


def test_a_learner_has_one_trainer_one_switcher_and_one_factor():
    learn = learner()
    before = list(learn.cbs)
    with pytest.raises(CardiganError, match=r"GANTrainer as its trainer already.*cbs=GANTrainer\(\.\.\.\)"):
        learn.fit(1, cbs=GANTrainer(beta=0.5))
    with pytest.raises(CardiganError, match=r"FixedGANSwitcher as its switcher already.*switcher=.*learn.remove_cb"):
        learn.add_cb(AdaptiveGANSwitcher())
    assert learn.cbs == before
    with pytest.raises(CardiganError, match=r"cannot do without it.*learn.gan_trainer.beta = 0.9"):
        learn.remove_cb(GANTrainer)
    learn.fit(1, cbs=[learn.gan_trainer, learn.recorder])  # are there already, and stay
    assert learn.cbs == before
    learn.remove_cb(FixedGANSwitcher).add_cb(AdaptiveGANSwitcher()).fit(1)
    with pytest.raises(CardiganError, match=r"AdaptiveGANSwitcher is among cbs.*Type switcher=AdaptiveGANSwitcher"):
        learner(cbs=AdaptiveGANSwitcher)
    with pytest.raises(CardiganError, match=r"GANDiscriminativeLR as its factor of the critic's rates already"):
        learner(cbs=[GANDiscriminativeLR(2.0), GANDiscriminativeLR(3.0)])
    for alone in (GANDiscriminativeLR, GANTrainer, FixedGANSwitcher):
        with pytest.raises(
            CardiganError, match=rf"{alone.__name__} among the callbacks of a Learner; expected.*GANLearner"
        ):
            Learner(data(), nn.Linear(2, 3), nn.L1Loss(), cbs=alone)


class Inputs(Callback):
    """What the batch was when its turn came."""

    def __init__(self):
        self.seen = []

    def before_batch(self):
        self.seen.append((self.gen_mode, self.xb[0], self.yb[0]))


def test_a_callback_sees_the_batch_before_its_turn_in_the_order_of_who_plays():
    inputs = Inputs()
    learner(cbs=inputs).fit(1)
    for (plays, given, wanted), (noise, real) in zip(inputs.seen, data(), strict=True):
        assert torch.equal(given, noise if plays else real)
        assert torch.equal(wanted, real if plays else noise)


class Blank(Callback):
    def before_batch(self):
        self.learn.xb = tuple(torch.zeros_like(each) for each in self.xb)
        self.learn.yb = tuple(torch.zeros_like(each) for each in self.yb)


def test_what_a_callback_makes_of_a_batch_is_what_is_trained_on():
    def trained(batches, **settings):
        torch.manual_seed(0)
        learn = learner(batches, **settings)
        learn.fit(1)
        return torch.cat([weight.detach().flatten() for weight in learn.model.parameters()])

    blank = [(torch.zeros(4, 2), torch.zeros(4, 3))] * 6
    assert torch.equal(trained(data(), cbs=Blank), trained(blank))
    assert not torch.equal(trained(data(), cbs=Blank), trained(data()))


@pytest.mark.parametrize(("name", "wrong"), [("xb", None), ("yb", torch.zeros(4, 2))])
def test_what_is_no_batch_is_refused(name, wrong):
    class Wrong(Callback):
        def before_batch(self):
            setattr(self.learn, name, wrong)

    with pytest.raises(CardiganError, match=rf"set learn.{name} to a .*Type self.learn.{name} = \(tensor,\)"):
        learner(cbs=Wrong).fit(1)


class Freezing(Callback):
    def before_batch(self):
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = 0.0


def test_rates_that_a_callback_sets_hold():
    learn = learner()
    before = [weight.detach().clone() for weight in learn.model.parameters()]
    learn.fit(1, 0.1, cbs=Freezing, wd=0.0)
    assert all(map(torch.equal, before, learn.model.parameters()))
    learn.fit(1, 0.1)  # every fit begins with its own rate
    assert not all(map(torch.equal, before, learn.model.parameters()))


def test_torch_schedulers_move_the_rates():
    learn = learner()
    schedule = torch.optim.lr_scheduler.StepLR(learn.optimizers["generator"], 1, gamma=0.5)

    class Step(Callback):
        def after_batch(self):
            if self.gen_mode:
                schedule.step()

    learn.fit(1, 0.64, cbs=Step)
    told = {player: each.param_groups[0]["lr"] for player, each in learn.optimizers.items()}
    assert told == {"discriminator": 0.64, "generator": pytest.approx(0.08)}


@pytest.mark.parametrize("name", ["Model", "LR", "Loss", "Xb", "Generator", "Fit"])
def test_a_callback_cannot_take_the_place_of_an_attribute(name):
    learn = learner()
    with pytest.raises(CardiganError, match=rf"class {name} would hide learn.{name.lower()}"):
        learn.add_cb(type(name, (Callback,), {}))
    assert len(learn.cbs) == 3


def test_of_two_callbacks_of_one_name_the_other_is_found_when_one_is_taken_out():
    first, second = Turns(), Turns()
    learn = learner(cbs=[first, second])
    assert learn.turns is second
    assert learn.remove_cbs([second]).turns is first
    learn.remove_cbs(first)
    assert not hasattr(learn, "turns")


def test_a_callback_that_is_not_to_run_does_not():
    class Off(Turns):
        run = False

    class NotInTraining(Turns):
        run_train = False

    off, not_in_training = Off(), NotInTraining()
    learn = learner(cbs=[off, not_in_training])
    learn.fit(1)
    assert off.seen == not_in_training.seen == []
    learn.fit(1)  # as in fastai, it is on again
    assert len(off.seen) == 6


@pytest.mark.parametrize("name", ["run_after", "run_before", "toward_end"])
def test_an_order_by_other_callbacks_is_refused(name):
    with pytest.raises(CardiganError, match=rf"Late has {name}, which is not read here.*Type order = 10"):
        learner(cbs=type("Late", (Callback,), {name: Recorder}))


def test_a_callback_that_is_refused_in_fit_leaves_none_behind():
    learn = learner()
    before = list(learn.cbs)
    with pytest.raises(CardiganError, match=r"hide learn.generator"):
        learn.fit(1, cbs=[Turns(), type("Generator", (Callback,), {})])
    with pytest.raises(CardiganError, match=r"int is no callback"):
        learn.fit(1, cbs=[Turns(), 3])
    assert learn.cbs == before


def test_a_fit_may_end_before_it_begins():
    ended = []

    class Never(Callback):
        def before_fit(self):
            raise CancelFitException

        def after_fit(self):
            ended.append(len(self.recorder.losses))

    learner(cbs=Never).fit(1)
    assert ended == [0]


class Watch(nn.Linear):
    """Remembers in which mode it was asked."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.asked = []

    def forward(self, seen):
        self.asked.append(self.training)
        return super().forward(seen)


@pytest.mark.parametrize("switch_eval", [True, False])
def test_who_does_not_play_is_in_evaluation_mode_if_asked(switch_eval):
    generator, critic = Watch(2, 3), Watch(3, 1)
    learn = GANLearner(data(2), generator, critic, gen_loss, crit_loss, switch_eval=switch_eval, default_cbs=False)
    learn.fit(1)
    # The critic's turn: the generator draws, the critic judges real and fake; then the generator's.
    assert generator.asked == [not switch_eval, True]
    assert critic.asked == [True, True, not switch_eval]


class Extremes(Callback):
    def __init__(self):
        self.before, self.after = [], []

    def extreme(self):
        return max(float(w.detach().abs().max()) for w in self.learn.critic.parameters())

    def before_batch(self):
        self.before.append(self.extreme())

    def after_batch(self):
        self.after.append(self.extreme())


def test_weights_are_clipped_from_the_first_batch_on():
    seen = Extremes()
    learner(clip=0.02, cbs=seen, lr=0.5).fit(1)
    assert max(seen.before + seen.after) <= 0.02 + 1e-9
    learn = learner(lr=0.5)
    learn.fit(1)
    assert max(float(w.detach().abs().max()) for w in learn.critic.parameters()) > 0.5
    for wrong in (0, -0.01):
        with pytest.raises(CardiganError, match=r"clip is .*above 0"):
            learner(clip=wrong)


def images(count=4):
    return [(torch.randn(4, 2), torch.rand(4, 3, 8, 8) * 2 - 1) for _ in range(count)]


def drawing(**settings):
    generator = nn.Sequential(nn.Linear(2, 192), nn.Unflatten(1, (3, 8, 8)), nn.Tanh())
    critic = nn.Sequential(nn.Flatten(), nn.Linear(192, 1))
    return GANLearner(images(), generator, critic, gen_loss, crit_loss, **settings)


def test_a_picture_is_kept_after_each_epoch():
    learn = drawing()
    with learn.no_logging():
        learn.fit(3)
    assert [picture.size for picture in learn.gan_trainer.imgs] == [(18, 18)] * 3
    assert learn.gan_trainer.titles == ["Epoch 0", "Epoch 1", "Epoch 2"]
    silent = drawing(show_img=False)
    with silent.no_logging():
        silent.fit(1)
    assert silent.gan_trainer.imgs == []
    vectors = learner()
    vectors.fit(1)
    assert vectors.gan_trainer.imgs == []


@pytest.mark.parametrize("running", [True, False])
def test_a_notebook_shows_the_pictures(monkeypatch, running):
    shown = []
    shell, display = ModuleType("IPython"), ModuleType("IPython.display")
    shell.get_ipython = lambda: "a shell" if running else None
    display.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    learn = drawing()
    with learn.no_logging():
        learn.fit(2)
    assert shown == (learn.gan_trainer.imgs if running else [])


def test_events_come_in_their_order():
    class Log(Callback):
        def __init__(self):
            self.seen = []

        def note(self, event):
            self.seen.append(event)

    for event in ("before_fit", "before_epoch", "before_batch", "after_batch", "after_epoch", "after_fit"):
        setattr(Log, event, lambda self, event=event: self.note(event))
    log = Log()
    learn = learner(data(2))
    learn.fit(2, cbs=log)
    epoch = ["before_epoch", *["before_batch", "after_batch"] * 2, "after_epoch"]
    assert log.seen == ["before_fit", *epoch, *epoch, "after_fit"]
    assert log not in learn.cbs
    assert not hasattr(learn, "log")


def test_the_trainer_is_told_first_and_the_switcher_last_whoever_was_added_when():
    class Early(Callback):
        seen = None

        def after_batch(self):
            trainer = self.gan_trainer
            self.seen = (len(trainer.crit_losses), len(self.recorder.losses), trainer.gen_mode)

    class Late(Early):
        order = 70

    early, late = Early(), Late()
    learner(data(1), cbs=[late, early]).fit(1)
    assert early.seen == (1, 0, False)
    assert late.seen == (1, 1, True)


def test_callbacks_read_the_learner():
    class Look(Callback):
        def __init__(self):
            self.seen = []

        def after_batch(self):
            shapes = tuple(self.pred.shape), tuple(self.xb[0].shape), tuple(self.yb[0].shape)
            self.seen.append((self.epoch, self.n_epoch, self.iter, self.training, float(self.loss), *shapes))

    look = Look()
    losses = {"crit_loss_func": Losses(2.0, 4.0), "gen_loss_func": Losses(1.0, 3.0)}
    learn = learner(data(2), cbs=look, **losses)
    learn.fit(2)
    critic, generator = ((4, 1), (4, 3), (4, 2)), ((4, 3), (4, 2), (4, 3))
    assert look.seen == [
        (0, 2, 0, True, 2.0, *critic),
        (0, 2, 1, True, 1.0, *generator),
        (1, 2, 0, True, 4.0, *critic),
        (1, 2, 1, True, 3.0, *generator),
    ]
    assert not learn.training


def test_a_callback_may_end_the_fit():
    class Stop(Callback):
        ended = False

        def after_batch(self):
            if self.epoch == 1:
                raise CancelFitException

        def after_fit(self):
            self.ended = True

    stop, turns = Stop(), Turns()
    learner(cbs=[stop, turns]).fit(9)
    assert turns.told == "cgcgcg"  # the seventh batch was played, and cut short
    assert stop.ended


@pytest.mark.parametrize("event", ["after_pred", "before_backward", "after_loss", "before_validate"])
def test_a_callback_that_would_never_be_called_is_refused(event):
    waiting = type("Waiting", (Callback,), {event: lambda self: None})
    with pytest.raises(CardiganError, match=rf"Waiting has {event}, which is never called.*before_fit, before_epoch"):
        learner(cbs=waiting())


def test_what_is_no_callback_is_refused():
    with pytest.raises(CardiganError, match=r"str is no callback.*subclass of cardigan.fastai.Callback"):
        learner(cbs="progress")

    class Fit(Callback):
        pass

    with pytest.raises(CardiganError, match=r"would hide learn.fit"):
        learner(cbs=Fit)


def test_names_are_fastais():
    names = {GANTrainer(): "gan_trainer", FixedGANSwitcher(): "fixed_gan_switcher", Recorder(): "recorder"}
    names |= {AdaptiveGANSwitcher(): "adaptive_gan_switcher", GANDiscriminativeLR(): "gan_discriminative_lr"}
    names[type("SaveModelCallback", (Callback,), {})()] = "save_model"
    assert {cb.name for cb in names} == set(names.values())
    for cb, name in names.items():
        assert cb.name == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = GANTrainer().nothing
    with pytest.raises(CardiganError, match=r"mult_lr is 0.*above 0"):
        GANDiscriminativeLR(0)
    assert Adam is not None
