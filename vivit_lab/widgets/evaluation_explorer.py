"""How good is it, with how many views? Accuracy against cost, and one video's views in detail."""

import ipywidgets as widgets
import numpy as np

from vivit_lab.data import LongVideos
from vivit_lab.training.results import Evaluation
from vivit_lab.widgets.evaluation_picture import (
    CROPS,
    HEIGHT,
    MOST_CLIPS,
    THUMB,
    WIDTH,
    EvaluationState,
    draw,
)
from vivit_lab.widgets.evaluation_state import LISTS, Answers, checked_grid
from vivit_lab.widgets.surface import (
    Canvas,
    Explorer,
    column,
    columns,
    legal_slider,
    one_at_a_time,
)


class EvaluationExplorer(Explorer):
    """Which views, averaged how: accuracy against cost, and any one video view by view.

    result: an evaluation of at most 4 clips x 3 crops; None: the stored one, 12 views of 800 long
    videos that a small model with two heads has seen, with pictures. No model is needed.

    Slider and grid say which views are averaged. The list of videos can be cut down to those that
    more views mend or spoil, or of which softmax and logits say different things.

    Raises ValueError for more views, or views that are no grid; FileNotFoundError without scores.

    Example:
        >>> explorer = EvaluationExplorer()
        >>> explorer.count.value = 1
        >>> explorer.state().views
        (4,)
    """

    width, height = WIDTH, HEIGHT

    def __init__(self, result: Evaluation | None = None):
        self.answers = Answers(result)
        checked_grid(self.answers, MOST_CLIPS, max(CROPS))
        scores = self.answers.scores
        self.pictures = LongVideos(height=THUMB) if result is None else None
        self.count = legal_slider("views", range(1, scores.views + 1), scores.views)
        self.head = buttons(*self.answers.heads)
        self.average = buttons("softmax", "logits")
        crops = CROPS[len(self.answers.crops)]
        self.views = [
            _view_button(f"{self.answers.clips[row] + 1} {crops[crop]}")
            for row, crop in self.answers.places
        ]
        self.which = widgets.Dropdown(
            options=list(LISTS),
            description="videos",
            style={"description_width": "56px"},
            layout=widgets.Layout(width="98%"),
        )
        self.video = widgets.IntSlider(
            value=1,
            min=1,
            max=scores.videos,
            description="video",
            style={"description_width": "56px"},
            layout=widgets.Layout(width="98%"),
        )
        self.listed = tuple(range(scores.videos))
        self.count.observe(self._on_count, "value")
        for button in self.views:
            button.observe(self._on_view, "value")
        for control in (self.head, self.average, self.which):
            control.observe(self._on_list, "value")
        self.video.observe(self.refresh, "value")
        rows = f"repeat({len(crops)}, 84px)"
        grid = widgets.GridBox(
            self.views, layout=widgets.Layout(grid_template_columns=rows, grid_gap="2px")
        )
        super().__init__(
            columns(
                column("Average", self.count, self.average, self.head),
                column("Views that count", grid),
                column("One video", self.which, self.video),
            )
        )

    def state(self) -> EvaluationState:
        """The present state of the controls."""
        return EvaluationState(
            answers=self.answers,
            views=self._chosen(),
            average=self.average.value,
            head=self.head.value,
            which=self.which.value,
            videos=self.listed,
            place=self.video.value - 1,
            pictures=self.pictures,
        )

    def draw(self) -> Canvas:
        return draw(self.state())

    def _chosen(self) -> tuple[int, ...]:
        return tuple(number for number, button in enumerate(self.views) if button.value)

    @one_at_a_time
    def _on_count(self, _change) -> None:
        """Switch on the views that see most of a video."""
        if self._quiet:
            return
        with self.one_redraw():
            chosen = self.answers.scores.spread(self.count.value)
            for number, button in enumerate(self.views):
                button.value = number in chosen
            self._list()

    @one_at_a_time
    def _on_view(self, change) -> None:
        """A view was switched on or off; the last one stays on."""
        if self._quiet:
            return
        with self.one_redraw():
            if not self._chosen():
                change["owner"].value = True
            self.count.value = len(self._chosen())
            self._list()

    @one_at_a_time
    def _on_list(self, _change) -> None:
        """Another question, other videos."""
        if self._quiet:
            return
        with self.one_redraw():
            self._list()

    def _list(self) -> None:
        """Find the videos of the list; the one in view stays if it is among them."""
        before = self.listed[self.video.value - 1] if self.listed else 0
        which, average = LISTS[self.which.value], self.average.value
        found = self.answers.listed(which, self._chosen(), average, self.head.value)
        self.listed = tuple(found.tolist())
        place = int(np.searchsorted(found, before)) if self.listed else 0
        place = min(place, max(len(found) - 1, 0))
        self.video.value = min(place + 1, self.video.max)
        self.video.max = max(len(found), 1)
        self.video.value = place + 1
        self.video.disabled = not self.listed


def buttons(*options: str) -> widgets.ToggleButtons:
    """A choice of a few words, as buttons in a row.

    Example:
        >>> buttons("softmax", "logits").value
        'softmax'
    """
    return widgets.ToggleButtons(
        options=options,
        style={"button_width": "84px"},
        layout=widgets.Layout(width="98%", margin="2px 2px 10px 2px"),  # its own row, seen as one
    )


def _view_button(name: str) -> widgets.ToggleButton:
    return widgets.ToggleButton(
        value=True,
        description=name,
        layout=widgets.Layout(width="84px", height="26px", margin="0"),
    )
