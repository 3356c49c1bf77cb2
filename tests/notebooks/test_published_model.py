"""Notebook 04 with the files of a published model at hand: another path than the committed one."""

import matplotlib
import torch
from build import SOURCES, unexecuted

from vivit_lab import ViViTConfig, build_model
from vivit_lab.weights import save_huggingface


def test_it_names_what_a_model_of_transformers_sees_and_shows_where_it_looks(tmp_path, capsys):
    matplotlib.use("Agg")
    torch.manual_seed(0)
    config = ViViTConfig(frames=4, image_size=16, tubelet=(2, 8, 8), dim=12, heads=2, depth=2,
                         mlp_dim=8, num_classes=3)  # fmt: skip
    save_huggingface(build_model(config), tmp_path / "vivit", ["dive", "jump", "run"])
    (source,) = (each for each in SOURCES if each.stem.startswith("04"))
    cells = [cell.source for cell in unexecuted(source).cells if cell.cell_type == "code"]
    parts = "import copy\n", "def strips(", 'PUBLISHED = ""', "def where_it_looks("
    chosen = [cell for part in parts for cell in cells if part in cell]
    assert len(chosen) == len(parts)
    shown = {}
    code = "\n".join(chosen).replace('PUBLISHED = ""', f"PUBLISHED = {str(tmp_path / 'vivit')!r}")
    exec(code, shown)
    told = capsys.readouterr().out
    assert "jump" in told and "hf download" not in told
    titles = [ax.get_title(loc="left") for ax in shown["plt"].gcf().axes]
    assert titles[0] == "clip" and titles[len(titles) // 2] == "rollout of the class token"
    shown["plt"].close("all")
