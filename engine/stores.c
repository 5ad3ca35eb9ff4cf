/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From a URI to a store: the one place that knows which stores there are.
 *
 * A URI comes from a configuration file or a command line, so everything in it that is not
 * understood is refused by name; nothing is guessed (P11). A relative path is made absolute at
 * once: the working directory may change while the store is open.
 */

#include "backends/storage/s3/s3.h"
#include "backends/storage/storage.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/text.h"
#include "cairn/inspect.h"
#include "engine/log/joblog.h"
#include "engine/options.h"
#include "engine/stores.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

struct location {
    const struct scheme *scheme;
    char *path;  /* of a directory: absolute; of a bucket: "//bucket/prefix" */
    char *query; /* of a bucket: "?options", or "" */
    enum crn_transfer transfer;
};

static void location_done(struct location *location)
{
    free(location->path);
    free(location->query);
}

/* --- the table --- */

struct scheme {
    const char *name;
    enum { NO_PLACE, DIRECTORY, BUCKET } place;
    int (*open)(const struct location *location, bool create, cairn_store **ret_store,
                cairn_error **reterr);
};

static int open_directory(const struct location *location, bool create, cairn_store **ret_store,
                          cairn_error **reterr)
{
    return crn_posix_store_open(location->path, location->transfer, create, ret_store, reterr);
}

static int open_memory(const struct location *location, bool create, cairn_store **ret_store,
                       cairn_error **reterr)
{
    (void)location;
    if (!create)
        return crn_err_fail(reterr, CAIRN_EINVAL,
                            "memory:", "a memory store begins empty: there is nothing to look at");
    return crn_memory_store_open(ret_store, reterr);
}

/* Whether the server can keep writers apart is tried before anything is written. */
static int open_bucket(const struct location *location, bool create, cairn_store **ret_store,
                       cairn_error **reterr)
{
    CRN_AUTO_FREE char *rest = NULL, *uri = NULL;
    struct crn_s3_config config;
    CRN_TRY(crn_str_printf(&rest, reterr, "%s%s", location->path, location->query));
    CRN_TRY(crn_str_printf(&uri, reterr, "s3:%s", location->path));
    CRN_TRY(crn_s3_config_from_uri(rest, uri, &config, reterr));
    return crn_s3_store_open_config(&config, create, ret_store, reterr);
}

static const struct scheme schemes[] = {
    {"file", DIRECTORY, open_directory},
    {"memory", NO_PLACE, open_memory},
    {"s3", BUCKET, open_bucket},
};

/* --- parsing --- */

/* Length of the scheme that the URI begins with; 0: none, it is a path. A colon alone does not make
 * a scheme, since a path may hold one; but a known scheme's name and a colon is surely meant as
 * one. */
static size_t scheme_length(const char *uri)
{
    size_t n = strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    if (n == 0 || uri[n] != ':')
        return 0;
    if (strncmp(uri + n, "://", 3) == 0)
        return n;
    for (size_t i = 0; i < CRN_COUNT(schemes); i++) {
        if (strlen(schemes[i].name) == n && strncmp(uri, schemes[i].name, n) == 0)
            return n;
    }
    return 0;
}

static int parse_option(struct location *location, const char *option, const char *uri,
                        cairn_error **reterr)
{
    static const struct {
        const char *text;
        enum crn_transfer transfer;
    } values[] = {
        {"transfer=auto", CRN_TRANSFER_AUTO},
        {"transfer=link", CRN_TRANSFER_LINK},
        {"transfer=reflink", CRN_TRANSFER_REFLINK},
        {"transfer=copy", CRN_TRANSFER_COPY},
    };
    for (size_t i = 0; i < CRN_COUNT(values); i++) {
        if (strcmp(option, values[i].text) == 0) {
            location->transfer = values[i].transfer;
            return 0;
        }
    }
    return crn_err_fail(reterr, CAIRN_EINVAL, uri,
                        "store '%s': unknown option '%s'; there is transfer=auto, link, reflink "
                        "or copy",
                        uri, option);
}

static int parse_options(struct location *location, char *query, const char *uri,
                         cairn_error **reterr)
{
    char *rest = query;
    for (char *option; (option = strsep(&rest, "&")) != NULL;) {
        if (*option != 0)
            CRN_TRY(parse_option(location, option, uri, reterr));
    }
    return 0;
}

/* "file:///path", or a plain path: `text` is what stands behind the scheme, if any. */
static int parse_path(struct location *location, char *text, bool has_scheme, const char *uri,
                      cairn_error **reterr)
{
    char *query = strchr(text, '?');
    if (query != NULL) {
        *query++ = 0;
        CRN_TRY(parse_options(location, query, uri, reterr));
    }
    if (has_scheme) {
        if (strncmp(text, "///", 3) != 0)
            return crn_err_fail(reterr, CAIRN_EINVAL, uri,
                                "store '%s': must be file:// and an absolute path, as in "
                                "file:///var/lib/snapshots",
                                uri);
        text += 2;
        if (!crn_text_percent_decode(text))
            return crn_err_fail(reterr, CAIRN_EINVAL, uri,
                                "store '%s': '%%' must be followed by two hexadecimal digits that "
                                "are not 00; a percent sign itself is %%25",
                                uri);
    }
    size_t n = strlen(text);
    while (n > 1 && text[n - 1] == '/')
        text[--n] = 0;
    if (n == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, uri, "store '%s': the path is empty", uri);
    return crn_file_make_absolute(text, &location->path, reterr);
}

/* What stands behind "s3:"; bucket and options are looked at when it is opened. */
static int parse_bucket(struct location *location, const char *text, cairn_error **reterr)
{
    const char *query = strchrnul(text, '?');
    size_t n = (size_t)(query - text);
    while (n > 2 && text[n - 1] == '/')
        n--;
    location->path = crn_str_dup_n(text, n);
    location->query = crn_str_dup_n(query, strlen(query));
    return location->path == NULL || location->query == NULL ? crn_err_nomem(reterr) : 0;
}

static int parse_uri(const char *uri, struct location *ret, cairn_error **reterr)
{
    CRN_CLEANUP(location_done) struct location location = {0};
    if (uri == NULL || *uri == 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "no store is given");
    CRN_AUTO_FREE char *text = strdup(uri);
    if (text == NULL)
        return crn_err_nomem(reterr);

    size_t n = scheme_length(uri);
    location.scheme = n == 0 ? &schemes[0] : NULL;
    for (size_t i = 0; i < CRN_COUNT(schemes) && location.scheme == NULL; i++) {
        if (strlen(schemes[i].name) == n && strncmp(uri, schemes[i].name, n) == 0)
            location.scheme = &schemes[i];
    }
    if (location.scheme == NULL)
        return crn_err_fail(
            reterr, CAIRN_EINVAL, uri,
            "store '%s': unknown scheme '%.*s'; there is file://, s3:// and memory:", uri, (int)n,
            uri);
    if (location.scheme->place == DIRECTORY)
        CRN_TRY(parse_path(&location, text + (n > 0 ? n + 1 : 0), n > 0, uri, reterr));
    else if (location.scheme->place == BUCKET)
        CRN_TRY(parse_bucket(&location, text + n + 1, reterr));
    else if (uri[n + 1] != 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, uri, "store '%s': nothing may follow '%s:'", uri,
                            location.scheme->name);
    *ret = location;
    location.path = location.query = NULL;
    return 0;
}

/* --- the public calls --- */

int cairn_s3_store_open(const cairn_s3_options *options, cairn_store **ret_store,
                        cairn_error **reterr)
{
    cairn_s3_options o;
    struct crn_s3_config config;
    if (ret_store == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "ret_store is NULL");
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_s3_options", reterr));
    CRN_TRY(crn_s3_config_from_options(&o, &config, reterr));
    return crn_s3_store_open_config(&config, true, ret_store, reterr);
}

int cairn_store_open(const char *uri, cairn_store **ret_store, cairn_error **reterr)
{
    CRN_CLEANUP(location_done) struct location location = {0};
    CRN_TRY(parse_uri(uri, &location, reterr));
    return location.scheme->open(&location, true, ret_store, reterr);
}

void cairn_store_close(cairn_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

const char *cairn_store_caveat(cairn_store *store)
{
    return store != NULL && store->ops != NULL ? crn_store_caveat(store) : NULL;
}

static void cleanup_store(cairn_store **store)
{
    cairn_store_close(*store);
}

#define STOP_LISTING 1

static int find_object(void *context, const char *key, const cairn_object_stat *stat)
{
    bool *found = context;
    (void)stat;
    *found = crn_key_parse(key).type == CRN_KEY_OBJECT;
    return *found ? STOP_LISTING : 0;
}

static int find_any(void *context, const char *key, const cairn_object_stat *stat)
{
    bool *found = context;
    (void)key, (void)stat;
    *found = true;
    return STOP_LISTING;
}

static int find_mark_or_manifest(void *context, const char *key, const cairn_object_stat *stat)
{
    bool *found = context;
    const enum crn_key_type type = crn_key_parse(key).type;
    *found = stat != NULL && (type == CRN_KEY_MANIFEST || type == CRN_KEY_MARK);
    return *found ? STOP_LISTING : 0;
}

/* A job's directory, seen as a store, has manifests where a store has jobs; or at least a mark or
 * Cairn's objects, if the manifests are lost, removed or were not written yet. */
static int is_jobs_directory(cairn_store *store, bool *ret_found, cairn_error **reterr)
{
    static const char *const places[] = {"shared/", "chk-"};
    int r = store->ops->list_segments(store, "", find_mark_or_manifest, ret_found, reterr);
    for (size_t i = 0; i < CRN_COUNT(places) && r == 0; i++)
        r = store->ops->list(store, places[i], find_object, ret_found, reterr);
    return r == STOP_LISTING ? 0 : r;
}

/* Links in the path are resolved, so that the last segment is the directory's own name. */
static int resolve(struct location *location, cairn_error **reterr)
{
    char *real = realpath(location->path, NULL);
    if (real == NULL && (errno == ENOENT || errno == ENOTDIR))
        return crn_err_fail(reterr, CAIRN_ENOTFOUND, location->path, "there is no store '%s'",
                            location->path);
    if (real == NULL)
        return crn_err_os(reterr, errno, location->path, "store '%s'", location->path);
    free(location->path);
    location->path = real;
    return 0;
}

/* Where the path of a store can begin at the earliest: behind the root, or the bucket. */
static const char *first_segment(const struct location *location)
{
    if (location->scheme->place == DIRECTORY)
        return location->path;
    const char *slash = strchr(location->path + 2, '/');
    return slash != NULL ? slash : location->path + strlen(location->path);
}

/* What stands for its directory and one checkpoint in it: the path of a manifest, as people find it
 * with a listing. Returns the id; 0: it is none. */
static uint64_t strip_manifest(struct location *location)
{
    char *slash = strrchr(location->path, '/');
    bool is_directory = location->scheme->place == DIRECTORY;
    if (slash == NULL || (is_directory && slash == location->path) ||
        slash < first_segment(location) || (is_directory && crn_file_is_dir(location->path)))
        return 0;
    struct crn_key_info key = crn_key_parse(slash + 1);
    if (key.type != CRN_KEY_MANIFEST)
        return 0;
    *slash = 0;
    return key.id;
}

/* Splits "/stores/a/job" into the store "/stores/a" and the name "job". */
static int split_name(struct location *location, char **ret_name, cairn_error **reterr)
{
    char *slash = strrchr(location->path, '/');
    CRN_AUTO_FREE char *name =
        slash != NULL && slash >= first_segment(location) ? strdup(slash + 1) : strdup("");
    if (name == NULL)
        return crn_err_nomem(reterr);
    /* A directory's path was decoded where it was a URI's. */
    const bool is_decoded = location->scheme->place == DIRECTORY || crn_text_percent_decode(name);
    if (!is_decoded || !crn_text_is_job_name(name))
        return crn_err_fail(reterr, CAIRN_EINVAL, location->path,
                            "the last part of '%s' is not the name of a job or savepoint",
                            location->path);
    *ret_name = CRN_TAKE(name);
    slash[slash == location->path ? 1 : 0] = 0; /* "/job" is in the store "/" */
    return 0;
}

/* A bucket has no directories: where there is no object there is nothing. */
static int check_is_there(const struct location *location, cairn_store *store, cairn_error **reterr)
{
    bool found = location->scheme->place == DIRECTORY;
    int r = found ? 0 : store->ops->list_segments(store, "", find_any, &found, reterr);
    if (r < 0 || found)
        return r < 0 ? r : 0;
    return crn_err_fail(reterr, CAIRN_ENOTFOUND, location->path, "there is no store 's3:%s'",
                        location->path);
}

int cairn_store_open_existing(const char *uri, cairn_store **ret_store, char **ret_job,
                              uint64_t *ret_id, cairn_error **reterr)
{
    CRN_CLEANUP(location_done) struct location location = {0};
    CRN_CLEANUP(cleanup_store) cairn_store *store = NULL;
    CRN_AUTO_FREE char *job = NULL;
    bool is_job = false;
    uint64_t id = 0;

    CRN_TRY(parse_uri(uri, &location, reterr));
    /* A link may lead to a manifest; and one that is gone was one nevertheless. */
    if (location.scheme->place == DIRECTORY && access(location.path, F_OK) < 0)
        id = strip_manifest(&location);
    if (location.scheme->place == DIRECTORY)
        CRN_TRY(resolve(&location, reterr));
    if (location.scheme->place != NO_PLACE && id == 0)
        id = strip_manifest(&location);
    CRN_TRY(location.scheme->open(&location, false, &store, reterr));
    CRN_TRY(is_jobs_directory(store, &is_job, reterr));
    if (is_job) {
        CRN_TRY(split_name(&location, &job, reterr));
        cairn_store_close(CRN_TAKE(store));
        CRN_TRY(location.scheme->open(&location, false, &store, reterr));
    } else {
        CRN_TRY(check_is_there(&location, store, reterr));
    }
    *ret_store = CRN_TAKE(store);
    *ret_job = CRN_TAKE(job);
    if (ret_id != NULL)
        *ret_id = id;
    return 0;
}

/* --- places --- */

const char *crn_store_root(const cairn_store *store)
{
    const char *root = crn_posix_store_root(store);
    return root != NULL ? root : crn_s3_store_root(store);
}

/* A directory's root is a path, not a URI: nothing in it is coded. */
static int parse_root(const cairn_store *store, struct location *ret, cairn_error **reterr)
{
    const char *root = crn_posix_store_root(store);
    if (root == NULL)
        return parse_uri(crn_s3_store_root(store), ret, reterr);
    ret->scheme = &schemes[0];
    ret->path = strdup(root);
    return ret->path != NULL ? 0 : crn_err_nomem(reterr);
}

int crn_store_check_is_root(cairn_store *store, cairn_error **reterr)
{
    CRN_CLEANUP(location_done) struct location location = {0};
    CRN_AUTO_FREE char *name = NULL;
    bool is_job = false;
    int r = store->ops->list_segments(store, "", find_mark_or_manifest, &is_job, reterr);
    if (r < 0 || !is_job)
        return r;
    const char *root = crn_store_root(store);
    if (parse_root(store, &location, NULL) < 0 || split_name(&location, &name, NULL) < 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, root,
                            "this store is the directory of a job or a savepoint: name the store "
                            "that it is in");
    return crn_err_fail(reterr, CAIRN_EINVAL, root,
                        "'%s' is the directory of job or savepoint '%s': the store is '%s%s%s'",
                        root, name, location.query != NULL ? "s3:" : "", location.path,
                        location.query != NULL ? location.query : "");
}

int crn_store_open_parent(const char *uri, cairn_store **ret_store, char **ret_name,
                          cairn_error **reterr)
{
    CRN_CLEANUP(location_done) struct location location = {0};
    CRN_AUTO_FREE char *name = NULL;
    CRN_TRY(parse_uri(uri, &location, reterr));
    if (location.scheme->place == NO_PLACE)
        return crn_err_fail(reterr, CAIRN_EINVAL, uri, "'%s' is no place in a store", uri);
    CRN_TRY(split_name(&location, &name, reterr));
    if (location.scheme->place == DIRECTORY)
        CRN_TRY(resolve(&location, reterr));
    CRN_TRY(location.scheme->open(&location, false, ret_store, reterr));
    *ret_name = CRN_TAKE(name);
    return 0;
}

int crn_store_strip_uri(const char *uri, char **ret, cairn_error **reterr)
{
    CRN_CLEANUP(location_done) struct location location = {0};
    CRN_TRY(parse_uri(uri, &location, reterr));
    if (location.scheme->place != BUCKET)
        return crn_str_printf(ret, reterr, "%s", uri);
    (void)strip_manifest(&location);
    return crn_str_printf(ret, reterr, "s3:%s%s", location.path, location.query);
}

/* With every byte as %XX that means something in a URI, or is none of a text's. */
static int append_coded(struct cairn_buffer *out, const char *text, bool keep_slash)
{
    int r = 0;
    for (const char *p = text; r == 0 && *p != 0; p++)
        r = isalnum((unsigned char)*p) || strchr("-_.~", *p) != NULL || (keep_slash && *p == '/')
                ? crn_buf_append(out, p, 1)
                : crn_buf_printf(out, "%%%02X", (unsigned char)*p);
    return r;
}

int crn_store_path_uri(const char *path, char **ret, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer uri = {0};
    if (strchr(path, '?') == NULL && crn_text_is_clean(path, strlen(path)))
        return crn_str_printf(ret, reterr, "%s", path);
    int r = crn_buf_append(&uri, "file://", strlen("file://"));
    if (r == 0)
        r = append_coded(&uri, path, true);
    *ret = r == 0 ? crn_buf_take_text(&uri) : NULL;
    return *ret == NULL ? crn_err_nomem(reterr) : 0;
}

int crn_store_join_uri(const char *root, const char *name, char **ret, cairn_error **reterr)
{
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_BUFFER struct cairn_buffer coded = {0};
    const bool is_path = root[0] == '/';
    const char *query = is_path ? root + strlen(root) : strchrnul(root, '?');
    size_t n = (size_t)(query - root);
    while (n > 0 && root[n - 1] == '/')
        n--;
    if (is_path) {
        CRN_TRY(crn_str_printf(&path, reterr, "%.*s/%s", (int)n, root, name));
        return crn_store_path_uri(path, ret, reterr);
    }
    if (append_coded(&coded, name, false) < 0 || crn_buf_append(&coded, "", 1) < 0)
        return crn_err_nomem(reterr);
    return crn_str_printf(ret, reterr, "%.*s/%s%s", (int)n, root, (const char *)coded.data, query);
}
