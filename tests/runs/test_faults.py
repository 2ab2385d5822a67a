"""Faults: a kill, a full disk, no permission, two at once, signals, no memory. The earlier result survives them all."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from platform import node

import pytest
import torch
from support import study_cases
from support.problems import SMALL
from support.program import ENVIRONMENT, LINUX, ROOT, SETTINGS, SUPPORTED, contents, names, scans_of

from graphreg.cli import main, phantom_files
from graphreg.cli.console import Terminated, ending_in_order
from graphreg.core.errors import lacks_memory
from graphreg.core.records import Volume
from graphreg.io import InputError, write_volume
from graphreg.io.files import sweep
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.runs.claim import LOCK, claim
from graphreg.runs.results import read_record, write_result
from graphreg.runtime.signals import uninterrupted
from graphreg.study import task
from graphreg.study.runner import run_study
from graphreg.training.sources import Sources, make_samples


def forked(work, *arguments):
    """A function at work in a process of its own."""
    process = get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def ended(process):
    """Its exit code."""
    process.join(60)
    return process.exitcode


def program(*arguments):
    """Work for ``forked``: the command line."""
    sys.exit(main([str(argument) for argument in arguments]))


def wait_for(happened, process):
    deadline = time.monotonic() + 60
    while not happened():
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def pair(coarser):
    """Arguments of a registration of a coarse phantom, whose lungs are given."""
    fixed, moving, fixed_mask, moving_mask = scans_of(coarser)
    given = ["--fixed-mask", fixed_mask, "--moving-mask", moving_mask, *SETTINGS[:-1], coarser / "fast.toml"]
    return [fixed, moving, *given, "--no-refinement", "--force", "-q"]


@pytest.fixture
def earlier(tmp_path, result):
    """A folder with a result, and what it holds."""
    write_result(tmp_path / "out", *result)
    return tmp_path / "out", contents(tmp_path / "out")


# killed


@LINUX
def test_kills_at_random_moments_leave_whole_results_and_the_next_run_succeeds(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "faults.py", tmp_path, "--kills", "6"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(item.rsplit(": ", 1) for item in done.stdout.splitlines()[-1].split(", "))
    assert counts["STUCK"] == "0" and "BROKEN" not in counts
    assert int(counts["killed"]) >= 3


def die_at(step, folder, content):
    """Writes a result, and dies just before the step-th file is renamed or removed."""
    left = [step]

    def dying(act):
        def instead(*arguments, **others):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*arguments, **others)

        return instead

    for name in ("replace", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))
    write_result(folder, *content)


@LINUX
def test_a_result_is_put_in_place_as_a_whole_wherever_its_process_is_killed(tmp_path, result):
    field, warped, keypoints, _ = result
    write_result(tmp_path / "new", field, warped, keypoints, {"b": 2})
    new, killed = contents(tmp_path / "new"), True
    found: list[int] = []
    while killed:
        out = tmp_path / f"out{len(found)}"
        write_result(out, field, warped, keypoints, {"a": 1}, inverse=field)
        earlier = contents(out)
        killed = ended(forked(die_at, len(found), out, (field, warped, keypoints, {"b": 2}))) != 0
        shown = {path.name for path in out.glob("[!.]*")}
        assert read_record(out) is None or shown in (set(earlier), set(new))  # never a record beside files of another
        with claim(out):  # as the next run does
            pass
        found.append([earlier, new].index(contents(out)))
    assert found == sorted(found) and found.count(0) > 3 and found.count(1) > 5


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path):
    kept = [".bashrc", "transform.h5", ".0123abcd", ".0123abcg.transform.h5", ".0123abcde.transform.h5"]
    for name in (*kept, ".0123abcd.transform.h5", ".0123abcd.warped.nii"):
        (tmp_path / name).write_text("")
    (tmp_path / ".89abcdef..complete").mkdir()
    (tmp_path / ".89abcdef..complete" / "transform.h5").write_text("")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def die_after_two_files(command):
    replace = os.replace

    def instead(source, target):
        replace(source, target)
        if len(list(Path(target).parent.glob("[!.]*"))) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = instead  # type: ignore[assignment]  # of paths alone
    main(command)


@LINUX
def test_a_phantom_whose_process_was_killed_as_it_was_renamed_is_made_again(tmp_path, monkeypatch):
    made = make_phantom(0, PhantomConfig(fixed_spacing_mm=(9.0, 9.0), moving_spacing_mm=(9.0, 9.0)))
    monkeypatch.setattr(phantom_files, "make_phantom", lambda *_: made)
    command = ["phantom", "-o", str(tmp_path / "ph")]
    assert ended(forked(die_after_two_files, command)) == -signal.SIGKILL
    assert main(command) == 0
    assert len(list((tmp_path / "ph").iterdir())) == 7


# no room, no permission


@pytest.fixture
def disk(tmp_path):
    """Mounts a file system of so many bytes; only root can."""
    mounted = []

    def mount(*options):
        place = tmp_path / "disk"
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", place]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted: not root")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True)


def fails_whole(write, out):
    """Whether a new result cannot be written and the earlier one stays; False where it can."""
    before = contents(out)
    try:
        write()
    except OSError:
        assert contents(out) == before
        return True
    return False


@pytest.fixture
def large(result, generator):
    """A result whose files take some 100 KB each."""
    field, _, keypoints, record = result
    grid = field.grid.with_spacing(0.5)
    motion = type(field)(grid, torch.randn(3, *grid.shape, generator=generator))
    return motion, Volume(grid, 1000 * torch.randn(grid.shape, generator=generator)), keypoints, record


def test_a_full_disk_leaves_the_earlier_result(disk, large):
    out = disk("size=64m") / "out"
    write_result(out, *large)
    size, free, outcomes = sum(map(len, contents(out).values())), shutil.disk_usage(out).free, []
    for share in (0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 2.0):  # of the result, that there is room for
        filler = out.parent / "filler"
        filler.write_bytes(bytes(int(free - share * size)))
        outcomes.append(fails_whole(lambda: write_result(out, *large), out))
        filler.unlink()
    assert outcomes == [True] * 8 + [False]


def limited(limit, out, content):
    """Exit code 0 where a result of files larger than a limit fails and leaves the earlier one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.exit(0 if fails_whole(lambda: write_result(out, *content), out) else 1)


@LINUX
def test_files_that_cannot_grow_leave_the_earlier_result(tmp_path, large):
    write_result(tmp_path, *large)
    for size in sorted(len(content) for content in contents(tmp_path).values())[-2:]:
        for limit in (1000, size // 2, size - 1):
            assert ended(forked(limited, limit, tmp_path, large)) == 0


def test_a_full_disk_is_one_line_and_exit_code_1(disk, pair, result, capfd):
    out = disk("size=300k") / "out"
    write_result(out, *result)
    before = contents(out)
    assert main(["register", *map(str, pair), "-o", str(out)]) == 1
    err = capfd.readouterr().err
    assert err.startswith("graphreg: failed: [Errno 28] No space left on device (") and err.count("\n") == 1
    assert f" MB found): '{out}'" in err
    assert contents(out) == before


def test_a_folder_that_is_read_only_is_refused_before_anything_is_read(disk, capfd):
    out = disk("size=1m,ro") / "out"
    assert main(["register", "missing", "missing", "-o", str(out)]) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"graphreg: {out}: a place that can be written needed") and err.count("\n") == 1


# two at once


@pytest.fixture
def commands(tmp_path):
    """Verbs with arguments that are right as far as they are looked at before the work."""
    write_volume(Volume(SMALL, torch.arange(220.0).reshape(SMALL.shape)), tmp_path / "ct.nii.gz")
    (tmp_path / "cases.csv").write_text("case,fixed,moving\na,ct.nii.gz,ct.nii.gz\n")
    ct = str(tmp_path / "ct.nii.gz")
    return {
        "register": ["register", ct, ct],
        "demo": ["demo"],
        "phantom": ["phantom"],
        "study": ["study", str(tmp_path / "cases.csv")],
        "train": ["train", "--made", "2"],
    }


@pytest.mark.parametrize("verb", ["register", "demo", "phantom", "study", "train"])
def test_the_second_of_two_at_once_ends_with_one_line_that_says_who_is_at_work(commands, verb, tmp_path, capfd):
    out = tmp_path / "out"
    with claim(out):
        assert main([*commands[verb], "-o", str(out)]) == 2
        assert [path.name for path in out.iterdir()] == [LOCK]
    err = capfd.readouterr().err
    holder = f"process {os.getpid()} on {node()}"
    assert err == f"graphreg: {out}: a folder in which no other process works needed, found {holder}\n"


def test_a_claim_leaves_nothing_ends_with_its_body_and_waits_as_long_as_it_is_told(tmp_path):
    for _ in range(2):
        with claim(tmp_path / "a" / "b"):
            assert (tmp_path / "a" / "b" / LOCK).exists()
        assert not list(tmp_path.iterdir())
    with claim(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "result").write_text("")
    assert [path.name for path in (tmp_path / "a").rglob("*")] == ["b", "result"]
    with claim(tmp_path), pytest.raises(InputError, match="no other process works"), claim(tmp_path, patience_s=0.2):
        pass


def die_with(folder):
    with claim(folder):
        (folder / ".0123abcd.transform.h5").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


@LINUX
def test_the_lock_of_a_dead_process_is_none(earlier):
    out, before = earlier
    assert ended(forked(die_with, out)) == -signal.SIGKILL
    assert names(out) == {*before, LOCK, ".0123abcd.transform.h5"}
    with claim(out):
        pass
    assert contents(out) == before


def take_turns(folder, seen):
    for _ in range(30):
        with claim(folder, patience_s=30):
            assert not seen.exists()  # or two are at work
            seen.write_text("")
            time.sleep(0.001)
            seen.unlink()


@LINUX
def test_folders_that_come_and_go_are_never_two_processes_at_once(tmp_path):
    crew = [forked(take_turns, tmp_path / "out", tmp_path / "seen") for _ in range(3)]
    assert [ended(process) for process in crew] == [0, 0, 0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# signals


@LINUX
@pytest.mark.parametrize(
    ("sent", "code", "told"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_the_program_and_the_earlier_result_stays(earlier, pair, sent, code, told, capfd):
    out, before = earlier
    for new in (out, out.parent / "none"):
        process = forked(program, "register", *pair, "-o", new)
        wait_for((new / LOCK).exists, process)
        os.kill(process.pid, sent)
        assert ended(process) == code
        assert capfd.readouterr().err == f"graphreg: {told}\n"
    assert contents(out) == before and not (out.parent / "none").exists()


@pytest.mark.parametrize("call", ["mkdir", "open", "unlink"])
def test_an_interrupt_at_any_step_of_a_claim_leaves_nothing(tmp_path, monkeypatch, call):
    act = getattr(Path, call)

    def interrupted(self, *arguments, **others):
        done = act(self, *arguments, **others)
        signal.raise_signal(signal.SIGINT)
        return done

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, call, interrupted)
        with claim(tmp_path / "a" / "b"):
            assert call == "unlink"  # else it never begins
    assert not list(tmp_path.iterdir())
    with claim(tmp_path / "a" / "b"):  # nobody holds it
        pass


def test_signals_wait_for_what_must_not_be_left_half_done():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted(), uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("all")
        done.append("more")
    assert done == ["all"]
    with pytest.raises(Terminated), ending_in_order(), uninterrupted():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("that does not hide it")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@LINUX
def test_a_signal_while_files_are_written_leaves_none_of_them(earlier, pair):
    out, before = earlier
    process = forked(program, "register", *pair, "-o", out)
    wait_for(lambda: list(out.glob(".????????..complete/*")), process)
    os.kill(process.pid, signal.SIGTERM)
    assert ended(process) == 143
    assert contents(out) == before


def test_handlers_of_the_caller_are_given_back(capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert main(["--version"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


# memory


def test_python_lacks_memory_where_it_has_none_left_to_say_so():
    assert lacks_memory(SystemError("error return without exception set"))
    assert not lacks_memory(SystemError("bad argument to internal function"))


STARVING = """
import importlib, os, resource, sys
from graphreg.cli import main
importlib.import_module(sys.argv.pop(1))
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * os.sysconf("SC_PAGE_SIZE") + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


@LINUX
@pytest.mark.parametrize(  # before the libraries are loaded, and after; MB beyond what the program has by then
    ("loaded", "spare_mb"), [("graphreg.cli", 40), ("graphreg.cli", 200), ("graphreg.cli.job", 200)]
)
def test_want_of_memory_is_one_line_and_the_earlier_result_stays(earlier, pair, loaded, spare_mb):
    out, before = earlier
    command = [sys.executable, "-c", STARVING, loaded, f"{spare_mb}", "register", *map(str, pair), "-o", str(out)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.stderr == "graphreg: failed: there is not enough memory (--debug shows where)\n"
    assert done.returncode == 1 and contents(out) == before


# studies


def is_alive(process):
    """Whether a process, maybe nobody's child, is at work."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@LINUX
def test_workers_of_a_killed_study_end_with_it_and_it_goes_on(tmp_path):
    (tmp_path / "script.py").write_text(study_cases.SCRIPT)
    process = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, env=SUPPORTED, start_new_session=True)
    out, deadline = tmp_path / "out", time.monotonic() + 120
    half: list[Path] = []
    while len(half) < 2 or not (out / "case1" / "figures.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
        half = [path for path in out.glob("case[23]/.*") if path.name != LOCK and path.read_text(encoding="utf-8")]
    workers = [int(path.read_text(encoding="utf-8")) for path in half]
    process.kill()
    process.wait()
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list(out.glob("case[23]"))  # workers leave in order
    dataset = study_cases.tiny_dataset(tmp_path / "data", 3)
    done = run_study(dataset, study_cases.CONFIG, out, resume=True, predict=study_cases.perfect)
    assert done.finished == ("case1", "case2", "case3") and not list(out.rglob(".*"))


def test_a_case_whose_folder_is_taken_fails_alone_and_what_was_killed_there_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(task, "PATIENCE_S", 0.1)
    dataset, out = study_cases.tiny_dataset(tmp_path / "data", 2), tmp_path / "out"
    run_study(dataset, study_cases.CONFIG, out, cases=["case2"], predict=study_cases.second_fails)
    (out / "case2" / ".0123abcd.transform.h5").write_text("half")
    (out / ".0123abcd.study.json").write_text("half")
    with claim(out / "case1"):
        done = run_study(dataset, study_cases.CONFIG, out, resume=True, predict=study_cases.perfect)
    assert done.finished == ("case2",) and done.failures[0].message.startswith(f"{out / 'case1'}: a folder in which")
    assert not list(out.rglob(".*"))


# training


def make_samples_of(folder, out):
    """Samples by a worker; ends as the program does."""
    with ending_in_order():
        try:
            make_samples(Sources(pairs=(folder,), made=0), study_cases.CONFIG, out, workers=2)
        except Terminated:
            sys.exit(143)


@LINUX
def test_a_signal_to_a_training_ends_the_workers_that_make_samples(tmp_path):
    for name in ("fixed.nii.gz", "moving.nii.gz"):
        os.mkfifo(tmp_path / name)  # who reads it waits for ever
    process = forked(make_samples_of, tmp_path, tmp_path / "out")

    wait_for(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8"), process)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    os.kill(process.pid, signal.SIGTERM)
    assert ended(process) == 143
    deadline = time.monotonic() + 20
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
