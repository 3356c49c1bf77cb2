"""The loop against brute force: what each means of training changes, and what it must not."""

import copy
import errno
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_training import Glows, logged, same_weights, tiny_model, tiny_recipe
from torch import nn

from vivit_lab.data import ClipDataset, ViewDataset, sample
from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.loader import LoadingError
from vivit_lab.training import TrainingError, fit, loop, overfit_one_batch, read_log
from vivit_lab.training.loop import chance_loss, open_accelerator, open_loader
from vivit_lab.training.memory import is_out_of_memory, step_bytes, what_would_fit
from vivit_lab.training.optim import freeze
from vivit_lab.training.run import RunFolder
from vivit_lab.video import normalise
from vivit_lab.weights import load_checkpoint, read_checkpoint_info


def train(folder, recipe=None, model=None, data=None, validation=None, **options):
    options = {"device": "cpu", "progress": False} | options
    return fit(
        tiny_model() if model is None else model,
        Glows() if data is None else data,
        validation,
        recipe=tiny_recipe() if recipe is None else recipe,
        folder=folder,
        **options,
    )


def losses(folder):
    return [entry["loss"] for entry in read_log(folder)[0]]


def assert_close_weights(one, other, tolerance):
    for (name, first), second in zip(
        one.state_dict().items(), other.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(first, second, rtol=0, atol=tolerance, msg=name)


# ---- it learns, and says so


@pytest.mark.parametrize(
    "name", ["joint", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
)
def test_it_learns(tmp_path, name):
    recipe = tiny_recipe(epochs=10, lr=1e-2)
    run = train(tmp_path / "run", recipe, tiny_model(model=name), validation=Glows(32, seed=1))
    assert run.history[-1]["validation"]["top1"] >= 0.9
    assert run.steps == 40 and len(run.history) == 10 and not run.stopped


def test_it_does_what_a_bare_loop_does(tmp_path):
    recipe = tiny_recipe(weight_decay=0.1, max_grad_norm=0.5)
    batches = []
    data = Glows()
    run = train(tmp_path / "run", recipe, data=data)

    from vivit_lab.data.loader import ClipLoader

    loader = ClipLoader(data, batch_size=16, shuffle=True, seed=recipe.seed)
    for _ in range(recipe.epochs):
        batches += list(loader)
    model = tiny_model()
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1 and not plain(n)]
    others = [p for n, p in model.named_parameters() if p.ndim <= 1 or plain(n)]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}]
    )
    model.train()
    for step, batch in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate(step, 4)
        loss = nn.functional.cross_entropy(model(normalise(batch.clips)), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimiser.step()
        assert losses(tmp_path / "run")[step] == pytest.approx(loss.item(), abs=1e-6)
    assert_close_weights(model, run.model, 1e-6)


def plain(name):
    return name.endswith(("cls_token", "pos_embed"))


# ---- means that must not change the result


def test_microbatches_equal_the_big_batch(tmp_path):
    # SGD: the keys' biases have no gradient but rounding, which AdamW would scale up to a step
    recipe = tiny_recipe(optimiser="sgd", lr=0.05)
    big = train(tmp_path / "big", recipe)
    small = train(tmp_path / "small", recipe.change(accumulate=4))
    assert losses(tmp_path / "big") == pytest.approx(losses(tmp_path / "small"), abs=1e-5)
    assert_close_weights(big.model, small.model, 1e-5)


def test_checkpointing_changes_no_bit(tmp_path):
    model = tiny_model()
    run = train(tmp_path / "a")
    again = train(tmp_path / "b", tiny_recipe(checkpointing=True), model)
    assert same_weights(run.model, again.model)
    assert not model.grad_checkpointing  # as it was


def test_bf16_rounds_and_keeps_float32_weights(tmp_path):
    exact = train(tmp_path / "exact")
    rounded = train(tmp_path / "bf16", tiny_recipe(bf16=True))
    assert all(p.dtype == torch.float32 for p in rounded.model.parameters())
    assert not same_weights(exact.model, rounded.model)
    assert losses(tmp_path / "bf16") == pytest.approx(losses(tmp_path / "exact"), rel=0.02)


def test_the_samples_left_over_are_others_in_each_epoch(tmp_path):
    asked = []

    class Listening(Glows):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    train(tmp_path / "run", tiny_recipe(epochs=4), data=Listening(38))
    asked = asked[1:]  # the first is looked at before it begins
    epochs = [set(asked[i : i + 32]) for i in range(0, 4 * 32, 32)]
    assert len(asked) == 4 * 32 and all(len(epoch) == 32 for epoch in epochs)
    assert set.union(*epochs) == set(range(38))


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
    model = tiny_model()
    before = copy.deepcopy(model)
    train(tmp_path / "slow", recipe, model)
    plain = tiny_model()
    train(tmp_path / "plain", recipe.change(layer_decay=None), plain)

    def moved(after, prefix):
        pairs = zip(before.named_parameters(), after.parameters(), strict=True)
        return sum((p - q).norm() for (n, p), q in pairs if n.startswith(prefix)).item()

    share = [
        moved(model, p) / moved(plain, p)
        for p in ("patch_embed", "blocks.0.", "blocks.1.", "temporal_blocks.0.", "head")
    ]
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
    learner = tiny_model()
    run = train(tmp_path / "run", tiny_recipe(freeze=what), learner)
    start = tiny_model().state_dict()
    stayed = {n for n, value in run.model.state_dict().items() if torch.equal(value, start[n])}
    assert stayed == {n for n, p in model.named_parameters() if id(p) in frozen}
    assert all(p.requires_grad for p in learner.parameters())  # free again


def saved_bytes(model, clips):
    sizes = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(clips).sum()
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    return sum(size for place, size in sizes.items() if place not in parameters)


def test_frozen_spatial_encoder_keeps_nothing_for_the_way_back():
    clips = torch.zeros(8, 4, 3, 16, 16)
    model = tiny_model(drop_path=0.2, dropout=0.1).train()
    whole = saved_bytes(model, clips)
    freeze(model, "spatial_encoder")
    assert saved_bytes(model, clips) < 0.4 * whole
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


# ---- what it tells


def test_callback_gets_every_step_and_epoch(tmp_path):
    moments = []
    run = train(tmp_path / "run", validation=Glows(16, 1), callback=moments.append)
    steps = [moment for moment in moments if not moment.after_epoch]
    epochs = [moment for moment in moments if moment.after_epoch]
    assert [moment.step for moment in steps] == list(range(1, 9))
    assert [moment.epoch for moment in epochs] == [1, 2]
    assert [moment.loss for moment in steps] == losses(tmp_path / "run")
    mean = sum(moment.loss for moment in steps[:4]) / 4
    assert epochs[0].loss == pytest.approx(mean) == run.history[0]["loss"]
    assert epochs[0].validation == run.history[0]["validation"]
    assert all(m.clips_per_second > 0 and m.seconds_left >= 0 and m.steps == 8 for m in moments)
    assert steps[-1].seconds_left == 0


def test_its_pace_is_that_of_the_steps_alone(tmp_path, monkeypatch):
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

    train(tmp_path / "run", validation=Glows(16, 1), callback=callback, save_every=3)
    assert now[0] == 8 * 2 + 2 * 300 + 7 * 1000 + 2 * 5000 + 10 * 40
    assert {moment.clips_per_second for moment in moments} == {16 / 2}
    assert [m.seconds_left for m in moments if not m.after_epoch] == [14, 12, 10, 8, 6, 4, 2, 0]
    steps, epochs = read_log(tmp_path / "run")
    assert {entry["seconds"] for entry in steps} == {2}
    assert {entry["seconds"] for entry in epochs} == {300}


def test_last_epochs_and_the_best_are_kept(tmp_path, monkeypatch):
    accuracies = iter([0.5, 0.9, 0.7, 0.9, 0.1])
    monkeypatch.setattr(
        "vivit_lab.training.loop.validate", lambda *_: {"top1": next(accuracies), "top5": 1.0}
    )
    kept = []

    def callback(moment):
        if moment.after_epoch:
            kept.append(copy.deepcopy(moment.model))

    train(tmp_path, tiny_recipe(epochs=5), validation=Glows(16), keep=2, callback=callback)
    names = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert names == [
        "best.safetensors", "epoch-0004.safetensors", "epoch-0005.safetensors", "state.safetensors",
    ]  # fmt: skip
    best, _ = load_checkpoint(tmp_path / "best.safetensors")
    assert same_weights(best, kept[1])  # the first of two equals
    history = read_checkpoint_info(tmp_path / "epoch-0005.safetensors").history
    assert history[0]["recipe"]["lr"] == 2e-3 and history[0]["versions"]["torch"]
    assert [entry["validation"]["top1"] for entry in history[1:]] == [0.5, 0.9, 0.7, 0.9, 0.1]


def test_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        train(tmp_path / "without", tensorboard=True)
    written = []

    class Writer:
        def __init__(self, folder): ...

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def close(self):
            written.append("closed")

    monkeypatch.setattr("vivit_lab.training.loop._summary_writer", Writer)
    train(tmp_path / "with", tensorboard=True, validation=Glows(16))
    assert [w[1] for w in written if w[0] == "step/loss"] == losses(tmp_path / "with")
    assert [w[2] for w in written if w[0] == "epoch/validation/top1"] == [4, 8]
    assert written[-1] == "closed"


def test_overfitting_one_batch():
    model = tiny_model()
    before = copy.deepcopy(model)
    result = overfit_one_batch(model, Glows(), device="cpu", steps=80)
    assert result.ok and "by heart" in str(result) and same_weights(model, before)

    class Contradiction(Glows):
        def __getitem__(self, index):
            return self.clips[0], index % 4

    result = overfit_one_batch(tiny_model(), Contradiction(), device="cpu")
    assert not result.ok and "Not learnt" in str(result)


# ---- what goes wrong


def test_nan_stops_before_the_weights_are_touched(tmp_path):
    model, kept = tiny_model(), {}

    def poison(moment):
        if moment.step == 5:
            with torch.no_grad():
                model.head.weight[0, 0] = float("nan")
            kept.update(copy.deepcopy(model.state_dict()))

    with pytest.raises(TrainingError, match=r"loss is nan at step 6 .*head\.weight first"):
        train(tmp_path / "run", model=model, callback=poison)
    assert all(
        torch.equal(value.nan_to_num(9), kept[name].nan_to_num(9))
        for name, value in model.state_dict().items()
    )
    steps, epochs = read_log(tmp_path / "run")
    assert len(steps) == 5 and len(epochs) == 1
    assert load_checkpoint(tmp_path / "run" / "epoch-0001.safetensors")


def test_divergence_stops(tmp_path):
    def blow_up(moment):
        if moment.step == 3:
            with torch.no_grad():
                model.head.weight.mul_(3000)

    model = tiny_model()
    recipe = tiny_recipe(epochs=30, max_grad_norm=None)
    message = r"diverged: the loss is \d+\.\d+ on average at step \d.* lr=0.00067, max_grad_norm"
    with pytest.raises(TrainingError, match=message):
        train(tmp_path / "run", recipe, model, callback=blow_up)
    assert len(read_log(tmp_path / "run")[0]) >= 3


def test_infinite_gradient_stops(tmp_path):
    model = tiny_model()
    model.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingError, match=r"gradient is (inf|nan) at step 1 .*No step was taken"):
        train(tmp_path / "run", model=model)


def test_full_disk_leaves_the_previous_state(tmp_path, monkeypatch):
    def fill(moment):
        if moment.step == 5:
            kept.append((tmp_path / "run" / "state.safetensors").read_bytes())
            monkeypatch.setattr("vivit_lab.weights.files.os.fsync", no_room)

    def no_room(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = []
    whole = train(tmp_path / "whole")
    with pytest.raises(TrainingError, match="No space left.*as it was, whole.*resume=True"):
        train(tmp_path / "run", callback=fill, save_every=2)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == kept[0]
    assert not list((tmp_path / "run").glob(".*")), "nothing half written is left"
    monkeypatch.undo()
    again = train(tmp_path / "run", model=tiny_model(seed=9), resume=True)
    assert same_weights(whole.model, again.model)


def test_out_of_memory_says_what_would_fit(tmp_path, monkeypatch):
    class TooLarge(nn.Module):
        def forward(self, x):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    model = tiny_model()
    model.norm = TooLarge()
    with pytest.raises(TrainingError, match="(?s)Out of memory.*16 clips.*accumulate=2 .*bf16"):
        train(tmp_path / "run", model=model)


def test_a_reader_that_was_killed_is_not_the_model_being_too_large():
    said = "A worker ended unexpectedly. If nobody ended it, the machine may have run out of memory"
    assert not is_out_of_memory(LoadingError(said)) and is_out_of_memory(RuntimeError(said))


def test_what_would_fit_goes_on_until_something_does():
    recipe, model = tiny_recipe(batch=64), tiny_model()
    needed = {n: step_bytes(model, recipe.change(accumulate=n)) for n in (1, 2, 4, 8, 16, 32, 64)}
    said = what_would_fit(model, recipe, 1, needed[8] + 1)
    fitting = [line.split("  ")[1] for line in said.splitlines() if line.endswith("  fits")]
    assert fitting[0] == "accumulate=8" and "accumulate=4 " not in said
    least = what_would_fit(model, recipe.change(mixup=0.2), 1, 1)  # mixup wants two clips
    assert "accumulate=32" in least and "accumulate=64" not in least
    assert "accumulate=64" in what_would_fit(model, recipe, 1, 1)
    assert "accumulate=8" in what_would_fit(model, recipe.change(accumulate=4), 1, None)


def test_a_full_disk_under_the_log_is_told_once(tmp_path, monkeypatch):
    def no_room(*_):
        return open("/dev/full", "ab", buffering=0)

    monkeypatch.setattr(RunFolder, "open_log", no_room)
    with pytest.raises(TrainingError, match="No space left.*as it was, whole.*resume=True"):
        train(tmp_path / "run")


def test_a_head_for_other_labels_has_not_diverged(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.head.weight.mul_(300)  # very sure, and mostly wrong
    run = train(tmp_path / "run", tiny_recipe(warmup_epochs=1), model)
    assert losses(tmp_path / "run")[0] > 4 * chance_loss(4) and run.steps == 8


def test_an_error_in_the_validation_costs_no_epoch(tmp_path):
    class Gone(Glows):
        def __getitem__(self, index):
            if index == 3:  # the first one is looked at before training
                raise OSError("stale file handle")
            return super().__getitem__(index)

    whole = train(tmp_path / "whole", validation=Glows(16))
    with pytest.raises(RuntimeError, match="stale file handle"):
        train(tmp_path / "run", validation=Gone(16))
    assert len(losses(tmp_path / "run")) == 4  # a whole epoch
    taken = []
    again = train(tmp_path / "run", model=tiny_model(seed=9), validation=Glows(16), resume=True,
                  callback=lambda moment: taken.append(moment.step))  # fmt: skip
    assert taken == [4, 5, 6, 7, 8, 8]  # first after the epoch: it is not taken again
    assert same_weights(whole.model, again.model) and again.history == whole.history
    assert logged(tmp_path / "run") == logged(tmp_path / "whole")


@pytest.mark.parametrize("heads", [("red",), ("red", "blue", "green")])
def test_every_head_needs_labels_and_no_other_has_any(tmp_path, heads):
    class Odd(Glows):
        class_names = None  # so that the labels alone tell
        classes = None

        def __getitem__(self, index):
            names = ("red", "blue") if index < first_odd else heads
            return self.clips[index], dict.fromkeys(names, index % 2)

    model = tiny_model(num_classes={"red": 2, "blue": 2})
    first_odd = 0
    with pytest.raises(ValueError, match="has the heads 'red'.*but the model has 'red', 'blue'"):
        train(tmp_path / "run", model=model, data=Odd())
    first_odd = 60
    with pytest.raises(LoadingError, match="labels are for different heads"):
        train(tmp_path / "run", model=model, data=Odd())


def test_mixup_needs_a_partner(tmp_path):
    recipe = tiny_recipe(mixup=0.8, accumulate=16)
    with pytest.raises(ValueError, match="parts of one clip.* mixup=0, or batch=32"):
        train(tmp_path / "run", recipe)
    assert not (tmp_path / "run").exists()
    assert train(tmp_path / "run", recipe.change(accumulate=8)).steps == 8


@pytest.mark.parametrize("name", ["save_every", "keep"])
def test_counts_of_saving_are_checked_before_the_folder_is_made(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is 0, but must be at least 1"):
        train(tmp_path / "run", **{name: 0})
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_are_numbers(tmp_path):
    recipe = tiny_recipe(batch=np.int64(16), epochs=np.int32(1), seed=np.int64(3))
    assert train(tmp_path / "run", recipe).steps == 4
    assert type(recipe).load(tmp_path / "run" / "recipe.json") == recipe


class Floats(Glows):
    def __getitem__(self, index):
        clip, label = super().__getitem__(index)
        return clip / 127.5 - 1, label


def catalog_of(count=4):
    segments = [Segment(sample("counter"), label=i % 2) for i in range(count)]
    return Catalog(segments, ["even", "odd"], source="here")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Floats(), "clips of torch.float32, but must have uint8"),
        (ViewDataset(catalog_of()), "is a ViewDataset, which is for testing"),
        (ClipDataset(catalog_of()), r"\(32, 3, 224, 224\), but the model was built for \(4, 3"),
    ],
)
def test_clips_of_another_kind_are_refused_before_anything_is_written(tmp_path, data, message):
    classes = 2 if hasattr(data, "catalog") else 4
    with pytest.raises((ValueError, TypeError), match=message):
        train(tmp_path / "run", tiny_recipe(batch=2), tiny_model(num_classes=classes), data)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "label, message",
    [(4, "sample 7 has the label 4, .* 0 to 3"), (-1, "sample 7 has the label -1")],
)
def test_labels_out_of_range_are_found_in_the_batch(tmp_path, label, message):
    data = Glows()
    data.labels[7] = label
    with pytest.raises(TrainingError, match=message):
        train(tmp_path / "run", data=data)


class One(Glows):
    classes = ("all the same",)


class Renamed(Glows):
    classes = ("neither", "red", "blue", "both")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"data": Glows(0)}, "training set is empty"),
        ({"validation": Glows(0)}, "validation set is empty"),
        ({"model": tiny_model(num_classes=1)}, "model has one class"),
        ({"data": One(), "model": tiny_model(num_classes=2)}, "set has one class"),
        ({"model": tiny_model(num_classes=5)}, "has 4 classes, but the model has 5"),
        ({"data": Glows(heads=True)}, "has the heads 'red', 'blue'"),
        ({"data": Glows(12)}, "12 clips, too few for a batch of 16: set batch=12 or less"),
        ({"model": tiny_model(frames=8)}, r"\(4, 3, 16, 16\), but the model was built"),
        ({"recipe": tiny_recipe(drop_path=0.1)}, "drop_path = 0.1, but the model was built with 0"),
        ({"model": tiny_model(model="joint"), "recipe": tiny_recipe(freeze="spatial_encoder")},
         "no temporal encoder"),
        ({"device": "cuda"}, "device is 'cuda', but torch sees no NVIDIA GPU"),
        ({"device": "gpu"}, "'gpu', which is not one of"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, change, message
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_class_names_in_another_order_are_refused(tmp_path):
    model = tiny_model()
    model.class_names = Glows.classes
    with pytest.raises(ValueError, match="calls class 1 'red', .* calls it 'blue'"):
        train(tmp_path / "run", model=model, data=Renamed())


def test_batch_that_cannot_be_shared_out(monkeypatch):
    accelerator = open_accelerator("cpu")
    monkeypatch.setattr(type(accelerator), "num_processes", 3)
    with pytest.raises(ValueError, match="3 devices .* 3 equal parts; 15 or 18 would do"):
        open_loader(Glows(), tiny_recipe(), accelerator, 0)
    with pytest.raises(ValueError, match="3 equal parts; 3 would do"):
        open_loader(Glows(), tiny_recipe(batch=2), accelerator, 0)


def test_precision_and_device_can_be_chosen_again_in_one_process(tmp_path):
    for number, device in enumerate(("cpu", "auto", "cpu")):
        recipe = tiny_recipe(epochs=1, bf16=number == 1)
        assert train(tmp_path / str(number), recipe, device=device).steps == 4
