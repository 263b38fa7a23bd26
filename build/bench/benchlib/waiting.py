# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""Thousands of clients whose backend answers after two seconds, on one child with eight threads.

How much memory a waiting request takes is the growth of the front end while all of them wait, over their number. A static file is
asked for all the while on a fresh connection; it is told apart whether clients were still arriving then, all waited, or answers
were on their way. The clients come twice: all in the same instant (burst), and spread over --ramp seconds."""

import json
import os
import resource
import subprocess
import threading
import time

from . import fronts
from .tools import OUT, Unavailable, say

PHASES = ["arriving", "waiting", "answers"]
HEADINGS = ["front end", "clients come", "answered 200", "slowest", "p99", "KB RSS per waiting request", "waiting at once",
            "static file, worst and p99 while clients arrive", "while all wait", "while answers leave"]
DELAY_MS = 2000
LIMIT_S = 60


class OursHttp(fronts.Ours):
    name, title = "ours-http", "mod_proxy_core, HTTP"


class OursFcgi(fronts.Ours):
    name, title = "ours-fcgi", "mod_proxy_core, FastCGI"


class FloorParked(fronts.Floor):
    name, title, handler = "floor-parked", "httpd, trivial handler that gives its thread back", "floor-parked"


class NginxFcgi(fronts.Nginx):
    title = "nginx, FastCGI (2 workers)"


class HaproxyHttp(fronts.Haproxy):
    title = "HAProxy, HTTP (2 threads)"


PLAN = [(OursFcgi, "fcgi", "ours"), (OursHttp, "http", "ours"), (FloorParked, "http", "floor"), (NginxFcgi, "fcgi", "nginx"),
        (HaproxyHttp, "http", "haproxy")]


def add_arguments(parser):
    parser.add_argument("--waiting-clients", type=int, default=5000, metavar="N", help="clients of `waiting` (5000)")
    parser.add_argument("--ramp", type=float, default=1.5, metavar="S", help="`waiting`: seconds over which clients arrive (1.5)")


class Sampler(threading.Thread):
    """Looks every 50 ms at how many requests wait, which the backend's connections tell, and at the front end's memory: in
    statm, because a walk through its pages would hold it up."""

    def __init__(self, front):
        super().__init__(daemon=True)
        self.front, self.enough = front, threading.Event()
        self.connections, self.rss = self.connected(), self.resident_kb()
        self.most, self.grown_kb, self.since = 0, 0.0, 0.0

    def connected(self):
        if not self.front.backend:  # a descriptor for the client and one for the time
            return sum(len(os.listdir("/proc/%d/fd" % pid)) for pid in self.front.pids()) // 2
        return len(os.listdir("/proc/%d/fd" % self.front.backend.proc.pid))

    def resident_kb(self):
        total = 0
        for pid in self.front.pids():
            with open("/proc/%d/statm" % pid) as f:
                total += int(f.read().split()[1]) * resource.getpagesize() // 1024
        return total

    def run(self):
        while not self.enough.wait(0.05):
            waiting = self.connected() - self.connections
            if waiting > self.most:
                self.since = time.monotonic()
                self.most, self.grown_kb = waiting, self.resident_kb() - self.rss

    def stop(self):
        self.enough.set()
        self.join(5)


def ask_all(front, options, ramp):
    """Runs the client; returns its figures and the sampler that watched."""
    sampler = Sampler(front)
    sampler.start()
    client = subprocess.Popen([OUT + "/client_waiting", str(front.port), "/app?n=100&d=%d" % DELAY_MS, str(options.waiting_clients),
                               "100", str(LIMIT_S), str(ramp), "/static.txt"], stdout=subprocess.PIPE, text=True)
    try:
        out, _ = client.communicate(timeout=LIMIT_S + 40)
        return json.loads(out), sampler
    finally:
        sampler.stop()
        if client.poll() is None:
            client.kill()
            client.wait()


def by_phase(asks, all_wait, first_answer):
    """Worst, p99 and number of the asks that began in each phase."""
    took = {p: [] for p in PHASES}
    for at, seconds in asks:
        took[PHASES[0] if at < all_wait else PHASES[1] if at < first_answer else PHASES[2]].append(seconds * 1000)
    return {p: {"worst_ms": max(t), "p99_ms": sorted(t)[len(t) * 99 // 100], "asked": len(t)} if t else None for p, t in took.items()}


def measure(front, options, ramp):
    # One small wave first, so that what any first request costs is not charged to the waiting ones.
    subprocess.run([OUT + "/client_waiting", str(front.port), "/app?n=100&d=100", "8", "100", "10", "0"], capture_output=True)
    figures, sampler = ask_all(front, options, ramp)
    figures["static"] = by_phase(figures["static"], sampler.since, figures["first_answer"])
    figures.update(waiting=sampler.most, kb_each=sampler.grown_kb / sampler.most if sampler.most else None,
                   plateau_ms=(figures["first_answer"] - sampler.since) * 1000)
    return figures


def phase(f):
    return "%.0f / %.0f ms (%d)" % (f["worst_ms"], f["p99_ms"], f["asked"]) if f else "-"


def row(front, f, how):
    row = [front.title, how, "%d of %d" % (f["good"], f["clients"]), "%.2f s" % (f["slowest_ms"] / 1000),
           "%.2f s" % (f["p99_ms"] / 1000), "%.1f" % f["kb_each"] if f["kb_each"] is not None else "-", str(f["waiting"])]
    row += [phase(f["static"][p]) for p in PHASES]
    if f["static_failed"]:
        row[-1] += " (%d failed)" % f["static_failed"]
    return row


def run(place, options):
    say("waiting: %d clients, the backend answers after %d ms" % (options.waiting_clients, DELAY_MS))
    rows, figures = [], {}
    for ramp in (0, options.ramp):
        for index, (cls, kind, peer) in enumerate(PLAN):
            if peer in options.peers and (cls is not FloorParked or not ramp):
                one(place, options, cls, kind, index, ramp, rows, figures)
    title = "waiting: %d clients whose backend answers after 2 s; httpd with one child of 8 threads" % options.waiting_clients
    return (title, HEADINGS, rows, "The peers among httpd's modules hold a thread for each waiting request, so that 8 threads "
            "would take %d minutes." % (options.waiting_clients // 8 * 2 // 60)), figures


def one(place, options, cls, kind, index, ramp, rows, figures):
    """A front end of its own for each way in which clients come: memory that one wave left behind would be no growth in the next."""
    front, how = cls(place, 20 + index, options), "within %g s" % ramp if ramp else "at once"
    try:
        # Parked connections are bounded by the factor: workers * (1 + factor * ...) must reach the clients.
        front.start(fronts.Backend(place, kind, 20 + index), servers=1, threads=8, factor=2 * options.waiting_clients // 8)
        front.get("/app?n=100")
        f = figures["%s %s" % (front.name, how)] = measure(front, options, ramp)
        rows.append(row(front, f, how))
        say("  %-14s %-13s %s" % (front.name, how, f))
    except (Unavailable, OSError, ValueError) as e:
        say("  %-14s skipped: %s" % (front.name, str(e).strip()))
        rows.append([cls.title, str(e).strip().splitlines()[0][:90] if str(e).strip() else type(e).__name__] + [""] * (len(HEADINGS) - 2))
    finally:
        front.stop()
