"""Every public name of fastai's page is there, with the page's arguments, their order and their defaults."""

import inspect
from enum import Enum

import pytest

import cardigan.fastai as face

CONVOLUTION = (
    "ks=3, stride=1, padding=None, bias=None, ndim=2, bn_1st=True, act_cls=ReLU, transpose=False, init='auto', "
    "xtra=None, bias_std=0.01, dilation=1, groups=1, padding_mode='zeros', device=None, dtype=None"
)
AFTER_KS = CONVOLUTION.partition("ndim=2, ")
LEARNING = (
    "metrics=None, loss_func=None, opt_func=Adam, lr=0.001, splitter=trainable_params, path=None, model_dir='models', "
    "wd=None, wd_bn_bias=False, train_bn=True, moms=(0.95, 0.85, 0.95), default_cbs=True"
)
# As the page prints them.
PRINTED = {
    "GANModule": "generator=None, critic=None, gen_mode=False",
    "GANModule.switch": "gen_mode=None",
    "basic_critic": f"in_size, n_channels, n_features=64, n_extra_layers=0, norm_type=NormType.Batch, {CONVOLUTION}",
    "AddChannels": "n_dim",
    "basic_generator": (
        f"out_size, n_channels, in_sz=100, n_features=64, n_extra_layers=0, {AFTER_KS[0]}{AFTER_KS[1]}"
        f"norm_type=NormType.Batch, {AFTER_KS[2]}"
    ),
    "DenseResBlock": f"nf, norm_type=NormType.Batch, {CONVOLUTION}",
    "gan_critic": "n_channels=3, nf=128, n_blocks=3, p=0.15",
    "GANLoss": "gen_loss_func, crit_loss_func, gan_model",
    "GANLoss.generator": "output, target",
    "GANLoss.critic": "real_pred, input",
    "AdaptiveLoss": "crit",
    "accuracy_thresh_expand": "y_pred, y_true, thresh=0.5, sigmoid=True",
    "set_freeze_model": "m, rg",
    "GANTrainer": "switch_eval=False, clip=None, beta=0.98, gen_first=False, show_img=True",
    "FixedGANSwitcher": "n_crit=1, n_gen=1",
    "AdaptiveGANSwitcher": "gen_thresh=None, critic_thresh=None",
    "GANDiscriminativeLR": "mult_lr=5.0",
    "InvisibleTensor": "x, **kwargs",
    "generate_noise": "fn, size=100",
    "gan_loss_from_func": "loss_gen, loss_crit, weights_gen=None",
    "GANLearner": (
        "dls, generator, critic, gen_loss_func, crit_loss_func, switcher=None, gen_first=False, switch_eval=True, "
        f"show_img=True, clip=None, cbs=None, {LEARNING}"
    ),
    "GANLearner.from_learners": (
        "gen_learn, crit_learn, switcher=None, weights_gen=None, gen_first=False, switch_eval=True, show_img=True, "
        f"clip=None, cbs=None, {LEARNING}"
    ),
    "GANLearner.wgan": (
        "dls, generator, critic, switcher=None, clip=0.01, switch_eval=False, gen_first=False, show_img=True, "
        f"cbs=None, {LEARNING}"
    ),
}
# Not on the page, from fastai's own source.
ELSEWHERE = {
    "Learner": (
        "dls, model, loss_func=None, opt_func=Adam, lr=0.001, splitter=trainable_params, cbs=None, metrics=None, "
        "path=None, model_dir='models', wd=None, wd_bn_bias=False, train_bn=True, "
        "moms=(0.95, 0.85, 0.95), default_cbs=True"
    ),
    "Adam": "params, lr, mom=0.9, sqr_mom=0.99, eps=1e-05, wd=0.01, decouple_wd=True",
    "RMSProp": "params, lr, mom=0.0, sqr_mom=0.99, eps=1e-08, wd=0.0, decouple_wd=True",
    "Recorder": "add_time=True, train_metrics=False, valid_metrics=True, beta=0.98",
    "trainable_params": "m",
    "get_image_files": "path, recurse=True, folders=None",
    "IndexSplitter": "valid_idx",
    "test_eq": "a, b",
}
# Ours, at the end, with a default that leaves the printed meaning alone but for what the page of this face says.
EXTRA = {"AdaptiveGANSwitcher": ", longest=20"}
# What the snippets use beside.
USED = [
    *("partial", "nn", "torch", "test_eq", "DataBlock", "TransformBlock", "ImageBlock", "get_image_files"),
    *("IndexSplitter", "Resize", "ResizeMethod", "Normalize", "untar_data", "URLs", "Callback", "NormType", "RMSProp"),
    *("DataLoaders", "Path", "F", "np"),
]


def shown(value):
    if isinstance(value, Enum):
        return str(value)
    return value.__name__ if callable(value) else repr(value)


def signature(name):
    found = face
    for part in name.split("."):
        found = getattr(found, part)
    if inspect.isclass(found):
        found = found.__init__ if "__init__" in vars(found) else found
    parameters = [each for each in inspect.signature(found).parameters.values() if each.name != "self"]
    stars = {inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(
        stars.get(each.kind, "") + each.name + ("" if each.default is each.empty else f"={shown(each.default)}")
        for each in parameters
    )


@pytest.mark.parametrize("name", [*PRINTED, *ELSEWHERE])
def test_the_signature_is_as_printed(name):
    assert signature(name) == (PRINTED | ELSEWHERE)[name] + EXTRA.get(name, "")


def test_every_name_is_exported():
    names = {name.partition(".")[0] for name in (*PRINTED, *ELSEWHERE)} | set(USED)
    assert names <= set(face.__all__)
    brought = {}
    exec("from cardigan.fastai import *", brought)
    assert names <= set(brought)
    assert len(face.__all__) == len(set(face.__all__))


def test_every_exported_name_says_what_it_is():
    for name in face.__all__:
        if name not in ("nn", "torch", "partial", "F", "np"):
            assert getattr(face, name).__doc__, name
