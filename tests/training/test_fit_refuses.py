"""What does not fit is refused before anything is written; what memory is short of is said."""

import weakref
from types import SimpleNamespace

import pytest
import torch
from test_fit import train
from tiny_training import Glows, tiny_model, tiny_recipe
from torch import nn
from torch.utils.data import IterableDataset

from vivit_lab import ViViTConfig
from vivit_lab.analysis import cost
from vivit_lab.data import ClipDataset, ViewDataset, sample
from vivit_lab.data.catalog import Catalog, Segment
from vivit_lab.data.loader import LoadingError
from vivit_lab.training import TrainingError, evaluation, overfit_one_batch
from vivit_lab.training.loop import open_loader
from vivit_lab.training.optim import open_accelerator
from vivit_lab.training.sanity import free_bytes, is_out_of_memory, step_bytes, what_would_fit

GIB = 2**30


class Renamed(Glows):
    classes = ("neither", "red", "blue", "both")


class Endless(IterableDataset):
    def __iter__(self):
        return iter(())


class Floats(Glows):
    def __getitem__(self, index):
        clip, label = super().__getitem__(index)
        return clip / 127.5 - 1, label


def catalog_of(*labels):
    segments = [Segment(sample("counter"), label=label) for label in labels]
    return Catalog(segments, ["even", "odd"], source="here")


def named_model():
    model = tiny_model()
    model.class_names = Glows.classes
    return model


def clips(*labels) -> dict:
    model = tiny_model(num_classes=2, frames=32, image_size=224)
    return {"data": ClipDataset(catalog_of(*labels)), "model": model}


REFUSED = [
    ({"data": Glows(0)}, "training set is empty"),
    ({"validation": Glows(0)}, "validation set is empty"),
    ({"model": tiny_model(num_classes=1)}, "model has one class"),
    ({"model": tiny_model(temporal_depth=0), "recipe": tiny_recipe(freeze="spatial_encoder")},
     "no temporal encoder of its own: .* temporal_depth = 0"),
    ({"recipe": tiny_recipe(accumulate=5)}, "batch is 16, .* 5 equal parts; 20 is possible"),
    ({"model": tiny_model(num_classes=5)}, "has 4 classes, but the model has 5"),
    ({"data": Renamed(), "model": named_model()}, "calls class 1 'red', .* calls it 'blue'"),
    ({"data": Glows(heads=True)}, "has the classifiers 'red', 'blue'"),
    ({"data": Glows(12)}, "12 clips, too few for a batch of 16"),
    ({"model": tiny_model(frames=8)}, r"\(4, 3, 16, 16\), but the model was built"),
    ({"data": Floats()}, "clips of torch.float32, but must have uint8"),
    ({"data": ViewDataset(catalog_of(0, 1)), "model": tiny_model(num_classes=2)},
     "is a ViewDataset, which is for testing"),
    ({"data": ClipDataset(catalog_of(0, 1)), "model": tiny_model(num_classes=2)},
     r"\(32, 3, 224, 224\), but the model was built for \(4, 3"),
    (clips(0, 0), "holds clips of one class only"),
    (clips(0, None), "the label of .*counter.* is missing"),
    (clips(0, 2), "the label of .*counter.* is 2; the model has 0 to 1"),
    ({"recipe": tiny_recipe(drop_path=0.1)}, "drop_path = 0.1, but the model was built with 0"),
    ({"recipe": tiny_recipe(mixup=0.8, accumulate=16)},
     "parts of one clip.* mixup=0, or batch=32"),
    ({"device": "cuda"}, "device is 'cuda', but torch sees no NVIDIA GPU"),
    ({"device": "gpu"}, "'gpu', which is not one of"),
    ({"recipe": tiny_recipe(patience=3)}, "patience is 3, but there is no validation set"),
    ({"validation": Endless()}, "data is Endless, but must be a data set with numbered samples"),
    ({"save_every": 0}, "save_every is 0, but must be at least 1"),
    ({"keep": 0}, "keep is 0, but must be at least 1"),
]  # fmt: skip


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for change, message in REFUSED:
        with pytest.raises((ValueError, TypeError), match=message):
            train(tmp_path / "run", **change)
        assert not (tmp_path / "run").exists(), message
    assert train(tmp_path / "run", tiny_recipe(mixup=0.8, accumulate=8)).steps == 8


def test_a_batch_that_cannot_be_shared_out(monkeypatch):
    accelerator = open_accelerator("cpu")
    monkeypatch.setattr(type(accelerator), "num_processes", 3)
    with pytest.raises(ValueError, match="3 devices .* 3 equal parts; 18 is possible"):
        open_loader(Glows(), tiny_recipe(), accelerator, 0)
    with pytest.raises(ValueError, match="3 equal parts; 3 is possible"):
        open_loader(Glows(), tiny_recipe(batch=2), accelerator, 0)


def test_every_head_needs_labels_and_no_other_has_any(tmp_path):
    class Odd(Glows):
        class_names = classes = None  # so that the labels alone tell

        def __getitem__(self, index):
            names = ("red", "blue") if index < first_odd else heads
            return self.clips[index], dict.fromkeys(names, index % 2)

    model = tiny_model(num_classes={"red": 2, "blue": 2})
    for heads in (("red",), ("red", "blue", "green")):
        first_odd = 0
        message = "has the classifiers 'red'.*but the model has the classifiers 'red', 'blue'"
        with pytest.raises(ValueError, match=message):
            train(tmp_path / "run", model=model, data=Odd())
        first_odd = 60
        with pytest.raises(LoadingError, match="labels are for different classifiers"):
            train(tmp_path / f"run{len(heads)}", model=model, data=Odd())


def test_labels_out_of_range_are_found_in_the_batch(tmp_path):
    for label, message in (
        (4, "sample 7 has the label 4, .* 0 to 3"),
        (-1, "sample 7 .* label -1"),
    ):
        data = Glows()
        data.labels[7] = label
        with pytest.raises(TrainingError, match=message):
            train(tmp_path / str(label), data=data)


# ---- memory


def test_out_of_memory_says_what_would_fit(tmp_path):
    class TooLarge(nn.Module):
        def forward(self, x):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    model = tiny_model()
    model.norm = TooLarge()
    with pytest.raises(TrainingError, match="(?s)Not enough memory.*16 clips.*accumulate=2 .*bf16"):
        train(tmp_path / "run", model=model)
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
    assert step_bytes(model, recipe.change(precision="bf16")) < needed[1]


def test_what_clearly_does_not_fit_is_not_tried(tmp_path, monkeypatch):
    import psutil

    recipe, model = tiny_recipe(batch=64), tiny_model()
    needed, there = step_bytes(model, recipe), sum(p.nbytes for p in model.parameters())
    for share, frozen, refused in (
        (0.5, None, True),
        (0.914, None, False),  # the weights lie there already, and a count is a count
        (0.5, "all_but_head", False),  # it keeps less than is counted
    ):
        memory = SimpleNamespace(available=int(share * needed) - there)  # beside the weights
        monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
        folder, own = tmp_path / f"{share}{frozen}", recipe.change(freeze=frozen)
        if refused:
            with pytest.raises(ValueError, match="(?s)Not enough memory.*accumulate=4 .*  fits"):
                train(folder, own, model)
            with pytest.raises(ValueError, match="Not enough memory"):
                overfit_one_batch(model, Glows(), clips=64, device="cpu", recipe=own)
            assert not folder.exists()
        else:
            assert train(folder, own, tiny_model()).steps == 2


def test_free_on_a_gpu_is_also_what_torch_holds_unused(monkeypatch):
    pretended = {"mem_get_info": (3 * GIB, 16 * GIB), "memory_reserved": 9 * GIB}
    for name, value in (pretended | {"memory_allocated": 4 * GIB}).items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    cuda = torch.device("cuda")
    assert free_bytes(cuda) == 8 * GIB
    config = SimpleNamespace(config=ViViTConfig.preset("B/16x2"))
    weight = SimpleNamespace(is_cuda=True, dtype=torch.float32, device=cuda)
    monkeypatch.setattr(evaluation, "_a_weight", lambda model: weight)
    views = evaluation.views_that_fit(config)
    assert views == 4 * GIB // cost(config.config).activation_bytes
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device_type: device_type == "cuda")
    assert evaluation.views_that_fit(config) == 4 * GIB // (
        cost(config.config, dtype="bfloat16").activation_bytes
    )


def test_after_out_of_memory_nothing_of_the_step_stays_alive(tmp_path, monkeypatch):
    """Jupyter keeps the last error, and an error keeps the frames that it came through."""
    alive, optimisers, build = [], [], torch.optim.AdamW

    def building(*args, **options):
        optimisers.append(build(*args, **options))
        return optimisers[-1]

    class Fills(nn.LayerNorm):
        def forward(self, x):
            kept = super().forward(x)
            alive.append(weakref.ref(kept))
            if len(alive) == 3:
                for tensors in optimisers.pop().state.values():
                    alive.extend(map(weakref.ref, tensors.values()))
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return kept

    monkeypatch.setattr(torch.optim, "AdamW", building)
    data = Glows()
    for call, error in (
        (lambda model: train(tmp_path / "run", tiny_recipe(ema=0.9), model, data), TrainingError),
        (lambda model: overfit_one_batch(model, data, device="cpu"), torch.OutOfMemoryError),
    ):
        model = tiny_model()
        model.norm = Fills(model.config.dim)
        with pytest.raises(error) as kept:
            call(model)
        assert kept.value.__traceback__ and len(alive) > 20
        assert not any(each() is not None for each in alive), error
        assert all(parameter.grad is None for parameter in model.parameters())
        alive.clear()
