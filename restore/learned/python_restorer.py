"""A restorer that the user's own Python code is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Gradient, Number, Spec, content_key
from clearsight.data.user_spec import UserCode, state_digest
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

    from clearsight.data.contract.types import Images, ScaledImages
    from clearsight.restore.networks.user_code import ArrayCall, Taken, TensorCall

ON_ARRAYS = "it runs on numpy arrays"


class DeclaredFacts(Spec):
    """Facts of `PartSpec` that a config declares, where it is the config that knows them."""

    gradient: Gradient = Gradient.EXACT
    """``exact``: autograd's gradient is the slope; ``surrogate``: attacks go straight through (BPDA with the
    identity); ``blocked``: neither. Left out: ``exact`` for tensors, ``surrogate`` for arrays."""
    stochastic: bool = False
    """It draws random numbers. It is then given one image at a time and what to draw from: ``generator`` (a
    ``torch.Generator``) with tensors, ``rng`` (a ``numpy.random.Generator``) with arrays."""
    onnx: str = "ok"
    """``ok``, or the reason why it cannot be exported to ONNX."""


class PythonRestorer(UserCode, DeclaredFacts, RestorerSpec):
    """A torch module, or a function of tensors or of numpy images.

    This runs the code that ``call`` names, with all the rights of the user: use a config of this kind only
    if you trust the code it points at.

    What the fields say of it is tried on a few small images before a run starts, and by ``clearsight check``:
    size and range of the results, equal results for equal images, alone and in company, and the gradient.
    """

    purpose: ClassVar[str] = "a torch module or numpy function of your own code"

    kind: Literal["python_restorer"] = "python_restorer"
    images: Literal["tensor", "float", "uint8"] = "tensor"
    """What it takes and gives: float tensors (n, c, h, w), or one numpy image (h, w, c), float32 or uint8."""
    factory: bool = False
    """True: ``call`` is called once in each process, with ``arguments``, and what it returns (a
    ``torch.nn.Module``, a function) restores. False: ``call`` itself restores, given ``arguments`` with every
    image; a class is a factory all the same."""
    scale: Annotated[int, Field(ge=1, le=8)] = 1
    """Output size / input size."""
    channels: Annotated[tuple[Literal[1, 3], ...], Field(min_length=1)] = (1, 3)
    """Numbers of channels that it takes."""
    minimum: Annotated[int, Field(ge=1)] = 8
    """Smallest height and width in pixels; smaller images are padded up to it."""
    multiple_of: Annotated[int, Field(ge=1)] = 1
    """Height and width are padded up to a multiple of this, and the result is cropped."""
    receptive_field: Annotated[int, Field(ge=1)] | None = None
    """Side in pixels, an odd number, of the square that one output pixel depends on; left out: not known, and
    large images cannot be cut into tiles."""
    value_range: Annotated[Number, Field(gt=0)] = 1.0
    """Value of white in float images: 1, or 255. In uint8 images it is 255."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Order of three channels; code around OpenCV often takes bgr."""
    alone: bool = False
    """Give it one image at a time, for code whose result depends on the rest of a batch."""

    @model_validator(mode="before")
    @classmethod
    def _facts_of_arrays(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("images", "tensor") != "tensor":
            return {"gradient": Gradient.SURROGATE, "onnx": ON_ARRAYS} | value
        return value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.weights is not None:
            raise ValueError("the code loads its own weights: leave 'weights' out")
        if self.receptive_field is not None and self.receptive_field % 2 == 0:
            raise ValueError("receptive_field: is an odd number, the pixel itself with as many to each side")
        if self.images != "tensor" and self.gradient is Gradient.EXACT:
            raise ValueError("gradient: autograd stops at numpy images: 'surrogate' or 'blocked'")
        if self.images != "tensor" and self.onnx == "ok":
            raise ValueError("onnx: numpy images cannot be exported: leave it out")
        if self.images == "uint8" and self.value_range != 1:
            raise ValueError("value_range: white is 255 in uint8 images: leave it out")
        return self

    @property
    def facts(self) -> RestorerFacts:
        """Return what the fields say."""
        return RestorerFacts(
            scale=self.scale,
            channels=self.channels,
            minimum=self.minimum,
            multiple_of=self.multiple_of,
            receptive_field=self.receptive_field,
        )

    def ready(self) -> None:
        """Try what the fields say on a few images; unlike other parts, this imports torch.

        Raises:
            ConfigError: there is no such code, it fails, or does not do what the fields say.
        """
        from clearsight.restore.networks.user_trial import Claims, try_claims

        super().ready()
        network = self.network().eval()
        try_claims(
            lambda x, draws: network(x, draws),
            Claims(
                place=self.place,
                channels=self.channels,
                minimum=self.minimum,
                multiple_of=self.multiple_of,
                receptive_field=self.receptive_field,
                stochastic=self.stochastic,
                exact=self.gradient is Gradient.EXACT,
            ),
        )

    def network(self) -> TensorCall | ArrayCall:
        """Return the module around the code.

        Raises:
            ConfigError: there is no such code, or its factory fails or gives nothing that can be called.
        """
        from clearsight.restore.networks.user_code import ArrayCall, TensorCall

        function, arguments = self._restoring()
        taken = self._taken(arguments)
        if self.images == "tensor":
            return TensorCall(function, taken, differentiable=self.gradient is Gradient.EXACT)
        return ArrayCall(function, taken, self.images)

    def randomized(
        self, x: Images, network: nn.Module | None, generators: Sequence[torch.Generator]
    ) -> ScaledImages:
        """Return what the code makes of each image with its own generator."""
        assert network is not None
        out: ScaledImages = network(x, generators)
        return out

    def surrogate(self, x: Images, network: nn.Module | None) -> ScaledImages:
        """Return the images as they are, enlarged where the code enlarges them."""
        from torch.nn.functional import interpolate

        if self.scale == 1:
            return 1.0 * x
        return interpolate(x, scale_factor=float(self.scale), mode="bilinear", align_corners=False)

    def fingerprint(self) -> str:
        """Return a key of the fields, of the source file and of every tensor of a module's state."""
        from torch import nn

        function, _ = self._restoring()
        state = state_digest(function) if isinstance(function, nn.Module) else ""
        return content_key([self.identity(), self.code(), state])

    def _restoring(self) -> tuple[Any, dict[str, Any]]:
        """Return what restores, and the arguments of each call."""
        named = self.function()
        if not self.factory and not isinstance(named, type):
            return named, self.arguments
        made = self.made()
        if not callable(made):
            raise ConfigError(f"returns a {type(made).__name__}, which restores nothing", where=self.place)
        return made, {}

    def _taken(self, arguments: dict[str, Any]) -> Taken:
        from clearsight.restore.networks.user_code import Taken

        return Taken(
            place=self.place,
            scale=self.scale,
            value_range=self.value_range,
            bgr=self.channel_order == "bgr",
            alone=self.alone,
            arguments=tuple(arguments.items()),
        )
