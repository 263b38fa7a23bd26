# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""Thousands of WebSockets that are silent most of the time, on one child with eight threads.

The growth of the front end's memory while all of them are open and silent, over their number; the processor time that it takes
for their silence; a static file asked for meanwhile; and how long a message takes to the backend and back, alone and when all
of them speak in the same instant. The backend is build/demo/ws.py."""

import selectors
import socket
import time

from . import fronts
from .tools import Unavailable, cpu_seconds, rss_kb, say

HEADINGS = ["front end", "open", "opened in", "KB RSS each", "CPU for 1000 silent", "static file, p50 and worst", "echo alone, p50 and p99",
            "all speak at once: first, last"]
SILENT_S = 5
MESSAGE = b"\x81\x85\x00\x00\x00\x00hello"
ANSWER = b"\x81\x05hello"
HELLO = (b"GET /app HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
AT_ONCE = 64


class OursWebSocket(fronts.Ours):
    name, title, keep = "ours-ws", "mod_proxy_core", "    ProxyCoreUpgrade websocket\n    ProxyCoreTimeout idle=10min\n"

    def pool(self, backend):
        return super().pool(backend).replace("unix:" + backend.socket, "127.0.0.1:%d" % backend.port)


class NginxWebSocket(fronts.Nginx):
    title = "nginx (2 workers)"

    def command(self, backend, **tuning):
        command = super().command(backend, **tuning)
        path = command[command.index("-c") + 1]
        with open(path) as f:
            text = f.read()
        self.place.write(self.name + ".d/nginx.conf", text.replace("server unix:" + backend.socket, "server 127.0.0.1:%d" % backend.port))
        return command

    def passing(self, backend, keep):
        return """            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 10m;
"""


PLAN = [(OursWebSocket, "ours"), (NginxWebSocket, "nginx")]


def add_arguments(parser):
    parser.add_argument("--websockets", type=int, default=2000, metavar="N", help="connections of `websockets` (2000)")


def open_all(port, count):
    """Handshakes, AT_ONCE on their way. Returns the sockets that were switched."""
    selector, good, begun = selectors.DefaultSelector(), [], 0
    waiting = 0
    deadline = time.monotonic() + 60
    while (begun < count or waiting) and time.monotonic() < deadline:
        while begun < count and waiting < AT_ONCE:
            s = socket.create_connection(("127.0.0.1", port), 10)
            s.sendall(HELLO)
            s.setblocking(False)
            selector.register(s, selectors.EVENT_READ)
            begun, waiting = begun + 1, waiting + 1
        for key, _ in selector.select(1):
            head = key.fileobj.recv(4096)
            selector.unregister(key.fileobj)
            waiting -= 1
            if head.startswith(b"HTTP/1.1 101 ") and head.endswith(b"\r\n\r\n"):
                good.append(key.fileobj)
            else:
                key.fileobj.close()
    return good


def read_answer(s, selector=None):
    got = b""
    while len(got) < len(ANSWER):
        piece = s.recv(len(ANSWER) - len(got))
        if not piece:
            raise Unavailable("a WebSocket was closed")
        got += piece
    if got != ANSWER:
        raise Unavailable("another answer than was expected")


def alone(sockets):
    """Milliseconds of single messages, on one WebSocket after the other."""
    took = []
    for s in sockets[::max(1, len(sockets) // 300)]:
        s.settimeout(10)
        began = time.monotonic()
        s.sendall(MESSAGE)
        read_answer(s)
        took.append((time.monotonic() - began) * 1000)
        s.setblocking(False)
    return sorted(took)


def together(sockets):
    """Milliseconds until the first and the last answer when all speak in the same instant."""
    selector, came = selectors.DefaultSelector(), []
    for s in sockets:
        selector.register(s, selectors.EVENT_READ)
    began = time.monotonic()
    for s in sockets:
        s.sendall(MESSAGE)
    while len(came) < len(sockets) and time.monotonic() < began + 20:
        for key, _ in selector.select(1):
            read_answer(key.fileobj)
            selector.unregister(key.fileobj)
            came.append((time.monotonic() - began) * 1000)
    if len(came) < len(sockets):
        raise Unavailable("%d of %d were not answered" % (len(sockets) - len(came), len(sockets)))
    return came[0], came[-1]


def static_ms(front):
    took = []
    for _ in range(100):
        began = time.monotonic()
        front.get("/static.txt")
        took.append((time.monotonic() - began) * 1000)
    return sorted(took)


def resident_kb(front):
    return sum(rss_kb(p, "Rss") for p in front.pids())


def measure(front, count):
    for s in open_all(front.port, 16):  # what the first ones cost is not charged to the rest
        s.close()
    before, began = resident_kb(front), time.monotonic()
    sockets = open_all(front.port, count)
    opened_s = time.monotonic() - began
    time.sleep(1)
    each = (resident_kb(front) - before) / max(1, len(sockets))
    cpu = sum(cpu_seconds(p) for p in front.pids())
    time.sleep(SILENT_S)
    cpu = (sum(cpu_seconds(p) for p in front.pids()) - cpu) / SILENT_S
    try:
        return {"open": len(sockets), "opened_s": opened_s, "kb_each": each, "cpu_share": cpu, "static_ms": static_ms(front),
                "alone_ms": alone(sockets), "together_ms": together(sockets)}
    finally:
        for s in sockets:
            s.close()


def at(values, share):
    return values[min(len(values) - 1, int(len(values) * share))]


def row(front, f, count):
    return [front.title, "%d of %d" % (f["open"], count), "%.2f s" % f["opened_s"], "%.1f" % f["kb_each"],
            "%.2f %%" % (f["cpu_share"] * 100 * 1000 / max(1, f["open"])),
            "%.1f, %.1f ms" % (at(f["static_ms"], .5), f["static_ms"][-1]),
            "%.2f, %.2f ms" % (at(f["alone_ms"], .5), at(f["alone_ms"], .99)), "%.0f, %.0f ms" % f["together_ms"]]


def run(place, options):
    count = options.websockets
    say("websockets: %d" % count)
    rows, figures = [], {}
    for index, (cls, peer) in enumerate(PLAN):
        if peer not in options.peers:
            continue
        front = cls(place, 40 + index, options)
        try:
            front.start(fronts.Backend(place, "ws", 40 + index), servers=1, threads=8, factor=2 * count // 8)
            f = figures[front.name] = measure(front, count)
            rows.append(row(front, f, count))
            say("  %-10s %s" % (front.name, rows[-1]))
        except (Unavailable, OSError, ValueError) as e:
            say("  %-10s skipped: %s" % (front.name, str(e).strip()))
            rows.append([cls.title, (str(e).strip() or type(e).__name__).splitlines()[0][:90]] + [""] * (len(HEADINGS) - 2))
        finally:
            front.stop()
    return ("websockets: %d on one child of 8 threads, silent for %d s, then speaking" % (count, SILENT_S), HEADINGS, rows,
            "A peer among httpd's modules holds a thread for each."), figures
