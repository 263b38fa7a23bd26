/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/*
 * The one parser for response heads.
 *
 * Bytes are taken a line at a time: memchr finds the end, the line is copied behind the one before it, and a single
 * pass over the copy checks it and puts NULs behind the name and the value. A line that is cut short waits in the
 * block ("half"); when it outgrows the block, only it moves to a new one, so the fields found so far stay where they
 * are. A line is judged when it is complete, with two exceptions that must not depend on where the input was cut
 * either: the bound on bytes, and the first five bytes of a status line, so that something that is not HTTP is
 * refused at once instead of being collected.
 *
 * Strict means: what two parsers could read in two ways is an error. The header that is dropped or the line that is
 * taken for the end of the head is how responses get split (CVE-2022-37436, CVE-2023-27522, CVE-2026-33523).
 */
#include "head.h"

#include "apr_lib.h"
#include "apr_strings.h"

#include <string.h>
#include <strings.h>

#define BLOCK_MIN 256
#define BLOCK_FIRST_MAX 1024
#define BLOCK_MAX 16384
#define FIELDS_FIRST 16

const pc_head_limits pc_head_default_limits = { 65536, 200 };

static const char LONG[] = "the response head is larger than the bound";
static const char MANY[] = "the response head has more fields than the bound";
static const char NUL_BYTE[] = "NUL in the response head";
static const char BARE_CR[] = "CR without LF in the response head";
static const char BARE_LF[] = "LF without CR in the response head";
static const char CONTROL[] = "control character in a field's value";
static const char FOLDED[] = "field line begins with white space (obsolete line folding)";
static const char SPACE_COLON[] = "white space between a field's name and the colon";
static const char NO_NAME[] = "field without a name";
static const char BAD_NAME[] = "character in a field's name that is not allowed in a token";
static const char NO_COLON[] = "field line without a colon";
static const char NO_STATUS_LINE[] = "no HTTP status line (HTTP/0.9 is not supported)";
static const char CGI_STATUS_LINE[] = "HTTP status line in a CGI head (a Status field is wanted)";
static const char BAD_VERSION[] = "HTTP version in the status line is not 1.x";
static const char BAD_STATUS_LINE[] = "malformed status line";
static const char BAD_REASON[] = "control character in the reason phrase";
static const char STATUS_DIGITS[] = "status is not three digits";
static const char STATUS_RANGE[] = "status outside 100..599";
static const char DIFFERENT_STATUS[] = "status line and Status field differ";
static const char TWO_STATUS[] = "more than one Status field";
static const char BAD_LENGTH[] = "invalid Content-Length";
static const char TWO_LENGTHS[] = "differing Content-Length values";
static const char EOF_NOTHING[] = "closed before the response head";
static const char EOF_INSIDE[] = "closed inside the response head";

/* ------------------------------------------------------------------ characters */

/* 1: allowed in a token (RFC 9110, 5.6.2) */
/* clang-format off */
static const unsigned char token_chars[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* controls */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, /*  !"#$%&'()*+,-./ */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, /* 0-9 :;<=>? */
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* @A-O */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, /* P-Z [\]^_ */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* `a-o */
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, /* p-z {|}~ DEL */
};
/* clang-format on */

apr_size_t pc_token_span(const char *p, apr_size_t n)
{
    apr_size_t i = 0;

    while (i < n && token_chars[(unsigned char)p[i]]) {
        i++;
    }
    return i;
}

int pc_value_clean(const char *p, apr_size_t n)
{
    const apr_uint64_t ones = APR_UINT64_C(0x0101010101010101);
    const apr_uint64_t tops = ones * 0x80;

    /* eight bytes at a time: is any of them below 0x20 or 0x7f? */
    while (n >= 8) {
        apr_uint64_t x, del;

        memcpy(&x, p, 8);
        del = x ^ (ones * 0x7f);
        if ((((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & tops) {
            break; /* perhaps only an HTAB: the loop below knows */
        }
        p += 8;
        n -= 8;
    }
    for (; n; p++, n--) {
        unsigned char c = (unsigned char)*p;

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return 0;
        }
    }
    return 1;
}

/* What to say of a value that is not clean. */
static const char *why_dirty(const char *p, apr_size_t n, const char *otherwise)
{
    apr_size_t i;

    for (i = 0; i < n; i++) {
        if (p[i] == '\0') {
            return NUL_BYTE;
        }
        if (p[i] == '\r') {
            return BARE_CR;
        }
        if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f) {
            break;
        }
    }
    return otherwise;
}

int pc_field_is(const pc_field *f, const char *name, apr_size_t name_len)
{
    return f->name_len == name_len && strncasecmp(f->name, name, name_len) == 0;
}

/* ------------------------------------------------------------------ status and Content-Length */

/* Three digits, then the end or a space and the reason. */
static const char *parse_status(pc_head *head, const char *p, apr_size_t n)
{
    apr_size_t digits = 0;

    while (digits < n && apr_isdigit(p[digits])) {
        digits++;
    }
    if (digits != 3 || (n > 3 && p[3] != ' ')) {
        return STATUS_DIGITS;
    }
    head->status = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
    if (head->status < 100 || head->status > 599) {
        return STATUS_RANGE;
    }
    for (p += 3; *p == ' '; p++) {
        ;
    }
    head->reason = *p ? p : NULL;
    return NULL;
}

/* line: NUL terminated, without its end */
static const char *parse_status_line(pc_head_parser *h, char *line, apr_size_t n)
{
    if (!pc_value_clean(line, n)) {
        return why_dirty(line, n, BAD_REASON);
    }
    if (n < 8 || !apr_isdigit(line[5]) || line[6] != '.' || !apr_isdigit(line[7])) {
        return BAD_VERSION;
    }
    /* uWSGI repeats SERVER_PROTOCOL there, which is the client's: HTTP/2.0 */
    if (line[5] != '1' && h->dialect != PC_HEAD_EITHER) {
        return BAD_VERSION;
    }
    if (line[8] != ' ') {
        return BAD_STATUS_LINE;
    }
    h->minor = line[7] != '0';
    h->status_line = 0;
    return parse_status(&h->head, line + 9, n - 9);
}

/* One member of a Content-Length list. @return its value or -1 */
static apr_off_t parse_length(const char *p, apr_size_t n)
{
    apr_int64_t v = 0;
    apr_size_t i;

    for (i = 0; i < n; i++) {
        if (!apr_isdigit(p[i]) || v > (APR_INT64_MAX - (p[i] - '0')) / 10) {
            return -1;
        }
        v = v * 10 + (p[i] - '0');
    }
    return n ? (apr_off_t)v : -1;
}

/* "5" and, as some gateways join duplicates, "5, 5". The field keeps the first member only. */
static const char *take_length(pc_head_parser *h, pc_field *f)
{
    char *p = (char *)f->value;
    apr_size_t left = f->value_len;
    int member;

    for (member = 0;; member++) {
        char *comma = memchr(p, ',', left);
        apr_size_t n = comma ? (apr_size_t)(comma - p) : left;
        apr_size_t trimmed = n;
        apr_off_t v;

        while (trimmed && (p[trimmed - 1] == ' ' || p[trimmed - 1] == '\t')) {
            trimmed--;
        }
        v = parse_length(p, trimmed);
        if (v < 0) {
            return BAD_LENGTH;
        }
        if (h->head.content_length >= 0 && h->head.content_length != v) {
            return TWO_LENGTHS;
        }
        h->head.content_length = v;
        if (member == 0) {
            f->value_len = trimmed;
        }
        if (!comma) {
            break;
        }
        p = comma + 1;
        left -= n + 1;
        while (left && (*p == ' ' || *p == '\t')) {
            p++;
            left--;
        }
    }
    ((char *)f->value)[f->value_len] = '\0';
    return NULL;
}

static int is_cgi(const pc_head_parser *h)
{
    return h->dialect == PC_HEAD_CGI || h->dialect == PC_HEAD_EITHER;
}

static const char *take_status(pc_head_parser *h, const pc_field *f)
{
    pc_head said;
    const char *why;

    if (!h->head.status_given) {
        h->head.status_given = 1;
        return parse_status(&h->head, f->value, f->value_len);
    }
    /* Behind a status line some frameworks repeat it as a field. Which of two different ones is meant nobody knows. */
    why = h->line_seen ? parse_status(&said, f->value, f->value_len) : TWO_STATUS;
    return why || said.status == h->head.status ? why : DIFFERENT_STATUS;
}

/* Fields that the parser itself makes something of. *keep: it stays among the fields */
static const char *take_known(pc_head_parser *h, pc_field *f, int *keep)
{
    const char *why = NULL;

    *keep = 1;
    if (PC_FIELD_IS(f, "Content-Length")) {
        *keep = h->head.content_length < 0;
        why = take_length(h, f);
    }
    else if (is_cgi(h) && PC_FIELD_IS(f, "Status")) {
        *keep = 0;
        why = take_status(h, f);
    }
    return why;
}

/* ------------------------------------------------------------------ lines */

/* What is wrong with a line whose first `name` bytes are a token that no colon follows. */
static const char *why_no_field(const pc_head_parser *h, const char *line, apr_size_t n, apr_size_t name)
{
    if (name == n) {
        return NO_COLON;
    }
    if (line[name] == '\0') {
        return NUL_BYTE;
    }
    if (line[name] == '\r') {
        return BARE_CR;
    }
    if (name == 0) {
        return line[0] == ':' ? NO_NAME : line[0] == ' ' || line[0] == '\t' ? FOLDED : BAD_NAME;
    }
    if (line[name] == ' ' || line[name] == '\t') {
        apr_size_t i = name;

        while (i < n && (line[i] == ' ' || line[i] == '\t')) {
            i++;
        }
        return i < n && line[i] == ':' ? SPACE_COLON : memchr(line, ':', n) ? BAD_NAME : NO_COLON;
    }
    if (h->dialect == PC_HEAD_CGI && n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        return CGI_STATUS_LINE;
    }
    return BAD_NAME;
}

static const char *add_field(pc_head_parser *h, const pc_field *f)
{
    pc_head *head = &h->head;

    if (head->nfields >= h->limits->fields) {
        return MANY;
    }
    if (head->nfields == h->room) {
        apr_size_t room = h->room ? h->room * 2 : FIELDS_FIRST;
        pc_field *grown = apr_palloc(h->pool, room * sizeof(*grown));

        if (head->nfields) {
            memcpy(grown, head->fields, head->nfields * sizeof(*grown));
        }
        head->fields = grown;
        h->room = room;
    }
    head->fields[head->nfields++] = *f;
    return NULL;
}

/* line: n bytes in the block, NUL terminated, without its end */
static const char *parse_field(pc_head_parser *h, char *line, apr_size_t n)
{
    pc_field f;
    apr_size_t name = pc_token_span(line, n);
    char *v;
    const char *why;
    int keep = 1;

    if (name == 0 || name == n || line[name] != ':') {
        return why_no_field(h, line, n, name);
    }
    f.name = line;
    f.name_len = name;
    line[name] = '\0';
    v = line + name + 1;
    n -= name + 1;
    while (n && (*v == ' ' || *v == '\t')) {
        v++;
        n--;
    }
    while (n && (v[n - 1] == ' ' || v[n - 1] == '\t')) {
        n--;
    }
    if (!pc_value_clean(v, n)) {
        return why_dirty(v, n, CONTROL);
    }
    v[n] = '\0';
    f.value = v;
    f.value_len = n;
    if ((name == 14 || name == 6) && h->dialect != PC_HEAD_TRAILER) {
        why = take_known(h, &f, &keep);
        if (why) {
            return why;
        }
    }
    return keep ? add_field(h, &f) : NULL;
}

/* A complete line of n bytes, LF included. @return NULL and *last when it was the empty line */
static const char *parse_line(pc_head_parser *h, char *line, apr_size_t n, int *last)
{
    n--; /* LF */
    if (n && line[n - 1] == '\r') {
        n--;
    }
    else if (!is_cgi(h)) {
        return BARE_LF;
    }
    line[n] = '\0';
    if (h->dialect == PC_HEAD_EITHER && h->bytes == 0 && n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        h->line_seen = h->head.status_given = 1; /* no field's name has a slash */
        return parse_status_line(h, line, n);
    }
    if (h->status_line) {
        return parse_status_line(h, line, n);
    }
    *last = n == 0;
    return *last ? NULL : parse_field(h, line, n);
}

/* ------------------------------------------------------------------ input */

/* Make room for n more bytes behind the half line; more: how many are at hand beyond it. */
static void make_room(pc_head_parser *h, apr_size_t n, apr_size_t more)
{
    apr_size_t need = h->half + n;
    apr_size_t cap;
    char *block;

    if (need <= h->cap - h->start) {
        return;
    }
    if (h->cap) {
        cap = h->cap < BLOCK_MAX ? h->cap * 2 : BLOCK_MAX;
    }
    else {
        cap = n + more < BLOCK_FIRST_MAX ? n + more : BLOCK_FIRST_MAX;
        cap = cap < BLOCK_MIN ? BLOCK_MIN : cap;
    }
    if (cap < need * 2 && need > BLOCK_MIN) {
        cap = need * 2; /* a long line that comes in pieces must not be copied for each of them */
    }
    block = apr_palloc(h->pool, cap);
    if (h->half) {
        memcpy(block, h->block + h->start, h->half);
    }
    h->block = block;
    h->cap = cap;
    h->start = 0;
}

static pc_head_result bad(pc_head_parser *h, const char *why)
{
    h->why = why;
    return PC_HEAD_BAD;
}

void pc_head_init(pc_head_parser *h, apr_pool_t *pool, pc_head_dialect dialect, const pc_head_limits *limits)
{
    memset(h, 0, sizeof(*h));
    h->pool = pool;
    h->limits = limits ? limits : &pc_head_default_limits;
    h->dialect = (unsigned char)dialect;
    pc_head_again(h);
}

void pc_head_again(pc_head_parser *h)
{
    pc_field *fields = h->head.fields;

    memset(&h->head, 0, sizeof(h->head));
    h->head.fields = fields;
    h->head.content_length = -1;
    h->head.status = is_cgi(h) ? 200 : 0;
    h->status_line = h->dialect == PC_HEAD_HTTP;
    h->start = h->half = h->bytes = 0;
    h->begun = h->line_seen = 0;
}

apr_size_t pc_head_feed(pc_head_parser *h, const char *buf, apr_size_t len, pc_head_result *result)
{
    static const char http[] = "HTTP/";
    apr_size_t used = 0;

    *result = PC_HEAD_MORE;
    while (used < len) {
        const char *p = buf + used;
        const char *lf = memchr(p, '\n', len - used);
        apr_size_t n = lf ? (apr_size_t)(lf - p) + 1 : len - used;
        char *line;
        const char *why;
        int last = 0;

        h->begun = 1;
        if (h->status_line && h->half < 5 && memcmp(http + h->half, p, n < 5 - h->half ? n : 5 - h->half) != 0) {
            *result = bad(h, NO_STATUS_LINE);
            return used;
        }
        if (n > h->limits->bytes - h->bytes - h->half) {
            *result = bad(h, LONG);
            return used;
        }
        make_room(h, n, len - used - n);
        line = h->block + h->start;
        memcpy(line + h->half, p, n);
        h->half += n;
        used += n;
        if (!lf) {
            break;
        }
        why = parse_line(h, line, h->half, &last);
        h->bytes += h->half;
        h->start += h->half;
        h->half = 0;
        if (why || last) {
            *result = why ? bad(h, why) : PC_HEAD_DONE;
            return used;
        }
    }
    return used;
}

const char *pc_head_eof(const pc_head_parser *h)
{
    return h->begun ? EOF_INSIDE : EOF_NOTHING;
}

void pc_head_remove(pc_head *head, apr_size_t i)
{
    head->nfields--;
    memmove(&head->fields[i], &head->fields[i + 1], (head->nfields - i) * sizeof(head->fields[0]));
}
