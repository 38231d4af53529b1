"""What stands before a database, and can be shut."""

import asyncio
import contextlib
import socket
import struct
from urllib.parse import quote

from app.db.url import parameters


class Gate:
    """Stands before the database. Shut, it refuses connections and drops those that are open."""

    _server: asyncio.Server

    def __init__(self, url: str) -> None:
        arguments = parameters(url)
        self._socket_path, self._database = arguments["unix_socket"], arguments["db"]
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._port = 0

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self._port}/{quote(self._database)}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        self._tasks.clear()
        self._writers.clear()

    def reset(self) -> None:
        """Those that are open, as when a proxy or a machine starts anew."""
        for writer in self._open():
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def dismiss(self) -> None:
        """Those that are open, with the words of MySQL 8 when they were idle for too long."""
        said = b"\xff" + struct.pack("<H", 4031) + b"#HY000The client was disconnected because of inactivity."
        for writer in self._open():
            writer.write(len(said).to_bytes(3, "little") + b"\0" + said)
            writer.close()

    def _open(self) -> list[asyncio.StreamWriter]:
        return [writer for writer in self._writers if not writer.transport.is_closing()]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self._socket_path)
        try:
            await asyncio.gather(self._copy(reader, up_writer), self._copy(up_reader, writer))
        finally:
            for one in (writer, up_writer):
                one.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while (data := await reader.read(1 << 24)) and await self._lets_through(data):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _lets_through(self, _data: bytes) -> bool:
        """Asked of all that comes, from either side. If it does not, the session ends."""
        return True
