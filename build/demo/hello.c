/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  hello.c
 * @brief The smallest FastCGI program that shows something: how often this process was asked, and by what variables.
 *
 * Built on libfcgi, which accepts on descriptor 0 and serves one request at a time.
 */
#include <fcgiapp.h>

#include <unistd.h>

static void put_escaped(FCGX_Stream *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&': FCGX_FPrintF(out, "&amp;"); break;
        case '<': FCGX_FPrintF(out, "&lt;"); break;
        case '>': FCGX_FPrintF(out, "&gt;"); break;
        default: FCGX_PutChar((unsigned char)*text, out);
        }
    }
}

int main(void)
{
    FCGX_Request request;
    unsigned long count = 0;

    if (FCGX_Init() != 0 || FCGX_InitRequest(&request, 0, 0) != 0) {
        return 1;
    }
    while (FCGX_Accept_r(&request) == 0) {
        char **var;

        FCGX_FPrintF(request.out,
                     "Content-Type: text/html; charset=utf-8\r\n\r\n"
                     "<!DOCTYPE html><title>C on FastCGI</title><link rel=stylesheet href=/style.css>"
                     "<h1>C on FastCGI</h1><p>Process %d, request %lu.</p><pre>",
                     (int)getpid(), ++count);
        for (var = request.envp; *var; var++) {
            put_escaped(request.out, *var);
            FCGX_PutChar('\n', request.out);
        }
        FCGX_FPrintF(request.out, "</pre><p><a href=/>back</a></p>\n");
    }
    return 0;
}
