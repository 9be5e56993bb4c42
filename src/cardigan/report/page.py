"""One self-contained HTML page about a run.

It loads nothing: images are data URIs, charts are inline SVG, and a content security policy forbids the rest. What it
shows are plain values, so it can be written from a run folder long after training, on a machine without torch.
"""

import base64
import hashlib
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cardigan.errors import CardiganError
from cardigan.report import animation
from cardigan.report.charts import charts, score_charts
from cardigan.report.copying import Likeness, gallery
from cardigan.report.grids import Pixels, encode_webp, reduce, tidy_columns, write_bytes
from cardigan.report.pictures import PIXELATED_BELOW, Picture, embed, lay_out
from cardigan.report.restoration import compared, trial_charts
from cardigan.report.scores import Scores

MOST_IMAGES, FEWEST_IMAGES, MOST_PIXELS = 64, 16, 64 * 96 * 96  # of real and of generated images, each
LOSSLESS_BYTES = 600_000  # larger grids are compressed, all of a comparison alike
MOST_FRAMES, FRAME_SIDE, FILM_BYTES = 40, 800, 1_300_000  # of the samples through training, in the page
MOST_ANIMATED = 120  # frames of the animation beside the page
MOST_CLASSES = 50
KINDS = {1: "grey", 2: "grey, partly transparent", 3: "colour", 4: "colour, partly transparent"}


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything that a report shows. Images are uint8 with channels last, C from 1 to 4.

    Args:
        title: the run's name.
        summary: what to know first, as (name, value): recipe, data, images seen, time, device, parameters.
        settings: every setting, nested or not; shown folded.
        data: a summary of the data. ``classes`` (name -> count), ``warnings`` (list of texts) and ``skipped`` (list
            of [file, reason]) are shown in their own way, ``split`` is not, all else as name and value.
        real: images of the data, (N, H, W, C).
        generated: samples, (N, H, W, C), as they came: the page says that none was chosen by hand.
        snapshots: (images seen, grid of shape (H, W, C)), samples of the same latents through training. A grid with
            a background of None looks right in dark mode too.
        interpolation: (rows, steps, H, W, C); each row walks from one latent to another. None where there is none.
        per_class: (classes, n, H, W, C). None for a generator without classes.
        class_names: the names of the classes, in order.
        records: each with "images", "seconds", "images_per_second", "losses" {name: value} and "logits" {"real",
            "fake"}; a missing or None number counts as not a number.
        comparison: of a restoration, (name, images) for each column, such as what was given, restored and true; all
            uint8 of one shape (N, H, W, C). ``real`` and ``generated`` may then be empty.
        trials: measurements in training: of a restoration as :func:`cardigan.report.restoration.trial_charts` reads
            them, of other runs as :func:`cardigan.report.charts.score_charts` does.
        likeness: whether the generator copies; None leaves it out.
        scores: how good the generator is; None leaves it out.
        notes: warnings, resumes and remedies, in order.
        command: what was typed to train.
        version: of the library.
    """

    title: str
    real: Pixels
    generated: Pixels
    summary: Sequence[tuple[str, str]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    snapshots: Sequence[tuple[int, Pixels]] = ()
    interpolation: Pixels | None = None
    per_class: Pixels | None = None
    class_names: Sequence[str] = ()
    records: Sequence[Mapping[str, Any]] = ()
    comparison: Sequence[tuple[str, Pixels]] = ()
    trials: Sequence[Mapping[str, Any]] = ()
    likeness: Likeness | None = None
    scores: Scores | None = None
    notes: Sequence[str] = ()
    command: str = ""
    version: str = ""


def render(contents: Contents) -> str:
    """The page as HTML.

    Args:
        contents: what to show. A part that is empty or None leaves out its section.

    Returns:
        One document that loads nothing from anywhere; every text from ``contents`` is escaped.

    Raises:
        TypeError: if images are not uint8.
        CardiganError: if the shape of images cannot work.
    """
    from jinja2 import Environment, StrictUndefined  # a tenth of a second that only reports should pay

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"content_hash": _content_hash, "capitalize_first": lambda text: text[:1].upper() + text[1:]}
    source = importlib.resources.files("cardigan.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    real, generated = _comparison(contents)
    return environment.from_string(source).render(
        contents=contents,
        lede=_lede(contents),
        columns=compared(contents.comparison),
        real=real,
        generated=generated,
        classes=_classes(contents),
        likeness=contents.likeness,
        scores=contents.scores,
        gallery=gallery(contents.likeness),
        film=_film(contents),
        charts=(trial_charts if contents.comparison else score_charts)(contents.trials) + charts(contents.records),
        interpolation=_interpolation(contents.interpolation),
        data=_data(contents.data),
        settings=list(flatten(contents.settings)),
    )


def write(contents: Contents, folder: str | Path) -> Path:
    """Write ``report.html``, and ``progress.webp`` beside it where there are snapshots; each whole or not at all.

    Args:
        contents: what to show.
        folder: where to; it is made if needed.

    Returns:
        The path of the page.
    """
    page = render(contents)
    if contents.snapshots:
        frames = [frame for _, frame in animation.thin(contents.snapshots, MOST_ANIMATED)]
        animation.write(animation.match(frames), Path(folder) / "progress.webp")
    return write_bytes(page.encode(), Path(folder) / "report.html")


def plain(value: Any) -> str:
    """A setting or a count as a reader would write it.

    Example:
        >>> plain(2e-4), plain(60000), plain(None), plain(True), plain([0.5, 0.999])
        ('0.0002', '60,000', 'none', 'yes', '0.5, 0.999')
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value) or "none"
    return str(value)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as dotted names and texts.

    Example:
        >>> list(flatten({"size": 64, "optimizer": {"rate": 2e-4}}))
        [('size', '64'), ('optimizer.rate', '0.0002')]
    """
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "none" if value == {} else plain(value)


def duration(seconds: float) -> str:
    """Seconds in words.

    Example:
        >>> duration(48), duration(7830), duration(190)
        ('48 s', '2 h 10 min', '3 min 10 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _content_hash(script: str) -> str:
    """What the content security policy calls a script by: the page runs this script and no other."""
    return base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode()


def _shown(contents: Contents) -> Pixels:
    """The images that the run is about."""
    return contents.comparison[-1][1] if contents.comparison else contents.generated


def _lede(contents: Contents) -> str:
    _, height, width, channels = _shown(contents).shape
    what = "that restores images" if contents.comparison else f"of {width} × {height} images"
    kind = f"A generator {what} ({KINDS[channels]})"
    if not contents.records:
        return kind + "."
    last = contents.records[-1]
    return f"{kind}, after {last['images']:,} images seen in {duration(last['seconds'])} of training."


def _picture(image: Pixels, *, side: int, columns: int, quality: int | None = None, label: str = "") -> Picture:
    widest, pixelated = max(image.shape[1], columns * 120), side < PIXELATED_BELOW
    return embed(image, widest=widest, pixelated=pixelated, quality=quality, label=label)


def _comparison(contents: Contents) -> tuple[Picture | None, Picture | None]:
    """As many real as generated images, in equal columns, at equal scale, equally compressed."""
    both = [contents.real, contents.generated]
    if contents.comparison and not any(images.size for images in both):
        return None, None
    if any(images.ndim != 4 for images in both):
        raise CardiganError(f"Images in a report have shape (N, H, W, C), got {both[0].shape} and {both[1].shape}.")
    _, height, width, _ = contents.generated.shape
    most = min(MOST_IMAGES, max(FEWEST_IMAGES, MOST_PIXELS // (height * width)))
    count = min([most, *(len(images) for images in both if len(images))])
    columns = tidy_columns(count)
    sheets = [lay_out(images[:count], columns) if len(images) else None for images in both]
    large = any(sheet is not None and len(encode_webp(sheet)) > LOSSLESS_BYTES for sheet in sheets)
    label, quality = f"{count} images" if count > 1 else "1 image", 90 if large else None
    real, generated = (
        None if sheet is None else _picture(sheet, side=width, columns=columns, quality=quality, label=label)
        for sheet in sheets
    )
    return real, generated


def _classes(contents: Contents) -> list[Picture]:
    if contents.per_class is None or contents.per_class.size == 0:
        return []
    rows = contents.per_class[:MOST_CLASSES, :8]
    names = [*contents.class_names, *(f"class {index}" for index in range(len(contents.class_names), len(rows)))]
    look: dict[str, Any] = {"side": rows.shape[3], "columns": rows.shape[1], "quality": None if rows.size < 2e6 else 88}
    return [_picture(lay_out(row, len(row)), label=name, **look) for row, name in zip(rows, names, strict=False)]


def _film(contents: Contents) -> list[Picture]:
    """The snapshots, thinned and compressed until together they are small enough for a page."""
    chosen = animation.thin(contents.snapshots, MOST_FRAMES)
    sheets = [(f"{seen:,} images seen", reduce(sheet, side=FRAME_SIDE)) for seen, sheet in chosen]
    side, frames = _shown(contents).shape[2], []
    for quality in (85, 70, 50, 30):
        frames = [_picture(sheet, side=side, columns=8, quality=quality, label=label) for label, sheet in sheets]
        if sum(len(frame.uri) for frame in frames) * 3 // 4 <= FILM_BYTES:
            break
    return frames


def _interpolation(images: Pixels | None) -> Picture | None:
    if images is None or images.size == 0:
        return None
    rows, steps, height, width, channels = images.shape
    sheet = reduce(lay_out(images.reshape(rows * steps, height, width, channels), steps), side=1600)
    return _picture(sheet, side=width, columns=steps, quality=None if sheet.size < 2_000_000 else 88)


def _data(data: Mapping[str, Any]) -> dict[str, Any] | None:
    if not data:
        return None
    counts, size = dict(data.get("classes") or {}), data.get("size")
    rest = {name: value for name, value in data.items() if name not in ("classes", "warnings", "skipped", "split")}
    rest |= {"size": " × ".join(map(str, size))} if isinstance(size, (list, tuple)) else {}
    rest |= {"classes": len(counts)} if counts else {}
    most = max([1, *counts.values()])
    return {
        "facts": [(name.replace("_", " ").capitalize(), text) for name, text in flatten(rest)],
        "classes": [(name, count, count / most) for name, count in list(counts.items())[:MOST_CLASSES]],
        "more": max(0, len(counts) - MOST_CLASSES),
        "warnings": list(data.get("warnings") or []),
        "skipped": list(data.get("skipped") or []),
    }
