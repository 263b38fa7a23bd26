# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""The table, for the terminal and for docs/performance.md. No dates: the same machine and command give the same text."""

import os
import platform
import subprocess

from . import fronts
from .load import CLIENTS, WHAT
from .tools import HTTPD_MODULES, have, httpd_binary

BEGIN, END = "<!-- bench: begin (written by build/bench/run) -->", "<!-- bench: end -->"
HEADINGS = ["front end", "requests/s", "of the best Apache peer", "p50", "p99", "CPU us/request", "over the floor", "RSS MB",
            "system calls/request", "errors"]


def duration(us):
    return "%.2f ms" % (us / 1000) if us < 100000 else "%.0f ms" % (us / 1000)


def rows_of(running, missing):
    peers = [m.median("rate") for m in running if m.front.is_peer]
    best = max(peers) if peers else None
    floor = next((m.median("cpu_us") for m in running if m.front.name == "floor"), None)
    rows, order = [], [c.title for c in fronts.ALL]
    for m in running:
        rate, cpu = m.median("rate"), m.median("cpu_us")
        rows.append([m.front.title, "%.0f" % rate, "%.2f" % (rate / best) if best else "-", duration(m.median("p50_us")),
                     duration(m.median("p99_us")), "%.1f" % cpu + ("*" if m.unsteady else ""),
                     "%+.1f" % (cpu - floor) if floor is not None and m.front.name != "floor" else "-", "%.0f" % m.rss,
                     "%.1f" % m.syscalls if m.syscalls is not None else "-", str(m.errors)])
    for cls, why in missing:
        rows.append([cls.title, why.splitlines()[0][:90]] + [""] * (len(HEADINGS) - 2))
    return sorted(rows, key=lambda r: order.index(r[0]))


def markdown_table(headings, rows):
    text = "| " + " | ".join(headings) + " |\n|" + "|".join("---" if i == 0 else "---:" for i in range(len(headings))) + "|\n"
    return text + "".join("| " + " | ".join(r) + " |\n" for r in rows)


def plain_table(headings, rows):
    full = [r for r in rows if all(r[2:3])] + [headings]
    widths = [max(len(r[i]) for r in full) for i in range(len(headings))]
    widths[0] = max(widths[0], *(len(r[0]) for r in rows)) if rows else widths[0]
    lines = []
    for r in [headings] + rows:
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))]
        lines.append("  ".join(cells).rstrip() if all(r[2:3]) else "%s  %s" % (cells[0], r[1]))
    return "\n".join(lines) + "\n"


def _first_line(command):
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def machine():
    model, memory = "", 0
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    for line in open("/proc/meminfo"):
        if line.startswith("MemTotal"):
            memory = int(line.split()[1]) // (1 << 20)
    versions = [_first_line([httpd_binary(), "-v"]).replace("Server version: ", "")]
    if have("nginx"):
        versions.append(_first_line([have("nginx"), "-v"]).replace("nginx version: ", ""))
    if have("haproxy"):
        versions.append(" ".join(_first_line([have("haproxy"), "-v"]).split()[:3]).replace("version ", ""))
    if os.path.exists(os.path.join(HTTPD_MODULES, "mod_fcgid.so")):
        versions.append("mod_fcgid")
    return "%d processors (%s), %d GB, Linux %s; %s" % (os.cpu_count(), model, memory, platform.release().split("-")[0],
                                                        ", ".join(versions))


def document(sections, command, options):
    """sections: [(title, headings, rows, remark)]"""
    text = ["Machine: %s.\n" % machine(), "Command: `%s`.\n" % command,
            "Client, front end and backend share the processors. %d keep-alive clients (wrk, %d thread%s; for 10 MB one that reads"
            " 64 KB from each in turn); %d rounds of %d s for each front"
            " end, interleaved; medians over the rounds. CPU is the front end's own processes only; system calls are counted in"
            " a run of their own. Ratios are what to read: absolute figures move by a third from run to run.\n"
            % (CLIENTS, options.threads, "" if options.threads == 1 else "s", options.rounds, options.seconds)]
    for title, headings, rows, remark in sections:
        text.append("### %s\n" % title)
        text.append(markdown_table(headings, rows))
        if remark:
            text.append(remark + "\n")
    return "\n".join(text)


def write_markdown(path, text):
    """Replaces what stands between the markers; a file without them gets a heading and both."""
    try:
        with open(path) as f:
            old = f.read()
    except OSError:
        old = "# Performance\n"
    block = "%s\n\n%s\n%s\n" % (BEGIN, text, END)
    if BEGIN in old and END in old:
        head, _, rest = old.partition(BEGIN)
        new = head + block + rest.partition(END)[2].lstrip("\n")
    else:
        new = old.rstrip("\n") + "\n\n" + block
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as f:
        f.write(new)


def section_of_case(case, running, missing):
    remark = ""
    if any(m.unsteady for m in running):
        remark = "\\* the number of its processes changed during a round: the figure is a lower bound."
    return ("%s: %s" % (case, WHAT[case]), HEADINGS, rows_of(running, missing), remark)
