import pytest
import torch

from graphreg.refinement.descent import Descent, minimise

GOAL = torch.tensor([0.7, -0.4, 0.2], dtype=torch.float64)
START = torch.zeros(3, dtype=torch.float64)


def quadratic(parameters, generator=None):
    """Least at the goal, 0.5 there."""
    return (parameters - GOAL).square().sum() + 0.5


def noisy(parameters, generator=None):
    """The quadratic where it is judged; in a step, one about a goal that is off by chance."""
    if generator is None:
        return quadratic(parameters)
    return (parameters - GOAL - torch.randn(3, generator=generator).double()).square().sum()


def test_descent_finds_the_least_of_a_quadratic_also_inside_no_grad_and_leaves_the_start():
    start, config = START.clone(), Descent(iterations=400, rate_mm=0.05)
    with torch.no_grad():
        within = minimise(quadratic, start, config)
    found = minimise(quadratic, start, config)
    assert torch.equal(found.parameters, within.parameters) and torch.equal(start, START)
    assert not found.parameters.requires_grad
    assert torch.allclose(found.parameters, GOAL, atol=1e-3)
    assert found.trace[-1] == pytest.approx(0.5, abs=1e-5)


def test_the_first_step_of_adam_is_as_long_as_the_rate_and_points_downhill():
    # the mean of the first gradient over its root mean square is its sign
    found = minimise(quadratic, START, Descent(iterations=1, rate_mm=0.1))
    assert torch.allclose(found.parameters, torch.tensor([0.1, -0.1, 0.1]).double(), atol=1e-6)
    assert found.trace == pytest.approx((1.19, 0.6**2 + 0.3**2 + 0.1**2 + 0.5), abs=1e-6)


@pytest.mark.parametrize("rate_mm", [0.01, 0.3, 5.0, 1e3])
@pytest.mark.parametrize("objective", [quadratic, noisy])
def test_a_descent_never_ends_above_its_start_and_returns_the_best_that_it_judged(objective, rate_mm):
    found = minimise(objective, START, Descent(iterations=25, rate_mm=rate_mm, check_every=3))
    assert found.trace[0] == objective(START).item()
    assert objective(found.parameters).item() == min(found.trace) <= found.trace[0]


def test_where_every_step_makes_it_worse_the_start_is_returned():
    found = minimise(quadratic, START, Descent(iterations=20, rate_mm=1e3))
    assert torch.equal(found.parameters, START)
    assert min(found.trace[1:]) > 1e3


def test_where_the_objective_is_lost_the_best_before_that_is_returned():
    def edge(parameters, generator=None):
        return torch.where(parameters > 0.25, torch.nan, -parameters).sum()

    found = minimise(edge, torch.zeros(1), Descent(iterations=10, rate_mm=0.1, check_every=1))
    assert found.parameters.item() == pytest.approx(0.1 + 0.09, abs=1e-5)  # the rate falls by a tenth in each of ten


def test_the_last_iteration_is_judged_whenever_it_comes():
    # after 4, 8 and 10 of 10; after 3 of 3
    assert len(minimise(quadratic, START, Descent(iterations=10, check_every=4)).trace) == 1 + 3
    assert len(minimise(quadratic, START, Descent(iterations=3, check_every=10)).trace) == 1 + 1


def test_one_seed_gives_the_same_bits_and_another_one_others():
    config = Descent(iterations=8, rate_mm=0.05)
    one, again, other = (minimise(noisy, START, config, seed) for seed in (3, 3, 4))
    assert torch.equal(one.parameters, again.parameters) and one.trace == again.trace
    assert not torch.equal(one.parameters, other.parameters)
