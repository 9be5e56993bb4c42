"""Whose turn it is: functions from the clock to the players of the next turn.

One turn draws one batch and one set of latents; its players act on them in order. So ``("discriminator",)`` is a turn
of one player, and ``("discriminator", "generator")`` is a turn in which both see the same fakes.
"""

from cardigan.clock import Progress, Turns
from cardigan.contracts import Player, Turn


def alternate(*, discriminator: int = 1, generator: int = 1) -> Turns:
    """Fixed numbers of turns for each player, every one with fresh images and fresh latents; discriminator first.

    Example:
        >>> turns = alternate(discriminator=2, generator=1)
        >>> [turns(Progress(turns=count))[0] for count in range(4)]
        ['discriminator', 'discriminator', 'generator', 'discriminator']
    """
    if min(discriminator, generator) < 0 or discriminator + generator < 1:
        raise ValueError(f"Turns must be counts of which one is positive, got {discriminator} and {generator}.")

    def turns(progress: Progress) -> Turn:
        place = progress.turns % (discriminator + generator)
        return ("discriminator",) if place < discriminator else ("generator",)

    return turns


def together(first: Player = "discriminator") -> Turns:
    """Both players in every turn, on the same images and the same fakes: one generator pass serves both.

    The order of most tutorials. The second player sees the first one's new weights.

    Example:
        >>> together("generator")(Progress())
        ('generator', 'discriminator')
    """
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

    Example:
        >>> turns = adaptive(discriminator=0.6, first="discriminator")
        >>> turns(Progress(last=("discriminator",), streak=1, smoothed={"discriminator": 0.9}))
        ('discriminator',)
        >>> turns(Progress(last=("discriminator",), streak=1, smoothed={"discriminator": 0.5}))
        ('generator',)
    """
    if longest < 1:
        raise ValueError(f"longest must be at least 1, got {longest}.")
    thresholds: dict[Player, float | None] = {"discriminator": discriminator, "generator": generator}

    def turns(progress: Progress) -> Turn:
        if not progress.last:
            return (first,)
        player = progress.last[-1]
        threshold = thresholds[player]
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
