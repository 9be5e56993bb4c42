"""The data block over our own data room, and the folders that fastai leaves behind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cardigan import CardiganError
from cardigan.fastai import (
    DataBlock,
    DataLoaders,
    ImageBlock,
    IndexSplitter,
    Learner,
    Normalize,
    PadMode,
    PILImageBW,
    Resize,
    ResizeMethod,
    TransformBlock,
    URLs,
    generate_noise,
    get_image_files,
    partial,
    untar_data,
)
from cardigan.fastai import data as module
from cardigan.pixels import to_uint8

HALF = Normalize.from_stats([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


@pytest.fixture
def photos(tmp_path):
    """Ten pictures, each of one shade, in folders two deep."""
    for place in range(10):
        path = tmp_path / "photos" / str(place % 2) / "deep" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (20 * place, 0, 255)).save(path)
    return tmp_path / "photos"


def block(**settings):
    given = {
        "blocks": (TransformBlock, ImageBlock),
        "get_x": generate_noise,
        "get_items": get_image_files,
        "splitter": IndexSplitter([]),
        "item_tfms": Resize(8),
        "batch_tfms": HALF,
    }
    return DataBlock(**given | settings)


def shades(images):
    return sorted(to_uint8(images)[:, 4, 4, 0].tolist())


def test_a_pass_gives_pairs_of_noise_and_each_image_once(photos):
    dls = block().dataloaders(photos, path=photos, bs=5)
    assert (dls.bs, len(dls.train), len(dls.valid), dls.path) == (5, 2, 0, photos)
    batches = list(dls.train)
    assert [(x.shape, y.shape) for x, y in batches] == [((5, 100), (5, 3, 8, 8))] * 2
    assert shades(torch.cat([y for _, y in batches])) == [20 * place for place in range(10)]
    images = batches[0][1]
    assert float(images[:, 1].max()) == -1.0
    assert float(images[:, 2].min()) == 1.0
    noise = dls.one_batch()[0]
    assert type(noise) is torch.Tensor
    assert abs(float(noise.mean())) < 0.2


def test_each_pass_has_another_order_and_other_noise_and_the_seed_decides(photos):
    dls = block().dataloaders(photos, bs=10)
    torch.manual_seed(1)
    first, second = dls.one_batch(), dls.one_batch()
    torch.manual_seed(1)
    again = dls.one_batch()
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_get_x_may_be_any_function_of_the_file(photos):
    dls = block(get_x=lambda file: torch.tensor([float(Path(file).stem)])).dataloaders(photos, bs=4)
    for numbers, images in dls.train:
        assert (20 * numbers[:, 0]).tolist() == to_uint8(images)[:, 4, 4, 0].tolist()
    assert block(get_x=partial(generate_noise, size=7)).dataloaders(photos, bs=4).one_batch()[0].shape == (4, 7)


def test_a_splitter_sets_validation_data_aside(photos):
    dls = block(splitter=IndexSplitter([0, 3, 9])).dataloaders(photos, bs=2)
    files = get_image_files(photos)
    aside = sorted(20 * int(files[place].stem) for place in (0, 3, 9))
    assert (len(dls.train), len(dls.valid)) == (3, 2)
    assert shades(torch.cat([y for _, y in dls.valid])) == aside
    assert [len(y) for _, y in dls.valid] == [2, 1]
    alone = block(splitter=IndexSplitter([4])).dataloaders(photos, bs=2).valid
    assert [y.shape[0] for _, y in alone] == [1]
    drawn = shades(torch.cat([y for _, y in dls.train]))
    assert not set(drawn) & set(aside)
    assert [to_uint8(y)[:, 0, 0, 0].tolist() for _, y in dls[1]] == [
        [20 * int(files[at].stem) for at in part] for part in ((0, 3), (9,))
    ]
    with pytest.raises(CardiganError, match=r"asks for item 10 of 10; expected 0 to 9"):
        block(splitter=IndexSplitter([10])).dataloaders(photos)


def test_copies_of_a_file_count_as_the_splitter_counts_them(photos):
    (photos / "1" / "deep" / "99.png").write_bytes((photos / "0" / "deep" / "8.png").read_bytes())
    dls = block(splitter=IndexSplitter([10])).dataloaders(photos, bs=10)
    assert (len(dls.train.files), len(dls.valid.files)) == (10, 1)
    assert shades(dls.valid.one_batch()[1]) == [160]


def test_a_smaller_last_batch_is_left_out_of_training_as_in_fastai(photos):
    dls = block().dataloaders(photos, bs=4)
    assert [len(y) for _, y in dls.train] == [4, 4]
    with pytest.raises(CardiganError, match=r"bs is 11 for 10 training images; expected 1 to 10. Type bs=10"):
        block().dataloaders(photos, bs=11)
    with pytest.raises(CardiganError, match=r"bs is 0 for"):
        block().dataloaders(photos, bs=0)


@pytest.mark.parametrize(
    ("method", "edge", "middle"),
    [
        (ResizeMethod.Crop, (255, 0), (255, 0)),
        (ResizeMethod.Squish, (0, 255), (255, 0)),
        (ResizeMethod.Pad, (0, 0), (255, 0)),
        ("Squish", (0, 255), (255, 0)),
    ],
)
def test_images_are_cropped_squished_or_padded(tmp_path, method, edge, middle):
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 12:36, 0] = 255  # red in the middle, blue at both sides
    wide[:, :12, 2] = wide[:, 36:, 2] = 255
    (tmp_path / "wide").mkdir()
    for place in range(2):
        wide[8, 24, 1] = place  # copies of one image would be refused
        Image.fromarray(wide).save(tmp_path / "wide" / f"{place}.png")
    resize = Resize(16, method=method, pad_mode=PadMode.Zeros)
    pixels = to_uint8(block(item_tfms=resize).dataloaders(tmp_path / "wide", bs=1).one_batch()[1])[0]
    corner = pixels[0, 8] if method is ResizeMethod.Pad else pixels[8, 0]
    assert tuple(int(corner[channel]) for channel in (0, 2)) == edge
    assert tuple(int(pixels[8, 8][channel]) for channel in (0, 2)) == middle


def test_sizes_may_be_oblong_and_grey_is_asked_for(photos):
    dls = block(item_tfms=Resize((8, 16)), blocks=(TransformBlock, ImageBlock(PILImageBW))).dataloaders(photos, bs=2)
    assert dls.one_batch()[1].shape == (2, 1, 8, 16)
    assert block(item_tfms=None).dataloaders(photos, bs=2).one_batch()[1].shape == (2, 3, 16, 20)
    assert block(blocks=(TransformBlock(), ImageBlock())).dataloaders(photos, bs=2).one_batch()[1].shape[1] == 3


def test_batches_are_shown_as_they_are(photos):
    dls = block().dataloaders(photos, bs=6)
    picture = np.asarray(dls.show_batch(max_n=4))
    assert picture.shape == (18, 18, 3)
    assert set(picture[0, [0, 10], 0].tolist()) <= {20 * place for place in range(10)}
    assert dls.show_batch(max_n=99, ncols=6).size == (58, 8)


def test_files_that_cannot_be_used_are_told_and_the_others_keep_their_inputs(photos):
    (photos / "0" / "deep" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    stem = block(get_x=lambda file: torch.tensor([float(Path(file).stem)]))
    with pytest.warns(UserWarning, match=r"1 of 10 images cannot be used, such as .*2.png: damaged PNG"):
        dls = stem.dataloaders(photos, bs=9)
    numbers, images = dls.one_batch()
    assert (20 * numbers[:, 0]).tolist() == to_uint8(images)[:, 4, 4, 0].tolist()


@pytest.mark.parametrize("stats", [([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), (0.5, 0.25), ([0.5] * 2, [0.5] * 2)])
def test_another_normalisation_is_refused(stats):
    with pytest.raises(CardiganError, match=r"expected 0.5 for each channel.*tanh"):
        Normalize.from_stats(*stats)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_tfms": None}, r"batch_tfms is None; expected a Normalize"),
        ({"batch_tfms": [HALF, HALF]}, r"expected one Normalize and nothing else"),
        ({"item_tfms": [Resize(8), "flip"]}, r"item_tfms is .*expected one Resize"),
        ({"get_x": None}, r"get_x is None.*generate_noise"),
        ({"get_y": len}, r"does not know get_y"),
        ({"dl_type": object, "n_inp": 1}, r"does not know dl_type, n_inp"),
        ({"blocks": (ImageBlock, ImageBlock)}, r"expected \(TransformBlock, ImageBlock\).*DataLoaders"),
        ({"blocks": None}, r"blocks is None"),
        ({"blocks": (TransformBlock, ImageBlock, ImageBlock)}, r"expected \(TransformBlock, ImageBlock\)"),
    ],
)
def test_what_a_data_block_does_not_do_is_refused(settings, words):
    with pytest.raises(CardiganError, match=words):
        block(**settings)


def test_padding_with_anything_but_black_is_refused():
    with pytest.raises(CardiganError, match=r"pad_mode is PadMode.Reflection; expected PadMode.Zeros"):
        Resize(8, method=ResizeMethod.Pad)


def test_no_images_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CardiganError, match=r"no training images in .*empty"):
        block().dataloaders(tmp_path / "empty")
    with pytest.raises(CardiganError, match=r"gone.png cannot be read.*get_items"):
        block(get_items=lambda path: [path / "gone.png"]).dataloaders(tmp_path)


def test_image_files_are_sorted_and_hidden_ones_left_out(photos):
    (photos / ".thumbs").mkdir()
    Image.new("RGB", (8, 8)).save(photos / ".thumbs" / "a.png")
    (photos / "notes.txt").touch()
    Image.new("RGB", (8, 8)).save(photos / "z.JPG", "JPEG")
    names = [file.relative_to(photos).as_posix() for file in get_image_files(photos)]
    assert names == [
        *(f"0/deep/{n}.png" for n in (0, 2, 4, 6, 8)),
        *(f"1/deep/{n}.png" for n in (1, 3, 5, 7, 9)),
        "z.JPG",
    ]
    assert [file.name for file in get_image_files(str(photos), recurse=False)] == ["z.JPG"]
    assert [file.stem for file in get_image_files(photos, folders=["1"])] == ["1", "3", "5", "7", "9"]
    assert get_image_files(photos, folders="0") == get_image_files(photos)[:5]


def test_data_sets_are_found_where_fastai_leaves_them_and_never_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path))
    folder = tmp_path / "data" / "bedroom"
    with pytest.raises(CardiganError, match=r"no folder .*data/bedroom; .*nothing is downloaded.*my/images"):
        untar_data(URLs.LSUN_BEDROOMS)
    folder.mkdir(parents=True)
    assert untar_data(URLs.LSUN_BEDROOMS) == folder
    assert untar_data("https://example.com/sets/bedroom.tar.gz") == folder
    assert untar_data(folder) == folder
    assert untar_data(str(folder)) == folder
    assert untar_data(URLs.LSUN_BEDROOMS, data=tmp_path / "data") == folder
    with pytest.raises(CardiganError, match="mnist_png"):
        untar_data(URLs.MNIST)
    with pytest.raises(CardiganError, match="nowhere"):
        untar_data(tmp_path / "nowhere")
    monkeypatch.delenv("FASTAI_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(CardiganError, match=r"home/.fastai/data/cifar10;"):
        untar_data(URLs.CIFAR)


def test_any_loaders_make_dataloaders():
    items = torch.utils.data.TensorDataset(torch.randn(8, 2), torch.rand(8, 3, 8, 8))
    loader = torch.utils.data.DataLoader(items, 4)
    dls = DataLoaders(loader, loader)
    assert (dls.train, dls.valid, dls[1], len(dls), dls.bs) == (loader, loader, loader, 2, 4)
    assert (dls.path, dls.device) == (Path(), None)
    assert [each.shape for each in dls.one_batch()] == [(4, 2), (4, 3, 8, 8)]
    assert dls.show_batch(max_n=4).size == (18, 18)
    alone = DataLoaders(loader, path="here", device="cpu")
    assert (alone.valid, alone.path, alone.device) == (None, Path("here"), torch.device("cpu"))
    with pytest.raises(CardiganError, match=r"DataLoaders got no data.*Type DataLoaders\(train, valid\)"):
        DataLoaders()
    with pytest.raises(CardiganError, match=r"no images that can be shown"):
        DataLoaders([(torch.zeros(2, 2), torch.zeros(2, 3))]).show_batch()
    learn = Learner(dls, torch.nn.Linear(2, 3), lambda output, target: (output - target.mean((2, 3))).abs().mean())
    with learn.no_logging():
        learn.fit(1)
    assert learn.validates


@pytest.mark.parametrize("method", ["squish", "Squish", ResizeMethod.Squish])
def test_methods_are_known_by_name(method):
    assert Resize(8, method=method).method is ResizeMethod.Squish
    assert Resize(8, method="pad", pad_mode="zeros").method is ResizeMethod.Pad


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Resize(8, method="zoom"), r"method is 'zoom'; expected ResizeMethod.Squish or Crop or Pad, or one of"),
        (lambda: Resize(8, method="pad", pad_mode="mirror"), r"pad_mode is 'mirror'; expected PadMode"),
        (lambda: Resize(8, resamples=(2, 0)), r"Resize does not know resamples"),
        (lambda: Normalize.from_stats(0.5, 0.5, dim=-1), r"dim is -1 and ndim is 4; expected 1 and 4"),
        (lambda: block().dataloaders("none", num_workers=4), r"num_workers is 4; expected 0.*Leave num_workers out"),
        (lambda: block().dataloaders("none", shuffle=False), r"dataloaders does not know shuffle"),
    ],
)
def test_what_is_not_offered_is_refused_in_words(make, words):
    with pytest.raises(CardiganError, match=words):
        make()


def test_what_changes_nothing_is_accepted(photos):
    assert Normalize.from_stats([0.5], [0.5], cuda=False) is not None
    assert block().dataloaders(photos, bs=5, num_workers=0).bs == 5


def test_the_device_is_picked_as_everywhere(photos, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "pick_device", lambda device: asked.append(device) or "cpu")
    assert block().dataloaders(photos, bs=5).device == torch.device("cpu")
    assert asked == ["auto"]
    assert block().dataloaders(photos, bs=5, device="cpu").train.device == torch.device("cpu")
    assert asked == ["auto"]
