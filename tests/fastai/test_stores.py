"""Our own stores and batches as a learner's data."""

import numpy as np
import pytest
import torch
from torch import nn

from cardigan import CardiganError
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.data.degrade import Pairs, parse
from cardigan.fastai import Callback, DataLoaders, GANLearner, basic_critic, basic_generator
from cardigan.models import basic


def store(count=10, labels=None):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 1), dtype=np.uint8)
    return Store.from_arrays(pixels, labels)


class Seen(Callback):
    def __init__(self):
        self.inputs, self.images, self.kinds = [], [], []

    def before_batch(self):
        images, given = (self.yb, self.xb) if self.gen_mode else (self.xb, self.yb)
        self.inputs.append(given[0])
        self.kinds.append(given[1:])
        self.images.append(images[0])


def learner(dls, generator=None, critic=None):
    seen = Seen()
    networks = generator or basic_generator(16, 1, n_features=8), critic or basic_critic(16, 1, n_features=8)
    learn = GANLearner.wgan(dls, *networks, cbs=seen)
    learn.logger = lambda line: None
    return learn, seen


def test_a_store_is_data_for_a_gan():
    learn, seen = learner(store())
    learn.fit(1)
    assert [tuple(noise.shape) for noise in seen.inputs] == [(10, 100)]
    assert seen.images[0].shape == (10, 1, 16, 16)
    assert learn.show_results(ds_idx=0, max_n=4).size == (34, 34)


def test_batches_of_a_store_are_passes_in_another_order_each_time():
    learn, seen = learner(batches(store(), batch_size=4))
    torch.manual_seed(0)
    learn.fit(2)
    assert [len(noise) for noise in seen.inputs] == [4] * 4
    first, second = torch.cat(seen.images[:2]), torch.cat(seen.images[2:])
    assert len(torch.unique(first.flatten(1), dim=0)) == 8
    assert not torch.equal(first, second)
    again, copy = learner(batches(store(), batch_size=4))
    torch.manual_seed(0)
    again.fit(2)
    assert torch.equal(torch.cat(copy.images), torch.cat(seen.images))
    assert torch.equal(torch.cat(copy.inputs), torch.cat(seen.inputs))


@pytest.mark.parametrize(
    ("generator", "size"),
    [
        (lambda: basic_generator(16, 1, in_sz=7, n_features=8), 7),
        (lambda: basic.Generator(size=16, channels=1, width=8, latent=9), 9),
        (lambda: nn.Sequential(nn.Linear(100, 256), nn.Unflatten(1, (1, 16, 16))), 100),
    ],
)
def test_noise_is_as_long_as_the_generator_says(generator, size):
    learn, seen = learner(store(), generator())
    learn.fit(1)
    assert seen.inputs[0].shape == (10, size)


def test_validation_data_may_be_a_store_too():
    for dls in ((store(), store(4)), [store(), store(4)], DataLoaders(store(), store(4))):
        learn, _ = learner(dls)
        learn.fit(1)
        assert learn.validates
        assert len(learn.validate()) == 3


def conditional():
    settings = {"size": 16, "channels": 1, "classes": 2, "width": 8}
    return basic.Generator(**settings), basic.Discriminator(**settings)


def test_labels_reach_networks_that_take_them():
    labels = np.arange(10) % 2
    learn, seen = learner(store(labels=labels), *conditional())
    learn.fit(1)
    assert sorted(seen.kinds[0][0].tolist()) == sorted(labels.tolist())
    learn, seen = learner(batches(store(labels=labels), batch_size=5), *conditional())
    learn.fit(1)
    assert len(seen.kinds[0][0]) == 5


def test_a_labelled_store_trains_networks_without_classes_but_labelled_batches_are_refused():
    labelled = store(labels=np.arange(10) % 2)
    learn, seen = learner(labelled)
    learn.fit(1)
    assert seen.kinds == [()]
    with pytest.raises(CardiganError, match=r"labels, which the generator does not take.*labels=False"):
        learner(batches(labelled, batch_size=4))
    with pytest.raises(CardiganError, match=r"labels, which the critic does not take"):
        learner(batches(labelled, batch_size=4), conditional()[0])
    learner(batches(labelled, batch_size=4, labels=False))[0].fit(1)


def test_batches_that_bring_a_source_keep_it():
    learn, seen = learner(Pairs(batches(store(), batch_size=5), parse("noise25")), nn.Conv2d(1, 1, 1))
    learn.fit(1)
    assert seen.inputs[0].shape == (5, 1, 16, 16)


def test_batches_of_nobody_knows_how_many_images_are_refused():
    class Endless:
        batch_size = 4

        def at(self, images):
            raise AssertionError("nobody should ask")

    with pytest.raises(CardiganError, match=r"Endless does not say how many images.*Type cardigan.data.batches"):
        learner(Endless())


@pytest.mark.parametrize("pair", [True, False])
def test_networks_go_where_the_batches_are(pair):
    class There:
        batch_size, count, device = 4, 8, torch.device("cuda")

        def at(self, images):
            return batches(store(), batch_size=4).at(images)

    assert learner((There(), None) if pair else There())[0].device == torch.device("cuda")
