"""What the network learns from and how: symmetries, oracles, breaths that are exact, runs that go on as if whole."""

import math
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from support.levels import COARSE, FINE, QUICK
from support.problems import MATRIX, OFFSET_MM, affine_field, bowl, costs_of, present, smooth_noise
from torch import Tensor

from graphreg.core.cubes import costs_at, label_grid
from graphreg.core.errors import InputError
from graphreg.core.fields import compose
from graphreg.core.grid import Grid, mask_points_mm, sample
from graphreg.core.records import CostVolume, DenseField, Displacements, Keypoints, Landmarks, Volume
from graphreg.interpolation import BSpline
from graphreg.interpolation.thin_plate import ThinPlate
from graphreg.phantom import known_pairs
from graphreg.phantom.breaths import JACOBIAN, draw_breath, exact_inverse
from graphreg.phantom.known_pairs import Chest, breathing_pair
from graphreg.regularisers.prediction import Prediction
from graphreg.regularisers.weights_file import fingerprint
from graphreg.training.excerpts import Excerpt, excerpt, shifted, stirred, turned
from graphreg.training.fitting import Fit, split
from graphreg.training.losses import distance, objective, spline_at
from graphreg.training.observing import left_over
from graphreg.training.run import Training
from graphreg.training.samples import Sample
from graphreg.training.settings import FitConfig
from graphreg.training.sources import Sources

STEP_MM = 3.0
CPU = torch.device("cpu")


# excerpts


def part_of(vectors, side=7):
    """An excerpt whose keypoints have their least cost at vectors (N, 3) in label steps; so have the points judged."""
    vectors = torch.as_tensor(vectors, dtype=torch.float64)
    costs = bowl(vectors * STEP_MM, side // 2 * STEP_MM, STEP_MM)
    points_mm = 10 * torch.arange(3.0 * len(vectors)).double().reshape(-1, 3)
    edges = torch.tensor([[0], [0]])
    return Excerpt(costs, points_mm, edges, STEP_MM, points_mm + 1, vectors * STEP_MM, costs)


def least_mm(costs):
    """Displacement (N, 3) of the label of least cost."""
    offsets_mm = label_grid(costs.shape[1] // 2 * STEP_MM, STEP_MM).points_mm(costs).reshape(-1, 3)
    return offsets_mm[costs.flatten(1).argmin(1)]


def test_an_excerpt_is_turned_and_then_mirrored_by_hand():
    # by hand: new x is old z, new y is old x, new z is old y mirrored: (1, -2, 3) becomes (3, 1, 2), which is the
    # label (z, y, x) = (5, 4, 6) of seven per axis
    there = turned(part_of([[1.0, -2.0, 3.0]]), [2, 0, 1], [False, False, True])
    assert list(np.unravel_index(int(there.costs.argmin()), (7, 7, 7))) == [5, 4, 6]
    assert present(there.target_mm).tolist() == [[9, 3, 6]]
    assert there.points_mm.tolist() == [[20, 0, -10]] and there.query_mm.tolist() == [[21, 1, -11]]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("mirrored", list(product((False, True), repeat=3)))
def test_labels_turn_with_vectors_and_points(order, mirrored, generator):
    vectors = torch.randint(-3, 4, (20, 3), generator=generator)
    here = part_of(vectors)
    there = turned(here, list(order), list(mirrored))
    assert torch.equal(least_mm(there.costs), present(there.target_mm))
    assert torch.equal(present(there.query_costs), there.costs)
    assert torch.equal(torch.cdist(there.points_mm, there.query_mm), torch.cdist(here.points_mm, here.query_mm))
    # the matrix that turns the vectors turns the points
    sign = torch.tensor([-1.0 if m else 1.0 for m in mirrored]).double()
    matrix = torch.eye(3, dtype=torch.float64)[list(order)] * sign[:, None]
    assert torch.equal(present(there.target_mm), present(here.target_mm) @ matrix.T)
    assert torch.equal(there.points_mm, here.points_mm @ matrix.T)


def sample_of(generator, count=60, known=True, level="coarse", scale=1.0):
    """Costs of a smooth motion, some of them misleading, and points to judge it at; float32."""
    points_mm = 15 * torch.randn(count, 3, generator=generator, dtype=torch.float64)
    query_mm = torch.cat((points_mm, 12 * torch.randn(count, 3, generator=generator, dtype=torch.float64)))
    bend, shift = (torch.randn(s, 3, generator=generator, dtype=torch.float64) for s in (3, 1))
    truth_mm, target_mm = (p @ (0.05 * bend) + 2 * shift for p in (points_mm, query_mm))
    noise = 0.08 * torch.rand(count, 9, 9, 9, generator=generator, dtype=torch.float64)
    costs = scale * (bowl(truth_mm, depth=0.02).clamp_max(0.2) + noise)
    cubes, _ = costs_of(costs.float(), points_mm)
    target = target_mm.float() if known else None
    query_costs = None if known else bowl(target_mm, depth=0.02).clamp_max(0.2).float()
    return Sample(level, cubes, query_mm, target, query_costs)


def test_an_excerpt_holds_keypoints_that_lie_together_and_judges_among_them(generator):
    whole = sample_of(generator, 200)
    for _ in range(10):
        part = excerpt(whole, 30, generator)
        assert len(part.costs) == len(part.points_mm) == 30 and len(part.query_mm) == len(present(part.target_mm)) > 0
        assert part.edge_index.max() < 30 and part.step_mm == STEP_MM
        reach = torch.cdist(part.points_mm, part.points_mm).amax(1).amin()
        assert torch.cdist(part.query_mm, part.points_mm).amax(1).amin() <= 2 * reach
        # the costs are those of their points, up to contrast and the turn: the motion is that of the targets
        near = torch.cdist(part.query_mm, part.points_mm).amin(1) < 1e-4
        assert near.any()


def test_excerpts_of_all_keypoints_judge_all_points_and_the_same_seed_draws_the_same(generator):
    whole = sample_of(generator, 60)
    one, other = (excerpt(whole, 600, torch.Generator().manual_seed(3)) for _ in range(2))
    assert len(one.query_mm) == len(whole.query_mm) and len(one.costs) >= 30
    assert [
        torch.equal(a, b) for a, b in zip(one, other, strict=True) if isinstance(a, Tensor) and isinstance(b, Tensor)
    ] == [True] * 5


# losses


@pytest.mark.parametrize("smoothness_mm", [0.3, 20.0])
def test_the_spline_of_the_loss_is_that_of_the_registration(smoothness_mm, generator):
    points_mm, query_mm, vectors_mm = (20 * torch.randn(40, 3, generator=generator).double() for _ in range(3))
    sure = 0.05 + 0.95 * torch.rand(40, generator=generator, dtype=torch.float64)
    spline = ThinPlate(smoothness_mm=smoothness_mm).fit(Displacements(Keypoints(points_mm), vectors_mm, sure))
    found = spline_at(query_mm, points_mm, Prediction(vectors_mm, sure), smoothness_mm)
    assert (found - spline(query_mm)).abs().max() < 1e-6
    alike = spline_at(query_mm, points_mm, Prediction(vectors_mm, torch.full_like(sure, 0.5)), smoothness_mm)
    assert (found - alike).abs().max() > 0.1  # the confidence matters


def test_costs_are_read_linearly_in_x_y_z(generator):
    slope = torch.tensor([3.0, -5.0, 7.0]).double()  # per step of x, y, z
    steps = label_grid(4.0, 1.0).points_mm(slope)
    where = 8 * torch.rand(50, 3, generator=generator, dtype=torch.float64) - 4
    assert torch.allclose(
        costs_at((steps @ slope + 2).expand(50, -1, -1, -1), where[:, None])[:, 0], where @ slope + 2, atol=1e-12
    )


def test_distance_is_the_mean_error_raised_by_its_square():
    # by hand, errors of 0, 3 and 12 mm, steps of 2 mm: mean of 0.1, 3.00167 and 12.00042 is 5.03403; squares of at
    # most 25: mean of 0, 9 and 25 is 11.3333, over 2 mm and taken as it is 5.6667
    motion_mm = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0], [0.0, 12.0, 0.0]])
    assert distance(motion_mm, torch.zeros(3, 3), 2.0).item() == pytest.approx(5.03403 + 5.66667, abs=1e-4)


def test_the_metric_loss_falls_as_the_prediction_moves_to_the_true_minimum(generator):
    points_mm = 15 * torch.randn(40, 3, generator=generator)
    truth_mm = points_mm @ (0.05 * torch.randn(3, 3, generator=generator)) + torch.tensor([2.0, -1.0, 0.5])
    part = Excerpt(bowl(truth_mm), points_mm, torch.zeros(2, 0).long(), STEP_MM, points_mm, None, bowl(truth_mm))
    losses = []
    for share in (0.0, 0.5, 0.9, 1.0):
        vectors_mm = (share * truth_mm).requires_grad_()
        beliefs = torch.softmax(-50 * bowl(vectors_mm).flatten(1), 1).reshape(part.costs.shape)
        sure = torch.full((40,), 0.8, requires_grad=True)
        loss = objective(Prediction(vectors_mm, sure, beliefs), part, 1.0)
        downhill, surer = torch.autograd.grad(loss, (vectors_mm, sure))
        assert downhill.isfinite().all() and surer.isfinite().all()
        if share < 1:
            assert (downhill * (truth_mm - vectors_mm.detach())).sum() < 0  # the way down leads there
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("stride", [1, 2])
def test_the_expected_cost_of_beliefs_is_part_of_the_metric_loss(stride, generator):
    costs = torch.rand(5, 9, 9, 9, generator=generator)
    points_mm = 15 * torch.randn(5, 3, generator=generator)
    part = Excerpt(costs, points_mm, torch.zeros(2, 0).long(), STEP_MM, points_mm, None, costs)
    still, sure = torch.zeros(5, 3), torch.ones(5)
    side = 8 // stride + 1
    beliefs = torch.zeros(5, side, side, side)
    beliefs[:, 2, 1, 3] = 1  # by hand: the label (2, 1, 3) times the stride
    with_beliefs, without = (objective(Prediction(still, sure, b), part, 1.0) for b in (beliefs, None))
    expected = 20 * 0.5 * costs[:, 2 * stride, stride, 3 * stride].mean()
    assert (with_beliefs - without).item() == pytest.approx(expected.item(), rel=1e-4)
    assert without.item() == pytest.approx(20 * costs[:, 4, 4, 4].mean().item(), rel=1e-4)


# samples


@pytest.mark.parametrize("known", [True, False])
def test_samples_survive_their_files(known, tmp_path, generator):
    labels = label_grid(5.0, 1.25)
    whole = sample_of(generator, known=known, level="fine")
    costs = CostVolume(whole.costs.keypoints, labels, whole.costs.costs)
    whole = replace(whole, costs=costs)
    whole.save(tmp_path / "0000-fine.safetensors")
    found = Sample.load(tmp_path / "0000-fine.safetensors")
    assert found.level == "fine" and found.costs.labels == labels
    assert torch.equal(found.costs.keypoints.points_mm, whole.costs.keypoints.points_mm)
    assert torch.equal(found.query_mm, whole.query_mm)
    assert torch.equal(found.costs.costs, whole.costs.costs.half())
    if known:
        assert torch.equal(present(found.target_mm), present(whole.target_mm)) and found.query_costs is None
    else:
        assert torch.equal(present(found.query_costs), present(whole.query_costs).half()) and found.target_mm is None
    assert [path.name for path in tmp_path.iterdir()] == ["0000-fine.safetensors"]


def test_whole_pairs_are_held_out_of_few_the_last_and_one_is_too_few(tmp_path):
    names = [f"{n:04d}" for n in range(15)] + ["real_a-b"]
    files = [tmp_path / f"{name}-{level}.safetensors" for level in ("wide", "coarse") for name in names]
    learnt, held = split(files)
    assert sorted(learnt + held) == sorted(files)
    # by hand: the eighth and the sixteenth pair
    assert {file.stem for file in held} == {"0007-wide", "0007-coarse", "real_a-b-wide", "real_a-b-coarse"}
    files = [tmp_path / f"000{n}-{level}.safetensors" for n in range(3) for level in ("wide", "coarse")]
    assert split(files)[1] == [files[5], files[4]]
    with pytest.raises(ValueError, match="at least 2 pairs, one of them held out, got 1"):
        split(files[:2])


# what is left of a motion


def test_what_is_left_of_a_motion_takes_it_to_its_goal(generator):
    grid = Grid((33, 34, 35), (4.0, 4.0, 4.0), (-70.0, -65.0, -60.0))
    matrix = torch.tensor([[0.6, 0.1, 0.0], [-0.1, 1.3, 0.05], [0.0, 0.1, 0.9]]).double()
    turns = 2 * torch.sin(grid.points_mm(matrix) @ (0.05 * MATRIX)).movedim(-1, 0)
    motion = DenseField(grid, affine_field(grid, matrix, OFFSET_MM).displacement_mm + turns)
    inner = affine_field(grid, torch.eye(3).double() + 0.05 * MATRIX, torch.tensor([4.0, -3.0, 6.0]).double())
    points_mm = 60 * torch.rand(200, 3, generator=generator, dtype=torch.float64) - 30
    expected = inner(points_mm) - points_mm
    assert (left_over(motion, motion(inner(points_mm)), points_mm) - expected).norm(dim=1).max() < 0.01
    assert (left_over(motion, compose(motion, inner)(points_mm), points_mm) - expected).norm(dim=1).max() < 0.3
    assert expected.norm(dim=1).mean() > 5


# breaths


@pytest.fixture(scope="module")
def chest() -> Chest:
    """Two ellipsoids of lung with a smooth texture in a chest of water, slices 2.5 mm apart, turned by nothing."""
    grid = Grid((52, 44, 60), (2.4, 2.4, 2.5), (-70.0, -50.0, 300.0))
    x, y, z = (grid.points_mm(torch.zeros((), dtype=torch.float64)) - torch.tensor([0.8, 1.6, 363.75])).unbind(-1)
    lungs = ((x.abs() - 30) / 22) ** 2 + (y / 34) ** 2 + (z / 45) ** 2 < 1
    texture = smooth_noise(grid, torch.Generator().manual_seed(5), 1.8).data - 120
    return Chest(Volume(grid, torch.where(lungs, texture, 40.0).float()), lungs)


@pytest.fixture(scope="module")
def lungs_mm(chest):
    return mask_points_mm(chest.lungs, chest.scan.grid)


@pytest.fixture(scope="module")
def measured() -> tuple[Landmarks, ...]:
    """A breath of another, larger patient."""
    points_mm = torch.rand(200, 3, generator=torch.Generator().manual_seed(2)).double() * torch.tensor(
        [250, 180, 260.0]
    )
    lift = (1 - points_mm[:, 2:] / 260) * torch.tensor([[0.0, -5.0, 30.0]])
    return (Landmarks(points_mm, points_mm + lift),)


def determinant(motion, points_mm, step):
    """Jacobian determinants (N,) of a motion by central differences over a step in mm."""
    shifts = step / 2 * torch.eye(3, dtype=torch.float64)
    return torch.linalg.det(torch.stack([(motion(points_mm + s) - motion(points_mm - s)) / step for s in shifts], 2))


@pytest.mark.parametrize("seed", range(5))
def test_no_breath_folds_and_its_inverse_leads_back(seed, lungs_mm, measured):
    breath = draw_breath(np.random.default_rng(seed), lungs_mm, measured)
    spacing = breath.grid.spacing_mm[0]
    nodes = breath.grid.to_mm(breath.grid.to_index(lungs_mm).round().unique(dim=0))

    inside = determinant(breath, nodes, 2 * spacing)
    assert inside.min() > JACOBIAN[0] - 0.01 and inside.max() < JACOBIAN[1] + 0.01
    assert determinant(breath, lungs_mm, 1e-3).min() > 0  # between the nodes of its lattice too
    assert (breath(lungs_mm) - lungs_mm).norm(dim=1).mean() > 1
    breath = draw_breath(np.random.default_rng(seed), lungs_mm, measured)
    off_mm = (exact_inverse(breath)(breath(lungs_mm)) - lungs_mm).norm(dim=1)
    assert off_mm.quantile(0.99) < 0.02
    assert off_mm.max() < 0.2  # where tissue shrinks to a fifth


def test_every_number_is_another_breath_and_the_same_one_the_same(lungs_mm, measured):
    one, again, other = (draw_breath(np.random.default_rng(seed), lungs_mm, measured)(lungs_mm) for seed in (1, 1, 2))
    assert torch.equal(one, again) and (one - other).norm(dim=1).mean() > 1


@pytest.mark.parametrize("seed", [0, 1, 3])  # both exhale to inhale and inhale to exhale
def test_a_breathing_chest_shows_the_same_tissue_and_keeps_its_mass(seed, chest, monkeypatch):
    monkeypatch.setattr(known_pairs, "NOISE_HU", (5.0, 10.0))
    known = breathing_pair(np.random.default_rng(seed), chest)
    fixed, moving = known.pair.fixed, known.pair.moving
    fixed_mask, moving_mask = present(known.pair.fixed_mask), present(known.pair.moving_mask)
    points_mm = mask_points_mm(fixed_mask, fixed.grid)[::11]
    there_mm = known.motion(points_mm)
    arrived = sample(moving_mask.float()[None], moving.grid, there_mm)[0]
    assert arrived.mean() > 0.95
    inner = (sample(fixed_mask.float()[None], fixed.grid, points_mm)[0] > 0.99) & (arrived > 0.99)
    points_mm, there_mm = points_mm[inner], there_mm[inner]
    density, seen, unmoved = (
        1000 + sample(image.data[None], image.grid, where_mm)[0]
        for image, where_mm in ((fixed, points_mm), (moving, there_mm), (moving, points_mm))
    )

    def likeness(other):
        return torch.corrcoef(torch.stack((density, other)))[0, 1]

    volume = determinant(known.motion, points_mm, 2.0)
    assert likeness(seen * volume) > 0.9
    assert likeness(seen) > likeness(unmoved) + 0.3
    masses = [
        ((v.data + 1000) * m).double().sum() * math.prod(v.grid.spacing_mm)
        for v, m in ((fixed, fixed_mask), (moving, moving_mask))
    ]
    # within some voxels of the pleura, tissue is blurred into the lung
    assert ((seen * volume).sum() / density.sum()).item() == pytest.approx(1, abs=0.06)
    assert (masses[0] / masses[1]).item() == pytest.approx(1, abs=0.08)


# fitting


def test_only_levels_that_are_trained_need_a_thin_plate(tmp_path):
    settings = replace(QUICK, levels=(replace(COARSE, interpolator=BSpline()), FINE))
    training = Training(out=tmp_path, levels=("fine",), sources=Sources(), settings=settings, fit=FitConfig())
    assert training.smoothness_mm == {"fine": 1.0}
    with pytest.raises(InputError, match="levels.coarse: a thin-plate interpolator needed"):
        _ = replace(training, levels=("coarse", "fine")).smoothness_mm


SMALL = {"couplings": [0.03, 0.1], "features": 6}
CONFIG = FitConfig(settings=SMALL, steps=40, rate=2e-2, warm_up=5, keypoints=50, check_every=20)
SMOOTHNESS_MM = {"coarse": 1.0, "wide": 5.0}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Samples of four pairs on two levels, whose costs say a fifth of what the network expects."""
    folder = tmp_path_factory.mktemp("samples")
    generator = torch.Generator().manual_seed(8)
    paths = [folder / f"000{n}-{level}.safetensors" for n in range(4) for level in SMOOTHNESS_MM]
    for path in paths:
        sample_of(generator, level=path.stem.partition("-")[2], scale=0.2).save(path)
    return paths


def trained(config, files, checkpoint, progress=None):
    run = Fit(config, SMOOTHNESS_MM, CPU)
    run.run(files, checkpoint, progress)
    return run


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """A run without interruption."""
    return trained(CONFIG, files, tmp_path_factory.mktemp("whole") / "checkpoint.pt")


def test_the_loss_of_pairs_held_out_falls(files, whole):
    start = Fit(CONFIG, SMOOTHNESS_MM, CPU)
    with torch.no_grad():
        start._check(split(files)[1], 0.0)
    assert [row[0] for row in whole.rows] == [20, 40]
    assert whole.rows[-1][2] < 0.8 * start.rows[0][2]
    assert whole.best_mm == min(row[2] for row in whole.rows)


def test_a_run_that_was_interrupted_goes_on_as_if_nothing_had_happened(files, whole, tmp_path):
    def interrupt(_, share):
        if share == 1:  # after the last step, before its checkpoint
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(CONFIG, files, tmp_path / "checkpoint.pt", interrupt)
    resumed = trained(CONFIG, files, tmp_path / "checkpoint.pt")
    assert fingerprint(resumed.network.state_dict()) == fingerprint(whole.network.state_dict())
    assert fingerprint(resumed.weights({}).tensors) == fingerprint(whole.weights({}).tensors)
    assert resumed.rows == whole.rows and resumed.step == 40
    table = (tmp_path / "checkpoint.csv").read_text(encoding="utf-8").splitlines()
    assert table[0] == "step,training_mm,validation_mm,rate" and len(table) == 3


def test_a_run_that_is_done_does_nothing_more_and_a_checkpoint_of_another_network_is_refused(files, whole, tmp_path):
    whole.save(tmp_path / "checkpoint.pt")
    again = trained(CONFIG, [tmp_path / f"{n}-coarse.safetensors" for n in "ab"], tmp_path / "checkpoint.pt")
    assert again.step == 40 and fingerprint(again.best) == fingerprint(whole.best)
    whole.save(tmp_path / "checkpoint.pt")
    other = FitConfig(settings=SMALL | {"features": 5}, steps=40)
    with pytest.raises(ValueError, match="checkpoint.pt: a checkpoint of the same settings needed, found others: "):
        trained(other, files, tmp_path / "checkpoint.pt")


def test_training_starts_from_weights_where_they_are_given(whole):
    start = whole.weights({})
    run = Fit(FitConfig(), SMOOTHNESS_MM, CPU, start)
    assert fingerprint(run.network.state_dict()) == fingerprint(start.tensors)
    assert (run.origin.architecture, run.origin.settings) == ("unrolled", SMALL)


def test_a_network_learns_where_nothing_is_known_of_the_motion(tmp_path, generator):
    paths = [tmp_path / f"000{n}-coarse.safetensors" for n in range(3)]
    for path in paths:
        sample_of(generator, known=False, scale=0.2).save(path)
    config = FitConfig(settings=SMALL, steps=16, rate=2e-2, warm_up=2, keypoints=50, check_every=8)
    start = Fit(config, SMOOTHNESS_MM, CPU)
    with torch.no_grad():
        start._check(split(paths)[1], 0.0)
    done = trained(config, paths, tmp_path / "checkpoint.pt")
    assert done.best_mm < start.best_mm


def test_a_shift_by_whole_labels_moves_the_least_cost_along():
    costs = torch.ones(2, 7, 7, 7)
    costs[0, 3, 3, 3] = costs[1, 2, 4, 3] = 0.0  # displacements (0, 0, 0) and (0, 1, -1), in x, y, z
    moved = shifted(costs, torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 2.0]]))
    assert moved.flatten(1).argmin(1).tolist() == [3 * 49 + 3 * 7 + 4, 4 * 49 + 3 * 7 + 3]


def test_a_stirred_excerpt_tells_the_same_story():
    points_mm = 20 * torch.randn(40, 3, generator=torch.Generator().manual_seed(3))
    target_mm = 2 * torch.rand(40, 3, generator=torch.Generator().manual_seed(4)) - 1
    part = Excerpt(
        bowl(target_mm, 18.0), points_mm, torch.empty(2, 0, dtype=torch.int64), 3.0, points_mm, target_mm, None
    )
    stirred_part = stirred(part, torch.Generator().manual_seed(5))
    goal_mm = present(stirred_part.target_mm)
    assert (goal_mm - target_mm).norm(dim=1).max() > 1.0
    inside = goal_mm.abs().amax(1) < 12
    labels = label_grid(18.0, 3.0).points_mm(points_mm).reshape(-1, 3)
    least_mm = labels[stirred_part.costs.flatten(1).argmin(1)]
    assert (least_mm - goal_mm).abs()[inside].max() <= 1.5 + 0.2  # half a step, and rounding of a bowl
