/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_kit.h. */
#include "tests/support/s3/fake_kit.h"

#include <stdio.h>
#include <string.h>

struct fake *fake;
cairn_store *store;

int fake_kit_store(const char *options, bool probe, cairn_store **ret, cairn_error **reterr)
{
    char rest[256];
    struct crn_s3_config config;
    (void)snprintf(rest, sizeof rest, "//cairn/t?endpoint=http://127.0.0.1:%u%s", fake_port(fake),
                   options);
    CRN_TRY(crn_s3_config_from_uri(rest, "s3://cairn/t", &config, reterr));
    return crn_s3_store_open_config(&config, probe, ret, reterr);
}

void fake_kit_open(void)
{
    static const char *const names[] = {"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
                                        "AWS_SESSION_TOKEN"};
    for (size_t i = 0; i < CRN_COUNT(names); i++)
        ck_assert_int_eq(unsetenv(names[i]), 0);
    ck_assert_int_eq(setenv("AWS_ACCESS_KEY_ID", "test", 1), 0);
    ck_assert_int_eq(setenv("AWS_SECRET_ACCESS_KEY", "testsecret", 1), 0);
    fake = fake_start();
    ck_assert_int_eq(fake_kit_store("&retry_ms=4000&request_timeout_ms=2000", false, &store, NULL),
                     0);
}

void fake_kit_close(void)
{
    store->ops->close(store);
    fake_stop(fake);
}

void expect_error(int r, int code, cairn_error **error, const char *word, const char *other)
{
    const char *message = cairn_error_message(*error);
    ck_assert_msg(r == code, "%s, not %s: %s", cairn_error_name(r), cairn_error_name(code),
                  message);
    if (code < 0)
        ck_assert_int_eq(cairn_error_code(*error), code);
    ck_assert_msg(word == NULL || strstr(message, word) != NULL, "no '%s': %s", word, message);
    ck_assert_msg(other == NULL || strstr(message, other) != NULL, "no '%s': %s", other, message);
}

void expect_stored(const char *key, const char *text)
{
    char full[128];
    CRN_AUTO_BUFFER struct cairn_buffer found = {0};
    (void)snprintf(full, sizeof full, "t/%s", key);
    ck_assert_int_eq(fake_get(fake, full, &found), text != NULL);
    if (text != NULL) {
        ck_assert_uint_eq(found.size, strlen(text));
        ck_assert(found.size == 0 || memcmp(found.data, text, found.size) == 0);
    }
}

int create_text(const char *key, const char *text, cairn_error **reterr)
{
    return store->ops->create(store, key, text, strlen(text), reterr);
}

int put_text(const char *key, const char *text, cairn_error **reterr)
{
    struct crn_bytes_source source;
    cairn_put_how how;
    crn_bytes_source_init(&source, text, strlen(text));
    return store->ops->put(store, key, &source.source, &how, reterr);
}

static int add_key(void *context, const char *key, const cairn_object_stat *stat)
{
    (void)stat;
    return crn_buf_printf(context, "%s\n", key);
}

char *list_keys(bool segments, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer keys = {0};
    int r = segments ? store->ops->list_segments(store, "", add_key, &keys, reterr)
                     : store->ops->list(store, "", add_key, &keys, reterr);
    return r == 0 ? crn_buf_take_text(&keys) : NULL;
}
