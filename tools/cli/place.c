/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Places as people name them: paths, and URIs with a path and a query. What stands behind the '?'
 * of a URI belongs to the whole of it, however its path is taken apart or put together.
 */

#include "tools/cli/cli.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool cli_place_is_bucket(const char *place)
{
    return strncmp(place, "s3:", 3) == 0;
}

bool cli_place_is_uri(const char *place)
{
    return strstr(place, "://") != NULL;
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* In place. What is not coded rightly stays: the library says so of the whole. */
static void decode(char *text)
{
    char *to = text;
    for (const char *p = text; *p; p++) {
        int high = *p == '%' ? digit(p[1]) : -1;
        int low = high >= 0 ? digit(p[2]) : -1;
        bool is_coded = low >= 0 && high + low > 0;
        *to++ = is_coded ? (char)(high * 16 + low) : *p;
        p += is_coded ? 2 : 0;
    }
    *to = '\0';
}

char *cli_place_encode(const char *name)
{
    char *coded = cli_alloc(3 * strlen(name) + 1), *to = coded;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        if (isalnum(*p) || strchr("-_.~", *p))
            *to++ = (char)*p;
        else
            to += sprintf(to, "%%%02X", *p);
    }
    return coded;
}

/* "s3://bucket/a/b/?x=y": *ret_path gets "s3://bucket/a/b"; returns the query, "?x=y". Of a path
 * that is no URI there is none. Both are to be freed. */
static char *split_query(const char *place, char **ret_path)
{
    const char *query = cli_place_is_uri(place) ? strchrnul(place, '?') : place + strlen(place);
    size_t n = (size_t)(query - place);
    while (n > 1 && place[n - 1] == '/')
        n--;
    *ret_path = cli_printf("%.*s", (int)n, place);
    return cli_printf("%s", query);
}

bool cli_place_split(const char *place, char **ret_parent, char **ret_name)
{
    CLI_AUTO_FREE char *path = NULL;
    CLI_AUTO_FREE char *query = split_query(place, &path);
    char *begin = strstr(path, "://");
    begin = begin ? begin + 3 : path;
    char *slash = strrchr(begin, '/');
    const bool is_uri = begin != path;
    CLI_AUTO_FREE char *name = cli_printf("%s", slash ? slash + 1 : is_uri ? "" : path);
    if (is_uri)
        decode(name);
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/'))
        return false;
    if (slash) /* "/name" is in "/" */
        slash[slash == begin && !cli_place_is_bucket(place) ? 1 : 0] = '\0';
    *ret_parent = slash ? cli_printf("%s%s", path, query) : cli_printf(".");
    *ret_name = name;
    name = NULL;
    return true;
}

/* Where a file is, without links; the file itself may be missing. NULL: that is nowhere. */
static char *real_place(const char *file)
{
    char *real = realpath(file, NULL);
    const char *slash = strrchr(file, '/');
    if (real || !slash || slash == file || !slash[1])
        return real;
    CLI_AUTO_FREE char *parent = cli_printf("%.*s", (int)(slash - file), file);
    CLI_AUTO_FREE char *real_parent = realpath(parent, NULL);
    return real_parent ? cli_printf("%s%s", real_parent, slash) : NULL;
}

/* A file's path, of a path or of file:///path. */
static char *file_path(const char *place)
{
    static const char scheme[] = "file://";
    const bool is_uri = strncmp(place, scheme, sizeof(scheme) - 1) == 0;
    const char *path = is_uri ? place + sizeof(scheme) - 1 : place;
    char *plain = cli_printf("%.*s", (int)strcspn(path, "?"), path);
    if (is_uri)
        decode(plain);
    return plain;
}

char *cli_place_below(const char *place, const char *below)
{
    CLI_AUTO_FREE char *root = NULL, *object = NULL;
    if (cli_place_is_bucket(place) && cli_place_is_bucket(below)) {
        free(split_query(place, &root)); /* of no use here */
        free(split_query(below, &object));
        decode(root);
        decode(object);
    } else if (!cli_place_is_bucket(place)) {
        CLI_AUTO_FREE char *path = file_path(place);
        CLI_AUTO_FREE char *file = file_path(below);
        root = realpath(path, NULL);
        object = real_place(file);
    }
    size_t n = root ? strlen(root) : 0;
    if (!root || !object || strncmp(object, root, n) != 0 || object[n] != '/')
        return NULL;
    return cli_printf("%s", object + n + 1);
}

/* A path stands alone in its line or column, blanks and all; but a '?' is for a shell to expand. */
char *cli_place_text(const char *place)
{
    char *word = cli_place_is_uri(place) ? cli_text_shell(place) : NULL;
    return word ? word : cli_text_safe(place);
}

int cli_place_check_local(const char *verb, const char *place, cairn_error **reterr)
{
    if (!cli_place_is_uri(place))
        return 0;
    cli_hint("give a path; to copy into a bucket, use `cairn convert`");
    return cli_raise(reterr, CAIRN_EINVAL, "'%s' writes to this machine: --to '%s' is no path",
                     verb, place);
}
