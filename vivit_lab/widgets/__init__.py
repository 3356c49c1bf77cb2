"""Explorers: sliders above a picture, one for each question that the notebooks ask."""

from vivit_lab.widgets.ablation_explorer import AblationExplorer
from vivit_lab.widgets.attention_explorer import AttentionExplorer
from vivit_lab.widgets.block_explorer import BlockExplorer
from vivit_lab.widgets.clip_explorer import ClipExplorer
from vivit_lab.widgets.cockpit import TrainingCockpit
from vivit_lab.widgets.confusion_explorer import ConfusionExplorer
from vivit_lab.widgets.cost_explorer import CostExplorer
from vivit_lab.widgets.evaluation_explorer import EvaluationExplorer
from vivit_lab.widgets.footage import film_strip
from vivit_lab.widgets.half_heads_stepper import HalfHeadsStepper
from vivit_lab.widgets.inflation_explorer import InflationExplorer
from vivit_lab.widgets.pattern_explorer import PatternExplorer
from vivit_lab.widgets.regularisation_explorer import RegularisationExplorer
from vivit_lab.widgets.start_explorer import StartExplorer
from vivit_lab.widgets.timeline_explorer import TimelineExplorer, timeline_picture
from vivit_lab.widgets.token_explorer import TokenExplorer

__all__ = [
    "AblationExplorer",
    "AttentionExplorer",
    "BlockExplorer",
    "ClipExplorer",
    "ConfusionExplorer",
    "CostExplorer",
    "EvaluationExplorer",
    "HalfHeadsStepper",
    "InflationExplorer",
    "PatternExplorer",
    "RegularisationExplorer",
    "StartExplorer",
    "TimelineExplorer",
    "TokenExplorer",
    "TrainingCockpit",
    "film_strip",
    "timeline_picture",
]
