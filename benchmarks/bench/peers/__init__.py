"""Other libraries, each in an interpreter of its own, spoken to line by line so that they can take turns with us.

A peer's script (``with_NAME.py``) is run by the interpreter that the user names and imports nothing of ours.
"""

import json
import shlex
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class About:
    """What a peer trains.

    Args:
        title: in words.
        shaped_like: the tutorial whose size and channels its images have.
        recipes: ours to be compared with it.
        batch: images in each batch.
        cycle: steps after which it does the same again.
        note: how alike both sides are.
    """

    title: str
    shaped_like: str
    recipes: tuple[str, ...]
    batch: int
    cycle: int
    note: str


PEERS = {
    "fastai": About(
        "its Wasserstein GAN, 64 px, batch 128", "wgan", ("basic",), 128, 6, "the same networks, clipping and turns"
    ),
    "torchgan": About(
        "DCGAN, 64 px, batch 128",
        "dcgan",
        ("dcgan-as-printed",),
        128,
        1,
        "networks of the same size; it draws fakes anew for the generator's step",
    ),
    "lightweight-gan": About(
        "its own networks, 64 px, batch 8",
        "dcgan",
        ("fastgan-lite", "fastgan"),
        8,
        4,
        "other networks of the same kind, each at its defaults",
    ),
}


class Peer:
    """A library at work in another process.

    Args:
        name: one of ``PEERS``.
        command: what starts a Python that has it, such as ``/opt/env/bin/python``.
        batch: images in each batch.
        threads: of PyTorch.
        data: a file of uint8 (N, H, W, C) that it trains on, saved by numpy; None for noise.
        seed: of its random numbers.

    Attributes:
        trouble: why it cannot be measured; "" if it can.
        version: of the library.
        versions: of what it stands on.
    """

    def __init__(
        self, name: str, command: str, *, batch: int, threads: int, data: Path | None = None, seed: int = 0
    ) -> None:
        self.trouble, self.version, self.versions = "", "", ""
        script = Path(__file__).with_name(f"with_{name.replace('-', '_')}.py")
        words = [*shlex.split(command), str(script), "--batch", str(batch), "--threads", str(threads)]
        words += ["--seed", str(seed), *(["--data", str(data)] if data else [])]
        quiet = subprocess.DEVNULL  # whatever it warns of; what stops it is told
        self.process = None
        try:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, text=True
            )
        except OSError as problem:
            self.trouble = f"{words[0]} does not start: {problem.strerror or problem}"
            return
        told = self._listen()
        self.trouble = told.get("trouble", "")
        self.version, self.versions = told.get("version", ""), told.get("versions", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            assert self.process.stdin is not None
            with suppress(OSError):
                self.process.stdin.close()  # it ends when nobody speaks to it any more
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def train(self, steps: int) -> float:
        """Take so many steps; how many images that were."""
        return self.ask(train=steps)["images"]

    def ask(self, **what: Any) -> dict[str, Any]:
        """Say something, and wait for the answer."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        told = self._listen()
        if "trouble" in told:
            raise RuntimeError(f"The other library stopped: {told['trouble']}")
        return told

    def _listen(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"trouble": f"its process ended with code {self.process.wait()}"}
