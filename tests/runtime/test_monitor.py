"""Costs per stage, by a clock that the test turns."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from graphreg.runtime.monitor import Monitor, peak_memory_mib

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the monitor sees; add to ``now`` to let time pass."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("graphreg.runtime.monitor.time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def test_stages_of_one_name_add_up_and_keep_the_order_of_their_first_run(clock):
    monitor = Monitor(4, CPU)
    for name, seconds in (("mask", 1.0), ("spline", 2.0), ("mask", 0.5), ("graph", 4.0)):
        with monitor.stage(name):
            clock.now += seconds
        clock.now += 50  # between the stages
    assert {name: cost.seconds for name, cost in monitor.costs.items()} == {"mask": 1.5, "spline": 2.0, "graph": 4.0}
    assert list(monitor.costs) == ["mask", "spline", "graph"]


def test_the_listener_hears_each_stage_as_it_starts_with_the_share_that_is_done_which_never_passes_the_whole():
    heard = []
    monitor = Monitor(4, CPU, lambda *news: heard.append(news))
    for name in "abcd":
        with monitor.stage(name):
            assert heard[-1][0] == name
    assert heard == [("a", 0.0), ("b", 0.25), ("c", 0.5), ("d", 0.75)]
    shares = []
    monitor = Monitor(1, CPU, lambda name, share: shares.append(share))
    for _ in range(3):
        with monitor.stage("a"):
            pass
    assert shares == [0.0, 1.0, 1.0]


def test_an_error_in_a_stage_passes_through_and_the_stage_does_not_count(clock):
    monitor = Monitor(1, CPU)
    with pytest.raises(KeyError), monitor.stage("a"):
        raise KeyError
    assert monitor.costs == {}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs the memory figures of Linux")
def test_peak_memory_is_in_mib_and_no_less_than_is_held_now():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    held_mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    installed_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    assert 50 < 0.95 * held_mib < peak_memory_mib(CPU) < installed_mib
