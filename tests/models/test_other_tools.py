"""The models in other people's tools: hooks, adapters, pruning, torch's transforms, processes."""

import copy
import functools
import pickle
import warnings

import onnxruntime
import pytest
import torch
from small import clips, close, every_variant, small_model
from torch import distributed, multiprocessing, nn
from torch._subclasses import FakeTensorMode
from torch.nn.utils import parametrizations, prune

from vivit_lab import ViViTConfig, build_model
from vivit_lab.models import MODELS

every_model = pytest.mark.parametrize("name", MODELS)


def with_weights(model) -> dict[str, nn.Module]:
    return {n: m for n, m in model.named_modules() if [*m.parameters(recurse=False)]}


def replaced(model, kinds, make) -> list[str]:
    """Put make(module) in the place of all modules of these kinds; return their names."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, kinds)]
    for name, module in found:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, make(module))
    return [name for name, _ in found]


# ---- modules are called


@every_variant
def test_hooks_and_new_forwards_of_every_module_with_weights_see_every_pass_once(variant):
    for kind in ("hook", "pre_hook", "backward_hook", "backward_pre_hook", "forward"):
        model, calls = small_model(variant), []
        plain = model(clips())
        for name, module in with_weights(model).items():
            call = functools.partial(calls.append, name)
            if kind == "forward":  # as accelerate does it
                old = module.forward
                module.forward = lambda *x, old=old, call=call: call() or old(*x)
                continue
            register = f"register_{'full_' if 'backward' in kind else 'forward_'}{kind}"
            getattr(module, register)(lambda *_, call=call: call())
        logits = model(clips())
        close(logits, plain)
        logits.sum().backward()
        assert sorted(calls) == sorted(with_weights(model))


class Adapted(nn.Module):
    """A layer that learns by a small product beside it (LoRA), and hides its weight."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Linear(layer.in_features, 2, bias=False)
        self.up = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, x):
        return self.layer(x) + self.up(self.down(x))


@every_variant
def test_what_takes_the_place_of_a_layer_is_used_and_learns(variant):
    model = small_model(variant)
    logits = model(clips())
    convolution = nn.Conv2d if variant == "uniform_frames" else nn.Conv3d

    def plain_convolution(layer):
        size = layer.kernel_size
        other = convolution(layer.in_channels, layer.out_channels, size, size)
        other.load_state_dict(layer.state_dict())
        return other

    assert replaced(model, convolution, plain_convolution) == ["patch_embed.proj"]
    close(model(clips()), logits)
    model.requires_grad_(False)
    names = replaced(model, nn.Linear, Adapted)
    model(clips()).square().sum().backward()
    still = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert len(names) > 12 and still == []
    model.for_inference("fast_float32")(clips())


@pytest.mark.parametrize("variant", ["joint", "uniform_frames"])
def test_an_adapter_of_the_projection_is_made_of_its_class(variant):
    proj = small_model(variant).patch_embed.proj
    size, one = proj.kernel_size, (1,) * len(proj.kernel_size)
    down = type(proj)(proj.in_channels, 2, size, stride=size, bias=False)  # as peft does it
    up = type(proj)(2, proj.out_channels, one, stride=one, bias=False)
    tokens = up(down(torch.randn(2, 3, *(2 * n for n in size))))
    assert tokens.shape == (2, 48, *(2 * n for n in one))


@every_model
def test_pruned_and_parametrised_layers_train(name):
    model = small_model(name)
    prune.l1_unstructured(model.patch_embed.proj, "weight", 0.5)
    prune.l1_unstructured(model.blocks[-1].attn.qkv, "weight", 0.5)
    parametrizations.weight_norm(model.blocks[-1].attn.proj)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        model(clips()).square().sum().backward()
        assert all(p.grad is not None for p in model.parameters())
        optimiser.step()


def worker(rank, folder):
    """Three steps a model, in a loop that is not ours; the first process leaves its weights."""
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    for name in MODELS:
        for heads in (5, {"verb": 4, "noun": 3}):
            model = nn.parallel.DistributedDataParallel(small_model(name, num_classes=heads))
            train(model, clips(4)[rank::2])
            if rank == 0:
                torch.save(model.module.state_dict(), f"{folder}/{name}{heads == 5}.pt")
    distributed.destroy_process_group()


def train(model, batch):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        logits = model(batch)
        several = logits.values() if isinstance(logits, dict) else [logits]
        sum(x.square().mean() for x in several).backward()
        optimiser.step()


def test_two_processes_train_every_model_without_a_search_for_unused_parameters(tmp_path):
    # not forked: torch may have started autograd's threads in this process, which a fork loses
    multiprocessing.spawn(worker, (str(tmp_path),), nprocs=2)
    for name in MODELS:
        for heads in (5, {"verb": 4, "noun": 3}):
            alone = small_model(name, num_classes=heads)
            train(alone, clips(4))
            found = torch.load(tmp_path / f"{name}{heads == 5}.pt")
            close(found, dict(alone.state_dict()), atol=1e-4)


# ---- names of heads


def test_a_head_has_a_name_that_torch_can_keep():
    for name in ("type", "forward", "items", "training", "_modules"):
        with pytest.raises(ValueError, match=f"'{name}' cannot name a head"):
            ViViTConfig(num_classes={name: 3})
    model = small_model("factorised_encoder", num_classes={"type_": 97, "noun": 300})
    logits, _ = model(clips(), return_attention=True)
    assert {n: x.shape for n, x in logits.items()} == {"type_": (2, 97), "noun": (2, 300)}


# ---- features and heads


@every_variant
def test_features_and_heads_under_timms_names(variant):
    model = small_model(variant).eval()
    logits, config = model(clips()), model.config
    assert model.get_classifier() is model.head
    tokens = model.forward_features(clips())
    steps = config.model == "factorised_encoder"
    count = config.temporal_tokens if steps else config.tokens
    count += config.pooling == "cls" and config.temporal_depth != 0
    assert tokens.shape == (2, count, 48)
    assert tokens[:, -1].abs().min() > 0
    close(model.forward_head(tokens), logits)
    features = model.forward_head(tokens, pre_logits=True)
    close(model.head(features), logits)
    close(model.encode(clips(), False)[0], features)
    with pytest.raises(ValueError, match="five axes"):
        model.forward_features(clips()[0])

    model.class_names = ["a", "b", "c", "d", "e"]
    model.double().reset_classifier(3)
    assert model.class_names is None and model.config.num_classes == 3
    assert not model(clips().double()).any()  # it starts at zero
    model.float().reset_classifier({"verb": 4, "noun": 2})
    assert [tuple(x.shape) for x in model(clips()).values()] == [(2, 4), (2, 2)]
    model.reset_classifier(0)
    headless = build_model(model.config).eval()
    headless.load_state_dict(model.state_dict())
    for without in (model, headless):
        close(without(clips()), features)
        assert isinstance(without.get_classifier(), nn.Identity)
    assert model.config.classes == {}


def test_a_linear_probe_learns_on_a_copy_that_only_answers():
    ready = small_model("factorised_encoder").for_inference("bfloat16")
    tokens = ready.forward_features(clips())
    features = ready.forward_head(tokens, pre_logits=True)
    close(ready.forward_head(tokens), ready(clips()), atol=0.1)
    for x in (features, tokens.mean(1), ready(clips(), return_attention=True)[0]):
        assert x.dtype == torch.float32
        probe = nn.Linear(x.shape[1], 2)
        probe(x).sum().backward()
        assert probe.weight.grad.any()


@every_model
def test_copies_and_pickles_answer_alike(name):
    model = small_model(name)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        close(other(clips()), model(clips()), atol=0)


# ---- torch's transforms


@every_model
def test_torch_func(name):
    model = small_model(name, depth=1).eval()
    weights, batch = dict(model.named_parameters()), clips(2)
    logits = model(batch)

    def call(weights, clip):
        return torch.func.functional_call(model, weights, (clip[None],))[0]

    def loss(weights, clip):
        return call(weights, clip).square().sum()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # slow, where torch has no batched kernel
        close(torch.func.vmap(lambda clip: model(clip[None])[0])(batch), logits)
        per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, batch)
        jacobian = torch.func.jacrev(call)(weights, batch[0])
    for i, clip in enumerate(batch):
        gradient = torch.autograd.grad(loss(weights, clip), [*weights.values()])
        close([each[i] for each in per_sample.values()], [*gradient], atol=1e-4)
    column = torch.autograd.grad(logits[0, 2], [*weights.values()])
    close([each[2] for each in jacobian.values()], [*column], atol=1e-4)


@every_variant
def test_models_without_memory_and_weights_drawn_later(variant):
    model = small_model(variant, dim=192)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert model(torch.empty(2, 8, 3, 24, 32)).shape == (2, 5)
    config = model.config
    with torch.device("meta"):
        model = build_model(config)
        assert model(torch.empty(2, 8, 3, 24, 32)).shape == (2, 5)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        nn.init.constant_(parameter, torch.nan)
    model.reset_parameters()
    right = dict(build_model(config).named_parameters())
    for name, parameter in model.named_parameters():
        got, wanted = (torch.std_mean(x.double()) for x in (parameter, right[name]))
        few = parameter.numel() < 1000
        assert got[0].item() == pytest.approx(wanted[0].item(), rel=0.6 if few else 0.1), name
        assert got[1].item() == pytest.approx(wanted[1].item(), abs=0.02), name


@every_model
def test_exported_and_traced_models_answer_alike(name):
    model = small_model(name, depth=1).eval()
    batch = torch.export.Dim("batch")
    exported = torch.export.export(model, (clips(2),), dynamic_shapes=({0: batch},))
    traced = torch.jit.trace(model, clips(2), check_trace=False)
    for call in (exported.module(), traced):
        close(call(clips(3)), model(clips(3)))


def test_onnxruntime_answers_alike():
    for name in MODELS:
        model, batch = small_model(name, depth=1).eval(), torch.export.Dim("batch")
        program = torch.onnx.export(
            model, (clips(2),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
        )
        session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
        [given] = session.get_inputs()
        for count in (1, 3):
            [logits] = session.run(None, {given.name: clips(count).numpy()})
            close(torch.from_numpy(logits), model(clips(count)))


@every_model
def test_reduced_precision_by_model_and_by_autocast_maps_included(name):
    model = small_model(name).eval()
    logits, maps = model(clips(), return_attention=True)
    with torch.autocast("cpu", torch.bfloat16):
        automatic = model(clips(), return_attention=True)
        loss = model(clips()).float().square().sum()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    for dtype in (torch.bfloat16, torch.float16):
        halved = model.to(dtype)(clips().to(dtype), return_attention=True)
        for found, found_maps in (halved, automatic):
            close(found.float(), logits, atol=0.03 * logits.abs().max().item())
            as_float = [{axis: x.float() for axis, x in each.items()} for each in found_maps]
            close(as_float, maps, atol=0.03)
