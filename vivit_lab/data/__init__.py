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
    "read_annotations": "formats",
    "read_csv": "formats",
    "read_epic": "formats",
    "read_folder": "formats",
    "read_hmdb51": "formats",
    "read_kinetics": "formats",
    "read_moments": "formats",
    "read_ssv2": "formats",
    "read_ucf101": "formats",
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
