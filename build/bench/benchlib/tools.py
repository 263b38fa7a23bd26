# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""Paths, helper programs, processes and clocks.

Everything that is started goes through Place.start(): it has its own session, dies with the driver (PR_SET_PDEATHSIG) and
is stopped by Place.close(), also after Ctrl-C or a failure. All files of a run live in one directory under /tmp, readable
for the user that the servers change to.
"""

import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUT = os.path.join(ROOT, "out", "bench")
MODULES = os.path.join(ROOT, "out", "modules")
HTTPD_MODULES = subprocess.run(["apxs", "-q", "LIBEXECDIR"], capture_output=True, text=True).stdout.strip()
SERVER_USER = "www-data"


class Unavailable(Exception):
    """A front end or backend that this machine cannot run; its text says why."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------------------------------------------------------- programs

def _newer(target, sources):
    return os.path.exists(target) and all(os.path.getmtime(target) >= os.path.getmtime(s) for s in sources)


def _compile(target, sources, extra, headers=()):
    sources = [os.path.join(HERE, s) for s in sources]
    target = os.path.join(OUT, target)
    if _newer(target, sources + [os.path.join(HERE, h) for h in headers]):
        return
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", target] + sources + extra
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable("cannot build %s:\n%s" % (os.path.basename(target), done.stderr))


def _flags(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def build_helpers():
    os.makedirs(OUT, exist_ok=True)
    for name in ("fcgi_fast", "http_fast"):
        _compile(name, ["backends/fast.c", "backends/%s.c" % name], ["-std=c11"], ["backends/fast.h"])
    _compile("libfcgi_app", ["backends/libfcgi_app.c"], ["-std=c11", "-D_DEFAULT_SOURCE", "-lfcgi", "-lpthread"])
    _compile("cgi", ["backends/cgi.c"], ["-std=c11"])
    for name in ("client_waiting", "client_keepalive"):
        _compile(name, [name + ".c"], ["-std=c11", "-pthread"], ["client.h"])
    _compile("mod_floor.so", ["mod_floor.c"], ["-shared", "-fPIC", "-std=gnu11"] + ["-I" + d for d in _flags("apxs", "-q", "INCLUDEDIR")]
             + _flags("apr-1-config", "--includes", "--cppflags"))


def have(program):
    return shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")


def httpd_binary():
    return have("apache2") or have("httpd") or "apache2"


# --------------------------------------------------------------------------------------------------------------- processes

def raise_file_limit(wanted=65536):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for value in (max(hard, wanted), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (value, value))
            return value
        except (ValueError, OSError):
            continue
    return soft


def file_limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def stat_of(pid):
    """(parent, state) of a process, or None."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
        return int(fields[1]), fields[0]
    except (OSError, ValueError, IndexError):
        return None


def exe_of(pid):
    try:
        return os.readlink("/proc/%d/exe" % pid)
    except OSError:
        return ""


def all_pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def descendants(root):
    """The process and all that descend from it, zombies left out."""
    children = {}
    for pid in all_pids():
        stat = stat_of(pid)
        if stat and stat[1] != "Z":
            children.setdefault(stat[0], []).append(pid)
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(pid):
    """What the process (all threads, also ended ones) ran on a processor, in nanosecond resolution: its CPU clock."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def rss_kb(pid, what="Rss"):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            for line in f:
                if line.startswith(what + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def wait_for(test, seconds, what):
    """Polls, bounded."""
    end = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > end:
            raise Unavailable("%s: not within %g s" % (what, seconds))
        time.sleep(0.02)


def port_answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except OSError:
        return False


class Place:
    """The directory and the processes of one run."""

    def __init__(self, base_port):
        self.dir = tempfile.mkdtemp(prefix="proxy-core-bench-")
        os.chmod(self.dir, 0o755)
        self.base_port = base_port
        self.procs = []
        # Programs are copied, so that whatever runs from here can be found, and ended, by its path.
        self.bin = self.mkdir("bin")
        for name in ("fcgi_fast", "http_fast", "libfcgi_app", "cgi"):
            shutil.copy(os.path.join(OUT, name), self.bin)
        self.htdocs = self.mkdir("htdocs")
        self.write("htdocs/static.txt", "static\n")
        # Present as files too, for the peers that look for one.
        self.write("htdocs/app", "")
        self.mkdir("php/app")
        shutil.copy(os.path.join(HERE, "backends", "echo100.php"), self.path("php/app/echo100.php"))

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def mkdir(self, name, user=None):
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        if user and os.geteuid() == 0:
            shutil.chown(path, user, user)
        return path

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def start(self, command, log, **more):
        with open(self.path(log), "ab") as f:
            p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True,
                                 preexec_fn=_die_with_parent, **more)
        self.procs.append(p)
        return p

    def application_pids(self):
        """Processes that run a program of this run's bin directory."""
        return sorted(p for p in all_pids() if exe_of(p).startswith(self.bin + "/"))

    def stop(self, p, sig=signal.SIGTERM):
        family = descendants(p.pid) if p.poll() is None else []
        if p.poll() is None:
            p.send_signal(sig)
            try:
                p.wait(8)
            except subprocess.TimeoutExpired:
                say("  process %d does not stop: killed" % p.pid)
                p.kill()
                p.wait()
        # What is left of its session and of its family: a server's own workers, never anybody else's processes.
        end = time.monotonic() + 3
        while time.monotonic() < end and any(self._is_ours(pid, p.pid) for pid in family):
            time.sleep(0.05)
        for pid in family:
            if self._is_ours(pid, p.pid):
                os.kill(pid, signal.SIGKILL)
        if p in self.procs:
            self.procs.remove(p)

    def _is_ours(self, pid, session):
        stat = stat_of(pid)
        if not stat or stat[1] == "Z":
            return False
        try:
            return os.getsid(pid) == session or exe_of(pid).startswith(self.bin + "/")
        except OSError:
            return False

    def close(self, keep=False):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for p in list(reversed(self.procs)):
            self.stop(p)
        for pid in self.application_pids():
            os.kill(pid, signal.SIGKILL)
        if keep:
            say("kept: " + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def tail(path, lines=5):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-lines:]).strip()
    except OSError:
        return ""


def on_term_stop():
    """TERM ends a run as Ctrl-C does: through the finally blocks."""
    def stop(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
