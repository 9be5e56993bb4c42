"""Checkpoints: everything comes back, and every fault is either detected or harmless."""

import errno
import hashlib
import json
import os
import re
import shutil
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardigan import GAN, durable, models, objectives, regularizers
from cardigan.contracts import Batch
from cardigan.errors import CardiganError
from cardigan.training import Adam, RMSprop, adaptive, checkpoint, fit, together
from cardigan.training.loop import Training

BATCH = 4


class Images:
    batch_size = BATCH

    def at(self, images):
        rng = torch.Generator().manual_seed(images)
        return Batch(torch.rand(BATCH, 1, 16, 16, generator=rng) * 2 - 1)


def fresh(*, width=2, optimizer=None, generator_layers=(8,)):
    """A small training that has everything a checkpoint must keep: batch norm, spectral norm, moments, an average."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        gan = GAN(
            models.mlp.Generator(size=16, latent=4, hidden=generator_layers, normalise=True),
            regularizers.spectral_norm(models.dcgan.Discriminator(size=16, channels=1, width=width)),
            objectives.non_saturating(),
            terms=(regularizers.R1(1.0, every=2),),
        )
    return Training(gan, optimizers=optimizer or Adam(1e-2), half_life=30, seed=2)


def trained(turns=3, **settings):
    training = fresh(**settings)
    go(training, turns)
    return training


def go(training, turns, *, order=None):
    list(fit(training, Images(), turns=order or together(), images=turns * BATCH))


def state(training):
    """Everything, captured and copied."""
    files, rest = checkpoint.capture(training)
    return {name: {key: value.clone() for key, value in file.items()} for name, file in files.items()}, json.loads(
        json.dumps(rest)
    )


def assert_same(one, other):
    (files, rest), (their_files, their_rest) = one, other
    assert rest == their_rest
    assert files.keys() == their_files.keys()
    for name, file in files.items():
        assert file.keys() == their_files[name].keys()
        for key, value in file.items():
            theirs = their_files[name][key]
            assert (value.dtype, value.shape) == (theirs.dtype, theirs.shape), (name, key)
            assert torch.equal(value, theirs), (name, key)


def rehash(folder):
    """A manifest that agrees with the files as they are now."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        blob = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def two(tmp_path):
    """Checkpoints of steps 3 and 5 in a folder, and the training that wrote them."""
    training = trained(3)
    checkpoint.save(tmp_path, training, {"version": "x"})
    go(training, 2)
    checkpoint.save(tmp_path, training, {"version": "x"})
    return tmp_path, training


# --- the round trip -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [Adam(1e-2), RMSprop(1e-3)])
def test_everything_comes_back(tmp_path, optimizer):
    training = trained(5, optimizer=optimizer)
    training.rate_scale, training.progress.seconds = 0.5, 12.345678901234567
    before = state(training)
    path = checkpoint.save(tmp_path, training, {"note": [1, "two"]})
    found, rejected = checkpoint.newest(tmp_path)
    assert (found.folder, found.step, rejected) == (path, 5, {})
    assert found.state["note"] == [1, "two"]
    other = trained(2, optimizer=optimizer)
    checkpoint.restore(other, found)
    assert_same(state(other), before)
    assert other.progress.steps == {"discriminator": 5, "generator": 5}
    assert other.progress.last == ("discriminator", "generator")
    for player, value in training.progress.smoothed.items():
        assert torch.equal(other.progress.smoothed[player], value)
    # And it is enough to go on with: the next steps are the same bits.
    go(training, 4)
    go(other, 4)
    # The clock on the wall is the one thing that differs.
    other.progress.seconds = training.progress.seconds
    assert_same(state(other), state(training))


def test_a_network_that_keeps_its_channels_last_goes_on_as_if_nothing_had_happened(tmp_path):
    """Its moments must lie in memory as its weights do, for fused optimizers read them in that order."""

    def channels_last():
        training = fresh()
        training.gan = replace(
            training.gan, discriminator=models.dcgan.Discriminator(size=16, channels=1, width=4, deviation=None)
        )
        with torch.random.fork_rng():
            torch.manual_seed(3)
            for weight in training.gan.discriminator.parameters():
                weight.data.normal_(0.0, 0.2)
        training.gan.discriminator.to(memory_format=torch.channels_last)
        return Training(training.gan, optimizers=Adam(1e-2), half_life=30, seed=2)

    training = channels_last()
    go(training, 3)
    checkpoint.save(tmp_path, training, {})
    other = channels_last()
    checkpoint.restore(other, checkpoint.newest(tmp_path)[0])
    for weight in other.gan.discriminator.parameters():
        moments = other.optimizers["discriminator"].state[weight]
        assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == weight.stride()
    assert any(not weight.is_contiguous() for weight in other.gan.discriminator.parameters())
    go(training, 3)
    go(other, 3)
    other.progress.seconds = training.progress.seconds
    assert_same(state(other), state(training))


def test_a_training_that_has_not_begun_comes_back(tmp_path):
    training = fresh()
    before = state(training)
    checkpoint.save(tmp_path, training, {})
    other = trained(2)
    checkpoint.restore(other, checkpoint.newest(tmp_path)[0])
    assert_same(state(other), before)
    assert all(not optimizer.state for optimizer in other.optimizers.values())
    go(other, 1)
    go(training, 1)
    other.progress.seconds = training.progress.seconds
    assert_same(state(other), state(training))


def test_one_checkpoint_can_be_restored_more_than_once(two):
    """Training on from it must not write into it: a rollback may need it again."""
    folder, training = two
    saved = state(training)
    found, _ = checkpoint.newest(folder)
    for _ in range(2):
        checkpoint.restore(training, found)
        assert_same(state(training), saved)
        go(training, 3)


def test_saving_changes_neither_the_training_nor_any_random_state(tmp_path):
    training = trained(3)
    before, position = state(training), torch.get_rng_state()
    for _ in range(3):
        checkpoint.save(tmp_path, training, {})
    assert torch.equal(torch.get_rng_state(), position)
    assert_same(state(training), before)
    twin = trained(3)
    go(training, 3)
    go(twin, 3)
    twin.progress.seconds = training.progress.seconds
    assert_same(state(training), state(twin))


def test_nothing_in_a_checkpoint_can_run_code(two):
    folder, _ = two
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.suffix in (".json", ".safetensors")
            assert path.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x04", b"PK")


def test_the_manifest_tells_every_other_file_with_its_size_and_hash(two):
    folder, _ = two
    path = folder / "step-000000005"
    manifest = json.loads((path / "manifest.json").read_text())
    assert (manifest["schema"], manifest["step"], manifest["images"]) == (1, 5, 20)
    assert manifest["torch"] == torch.__version__
    files = {each.name: each.read_bytes() for each in path.iterdir() if each.name != "manifest.json"}
    assert manifest["files"] == {
        name: {"bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()} for name, blob in files.items()
    }
    assert sorted(files) == [
        "average.safetensors",
        "discriminator-optimizer.safetensors",
        "discriminator.safetensors",
        "generator-optimizer.safetensors",
        "generator.safetensors",
        "state.json",
    ]


# --- keeping --------------------------------------------------------------------------------------------------------


def test_the_newest_two_are_kept(tmp_path):
    training = fresh()
    for kept in (["0"], ["1", "0"], ["2", "1"], ["3", "2"]):
        checkpoint.save(tmp_path, training, {})
        assert sorted((path.name.lstrip("step-0") or "0" for path in tmp_path.iterdir()), reverse=True) == kept
        go(training, 1)


def test_a_step_that_is_saved_already_is_not_put_at_risk_again(two):
    folder, training = two
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert checkpoint.save(folder, training, {"version": "x"}) == folder / "step-000000005"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_step_whose_state_has_changed_since_is_saved_again(two):
    """A rollback halves the rate without a turn between."""
    folder, training = two
    training.rate_scale = 0.5
    checkpoint.save(folder, training, {"version": "x"})
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000003", "step-000000005"]
    assert checkpoint.newest(folder)[0].state["rate_scale"] == 0.5


def test_a_step_that_was_damaged_since_is_written_anew(two):
    folder, training = two
    (folder / "step-000000005" / "state.json").write_text("{}")
    checkpoint.save(folder, training, {})
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000003", "step-000000005"]
    found, rejected = checkpoint.newest(folder)
    assert (found.step, rejected) == (5, {})


def test_other_optimizers_are_refused_by_name(two):
    """Their states do not fit each other."""
    folder, _ = two
    other = fresh(optimizer=RMSprop(1e-3))
    with pytest.raises(CardiganError, match=r"made with other optimizers .*'Adam'.* then, .*'RMSprop'.* now"):
        checkpoint.restore(other, checkpoint.newest(folder)[0])


def test_a_checkpoint_that_cannot_be_removed_is_no_reason_to_stop(two, monkeypatch):
    folder, training = two

    def refuse(path):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(checkpoint, "_discard", refuse)
    go(training, 1)
    checkpoint.save(folder, training, {})
    assert checkpoint.newest(folder)[0].step == 6
    assert len(list(folder.iterdir())) == 3
    monkeypatch.undo()
    go(training, 1)
    checkpoint.save(folder, training, {})
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000006", "step-000000007"]


# --- what a crash leaves --------------------------------------------------------------------------------------------


def test_an_absent_folder_has_no_checkpoint(tmp_path):
    assert checkpoint.newest(tmp_path / "none") == (None, {})
    assert checkpoint.tidy(tmp_path / "none", []) == 0


@pytest.mark.parametrize("written", range(8))
def test_a_save_that_was_killed_is_ignored_and_cleaned(two, written):
    """A2: any number of its files are there, also all of them; only the final name counts."""
    folder, _ = two
    partial = folder / "step-000000009.partial-0123abcd"
    partial.mkdir()
    for source in sorted((folder / "step-000000005").iterdir())[:written]:
        shutil.copy(source, partial)
    found, rejected = checkpoint.newest(folder)
    assert (found.step, rejected) == (5, {})
    assert checkpoint.tidy(folder, rejected) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000003", "step-000000005"]


def test_a_crash_while_pruning_leaves_trash_that_nobody_reads(two, monkeypatch):
    """A27: the name goes first, then the content; a crash between leaves no half checkpoint under a final name."""
    folder, _ = two
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: (path / "manifest.json").unlink())
    checkpoint._discard(folder / "step-000000003")
    monkeypatch.undo()
    assert [path.name for path in folder.glob("step-*") if ".trash-" not in path.name] == ["step-000000005"]
    assert checkpoint.newest(folder)[1] == {}
    assert checkpoint.tidy(folder, {}) == 0
    assert [path.name for path in folder.iterdir()] == ["step-000000005"]


def test_a_hint_named_latest_and_other_strangers_are_not_believed(two):
    """A25."""
    folder, _ = two
    (folder / "LATEST").write_text("step-000000099")
    (folder / "step-000000099").symlink_to(folder / "deleted")
    (folder / "step-old").mkdir()
    (folder / "notes.txt").write_text("mine")
    found, rejected = checkpoint.newest(folder)
    assert found.step == 5
    assert rejected == {"step-000000099": "manifest.json is missing."}


# --- damage ---------------------------------------------------------------------------------------------------------

NEWEST = "step-000000005"


def truncate(folder):
    path = folder / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder):
    path = folder / "average.safetensors"
    blob = bytearray(path.read_bytes())
    blob[-20] ^= 0b100
    path.write_bytes(blob)


def mix(folder):
    shutil.copy(folder.parent / "step-000000003" / "discriminator.safetensors", folder)


def poison(value):
    def change(folder):
        path = folder / "generator-optimizer.safetensors"
        tensors = safetensors.torch.load(path.read_bytes())
        tensors["0.exp_avg_sq"].view(-1)[3] = value
        path.write_bytes(safetensors.torch.save(tensors))
        rehash(folder)

    return change


def garble(text):
    return lambda folder: (folder / "manifest.json").write_bytes(text)


def no_tensors(folder):
    (folder / "average.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    rehash(folder)


def another_name(folder):
    folder.rename(folder.with_name("step-000000005-old"))
    (folder.parent / "step-000000003").rename(folder)


DAMAGES = {
    "truncated (A8)": (truncate, r"generator\.safetensors has \d+ bytes instead of \d+\."),
    "one flipped bit (A9)": (flip, r"average\.safetensors does not match its SHA-256; its content was changed"),
    "no manifest (A10)": (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json is missing\."),
    "empty manifest (A10)": (garble(b""), r"manifest\.json is not valid JSON"),
    "half a manifest (A10)": (garble(b'{"schema": 1, "fil'), r"manifest\.json is not valid JSON"),
    "binary manifest (A10)": (garble(b"\xff\xfe\x00"), r"manifest\.json is not valid JSON"),
    "a list as manifest (A10)": (garble(b"[1]"), r"manifest\.json is not a JSON object"),
    "a manifest without files (A10)": (garble(b'{"schema": 1, "step": 5}'), r"manifest\.json is malformed"),
    "a manifest of odd types (A10)": (garble(b'{"schema": 1, "files": ["x"]}'), r"manifest\.json is malformed"),
    "a manifest of no hashes (A10)": (garble(b'{"schema": 1, "files": {"x": {}}}'), r"manifest\.json is malformed"),
    "a manifest that names less (A10)": (
        lambda folder: edit_manifest(folder, lambda manifest: manifest["files"].pop("average.safetensors")),
        r"does not list the files of a checkpoint; see 'average\.safetensors'",
    ),
    "a manifest that points outside (A10)": (
        lambda folder: edit_manifest(
            folder, lambda manifest: manifest["files"].update({"../x": manifest["files"]["state.json"]})
        ),
        r"does not list the files of a checkpoint; see '\.\./x'",
    ),
    "a newer format (A10)": (
        lambda folder: edit_manifest(folder, lambda manifest: manifest.update(schema=2)),
        r"its format is version 2, this Cardigan reads 1\. Upgrade Cardigan\.",
    ),
    "another step in the manifest": (
        lambda folder: edit_manifest(folder, lambda manifest: manifest.update(step=7)),
        r"it holds step 5, but its name or manifest\.json tells another",
    ),
    "another step in the name": (another_name, r"it holds step 3, but its name or manifest\.json tells another"),
    "files of two steps (A11)": (mix, r"discriminator\.safetensors does not match its SHA-256"),
    "a missing file": (
        lambda folder: (folder / "generator.safetensors").unlink(),
        r"generator\.safetensors is missing\.",
    ),
    "a changed state": (
        lambda folder: (folder / "state.json").write_text(
            (folder / "state.json").read_text().replace('"turns": 5', '"turns": 6')
        ),
        r"state\.json does not match its SHA-256",
    ),
    "NaN inside, hashes renewed (B3)": (
        poison(float("nan")),
        r"generator-optimizer\.safetensors holds numbers that are not finite, in 0\.exp_avg_sq\.",
    ),
    "infinity inside, hashes renewed (B3)": (poison(float("inf")), r"not finite, in 0\.exp_avg_sq\."),
    "no safetensors, hashes renewed (D4)": (no_tensors, r"average\.safetensors is not a valid safetensors file \("),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_checkpoint_is_passed_over_and_named(two, damage):
    folder, training = two
    change, reason = DAMAGES[damage]
    change(folder / NEWEST)
    found, rejected = checkpoint.newest(folder)
    assert list(rejected) == [NEWEST]
    assert re.search(reason, rejected[NEWEST]), rejected
    if damage == "another step in the name":
        assert found is None
        return
    assert found.step == 3
    checkpoint.restore(training, found)
    assert training.progress.turns == 3
    # It is set aside, not destroyed, and is not read again.
    checkpoint.tidy(folder, rejected)
    aside = [path.name for path in folder.iterdir() if path.name.startswith("rejected-")]
    assert len(aside) == 1
    assert aside[0].startswith(f"rejected-{NEWEST}-")
    assert checkpoint.newest(folder)[1] == {}


def test_every_checkpoint_bad_is_no_checkpoint_with_all_reasons(two):
    """A12."""
    folder, _ = two
    truncate(folder / NEWEST)
    flip(folder / "step-000000003")
    found, rejected = checkpoint.newest(folder)
    assert found is None
    assert list(rejected) == [NEWEST, "step-000000003"]
    assert "bytes instead of" in rejected[NEWEST]
    assert "SHA-256" in rejected["step-000000003"]


def test_large_finite_numbers_are_no_fault(two):
    """Their sum overflows; they do not."""
    folder, _ = two
    path = folder / NEWEST / "generator-optimizer.safetensors"
    tensors = safetensors.torch.load(path.read_bytes())
    tensors["0.exp_avg_sq"].fill_(3e38)
    path.write_bytes(safetensors.torch.save(tensors))
    rehash(folder / NEWEST)
    assert checkpoint.newest(folder)[1] == {}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pristine")
    path = checkpoint.save(folder, trained(3), {"version": "x"})
    blobs = {each.name: each.read_bytes() for each in sorted(path.iterdir())}
    return blobs, checkpoint.newest(folder)[0]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_bytes_are_detected_or_harmless(pristine, tmp_path_factory, data):
    """Overwrite, insert or cut bytes anywhere in any file: the checkpoint is rejected, or says exactly the same."""
    blobs, expected = pristine
    name = data.draw(st.sampled_from(sorted(blobs)))
    blob = bytearray(blobs[name])
    how = data.draw(st.sampled_from(["overwrite", "insert", "cut"]))
    place = data.draw(st.integers(0, len(blob) - 1))
    if how == "overwrite":
        blob[place] = data.draw(st.integers(0, 255))
    elif how == "insert":
        blob[place:place] = data.draw(st.binary(min_size=1, max_size=4))
    else:
        del blob[place : place + data.draw(st.integers(1, 40))]
    folder = tmp_path_factory.mktemp("changed")
    path = folder / expected.folder.name
    path.mkdir()
    for each, content in blobs.items():
        (path / each).write_bytes(blob if each == name else content)
    found, rejected = checkpoint.newest(folder)
    shutil.rmtree(folder)
    if found is None:
        assert rejected[path.name]
        return
    assert name == "manifest.json" or bytes(blob) == blobs[name]
    assert (found.step, found.state) == (expected.step, expected.state)
    assert_same((found.files, {}), (expected.files, {}))


# --- another architecture -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"width": 4},
            r"discriminator has another architecture .*11 tensors differ: .*: 1x4x4x4 saved, 1x8x4x4 now",
        ),
        ({"generator_layers": (8, 8)}, r"generator has another architecture .*absent saved, .* now"),
        ({"generator_layers": (9,)}, r"generator has another architecture .*layers\.0\.bias: 8 saved, 9 now"),
    ],
)
def test_shapes_that_differ_are_named_before_anything_is_loaded(two, settings, told):
    """A16."""
    folder, _ = two
    other = fresh(**settings)
    before = state(other)
    with pytest.raises(CardiganError, match=told) as caught:
        checkpoint.restore(other, checkpoint.newest(folder)[0])
    assert "cannot be resumed with it" in str(caught.value)
    assert "another --out" in str(caught.value)
    assert_same(state(other), before)


# --- a disk that fails ----------------------------------------------------------------------------------------------


class FailingDisk:
    """Every call that touches the disk is counted, and one of them fails."""

    def __init__(self, monkeypatch, *, at, number=errno.ENOSPC):
        self.at, self.number, self.calls, self.failed = at, number, 0, None
        open_file = Path.open

        def opened(path, mode="r", *arguments, **named):
            if "x" in mode or "w" in mode:
                self.touch(f"open {path.name}")
            file = open_file(path, mode, *arguments, **named)
            if "x" in mode:
                write = file.write
                disk, name = self, path.name

                class Half:
                    def __enter__(self):
                        return self

                    def __exit__(self, *error):
                        file.close()

                    def write(self, blob):
                        write(blob[: len(blob) // 2])
                        disk.touch(f"write {name}")
                        return write(blob[len(blob) // 2 :])

                    def __getattr__(self, attribute):
                        return getattr(file, attribute)

                return Half()
            return file

        monkeypatch.setattr(Path, "open", opened)
        for owner, name in ((Path, "mkdir"), (Path, "rename"), (Path, "read_bytes"), (os, "fsync")):
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name), name))

    def counted(self, function, name):
        def call(*arguments, **named):
            self.touch(name)
            return function(*arguments, **named)

        return call

    def touch(self, what):
        self.calls += 1
        if self.calls == self.at:
            self.failed = what
            raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_the_disk_fails_at_every_single_call_in_turn(tmp_path, number):
    """A4, A5: for n = 1, 2, 3 ... the n-th call fails, until a save passes untouched. There is always a good one."""
    training = trained(1)
    checkpoint.save(tmp_path, training, {})
    safe, failures = 1, []
    for at in range(1, 200):
        go(training, 1)
        step, saved = training.progress.turns, None
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, at=at, number=number)
            try:
                saved = checkpoint.save(tmp_path, training, {})
            except CardiganError as error:
                message = str(error)
        found, rejected = checkpoint.newest(tmp_path)
        assert rejected == {}
        assert not list(tmp_path.glob("*.partial-*"))
        if disk.failed is None:
            assert found.step == step
            break
        failures.append(disk.failed)
        if saved is None:
            assert os.strerror(number) in message
            assert f"The checkpoint of step {step} could not be written to {tmp_path}" in message
            assert f"{found.folder.name} is safe" in message
            assert "run the same command again" in message
            # After its own name is given a checkpoint may stand although the last flush failed; before, the old one.
            assert found.step == safe or disk.failed == "fsync"
        else:
            assert found.step == step
        safe = found.step
    else:
        raise AssertionError("no save came through")
    # The loop really went through all kinds of calls.
    assert {"mkdir", "fsync", "rename", "read_bytes", "open manifest.json", "write manifest.json"} <= set(failures)
    assert len([each for each in failures if each.startswith("write ")]) == 7


def test_the_first_checkpoint_that_cannot_be_written_says_that_there_is_none(tmp_path, monkeypatch):
    training = fresh()
    FailingDisk(monkeypatch, at=1)
    with pytest.raises(CardiganError, match=r"No space left on device\. No checkpoint was written yet\."):
        checkpoint.save(tmp_path / "new", training, {})


def test_a_full_disk_is_known_before_anything_is_written(two, monkeypatch):
    folder, training = two
    go(training, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1000))
    with pytest.raises(CardiganError, match=rf"disk full: 0 MB needed, 0 MB free\. {NEWEST} is safe"):
        checkpoint.save(folder, training, {})
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000003", NEWEST]


def test_a_folder_that_became_read_only_is_an_error_and_never_a_save(two, monkeypatch):
    """A6."""
    folder, training = two
    go(training, 1)

    def refuse(path, *arguments, **named):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CardiganError, match=rf"Permission denied\. {NEWEST} is safe\. Free space or mend the perm"):
        checkpoint.save(folder, training, {})
    monkeypatch.undo()
    assert checkpoint.newest(folder)[0].step == 5


def test_a_disk_that_returns_other_bytes_than_it_was_given_is_found_out_at_once(two, monkeypatch):
    """The save reads back what it wrote."""
    folder, training = two
    go(training, 1)
    write = checkpoint.write_durably

    def worn(path, blob):
        write(path, blob[:-1] + bytes([blob[-1] ^ 1]) if path.name == "generator.safetensors" else blob)

    monkeypatch.setattr(checkpoint, "write_durably", worn)
    with pytest.raises(
        CardiganError, match=rf"would not be usable: generator\.safetensors does not .* {NEWEST} is safe"
    ):
        checkpoint.save(folder, training, {})
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000003", NEWEST]


def test_a_network_that_is_no_longer_finite_is_not_saved(two):
    """An update can overflow although its gradient was finite; the last good checkpoint must not be pushed out."""
    folder, training = two
    go(training, 1)
    with torch.no_grad():
        next(training.gan.generator.parameters()).fill_(float("inf"))
    with pytest.raises(CardiganError, match=rf"not finite, in .*\. {NEWEST} is safe\. Lower the learning rate"):
        checkpoint.save(folder, training, {})
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000003", NEWEST]


# --- files that are replaced ----------------------------------------------------------------------------------------


def test_a_replaced_file_holds_the_old_content_or_the_new(tmp_path):
    path = tmp_path / "config.json"
    durable.replace_durably(path, b"old")
    for at in range(1, 20):
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, at=at)
            with suppress(OSError):
                durable.replace_durably(path, b"new content")
        assert path.read_bytes() in (b"old", b"new content")
        assert list(tmp_path.iterdir()) == [path]
        if disk.failed is None:
            break
        path.write_bytes(b"old")
    assert path.read_bytes() == b"new content"
    assert at > 3


def test_a_file_is_never_overwritten_by_a_new_one(tmp_path):
    durable.write_durably(tmp_path / "x", b"first")
    with pytest.raises(FileExistsError):
        durable.write_durably(tmp_path / "x", b"second")


def test_adaptive_state_comes_back(tmp_path):
    training = fresh()
    go(training, 5, order=adaptive(discriminator=0.0, generator=0.0, longest=3))
    checkpoint.save(tmp_path, training, {})
    other = fresh()
    checkpoint.restore(other, checkpoint.newest(tmp_path)[0])
    assert (
        (other.progress.last, other.progress.streak)
        == (training.progress.last, training.progress.streak)
        == (
            ("discriminator",),
            2,
        )
    )
