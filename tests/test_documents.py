"""What the documents show works as they show it."""

import re
from pathlib import Path

import numpy as np
import pytest

import cardigan
from cardigan import recipes

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def python_blocks(text):
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder ``photos`` in the current folder with a few colour pictures of 64 pixels."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for place in range(12):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(f"photos/{place}.png")


def small(code):
    """The same code with budgets and networks that a test can afford."""
    code = code.replace("minutes=30", "images=16, batch_size=8, width=4, quiet=True")
    code = code.replace("minutes=120", "images=16, batch_size=8, quiet=True")
    code = code.replace("size=64, latent=128", "size=64, latent=8, width=4").replace("batch_size=64", "batch_size=4")
    code = code.replace("randn(16, 128)", "randn(16, 8)").replace("turns % 10 ", "turns % 2 ")
    return re.sub(r"Discriminator\(size=64", "Discriminator(width=4, size=64", code).replace("1_000_000", "8")


@pytest.mark.parametrize("place", range(len(python_blocks(README))))
def test_the_python_of_the_readme_runs(photos, place):
    exec(compile(small(python_blocks(README)[place]), "README.md", "exec"), {})


def test_the_line_that_the_readme_shows_is_printed(photos, capsys):
    """Its images, and the names of its losses, are those of the turn that prints it."""
    (block,) = [block for block in python_blocks(README) if "print(record)" in block]
    (shown,) = re.findall(r"print\(record\)  # (.*)", block)
    names = re.compile(r"[a-z0-9_]+/[a-z0-9_]+(?= [-0-9])")
    made = {}
    exec(compile(small(block), "README.md", "exec"), made)
    (printed,) = capsys.readouterr().out.splitlines()
    assert names.findall(printed) == names.findall(shown)
    assert shown.startswith(f"{10 * 64} images | ")
    assert printed.startswith(f"{2 * 4} images | ")
    assert made["images"].shape == (16, 64, 64, 3)


def test_the_gan_that_the_design_composes_trains(photos):
    (block,) = [block for block in python_blocks(DESIGN) if "cardigan.GAN(" in block]
    composed = small(block[block.index("gan = cardigan.GAN(") :])
    names = {"cardigan": cardigan}
    exec("from cardigan import augment, models, objectives, regularizers", names)
    exec(compile(composed, "design.md", "exec"), names)
    store = cardigan.prepare(cardigan.open_source("photos"), size=(64, 64))
    records = list(cardigan.fit(names["gan"], cardigan.batches(store, batch_size=4), images=8))
    assert [record.progress.images for record in records] == [4, 8]
    assert all(loss.isfinite() for record in records for loss in record.losses.values())


def test_the_readme_names_every_recipe():
    (table,) = re.findall(r"## Recipes\n(.*?)\n## ", README, flags=re.DOTALL)
    named = set(re.findall(r"`([a-z-]+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    assert named == set(recipes.names())


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda path: path.name)
def test_links_and_pictures_of_the_documents_exist(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (path.parent / target).exists(), target
    assert not re.findall(r"(?:MEASURED|README)-[A-Z]+", text), "a number that was never filled in"
