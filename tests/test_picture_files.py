"""From files to files: nothing is lost on the way, and one bad picture stops no other."""

import os

import numpy as np
import pytest
from PIL import Image

from cardigan.data.options import DataSettings
from cardigan.errors import CardiganError
from cardigan.picture_files import change_files, is_result, plan, read_picture, save_result

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def message(action):
    with pytest.raises(CardiganError) as caught:
        action()
    return str(caught.value)


def save(path, picture, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture[:, :, 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture).save(path, **settings)
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_is_read_with_its_transparency(tmp_path, channels):
    picture = pixels(9, 12, channels)
    assert np.array_equal(read_picture(save(tmp_path / "a.png", picture)), picture)


def test_an_opaque_alpha_is_left_out(tmp_path):
    picture = pixels(9, 12, 4)
    picture[:, :, 3] = 255
    assert np.array_equal(read_picture(save(tmp_path / "a.png", picture)), picture[:, :, :3])


def test_a_picture_is_read_upright_and_in_8_bits(tmp_path):
    picture, exif = pixels(9, 12, 3), Image.Exif()
    exif[0x0112] = 6
    upright = read_picture(save(tmp_path / "a.png", picture, exif=exif))
    assert np.array_equal(upright, np.rot90(picture, -1))
    wide = RNG.integers(0, 65536, (9, 12), dtype=np.uint16)
    Image.fromarray(wide).save(tmp_path / "b.png")
    assert np.abs(read_picture(tmp_path / "b.png")[:, :, 0] - wide / 257).max() <= 0.5


def test_what_cannot_be_read_is_told(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    assert message(lambda: read_picture(tmp_path / "a.png")) == "empty file (0 bytes)"
    assert message(lambda: read_picture(tmp_path / "absent.png")) == "No such file or directory"
    Image.new("1", (20_000, 4_000)).save(tmp_path / "b.png")
    assert message(lambda: read_picture(tmp_path / "b.png")) == (
        "4000x20000 is 80 megapixels, over the limit of 64 (raise it with --set max_megapixels=81)"
    )
    small = Image.new("1", (20, 40))
    small.save(tmp_path / "c.png")
    assert message(lambda: read_picture(tmp_path / "c.png", DataSettings(max_megapixels=0.0001))).startswith("40x20 is")


def test_a_deep_picture_is_read_over_the_range_that_is_known(tmp_path):
    wide = RNG.integers(0, 4096, (9, 12), dtype=np.uint16)
    Image.fromarray(wide).save(tmp_path / "a.png")
    plain = save(tmp_path / "b.png", pixels(9, 12, 3))
    expected = np.floor(wide * (255 / 4095) + 0.5)
    assert np.array_equal(read_picture(tmp_path / "a.png", span=(0.0, 4095.0))[:, :, 0], expected)
    assert np.array_equal(read_picture(tmp_path / "a.png", DataSettings(value_range="0..4095"))[:, :, 0], expected)
    assert np.array_equal(read_picture(plain, span=(0.0, 1.0)), read_picture(plain)), "bytes have a range"


def names(pairs, out):
    return [target.relative_to(out).as_posix() for _, target in pairs]


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    return list(paths)


def test_results_are_called_as_their_pictures(tmp_path):
    a, b, c = touch(tmp_path / "x" / "a.jpg", tmp_path / "y" / "b.tar.webp", tmp_path / "photo")
    pairs, problems = plan([a, b, c], tmp_path / "out")
    assert [path for path, _ in pairs] == [a, b, c]
    assert names(pairs, tmp_path / "out") == ["a.png", "b.tar.png", "photo.png"]
    assert problems == []
    assert not (tmp_path / "out").exists()


def test_no_two_results_share_a_name(tmp_path):
    files = touch(*(tmp_path / name for name in ("x/a.jpg", "y/a.jpg", "x/a.png", "y/A.jpg", "x/a-2.jpg")))
    pairs, _ = plan(files, tmp_path / "out")
    assert names(pairs, tmp_path / "out") == ["a.png", "a.jpg.png", "a.png.png", "A.jpg-2.png", "a-2.png"]


def result(path, source):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_result(pixels(9, 9, 3), path, source)
    return path


def test_a_second_time_gives_the_same_names(tmp_path):
    files = touch(tmp_path / "x" / "a.jpg")
    result(tmp_path / "out" / "a.png", *files)
    assert names(plan(files, tmp_path / "out")[0], tmp_path / "out") == ["a.png"]


def test_only_results_are_written_over(tmp_path):
    files, out = touch(tmp_path / "x" / "a.jpg"), tmp_path / "keep"
    save(out / "a.png", pixels(9, 9, 3))
    assert names(plan(files, out)[0], out) == ["a.jpg.png"]
    result(out / "a.jpg.png", *files)
    assert names(plan(files, out)[0], out) == ["a.jpg.png"], "the earlier result"
    (out / "a.jpg.png").rename(out / "b.png")
    (out / "a.jpg.png").symlink_to(out / "b.png")
    assert names(plan(files, out)[0], out) == ["a.jpg-2.png"], "a link was made by somebody"
    (out / "a.jpg-2.png").mkdir()
    assert names(plan(files, out)[0], out) == ["a.jpg-3.png"]
    assert names(plan([out / "b.png"], out)[0], out) == ["b.png.png"], "a result that is a picture now"


def test_a_result_of_another_picture_is_never_written_over(tmp_path):
    jpg, png, far = touch(tmp_path / "a.jpg", tmp_path / "a.png", tmp_path / "far" / "a.png")
    out = tmp_path / "out"
    assert names(plan([jpg, png], out)[0], out) == ["a.png", "a.png.png"]
    result(out / "a.png", jpg)
    result(out / "a.png.png", png)
    assert names(plan([png], out)[0], out) == ["a.png.png"]
    assert names(plan([jpg], out)[0], out) == ["a.png"]
    assert names(plan([far], out)[0], out) == ["a.png-2.png"]
    assert names(plan([png, jpg], out)[0], out) == ["a.png.png", "a.png"]


def test_a_result_says_so_and_no_other_file_does(tmp_path):
    picture = pixels(9, 9, 4)
    save_result(picture, tmp_path / "a.png", tmp_path / "a.jpg")
    assert is_result(tmp_path / "a.png")
    assert is_result(tmp_path / "a.png", tmp_path / "." / "a.jpg")
    assert not is_result(tmp_path / "a.png", tmp_path / "b.jpg")
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.info["Software"] == "cardigan restore"
        assert np.array_equal(np.asarray(opened), picture)
        opened.save(tmp_path / "edited.png")
    (tmp_path / "words.png").write_bytes(b"tEXtSoftware\0cardigan restore")
    if hasattr(os, "mkfifo"):  # Windows has none
        os.mkfifo(tmp_path / "pipe.png")
    for other in ("edited.png", "words.png", "absent.png", "pipe.png", "."):
        assert not is_result(tmp_path / other)


def test_results_in_the_folder_of_the_pictures_are_not_restored_again(tmp_path):
    for name in ("a.png", "b.jpg", "deep/c.png"):
        save(tmp_path / name, pixels(9, 9, 3))
    for _ in range(2):
        done, problems = change_files(darker, [tmp_path], tmp_path, on_progress=lambda *words: None)
        assert (len(done), problems) == (3, [])
        held = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
        assert held == ["a.png", "a.png.png", "b.jpg", "b.png", "deep/c.png", "deep/c.png.png"]
    pairs, _ = plan([tmp_path / "b.png"], tmp_path)
    assert names(pairs, tmp_path) == ["b.png.png"], "a file that is named is restored"
    (tmp_path / "done").mkdir()
    result(tmp_path / "done" / "a.png", tmp_path / "a.png")
    assert plan([tmp_path / "done"], tmp_path / "out") == (
        [],
        [
            f"{tmp_path / 'done'}: all images in this folder are results of cardigan restore; to restore them again, "
            f"name the files: {tmp_path / 'done' / '*.png'}"
        ],
    )


def test_nothing_is_written_over_where_pictures_come_from(tmp_path):
    a, b, other = touch(tmp_path / "a.png", tmp_path / "b.jpg", tmp_path / "b.png")
    pairs, _ = plan([a, b], tmp_path)
    assert names(pairs, tmp_path) == ["a.png.png", "b.jpg.png"], "also not what was not given"
    assert other.exists()
    link = tmp_path / "elsewhere" / "a.png"
    link.parent.mkdir()
    link.symlink_to(a)
    assert names(plan([link], tmp_path)[0], tmp_path) == ["a.png.png"], "the link's target"
    assert names(plan([link], link.parent)[0], link.parent) == ["a.png.png"], "the link itself"
    (tmp_path / "b.jpg.png").symlink_to(tmp_path / "gone.png")
    assert names(plan([b], tmp_path)[0], tmp_path) == ["b.jpg-2.png"], (
        "a link that points nowhere is a name that is taken"
    )


def test_a_folder_is_read_with_its_sub_folders(tmp_path):
    photos = tmp_path / "photos"
    touch(*(photos / name for name in ("b.JPG", "a.png", "deep/er/a.png", ".hidden/a.png", ".a.png", "notes.txt")))
    pairs, problems = plan([photos], tmp_path / "out")
    assert names(pairs, tmp_path / "out") == ["a.png", "b.png", "deep/er/a.png"]
    assert problems == []


def test_each_picture_is_restored_once(tmp_path):
    photos = tmp_path / "photos"
    touch(photos / "a.png", photos / "b.png")
    pairs, _ = plan([photos / "b.png", photos, photos / "b.png"], tmp_path / "out")
    assert names(pairs, tmp_path / "out") == ["b.png", "a.png"]


def test_results_in_the_folder_of_the_pictures_are_no_pictures(tmp_path):
    touch(tmp_path / "a.png", tmp_path / "restored" / "b.png")
    pairs, _ = plan([tmp_path], tmp_path / "restored")
    assert names(pairs, tmp_path / "restored") == ["a.png"]


def test_an_empty_folder_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    pairs, (problem,) = plan([tmp_path / "empty", *touch(tmp_path / "a.png")], tmp_path / "out")
    assert len(pairs) == 1
    assert problem.startswith(f"{tmp_path / 'empty'}: no images in this folder; expected PNG, JPEG,")


def test_runs_are_no_pictures_and_kinds_that_are_not_read_are_told(tmp_path):
    touch(tmp_path / "a.jfif", tmp_path / "run" / "samples" / "b.png", tmp_path / "c.cr2")
    (tmp_path / "run" / "config.json").write_text('{"command": "", "request": {}, "resolved": {}}')
    pairs, problems = plan([tmp_path], tmp_path / "out")
    assert [path.name for path, _ in pairs] == ["a.jfif"]
    told = "raw photos of cameras, which is not read; convert it to PNG or JPEG"
    assert problems == [f"{tmp_path / 'c.cr2'}: {told}"]


# --- all together --------------------------------------------------------------------------------------------------


def darker(picture, on_part):
    on_part(1, 2)
    on_part(2, 2)
    return picture // 2


def test_every_picture_is_changed_and_announced(tmp_path):
    a, b, told = pixels(9, 12, 3), pixels(10, 10, 1), []
    files = [save(tmp_path / "a.png", a), save(tmp_path / "b.png", b)]
    done, problems = change_files(darker, files, tmp_path / "out", on_progress=lambda *words: told.append(words))
    assert (done, problems) == ([(file, tmp_path / "out" / file.name) for file in files], [])
    assert np.array_equal(read_picture(tmp_path / "out" / "a.png"), a // 2)
    assert np.array_equal(read_picture(tmp_path / "out" / "b.png"), b // 2)
    assert np.array_equal(read_picture(files[0]), a)
    assert told == [(share / 4, f"{1 + (share > 2)} of 2 images") for share in (1, 2, 3, 4)]


def test_a_picture_that_cannot_be_read_stops_no_other(tmp_path):
    (empty,) = touch(tmp_path / "\u202egpj.png")
    files = [empty, tmp_path / "absent.png", save(tmp_path / "c.png", pixels(9, 9, 3))]
    done, problems = change_files(darker, files, tmp_path / "out", on_progress=lambda *words: None)
    assert len(done) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.png"]
    assert problems[0].startswith(f"{tmp_path}/\\u202egpj.png: not an image of a format that is read here")
    assert problems[1] == f"{tmp_path / 'absent.png'}: No such file or directory"


def test_what_goes_wrong_beyond_reading_stops(tmp_path):
    files = [save(tmp_path / "a.png", pixels(9, 9, 3))]

    def broken(picture, on_part):
        raise CardiganError("the network is missing")

    assert message(lambda: change_files(broken, files, tmp_path / "out", on_progress=print)) == "the network is missing"
    (file,) = touch(tmp_path / "file")
    told = message(lambda: change_files(darker, files, file / "out", on_progress=lambda *words: None))
    assert told.startswith(f"Cannot write to {file / 'out'}: ")
    assert told.endswith("Choose another --out.")


def test_an_out_that_cannot_be_written_to_is_told_before_the_work(tmp_path, forbidden_or_file):
    files = [save(tmp_path / "a.png", pixels(9, 9, 3))]

    def unwanted(picture, on_part):
        raise AssertionError("work began")

    told = message(lambda: change_files(unwanted, files, forbidden_or_file, on_progress=print))
    assert told.startswith(f"Cannot write to {forbidden_or_file}: ")
    assert told.endswith(". Choose another --out.")


@pytest.fixture(params=["file", "below a file", "without permission"])
def forbidden_or_file(request, tmp_path):
    if request.param == "without permission":
        return request.getfixturevalue("forbidden")
    (tmp_path / "file").write_bytes(b"mine")
    return tmp_path / "file" if request.param == "file" else tmp_path / "file" / "below"


def test_a_sub_folder_that_cannot_be_made_is_told_before_the_work_and_nothing_is_left(tmp_path):
    save(tmp_path / "photos" / "a.png", pixels(9, 9, 3))
    save(tmp_path / "photos" / "deep" / "b.png", pixels(9, 9, 3))
    touch(tmp_path / "out" / "deep")
    told = message(lambda: change_files(darker, [tmp_path / "photos"], tmp_path / "out", on_progress=print))
    assert told == f"Cannot write to {tmp_path / 'out'}: File exists. Choose another --out."
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["deep"]


def test_another_failure_is_not_taken_for_one_of_writing(tmp_path):
    def fails(picture, on_part):
        raise OSError("the network's file")

    with pytest.raises(OSError, match="the network's file"):
        change_files(fails, [save(tmp_path / "a.png", pixels(9, 9, 3))], tmp_path / "out", on_progress=print)


def test_folders_that_nothing_came_into_are_removed(tmp_path):
    touch(tmp_path / "photos" / "a.png", tmp_path / "photos" / "deep" / "b.png")
    done, problems = change_files(darker, [tmp_path / "photos"], tmp_path / "new" / "out", on_progress=print)
    assert (done, len(problems)) == ([], 2)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("told", ["", "too large, in words"])
def test_a_picture_too_large_for_the_memory_stops_no_other(tmp_path, told):
    files = [save(tmp_path / "a.png", pixels(90, 120, 3)), save(tmp_path / "b.png", pixels(9, 9, 3))]

    def fails_on_large_ones(picture, on_part):
        if picture.shape[0] > 9:
            raise MemoryError(told)
        return picture

    done, problems = change_files(fails_on_large_ones, files, tmp_path / "out", on_progress=lambda *words: None)
    assert len(done) == 1
    expected = told or "90x120 pixels are too many for the memory; restore it in parts"
    assert problems == [f"{files[0]}: {expected}"]
