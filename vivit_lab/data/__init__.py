"""Named sample clips, and clips that we render; your own go path -> VideoReader -> clip."""

from vivit_lab.data.arrow_of_time import ArrowOfTime
from vivit_lab.data.samples import Sample, sample, samples

__all__ = ["ArrowOfTime", "Sample", "sample", "samples"]
