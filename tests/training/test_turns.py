"""Whose turn it is."""

from itertools import groupby

import pytest
import torch

from cardigan.clock import Progress
from cardigan.errors import CardiganError
from cardigan.training.turns import adaptive, alternate, check_turn, other, together


def play(turns, count, *, losses=None):
    """The players of ``count`` turns, the clock kept as the loop keeps it; a loss for each player, by its steps."""
    progress, played = Progress(), []
    for _ in range(count):
        turn = turns(progress)
        played.append(turn)
        progress.streak = progress.streak + 1 if turn == progress.last else 1
        progress.last, progress.turns = turn, progress.turns + 1
        for player in turn:
            progress.steps[player] += 1
            if losses:
                progress.smoothed[player] = torch.tensor(losses[player](progress.steps[player]))
    return played


D, G = ("discriminator",), ("generator",)


@pytest.mark.parametrize(("d", "g"), [(1, 1), (5, 1), (1, 3), (2, 2), (0, 1), (1, 0)])
def test_alternate_repeats_its_round(d, g):
    assert play(alternate(discriminator=d, generator=g), 4 * (d + g)) == 4 * (d * [D] + g * [G])


REFUSED = {
    "alternate(discriminator=0, generator=0) lets nobody play. Type alternate().": lambda: alternate(
        discriminator=0, generator=0
    ),
    "alternate: discriminator is -1, expected a whole number, at least 0.": lambda: alternate(discriminator=-1),
    "alternate: generator is 1.5, expected a whole number, at least 0.": lambda: alternate(generator=1.5),
    "together: first is 'generatr'. Did you mean 'generator'?": lambda: together("generatr"),
    "together: first is Progress(": lambda: together(Progress()),  # turns=together, without ()
    "adaptive: longest is 0, expected a whole number, at least 1.": lambda: adaptive(longest=0),
    "adaptive: first is 'critic'. Known: discriminator, generator.": lambda: adaptive(first="critic"),
    "adaptive: generator is nan, expected a finite loss or None.": lambda: adaptive(generator=float("nan")),
    "adaptive(discriminator=0.5) waits for the discriminator's adversarial loss": lambda: adaptive(discriminator=0.5)(
        Progress(last=("discriminator",), streak=1)
    ),
    "The next turn is ('critic',), expected a tuple of players": lambda: check_turn(("critic",)),
    "The next turn is 'generator', expected a tuple of players": lambda: check_turn("generator"),
    "The next turn is (), expected a tuple of players": lambda: check_turn(()),
    "the generator acts twice on one batch; expected once.": lambda: check_turn(("generator", "generator")),
}


@pytest.mark.parametrize("words", REFUSED)
def test_turns_that_cannot_be_taken_are_refused(words):
    with pytest.raises(CardiganError) as caught:
        REFUSED[words]()
    assert words in str(caught.value)


def test_alternate_starts_anywhere_by_the_clock_alone():
    turns = alternate(discriminator=5, generator=1)
    assert [turns(Progress(turns=count)) for count in (4, 5, 6, 11, 6_000_005)] == [D, G, D, G, G]


def test_together_names_both_in_the_order_asked_for():
    assert play(together(), 3) == 3 * [("discriminator", "generator")]
    assert play(together("generator"), 3) == 3 * [("generator", "discriminator")]


def test_adaptive_without_thresholds_takes_turns_one_by_one():
    assert play(adaptive(), 4) == [G, D, G, D]
    assert play(adaptive(first="discriminator"), 4) == [D, G, D, G]


def test_adaptive_keeps_a_player_until_its_loss_is_below_its_threshold():
    """The discriminator's loss falls below 0.5 at its 3rd step, rises again, and falls at its 8th."""
    falling = {"discriminator": lambda step: 0.4 if step in (3, 8) else 0.9, "generator": lambda step: 1.0}
    played = play(adaptive(discriminator=0.5, first="discriminator"), 10, losses=falling)
    assert played == [D, D, D, G, D, D, D, D, D, G]


def test_adaptive_hands_over_only_strictly_below():
    level = {"discriminator": lambda step: 0.5, "generator": lambda step: 0.5}
    assert play(adaptive(discriminator=0.5, first="discriminator", longest=4), 5, losses=level) == [D, D, D, D, G]


@pytest.mark.parametrize("longest", [1, 2, 7])
def test_adaptive_cannot_stall(longest):
    never = {"discriminator": lambda step: 9.0, "generator": lambda step: float("inf")}
    played = play(adaptive(discriminator=0.1, generator=0.1, longest=longest), 6 * longest, losses=never)
    assert [(turn, len(list(group))) for turn, group in groupby(played)] == 3 * [(G, longest), (D, longest)]


def test_adaptive_cannot_stall_on_a_loss_that_is_no_number():
    never = {"discriminator": lambda step: float("nan"), "generator": lambda step: float("nan")}
    assert len(set(play(adaptive(discriminator=0.1, generator=0.1, longest=3), 7, losses=never))) == 2


def test_the_opponent():
    assert other("discriminator") == "generator"
    assert other("generator") == "discriminator"
