"""The part that all peers' scripts share: they are told what to do on standard input, and answer in lines of JSON.

Whatever the library prints goes nowhere. Needs numpy and torch, and nothing of ours.
"""

import argparse
import json
import os
import platform
import sys
import time

import numpy as np


def main(build):
    """Build one side and do what is asked.

    Args:
        build: ``(arguments, images)``, images as float32 (N, C, H, W) in [-1, 1], to an object with ``version``,
            ``train(steps) -> images`` and ``sample(count) -> float (N, C, H, W)``.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data")
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def answer(**told):
        answers.write(json.dumps(told) + "\n")

    try:
        import torch

        kept = operators(torch)  # noqa: F841
        torch.set_num_threads(arguments.threads)
        torch.manual_seed(arguments.seed)
        np.random.seed(arguments.seed)
        side = build(arguments, torch.from_numpy(floats(arguments)))
    except Exception as problem:  # whatever is wrong with another library's environment is only told
        answer(trouble=f"{type(problem).__name__}: {problem}".splitlines()[0][:300])
        return
    answer(version=side.version, versions=f"torch {torch.__version__}, Python {platform.python_version()}")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if "train" in asked:
                start = time.process_time()
                answer(images=side.train(asked["train"]), cpu=time.process_time() - start)
            else:
                drawn = side.sample(asked["sample"]).detach().numpy()
                np.save(
                    asked["path"], np.clip((drawn + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
                )
                answer(images=len(drawn))
        except Exception as problem:
            answer(trouble=f"{type(problem).__name__}: {problem}".splitlines()[0][:300])
            return


def operators(torch):
    """torchvision's, which its package wants to exist, for where its own do not load beside a CPU's torch.

    Returns:
        What must be kept for as long as they are to exist.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def floats(arguments):
    """The images to train on: those of the file, or noise of 64 pixels."""
    if arguments.data is None:
        pixels = np.random.default_rng(0).integers(0, 256, (6 * arguments.batch, 64, 64, 3), dtype=np.uint8)
    else:
        pixels = np.load(arguments.data, allow_pickle=False)
    return np.ascontiguousarray((pixels.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))
