"""Ready for inference, compiled, checkpointed: the same numbers every time."""

import pytest
import torch
from small import clips, close, every_variant, small_model

from vivit_lab.models import inference
from vivit_lab.models.inference import choose_attention, fast_products

SETTINGS = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)


def settings() -> list[str]:
    return [place.fp32_precision for place in SETTINGS]


@every_variant
def test_ready_for_inference_gives_the_same_logits_and_maps(variant):
    model = small_model(variant).eval()
    ready = model.for_inference()
    with torch.inference_mode():
        logits, maps = model(clips(), return_attention=True)
    close(ready(clips()), logits)
    again, again_maps = ready(clips(), return_attention=True)
    close(again, logits)
    close(again_maps, maps)
    assert not again.requires_grad


def test_the_model_itself_is_left_as_it_is():
    model = small_model("joint", dropout=0.5).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    ready = model.for_inference("bfloat16")
    assert model.training and not ready.training and not ready.model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(block.attn.fused for block in model.blocks)
    close(dict(model.state_dict()), state, atol=0)
    with pytest.raises(RuntimeError, match="only answers"):
        ready.train()


def test_bfloat16_rounds_and_answers_in_float32():
    for heads in (5, {"verb": 4, "noun": 3}):
        model = small_model("factorised_encoder", num_classes=heads).eval()
        with torch.inference_mode():
            exact = model(clips())
        rounded = model.for_inference("bfloat16")(clips())
        if heads == 5:
            exact, rounded = {"": exact}, {"": rounded}
        for name, logits in exact.items():
            assert rounded[name].dtype == torch.float32
            error = (rounded[name] - logits).abs().max() / logits.abs().max()
            assert 0 < error < 0.1


def test_it_says_what_it_did():
    words = repr(small_model("factorised_encoder").for_inference("fast_float32"))
    said = ("FactorisedEncoder", "evaluation", "relative error", "a block", "for space (13 tokens)")
    assert [part for part in said if part not in words] == []
    with pytest.raises(ValueError, match="Did you mean 'bfloat16'"):
        small_model("joint").for_inference("bfloat")


def test_fast_products_are_used_only_where_they_pay_and_settings_come_back(monkeypatch):
    """A clock that says fast products take half (or twice) the time decides."""
    before = settings()
    with pytest.raises(ZeroDivisionError), fast_products():
        assert settings() == ["bf16", "tf32"]
        raise ZeroDivisionError
    for factor, pays in ((0.5, True), (2.0, False)):
        monkeypatch.setattr(
            inference, "_seconds", lambda *_, f=factor: f if settings()[0] == "bf16" else 1.0
        )
        ready = small_model("joint").for_inference("fast_float32")
        assert ready.fast_products is pays and ("not used" in repr(ready)) is not pays
        seen = []
        ready.model.norm.register_forward_hook(lambda *_, seen=seen: seen.append(settings()))
        ready(clips())
        assert seen == [["bf16", "tf32"] if pays else before]
        assert settings() == before


@every_variant
def test_every_attention_module_gets_the_kernel_that_was_faster_at_its_own_shape(
    variant, monkeypatch
):
    model, wins, seen, own = small_model(variant).eval(), [], {}, {}

    def clock(module, x):
        seen.setdefault(module, x.squeeze().shape)
        if not wins or wins[-1][0] is not module:
            wins.append((module, len(wins) % 2 == 0))  # by turns the fused one and the other
        return 1.0 if module.fused == wins[-1][1] else 2.0

    monkeypatch.setattr(inference, "_seconds", clock)
    notes = choose_attention(model)
    for module in model.modules():
        if hasattr(module, "fused"):
            module.register_forward_pre_hook(
                lambda module, inputs: own.update({module: inputs[0].squeeze().shape})
            )
    with torch.inference_mode():
        model(clips(batch=1))
    assert len(notes) == len(wins) == len(seen) == len({module.axes for module in own})
    for module, fused in wins:
        assert seen[module] == own[module]
        alike = [other for other in own if other.axes == module.axes]
        assert {other.fused for other in alike} == {fused}


@pytest.mark.parametrize(
    "variant", ["uniform_frames", "factorised_encoder", "layer_scale", "factorised_dot_product"]
)
def test_every_model_compiles_into_one_graph_and_trains_as_it_did(variant):
    """In training mode, which has the most branches; the same random numbers for both."""
    rates = {"depth": 2, "drop_path": 0.2, "dropout": 0.1, "attention_dropout": 0.1}
    model = small_model(variant, **rates).train()
    compiled = torch.compile(model, backend="eager", fullgraph=True)  # a break would raise
    plain = gradients(model, model, clips())
    close(gradients(compiled, model, clips()), plain, atol=1e-6)
    torch.compiler.reset()


def gradients(call, model, batch) -> dict:
    model.zero_grad()
    torch.manual_seed(7)  # the same dropout
    call(batch).square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def bytes_kept(model, batch) -> int:
    """Of the tensors that the forward pass keeps for the way back, each counted once."""
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(batch)
    return sum(kept.values())


@every_variant
def test_checkpointing_gives_the_same_gradients_for_less_memory(variant):
    model = small_model(variant, dropout=0.2, attention_dropout=0.2, drop_path=0.3).train()
    plain, memory = gradients(model, model, clips()), bytes_kept(model, clips())
    model.set_grad_checkpointing()
    close(gradients(model, model, clips()), plain, atol=0)
    assert bytes_kept(model, clips()) < 0.7 * memory
    model.set_grad_checkpointing(False)
    assert bytes_kept(model, clips()) == memory
