import sys

import pytest

from cardigan.errors import CardiganError, MissingExtraError
from cardigan.watchers.tensorboard import TensorBoardWriter


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError) as caught:
        TensorBoardWriter(tmp_path)
    assert str(caught.value) == (
        "TensorBoard logging (tensorboard=true) needs a library that is not installed. Install it with: "
        'pip install "cardigan[tensorboard]"'
    )
    assert isinstance(caught.value, CardiganError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the library's own
def test_a_line_becomes_scalars_by_images_seen(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoardWriter(tmp_path / "tensorboard")
    for images, loss in ((100, 1.5), (200, 0.5)):
        losses = {"generator/adversarial": loss}
        board.see({"images": images, "images_per_second": 7.0, "losses": losses, "logits": {"real": 2.0}})
    board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"generator/adversarial", "logits/real", "images_per_second"}
    assert [(event.step, event.value) for event in events.Scalars("generator/adversarial")] == [(100, 1.5), (200, 0.5)]
    assert [event.value for event in events.Scalars("logits/real")] == [2.0, 2.0]
