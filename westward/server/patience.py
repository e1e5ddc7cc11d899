"""Connections that never get to the point: the server waits so long, and keeps so many bytes.

uvicorn limits neither the time nor the size of a request's head. Bodies are ``limits.BodyLimit``'s.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN_S = 20.0
"""From the connection, or a later request's first byte, to the end of its head."""
HEAD_MOST_BYTES = 64 * 2**10
HEADERS_MOST = 100
_TOO_LARGE = (
    b'{"code":"head-too-large","message":"a request\'s head may have %d bytes and %d headers",'
    b'"faults":[]}' % (HEAD_MOST_BYTES, HEADERS_MOST)
)
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_TOO_LARGE), _TOO_LARGE)
)


class PatientProtocol(HttpToolsProtocol):
    """One connection. Until a head is whole nothing of ours has begun, so it is simply closed."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    """Whether the next bytes may belong to a head."""
    _head_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self.parser is None:
            return
        in_head = self._in_head
        super().data_received(data)
        if in_head and self._in_head:  # a head that this did not end
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_MOST_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > HEADERS_MOST or len(name) + len(value) > HEAD_MOST_BYTES:
            self._head_bytes = HEAD_MOST_BYTES + 1

    def on_headers_complete(self) -> None:
        self._head_came()
        if self._head_bytes > HEAD_MOST_BYTES:
            self._in_head = True  # nothing is begun: ``data_received`` refuses
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._in_head:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._in_head:
            super().on_message_complete()

    def _await_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._timer = self.loop.call_later(HEAD_WITHIN_S, self._late)

    def _head_came(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if not self._refused:
            self._refused = True
            self.transport.close()

    def _refuse(self) -> None:
        self._refused = True
        self._head_came()
        self.transport.write(_ANSWER)
        self.transport.close()
