"""MNIST's 10 digits, and stacked MNIST: three random digits as the colours of a picture, 1,000 modes.

Recipes train by the command line, each in a folder of its own; a classifier of single digits, learned here, says what
samples show, colour by colour.

Source: *Unrolled Generative Adversarial Networks*, Metz et al., 2017, for the stacks; *PacGAN: The Power of Two Samples
in Generative Adversarial Networks*, Lin et al., 2018, for 26,000 samples of them.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import cardigan
from cardigan.evaluation.resize import prepared
from cardigan.features import classifier
from cardigan.features.classifier import Classifier
from cardigan.metrics.modes import class_modes

SIDE, SURE = 28, 0.8
"""Pixels of a digit's side, and the chance above which the classifier counts as sure; its labels are smoothed, so that
it rarely says more than 0.95."""
SAMPLES = {"digits": 10_000, "stacked": 26_000}
COLOURS = {"digits": 1, "stacked": 3}
STACKS = 60_000


class Judge:
    """A classifier of digits, and what it says of pictures whose channels are digits.

    Args:
        path: where it is kept; it is trained and written where it is not there yet.
        arrays: ``mnist.npz``, opened.
        steps: batches that it learns from.
    """

    def __init__(self, path: Path, arrays: np.lib.npyio.NpzFile, *, steps: int = 1_500) -> None:
        if path.exists():
            self.network = classifier.load(path)
        else:
            images, labels = arrays["train_images"][..., None], arrays["train_labels"]
            self.network: Classifier = classifier.train(images, labels, steps=steps, widths=(16, 32, 64), seed=1)
            self.network.save(path)
        test = arrays["test_images"][..., None]
        self.accuracy = float((self.read(test)[0] == arrays["test_labels"]).mean())

    @torch.inference_mode()
    def read(self, images: np.ndarray, *, chunk: int = 500) -> tuple[np.ndarray, np.ndarray]:
        """Each picture's digits as one number, and how probable the least probable of them is.

        Args:
            images: uint8 (N, H, W, C), at any size; brought to 28x28 by the package's way of resizing.
            chunk: pictures asked at once.
        """
        numbers, surest = [], []
        for start in range(0, len(images), chunk):
            part = images[start : start + chunk]
            digits = np.moveaxis(part, 3, 1).reshape(-1, *part.shape[1:3], 1)
            size = None if part.shape[1:3] == (SIDE, SIDE) else SIDE
            chances = self.network.logits(prepared(digits, channels=1, size=size)).softmax(dim=1)
            chance, digit = chances.max(dim=1)
            powers = 10 ** np.arange(part.shape[3])[::-1]
            numbers.append(digit.numpy().reshape(len(part), -1) @ powers)
            surest.append(chance.numpy().reshape(len(part), -1).min(axis=1))
        return np.concatenate(numbers), np.concatenate(surest)

    def measure(self, images: np.ndarray) -> dict:
        """Modes of all samples, and of those of which it is sure of each digit."""
        total = 10 ** images.shape[3]
        numbers, chances = self.read(images)
        sure = numbers[chances > SURE]
        return asdict(class_modes(numbers, total)) | {
            "sure": len(sure) / len(numbers),
            "found_sure": class_modes(sure, total).found if len(sure) else 0,
        }


def stack(images: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """``count`` pictures (N, 28, 28, 3) of three digits each; every digit is used equally often, or nearly so."""
    rng = np.random.default_rng(seed)
    passes = -(-count // len(images))
    orders = [np.concatenate([rng.permutation(len(images)) for _ in range(passes)])[:count] for _ in range(3)]
    return np.stack([images[order] for order in orders], axis=3)


def source(kind: str, arguments: argparse.Namespace, arrays: np.lib.npyio.NpzFile) -> Path:
    """What recipes train on, as a file."""
    if kind == "digits":
        return arguments.data
    path = arguments.out / f"stacked-{STACKS}.npz"
    if not path.exists():
        np.savez(path, images=stack(arrays["train_images"], STACKS, seed=0))
    return path


def real(kind: str, arrays: np.lib.npyio.NpzFile) -> np.ndarray:
    """As many test pictures as samples are drawn, or as there are."""
    if kind == "digits":
        return arrays["test_images"][..., None]
    return stack(arrays["test_images"], SAMPLES[kind], seed=1)


def folder(kind: str, entry: str, seed: int, arguments: argparse.Namespace) -> Path:
    """The run's folder; another budget is another run."""
    name = "".join(letter if letter.isalnum() or letter in "-.=" else "-" for letter in entry)
    budget = "" if "@" in entry else f"-{arguments.minutes:g}min"
    return arguments.out / f"{kind}-{name}{budget}-{seed}"


def begin(kind: str, data: Path, entry: str, seed: int, arguments: argparse.Namespace) -> subprocess.Popen:
    """A training of its own process; ``entry`` is NAME:KEY=VALUE,...@IMAGES."""
    words, _, images = entry.partition("@")
    name, _, given = words.partition(":")
    # Some tutorials draw 64 pixels and nothing else.
    settings = ["hold_out=0", "allow_upscale=true", *filter(None, given.split(","))]
    command = [sys.executable, "-m", "cardigan", "train", str(data), "--recipe", name, "--seed", str(seed)]
    command += ["--images", images] if images else ["--minutes", str(arguments.minutes)]
    command += ["--out", str(folder(kind, entry, seed, arguments))]
    command += [word for text in settings for word in ("--set", text)]
    threads = str(arguments.threads or max((os.cpu_count() or 1) // arguments.jobs, 1))
    return subprocess.Popen(command, env={"GOMP_SPINCOUNT": "1000", **os.environ, "OMP_NUM_THREADS": threads})


def finish(process: subprocess.Popen) -> float | None:
    """Wait for a training and tell the processor's seconds that it took, where the system tells."""
    if not hasattr(os, "wait4"):
        return None if process.wait() == 0 else sys.exit("A training failed; see above.")
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit("A training failed; see above.")
    return used.ru_utime + used.ru_stime


def score(kind: str, entry: str, seed: int, arguments: argparse.Namespace, judge: Judge) -> dict:
    """What a finished run's samples show."""
    run = cardigan.load(folder(kind, entry, seed, arguments))
    began = time.perf_counter()
    found = judge.measure(run.sample(SAMPLES[kind], seed=1))
    last = run.records[-1]
    scoring = time.perf_counter() - began
    return found | {"images": last["images"], "seconds": last["seconds"], "scoring_seconds": scoring}
