"""`python -m vivit_lab study`: run the arms of a study with several seeds, store the results."""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivit_lab.training.study import Result
    from vivit_lab.training.study_arms import Arm

DESCRIPTION = """\
Run a study: tiny models on Arrow of Time that differ in one thing, each with several seeds. The
notebooks show the results that are stored in assets/runs; this makes them anew.
"""
EPILOG = """\
  python -m vivit_lab study                        which studies there are, and what is stored
  python -m vivit_lab study orders                 its two arms, three seeds each
  python -m vivit_lab study four_models --arms joint one_frame --seeds 5
  python -m vivit_lab study orders --folder mine   somewhere else than assets/runs

Each result is written as soon as it is there. Ctrl-C is safe: the same command goes on from there.
What is stored is not run again, unless the recipe has changed since. Exit status: 0 all results
are there, 2 not understood or not possible, 130 interrupted.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="none: list them")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="0 to N - 1 (default 3)")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="only these")
    parser.add_argument("--folder", type=Path, help="where STUDY.json goes (default assets/runs)")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"))


def run(arguments: argparse.Namespace) -> int:
    """Run what is missing; returns the exit status."""
    from vivit_lab.errors import whole
    from vivit_lab.training.study import RUNS, STUDIES, find_arm

    folder = arguments.folder or RUNS
    try:
        whole("seeds", arguments.seeds)
        if not arguments.studies:
            for study in STUDIES:
                print(_line(study, folder))
            return 0
        plan = [
            (study, find_arm(study, name), seed)
            for study in arguments.studies
            for seed in range(arguments.seeds)
            for name in arguments.arms or _names(study)
        ]
        for study, arm, seed in plan:
            run_one(study, arm, seed, folder, arguments.device)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def run_one(study: str, arm: "Arm", seed: int, folder: Path, device: str = "cpu") -> "Result":
    """The result of an arm and a seed: stored, here or in another study; else trained and stored.

    Raises ValueError for a damaged file, OSError where it cannot be written.
    """
    from vivit_lab.training.study import settings, train_arm

    wanted = settings(arm)
    stored = _read(folder / f"{study}.json")
    own = [each for each in stored if (each.arm, each.seed) == (arm.name, seed)]
    if own and own[0].settings == wanted:
        return own[0]
    result = _elsewhere(folder, wanted, seed)
    print(f"{study}: {arm.title}, seed {seed} ... ", end="", flush=True)
    if result is None:
        result = train_arm(arm, seed, device=device)
        print(f"{result.top1:.1%} in {result.seconds:.0f} s", flush=True)
    else:
        print(f"{result.top1:.1%}, as stored for another study", flush=True)
    result = _renamed(result, arm.name)
    kept = [each for each in _read(folder / f"{study}.json") if each not in own]
    _write(folder / f"{study}.json", study, [*kept, result])
    return result


def _read(file: Path) -> list["Result"]:
    from vivit_lab.training.study import load_results

    return load_results(file.stem, file.parent) if file.exists() else []


def _write(file: Path, study: str, results: list["Result"]) -> None:
    from vivit_lab.io import write_atomically

    lines = ",\n".join(json.dumps(result.to_dict()) for result in results)
    text = f'{{"study": "{study}", "written": "{time.strftime("%Y-%m-%d")}", "results": [\n'
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, lambda part: part.write_text(f"{text}{lines}\n]}}\n", encoding="utf-8"))


def _elsewhere(folder: Path, wanted: dict, seed: int) -> "Result | None":
    """The same run, if another study has done it."""
    from vivit_lab.training.study import STUDIES

    results = (each for study in STUDIES for each in _read(folder / f"{study}.json"))
    return next((each for each in results if (each.settings, each.seed) == (wanted, seed)), None)


def _renamed(result: "Result", name: str) -> "Result":
    return dataclasses.replace(result, arm=name, model=None)


def _names(study: str) -> list[str]:
    from vivit_lab.errors import one_of
    from vivit_lab.training.study import STUDIES

    one_of("study", study, STUDIES)
    return [arm.name for arm in STUDIES[study]]


def _line(study: str, folder: Path) -> str:
    stored = len(_read(folder / f"{study}.json"))
    return f"{study:16} {len(_names(study))} arms, {stored} results stored"
