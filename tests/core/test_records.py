import pytest
import torch
from support.problems import MATRIX, OBLIQUE, OFFSET_MM, affine_field, noise, points_inside

from graphreg.core.grid import Grid
from graphreg.core.records import (
    CostVolume,
    DenseField,
    Displacements,
    FeatureVolume,
    ImagePair,
    KeypointGraph,
    Keypoints,
    Landmarks,
    Volume,
)

CUBE = Grid((2, 2, 2), (1.0, 1.0, 1.0))
IMAGE = Volume(CUBE, torch.zeros(2, 2, 2))
THREE = Keypoints(torch.tensor([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0], [0.0, 0.0, 2.0]]))
NAN = torch.full((2, 2, 2), torch.nan)


def test_the_values_within_a_mask_come_in_its_order(generator):
    volume, mask = noise(OBLIQUE, generator), torch.rand(OBLIQUE.shape, generator=generator) > 0.5
    mask[2] = False
    assert torch.equal(volume.within(mask), volume.data[mask])
    with pytest.raises(ValueError, match=r"\(6, 7, 9\).*\(6, 7, 8\)"):
        volume.within(mask[..., 1:])


def test_the_components_of_a_displacement_are_x_y_z_and_an_affine_motion_holds_between_the_voxels(generator):
    displacement_mm = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1).expand(3, 2, 2, 2)
    assert DenseField(CUBE, displacement_mm)(torch.tensor([[0.5, 0.25, 1.0]])).tolist() == [[1.5, 2.25, 4.0]]
    points_mm = points_inside(OBLIQUE, 100, generator)
    field = affine_field(OBLIQUE, MATRIX, OFFSET_MM)
    assert torch.allclose(field(points_mm), points_mm @ MATRIX.T + OFFSET_MM, atol=1e-9)


def test_a_field_keeps_shape_dtype_and_device_of_the_points(device, generator):
    points_mm = points_inside(OBLIQUE, 6, generator).reshape(2, 3, 3)
    field = DenseField(OBLIQUE, torch.zeros(3, *OBLIQUE.shape, device=device))
    moved = field(points_mm)
    assert torch.equal(moved, points_mm) and moved.dtype == points_mm.dtype


def test_offsets_follow_the_order_of_flattened_costs_and_edges_are_as_long_as_their_points_are_apart():
    labels = Grid((3, 3, 3), (2.0, 2.0, 2.0), (-2.0, -2.0, -2.0))
    costs = torch.zeros(1, 3, 3, 3)
    costs[0, 2, 1, 0] = -1  # z = 2, y = 0, x = -2 mm
    volume = CostVolume(Keypoints(torch.zeros(1, 3)), labels, costs)
    assert volume.offsets_mm.shape == (27, 3)
    assert volume.offsets_mm[costs.flatten(1).argmin()].tolist() == [-2, 0, 2]
    assert KeypointGraph(THREE, torch.tensor([[0, 2], [1, 0]])).lengths_mm.tolist() == [5, 2]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Volume(CUBE, torch.zeros(2, 2, 3)), "Volume data must be"),
        (lambda: Volume(CUBE, torch.zeros(2, 2, 2, dtype=torch.int16)), "floating point"),
        (lambda: Volume(CUBE, NAN), "finite"),
        (lambda: Volume(CUBE, torch.zeros(2, 2, 2), "short"), "stored type must be one of int8, uint8, .*, got short"),
        (lambda: ImagePair(IMAGE, IMAGE, fixed_mask=torch.ones(2, 2, 2)), "fixed mask must be boolean"),
        (lambda: ImagePair(IMAGE, IMAGE, moving_mask=torch.ones(1, 2, 2) > 0), "moving mask must be"),
        (lambda: ImagePair(IMAGE, IMAGE, moving_mask=torch.zeros(2, 2, 2) > 0), "empty mask"),
        (lambda: FeatureVolume(CUBE, torch.zeros(2, 2, 2)), "Features must be"),
        (lambda: FeatureVolume(CUBE, torch.zeros(4, 2, 2, 3)), "Features must be"),
        (lambda: Keypoints(torch.zeros(3)), "Keypoints must be"),
        (lambda: Keypoints(torch.zeros(3, 3, dtype=torch.int64)), "floating point"),
        (lambda: Keypoints(NAN[0, :, :1].expand(2, 3)), "finite"),
        (lambda: CostVolume(THREE, CUBE, torch.zeros(2, 2, 2, 2)), "Costs must be"),
        (lambda: KeypointGraph(THREE, torch.zeros(3, 2, dtype=torch.int64)), "Edges must be"),
        (lambda: KeypointGraph(THREE, torch.tensor([[0], [3]])), "Edges must join keypoints 0 to 2"),
        (lambda: Displacements(THREE, torch.zeros(2, 3), torch.ones(2)), "Displacements must be"),
        (lambda: Displacements(THREE, torch.zeros(3, 3), torch.ones(2)), "Confidence must be"),
        (lambda: DenseField(CUBE, torch.zeros(2, 2, 2, 3)), "displacement field must be"),
        (lambda: Landmarks(torch.zeros(2, 3), torch.zeros(1, 3)), "2 fixed and 1 moving"),
    ],
)
def test_a_record_refuses_what_does_not_fit(make, word):
    with pytest.raises(ValueError, match=word):
        make()
