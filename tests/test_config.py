"""Settings: presets, overrides by name, and what is refused with the name of the field."""

import json
import tomllib
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import pytest

from graphreg.anatomy import ANATOMIES, Body, LungCT, Whole
from graphreg.anatomy.lung_ct.mask import LungFinder
from graphreg.anatomy.whole import Everything
from graphreg.anatomy.windows import FixedWindow, PercentileWindow
from graphreg.config import ROLES, RegistrationConfig, as_record, filled, override
from graphreg.config.names import entry_name
from graphreg.features import Gradients, Intensities
from graphreg.features.mind_ssc import MindSSC
from graphreg.features.normalised import NormalisedIntensities
from graphreg.interpolation import BSpline
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.matching import SixNeighbours
from graphreg.matching.cost_volume import DisplacementSearch
from graphreg.phantom import PhantomConfig
from graphreg.prealignment import Centres, LandmarkAlignment
from graphreg.prealignment.block_matching import BlockMatching
from graphreg.presets import PRESETS, preset
from graphreg.presets.lung_ct import INHALE_EXHALE
from graphreg.refinement import DenseRefinement, KeypointRefinement
from graphreg.refinement.descent import Descent
from graphreg.refinement.feature_difference import Comparison
from graphreg.regularisers import BeliefPropagation, Independent, MeanField
from graphreg.sampling import Lattice, Uniform
from graphreg.sampling.foerstner import Foerstner
from graphreg.training.settings import FitConfig

FORMER = """
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
    [refinement.dense]
    features = {points = 5000}
    normalisation = {noise_hu = 20.0}
"""
TODAY = """
    regulariser = "none"
    field_spacing_mm = 3.5
    [anatomy]
    window = {low = -950, high = 100.0}
    find = {closing_mm = 6.0}
    [levels.coarse.matcher]
    radius_mm = 30.0
    symmetric = true
    [levels.middle.mean_field]
    couplings = [0.5, 1, 2.0]
    [refinement.dense]
    comparison = {points = 5000}
    features = {noise = 20.0}
"""


def test_a_text_overrides_what_it_names_and_nothing_else():
    changed = override(INHALE_EXHALE, TODAY)
    alone = INHALE_EXHALE.with_regulariser("none")
    wide, coarse, middle, *rest = alone.levels
    anatomy = INHALE_EXHALE.anatomy
    find, window = LungFinder(closing_mm=6.0), FixedWindow(low=-950.0, high=100.0)
    coarse = replace(coarse, matcher=DisplacementSearch(radius_mm=30.0, step_mm=3.0, symmetric=True))
    (tuned,) = (one for one in changed.levels[2].alternatives if isinstance(one, MeanField))
    assert tuned.couplings == (0.5, 1.0, 2.0) and changed.levels[2].regulariser == Independent()
    assert changed.anatomy == replace(anatomy, find=find, window=window)
    assert changed.levels == (wide, coarse, replace(middle, alternatives=changed.levels[2].alternatives), *rest)
    comparison, features = Comparison(points=5000), NormalisedIntensities(noise=20.0)
    assert changed.refinement == (DenseRefinement(comparison=comparison, features=features),)
    assert changed.field_spacing_mm == 3.5 and changed != INHALE_EXHALE


@pytest.mark.parametrize(
    ("former", "today", "names"),
    [
        (FORMER, TODAY, "window_hu, mask, costs, features, normalisation"),
        ("refinement.dense.metric = 'mind'", "refinement.dense.features = 'mind-ssc'", "metric"),
        ("refinement.dense.objective = 'features'", "", "objective"),
        (  # what the metric does not look at
            "refinement.dense = {metric = 'mind', normalisation = {noise_hu = 2.0}, descriptors = {radius_mm = 2.0}}",
            "refinement.dense.features = {kind = 'mind-ssc', radius_mm = 2.0}",
            "normalisation, descriptors, metric",
        ),
        ("refinement.dense.descriptors = {radius_mm = 2.0}", "", "descriptors"),
        (
            "levels.wide.keypoints = {uniform = true, count = 70, sigma_mm = 1.0}",
            "levels.wide.sampler = {kind = 'uniform', count = 70}",
            "keypoints, uniform",
        ),
        ("levels.wide.sampler.uniform = true", "levels.wide.sampler = {kind = 'uniform', count = 1024}", "uniform"),
        ("levels.wide.sampler.uniform = false", "", "uniform"),
    ],
)
def test_names_of_version_0_5_mean_the_same_and_one_warning_tells_all_of_them(former, today, names):
    with pytest.warns(DeprecationWarning, match=f"other names now.*: {names}$") as told:
        assert override(INHALE_EXHALE, former) == override(INHALE_EXHALE, today)
    assert len(told) == 1


def test_a_way_to_fill_a_role_is_named_or_a_table_with_its_kind():
    toml = """
    anatomy = "whole"
    prealignment = ["centres", {kind = "affine", rounds = 2}]
    refinement = ["keypoints", {kind = "dense", features = "mind-ssc", name = "last"}]
    [levels.wide]
    sampler = {kind = "lattice", spacing_mm = 12}
    features = "gradients"
    moving_features = {kind = "intensities", contrast = 50.0}
    graph = "six-neighbours"
    interpolator = {kind = "b-spline", control_mm = 9.0}
    regulariser = {kind = "belief-propagation", slack_mm = 3.0}
    """
    changed = override(INHALE_EXHALE, toml)
    level = changed.levels[0]
    assert isinstance(changed.anatomy, Whole)
    centres, affine = changed.prealignment
    assert centres == Centres() and isinstance(affine, BlockMatching) and affine.rounds == 2
    assert [each.name for each in changed.refinement] == ["keypoints", "last"]
    assert level.sampler == Lattice(spacing_mm=12.0) and level.graph == SixNeighbours()
    assert (level.features, level.moving_features) == (Gradients(), Intensities(contrast=50.0))
    assert level.interpolator == BSpline(control_mm=9.0)
    assert level.regulariser == BeliefPropagation(slack_mm=3.0)
    assert changed.levels[1:] == INHALE_EXHALE.levels[1:]


def test_records_tell_apart_what_does_otherwise_and_name_what_is_ones_own():
    @dataclass(frozen=True)
    class Own:
        weight: float = 2.0

        def __call__(self, costs, graph):
            return costs

    def with_level(**changes: Any) -> Any:
        return as_record(replace(INHALE_EXHALE, levels=(replace(INHALE_EXHALE.levels[0], **changes),)))["levels"][0]

    plain = with_level()
    assert plain["sampler"]["kind"] == "foerstner" and plain["name"] == "wide" and "alternatives" not in plain
    assert with_level(alternatives=()) == plain  # what does not work makes no difference
    assert with_level(sampler=Uniform(count=1024)) != plain
    own = with_level(regulariser=Own())["regulariser"]
    assert own["kind"].endswith("Own") and own["weight"] == 2.0 != with_level(regulariser=Own(3.0))["regulariser"]
    json.dumps(as_record(INHALE_EXHALE), allow_nan=False)


WINDOW = {"low": -900.0, "high": 150.0}
POINTS = ((0.0, 1.0, 2.0), (3.0, 4.0, 5.0))


@pytest.mark.parametrize(
    ("role", "way"),
    [
        *(("anatomy", anatomy()) for anatomy in ANATOMIES.values()),
        ("anatomy", LungCT(outside=None, find=LungFinder(closing_mm=6.0), window=FixedWindow(**WINDOW))),
        ("anatomy", Body(find=Everything(), window=FixedWindow(**WINDOW), picture_window=PercentileWindow(high=90.0))),
        ("prealignment", LandmarkAlignment(fixed_mm=POINTS, moving_mm=POINTS, motion="translation")),
        ("prealignment", replace(ROLES["prealignment"]["affine"](), motion="rigid", sampler=Uniform(count=70))),
        *((role, way()) for role in ("refinement", "features", "sampler") for way in ROLES[role].values()),
    ],
)
def test_what_fills_a_role_comes_back_from_its_record(role, way):
    record = as_record(way)
    assert record["kind"] in ROLES[role]
    assert filled(role, json.loads(json.dumps(record))) == way


def test_records_of_an_anatomy_tell_its_windows_and_its_finder_apart():
    everything, body = as_record(Body(find=Everything())), as_record(Body())
    assert (everything["find"], body["find"]) == ({"kind": "everything"}, {"kind": "body"})
    fixed, percentiles = (kind(low=1.0, high=99.0) for kind in (FixedWindow, PercentileWindow))
    assert as_record(Body(window=fixed))["window"] == {"kind": "fixed", "low": 1.0, "high": 99.0}
    assert as_record(Body(window=percentiles))["window"]["kind"] == "percentiles"


def test_an_empty_text_changes_nothing_and_whole_numbers_become_floats():
    assert override(INHALE_EXHALE, "") == INHALE_EXHALE
    assert override(INHALE_EXHALE, "[levels.coarse]\n[anatomy]\n") == INHALE_EXHALE
    changed = override(INHALE_EXHALE, "field_spacing_mm = 3\nanatomy.window.low = -900")
    assert repr((changed.field_spacing_mm, changed.anatomy.window)) == "(3.0, FixedWindow(low=-900.0, high=200.0))"


def to_toml(config, path=""):
    """Every value of the settings, a table for each dataclass and for each entry of a list by its name."""
    lines, tables = [], []
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            tables += [f"[{path}{f.name}]", *to_toml(value, f"{path}{f.name}.")]
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            for entry in value if f.name != "alternatives" else ():
                place = f"{path}{f.name}.{entry_name(entry)}"
                tables += [f"[{place}]", *to_toml(entry, f"{place}.")]
        elif value is not None and f.name != "alternatives":
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


@pytest.mark.filterwarnings("ignore:settings have other names now")
@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("nonsense = 1", "unknown setting 'nonsense'; there are anatomy, prealignment, levels, refinement"),
        ("[anatomy.find]\nnonsense = 1", "unknown setting 'anatomy.find.nonsense'"),
        ("[levels.coarse.matcher]\nreach = 1", "unknown setting 'levels.coarse.matcher.reach'"),
        ("[levels.tiny]\nspacing_mm = 1.0", "levels are the tables wide, coarse, .*got tiny"),
        ("[levels]\ncoarse = 3", "levels are the tables wide, coarse, .*got coarse = 3"),
        ("levels = 3", "levels must hold tables of settings by name"),
        ("[[levels]]\nspacing_mm = 3.0", "levels must hold tables of settings by name"),
        ("anatomy = 1", "anatomy must be a name or a table, got 1"),
        ("regulariser = 1", "regulariser must be a name"),
        ("field_spacing_mm = 'wide'", "field_spacing_mm must be of type float, got 'wide'"),
        ("field_spacing_mm = true", "field_spacing_mm must be of type float, got True"),
        ("field_spacing_mm = [1.0, 2.0]", "field_spacing_mm must be of type float"),
        ("anatomy.window = 5", "anatomy.window must be a name or a table, got 5"),
        ("anatomy.find = 'body'", "anatomy.find must be one of lungs, got 'body'"),
        ("anatomy.outside = 'black'", "anatomy.outside must be of type float, got 'black'"),
        ("anatomy.outside = true", "anatomy.outside must be of type float, got True"),
        ("anatomy = {kind = 'body', outside = [1.0]}", r"anatomy.outside must be of type float, got \[1.0\]"),
        (
            "anatomy = {kind = 'body', window = {kind = 'fixed', low = 'a', high = 2}}",
            "window.low must be of type float",
        ),
        ("levels.coarse.alternatives = [1]", "levels.coarse.alternatives must be of type Regulariser, got 1"),
        ("prealignment.masks.scale = 0.5", "prealignment.masks.scale must be of type tuple, got 0.5"),
        (
            "prealignment = [{kind = 'landmarks', fixed_mm = 3, moving_mm = []}]",
            "fixed_mm must be of type tuple, got 3",
        ),
        ("prealignment = [{kind = 'affine', motion = 2}]", "motion must be of type str, got 2"),
        ("prealignment.masks.scale = [0.5]", "prealignment.masks.scale must hold 2 values"),
        ("anatomy.typical_mm = [1, 2]", "anatomy.typical_mm must hold 3 values"),
        ("prealignment.masks.scale = ['low', 'high']", "scale must be of type float, got 'low'"),
        ("[levels.coarse.sampler]\ncount = 500.0", "levels.coarse.sampler.count must be of type int"),
        ("[levels.coarse.matcher]\nsymmetric = 1", "levels.coarse.matcher.symmetric must be of type bool"),
        ("levels.coarse.sampler = 'grid'", "coarse.sampler must be one of foerstner, uniform, lattice, got 'grid'"),
        ("refinement = ['none']", r"refinement\[0\] must be one of keypoints, dense, got 'none'"),
        ("levels.coarse.sampler.kind = 'lattice'\nlevels.coarse.sampler.count = 3", "unknown setting .*sampler.count"),
        ("prealignment = ['landmarks']", "landmarks"),
        ("refinement.dense.objective = 'costs'", r"write refinement = \['keypoints'\], got 'costs'"),
        ("levels.wide.keypoints.uniform = 1", "levels.wide.keypoints.uniform must be of type bool, got 1"),
        ("refinement.dense.metric = ['ncc']", r"features must be one of .*, got \['ncc'\]"),
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
        ("anatomy.window = {low = 200, high = -1000}", "must rise"),
        ("[levels.coarse]\nspacing_mm = -1", "coarse.spacing_mm must be positive"),
        ("[levels.coarse]\nspacing_mm = inf", "coarse.spacing_mm must be finite"),
        ("[levels.coarse]\nname = 'middle'", "names of their own"),
        ("[levels.coarse.sampler]\ncount = 3", "sampler.count"),
        ("[levels.coarse.matcher]\nstep_mm = 0", "cost labels"),
        ("[levels.coarse.graph]\nneighbours = -1", "graph.neighbours"),
        ("[levels.coarse.mean_field]\ndata_weight = 0", "mean_field.data_weight"),
        ("[levels.coarse.mean_field]\ncouplings = []", "mean_field.couplings"),
        ("[levels.coarse.belief_propagation]\nslack_mm = 0", "belief_propagation.slack_mm"),
        ("[levels.coarse.none]\ndata_weight = 0", "none.data_weight"),
        ("[levels.coarse.interpolator]\nsmoothness_mm = -1", "spline"),
        ("[levels.coarse.features]\ndilation_mm = 0", "descriptor"),
        ("[anatomy.find]\nclosing_mm = 0", "Mask"),
        ("[prealignment.masks]\nsteps = -1", "Alignment"),
        ("this is no toml", "line 1"),
    ],
)
def test_what_is_out_of_range_is_refused_with_its_name(toml, message):
    with pytest.raises(ValueError, match=message):
        override(INHALE_EXHALE, toml)


BELIEFS = ("data_weight", "slack_mm", "temperature")
DESCENT = ("iterations", "rate_mm", "check_every")
PHANTOMS = [("fixed_spacing_mm", (0.0, 2.5)), ("lift_mm", (30.0, 90.0)), ("noise_hu", -1.0), ("landmarks", 0)]
NAN_TOO = (0, -1, float("nan"))
OUT_OF_RANGE: list[tuple[Any, dict[str, Any], str]] = [
    *((Descent, {name: v}, f"refinement {name} must be positive, got {v}") for v in NAN_TOO for name in DESCENT),
    *((BeliefPropagation, {name: v}, name) for v in NAN_TOO for name in ("data_weight", "slack_mm", "temperature")),
    *((KeypointRefinement, {"smoothness": v}, "smoothness of displacements must be at least 0") for v in NAN_TOO[1:]),
    *((ThinPlate, {name: -1.0}, "spline") for name in ("smoothness_mm", "lattice_mm")),
    (ThinPlate, {"smoothness_mm": float("nan")}, "spline"),
    *((DisplacementSearch, w, "cost") for w in ({"step_mm": 0.0}, {"radius_mm": 1.0, "step_mm": 2.0}, {"patch": -1})),
    *((MindSSC, wrong, "descriptor lengths") for wrong in ({"dilation_mm": 0.0}, {"radius_mm": -1.0})),
    *((NormalisedIntensities, {"window_mm": v}, "normalisation needs numbers above 0") for v in NAN_TOO),
    (NormalisedIntensities, {"noise": -1.0}, "normalisation needs numbers above 0"),
    *((Foerstner, {"sigma_mm": v}, "sigma_mm") for v in NAN_TOO),
    *((Foerstner, {name: v}, name) for name, v in (("count", 49), ("separation_mm", -1.0))),
    *((MeanField, {"couplings": v}, "couplings") for v in ((), (0.1, -0.1))),
    *((kind, {"data_weight": v}, "data_weight") for kind in (MeanField, Independent) for v in NAN_TOO),
    *((PhantomConfig, {name: v}, "Phantom") for name, v in PHANTOMS),
    *((FitConfig, {"rate": v}, "training.rate must be positive") for v in NAN_TOO),
    *((FitConfig, {name: v}, f"training.{name} must be positive") for name, v in (("steps", 0), ("patience", -1))),
    (LungFinder, {"closing_mm": 0.0}, "must be positive"),
    (LungFinder, {"gas_hu": -300.0}, "below air_hu"),
    (PercentileWindow, {"span": 0.0}, "the span of a window of percentiles must be positive, got 0.0"),
    (PercentileWindow, {"low": 99.9}, "percentiles must rise within 0 to 100, got 99.9 and 99.5"),
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
