"""What a model costs, and where it looks."""

from vivit_lab.analysis.attention import (
    AttentionMap,
    AttentionMaps,
    TokenWeights,
    attention_maps,
    rollout,
)
from vivit_lab.analysis.blocks import logit_lens, token_similarity
from vivit_lab.analysis.cost import Cost, Machine, cost
from vivit_lab.analysis.flops import FlopCount, closed_form, count_flops
from vivit_lab.analysis.measure import MeasuredMemory, calibrate, measure_memory, measure_time

__all__ = [
    "AttentionMap",
    "AttentionMaps",
    "Cost",
    "FlopCount",
    "Machine",
    "MeasuredMemory",
    "TokenWeights",
    "attention_maps",
    "calibrate",
    "closed_form",
    "cost",
    "count_flops",
    "logit_lens",
    "measure_memory",
    "measure_time",
    "rollout",
    "token_similarity",
]
