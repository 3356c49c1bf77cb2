"""A run that was cut off and goes on ends with the weights of the run that was not, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import Glows, assert_near, logged, same_weights, tiny_model, tiny_recipe

from vivit_lab.data import Catalog, ClipDataset, Segment
from vivit_lab.io import write_safetensors
from vivit_lab.training import TrainingError, fit, read_log
from vivit_lab.training.loop import seed_step
from vivit_lab.training.run import FIELD, FinishedWarning, identity_of
from vivit_lab.video import ByFrame, Preprocessing, TrainTransform
from vivit_lab.weights import load_checkpoint
from vivit_lab.weights.files import read_safetensors

# all that draws or remembers: mixup, stochastic depth, dropout, averaged weights, microbatches
RESTLESS = {"mixup": 0.4, "drop_path": 0.2, "ema": 0.9, "accumulate": 2, "label_smoothing": 0.1}
RECIPE = tiny_recipe(epochs=3, **RESTLESS)


def restless_model(**changes):
    return tiny_model(drop_path=0.2, dropout=0.1, **changes)


def train(folder, recipe=RECIPE, *, resume=False, model=None, data=None, **options):
    model = restless_model(seed=3 if resume else 0) if model is None else model  # other weights
    options = {"save_every": 3, "device": "cpu", "progress": False, "resume": resume} | options
    data = Glows() if data is None else data
    return fit(model, data, recipe=recipe, folder=folder, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run of RECIPE that nothing interrupted."""
    return train(tmp_path_factory.mktemp("whole") / "run")


def stop_at(step):
    return lambda moment: setattr(moment.control, "stop", moment.step == step)


def assert_same(again, whole):
    """Weights, state, history and log, to the last bit."""
    assert same_weights(whole.model, again.model) and again.history == whole.history
    states = [read_safetensors(run.folder / "state.safetensors")[0] for run in (whole, again)]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][name].equal(states[1][name]) for name in states[0])
    texts = [read_safetensors(run.folder / "state.safetensors")[1][FIELD] for run in (whole, again)]
    assert json.loads(texts[0]) == json.loads(texts[1])  # counters, and the scaler of float16
    assert logged(again.folder) == logged(whole.folder)


class Cut(Exception):
    pass


def test_going_on_gives_the_same_weights_to_the_last_bit(tmp_path, whole):
    sgd = RECIPE.change(name="sgd", optimiser="sgd", lr=0.05, momentum=0.9)
    half = RECIPE.change(name="half", precision="fp16")
    pairs = [(recipe, train(tmp_path / recipe.name, recipe)) for recipe in (sgd, half)]
    for recipe, wanted in [(RECIPE, whole), *pairs]:
        for step in (1, 5, 8):  # nothing but the start was saved; in mid epoch; at its very end

            def cut(moment, step=step):
                if moment.step == step and not moment.after_epoch:
                    raise Cut

            folder = tmp_path / f"{recipe.name}{step}"
            with pytest.raises(Cut):
                train(folder, recipe, callback=cut)
            assert_same(train(folder, recipe, resume=True), wanted)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from test_resume import train
def slow(moment):
    print(moment.step, flush=True)
    time.sleep(0.05)
train({folder!r}, callback=slow, save_every=1, workers=1)
"""


def test_kill_9_in_mid_epoch(tmp_path, whole):
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 6:
            os.kill(process.pid, signal.SIGSTOP)  # alive, and in the middle
            break
    with pytest.raises(FileExistsError, match="Another process trains in the folder"):
        train(tmp_path / "killed", resume=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.read()  # returns when the last process that it had started is gone
    assert 6 <= len(read_log(tmp_path / "killed")[0]) < 12
    left = tmp_path / "killed" / ".state.safetensors.0a1b2c3d.part"
    left.write_bytes(b"half")  # as it may leave one
    assert_same(train(tmp_path / "killed", resume=True), whole)
    assert not list((tmp_path / "killed").glob(".*"))


def test_a_process_killed_while_it_wrote_its_first_files(tmp_path, whole, monkeypatch):
    (tmp_path / ".run.json.0a1b2c3d.part").write_bytes(b"{")  # the very first
    written = []

    def killed(path, content):
        if len(written) == 1:
            raise Cut
        written.append(path.name)
        path.write_text(content)

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr("vivit_lab.training.run.io.write_atomically", killed)
        patched.setattr(type(RECIPE), "save", lambda self, path: killed(path, ""))
        train(tmp_path, resume=True)
    assert written == ["run.json"] == [path.name for path in tmp_path.iterdir()]
    assert_same(train(tmp_path, resume=True, model=restless_model()), whole)
    assert not list(tmp_path.glob(".*"))


def test_callbacks_workers_and_random_numbers_of_yours_change_nothing(tmp_path, whole):
    model = restless_model()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    callback = lambda moment: torch.rand(7)  # noqa: E731
    assert_same(train(tmp_path / "busy", callback=callback, workers=2, model=model), whole)
    assert torch.equal(torch.get_rng_state(), before)  # and yours stay as they were


def test_every_seed_step_and_process_draws_numbers_of_its_own():
    drawn = set()
    with torch.random.fork_rng([]):
        for place in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)):
            seed_step(*place, torch.device("cpu"))
            drawn.add(torch.rand(1).item())
    assert len(drawn) == 4  # and the same for the same


def test_stop_by_callback_saves_and_resume_goes_on(tmp_path, whole):
    first = train(tmp_path / "run", callback=stop_at(5), save_every=100)
    assert first.stopped and first.steps == 5 and not first.model.training
    with open(tmp_path / "run" / "log.jsonl", "ab") as file:  # as a power cut may leave it
        file.write(b"\0" * 40 + b"\n[1, 2]\n")
    with pytest.warns(UserWarning, match=r"log.jsonl, line \d+ cannot be read"):
        again = train(tmp_path / "run", resume=True)
    assert not again.stopped
    assert_same(again, whole)
    with pytest.warns(FinishedWarning, match=r"finished, after 3 epochs.*--init \S*run "):
        finished = train(tmp_path / "run", resume=True)  # is left as it is
    assert finished.steps == 12
    assert_same(finished, whole)


def test_a_changed_learning_rate_is_kept(tmp_path):
    def callback(moment):
        if moment.step == 2:
            moment.control.lr_scale = 0.25
        moment.control.stop = moment.step == 3 and cut

    cut = False
    slower = train(tmp_path / "whole", callback=callback)
    rates = [entry["lr"] for entry in read_log(tmp_path / "whole")[0]]
    expected = [RECIPE.learning_rate(step, 4) * (1 if step < 2 else 0.25) for step in range(12)]
    assert rates == pytest.approx(expected)
    cut = True
    train(tmp_path / "cut", callback=callback)
    assert_same(train(tmp_path / "cut", resume=True), slower)


def test_what_may_not_change(tmp_path):
    train(tmp_path / "run", callback=stop_at(1))
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    renamed, other, sampled = restless_model(), Glows(), Glows()
    sampled.sampling = ByFrame(4, 2)
    renamed.class_names = other.classes = tuple("abcd")
    for change, error, words in (
        ({"resume": False}, FileExistsError, "resume=True"),
        ({"recipe": RECIPE.change(lr=0.5)}, TrainingError, r"recipe, with lr 0\.002, not 0\.5\."),
        ({"model": restless_model(dim=32)}, TrainingError, "another model, with dim 16, not 32"),
        ({"model": renamed}, ValueError, "calls class 0 'neither', but the model calls it 'a'"),
        ({"data": Glows(48)}, TrainingError, "training samples 64, not 48"),
        ({"data": sampled}, TrainingError, r"training sampling None, not ByFrame\(.*--init \S*run"),
        ({"validation": Glows()}, TrainingError, "validation kind None, not Glows"),
        ({"data": other}, TrainingError, r"another model, with class_names \['neither', "),
    ):
        with pytest.raises(error, match=words):
            train(tmp_path / "run", **({"resume": True} | change))
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before
    other = tmp_path / "other" / "thesis.tex"
    other.parent.mkdir()
    other.write_text("years of work")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match="other files, and no run"):
            train(other.parent, resume=resume)
    assert list(other.parent.iterdir()) == [other] and other.read_text() == "years of work"


def test_where_a_run_started_may_be_unknown_but_not_another(tmp_path, monkeypatch):
    recipe = RECIPE.change(epochs=1, warmup_epochs=0, init="runs/a")
    with monkeypatch.context() as older:  # which wrote no such field
        fields = recipe.to_dict()
        older.setattr(
            type(recipe), "to_dict", lambda _: {k: fields[k] for k in fields.keys() - {"init"}}
        )
        train(tmp_path / "old", recipe, callback=stop_at(1))
    assert train(tmp_path / "old", recipe, resume=True).steps == 4
    train(tmp_path / "new", recipe, callback=stop_at(1))
    with pytest.raises(TrainingError, match="another recipe, with init runs/a, not runs/b"):
        train(tmp_path / "new", recipe.change(init="runs/b"), resume=True)


def test_a_run_that_saved_no_step_gives_way_to_the_corrected_command(tmp_path, whole):
    def cut(moment):
        raise Cut

    folder = tmp_path / "run"
    for resume in (False, True):
        with pytest.raises(Cut):
            train(folder, RECIPE.change(lr=0.5), callback=cut, resume=resume)
    assert_same(train(folder), whole)
    assert json.loads((folder / "run.json").read_text())["recipe"]["lr"] == RECIPE.lr
    with pytest.raises(FileExistsError, match="holds a run already"):
        train(folder)


def test_data_are_known_by_what_they_are_and_not_by_where_they_lie(tmp_path):
    def identity(folder="a", size=3, label=0, stride=2, flip=0.5, seed=0):
        file = tmp_path / folder / "clip.mp4"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x" * size)
        catalog = Catalog([Segment(file, label)], ["a", "b"], str(file.parent))
        transform = TrainTransform(flip=flip)
        return identity_of(training=ClipDataset(catalog, ByFrame(4, stride), transform, seed))

    first = identity()
    assert identity(folder="b") == first
    for change in ({"size": 4}, {"label": 1}, {"stride": 3}, {"flip": 0}, {"seed": 1}):
        assert identity(**change) != first, change
    function, other = Glows(), Glows()
    function.transform, other.transform = (lambda clip: clip for _ in range(2))
    assert identity_of(training=function) == identity_of(training=other)


def test_a_state_of_an_older_version_goes_on(tmp_path, whole):
    train(tmp_path / "run", callback=stop_at(5))
    tensors, texts = read_safetensors(tmp_path / "run" / "state.safetensors")
    document = json.loads(texts[FIELD]) | {"best": None}
    del document["data"], document["loader"]["bad"], document["recipe"]["patience"]
    texts = {FIELD: json.dumps(document)}
    write_safetensors(tmp_path / "run" / "state.safetensors", tensors, texts)
    assert_same(train(tmp_path / "run", resume=True), whole)


def test_the_scale_of_pixels_goes_on_with_the_run(tmp_path):
    """The model that goes on is often a bare one: its weights are in the state."""
    scale = {"mean": (0.4, 0.4, 0.4), "std": (0.2, 0.3, 0.2)}
    ends = []
    for stops in (False, True):
        model = restless_model()
        model.preprocessing = Preprocessing(ByFrame(4, 1), 16, 16, **scale)
        run = train(tmp_path / f"{stops}", model=model, callback=stop_at(3) if stops else None)
        ends.append(train(tmp_path / f"{stops}", resume=True) if stops else run)
    assert ends[1].model.preprocessing.mean == (0.4, 0.4, 0.4)
    assert_same(*ends)


def test_means_may_change_when_a_run_goes_on(tmp_path):
    recipe = tiny_recipe(optimiser="sgd", lr=0.05)
    whole = train(tmp_path / "whole", recipe, model=tiny_model())
    train(tmp_path / "run", recipe, callback=stop_at(5), model=tiny_model())
    other = recipe.change(accumulate=4, checkpointing=True, name="small GPU", notes=("in parts",))
    again = train(tmp_path / "run", other, resume=True, model=tiny_model(seed=3))
    assert_near(whole.model, again.model)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["recipe"]["accumulate"] == 1
    assert [entry["recipe"]["accumulate"] for entry in about["resumed"]] == [4]
    assert type(recipe).load(tmp_path / "run" / "recipe.json") == other  # and so it goes on again


def test_the_folder_says_how_to_repeat_the_run(whole):
    assert {path.name for path in whole.folder.iterdir()} == {
        "run.json", "recipe.json", "log.jsonl", "state.safetensors",
        "epoch-0002.safetensors", "epoch-0003.safetensors",
    }  # fmt: skip
    about = json.loads((whole.folder / "run.json").read_text())
    assert about["command"][1:] == sys.argv and about["versions"]["torch"]
    assert about["training set"]["samples"] == 64
    assert type(RECIPE).load(whole.folder / "recipe.json") == RECIPE
    _, report = load_checkpoint(whole.folder / "epoch-0002.safetensors")
    assert report.class_names == Glows.classes
