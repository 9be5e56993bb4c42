"""What tests of judging share: runs that were never trained, galleries without any run, and a browser."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from cardigan.folder import CONFIG_KEYS
from cardigan.judge.desk import Desk
from cardigan.judge.pictures import Gallery
from cardigan.judge.session import Plan
from cardigan.models import mlp
from cardigan.report.grids import encode_png
from cardigan.runs import Run
from cardigan.sample import publish


@pytest.fixture(scope="session")
def untrained():
    """A run's folder with a generator as it was born, and held-out images."""

    def make(folder, *, size=8, held=20, known=4, facts=None, channels=3):
        (folder / "samples").mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({key: {} for key in CONFIG_KEYS}), encoding="utf-8")
        network = mlp.Generator(size=size, channels=channels, latent=4, hidden=(8,)).eval()
        publish(network, folder / "generator", facts={"classes": {}} | (facts or {}))
        rng = np.random.default_rng(size)
        for name, count in (("held-out", held), ("real", known)):
            images = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
            if count:
                np.save(folder / "samples" / f"{name}.npy", images)
        return Run(folder)

    return make


@pytest.fixture
def plan():
    """A plan, by task, of which few must be judged."""

    def make(task="real-or-fake", count=10, **changes):
        two = task == "preference"
        runs, generators = (("old", "new"), ("a", "b")) if two else (("faces",), ("a",))
        known = 0 if two else 2
        return Plan(
            **{"task": task, "runs": runs, "generators": generators, "count": count, "seed": 0, "known": known}
            | changes
        )

    return make


@pytest.fixture
def gallery(plan):
    """A plan with pictures, each another one."""

    def make(task="real-or-fake", count=10, size=8):
        made = plan(task, count)
        names = sorted({name for trial in made.trials("x") for name in (trial.left, trial.right) if name})
        rng = np.random.default_rng(0)
        pictures = {name: encode_png(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)) for name in names}
        return Gallery(made, pictures, (size, size))

    return make


@pytest.fixture
def desk(gallery, tmp_path):
    def make(task="real-or-fake", count=10):
        return Desk(gallery(task, count), tmp_path / "judgements")

    return make


@pytest.fixture
def answer_all():
    """A rater who answers everything: what judges says to each trial that is judged; checks are answered rightly."""

    def make(desk, name, judges=lambda trial: trial.expected or "A", seconds=1.0, checks=lambda trial: trial.expected):
        desk.begin(name)
        for number, trial in enumerate(desk.plan.trials(name)):
            wanted = judges(trial) if trial.part == "judged" else checks(trial)
            side = ("left", "right")[trial.options.index(wanted)]
            standing = desk.answer(name, number, side, seconds)
        return standing

    return make


@pytest.fixture
def chromium(tmp_path_factory):
    """Starts Chromium with a profile of its own."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs Chromium, such as Debian's package chromium")
    return lambda: Chromium(path, tmp_path_factory.mktemp("profile"))


KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Tab": 9}

# Chromium speaks the protocol through the descriptors 3 and 4; this puts ours there and becomes Chromium.
LAUNCH = (
    "import os, sys; a, b = (os.dup(int(word)) for word in sys.argv[1:3]); os.dup2(a, 63); os.dup2(b, 62);"
    "os.dup2(63, 3); os.dup2(62, 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Chromium:
    """A headless browser with one page, driven over its DevTools protocol through pipes: no driver, library or port."""

    def __init__(self, path, profile, *, patience=60):
        self.patience = patience
        requests, self._out = os.pipe()
        self._in, replies = os.pipe()
        words = [path, "--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
        words += ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        words += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(requests), str(replies), *words, "about:blank"],
            pass_fds=[requests, replies],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(requests)
        os.close(replies)
        self._buffer, self._number, self.events, self._page = b"", 0, [], None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._page = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._page = None
        try:
            self("Browser.close")
            self._process.wait(30)
        except (OSError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def __call__(self, method, **parameters):
        """Send a command and wait for its result; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._page} if self._page else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + self.patience
        while True:
            reply = self._receive(end)
            if reply.get("id") == self._number:
                assert "error" not in reply, (method, reply["error"])
                return reply["result"]
            self.events.append(reply)

    def _receive(self, end):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("Chromium does not answer.")
            piece = os.read(self._in, 1 << 16)
            if not piece:
                raise BrokenPipeError("Chromium has ended.")
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def look(self, width, height, *, dark=False, phone=False):
        """The size of the window and the colours that the user prefers."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self("Emulation.setTouchEmulationEnabled", enabled=phone)
        colours = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self("Emulation.setEmulatedMedia", features=colours)

    def open(self, url):
        self("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def run(self, script):
        """The value of an expression in the page."""
        told = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, script):
        """Wait until an expression holds."""
        end = time.monotonic() + self.patience
        while not self.run(script):
            assert time.monotonic() < end, f"never came true: {script}"
            time.sleep(0.02)

    def press(self, key):
        """A key, down and up, as from a keyboard."""
        code = KEYS.get(key) or ord(key.upper())
        words = {"key": key, "code": key if key in KEYS else f"Key{key.upper()}", "windowsVirtualKeyCode": code}
        text = {"Enter": "\r"}.get(key, "" if key in KEYS else key)
        self("Input.dispatchKeyEvent", type="keyDown", text=text, **words)
        self("Input.dispatchKeyEvent", type="keyUp", **words)

    def click(self, selector):
        """The mouse, in the middle of an element."""
        place = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.run(f"(() => {{ const r = {place}; return [r.x + r.width / 2, r.y + r.height / 2]; }})()")
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path, *, whole=False):
        """A picture of the window, or of the whole page."""
        told = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))
