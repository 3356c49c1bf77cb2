"""Fine-tuning and evaluation: recipes, the loop, multi-view testing.

    from vivit_lab.training import Recipe, fit, evaluate
    run = fit(model, train, validation, recipe=Recipe.preset("cpu_tiny"), folder="runs/first")
    result = evaluate(run.model, views)

Names are fetched when they are first asked for: a recipe needs neither torch's loaders nor
Accelerate.
"""

from vivit_lab.lazy import fetching

_FETCHED = {
    "Evaluation": "results",
    "Moment": "loop",
    "Recipe": "recipe",
    "Run": "run",
    "StoredRun": "run",
    "TrainingError": "run",
    "ViewScores": "results",
    "evaluate": "evaluation",
    "fit": "loop",
    "load_evaluation": "results",
    "load_scores": "results",
    "overfit_one_batch": "sanity",
    "read_log": "run",
    "score_views": "evaluation",
}

__all__ = [
    "Evaluation",
    "Moment",
    "Recipe",
    "Run",
    "StoredRun",
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

__getattr__, __dir__ = fetching(__name__, _FETCHED, __all__)
