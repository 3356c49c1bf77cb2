"""The block explorer shows the models' own numbers, and a press on a token asks for that token."""

import torch
from written import check_readable, written

from vivit_lab.analysis import logit_lens, token_similarity
from vivit_lab.models import MODELS
from vivit_lab.video import normalise
from vivit_lab.widgets import BlockExplorer
from vivit_lab.widgets.attention_explorer import models
from vivit_lab.widgets.footage import arrow_clip


def regions(explorer, **at) -> list[dict]:
    """Those of the picture that stand for this."""
    return [each for each in explorer.picture.scene["regions"] if at.items() <= each["at"].items()]


def test_hovering_says_the_probabilities_and_the_cosines_of_the_models():
    explorer = BlockExplorer("turns clockwise", model="factorised_encoder")
    explorer.number.value = 4
    pixels = normalise(arrow_clip("turns clockwise", 4, 8, 48).frames())[None]
    for name in MODELS:
        (table,) = (each for each in regions(explorer, model=name) if "values" in each)
        rows = logit_lens(models()["trained"][name], pixels).softmax(-1)
        assert table["values"] == [f"{100 * share:.1f} %" for share in rows.T.flatten().tolist()]
        assert table["across"][1] == [*range(len(rows))]
    explorer._on_touch({"press": {"step": 3, "row": 0, "column": 5}})
    assert [slider.value for slider in explorer.place] == [3, 0, 5]
    alike = token_similarity(models()["trained"]["factorised_encoder"], pixels, (3, 0, 5))
    for step in range(4):
        _, *maps = regions(explorer, step=step)
        found = torch.tensor([each["values"] for each in maps]).view(alike[:, step].shape)
        torch.testing.assert_close(found, alike[:, step], atol=0.0051, rtol=0)
    for name in explorer.shape.options:
        with written() as lines:
            explorer.shape.value = name
        check_readable(lines, explorer.width, explorer.height)
    explorer._on_touch({"press": {"model": "joint"}})
    assert explorer.model.value == "joint" and len(regions(explorer, step=0)) == 5
    explorer._on_touch({"key": [0, -1]})
    assert explorer.column.value == 4
