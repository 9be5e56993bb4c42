import numpy as np
import pytest
import torch
from PIL import Image

from cardigan.data import DataSettings, decode, open_source, scan
from cardigan.data.decode import from_array
from cardigan.errors import CardiganError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 12, 16, 3), dtype=np.uint8)


class Labelled(torch.utils.data.Dataset):
    """Pictures of Pillow with labels, as torchvision's folders give them."""

    classes = ("cat", "dog")

    def __len__(self):
        return 6

    def __getitem__(self, at):
        return Image.fromarray(PIXELS[at]), at % 2


class Tensors(Labelled):
    """The same as tensors of floats, channels first."""

    def __getitem__(self, at):
        return torch.tensor(PIXELS[at]).permute(2, 0, 1) / 255, at % 2


def pixels_of(source):
    return np.stack(
        [decode(raw).pixels if isinstance(raw := item.read(), bytes) else from_array(raw).pixels for item in source]
    )


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        torch.tensor(PIXELS),
        torch.tensor(PIXELS).permute(0, 3, 1, 2),
        [*PIXELS],
        [Image.fromarray(each) for each in PIXELS],
        tuple(Image.fromarray(each) for each in PIXELS),
        torch.utils.data.TensorDataset(torch.tensor(PIXELS).permute(0, 3, 1, 2)),
        torch.utils.data.Subset(Labelled(), range(6)),
        [{"image": Image.fromarray(each)} for each in PIXELS],
    ],
    ids=lambda given: type(given).__name__,
)
def test_what_programs_hold_is_read_as_it_is(given):
    source = open_source(given)
    assert source.name == "images-in-memory"
    np.testing.assert_array_equal(pixels_of(source), PIXELS)
    assert source.key == open_source(given).key
    assert source.key != open_source(PIXELS[1:]).key


@pytest.mark.parametrize("given", [Labelled(), Tensors(), torch.utils.data.Subset(Labelled(), range(6))])
def test_labels_come_with_data_sets(given):
    source = open_source(given)
    assert source.classes == (("cat", "dog") if hasattr(given, "classes") else ("0", "1"))
    assert [item.label for item in source] == [0, 1] * 3
    assert open_source(given, DataSettings(labels=False)).classes == ()
    assert scan(source).count == 6


def test_labels_come_in_a_tuple_or_as_tensors():
    kinds = np.array(["a", "b"] * 3)
    assert open_source((PIXELS, kinds)).classes == ("a", "b")
    both = torch.utils.data.TensorDataset(torch.tensor(PIXELS), torch.arange(6) % 3)
    assert open_source(both).classes == ("0", "1", "2")


def test_pictures_of_any_size_and_mode(tmp_path):
    modes = ("RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "I;16", "YCbCr", "HSV")
    source = open_source([Image.new(mode, (9 + at, 12)) for at, mode in enumerate(modes)])
    found = scan(source)
    assert (found.count, found.bad) == (10, ())
    assert open_source([np.zeros((8, 9), np.uint8), np.zeros((9, 9, 3), np.uint8)]).items[1].read().shape == (9, 9, 3)


@pytest.mark.filterwarnings("ignore")
def test_a_data_set_of_the_hub_that_is_loaded():
    library = pytest.importorskip("datasets", reason="the datasets library is not installed")
    features = library.Features({"image": library.Image(), "label": library.ClassLabel(names=["no", "yes"])})
    rows = {"image": [Image.fromarray(each) for each in PIXELS], "label": [0, 1] * 3}
    source = open_source(library.Dataset.from_dict(rows, features=features))
    assert source.classes == ("no", "yes")
    np.testing.assert_array_equal(pixels_of(source), PIXELS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "The source is a int. Expected a path, an array, a list of pictures, or a data set with a length"),
        ((each for each in PIXELS), "From a generator or a loader, make a list: train(list(images))"),
        ([1, 2], "An image is a int; expected an array, a tensor or a picture of Pillow"),
        (np.zeros((6, 5), np.uint8), "expected"),
        ([np.zeros((8, 8, 8), np.uint8), np.zeros((9, 9), np.uint8)], "An image is uint8 [8, 8, 8]; expected (H, W)"),
        ([{"text": 1}, {"text": 2}], "An item of the data set has the keys text; expected image"),
        ([], "No source is named"),
    ],
)
def test_other_things_are_refused(given, said):
    with pytest.raises(CardiganError) as caught:
        open_source(given)
    assert said in str(caught.value)
