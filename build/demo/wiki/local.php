<?php
// Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
// Settings of the demonstration's wiki: everybody may edit and upload, it listens on the loopback address alone.
$conf['title'] = 'DokuWiki behind mod_proxy_core';
$conf['useacl'] = 1;
$conf['superuser'] = '@admin';
$conf['savedir'] = dirname(__DIR__) . '/data';
$conf['updatecheck'] = 0;
$conf['license'] = '';
