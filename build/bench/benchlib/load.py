# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""The throughput cases: rounds of wrk, interleaved over the front ends, and what they cost the front end."""

import json
import os
import statistics
import subprocess

from . import cgi, fronts
from .tools import HERE, OUT, Unavailable, have, say

CLIENTS = 32

#       name            backend    path                     bytes of the answer
CASES = {
    "fcgi-100":    ("fcgi", "/app?n=100", 100),
    "http-100":    ("http", "/app?n=100", 100),
    "libfcgi-100": ("libfcgi", "/app?n=100", 100),
    "php-fpm-100": ("fpm", "/app/echo100.php", 100),
    "fcgi-64k":    ("fcgi", "/app?n=65536", 65536),
    "http-64k":    ("http", "/app?n=65536", 65536),
    "fcgi-10m":    ("fcgi", "/app?n=10485760", 10485760),
    "http-10m":    ("http", "/app?n=10485760", 10485760),
    "cgi-c":       ("cgi-c", "/cgi/cgi-c", 100),
    "cgi-sh":      ("cgi-sh", "/cgi/cgi-sh", 100),
    "cgi-perl":    ("cgi-perl", "/cgi/cgi-perl", 100),
    "cgi-c-alone": ("cgi-c", "/cgi/cgi-c", 100),
}
CLIENTS_OF = {"cgi-c-alone": 1}

WHAT = {
    "fcgi-100": "FastCGI, 100 bytes, a backend that costs next to nothing, unix socket",
    "http-100": "HTTP, 100 bytes, a backend that costs next to nothing, loopback TCP",
    "libfcgi-100": "FastCGI, 100 bytes, a program on libfcgi with 64 threads",
    "php-fpm-100": "FastCGI, 100 bytes, php-fpm with 8 static children",
    "cgi-c": "CGI, 100 bytes, a small program in C", "cgi-sh": "CGI, 100 bytes, a script of /bin/sh",
    "cgi-perl": "CGI, 100 bytes, a script in perl", "cgi-c-alone": "CGI, 100 bytes, a small program in C, one client",
    "fcgi-64k": "FastCGI, 64 KB", "http-64k": "HTTP, 64 KB", "fcgi-10m": "FastCGI, 10 MB", "http-10m": "HTTP, 10 MB",
}


class Measured:
    """What the rounds of one front end gave."""

    def __init__(self, front):
        self.front = front
        self.rounds = []
        self.rss = self.pss = 0.0
        self.syscalls = None
        self.unsteady = False

    def median(self, key):
        return statistics.median(r[key] for r in self.rounds)

    @property
    def errors(self):
        return sum(r["errors"] for r in self.rounds)

    def spread(self):
        values = [r["rate"] for r in self.rounds]
        return (max(values) - min(values)) / statistics.median(values) if statistics.median(values) else 0.0

    def as_dict(self):
        return {"front": self.front.name, "rounds": self.rounds, "rss_mb": self.rss, "pss_mb": self.pss,
                "syscalls": self.syscalls}


BULK = 1 << 20  # answers of this size are read in turn by a client of our own: see client_keepalive.c


def command(port, case, seconds, threads):
    path, expected = CASES[case][1:]
    if expected >= BULK:
        return [OUT + "/client_keepalive", str(port), path, str(CLIENTS), str(expected), str(max(1, seconds))]
    return ["wrk", "-t%d" % threads, "-c%d" % CLIENTS_OF.get(case, CLIENTS), "-d%ds" % max(1, seconds), "--timeout", "30s", "--latency", "-s",
            os.path.join(HERE, "wrk.lua"), "http://127.0.0.1:%d%s" % (port, path)]


def result_of(output):
    for line in output.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
        if line.startswith("{"):
            f = json.loads(line)
            return {"requests": f["answers"], "rate": f["answers"] / f["seconds"], "p50_us": f["p50_ms"] * 1000,
                    "p99_us": f["p99_ms"] * 1000, "max_us": f["slowest_ms"] * 1000, "errors": f["failed"] + f["idle"]}
    raise Unavailable("the client: " + output[-300:])


def put_load(port, case, seconds, threads):
    done = subprocess.run(command(port, case, seconds, threads), capture_output=True, text=True, timeout=seconds + 60)
    return result_of(done.stdout + done.stderr)


def one_round(front, case, options):
    before = front.cpu()
    result = put_load(front.port, case, options.seconds, options.threads)
    after = front.cpu()
    used = sum(t - (before.get(p) or 0.0) for p, t in after.items() if t is not None)
    result["cpu_us"] = used * 1e6 / max(1, result["requests"])
    result["steady"] = before.keys() == after.keys()
    return result


def count_syscalls(front, case, threads):
    """System calls of the front end for each request, in a run of its own: perf where it may, else strace (slow, but it counts
    the same)."""
    pids = ",".join(str(p) for p in front.pids())
    load_command = command(front.port, case, 1, threads)
    if have("perf"):
        out = front.place.path(front.name + ".d/perf")
        done = subprocess.run(["perf", "stat", "-x,", "-o", out, "-e", "raw_syscalls:sys_enter", "-p", pids, "--"] + load_command,
                              capture_output=True, text=True, timeout=60)
        if done.returncode == 0 and os.path.exists(out):
            for line in open(out):
                if "raw_syscalls" in line and line.split(",")[0].isdigit():
                    return int(line.split(",")[0]) / max(1, result_of(done.stdout)["requests"])
    if have("strace"):
        return strace_count(front, load_command)
    return None


def strace_count(front, load_command):
    out = front.place.path(front.name + ".d/strace")
    tracer = front.place.start(["strace", "-c", "-f", "-o", out] + [x for p in front.pids() for x in ("-p", str(p))],
                               front.name + ".d/out")
    try:
        done = subprocess.run(load_command, capture_output=True, text=True, timeout=60)
        requests = result_of(done.stdout)["requests"]
    finally:
        front.place.stop(tracer, 2)
    for line in open(out):
        fields = line.split()
        if fields and fields[-1] == "total":
            return int([f for f in fields[:-1] if f.isdigit()][0]) / max(1, requests)
    return None


def check_answer(front, path, expected, tries=3):
    """The measured answer is the right one, byte for byte in length; also warms the path up."""
    for i in range(tries):
        try:
            status, body = front.get(path)
        except OSError as e:
            if i + 1 == tries:
                raise Unavailable("%s asked for %s: %s; %s" % (front.name, path, e, front.trouble()[-300:]))
            continue
        if status != 200 or len(body) != expected or body.strip(b"x"):
            raise Unavailable("%s answered %d with %d bytes, not 200 with %d" % (front.name, status, len(body), expected))
        return


def start_fronts(place, options, case, running):
    kind, path, expected = CASES[case]
    missing = []
    for index, cls in enumerate(fronts.ALL):
        if kind in cgi.KINDS and not cls.only_for:
            continue
        if cls.name not in options.peers or (cls is fronts.NginxFloor and expected != 100) or (cls.only_for and kind not in cls.only_for):
            continue
        front = cls(place, index, options)
        try:
            front.start(fronts.Backend(place, kind, index))
            check_answer(front, path, expected)
            running.append(Measured(front))
        except Unavailable as e:
            front.stop()
            missing.append((cls, str(e).strip()))
            say("  %-14s skipped: %s" % (cls.name, str(e).strip()))
    return missing


def run_case(place, case, options):
    """Returns ([Measured], [(class, why it is missing)])."""
    path, expected = CASES[case][1:]
    running = []
    say("%s: %s" % (case, WHAT[case]))
    try:
        missing = start_fronts(place, options, case, running)
        for m in running:
            put_load(m.front.port, case, options.warm, options.threads)
        for n in range(options.rounds):
            for m in running:
                result = one_round(m.front, case, options)
                m.rounds.append(result)
                m.unsteady = m.unsteady or not result["steady"]
                say("  round %d  %-14s %9.0f/s  %6.1f us" % (n + 1, m.front.name, result["rate"], result["cpu_us"]))
        for m in running:
            m.rss, m.pss = m.front.rss_mb(), m.front.rss_mb("Pss")
            m.syscalls = count_syscalls(m.front, case, options.threads) if case in options.syscalls_of else None
            check_answer(m.front, path, expected)
        return running, missing
    finally:
        for m in running:
            m.front.stop()
