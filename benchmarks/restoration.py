"""Fourfold enlargement on Set5 and Set14: a run's two generators beside bicubic.

    python benchmarks/restoration.py RUN superres.zip mobilenetv2-imagenet.npz [--pictures FOLDER]

PSNR and SSIM are of the luma, four pixels of the border cut off, as papers measure. The perceptual distances are of
MobileNetV2's features (no network of this run's training): see ``mobilenet.py``.
"""

import argparse
import io
import json
import platform
import zipfile
from pathlib import Path

import mobilenet
import numpy as np
import torch
from PIL import Image

import cardigan
from cardigan.data.degrade import parse
from cardigan.metrics.fidelity import psnr, ssim
from cardigan.metrics.texture import sliced_wasserstein
from cardigan.pixels import to_float

SCALE = 4
SHOWN = {"Set5/baby": (150, 200), "Set5/butterfly": (60, 60), "Set14/zebra": (120, 240), "Set14/comic": (40, 60)}
"""Pictures to look at, and where in them."""
SIDE = 128
COLUMNS = ("bicubic", "faithful", "kept", "true")


def pictures(archive: Path, folder: str) -> dict[str, np.ndarray]:
    """Name -> RGB pixels, cropped to a multiple of the scale."""
    found = {}
    with zipfile.ZipFile(archive) as file:
        for name in sorted(file.namelist()):
            if name.startswith(f"{folder}/") and not name.endswith("/"):
                pixels = np.asarray(Image.open(io.BytesIO(file.read(name))).convert("RGB"))
                height, width = (side // SCALE * SCALE for side in pixels.shape[:2])
                found[name.rpartition(".")[0]] = pixels[:height, :width]
    return found


def measured(restored: np.ndarray, true: np.ndarray, network: mobilenet.MobileNetV2) -> dict[str, float]:
    one, other = (to_float(torch.from_numpy(np.ascontiguousarray(pixels)[None])) for pixels in (restored, true))
    return {
        "psnr": psnr(restored, true, border=SCALE, on="luma"),
        "ssim": ssim(restored, true, border=SCALE),
        "features": mobilenet.distance(network, one, other),
        "structure and texture": mobilenet.structure_and_texture(network, one, other),
        "finest texture": sliced_wasserstein(restored[None], true[None], patches=2048)[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("archive", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder for pictures side by side")
    asked = parser.parse_args()
    run, degradation = cardigan.load(asked.run), parse(f"downscale{SCALE}")
    network = mobilenet.MobileNetV2(asked.weights)
    table, rows = {}, {}
    for folder in ("Set5", "Set14"):
        numbers: dict[str, list[dict[str, float]]] = {name: [] for name in COLUMNS[:3]}
        for name, true in pictures(asked.archive, folder).items():
            small = degradation.shrink(true)
            results = {
                "bicubic": degradation.prepare(small),
                "faithful": run.restore(small, faithful=True),
                "kept": run.restore(small),
            }
            for kind, restored in results.items():
                numbers[kind].append(measured(restored, true, network))
            if name in SHOWN:
                rows[name] = [*results.values(), true]
        table[folder] = {
            kind: {key: round(float(np.mean([each[key] for each in found])), 4) for key in found[0]}
            for kind, found in numbers.items()
        }
    for folder, kinds in table.items():
        print(folder)
        for kind, found in kinds.items():
            print(f"  {kind:9}", "  ".join(f"{key} {value:.4f}" for key, value in found.items()))
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    print(json.dumps({"machine": machine, "version": cardigan.__version__, "table": table}))
    if asked.pictures:
        asked.pictures.mkdir(parents=True, exist_ok=True)
        save(rows, asked.pictures / "restoration.webp")


def save(rows: dict[str, list[np.ndarray]], path: Path) -> None:
    """One row for each picture: bicubic, faithful, kept, true; a detail at twice its size."""
    gap = 6
    lines = []
    for name, columns in rows.items():
        top, left = SHOWN[name]
        details = [pixels[top : top + SIDE, left : left + SIDE] for pixels in columns]
        shown = [
            np.asarray(Image.fromarray(np.ascontiguousarray(each)).resize((2 * SIDE, 2 * SIDE), 0)) for each in details
        ]
        padded = [np.pad(each, ((0, gap), (0, gap), (0, 0)), constant_values=255) for each in shown]
        lines.append(np.concatenate(padded, axis=1)[:, :-gap])
    Image.fromarray(np.concatenate(lines)[:-gap]).save(path, quality=90)


if __name__ == "__main__":
    main()
