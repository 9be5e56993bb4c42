"""How quick is a step? Each tutorial's loop beside the recipe of the same mathematics, and beside other libraries.

All images lie in memory, as floats on the tutorial's side, which works in a process of its own. Before anything is
timed, both sides start from equal weights, images and noise, and their losses must agree.
"""

from collections.abc import Iterator, Mapping

from bench.alternation import Plan, Spent, rates, row
from bench.elsewhere import Elsewhere, There
from bench.peers import PEERS, Peer
from bench.sides import difference, ours, same_mathematics, store_for, task_of
from bench.table import Row
from bench.tutorials import NAMES, Tutorial, load
from cardigan import recipes
from cardigan.data.batches import batches

AGREE = 0.01
"""Losses of the same mathematics differ by less; in single precision two orders of summation part by about 1e-3."""
GOALS = {"mlp": 1.6, "cgan": 1.6, "dcgan": 1.6}
SHARES = {"mlp": 1, "cgan": 1, "dcgan": 3, "fastgan": 3, "wgan": 5}
SHORT = {"mlp": "fully connected GAN", "cgan": "conditional GAN", "dcgan": "DCGAN, 64 px"}


class DifferentMathematicsError(Exception):
    """Two sides that should do the same do not, so their speeds say nothing."""


def rows(plan: Plan) -> Iterator[Row]:
    """A row for each tutorial, one for the recipe that we would use instead, and one for each peer that is there."""
    wanted = [name for name in NAMES if plan.wants(name)]
    peers = [name for name in PEERS if plan.wants(name)]
    shares = sum(SHARES[name] for name in wanted) + 3 * len([name for name in peers if name in plan.peers])
    for name in wanted:
        yield from beside_tutorial(name, plan, seconds=plan.seconds * SHARES[name] / shares)
    for name in peers:
        if name in plan.peers:
            yield from beside_peer(name, plan, seconds=plan.seconds * 3 / shares)
        else:
            plan.skipped.append(f"{name}: no interpreter that has it was named (--peer {name}=PYTHON)")


def beside_tutorial(name: str, plan: Plan, *, seconds: float) -> Iterator[Row]:
    """The tutorial, the same mathematics, and the corrected recipe, in turn."""
    tutorial = load(name)
    apart = difference(tutorial, batch=4 if plan.quick else 16)
    if apart > AGREE:
        raise DifferentMathematicsError(
            f"{name}: from equal weights, images and noise the losses differ by {apart:.2%} within {tutorial.checked} "
            f"iterations, more than {AGREE:.0%}: this is not the same mathematics, so nothing is compared."
        )
    batch = 4 if plan.quick else tutorial.batch
    store = store_for(tutorial, batch)
    drawn = batches(store, batch_size=batch, labels=bool(tutorial.classes))
    arms = {tutorial.recipe: ours(same_mathematics(tutorial, store, batch), drawn, cycle=tutorial.cycle)}
    corrected = recipes.prepare(tutorial.corrected, task_of(store))
    if tutorial.corrected != tutorial.recipe:
        size = min(batch, corrected.batch_size)
        own = batches(store, batch_size=size, flip=corrected.flip, labels=bool(tutorial.classes))
        arms[tutorial.corrected] = ours(corrected, own)
    with Elsewhere(plan.threads) as place:
        found = rates({"tutorial": There(place, name, batch=batch)} | arms, plan, seconds=seconds)
    agreed = f"losses agree to {apart:.0e} after {tutorial.checked} iterations"
    yield chosen(
        found,
        "tutorial",
        tutorial.recipe,
        name=f"{tutorial.title}: same mathematics",
        goal=GOALS.get(name),
        note=agreed,
        short=SHORT.get(name, ""),
    )
    if tutorial.corrected in found and tutorial.corrected != tutorial.recipe:
        yield chosen(
            found,
            "tutorial",
            tutorial.corrected,
            name=f"{tutorial.title}: the recipe for its place",
            note=f"other mathematics, batches of {min(batch, corrected.batch_size)}",
        )


def chosen(found: Mapping[str, list[Spent]], theirs: str, mine: str, **told: object) -> Row:
    """Two of the arms that took turns."""
    return row(found={theirs: found[theirs], mine: found[mine]}, **told)  # pyright: ignore[reportArgumentType]


def beside_peer(name: str, plan: Plan, *, seconds: float) -> Iterator[Row]:
    """Another library in a process of its own, and our recipes, in turn."""
    about = PEERS[name]
    batch = 4 if plan.quick else about.batch
    with Peer(name, plan.peers[name], batch=batch, threads=plan.threads) as peer:
        if peer.trouble:
            plan.skipped.append(f"{name}: {peer.trouble}")
            return
        tutorial: Tutorial = load(about.shaped_like)
        store = store_for(tutorial, batch)
        arms = {name: lambda: peer.train(about.cycle)}
        for recipe in about.recipes:
            known = recipes.prepare(recipe, task_of(store), batch_size=batch)
            arms[recipe] = ours(known, batches(store, batch_size=batch), cycle=about.cycle)
        found = rates(arms, plan, seconds=seconds)
        for recipe in about.recipes:
            note = f"{about.note}; {peer.versions}"
            yield chosen(found, name, recipe, name=f"{name} {peer.version}: {about.title}", note=note)
