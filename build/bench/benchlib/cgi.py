# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
"""CGI: the same script for every front end that can start one. There is no backend that runs; what a script costs is in no
front end's processor time, so requests/s are what tells here, and how late the latest answer was."""

import os

from . import fronts
from .fronts import Front, Httpd, Ours, load
from .tools import SERVER_USER, have

KINDS = ("cgi-c", "cgi-sh", "cgi-perl")
PROCESSES = 32  # as many as clients: mod_cgid and lighttpd have no bound

_PRINT = "Content-Type: text/plain\\r\\nContent-Length: 100\\r\\n\\r\\n"
SCRIPTS = {
    "cgi-sh": "#!/bin/sh\nprintf '%s%s'\n" % (_PRINT, "x" * 100),
    "cgi-perl": "#!/usr/bin/perl\nprint \"%s\", 'x' x 100;\n" % _PRINT,
}


def script_of(place, kind):
    """The script, as a program in a directory of scripts."""
    place.mkdir("cgi")
    if kind == "cgi-c":
        path = place.path("cgi", kind)
        if not os.path.exists(path):
            os.link(place.bin + "/cgi", path)
        return path
    path = place.write("cgi/" + kind, SCRIPTS[kind])
    os.chmod(path, 0o755)
    return path


class OursCgi(Ours):
    name, title, only_for, spawned = "ours-cgi", "mod_proxy_core and mod_procd, %d processes" % PROCESSES, KINDS, True

    def uses(self, backend):
        return False

    def refuse(self, backend):
        return Ours.refuse(self, backend)

    def pool(self, backend):
        script_of(self.place, backend.kind)
        return load("alias") + """<Spawn bench>
    SpawnSocketType pipe
    SpawnProcesses {n}
</Spawn>
<ProxyCore bench>
    ProxyCoreProtocol cgi
    ProxyCoreBackend spawn:bench
{extra}</ProxyCore>
ScriptAlias /cgi/ {dir}/
<Directory {dir}>
    SetHandler proxy-core:bench
</Directory>
""".format(n=PROCESSES, dir=self.place.path("cgi"), extra=self.options.ours_conf or "")


class Cgid(Httpd):
    name, title, is_peer, only_for = "cgid", "mod_cgid", True, KINDS

    def uses(self, backend):
        return False

    def configuration(self, backend):
        script_of(self.place, backend.kind)
        return load("alias", "cgid") + "ScriptSock {0}/cgisock\nScriptAlias /cgi/ {1}/\n".format(self.dir, self.place.path("cgi"))


class NginxFcgiwrap(Front):
    name, title, only_for = "nginx-fcgiwrap", "nginx and fcgiwrap, %d processes" % PROCESSES, KINDS

    def uses(self, backend):
        return False

    def refuse(self, backend):
        return None if have("nginx") and have("fcgiwrap") else "nginx or fcgiwrap is not installed"

    def command(self, backend, **_):
        script = script_of(self.place, backend.kind)
        socket = self.dir + "/fcgiwrap.sock"
        wrap = [have("fcgiwrap"), "-c", str(PROCESSES), "-s", "unix:" + socket]
        conf = self.place.write(self.name + ".d/nginx.conf", """daemon off;
{user}worker_processes 2;
pid {dir}/pid;
error_log {dir}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /cgi {{
            fastcgi_pass unix:{socket};
            fastcgi_param SCRIPT_FILENAME {script};
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param SCRIPT_NAME $fastcgi_script_name;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
            fastcgi_param GATEWAY_INTERFACE CGI/1.1;
            fastcgi_param REMOTE_ADDR $remote_addr;
        }}
    }}
}}
""".format(dir=self.dir, user="user %s;\n" % SERVER_USER if os.geteuid() == 0 else "", port=self.port, socket=socket, script=script))
        text = "#!/bin/sh\nrm -f %s\n%s &\nwhile ! test -S %s; do sleep 0.05; done\nchmod 0666 %s\nexec %s -c %s -p %s -e %s/error.log\n" % (
            socket, " ".join(wrap), socket, socket, have("nginx"), conf, self.dir, self.dir)
        start = self.place.write(self.name + ".d/start", text)
        os.chmod(start, 0o755)
        return [start]


class Lighttpd(Front):
    name, title, only_for = "lighttpd", "lighttpd, mod_cgi", KINDS

    def uses(self, backend):
        return False

    def refuse(self, backend):
        return None if have("lighttpd") else "lighttpd is not installed"

    def command(self, backend, **_):
        script_of(self.place, backend.kind)
        user = 'server.username = "{0}"\nserver.groupname = "{0}"\n'.format(SERVER_USER) if os.geteuid() == 0 else ""
        conf = self.place.write(self.name + ".d/lighttpd.conf", """server.modules = ("mod_alias", "mod_cgi")
server.document-root = "{htdocs}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-worker = 2
server.max-keep-alive-requests = 100000000
server.errorlog = "{dir}/error.log"
{user}alias.url = ("/cgi/" => "{cgi}/")
$HTTP["url"] =~ "^/cgi/" {{ cgi.assign = ("" => "") }}
""".format(htdocs=self.place.htdocs, port=self.port, dir=self.dir, user=user, cgi=self.place.path("cgi")))
        open(self.dir + "/error.log", "w").close()
        os.chmod(self.dir + "/error.log", 0o666)
        return [have("lighttpd"), "-D", "-f", conf]


fronts.ALL += [OursCgi, Cgid, NginxFcgiwrap, Lighttpd]
fronts.ALL_NAMES[:] = [c.name for c in fronts.ALL]
