"""Run the studies of notebooks 03 and 09: each arm with several seeds, stored in assets/runs.

    python assets/run_studies.py                        which studies there are, what is stored
    python assets/run_studies.py orders                 its two arms, three seeds each
    python assets/run_studies.py four_models --arms joint one_frame --seeds 5
    python assets/run_studies.py orders --folder mine   somewhere else than assets/runs

Each result is written as soon as it is there. Ctrl-C is safe: the same command goes on from there.
What is stored is not run again, unless the recipe has changed since. Exit status: 0 all results
are there, 2 not understood or not possible, 130 interrupted.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from vivit_lab.errors import one_of, whole
from vivit_lab.io import write_atomically
from vivit_lab.lessons import studies
from vivit_lab.lessons.studies import RUNS, STUDIES, Arm, Result, find_arm, load_results, settings


def main(words: list[str] | None = None) -> int:
    """Run what is missing; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="none: list them")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="0 to N - 1 (default 3)")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="only these")
    parser.add_argument("--folder", type=Path, default=RUNS, help="where STUDY.json goes")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"))
    options = parser.parse_args(words)
    try:
        whole("seeds", options.seeds)
        if not options.studies:
            for study, arms in STUDIES.items():
                stored = len(read(options.folder / f"{study}.json"))
                print(f"{study:16} {len(arms)} arms, {stored} results stored")
        for study in options.studies:
            one_of("study", study, STUDIES)
            arms = [
                find_arm(study, n) for n in options.arms or [arm.name for arm in STUDIES[study]]
            ]
            for seed in range(options.seeds):
                for arm in arms:
                    run_one(study, arm, seed, options.folder, options.device)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. The same command continues from here.", file=sys.stderr)
        return 130
    return 0


def run_one(study: str, arm: Arm, seed: int, folder: Path, device: str) -> None:
    """Make the result of an arm and a seed unless it is stored; another study's will do."""
    file, wanted = folder / f"{study}.json", settings(arm)
    own = [each for each in read(file) if (each.arm, each.seed) == (arm.name, seed)]
    if own and own[0].settings == wanted:
        return
    print(f"{study}: {arm.title}, seed {seed} ... ", end="", flush=True)
    everywhere = (each for name in STUDIES for each in read(folder / f"{name}.json"))
    same = (each for each in everywhere if (each.settings, each.seed) == (wanted, seed))
    result = next(same, None)
    if result is None:
        result = studies.train_arm(arm, seed, device=device)
        print(f"{result.top1:.1%} in {result.seconds:.0f} s", flush=True)
    else:
        print(f"{result.top1:.1%}, as stored for another study", flush=True)
    result = dataclasses.replace(result, arm=arm.name, model=None)
    kept = [each for each in read(file) if each not in own]
    lines = ",\n".join(json.dumps(each.to_dict()) for each in [*kept, result])
    text = f'{{"study": "{study}", "written": "{time.strftime("%Y-%m-%d")}", "results": [\n'
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, f"{text}{lines}\n]}}\n")


def read(file: Path) -> list[Result]:
    """The stored results of a study, if there are any."""
    return load_results(file.stem, file.parent) if file.exists() else []


if __name__ == "__main__":
    sys.exit(main())
