"""What each block leaves: the last row is the model's own answer, and cosines are of its tokens."""

import pytest
import torch
from test_attention import CLIP, close, every_variant, sharp_model

from vivit_lab.analysis import attention_maps, logit_lens, token_similarity
from vivit_lab.models import ViViTConfig, build_model


@every_variant
def test_the_last_row_is_the_models_own_answer_and_the_model_stays_as_it_was(variant):
    model = sharp_model(variant)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter)
    with torch.no_grad():
        own = model(CLIP)
    rows = logit_lens(model, CLIP)
    with torch.no_grad():
        again = model(CLIP)
    heads = own if isinstance(own, dict) else {"": own}
    rows, again = (each if isinstance(each, dict) else {"": each} for each in (rows, again))
    for head in heads:
        assert len(rows[head]) == attention_maps(model, CLIP).depth
        close(rows[head][-1:], heads[head])
        close(again[head], heads[head])
    assert model.class_token_only == (model.config.pooling == "cls")
    assert not any(module._forward_hooks for module in model.modules())


@every_variant
def test_a_row_is_the_answer_of_the_model_cut_off_after_that_block(variant):
    """Cut off: the blocks behind it give back what they get, as a block with zero weights does."""
    model = sharp_model(variant)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter)
    rows = logit_lens(model, CLIP)
    blocks = [*model.blocks, *getattr(model, "temporal_blocks", ())]
    for layer in reversed(range(len(blocks) - 1)):
        if layer < len(model.blocks) and hasattr(model, "temporal_blocks"):
            break  # Model 2's two encoders have a norm and positions between them
        for name, parameter in blocks[layer + 1].named_parameters():
            if ".proj." in name or ".fc2." in name or "attn_time.proj" in name:
                torch.nn.init.zeros_(parameter)
        with torch.no_grad():
            own = model(CLIP)
        for head in own if isinstance(own, dict) else ():
            close(rows[head][layer : layer + 1], own[head])
        if not isinstance(own, dict):
            close(rows[layer : layer + 1], own)


@every_variant
def test_similarity_is_one_at_the_query_symmetric_and_of_the_tokens_of_every_block(variant):
    model = sharp_model(variant)
    t, h, w = model.config.grid
    here, there = (t - 1, 0, w - 1), (0, h - 1, 0)
    found, back = (token_similarity(model, CLIP, place) for place in (here, there))
    assert found.shape == (attention_maps(model, CLIP).depth, t, h, w)
    close(found[:, *here], torch.ones(len(found)).double())
    close(found[:, *there], back[:, *here])
    number = (t - 1) * h * w + w - 1
    close(token_similarity(model, CLIP, number), found)
    if model.config.model == "joint":  # the tokens after the last block, from the model itself
        last = []
        hook = model.norm.register_forward_pre_hook(lambda _, x: last.append(x[0]))
        model.forward_features(CLIP)
        hook.remove()
        tokens = last[0][0, model.config.pooling == "cls" :]
        wanted = torch.nn.functional.cosine_similarity(tokens, tokens[number], dim=-1)
        close(found[-1].flatten(), wanted)


def test_time_steps_of_a_temporal_encoder_are_compared_as_wholes():
    config = ViViTConfig(model="factorised_encoder", frames=4, image_size=16, tubelet=(2, 8, 8),
                         dim=12, heads=2, depth=1, temporal_depth=1, mlp_dim=8)  # fmt: skip
    torch.manual_seed(0)
    found = token_similarity(build_model(config).eval(), torch.randn(1, 4, 3, 16, 16), (1, 0, 1))
    space, time = found
    assert space.std() > 0 and torch.equal(time, time[:, :1, :1].expand_as(time))
    close(time[1, 0, 0], torch.tensor(1.0), atol=1e-6)


def test_it_refuses_what_it_cannot_read():
    model = sharp_model("joint")
    for call in (logit_lens, lambda *both: token_similarity(*both, 0)):
        with pytest.raises(ValueError, match="2 clips"):
            call(model, CLIP.repeat(2, 1, 1, 1, 1))
    with pytest.raises(ValueError, match="between"):
        token_similarity(model, CLIP, 10_000)
    with pytest.raises(ValueError, match="training mode"):
        logit_lens(model.train(), CLIP)
