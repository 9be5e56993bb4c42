"""Whose turn it is: functions from the clock to the players of the next turn.

One turn draws one batch and one set of latents; its players act on them in order. So ``("discriminator",)`` is a turn
of one player, and ``("discriminator", "generator")`` is a turn in which both see the same fakes.
"""

import math
from typing import Any

from cardigan.checks import check, check_choice, check_count
from cardigan.clock import Progress, Turns
from cardigan.contracts import PLAYERS, Player, Turn
from cardigan.errors import CardiganError


def check_turn(turn: Any) -> Turn:
    """The turn, if it can be taken.

    Raises:
        CardiganError: if it is no tuple of players, is empty, or lets the generator act twice on one batch.

    Example:
        >>> check_turn(("discriminator", "generator"))
        ('discriminator', 'generator')
    """
    if not isinstance(turn, tuple) or not turn or any(player not in PLAYERS for player in turn):
        raise CardiganError(
            f"The next turn is {turn!r}, expected a tuple of players: ('discriminator',), ('generator',) or both. "
            f"Give turns=alternate(discriminator=1, generator=1), or another function from Progress to such a tuple."
        )
    if turn.count("generator") > 1:
        raise CardiganError(
            f"The next turn is {turn!r}, in which the generator acts twice on one batch; expected once. Give it two "
            f"turns: alternate(discriminator=1, generator=2)."
        )
    return turn


def alternate(*, discriminator: int = 1, generator: int = 1) -> Turns:
    """Fixed numbers of turns for each player, every one with fresh images and fresh latents; discriminator first.

    Args:
        discriminator: turns in a row, a whole number from 0 up.
        generator: likewise.

    Raises:
        CardiganError: if a number is not one of turns, or both are 0.

    Example:
        >>> turns = alternate(discriminator=2, generator=1)
        >>> [turns(Progress(turns=count))[0] for count in range(4)]
        ['discriminator', 'discriminator', 'generator', 'discriminator']
    """
    check_count("discriminator", discriminator, of="alternate", least=0, instead=1)
    check_count("generator", generator, of="alternate", least=0, instead=1)
    if discriminator + generator < 1:
        raise CardiganError("alternate(discriminator=0, generator=0) lets nobody play. Type alternate().")

    def turns(progress: Progress) -> Turn:
        place = progress.turns % (discriminator + generator)
        return ("discriminator",) if place < discriminator else ("generator",)

    return turns


def together(first: Player = "discriminator") -> Turns:
    """Both players in every turn, on the same images and the same fakes: one generator pass serves both.

    The order of most tutorials. The second player sees the first one's new weights.

    Raises:
        CardiganError: if there is no such player.

    Example:
        >>> together("generator")(Progress())
        ('generator', 'discriminator')
    """
    check_choice("first", first, PLAYERS, of="together")
    turn: Turn = ("discriminator", "generator") if first == "discriminator" else ("generator", "discriminator")
    return lambda progress: turn


def adaptive(
    *,
    discriminator: float | None = None,
    generator: float | None = None,
    longest: int = 20,
    first: Player = "generator",
) -> Turns:
    """A player keeps its turn until its smoothed adversarial loss falls below a threshold.

    Source: the adaptive switching of NoGAN (Antic, Howard and Manor, 2019), with a maximum so that it cannot stall.

    Args:
        discriminator: the loss below which the discriminator hands over; None hands over after each turn.
        generator: likewise for the generator.
        longest: turns in a row after which a player hands over in any case.
        first: who begins.

    Raises:
        CardiganError: if a threshold is not a finite number, ``longest`` is below 1 or there is no such player; when a
            turn is asked for, if the player has no adversarial loss.

    Example:
        >>> turns = adaptive(discriminator=0.6, first="discriminator")
        >>> turns(Progress(last=("discriminator",), streak=1, smoothed={"discriminator": 0.9}))
        ('discriminator',)
        >>> turns(Progress(last=("discriminator",), streak=1, smoothed={"discriminator": 0.5}))
        ('generator',)
    """
    check_count("longest", longest, of="adaptive", instead=20)
    check_choice("first", first, PLAYERS, of="adaptive")
    thresholds: dict[Player, float | None] = {"discriminator": discriminator, "generator": generator}
    for name, threshold in thresholds.items():
        if threshold is not None:
            check(name, threshold, math.isfinite, "a finite loss or None", 0.6, of="adaptive")

    def turns(progress: Progress) -> Turn:
        if not progress.last:
            return (first,)
        player = progress.last[-1]
        threshold = thresholds[player]
        if threshold is not None and player not in progress.smoothed:
            raise CardiganError(
                f"adaptive({player}={threshold}) waits for the {player}'s adversarial loss, and the objective gives it "
                f"none. Leave {player} out, or take alternate()."
            )
        done = threshold is None or float(progress.smoothed[player]) < threshold or progress.streak >= longest
        return (other(player) if done else player,)

    return turns


def other(player: Player) -> Player:
    """The opponent.

    Example:
        >>> other("generator")
        'discriminator'
    """
    return "discriminator" if player == "generator" else "generator"
