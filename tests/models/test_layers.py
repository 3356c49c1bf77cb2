"""Attention and blocks: what must hold whatever the weights."""

import pytest
import torch
from small import clips, close, small_model

from vivit_lab import ViViTConfig
from vivit_lab.models.layers import (
    Attention,
    FactorisedDotProductAttention,
    Mlp,
    dot_product_attention,
)

CONFIG = ViViTConfig(dim=48, heads=4, mlp_dim=96)


def test_fused_equals_explicit_for_any_leading_axes():
    for shape in ((4, 7, 12), (2, 4, 7, 12), (2, 3, 4, 1, 12), (2, 3, 5, 4, 7, 12)):
        q, k, v = torch.randn(3, *shape, dtype=torch.float64)
        fused, nothing = dot_product_attention(q, k, v)
        explicit, weights = dot_product_attention(q, k, v, fused=False)
        assert nothing is None
        close(fused, explicit, atol=1e-12)
        torch.testing.assert_close(weights.sum(-1), torch.ones(shape[:-1]).double())


def test_attention_over_two_axes_at_once_is_model_4():
    """Model 4's halves equal two plain attentions, one over time and one over space."""
    torch.manual_seed(0)
    attn = FactorisedDotProductAttention(CONFIG)
    plain = Attention(CONFIG)
    plain.load_state_dict(attn.state_dict())
    x = torch.randn(2, 3, 5, 48)
    plain.proj = torch.nn.Identity()
    time = plain(x.transpose(1, 2))[0].transpose(1, 2)
    space = plain(x)[0]
    halves = torch.cat([time[..., :24], space[..., 24:]], dim=-1)  # temporal heads first
    close(attn(x)[0], attn.proj(halves), atol=1e-6)


def test_q_k_and_v_are_drawn_as_three_square_matrices():
    weight = Attention(ViViTConfig(dim=384, heads=6)).qkv.weight
    for part in weight.chunk(3):
        assert part.std().item() == pytest.approx((1 / 384) ** 0.5, rel=0.02)


def test_gelu_is_the_one_asked_for():
    x = torch.linspace(-3, 3, 101, dtype=torch.float64)
    exact = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    tanh = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))
    assert (exact - tanh).abs().max() > 1e-4
    for gelu, right in (("tanh", tanh), ("exact", exact)):
        mlp = Mlp(ViViTConfig(dim=48, heads=4, mlp_dim=96, gelu=gelu))
        torch.testing.assert_close(mlp.act(x), right)


def test_layer_scale_multiplies_every_branch():
    scaled, plain = small_model("layer_scale"), small_model("layer_scale", layer_scale=None)
    weights = plain.state_dict()
    scaled.load_state_dict(weights, strict=False)
    x = torch.randn(2, 4, 12, 48)
    with torch.no_grad():
        for name, parameter in scaled.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(1)
        torch.testing.assert_close(scaled.blocks[0](x)[0], plain.blocks[0](x)[0])
        for name, parameter in scaled.named_parameters():
            if name.endswith("gamma"):
                parameter.zero_()
        assert torch.equal(scaled.blocks[0](x)[0], x)  # nothing but the residual is left


def test_dropout_acts_in_every_documented_place():
    model = small_model("joint", dropout=0.3)
    rates = {n: m.p for n, m in model.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert set(rates.values()) == {0.3}
    assert "pos_drop" in rates
    for place in ("drop1", "drop2", "proj_drop"):
        assert sum(name.endswith(place) for name in rates) == 3


def test_attention_dropout_acts_on_the_weights_in_training_only():
    attn = Attention(ViViTConfig(dim=48, heads=4, attention_dropout=0.5))
    x = torch.randn(1, 9, 48)
    for fused in (True, False):
        attn.train().fused = fused
        assert not torch.equal(attn(x)[0], attn(x)[0])
        attn.eval()
        assert torch.equal(attn(x)[0], attn(x)[0])


def test_the_last_block_computes_the_class_token_alone_and_exactly():
    x = torch.randn(2, 3, 13, 48, dtype=torch.float64)
    for variant in ("joint", "factorised_encoder"):
        model = small_model(variant).double()
        blocks = [*model.blocks, *getattr(model, "temporal_blocks", [])]
        last = [blocks[2], blocks[-1]]  # of each encoder
        assert model.blocks[-1](x)[0].shape == x.shape
        assert model.blocks[-1](x, False, True)[0].shape == (2, 3, 1, 48)
        rows = []
        for block in blocks:
            block.register_forward_hook(lambda _b, _x, y, rows=rows: rows.append(y[0].shape[-2]))
        alone = [model.train(mode)(clips().double()) for mode in (True, False)]
        assert [count == 1 for count in rows] == 2 * [block in last for block in blocks]
        model.class_token_only = False
        rows.clear()
        whole = [model.train(mode)(clips().double()) for mode in (True, False)]
        assert 1 not in rows
        close(whole, alone, atol=1e-12)
    for variant in ("joint_mean", "encoder_mean"):  # the mean needs every token
        assert not small_model(variant).class_token_only
