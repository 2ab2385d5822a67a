"""The soak of benchmarks/: two registrations of it, and that it notices what it is there to notice."""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import graphreg

FOLDER = Path(graphreg.__file__).parents[1] / "benchmarks"
if not FOLDER.is_dir():
    pytest.skip("an installed package lies without its benchmarks", allow_module_level=True)


@pytest.fixture
def soak(monkeypatch):
    """The benchmark, which leaves the memory of this process as it is."""
    monkeypatch.syspath_prepend(str(FOLDER))
    soak = importlib.import_module("soak")

    monkeypatch.setattr(soak, "keep_freed_memory", lambda: None)
    yield soak
    for name in [name for name, module in sys.modules.items() if str(FOLDER) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


def run(soak, monkeypatch, out, count):
    monkeypatch.setattr(sys, "argv", ["soak.py", str(out), "--count", str(count)])
    code = soak.main()
    return code, json.loads((out / "soak.json").read_text(encoding="utf-8"))


def test_two_registrations_in_one_process_succeed_and_are_measured(soak, monkeypatch, tmp_path, capsys):
    code, found = run(soak, monkeypatch, tmp_path, 2)
    assert (code, found["registrations"], found["failures"]) == (0, 2, {})
    landmarks, pairs = found["tre_of_landmarks"], found["tre_of_pairs"]
    assert (landmarks["count"], pairs["count"]) == (200, 2)
    assert all(run["initial_mm"] > 10 for run in found["runs"])
    assert landmarks["mean_mm"] == pytest.approx(pairs["mean_mm"]) and pairs["max_mm"] < 3
    assert json.loads(capsys.readouterr().out) == {key: value for key, value in found.items() if key != "runs"}


def test_memory_is_compared_from_the_first_to_the_last_quarter_after_the_warm_up(soak):
    assert soak.growth([50.0] * 10 + [100.0] * 90) == 0
    assert soak.growth([100.0, 100.0]) == 0
    leak = [100.0 + number for number in range(40)]  # 4 warm up; medians of 104 to 112 and of 131 to 139
    assert soak.growth(leak) == pytest.approx(135 / 108 - 1)


def test_what_is_in_use_counts_what_is_held(soak):
    before = soak.in_use_mib()
    if before is None:
        pytest.skip("the C library does not tell")
    held = bytearray(64 << 20)
    assert soak.in_use_mib() - before == pytest.approx(64, abs=1)
    del held
    assert soak.in_use_mib() - before == pytest.approx(0, abs=1)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("mib", "fails"), [([100.0] * 4, False), ([100.0, 100.0, 104.0, 106.0], True)])
def test_memory_that_grows_by_more_than_a_twentieth_is_a_failure(soak, monkeypatch, tmp_path, mib, fails, known):
    def once(seed, _):
        figures = {"seed": seed, "seconds": 1.0, "initial_mm": 9.0, "folding_percent": 0.0}
        memory = {"rss_mib": 50.0 * (seed + 1), "in_use_mib": mib[seed]}
        return figures | {"errors_mm": [1.0, 2.0]} | (memory if known else {"rss_mib": mib[seed], "in_use_mib": None})

    monkeypatch.setattr(soak, "once", once)
    assert run(soak, monkeypatch, tmp_path, 4)[0] == int(fails)


def test_a_registration_that_fails_is_told_and_the_others_go_on(soak, monkeypatch, tmp_path):
    def broken(*_, **__):
        raise ValueError("no lung found")

    monkeypatch.setattr(soak, "register", broken)
    nobody = SimpleNamespace(pair=None, landmarks=None)
    monkeypatch.setattr(soak, "make_phantom", lambda *_: nobody)
    code, found = run(soak, monkeypatch, tmp_path, 3)
    assert code == 1 and found["failures"] == {str(seed): "ValueError: no lung found" for seed in range(3)}
