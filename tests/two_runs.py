"""What test_two_runs.py runs: ``cardigan.train`` as a program calls it, in one process and in two."""

import json
import sys
from pathlib import Path

import safetensors.torch
import torch

sys.path.insert(0, str(Path(__file__).parent / "training"))
from two_processes import FOLDER, in_processes

import cardigan
from cardigan.crew import Crew, together
from cardigan.data.batches import StoredBatches
from cardigan.errors import CardiganError
from cardigan.following import FinishedElsewhereError
from cardigan.place import told

TINY = {"recipe": "dcgan", "size": 16, "images": 320, "device": "cpu", "width": 2, "latent": 8, "batch_size": 16}
TINY |= {"snapshots": 2, "seed": 3, "trials": 2}


def run(out, **settings):
    try:
        return str(cardigan.train("digits", out=out, quiet=True, **(TINY | settings)).path)
    except FinishedElsewhereError as error:
        return [str(error), Path(out).exists()]
    except CardiganError as error:
        return str(error)


def weights(out):
    return safetensors.torch.load_file(FOLDER / out / "generator" / "model.safetensors")


def spoilt(out):
    """The third batch of the second process is no number, once."""
    at, calls = StoredBatches.at, []

    def poisoned(self, images):
        batch = at(self, images)
        calls.append(images)
        if told().number == 1 and images == 32 and calls.count(32) == 1:
            batch.real.fill_(float("nan"))
        return batch

    StoredBatches.at = poisoned
    return [run(out), together() == Crew()]


def main():
    found = {"one": in_processes(1, lambda: run(FOLDER / "one"), joining=False)}
    found["two"] = in_processes(2, lambda: run(FOLDER / "two"), joining=False)
    one, two = weights("one"), weights("two")
    found["apart"] = max(float((one[key] - two[key]).abs().max()) for key in one)
    found["elsewhere"] = in_processes(2, lambda: run(FOLDER / f"own{told().number}"), joining=False)
    found["again"] = in_processes(2, lambda: run(FOLDER / "two"), joining=False)
    found["uneven"] = in_processes(2, lambda: run(FOLDER / "uneven", batch_size=15), joining=False)
    found["one GPU"] = in_processes(
        2, lambda: run(FOLDER / "gpu", device="mps" if torch.cuda.is_available() else "cuda")
    )
    found["spoilt"] = in_processes(2, lambda: spoilt(FOLDER / "spoilt"), joining=False)
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
