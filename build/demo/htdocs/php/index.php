<?php
// Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
// What PHP was told of the request. /php/index.php/some/thing shows PATH_INFO.
$shown = ['SCRIPT_NAME', 'SCRIPT_FILENAME', 'PATH_INFO', 'QUERY_STRING', 'REQUEST_URI', 'REQUEST_METHOD', 'REMOTE_ADDR',
    'SERVER_PROTOCOL', 'GATEWAY_INTERFACE', 'DOCUMENT_ROOT'];
?>
<!DOCTYPE html>
<title>PHP</title>
<link rel="stylesheet" href="/style.css">
<h1>PHP <?= PHP_VERSION ?></h1>
<p>Process <?= getmypid() ?>, <?= PHP_SAPI ?>, <?= date('c') ?></p>
<pre><?php
foreach ($shown as $name) {
    printf("%-18s %s\n", $name, htmlspecialchars($_SERVER[$name] ?? '(not set)'));
}
?></pre>
<p><a href="/php/index.php/some/thing?q=1">the same with PATH_INFO</a>, <a href="/">back</a></p>
