"""Settings: presets, overrides by name, and what is refused with the name of the field."""

import tomllib
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from graphreg.anatomy.lung_ct.mask import LungFinder
from graphreg.config import RegistrationConfig, override
from graphreg.features.mind_ssc import MindSSC
from graphreg.features.normalised import NormalisedIntensities
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.matching.cost_volume import DisplacementSearch
from graphreg.phantom import PhantomConfig
from graphreg.presets import PRESETS, preset
from graphreg.presets.lung_ct import INHALE_EXHALE
from graphreg.refinement import CubeConfig
from graphreg.refinement.descent import Descent
from graphreg.regularisers import BeliefPropagation, Independent, MeanField
from graphreg.sampling.foerstner import Foerstner
from graphreg.training.settings import FitConfig


def test_a_text_overrides_what_it_names_and_nothing_else():
    toml = """
    regulariser = "none"
    field_spacing_mm = 3.5
    window_hu = [-950, 100.0]
    [mask]
    closing_mm = 6.0
    [levels.coarse.costs]
    radius_mm = 30.0
    symmetric = true
    [levels.middle.mean_field]
    couplings = [0.5, 1, 2.0]
    """
    changed = override(INHALE_EXHALE, toml)
    wide, coarse, middle, *rest = INHALE_EXHALE.levels
    expected = replace(
        INHALE_EXHALE,
        regulariser="none",
        field_spacing_mm=3.5,
        window_hu=(-950.0, 100.0),
        mask=replace(INHALE_EXHALE.mask, closing_mm=6.0),
        levels=(
            wide,
            replace(coarse, costs=replace(coarse.costs, radius_mm=30.0, symmetric=True)),
            replace(middle, mean_field=replace(middle.mean_field, couplings=(0.5, 1.0, 2.0))),
            *rest,
        ),
    )
    assert changed == expected != INHALE_EXHALE


def test_an_empty_text_changes_nothing_and_whole_numbers_become_floats():
    assert override(INHALE_EXHALE, "") == INHALE_EXHALE
    assert override(INHALE_EXHALE, "[levels.coarse]\n[mask]\n") == INHALE_EXHALE
    changed = override(INHALE_EXHALE, "field_spacing_mm = 3\nwindow_hu = [-1000, 0]")
    assert repr((changed.field_spacing_mm, changed.window_hu)) == "(3.0, (-1000.0, 0.0))"


def to_toml(config, path=""):
    """Every value of the settings, a table for each dataclass and for each level by its name."""
    lines, tables = [], []
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            tables += [f"[{path}{f.name}]", *to_toml(value, f"{path}{f.name}.")]
        elif isinstance(value, tuple) and is_dataclass(value[0]):
            for level in value:
                tables += [f"[{path}{f.name}.{level.name}]", *to_toml(level, f"{path}{f.name}.{level.name}.")]
        else:
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            lines.append(f"{f.name} = {shown.replace('(', '[').replace(')', ']')}")
    return lines + tables


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_of_a_preset_can_be_written_down_and_read_back(name):
    config = preset(name)
    toml = "\n".join(to_toml(config))
    assert len(tomllib.loads(toml)) == len(fields(RegistrationConfig))
    assert override(config, toml) == config


@pytest.mark.parametrize("name", PRESETS)
def test_presets_go_from_coarse_to_fine_in_label_steps_of_whole_voxels(name):
    levels = preset(name).levels
    spacings = [level.spacing_mm for level in levels]
    radii = [level.matcher.radius_mm for level in levels]
    steps = [level.matcher.step_mm for level in levels]
    for values in (spacings, radii, steps):
        assert values == sorted(values, reverse=True)
    for coarse, fine in zip(levels, levels[1:], strict=False):
        assert fine.matcher.radius_mm >= coarse.matcher.step_mm  # what one label of the level before leaves is in reach
    for level in preset(name).levels:
        assert (level.matcher.step_mm / level.spacing_mm) % 1 == 0
        assert (level.matcher.radius_mm / level.matcher.step_mm) % 1 == 0


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("nonsense = 1", "unknown setting 'nonsense'; there are levels, refinement"),
        ("[mask]\nnonsense = 1", "unknown setting 'mask.nonsense'"),
        ("[levels.coarse.costs]\nreach = 1", "unknown setting 'levels.coarse.costs.reach'"),
        ("[levels.tiny]\nspacing_mm = 1.0", "levels are the tables wide, coarse, .*got tiny"),
        ("[levels]\ncoarse = 3", "levels are the tables wide, coarse, .*got coarse = 3"),
        ("levels = 3", "levels must be of type tuple"),
        ("[[levels]]\nspacing_mm = 3.0", "levels must be of type tuple"),
        ("mask = 1", "mask must be of type LungFinder"),
        ("regulariser = 1", "regulariser must be of type str"),
        ("field_spacing_mm = 'wide'", "field_spacing_mm must be of type float, got 'wide'"),
        ("field_spacing_mm = true", "field_spacing_mm must be of type float, got True"),
        ("field_spacing_mm = [1.0, 2.0]", "field_spacing_mm must be of type float"),
        ("window_hu = 5", "window_hu must be of type tuple"),
        ("window_hu = [-1000.0]", "window_hu must hold 2 values"),
        ("window_hu = [-1000, 0, 200]", "window_hu must hold 2 values"),
        ("window_hu = ['low', 'high']", "window_hu must be of type float, got 'low'"),
        ("[levels.coarse.keypoints]\ncount = 500.0", "levels.coarse.keypoints.count must be of type int"),
        ("[levels.coarse.costs]\nsymmetric = 1", "levels.coarse.costs.symmetric must be of type bool"),
    ],
)
def test_what_is_unknown_or_of_another_type_is_refused_with_its_whole_name(toml, message):
    with pytest.raises(ValueError, match=message):
        override(INHALE_EXHALE, toml)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (
            "regulariser = 'magic'",
            "regulariser must be one of graphregnet, belief-propagation, mean-field, none, got 'magic'",
        ),
        ("field_spacing_mm = 0", "field_spacing_mm must be positive"),
        ("field_spacing_mm = nan", "field_spacing_mm must be finite"),
        ("window_hu = [200, -1000]", "window_hu must rise"),
        ("[levels.coarse]\nspacing_mm = -1", "coarse.spacing_mm must be positive"),
        ("[levels.coarse]\nspacing_mm = inf", "coarse.spacing_mm must be finite"),
        ("[levels.coarse]\nname = 'middle'", "names of their own"),
        ("[levels.coarse.keypoints]\ncount = 3", "keypoints.count"),
        ("[levels.coarse.costs]\nstep_mm = 0", "cost labels"),
        ("[levels.coarse.graph]\nneighbours = -1", "graph.neighbours"),
        ("[levels.coarse.mean_field]\ndata_weight = 0", "mean_field.data_weight"),
        ("[levels.coarse.mean_field]\ncouplings = []", "mean_field.couplings"),
        ("[levels.coarse.belief_propagation]\nslack_mm = 0", "belief_propagation.slack_mm"),
        ("[levels.coarse.none]\ndata_weight = 0", "none.data_weight"),
        ("[levels.coarse.spline]\nsmoothness_mm = -1", "spline"),
        ("[levels.coarse.descriptors]\ndilation_mm = 0", "descriptor"),
        ("[mask]\nclosing_mm = 0", "Mask"),
        ("[alignment]\nsteps = -1", "Alignment"),
        ("this is no toml", "line 1"),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_name(toml, message):
    with pytest.raises(ValueError, match=message):
        override(INHALE_EXHALE, toml)


KEYPOINTS = [("count", 49), ("separation_mm", -1.0), ("brightest_hu", -1000.0)]
BELIEFS = ("data_weight", "slack_mm", "temperature")
DESCENT = ("iterations", "rate_mm", "check_every")
PHANTOMS = [("fixed_spacing_mm", (0.0, 2.5)), ("lift_mm", (30.0, 90.0)), ("noise_hu", -1.0), ("landmarks", 0)]
NAN_TOO = (0, -1, float("nan"))
OUT_OF_RANGE: list[tuple[Any, dict[str, Any], str]] = [
    *((Descent, {name: v}, f"refinement {name} must be positive, got {v}") for v in NAN_TOO for name in DESCENT),
    *((BeliefPropagation, {name: v}, name) for v in NAN_TOO for name in ("data_weight", "slack_mm", "temperature")),
    *((CubeConfig, {"smoothness": v}, "smoothness of displacements must be at least 0") for v in NAN_TOO[1:]),
    *((ThinPlate, {name: -1.0}, "spline") for name in ("smoothness_mm", "lattice_mm")),
    (ThinPlate, {"smoothness_mm": float("nan")}, "spline"),
    *((DisplacementSearch, w, "cost") for w in ({"step_mm": 0.0}, {"radius_mm": 1.0, "step_mm": 2.0}, {"patch": -1})),
    *((MindSSC, wrong, "descriptor lengths") for wrong in ({"dilation_mm": 0.0}, {"radius_mm": -1.0})),
    *((NormalisedIntensities, {"window_mm": v}, "normalisation needs numbers above 0") for v in NAN_TOO),
    (NormalisedIntensities, {"noise_hu": -1.0}, "normalisation needs numbers above 0"),
    *((Foerstner, {"sigma_mm": v}, "sigma_mm") for v in NAN_TOO),
    *((Foerstner, {name: v}, name) for name, v in (("count", 49), ("separation_mm", -1.0), ("brightest_hu", -1e3))),
    *((MeanField, {"couplings": v}, "couplings") for v in ((), (0.1, -0.1))),
    *((kind, {"data_weight": v}, "data_weight") for kind in (MeanField, Independent) for v in NAN_TOO),
    *((PhantomConfig, {name: v}, "Phantom") for name, v in PHANTOMS),
    *((FitConfig, {"rate": v}, "training.rate must be positive") for v in NAN_TOO),
    *((FitConfig, {name: v}, f"training.{name} must be positive") for name, v in (("steps", 0), ("patience", -1))),
    (LungFinder, {"closing_mm": 0.0}, "must be positive"),
    (LungFinder, {"gas_hu": -300.0}, "below air_hu"),
]


@pytest.mark.parametrize(("kind", "wrong", "message"), OUT_OF_RANGE)
def test_a_setting_out_of_range_is_refused_wherever_it_is_made(kind, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**wrong)


def test_settings_without_a_level_and_an_unknown_preset_are_refused_and_settings_cannot_change_unseen():
    with pytest.raises(ValueError, match="at least one level"):
        replace(INHALE_EXHALE, levels=())
    with pytest.raises(ValueError, match="preset must be one of inhale-exhale, .*got 'other'"):
        preset("other")
    with pytest.raises(AttributeError):
        setattr(INHALE_EXHALE, "regulariser", "none")  # noqa: B010  # which no checker of types lets pass
