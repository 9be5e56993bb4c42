"""The learner beneath: supervised training by the same loop, its table, its files, its pictures, its data."""

import numpy as np
import pytest
import torch
from torch import nn

from cardigan import CardiganError, fit
from cardigan.fastai import AdaptiveLoss, Callback, GANLearner, Learner, Recorder, accuracy_thresh_expand, partial
from cardigan.fastai import learner as module
from cardigan.pixels import to_uint8


def pairs(count=4, size=4, seed=5):
    rng = torch.Generator().manual_seed(seed)
    return [(torch.randn(size, 2, generator=rng), torch.rand(size, 3, generator=rng)) for _ in range(count)]


def network(*more):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 3), *more)


def supervised(dls=None, **settings):
    learn = Learner(dls or (pairs(), pairs(1, seed=6)), network(), nn.MSELoss(), **settings)
    learn.logger = lambda line: None
    return learn


def test_it_is_supervised_learning():
    learn, plain = supervised(lr=1e-2, wd_bn_bias=True), network()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.01)
    learn.fit(3)
    for _ in range(3):
        for noise, target in pairs():
            optimizer.zero_grad()
            nn.MSELoss()(plain(noise), target).backward()
            optimizer.step()
    assert torch.allclose(learn.model[0].weight, plain[0].weight, atol=1e-6)


def test_every_weight_is_moved_by_the_one_loop(monkeypatch):
    turns = []

    def watched(*arguments, **settings):
        for record in fit(*arguments, **settings):
            turns.append(record.progress.last)
            yield record

    monkeypatch.setattr(module, "fit", watched)
    supervised().fit(1)
    assert turns == [("generator",)] * 4
    turns.clear()
    learn = GANLearner.wgan(pairs(7), network(), nn.Linear(3, 1))
    with learn.no_logging():
        learn.fit(1)
    assert turns == [("discriminator",)] * 5 + [("generator",), ("discriminator",)]


def printed(learn, epochs=1):
    lines = []
    learn.logger = lines.append
    learn.fit(epochs)
    return [line.split() for line in lines]


GAN = ["gen_loss", "crit_loss"]


@pytest.mark.parametrize(
    ("train", "valid", "data", "expected"),
    [
        (True, False, False, ["train_loss", "mse", *GAN]),
        (True, False, True, ["train_loss", "mse", *GAN]),
        (False, False, True, ["train_loss"]),
        (False, True, False, ["train_loss"]),
        (True, True, False, ["train_loss", "mse", *GAN]),
        (False, True, True, ["train_loss", "valid_loss", "mse", *GAN]),
        (
            *(True, True, True),
            [
                *("train_loss", "train_mse", "train_gen_loss", "train_crit_loss"),
                *("valid_loss", "valid_mse", "valid_gen_loss", "valid_crit_loss"),
            ],
        ),
    ],
)
def test_the_flags_choose_the_columns(train, valid, data, expected):
    def mse(output, target):
        return (output - target).square().mean()

    dls = (pairs(), pairs(1)) if data else (pairs(), [])
    learn = GANLearner.wgan(dls, network(), nn.Linear(3, 1), metrics=mse, switcher=None)
    learn.recorder.train_metrics, learn.recorder.valid_metrics = train, valid
    table = printed(learn, 3)
    assert table[0] == ["epoch", *expected, "time"] == learn.recorder.metric_names
    assert [row[0] for row in table[1:]] == ["0", "1", "2"]
    assert [len(row) for row in table] == [len(expected) + 2] * 4
    assert [[float(cell) for cell in row[1:-1]] for row in table[1:]] == [
        pytest.approx(values, abs=1e-6, nan_ok=True) for values in learn.recorder.values
    ]


def test_the_numbers_of_the_table_are_what_they_are_called():
    learn = GANLearner.wgan((pairs(12), pairs(2, seed=8)), network(), nn.Linear(3, 1))
    learn.recorder.train_metrics = True
    table = printed(learn)
    row = dict(zip(table[0], table[1], strict=True))
    trainer = learn.gan_trainer
    assert float(row["train_gen_loss"]) == pytest.approx(float(trainer.gen_losses[-1]), abs=1e-6)
    assert float(row["train_crit_loss"]) == pytest.approx(float(trainer.crit_losses[-1]), abs=1e-6)
    assert float(row["train_loss"]) == pytest.approx(float(learn.recorder.losses[-1]), abs=1e-6)
    assert len(learn.recorder.losses) == 12
    with torch.no_grad():
        fake = [learn.critic(learn.generator(noise)).mean() for noise, _ in pairs(2, seed=8)]
        real = [learn.critic(target).mean() for _, target in pairs(2, seed=8)]
    assert float(row["valid_gen_loss"]) == pytest.approx(-float(sum(fake)) / 2, abs=1e-6)
    assert float(row["valid_crit_loss"]) == pytest.approx(float(sum(fake) - sum(real)) / 2, abs=1e-6)
    assert row["valid_loss"] == row["valid_gen_loss"]
    assert len(row["time"]) == 5


def test_metrics_of_training_batches_are_those_of_generated_images():
    seen = []

    def mean(output, target):
        seen.append(output)
        return output.mean()

    learn = GANLearner.wgan(pairs(12), network(), nn.Linear(3, 1), metrics=[mean])
    learn.recorder.train_metrics = True
    printed(learn)
    assert [tuple(output.shape) for output in seen] == [(4, 3)] * 2  # two turns of the generator in twelve
    assert learn.recorder.values[0][1] == pytest.approx(float(sum(output.mean() for output in seen)) / 2)


def test_batches_of_other_sizes_weigh_as_many_images_as_they_have():
    uneven = [(torch.zeros(4, 2), torch.zeros(4, 3)), (torch.zeros(1, 2), torch.ones(1, 3))]
    learn = Learner((pairs(), uneven), nn.Linear(2, 3, bias=False), nn.MSELoss(), metrics=partial(accuracy, low=0))
    assert learn.validate() == pytest.approx([0.2, 0.2])
    assert learn.validate(ds_idx=0)[0] > 0.2
    assert learn.validate(dl=uneven[:1]) == [0.0, 0.0]


def accuracy(output, target, low):
    return target.mean()


def test_without_default_callbacks_nothing_is_printed_or_validated(capsys):
    learn = Learner((pairs(), pairs()), network(), nn.MSELoss(), default_cbs=False)
    learn.fit(1)
    assert capsys.readouterr().out == ""
    assert not hasattr(learn, "recorder")
    Learner(pairs(), network(), nn.MSELoss()).fit(1)
    assert capsys.readouterr().out.split()[:3] == ["epoch", "train_loss", "time"]


def test_a_recorder_of_ones_own():
    learn = supervised(default_cbs=False, cbs=Recorder(add_time=False, train_metrics=True, beta=0.0))
    assert printed(learn)[0] == ["epoch", "train_loss", "valid_loss"]


def convolutional(norm=True):
    torch.manual_seed(2)
    layers = [nn.BatchNorm2d(4)] if norm else []
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *layers, nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), nn.Tanh())


def pictures(count=2, size=4):
    torch.manual_seed(3)
    return [(torch.rand(size, 3, 8, 8) * 2 - 1, torch.rand(size, 3, 8, 8) * 2 - 1) for _ in range(count)]


def test_results_are_shown_as_they_are():
    noise = [(torch.randn(4, 3, 1, 1), torch.rand(4, 3, 8, 8) * 2 - 1)]
    generator = nn.Sequential(nn.ConvTranspose2d(3, 3, 8), nn.BatchNorm2d(3), nn.Tanh())
    learn = GANLearner.wgan((noise, []), generator, nn.Sequential(nn.Flatten(), nn.Linear(192, 1)))
    with learn.no_logging():
        learn.fit(2)
    modes = [module.training for module in learn.model.modules()]
    learn.generator.train()
    shown = np.asarray(learn.show_results(ds_idx=0, max_n=2))
    assert learn.generator[1].training
    learn.generator.eval()
    assert modes == [module.training for module in learn.model.modules()]
    with torch.no_grad():
        expected = to_uint8(generator(noise[0][0])).numpy()
    assert shown.shape == (8, 18, 3)
    assert (shown[:, :8] == expected[0]).all()
    assert (shown[:, 10:] == expected[1]).all()
    assert learn.show_results(ds_idx=0, max_n=4, ncols=1).size == (8, 38)
    assert learn.show_results(dl=noise, max_n=9).size == (18, 18)


def test_poor_images_are_shown_beside_what_became_of_them():
    learn = Learner((pictures(), pictures()), convolutional(), nn.L1Loss())
    shown = np.asarray(learn.show_results(max_n=2))
    assert shown.shape == (18, 28, 3)
    source, target = pictures()[0]
    with torch.no_grad():
        row = [to_uint8(images)[0].numpy() for images in (source, learn.model.eval()(source), target)]
    for place, expected in enumerate(row):
        assert (shown[:8, 10 * place : 10 * place + 8] == expected).all()
    assert learn.show_results(max_n=4, ncols=2).size == (58, 18)


def test_results_that_cannot_be_shown_are_told():
    with pytest.raises(CardiganError, match=r"no validation data.*Type ds_idx=0"):
        Learner(pictures(), convolutional(), nn.L1Loss()).show_results()
    with pytest.raises(CardiganError, match=r"ds_idx is 2; expected 0"):
        supervised().show_results(ds_idx=2)
    with pytest.raises(CardiganError, match=r"shape \[4, 3\]; expected images"):
        supervised().show_results()
    with pytest.raises(CardiganError, match=r"gave no batch"):
        supervised().show_results(dl=iter([]))


def test_files_are_read_back(tmp_path):
    def made():
        torch.manual_seed(7)
        learn = GANLearner.wgan(pairs(7), network(nn.BatchNorm1d(3)), nn.Linear(3, 1), path=tmp_path, lr=1e-2)
        learn.logger = lambda line: None
        return learn

    learn = made()
    learn.fit(1)
    path = learn.save("stage")
    assert path == tmp_path / "models" / "stage.safetensors"
    assert [file.name for file in path.parent.iterdir()] == ["stage.safetensors"]
    saved = {name: value.clone() for name, value in learn.model.state_dict().items()}
    learn.fit(1)
    went_on = {name: value.clone() for name, value in learn.model.state_dict().items()}
    other = made().load("stage")
    assert all(torch.equal(saved[name], value) for name, value in other.model.state_dict().items())
    other.fit(1)  # momentum and all
    assert all(torch.equal(went_on[name], value) for name, value in other.model.state_dict().items())
    again = made().load("stage", with_opt=False)
    assert not again.optimizers["generator"].state
    again.fit(1)
    assert not all(torch.equal(went_on[name], value) for name, value in again.model.state_dict().items())
    bare = learn.save("bare", with_opt=False)
    assert bare.stat().st_size < path.stat().st_size
    assert made().load(bare).model is not None


def test_files_that_do_not_fit_are_told(tmp_path):
    learn = supervised(path=tmp_path)
    learn.fit(1)
    learn.save("first")
    with pytest.raises(CardiganError, match=r"There is no .*second.safetensors; expected one of first"):
        learn.load("second")
    (tmp_path / "models" / "pickle.safetensors").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(CardiganError, match=r"is not a file of learn.save.*pickles"):
        learn.load("pickle")
    wider = Learner(pairs(), nn.Sequential(nn.Linear(2, 5)), nn.MSELoss(), path=tmp_path)
    with pytest.raises(CardiganError, match=r"first.safetensors does not fit.*another architecture") as told:
        wider.load("first")
    assert "--out" not in str(told.value)
    with pytest.raises(CardiganError, match=r"saved from other networks"):
        wider.load("first", with_opt=False)
    other = supervised(path=tmp_path, opt_func=partial(torch.optim.SGD, lr=0.1))
    with pytest.raises(CardiganError, match=r"other optimizers.*with_opt=False"):
        other.load("first")
    fewer = supervised(path=tmp_path, splitter=lambda model: [model[0].bias])
    with pytest.raises(CardiganError, match=r"more than the 1 parameters of now.*with_opt=False"):
        fewer.load("first")
    (tmp_path / "file").touch()
    with pytest.raises(CardiganError, match=r"could not be written"):
        supervised(path=tmp_path / "file").save("x")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"moms": (0.9, 0.8, 0.9)}, r"moms is \(0.9.*only a schedule.*Leave moms out"),
        ({"train_bn": False}, r"train_bn is False.*frozen"),
        ({"loss_func": None}, r"loss_func is None; expected a function"),
        ({"dls": 3}, r"dls is a int"),
        ({"dls": ([], [], [])}, r"tuple of 3; expected two loaders"),
        ({"metrics": "accuracy"}, r"metric is 'accuracy'; expected a function"),
    ],
)
def test_what_would_do_nothing_is_refused(settings, words):
    given = {"dls": pairs(), "model": network(), "loss_func": nn.MSELoss()} | settings
    with pytest.raises(CardiganError, match=words):
        Learner(**given)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.zeros(2, 3), r"\(Tensor\); expected two tensors"),
        ((torch.zeros(2, 3), "cat"), r"\(Tensor, str\); expected two tensors"),
        ((torch.zeros(2, 2), torch.zeros(3, 3)), r"2 inputs for 3 targets"),
        (
            (torch.zeros(2, 2), torch.zeros(2, 3, dtype=torch.uint8)),
            r"uint8; expected floating point.*cardigan.to_float",
        ),
    ],
)
def test_batches_that_cannot_be_are_told(batch, words):
    with pytest.raises(CardiganError, match=words):
        GANLearner.wgan([batch], network(), nn.Linear(3, 1)).fit(1)


def test_data_without_batches_is_told():
    with pytest.raises(CardiganError, match=r"no batch in epoch 0.*drop_last"):
        supervised(([], [])).fit(1)
    once = supervised(iter(pairs()))
    with pytest.raises(CardiganError, match=r"no batch in epoch 1.*only once"):
        once.fit(2)


class Loaders:
    """Anything with ``train`` and ``valid``."""

    path = "somewhere"

    def __init__(self, train, valid):
        self.train, self.valid = train, valid


def test_data_comes_in_many_shapes():
    items = torch.utils.data.TensorDataset(torch.randn(8, 2), torch.rand(8, 3))
    loader = torch.utils.data.DataLoader(items, 4)
    counts = []

    class Count(Callback):
        def after_fit(self):
            counts.append((len(self.recorder.losses), self.validates))

    for dls in (loader, (loader, loader), (loader, None), (loader, []), Loaders(loader, loader), pairs(2)):
        supervised(dls, cbs=Count).fit(1)
    assert counts == [(2, False), (2, True), (2, False), (2, False), (2, True), (2, False)]
    assert supervised(Loaders(loader, None)).path.name == "somewhere"
    assert supervised(Loaders(loader, None), path="here").path.name == "here"


def test_a_classifier_is_measured_by_accuracy():
    images = torch.cat([torch.ones(8, 3), -torch.ones(8, 3)])
    labels = torch.tensor([1] * 8 + [0] * 8)
    learn = Learner(([(images, labels)], [(images, labels)]), nn.Linear(3, 1), spread, metrics=accuracy_thresh_expand)
    learn.logger = lambda line: None
    learn.fit(40, 0.1)
    assert learn.validate()[1] == 1.0


def spread(output, target):
    return nn.functional.binary_cross_entropy_with_logits(output[:, 0], target.float())


def noisy(path=None):
    torch.manual_seed(1)
    learn = Learner(pairs(), nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)), nn.L1Loss(), path=path)
    learn.logger = lambda line: None
    return learn


def trained(learn, seed=None):
    if seed is not None:
        torch.manual_seed(seed)
    learn.fit(1)
    return learn.model[0].weight.detach().clone()


def test_the_seed_before_each_fit_decides_about_dropout():
    def second(seed):
        learn = noisy()
        trained(learn, 7)
        return trained(learn, seed)

    assert torch.equal(second(1), second(1))
    assert not torch.equal(second(1), second(2))

    def touched(seed):
        learn = noisy()
        _ = learn.optimizers, learn.validate(ds_idx=0)
        return trained(learn, seed)

    assert torch.equal(touched(1), touched(1))
    assert torch.equal(touched(1), trained(noisy(), 1))
    assert not torch.equal(touched(1), touched(2))


@pytest.mark.parametrize("seed", [None, 9])
def test_loading_and_going_on_is_as_not_having_stopped(tmp_path, seed):
    learn = noisy(tmp_path)
    trained(learn)
    learn.save("half")
    went_on = trained(learn, seed)
    torch.rand(5)  # the caller's own random numbers may be elsewhere by then
    other = noisy(tmp_path)
    torch.rand(3)
    assert torch.equal(trained(other.load("half"), seed), went_on)


def test_the_first_fit_draws_one_random_number_and_the_others_none():
    learn = noisy()
    torch.manual_seed(4)
    learn.fit(1)
    plain = torch.Generator().manual_seed(4)
    torch.randint(2**62, (), generator=plain)
    assert torch.equal(torch.get_rng_state(), plain.get_state())
    learn.fit(1)
    assert torch.equal(torch.get_rng_state(), plain.get_state())


def test_two_metrics_of_one_function_are_two_columns():
    def share(output, target, above):
        return (output > above).float().mean()

    metrics = [partial(share, above=-9), partial(share, above=9), lambda o, t: 1.0, lambda o, t: 2.0, loss]
    learn = supervised(metrics=metrics)
    assert learn.metric_names == ["share", "share_2", "lambda", "lambda_2", "loss"]
    assert learn.validate()[1:] == [1.0, 0.0, 1.0, 2.0, 3.0]


def loss(output, target):
    return 3.0


class Hostile(nn.Module):
    """Keeps what it made, with its graph, so it cannot be copied."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        self.kept = self.layer(x)
        return self.kept


def test_networks_that_cannot_be_copied_are_trained(tmp_path):
    old = nn.Sequential(nn.utils.spectral_norm(nn.Linear(2, 3)))
    for model in (Hostile(), old):
        pretrained = Learner(pairs(), model, nn.L1Loss(), path=tmp_path)
        critic = Learner([(torch.rand(4, 3), torch.ones(4))] * 2, nn.Linear(3, 1), AdaptiveLoss(nn.MSELoss()))
        for learn in (pretrained, critic):
            with learn.no_logging():
                learn.fit(1)
        learn = GANLearner.from_learners(pretrained, critic, path=tmp_path)
        with learn.no_bar(), learn.no_logging():
            learn.fit(1)
            learn.save("gan")
            learn.load("gan").fit(1)


def test_weights_whose_names_fit_are_read_if_asked(tmp_path):
    learn = supervised(path=tmp_path)
    learn.fit(1)
    learn.save("first")
    torch.manual_seed(3)
    deeper = Learner(pairs(), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3)), nn.MSELoss(), path=tmp_path)
    deeper.load("first", strict=False)
    assert torch.equal(deeper.model[0].weight, learn.model[0].weight)
    assert not deeper.optimizers["generator"].state
    other = Learner(pairs(), nn.ModuleDict({"x": nn.Linear(2, 3)}), nn.MSELoss(), path=tmp_path)
    with pytest.raises(CardiganError, match=r"Nothing in .*first.safetensors has a name"):
        other.load("first", strict=False)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("opt", "learn.optimizers"),
        ("fit_one_cycle", r"learn.fit\(epochs, rate\)"),
        ("lr_find", r"learn.fit\(1, 2e-4\)"),
        ("get_preds", "no_grad"),
        ("freeze", "set_freeze_model"),
        ("predict", "no_grad"),
        ("export", "with_opt=False"),
    ],
)
def test_what_is_absent_says_what_to_type(name, advice):
    learn = supervised()
    with pytest.raises(AttributeError, match=rf"Learner has no attribute {name} here: .*{advice}"):
        getattr(learn, name)
    assert not hasattr(learn, "unheard_of")
    with pytest.raises(AttributeError, match=r"plot_loss here: learn.recorder.losses"):
        learn.recorder.plot_loss()


def test_small_images_are_shown_enlarged_beside_their_large_ones():
    big = torch.rand(3, 3, 8, 8) * 2 - 1
    small = nn.functional.avg_pool2d(big, 2)
    model = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 1))
    shown = np.asarray(Learner([(small, big)], model, nn.L1Loss()).show_results(ds_idx=0, max_n=2))
    assert shown.shape == (18, 28, 3)
    expected = to_uint8(small)[0].numpy().repeat(2, axis=0).repeat(2, axis=1)
    assert (shown[:8, :8] == expected).all()
    assert (shown[:8, 20:28] == to_uint8(big)[0].numpy()).all()


@pytest.mark.parametrize(
    ("loss_func", "words"),
    [
        (lambda output, target: 1.0, r"loss_func gave a float; expected a tensor.*Leave out float\(\)"),
        (lambda output, target: output.detach().mean(), r"loss_func does not depend on any weight.*\.detach\(\)"),
    ],
)
def test_a_loss_that_teaches_nothing_is_told(loss_func, words):
    with pytest.raises(CardiganError, match=words):
        Learner(pairs(), network(), loss_func).fit(1)


@pytest.mark.parametrize("epochs", [1.5, -1, "1"])
def test_a_number_of_passes_that_cannot_be_is_told(epochs):
    with pytest.raises(CardiganError, match=r"n_epoch is .*expected a whole number.*Type fit\(1"):
        supervised().fit(epochs)
    supervised().fit(np.int64(1))


def test_a_list_of_two_loaders_is_a_pair_and_of_two_batches_is_not():
    items = torch.utils.data.TensorDataset(torch.randn(8, 2), torch.rand(8, 3))
    loader = torch.utils.data.DataLoader(items, 4)
    assert supervised([loader, loader]).validates
    assert supervised([pairs(), pairs(1)]).validates
    assert not supervised(pairs(2)).validates
    assert not supervised([list(batch) for batch in pairs(2)]).validates


def test_lbfgs_is_refused_and_nothing_to_train_told():
    with pytest.raises(CardiganError, match=r"opt_func is LBFGS.*Pass Adam"):
        supervised(opt_func=partial(torch.optim.LBFGS, max_iter=2)).fit(1)
    with pytest.raises(CardiganError, match=r"The generator has no parameter.*learn.model, True"):
        supervised(splitter=lambda model: []).fit(1)


def test_data_without_a_path_has_the_current_folder():
    assert supervised(Loaders(pairs(), None), path=None).path.name == "somewhere"
    dls = Loaders(pairs(), None)
    dls.path = None
    assert str(supervised(dls).path) == "."
