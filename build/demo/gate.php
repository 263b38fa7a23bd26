<?php
// Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
// A FastCGI authorizer of `make run`: lets in who knows the password "members". Its answer is seen only when it says no.
$given = explode(':', base64_decode(substr($_SERVER['HTTP_AUTHORIZATION'] ?? '', 6)) . ':');
if (hash_equals('members', $given[1])) {
    header('Variable-REMOTE_USER: ' . preg_replace('/[^\w.@-]/', '', $given[0]));
    exit;
}
http_response_code(401);
header('WWW-Authenticate: Basic realm="any name, password: members"');
echo "<!DOCTYPE html>\n<title>Members only</title>\n<p>Any name will do; the password is <code>members</code>.</p>\n";
