"""An orthonormal opponent colour space: white noise of equal strength in R, G and B stays so."""

from __future__ import annotations

from torch import Tensor, einsum


def turned(x: Tensor, *, back: bool = False) -> Tensor:
    """Rotate (r, g, b) into orthonormal (grey, red - blue, magenta - green), or back; leave grey images.

    Args:
        x: (n, 1 or 3, h, w); the grey channel is the mean of r, g and b times the root of 3.
        back: undo it.
    """
    if x.shape[1] == 1:
        return x
    turn = x.new_tensor(
        [
            [3**-0.5, 3**-0.5, 3**-0.5],
            [2**-0.5, 0.0, -(2**-0.5)],
            [6**-0.5, -2 * 6**-0.5, 6**-0.5],
        ]
    )
    return einsum("oc,nchw->nohw", turn.t() if back else turn, x)
