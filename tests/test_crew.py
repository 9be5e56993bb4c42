"""Joining, leaving and comparing devices, through stand-ins: a stubbed store, group and GPU; no second process."""

import json
import subprocess
import sys
import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist

from cardigan import crew as module
from cardigan.crew import Crew, _leave, _meet, joined
from cardigan.errors import CardiganError
from cardigan.place import Place
from cardigan.training import unison


class Store:
    """Stands for the list that processes sign when they come; the others' names are given."""

    def __init__(self, *come):
        self.names, self.waited, self.timeout = set(come), None, None

    def set(self, name, value):
        self.names.add(name)

    def check(self, names):
        return self.names >= set(names)

    def wait(self, names, timeout):
        self.waited = timeout
        if not self.check(names):
            raise dist.DistStoreError("wait timeout after 600000ms")

    def set_timeout(self, timeout):
        self.timeout = timeout


def test_who_has_come_waits_ten_minutes_for_the_others_and_a_day_once_they_are_there():
    store = Store("come 0", "come 2")
    _meet(store, Place(1, 3))
    assert (store.waited, store.timeout) == (timedelta(minutes=10), timedelta(hours=24))


def test_who_did_not_come_is_named():
    with pytest.raises(CardiganError, match="Of 4 processes, process 1, 3 did not come within 10 minutes"):
        _meet(Store("come 2"), Place(0, 4))


def test_the_first_meeting_place_is_waited_for_as_long(monkeypatch):
    asked = {}

    def rendezvous(url, **settings):
        asked.update(settings)
        raise RuntimeError("Timed out after 601 seconds waiting for clients. 1/2 clients joined.")

    monkeypatch.setattr(sys.modules["torch.distributed.rendezvous"], "rendezvous", rendezvous)
    monkeypatch.setattr(module, "_STORES", {})
    for name, value in {"RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CardiganError, match=r"cannot be reached at localhost:1: Timed out after 601 seconds"):
        module._rendezvous(Place(0, 2))
    assert asked == {"timeout": timedelta(minutes=10)}


@pytest.mark.parametrize(
    ("cuda", "nccl", "backend"),
    [(True, True, "cpu:gloo,cuda:nccl"), (True, False, "gloo"), (False, False, "gloo")],
)
def test_nccl_is_asked_for_where_it_is(monkeypatch, cuda, nccl, backend):
    asked, left = [], []
    monkeypatch.setattr(module.place, "told", lambda: Place(0, 2))
    monkeypatch.setattr(module, "_rendezvous", lambda here: dist.HashStore())
    monkeypatch.setattr(module, "_meet", lambda store, here: None)
    monkeypatch.setattr(module, "_leave", lambda abort: left.append(abort))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(dist, "is_nccl_available", lambda: nccl)
    monkeypatch.setattr(dist, "init_process_group", lambda name, **settings: asked.append((name, settings["timeout"])))
    with joined():
        pass
    with pytest.raises(KeyError), joined():
        raise KeyError
    assert asked == [(backend, timedelta(hours=24))] * 2
    assert left == [False, True], "who fails does not wait for what the others will never answer"


@pytest.mark.parametrize(("abort", "called"), [(True, ["abort", "destroy"]), (False, ["destroy"])])
def test_leaving_gives_up_or_tidies(monkeypatch, abort, called):
    found = []
    monkeypatch.setattr("torch.distributed.distributed_c10d._abort_process_group", lambda: found.append("abort"))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: found.append("destroy"))
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    _leave(abort=abort)
    assert found == called


def test_a_group_that_cannot_be_left_does_not_keep_the_process(monkeypatch):
    """Stands for NCCL that waits for a lost process for ever."""
    never, registered = threading.Event(), []
    monkeypatch.setattr(module, "_left", lambda abort: never.wait())
    monkeypatch.setattr(module, "LEAVING", timedelta(milliseconds=10))
    monkeypatch.setattr(module.atexit, "register", registered.append)
    _leave(abort=True)
    never.set()
    assert registered == [module._end]


def test_such_a_process_ends_with_the_code_of_what_may_be_tried_again():
    program = "import atexit, cardigan.crew as crew; atexit.register(crew._end); print('told', end='')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (75, "told")


@pytest.fixture
def gpus(monkeypatch):
    """Stands for so many GPUs; the device that is taken."""
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)

    def given(count, place):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(module.place, "told", lambda: place)
        return taken

    return given


@pytest.mark.parametrize(
    ("count", "place", "device"),
    [
        (4, Place(3, 4, 3, 4), 3),
        (8, Place(3, 4, 3, 4), 3),
        (1, Place(3, 4, 3, 4), 0),  # --gpus-per-task=1: each process sees its own GPU alone
        (1, Place(3, 4, 3, 1), 0),
        (1, Place(1, 2, 0, 1), 0),
    ],
)
def test_each_process_takes_its_own_gpu(gpus, count, place, device):
    taken = gpus(count, place)
    assert Crew(place.number, place.count).device("cuda") == f"cuda:{device}"
    assert taken == [device]


@pytest.mark.parametrize("place", [Place(3, 4, 3, 4), Place(3, 4, 3, 1)])
def test_more_processes_than_gpus_are_refused(gpus, place):
    gpus(2, place)
    with pytest.raises(CardiganError, match=r"4 processes were started on .*, which has 2 GPUs. Start one for each"):
        Crew(3, 4).device("cuda")


def compared(monkeypatch, *found):
    """What the first of several processes finds, where the exchange gives what each of them says."""
    monkeypatch.setattr(module, "_described", lambda device: found[0])
    monkeypatch.setattr(Crew, "bytes_from", lambda self, blob, number=0: json.dumps(found[number]).encode())
    return Crew(0, len(found)).compare("cuda:0")


def gpu(name="A100", capability="compute 8.0", *, host="one", unit="x"):
    return {"host": host, "name": name, "capability": capability, "unit": unit}


def test_equal_gpus_and_processors_are_not_worth_a_word(monkeypatch):
    assert compared(monkeypatch, gpu(), gpu(unit="y"), gpu(host="two")) == ""
    assert compared(monkeypatch, *[gpu("cpu", "cpu", unit="")] * 3) == ""
    assert Crew().compare("cuda:0") == ""


def test_gpus_of_another_generation_are_refused_before_anything_is_trained(monkeypatch):
    with pytest.raises(CardiganError, match=r"process 0 has A100 \(compute 8.0\), process 2 has A10 \(compute 8.6\)"):
        compared(monkeypatch, gpu(), gpu(unit="y"), gpu("A10", "compute 8.6", host="two"))
    with pytest.raises(CardiganError, match=r"process 0 has A100 \(compute 8.0\), process 1 has cpu \(cpu\)"):
        compared(monkeypatch, gpu(), gpu("cpu", "cpu", unit=""))


def test_gpus_of_another_name_are_told(monkeypatch):
    text = compared(monkeypatch, gpu("A100 40GB"), gpu("A100 80GB", unit="y"))
    assert text.startswith("Warning: the GPUs have different names: process 0 has A100 40GB")


def test_two_processes_on_one_gpu_are_refused(monkeypatch):
    with pytest.raises(CardiganError, match=r"Processes 0 and 2 share one GPU of one \(A100\)"):
        compared(monkeypatch, gpu(), gpu(unit="y"), gpu())
    assert compared(monkeypatch, *[gpu("A100 MIG 1g", unit="")] * 2) == "", "slices of one GPU"


def test_a_gpu_is_described_by_what_pytorch_tells_of_it(monkeypatch):
    facts = SimpleNamespace(name="A100", major=8, minor=0, uuid="a-b")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: facts)
    assert module._described("cuda:1") | {"host": ""} == gpu(host="", unit="a-b")
    facts.name = "A100 MIG 1g.5gb"
    assert module._described("cuda:1")["unit"] == ""
    assert module._described("cpu")["capability"] == "cpu"


class Distant(torch.Tensor):
    """Stands for a tensor on a GPU: refuses to be stacked or joined with those in main memory until it is copied."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), settings=None):
        if function in (torch.stack, torch.cat):
            kinds = {type(tensor) is Distant for tensor in arguments[0]}
            if len(kinds) > 1:
                raise RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu")
        found = super().__torch_function__(function, types, arguments, settings or {})
        return found.as_subclass(torch.Tensor) if function is torch.Tensor.cpu else found


def test_processes_are_compared_also_where_some_state_lies_in_main_memory(monkeypatch):
    """The name of a frozen network, as `projected` keeps it, among weights on a GPU."""
    states = {"weight": torch.ones(3).as_subclass(Distant), "_extra_state": torch.arange(4, dtype=torch.uint8)}
    monkeypatch.setattr(torch.nn.Module, "state_dict", lambda module: states)
    spread = [0]
    crew = SimpleNamespace(count=2, largest=lambda table: table + torch.tensor([[0], [spread[0]]]))
    training = SimpleNamespace(
        judge=lambda: None, crew=crew, modules=lambda: [torch.nn.Identity()], progress=SimpleNamespace(images=64)
    )
    unison.check_alike(training)
    spread[0] = 1
    with pytest.raises(CardiganError, match="2 of 2 tensors differ, the first is 'Identity: weight'"):
        unison.check_alike(training)
