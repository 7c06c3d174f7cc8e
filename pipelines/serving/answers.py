"""The JSON of every answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Prediction(BaseModel):
    """One class of an image."""

    label: str = Field(description="Name of the class.")
    probability: float = Field(description="0 to 1; over all classes they sum to 1.")


class Predicted(BaseModel):
    """The network's answer for an image."""

    predictions: list[Prediction] = Field(
        description="The likeliest first; empty where the file classifies nothing."
    )
    width: int = Field(description="Pixels of the upright image.")
    height: int = Field(description="Pixels of the upright image.")
    notes: list[str] = Field(description="What was done to the image to make it fit.")
    set: list[str] | None = Field(
        default=None, description="Classes of the conformal set; only of files that give sets."
    )
    abstains: bool | None = Field(
        default=None, description="The answer is too unsure to be given; only of files that may abstain."
    )
    suspicion: float | None = Field(
        default=None, description="What a detector says, more for images that look attacked."
    )
    alarm: bool | None = Field(default=None, description="The suspicion is above the threshold.")
    unrestored: list[Prediction] | None = Field(
        default=None,
        description="What the classifier alone says of the image as it came, where asked for and served.",
    )
    restored: str | None = Field(
        default=None,
        description="PNG file in base64, where it was asked for and the file gives images.",
    )


class Reason(BaseModel):
    """Why a request failed, or an image of it."""

    what: str = Field(description="What is wrong.")
    hint: str = Field(description="What to do about it; may be empty.")


class Failure(BaseModel):
    """Every answer that is not a success."""

    error: Reason


class InBatch(BaseModel):
    """One image of a batch: its answer, or why it has none."""

    file: str = Field(description="Name of the file in the form.")
    status: int = Field(description="The status that the image would have been answered with alone.")
    answer: Predicted | None = Field(default=None, description="As for one image, where the status is 200.")
    error: Reason | None = Field(default=None, description="What is wrong with the image, elsewhere.")


class Batch(BaseModel):
    """The network's answers for several images."""

    images: list[InBatch] = Field(description="In the order of the form.")


class LimitsTold(BaseModel):
    """Limits of the server."""

    body_bytes: int = Field(description="Largest body of a request, in bytes.")
    pixels: int = Field(description="Most pixels of an image, and of all images of a batch.")
    images: int = Field(description="Most images of a batch.")
    waiting: int = Field(description="Most requests at a time.")


class Loaded(BaseModel):
    """One file that is served."""

    model: str = Field(description="What requests call it: the name of the file without its ending.")
    name: str = Field(description="Name of the system in its config.")
    chain: str = Field(description="The system in words.")
    variant: str = Field(description="Precision: fp32, fp16 or int8.")
    providers: list[str] = Field(description="Execution providers of onnxruntime, in order of preference.")
    config_key: str = Field(description="Content key of the graph and its weights.")
    gives: list[str] = Field(description="What the file gives: logits, image, set, abstains ...")
    classes: int = Field(description="Number of named classes.")
    size: list[int] | None = Field(description="Height and width that images are resized and cropped to.")
    unrestored: str | None = Field(
        description="The model of its classifier alone, for 'unrestored'; null where none is served."
    )


class Models(BaseModel):
    """What is loaded."""

    models: list[Loaded] = Field(description="The first answers requests that name none.")


class Health(Models):
    """What is loaded, and that the server is up."""

    status: Literal["ok"] = Field(description="The server is up.")
    top: int = Field(description="Classes in an answer where a request names no number.")
    limits: LimitsTold = Field(description="Limits of the server.")
    version: str = Field(description="Version of clearsight.")
