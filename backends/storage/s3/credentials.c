/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where keys and region come from, in the order that cairn/s3.h gives. Files are those of AWS's own
 * tools: sections in brackets, "name = value" lines, '#' and ';' begin a comment. What is not
 * understood in them is another tool's, and passed over.
 *
 * A key is taken together with its secret from one place, never one from each. Nothing of what is
 * read appears in a message (only names of files and variables do).
 */
#include "backends/storage/s3/credentials.h"

#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX ((size_t)1 << 20)

struct span {
    const char *start;
    size_t size;
};

static struct span trim(const char *start, size_t size)
{
    while (size > 0 && isspace((unsigned char)*start)) {
        start++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)start[size - 1]))
        size--;
    return (struct span){start, size};
}

static bool span_is(struct span span, const char *text)
{
    return span.size == strlen(text) && memcmp(span.start, text, span.size) == 0;
}

/* "[profile x]" and "[ x ]" are the section x, the first in the config file, the second in the
 * credentials file. */
static struct span section_of(struct span line)
{
    static const char word[] = "profile";
    struct span name = trim(line.start + 1, line.size - 2);
    if (name.size > sizeof word && memcmp(name.start, word, sizeof word - 1) == 0 &&
        isspace((unsigned char)name.start[sizeof word - 1]))
        name = trim(name.start + sizeof word, name.size - sizeof word);
    return name;
}

int crn_s3_profile_value(const char *text, size_t size, const char *section, const char *name,
                         char **ret)
{
    bool inside = false;
    const char *end = text + size;
    *ret = NULL;
    for (const char *p = text; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        struct span line = trim(p, (size_t)((stop != NULL ? stop : end) - p));
        p = stop != NULL ? stop + 1 : end;
        if (line.size == 0 || *line.start == '#' || *line.start == ';')
            continue;
        if (*line.start == '[') {
            inside = line.size > 2 && line.start[line.size - 1] == ']' &&
                     span_is(section_of(line), section);
            continue;
        }
        const char *equals = memchr(line.start, '=', line.size);
        if (!inside || equals == NULL ||
            !span_is(trim(line.start, (size_t)(equals - line.start)), name))
            continue;
        struct span value = trim(equals + 1, (size_t)(line.start + line.size - equals - 1));
        *ret = crn_str_dup_n(value.start, value.size);
        return *ret == NULL ? CAIRN_ENOMEM : 0;
    }
    return 0;
}

/* A variable that is set to nothing is as good as none. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != 0 ? value : NULL;
}

static int set(char **to, const char *value)
{
    free(*to);
    *to = crn_str_dup_n(value, strlen(value));
    return *to == NULL ? CAIRN_ENOMEM : 0;
}

static int from_environment(struct crn_s3_config *config, cairn_error **reterr)
{
    const char *key = variable("AWS_ACCESS_KEY_ID");
    const char *secret = variable("AWS_SECRET_ACCESS_KEY");
    const char *token = variable("AWS_SESSION_TOKEN");
    if (config->access_key != NULL || key == NULL)
        return 0;
    if (secret == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not");
    if (set(&config->access_key, key) < 0 || set(&config->secret_key, secret) < 0 ||
        (token != NULL && set(&config->session_token, token) < 0))
        return crn_err_nomem(reterr);
    return 0;
}

/* "" when there is no home either. */
static int file_path(const char *name, const char *in_home, char **ret, cairn_error **reterr)
{
    const char *path = variable(name), *home = variable("HOME");
    return path != NULL   ? crn_str_printf(ret, reterr, "%s", path)
           : home != NULL ? crn_str_printf(ret, reterr, "%s/.aws/%s", home, in_home)
                          : crn_str_printf(ret, reterr, "%s", "");
}

/* *ret_data NULL: there is no such file. */
static int read_file(const char *path, uint8_t **ret_data, size_t *ret_size, cairn_error **reterr)
{
    *ret_data = NULL;
    *ret_size = 0;
    if (*path == 0 || (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)))
        return 0;
    return crn_file_read_all(path, FILE_BYTES_MAX, ret_data, ret_size, reterr);
}

static int from_profile(struct crn_s3_config *config, const char *profile, const char *path,
                        cairn_error **reterr)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    CRN_AUTO_FREE char *key = NULL, *secret = NULL, *token = NULL;
    size_t size;
    CRN_TRY(read_file(path, &data, &size, reterr));
    const char *text = (const char *)data;
    if (data == NULL || config->access_key != NULL)
        return 0;
    if (crn_s3_profile_value(text, size, profile, "aws_access_key_id", &key) < 0 ||
        crn_s3_profile_value(text, size, profile, "aws_secret_access_key", &secret) < 0 ||
        crn_s3_profile_value(text, size, profile, "aws_session_token", &token) < 0)
        return crn_err_nomem(reterr);
    if ((key == NULL) != (secret == NULL))
        return crn_err_fail(reterr, CAIRN_EINVAL, path,
                            "profile '%s' in '%s' has only one of aws_access_key_id and "
                            "aws_secret_access_key",
                            profile, path);
    config->access_key = CRN_TAKE(key);
    config->secret_key = CRN_TAKE(secret);
    config->session_token = CRN_TAKE(token);
    return 0;
}

static int region_from_profile(struct crn_s3_config *config, const char *profile, const char *path,
                               cairn_error **reterr)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size;
    CRN_TRY(read_file(path, &data, &size, reterr));
    if (data != NULL && config->region == NULL &&
        crn_s3_profile_value((const char *)data, size, profile, "region", &config->region) < 0)
        return crn_err_nomem(reterr);
    return 0;
}

static int find_region(struct crn_s3_config *config, const char *profile, const char *keys_path,
                       const char *config_path, cairn_error **reterr)
{
    const char *region = variable("AWS_REGION");
    if (region == NULL)
        region = variable("AWS_DEFAULT_REGION");
    if (config->region == NULL && region != NULL && set(&config->region, region) < 0)
        return crn_err_nomem(reterr);
    if (config->region == NULL)
        CRN_TRY(region_from_profile(config, profile, config_path, reterr));
    if (config->region == NULL)
        CRN_TRY(region_from_profile(config, profile, keys_path, reterr));
    if (config->region == NULL && set(&config->region, "us-east-1") < 0)
        return crn_err_nomem(reterr);
    return 0;
}

int crn_s3_find_credentials(struct crn_s3_config *config, const char *profile, cairn_error **reterr)
{
    CRN_AUTO_FREE char *keys_path = NULL, *config_path = NULL;
    const bool is_asked = profile != NULL;
    if (profile == NULL)
        profile = variable("AWS_PROFILE");
    if (profile == NULL)
        profile = "default";
    CRN_TRY(file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials", &keys_path, reterr));
    CRN_TRY(file_path("AWS_CONFIG_FILE", "config", &config_path, reterr));
    /* Who names a profile does not mean the environment. */
    if (!is_asked)
        CRN_TRY(from_environment(config, reterr));
    CRN_TRY(from_profile(config, profile, keys_path, reterr));
    CRN_TRY(from_profile(config, profile, config_path, reterr));
    CRN_TRY(find_region(config, profile, keys_path, config_path, reterr));
    if (config->access_key != NULL)
        return 0;
    return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                        "no credentials for bucket '%s': neither in AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY nor as profile '%s' in '%s'",
                        config->bucket, profile, keys_path);
}
