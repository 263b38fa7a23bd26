/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  config_values.h
 * @brief Values of directives from text. Pure: no httpd, no pool. A function returns NULL when the text was good, else a
 *        static text that says what would be accepted; *out is then unchanged.
 */
#ifndef PC_CONFIG_VALUES_H
#define PC_CONFIG_VALUES_H

#include "apr.h"
#include "apr_time.h"

/** 500ms, 5s, 2min, 1h; a bare number is seconds. At most 365 days. */
const char *pc_value_duration(const char *text, apr_interval_time_t *out);
/** 65536, 64K, 2M, 1G. */
const char *pc_value_size(const char *text, apr_off_t *out);
/** A number in min..max. @return NULL or "a number" (the caller knows the bounds) */
const char *pc_value_int(const char *text, int min, int max, int *out);
/** N or FROM-TO, both in min..max, not falling. @return as pc_value_int() */
const char *pc_value_range(const char *text, int min, int max, int *from, int *to);
/** on, off. */
const char *pc_value_flag(const char *text, int *out);
/** Is arg KEY=VALUE with this key (in any case)? @return VALUE, which may be empty, or NULL */
const char *pc_value_of(const char *arg, const char *key);
/** A name for a pool, a backend or a group: letters, digits, '.', '_', '-'; 1..64 of them. */
int pc_value_is_name(const char *text);
/** A name for an environment variable: letters, digits, '_', no digit first; 1..256. */
int pc_value_is_env_name(const char *text);
/** Does a variable of this name say who asks, what for and which file runs? Neither a .htaccess file nor an authorizer's
 *  answer gives such. */
int pc_value_is_reserved_env(const char *name);

/** 1: an expression, not a plain word. */
int pc_value_is_expression(const char *text);

#endif /* PC_CONFIG_VALUES_H */
