# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""What a process manager adds to requests: the first one of a group without processes, a burst on a group of one, and the lease
of every request. The clients are few, and each front end runs alone, in turn with the others."""

import asyncio
import os
import statistics
import subprocess
import time

from . import fronts
from .tools import HERE, Unavailable, say, wait_for

IDLE_S = 1           # a group is at zero after that
SETTLE_S = 2         # mod_fcgid looks once a second which of its processes have ended: it is not asked before
BURST = 16
BURST_MS = 300       # what the program takes for each request of a burst
AT_ONCE_MS = 100     # a request of the burst that took longer than BURST_MS and this has waited


class OursFromZero(fronts.Ours):
    name, title, spawned = "ours-zero", "mod_proxy_core and mod_procd", True
    group = "    SpawnProcesses 0 1\n    SpawnConcurrency 64\n    SpawnIdleTimeout %ds\n" % IDLE_S
    address = "spawn:bench"

    def uses(self, backend):
        return self.address != "spawn:bench"

    def command(self, backend, **tuning):
        self.address = self.address or "unix:" + backend.socket
        return super().command(backend, **tuning)

    def pool(self, backend):
        spawn = "<Spawn bench>\n    SpawnCommand %s\n%s</Spawn>\n" % (backend.spawn, self.group) if self.spawned else ""
        return spawn + """<ProxyCore bench>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend {address}
{keep}{extra}</ProxyCore>
<Location /app>
    ProxyCorePass bench
</Location>
""".format(address=self.address, keep=self.keep, extra=self.options.ours_conf or "")


class OursFromOne(OursFromZero):
    name, group, keep = "ours-one", "    SpawnProcesses 1 %d\n    SpawnConcurrency 1\n    SpawnStart always\n" % BURST, ""


class OursLease(OursFromZero):
    name, title, keep = "ours-lease", "spawn:, which keeps no connection while nothing waits", ""
    group = "    SpawnProcesses 1 1\n    SpawnConcurrency 64\n    SpawnStart always\n"


class OursFixed(OursFromZero):
    name, title, spawned, address, keep = "ours-fixed", "unix:, a connection for each request", False, None, ""


class OursFixedKept(OursFixed):
    name, title, keep = "ours-fixed-kept", "unix:, connection kept", "    ProxyCoreKeepAlive on\n"


class FcgidFromZero(fronts.Fcgid):
    name, title = "fcgid-zero", "mod_fcgid"
    least, most, idle = 0, 1, "FcgidIdleTimeout %d\nFcgidIdleScanInterval 1\nFcgidErrorScanInterval 1\n" % IDLE_S

    def configuration(self, backend):
        text = super().configuration(backend).replace("FcgidIdleTimeout 3600\n", self.idle)
        text = text.replace("MinProcessesPerClass %d" % self.processes, "MinProcessesPerClass %d" % self.least)
        return text.replace("MaxProcessesPerClass %d" % self.processes, "MaxProcessesPerClass %d" % self.most)


class FcgidFromOne(FcgidFromZero):
    name, least, most, idle = "fcgid-one", 1, BURST, "FcgidIdleTimeout 3600\n"


def add_arguments(parser):
    parser.add_argument("--spawn-rounds", type=int, default=3, metavar="N", help="rounds of `first-byte`, `scale-up` and `lease` (3)")


async def first_byte(port, path):
    """Milliseconds until the first byte, and until the end, of one request; its status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        began = time.monotonic()
        writer.write(("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % path).encode())
        head = await asyncio.wait_for(reader.read(16), 30)
        first = time.monotonic()
        await asyncio.wait_for(reader.read(-1), 30)
        return (first - began) * 1000, int(head.split()[1]) if head.startswith(b"HTTP/1.") else 0
    finally:
        writer.close()


def in_turn(place, options, case, first_index, measure):
    """Every front end of the case once in each round. Returns {name: [figures]} and [(class, why it is missing)]."""
    results, missing = {}, []
    for n in range(options.spawn_rounds):
        for index, (cls, peer) in enumerate(case.PLAN):
            if peer not in options.peers or any(m is cls for m, _ in missing):
                continue
            front = cls(place, first_index + index, options)
            try:
                front.start(fronts.Backend(place, case.KIND, first_index + index))
                results.setdefault(cls.name, []).append(measure(front))
                say("  round %d  %-18s %s" % (n + 1, cls.name, results[cls.name][-1]))
            except (Unavailable, OSError, ValueError, IndexError, asyncio.TimeoutError) as e:
                why = (str(e).strip() or type(e).__name__).splitlines()[0][:90]
                say("  %-18s skipped: %s" % (cls.name, why))
                missing.append((cls, why))
            finally:
                front.stop()
    return results, missing


def table_of(case, title, results, missing, remark, row):
    rows = [[c.title] + row(results[c.name]) for c, _ in case.PLAN if results.get(c.name)]
    rows += [[c.title, why] + [""] * (len(case.HEADINGS) - 2) for c, why in missing]
    return (title, case.HEADINGS, rows, remark), results


class FirstByte:
    """A program that is ready at once, so that what is seen is the manager."""
    HEADINGS = ["front end", "first byte, group at zero: median", "worst", "first byte, process running: median", "not 200"]
    PLAN, KIND, ASKS = [(OursFromZero, "ours"), (FcgidFromZero, "fcgid")], "fcgi", 4

    @classmethod
    def measure(cls, front):
        cold, warm, bad = [], [], 0
        for n in range(cls.ASKS):
            if n:
                wait_for(lambda: not front.place.application_pids(), 15, "a group at zero")
                time.sleep(SETTLE_S)
            for took in (cold, warm):
                ms, status = asyncio.run(first_byte(front.port, "/app?n=100"))
                took.append(ms)
                bad += status != 200
        return {"cold_ms": cold, "warm_ms": warm, "bad": bad}

    @classmethod
    def run(cls, place, options):
        say("first-byte: a group that has no process")
        results, missing = in_turn(place, options, cls, 46, cls.measure)

        def row(rounds):
            cold = [ms for r in rounds for ms in r["cold_ms"]]
            return ["%.1f ms" % statistics.median(cold), "%.1f ms" % max(cold),
                    "%.2f ms" % statistics.median([ms for r in rounds for ms in r["warm_ms"]]), str(sum(r["bad"] for r in rounds))]
        return table_of(cls, "first-byte: a request to a group at zero processes, a program in C that is ready at once", results, missing,
                        "%d requests for each." % (cls.ASKS * options.spawn_rounds), row)


class ScaleUp:
    HEADINGS = ["front end", "requests that waited, each round", "longest wait, each round", "processes afterwards", "not 200"]
    PLAN, KIND = [(OursFromOne, "ours"), (FcgidFromOne, "fcgid")], "libfcgi"

    @staticmethod
    def measure(front):
        front.get("/app?n=100")

        async def burst():
            return await asyncio.gather(*(first_byte(front.port, "/app?n=100&d=%d" % BURST_MS) for _ in range(BURST)))
        answers = asyncio.run(burst())
        waits = [ms - BURST_MS for ms, _ in answers]
        return {"waited": sum(w > AT_ONCE_MS for w in waits), "longest_ms": max(waits), "bad": sum(s != 200 for _, s in answers),
                "processes": len(front.place.application_pids())}

    @classmethod
    def run(cls, place, options):
        say("scale-up: %d requests at once on a group of one process" % BURST)
        results, missing = in_turn(place, options, cls, 50, cls.measure)

        def row(rounds):
            return [", ".join("%d of %d" % (r["waited"], BURST) for r in rounds), ", ".join("%.0f ms" % r["longest_ms"] for r in rounds),
                    ", ".join(str(r["processes"]) for r in rounds), str(sum(r["bad"] for r in rounds))]
        return table_of(cls, "scale-up: %d requests of %d ms at once on a group of 1 to %d processes" % (BURST, BURST_MS, BURST), results,
                        missing, "A wait is what a request took beyond its %d ms; those above %d ms count." % (BURST_MS, AT_ONCE_MS), row)


class Lease:
    """One client, so that nothing queues; p50, because a mean on a shared machine is that of its interruptions."""
    HEADINGS = ["backend", "p50", "p99", "p50 against the first row, median of the rounds", "each round", "errors"]
    PLAN, KIND = [(OursFixed, "ours"), (OursLease, "ours"), (OursFixedKept, "ours")], "fcgi"

    @classmethod
    def run(cls, place, options):
        from .load import result_of
        say("lease: spawn: against unix:, one client")

        def measure(front):
            front.get("/app?n=100")
            for seconds in (1, options.seconds):
                done = subprocess.run(["wrk", "-t1", "-c1", "-d%ds" % seconds, "--latency", "-s", os.path.join(HERE, "wrk.lua"),
                                       "http://127.0.0.1:%d/app?n=100" % front.port], capture_output=True, text=True, timeout=seconds + 60)
            figures = result_of(done.stdout + done.stderr)
            return {"p50_us": figures["p50_us"], "p99_us": figures["p99_us"], "errors": figures["errors"]}
        results, missing = in_turn(place, options, cls, 54, measure)

        def row(rounds):
            name = next(n for n in results if results[n] is rounds)
            other = [] if name == OursFixed.name else results.get(OursFixed.name, [])
            more = [a["p50_us"] - b["p50_us"] for a, b in zip(rounds, other)]
            return ["%.0f us" % statistics.median(r["p50_us"] for r in rounds), "%.0f us" % statistics.median(r["p99_us"] for r in rounds),
                    "%+.0f us" % statistics.median(more) if more else "-", ", ".join("%+.0f us" % m for m in more) or "-",
                    str(sum(r["errors"] for r in rounds))]
        return table_of(cls, "lease: FastCGI, 100 bytes, one client: a process of a group against a fixed address of the same program",
                        results, missing, "", row)
