"""The page's own snippets, run one after the other with only the import lines changed."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# As the page prints them; it imports ``from fastai.callback.all import *`` before the last but one.
SNIPPETS = [
    """
critic = basic_critic(64, 3)
generator = basic_generator(64, 3)
tst = GANModule(critic=critic, generator=generator)
real = torch.randn(2, 3, 64, 64)
real_p = tst(real)
test_eq(real_p.shape, [2,1])

tst.switch() #tst is now in generator mode
noise = torch.randn(2, 100)
fake = tst(noise)
test_eq(fake.shape, real.shape)

tst.switch() #tst is back in critic mode
fake_p = tst(fake)
test_eq(fake_p.shape, [2,1])
""",
    """
bs = 128
size = 64
dblock = DataBlock(blocks = (TransformBlock, ImageBlock),
                   get_x = generate_noise,
                   get_items = get_image_files,
                   splitter = IndexSplitter([]),
                   item_tfms=Resize(size, method=ResizeMethod.Crop),
                   batch_tfms = Normalize.from_stats(torch.tensor([0.5,0.5,0.5]), torch.tensor([0.5,0.5,0.5])))
path = untar_data(URLs.LSUN_BEDROOMS)
dls = dblock.dataloaders(path, path=path, bs=bs)
dls.show_batch(max_n=16)
""",
    """
from fastai.callback.all import *
generator = basic_generator(64, n_channels=3, n_extra_layers=1)
critic    = basic_critic   (64, n_channels=3, n_extra_layers=1, act_cls=partial(nn.LeakyReLU, negative_slope=0.2))
""",
    """
learn = GANLearner.wgan(dls, generator, critic, opt_func = RMSProp)
learn.recorder.train_metrics=True
learn.recorder.valid_metrics=False
learn.fit(1, 2e-4, wd=0.)
""",
    "learn.show_results(max_n=9, ds_idx=0)",
]


@pytest.fixture
def bedrooms(tmp_path, monkeypatch):
    """Where fastai would have unpacked the bedrooms: photos of several sizes, folders deep."""
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    for place in range(14):
        file = tmp_path / "data" / "bedroom" / "f" / str(place % 3) / f"{place}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((80 + place, 66)).save(file)
    return tmp_path / "data" / "bedroom"


def test_the_pages_snippets_run(bedrooms, capsys):
    names = {}
    exec("from cardigan.fastai import *", names)
    for snippet in SNIPPETS:
        small = snippet.replace("bs = 128", "bs = 2").replace("fastai.callback.all", "cardigan.fastai")
        exec(compile(small, "page", "exec"), names)
    learn = names["learn"]
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[0] == ["epoch", "train_loss", "gen_loss", "crit_loss", "time"]
    assert len(table) == 2
    assert table[1][0] == "0"
    assert len(table[1][-1]) == 5
    assert all(np.isfinite(float(cell)) for cell in table[1][1:-1])
    # Seven batches of two: five for the critic, one for the generator, one for the critic.
    assert (len(learn.gan_trainer.crit_losses), len(learn.gan_trainer.gen_losses)) == (6, 1)
    assert names["dls"].show_batch(max_n=16).size[1] == 64
    assert learn.path == bedrooms
    assert learn.show_results(max_n=9, ds_idx=0).size == (2 * 64 + 2, 64)
    assert max(float(weight.detach().abs().max()) for weight in learn.critic.parameters()) <= 0.01 + 1e-9
    for group in (group for each in learn.optimizers.values() for group in each.param_groups):
        assert (group["lr"], group["weight_decay"]) == (2e-4, 0.0)


def test_our_own_pages_example_runs(bedrooms, capsys):
    page = (Path(__file__).parents[2] / "docs" / "seeds" / "fastai.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names = {}
    exec(compile(example.replace("bs=128", "bs=7"), "fastai.md", "exec"), names)
    assert capsys.readouterr().out.split()[:5] == ["epoch", "train_loss", "gen_loss", "crit_loss", "time"]
    assert names["learn"].gan_trainer.imgs == []  # two batches, both the critic's
