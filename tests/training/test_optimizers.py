"""Optimizers against their papers' formulas, in float64."""

import pytest
import torch
from torch import nn

from cardigan.errors import CardiganError
from cardigan.training.optimizers import Adam, RMSprop


def steps(settings, gradients, start):
    weight = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = settings([weight])
    path = []
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        path.append(weight.detach().clone())
    return torch.stack(path)


GRADIENTS = [[1.0, -2.0, 0.0], [0.5, 3.0, 1e-3], [-1.0, 0.1, -1e-3], [0.0, 0.0, 0.0]]
START = [0.3, -0.2, 0.1]


@pytest.mark.parametrize(("rate", "beta1", "beta2"), [(2e-4, 0.5, 0.999), (1e-3, 0.0, 0.9), (0.1, 0.9, 0.99)])
def test_adam_is_kingma_and_bas_algorithm_1(rate, beta1, beta2):
    weight = torch.tensor(START, dtype=torch.float64)
    mean, square, path = torch.zeros(3).double(), torch.zeros(3).double(), []
    for number, gradient in enumerate(torch.tensor(GRADIENTS, dtype=torch.float64), start=1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        weight = weight - rate * (mean / (1 - beta1**number)) / ((square / (1 - beta2**number)).sqrt() + 1e-8)
        path.append(weight)
    torch.testing.assert_close(steps(Adam(rate, beta1, beta2), GRADIENTS, START), torch.stack(path), rtol=1e-12, atol=0)


def test_adam_accepts_whole_numbers_as_a_command_line_gives_them():
    assert Adam(1e-3, beta1=0, beta2=0.99)([nn.Parameter(torch.zeros(1))]).defaults["betas"] == (0.0, 0.99)


def test_rmsprop_divides_by_the_running_root_mean_square():
    weight, square, path = torch.tensor(START, dtype=torch.float64), torch.zeros(3).double(), []
    for gradient in torch.tensor(GRADIENTS, dtype=torch.float64):
        square = 0.99 * square + 0.01 * gradient**2
        weight = weight - 5e-5 * gradient / (square.sqrt() + 1e-8)
        path.append(weight)
    torch.testing.assert_close(steps(RMSprop(), GRADIENTS, START), torch.stack(path), rtol=1e-12, atol=0)


def test_settings_are_values():
    assert Adam(1e-3) == Adam(1e-3)
    assert repr(RMSprop(0.5)) == "RMSprop(learning_rate=0.5)"
    one, other = (Adam()([nn.Parameter(torch.zeros(1))]) for _ in range(2))
    assert one is not other


REFUSED = {
    "Adam: learning_rate is -0.1, expected a finite number, at least 0. Type learning_rate=0.0002.": lambda: Adam(-0.1),
    "Adam: learning_rate is nan,": lambda: Adam(float("nan")),
    "Adam: beta1 is 1.0, expected a number, at least 0 and below 1. Type beta1=0.5.": lambda: Adam(beta1=1.0),
    "Adam: beta2 is -0.1,": lambda: Adam(beta2=-0.1),
    "RMSprop: learning_rate is inf,": lambda: RMSprop(float("inf")),
}


@pytest.mark.parametrize("words", REFUSED)
def test_settings_that_cannot_be_are_refused(words):
    with pytest.raises(CardiganError) as caught:
        REFUSED[words]()
    assert words in str(caught.value)
