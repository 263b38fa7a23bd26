/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/* May this file be run? In the style of suEXEC, which mistrusts whoever calls it.
 *
 * The file is opened before it is looked at, and its path is what the kernel says the open file has: symbolic links lead
 * where they lead, and only the end of the way counts. The kernel then runs it by that path, because an interpreter wants
 * a name.
 *
 * For another user than httpd's nobody but the owner of the scripts or root may be able to put something else there in
 * between. So every directory from the group's root to the script's own is looked at, from above: below one that others
 * cannot write to, a name means the same as long as the owner wants it, and what was seen of the next stays true. At the
 * end the path is looked up once more: by then it cannot change any more, and it has to be the file that was opened. What
 * is above the root is the administrator's affair, who has named it. */
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* @return length of the part of path that is the directory, 0: it is not inside */
static size_t inside(const char *dir, const char *path)
{
    size_t n = strlen(dir);

    return n && strncmp(dir, path, n) == 0 && path[n] == '/' ? n : 0;
}

/* @return length of the root that the file is in, the innermost of several; 0: it is in none */
static size_t root_of(const script_rules *rules, const char *path)
{
    size_t longest = 0;

    for (int i = 0; i < rules->n_roots; i++) {
        size_t n = inside(rules->roots[i], path);

        longest = n > longest ? n : longest;
    }
    return longest;
}

static int is_owner(const script_rules *rules, uid_t uid)
{
    for (int i = 0; i < rules->n_owners; i++) {
        if (rules->owners[i] == uid) {
            return 1;
        }
    }
    return 0;
}

/* In a directory with the sticky bit only a name's owner can change it, and those of files and of directories are checked.
 * The script's own must not be open to others at all, as with suEXEC. @return NULL, or what is wrong */
static const char *check_dir(const script_rules *rules, const char *dir, int is_last)
{
    struct stat st;

    if (lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return is_last ? "its directory cannot be looked at" : "a directory above it cannot be looked at";
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && (is_last || !(st.st_mode & S_ISVTX))) {
        return is_last ? "group or others can write to its directory"
                       : "group or others can write to a directory above it";
    }
    if (st.st_uid != 0 && !is_owner(rules, st.st_uid)) {
        return is_last ? "its directory belongs neither to root nor to SpawnUser nor to one of SpawnScriptOwner"
                       : "a directory above it belongs neither to root nor to SpawnUser nor to one of SpawnScriptOwner";
    }
    return NULL;
}

/* From the root, of that length, to the script's own. */
static const char *check_dirs(const script_rules *rules, const script_file *file, size_t root_len)
{
    char dir[PATH_MAX];
    const char *why = NULL;

    memcpy(dir, file->path, file->dir_len + 1);
    for (size_t end = root_len; !why && end <= file->dir_len; end++) {
        if (end == file->dir_len || dir[end] == '/') {
            dir[end] = '\0';
            why = check_dir(rules, dir, end == file->dir_len);
            dir[end] = '/';
        }
    }
    return why;
}

/* @return NULL, or what is wrong with the file for a process of another user than httpd's */
static const char *check_owner(const script_rules *rules, const struct stat *st, const script_file *file,
                               size_t root_len)
{
    const char *why;
    struct stat again;

    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        return "its group or others can write to it";
    }
    if (st->st_mode & (S_ISUID | S_ISGID)) {
        return "it is set-user-ID or set-group-ID";
    }
    if (!is_owner(rules, st->st_uid)) {
        return "it belongs neither to SpawnUser nor to one of SpawnScriptOwner";
    }
    why = check_dirs(rules, file, root_len);
    if (why) {
        return why;
    }
    return lstat(file->path, &again) == 0 && again.st_ino == st->st_ino && again.st_dev == st->st_dev
               ? NULL
               : "it has been exchanged meanwhile";
}

/* The path of an open file. @return 0: it has none */
static int path_of(int fd, char path[PATH_MAX])
{
    char link[40];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0 || n >= PATH_MAX - 1 || path[0] != '/') {
        return 0;
    }
    path[n] = '\0';
    return 1;
}

/* @return NULL, or what is wrong */
static const char *judge(const script_rules *rules, const struct stat *st, script_file *file)
{
    const char *why;
    size_t root_len = root_of(rules, file->path), cut;

    file->dir_len = (size_t)(strrchr(file->path, '/') - file->path);
    if (!S_ISREG(st->st_mode)) {
        return "it is not a regular file";
    }
    if (!root_len) {
        return "it is outside of the group's directories (SpawnScriptRoot)";
    }
    if (rules->by_itself && !(st->st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))) {
        return "it is not executable";
    }
    why = rules->other_user ? check_owner(rules, st, file, root_len) : NULL;
    if (why || !rules->chroot_dir) {
        return why;
    }
    cut = inside(rules->chroot_dir, file->path);
    if (!cut) {
        return "it is outside of SpawnChroot";
    }
    memmove(file->path, file->path + cut, strlen(file->path + cut) + 1);
    file->dir_len -= cut;
    return NULL;
}

procd_script_verdict script_check(const script_rules *rules, const char *path, script_file *file, char *why,
                                  size_t room)
{
    int fd = open(path, O_PATH | O_CLOEXEC), error = errno;
    procd_script_verdict verdict = PROCD_SCRIPT_STARTED;
    const char *wrong = NULL;
    struct stat st;

    if (fd == -1) {
        snprintf(why, room, "%s", strerror(error));
        return error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG ? PROCD_SCRIPT_MISSING
               : error == EMFILE || error == ENFILE || error == ENOMEM      ? PROCD_SCRIPT_BUSY
                                                                            : PROCD_SCRIPT_FORBIDDEN;
    }
    if (fstat(fd, &st) != 0 || st.st_nlink == 0 || !path_of(fd, file->path)) {
        verdict = PROCD_SCRIPT_MISSING;
        wrong = "it has no path any more";
    }
    else if ((wrong = judge(rules, &st, file))) {
        verdict = PROCD_SCRIPT_FORBIDDEN;
    }
    close(fd);
    snprintf(why, room, "%s", wrong ? wrong : "");
    return verdict;
}
