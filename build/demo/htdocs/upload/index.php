<?php
// Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
// Size and digest of the file that was sent; nothing is kept.
$file = $_FILES['file'] ?? null;
?>
<!DOCTYPE html>
<title>Upload</title>
<link rel="stylesheet" href="/style.css">
<h1>Upload</h1>
<?php if ($file && $file['error'] === UPLOAD_ERR_OK): ?>
<p><b><?= htmlspecialchars($file['name']) ?></b>: <?= $file['size'] ?> bytes</p>
<pre>sha256 <?= hash_file('sha256', $file['tmp_name']) ?></pre>
<?php elseif ($file): ?>
<p>The file did not come through: PHP's upload error <?= (int)$file['error'] ?>.</p>
<?php elseif ($_SERVER['REQUEST_METHOD'] === 'POST'): ?>
<p>Nothing came that PHP takes for a file.</p>
<?php endif ?>
<form method="post" enctype="multipart/form-data">
<input type="file" name="file" required> <button>Send</button>
</form>
<p><a href="/">back</a></p>
