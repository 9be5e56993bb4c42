"""What float32 means when numbers are multiplied: set for a block, for a device, and put back as it was."""

import pytest
import torch

from cardigan import float32
from cardigan.float32 import multiplied, repeatable

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def settings():
    """All that a process says about float32, in whatever words its PyTorch has for it."""
    if not float32.PER_OPERATION:
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    places = [torch.backends, torch.backends.cudnn, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]
    places += [torch.backends.cuda.matmul, torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul]
    return [place.fp32_precision for place in places]


@pytest.fixture(autouse=True)
def as_they_were():
    before = settings()
    yield
    assert settings() == before


@pytest.fixture(params=["as it comes", "coarse products", "exact convolutions"])
def process(request):
    """A process whose owner has set something, or nothing."""
    products, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    if request.param == "coarse products":
        torch.set_float32_matmul_precision("medium")
    elif request.param == "exact convolutions":
        torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = cudnn
    if float32.PER_OPERATION:
        torch.backends.cuda.matmul.fp32_precision = torch.backends.mkldnn.matmul.fp32_precision = "none"


def coarse(device):
    """Whether convolutions, and whether products, round what they multiply there."""
    if not float32.PER_OPERATION:
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision() != "highest"
    owners = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    if device == CPU:
        owners = (torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul)
    return tuple(owner.fp32_precision not in ("ieee", "none") for owner in owners)


@pytest.mark.filterwarnings("ignore:Please use the new API")  # what the owner of the process may do in torch 2.9
def test_a_block_multiplies_as_it_was_told_whatever_the_process_does(process):
    before = settings()
    with multiplied(CUDA):
        assert coarse(CUDA) == (False, False)
    with multiplied(CUDA, convolutions="tf32"):
        assert coarse(CUDA) == (True, False)
        with multiplied(CUDA):
            assert coarse(CUDA) == (False, False)
        assert coarse(CUDA) == (True, False)
    assert settings() == before
    with multiplied(CPU):
        assert not coarse(CPU)[1]
    assert settings() == before


def test_a_processor_with_units_for_bfloat16_multiplies_exactly_in_the_block(process):
    torch.manual_seed(0)
    one, other = torch.randn(64, 512), torch.randn(512, 64)
    with multiplied(CPU):
        product = one @ other
    torch.testing.assert_close(product.double(), one.double() @ other.double(), rtol=1e-5, atol=1e-4)


def test_an_error_leaves_nothing_behind(process):
    before = settings()
    with pytest.raises(ZeroDivisionError), multiplied(CUDA, convolutions="tf32"):
        raise ZeroDivisionError
    assert settings() == before


def test_other_devices_settings_are_not_touched():
    before = settings()
    with multiplied("mps"), multiplied("meta"):
        assert settings() == before


@pytest.mark.skipif(not float32.PER_OPERATION, reason="only PyTorch 2.9 and later have general settings")
def test_what_followed_a_general_setting_follows_it_again():
    general, products = torch.backends, torch.backends.cuda.matmul
    try:
        general.fp32_precision = "tf32"
        assert products.fp32_precision == "tf32"
        with multiplied(CUDA):
            assert products.fp32_precision == "ieee"
        assert products.fp32_precision == "tf32"
        general.fp32_precision = "ieee"
        assert products.fp32_precision == "ieee"
    finally:
        general.fp32_precision = "none"
        torch.backends.cudnn.allow_tf32 = True  # setting the general one has cleared it


def test_the_older_flags_do_the_same(monkeypatch):
    """A stand-in for PyTorch before 2.9: its flags are still there, and nothing warns."""
    monkeypatch.setattr(float32, "PER_OPERATION", False)
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    with multiplied(CUDA):
        assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (False, "highest")
    with multiplied(CUDA, convolutions="tf32"):
        assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == (True, "highest")
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before


@pytest.mark.parametrize("given", [(False, False), (True, False), (True, True)])
def test_frozen_networks_look_the_same_way_each_time(given):
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    try:
        cudnn.benchmark, cudnn.deterministic = given
        with repeatable(CUDA):
            assert (cudnn.benchmark, cudnn.deterministic) == (False, True)
            assert coarse(CUDA) == (False, False)
        assert (cudnn.benchmark, cudnn.deterministic) == given
    finally:
        cudnn.benchmark, cudnn.deterministic = before
