"""`python -m vivit_lab shard`: the videos of a data set into tar shards."""

import argparse
import sys

HELP = "write the videos of a data set into tar files of a handy size"
DESCRIPTION = """\
Write the videos of a data set into tar shards, which disks and networks read far faster than
millions of small files. The bytes of each video are kept as they are; its label lies beside it.
"""
EPILOG = """\
  python -m vivit_lab shard train.csv shards/train --root videos
  python -m vivit_lab shard my_clips shards/mine            a folder for each class

and then, in Python:

  ShardDataset("shards/train", sampling, transform)         clips as from ClipDataset

Ctrl-C is safe: the same command goes on where it stopped. Nothing is overwritten. Videos that
cannot be read are left out, and listed at the end and in index.json. Exit status: 0 all videos are
in the shards, 1 some were left out, 2 no shards were made.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", help="an annotation file, or a folder with a folder per class")
    parser.add_argument("folder", help="where the shards go: a new folder")
    parser.add_argument("--root", help="folder of the videos, where it is not that of the file")
    parser.add_argument(
        "--samples", type=int, default=1000, help="videos in a shard, at most (default 1000)"
    )
    parser.add_argument(
        "--megabytes", type=int, default=1000, help="size of a shard, at most (default 1000)"
    )
    parser.add_argument(
        "--in-order", action="store_true", help="keep the order of the source; default is random"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random order (default 0)")


def run(arguments: argparse.Namespace) -> int:
    """Write the shards; returns the exit status."""
    from vivit_lab.data.formats import read_annotations
    from vivit_lab.data.shards import ShardError, write_shards

    try:
        report = write_shards(
            read_annotations(arguments.source, root=arguments.root),
            arguments.folder,
            samples_per_shard=arguments.samples,
            megabytes_per_shard=arguments.megabytes,
            shuffle=not arguments.in_order,
            seed=arguments.seed,
            progress=True,
        )
    except (ShardError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    print(report)
    return 1 if report.left_out else 0
