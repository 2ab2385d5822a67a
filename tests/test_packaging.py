"""What is installed: every direct dependency is pinned for the tested set, and the pins are within the bounds."""

import re
import tomllib
from pathlib import Path

import pytest

import graphreg

requirements = pytest.importorskip("packaging.requirements")
ROOT = Path(graphreg.__file__).parents[1]
if not (ROOT / "constraints.txt").exists():
    pytest.skip("an installed package lies without its repository", allow_module_level=True)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIRECT = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file="constraints.txt"):
    """Name and version of every line of a file of constraints, each of which must be a pin."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    found = {plain(name): version for name, version in pairs}
    assert len(found) == len(pairs), "a package is pinned twice"
    return found


@pytest.mark.parametrize("line", DIRECT)
def test_each_direct_dependency_is_pinned_within_its_bounds(line):
    needed = requirements.Requirement(line)
    assert plain(needed.name) in pins()
    assert needed.specifier.contains(pins()[plain(needed.name)])
    assert any(bound.operator == ">=" for bound in needed.specifier), "a dependency without a lower bound"


def test_every_pin_is_one_whole_version():
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in pins().values())


def test_the_lowest_versions_that_ci_tries_are_the_bounds():
    bounds = {plain(needed.name): needed.specifier for needed in map(requirements.Requirement, DIRECT)}
    for name, version in pins("constraints-lowest.txt").items():
        assert name == "torch" or f">={version}".startswith(str(bounds[name]).split(",")[-1]), name
