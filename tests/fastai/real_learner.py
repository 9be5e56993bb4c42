"""Run by an interpreter that has fastai: its learner and ours on the same networks and batches.

PYTHONPATH=src python real_learner.py PHOTOS ANSWERS.json [--without-torchvision]
"""

import contextlib
import copy
import io
import json
import sys
import warnings
from functools import partial
from pathlib import Path

import torch
from torch import nn

warnings.filterwarnings("ignore")


def batches(count=6):
    rng = torch.Generator().manual_seed(5)
    return torch.randn(4 * count, 2, generator=rng), torch.rand(4 * count, 3, generator=rng)


def networks():
    torch.manual_seed(11)
    generator = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 3))
    critic = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    return generator, critic


def gen_loss(fake_pred, output, target):
    return fake_pred.mean()


def crit_loss(real_pred, fake_pred):
    return real_pred.mean() - fake_pred.mean()


def moved(optimizer, weight):
    rng = torch.Generator().manual_seed(2)
    for _ in range(7):
        weight.grad = torch.randn(6, generator=rng, dtype=torch.float64)
        optimizer.step()
    return weight.detach().tolist()


def optimizers(library):
    """What both optimizers make of the same gradients, with several settings."""
    out = {}
    for name in ("Adam", "RMSProp"):
        for settings in (
            {},
            {"wd": 0.3},
            {"wd": 0.3, "decouple_wd": False},
            {"mom": 0.5},
            {"sqr_mom": 0.9},
            {"eps": 0.1},
        ):
            weight = nn.Parameter(torch.linspace(-1, 1, 6, dtype=torch.float64))
            out[f"{name} {settings}"] = moved(getattr(library, name)([weight], lr=0.05, **settings), weight)
    return out


def losses(library, learning, *, calls, **settings):
    """The raw losses of a few batches in a learner."""

    class History(library.Callback):
        order = 40
        seen = None

        def after_batch(self):
            if self.learn.training:
                self.seen.append(float(self.learn.loss))

        def before_batch(self):
            if self.learn.training:
                self.turns.append("g" if self.learn.gan_trainer.gen_mode else "c")

    history = History()
    history.seen, history.turns = [], []
    noise, real = batches()
    dl = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(noise, real), 4)
    generator, critic = networks()
    learn = learning(dl, generator, critic, cbs=[history], **settings)
    learn.fit(1, 1e-2)
    history.turns.clear()
    learn.fit(2)
    return history.seen[:calls], learn, "".join(history.turns)


def main(photos, answers, *flags):
    if "--without-torchvision" in flags:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from fastai.vision import all as theirs
    from fastai.vision import gan

    import cardigan.fastai as ours

    out = {"theirs": optimizers(theirs), "ours": optimizers(ours)}

    def their_learner(dl, generator, critic, **settings):
        return gan.GANLearner(theirs.DataLoaders(dl, []), generator, critic, gen_loss, crit_loss, **settings)

    def our_learner(dl, generator, critic, **settings):
        learn = ours.GANLearner(dl, generator, critic, gen_loss, crit_loss, **settings)
        learn.logger = lambda line: None
        return learn

    for name, library, learning in (("theirs", gan, their_learner), ("ours", ours, our_learner)):
        base = theirs if library is gan else ours
        switcher = library.FixedGANSwitcher(5, 1)
        settings = {"clip": 0.5, "switch_eval": False, "opt_func": base.Adam, "switcher": switcher}
        # From the seventh batch on, fastai has moved the idle network, and the two must differ.
        work = partial(losses, base, learning, calls=6, **settings)
        out[f"{name} losses"], learn, out[f"{name} turns"] = silent(work)
        out[f"{name} drift"] = drift(learn, library)

    out["weights_gen"] = mixed(gan, ours)
    dl = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*batches(1)), 4)
    learn = their_learner(dl, *networks())
    try:
        learn.loss_func.critic(torch.zeros(4, 1), torch.zeros(4, 2))
    except RuntimeError as problem:
        out["unfrozen"] = str(problem)
    out |= from_data_loaders(theirs, gan, ours, photos)
    Path(answers).write_text(json.dumps(out), encoding="utf-8")


def silent(work):
    """fastai prints a bar; keep it out of the way."""
    with contextlib.redirect_stdout(io.StringIO()):
        return work()


def drift(learn, library):
    """How far the critic moves while only the generator plays ten batches, after both have warmed up."""
    never = library.FixedGANSwitcher(10**6, 10**6)
    for cb in [cb for cb in learn.cbs if type(cb).__name__ == "FixedGANSwitcher"]:
        learn.remove_cb(cb)
    learn.gan_trainer.gen_first, learn.gan_trainer.clip = True, None
    if hasattr(learn, "gan"):
        learn.gan.projections = ()
    before = copy.deepcopy(learn.model.critic.state_dict())
    silent(partial(learn.fit, 2, 1e-2, cbs=[never]))
    after = learn.model.critic.state_dict()
    return max(float((after[name] - before[name]).abs().max()) for name in before)


def mixed(gan, ours):
    fake, real, output, target = (torch.randn(4, 1, generator=torch.Generator().manual_seed(n)) for n in range(4))
    found = []
    for library in (gan, ours):
        loss = library.AdaptiveLoss(nn.BCEWithLogitsLoss())
        gen, crit = library.gan_loss_from_func(nn.L1Loss(), loss, weights_gen=(1.0, 50.0))
        truth = torch.tensor([0, 1, 1, 0])
        told = float(library.accuracy_thresh_expand(fake, truth))
        found.append([float(gen(fake, output, target)), float(crit(real, fake)), told])
    return found


def from_data_loaders(theirs, gan, ours, photos):
    """Our learner on fastai's own DataLoaders."""
    half = torch.tensor([0.5, 0.5, 0.5])
    block = theirs.DataBlock(
        blocks=(theirs.TransformBlock, theirs.ImageBlock),
        get_x=gan.generate_noise,
        get_items=theirs.get_image_files,
        splitter=theirs.IndexSplitter([]),
        item_tfms=theirs.Resize(16, method=theirs.ResizeMethod.Crop),
        batch_tfms=theirs.Normalize.from_stats(half, half),
    )
    dls = block.dataloaders(photos, path=photos, bs=3, num_workers=0)
    generator, critic = ours.basic_generator(16, 3, n_features=8), ours.basic_critic(16, 3, n_features=8)
    learn = ours.GANLearner.wgan(dls, generator, critic, opt_func=ours.RMSProp)
    lines = []
    learn.logger = lines.append
    learn.recorder.train_metrics = True
    learn.fit(2, 2e-4, wd=0.0)
    saved, real = learn.save("from-fastai"), learn.yb[0]
    picture = learn.show_results(max_n=9, ds_idx=0)
    return {
        "lines": lines,
        "counts": [len(learn.gan_trainer.crit_losses), len(learn.gan_trainer.gen_losses)],
        "real": [float(real.min()), float(real.max()), type(real).__name__, list(real.shape)],
        "validates": learn.validates,
        "picture": picture.size,
        "saved": str(saved),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
