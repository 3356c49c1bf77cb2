"""Fine-tuning and evaluation: recipes, the loop, multi-view testing.

    from vivit_lab.training import Recipe, fit, evaluate
    run = fit(model, train, validation, recipe=Recipe.preset("cpu_tiny"), folder="runs/first")
    result = evaluate(run.model, views)

Names are fetched when they are first asked for: a recipe needs neither torch's loaders nor
Accelerate.
"""

import importlib

_FETCHED = {
    "Evaluation": "evaluation",
    "Moment": "journal",
    "Recipe": "recipe",
    "Run": "run_folder",
    "TrainingError": "trouble",
    "ViewScores": "view_scores",
    "evaluate": "evaluation",
    "fit": "loop",
    "load_evaluation": "evaluation",
    "load_scores": "view_scores",
    "overfit_one_batch": "first_check",
    "read_log": "run_folder",
    "score_views": "scoring",
}

__all__ = [
    "Evaluation",
    "Moment",
    "Recipe",
    "Run",
    "TrainingError",
    "ViewScores",
    "evaluate",
    "fit",
    "load_evaluation",
    "load_scores",
    "overfit_one_batch",
    "read_log",
    "score_views",
]


def __getattr__(name: str) -> object:
    if name not in _FETCHED:
        raise AttributeError(f"vivit_lab.training has no {name!r}; it has {', '.join(__all__)}.")
    try:
        module = importlib.import_module(f"vivit_lab.training.{_FETCHED[name]}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("accelerate", "av", "timm", "torchvision", "tqdm"):
            raise
        raise ImportError(
            f"vivit_lab.training.{name} needs the package {package}, which is not installed here. "
            f"Install it with: pip install {package}"
        ) from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
