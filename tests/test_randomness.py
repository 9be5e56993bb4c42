import hashlib

import numpy as np
import pytest
import torch

from cardigan.randomness import WORDS, derive, generator, normal_rows, seeded


def test_a_seed_is_the_hash_of_seed_stream_and_clock():
    # Pinned: published runs must draw the same numbers in every later version.
    digest = hashlib.blake2b(b"7/latents/64", digest_size=8).digest()
    assert derive(7, "latents", 64) == int.from_bytes(digest, "little") >> 1


@pytest.mark.parametrize("place", [(7, "latents", 64), (0, "order", 0), (-3, "layers", 10**12)])
def test_a_cpu_draws_the_mersenne_twister_whose_state_is_the_digest(place):
    """Against NumPy's, 32 bits at a time, over more than one round of the state. Pinned, as above."""
    seed, stream, clock = place
    digest = hashlib.shake_256(f"{seed}/{stream}/{clock}".encode()).digest(4 * WORDS)
    twister = np.random.MT19937()
    state = {"key": np.frombuffer(digest, dtype="<u4"), "pos": WORDS}
    twister.state = {"bit_generator": "MT19937", "state": state}
    expected = twister.random_raw(2000)
    found = torch.empty(2000, dtype=torch.int64).random_(0, 2**20, generator=generator(*place))
    assert (found.numpy() == expected % 2**20).all()
    with seeded(*place):
        assert torch.equal(torch.empty(2000, dtype=torch.int64).random_(0, 2**20), found)
    assert generator(*place).initial_seed() == derive(*place)


def test_streams_share_no_numbers_where_32_bits_of_their_seeds_are_alike():
    """PyTorch's generator reads no more of a seed than that, so these two were one stream (found by search)."""
    alike = [(1, "sample", 44_115), (1, "sample", 44_995)]
    low = {derive(*place) % 2**32 for place in alike}
    first, second = (torch.randn(64, generator=generator(*place)) for place in alike)
    assert len(low) == 1
    assert not (first == second).any()


def test_a_million_rows_of_one_seed_are_all_different():
    rows = normal_rows(1_000_000, 4, seed=1, stream="sample").numpy()
    assert rows.shape == (1_000_000, 4)
    assert len(np.unique(np.ascontiguousarray(rows).view("V16"))) == 1_000_000
    assert abs(rows.mean()) < 0.003
    assert abs(rows.std() - 1) < 0.003


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_a_row_is_a_function_of_its_place(count):
    rows = normal_rows(700, 3, seed=5, stream="sample")
    assert torch.equal(normal_rows(count, 3, seed=5, stream="sample"), rows[:count])
    assert not torch.equal(normal_rows(700, 3, seed=6, stream="sample"), rows)


def test_no_two_streams_or_moments_share_a_seed():
    places = [(seed, stream, clock) for seed in range(8) for stream in ("latents", "order", "1") for clock in range(40)]
    seeds = {derive(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(1, "2", 3) != derive(12, "", 3)


def test_a_generator_does_not_depend_on_what_was_drawn_before():
    first = torch.randn(4, generator=generator(0, "latents", 64))
    torch.rand(100)
    torch.manual_seed(5)
    assert torch.equal(torch.randn(4, generator=generator(0, "latents", 64)), first)
    for other in (generator(1, "latents", 64), generator(0, "order", 64), generator(0, "latents", 65)):
        assert not torch.equal(torch.randn(4, generator=other), first)


def test_drawing_from_a_stream_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    torch.rand(2, generator=generator(0, "latents"))
    assert torch.equal(torch.rand(2), expected)


def test_a_seeded_block_gives_the_callers_state_back():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(0, "layers", 64):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(2), expected)
    with seeded(0, "layers", 64):
        assert torch.equal(torch.rand(3), inside)
    with seeded(0, "layers", 65):
        assert not torch.equal(torch.rand(3), inside)


def test_a_seeded_block_gives_the_state_back_after_an_error_too():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with pytest.raises(KeyError), seeded(0, "layers"):
        {}[torch.rand(3)]
    assert torch.equal(torch.rand(2), expected)


def test_seeded_blocks_nest():
    with seeded(0, "outer"):
        expected = torch.rand(2), torch.rand(2)
    with seeded(0, "outer"):
        first = torch.rand(2)
        with seeded(0, "inner"):
            torch.rand(9)
        assert torch.equal(first, expected[0])
        assert torch.equal(torch.rand(2), expected[1])


@pytest.mark.gpu
def test_a_seeded_block_seeds_the_gpu_and_gives_its_state_back():
    torch.cuda.manual_seed(5)
    expected = torch.rand(2, device="cuda")
    torch.cuda.manual_seed(5)
    with seeded(0, "layers", device="cuda"):
        inside = torch.rand(3, device="cuda")
    assert torch.equal(torch.rand(2, device="cuda"), expected)
    with seeded(0, "layers", device="cuda"):
        assert torch.equal(torch.rand(3, device="cuda"), inside)


@pytest.fixture
def apple(monkeypatch):
    """A stand-in for an Apple GPU: it has a global generator, and knows no devices to choose from."""

    class Backend:
        drawn = torch.Generator().manual_seed(5)

        def get_rng_state(self, device):
            return self.drawn.get_state()

        def set_rng_state(self, state, device):
            self.drawn.set_state(state)

        def manual_seed(self, value):
            self.drawn.manual_seed(value)

    backend, real = Backend(), torch.get_device_module
    monkeypatch.setattr(torch, "get_device_module", lambda device: backend if str(device) == "mps" else real(device))
    return backend.drawn


def test_a_seeded_block_seeds_an_apple_gpu_and_gives_its_state_back(apple):
    before = apple.get_state()
    expected = torch.rand(2, generator=torch.Generator().manual_seed(derive(0, "layers", 64)))
    with seeded(0, "layers", 64, device="mps"):
        assert torch.equal(torch.rand(2, generator=apple), expected)
        beside = torch.rand(2)
    assert torch.equal(beside, torch.rand(2, generator=generator(0, "layers", 64))), "the processor's is seeded as well"
    assert torch.equal(apple.get_state(), before)
    with pytest.raises(KeyError), seeded(0, "layers", device="mps"):
        {}[torch.rand(3, generator=apple)]
    assert torch.equal(apple.get_state(), before), "after an error too"
