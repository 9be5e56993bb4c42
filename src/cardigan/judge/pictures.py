"""The pictures of a plan: samples as they come by a fixed seed, held-out images, and noise, all as PNG of one size.

Every picture goes the same way, uint8 to PNG by one encoder without any text in it; what it is stands in no byte of it
but its pixels.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cardigan.data.holding import held_out_images
from cardigan.errors import CardiganError
from cardigan.judge.session import COUNT, FEWEST, PRACTICE, Plan
from cardigan.randomness import derive
from cardigan.report.grids import encode_png, to_pillow
from cardigan.runs import Run

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Gallery:
    """A plan with its pictures.

    Args:
        plan: the questions.
        pictures: by name, as PNG.
        size: (height, width) in pixels that all have.
    """

    plan: Plan
    pictures: dict[str, bytes]
    size: tuple[int, int]


def real_or_fake(run: Run, *, count: int | None = None, seed: int = 0) -> Gallery:
    """Samples of a run among its held-out images, half and half.

    Args:
        run: whose generator draws.
        count: pictures that are judged; None is ``COUNT``, or as many as the held-out images allow.
        seed: of samples, of the choice of held-out images, and of orders.

    Raises:
        CardiganError: if the run restores, has no generator yet, or too few images held out.
    """
    generator = _drawing(run)
    held = held_out_images(run.folder.samples)
    have = 0 if held is None else len(held)
    if held is None or 2 * have < FEWEST:
        raise CardiganError(
            f"{run.path} has {have or 'no'} held-out image{'' if have == 1 else 's'}: to tell fake from real, people "
            f"must see real pictures that training never saw, {FEWEST // 2} at least. Runs hold out a tenth of their "
            f"images from 100 on; to have more held out, train again with --set hold_out=0.1 and another --out. Two "
            f"runs can be compared without: cardigan judge {run.path} OTHER"
        )
    if count is not None and count // 2 > have:
        raise CardiganError(
            f"{count} pictures need {count // 2} real ones, but {run.path} has {have} held-out images. Ask for "
            f"--count {2 * have} at most, or train with more held out: --set hold_out=0.2 and another --out."
        )
    known = _practised(run, held.shape[1:])
    plan = Plan(
        task="real-or-fake",
        runs=(run.path.resolve().name,),
        generators=(generator,),
        count=min(COUNT, 2 * have) if count is None else count,
        seed=seed,
        known=len(known),
    )
    order = np.random.default_rng(derive(seed, "judge held-out")).permutation(have)
    fakes = plan.count - plan.real
    samples = run.sample(fakes + PRACTICE, seed=derive(seed, "judge samples"))
    images = {
        **_named("real", held[order[: plan.real]]),
        **_named("known", known),
        **_named("fake", samples),
        **_named("noise", _noise(1 + plan.checks, held.shape[1:], seed)),
    }
    return _gallery(plan, images, held.shape[1:3])


def preference(run: Run, other: Run, *, count: int | None = None, seed: int = 0) -> Gallery:
    """Samples of two runs in pairs: the same places of the same draw.

    Args:
        run: A.
        other: B.
        count: pairs that are judged; None is ``COUNT``.
        seed: of samples and orders.

    Raises:
        CardiganError: if one of them restores or has no generator yet, or both have the same.
    """
    generators = _drawing(run), _drawing(other)
    if generators[0] == generators[1]:
        raise CardiganError(
            f"{run.path} and {other.path} have the same generator, so there is nothing to prefer. Name two runs that "
            f"differ."
        )
    names, sizes = _names(run, other), [each.generator.shape[1:] for each in (run, other)]
    plan = Plan(
        task="preference",
        runs=names,
        generators=generators,
        count=COUNT if count is None else count,
        seed=seed,
        notes=_sizes_told(names, sizes),
    )
    obvious = PRACTICE + plan.checks
    drawn = [each.sample(plan.count + obvious, seed=derive(seed, "judge samples")) for each in (run, other)]
    noise = _noise(obvious, (*max(sizes, key=math.prod), drawn[0].shape[-1]), seed)
    images = _named("A", drawn[0]) | _named("B", drawn[1]) | _named("noise", noise)
    return _gallery(plan, images, max(sizes, key=math.prod))


def _drawing(run: Run) -> str:
    """The SHA-256 of a run's generator, once it is known to draw."""
    _ = run.generator  # says what to do where there is none
    facts: dict[str, Any] = json.loads((run.folder.generator / "config.json").read_text(encoding="utf-8"))
    if "degrade" in facts:
        raise CardiganError(
            f"{run.path} restores images ({facts['degrade']}) and draws none on its own, so there is nothing to judge "
            f"this way. Its report shows restored pictures beside true ones: cardigan report {run.path}"
        )
    return str(facts["sha256"])


def _practised(run: Run, shape: tuple[int, ...]) -> Pixels:
    """Training images, which are real as well and are not needed for judging."""
    try:
        images = np.load(run.folder.samples / "real.npy", allow_pickle=False)[:PRACTICE]
    except (OSError, ValueError):
        return np.zeros((0, *shape), dtype=np.uint8)
    return images if images.shape[1:] == shape else images[:0]


def _names(run: Run, other: Run) -> tuple[str, str]:
    """Short names that differ.

    Two runs may lie under one name in different folders, and one may have been trained anew in its place.
    """
    paths = [each.path.resolve() for each in (run, other)]
    if paths[0].name != paths[1].name:
        return paths[0].name, paths[1].name
    return tuple(f"{path.parent.name}/{path.name}" for path in paths)  # pyright: ignore[reportReturnType]


def _sizes_told(runs: tuple[str, ...], sizes: list[tuple[int, ...]]) -> tuple[str, ...]:
    if sizes[0] == sizes[1]:
        return ()
    told = " and ".join(f"{run} draws {width} x {height}" for run, (height, width) in zip(runs, sizes, strict=True))
    return (f"The runs draw pictures of different sizes ({told}); all were shown at the larger one.",)


def _named(kind: str, images: Pixels) -> dict[str, Pixels]:
    return {f"{kind} {place}": image for place, image in enumerate(images)}


def _noise(count: int, shape: tuple[int, ...], seed: int) -> Pixels:
    """Pictures of which nobody who looks can think that there is anything in them; opaque where there is alpha."""
    noise = np.random.default_rng(derive(seed, "judge noise")).integers(0, 256, (count, *shape), dtype=np.uint8)
    if shape[-1] in (2, 4):
        noise[..., -1] = 255
    return noise


def _gallery(plan: Plan, images: dict[str, Pixels], size: tuple[int, ...]) -> Gallery:
    height, width = size
    pictures = {name: encode_png(_sized(image, height, width)) for name, image in images.items()}
    return Gallery(plan, pictures, (height, width))


def _sized(image: Pixels, height: int, width: int) -> Pixels:
    """A picture enlarged smoothly into the size of the others, its sides in proportion."""
    if image.shape[:2] == (height, width):
        return image
    share = min(height / image.shape[0], width / image.shape[1])
    inner = max(1, round(image.shape[0] * share)), max(1, round(image.shape[1] * share))
    larger = to_pillow(image).resize((inner[1], inner[0]), Image.Resampling.BICUBIC)
    canvas = Image.new(larger.mode, (width, height))
    canvas.paste(larger, ((width - inner[1]) // 2, (height - inner[0]) // 2))
    return np.asarray(canvas, dtype=np.uint8).reshape(height, width, image.shape[2])
