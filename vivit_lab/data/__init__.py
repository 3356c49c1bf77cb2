"""Named sample clips; data sets of your own follow the same road: path -> VideoReader -> clip."""

from vivit_lab.data.samples import Sample, sample, samples

__all__ = ["Sample", "sample", "samples"]
