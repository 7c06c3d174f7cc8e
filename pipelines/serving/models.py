"""The models of a server: exported files by their names, and which is another one without restorer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clearsight.data.contract.deployed import Deployed
from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.inference.inputs import Want, wanted
from clearsight.pipelines.inference.session import Session


@dataclass(frozen=True, eq=False)
class Model:
    """One deployed file of a server.

    Attributes:
        name: what requests call it: the name of the file without its ending.
        session: computes it.
        want: how images are prepared for it.
        unrestored: the model of its classifier alone; None where none is served.
    """

    name: str
    session: Session
    want: Want
    unrestored: Model | None = None

    @property
    def deployed(self) -> Deployed:
        """Return the description inside the file."""
        return self.session.deployed

    @property
    def gives_image(self) -> bool:
        """Return whether restored images come out."""
        return self.deployed.output("image") is not None


def models(sessions: Iterable[Session], size: int | None = None) -> tuple[Model, ...]:
    """Return the models of a server, in the order of the files.

    Args:
        sessions: the files, opened.
        size: side of the square that images are resized and cropped to; None: as each file needs.

    Raises:
        ConfigError: two files of one name, or a size that one of them does not take.
    """
    plain: dict[str, Model] = {}
    for session in sessions:
        name = session.path.stem
        if name in plain:
            raise ConfigError(
                f"two files are called '{name}'",
                where=str(session.path),
                hint="rename one: requests choose a model by the name of its file",
            )
        plain[name] = Model(name, session, _wanted(session, size))
    return tuple(
        Model(each.name, each.session, each.want, _alone(each.deployed, tuple(plain.values())))
        for each in plain.values()
    )


def _wanted(session: Session, size: int | None) -> Want:
    try:
        return wanted(session.deployed, size)
    except ConfigError as error:
        raise ConfigError(f"{session.path.name}: {error.what}", where=error.where, hint=error.hint) from None


def _alone(deployed: Deployed, served: Sequence[Model]) -> Model | None:
    """Return the model of the classifier alone: of equal precision if there is one, else the first."""
    key = deployed.unrestored_key
    same = [each for each in served if key and each.deployed.config_key == key]
    exact = [each for each in same if each.deployed.variant == deployed.variant]
    return next(iter([*exact, *same]), None)
