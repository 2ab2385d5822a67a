"""Files from others are data: none runs code, reaches the network, leaves the folder of the output or rules a page."""

import ast
import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from support import study_cases as fakes
from support.house import FILES, HOME_OF, TREES, imports, lies_in
from support.pages import Page
from support.program import ENVIRONMENT, one_line, only_doubts

from graphreg.cli import main
from graphreg.io import InputError
from graphreg.io.datasets import lung250m, read_dataset
from graphreg.io.datasets.case import can_name_folder
from graphreg.study.runner import run_study

RUNNERS = ("system", "popen", "exec", "spawn", "posix_spawn", "startfile", "fork")  # beginnings of names in os
CODE = {"subprocess", "pty", "code", "runpy", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
NETWORK = {"socket", "ssl", "urllib", "http", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "xmlrpc", "asyncio"}
HOSTILE = [
    *("../x", "..", ".", "", "/abs", "a/b", "a\\b", "C:x", "C:\\x", "~root", "-o", ".hidden", "=1+1", "@a", "+a"),
    *("con", "NUL", "com1.txt", "a.", "a ", "x" * 201, "ä" * 101, "a\nb", "a\x00b", "a\x1b[2J", "a\u202eb", "a\ud800"),
    *("$HOME", "{{a}}", "<script>", "a*", "a?", 'a"b', "a|b"),
]
HARMLESS = ["case 1", "Ärzte (2)", "a&b", "a'b", "肺", "1.2.3", "_", "x" * 200, "console", "a;b", "a$HOME", "a{{b}}"]


def unsafe(tree):
    """What in a program could run the content of a file or of a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "torch", "os", "numpy", "builtins"):
            taken = (*RUNNERS, "load", "hub", "jit", "eval", "Unpickler")
            yield from (alias.name for alias in node.names if alias.name.startswith(taken))
        if not isinstance(node, ast.Call):
            continue
        called, said = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        owner, _, name = called.rpartition(".")
        if (
            called in ("eval", "exec", "compile", "__import__")
            or owner in ("pickle", "builtins", "torch.hub", "torch.jit", "torch.package")
            or (owner == "os" and name.startswith(RUNNERS))
            or (owner in ("torch", "np", "numpy") and name == "load" and said.get("weights_only") != "True")
            or said.get("shell", said.get("allow_pickle", "False")) != "False"
        ):
            yield called


@pytest.mark.parametrize("name", FILES)
def test_no_file_can_run_code(name):
    assert not list(unsafe(TREES[name]))


@pytest.mark.parametrize(
    "line",
    [
        *("eval(text)", "exec(text)", "__import__(name)", "os.system(name)", "os.execvp(name, [])"),
        *("pickle.loads(data)", "torch.load(path)", "torch.load(path, weights_only=False)"),
        *("np.load(path, allow_pickle=True)", "run(name, shell=True)"),
        *("from pickle import loads", "from torch import load", "from os import system"),
    ],
)
def test_each_way_to_run_code_is_seen(line):
    assert list(unsafe(ast.parse(line)))


@pytest.mark.parametrize("name", FILES)
def test_nothing_asks_for_the_network_or_for_another_program(name):
    """Dask alone may: it is asked for by the address of a scheduler."""
    roots = {module.split(".")[0] for module in imports(TREES[name])}
    assert not roots & (CODE | NETWORK)
    assert lies_in(name, {"study.cluster"}) or not roots & {"dask", "distributed"}
    assert roots.isdisjoint({"pickle"}) or name == "io.datasets.lung250m"  # which names its error
    assert not HOME_OF["distributed"] - {"study"}


AUDITED = """
import json, sys
asked = []
def hear(event, _):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "subprocess.", "pickle.",
                         "os.exec", "os.system", "os.posix_spawn", "os.spawn", "os.fork")):
        asked.append(event)
sys.addaudithook(hear)
from graphreg.cli import main
codes = [main(line.split()) for line in sys.argv[1:]]
print(json.dumps([codes, asked]))
"""
LOCAL = {"socket.__new__", "socket.bind"}  # urllib3, of torch-geometric, looks whether there is IPv6: nothing is sent


def test_the_audit_hears_each_of_these():
    does = """
import pickle, socket, subprocess
socket.socket().connect_ex(("127.0.0.1", 9))
subprocess.run(["true"])
pickle.loads(pickle.dumps(print))
main = len
"""
    program = AUDITED.replace("from graphreg.cli import main", does)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"socket.connect", "subprocess.Popen", "pickle.find_class"} <= set(json.loads(done.stdout)[1])


def test_a_run_reaches_no_network_starts_no_program_and_unpickles_nothing(coarser, tmp_path):
    """From the import to the report, with the weights of the network; without any network where that can be."""
    alone = ["unshare", "--map-root-user", "--net"]
    possible = shutil.which("unshare") and subprocess.run([*alone, "true"], check=False).returncode == 0
    pair, landmarks = [f"{coarser}/ph/{name}.nii.gz" for name in ("fixed", "moving")], f"{coarser}/ph/landmarks.csv"
    settings = f"--preset fast --config {coarser}/light.toml --regulariser graphregnet"
    lines = [f"register {' '.join(pair)} {settings} -o out -q"]
    lines += [f"evaluate out/transform.h5 --landmarks {landmarks} --json figures.json", "check-data table.csv"]
    (tmp_path / "table.csv").write_text(f"case,fixed,moving,landmarks\na,{','.join(pair)},{landmarks}\n")
    lines += ["report out"] if find_spec("jinja2") and find_spec("PIL") else []
    command = [*(alone if possible else []), sys.executable, "-c", AUDITED, *lines]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    codes, asked = json.loads(done.stdout.splitlines()[-1])
    assert codes == [0] * len(lines) and only_doubts(done.stderr)
    assert set(asked) <= LOCAL


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_could_do_harm_is_no_name_of_a_case(name, tmp_path):
    assert not can_name_folder(name)
    tiny = fakes.tiny_dataset(tmp_path / "data", 1)
    with pytest.raises(InputError, match="names of cases that folders can have") as error:
        wrong = replace(tiny, cases=(replace(tiny.cases[0], name=name),))
        run_study(wrong, fakes.CONFIG, tmp_path / "out", predict=fakes.perfect)
    assert len(str(error.value)) < 200
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.strip() == name])
def test_a_manifest_with_such_a_name_is_refused_in_one_visible_line(name, tmp_path, capsys):
    row = {"case": name, "fixed": "a.nii.gz", "moving": "b.nii.gz"}
    (tmp_path / "m.json").write_text(json.dumps([row]))
    code = main(["study", str(tmp_path / "m.json"), "-o", str(tmp_path / "out")])
    said = one_line((code, *capsys.readouterr()), "case: a name that a folder can have needed")
    assert said[:-1].isprintable() and len(said) < 500 + 3 * len(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


@pytest.mark.parametrize("name", HARMLESS)
def test_any_other_name_is_one(name):
    assert can_name_folder(name)


@given(st.text(max_size=12))
def test_what_can_name_a_folder_stays_in_the_folder(name):
    if can_name_folder(name):
        place = Path("/out") / name
        assert place.parent == Path("/out") and place.name == name
        assert name.isprintable() and name[0] not in "-=+@.~ "


def test_paths_of_a_manifest_are_read_wherever_they_are_and_written_nowhere_but_in_the_output(tmp_path):
    tiny = fakes.tiny_dataset(tmp_path / "data", 1)
    inputs = tiny.cases[0].inputs
    columns = ("fixed", "moving", "fixed_mask", "moving_mask", "landmarks")
    with open(tmp_path / "m.csv", "w", newline="") as file:
        csv.writer(file).writerows([("case", *columns), ("one", *(inputs[c].absolute() for c in columns))])
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in tmp_path.rglob("*") if p.is_file()}
    done = run_study(read_dataset(tmp_path / "m.csv"), fakes.CONFIG, tmp_path / "out", predict=fakes.perfect)
    assert done.finished == ("one",)
    outside = {p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(tmp_path / "out")}
    assert outside - {tmp_path / "computed.txt"} == set(before)  # which is the log of the fake
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in before} == before


@pytest.mark.parametrize("name", ["../other", "..", "", "/etc", "a/b"])
def test_a_study_whose_record_names_other_folders_is_refused(name, tmp_path, capsys):
    (tmp_path / "study.json").write_text(json.dumps({"cases": [{"name": name}]}))
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "names of cases that are folders of the study needed" in capsys.readouterr().err


def test_tensors_of_others_are_not_read_by_a_torch_that_they_could_rule(tmp_path, monkeypatch):
    torch.save({"104": torch.ones(1, 6)}, tmp_path / "points.pth")
    assert list(lung250m.read_pth(tmp_path / "points.pth")) == [104]
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(InputError, match=r"torch 2.6 or newer to read this file needed, 2.5.1\+cpu found"):
        lung250m.read_pth(tmp_path / "points.pth")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r/\\"), min_size=1, max_size=30))
@example("<script>alert(1)</script>")
@example("</script><img src=x onerror=alert(1)>")
@example("\" onload='x' {{ 7 * 7 }} {% raw %} &lt; ]]> -->")
def test_whatever_text_the_files_hold_a_page_has_the_elements_that_it_has_for_plain_text(text):
    report = pytest.importorskip("graphreg.study.report", reason="needs the extra [report]")
    contents = pytest.importorskip("graphreg.study.report_contents")

    def page(word):
        marks = [contents.Landmark(word, (1.0, 2.0, 3.0), 4.0, 5.0)] * 3
        record = {"quality": {word: word}, "configuration": {word: [word]}, "warnings": [{"reason": word}]}
        case = contents.Case(word, Path("gone"), record, marks)
        rows, tables = [{"case": word, "mean_mm": word}], [(word, [word, "mean"], [[word, word]])]
        return report.render(contents.Study(word, [case], rows, tables, {word: word}, {word: word}))

    hostile, plain = Page(page(text)), Page(page("plain"))
    assert [(tag, list(found)) for tag, found in hostile.tags] == [(tag, list(found)) for tag, found in plain.tags]
    assert "7 * 7" not in text or "7 * 7" in "".join(hostile.texts)
