"""Our networks against the real fastai, where an interpreter has it: numbers, shapes, first weights, outputs.

``CARDIGAN_FASTAI_PYTHON`` names that interpreter; by default it is the one that runs the tests.
"""

import inspect
import json
import os
import runpy
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from cardigan.fastai import networks
from cardigan.fastai.networks import NormType
from cardigan.models import basic

SCRIPT = Path(__file__).with_name("reference.py")
NORMS = (None, *(kind.name for kind in NormType))
HOOKS = ("Weight", "Spectral")
reference = runpy.run_path(str(SCRIPT))


def case(ask, name, *positional, shape=(), **keywords):
    return {"ask": ask, "name": name, "positional": positional, "keywords": keywords, "shape": shape}


def grid(ask, **narrow):
    """Both basic networks over sizes, channels, extra layers and norm types."""
    for size, channels, extra, norm in product((32, 64, 128), (1, 2, 3), (0, 1, 2), NORMS):
        wanted = {"n_extra_layers": extra, "norm_type": norm, **narrow}
        yield case(ask, "basic_critic", size, channels, shape=(2, channels, size, size), **wanted)
        yield case(ask, "basic_generator", size, channels, 12, shape=(2, 12), **wanted)


def counts():
    yield from grid("count")
    for extra, norm in product((0, 1), NORMS):  # an odd width
        yield case("count", "basic_critic", 32, 3, 33, extra, norm, shape=(2, 3, 32, 32))
        yield case("count", "basic_generator", 32, 3, 9, 33, extra, norm_type=norm, shape=(2, 9))
    for size in (8, 16, 33, 36, 39, 256):
        yield case("count", "basic_critic", size, 3, shape=(2, 3, size, size))
    for size in (8, 16, 256):
        yield case("count", "basic_generator", size, 3, shape=(2, 100))
    yield case("count", "basic_critic", 64, 3, shape=(2, 3, 100, 100))
    for channels, features, blocks, size in product((1, 3), (64, 128), (2, 3, 4), (64, 96, 128)):
        if size >= 16 * 2 ** (blocks - 1):
            shape = (2, channels, size, size)
            yield case("count", "gan_critic", channels, features, blocks, shape=shape)
    for norm, ndim in product(NORMS, (1, 2, 3)):
        yield case("count", "DenseResBlock", 16, norm, ndim=ndim, shape=(2, 16, *[8] * ndim))


def starts():
    shared = [
        {},
        {"act_cls": "leaky"},
        {"act_cls": "Tanh"},
        {"act_cls": "Sigmoid"},
        {"act_cls": "SiLU"},
        {"act_cls": "GELU"},
        {"act_cls": None},
        {"init": "normal"},
        {"init": None},
        {"bias": True},
        {"bias": True, "bias_std": None},
        {"bias": True, "bias_std": 0.0},
    ]
    for keywords in (*shared, *({"norm_type": norm} for norm in NORMS)):
        # An init that is said aloud reaches the last layer too, in both libraries.
        yield case("start", "basic_critic", 32, 3, 64, 1, **keywords)
        yield case("start", "basic_generator", 32, 3, 64, 32, 1, **keywords)
        yield case("start", "DenseResBlock", 48, **keywords)
        yield case("start", "ConvLayer", 48, 64, **keywords)
    yield case("start", "gan_critic", 3, 32)


def outputs():
    yield from grid("output", n_features=4)
    for keywords in (
        {"bn_1st": False},
        {"bn_1st": False, "act_cls": "leaky"},
        {"act_cls": "Tanh"},
        {"act_cls": None},
        {"bias": True},
        {"bias": False, "norm_type": None},
        {"xtra": 2.0},
        {"bn_1st": False, "xtra": 2.0},
    ):
        yield case("output", "basic_critic", 32, 2, 4, 1, shape=(3, 2, 32, 32), **keywords)
        yield case("output", "basic_generator", 32, 2, 12, 4, 1, shape=(3, 12), **keywords)
        yield case("output", "DenseResBlock", 6, shape=(3, 6, 9, 9), **keywords)
        yield case("output", "ConvLayer", 6, 8, shape=(3, 6, 9, 9), **keywords)
    for norm, ndim in product(NORMS, (1, 2, 3)):
        yield case("output", "DenseResBlock", 6, norm, ndim=ndim, shape=(3, 6, *[5] * ndim))
        for transpose in (False, True):
            wanted = {"norm_type": norm, "ndim": ndim, "transpose": transpose}
            yield case("output", "ConvLayer", 6, 8, 4, 2, shape=(3, 6, *[7] * ndim), **wanted)
    for keywords in (
        {"groups": 2},
        {"dilation": 2},
        {"padding": 2, "dilation": 2},
        {"padding_mode": "reflect"},
        {"ks": 5},
        {"ks": 5, "stride": 3},
    ):
        yield case("output", "ConvLayer", 6, 8, shape=(3, 6, 9, 9), **keywords)
    for keywords in ({"groups": 2}, {"padding_mode": "circular"}, {"ks": 5}, {"dilation": 2, "padding": 2}):
        yield case("output", "DenseResBlock", 6, shape=(3, 6, 9, 9), **keywords)
    yield case("output", "DenseResBlock", 6, shape=(3, 6, 9, 9), transpose=True, padding=1)
    yield case("output", "basic_critic", 32, 2, 4, groups=2, shape=(3, 2, 32, 32))
    yield case("output", "basic_critic", 32, 2, 4, padding_mode="reflect", shape=(3, 2, 32, 32))
    yield case("output", "basic_generator", 32, 2, 12, 4, groups=2, shape=(3, 12))
    yield case("output", "SelfAttention", 16, shape=(3, 16, 4, 5))
    for channels, blocks in product((1, 3), (1, 2, 3)):
        for size in (16 * 2 ** (blocks - 1), 20 * 2 ** (blocks - 1)):
            yield case("output", "gan_critic", channels, 4, blocks, 0.0, shape=(2, channels, size, size))


CASES = [one | {"seed": seed} for seed, one in enumerate([*counts(), *starts(), *outputs()])]


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    """What the real fastai says of every case."""
    folder = tmp_path_factory.mktemp("fastai")
    (folder / "cases.json").write_text(json.dumps(CASES), encoding="utf-8")
    python = os.environ.get("CARDIGAN_FASTAI_PYTHON", sys.executable)
    probe = [python, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('fastai') is None)"]
    if subprocess.run(probe, check=False, timeout=60).returncode:
        pytest.skip(f"fastai is not installed for {Path(python).name}: CARDIGAN_FASTAI_PYTHON names an interpreter")
    command = [python, str(SCRIPT), str(folder / "cases.json"), str(folder / "answers.npz")]
    for flags in ([], ["--without-torchvision"]):
        done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False, timeout=280)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "answers.npz", allow_pickle=False) as file:
        return dict(file)


def asked(ask):
    """The cases of one kind, each with its place."""
    return [(place, one) for place, one in enumerate(CASES) if one["ask"] == ask]


def build(one):
    builder = getattr(networks, one["name"])
    return builder(*positional(one), **reference["decoded"](one["keywords"], NormType))


def positional(one):
    """A norm type by position is a name in JSON."""
    return [NormType[value] if isinstance(value, str) else value for value in one["positional"]]


def told(one):
    return f"{one['name']}{tuple(one['positional'])} {one['keywords']}"


def test_numbers_of_parameters_and_shapes_are_theirs(answers):
    for place, one in asked("count"):
        ours = reference["counted"](lambda one=one: build(one), one)
        for key in ("count", "output"):
            assert ours[key].tolist() == answers[f"{place}/{key}"].tolist(), told(one)


def test_first_weights_are_drawn_as_theirs(answers):
    for place, one in asked("start"):
        torch.manual_seed(one["seed"])
        network, theirs = build(one), answers[f"{place}/figures"]
        ours = reference["figures"](network)
        assert ours.shape == theirs.shape, told(one)
        for (name, weight), mine, other in zip(network.named_parameters(), ours, theirs, strict=True):
            where = f"{told(one)} {name}: {mine} {other}"
            if mine[1] == 0 or other[1] == 0:  # a constant
                assert mine == pytest.approx(other, abs=1e-9) or weight.numel() == 1, where
            elif weight.numel() >= 30:
                slack = 5 / weight.numel() ** 0.5
                assert mine[0] == pytest.approx(other[0], abs=1.5 * slack * other[1]), where
                assert mine[1] == pytest.approx(other[1], rel=slack), where
            if weight.numel() >= 1000:  # uniform numbers stop at 1.73 deviations, normal ones go beyond 3
                assert mine[2] / mine[1] == pytest.approx(other[2] / other[1], rel=0.3), where


def test_outputs_are_theirs_with_their_weights(answers):
    for place, one in asked("output"):
        ours = build(one)
        mine = ours.state_dict()
        state = [torch.from_numpy(answers[f"{place}/state/{row}"]) for row in range(len(mine))]
        assert f"{place}/state/{len(mine)}" not in answers, told(one)
        assert [value.shape for value in mine.values()] == [value.shape for value in state], told(one)
        if not any("parametrizations" in name for name in mine):
            assert list(mine) == answers[f"{place}/names"].tolist(), told(one)
        ours.load_state_dict(dict(zip(mine, state, strict=True)))
        seen = torch.from_numpy(answers[f"{place}/seen"])
        spectral = any(name.endswith("_u") for name in mine)
        with torch.no_grad():
            found = {"eval": ours.eval()(seen), "train": ours.train()(seen)}
        for mode, output in found.items():
            if mode == "train" and spectral:  # a power iteration is half a step on in PyTorch's newer form
                continue
            expected = torch.from_numpy(answers[f"{place}/{mode}"])
            assert expected.abs().max() > 1e-4, told(one)
            torch.testing.assert_close(output, expected, atol=2e-5, rtol=1e-4, msg=lambda m, one=one: told(one) + m)


@pytest.mark.parametrize(("name", "ours"), [("basic_critic", "Discriminator"), ("basic_generator", "Generator")])
def test_the_ordinary_networks_are_theirs_with_their_weights(answers, name, ours):
    compared = 0
    for place, one in asked("output"):
        keywords = one["keywords"]
        if one["name"] != name or keywords.get("norm_type") != "Batch" or set(keywords) - {
            "n_extra_layers", "norm_type", "n_features"
        }:  # fmt: skip
            continue
        size, channels, *latent = one["positional"]
        network = getattr(basic, ours)(
            size=size,
            channels=channels,
            width=keywords["n_features"],
            extra_layers=keywords["n_extra_layers"],
            **({"latent": latent[0]} if latent else {}),
        )
        mine = network.state_dict()
        state = [torch.from_numpy(answers[f"{place}/state/{row}"]) for row in range(len(mine))]
        network.load_state_dict(dict(zip(mine, state, strict=True)))
        seen = torch.from_numpy(answers[f"{place}/seen"])
        for mode in ("eval", "train"):
            expected = torch.from_numpy(answers[f"{place}/{mode}"])
            torch.testing.assert_close(network.train(mode == "train")(seen), expected, atol=2e-5, rtol=1e-4)
        compared += 1
    assert compared == 27


@pytest.mark.parametrize("name", ["basic_critic", "basic_generator", "DenseResBlock", "gan_critic", "AddChannels"])
def test_signatures_are_theirs(answers, name):
    parameters = inspect.signature(getattr(networks, name)).parameters.values()
    ours = [f"{p.name}={getattr(p.default, '__name__', p.default)}" for p in parameters]
    assert ours == answers[f"signature/{name}"].tolist()
