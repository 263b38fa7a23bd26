/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* sources: mod_procd/line_wire.c mod_procd/wire.c mod_procd/close_aside.c mod_procd/manager/host_name.c */
/* libs: -lpthread */
/* A line from a child of httpd that was taken over: its host never leads out of the pattern's place. */
#include "mod_procd/manager/hostlog.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what) \
    do { \
        if (!(what)) { \
            abort(); \
        } \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    procd_line_head head;
    procd_line line;
    char name[HOST_NAME_ROOM], path[HOST_NAME_ROOM + 16], *bytes;

    if (size < sizeof(head)) {
        return 0;
    }
    memcpy(&head, data, sizeof(head));
    size -= sizeof(head);
    bytes = malloc(size ? size : 1); /* of its own, so that reading past it is seen */
    memcpy(bytes, data + sizeof(head), size);
    head.magic = PROCD_WIRE_MAGIC;
    head.version = PROCD_WIRE_VERSION;
    head.host_len = size < 255 ? (uint16_t)size : head.host_len;
    head.text_len = (uint16_t)(size - head.host_len);
    if (!procd_line_parse(&line, &head, bytes, size)) {
        CHECK(line.host + line.host_len == line.text && line.text + line.text_len == bytes + size);
        host_name_clean(line.host, line.host_len, name);
        CHECK(name[0] != '.' && name[0] != '\0' && name[0] != '-' && !strchr(name, '/') && !strstr(name, ".."));
        CHECK(strlen(name) < sizeof(name));
        CHECK(host_name_put("/l/%{SERVER_NAME}.log", name, path, sizeof(path)) == 0);
        CHECK(strncmp(path, "/l/", 3) == 0 && !strchr(path + 3, '/'));
    }
    free(bytes);
    return 0;
}
