/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  script_words.h
 * @brief Arguments of a CGI script from an indexed query. Pure.
 */
#ifndef PC_SCRIPT_WORDS_H
#define PC_SCRIPT_WORDS_H

#include "mod_proxy_core.h"

/** The words of an indexed query (RFC 3875, 4.4), decoded: "a+b%20c" is "a" and "b c". Every word of `out` ends in NUL.
 *  @return how many; 0 also when there is no such query, or one that cannot be words of a command line: a word that begins
 *  with '-' would be an option of the script or its interpreter (CVE-2012-1823) */
unsigned int pc_script_words(const char *query, pc_buf *out);

#endif /* PC_SCRIPT_WORDS_H */
