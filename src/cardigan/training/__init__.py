"""The heart: one loop for every GAN. It knows no architecture and no loss, only contracts."""

from cardigan.training.loop import Training, fit
from cardigan.training.optimizers import Adam, RMSprop
from cardigan.training.schedules import constant, linear
from cardigan.training.turns import adaptive, alternate, together

__all__ = ["Adam", "RMSprop", "Training", "adaptive", "alternate", "constant", "fit", "linear", "together"]
