"""Asks the real fastai: run by an interpreter that has it, it answers about the cases that it reads.

    python reference.py CASES.json ANSWERS.npz [--without-torchvision]

A case names a builder, its arguments and the shape of its input. The answer holds its signature-free facts: numbers of
parameters and shapes of its output, its first weights' figures, or its weights with an input and an output.
"""

import json
import sys
from functools import partial

import numpy as np
import torch
from torch import nn

ACTIVATIONS = {
    "ReLU": nn.ReLU,
    "leaky": partial(nn.LeakyReLU, negative_slope=0.2),
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "SiLU": nn.SiLU,
    "GELU": nn.GELU,
    None: None,
}
STARTS = {"normal": partial(nn.init.normal_, std=0.02), "auto": "auto", None: None}


def decoded(arguments, norm_types):
    """Arguments out of JSON, as either library takes them."""
    read = {
        "norm_type": lambda name: None if name is None else norm_types[name],
        "act_cls": ACTIVATIONS.get,
        "init": STARTS.get,
        "dtype": lambda name: getattr(torch, name),
        "xtra": lambda scale: nn.Softplus(beta=scale),
    }
    return {key: read[key](value) if key in read else value for key, value in arguments.items()}


def figures(network):
    """Mean, deviation and largest magnitude of each parameter, in order."""
    rows = [weight.detach().double() for weight in network.parameters()]
    return np.array([(float(w.mean()), float(w.std(correction=0)), float(w.abs().max())) for w in rows])


def shaken(network):
    """Away from the start, where gains are 0 or 1 and shifts nothing; with statistics that were learned."""
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim == 1:  # upwards, so that no ReLU is dead for good
                weight.add_(torch.rand_like(weight))
            else:
                weight.add_(0.3 * weight.abs().mean() * torch.randn_like(weight))
    return network


def weighed(network, shape):
    """Its weights, an input, and its outputs in evaluation and in training."""
    shaken(network).train()
    for _ in range(3):
        network(torch.randn(shape))
    seen = torch.randn(shape)
    state = [value.detach().clone().numpy() for value in network.state_dict().values()]
    with torch.no_grad():
        outputs = network.eval()(seen).numpy(), network.train()(seen).numpy()
    return {
        **{f"state/{place}": value for place, value in enumerate(state)},
        "seen": seen.numpy(),
        "eval": outputs[0],
        "train": outputs[1],
        "names": np.array(list(network.state_dict())),
    }


def counted(build, case):
    """Parameters and the shape of the output, without a number being computed."""
    with torch.device("meta"):
        network = build()
        shape = network.eval()(torch.empty(case["shape"])).shape
    return {"count": np.array(sum(w.numel() for w in network.parameters())), "output": np.array(shape)}


def answer(case, builders, norm_types):
    """What a library says of a case."""

    def build():
        positional = [norm_types[value] if isinstance(value, str) else value for value in case["positional"]]
        return builders[case["name"]](*positional, **decoded(case["keywords"], norm_types))

    torch.manual_seed(case["seed"])
    if case["ask"] == "count":
        return counted(build, case)
    if case["ask"] == "start":
        return {"figures": figures(build())}
    return weighed(build(), case["shape"])


def main(cases, answers, *flags):
    """Answer all cases with fastai."""
    if "--without-torchvision" in flags:
        # Its wheel does not load beside a PyTorch of another build, and then lacks two names that it wants to describe.
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import inspect

    from fastai.vision import gan

    import fastai
    from fastai import layers

    names = ("basic_critic", "basic_generator", "DenseResBlock", "gan_critic", "AddChannels")
    builders = {name: getattr(gan, name) for name in names}
    builders |= {name: getattr(layers, name) for name in ("ConvLayer", "SelfAttention")}
    out = {"version": np.array(fastai.__version__)}
    for name, builder in builders.items():
        parameters = inspect.signature(builder).parameters.values()
        told = [f"{p.name}={getattr(p.default, '__name__', p.default)}" for p in parameters]
        out[f"signature/{name}"] = np.array(told)
    with open(cases, encoding="utf-8") as file:  # noqa: PTH123
        for place, case in enumerate(json.load(file)):
            for key, value in answer(case, builders, layers.NormType).items():
                out[f"{place}/{key}"] = value
    np.savez(answers, **out)


if __name__ == "__main__":
    main(*sys.argv[1:])
