"""The verbs of studies as users run them: two coarse phantoms, and what goes wrong with tables."""

import pytest
import torch
from support import study_cases as fakes
from support.problems import present
from support.program import FAST, SETTINGS, STUDY, load, names, one_line, only_doubts, rows, state

from graphreg.cli import main
from graphreg.cli.study import _listener, amounts, duration
from graphreg.core.records import Volume
from graphreg.io import write_volume
from graphreg.study.runner import Advance

RUN = ["study", "phantoms/manifest.csv", *SETTINGS]


def cases(out):
    return {name: seen for name, seen in state(out).items() if "/" in name}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two phantoms in phantoms."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "fast.toml").write_text(FAST)
    assert main(["phantom", "--study", "2", "--seed", "1", "--spacing", "4", "5", "-o", str(folder / "phantoms")]) == 0
    return folder


def test_phantoms_come_with_the_table_that_a_study_reads(here):
    table = rows("phantoms/manifest.csv")
    assert list(table[0]) == ["case", "fixed", "moving", "fixed_mask", "moving_mask", "landmarks"]
    assert [row["case"] for row in table] == ["seed1", "seed2"] and table[1]["landmarks"] == "seed2/landmarks.csv"
    assert all((here / "phantoms" / path).is_file() for row in table for name, path in row.items() if name != "case")
    record = load(here / "phantoms" / "seed2" / "phantom.json")
    assert record["seed"] == 2 and record["configuration"]["fixed_spacing_mm"] == [4.0, 5.0]


def test_a_study_is_made_kept_and_compared(here, capfd):
    assert main([*RUN, "-o", "out", "--workers", "2"]) == 0
    out, err = capfd.readouterr()
    first, last = out.splitlines()[-2:]
    assert only_doubts(err)
    assert first.startswith("landmarks: ") and " landmarks of 2 cases" in first
    assert last == "2 of 2 cases are finished, 0 failed: out"
    assert names(here / "out") == STUDY | {"seed1", "seed2"}
    before = cases(here / "out")
    assert main([*RUN, "-o", "out", "--resume", "-q"]) == 0
    assert capfd.readouterr() == ("", err) and cases(here / "out") == before
    assert main([*RUN, "-o", "out"]) == main([*RUN, "-o", "out", "--resume", "--seed", "1"]) == 2
    first, second = capfd.readouterr().err.splitlines()
    assert "--resume goes on with it" in first and "the same seed needed" in second
    assert main([*RUN, "-o", "plain", "--no-refinement", "--regulariser", "none", "--case", "seed2"]) == 0
    settings = load(here / "plain" / "study.json")["configuration"]
    assert {level["regulariser"]["kind"] for level in settings["levels"]} == {"none"} and not settings["refinement"]
    capfd.readouterr()
    assert main(["compare", "plain", "out", "--json", "c.json"]) == 0
    out, err = capfd.readouterr()
    lines, found = out.splitlines(), load(here / "c.json")
    assert lines[0].split() == ["mean", "TRE", "[mm]", "A", "B", "B", "-", "A"]
    assert lines[1].startswith("seed2, landmarks") and "Wilcoxon p " in lines[2]
    assert err == "warning: not in both studies with the same landmarks: seed1 (landmarks)\n"
    (case,) = found["cases"]
    assert case["difference_mm"] == pytest.approx(case["b_mm"] - case["a_mm"]) and found["a"] == "plain"
    assert f"{case['a_mm']:.2f}" in lines[1] and f"{case['b_mm']:.2f}" in lines[1]


def test_a_case_without_lungs_fails_and_is_told(here, capfd, generator):
    write_volume(Volume(fakes.GRID, 40 + torch.rand(fakes.GRID.shape, generator=generator)), here / "soft.nii.gz")
    (here / "soft.csv").write_text("case,fixed,moving\nsoft,soft.nii.gz,soft.nii.gz\n")
    assert main(["study", "soft.csv", "-o", "soft"]) == 1
    out, err = capfd.readouterr()
    assert err.startswith("warning: soft: LungsNotFoundError: soft.nii.gz: No lung") and err.count("\n") == 1
    assert out == "0 of 1 cases are finished, 1 failed: soft\n"
    assert load(here / "soft" / "soft" / "failure.json")["type"] == "LungsNotFoundError"


WRONG = {
    "all faults": (["study", "faulty.csv"], "line 3: moving: a file needed, no here.nii.gz found"),
    "no table": (["study", "missing.csv"], "missing.csv: "),
    "case": ([*RUN, "--case", "seed7"], "cases among seed1, seed2 needed, found seed7"),
    "workers": ([*RUN, "--workers", "0"], "Invalid value for '--workers'"),
    "preset": (["study", "phantoms/manifest.csv", "--preset", "slow"], "preset must be one of"),
    "device": ([*RUN, "--device", "abacus"], "device must be one of"),
    "devices": ([*RUN, "--devices", "cpu,"], "device must be one of auto, cpu, cuda, cuda:N, got ''"),
    "resource": ([*RUN, "--resource", "GPU"], "NAME=AMOUNT with a number above 0 needed, found GPU"),
    "no resource": ([*RUN, "--resource", "GPU=0"], "found GPU=0"),
    "no study": (["compare", "phantoms", "phantoms"], "study.json: a JSON file needed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_nothing_is_made(case, here, capfd):
    (here / "faulty.csv").write_text("case,fixed,moving\na,gone.nii.gz,fast.toml\nb,fast.toml,here.nii.gz\n")
    arguments, told = WRONG[case]
    out = ["-o", "left"] if arguments[0] == "study" else []
    err = one_line((main([*arguments, *out]), *capfd.readouterr()), told)
    assert case != "all faults" or "line 2: fixed: a file needed, no gone.nii.gz found" in err
    assert not (here / "left").exists()


def test_amounts_of_resources_have_names():
    assert amounts(["GPU=1", "MEMORY=4e9"]) == {"GPU": 1.0, "MEMORY": 4e9} and amounts(None) == {}


def test_progress_tells_the_cases_and_the_time_left():
    told = []
    draw = present(_listener(lambda stage, share: told.append((stage, share))))
    for advance in (Advance(0, 4, "", False, None), Advance(1, 4, "a", False, 80), Advance(2, 4, "b", False, 7200)):
        draw(advance)
    assert told == [("0 of 4 cases", 0), ("1 of 4 cases, 80 s left", 0.25), ("2 of 4 cases, 2.0 h left", 0.5)]
    assert duration(600) == "10 min" and _listener(None) is None
