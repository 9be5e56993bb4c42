"""A share of a batch: what is drawn for each image is what one process would draw. No second process is needed here."""

import pytest
import torch
from torch import nn

from cardigan import objectives
from cardigan.augment.policies import POLICIES
from cardigan.contracts import Batch
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.data.degrade import Pairs, parse
from cardigan.layers import Dropout
from cardigan.models._fastgan import Noise
from cardigan.place import LostProcessError
from cardigan.share import (
    Share,
    current,
    drawn,
    gathered,
    in_groups,
    mean,
    own,
    own_batch,
    sharing,
    spread,
    telling_of_loss,
)
from cardigan.training.whole_batch import over_all

COUNT = 3


def in_parts(work):
    """What each of three shares makes, one after the other, each from the same random state; joined."""
    parts = []
    for number in range(COUNT):
        torch.manual_seed(4)
        with sharing(Share(number, COUNT)):
            parts.append(work(number))
    return torch.cat(parts)


def whole(work):
    torch.manual_seed(4)
    return work()


def rows(images, number):
    return images[len(images) // COUNT * number : len(images) // COUNT * (number + 1)]


@pytest.fixture
def images():
    return torch.rand(6, 3, 8, 8) * 2 - 1


def test_without_a_share_nothing_changes(images):
    assert current() == Share(0, 1)
    assert gathered(images) is images
    assert mean(images) is images
    assert torch.equal(own(images), images)
    batch = Batch(images)
    assert own_batch(batch, 6) is batch


def test_a_share_holds_inside_its_block_only_also_after_an_error():
    with pytest.raises(ZeroDivisionError), sharing(Share(1, 2)):
        _ = 1 / (current() != Share(1, 2))
    assert current() == Share()


def test_rows_go_to_their_places_and_come_back():
    mine = torch.tensor([[1], [2]])
    with sharing(Share(1, 3)):
        assert spread(mine).flatten().tolist() == [0, 0, 1, 2, 0, 0]
        assert torch.equal(own(spread(mine)), mine)


def test_a_batch_of_all_is_cut_and_a_share_of_it_is_left(images):
    batch = Batch(images, labels=torch.arange(6), indices=torch.arange(10, 16))
    with sharing(Share(2, 3)):
        mine = own_batch(batch, 6)
        assert torch.equal(mine.real, images[4:])
        assert (mine.labels.tolist(), mine.indices.tolist(), mine.source) == ([4, 5], [14, 15], None)
        assert own_batch(mine, 6) is mine


def test_after_a_draw_all_are_at_the_same_place_in_the_stream():
    after = []
    for number in range(COUNT):
        torch.manual_seed(4)
        with sharing(Share(number, COUNT)):
            drawn(torch.rand, 2)
        after.append(float(torch.rand(())))
    torch.manual_seed(4)
    torch.rand(6)
    assert after == [float(torch.rand(()))] * 3


def test_groups_in_one_batch_are_shared_each_by_itself(images):
    """Real and fake images in one pass: those of a share lie in two places among those of all."""
    layer = Dropout(0.5)

    def of_both(number):
        with in_groups(2):
            return layer(torch.cat([rows(images, number), rows(-images, number)]))

    real, fake = whole(lambda: layer(torch.cat([images, -images]))).chunk(2)
    parts = in_parts(of_both).chunk(COUNT)
    for number, part in enumerate(parts):
        assert torch.equal(part, torch.cat([rows(real, number), rows(fake, number)]))


@pytest.mark.parametrize("name", POLICIES)
def test_each_image_is_augmented_as_in_one_process(images, name):
    expected = whole(lambda: POLICIES[name](images))
    torch.testing.assert_close(in_parts(lambda number: POLICIES[name](rows(images, number))), expected)


def test_each_image_has_its_own_noise_and_its_own_margin(images):
    noise, loss = Noise((8, 8)), objectives.hinge(margin=(0.0, 2.0)).discriminator
    nn.init.ones_(noise.strength)
    expected = whole(lambda: noise(images))
    assert torch.equal(in_parts(lambda number: noise(rows(images, number))), expected)
    logits = images.flatten(1)
    expected = whole(lambda: loss(real=logits, fake=-logits))
    assert torch.equal(in_parts(lambda number: loss(real=rows(logits, number), fake=-rows(logits, number))), expected)


@pytest.mark.parametrize("layer", [nn.Dropout(0.4), nn.Dropout2d(0.4)])
def test_each_image_loses_what_it_would_lose_in_one_process(images, layer):
    expected = whole(lambda: layer(images))
    assert 0 < float((expected == 0).float().mean()) < 1
    shared = nn.Sequential(layer)
    over_all(shared)
    torch.testing.assert_close(in_parts(lambda number: shared(rows(images, number))), expected)
    shared.eval()
    assert torch.equal(in_parts(lambda number: shared(rows(images, number))), images)


def test_each_process_reads_its_own_images_mirrored_as_in_one():
    pixels = torch.randint(0, 256, (12, 8, 8, 3), dtype=torch.uint8).numpy()
    drawn_from = batches(Store.from_arrays(pixels, labels=[*range(12)]), batch_size=6, seed=1, flip=True)
    for resident in (True, False):
        if not resident:  # too large for memory: read from the store, and only what is needed
            drawn_from._resident = None
        expected = drawn_from.at(6)
        for name in ("real", "labels", "indices"):
            found = in_parts(lambda number, name=name: getattr(drawn_from.at(6), name))
            assert torch.equal(found, getattr(expected, name)), name


def test_each_image_is_damaged_as_in_one_process():
    pixels = torch.randint(0, 256, (12, 8, 8, 3), dtype=torch.uint8).numpy()
    pairs = Pairs(batches(Store.from_arrays(pixels), batch_size=6), parse("downscale2+jpeg20-90+noise5-30"), seed=3)
    assert torch.equal(in_parts(lambda number: pairs.at(6).source), pairs.at(6).source)


def test_what_the_network_raises_is_a_loss_and_a_lack_of_memory_is_not():
    with pytest.raises(LostProcessError, match="Connection closed by peer"), telling_of_loss():
        raise RuntimeError("[gloo/pair.cc:534] Connection closed by peer [10.0.0.1]. This may be it.")
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"), telling_of_loss():
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_memory_is_shared_with_the_other_processes_of_the_machine(monkeypatch):
    store = Store.from_arrays(torch.zeros(12, 8, 8, 3, dtype=torch.uint8).numpy())
    monkeypatch.setattr("cardigan.data.batches.free_memory", lambda device: 15 * 12 * 8 * 8 * 3)
    assert batches(store, batch_size=4)._resident is not None
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert batches(store, batch_size=4)._resident is None
