"""The card of a preset: its README, with the front matter of the Hugging Face Hub."""

import json
import string
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parents[1] / "data" / "card.md"
DEFAULTS = {
    "paper": "none",
    "data": "not specified",
    "licence": "other",
    "limits": "Not documented.",
}
MEASURED = (
    "The number of images, the extractor and the seeds of each score are in `metadata.json`. A "
    "floor is the score that real images reach."
)
TRAINING = ("epochs", "seconds", "seed", "backend", "device")


def write_card(metadata: dict[str, Any], curves: bool, condition: Any = None) -> str:
    """Returns the text of a preset's README.

    Args:
        metadata: The preset's metadata, with at least its `name`. Entries that the card shows:
            `paper`, `data`, `licence`, `limits`, those of `TRAINING`, and `scores`.
        curves: Whether the preset has a `curves.png`.
        condition: The `keras_gan.conditions.Condition` of the model, or None.
    """
    task, example = _use(condition)
    training = [f"- {key}: {metadata[key]}" for key in TRAINING if key in metadata]
    scores = [_score(name, values) for name, values in metadata.get("scores", {}).items()]
    scores += ["", MEASURED] if scores else ["Not measured."]
    return string.Template(TEMPLATE.read_text("utf-8")).safe_substitute(
        DEFAULTS | metadata,
        task=task,
        example=example,
        training="\n".join(training),
        curves="![Losses and scores over the epochs](curves.png)" if curves else "",
        scores="\n".join(scores),
    )


def _use(condition) -> tuple[str, str]:
    """Returns the Hub's name for what a model does, and a line of Python that does it."""
    if condition is None:
        made = "images = gan.generate(64, seed=0)  # uint8 (64, height, width, channels)"
        return "unconditional-image-generation", made
    if condition.is_image:
        return "image-to-image", "images = gan.translate(pictures)  # uint8, as are the pictures"
    names = getattr(condition, "class_names", None)
    one = "vector" if names is None else json.dumps(names[0], ensure_ascii=False)
    return "other", f"images = gan.generate(16, condition={one}, seed=0)"


def _score(name, values):
    # Scores of pairs have no floor, None.
    numbers = {k: v for k, v in values.items() if k != "protocol" and v is not None}
    return f"- {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
