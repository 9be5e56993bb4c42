"""What is typed wrongly, or as other tools spell it, and what to type here.

Nothing heavy is imported, so that the command line answers a typing error before torch is loaded. The settings of a
recipe are therefore read from its source and not from the function itself; a test holds both together.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cardigan import discovery
from cardigan.errors import CardiganError

ROOT = Path(__file__).parent
OPTIONS = ("recipe", "size", "images", "minutes", "out", "seed", "device", "resume")
"""What ``cardigan train`` takes as an option, beside ``--set``."""
KIND = re.compile(r"auto|cpu|mps|cuda(:[0-9]+)?")
"""What a device may be called."""

_ELSEWHERE = {
    "batch_size": "batch batchsize bs train_batch_size per_device_train_batch_size mini_batch_size minibatch",
    "learning_rate": "lr g_lr d_lr lr_g lr_d glr dlr rate base_lr initial_lr",
    "images": "epochs epoch num_epochs n_epochs max_epochs nepoch niter steps num_steps max_steps num_train_steps "
    "train_steps max_train_steps iterations num_iterations iters n_iters max_iter kimg total_kimg nimg",
    "minutes": "time duration hours max_time time_limit",
    "size": "image_size img_size imgsize imagesize resolution res image_resolution width_height",
    "out": "name outdir output output_dir out_dir results_dir result_dir save_dir logdir log_dir workdir work_dir "
    "exp_name experiment project checkpoint_dir models_dir o",
    "recipe": "model cfg config arch architecture network gan preset method config_name trainer",
    "device": "gpu gpus num_gpus n_gpus gpu_ids gpu_id cuda use_cuda accelerator devices",
    "seed": "random_seed manual_seed rng_seed",
    "resume": "continue continue_train resume_from resume_from_checkpoint ckpt ckpt_path load_from resume_path",
    "precision": "fp16 fp32 bf16 amp use_amp half mixed_precision dtype autocast tf32",
    "flip": "mirror hflip random_flip horizontal_flip xflip",
    "latent": "z_dim zdim latent_dim latent_size nz noise_dim nz_dim",
    "width": "ngf ndf nf base_channels channel_base fmap_base network_capacity ngf_dim channels_base",
    "channels": "nc in_channels num_channels n_channels image_channels transparent grey gray grayscale greyscale",
    "conditional": "cond class_cond class_conditional use_labels",
    "r1": "gamma r1_gamma r1_weight",
    "checkpoint_seconds": "snap save_every save_freq checkpoint_every save_steps save_interval",
    "tensorboard": "use_tensorboard tb",
    "hold_out": "val_split validation_split test_split val_size test_size",
}
"""Names here, and what other programs call the same thing."""
SYNONYMS = {other: ours for ours, others in _ELSEWHERE.items() for other in others.split()}

_COMMANDS = {
    "sample": "generate gen draw infer inference predict",
    "train": "fit run start learn",
    "evaluate": "eval test metrics fid score measure",
    "scan": "check inspect data dataset validate",
    "recipes": "models list configs presets",
    "restore": "enhance upscale enlarge superres",
}
_OTHER_COMMANDS = {other: ours for ours, others in _COMMANDS.items() for other in others.split()}


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that is meant by what somebody typed, None if none is near.

    Args:
        name: as typed, with or without hyphens in front.
        known: the names that there are.

    Example:
        >>> meant("--lr", ["learning_rate", "width"]), meant("batchsize", ["batch_size"]), meant("xyzzy", ["width"])
        ('learning_rate', 'batch_size', None)
    """
    known = list(known)
    plain = name.lstrip("-").replace("-", "_").lower()
    if plain in known:
        return plain
    if (synonym := SYNONYMS.get(plain)) in known:
        return synonym
    return discovery.nearest(plain, known)


def option(words: Sequence[str], typed: str) -> str:
    """The answer to an option of ``cardigan train`` that does not exist.

    Args:
        words: the whole command line.
        typed: the option as typed, without its value.

    Example:
        >>> option(["train", "photos", "--batch-size", "8"], "--batch-size")
        'There is no option --batch-size. Type: --set batch_size=8'
        >>> option(["train", "photos", "--image-size", "64"], "--image-size")
        'There is no option --image-size. Type: --size 64'
    """
    typed = typed.partition("=")[0]
    value = _value(words, typed)
    settings = setting_names(_value(words, "--recipe") or "auto")
    plain = typed.lstrip("-").replace("-", "_").lower()
    found = plain if plain in settings else SYNONYMS.get(plain)
    found = found if found in (*OPTIONS, *settings) else meant(plain, (*OPTIONS, *settings))
    said = f"There is no option {typed}."
    if SYNONYMS.get(plain) == "images":
        return f"{said} {_BUDGET}"
    if plain in ("data", "dataset", "dataroot", "data_dir", "data_path", "input", "source", "train_data_dir"):
        return f"{said} The images are the first word: cardigan train {value or 'SOURCE'}"
    if found in OPTIONS:
        return f"{said} Type: {_as_option(found, value)}"
    if found:
        return f"{said} Type: --set {found}={_as_value(found, plain, value)}"
    return f"{said} See: cardigan train --help"


_BUDGET = (
    "The budget is --images N, the images drawn from the data (epochs times their number, or steps times the batch "
    "size), or --minutes M."
)


def setting(name: str, known: Iterable[str]) -> str:
    """The answer to a setting that does not exist.

    Example:
        >>> setting("lr", ["learning_rate"])
        "There is no setting 'lr'. Did you mean 'learning_rate'?"
        >>> setting("seed", ["learning_rate"])
        "There is no setting 'seed'. It is an option: --seed"
    """
    said, plain = f"There is no setting {name!r}.", name.replace("-", "_").lower()
    elsewhere = SYNONYMS.get(plain)
    if elsewhere == "images":
        return f"{said} {_BUDGET}"
    as_option = plain if plain in OPTIONS else elsewhere
    if as_option in OPTIONS:
        return f"{said} It is an option: --{as_option}"
    near = meant(name, known)
    return f"{said} Did you mean {near!r}?" if near else said


def command(typed: str) -> str | None:
    """The command here that does what a command of other programs does, None if that is not known.

    Example:
        >>> command("generate"), command("xyzzy")
        ('sample', None)
    """
    return _OTHER_COMMANDS.get(typed.lower())


def check(recipe: str, settings: Iterable[str], *, device: str) -> None:
    """Refuse names that do not exist.

    Args:
        recipe: its name.
        settings: the names that were given with ``--set``.
        device: where to train.

    Raises:
        CardiganError: with one line for each name.
    """
    recipes = discovery.names_in(ROOT / "recipes")
    if recipe not in recipes:
        raise CardiganError(discovery.unknown("recipe", recipe, recipes))
    known = setting_names(recipe)
    problems = [setting(key, known) for key in settings if key not in known]
    if not KIND.fullmatch(device):
        problems.append(unknown_device(device))
    if problems:
        raise CardiganError("\n".join(problems))


def check_tokens(words: Sequence[str]) -> None:
    """Refuse what is typed as two words and is one here.

    Raises:
        CardiganError: with what to type.

    Example:
        >>> check_tokens(["train", "photos", "--size", "64", "64"])
        Traceback (most recent call last):
        cardigan.errors.CardiganError: --size takes one word. Type: --size 64x64
    """
    for place, word in enumerate(words):
        after = [*words[place + 1 : place + 3], "", ""]
        if word == "--size" and after[0].isdecimal() and after[1].isdecimal():
            raise CardiganError(f"--size takes one word. Type: --size {after[0]}x{after[1]}")
        if word == "--set" and "=" not in after[0]:
            value = after[1] if after[1] and not after[1].startswith("--") else "VALUE"
            raise CardiganError(
                f"--set {after[0]!r} has no '='. Expected KEY=VALUE. Type: --set {after[0] or 'KEY'}={value}"
            )


def unknown_device(device: str) -> str:
    """The answer to a device that there is not.

    Example:
        >>> unknown_device("gpu")
        "--device is 'gpu', expected auto, cpu, cuda, cuda:N or mps. A GPU of NVIDIA or AMD is cuda, of a Mac mps."
    """
    hint = " A GPU of NVIDIA or AMD is cuda, of a Mac mps." if "gpu" in device.lower() else ""
    return f"--device is {device!r}, expected auto, cpu, cuda, cuda:N or mps.{hint}"


def setting_names(recipe: str) -> list[str]:
    """What ``--set`` takes with a recipe: settings of the data, the run and the recipe. Read from the source files.

    Example:
        >>> "learning_rate" in setting_names("dcgan"), "hold_out" in setting_names("dcgan")
        (True, True)
    """
    found = [*_fields(ROOT / "data" / "options.py", "DataSettings"), *_fields(ROOT / "settings.py", "RunSettings")]
    path = ROOT / "recipes" / f"{recipe.replace('-', '_')}.py"
    for node in ast.parse(path.read_bytes()).body if path.exists() else ():
        if isinstance(node, ast.FunctionDef) and node.name == "recipe":
            found += [argument.arg for argument in node.args.kwonlyargs]
    return sorted(set(found))


def _fields(path: Path, name: str) -> list[str]:
    """The annotated fields of a class."""
    classes = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.ClassDef)]
    fields = (node for node in classes if node.name == name)
    return [
        line.target.id
        for node in fields
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    ]


def _value(words: Sequence[str], option: str) -> str:
    """What a command line gives an option, behind ``=`` or as the next word; nothing if it gives nothing."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option:
            return "" if following.startswith("--") else following
    return ""


def _as_option(name: str, value: str) -> str:
    """An option with its value as it is typed here."""
    if name == "resume":
        return "--resume"
    if name == "device":
        return "--device cuda (several GPUs: torchrun, see docs/scale.md)"
    return f"--{name} {value or name.upper()}"


def _as_value(name: str, typed: str, value: str) -> str:
    """A setting's value as it is typed here."""
    if name == "precision":
        return "float32" if typed in ("fp32", "tf32") else "bfloat16"
    if name == "channels":
        return "4" if typed == "transparent" else value if value.isdecimal() else "1"
    return value or ("true" if name in ("flip", "conditional", "tensorboard") else "VALUE")
