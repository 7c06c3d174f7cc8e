"""The files of a form: ``multipart/form-data`` (RFC 7578), as ``curl -F`` and browsers send it."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser

from clearsight.pipelines.serving.limits import RefusedError

FORM = "multipart/form-data"
MOST_FILES = 64
"""Most files in one form: as many as are computed in one call."""
MOST_HEAD = 4096
"""Most bytes of the lines above a file."""
AS_FORM = "send images as a form: curl -F image=@a.jpg -F image=@b.jpg"


def files(data: bytes, content_type: str) -> list[tuple[str, bytes]]:
    """Return name and content of each file in a form, in its order.

    Args:
        data: the body.
        content_type: header of the request, which names the boundary.

    Raises:
        RefusedError: not a form, a damaged one, fields that are no files, none at all or too many.
    """
    declared = Message()
    declared["content-type"] = content_type
    boundary = declared.get_boundary()
    if declared.get_content_type() != FORM or not boundary:
        raise RefusedError(422, "the body is not a form", hint=AS_FORM)
    found: list[tuple[str, bytes]] = []
    for part in _parts(data, boundary):
        if len(found) == MOST_FILES:
            raise RefusedError(
                413, f"the form has more than {MOST_FILES} files", hint="send them in several requests"
            )
        found.append(_file(part))
    if not found:
        raise RefusedError(422, "the form has no files", hint=AS_FORM)
    return found


def _parts(data: bytes, boundary: str) -> Iterator[memoryview]:
    """Yield what stands between the boundaries, head and content."""
    mark, view = b"\r\n--" + boundary.encode("latin-1", "replace"), memoryview(data)
    # The first boundary may stand at the very beginning.
    at = len(mark) - 2 if data.startswith(mark[2:]) else _after(data, mark, 0)
    while data[at : at + 2] != b"--":
        begin = data.find(b"\n", at)
        end = data.find(mark, at)
        if end < 0 or not 0 <= begin <= end or data[at : begin + 1].strip(b" \t") != b"\r\n":
            raise _damaged()
        yield view[begin + 1 : end]
        at = end + len(mark)


def _after(data: bytes, mark: bytes, start: int) -> int:
    at = data.find(mark, start)
    if at < 0:
        raise _damaged()
    return at + len(mark)


def _file(part: memoryview) -> tuple[str, bytes]:
    head, gap, _ = bytes(part[:MOST_HEAD]).partition(b"\r\n\r\n")
    if not gap:
        raise _damaged()
    told = HeaderParser().parsestr(head.decode("utf-8", "replace"))
    name = told.get_filename()
    if name is None:
        field = told.get_param("name", "", "content-disposition")
        raise RefusedError(422, f"the form's field '{field!s:.100}' is no file", hint=AS_FORM)
    return name, bytes(part[len(head) + len(gap) :])


def _damaged() -> RefusedError:
    return RefusedError(422, "the form is damaged", hint=AS_FORM)
