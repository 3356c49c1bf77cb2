"""From files to batches: sample clips, clips that we render, catalogues, data sets, loading.

The sample clips are here at once. Whatever needs torch, PyAV or webdataset is fetched when it is
first asked for.
"""

from vivit_lab.data.samples import Sample, sample, samples
from vivit_lab.lazy import fetching

_MODULES = {
    "catalog": "AnnotationError Catalog Segment",
    "formats": "read_annotations read_csv read_epic read_folder read_hmdb51 read_kinetics "
    "read_moments read_ssv2 read_ucf101",
    "dataset": "BadVideo BadVideoWarning ClipDataset TooManyBadVideos ViewDataset",
    "loader": "Batch ClipLoader LoadingError",
    "checking": "CheckReport check",
    "shards": "ShardDataset ShardError write_shards",
    "arrow_of_time": "ArrowOfTime write_arrow_of_time",
    "long_videos": "LongVideos",
}
_FETCHED = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = ["Sample", "sample", "samples", *_FETCHED]
__getattr__, __dir__ = fetching(__name__, _FETCHED, __all__)
