import pytest
import torch

from cardigan.errors import CardiganError
from cardigan.models import fastgan_tutorial


@pytest.mark.parametrize("kind", [fastgan_tutorial.Generator, fastgan_tutorial.Discriminator])
@pytest.mark.parametrize(
    ("size", "told", "instead"), [(30, "30x30", 32), ((64, 50), "64x50", 48), (8, "8x8", 16), ((13, 16), "13x16", 16)]
)
def test_a_size_that_cannot_be_built_is_refused(kind, size, told, instead):
    with pytest.raises(CardiganError) as caught:
        kind(size=size)
    assert str(caught.value) == (
        f"Images of {told} pixels cannot be built by doubling twice: each side must be a multiple of 4, and at least "
        f"16. Try --size {instead}."
    )


@pytest.mark.parametrize(("size", "sides"), [(64, (4, 4)), ((16, 28), (1, 2)), ((36, 100), (3, 7))])
def test_the_head_reads_all_of_the_map_whatever_its_sides(size, sides):
    """Where a side is no multiple of 16, four strided convolutions round up."""
    height, width = (size, size) if isinstance(size, int) else size
    network = fastgan_tutorial.Discriminator(size=size, channels=2).eval()
    logits, (maps,) = network.examine(torch.randn(3, 2, height, width))
    assert maps.shape == (3, 128, *sides)
    torch.testing.assert_close(network.head(maps.flatten(1)), logits)


def test_at_64_pixels_nearly_all_of_the_generator_is_its_first_layer():
    generator = fastgan_tutorial.Generator(size=64)
    assert sum(weight.numel() for weight in generator.input.parameters()) == 3_309_568
    assert sum(weight.numel() for weight in generator.parameters()) == 3_533_315
