/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller or a URI says of an S3 store, checked and with defaults filled in. Nothing that is
 * not understood is passed over (P11), and no key can stand in a URI: URIs end up in messages.
 */
#include "backends/storage/s3/credentials.h"

#include "backends/storage/s3/sign.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define PART_BYTES_MIN (5 * MIB) /* the protocol's */
#define PART_BYTES_MAX (1024 * MIB)
#define PREFIX_BYTES_MAX 512u
#define DAY_MS 86400000u

void crn_s3_config_done(struct crn_s3_config *config)
{
    char *texts[] = {config->bucket,        config->prefix,  config->scheme,
                     config->host,          config->region,  config->access_key,
                     config->session_token, config->ca_file, config->root};
    for (size_t i = 0; i < CRN_COUNT(texts); i++)
        free(texts[i]);
    if (config->secret_key != NULL)
        explicit_bzero(config->secret_key, strlen(config->secret_key));
    free(config->secret_key);
    *config = (struct crn_s3_config){0};
}

static int copy(char **to, const char *text, cairn_error **reterr)
{
    if (text == NULL || *text == 0)
        return 0;
    *to = crn_str_dup_n(text, strlen(text));
    return *to == NULL ? crn_err_nomem(reterr) : 0;
}

/* What every server allows, and what needs no encoding in a host's name. */
static bool is_bucket(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t n = strlen(name);
    return n >= 3 && n <= 63 && strspn(name, allowed) == n && name[0] != '.' && name[0] != '-' &&
           strstr(name, "..") == NULL;
}

static int take_prefix(struct crn_s3_config *config, const char *prefix, cairn_error **reterr)
{
    size_t n = prefix != NULL ? strlen(prefix) : 0;
    if (n == 0)
        return crn_str_printf(&config->prefix, reterr, "%s", "");
    if (n > PREFIX_BYTES_MAX || !crn_store_key_is_valid(prefix))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "'%s' cannot be the prefix of a store: it is a path of up to %u bytes "
                            "without '//', '.' and '..' in it, and without '/' at its ends",
                            prefix, PREFIX_BYTES_MAX);
    return crn_str_printf(&config->prefix, reterr, "%s/", prefix);
}

/* "https://host:port" */
static int take_endpoint(struct crn_s3_config *config, const char *endpoint, cairn_error **reterr)
{
    const char *sep = strstr(endpoint, "://");
    size_t scheme_size = sep != NULL ? (size_t)(sep - endpoint) : 0;
    const char *host = sep != NULL ? sep + 3 : endpoint;
    size_t n = strlen(host);
    bool known = (scheme_size == 4 && memcmp(endpoint, "http", 4) == 0) ||
                 (scheme_size == 5 && memcmp(endpoint, "https", 5) == 0);
    while (n > 0 && host[n - 1] == '/')
        n--;
    if (!known || n == 0 || strcspn(host, "/?#@ \t\r\n") < n)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "endpoint '%s' is not http:// or https:// with a host, and a port if "
                            "need be",
                            endpoint);
    config->scheme = crn_str_dup_n(endpoint, scheme_size);
    config->host = crn_str_dup_n(host, n);
    return config->scheme == NULL || config->host == NULL ? crn_err_nomem(reterr) : 0;
}

static int find_endpoint(struct crn_s3_config *config, const cairn_s3_options *o,
                         cairn_error **reterr)
{
    static const char *const names[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"};
    const char *endpoint = o->endpoint;
    for (size_t i = 0; i < CRN_COUNT(names) && endpoint == NULL; i++) {
        const char *value = getenv(names[i]);
        endpoint = value != NULL && *value != 0 ? value : NULL;
    }
    config->path_style = o->path_style > 0 || (o->path_style == 0 && endpoint != NULL);
    /* A certificate for *.s3... does not cover a name with a dot in it. */
    if (o->path_style == 0 && strchr(config->bucket, '.') != NULL)
        config->path_style = true;
    if (endpoint != NULL)
        return take_endpoint(config, endpoint, reterr);
    CRN_TRY(copy(&config->scheme, "https", reterr));
    return crn_str_printf(&config->host, reterr, "s3.%s.amazonaws.com", config->region);
}

static int name_root(struct crn_s3_config *config, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer prefix = {0};
    if (crn_s3_encode(&prefix, config->prefix, true) < 0)
        return crn_err_nomem(reterr);
    const int n = prefix.size > 0 ? (int)prefix.size - 1 : 0; /* without its final '/' */
    return crn_str_printf(&config->root, reterr, "s3://%s%s%.*s?endpoint=%s://%s", config->bucket,
                          n > 0 ? "/" : "", n, n > 0 ? (const char *)prefix.data : "",
                          config->scheme, config->host);
}

static int check_numbers(const struct crn_s3_config *config, cairn_error **reterr)
{
    if (config->max_connections > 256)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "max_connections is %u, at most 256",
                            config->max_connections);
    if (config->part_bytes < PART_BYTES_MIN || config->part_bytes > PART_BYTES_MAX)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "part_bytes is %llu, from 5 MiB to 1 GiB are possible",
                            (unsigned long long)config->part_bytes);
    if (config->multipart_bytes < config->part_bytes || config->multipart_bytes > 5120 * MIB)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "multipart_bytes is %llu: it must be from part_bytes to 5 GiB",
                            (unsigned long long)config->multipart_bytes);
    if (config->request_timeout_ms > DAY_MS || config->retry_ms > DAY_MS)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "request_timeout_ms and retry_ms are at most %u, a day", DAY_MS);
    if (config->unsigned_payload && strcmp(config->scheme, "https") != 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "unsigned payloads need https: over http anybody could change them");
    return 0;
}

int crn_s3_config_from_options(const cairn_s3_options *o, struct crn_s3_config *ret,
                               cairn_error **reterr)
{
    CRN_CLEANUP(crn_s3_config_done) struct crn_s3_config config = {0};
    if (o->bucket == NULL || !is_bucket(o->bucket))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "'%s' is not the name of a bucket",
                            o->bucket != NULL ? o->bucket : "");
    if ((o->access_key != NULL) != (o->secret_key != NULL))
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "access_key and secret_key go together");
    CRN_TRY(copy(&config.bucket, o->bucket, reterr));
    CRN_TRY(take_prefix(&config, o->prefix, reterr));
    CRN_TRY(copy(&config.region, o->region, reterr));
    CRN_TRY(copy(&config.access_key, o->access_key, reterr));
    CRN_TRY(copy(&config.secret_key, o->secret_key, reterr));
    CRN_TRY(copy(&config.session_token, o->session_token, reterr));
    CRN_TRY(copy(&config.ca_file, o->ca_file, reterr));
    CRN_TRY(crn_s3_find_credentials(&config, o->profile, reterr));
    CRN_TRY(find_endpoint(&config, o, reterr));
    CRN_TRY(name_root(&config, reterr));
    config.max_connections = o->max_connections != 0 ? o->max_connections : 16;
    config.part_bytes = o->part_bytes != 0 ? o->part_bytes : 16 * MIB;
    /* Tables are a little larger than 64 MiB: each takes one request, not eight. */
    config.multipart_bytes = o->multipart_bytes != 0         ? o->multipart_bytes
                             : config.part_bytes > 128 * MIB ? config.part_bytes
                                                             : 128 * MIB;
    config.request_timeout_ms = o->request_timeout_ms != 0 ? o->request_timeout_ms : 30000;
    config.retry_ms = o->retry_ms != 0 ? o->retry_ms : 120000;
    config.unsigned_payload = o->unsigned_payload != 0;
    config.single_writer_unsafe = o->single_writer_unsafe != 0;
    CRN_TRY(check_numbers(&config, reterr));
    *ret = config;
    config = (struct crn_s3_config){0};
    return 0;
}

/* ---- the URI ---- */

/* Bytes, or KiB, MiB, GiB. */
static bool parse_size(const char *text, uint64_t *ret)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long value = strtoull(text, &end, 10);
    for (size_t i = 0; i < CRN_COUNT(units); i++)
        if (strcmp(end, units[i].unit) == 0 && value <= UINT64_MAX >> units[i].shift) {
            *ret = (uint64_t)value << units[i].shift;
            return *ret > 0;
        }
    return false;
}

static bool parse_truth(const char *text, int *ret)
{
    *ret = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return *ret || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

/* 0, or what would be right. */
static const char *set_option(cairn_s3_options *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"endpoint", &o->endpoint},
                 {"region", &o->region},
                 {"profile", &o->profile},
                 {"ca_file", &o->ca_file}};
    uint64_t number = 0;
    int truth = 0;
    for (size_t i = 0; i < CRN_COUNT(texts); i++)
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].to = value;
            return *value != 0 ? NULL : "a text";
        }
    if (strcmp(name, "path_style") == 0) {
        if (!parse_truth(value, &truth))
            return "true or false";
        o->path_style = truth ? 1 : -1;
        return NULL;
    }
    if (strcmp(name, "payload") == 0) {
        o->unsigned_payload = strcmp(value, "unsigned") == 0;
        return o->unsigned_payload || strcmp(value, "signed") == 0 ? NULL : "signed or unsigned";
    }
    if (strcmp(name, "single_writer") == 0) {
        o->single_writer_unsafe = 1;
        return strcmp(value, "unsafe") == 0 ? NULL : "unsafe";
    }
    bool is_number = parse_size(value, &number);
    if (strcmp(name, "max_connections") == 0)
        o->max_connections = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
    else if (strcmp(name, "part_bytes") == 0)
        o->part_bytes = number;
    else if (strcmp(name, "multipart_bytes") == 0)
        o->multipart_bytes = number;
    else if (strcmp(name, "request_timeout_ms") == 0)
        o->request_timeout_ms = number;
    else if (strcmp(name, "retry_ms") == 0)
        o->retry_ms = number;
    else
        return "one of endpoint, region, profile, ca_file, path_style, payload, single_writer, "
               "max_connections, part_bytes, multipart_bytes, request_timeout_ms and retry_ms";
    return is_number ? NULL : "a number, or a size such as 16MiB";
}

static int parse_query(char *query, const char *uri, cairn_s3_options *o, cairn_error **reterr)
{
    char *rest = query;
    for (char *option; (option = strsep(&rest, "&")) != NULL;) {
        char *value = strchr(option, '=');
        if (*option == 0)
            continue;
        if (value == NULL)
            return crn_err_fail(reterr, CAIRN_EINVAL, uri, "store '%s': option '%s' has no value",
                                uri, option);
        *value++ = 0;
        if (!crn_text_percent_decode(value))
            return crn_err_fail(reterr, CAIRN_EINVAL, uri,
                                "store '%s': a '%%' in option '%s' is not followed by two "
                                "hexadecimal digits",
                                uri, option);
        const char *wanted = set_option(o, option, value);
        if (wanted != NULL)
            return crn_err_fail(reterr, CAIRN_EINVAL, uri,
                                "store '%s': option '%s=%s' is not right: %s", uri, option, value,
                                wanted);
    }
    return 0;
}

int crn_s3_config_from_uri(const char *rest, const char *uri, struct crn_s3_config *ret,
                           cairn_error **reterr)
{
    cairn_s3_options options = CAIRN_S3_OPTIONS_INIT;
    CRN_AUTO_FREE char *text = strdup(rest);
    if (text == NULL)
        return crn_err_nomem(reterr);
    if (strncmp(text, "//", 2) != 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, uri,
                            "store '%s': must be s3://bucket/prefix with options behind a '?'",
                            uri);
    char *query = strchr(text, '?');
    if (query != NULL) {
        *query++ = 0;
        CRN_TRY(parse_query(query, uri, &options, reterr));
    }
    char *bucket = text + 2;
    char *prefix = strchr(bucket, '/');
    if (prefix != NULL)
        *prefix++ = 0;
    if (prefix != NULL && !crn_text_percent_decode(prefix))
        return crn_err_fail(reterr, CAIRN_EINVAL, uri,
                            "store '%s': a '%%' must be followed by two hexadecimal digits", uri);
    size_t n = prefix != NULL ? strlen(prefix) : 0;
    while (n > 0 && prefix[n - 1] == '/')
        prefix[--n] = 0;
    options.bucket = bucket;
    options.prefix = prefix;
    int r = crn_s3_config_from_options(&options, ret, reterr);
    if (r == CAIRN_EINVAL)
        crn_err_prefix(reterr, "store '%s'", uri);
    return r;
}
