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
    restored: str | None = Field(
        default=None,
        description="PNG file in base64, where it was asked for and the file gives images.",
    )


class LimitsTold(BaseModel):
    """What the server takes at most."""

    body_bytes: int = Field(description="Of one request.")
    pixels: int = Field(description="Of one image.")
    waiting: int = Field(description="Requests at a time.")


class Health(BaseModel):
    """What is loaded, and that the server lives."""

    status: Literal["ok"] = Field(description="The server lives.")
    name: str = Field(description="Of the system in its config.")
    chain: str = Field(description="The system in words.")
    variant: str = Field(description="Numbers it computes in: fp32, fp16 or int8.")
    providers: list[str] = Field(description="Of onnxruntime, the first wherever it can.")
    config_key: str = Field(description="Content key of the graph and its weights.")
    gives: list[str] = Field(description="logits, image, or both.")
    classes: int = Field(description="Number of named classes.")
    size: list[int] | None = Field(description="Height and width that images are brought to.")
    top: int = Field(description="Classes in an answer where none are asked for.")
    limits: LimitsTold = Field(description="What is taken at most.")
    version: str = Field(description="Of clearsight.")


class Reason(BaseModel):
    """Why a request failed."""

    what: str = Field(description="What is wrong.")
    hint: str = Field(description="What to do about it; may be empty.")


class Failure(BaseModel):
    """Every answer that is not a success."""

    error: Reason
