"""A small classifier to look through, learned from CIFAR-10 on this machine: features where none can be downloaded.

    python benchmarks/classifier.py cifar10-jpeg.npz classifier.safetensors --minutes 8

Prints its accuracy on the test images. ``--set perceptual=0.3 --set features=classifier.safetensors`` then gives a
restoration a perceptual loss; ``benchmarks/restoration.py`` measures through another network, MobileNetV2.
"""

import argparse
import io
import itertools
from pathlib import Path

from cardigan.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
from PIL import Image

from cardigan.features import classifier


def decoded(arrays: np.lib.npyio.NpzFile, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 32, 32, 3) and labels (N,)."""
    data, places = arrays[f"{part}_jpeg"], arrays[f"{part}_offsets"]
    files = (io.BytesIO(data[start:end].tobytes()) for start, end in itertools.pairwise(places))
    return np.stack([np.asarray(Image.open(file)) for file in files]), arrays[f"{part}_labels"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with np.load(arguments.data, allow_pickle=False) as arrays:
        train, test = decoded(arrays, "train"), decoded(arrays, "test")
    network = classifier.train(*train, seconds=60 * arguments.minutes, seed=arguments.seed, flip=True)
    network.save(arguments.out)
    print(f"{100 * classifier.accuracy(network, *test):.1f} % of {len(test[1]):,} test images right")


if __name__ == "__main__":
    main()
