"""Explorers: sliders above a picture, one for each question that the notebooks ask."""

from vivit_lab.widgets.attention_explorer import AttentionExplorer
from vivit_lab.widgets.clip_explorer import ClipExplorer
from vivit_lab.widgets.cost_explorer import CostExplorer
from vivit_lab.widgets.film_strip import film_strip
from vivit_lab.widgets.inflation_explorer import InflationExplorer
from vivit_lab.widgets.start_explorer import StartExplorer
from vivit_lab.widgets.token_explorer import TokenExplorer

__all__ = [
    "AttentionExplorer",
    "ClipExplorer",
    "CostExplorer",
    "InflationExplorer",
    "StartExplorer",
    "TokenExplorer",
    "film_strip",
]
