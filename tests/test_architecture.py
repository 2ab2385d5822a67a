"""Imports point one way, heavy dependencies have one home, importing does nothing, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import graphreg

ROOT = Path(graphreg.__file__).parent
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
FILES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}

# part of the package -> parts that it may import; "" is graphreg/__init__.py, with the version
GROUND = {"core", "runtime"}
ROLES = {"prealignment", "sampling", "features", "matching", "regularisers", "interpolation", "refinement"}
WORK = GROUND | ROLES | {"anatomy", "analysis"}
RUNS = WORK | {"config", "phantom", "scene", "refining", "assessment", "pipeline", "runs"}
LAYERS = {
    "runtime": {"core", "runtime"},
    "core": {"core", "runtime"},
    **{role: GROUND | {role} for role in ROLES},  # never one another
    "anatomy": GROUND | {"anatomy", "analysis"},
    "analysis": GROUND | {"analysis", "features"},
    "phantom": GROUND | {"phantom", "interpolation"},
    "io": GROUND | {"io"},
    "config": GROUND | ROLES | {"anatomy"},
    "scene": WORK | {"config"},
    "refining": WORK | {"config", "scene"},
    "assessment": WORK | {"scene"},
    "pipeline": WORK | {"config", "scene", "refining", "assessment"},
    "runs": RUNS | {"io", "__init__"},
    "training": RUNS | {"io", "training", "__init__"},
    "study": RUNS | {"io", "training", "study", "__init__"},
    "cli": RUNS | {"io", "training", "study", "cli", "__init__"},
    "__main__": {"cli"},
    "__init__": RUNS | {"io", "training", "study"},
}
HOME_OF = {
    "SimpleITK": {"io", "anatomy", "core.foreign"},
    "torch_cluster": {"matching.graph"},
    "torch_geometric": {"regularisers.edge_conv", "regularisers.unrolled"},
    "typer": {"cli"},
    "rich": {"cli"},
    "jinja2": {"study"},
    "dask": {"study"},
    "distributed": {"study"},
}


def imports(name):
    """Full names that a module imports anywhere in it, also inside functions."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import in line {node.lineno}"
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (full if full.removeprefix("graphreg.") in FILES else node.module for full in inside)


def part(module):
    """The part of the package that a full name belongs to."""
    return module.removeprefix("graphreg").removeprefix(".").split(".")[0] or "__init__"


def lies_in(name, homes):
    return any(name == home or name.startswith(f"{home}.") for home in homes)


@pytest.mark.parametrize("name", FILES)
def test_imports_point_to_lower_layers_only(name):
    assert part(name) in LAYERS, "a part of the package that the architecture does not know"
    wrong = {m for m in imports(name) if m.split(".")[0] == "graphreg" and part(m) not in LAYERS[part(name)]}
    assert not wrong


@pytest.mark.parametrize("name", FILES)
def test_each_heavy_dependency_stays_at_home(name):
    outside = {m for m in imports(name) if not lies_in(name, HOME_OF.get(m.split(".")[0], {name}))}
    assert not outside


@pytest.mark.parametrize("name", ["core.grid", "core.filters", "core.lattice", "runtime.chunks"])
def test_the_ground_floor_stands_on_torch_alone(name):
    roots = {module.split(".")[0] for module in imports(name)}
    assert roots - sys.stdlib_module_names - {"graphreg"} == {"torch"}


@pytest.mark.parametrize("name", [name for name in FILES if not lies_in(name, {"cli"})])
def test_the_library_never_prints(name):
    calls = [n for n in ast.walk(TREES[name]) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert not [call.lineno for call in calls if call.func.id == "print"]


@pytest.mark.parametrize("name", FILES)
def test_every_public_function_and_class_says_what_it_is(name):
    tree = TREES[name]
    kinds = (ast.FunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    public = [node for node in public if not node.name.endswith("Config")]  # each field of one has its remark
    assert not [node.name for node in public if not ast.get_docstring(node)]
    assert not tree.body or ast.get_docstring(tree), "a module without a first line"


@pytest.mark.parametrize("name", FILES)
def test_files_and_functions_stay_small(name):
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 250
    functions = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.FunctionDef)]
    assert not [f.name for f in functions if f.end_lineno - f.lineno + 1 > 40]


def test_the_front_page_exports_what_it_lists():
    (listed,) = [
        ast.literal_eval(node.value)
        for node in TREES["__init__"].body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    ]
    assert len(set(listed)) == len(listed)
    modules = {part(f"graphreg.{name}") for name in FILES}
    public = {name for name in vars(graphreg) if not name.startswith("_")} - modules
    assert public == set(listed) - modules - {"__version__"}
    assert all(hasattr(graphreg, name) for name in listed)


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
import graphreg
assert state() == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
