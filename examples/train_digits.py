"""Train a network on scikit-learn's handwritten digits; one line of progress per epoch.

Writes digits-model.joblib and digits-metrics.json into the working directory. With
``--checkpoint PATH`` it saves after every epoch and goes on from there when started again.
Exit code 1 if the accuracy on unseen digits stays below ``--target``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SIDE = 8
SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Images moved by whole pixels; what leaves at one side is blank at the other."""
    moved = np.zeros_like(images)
    height, width = SIDE - abs(down), SIDE - abs(right)
    top, left = max(down, 0), max(right, 0)
    from_top, from_left = max(-down, 0), max(-right, 0)
    moved[:, top : top + height, left : left + width] = images[
        :, from_top : from_top + height, from_left : from_left + width
    ]
    return moved


def data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training digits in five positions each, and a fifth kept unseen."""
    digits = load_digits()
    train, test, train_labels, test_labels = train_test_split(
        digits.images / 16.0,
        digits.target,
        test_size=0.2,
        random_state=seed,
        stratify=digits.target,
    )
    many = np.concatenate([shifted(train, down, right) for down, right in SHIFTS])
    labels = np.tile(train_labels, len(SHIFTS))
    return many.reshape(len(many), -1), labels, test.reshape(len(test), -1), test_labels


def save(path: Path, state: object) -> None:
    """Whole or not at all: a reader never sees half a file."""
    part = path.with_name(path.name + ".part")
    joblib.dump(state, part)
    os.replace(part, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()

    train, train_labels, test, test_labels = data(options.seed)
    model = MLPClassifier((options.hidden, options.hidden), random_state=options.seed)
    history: list[dict[str, float]] = []
    if options.checkpoint and options.checkpoint.exists():
        model, history = joblib.load(options.checkpoint)
        print(f"resuming after epoch {len(history)}", flush=True)
    started = time.perf_counter()
    for epoch in range(len(history), options.epochs):
        model.partial_fit(train, train_labels, classes=np.arange(10))
        accuracy = float(model.score(test, test_labels))
        history.append({"epoch": epoch + 1, "loss": float(model.loss_), "accuracy": accuracy})
        print(f"epoch {epoch + 1:3d}  loss {model.loss_:.4f}  accuracy {accuracy:.4f}", flush=True)
        if options.checkpoint:
            save(options.checkpoint, (model, history))

    accuracy = float(model.score(test, test_labels))
    save(Path("digits-model.joblib"), model)
    metrics = {
        "accuracy": accuracy,
        "target": options.target,
        "training_images": len(train),
        "unseen_images": len(test),
        "seconds": round(time.perf_counter() - started, 3),
        "epochs": history,
    }
    Path("digits-metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    print(f"accuracy {accuracy:.4f} on {len(test)} unseen digits (target {options.target})")
    return 0 if accuracy >= options.target else 1


if __name__ == "__main__":
    sys.exit(main())
