"""A multipart form on its way in: the bytes of its one file go on, piece by piece; nothing else of it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator

from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header

from app.errors import Invalid, Malformed

MAX_PARTS = 16
MAX_HEADER_BYTES = 16_384
MAX_FIELD_BYTES = 65_536


class Form:
    """The parser of one form; `filename` and `content_type` are what the client says of the file."""

    def __init__(self, content_type: str) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 70:
            raise _malformed("its Content-Type has no boundary")
        self.filename: str | None = None
        self.content_type: str | None = None
        self._found = self._in_file = self._is_complete = False
        self._num_parts = self._num_header_bytes = self._num_field_bytes = 0
        self._name, self._value, self._headers = bytearray(), bytearray(), dict[bytes, bytes]()
        self._piece = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_part_data": self._take_data,
                "on_header_field": self._take_header_name,
                "on_header_value": self._take_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_end": self._complete,
            },
        )

    async def file(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The bytes of the file. Raises: Malformed when the form is broken or cut; Invalid when it has no file."""
        async for chunk in body:
            try:
                self._parser.write(chunk)
            except MultipartParseError:
                raise _malformed("it cannot be parsed") from None
            if self._piece:
                yield bytes(self._piece)
                self._piece.clear()
        if not self._is_complete:
            raise _malformed("it ends early")
        if not self._found:
            detail = "A multipart upload needs a part named 'file' that has a file name."
            raise Invalid(detail, errors=[{"pointer": "/file", "detail": detail}])

    def _begin_part(self) -> None:
        self._num_parts += 1
        if self._num_parts > MAX_PARTS:
            raise _malformed(f"it has more than {MAX_PARTS} parts")
        self._in_file = False
        self._headers = {}

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def _count_header(self, num_bytes: int) -> None:
        self._num_header_bytes += num_bytes
        if self._num_header_bytes > MAX_HEADER_BYTES:
            raise _malformed(f"its headers have more than {MAX_HEADER_BYTES} bytes")

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if options.get(b"name") != b"file" or b"filename" not in options:
            return
        if self._found:
            raise _malformed("it has two files")
        self._found = self._in_file = True
        self.filename = options[b"filename"].decode("utf-8", "replace")
        content_type = self._headers.get(b"content-type")
        self.content_type = content_type.decode("latin-1") if content_type else None

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._piece += data[start:end]
            return
        self._num_field_bytes += end - start
        if self._num_field_bytes > MAX_FIELD_BYTES:
            raise _malformed(f"its fields have more than {MAX_FIELD_BYTES} bytes")

    def _complete(self) -> None:
        self._is_complete = True


def _malformed(fault: str) -> Malformed:
    return Malformed(f"The multipart body is broken: {fault}.", code="malformed-multipart")
