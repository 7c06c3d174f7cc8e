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
    restored: str | None = Field(
        default=None,
        description="PNG file in base64, where it was asked for and the file gives images.",
    )


class LimitsTold(BaseModel):
    """Limits of the server."""

    body_bytes: int = Field(description="Largest body of a request, in bytes.")
    pixels: int = Field(description="Most pixels of an image.")
    waiting: int = Field(description="Most requests at a time.")


class Health(BaseModel):
    """What is loaded, and that the server is up."""

    status: Literal["ok"] = Field(description="The server is up.")
    name: str = Field(description="Name of the system in its config.")
    chain: str = Field(description="The system in words.")
    variant: str = Field(description="Precision: fp32, fp16 or int8.")
    providers: list[str] = Field(description="Execution providers of onnxruntime, in order of preference.")
    config_key: str = Field(description="Content key of the graph and its weights.")
    gives: list[str] = Field(description="What the file gives: logits, image, set, abstains ...")
    classes: int = Field(description="Number of named classes.")
    size: list[int] | None = Field(description="Height and width that images are resized and cropped to.")
    top: int = Field(description="Classes in an answer where a request names no number.")
    limits: LimitsTold = Field(description="Limits of the server.")
    version: str = Field(description="Version of clearsight.")


class Reason(BaseModel):
    """Why a request failed."""

    what: str = Field(description="What is wrong.")
    hint: str = Field(description="What to do about it; may be empty.")


class Failure(BaseModel):
    """Every answer that is not a success."""

    error: Reason
