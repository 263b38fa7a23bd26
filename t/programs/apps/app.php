<?php
// Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
// What PHP applications do, one of it for each value of `do`.
$do = $_GET['do'] ?? 'vars';
switch ($do) {
case 'vars':
    $own = ['GATEWAY_INTERFACE', 'REMOTE_PORT', 'REQUEST_TIME', 'REQUEST_TIME_FLOAT', 'FCGI_ROLE', 'PHP_FCGI_CHILDREN', 'PATH',
        'USER', 'HOME', 'PHP_FCGI_MAX_REQUESTS', 'H2_STREAM_TAG', 'H2_STREAM_ID'];
    $vars = array_diff_key($_SERVER, array_flip($own));
    ksort($vars);
    header('Content-Type: application/json');
    echo json_encode(['get' => $_GET, 'cookie' => $_COOKIE, 'server' => $vars]);
    break;
case 'post':
    echo strlen($raw = file_get_contents('php://input')), ' ', sha1($raw), ' ', $_SERVER['CONTENT_LENGTH'] ?? 'none', ' ',
        $_SERVER['HTTP_TRANSFER_ENCODING'] ?? 'none';
    break;
case 'form':
    foreach ($_FILES as $name => $f)
        echo "$name: $f[name] $f[type] $f[size] ", sha1_file($f['tmp_name']), "\n";
    foreach ($_POST as $name => $value)
        echo "$name=$value\n";
    break;
case 'session':
    session_start();
    echo $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
    break;
case 'stream': // the rest when the client has seen the first line
    for ($i = 1; $i <= 5; $i++) {
        echo "line $i\n";
        ob_flush();
        flush();
        for ($n = 0; $i == 1 && $n < 2000 && !file_exists($_GET['seen']); $n++) {
            usleep(20000);
            clearstatcache();
        }
    }
    break;
case 'size':
    header('Content-Length: ' . (int)$_GET['n']);
    for ($n = (int)$_GET['n']; $n > 0; $n -= 65536)
        echo str_repeat('x', min($n, 65536));
    break;
case 'head':
    header('X-Field: value');
    setcookie('a', '1');
    setcookie('b', '2', ['httponly' => true]);
    header('Cache-Control: private');
    http_response_code((int)($_GET['status'] ?? 200));
    echo 'a body of 20 letters';
    break;
case 'redirect':
    header('Location: /elsewhere?a=b');
    break;
case 'etag':
    header('ETag: "one"');
    if (($_SERVER['HTTP_IF_NONE_MATCH'] ?? '') === '"one"')
        http_response_code(304);
    else
        echo 'new';
    break;
case 'auth':
    if (($_SERVER['PHP_AUTH_USER'] ?? '') !== 'u' || $_SERVER['PHP_AUTH_PW'] !== 'p') {
        header('WWW-Authenticate: Basic realm="php"');
        http_response_code(401);
    }
    else
        echo 'come in';
    break;
case 'fatal':
    no_such_function();
    break;
case 'log':
    error_log('php says ' . $_GET['word']);
    echo 'said';
    break;
case 'short':
    header('Content-Length: 100');
    echo 'too short';
    break;
case 'finish':
    echo 'answered';
    fastcgi_finish_request();
    for ($n = 0; $n < 2000 && !file_exists($_GET['seen']); $n++) {
        usleep(20000);
        clearstatcache();
    }
    file_put_contents($_GET['file'], 'worked on');
    break;
case 'abort':
    ignore_user_abort((bool)$_GET['ignore']);
    register_shutdown_function(function () {
        file_put_contents($_GET['file'], ($GLOBALS['whole'] ?? 'left') . ' ' . connection_aborted());
    });
    for ($i = 0; $i < 600 && ($i < 30 || !connection_aborted()); $i++) {
        echo str_repeat('x', 20000);
        @ob_flush();
        flush();
        usleep(50000);
    }
    $whole = 'whole';
    break;
}
