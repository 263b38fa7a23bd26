/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* A small CGI program: 100 bytes, whatever is asked. */
#include <stdio.h>
#include <string.h>

int main(void)
{
    char body[100];

    memset(body, 'x', sizeof(body));
    fputs("Content-Type: text/plain\r\nContent-Length: 100\r\n\r\n", stdout);
    return fwrite(body, 1, sizeof(body), stdout) == sizeof(body) ? 0 : 1;
}
