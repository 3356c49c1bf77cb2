"""Explorers: sliders above a picture, one for each question that the notebooks ask."""

from vivit_lab.widgets.clip_explorer import ClipExplorer
from vivit_lab.widgets.film_strip import film_strip
from vivit_lab.widgets.start_explorer import StartExplorer
from vivit_lab.widgets.token_explorer import TokenExplorer

__all__ = ["ClipExplorer", "StartExplorer", "TokenExplorer", "film_strip"]
