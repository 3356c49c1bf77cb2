"""What a left-right flip does to a label: "pushing it from left to right" becomes its opposite."""

import re
from collections.abc import Mapping, Sequence

Label = int | Mapping[str, int] | None
FlipLabels = Mapping[int, int] | Mapping[str, Mapping[int, int]]

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)  # a word, or part of a_name
_OTHER = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}


def flip_pairs(class_names: Sequence[str] | Mapping[str, Sequence[str]]) -> FlipLabels:
    """Which labels change places in a mirror: {label: label}, for `TrainTransform(flip_labels=)`.

    A class whose name has the word "left" or "right" becomes the class with these two words
    swapped. Labels without such a word stay, and are left out. class_names: a list, label 0 first,
    or a dict of lists for several heads, which gives a dict of the same heads.
    Raises ValueError with the names of the classes whose mirror image is no class; for these
    classes no clip may be flipped: set flip=0.
    Source: what users of Something-Something do; TSN's and TSM's loaders swap labels 86 and 87,
    93 and 94, 166 and 167 of its version 2, with the numbers written down.

    >>> flip_pairs(["Pushing it from left to right", "Pushing it from right to left", "Opening it"])
    {0: 1, 1: 0}
    """
    if isinstance(class_names, Mapping):
        return {head: flip_pairs(names) for head, names in class_names.items()}
    labels = {name: label for label, name in enumerate(class_names)}
    pairs, alone = {}, []
    for name, label in labels.items():
        mirrored = _SIDE.sub(lambda word: _other(word[0]), name)
        if mirrored == name:
            continue
        if mirrored in labels:
            pairs[label] = labels[mirrored]
        else:
            alone.append(f"{name!r} (label {label}; no class {mirrored!r})")
    if alone:
        raise ValueError(
            "These classes have no partner with left and right swapped, so that a flipped clip of "
            f"them would have no label: {'; '.join(alone)}. Set flip=0 for this data set."
        )
    return pairs


def flipped_label(label: Label, flip_labels: FlipLabels) -> Label:
    """The label of the mirrored clip: an int, a dict of ints for several heads, or None.

    Raises TypeError if one of the two has several heads and the other has not, and ValueError if
    `flip_labels` names a head that the label lacks.

    >>> flipped_label(0, {0: 1, 1: 0}), flipped_label({"verb": 0, "noun": 7}, {"verb": {0: 1}})
    (1, {'verb': 1, 'noun': 7})
    """
    if label is None:
        return None
    heads = any(isinstance(pairs, Mapping) for pairs in flip_labels.values())
    if isinstance(label, Mapping):
        if flip_labels and not heads:
            raise TypeError(
                f"The label {dict(label)} has several heads, so flip_labels must say of which "
                'head it speaks: {"verb": {3: 4, 4: 3}}.'
            )
        unknown = [head for head in flip_labels if head not in label]
        if unknown:
            raise ValueError(
                f"flip_labels names the head {unknown[0]!r}, but the label has {', '.join(label)}."
            )
        return {head: flipped_label(one, flip_labels.get(head, {})) for head, one in label.items()}
    if heads:
        raise TypeError(
            f"flip_labels speaks of the heads {', '.join(map(str, flip_labels))}, but the label is "
            f"the single number {label}."
        )
    return flip_labels.get(int(label), label)


def _other(word: str) -> str:
    return _OTHER.get(word) or _OTHER[word.lower()].upper()
