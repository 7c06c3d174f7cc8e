"""A figure that notebooks show as an image."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure that shows itself: a bare one is an image in notebooks only once pyplot was imported."""

    def _repr_png_(self) -> bytes:
        kept = io.BytesIO()
        self.savefig(kept, format="png")
        return kept.getvalue()
