"""diffusers networks before training: residual branches at zero, attention without its kernel."""

from __future__ import annotations

import torch
from visage.engines.diffusers.initialise import use_plain_attention, zero_residual_branches
from visage.training.starter.networks import build_unet, build_vae


def zeroed(network) -> set[str]:
    return {name for name, layer in network.named_parameters() if not layer.any()}


def test_residual_branches_of_an_autoencoder_end_in_zero():
    vae = build_vae({"block_out_channels": [32] * 4, "layers_per_block": 1}, 64)
    zero_residual_branches(vae)
    weights = {name for name in zeroed(vae) if name.endswith("weight")}
    ends = {n for n, _ in vae.named_parameters() if n.endswith(("conv2.weight", "to_out.0.weight"))}
    assert weights == ends and len(ends) > 10


def test_residual_branches_of_a_unet_end_in_zero_and_attention_inside_them_does_not():
    unet = build_unet({"block_out_channels": [32] * 4, "heads": [1] * 4}, 16, 8)
    zero_residual_branches(unet)
    weights = {name for name in zeroed(unet) if name.endswith("weight")}
    ends = {
        n for n, _ in unet.named_parameters() if n.endswith(("conv2.weight", "proj_out.weight"))
    }
    assert weights == ends and any("proj_out" in name for name in ends)


def test_plain_attention_computes_the_same():
    unet = build_unet({"block_out_channels": [32] * 4, "heads": [1] * 4}, 16, 8).eval()
    torch.manual_seed(0)
    given = torch.randn(1, 9, 8, 8), torch.tensor([5]), torch.randn(1, 5, 16)
    with torch.no_grad():
        fused = unet(*given).sample
        use_plain_attention(unet)
        torch.testing.assert_close(unet(*given).sample, fused, atol=1e-5, rtol=1e-5)
    assert {type(one).__name__ for one in unet.attn_processors.values()} == {"AttnProcessor"}
