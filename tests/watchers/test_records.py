import json
from dataclasses import replace

import pytest
import torch

from cardigan.clock import Progress, StepRecord
from cardigan.watchers.records import RecordsWriter


def record(images, seconds=1.0, *, logit=0.5, **losses):
    tensors = {name.replace("__", "/"): torch.tensor(float(value)) for name, value in losses.items()}
    return StepRecord(Progress(images=images, seconds=seconds), tensors, {"real": torch.tensor(float(logit))})


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def written(path, *images, tail=""):
    path.write_text("".join(json.dumps({"images": count}) + "\n" for count in images) + tail, encoding="utf-8")


def test_a_line_holds_the_means_since_the_last_one(tmp_path):
    path = tmp_path / "records.jsonl"
    writer = RecordsWriter(path, interval=1e9)
    for images, loss, logit in ((10, 1.0, -1.0), (20, 2.0, 0.0), (30, 6.0, 4.0)):
        assert writer.see(record(images, images / 10, discriminator__adversarial=loss, logit=logit)) is None
    assert not path.exists()
    line = writer.flush(record(30, 3.0))
    assert line["images"] == 30
    assert line["losses"] == {"discriminator/adversarial": pytest.approx(3.0)}
    assert line["logits"] == {"real": pytest.approx(1.0)}
    assert line["seconds"] == 3.0
    writer.see(record(40, 4.0, discriminator__adversarial=10.0, logit=7.0))
    assert writer.flush(record(40, 4.0))["losses"] == {"discriminator/adversarial": 10.0}
    assert [entry["images"] for entry in lines(path)] == [30, 40]


def test_gauges_are_averaged_too_and_absent_where_there_are_none(tmp_path):
    writer = RecordsWriter(tmp_path / "records.jsonl", interval=1e9)
    plain = record(10, loss=1.0)
    writer.see(plain)
    assert "gauges" not in writer.flush(plain)
    for value in (0.25, 0.75):
        writer.see(replace(plain, gauges={"probability": torch.tensor(value)}))
    assert writer.flush(plain)["gauges"] == {"probability": pytest.approx(0.5)}


def test_a_loss_that_is_not_always_there_is_averaged_over_when_it_was(tmp_path):
    writer = RecordsWriter(tmp_path / "records.jsonl", interval=1e9)
    writer.see(record(10, discriminator__adversarial=1.0, discriminator__r1=8.0))
    writer.see(record(20, discriminator__adversarial=3.0))
    writer.see(record(30, generator__adversarial=5.0))
    line = writer.flush(record(30))
    assert line["losses"] == {"discriminator/adversarial": 2.0, "discriminator/r1": 8.0, "generator/adversarial": 5.0}


def test_a_line_is_due_after_the_interval(tmp_path):
    path = tmp_path / "records.jsonl"
    eager = RecordsWriter(path, interval=0.0)
    assert eager.see(record(10, loss=1.0))["images"] == 10
    assert eager.see(record(20, loss=1.0))["images"] == 20
    assert len(lines(path)) == 2
    patient = RecordsWriter(path, images=20, interval=1e9)
    assert patient.see(record(30, loss=1.0)) is None


def test_nothing_new_is_no_line(tmp_path):
    path = tmp_path / "records.jsonl"
    writer = RecordsWriter(path)
    assert writer.flush(record(0)) is None
    writer.see(record(10, loss=1.0))
    writer.flush(record(10))
    assert writer.flush(record(10)) is None
    assert len(lines(path)) == 1


def test_the_speed_is_of_the_time_since_the_last_line(tmp_path):
    writer = RecordsWriter(tmp_path / "records.jsonl", interval=0.0)
    first = writer.see(record(100, 2.0, loss=1.0))
    second = writer.see(record(400, 3.0, loss=1.0))
    assert first["images_per_second"] == 50.0
    assert second["images_per_second"] == 300.0


def test_the_speed_of_a_resumed_run_begins_where_it_stands(tmp_path):
    writer = RecordsWriter(tmp_path / "records.jsonl", images=1000, seconds=20.0, interval=0.0)
    assert writer.see(record(1100, 22.0, loss=1.0))["images_per_second"] == 50.0


def test_losses_stay_tensors_until_a_line_is_due(tmp_path):
    class Untouchable(torch.Tensor):
        def __float__(self):
            raise AssertionError("read out before a line was due")

    loss = torch.tensor(1.0).as_subclass(Untouchable)
    writer = RecordsWriter(tmp_path / "records.jsonl", interval=1e9)
    for images in (10, 20):
        writer.see(StepRecord(Progress(images=images), {"loss": loss}, {}))
    with pytest.raises(AssertionError, match="read out"):
        writer.flush(record(20))


def test_lines_beyond_where_the_run_stands_are_cut(tmp_path):
    path = tmp_path / "records.jsonl"
    written(path, 10, 20, 30, 40)
    RecordsWriter(path, images=20)
    assert [line["images"] for line in lines(path)] == [10, 20]


@pytest.mark.parametrize("tail", ['{"images": 30, "lo', "{}\n", "\x00\x00\x00\n"])
def test_a_line_that_a_crash_cut_short_is_removed(tmp_path, tail):
    path = tmp_path / "records.jsonl"
    written(path, 10, 20, tail=tail)
    writer = RecordsWriter(path, images=1000)
    assert [line["images"] for line in lines(path)] == [10, 20]
    writer.see(record(1010, loss=1.0))
    writer.flush(record(1010))
    assert [line["images"] for line in lines(path)] == [10, 20, 1010]


def test_a_last_line_without_its_end_is_completed(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"images": 10}', encoding="utf-8")
    writer = RecordsWriter(path, images=10)
    writer.see(record(20, loss=1.0))
    writer.flush(record(20))
    assert [line["images"] for line in lines(path)] == [10, 20]
