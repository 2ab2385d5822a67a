"""Imports point one way, heavy dependencies have one home, importing does nothing, files stay small."""

import ast
import importlib
import re
import subprocess
import sys
from statistics import median

import pytest
from support.house import FILES, HOME_OF, LAYERS, OF_ORGANS, PACKAGE, TESTS, TREES, imports, lies_in, part

import graphreg


@pytest.mark.parametrize("name", FILES)
def test_imports_point_to_lower_layers_only(name):
    assert part(name) in LAYERS, "a part of the package that the architecture does not know"
    wrong = {m for m in imports(TREES[name]) if m.split(".")[0] == "graphreg" and part(m) not in LAYERS[part(name)]}
    assert not wrong


@pytest.mark.parametrize("name", FILES)
def test_each_heavy_dependency_stays_at_home(name):
    outside = {m for m in imports(TREES[name]) if not lies_in(name, HOME_OF.get(m.split(".")[0], {name}))}
    assert not outside


@pytest.mark.parametrize("name", ["core.grid", "core.filters", "core.lattice", "runtime.chunks"])
def test_the_ground_floor_stands_on_torch_alone(name):
    roots = {module.split(".")[0] for module in imports(TREES[name])}
    assert roots - sys.stdlib_module_names - {"graphreg"} == {"torch"}


@pytest.mark.parametrize("name", [name for name in FILES if not lies_in(name, {"cli"})])
def test_the_library_never_prints(name):
    calls = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if ast.unparse(call.func) == "print"]


@pytest.mark.parametrize("name", FILES)
def test_every_public_function_and_class_says_what_it_is(name):
    tree = TREES[name]
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    public = [node for node in public if not node.name.endswith("Config")]  # each field of one has its remark
    assert not [node.name for node in public if not ast.get_docstring(node)]
    assert not tree.body or ast.get_docstring(tree), "a module without a first line"


@pytest.mark.parametrize("name", FILES)
def test_files_and_functions_stay_small(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 250
    functions = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.FunctionDef)]
    assert not [f.name for f in functions if (f.end_lineno or 10**6) - f.lineno + 1 > 40]


def test_images_are_sampled_in_one_place_and_cubes_in_another():
    calling = {name for name, path in FILES.items() if ".grid_sample(" in path.read_text(encoding="utf-8")}
    assert calling == {"core.grid", "core.cubes"}


def test_the_root_holds_the_front_page_and_the_pipeline_alone():
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "__main__", "pipeline"}


TEMPLATES = {path.name: path for path in PACKAGE.rglob("*.j2")}


@pytest.mark.parametrize("name", [*(name for name in FILES if not lies_in(name, OF_ORGANS)), *TEMPLATES])
def test_words_of_one_organ_stand_with_that_organ(name):
    text = (FILES | TEMPLATES)[name].read_text(encoding="utf-8")
    assert not re.findall(r"(?i:lung)|(?<![A-Za-z])(?:HU|CTs?)(?![A-Za-z])|_hu\b|\bhu_", text)


def test_most_functions_are_short():
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1 - bool(ast.get_docstring(node))
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    assert median(lengths) <= 8


def test_the_front_page_exports_what_it_lists():
    branches = [node for node in TREES["__init__"].body if isinstance(node, ast.If)]
    (shown,) = (node.body for node in branches if ast.unparse(node.test) == "TYPE_CHECKING")
    lines = [node for node in shown if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: str(node.module).removeprefix("graphreg.") for node in lines for alias in node.names}
    assert homes == graphreg._HOMES and sorted(homes) == sorted(graphreg.__all__)
    for name, home in homes.items():
        assert getattr(graphreg, name) is getattr(importlib.import_module(f"graphreg.{home}"), name)
    assert {*homes, "__version__"} <= set(dir(graphreg)) and not hasattr(graphreg, "unheard_of")


@pytest.mark.parametrize("then", ["", "main(['--help'])", "main(['register', '--help'])", "main(['train', '--speed'])"])
def test_the_front_page_and_help_load_nothing_heavy(then):
    code = f"""
import sys
import graphreg
from graphreg.cli import main
{then}
print([name for name in ("torch", "numpy", "scipy", "SimpleITK", "rich") if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_test_imports_another_one(path):
    found = imports(ast.parse(path.read_text(encoding="utf-8")))
    assert not [module for module in found if module.split(".")[-1].startswith("test_")]


def test_importing_changes_nothing_for_others():
    code = """
import logging, random, warnings
import numpy, torch, SimpleITK
def state():
    return (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark, torch.initial_seed(),
            torch.get_rng_state().sum().item(), random.getstate(), len(logging.getLogger().handlers),
            logging.getLogger().level, SimpleITK.ProcessObject.GetGlobalWarningDisplay(),
            str(numpy.geterr()), [w for w in warnings.filters if "graphreg" in str(w)])
before = state()
from graphreg import *
assert state() == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
