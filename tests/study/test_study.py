"""Studies of tiny pairs: what is written, what is kept, what survives failures and interruptions."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from support import study_cases as fakes
from support.problems import present
from support.program import FAST, RESULT, STUDY, SUPPORTED, load, names, rows, state

import graphreg
from graphreg.analysis.metrics import sdlogj_l2r
from graphreg.cli import main
from graphreg.config import override
from graphreg.core.fields import jacobian_determinant
from graphreg.core.grid import Grid
from graphreg.core.records import DenseField, Landmarks
from graphreg.io import InputError, read_landmarks, write_landmarks
from graphreg.io.datasets import read_dataset
from graphreg.presets import preset
from graphreg.study.comparison import compare
from graphreg.study.results import read_scored
from graphreg.study.runner import Advance, run_study
from graphreg.study.score import _as_learn2reg, score
from graphreg.study.summary import COLUMNS
from graphreg.study.tables import latex, markdown
from graphreg.study.task import Task
from graphreg.study.workers import in_processes


@pytest.fixture
def tiny(tmp_path):
    """A data set of four cases."""
    return fakes.tiny_dataset(tmp_path / "data", 4)


def run(dataset, out, predict=fakes.perfect, config=fakes.CONFIG, **others):
    return run_study(dataset, config, out, predict=predict, **others)


def table(out):
    return rows(out / "results.csv")


def test_a_study_writes_a_folder_per_case_and_its_tables(tiny, tmp_path):
    seen: list[Advance] = []
    out = tmp_path / "out"
    done = run(tiny, out, fakes.half, progress=seen.append)
    assert done.finished == ("case1", "case2", "case3", "case4") and done.failures == ()
    assert names(out) == STUDY | set(done.finished)
    assert names(out / "case1") == {"transform.h5", "registration.json", "errors.csv", "figures.json"}
    assert [(a.done, a.total, a.case) for a in seen[::2]] == [(0, 4, ""), (2, 4, "case2"), (4, 4, "case4")]
    assert seen[0].seconds_left is None and present(seen[1].seconds_left) > present(seen[4].seconds_left) == 0
    # a motion of 2 mm, of which 1 is found; half a voxel of 2 mm is rounded to the even one: none
    (first, *_) = table(out)
    assert tuple(first) == COLUMNS and (first["landmark_set"], first["landmarks"]) == ("landmarks", "4")
    named = {"before_mean_mm": 2.0, "after_mean_mm": 1.0, "after_sd_mm": 0.0, "before_snapped_mean_mm": 2.0}
    assert {name: float(first[name]) for name in named} == pytest.approx(named, abs=1e-5)
    assert float(first["after_snapped_mean_mm"]) in (0.0, 2.0)
    assert (first["folding_percent"], first["seconds"], first["peak_mib"]) == ("0.0", "1.5", "100.0")
    assert first["published_identity_mm"] == ""
    summary = load(out / "summary.json")
    found = summary["errors"]["landmarks"]
    assert found["over_landmarks"]["after"]["count"] == 16 and found["over_cases"]["after"]["count"] == 4
    assert found["over_cases"]["after"]["interval_mm"] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert summary["figures"]["sdlogj"]["mean"] == pytest.approx(0, abs=1e-5) and summary["finished"] == 4
    study = load(out / "study.json")
    assert (study["graphreg"], study["dataset"], study["seed"]) == (graphreg.__version__, "tiny", 0)
    assert study["configuration"]["levels"][0]["name"] == "wide" and study["failures"] == {}
    assert study["cases"][0] == {"name": "case1", "state": "finished"}
    assert "| landmarks | after | 1.00 ± 0.00 |" in (out / "tables.md").read_text(encoding="utf-8")
    latex_text = (out / "tables.tex").read_text(encoding="utf-8")
    assert r"landmarks & after & 1.00 $\pm$ 0.00 & 1.00 & 1.00 to 1.00" in latex_text


def test_errors_csv_holds_every_landmark(tiny, tmp_path):
    run(tiny, tmp_path / "out", cases=["case2"])
    (first, *_) = found = rows(tmp_path / "out" / "case2" / "errors.csv")
    names = "landmark_set fixed_x fixed_y fixed_z moving_x moving_y moving_z before_mm after_mm"
    assert len(found) == 4 and list(first)[:9] == names.split()
    pairs = read_landmarks(tiny.cases[0].inputs["landmarks"])
    assert [float(first[f"fixed_{axis}"]) for axis in "xyz"] == pytest.approx(pairs.fixed_mm[0].tolist())
    assert float(first["before_mm"]) == pytest.approx(2) and float(first["after_mm"]) == pytest.approx(0, abs=1e-5)


def test_a_real_registration_is_written_as_register_does(tmp_path):
    phantoms = tmp_path / "phantoms"
    assert main(["phantom", "--study", "1", "--seed", "1", "--spacing", "4", "5", "-o", str(phantoms)]) == 0
    dataset = read_dataset(phantoms / "manifest.csv")
    done = run_study(dataset, override(preset("fast"), FAST), tmp_path / "out", seed=3)
    assert done.finished == ("seed1",)
    folder = tmp_path / "out" / "seed1"
    assert names(folder) > RESULT
    record, figures = load(folder / "registration.json"), load(folder / "figures.json")
    assert record["seed"] == 3 and len(record["inputs"]["fixed_mask"]["sha256"]) == 64
    assert "landmarks" not in record["inputs"]
    assert {"configuration", "device", "stages", "quality", "seconds", "graphreg"} <= set(record)
    errors = figures["landmark_sets"]["landmarks"]
    assert errors["before"]["mean_mm"] > 10 and errors["after"]["mean_mm"] < 3
    for name in ("folding_percent", "sdlogj", "mean_jacobian"):
        assert figures[name] == pytest.approx(record["quality"][name], rel=1e-3)
    assert 0 < figures["sdlogj_l2r"] < figures["sdlogj"] and figures["peak_mib"] > 100
    before = state(tmp_path / "out" / "seed1")
    run_study(dataset, override(preset("fast"), FAST), tmp_path / "out", seed=3, resume=True)
    assert state(tmp_path / "out" / "seed1") == before


def test_sdlogj_of_learn2reg_is_the_same_around_the_lungs_and_on_the_whole_grid(generator):
    grid = Grid((14, 15, 16), (1.0, 1.5, 2.0))
    field = DenseField(grid, 0.2 * torch.randn(3, *grid.shape, generator=generator))
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[4:9, 5:10, 0:12] = True
    assert _as_learn2reg(field, mask, grid) == pytest.approx(sdlogj_l2r(jacobian_determinant(field), mask), abs=1e-6)


# failures


@pytest.mark.parametrize(("predict", "workers"), [(fakes.second_fails, 1), (fakes.second_dies, 2)])
def test_a_failing_case_is_recorded_and_the_others_go_on(tiny, tmp_path, predict, workers):
    seen: list[Advance] = []
    out = tmp_path / "out"
    done = run(tiny, out, predict, workers=workers, progress=seen.append)
    assert done.finished == ("case1", "case3", "case4") and [f.case for f in done.failures] == ["case2"]
    record, study = load(out / "case2" / "failure.json"), load(out / "study.json")
    told = {1: ("ValueError", "no lung found"), 2: ("WorkerDied", "its process ended with signal SIGKILL, maybe for")}
    assert record["type"] == told[workers][0] and record["message"].startswith(told[workers][1])
    assert study["failures"]["case2"].startswith(": ".join(told[workers]))
    assert study["cases"][1] == {"name": "case2", "state": "failed"}
    assert [a.case for a in seen if a.failed] == ["case2"] and seen[-1].done == 4
    assert f"| case2 | {told[workers][0]} |" in (out / "tables.md").read_text(encoding="utf-8")
    kept = {name: time for name, time in state(out).items() if "/" in name and "case2" not in name}
    assert run(tiny, out, resume=True).failures == () and not (out / "case2" / "failure.json").exists()
    assert kept.items() <= state(out).items() and len(table(out)) == 4


def test_a_missing_image_fails_its_case_alone(tiny, tmp_path):
    lost = replace(tiny.cases[0], name="lost", inputs=tiny.cases[0].inputs | {"fixed": tmp_path / "lost.nii.gz"})
    done = run(replace(tiny, cases=(lost, *tiny.cases)), tmp_path / "out")
    assert (
        len(done.finished) == 4 and done.failures[0].type == "InputError" and "lost.nii.gz" in done.failures[0].message
    )


def test_a_function_that_workers_cannot_import_ends_the_study(tiny, tmp_path, monkeypatch):
    fakes.perfect.__module__ = "no_such_module"
    sys.modules["no_such_module"] = fakes
    try:
        with pytest.raises(RuntimeError, match="a worker cannot work: ModuleNotFoundError"):
            run(tiny, tmp_path / "out", workers=2)
    finally:
        fakes.perfect.__module__ = "support.study_cases"
        del sys.modules["no_such_module"]


# going on


def test_nothing_is_done_again_but_what_has_changed(tiny, tmp_path):
    out = tmp_path / "out"
    run(tiny, out, cases=["case1", "case3"])
    assert [case["state"] for case in load(out / "study.json")["cases"]] == ["finished", "unfinished"] * 2
    before = state(out)
    run(tiny, out, resume=True, cases=["case2"])  # the tables cover all that is finished
    assert [row["case"] for row in table(out)] == ["case1", "case2", "case3"]
    assert fakes.computed(out) == ["case1", "case3", "case2"]
    assert all(state(out)[name] == time for name, time in before.items() if "/" in name)
    pairs = read_landmarks(tiny.cases[0].inputs["landmarks"])
    write_landmarks(tiny.cases[0].inputs["landmarks"], Landmarks(pairs.fixed_mm, pairs.moving_mm + 1))
    run(tiny, out, resume=True)  # other landmarks are scored anew, and nothing is registered again
    assert fakes.computed(out) == ["case1", "case3", "case2", "case4"]
    assert float(table(out)[0]["after_mean_mm"]) == pytest.approx(3**0.5, abs=1e-5)
    tiny.cases[0].inputs["moving"].write_bytes(tiny.cases[0].inputs["fixed"].read_bytes())
    run(tiny, out, resume=True, cases=["case4"])
    assert fakes.computed(out)[4:] == ["case4"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resume": False}, "found a study; --resume goes on with it"),
        ({"seed": 1}, "a study with the same seed needed"),
        ({"config": replace(fakes.CONFIG, symmetric=True)}, "a study with the same configuration needed"),
        ({"cases": ["case1", "seven"]}, "cases among case1, case2, case3, case4 needed, found seven"),
    ],
)
def test_a_study_does_not_mix_with_another(tiny, tmp_path, change, told):
    run(tiny, tmp_path / "out")
    before = state(tmp_path / "out")
    with pytest.raises(InputError, match=told):
        run(tiny, tmp_path / "out", **({"resume": True} | change))
    assert state(tmp_path / "out") == before


def test_a_folder_of_others_and_names_that_are_none_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="a new or empty folder needed"):
        run(tiny, tmp_path)
    for name in ("../up", "", ".hidden", "Results.csv", "CASE2"):
        wrong = replace(tiny, cases=(replace(tiny.cases[0], name=name), *tiny.cases[1:]))
        with pytest.raises(InputError, match="names of cases"):
            run(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="workers must be at least 1"):
        run(tiny, tmp_path / "out", workers=0)


def test_scoring_reads_no_images_where_a_mask_is_given_and_finds_the_same_with_them(tiny, tmp_path, monkeypatch):
    run(tiny, tmp_path / "out", fakes.half, cases=["case1"])
    folder, case = tmp_path / "out" / "case1", tiny.cases[0]
    mask, told = case.read().fixed_mask, load(folder / "figures.json")
    without = replace(case, inputs={role: file for role, file in case.inputs.items() if role != "fixed_mask"})
    anatomy = replace(fakes.CONFIG.anatomy, find=lambda _: mask)
    (folder / "figures.json").unlink()
    assert score(without, folder, anatomy) == told
    monkeypatch.setattr(type(case), "read", lambda _: pytest.fail("images were read"))
    (folder / "figures.json").unlink()
    assert score(case, folder, anatomy) == told


def test_workers_take_the_devices_in_turn(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    done = run(tiny, tmp_path / "out", fakes.tells_where, devices=("cuda:0", "cuda:1"))
    told = [(tmp_path / f"{name}.txt").read_text(encoding="utf-8").split() for name in done.finished]
    places = {process: device for device, process in told}
    assert sorted(places.values()) == ["cuda:0", "cuda:1"]  # two workers, one for each device
    assert all(places[process] == device for device, process in told)  # a worker keeps its own
    assert load(tmp_path / "out" / "study.json")["devices"] == ["cuda:0", "cuda:1"]
    run(tiny, tmp_path / "one", fakes.tells_where, devices=("cuda:1",), cases=["case3"])
    assert (tmp_path / "case3.txt").read_text(encoding="utf-8") == f"cuda:1 {os.getpid()}"


def test_a_new_worker_takes_the_device_of_the_one_that_died(tiny, tmp_path):
    tasks = [
        Task(case, fakes.CONFIG, tmp_path / "out" / case.name, "none", 0, predict)
        for case, predict in zip(tiny.cases, [fakes.dies] * 2 + [fakes.tells_where] * 2, strict=True)
    ]
    outcomes = {outcome.case: outcome for outcome in in_processes(tasks, 2, ("one", "other"))}
    assert sorted(name for name, outcome in outcomes.items() if outcome.failure) == ["case1", "case2"]
    told = [(tmp_path / f"{name}.txt").read_text(encoding="utf-8") for name in ("case3", "case4")]
    assert {text.split()[0] for text in told} == {"one", "other"}


@pytest.mark.parametrize(
    ("devices", "dask", "told"),
    [
        ((), None, "devices must name at least one"),
        (("cpu", "abacus"), None, "device must be one of auto, cpu, cuda, cuda:N, got 'abacus'"),
        (("cuda:7",), None, "'cuda:7' is not available"),
        (("cuda:0", "cuda:1"), "tcp://127.0.0.1:1", "one device for each dask worker needed, got cuda:0, cuda:1"),
    ],
)
def test_devices_that_are_none_or_too_many_are_refused(tiny, tmp_path, devices, dask, told):
    with pytest.raises(ValueError, match=told):
        run(tiny, tmp_path / "out", devices=devices, dask=dask, workers=1)
    assert not (tmp_path / "out").exists()


def test_two_hundred_cases_interrupted_and_resumed_are_each_computed_once(tmp_path):
    many, out = fakes.tiny_dataset(tmp_path / "data", 200), tmp_path / "out"

    def interrupt(advance):
        if advance.done == 77:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(many, out, progress=interrupt)
    assert len(table(out)) == 77 and len(read_scored(out, [case.name for case in many.cases])) == 77
    done = run(many, out, resume=True)
    assert len(done.finished) == 200 and sorted(fakes.computed(out)) == sorted(case.name for case in many.cases)
    assert [row["case"] for row in table(out)] == [case.name for case in many.cases]


def test_an_interrupt_ends_the_workers_and_leaves_nothing_half_written(tmp_path):
    (tmp_path / "script.py").write_text(fakes.SCRIPT)
    command, told = [sys.executable, "script.py"], tmp_path / "told.txt"
    with open(told, "w") as stderr:
        process = subprocess.Popen(command, cwd=tmp_path, env=SUPPORTED, stderr=stderr, start_new_session=True)
    out, deadline = tmp_path / "out", time.monotonic() + 40
    while not (out / "case1" / "figures.json").exists() or len(list(out.glob("case[23]/.*.transform.h5"))) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    workers = [int(path.read_text(encoding="utf-8")) for path in out.glob("case[23]/.*.transform.h5")]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers hear it, too
    assert process.wait(20) != 0
    assert told.read_text(encoding="utf-8").count("Traceback") == 1  # of the first process alone
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    assert not list(out.rglob(".*")) and [row["case"] for row in table(out)] == ["case1"]
    dataset = fakes.tiny_dataset(tmp_path / "data", 3)
    assert run(dataset, out, resume=True).finished == ("case1", "case2", "case3")
    assert sorted(fakes.computed(out)) == ["case1", "case2", "case3"]


# comparison


def test_studies_are_compared_landmark_by_landmark(tiny, tmp_path):
    for name, predict in (("a", fakes.half), ("b", fakes.perfect)):
        run(tiny, tmp_path / name / "out", predict)
    found = compare(tmp_path / "a" / "out", tmp_path / "b" / "out")
    assert [case.case for case in found.cases] == ["case1", "case2", "case3", "case4"]
    assert all(case.difference_mm == pytest.approx(-1, abs=1e-5) for case in found.cases)
    (group,) = found.sets
    assert (group.cases, group.landmarks) == (4, 16) and group.p_cases == pytest.approx(2 / 2**4)
    assert group.p_landmarks == pytest.approx(2 / 2**16, rel=2) and group.difference_mm == pytest.approx(-1, abs=1e-5)
    assert group.interval_mm == pytest.approx((-1, -1), abs=1e-5) and found.skipped == ()
    (same,) = compare(tmp_path / "a" / "out", tmp_path / "a" / "out").sets
    assert (same.difference_mm, same.p_cases, same.p_landmarks) == (0.0, 1.0, 1.0)


def test_only_cases_with_the_same_landmarks_are_compared(tiny, tmp_path):
    for name, cases in (("a", ["case1", "case2"]), ("b", ["case2", "case3"]), ("c", ["case4"])):
        run(tiny, tmp_path / name / "out", cases=cases)
    a, b, c = (tmp_path / name / "out" for name in "abc")
    found = compare(a, b)
    assert [case.case for case in found.cases] == ["case2"]
    assert found.skipped == (("case1", "landmarks"), ("case3", "landmarks"))
    assert found.sets[0].p_cases is None and found.sets[0].interval_mm is None
    with pytest.raises(InputError, match="finished cases with the same landmarks in both needed, found none"):
        compare(a, c)
    with pytest.raises(InputError, match="study.json: a JSON file needed"):
        compare(a, tmp_path)


# tables


def test_tables_escape_what_their_languages_read():
    table = ("100 %", ("case", ""), [("a_1 & b|c", "1 ± 2\n> 5")])
    assert "| a_1 & b\\|c | 1 ± 2 > 5 |" in markdown("title", [table])
    assert r"a\_1 \& b|c & 1 $\pm$ 2 $>$ 5 \\" in latex("title", [table]) and r"\caption{100 \%}" in latex("t", [table])
