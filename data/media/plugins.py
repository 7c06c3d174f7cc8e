"""HEIC and JPEG XL: read where the user has installed a plug-in for Pillow, imported at the first such image.

Neither is a dependency: wheels of pillow-heif carry libraries under the GPL and LGPL.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
"""Of images coded with HEVC (ISO/IEC 23008-12, annex B); AVIF files have other ones."""
JXL_SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""Of a bare codestream and of a container (ISO/IEC 18181-2)."""


@dataclass(frozen=True)
class Plugin:
    """A package that teaches Pillow a format.

    Attributes:
        format: Pillow's name of it.
        endings: of its files, in lower case.
        module: name that is imported.
        package: name that pip installs.
        register: function of the module that adds the format; empty where importing does.
    """

    format: str
    endings: tuple[str, ...]
    module: str
    package: str
    register: str = ""

    @property
    def installed(self) -> bool:
        """Return whether the module is there, without importing it."""
        return find_spec(self.module) is not None

    def registered(self) -> bool:
        """Import the plug-in; return whether Pillow now reads its format."""
        from PIL import Image

        try:
            module = import_module(self.module)
            if self.register and self.format not in Image.OPEN:
                getattr(module, self.register)()
        except (ImportError, OSError, AttributeError):
            return False
        return self.format in Image.OPEN


HEIC = Plugin("HEIF", (".heic", ".heif", ".hif"), "pillow_heif", "pillow-heif", "register_heif_opener")
JXL = Plugin("JXL", (".jxl",), "pillow_jxl", "pillow-jxl-plugin")
PLUGINS = (HEIC, JXL)


def plugin_of(data: bytes) -> Plugin | None:
    """Return the plug-in that an encoded image needs, by its first bytes; None for every other format."""
    if data.startswith(JXL_SIGNATURES):
        return JXL
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
        return HEIC if brands & HEIC_BRANDS else None
    return None


def installed_endings() -> frozenset[str]:
    """Return the file name endings that installed plug-ins add."""
    return frozenset(ending for plugin in PLUGINS if plugin.installed for ending in plugin.endings)


def advice(ending: str) -> str:
    """Return how files with an ending would be read; empty where no plug-in is known."""
    return next(
        (f"pip install {plugin.package}" for plugin in PLUGINS if ending.lower() in plugin.endings), ""
    )
