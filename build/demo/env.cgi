#!/bin/sh
# Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
# A CGI script: a process for each request, which shows itself and the variables that it was given.
printf 'Content-Type: text/plain\n\nprocess %s of the shell, for this request only\n\n' $$
env | sort
