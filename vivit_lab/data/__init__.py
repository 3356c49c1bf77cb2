"""From files to batches: sample clips, clips that we render, catalogues, data sets, loading.

The sample clips are here at once. Whatever needs torch, PyAV or webdataset is fetched when it is
first asked for.
"""

from vivit_lab.data.samples import Sample, sample, samples
from vivit_lab.lazy import fetching

_FETCHED = {
    "ClipDataset": "dataset",
    "ViewDataset": "dataset",
    "ClipLoader": "loader",
    "LoadingError": "loader",
    "Batch": "loader",
    "BadVideo": "dataset",
    "BadVideoWarning": "dataset",
    "TooManyBadVideos": "dataset",
    "ShardError": "shards",
    "ShardDataset": "shards",
    "write_shards": "shards",
    "ArrowOfTime": "arrow_of_time",
    "LongVideos": "long_videos",
    "write_arrow_of_time": "arrow_of_time",
    "AnnotationError": "catalog",
    "Catalog": "catalog",
    "Segment": "catalog",
    "read_annotations": "catalog",
    "read_csv": "catalog",
    "read_epic": "catalog",
    "read_folder": "catalog",
    "read_hmdb51": "catalog",
    "read_kinetics": "catalog",
    "read_moments": "catalog",
    "read_ssv2": "catalog",
    "read_ucf101": "catalog",
    "CheckReport": "checking",
    "check": "checking",
}

__all__ = [
    "AnnotationError",
    "ArrowOfTime",
    "BadVideo",
    "BadVideoWarning",
    "Batch",
    "Catalog",
    "CheckReport",
    "ClipDataset",
    "ClipLoader",
    "LoadingError",
    "LongVideos",
    "Sample",
    "Segment",
    "ShardDataset",
    "ShardError",
    "TooManyBadVideos",
    "ViewDataset",
    "check",
    "read_annotations",
    "read_csv",
    "read_epic",
    "read_folder",
    "read_hmdb51",
    "read_kinetics",
    "read_moments",
    "read_ssv2",
    "read_ucf101",
    "sample",
    "samples",
    "write_arrow_of_time",
    "write_shards",
]

__getattr__, __dir__ = fetching(__name__, _FETCHED, __all__)
