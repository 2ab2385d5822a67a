"""The examples of docs/ run, and the page on the architecture names files that are there."""

import importlib.util
import re
from types import ModuleType

import pytest
from support.house import PACKAGE
from support.program import FAST, ROOT

from graphreg.analysis.metrics import tre
from graphreg.config import override
from graphreg.core.errors import InputError
from graphreg.core.records import ImagePair
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.pipeline import register
from graphreg.presets import preset

DOCS = ROOT / "docs"
COARSE = PhantomConfig(fixed_spacing_mm=(4.0, 5.0), moving_spacing_mm=(4.0, 5.0))


def example(name: str) -> ModuleType:
    """The module in a file of examples."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "examples" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["own_regulariser", "own_features"])
def test_roles_of_ones_own_bring_a_phantom_to_a_third_of_its_motion(name):
    before = make_phantom(config=COARSE).landmarks
    error_mm = example(name).main(override(preset("fast"), FAST), COARSE)
    assert error_mm < (before.fixed_mm - before.moving_mm).norm(dim=1).mean() / 3


def test_the_dense_form_is_a_matter_of_settings():
    phantom = make_phantom(config=COARSE)
    dense = override(
        override(preset("fast"), FAST), only(DOCS / "examples" / "dense.toml", ("wide", "coarse", "middle"))
    )
    result = register(ImagePair(phantom.pair.fixed, phantom.pair.moving), config=dense)
    before = phantom.landmarks
    motion_mm = (before.fixed_mm - before.moving_mm).norm(dim=1).mean()
    assert tre(result.field, phantom.landmarks).mean() < motion_mm / 3
    steps = result.keypoints.keypoints.points_mm[:, 0].unique().diff()
    assert steps.numel() > 3 and (steps - steps.min()).abs().max() < 1e-3  # a regular lattice


def only(file, levels):
    """The tables of some levels in a file of settings."""
    text = file.read_text(encoding="utf-8")
    return "[levels." + "[levels.".join(part for part in text.split("[levels.")[1:] if part.startswith(levels))


def test_the_page_on_the_architecture_names_what_is_there():
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    for path in re.findall(r"`(?!graphreg/|tests/)([a-z_]+/[a-z_/]+\.py)`", text):
        assert (PACKAGE / path).exists() or path.endswith(("mine.py", "task.py", "verb.py")), path
        assert (PACKAGE / path).parent.is_dir(), path
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert all(re.search(rf"\b{folder}\b", text) for folder in folders)
    for link in re.findall(r"\]\(([\w/.]+)\)", text):
        assert (DOCS / link).exists(), link


def test_the_settings_in_the_readme_are_settings_of_every_preset():
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for text in blocks[:2]:
        assert override(preset("inhale-exhale"), text) != preset("inhale-exhale")
    with pytest.raises(InputError, match="trained/wide-coarse.safetensors"):  # the reader is to train it
        override(preset("inhale-exhale"), blocks[2])
