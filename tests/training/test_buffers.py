"""Buffers that are kept in the same memory, turn after turn, and put back to the last bit."""

import torch
from torch import nn

from cardigan.training.buffers import Buffers, copy_all


def network():
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3), nn.BatchNorm1d(3))


def held(module):
    return [buffer.clone() for buffer in module.buffers()]


def equal(ones, others):
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def test_the_same_memory_is_used_until_somebody_needs_what_is_in_it():
    module = network()
    buffers = Buffers(module)
    first = buffers.keep()
    module(torch.randn(4, 3))
    second = buffers.keep()
    assert [value.data_ptr() for value in first.values] == [value.data_ptr() for value in second.values]
    later = held(module)
    third = buffers.keep(needed=[second])
    assert not {value.data_ptr() for value in second.values} & {value.data_ptr() for value in third.values}
    module(torch.randn(4, 3))
    fourth = buffers.keep(needed=[second])
    assert [value.data_ptr() for value in third.values] == [value.data_ptr() for value in fourth.values]
    second.put_back()
    assert equal(held(module), later)


def test_buffers_that_come_go_or_change_their_shape_are_kept_as_they_are_now():
    module = network()
    buffers = Buffers(module)
    buffers.keep()
    module[0].register_buffer("late", torch.ones(2))
    module[1].running_mean = torch.full((5,), 7.0)
    kept = buffers.keep()
    module[0].late = torch.zeros(2)
    module[1].running_mean.zero_()
    kept.put_back()
    assert torch.equal(module[0].late, torch.ones(2))
    assert torch.equal(module[1].running_mean, torch.full((5,), 7.0))


def test_copies_convert_nothing_and_mix_types():
    targets = [torch.zeros(2), torch.zeros(2, dtype=torch.int64), torch.zeros(1), torch.zeros(2, dtype=torch.bool)]
    sources = [torch.randn(2), torch.tensor([3, 4]), torch.randn(1), torch.tensor([True, False])]
    copy_all(targets, sources)
    assert equal(targets, sources)
    copy_all([], [])
