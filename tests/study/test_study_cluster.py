"""Studies on a real dask cluster of two worker processes."""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from support import study_cases as fakes

from graphreg.io import InputError
from graphreg.study import cluster as clusters
from graphreg.study.runner import Advance, run_study

distributed = pytest.importorskip("distributed", reason="needs the extra [dask]")
pytestmark = pytest.mark.filterwarnings("ignore")  # of dask and what it is made of


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes that find the functions of the tests; killed, they are started anew."""
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), before])
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50, resources={"p": 1}
    ) as made:
        yield made
    os.environ["PYTHONPATH"] = before


def run(dataset, out, cluster, predict, **others):
    return run_study(
        dataset, fakes.CONFIG, out, predict=predict, dask=cluster.scheduler_address, resources={"p": 1}, **others
    )


def worker_of(out, case):
    """Id of the process that computed a case, once it has."""
    log, deadline = out.parent / "computed.txt", time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        found = dict(line.split() for line in lines)
        if len(found) >= case:
            return int(list(found.values())[-1])
        time.sleep(0.02)
    raise TimeoutError


def test_a_worker_that_is_killed_loses_no_case_and_none_counts_twice(cluster, tmp_path):
    seen: list[Advance] = []
    dataset, out = fakes.tiny_dataset(tmp_path / "data", 10), tmp_path / "out"
    killed = []

    def kill():
        killed.append(worker_of(out, 3))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    done = run(dataset, out, cluster, fakes.slow, progress=seen.append)
    thread.join()
    names = [case.name for case in dataset.cases]
    assert list(done.finished) == names and done.failures == ()
    assert Counter(a.case for a in seen[1:]) == Counter(names) and [a.done for a in seen] == list(range(11))
    assert {
        int(line.split()[1]) for line in (tmp_path / "computed.txt").read_text(encoding="utf-8").splitlines()
    } > set(killed)
    rows = (out / "results.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == names
    again = len(fakes.computed(out))
    assert run(dataset, out, cluster, fakes.slow, resume=True).finished == done.finished
    assert len(fakes.computed(out)) == again
    local = run_study(dataset, fakes.CONFIG, tmp_path / "here" / "out", predict=fakes.perfect)
    assert local.summary["errors"] == done.summary["errors"]


def test_a_failing_case_is_recorded_and_relative_paths_are_understood(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = fakes.tiny_dataset(Path("data"), 3)
    done = run(dataset, Path("out"), cluster, fakes.second_fails)
    assert done.finished == ("case1", "case3") and [f.message for f in done.failures] == ["no lung found"]
    assert json.loads(Path("out/case2/failure.json").read_text(encoding="utf-8"))["type"] == "ValueError"


def test_a_case_that_kills_every_worker_fails_alone(cluster, tmp_path):
    dataset = fakes.tiny_dataset(tmp_path / "data", 3)
    done = run(dataset, tmp_path / "out", cluster, fakes.second_dies)
    assert done.finished == ("case1", "case3") and [f.type for f in done.failures] == ["KilledWorker"]


def test_a_case_that_lost_its_workers_to_another_one_is_tried_again_by_itself(cluster, tmp_path, monkeypatch):
    seen: list[Advance] = []
    dataset, out = fakes.tiny_dataset(tmp_path / "data", 3), tmp_path / "out"
    monkeypatch.setattr(clusters, "_lost_its_workers", lambda future: future.key.startswith("case1-"))
    done = run(dataset, out, cluster, fakes.perfect, progress=seen.append)
    assert done.finished == ("case1", "case2", "case3") and done.failures == ()
    assert [a.done for a in seen] == [0, 1, 2, 3] and seen[-1].case == "case1"
    assert sorted(fakes.computed(out)) == ["case1", "case2", "case3"]  # what it had done is kept


def test_an_interrupt_takes_back_what_waits(cluster, tmp_path):
    dataset, out = fakes.tiny_dataset(tmp_path / "data", 8), tmp_path / "out"

    def interrupt(advance):
        if advance.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(dataset, out, cluster, fakes.slow, progress=interrupt)
    done = run(dataset, out, cluster, fakes.slow, resume=True)
    assert len(done.finished) == 8 and 8 <= len(fakes.computed(out)) <= 10  # two were at work


def test_without_a_scheduler_or_dask_it_is_told(tmp_path, monkeypatch):
    dataset = fakes.tiny_dataset(tmp_path / "data", 1)
    monkeypatch.setattr(clusters, "PATIENCE_S", 0.5)
    with pytest.raises(InputError, match="tcp://127.0.0.1:9: the address of a dask scheduler needed"):
        run_study(dataset, fakes.CONFIG, tmp_path / "out", predict=fakes.perfect, dask="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="the address of a dask scheduler needed"):
        run_study(dataset, fakes.CONFIG, tmp_path / "out", predict=fakes.perfect, dask="nowhere")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="dask is needed"):
        run_study(dataset, fakes.CONFIG, tmp_path / "out", predict=fakes.perfect, dask="tcp://127.0.0.1:9")
