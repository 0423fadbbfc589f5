"""Bodies of replies, read no further than a limit, whatever they unpack to."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from caft.teacher.reading.body import BODY, read_body

_GZIP = b"\x1f\x8b"
_CUT = "caft_cut"  # among the extensions of a response


def bounded_client(of: type, limit_of: Callable[[str], int], is_async: bool) -> type:
    """Return a class of clients whose responses have no larger body than a limit, unpacked.

    A body beyond it is cut there, the connection is closed, and the response says so in its
    extensions: what has arrived may have been paid for. httpx2 unpacks a megabyte at a time. For
    the same reason an asynchronous client, which asks for answers, takes a body that is whole
    although the transfer broke off behind it, or hung until the request's time was over.

    Args:
        of: the class of clients to go on from; of the official package's.
        limit_of: the limit in bytes, by the path of a request.
        is_async: which of the two kinds it is.
    """
    import httpx2

    class Client(of):
        def send(self, request: Any, **options: Any) -> Any:
            response = super().send(request, **{**options, "stream": True})
            limit = limit_of(request.url.path)
            try:
                parts = list(_within(response.iter_raw(), limit))
            finally:
                response.close()
            return _whole(response, _unpacked(response, parts, limit), limit)

    class AsyncClient(of):
        async def send(self, request: Any, **options: Any) -> Any:
            response = await super().send(request, **{**options, "stream": True})
            limit = limit_of(request.url.path)
            parts: list[bytes] = []
            try:
                async for part in _within_async(response.aiter_raw(), limit):
                    parts.append(part)
            except (httpx2.TransportError, asyncio.CancelledError):
                if not _is_complete(_unpacked(response, parts, limit)):
                    raise
            finally:
                await response.aclose()
            return _whole(response, _unpacked(response, parts, limit), limit)

    return AsyncClient if is_async else Client


def is_cut(response: Any) -> bool:
    """Tell whether the body of a response went beyond the limit."""
    return bool(response.extensions.get(_CUT))


def _within(parts: Iterator[bytes], limit: int) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        yield part
        if size > limit:
            return


async def _within_async(parts: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for part in parts:
        size += len(part)
        yield part
        if size > limit:
            return


def _unpacked(response: Any, parts: list[bytes], limit: int) -> bytes:
    """Return a body as its headers say that it is packed, or as it came where that is not so.

    Some proxies leave out the header of what is packed with gzip.
    """
    import httpx2

    packed = httpx2.Response(response.status_code, headers=response.headers, content=iter(parts))
    try:
        body = b"".join(_within(packed.iter_bytes(), limit))
        return _gunzipped(body, limit) if body.startswith(_GZIP) else body
    except (httpx2.DecodingError, zlib.error):
        return b"".join(parts)


def _gunzipped(body: bytes, limit: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    found = unpacking.decompress(body, limit + 1)
    return found if unpacking.eof or len(found) > limit else body


def _is_complete(body: bytes) -> bool:
    """Tell whether nothing is missing: bare JSON, or what is around JSON that names its ending."""
    found = read_body(body)
    if not isinstance(found, dict) or BODY not in found:
        return isinstance(found, dict)
    choices = found["choices"]
    first = choices[0] if isinstance(choices, list) and choices else None
    ended = isinstance(first, dict) and first.get("finish_reason")
    return bool(ended) and body.rstrip().endswith((b"}", b"[DONE]"))


def _whole(response: Any, body: bytes, limit: int) -> Any:
    """Return a response with its body as it was unpacked."""
    import httpx2

    packed = ("content-encoding", "content-length", "transfer-encoding")
    headers = [
        (name, value) for name, value in response.headers.multi_items() if name not in packed
    ]
    return httpx2.Response(
        response.status_code,
        headers=headers,
        content=body[:limit],
        request=response.request,
        extensions={**response.extensions, _CUT: len(body) > limit},
    )
