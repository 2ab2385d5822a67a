"""Records over all small arrays: one is made if and only if it fits what its fields say, and then never changes."""

import dataclasses

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from support.problems import GOOD, grids

from graphreg.core import records
from graphreg.core.figures import Quality
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
    Subject,
    Volume,
)

RECORDS = [kind for kind in vars(records).values() if dataclasses.is_dataclass(kind) and kind is not Grid]
CUBE = Grid((2, 3, 4), (1.0, 1.0, 1.0))
TYPES = st.sampled_from([torch.float64, torch.float32, torch.float16, torch.int64, torch.uint8, torch.bool])
SHAPES = st.lists(st.integers(0, 4), max_size=5).map(tuple)
LIKELY = st.sampled_from([(2, 3, 4), (3, 2, 3, 4), (1, 2, 3, 4), (2, 4, 3), (5, 3), (3, 3), (3,), (2, 5), (2, 0), ()])
ODD = st.sampled_from([0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), float("-inf"), 5.0])


@st.composite
def arrays(draw):
    """Zeros of any shape and type with one value of another kind at some place."""
    array = torch.zeros(draw(SHAPES | LIKELY), dtype=draw(TYPES))
    if array.numel() and array.is_floating_point():
        array.view(-1)[draw(st.integers(0, array.numel() - 1))] = draw(ODD)
    return array


def is_points(array):
    return array.ndim == 2 and array.shape[1] == 3 and array.is_floating_point() and bool(array.isfinite().all())


def keypoints(count):
    return Keypoints(torch.zeros(count, 3))


def made(make):
    """The record, or the one line of its refusal."""
    try:
        return make()
    except ValueError as error:
        line = str(error)
        assert ", got " in line and "\n" not in line and line[0].isupper() and len(line) < 200
        return line


def agrees(record, fits):
    assert isinstance(record, str) != fits


@given(arrays(), st.just(CUBE) | grids)
def test_a_volume_holds_finite_floating_point_numbers_in_the_shape_of_its_grid(array, grid):
    fits = tuple(array.shape) == grid.shape and array.is_floating_point() and bool(array.isfinite().all())
    agrees(made(lambda: Volume(grid, array)), fits)


@given(arrays(), arrays(), st.booleans())
@example(torch.ones(2, 3, 4, dtype=torch.bool), torch.ones(2, 3, 4, dtype=torch.bool), False)
@example(torch.zeros(2, 3, 4, dtype=torch.bool), torch.ones(2, 3, 4, dtype=torch.bool), False)
def test_masks_of_a_pair_and_of_a_subject_are_boolean_not_empty_and_each_on_its_own_image(one, other, absent):
    fixed, moving = Volume(CUBE, torch.zeros(2, 3, 4)), Volume(Grid((2, 4, 3), (1.0,) * 3), torch.zeros(2, 4, 3))
    other = None if absent else other.permute(0, 2, 1) if other.ndim == 3 else other

    def fits(mask, volume):
        return mask is None or (
            mask.dtype == torch.bool and tuple(mask.shape) == volume.grid.shape and bool(mask.any())
        )

    agrees(made(lambda: ImagePair(fixed, moving, one, other)), fits(one, fixed) and fits(other, moving))
    agrees(made(lambda: Subject(fixed, one)), fits(one, fixed))


@given(arrays())
@example(torch.zeros(7, 2, 3, 4))
def test_features_are_arrays_of_the_grid_for_each_channel(array):
    agrees(made(lambda: FeatureVolume(CUBE, array)), array.ndim == 4 and tuple(array.shape[1:]) == CUBE.shape)


@given(arrays())
def test_a_field_has_three_components_at_each_voxel(array):
    agrees(made(lambda: DenseField(CUBE, array)), tuple(array.shape) == (3, *CUBE.shape))


@given(arrays())
@example(torch.zeros(0, 3))
@example(torch.zeros(4, 3, dtype=torch.int64))
@example(torch.full((4, 3), torch.inf))
def test_keypoints_are_finite_floating_point_triples(array):
    record = made(lambda: Keypoints(array))
    agrees(record, is_points(array))
    assert isinstance(record, str) or len(record) == len(array)


@given(arrays(), arrays())
@example(torch.zeros(5, 3), torch.zeros(5, 3))
@example(torch.zeros(5, 3), torch.zeros(4, 3))
def test_landmarks_are_pairs_of_finite_triples(fixed, moving):
    agrees(made(lambda: Landmarks(fixed, moving)), is_points(fixed) and is_points(moving) and len(fixed) == len(moving))


@given(st.integers(1, 4), st.integers(1, 4), SHAPES | st.tuples(*[st.integers(1, 4)] * 4))
def test_costs_are_a_cube_of_labels_for_each_keypoint(count, side, shape):
    labels = Grid((side,) * 3, (1.0, 1.0, 1.0))
    agrees(made(lambda: CostVolume(keypoints(count), labels, torch.zeros(shape))), shape == (count, side, side, side))


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), max_size=5))
def test_edges_join_keypoints_that_there_are(count, pairs):
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    record = made(lambda: KeypointGraph(keypoints(count), edges))
    agrees(record, all(0 <= end < count for pair in pairs for end in pair))
    if not isinstance(record, str):
        assert record.lengths_mm.shape == (len(pairs),)
        assert record.typical_mm.shape == () and record.typical_mm > 0


@given(arrays())
@example(torch.zeros(2, 0, dtype=torch.int64))
def test_edges_are_two_rows(array):
    assume(not array.is_floating_point() and not array.any())
    agrees(made(lambda: KeypointGraph(keypoints(3), array)), array.ndim == 2 and array.shape[0] == 2)


@given(st.integers(1, 4), arrays(), st.lists(ODD | st.floats(0, 1, exclude_min=True), max_size=5))
@example(2, torch.zeros(2, 3), [1.0, 1e-30])
@example(2, torch.zeros(2, 3), [1.0, 0.0])
@example(2, torch.zeros(2, 3), [1.0, float("nan")])
@example(2, torch.zeros(2, 3), [1.0, 1.0000001])
def test_displacements_come_with_a_confidence_above_zero_and_up_to_one(count, vectors_mm, values):
    confidence = torch.tensor(values, dtype=torch.float64)
    fits = is_points(vectors_mm) and len(vectors_mm) == len(values) == count and all(0 < v <= 1 for v in values)
    agrees(made(lambda: Displacements(keypoints(count), vectors_mm, confidence)), fits)


WHOLE = {
    Volume: lambda: Volume(CUBE, torch.zeros(CUBE.shape)),
    Subject: lambda: Subject(Volume(CUBE, torch.zeros(CUBE.shape)), torch.ones(CUBE.shape) > 0),
    ImagePair: lambda: ImagePair(Volume(CUBE, torch.zeros(CUBE.shape)), Volume(CUBE, torch.ones(CUBE.shape))),
    FeatureVolume: lambda: FeatureVolume(CUBE, torch.zeros(5, *CUBE.shape)),
    Keypoints: lambda: keypoints(2),
    CostVolume: lambda: CostVolume(keypoints(2), Grid((3,) * 3, (1.0,) * 3), torch.zeros(2, 3, 3, 3)),
    KeypointGraph: lambda: KeypointGraph(keypoints(2), torch.tensor([[0], [1]])),
    Displacements: lambda: Displacements(keypoints(2), torch.zeros(2, 3), torch.ones(2)),
    DenseField: lambda: DenseField(CUBE, torch.zeros(3, *CUBE.shape)),
    Landmarks: lambda: Landmarks(torch.zeros(2, 3), torch.zeros(2, 3)),
    Quality: lambda: dataclasses.replace(GOOD),
}


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_no_field_of_a_record_can_be_set_or_deleted_or_added_and_a_record_equals_itself_alone_and_can_be_a_key(kind):
    record = WHOLE[kind]()
    for name in (*(f.name for f in dataclasses.fields(record)), "another"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(record, name)
    """Of arrays nobody knows whether they are equal: a comparison would be one array."""
    one, other = WHOLE[kind](), WHOLE[kind]()
    assert one == one and one != other and len({one, other}) == 2
