"""Modules around a restorer that a user brings: a torch module or function, or a function of numpy images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError, first_line
from clearsight.data.contract.rng import Rng
from clearsight.data.user_code import FAULTS

Draws = Sequence[torch.Generator] | None


@dataclass(frozen=True)
class Taken:
    """How the user's code takes images.

    Attributes:
        place: what messages call the part.
        scale: output size / input size.
        value_range: value of white.
        bgr: whether three channels come in the order blue, green, red.
        alone: whether it takes one image at a time.
        arguments: keyword arguments of every call.
    """

    place: str
    scale: int = 1
    value_range: float = 1.0
    bgr: bool = False
    alone: bool = False
    arguments: tuple[tuple[str, Any], ...] = ()

    def call(self, function: Callable[..., Any], image: Any, **more: Any) -> Any:
        """Call the user's code; its own errors become one line that names the part.

        Raises:
            ConfigError: it fails.
        """
        try:
            return function(image, **dict(self.arguments), **more)
        except FAULTS as error:
            raise ConfigError(
                f"it fails on {image.dtype} images {tuple(image.shape)}: {first_line(error)}",
                where=self.place,
                hint="check 'images', 'channels', 'minimum' and 'multiple_of'; add 'factory: true' where it"
                " makes what restores",
            ) from error

    def wrong(self, given: str, wanted: str) -> ConfigError:
        """Return the error that a result of another form is."""
        return ConfigError(
            f"it gives {given}, not {wanted}", where=self.place, hint="fix 'scale', or what it returns"
        )


class TensorCall(nn.Module):
    """A module or function of tensors, around which values and channels are brought into its order."""

    def __init__(self, function: Callable[..., Any], taken: Taken, *, differentiable: bool) -> None:
        """Keep the function; a module's parameters become float32 and part of this one."""
        super().__init__()
        self.function = function.float() if isinstance(function, nn.Module) else function
        self.taken, self.differentiable = taken, differentiable

    def forward(self, x: Tensor, draws: Draws = None) -> Tensor:
        """Return restored images.

        Args:
            x: (n, c, h, w) in [0, 1].
            draws: a generator for each image, for code that draws random numbers: it is called with one image
                and ``generator``.

        Raises:
            ConfigError: the code fails, or gives no images of the declared size.
        """
        with torch.set_grad_enabled(self.differentiable and torch.is_grad_enabled()):
            if draws is None and not self.taken.alone:
                return self._one(x)
            more: list[dict[str, Any]] = (
                [{} for _ in x] if draws is None else [{"generator": g} for g in draws]
            )
            return torch.cat([self._one(x[i : i + 1], **told) for i, told in enumerate(more)])

    def _one(self, x: Tensor, **more: Any) -> Tensor:
        taken = self.taken
        bgr = taken.bgr and x.shape[1] == 3
        shown = (x.flip(1) if bgr else x) * taken.value_range
        out = taken.call(self.function, shown, **more)
        wanted = (*x.shape[:2], x.shape[2] * taken.scale, x.shape[3] * taken.scale)
        if not isinstance(out, Tensor) or not out.is_floating_point():
            raise taken.wrong(_form(out), f"a float tensor {tuple(wanted)}")
        # Symbolic sizes of an export cannot be compared.
        if not torch.compiler.is_compiling() and tuple(out.shape) != wanted:
            raise taken.wrong(f"{tuple(out.shape)} for {tuple(x.shape)}", str(wanted))
        out = out.to(x.dtype) / taken.value_range
        return out.flip(1) if bgr else out


class ArrayCall(nn.Module):
    """A function of one numpy image (h, w, c), uint8 or float32; autograd stops at it."""

    def __init__(self, function: Callable[..., Any], taken: Taken, images: Literal["uint8", "float"]) -> None:
        """Keep the function."""
        super().__init__()
        self.function, self.taken, self.images = function, taken, images

    def forward(self, x: Tensor, draws: Draws = None) -> Tensor:
        """Return restored images.

        Args:
            x: (n, c, h, w) in [0, 1].
            draws: a generator for each image; the function is then given ``rng``, a numpy generator.

        Raises:
            ConfigError: the function fails, or gives no image of the declared type and size.
        """
        images = x.detach().permute(0, 2, 3, 1).cpu().float().numpy()
        rngs: list[dict[str, Any]] = (
            [{}] * len(images) if draws is None else [{"rng": _numpy(g)} for g in draws]
        )
        restored = [self._one(image, **told) for image, told in zip(images, rngs, strict=True)]
        out = torch.from_numpy(np.ascontiguousarray(np.stack(restored), dtype=np.float32))
        return out.permute(0, 3, 1, 2).contiguous().to(device=x.device, dtype=x.dtype)

    def _one(self, image: NDArray[np.float32], **more: Any) -> NDArray[np.float32]:
        taken, kind = self.taken, np.uint8 if self.images == "uint8" else np.float32
        bgr = taken.bgr and image.shape[2] == 3
        white = 255.0 if self.images == "uint8" else taken.value_range
        shown = image[:, :, ::-1] * white if bgr else image * white
        # A copy of its own: the function may write into its argument.
        shown = np.ascontiguousarray(np.rint(shown) if self.images == "uint8" else shown, dtype=kind)
        out = taken.call(self.function, shown, **more)
        if isinstance(out, np.ndarray) and out.ndim == 2 and image.shape[2] == 1:
            # OpenCV drops the axis of a single channel.
            out = out[:, :, None]
        wanted = (image.shape[0] * taken.scale, image.shape[1] * taken.scale, image.shape[2])
        typed = isinstance(out, np.ndarray) and (
            out.dtype == np.uint8 if self.images == "uint8" else np.issubdtype(out.dtype, np.floating)
        )
        if not typed or out.shape != wanted:
            raise taken.wrong(f"{_form(out)} for {image.shape}", f"a {self.images} array {wanted}")
        restored: NDArray[np.float32] = out.astype(np.float32) / white
        return restored[:, :, ::-1] if bgr else restored


def _form(out: object) -> str:
    if isinstance(out, (Tensor, np.ndarray)):
        return f"{tuple(out.shape)} of {out.dtype}"
    return f"a {type(out).__name__}"


def _numpy(generator: torch.Generator) -> np.random.Generator:
    seed = torch.randint(0, 2**62, (1,), generator=generator).item()
    return Rng(int(seed)).numpy()
