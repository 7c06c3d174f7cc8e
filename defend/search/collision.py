"""Feature collision: a clean-label poison (Shafahi et al. 2018, "Poison Frogs!").

An image that looks like one class, and is labelled so, has the features of a chosen image of another class. A
classifier whose last layer is trained on it learns that such features mean the wrong class, and errs on the
chosen image, which nobody has touched. It needs the network that gives the features, and so is made for one
network; a source of training images, which knows none, cannot make it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from clearsight.data.contract.errors import AttackError
from clearsight.defend.search.balls import project


def collide(
    features: Callable[[Tensor], Tensor], bases: Tensor, targets: Tensor, *, eps: float, steps: int = 100
) -> Tensor:
    """Return images near ``bases`` with features as near as they get to those of ``targets``.

    Args:
        features: images (n, c, h, w) to what the last layer is given, (n, d), differentiable.
        bases: (n, c, h, w) in [0, 1]: what the poison looks like.
        targets: (n, c, h, w): the images that shall be misclassified, one a base.
        eps: largest change of a value; the authors weigh the distance instead of bounding it.
        steps: of signed gradient descent, whose length falls to 0; the best point on the way is returned.

    Raises:
        AttackError: bases and targets differ in number.
    """
    if bases.shape != targets.shape:
        raise AttackError(
            f"{tuple(bases.shape)} bases for {tuple(targets.shape)} targets", where="feature collision"
        )
    with torch.no_grad():
        wanted = features(targets)
    x, best = bases.clone(), bases.clone()
    nearest = torch.full((len(bases),), torch.inf, device=bases.device)
    for step in range(steps + 1):
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            distance = (features(leaf) - wanted).square().sum(1)
            (slope,) = torch.autograd.grad(distance.sum(), leaf)
        nearer = distance.detach() < nearest
        best[nearer], nearest[nearer] = leaf.detach()[nearer], distance.detach()[nearer]
        length = eps / 4 * (1 - step / (steps + 1))
        x = project(leaf.detach() - length * slope.sign(), bases, "linf", eps)
    return best
