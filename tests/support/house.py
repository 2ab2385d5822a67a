"""The modules of the package, what each imports, and what the architecture lets it import."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import graphreg

PACKAGE = Path(graphreg.__file__).parent
TESTS = Path(__file__).parents[1]
FILES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
FILES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}

# part of the package -> parts that it may import; "" is graphreg/__init__.py, with the version
GROUND = {"core", "runtime"}
ROLES = {"prealignment", "sampling", "features", "matching", "regularisers", "interpolation", "refinement"}
SETTINGS = GROUND | ROLES | {"anatomy", "config"}
WORK = SETTINGS | {"analysis", "presets", "pipeline", "io", "__init__"}
LAYERS = {
    **{part: GROUND for part in GROUND},
    **{role: GROUND | {role} for role in ROLES},  # never one another, nor an anatomy
    "analysis": GROUND | {"analysis", "features"},
    "anatomy": GROUND | {"analysis", "anatomy"},
    "phantom": GROUND | {"phantom", "interpolation"},
    "io": GROUND | {"io"},
    "config": SETTINGS,
    "presets": SETTINGS | {"presets"},
    "pipeline": SETTINGS | {"analysis", "presets", "io"},
    "runs": WORK | {"runs"},
    "training": WORK | {"runs", "phantom", "training"},
    "study": WORK | {"runs", "study"},
    "cli": WORK | {"runs", "phantom", "training", "study", "cli"},
    "__main__": {"cli"},
    "__init__": WORK | {"phantom"},
}
OF_ORGANS = {"anatomy", "presets", "phantom", "io.datasets", "cli", "core.former"}  # the last has names of old
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


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports anywhere in it, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"a relative import in line {node.lineno}"
            full_names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (full if full.removeprefix("graphreg.") in FILES else node.module for full in full_names)


def part(module: str) -> str:
    """The part of the package that a full name belongs to."""
    return module.removeprefix("graphreg").removeprefix(".").split(".")[0] or "__init__"


def lies_in(name: str, homes: Iterable[str]) -> bool:
    """Whether a module is one of some others or lies in one."""
    return any(name == home or name.startswith(f"{home}.") for home in homes)
