"""The loop against brute force: what each means of training changes, and what it must not."""

import copy
import errno
import json
import multiprocessing
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_training import (
    Glows,
    assert_near,
    at_another_scale,
    logged,
    same_weights,
    tiny_model,
    tiny_recipe,
)
from torch import nn

from vivit_lab.data import ClipLoader
from vivit_lab.data.loader import START_METHOD
from vivit_lab.models import MODELS
from vivit_lab.training import TrainingError, fit, loop, optim, overfit_one_batch, read_log
from vivit_lab.training.optim import chance_loss, freeze
from vivit_lab.training.run import FIELD, FinishedWarning, RunFolder
from vivit_lab.video import ByFrame, BySegment, ByTime, Preprocessing, normalise
from vivit_lab.weights import load_checkpoint, read_checkpoint_info
from vivit_lab.weights.files import read_safetensors


def train(folder, recipe=None, model=None, data=None, validation=None, **options):
    options = {"device": "cpu", "progress": False, "recipe": recipe or tiny_recipe()} | options
    model, data = model or tiny_model(), Glows() if data is None else data
    return fit(model, data, validation, folder=folder, **options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The run of the tiny recipe without anything else."""
    return train(tmp_path_factory.mktemp("plain") / "run", validation=Glows(16))


def losses(folder):
    return [entry["loss"] for entry in read_log(folder)[0]]


# ---- it learns, and says so


def test_every_model_learns(tmp_path):
    for name in MODELS:
        recipe = tiny_recipe(epochs=np.int64(10), batch=np.int32(16), lr=1e-2)  # ints of any kind
        model = tiny_model(model=name)
        run = train(tmp_path / name, recipe, model, validation=Glows(32, seed=1))
        assert run.history[-1]["validation"]["top1"] >= 0.9, name
        assert run.steps == 40 and len(run.history) == 10 and not run.stopped
        assert type(recipe).load(run.folder / "recipe.json") == recipe


def test_it_does_what_a_bare_loop_does(tmp_path):
    recipe, data = tiny_recipe(weight_decay=0.1, max_grad_norm=0.5), Glows(70)  # 6 left over
    run = train(tmp_path / "run", recipe, data=data)

    def is_plain(name, parameter):
        return parameter.ndim <= 1 or name.endswith(("cls_token", "pos_embed"))

    loader = ClipLoader(data, batch_size=16, shuffle=True, seed=recipe.seed, drop_last=True)
    model = tiny_model().train()
    decayed = [p for n, p in model.named_parameters() if not is_plain(n, p)]
    others = [p for n, p in model.named_parameters() if is_plain(n, p)]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}],
        fused=True,
    )
    for step, batch in enumerate([*loader, *loader]):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate(step, 4)
        loss = nn.functional.cross_entropy(model(normalise(batch.clips)), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimiser.step()
        assert losses(tmp_path / "run")[step] == pytest.approx(loss.item(), abs=1e-6)
    assert_near(model, run.model, 1e-6)


def test_the_run_knows_its_frames_and_pixels_and_keeps_the_scale_of_its_start(tmp_path, plain):
    found = load_checkpoint(plain.folder / "best.safetensors")[0].preprocessing
    assert found == plain.model.preprocessing == Preprocessing(ByFrame(4, 1), 16, 16)
    scaled = train(tmp_path / "run", model=at_another_scale(tiny_model()))
    assert str(scaled.model.preprocessing).endswith("crop 16, pixels -3..1")
    assert losses(tmp_path / "run")[0] == pytest.approx(losses(plain.folder)[0], abs=1e-5)


@pytest.mark.parametrize(
    ("sampling", "size", "expected"),
    [
        (ByTime(4, 5), 16, Preprocessing(ByTime(4, 5), 16, 18)),
        (BySegment(4), 32, Preprocessing(BySegment(4), 32, 36)),
        (SimpleNamespace(clip_frames=4), 16, None),  # of your own
        (ByTime(4, 5), (16, 32), None),
    ],
)
def test_what_a_trained_model_expects_is_what_the_training_set_gave(sampling, size, expected):
    model, recipe = tiny_model(image_size=size), tiny_recipe(crop=24, min_short_side=27)
    data = SimpleNamespace(sampling=sampling)
    for each in (data, SimpleNamespace(dataset=data)):  # as in torch's Subset
        assert loop.expected_of(model, each, recipe) == expected


# ---- means that must not change the result


def test_microbatches_equal_the_big_batch(tmp_path):
    # SGD: the keys' biases have no gradient but rounding, which AdamW would scale up to a step
    recipe = tiny_recipe(optimiser="sgd", lr=0.05)
    big = train(tmp_path / "big", recipe)
    small = train(tmp_path / "small", recipe.change(accumulate=4))
    assert losses(tmp_path / "big") == pytest.approx(losses(tmp_path / "small"), abs=1e-5)
    assert_near(big.model, small.model)


def test_checkpointing_changes_no_bit_and_bf16_rounds(tmp_path, plain):
    model = tiny_model()
    again = train(tmp_path / "a", tiny_recipe(checkpointing=True), model)
    assert same_weights(plain.model, again.model)
    assert not model.grad_checkpointing  # as it was
    rounded = train(tmp_path / "bf16", tiny_recipe(precision="bf16"), device="auto")
    assert all(p.dtype == torch.float32 for p in rounded.model.parameters())
    assert not same_weights(plain.model, rounded.model)
    assert losses(tmp_path / "bf16") == pytest.approx(losses(plain.folder), rel=0.02)
    once_more = train(tmp_path / "b")  # precision and device can be chosen again in one process
    assert same_weights(plain.model, once_more.model)


def test_float16_leaves_out_a_step_that_overflows_and_does_not_call_it_divergence(tmp_path, plain):
    model, weights = tiny_model(), []
    backward = []
    model.head.weight.register_hook(  # the gradient of the third step is too large for float16
        lambda gradient: gradient * (float("inf") if len(backward) == 2 else 1)
    )

    def callback(moment):
        backward.append(moment.step)
        weights.append(copy.deepcopy(model.state_dict()))

    run = train(tmp_path / "run", tiny_recipe(precision="fp16"), model, callback=callback)
    assert run.steps == 8 and all(p.dtype == torch.float32 for p in model.parameters())
    changed = [
        any(not one[name].equal(other[name]) for name in one)
        for one, other in zip(weights[:4], weights[1:5], strict=True)
    ]
    assert changed == [True, False, True, False]  # step 5 follows an epoch's own moment
    steps = read_log(run.folder)[0]
    first = read_log(plain.folder)[0][0]  # in float32: clipped, and logged, is what is not scaled
    for name in ("loss", "grad_norm"):
        assert steps[0][name] == pytest.approx(first[name], rel=0.02)
    assert [step["step"] for step in steps if np.isinf(step["grad_norm"])] == [3]
    document = json.loads(read_safetensors(run.folder / "state.safetensors")[1][FIELD])
    assert document["scaler"]["scale"] == 2.0**15 and document["scaler"]["_growth_tracker"] == 5
    assert np.isfinite([epoch["grad_norm"] for epoch in run.history]).all()
    assert json.loads((run.folder / "run.json").read_text())["precision"] == "fp16"
    model = tiny_model()  # whose gradient no scale can save
    model.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    taken, long = [], tiny_recipe(precision="fp16", epochs=5)
    with pytest.raises(TrainingError, match=r"gradient is (inf|nan) at step 17 .*'float32'"):
        train(tmp_path / "b", long, model, callback=lambda moment: taken.append(moment.step))
    assert max(taken) == 16  # from 2 ** 16 down to 1


def test_auto_is_what_the_device_is_fast_in(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for native, wanted in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, n=native: n
        )
        found = [optim.precision_on(cuda, name) for name in ("auto", "float32", "bf16", "fp16")]
        assert found == [wanted, "float32", "bf16", "fp16"]
    assert [optim.precision_on(each, "auto") for each in (cpu, torch.device("mps"))] == (
        ["float32"] * 2
    )


def test_validation_is_made_in_the_precision_of_training(tmp_path):
    seen = []

    class Watched(type(tiny_model())):
        def forward(self, clips):
            logits = super().forward(clips)
            seen.append((self.training, logits.dtype))
            return logits

    for precision, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        model = tiny_model()
        model.__class__ = Watched
        train(tmp_path / precision, tiny_recipe(precision=precision), model, validation=Glows(16))
        assert set(seen) == {(True, dtype), (False, dtype)}
        seen.clear()


def test_compiled_it_learns_the_same(tmp_path, plain, monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", torch.compiler.is_compiling)
    model = tiny_model()
    compile_with = model.compile
    model.compile = lambda: compile_with(backend="aot_eager")  # no code generator: seconds
    compiled, graphs = torch._dynamo.utils.counters["stats"], []
    seen = lambda _: graphs.append((dict(compiled), model._compiled_call_impl is None))  # noqa: E731
    options = {"validation": Glows(70), "callback": seen}
    run = train(tmp_path / "run", tiny_recipe(compile=True), model, **options)
    assert len(graphs) == 10 and graphs[0] == graphs[-1]  # validation, too, compiles nothing
    assert losses(tmp_path / "run") == pytest.approx(losses(plain.folder), abs=1e-5)
    assert_near(plain.model, run.model, 1e-4)
    assert model._compiled_call_impl is None  # an ordinary model again


# ---- means that do change it


def test_averaged_weights_are_the_brute_force_average(tmp_path):
    seen = []

    def callback(moment):
        if not moment.after_epoch:
            seen.append(copy.deepcopy(model.state_dict()))

    model = tiny_model()
    start = copy.deepcopy(model.state_dict())
    run = train(tmp_path / "run", tiny_recipe(ema=0.8), model, callback=callback)
    assert run.model is not model
    for name, value in start.items():
        for step, weights in enumerate(seen):
            decay = min(0.8, 1 - (1 + step) ** (-2 / 3))  # rises from 0: the start is forgotten
            value = decay * value + (1 - decay) * weights[name]
        torch.testing.assert_close(run.model.state_dict()[name], value, atol=1e-6, rtol=0)
    loaded, _ = load_checkpoint(tmp_path / "run" / "epoch-0002.safetensors")
    assert same_weights(loaded, run.model)  # the averaged ones are those to use


def test_layer_decay_slows_the_lower_blocks(tmp_path):
    recipe = tiny_recipe(layer_decay=0.3, optimiser="sgd", lr=0.01, epochs=1, warmup_epochs=0)
    before, slow, even = (tiny_model() for _ in range(3))
    train(tmp_path / "slow", recipe, slow)
    train(tmp_path / "even", recipe.change(layer_decay=None), even)

    def moved(after, prefix):
        pairs = zip(before.named_parameters(), after.parameters(), strict=True)
        return sum((p - q).norm() for (n, p), q in pairs if n.startswith(prefix)).item()

    parts = ("patch_embed", "blocks.0.", "blocks.1.", "temporal_blocks.0.", "head")
    share = [moved(slow, part) / moved(even, part) for part in parts]
    assert share == pytest.approx([0.3**5, 0.3**4, 0.3**3, 0.3, 1], rel=0.2)


@pytest.mark.parametrize("what", ["spatial_encoder", "all_but_head"])
def test_frozen_part_stays_and_the_rest_gets_the_same_gradients(tmp_path, what):
    model, free = tiny_model(), tiny_model()
    frozen = set(map(id, freeze(model.train(), what)))
    clips, labels = normalise(Glows().clips), Glows().labels
    for each in (model, free):
        nn.functional.cross_entropy(each(clips), labels).backward()
    for (name, p), q in zip(model.named_parameters(), free.parameters(), strict=True):
        if id(p) in frozen:
            assert p.grad is None and not name.startswith("head")
        else:
            assert torch.equal(p.grad, q.grad)
    learner, start = tiny_model(), tiny_model().state_dict()
    run = train(tmp_path / "run", tiny_recipe(freeze=what), learner)
    stayed = {n for n, value in run.model.state_dict().items() if torch.equal(value, start[n])}
    assert stayed == {n for n, p in model.named_parameters() if id(p) in frozen}
    assert all(p.requires_grad for p in learner.parameters())  # free again


def test_frozen_spatial_encoder_keeps_nothing_for_the_way_back():
    def saved_bytes(model):
        sizes = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(torch.zeros(8, 4, 3, 16, 16)).sum()
        parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
        return sum(size for place, size in sizes.items() if place not in parameters)

    model = tiny_model(drop_path=0.2, dropout=0.1).train()
    whole = saved_bytes(model)
    freeze(model, "spatial_encoder")
    assert saved_bytes(model) < 0.4 * whole
    assert not any(block.training for block in model.blocks)  # nothing is dropped in it
    assert model.temporal_blocks[0].training


def test_several_heads(tmp_path):
    model = tiny_model(num_classes={"red": 2, "blue": 2})
    recipe = tiny_recipe(epochs=10, lr=1e-2, mixup=0.1, label_smoothing=0.1)
    run = train(tmp_path / "run", recipe, model, Glows(heads=True), Glows(32, 1, heads=True))
    figures = run.history[-1]["validation"]
    assert min(figures["red_top1"], figures["blue_top1"]) >= figures["top1"] >= 0.8
    info = read_checkpoint_info(tmp_path / "run" / "epoch-0010.safetensors")
    assert info.class_names["red"] == ("dark", "bright")


@pytest.mark.parametrize("context", ["fork", START_METHOD])
def test_the_workers_live_through_the_run(tmp_path, monkeypatch, context):
    """Those of training and those of validation, though each epoch leaves some clips over."""
    monkeypatch.setattr("vivit_lab.data.loader.START_METHOD", context)
    alive = []

    def callback(moment):
        if moment.after_epoch:
            assert moment.waited > 0
            alive.append({worker.pid for worker in multiprocessing.active_children()})

    recipe, sets = tiny_recipe(accumulate=2, epochs=3), {"data": Glows(76), "validation": Glows(17)}
    run = train(tmp_path / "run", recipe, **sets, workers=1, callback=callback)
    assert [len(each) for each in alive] == [2, 2, 2] and alive[0] == alive[1] == alive[2]
    assert not multiprocessing.active_children()
    assert run.history == train(tmp_path / "without", recipe, **sets).history


# ---- what it tells


def test_a_callback_hears_all_and_the_pace_is_that_of_the_steps_alone(tmp_path, monkeypatch):
    """Two seconds a step, by a clock that is moved by hand; saving and the rest take far longer."""
    now = [0.0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def takes(seconds, place, name):
        straight = getattr(place, name)

        def slow(*args, **options):
            now[0] += seconds
            return straight(*args, **options)

        monkeypatch.setattr(place, name, slow)

    takes(2, loop, "train_step")
    takes(300, loop, "validate")
    takes(1000, RunFolder, "save")
    takes(5000, RunFolder, "save_epoch")
    moments = []

    def callback(moment):
        now[0] += 40
        moments.append(moment)

    run = train(tmp_path / "run", validation=Glows(16, 1), callback=callback, save_every=3)
    assert now[0] == 8 * 2 + 2 * 300 + 7 * 1000 + 2 * 5000 + 10 * 40
    assert {(moment.clips_per_second, moment.steps) for moment in moments} == {(16 / 2, 8)}
    heard = [(m.step, m.seconds_left, m.loss) for m in moments if not m.after_epoch]
    expected = zip(range(1, 9), range(14, -1, -2), losses(tmp_path / "run"), strict=True)
    assert heard == list(expected)
    heard = [(m.step, m.epoch, m.loss, m.validation) for m in moments if m.after_epoch]
    for number, entry in enumerate(run.history, 1):
        mean = sum(losses(tmp_path / "run")[4 * number - 4 : 4 * number]) / 4
        assert heard[number - 1] == (4 * number, number, entry["loss"], entry["validation"])
        assert entry["loss"] == pytest.approx(mean)
    steps, epochs = read_log(tmp_path / "run")
    assert {entry["seconds"] for entry in steps} == {2}
    assert {entry["seconds"] for entry in epochs} == {300}


FIGURES = [
    {"top1": top1, "top5": 1.0, "loss": loss}
    for top1, loss in (
        (0.5, 0.7), (0.9, 0.8), (0.7, 0.1), (0.9, 0.6), (0.9, 0.6), (0.1, 0.2), (0.05, 0.2)
    )
]  # fmt: skip


def test_last_epochs_and_the_best_are_kept(tmp_path, monkeypatch):
    figures, kept = iter(FIGURES), []
    monkeypatch.setattr(loop, "validate", lambda *_: next(figures))

    def callback(moment):
        if moment.after_epoch:
            kept.append(copy.deepcopy(moment.model))

    recipe = tiny_recipe(epochs=6)
    train(tmp_path, recipe, validation=Glows(16), keep=2, callback=callback)
    names = sorted(path.stem for path in tmp_path.glob("*.safetensors"))
    assert names == ["best", "epoch-0005", "epoch-0006", "state"]
    best, _ = load_checkpoint(tmp_path / "best.safetensors")
    assert same_weights(best, kept[3])  # of equals the lower loss, of these the first
    history = read_checkpoint_info(tmp_path / "epoch-0005.safetensors").history
    assert history[0]["recipe"]["lr"] == 2e-3 and history[0]["versions"]["torch"]
    assert [entry["validation"] for entry in history[1:]] == FIGURES[:5]


def test_patience_ends_a_run_early_interrupted_or_not(tmp_path, monkeypatch, capsys):
    recipe, options = tiny_recipe(epochs=9, patience=3), {"validation": Glows(16)}
    for name, stops in (("whole", ()), ("cut", (5, 21))):
        figures = iter(FIGURES)
        monkeypatch.setattr(loop, "validate", lambda *_, figures=figures: next(figures))
        for stop in stops:  # in the epochs 2 and 6
            callback = lambda moment, stop=stop: setattr(  # noqa: E731
                moment.control, "stop", moment.step == stop
            )
            again = {"callback": callback, "resume": stop > 5}
            assert train(tmp_path / name, recipe, **options, **again).stopped
        again = {"resume": bool(stops), "progress": True}
        run = train(tmp_path / name, recipe, **options, **again)
        assert (len(run.history), run.steps, run.stopped) == (7, 28, False)
        said = capsys.readouterr().out
        assert (
            "validation 5.0%, loss 0.200; training ends: none of the last 3 epochs was better"
            in said
        )
        with pytest.warns(FinishedWarning, match="finished, after 7 epochs.*--init"):
            assert train(tmp_path / name, recipe, resume=True, **options).history == run.history
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")


def test_tensorboard(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder): ...

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def close(self):
            written.append("closed")

    board = SimpleNamespace(SummaryWriter=Writer)  # it need not be installed here
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    train(tmp_path / "with", tensorboard=True, validation=Glows(16))
    assert [w[1] for w in written if w[0] == "step/loss"] == losses(tmp_path / "with")
    for name in ("top1", "loss"):
        assert [w[2] for w in written if w[0] == f"epoch/validation/{name}"] == [4, 8]
    assert written[-1] == "closed"


def test_overfitting_one_batch():
    model = tiny_model()
    before = copy.deepcopy(model)
    result = overfit_one_batch(model, Glows(), device="cpu", steps=80)
    assert result.ok and "Memorised" in str(result) and same_weights(model, before)

    together = []
    model.register_forward_pre_hook(lambda module, given: together.append(len(given[0])))
    for precision in ("float32", "bf16", "fp16"):  # as the recipe trains, and in no more memory
        recipe = tiny_recipe(precision=precision, checkpointing=True, accumulate=5)
        again = overfit_one_batch(model, Glows(), device="cpu", steps=80, recipe=recipe)
        assert again.ok and set(together) == {3, 2}
        exact = 1e-4 if precision == "float32" else 0.02
        assert again.losses[:3] == pytest.approx(result.losses[:3], rel=exact)

    class Contradiction(Glows):
        def __getitem__(self, index):
            return self.clips[0], index % 4

    result = overfit_one_batch(tiny_model(), Contradiction(), device="cpu")
    assert not result.ok and "Not memorised" in str(result)


# ---- what goes wrong on the way


def test_nan_infinity_and_divergence_stop_before_the_weights_are_touched(tmp_path):
    def changed(tensor, factor):
        with torch.no_grad():
            tensor.mul_(factor)

    unclipped = tiny_recipe(epochs=30, max_grad_norm=None)
    for step, factor, recipe, message in (
        (5, float("nan"), tiny_recipe(), r"loss is nan at step 6 .*head\.weight, "),
        (3, 3000, unclipped,
         r"diverged: the loss is \d+\.\d+ on average at step \d.* lr=0.00067, max_grad_norm"),
    ):  # fmt: skip
        model, kept = tiny_model(), {}

        def harm(moment, model=model, kept=kept, step=step, factor=factor):
            if moment.step == step:
                changed(model.head.weight, factor)
            kept.update(copy.deepcopy(model.state_dict()))

        with pytest.raises(TrainingError, match=message):
            train(tmp_path / str(step), recipe, model, callback=harm)
        for name, value in model.state_dict().items():
            assert value.nan_to_num(9).equal(kept[name].nan_to_num(9)), name
    steps, epochs = read_log(tmp_path / "5")
    assert len(steps) == 5 and len(epochs) == 1
    assert load_checkpoint(tmp_path / "5" / "epoch-0001.safetensors")
    model = tiny_model()
    model.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(
        TrainingError, match=r"gradient is (inf|nan) at step 1 .*It is the first step"
    ):
        train(tmp_path / "b", model=model)
    model = tiny_model()
    changed(model.head.weight, 300)  # a head for other labels: very sure, and mostly wrong
    run = train(tmp_path / "c", tiny_recipe(warmup_epochs=1), model)
    assert losses(tmp_path / "c")[0] > 4 * chance_loss(4) and run.steps == 8  # has not diverged


def test_full_disk_leaves_the_previous_state(tmp_path, plain, monkeypatch):
    def no_room(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(moment):
        if moment.step == 5:
            kept.append((tmp_path / "run" / "state.safetensors").read_bytes())
            monkeypatch.setattr("vivit_lab.io.os.fsync", no_room)

    kept = []
    with pytest.raises(TrainingError, match="No space left.*is whole.*resume=True"):
        train(tmp_path / "run", callback=fill, save_every=2)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == kept[0]
    assert not list((tmp_path / "run").glob(".*")), "nothing half written is left"
    with pytest.raises(TrainingError, match="No space left.*No state to resume from was written"):
        train(tmp_path / "other")
    monkeypatch.undo()
    again = train(tmp_path / "run", model=tiny_model(seed=9), resume=True)
    assert same_weights(plain.model, again.model)
    full = open("/dev/full", "ab", buffering=0)  # noqa: SIM115 - `fit` closes it
    monkeypatch.setattr(RunFolder, "open_log", lambda *_: full)
    with pytest.raises(TrainingError, match="No space left.*is whole"):
        train(tmp_path / "log")


def test_an_error_in_the_validation_costs_no_epoch(tmp_path, plain):
    class Gone(Glows):
        def __getitem__(self, index):
            if index == 3:  # the first one is looked at before training
                raise OSError("stale file handle")
            return super().__getitem__(index)

    Gone.__name__ = "Glows"  # data of another kind would be other data
    with pytest.raises(RuntimeError, match="stale file handle"):
        train(tmp_path / "run", validation=Gone(16))
    assert len(losses(tmp_path / "run")) == 4  # a whole epoch
    taken = []
    again = train(tmp_path / "run", model=tiny_model(seed=9), validation=Glows(16), resume=True,
                  callback=lambda moment: taken.append(moment.step))  # fmt: skip
    assert taken == [4, 5, 6, 7, 8, 8]  # first after the epoch: it is not taken again
    assert same_weights(plain.model, again.model) and again.history == plain.history
    assert logged(tmp_path / "run") == logged(plain.folder)
