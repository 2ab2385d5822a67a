"""Weights of the graph network: as files that are sound or refused, and what those that ship are worth."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.levels import COARSE, QUICK
from support.problems import bowl, costs_of, noisy_costs
from support.program import refused

from graphreg.config import override
from graphreg.core.grid import Grid
from graphreg.core.records import CostVolume, Displacements, KeypointGraph, Volume
from graphreg.io import write_volume
from graphreg.phantom import PhantomConfig, make_phantom
from graphreg.pipeline import find_regions, observe, prealign
from graphreg.presets import preset
from graphreg.regularisers import GraphRegNet, Independent
from graphreg.regularisers.networks import ARCHITECTURES, build, load, restore
from graphreg.regularisers.weights_file import NOTES, SHIPPED, Weights, WeightsError, fingerprint, locate, read_weights
from graphreg.runtime.monitor import Monitor
from graphreg.training.observing import left_over

CPU = torch.device("cpu")
SETTINGS: dict[str, dict[str, Any]] = {
    "unrolled": {"couplings": [0.01, 0.1], "features": 6},
    "published": {"coordinates": False},
}


def weights_of(architecture="unrolled", generator=None):
    """Weights of a small network, drawn by the generator."""
    state = build(architecture, SETTINGS[architecture]).state_dict()
    if generator:
        state = {name: 0.2 * torch.randn(t.shape, generator=generator) for name, t in state.items()}
    return Weights(architecture, SETTINGS[architecture], state, {"seed": 7, "scans": ["one", "two"]})


@pytest.fixture
def saved(tmp_path, generator):
    """A sound file."""
    weights_of(generator=generator).save(tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


# files


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_comes_back_from_its_file_as_it_was(architecture, tmp_path, generator):
    weights = weights_of(architecture, generator)
    weights.save(tmp_path / "own.safetensors")
    found = read_weights(tmp_path / "own.safetensors")
    assert (found.architecture, found.settings) == (architecture, SETTINGS[architecture])
    assert found.training == weights.training
    assert fingerprint(found.tensors) == fingerprint(weights.tensors)
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]
    costs, graph = noisy_costs(generator)
    inputs = (costs.costs.float(), costs.keypoints.points_mm.float(), graph.edge_index, 3.0)
    here, there = restore(weights)(*inputs), load(str(tmp_path / "own.safetensors"), CPU)(*inputs)
    assert torch.equal(here.vectors_mm, there.vectors_mm) and torch.equal(here.confidence, there.confidence)


def test_the_regulariser_says_what_the_network_of_its_weights_says(saved, generator):
    costs, graph = noisy_costs(generator)
    single = CostVolume(costs.keypoints, costs.labels, costs.costs.float())
    network = restore(read_weights(saved))
    seen = network(single.costs, costs.keypoints.points_mm.float(), graph.edge_index, costs.labels.spacing_mm[0])
    found = GraphRegNet(weights=str(saved))(single, graph)
    assert torch.equal(found.vectors_mm, seen.vectors_mm) and torch.equal(found.confidence, seen.confidence)
    assert not found.vectors_mm.requires_grad and found.keypoints is costs.keypoints


def test_the_hash_is_of_names_shapes_types_and_values():
    one = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    others = [
        {"a": torch.zeros(2, 3), "c": torch.ones(1)},
        {"a": torch.zeros(3, 2), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "b": torch.ones(1) + 1e-7},
    ]
    assert len({fingerprint(tensors) for tensors in (one, *others)}) == 5
    assert fingerprint(dict(reversed(one.items()))) == fingerprint(one)


def damaged(path):
    """A byte of the last tensor is another."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def foreign(path):
    save_file(load_file(path), path)


def newer(path):
    save_file(load_file(path), path, {"format": "graphreg-network-2"})


def text(path):
    path.write_text("no weights")


def missing(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


def described_otherwise(path, architecture="unrolled", **settings):
    own = read_weights(path)
    Weights(architecture, {**own.settings, **settings}, own.tensors, {}).save(path)


def no_settings(path):
    tensors = load_file(path)
    nothing = dict.fromkeys(NOTES, "")
    save_file(tensors, path, {"format": "graphreg-network-1", "sha256": fingerprint(tensors, nothing)})


def no_json(path, settings="{"):
    tensors = load_file(path)
    notes = {"architecture": '"unrolled"', "settings": settings, "training": "{}"}
    save_file(tensors, path, notes | {"format": "graphreg-network-1", "sha256": fingerprint(tensors, notes)})


def other_settings(path):
    with safe_open(path, framework="pt") as file:
        notes = file.metadata()
    save_file(load_file(path), path, notes | {"training": '{"seed": 8}'})


NOT_WEIGHTS: dict[str, tuple[Any, str]] = {
    "damaged": (damaged, "weights that match their hash needed"),
    "cut": (cut, "found a damaged file"),
    "foreign": (foreign, "format graphreg-network-1 needed, found weights of another program"),
    "newer": (newer, "format graphreg-network-1 needed, found graphreg-network-2"),
    "text": (text, "found a damaged file"),
    "missing": (missing, "found none"),
    "folder": (folder, "found none"),
    "no settings": (no_settings, "found damaged notes"),
    "no json": (no_json, "found damaged notes"),
    "other settings": (other_settings, "weights that match their hash needed"),
}
UNSOUND = NOT_WEIGHTS | {
    "too deep": (partial(no_json, settings="[" * 100_000), "found damaged notes"),
    "other shape": (partial(described_otherwise, features=8), "of shape .* needed, found"),
    "other sweeps": (partial(described_otherwise, couplings=[0.1]), "of shape None needed, found"),
    "many terabytes": (partial(described_otherwise, features=10**7), "of shape .* needed, found"),
    "no size": (partial(described_otherwise, features=-3), "architecture 'unrolled': .*negative"),
    "endless": (partial(described_otherwise, features=10**30), "architecture 'unrolled': "),
    "unknown setting": (partial(described_otherwise, depth=3), "architecture 'unrolled': .*depth"),
    "unknown architecture": (
        partial(described_otherwise, architecture="transformer"),
        "architecture must be one of unrolled, published, got 'transformer'",
    ),
}


@pytest.mark.parametrize("harm", UNSOUND)
def test_an_unsound_file_is_refused_by_name_when_it_is_read_and_if_it_is_none_when_the_settings_are_made(harm, saved):
    make, told = UNSOUND[harm]
    make(saved)
    with pytest.raises(WeightsError, match=f"own.safetensors: .*{told}") as caught:
        load(str(saved), CPU)
    assert isinstance(caught.value, ValueError)
    if harm in NOT_WEIGHTS:
        with pytest.raises(WeightsError, match="own.safetensors: "):
            GraphRegNet(weights=str(saved))


@pytest.mark.parametrize("name", ["finer", "", "weights.pt"])
def test_weights_are_a_shipped_name_or_a_safetensors_file(name):
    with pytest.raises(WeightsError, match=f"one of coarse, fine, published, or a path of .* file, got '{name}'"):
        GraphRegNet(weights=name)


def test_a_shipped_name_is_found_beside_the_code_and_a_path_where_it_says():
    assert locate("coarse").parts[-3:] == ("regularisers", "weights", "coarse.safetensors")
    assert str(locate("here/own.safetensors")) == "here/own.safetensors"


def test_settings_may_name_weights_by_their_file(saved):
    toml = f"[levels.coarse]\ngraphregnet = {{weights = {json.dumps(str(saved))}}}"
    chosen = override(preset("fast"), toml)
    assert chosen.with_regulariser("graphregnet").levels[1].regulariser == GraphRegNet(weights=str(saved))


@pytest.mark.parametrize("harm", [None, text, missing])
def test_weights_that_cannot_be_used_end_the_program_with_one_line(harm, saved, here, capsys):
    name = "own.safetensors" if harm else "finer"
    if harm:
        harm(saved)
    (here / "own.toml").write_text(f'regulariser = "graphregnet"\n[levels.coarse]\ngraphregnet.weights = "{name}"')
    write_volume(Volume(Grid((4, 5, 6), (1.0, 1.0, 1.0)), torch.rand(4, 5, 6)), here / "a.nii.gz")
    command = ["register", "a.nii.gz", "a.nii.gz", "--config", "own.toml", "-o", "out"]
    assert name in refused(here, command, "graphreg: own.toml: ", capsys)


# the weights that ship


def test_what_ships_is_small_and_sound_and_says_how_it_was_trained():
    assert sum(path.stat().st_size for path in SHIPPED.values()) < 400e3
    for name in SHIPPED:
        network = load(name, CPU)
        assert not network.training and all(bool(p.isfinite().all()) for p in network.parameters())
    for path in SHIPPED.values():
        assert {"seed", "steps"} <= read_weights(path).training.keys()


def scene_of(generator, step_mm, radius_mm, count=200):
    """Points as far apart as keypoints are, and a smooth motion of them in mm: affine, within the labels."""
    points_mm = 2 * step_mm * count ** (1 / 3) * (torch.rand(count, 3, generator=generator) - 0.5)
    bend = 0.03 * torch.randn(3, 3, generator=generator)
    return points_mm, points_mm @ bend + step_mm * torch.tensor([1.3, -0.6, 0.4])


@pytest.mark.parametrize(("step_mm", "radius_mm"), [(3.0, 18.0), (6.0, 48.0)])
def test_clean_minima_are_followed_and_a_keypoint_misled_among_coherent_neighbours_is_corrected(
    step_mm, radius_mm, generator
):
    points_mm, truth_mm = scene_of(generator, step_mm, radius_mm)
    costs = bowl(truth_mm, radius_mm, step_mm, depth=0.03).clamp_max(0.2) + 0.03
    found = GraphRegNet(weights="coarse")(*costs_of(costs, points_mm, 12, radius_mm, step_mm))
    assert truth_mm.abs().max() < radius_mm
    assert (found.vectors_mm - truth_mm).abs().max() < step_mm / 2
    points_mm, truth_mm = scene_of(generator, step_mm, radius_mm)
    misled = int(points_mm.norm(dim=1).argmin())  # in their middle
    costs = bowl(truth_mm, radius_mm, step_mm, depth=0.03).clamp_max(0.2) + 0.03
    wrong_mm = truth_mm + step_mm * torch.tensor([-3.0, 2.0, 0.0])
    costs[misled] = torch.minimum(costs[misled], bowl(wrong_mm, radius_mm, step_mm, depth=0.03)[misled] + 0.02)
    problem = costs_of(costs, points_mm, 12, radius_mm, step_mm)
    alone, together = (r(*problem).vectors_mm[misled] for r in (Independent(), GraphRegNet(weights="coarse")))
    assert (alone - truth_mm[misled]).norm() > 2 * step_mm
    assert (together - truth_mm[misled]).norm() < (alone - truth_mm[misled]).norm() / 3


LEVEL = replace(COARSE, alternatives=(GraphRegNet(weights="coarse"),))


@pytest.fixture(scope="module")
def phantom_costs() -> tuple[CostVolume, KeypointGraph, torch.Tensor]:
    """What one level sees of a phantom, and the motion of its keypoints that is left after the pre-alignment."""
    phantom = make_phantom(3, PhantomConfig(fixed_spacing_mm=(2.5, 3.0), moving_spacing_mm=(2.6, 2.8), landmarks=100))
    config, monitor = replace(QUICK, levels=(LEVEL,)), Monitor(9, CPU)
    pair = prealign(find_regions(phantom.pair, config.anatomy, monitor), config, monitor)
    costs, graph = observe(pair.start, LEVEL, pair, monitor)
    points_mm = costs.keypoints.points_mm
    return costs, graph, left_over(pair.start, phantom.motion(points_mm), points_mm)


def errors_mm(found: Displacements, truth_mm):
    return (found.vectors_mm - truth_mm).norm(dim=1)


def test_the_motion_of_a_phantom_is_found_far_better_than_by_keypoints_alone_and_the_network_knows_where(phantom_costs):
    costs, graph, truth_mm = phantom_costs
    alone, together = (
        errors_mm(LEVEL.with_regulariser(name).regulariser(costs, graph), truth_mm) for name in ("none", "graphregnet")
    )
    assert together.mean() < 0.5 * alone.mean()
    assert together.mean() < 2.0 and together.quantile(0.9) < 4.0
    costs, graph, truth_mm = phantom_costs
    found = GraphRegNet(weights="coarse")(costs, graph)
    errors, order = errors_mm(found, truth_mm), found.confidence.argsort()
    quarter = len(order) // 4
    assert errors[order[-quarter:]].mean() < errors[order[:quarter]].mean()
