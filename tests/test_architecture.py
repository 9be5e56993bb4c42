"""The star: who may import whom, as a literal table; and what nobody may touch."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cardigan

SOURCE = Path(cardigan.__file__).parent

ANY = {"*"}
LEAVES = {
    "errors",
    "checks",
    "out_of_memory",
    "pixels",
    "randomness",
    "contracts",
    "clock",
    "discovery",
    "durable",
    "paths",
    "beside",
    "place",
    "share",
    "crew",
    "float32",
}
PARTS = {"models", "objectives", "regularizers", "augment", "layers"}

# A room is a file or a folder right below the package; "room/file" overrules its folder. A folder may import itself
# only where its own name is listed.
ALLOWED = {
    # leaves
    "errors": set(),
    "pixels": set(),
    "randomness": set(),
    "checks": {"discovery", "errors"},
    "contracts": {"checks", "errors"},
    "clock": {"contracts"},
    "durable": set(),
    "paths": set(),
    "beside": set(),
    "interrupts": set(),
    "out_of_memory": {"errors"},
    "place": {"interrupts", "out_of_memory"},
    "share": {"contracts", "out_of_memory", "place"},
    "crew": {"errors", "place", "share"},
    "_version": set(),
    "float32": set(),
    "discovery": {"errors"},
    "tuning": set(),
    # parts
    "layers": {"checks", "errors", "share"},
    "models": {"contracts", "layers", "errors", "features", "pixels", "share"},
    "models/fastgan": {"contracts", "layers", "errors", "models._fastgan"},
    "models/__init__": {"discovery"},
    "objectives": {"checks", "contracts", "errors", "share"},
    "regularizers": {"checks", "contracts", "errors", "pixels", "share", "regularizers"},
    "augment": {"checks", "contracts", "errors", "discovery", "share", "augment"},
    # what other networks see
    "features": LEAVES | {"layers", "features._contract"},
    "features/__init__": LEAVES | {"features"},
    # data
    "data": {"errors", "paths", "data"},
    "data/batches": {"errors", "data", "pixels", "contracts", "randomness", "place", "share"},
    "data/degrade": {"errors", "pixels", "contracts", "randomness", "share"},
    # numbers from pictures
    "metrics": {"errors"},
    "metrics/copying": {"errors", "metrics.neighbours"},
    "metrics/authenticity": {"errors", "metrics.neighbours"},
    "metrics/frechet": {"errors", "metrics.heaps"},
    "metrics/inception_score": {"errors", "metrics.heaps"},
    "metrics/kernel": {"errors", "metrics.heaps"},
    "metrics/modes": {"errors", "metrics.heaps"},
    "metrics/pairs": {"metrics.heaps"},
    "metrics/manifold": {"errors", "metrics.heaps", "metrics.pairs"},
    "metrics/duplicates": {"errors", "metrics.heaps", "metrics.pairs"},
    # what scores look through
    "evaluation": {"errors"},
    "evaluation/resize": {"pixels", "features"},
    "evaluation/extractors_contract": {"errors"},
    "evaluation/cache": {"durable", "data.cache", "data.store", "evaluation.extractors_contract"},
    "evaluation/inception": {"errors", "float32", "pixels", "evaluation.extractors_contract", "evaluation.resize"},
    "evaluation/extractors_arithmetic": {
        "errors",
        "pixels",
        "metrics.descriptor",
        "evaluation.extractors_contract",
        "evaluation.resize",
    },
    "evaluation/extractors_classifier": {
        "errors",
        "float32",
        "randomness",
        "features",
        "data.cache",
        "data.store",
        "evaluation.extractors_contract",
        "evaluation.resize",
    },
    "evaluation/extractors_network": {
        "errors",
        "features",
        "float32",
        "evaluation.extractors_contract",
        "evaluation.resize",
    },
    "evaluation/extractors": {"errors", "paths", "evaluation"},
    "evaluation/card": {"durable", "errors"},
    "evaluation/ranking": {"errors", "evaluation.card"},
    "evaluation/words": {"data.words", "evaluation.card", "evaluation.ranking"},
    "evaluation/shown": {"errors", "evaluation.card", "evaluation.words", "report.scores"},
    "evaluation/scores": {"errors", "randomness", "metrics", "evaluation.card", "evaluation.extractors_contract"},
    "evaluation/tricks": {"metrics", "evaluation.card", "evaluation.extractors_contract"},
    "evaluation/measure": {
        "errors",
        "data.store",
        "metrics.copying",
        "metrics.descriptor",
        "metrics.manifold",
        "evaluation",
    },
    "evaluation/gathering": {"errors", "randomness", "data", "evaluation", "metrics.copying"},
    # the heart
    "training": LEAVES | {"training"},
    "training/pace": LEAVES | {"layers", "training"},
    # those who watch
    "report": {"errors", "report"},
    "watchers": {"beside", "contracts", "clock", "data.words", "durable", "errors", "report", "sample"},
    # the table where parts are assembled
    "recipes": PARTS
    | LEAVES
    | {"features", "training", "data.degrade", "recipes._contract", "recipes._augmentation", "recipes._fastgan"},
    "recipes/_contract": LEAVES | {"training", "data.degrade"},
    "recipes/_augmentation": {"augment", "contracts"},
    "recipes/_fastgan": {"contracts", "features", "models", "objectives", "regularizers", "recipes._augmentation"},
    "recipes/__init__": LEAVES | {"recipes._contract", "spelling"},
    "recipes/auto": PARTS | LEAVES | {"training", "recipes._contract", "recipes"},
    "spelling": {"discovery", "errors"},
    "settings": {"errors", "recipes", "data", "spelling", "training"},
    "recipe_text": {"recipes", "data", "settings"},
    "request": {"errors", "paths", "layers", "recipes", "data", "settings", "spelling"},
    "folder": {"durable", "errors", "paths"},
    "sample": LEAVES | {"models", "training"},
    "restoring": {"contracts", "errors", "out_of_memory", "pixels", "data.degrade"},
    "picture_files": {
        "errors",
        "data.decode",
        "data.formats",
        "data.layout",
        "data.options",
        "data.values",
        "data.words",
        "report.grids",
    },
    "cost": {"durable", "report.page"},
    "copies": LEAVES
    | {"folder", "metrics", "data.holding", "data.store", "data.verdicts", "report.copying", "report.grids"},
    "contents": LEAVES | {"copies", "cost", "data.words", "evaluation.shown", "folder", "report.page", "sample"},
    "runs": LEAVES
    | {"contents", "folder", "report.page", "request", "sample", "restoring", "picture_files", "data.degrade"}
    | {"recipes", "settings", "training"},
    "judge": LEAVES
    | {"judge", "folder", "metrics.proportions", "data.holding", "report.grids", "report.pictures", "runs"},
    "scoring": {
        "errors",
        "out_of_memory",
        "paths",
        "randomness",
        "data",
        "evaluation",
        "folder",
        "runs",
        "settings",
        "_version",
    },
    "trials": {"trials"},
    "trials/ledger": LEAVES | {"folder", "recipes"},
    "trials/quick": {"pixels", "evaluation", "metrics.descriptor"},
    "trials/restored": LEAVES | {"data", "metrics", "recipes", "sample", "trials.ledger"},
    "trials/drawn": LEAVES
    | {"data", "evaluation", "metrics.kernel", "recipes", "sample", "trials.ledger", "trials.quick"},
    "description": {"data", "recipes", "request", "settings", "training", "trials", "_version"},
    "found": {"errors", "course", "folder", "randomness", "request", "training", "trials"},
    "session": ANY,
    "course": LEAVES | {"recipes", "settings", "training", "trials"},
    "device_checks": LEAVES | {"course", "data.cache", "recipes", "training", "_version"},
    "following": LEAVES
    | {"course", "device_checks", "folder", "interrupts", "recipes", "runs", "session", "training", "trials"},
    "launch": ANY,
    "arguments": {"errors"},
    "cli": ANY,
    "cli_measure": ANY,
    "fastai": ANY,
    "__init__": ANY,
    "__main__": {"cli"},
}

FORBIDDEN_MODULES = {
    "torchvision": "its wheel does not import beside a CPU-only torch",
    "pickle": "it runs code",
    "cPickle": "it runs code",
    "dill": "it runs code",
    "cloudpickle": "it runs code",
    "joblib": "it runs code",
    "shelve": "it runs code",
    "marshal": "it runs code",
}
# The only two places that turn names into modules.
LOADERS = {"discovery.py", "__init__.py"}


def files(root):
    return sorted(root.rglob("*.py"))


def place(path, root):
    """A file as the table names it, and its dotted name below the package."""
    parts = path.relative_to(root).with_suffix("").parts
    return "/".join(parts), ".".join(parts).removesuffix("__init__").rstrip(".")


def imported(path, root):
    """Every module that a file imports, anywhere in it: (line, dotted name)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["cardigan", *path.relative_to(root).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            for alias in node.names:
                below = root.joinpath(*base.split(".")[1:], alias.name)
                is_module = base.split(".")[0] == "cardigan" and (below.is_dir() or below.with_suffix(".py").exists())
                yield node.lineno, f"{base}.{alias.name}" if is_module else base


def permitted(target, allowed):
    """``target`` is dotted, below the package; a room covers what lies in it, except where only a file is listed."""
    return bool({"*", target, target.partition(".")[0]} & allowed)


def violations(root, paths=None):
    """Every import in these files, by default in all, that the table does not allow; and every forbidden use."""
    found = []
    for path in files(root) if paths is None else paths:
        name, own = place(path, root)
        room = name.partition("/")[0]
        allowed = ALLOWED.get(name, ALLOWED.get(room))
        where = path.relative_to(root).as_posix()
        if allowed is None:
            found.append(f"{where}: the room {room!r} is not in the table")
            continue
        for line, target in imported(path, root):
            head, _, below = target.partition(".")
            if head in FORBIDDEN_MODULES:
                found.append(f"{where}:{line}: import of {target}: {FORBIDDEN_MODULES[head]}")
            if head == "cardigan":
                # A folder's permission to import "recipes" is for its file of that very name only.
                broad = {part for part in allowed if "." not in part}
                if below != own and not permitted(below or "__init__", broad) and below not in allowed:
                    found.append(f"{where}:{line}: import of {target} is not allowed")
        found += [f"{where}:{line}: {what}" for line, what in dangers(path)]
    return found


def dangers(path):
    """Calls that run code from data, or write where an archive says."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "torch"
            and {"load", "save"} & {a.name for a in node.names}
        ):
            yield node.lineno, "torch.load and torch.save use pickle"
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else None
            if owner == "torch" and node.attr in ("load", "save"):
                yield node.lineno, f"torch.{node.attr} uses pickle"
            if node.attr in ("extractall", "extract"):
                yield node.lineno, f"{node.attr} writes where the archive says"
            if node.attr == "import_module" and path.name not in LOADERS:
                yield node.lineno, "import_module: names become modules in discovery only"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("eval", "exec", "compile", "__import__"):
                yield node.lineno, f"{called} runs text"
            if called in ("np.load", "numpy.load"):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if given.get("allow_pickle") != "False":
                    yield node.lineno, "np.load without allow_pickle=False"


def test_the_package_keeps_to_the_table():
    assert violations(SOURCE) == []


def test_every_line_of_the_table_is_a_room_that_exists():
    for name in ALLOWED:
        assert (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file(), name


FORBIDDEN = {
    ("models/mlp.py", "from cardigan.models import dcgan"): "cardigan.models.dcgan",
    ("models/mlp.py", "import cardigan.models.dcgan"): "cardigan.models.dcgan",
    ("models/mlp.py", "from . import dcgan"): "cardigan.models.dcgan",
    ("models/mlp.py", "from .dcgan import Generator as G"): "cardigan.models.dcgan",
    ("models/mlp.py", "from ..training import fit"): "cardigan.training",
    ("models/resnet.py", "from cardigan.training import fit"): "cardigan.training",
    ("models/resnet.py", "def late():\n    from cardigan import data"): "cardigan.data",
    ("models/resnet.py", "from cardigan import GAN"): "import of cardigan ",
    ("objectives.py", "from cardigan import regularizers"): "cardigan.regularizers",
    ("objectives.py", "from cardigan.crew import together"): "cardigan.crew",
    ("place.py", "from cardigan.share import current"): "cardigan.share",
    ("regularizers/penalties.py", "from cardigan.models import load"): "cardigan.models",
    ("contracts.py", "from cardigan.clock import Progress"): "cardigan.clock",
    ("pixels.py", "import cardigan.contracts"): "cardigan.contracts",
    ("layers.py", "from cardigan.models import mlp"): "cardigan.models",
    ("features/classifier.py", "from cardigan.features import load"): "cardigan.features",
    ("features/classifier.py", "from cardigan.features.timm_backbone import Backbone"): "cardigan.features.timm",
    ("features/timm_backbone.py", "from cardigan.data import open_source"): "cardigan.data",
    ("features/__init__.py", "from cardigan.models import load"): "cardigan.models",
    ("regularizers/likeness.py", "from cardigan.features import load"): "cardigan.features",
    ("metrics/texture.py", "from cardigan.training import fit"): "cardigan.training",
    ("augment/policies.py", "from cardigan.objectives import hinge"): "cardigan.objectives",
    ("data/store.py", "from cardigan.contracts import Batch"): "cardigan.contracts",
    ("data/batches.py", "from cardigan.training import fit"): "cardigan.training",
    ("training/loop.py", "from cardigan.objectives import hinge"): "cardigan.objectives",
    ("training/loop.py", "from cardigan import models"): "cardigan.models",
    ("training/loop.py", "from cardigan.watchers.records import RecordsWriter"): "cardigan.watchers.records",
    ("report/grids.py", "from cardigan.pixels import to_uint8"): "cardigan.pixels",
    ("watchers/records.py", "from cardigan.training import fit"): "cardigan.training",
    ("watchers/records.py", "from cardigan.watchers.progress import sentence"): "cardigan.watchers.progress",
    ("recipes/dcgan.py", "from cardigan.recipes import wgan"): "cardigan.recipes.wgan",
    ("recipes/dcgan.py", "from cardigan.recipes.wgan import recipe as r"): "cardigan.recipes.wgan",
    ("recipes/dcgan.py", "from cardigan import recipes"): "cardigan.recipes",
    ("recipes/dcgan.py", "from cardigan.launch import train"): "cardigan.launch",
    ("settings.py", "from cardigan.launch import train"): "cardigan.launch",
    ("trials/ledger.py", "from cardigan.trials.drawn import Drawn"): "cardigan.trials.drawn",
    ("judge/session.py", "from cardigan.training import fit"): "cardigan.training",
    ("judge/results.py", "from cardigan.metrics import kernel"): "cardigan.metrics.kernel",
    ("metrics/proportions.py", "from cardigan.judge import judge"): "cardigan.judge",
    ("runs.py", "from cardigan.cli import app"): "cardigan.cli",
    ("launch.py", "import torchvision.transforms"): "torchvision",
    ("sample.py", "import pickle"): "pickle",
    ("sample.py", "weights = torch.load('x')"): "torch.load",
    ("sample.py", "from torch import load"): "torch.load",
    ("sample.py", "eval('1')"): "eval",
    ("sample.py", "exec('1')"): "exec",
    ("sample.py", "importlib.import_module('x')"): "import_module",
    ("sample.py", "np.load('x', allow_pickle=True)"): "np.load",
    ("data/sources.py", "zipfile.ZipFile('x').extractall()"): "extractall",
    ("newroom.py", "import json"): "newroom",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = tmp_path_factory.mktemp("copy") / "cardigan"
    return shutil.copytree(SOURCE, root, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))


@pytest.mark.parametrize(("where", "line"), FORBIDDEN)
def test_a_forbidden_line_is_named_with_its_file(copy, where, line):
    path = copy / where
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        (found,) = violations(copy, [path])
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")
    assert found.startswith(where)
    assert FORBIDDEN[where, line] in found


ALLOWED_LINES = [
    ("models/mlp.py", "from cardigan.layers import doublings"),
    ("recipes/auto.py", "from cardigan import recipes"),
    ("recipes/dcgan.py", "from cardigan.augment import diffaugment"),
    ("sample.py", "network.eval()"),
    ("sample.py", "import safetensors.torch\nsafetensors.torch.load(b'')"),
    ("models/brandnew.py", "from cardigan.contracts import GeneratorNetwork"),
]


@pytest.mark.parametrize(("where", "line"), ALLOWED_LINES)
def test_an_allowed_line_passes(copy, where, line):
    path = copy / where
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        assert violations(copy, [path]) == []
    finally:
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_nothing_heavy_is_imported_before_work_begins():
    heavy = ("torch", "numpy", "PIL", "pydantic", "jinja2", "safetensors", "sklearn", "datasets")
    script = (
        "import sys, cardigan, cardigan.cli\n"
        "cardigan.cli.main(['--help'])\n"
        f"print('LOADED', [name for name in {heavy} if name in sys.modules])"
    )
    done = python("-W", "error", "-c", script)
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout
    assert "Train generative adversarial networks" in done.stdout


def test_the_command_works_as_a_module():
    done = python("-m", "cardigan", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, cardigan.__version__)


def test_every_public_name_is_there():
    for name in cardigan.__all__:
        assert getattr(cardigan, name) is not None
    assert sorted(dir(cardigan)) == sorted(cardigan.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Gan'"):
        _ = cardigan.Gan
