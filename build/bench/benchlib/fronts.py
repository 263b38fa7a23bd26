# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""The front ends, each with a private configuration on a loopback port of its own, and the backends behind them.

All httpd front ends share one base configuration: the same MPM settings, no access log, keep-alive without a limit, no
.htaccess. Two workers or threads for nginx and HAProxy.
"""

import os
import signal
import subprocess
import time
import urllib.request

from .tools import (HERE, HTTPD_MODULES, MODULES, OUT, SERVER_USER, Unavailable, cpu_seconds, descendants, exe_of, file_limit, have,
                    httpd_binary, port_answers, rss_kb, tail, wait_for)

THREADS = 32           # per child; two children: as many threads as twice the clients
FPM_CHILDREN = 8
LIBFCGI_THREADS = 64   # one for each connection that a front end with 2 x 32 threads may keep


class Backend:
    """What answers. Each front end has one of its own: where processes or threads are few, connections that one front end keeps
    would starve the others. `spawn` is the program for front ends that start it themselves."""

    def __init__(self, place, kind, index=0):
        self.place, self.kind, self.proc = place, kind, None
        self.name = "%s-%d" % (kind, index)
        self.socket = place.path(self.name + ".sock")
        self.port = place.base_port + 100 + index
        self.protocol = "http" if kind in ("http", "ws") else "fastcgi"
        self.spawn = {"fcgi": place.bin + "/fcgi_fast", "libfcgi": place.bin + "/libfcgi_app"}.get(kind)

    def start(self):
        getattr(self, "_start_" + self.kind)()

    def _start_fcgi(self):
        self._run([self.place.bin + "/fcgi_fast", "unix:" + self.socket])

    def _start_http(self):
        self.proc = self.place.start([self.place.bin + "/http_fast", "tcp:%d" % self.port], "backend.log")
        wait_for(lambda: port_answers(self.port), 5, "the HTTP backend")

    def _start_ws(self):
        self.proc = self.place.start(["/usr/bin/python3", os.path.join(os.path.dirname(HERE), "demo", "ws.py"), str(self.port)], "backend.log")
        wait_for(lambda: port_answers(self.port), 5, "the WebSocket backend")

    def _start_libfcgi(self):
        self._run([self.place.bin + "/libfcgi_app", str(LIBFCGI_THREADS), self.socket])

    def _start_fpm(self):
        binary = next((have(n) for n in ("php-fpm", "php-fpm8.4", "php-fpm8.3", "php-fpm8.2") if have(n)), None)
        if not binary:
            raise Unavailable("php-fpm is not installed")
        conf = self.place.write(self.name + ".conf", """[global]
error_log = {d}/{name}.log
daemonize = no
[bench]
{user}listen = {s}
listen.mode = 0666
listen.backlog = 4096
pm = static
pm.max_children = {n}
""".format(d=self.place.dir, name=self.name, s=self.socket, n=FPM_CHILDREN,
           user="user = %s\n" % SERVER_USER if os.geteuid() == 0 else ""))
        self._run([binary, "-n", "-F", "-y", conf])

    def _run(self, command):
        self.proc = self.place.start(command, "backend.log")
        wait_for(lambda: os.path.exists(self.socket) or self.proc.poll() is not None, 5, command[0])
        if self.proc.poll() is not None:
            raise Unavailable("%s ended: %s" % (command[0], tail(self.place.path("backend.log"))))

    def stop(self):
        if self.proc:
            self.place.stop(self.proc)
            self.proc = None
            if os.path.exists(self.socket):
                os.unlink(self.socket)


class Front:
    """A front end. A subclass writes its configuration and says what it cannot serve."""

    name = ""
    title = ""
    is_peer = False  # an Apache module to be compared with
    only_for = None  # kinds of backend where this one differs from another

    def __init__(self, place, index, options):
        self.place, self.options = place, options
        self.port = place.base_port + 10 + index
        self.dir = place.mkdir("%s.d" % self.name)
        self.proc = self.backend = None

    def refuse(self, backend):
        """Why this front end cannot serve that backend, or None."""

    def uses(self, backend):
        """Whether it connects to the backend: it does not where it spawns the program itself or answers by itself."""
        return True

    def start(self, backend, **tuning):
        reason = self.refuse(backend)
        if reason:
            raise Unavailable(reason)
        command = self.command(backend, **tuning)
        self.backend = backend if self.uses(backend) else None
        try:
            if self.backend:
                self.backend.start()
            self.proc = self.place.start(command, self.name + ".d/out")
            wait_for(lambda: port_answers(self.port) or self.proc.poll() is not None, 10, self.name)
        except Unavailable:
            self.stop()
            raise
        if self.proc.poll() is not None:
            self.stop()
            raise Unavailable("ended at once: " + self.trouble())

    def trouble(self):
        """The last words in its logs, alarms first."""
        lines = (tail(self.dir + "/out", 8) + "\n" + tail(self.dir + "/error.log", 4)).strip().splitlines()
        loud = [l for l in lines if any(w in l.lower() for w in ("alert", "emerg", "error", "fatal", "crit"))]
        return " ".join((loud or lines)[-2:])

    def stop(self):
        if self.proc:
            self.place.stop(self.proc)
            self.proc = None
        if self.backend:
            self.backend.stop()
            self.backend = None

    def pids(self):
        """Its own processes: all but the application programs that it may have spawned."""
        return [p for p in descendants(self.proc.pid) if not exe_of(p).startswith(self.place.bin + "/")]

    def cpu(self):
        return {p: cpu_seconds(p) for p in self.pids()}

    def rss_mb(self, what="Rss"):
        return sum(rss_kb(p, what) for p in self.pids()) / 1024

    def get(self, path, timeout=20):
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path), timeout=timeout) as answer:
            return answer.status, answer.read()


# ------------------------------------------------------------------------------------------------------------------- httpd

HTTPD_BASE = """ServerRoot {dir}
DefaultRuntimeDir {dir}
PidFile {dir}/pid
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
ListenBacklog 4096
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
{user}ErrorLog {dir}/error.log
LogLevel warn mpm_event:notice
ServerLimit {slots}
StartServers {servers}
ThreadLimit {threads}
ThreadsPerChild {threads}
MaxRequestWorkers {workers}
MinSpareThreads 1
MaxSpareThreads {workers}
MaxConnectionsPerChild 0
AsyncRequestWorkerFactor {factor}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 30
Timeout 60
DocumentRoot {htdocs}
<Directory />
    AllowOverride None
    Options FollowSymLinks
</Directory>
"""


def load(*names):
    return "".join("LoadModule {0}_module {1}/mod_{0}.so\n".format(n, HTTPD_MODULES) for n in names)


class Httpd(Front):
    servers, threads, factor = 2, THREADS, 2

    def configuration(self, backend):
        raise NotImplementedError

    def command(self, backend, servers=2, threads=THREADS, factor=2, slots=None):
        user = "User {0}\nGroup {0}\n".format(SERVER_USER) if os.geteuid() == 0 else ""
        text = HTTPD_BASE.format(dir=self.dir, port=self.port, modules=HTTPD_MODULES, user=user, servers=servers, slots=slots or servers,
                                 threads=threads, workers=servers * threads, factor=factor, htdocs=self.place.htdocs)
        conf = self.place.write(self.name + ".d/httpd.conf", text + self.configuration(backend))
        command = [httpd_binary(), "-f", conf]
        test = subprocess.run(command + ["-t"], capture_output=True, text=True)
        if test.returncode:
            lines = [l for l in test.stderr.splitlines() if l.strip()]
            raise Unavailable("httpd -t: " + " ".join(lines[-2:] if lines else ["no reason given"]))
        return command + ["-DFOREGROUND"]

    def generations(self):
        """How many times the parent has said that it runs as it should: once for the start and each restart."""
        try:
            with open(os.path.join(self.dir, "error.log"), errors="replace") as f:
                return f.read().count("resuming normal operations")
        except OSError:
            return 0

    def graceful(self):
        self.proc.send_signal(signal.SIGUSR1)

    def graceful_and_wait(self, seconds=30):
        before = self.generations()
        began = time.monotonic()
        self.graceful()
        wait_for(lambda: self.generations() > before, seconds, "graceful restart of " + self.name)
        return time.monotonic() - began


class Floor(Httpd):
    name, title, handler = "floor", "httpd, trivial handler (floor)", "floor"

    def uses(self, backend):
        return False

    def configuration(self, backend):
        return "LoadModule floor_module %s/mod_floor.so\n<Location /app>\n    SetHandler %s\n</Location>\n" % (OUT, self.handler)


class Ours(Httpd):
    name, title = "ours", "mod_proxy_core"
    spawned, keep, limit = False, "    ProxyCoreKeepAlive on\n", ""

    def refuse(self, backend):
        if not os.path.exists(os.path.join(MODULES, "mod_proxy_core.so")):
            return "no out/modules/mod_proxy_core.so: build it first"
        if self.spawned and not os.path.exists(os.path.join(MODULES, "mod_procd.so")):
            return "no out/modules/mod_procd.so: build it first"
        return None

    def configuration(self, backend):
        return self.modules() + self.pool(backend)

    def modules(self):
        text = "LoadModule proxy_core_module %s/mod_proxy_core.so\n" % MODULES
        if self.spawned:
            text += "LoadModule procd_module %s/mod_procd.so\n" % MODULES
        return text

    def pool(self, backend):
        address = "127.0.0.1:%d" % backend.port if backend.kind == "http" else "unix:" + backend.socket
        root = "    ProxyCoreDocumentRoot %s\n" % self.place.path("php") if backend.kind == "fpm" else ""
        return """<ProxyCore bench>
    ProxyCoreProtocol {protocol}
    ProxyCoreBackend {address}{limit}
{keep}{extra}</ProxyCore>
<Location /app>
    ProxyCorePass bench
{root}</Location>
""".format(protocol=backend.protocol, address=address, limit=self.limit, keep=self.keep, extra=self.options.ours_conf or "", root=root)


class OursUnset(Ours):
    """Without a word on keep-alive, where that makes a difference: no connection is kept that could occupy a process."""
    name, title, only_for, keep = "ours-unset", "mod_proxy_core, ProxyCoreKeepAlive not set", ("fpm",), ""


class OursBounded(Ours):
    """The queue is the module's own, and a connection is handed on to the next in it."""
    name, title, only_for, keep = "ours-bounded", "mod_proxy_core, max=%d" % FPM_CHILDREN, ("fpm",), ""
    limit = " max=%d" % FPM_CHILDREN


class OursSpawn(Ours):
    """With the application under mod_procd, for the restart measurements."""
    name, title, spawned = "ours-spawn", "mod_proxy_core and mod_procd", True
    processes = 4

    def uses(self, backend):
        return False

    def refuse(self, backend):
        return super().refuse(backend) or (None if backend.spawn else "%s cannot be spawned" % backend.kind)

    def pool(self, backend):
        return """<Spawn bench>
    SpawnCommand {program} {threads}
    SpawnProcesses {n}
    SpawnConcurrency {threads}
    SpawnStart always
</Spawn>
<ProxyCore bench>
    ProxyCoreProtocol fastcgi
    ProxyCoreBackend spawn:bench
{extra}</ProxyCore>
<Location /app>
    ProxyCorePass bench
</Location>
""".format(program=backend.spawn, threads=8 if backend.kind == "libfcgi" else 1, n=self.processes,
           extra=self.options.ours_conf or "")


class ProxyFcgi(Httpd):
    name, title, is_peer, reuse = "proxy_fcgi", "mod_proxy_fcgi, enablereuse=on", True, "on"

    def refuse(self, backend):
        return None if backend.protocol == "fastcgi" else "speaks FastCGI only"

    def configuration(self, backend):
        fpm = backend.kind == "fpm"
        # With a connection kept for each thread most requests would wait for good behind eight pinned php-fpm processes: the
        # two children may keep four each.
        limit = " max=%d" % (FPM_CHILDREN // 2) if fpm and self.reuse == "on" else ""
        return load("proxy", "proxy_fcgi") + """<Location /app>
{kind}    ProxyPass "unix:{socket}|fcgi://localhost{root}/app" enablereuse={reuse}{limit}
</Location>
""".format(kind="    ProxyFCGIBackendType FPM\n" if fpm else "    ProxyFCGIBackendType GENERIC\n", socket=backend.socket,
           root=self.place.path("php") if fpm else "", reuse=self.reuse, limit=limit)


class ProxyFcgiNoReuse(ProxyFcgi):
    name, title, reuse = "proxy_fcgi-off", "mod_proxy_fcgi, enablereuse=off", "off"


class ProxyHttp(Httpd):
    name, title, is_peer = "proxy_http", "mod_proxy_http, connections reused", True

    def refuse(self, backend):
        return None if backend.protocol == "http" else "speaks HTTP only"

    def configuration(self, backend):
        return load("proxy", "proxy_http") + """<Location /app>
    ProxyPass "http://127.0.0.1:%d/app" enablereuse=on
</Location>
""" % backend.port


class Fcgid(Httpd):
    name, title, is_peer = "fcgid", "mod_fcgid (32 processes, spawned by it)", True
    processes = 32

    def uses(self, backend):
        return False

    def refuse(self, backend):
        if not os.path.exists(os.path.join(HTTPD_MODULES, "mod_fcgid.so")):
            return "mod_fcgid is not installed"
        if not backend.spawn:
            return "spawns its programs itself: cannot use an external backend (%s)" % backend.kind
        return None

    def configuration(self, backend):
        self.place.mkdir(self.name + ".d/sock", SERVER_USER)
        return load("fcgid") + """FcgidIPCDir {dir}/sock
FcgidProcessTableFile {dir}/sock/table
FcgidMaxProcesses 64
FcgidMaxProcessesPerClass {n}
FcgidMinProcessesPerClass {n}
FcgidSpawnScore 0
FcgidTerminationScore 0
FcgidIdleTimeout 3600
FcgidProcessLifeTime 0
FcgidMaxRequestsPerProcess 0
FcgidIOTimeout 60
<Location /app>
    SetHandler fcgid-script
    Options +ExecCGI
    FcgidWrapper "{program}" virtual
</Location>
""".format(dir=self.dir, n=self.processes, program=backend.spawn)


# ------------------------------------------------------------------------------------------------------------------ others

class Nginx(Front):
    name, title = "nginx", "nginx, upstream connections kept"
    floor = False

    def refuse(self, backend):
        return None if have("nginx") else "nginx is not installed"

    def command(self, backend, **_):
        # A kept connection pins a php-fpm process, and nginx has no way to queue for the eight: none are kept there.
        keep = backend.kind != "fpm"
        server = "127.0.0.1:%d" % backend.port if backend.kind == "http" else "unix:" + backend.socket
        conf = self.place.write(self.name + ".d/nginx.conf", """daemon off;
{user}worker_processes 2;
worker_rlimit_nofile {files};
pid {dir}/pid;
error_log {dir}/error.log warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream bench {{
        server {server};
{keepalive}    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {htdocs};
        location /app {{
{passing}        }}
    }}
}}
""".format(dir=self.dir, user="user %s;\n" % SERVER_USER if os.geteuid() == 0 else "", port=self.port, server=server,
           files=file_limit(), connections=min(16384, file_limit()), htdocs=self.place.htdocs, passing=self.passing(backend, keep),
           keepalive="        keepalive 64;\n        keepalive_requests 1000000000;\n" if keep else ""))
        return [have("nginx"), "-c", conf, "-p", self.dir, "-e", self.dir + "/error.log"]

    def passing(self, backend, keep):
        if backend.kind == "http":
            return """            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_max_temp_file_size 0;
            proxy_buffers 16 16k;
"""
        script = self.place.path("php/app/echo100.php") if backend.kind == "fpm" else "/app"
        names = (("SCRIPT_FILENAME", script), ("QUERY_STRING", "$query_string"), ("REQUEST_METHOD", "$request_method"),
                 ("CONTENT_TYPE", "$content_type"), ("CONTENT_LENGTH", "$content_length"), ("SCRIPT_NAME", "$fastcgi_script_name"),
                 ("REQUEST_URI", "$request_uri"), ("DOCUMENT_URI", "$document_uri"), ("DOCUMENT_ROOT", "$document_root"),
                 ("SERVER_PROTOCOL", "$server_protocol"), ("GATEWAY_INTERFACE", "CGI/1.1"), ("SERVER_SOFTWARE", "nginx"),
                 ("REMOTE_ADDR", "$remote_addr"), ("REMOTE_PORT", "$remote_port"), ("SERVER_ADDR", "$server_addr"),
                 ("SERVER_PORT", "$server_port"), ("SERVER_NAME", "$server_name"), ("REDIRECT_STATUS", "200"))
        text = "".join("            fastcgi_param %s %s;\n" % pair for pair in names)
        return text + """            fastcgi_pass bench;
            fastcgi_keep_conn {0};
            fastcgi_max_temp_file_size 0;
            fastcgi_buffers 16 16k;
""".format("on" if keep else "off")


class NginxFloor(Nginx):
    name, title = "nginx-floor", "nginx, answer of its own (its floor)"

    def uses(self, backend):
        return False

    def passing(self, backend, keep):
        return "            return 200 \"%s\";\n" % ("x" * 100)


class Haproxy(Front):
    name, title = "haproxy", "HAProxy"

    def refuse(self, backend):
        return None if have("haproxy") else "HAProxy is not installed"

    def command(self, backend, **_):
        fcgi = backend.protocol == "fastcgi"
        address = "unix@" + backend.socket if fcgi else "127.0.0.1:%d" % backend.port
        conf = self.place.write(self.name + ".d/haproxy.cfg", """global
    nbthread 2
    maxconn {maxconn}
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout queue 60s
    option http-keep-alive
frontend front
    bind 127.0.0.1:{port} backlog 4096
    default_backend back
backend back
    http-reuse always
{app}    server one {address}{proto}{limit}
{section}""".format(port=self.port, address=address, maxconn=min(16000, file_limit() // 2 - 100), app="    use-fcgi-app bench\n" if fcgi else "",
                    proto=" proto fcgi" if fcgi else "", limit=" maxconn %d" % FPM_CHILDREN if backend.kind == "fpm" else "",
                    section="fcgi-app bench\n    docroot %s\n    option keep-conn\n" % self.place.path("php") if fcgi else ""))
        return [have("haproxy"), "-db", "-f", conf]


# Completed by cgi.py.
ALL = [Floor, Ours, OursUnset, OursBounded, ProxyFcgi, ProxyFcgiNoReuse, ProxyHttp, Fcgid, NginxFloor, Nginx, Haproxy]
ALL_NAMES = [c.name for c in ALL]
