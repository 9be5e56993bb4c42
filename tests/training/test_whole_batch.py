"""Layers of the whole batch in few digits; in all of them see test_two_processes.py."""

import pytest
import torch
from torch import nn

from cardigan.share import Share, sharing
from cardigan.training import whole_batch


@pytest.mark.parametrize("affine", [True, False])
def test_rounded_maps_are_normalised_as_torch_does_it(monkeypatch, affine):
    """Two processes that hold the same: statistics in float32, what comes out in the digits of what went in."""
    monkeypatch.setattr(whole_batch, "gathered", lambda tensor: torch.cat([tensor, tensor]))
    maps = (torch.randn(4, 3, 5, 5) + 10).bfloat16()
    mine, plain = whole_batch.WholeBatchNorm2d(3, affine=affine), nn.BatchNorm2d(3, affine=affine)
    with sharing(Share(0, 2)):
        found = mine(maps)
    expected = plain(torch.cat([maps, maps]))[:4]
    assert found.dtype is expected.dtype is torch.bfloat16
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.01)
    for one, other in ((mine.running_mean, plain.running_mean), (mine.running_var, plain.running_var)):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
