import pytest
import torch
from visage.techniques.guided_filter import FLAT_VARIANCE, guided_filter
from visage.techniques.soft_mask import gaussian_blur

SIGMA = 3.0


@pytest.fixture
def planes():
    """Values [48, 64, 2], a guide [48, 64, 3] in L*a*b* and weights [48, 64]."""
    weights = torch.rand(48, 64)
    return torch.randn(48, 64, 2) * 10, torch.randn(48, 64, 3) * 20 + 50, weights


def regression(values, guide, weights, row, column):
    """Slopes [3, C], mean colour [3] and mean value [C] of one window, in double precision."""
    at = torch.zeros(1, *weights.shape)
    at[0, row, column] = 1
    window = (gaussian_blur(at, SIGMA)[0] * weights).double().flatten()
    window = window / window.sum()
    colours, values = guide.double().reshape(-1, 3), values.double().reshape(-1, values.shape[-1])
    colour, value = window @ colours, window @ values
    weighted = (colours - colour).mT * window
    covariance = weighted @ (colours - colour) + FLAT_VARIANCE * torch.eye(3)
    return torch.linalg.solve(covariance, weighted @ (values - value)), colour, value


def test_each_pixel_takes_the_mean_of_the_ridge_regressions_around_it(planes):
    values, guide, weights = planes
    row, column = 20, 30
    at = torch.zeros(1, 48, 64)
    at[0, row, column] = 1
    around = (gaussian_blur(at, SIGMA)[0] * weights).double()
    around = around / around.sum()
    fitted, mean = torch.zeros(2, dtype=torch.double), torch.zeros(2, dtype=torch.double)
    for y, x in around.nonzero().tolist():
        slopes, colour, value = regression(values, guide, weights, y, x)
        fitted += around[y, x] * (value + (guide[row, column].double() - colour) @ slopes)
        mean += around[y, x] * value
    result = guided_filter(values, guide, weights, SIGMA)
    torch.testing.assert_close(result[0][row, column].double(), fitted, rtol=0, atol=2e-3)
    torch.testing.assert_close(result[1][row, column].double(), mean, rtol=0, atol=2e-3)


def test_values_that_the_guide_explains_stay(planes):
    _, guide, weights = planes
    mixed = guide @ torch.tensor([[0.5, -1.0], [2.0, 0.3], [0.0, 1.0]]) + 7
    result, _ = guided_filter(mixed, guide, weights, SIGMA)
    assert (result - mixed).abs().mean() < 0.1 * (mixed - mixed.mean((0, 1))).abs().mean()


def test_a_flat_guide_leaves_the_means(planes):
    values, _, weights = planes
    result, mean = guided_filter(values, torch.full((48, 64, 3), 40.0), weights, SIGMA)
    torch.testing.assert_close(result, mean)


def test_what_has_no_weight_does_not_count(planes):
    values, guide, weights = planes
    weights[:, 40:] = 0
    other = values.clone()
    other[:, 40:] = 1e3
    one, two = (guided_filter(each, guide, weights, SIGMA)[0][:, :40] for each in (values, other))
    torch.testing.assert_close(one, two)


def test_a_colour_ends_at_the_edge_that_a_blurred_one_runs_over():
    guide = torch.zeros(64, 64, 3)
    guide[:, 32:, 0] = 60.0
    sharp = torch.zeros(64, 64, 1)
    sharp[:, 32:] = 30.0
    blurred = gaussian_blur(sharp.movedim(-1, 0), 3.0).movedim(0, -1)
    result, _ = guided_filter(blurred, guide, torch.ones(64, 64), 6.0)
    assert (blurred - sharp).abs().max() > 13
    assert (result - sharp)[:, 8:56].abs().max() < 5
