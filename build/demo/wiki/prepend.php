<?php
// Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
// Runs before each of DokuWiki's scripts: its configuration is not the one of the machine but the demonstration's.
define('DOKU_CONF', __DIR__ . '/conf/');
