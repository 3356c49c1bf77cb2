"""Fine-tuning and evaluation: recipes, the loop, multi-view testing.

    from vivit_lab.training import Recipe, fit, evaluate
    run = fit(model, train, validation, recipe=Recipe.preset("cpu_tiny"), folder="runs/first")
    result = evaluate(run.model, views)

Names are fetched when they are first asked for: a recipe needs neither torch's loaders nor
Accelerate.
"""

from vivit_lab.lazy import fetching

_MODULES = {
    "recipe": "Recipe",
    "loop": "Moment fit",
    "run": "Run StoredRun TrainingError read_log",
    "sanity": "overfit_one_batch",
    "evaluation": "evaluate score_views",
    "prediction": "Predictions Timeline predict timeline",
    "results": "Evaluation ViewScores load_evaluation load_scores",
}
_FETCHED = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = sorted(_FETCHED)
__getattr__, __dir__ = fetching(__name__, _FETCHED, __all__)
