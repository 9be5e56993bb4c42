"""fastai's GAN names over Cardigan's loop: ``from cardigan.fastai import *`` in place of fastai's import line.

Names, arguments and defaults are those of ``fastai.vision.gan`` 2; ``docs/seeds/fastai.md`` lists what behaves
otherwise, and why. Nothing here trains: a learner is a face of :func:`cardigan.training.fit`.
"""

from cardigan.fastai.basics import F, Path, nn, np, partial, test_eq, torch
from cardigan.fastai.callbacks import AdaptiveGANSwitcher, FixedGANSwitcher, GANDiscriminativeLR, GANTrainer
from cardigan.fastai.data import DataBlock, IndexSplitter, URLs, get_image_files, untar_data
from cardigan.fastai.events import Callback, CancelFitException
from cardigan.fastai.gan import (
    AdaptiveLoss,
    GANLoss,
    GANModule,
    InvisibleTensor,
    accuracy_thresh_expand,
    gan_loss_from_func,
    generate_noise,
    set_freeze_model,
)
from cardigan.fastai.gan_learner import GANLearner
from cardigan.fastai.learner import Learner
from cardigan.fastai.loaders import DataLoaders
from cardigan.fastai.networks import (
    AddChannels,
    ConvLayer,
    DenseResBlock,
    NormType,
    basic_critic,
    basic_generator,
    gan_critic,
)
from cardigan.fastai.optimizers import Adam, RMSProp, trainable_params
from cardigan.fastai.recorder import Recorder
from cardigan.fastai.transforms import (
    ImageBlock,
    Normalize,
    PadMode,
    PILImage,
    PILImageBW,
    Resize,
    ResizeMethod,
    TransformBlock,
)

__all__ = [
    "Adam",
    "AdaptiveGANSwitcher",
    "AdaptiveLoss",
    "AddChannels",
    "Callback",
    "CancelFitException",
    "ConvLayer",
    "DataBlock",
    "DataLoaders",
    "DenseResBlock",
    "F",
    "FixedGANSwitcher",
    "GANDiscriminativeLR",
    "GANLearner",
    "GANLoss",
    "GANModule",
    "GANTrainer",
    "ImageBlock",
    "IndexSplitter",
    "InvisibleTensor",
    "Learner",
    "NormType",
    "Normalize",
    "PILImage",
    "PILImageBW",
    "PadMode",
    "Path",
    "RMSProp",
    "Recorder",
    "Resize",
    "ResizeMethod",
    "TransformBlock",
    "URLs",
    "accuracy_thresh_expand",
    "basic_critic",
    "basic_generator",
    "gan_critic",
    "gan_loss_from_func",
    "generate_noise",
    "get_image_files",
    "nn",
    "np",
    "partial",
    "set_freeze_model",
    "test_eq",
    "torch",
    "trainable_params",
    "untar_data",
]
