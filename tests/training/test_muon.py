"""Muon steps as torch's own does on matrices, and as AdamW does on everything else."""

import torch
from visage.training.muon import MuonWithAdamW, orthogonalize


def gradients(parameter, count: int = 4):
    random = torch.Generator().manual_seed(1)
    return [torch.randn(parameter.shape, generator=random) for _ in range(count)]


def after_steps(optimizer, parameter) -> torch.Tensor:
    for gradient in gradients(parameter):
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach().clone()


def parameter(*shape: int) -> torch.nn.Parameter:
    random = torch.Generator().manual_seed(0)
    return torch.nn.Parameter(torch.randn(shape, generator=random))


def test_orthogonalized_singular_values_are_near_one():
    for shape in ((48, 96), (96, 48)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(2, *shape)))
        assert 0.6 < values.min() < values.max() < 1.3


def test_a_matrix_moves_as_with_the_optimizer_of_torch():
    ours, theirs = parameter(64, 40), parameter(64, 40)
    reference = torch.optim.Muon(
        [theirs], 0.02, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw"
    )
    moved = after_steps(MuonWithAdamW([ours], 0.02, weight_decay=0.1, momentum=0.9), ours)
    torch.testing.assert_close(moved, after_steps(reference, theirs), atol=1e-6, rtol=1e-5)
    assert not torch.equal(moved, parameter(64, 40))


def test_a_kernel_moves_as_the_matrix_of_its_filters():
    kernel = parameter(40, 8, 3, 3)
    matrix = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
    moved = after_steps(MuonWithAdamW([kernel], 0.02), kernel)
    expected = after_steps(MuonWithAdamW([matrix], 0.02), matrix)
    torch.testing.assert_close(moved.flatten(1), expected)


def test_matrices_of_one_shape_do_not_mix():
    together, alone = (parameter(40, 40), parameter(40, 40)), parameter(40, 40)
    optimizer, single = MuonWithAdamW(together, 0.02), MuonWithAdamW([alone], 0.02)
    for gradient in gradients(alone):
        together[0].grad, together[1].grad, alone.grad = gradient, -2 * gradient, gradient.clone()
        optimizer.step()
        single.step()
    torch.testing.assert_close(together[0], alone)
    assert not torch.allclose(together[1], alone)


def test_biases_and_thin_layers_move_as_with_adamw():
    for shape in ((64,), (4, 64, 3, 3)):
        ours, theirs = parameter(*shape), parameter(*shape)
        reference = torch.optim.AdamW([theirs], 0.02, betas=(0.9, 0.99), weight_decay=0.01)
        moved = after_steps(MuonWithAdamW([ours], 0.02), ours)
        torch.testing.assert_close(moved, after_steps(reference, theirs))


def test_a_loaded_state_goes_on_as_if_never_stopped():
    whole = parameter(40, 40), parameter(40)
    parts = parameter(40, 40), parameter(40)
    optimizer, first = MuonWithAdamW(whole, 0.01), MuonWithAdamW(parts, 0.01)
    second = MuonWithAdamW(parts, 0.5)

    def take_steps(optimizer, parameters, steps):
        for step in steps:
            for weight in parameters:
                weight.grad = gradients(weight)[step]
            optimizer.step()

    take_steps(optimizer, whole, (0, 1, 2, 3))
    take_steps(first, parts, (0, 1))
    second.load_state_dict(first.state_dict())
    take_steps(second, parts, (2, 3))
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one, other)


def test_a_parameter_without_gradient_stays():
    weight = parameter(40, 40)
    MuonWithAdamW([weight], 0.1).step()
    assert torch.equal(weight, parameter(40, 40))
