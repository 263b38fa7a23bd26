#!/usr/bin/python3
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""A WebSocket server of Python's standard library alone that says again what it hears. It listens on descriptor 0, or on
the port that it is given."""

import asyncio
import base64
import hashlib
import socket
import struct
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LARGEST = 1 << 20
CLOSE, PING, PONG = 8, 9, 10


async def shake_hands(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    key = next((line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")), None)
    if fields.get(b"upgrade", b"").strip() != b"websocket" or not key:
        writer.write(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 31\r\nConnection: close\r\n\r\n"
                     b"This is a WebSocket, no page.\r\n")
        return False
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                 + accept + b"\r\n\r\n")
    return True


async def read_frame(reader):
    """(first byte, payload) or None: too large, or not masked as a client's must be."""
    first, second = await reader.readexactly(2)
    size = second & 127
    if size == 126:
        size, = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        size, = struct.unpack("!Q", await reader.readexactly(8))
    if size > LARGEST or not second & 128:
        return None
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    whole = int.from_bytes(mask * (size // 4) + mask[:size % 4], "big") ^ int.from_bytes(data, "big")
    return first, whole.to_bytes(size, "big")


def frame(first, data):
    size = len(data)
    if size < 126:
        return bytes([first, size]) + data
    return (struct.pack("!BBH", first, 126, size) if size < 65536 else struct.pack("!BBQ", first, 127, size)) + data


async def talk(reader, writer):
    try:
        if await shake_hands(reader, writer):
            while got := await read_frame(reader):
                first, data = got
                kind = first & 15
                writer.write(frame(first & 0xF0 | PONG if kind == PING else first, data))
                await writer.drain()
                if kind == CLOSE:
                    break
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    if len(sys.argv) > 1:
        server = await asyncio.start_server(talk, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    else:
        listener = socket.socket(fileno=0)
        start = asyncio.start_unix_server if listener.family == socket.AF_UNIX else asyncio.start_server
        server = await start(talk, sock=listener)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
