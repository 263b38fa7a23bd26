# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""Graceful restarts: what a static file waits while an application request is in flight, and a hundred of them under load."""

import asyncio
import json
import os
import signal
import subprocess
import time

from . import fronts
from .tools import HTTPD_MODULES, OUT, Unavailable, say

SLOW_MS = 6000
ASK_EVERY = 0.01
SLOTS = 8  # ServerLimit: children that finish an old generation's requests keep theirs meanwhile


def add_arguments(parser):
    parser.add_argument("--restart-rounds", type=int, default=3, metavar="N", help="rounds of `restart-static` (3)")
    parser.add_argument("--restarts", type=int, default=100, metavar="N", help="restarts of `restart-100` (100)")


class PlainHttpd(fronts.Floor):
    name, title = "httpd", "httpd alone (a handler that sleeps)"


class FcgidFew(fronts.Fcgid):
    name, title, processes = "fcgid-few", "mod_fcgid", 4


class Wsgi(fronts.Httpd):
    name, title = "wsgi", "mod_wsgi, daemon mode"

    def refuse(self, backend):
        return None if os.path.exists(os.path.join(HTTPD_MODULES, "mod_wsgi.so")) else "mod_wsgi is not installed"

    def configuration(self, backend):
        script = self.place.write(self.name + ".d/app.wsgi", """import time
from urllib.parse import parse_qs

def application(environ, start_response):
    query = parse_qs(environ.get("QUERY_STRING", ""))
    time.sleep(int(query.get("d", ["0"])[0]) / 1000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * int(query.get("n", ["100"])[0])]
""")
        return fronts.load("wsgi") + """WSGISocketPrefix {dir}/wsgi
WSGIDaemonProcess bench processes=2 threads=4
WSGIProcessGroup bench
WSGIScriptAlias /app {script}
""".format(dir=self.dir, script=script)


async def _get(port, path, timeout):
    """Status and length of the body; a connection of its own."""
    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), timeout)
    try:
        writer.write(("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % path).encode())
        data = await asyncio.wait_for(reader.read(-1), timeout)
    finally:
        writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]) if head.startswith(b"HTTP/1.") else 0, len(body)


class _Round:
    def __init__(self, front):
        self.front, self.waits, self.failed = front, [], 0

    async def ask(self):
        began = time.monotonic()
        try:
            status, _ = await _get(self.front.port, "/static.txt", 30)
            self.failed += status != 200
        except (OSError, asyncio.TimeoutError, ValueError, IndexError):
            self.failed += 1
        self.waits.append((time.monotonic() - began) * 1000)

    async def slow(self):
        try:
            status, length = await _get(self.front.port, "/app?n=100&d=%d" % SLOW_MS, 30)
            return status if length >= 100 else -status
        except (OSError, asyncio.TimeoutError, ValueError, IndexError):
            return 0

    async def go(self):
        slow, asks, began, signalled = asyncio.ensure_future(self.slow()), [], time.monotonic(), False
        while time.monotonic() - began < SLOW_MS / 1000 + 1:
            asks.append(asyncio.ensure_future(self.ask()))
            if not signalled and time.monotonic() - began > 0.5:
                signalled = True
                self.front.graceful()
            await asyncio.sleep(ASK_EVERY)
        await asyncio.wait(asks, timeout=35)
        status = await slow
        waits = sorted(self.waits)
        return {"longest_ms": waits[-1], "p99_ms": waits[len(waits) * 99 // 100], "asked": len(asks), "failed": self.failed,
                "slow_status": status}


class Static:
    HEADINGS = ["front end", "longest wait, each round", "p99", "files asked for", "failed", "the 6 s request"]
    PLAN = [(PlainHttpd, "floor"), (fronts.OursSpawn, "ours"), (FcgidFew, "fcgid"), (Wsgi, "fcgid"), (fronts.ProxyFcgi, "proxy_fcgi")]

    @classmethod
    def run(cls, place, options):
        say("restart-static: a file every 10 ms, a graceful restart with a 6 s application request in flight")
        results, missing = {}, []
        for n in range(options.restart_rounds):
            for index, (front_class, peer) in enumerate(cls.PLAN):
                if peer not in options.peers or any(m is front_class for m, _ in missing):
                    continue
                cls.one(place, options, front_class, index, n, results, missing)
        rows = [cls.row(c, results[c.name]) for c, _ in cls.PLAN if c.name in results]
        rows += [[c.title, why.splitlines()[0][:90]] + [""] * (len(cls.HEADINGS) - 2) for c, why in missing]
        return ("restart-static: a static file asked for during a graceful restart, with a 6 s application request in flight",
                cls.HEADINGS, rows, "All but httpd alone and mod_proxy_fcgi (an external program) spawn their application."), results

    @staticmethod
    def one(place, options, front_class, index, n, results, missing):
        front = front_class(place, 30 + index, options)
        try:
            front.start(fronts.Backend(place, "libfcgi", 30 + index), slots=SLOTS)
            front.get("/app?n=100")
            results.setdefault(front.name, []).append(asyncio.run(_Round(front).go()))
            say("  round %d  %-12s %s" % (n + 1, front.name, results[front.name][-1]))
        except (Unavailable, OSError) as e:
            say("  %-12s skipped: %s" % (front.name, str(e).strip()))
            missing.append((front_class, str(e).strip() or type(e).__name__))
        finally:
            front.stop()

    @staticmethod
    def row(front_class, rounds):
        return [front_class.title, ", ".join("%.0f ms" % r["longest_ms"] for r in rounds),
                "%.1f ms" % max(r["p99_ms"] for r in rounds), str(sum(r["asked"] for r in rounds)),
                str(sum(r["failed"] for r in rounds)), ", ".join(str(r["slow_status"]) for r in rounds)]


class Hundred:
    HEADINGS = ["front end", "restarts", "answers", "failed", "closed while idle", "application processes replaced", "slowest answer",
                "a restart takes"]
    PLAN = [(PlainHttpd, "floor"), (fronts.OursSpawn, "ours"), (fronts.ProxyFcgi, "proxy_fcgi"), (FcgidFew, "fcgid")]
    CONNECTIONS = 16

    @classmethod
    def run(cls, place, options):
        say("restart-100: %d graceful restarts under load" % options.restarts)
        rows, figures = [], {}
        for index, (front_class, peer) in enumerate(cls.PLAN):
            if peer not in options.peers:
                continue
            front = front_class(place, 40 + index, options)
            try:
                front.start(fronts.Backend(place, "libfcgi", 40 + index), slots=SLOTS)
                front.get("/app?n=100")
                figures[front.name] = cls.measure(front, options)
                rows.append(cls.row(front, figures[front.name]))
                say("  %-12s %s" % (front.name, figures[front.name]))
            except (Unavailable, OSError, ValueError) as e:
                say("  %-12s skipped: %s" % (front.name, str(e).strip()))
                rows.append([front.title, (str(e).strip() or type(e).__name__).splitlines()[0][:90]] + [""] * (len(cls.HEADINGS) - 2))
            finally:
                front.stop()
        return ("restart-100: graceful restarts under a keep-alive load (%d connections, nothing asked twice)" % cls.CONNECTIONS,
                cls.HEADINGS, rows, "Closed while idle: the server ended a kept connection before a byte of the next answer, the race"
                " of HTTP/1.1 itself that a client has to expect (RFC 9112, 9.3.1); httpd alone shows how many that are."), figures

    @classmethod
    def measure(cls, front, options):
        spawned = lambda: set(front.place.application_pids()) - ({front.backend.proc.pid} if front.backend else set())  # noqa: E731
        client = subprocess.Popen([OUT + "/client_keepalive", str(front.port), "/app?n=100", str(cls.CONNECTIONS), "100",
                                   str(60 + 10 * options.restarts)], stdout=subprocess.PIPE, text=True)
        try:
            time.sleep(0.5)  # the load is on, and groups that grow with it have grown
            before, took, failure = spawned(), [], ""
            for _ in range(options.restarts):
                try:
                    took.append(front.graceful_and_wait(30))
                except Unavailable as e:
                    failure = str(e)
                    break
            time.sleep(0.5)
            after = spawned()
            client.send_signal(signal.SIGTERM)
            out, _ = client.communicate(timeout=10)
        finally:
            if client.poll() is None:
                client.kill()
                client.wait()
        figures = json.loads(out)
        figures.update(restarts=len(took), restart_ms=1000 * sum(took) / max(1, len(took)), gone=len(before - after),
                       new=len(after - before), processes=len(before), stopped_by=failure)
        return figures

    @staticmethod
    def row(front, f):
        replaced = "%d of %d" % (f["gone"], f["processes"]) if f["processes"] else "none of its own"
        return [front.title, "%d%s" % (f["restarts"], " (" + f["stopped_by"] + ")" if f["stopped_by"] else ""), str(f["answers"]),
                str(f["failed"]), str(f["idle"]), replaced, "%.0f ms" % f["slowest_ms"], "%.0f ms" % f["restart_ms"]]
