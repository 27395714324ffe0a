"""/v1/uploads: uploads that go on after an interruption, by the tus 1.0 protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Header, Path, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from app.errors import Conflict, MaasError, TooLarge, UnsupportedMedia
from app.principal import Principal
from app.streams import pour
from app.tables import UploadRow
from app.uploads import headers as tus
from app.uploads.place import Continuation, Place
from app.uploads.schemas import UploadRead
from app.web.routing import Caller, allow, allow_anybody, router

routes = router("uploads")
UploadId = Annotated[str, Path(max_length=64, description="Id of an upload.")]
Version = Annotated[str | None, Header(alias="tus-resumable", description="Version of tus: 1.0.0.")]
Length = Annotated[str | None, Header(alias="upload-length", description="Size of the file in bytes.")]
Metadata = Annotated[
    str | None,
    Header(
        alias="upload-metadata",
        description="`filename`, `filetype`, `name` and the options of an upload, each with a base64 value.",
    ),
]
Offset = Annotated[str | None, Header(alias="upload-offset", description="Where the body begins in the file.")]
Checksum = Annotated[
    str | None, Header(alias="upload-checksum", description="`sha256` or `sha1`, a space, the digest in base64.")
]
BODY = {"content": {tus.OFFSET_TYPE: {"schema": {"type": "string", "format": "binary"}}}}
FAULTS: dict[int | str, dict[str, Any]] = {412: {}, 423: {}, 460: {}}


@routes.options("/v1/uploads", status_code=204)
@allow_anybody
async def describe_uploads(request: Request) -> Response:
    """Which version and extensions of the tus protocol are spoken, and how large a file may be."""
    told = {
        "Tus-Resumable": tus.VERSION,
        "Tus-Version": tus.VERSION,
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
        "Tus-Max-Size": str(request.app.state.settings.max_upload_bytes),
    }
    return Response(status_code=204, headers=told)


@routes.post(
    "/v1/uploads",
    status_code=201,
    response_model=UploadRead,
    responses=FAULTS,
    openapi_extra={"requestBody": {**BODY, "required": False, "description": "The first bytes of the file."}},
)
@allow("datasets:write", body="upload")
async def create_upload(
    request: Request,
    caller: Caller,
    _version: Version = None,
    _length: Length = None,
    _metadata: Metadata = None,
    _checksum: Checksum = None,
) -> Response:
    """Announce a file, and send its first bytes if you like; the rest follows with PATCH."""
    place = _place(request)
    with _speaking(request):
        tus.check_version(request.headers)
        size_bytes = tus.upload_length(request.headers, limit_bytes=place.settings.max_upload_bytes)
        metadata = tus.upload_metadata(request.headers)
        has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
        if has_body:
            tus.check_body_type(request.headers)
        checksum = tus.checksum(request.headers)
        row = await run_in_threadpool(place.create, caller, metadata, size_bytes)
        if has_body:
            try:
                row = await _receive(request, place, caller, row, 0, checksum)
            except MaasError:
                # The client never learns where this upload is, so nobody can go on with it.
                await run_in_threadpool(place.forget, caller, row)
                raise
        told = {"Location": f"/v1/uploads/{row.id}", **tus.state_headers(row)}
        shown = UploadRead.model_validate(row).model_dump_json()
        return Response(shown, 201, headers=told, media_type="application/json")


@routes.get("/v1/uploads/{upload_id}")
@allow("datasets:write")
async def get_upload(request: Request, upload_id: UploadId, caller: Caller) -> UploadRead:
    """How far an upload is, and the data set that it became."""
    return UploadRead.model_validate(await run_in_threadpool(_look, _place(request), caller, upload_id))


@routes.head("/v1/uploads/{upload_id}", status_code=204, responses={412: {}})
@allow("datasets:write")
async def get_upload_offset(
    request: Request, upload_id: UploadId, caller: Caller, _version: Version = None
) -> Response:
    """Where to go on: `Upload-Offset` counts the bytes that are stored durably."""
    with _speaking(request):
        row = await run_in_threadpool(_look, _place(request), caller, upload_id)
        tus.check_version(request.headers)
        return Response(status_code=204, headers=tus.state_headers(row))


@routes.patch(
    "/v1/uploads/{upload_id}",
    status_code=204,
    responses=FAULTS,
    openapi_extra={"requestBody": {**BODY, "required": True, "description": "The bytes from `Upload-Offset` on."}},
)
@allow("datasets:write", body="upload")
async def continue_upload(
    request: Request,
    upload_id: UploadId,
    caller: Caller,
    _version: Version = None,
    _offset: Offset = None,
    _checksum: Checksum = None,
) -> Response:
    """Send more bytes; the last ones make the data set, which `Content-Location` names."""
    place = _place(request)
    with _speaking(request):
        row = await run_in_threadpool(place.get, caller, upload_id)
        tus.check_version(request.headers)
        tus.check_body_type(request.headers)
        offset_bytes = tus.upload_offset(request.headers)
        row = await _receive(request, place, caller, row, offset_bytes, tus.checksum(request.headers))
        return Response(status_code=204, headers=tus.state_headers(row))


@routes.delete("/v1/uploads/{upload_id}", status_code=204, responses={412: {}, 423: {}})
@allow("datasets:write")
async def delete_upload(request: Request, upload_id: UploadId, caller: Caller, _version: Version = None) -> Response:
    """Drop an upload and its bytes; a data set that it became stays."""
    place = _place(request)
    with _speaking(request):
        row = await run_in_threadpool(place.get, caller, upload_id)
        tus.check_version(request.headers)
        await run_in_threadpool(place.remove, row)
        return Response(status_code=204, headers={"Tus-Resumable": tus.VERSION})


async def _receive(
    request: Request,
    place: Place,
    caller: Principal,
    row: UploadRow,
    offset_bytes: int,
    checksum: tus.Checksum | None,
) -> UploadRow:
    with place.parts.open(row.id) as part:
        row = await run_in_threadpool(place.get, caller, row.id)
        if offset_bytes != row.offset_bytes:
            raise Conflict(f"The upload goes on at {row.offset_bytes}, not at {offset_bytes}.", code="offset-mismatch")
        if row.status == "complete":
            return row
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > row.size_bytes - offset_bytes:
            raise TooLarge(f"More bytes come than the {row.size_bytes} that Upload-Length announced.")
        going = Continuation(place, row, part, checksum)
        body = _Body(request)
        await pour(body.until_cut(), going.write)
        if not (body.is_cut and checksum):
            # What arrived before a connection broke is kept: the client asks how much that is, and goes on.
            await run_in_threadpool(going.end)
        if body.is_cut:
            raise ClientDisconnect
        if row.offset_bytes == row.size_bytes:
            await run_in_threadpool(place.finish, caller, row, going.part)
        return row


class _Body:
    """The body of a request until it ends, or its connection does."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.is_cut = False

    async def until_cut(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._request.stream():
                yield piece
        except ClientDisconnect:
            self.is_cut = True


def _look(place: Place, caller: Principal, upload_id: str) -> UploadRow:
    return place.finish_if_whole(caller, place.get(caller, upload_id))


def _place(request: Request) -> Place:
    state = request.app.state
    return Place(state.settings, state.sessions, state.read_sessions, state.storage)


@contextmanager
def _speaking(request: Request) -> Iterator[None]:
    """Say in refusals, too, which version of tus is spoken; a compressed part of a file is not read."""
    try:
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMedia("A part of an upload is not read compressed; compress the file before.")
        yield
    except MaasError as error:
        error.headers.setdefault("Tus-Resumable", tus.VERSION)
        raise
