"""Accuracy after an epoch, from `evaluate`."""

from torch.utils.data import Dataset

from vivit_lab.training.state import Training


def validate(
    training: Training, validation: Dataset | None, workers: int
) -> dict[str, float] | None:
    """Figures of the weights that would be used now: top1, top5 (of verb and noun: of both right).

    Every process takes its share, and all get the same figures. None where there is no set for it.
    """
    if validation is None:
        return None
    from vivit_lab.training.evaluation import evaluate

    result = evaluate(training.result, validation, workers=workers, progress=False)
    figures = {"top1": result.top1, "top5": result.top5, "videos": result.scores.videos}
    if len(result.heads) > 1:
        figures |= {f"{head}_top1": each.top1 for head, each in result.heads.items()}
    return figures
