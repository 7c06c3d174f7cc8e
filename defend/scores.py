"""Scores of a classifier's predictions: numpy functions that give one number for a set of samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.data.contract.errors import DataError

Floats = NDArray[np.float64]
SLACK = 1e-4
"""How far float32 probabilities may miss 1 (or exceed it) before they are refused."""


def accuracy(predictions: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of right predictions.

    Args:
        predictions: (n,) class indices.
        labels: (n,) class indices.

    Raises:
        DataError: no samples, or the lengths differ.
    """
    return float((_indices(predictions, "accuracy") == _indices(labels, "accuracy", like=predictions)).mean())


def nll(log_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the labels in nats; infinite where a label was ruled out.

    Args:
        log_probabilities: (n, k) logarithms of probabilities, each row's probabilities summing to 1.
        labels: (n,) class indices.

    Raises:
        DataError: shapes, probabilities or labels that do not fit.
    """
    logs = np.asarray(log_probabilities, dtype=np.float64)
    picked = _label_indices(logs, labels, "nll")
    _check_probabilities(np.exp(logs), "nll")
    return float(-logs[np.arange(len(logs)), picked].mean())


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean squared distance to the one-hot label, 0 to 2 (Brier 1950, all classes summed).

    Args:
        probabilities: (n, k), rows summing to 1.
        labels: (n,) class indices.

    Raises:
        DataError: shapes, probabilities or labels that do not fit.
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    picked = _label_indices(shares, labels, "brier")
    _check_probabilities(shares, "brier")
    squares = (shares**2).sum(axis=1) - 2.0 * shares[np.arange(len(shares)), picked] + 1.0
    return float(squares.mean())


def ece(confidence: ArrayLike, correct: ArrayLike, bins: int = 15, *, adaptive: bool = False) -> float:
    """Return the expected calibration error (Guo et al. 2017): mean |accuracy - confidence| of the bins.

    Bins are weighted by how many samples they hold.

    Args:
        confidence: (n,) probability of the predicted class.
        correct: (n,) whether the prediction was right (bool, or 0 and 1).
        bins: number of bins.
        adaptive: bins of equal mass (Nguyen & O'Connor 2015) instead of equal width. Samples of equal
            confidence stay in one bin, so the result does not depend on the order of the samples.

    Returns:
        A number in [0, 1].

    Raises:
        DataError: no samples, lengths that differ, or values outside [0, 1].
    """
    counts, sure, right = calibration_bins(confidence, correct, bins, adaptive=adaptive)
    return float((counts * np.abs(right - sure)).sum() / counts.sum())


def calibration_bins(
    confidence: ArrayLike, correct: ArrayLike, bins: int = 15, *, adaptive: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Return number of samples, mean confidence and accuracy of every bin that holds any: see `ece`.

    Raises:
        DataError: no samples, lengths that differ, or values outside [0, 1].
    """
    sure, right = _unit_interval(confidence, "confidence"), _unit_interval(correct, "correct")
    if sure.shape != right.shape:
        raise DataError(f"{sure.size} confidences and {right.size} outcomes do not match", where="ece")
    if bins < 1:
        raise DataError(f"{bins} bins are too few", where="ece")
    # Bins are open on the left and closed on the right, as in the paper; 0 belongs to the first.
    inner = _equal_mass(sure, bins) if adaptive else np.linspace(0.0, 1.0, bins + 1)[1:-1]
    index = np.searchsorted(inner, sure, side="left")
    counts = np.bincount(index, minlength=bins)
    held = counts > 0
    total_sure, total_right = (
        np.bincount(index, weights=values, minlength=bins)[held] for values in (sure, right)
    )
    return counts[held].astype(np.float64), total_sure / counts[held], total_right / counts[held]


def _equal_mass(values: Floats, bins: int) -> Floats:
    """Return the inner edges of bins that hold equally many values, as far as ties allow."""
    ordered = np.sort(values)
    last = np.arange(1, bins) * values.size // bins - 1
    return np.unique(ordered[last[last >= 0]])


def _indices(values: ArrayLike, name: str, *, like: ArrayLike | None = None) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"expects a vector of class indices, got {array.dtype} {array.shape}", where=name)
    if like is not None and array.shape != np.shape(like):
        raise DataError(f"{array.size} labels for {np.size(like)} predictions", where=name)
    return array.astype(np.int64)


def _label_indices(table: Floats, labels: ArrayLike, name: str) -> NDArray[np.int64]:
    if table.ndim != 2 or table.shape[0] == 0:
        raise DataError(f"expects (n, classes), got {table.shape}", where=name)
    picked = _indices(labels, name, like=table[:, 0])
    if picked.min() < 0 or picked.max() >= table.shape[1]:
        worst = int(picked.min() if picked.min() < 0 else picked.max())
        raise DataError(f"label {worst} is not one of {table.shape[1]} classes", where=name)
    return picked


def _check_probabilities(table: Floats, name: str) -> None:
    total = table.sum(axis=1)
    # Written so that NaN fails too.
    fit = (np.abs(total - 1.0) <= SLACK) & (table >= -SLACK).all(axis=1)
    if not fit.all():
        row = int(np.flatnonzero(~fit)[0])
        raise DataError(
            f"row {row} is no probability distribution (it sums to {total[row]:.4g})",
            where=name,
            hint="apply softmax to the logits first",
        )


def _unit_interval(values: ArrayLike, name: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"'{name}' is a vector of at least one value, got shape {array.shape}", where="ece")
    if not ((array >= 0.0) & (array <= 1.0 + SLACK)).all():
        raise DataError(f"'{name}' has values outside [0, 1]", where="ece")
    return np.minimum(array, 1.0)
