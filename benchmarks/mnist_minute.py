"""One minute on MNIST: how far each recipe gets, as a classifier sees it.

    python benchmarks/mnist_minute.py PATH/TO/mnist.npz --recipes auto vanilla-as-printed --seeds 5

Trains a small classifier on the training images (>= 99 % on the test images; kept beside the results), then each recipe
for ``--minutes`` from each seed, alternating between recipes so that a drifting machine is fair to all. Of 5,000
samples each it reports the Frechet distance to the 10,000 test images in the classifier's last hidden layer, the share
of samples that it is more than 95 % sure of, and, for conditional models, the share classified as the label asked for.
These are numbers for comparison with each other; they are not FID.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

from cardigan.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import cardigan

SAMPLES = 5_000
EPOCHS = 5


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU()),
        )
        self.head = nn.Linear(128, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return features, self.head(F.dropout(features, 0.3, self.training))


def train_classifier(images: Tensor, labels: Tensor) -> Classifier:
    torch.manual_seed(12345)
    network, batch = Classifier(), 128
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=EPOCHS * (len(images) // batch))
    for _ in range(EPOCHS):
        for places in torch.randperm(len(images)).split(batch)[: len(images) // batch]:
            row, column = torch.randint(0, 5, (2,)).tolist()
            shifted = F.pad(images[places], (2, 2, 2, 2), value=-1.0)[:, :, row : row + 28, column : column + 28]
            loss = F.cross_entropy(network(shifted)[1], labels[places])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def look(network: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features in double precision and class probabilities."""
    pairs = [network(part) for part in images.split(500)]
    return torch.cat([pair[0] for pair in pairs]).double(), torch.cat([pair[1] for pair in pairs]).softmax(1)


def frechet(one: Tensor, other: Tensor) -> float:
    """The Frechet distance between two sets of features, as if they were normal."""
    covariances = torch.cov(one.T), torch.cov(other.T)
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    means = (one.mean(0) - other.mean(0)).square().sum()
    return float(means + covariances[0].trace() + covariances[1].trace() - 2 * cross)


def score(network: Classifier, real: Tensor, run: cardigan.Run) -> dict[str, float]:
    if run.classes:
        parts = [run.sample(SAMPLES // 10, seed=1000 + label, label=label) for label in range(10)]
        asked = torch.arange(10).repeat_interleave(SAMPLES // 10)
    else:
        parts, asked = [run.sample(SAMPLES, seed=1000)], None
    features, probabilities = look(network, cardigan.to_float(torch.from_numpy(np.concatenate(parts))))
    sure, called = probabilities.max(1)
    result = {
        "distance": frechet(features, real),
        "sure": float((sure > 0.95).float().mean()),
        "images": run.records[-1]["images"],
    }
    if asked is not None:
        result["as_asked"] = float((called == asked).float().mean())
        result["nines_as_asked"] = float((called[asked == 9] == 9).float().mean())
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["auto"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("runs/mnist-minute"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    arrays = np.load(arguments.data)
    test = cardigan.to_float(torch.from_numpy(arrays["test_images"])[..., None])
    train = cardigan.to_float(torch.from_numpy(arrays["train_images"])[..., None])
    weights = arguments.out / "classifier.safetensors"
    classifier = load_or_train(weights, train, torch.from_numpy(arrays["train_labels"]))
    real, probabilities = look(classifier, test)
    accuracy = float((probabilities.argmax(1) == torch.from_numpy(arrays["test_labels"])).float().mean())
    floor = frechet(look(classifier, train[torch.randperm(len(train))[:SAMPLES]])[0], real)
    print(f"classifier {accuracy:.2%} on test; real training images against test: {floor:.1f}")
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    results = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for recipe in arguments.recipes:
            with tempfile.TemporaryDirectory() as folder:
                began = time.time()
                run = cardigan.train(
                    arguments.data,
                    recipe=recipe,
                    minutes=arguments.minutes,
                    seed=seed,
                    out=folder,
                    quiet=True,
                    **settings,
                )
                result = {"recipe": recipe, "seed": seed, "wall": time.time() - began, **score(classifier, real, run)}
            results.append(result)
            print(
                json.dumps(
                    {key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()}
                )
            )
    for recipe in arguments.recipes:
        rows = [result for result in results if result["recipe"] == recipe]
        keys = [key for key in ("distance", "sure", "as_asked", "nines_as_asked", "images") if key in rows[0]]
        spread = {
            key: [round(float(np.quantile([row[key] for row in rows], q)), 3) for q in (0, 0.5, 1)] for key in keys
        }
        print(recipe, "lowest, median, highest:", json.dumps(spread))
    name = f"{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    facts = {"accuracy": accuracy, "floor": floor, "torch": torch.__version__, "threads": torch.get_num_threads()}
    (arguments.out / name).write_text(json.dumps({**facts, "minutes": arguments.minutes, "results": results}, indent=1))


def load_or_train(path: Path, images: Tensor, labels: Tensor) -> Classifier:
    from safetensors.torch import load_model, save_model

    network = Classifier().eval()
    if path.exists():
        load_model(network, path)
        return network
    network = train_classifier(images, labels)
    save_model(network, str(path))
    return network


if __name__ == "__main__":
    main()
