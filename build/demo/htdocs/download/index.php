<?php
// Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
// `make run`: PHP says who may have a file that lies outside of the document root, httpd sends it.
$file = dirname(__DIR__, 2) . '/private/report.txt';
if (($_GET['word'] ?? '') === 'please') {
    header('Content-Type: text/plain; charset=utf-8');
    header('Content-Disposition: inline; filename="report.txt"');
    header("X-Sendfile: $file");
    exit;
}
?>
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>A private download</title>
<link rel="stylesheet" href="/style.css">
<h1>A private download</h1>
<p>No URL leads to the file. The script names it in <code>X-Sendfile</code> to who knows the word, and is free again before the
first byte is sent.</p>
<form><label>The word is <code>please</code>: <input name="word"></label> <button>Download</button></form>
<p>With ranges, too: <code>curl -r 0-9 'http://…/download/?word=please'</code></p>
<p><a href="/">back</a></p>
</html>
