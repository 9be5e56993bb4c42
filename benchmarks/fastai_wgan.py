"""The fastai document's Wasserstein GAN, on faces in place of bedrooms: does it learn?

    python benchmarks/fastai_wgan.py faces-128.zip --epochs 20 --pictures docs/images

Only the data's path, the batch size, the width and the number of epochs differ from the document. After each epoch the
critic's estimate of the Wasserstein distance between real and generated images is printed (real minus fake), and
samples of one noise are kept from before the first and after the last epoch.
"""

import argparse
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from cardigan.tuning import tune_process

tune_process()  # as the command line does

import numpy as np

from cardigan.fastai import *  # noqa: F403
from cardigan.report.grids import grid, save_png

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("images", type=Path, help="a zip of photos")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--bs", type=int, default=32)
parser.add_argument("--size", type=int, default=64)
parser.add_argument("--n-features", type=int, default=64)
parser.add_argument("--pictures", type=Path, default=Path())
asked = parser.parse_args()

torch.manual_seed(0)  # noqa: F405
noise = torch.randn(32, 100)  # noqa: F405
with TemporaryDirectory() as folder:
    with zipfile.ZipFile(asked.images) as archive:
        for place, name in enumerate(name for name in sorted(archive.namelist()) if not name.endswith("/")):
            (Path(folder) / f"{place}{Path(name).suffix}").write_bytes(archive.read(name))
    dblock = DataBlock(  # noqa: F405
        blocks=(TransformBlock, ImageBlock),  # noqa: F405
        get_x=generate_noise,  # noqa: F405
        get_items=get_image_files,  # noqa: F405
        splitter=IndexSplitter([]),  # noqa: F405
        item_tfms=Resize(asked.size, method=ResizeMethod.Crop),  # noqa: F405
        batch_tfms=Normalize.from_stats(torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.5, 0.5, 0.5])),  # noqa: F405
    )
    dls = dblock.dataloaders(folder, path=folder, bs=asked.bs)
generator = basic_generator(asked.size, n_channels=3, n_features=asked.n_features, n_extra_layers=1)  # noqa: F405
critic = basic_critic(  # noqa: F405
    asked.size,
    n_channels=3,
    n_features=asked.n_features,
    n_extra_layers=1,
    act_cls=partial(nn.LeakyReLU, negative_slope=0.2),  # noqa: F405
)
learn = GANLearner.wgan(dls, generator, critic, opt_func=RMSProp)  # noqa: F405
learn.recorder.train_metrics = True
learn.recorder.valid_metrics = False


def drawn() -> np.ndarray:
    """32 samples of the same noise, in the mode in which the document's networks draw."""
    with torch.no_grad():  # noqa: F405
        images = generator(noise)
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()  # noqa: F405


pictures = [drawn()]
learn.fit(asked.epochs, 2e-4, wd=0.0)
pictures.append(drawn())
estimates = [
    -float(dict(zip(learn.recorder.metric_names[1:], row, strict=False))["crit_loss"]) for row in learn.recorder.values
]
print("Wasserstein estimate by epoch:", " ".join(f"{value:.4f}" for value in estimates))
for name, images in zip(("before", "after"), pictures, strict=True):
    save_png(grid(images, columns=8), asked.pictures / f"fastai-{name}.png")
