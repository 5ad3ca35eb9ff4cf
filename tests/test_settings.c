/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: every one of the list reaches its field of cairn_job_options, from a file, from the
 * environment and from a call; later ones override earlier ones; and no text is misunderstood: what
 * is wrong is refused with line, column and what would be right, and then nothing is set (P11). The
 * fields are listed here once more, by hand, so that a wrong row in the library's table is seen.
 * The manual's table is compared with the library's.
 */
#include "base/buffer.h"
#include "base/file.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FIELD(member) offsetof(cairn_job_options, member), sizeof(((cairn_job_options *)0)->member)

/* What a text means: a number of that width, or with expected_text the text itself. */
static const struct {
    const char *name, *text;
    size_t offset, width;
    uint64_t expected;
    const char *expected_text;
} reach[] = {
    {"store", "file:///srv/snapshots", FIELD(store_uri), 0, "file:///srv/snapshots"},
    {"local-dir", "/var/tmp/orders", FIELD(local_dir), 0, "/var/tmp/orders"},
    {"checkpoint.interval", "10s", FIELD(checkpoint_interval_ms), 10000, NULL},
    {"checkpoint.interval", "0", FIELD(checkpoint_interval_ms), 0, NULL},
    {"checkpoint.timeout", "5min", FIELD(checkpoint_timeout_ms), 300000, NULL},
    {"checkpoint.min-pause", "250ms", FIELD(min_pause_ms), 250, NULL},
    {"checkpoint.max-concurrent", "3", FIELD(max_concurrent), 3, NULL},
    {"checkpoint.tolerable-failures", "7", FIELD(tolerable_failures), 7, NULL},
    {"checkpoint.tolerable-failures", "any", FIELD(tolerable_failures), 0, NULL},
    {"checkpoint.tolerable-failures", "none", FIELD(tolerable_failures), CAIRN_TOLERATE_NONE, NULL},
    {"checkpoint.tolerable-failures", "0", FIELD(tolerable_failures), CAIRN_TOLERATE_NONE, NULL},
    {"checkpoint.mode", "at-least-once", FIELD(checkpoint_mode), CAIRN_AT_LEAST_ONCE, NULL},
    {"checkpoint.mode", "exactly-once", FIELD(checkpoint_mode), CAIRN_EXACTLY_ONCE, NULL},
    {"checkpoint.unaligned", "true", FIELD(unaligned), 1, NULL},
    {"checkpoint.unaligned", "false", FIELD(unaligned), 0, NULL},
    {"checkpoint.aligned-timeout", "1h", FIELD(aligned_timeout_ms), 3600000, NULL},
    {"checkpoint.full-every", "4294967295", FIELD(full_every), UINT32_MAX, NULL},
    {"checkpoint.retained", "3", FIELD(num_retained), 3, NULL},
    {"checkpoint.on-cancel", "delete", FIELD(on_cancel), CAIRN_DELETE, NULL},
    {"checkpoint.on-failure", "delete", FIELD(on_failure), CAIRN_DELETE, NULL},
    {"recovery.prefer-checkpoint", "true", FIELD(prefer_checkpoint), 1, NULL},
    {"restore.uri", "/srv/savepoint-orders-4", FIELD(restore_uri), 0, "/srv/savepoint-orders-4"},
    {"restore.checkpoint", "18446744073709551615", FIELD(restore_checkpoint_id), UINT64_MAX, NULL},
    {"restore.claim-mode", "claim", FIELD(claim_mode), CAIRN_CLAIM, NULL},
    {"restore.claim-mode", "legacy", FIELD(claim_mode), CAIRN_LEGACY, NULL},
    {"restore.claim-mode", "no-claim", FIELD(claim_mode), CAIRN_NO_CLAIM, NULL},
    {"restore.only-if-new", "true", FIELD(restore_only_if_new), 1, NULL},
    {"restore.fallback", "true", FIELD(restore_fallback), 1, NULL},
    {"restore.empty", "true", FIELD(start_empty), 1, NULL},
    {"restore.allow-non-restored", "true", FIELD(allow_non_restored_state), 1, NULL},
    {"savepoint.uri", "file:///srv/savepoints", FIELD(savepoint_uri), 0, "file:///srv/savepoints"},
    {"state.backend", "heap", FIELD(state_backend), 0, "heap"},
    {"state.memory", "512MiB", FIELD(state_memory_bytes), UINT64_C(512) << 20, NULL},
    {"state.memory", "8388608", FIELD(state_memory_bytes), UINT64_C(8) << 20, NULL},
    {"transfer.threads", "256", FIELD(transfer_threads), 256, NULL},
    {"transfer.inline-threshold", "64KiB", FIELD(inline_threshold_bytes), 65536, NULL},
    {"transfer.inline-threshold", "0", FIELD(inline_threshold_bytes), 1, NULL},
    {"transfer.upload-limit", "17179869183GiB", FIELD(upload_bytes_per_sec),
     UINT64_C(17179869183) << 30, NULL},
    {"transfer.download-limit", "64MiB", FIELD(download_bytes_per_sec), UINT64_C(64) << 20, NULL},
    {"transfer.pack-below", "0", FIELD(pack_below_bytes), 1, NULL},
    {"cluster.role", "worker", FIELD(role), CAIRN_WORKER, NULL},
    {"cluster.workers", "8", FIELD(worker_count), 8, NULL},
    {"cluster.worker-name", "orders-3", FIELD(worker_name), 0, "orders-3"},
    {"cluster.poll-interval", "200ms", FIELD(poll_interval_ms), 200, NULL},
    {"cluster.heartbeat", "5s", FIELD(heartbeat_ms), 5000, NULL},
    {"cluster.worker-timeout", "1min", FIELD(worker_timeout_ms), 60000, NULL},
    {"cluster.join-timeout", "30s", FIELD(join_timeout_ms), 30000, NULL},
    {"cluster.requests-per-minute", "600", FIELD(requests_per_minute), 600, NULL},
    {"control.listen", "tcp:127.0.0.1:0", FIELD(control), 0, "tcp:127.0.0.1:0"},
    {"control.token", "0123456789abcdef", FIELD(control_token), 0, "0123456789abcdef"},
    {"control.token-file", "TOKEN", FIELD(control_token), 0, "from-a-file-0123456789"},
    {"log.level", "error", FIELD(log_level), CAIRN_LOG_ERROR, NULL},
    {"log.level", "warning", FIELD(log_level), CAIRN_LOG_WARNING, NULL},
    {"log.level", "info", FIELD(log_level), CAIRN_LOG_INFO, NULL},
    {"log.level", "debug", FIELD(log_level), CAIRN_LOG_DEBUG, NULL},
};

static char directory[64];
static cairn_settings *settings;

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const char *text, size_t size, mode_t mode)
{
    (void)unlink(path_of(name));
    ck_assert_int_eq(crn_file_write_new(path_of(name), text, size, false, NULL), 0);
    ck_assert_int_eq(chmod(path_of(name), mode), 0);
}

static void set_up(void)
{
    const char *parent = getenv("TMPDIR");
    (void)snprintf(directory, sizeof directory, "%.40s/settings-XXXXXX", parent ? parent : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    write_file("TOKEN", "from-a-file-0123456789\n", 23, 0600);
    (void)unsetenv("CAIRN_SETTINGS");
    for (size_t i = 0; cairn_setting_at(i) != NULL; i++)
        (void)unsetenv(cairn_setting_at(i)->variable);
    ck_assert_int_eq(cairn_settings_new(&settings, NULL), 0);
}

static void tear_down(void)
{
    cairn_settings_free(settings);
    ck_assert_int_eq(crn_file_remove_tree(directory, NULL), 0);
}

/* The text of row i: of a file's name its path. */
static const char *text_at(size_t i)
{
    return strcmp(reach[i].text, "TOKEN") == 0 ? path_of("TOKEN") : reach[i].text;
}

/* Options filled with what no setting gives, so that what is not written is seen. */
static void fill(cairn_job_options *options)
{
    memset(options, 0xa5, sizeof *options);
    options->struct_size = sizeof *options;
}

/* Field of row i has its value, and every other byte is as before. */
static void check_applied(size_t i)
{
    cairn_job_options options, expected;
    fill(&options);
    fill(&expected);
    ck_assert_int_eq(cairn_settings_apply(settings, &options, NULL), 0);
    const char *field = (const char *)&options + reach[i].offset;
    if (reach[i].expected_text != NULL) {
        const char *text;
        memcpy(&text, field, sizeof text);
        ck_assert_str_eq(text, reach[i].expected_text);
    } else {
        uint64_t number = 0; /* the machine is a little-endian one */
        memcpy(&number, field, reach[i].width);
        ck_assert_msg(number == reach[i].expected, "%s: %llu", reach[i].name,
                      (unsigned long long)number);
    }
    memcpy((char *)&expected + reach[i].offset, field, reach[i].width);
    ck_assert_msg(memcmp(&options, &expected, sizeof options) == 0, "%s", reach[i].name);
}

static int read_text(const char *text, size_t size, cairn_error **reterr)
{
    write_file("settings.yaml", text, size, 0644);
    return cairn_settings_read_file(settings, path_of("settings.yaml"), reterr);
}

START_TEST(call_reaches_field)
{
    ck_assert_int_eq(cairn_settings_set(settings, reach[_i].name, text_at((size_t)_i), NULL), 0);
    ck_assert_str_eq(cairn_settings_get(settings, reach[_i].name), text_at((size_t)_i));
    check_applied((size_t)_i);
}
END_TEST

START_TEST(flat_file_reaches_field)
{
    char text[256];
    int n = snprintf(text, sizeof text, "# one\n%s: '%s'\n", reach[_i].name, text_at((size_t)_i));
    ck_assert_int_eq(read_text(text, (size_t)n, NULL), 0);
    check_applied((size_t)_i);
}
END_TEST

START_TEST(nested_file_reaches_field)
{
    char text[256];
    const char *name = reach[_i].name, *dot = strchr(name, '.');
    int n = dot == NULL ? snprintf(text, sizeof text, "{%s: %s}", name, text_at((size_t)_i))
                        : snprintf(text, sizeof text, "%.*s:\n  %s: %s\n", (int)(dot - name), name,
                                   dot + 1, text_at((size_t)_i));
    ck_assert_int_eq(read_text(text, (size_t)n, NULL), 0);
    check_applied((size_t)_i);
}
END_TEST

START_TEST(variable_reaches_field)
{
    char variable[64] = "CAIRN_";
    size_t n = strlen(variable);
    for (const char *p = reach[_i].name; *p != 0; p++)
        variable[n++] = (char)(*p == '.' || *p == '-' ? '_' : *p - 'a' + 'A');
    variable[n] = 0;
    ck_assert_int_eq(setenv(variable, text_at((size_t)_i), 1), 0);
    ck_assert_int_eq(cairn_settings_read_environment(settings, NULL), 0);
    check_applied((size_t)_i);
}
END_TEST

START_TEST(list_is_covered)
{
    size_t count = 0;
    for (const cairn_setting_info *info; (info = cairn_setting_at(count)) != NULL; count++) {
        bool found = false;
        for (size_t i = 0; i < CRN_COUNT(reach); i++)
            found |= strcmp(reach[i].name, info->name) == 0;
        ck_assert_msg(found, "%s is not in this test", info->name);
        ck_assert(strncmp(info->variable, "CAIRN_", 6) == 0 && *info->form && *info->default_text);
        size_t n = strlen(info->summary);
        ck_assert(n > 1 && info->summary[n - 1] == '.');
    }
    ck_assert_uint_gt(count, 30);
    ck_assert_ptr_null(cairn_setting_at(SIZE_MAX));
}
END_TEST

/* --- what is refused --- */

static const struct {
    const char *name, *text, *message;
} wrong[] = {
    {"checkpoint.interval", "10", "give a duration such as 500ms, 10s, 5min or 1h"},
    {"checkpoint.interval", "10 s", "give a duration"},
    {"checkpoint.interval", "10m", "give a duration"},
    {"checkpoint.interval", "10S", "give a duration"},
    {"checkpoint.interval", "s", "give a duration"},
    {"checkpoint.interval", "", "give a duration"},
    {"checkpoint.interval", "-1s", "give a duration"},
    {"checkpoint.interval", "+1s", "give a duration"},
    {"checkpoint.interval", " 1s", "give a duration"},
    {"checkpoint.interval", "1.5s", "give a duration"},
    {"checkpoint.interval", "0x10s", "give a duration"},
    {"checkpoint.interval", "1000001h", "the most is 1000000h"},
    {"checkpoint.interval", "18446744073709551616ms", "give a duration"},
    {"checkpoint.interval", "99999999999999999999999999999999s", "give a duration"},
    {"checkpoint.interval", "5124095576030432h", "give a duration"}, /* wraps around to 1 h */
    {"checkpoint.timeout", "0", "the least is 1ms"},
    {"checkpoint.retained", "0", "the least is 1"},
    {"checkpoint.retained", "4294967296", "the most is 4294967295"},
    {"checkpoint.retained", "3s", "'checkpoint.retained' cannot be '3s': give a number"},
    {"checkpoint.max-concurrent", "9", "the most is 8"},
    {"checkpoint.tolerable-failures", "4294967295", "the most is 4294967294"},
    {"checkpoint.tolerable-failures", "some", "give a number, any or none"},
    {"checkpoint.mode", "once", "give exactly-once or at-least-once"},
    {"checkpoint.mode", "Exactly-Once", "give exactly-once or at-least-once"},
    {"checkpoint.unaligned", "yes", "give true or false"},
    {"checkpoint.unaligned", "1", "give true or false"},
    {"restore.checkpoint", "0", "the least is 1"},
    {"restore.checkpoint", "18446744073709551616", "give a number"},
    {"restore.claim-mode", "CLAIM", "give no-claim, claim or legacy"},
    {"state.memory", "1MiB", "the least is 8MiB"},
    {"state.memory", "256MB", "give a number of bytes, or one with KiB, MiB or GiB"},
    {"state.memory", "17179869184GiB", "give a number of bytes"}, /* 2^64 */
    {"state.backend", "rocks", "give rocksdb or heap"},
    {"transfer.threads", "0", "the least is 1"},
    {"transfer.threads", "257", "the most is 256"},
    {"transfer.inline-threshold", "1048577", "the most is 1MiB"},
    {"log.level", "trace", "give error, warning, info or debug"},
    {"store", "", "'store' is empty"},
    {"store", "a\nb", "'store' has a control character"},
    {"control.token", "short", "has 5 characters: give 16 to 256"},
    {"control.token", "0123456789 abcdef", "another character than visible ASCII"},
    {"checkpoint.mode", "red\033[31m", "'checkpoint.mode' cannot have this value"},
    {"checkpoint.intervall", "1s", "did you mean 'checkpoint.interval'?"},
    {"checkpoint_interval", "1s", "did you mean 'checkpoint.interval'?"},
    {"Checkpoint.Interval", "1s", "did you mean 'checkpoint.interval'?"},
    {"checkpoint.timeuot", "1s", "did you mean 'checkpoint.timeout'?"},
    {"claim-mode", "claim", "did you mean 'restore.claim-mode'?"},
    {"colour", "red", "there is no setting 'colour'; `cairn help settings`"},
    {"checkpoint", "10s", "'checkpoint' is a group of settings"},
    {"", "1", "there is no setting ''"},
    {"red\033[31m", "1", "there is no setting of that name"},
};

START_TEST(wrong_is_refused)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_eq(cairn_settings_set(settings, "checkpoint.interval", "7s", NULL), 0);
    ck_assert_int_eq(cairn_settings_set(settings, wrong[_i].name, wrong[_i].text, &error),
                     CAIRN_EINVAL);
    ck_assert_msg(strstr(cairn_error_message(error), wrong[_i].message) != NULL, "%s '%s': %s",
                  wrong[_i].name, wrong[_i].text, cairn_error_message(error));
    ck_assert_ptr_null(strchr(cairn_error_message(error), '\033'));
    /* What was set before still is. */
    ck_assert_str_eq(cairn_settings_get(settings, "checkpoint.interval"), "7s");
}
END_TEST

START_TEST(token_is_not_told)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_int_lt(cairn_settings_set(settings, "control.token", "a secret with blanks", &error),
                     0);
    ck_assert_ptr_null(strstr(cairn_error_message(error), "secret"));
}
END_TEST

static const struct {
    const char *text, *message;
} bad_files[] = {
    {"colour: red\n", "line 1, column 1: there is no setting 'colour'"},
    {"# x\ncheckpoint:\n  intervall: 1s\n",
     "line 3, column 3: there is no setting 'checkpoint.intervall'; did you mean "
     "'checkpoint.interval'?"},
    {"checkpoint.interval: 10\n",
     "line 1, column 22: 'checkpoint.interval' cannot be '10': give a duration"},
    {"store: a\nstore: b\n", "line 2, column 1: 'store' is set already, by 'store' in line 1"},
    {"checkpoint.retained: 2\ncheckpoint:\n  retained: 3\n",
     "line 3, column 3: 'checkpoint.retained' is set already, by 'checkpoint.retained' in line 1"},
    {"control:\n  token: 0123456789abcdef\n  token-file: /nowhere\n",
     "line 3, column 3: 'control.token-file' is set already, by 'control.token' in line 2"},
    {"store:\n", "line 1, column 1: this has no value"},
    {"store: ~\n", "line 1, column 1: this has no value"},
    {"store: ''\n", "line 1, column 8: 'store' is empty"},
    {"checkpoint: 10s\n", "line 1, column 1: 'checkpoint' is a group"},
    {"checkpoint.interval:\n  ms: 10\n", "line 1, column 1: this has one value"},
    {"other:\n  name: 1\n", "line 1, column 1: there is no setting 'other'"},
    {"checkpoint:\n  interval:\n    ms: 10\n", "line 2, column 3: this has one value"},
    {"checkpoint:\n  deep:\n    deeper: 10\n", "line 2, column 3: there is no setting"},
    {"- store\n", "line 1, column 1: this is a list"},
    {"store: [a, b]\n", "line 1, column 8: this is a list"},
    {"checkpoint:\n  - interval\n", "line 2, column 3: this is a list"},
    {"store: &x a\n", "line 1, column 8: anchors"},
    {"checkpoint: &x\n  interval: 1s\n", "line 1, column 13: anchors"},
    {"store: *x\n", "line 1, column 8: this is an alias"},
    {"<<: *x\n", "line 1, column 5: this is an alias"},
    {"store: !!str a\n", "line 1, column 8: tags"},
    {"just text\n", "line 1, column 1: this is a value without a name"},
    {"[a]: b\n", "line 1, column 1: this is a list"},
    {"{a: b}: c\n", "line 1, column 1: this cannot stand here"},
    {"{[a]: b}\n", "line 1, column 2: this is a list"},
    {"store: a\n---\nstore: b\n", "line 2, column 1: a second document"},
    {"store: \"a\\0b\"\n", "line 1, column 8: this has a control character"},
    {"\"st\\nore\": a\n", "line 1, column 1: this has a control character"},
    {"store: {\n", "line 1, column 1: this has one value"},
    {"{store: a\n", "line 2, column 1: "},
    {"store: 'a\n", "line "},
    {"\tstore: a\n", "line 1, column 1: blanks indent a line, not tabs"},
    {"checkpoint:\n\tinterval: 1s\n", "line 2, column 1: blanks indent a line, not tabs"},
    {"checkpoint:\n  interval: 1s\n  \tretained: 2\n", "blanks indent a line, not tabs"},
    {"@\n\tx\n", "line 1, column 1: found character"},
    {"store: a\xff\n", "byte 9: "},
};

START_TEST(bad_file_is_refused)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const char *text = bad_files[_i].text;
    ck_assert_int_eq(cairn_settings_set(settings, "log.level", "debug", NULL), 0);
    ck_assert_int_eq(read_text(text, strlen(text), &error), CAIRN_EINVAL);
    ck_assert_msg(strstr(cairn_error_message(error), bad_files[_i].message) != NULL, "%s%s", text,
                  cairn_error_message(error));
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), path_of("settings.yaml")));
    ck_assert_str_eq(cairn_error_object(error), path_of("settings.yaml"));
    /* Nothing of it was set, and nothing was unset. */
    for (size_t i = 0; cairn_setting_at(i) != NULL; i++) {
        const char *name = cairn_setting_at(i)->name;
        ck_assert((cairn_settings_get(settings, name) != NULL) == (strcmp(name, "log.level") == 0));
    }
}
END_TEST

START_TEST(files_that_are_none)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    char *large = calloc(1, 70000);
    ck_assert_int_eq(cairn_settings_read_file(settings, path_of("absent"), &error),
                     CAIRN_ENOTFOUND);
    ck_assert_str_eq(cairn_error_object(error), path_of("absent"));
    ck_assert_int_eq(cairn_settings_read_file(settings, path_of("TOKEN/x"), NULL), CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_settings_read_file(settings, directory, NULL), CAIRN_EIO);
    memset(large, '#', 70000);
    ck_assert_int_eq(read_text(large, 70000, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(read_text(large, 60000, NULL), 0); /* a comment */
    ck_assert_int_eq(read_text("", 0, NULL), 0);
    ck_assert_int_eq(read_text("---\n", 4, NULL), 0);
    ck_assert_int_eq(read_text("--- {}\n...\n", 11, NULL), 0);
    free(large);
}
END_TEST

/* --- objects --- */

START_TEST(later_overrides)
{
    static const char text[] = "checkpoint:\n  interval: 10s\n  retained: 2\nstore: /one\n";
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    write_file("settings.yaml", text, strlen(text), 0644);
    ck_assert_int_eq(setenv("CAIRN_SETTINGS", path_of("settings.yaml"), 1), 0);
    ck_assert_int_eq(setenv("CAIRN_CHECKPOINT_INTERVAL", "3s", 1), 0);
    ck_assert_int_eq(setenv("CAIRN_STORE", "", 1), 0); /* counts as none */
    ck_assert_int_eq(setenv("CAIRN_SOMETHING_ELSE", "what", 1), 0);
    cairn_settings_free(settings);
    ck_assert_int_eq(cairn_settings_load(NULL, &settings, NULL), 0);
    ck_assert_int_eq(cairn_settings_set(settings, "checkpoint.retained", "5", NULL), 0);
    options.num_retained = 9;
    options.full_every = 4;
    ck_assert_int_eq(cairn_settings_apply(settings, &options, NULL), 0);
    ck_assert_uint_eq(options.checkpoint_interval_ms, 3000);
    ck_assert_uint_eq(options.num_retained, 5);
    ck_assert_uint_eq(options.full_every, 4);
    ck_assert_str_eq(options.store_uri, "/one");
    ck_assert_int_eq(cairn_settings_set(settings, "checkpoint.interval", NULL, NULL), 0);
    ck_assert_ptr_null(cairn_settings_get(settings, "checkpoint.interval"));
}
END_TEST

START_TEST(wrong_environment_is_refused)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_settings *none = NULL;
    ck_assert_int_eq(setenv("CAIRN_STORE", "/one", 1), 0);
    ck_assert_int_eq(setenv("CAIRN_LOG_LEVEL", "loud", 1), 0);
    ck_assert_int_eq(cairn_settings_read_environment(settings, &error), CAIRN_EINVAL);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "variable CAIRN_LOG_LEVEL: "));
    ck_assert_ptr_null(cairn_settings_get(settings, "store"));
    ck_assert_int_eq(cairn_settings_load(NULL, &none, NULL), CAIRN_EINVAL);
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(older_and_newer_programs)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct {
        cairn_job_options options;
        uint64_t more;
    } newer = {CAIRN_JOB_OPTIONS_INIT, 42};
    cairn_job_options older = CAIRN_JOB_OPTIONS_INIT, untouched;
    newer.options.struct_size = sizeof newer;
    older.struct_size = offsetof(cairn_job_options, max_concurrent);
    ck_assert_int_eq(cairn_settings_set(settings, "checkpoint.retained", "3", NULL), 0);
    ck_assert_int_eq(cairn_settings_apply(settings, &older, NULL), 0);
    ck_assert_uint_eq(older.num_retained, 3);
    ck_assert_int_eq(cairn_settings_apply(settings, &newer.options, NULL), 0);
    ck_assert(newer.options.num_retained == 3 && newer.more == 42);

    ck_assert_int_eq(cairn_settings_set(settings, "checkpoint.retained", "4", NULL), 0);
    ck_assert_int_eq(cairn_settings_set(settings, "checkpoint.max-concurrent", "2", NULL), 0);
    untouched = older;
    ck_assert_int_eq(cairn_settings_apply(settings, &older, &error), CAIRN_EINVAL);
    ck_assert_ptr_nonnull(strstr(cairn_error_message(error), "'checkpoint.max-concurrent'"));
    ck_assert_int_eq(memcmp(&older, &untouched, sizeof older), 0);
    older.struct_size = 0;
    ck_assert_int_eq(cairn_settings_apply(settings, &older, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_apply(settings, NULL, NULL), CAIRN_EINVAL);
}
END_TEST

START_TEST(token_file)
{
    static const struct {
        const char *text;
        size_t size;
        mode_t mode;
        int code;
    } files[] = {
        {"0123456789abcdef", 16, 0600, 0},
        {"0123456789abcdef\n", 17, 0640, 0},
        {"0123456789abcdef", 16, 0644, CAIRN_EACCES},
        {"0123456789abcdef", 16, 0604, CAIRN_EACCES},
        {"0123456789abcdef", 16, 0620, CAIRN_EACCES},
        {"0123456789abcdef", 16, 0601, CAIRN_EACCES},
        {"0123456789abcdef\n\n", 18, 0600, CAIRN_EINVAL},
        {"0123456789abcde\0f", 17, 0600, CAIRN_EINVAL},
        {"short", 5, 0600, CAIRN_EINVAL},
        {"", 0, 0600, CAIRN_EINVAL},
    };
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    for (size_t i = 0; i < CRN_COUNT(files); i++) {
        write_file("secret", files[i].text, files[i].size, files[i].mode);
        int r = cairn_settings_set(settings, "control.token-file", path_of("secret"), NULL);
        ck_assert_msg(r == files[i].code, "file %zu: %d", i, r);
    }
    char large[258];
    memset(large, 'x', sizeof large);
    large[256] = '\n';
    write_file("secret", large, 257, 0600);
    ck_assert_int_eq(cairn_settings_set(settings, "control.token-file", path_of("secret"), NULL),
                     0);
    large[256] = 'x';
    write_file("secret", large, 257, 0600);
    ck_assert_int_eq(cairn_settings_set(settings, "control.token-file", path_of("secret"), NULL),
                     CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_set(settings, "control.token-file", path_of("absent"), NULL),
                     CAIRN_ENOTFOUND);
    ck_assert_int_eq(cairn_settings_set(settings, "control.token-file", directory, NULL),
                     CAIRN_EINVAL);
    ck_assert_int_eq(mkfifo(path_of("pipe"), 0600), 0);
    ck_assert_int_eq(cairn_settings_set(settings, "control.token-file", path_of("pipe"), NULL),
                     CAIRN_EINVAL);

    /* The one unsets the other. */
    ck_assert_int_eq(cairn_settings_set(settings, "control.token", "given-by-a-call-1", NULL), 0);
    ck_assert_ptr_null(cairn_settings_get(settings, "control.token-file"));
    ck_assert_int_eq(cairn_settings_apply(settings, &options, NULL), 0);
    ck_assert_str_eq(options.control_token, "given-by-a-call-1");
    ck_assert_int_eq(cairn_settings_set(settings, "control.token-file", path_of("TOKEN"), NULL), 0);
    ck_assert_ptr_null(cairn_settings_get(settings, "control.token"));
}
END_TEST

START_TEST(misuse)
{
    cairn_settings *none = NULL;
    ck_assert_int_eq(cairn_settings_new(NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_load(NULL, NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_load("", &none, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_set(NULL, "store", "a", NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_set(settings, NULL, "a", NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_set(settings, "stor", NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_read_file(settings, NULL, NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_read_file(NULL, "x", NULL), CAIRN_EINVAL);
    ck_assert_int_eq(cairn_settings_read_environment(NULL, NULL), CAIRN_EINVAL);
    ck_assert_ptr_null(cairn_settings_get(settings, "stor"));
    ck_assert_ptr_null(cairn_settings_get(NULL, "store"));
    ck_assert_int_eq(cairn_settings_apply(NULL, NULL, NULL), CAIRN_EINVAL);
    cairn_settings_free(NULL);
}
END_TEST

/* The table below "## Settings", up to the next heading: name, value, default, meaning. */
START_TEST(manual_has_the_list)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    size_t size, i = 0;
    ck_assert_int_eq(
        crn_file_read_all(CRN_TEST_SOURCE_ROOT "/docs/operations.md", 1 << 20, &data, &size, NULL),
        0);
    char *line = strstr((char *)data, "\n## Settings\n");
    ck_assert_ptr_nonnull(line);
    char *rest = line + 1;
    (void)strsep(&rest, "\n");
    while ((line = strsep(&rest, "\n")) != NULL && strncmp(line, "##", 2) != 0) {
        char expected[512];
        const cairn_setting_info *info = cairn_setting_at(i);
        if (strncmp(line, "| `", 3) != 0)
            continue;
        ck_assert_msg(info != NULL, "there is no setting for: %s", line);
        (void)snprintf(expected, sizeof expected, "| `%s` | %s | %s | %s |", info->name, info->form,
                       info->default_text, info->summary);
        ck_assert_str_eq(line, expected);
        i++;
    }
    ck_assert_msg(cairn_setting_at(i) == NULL, "%s is not there", cairn_setting_at(i)->name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings");
    TCase *tests = tcase_create("settings");
    tcase_set_timeout(tests, 20);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, call_reaches_field, 0, CRN_COUNT(reach));
    tcase_add_loop_test(tests, flat_file_reaches_field, 0, CRN_COUNT(reach));
    tcase_add_loop_test(tests, nested_file_reaches_field, 0, CRN_COUNT(reach));
    tcase_add_loop_test(tests, variable_reaches_field, 0, CRN_COUNT(reach));
    tcase_add_test(tests, list_is_covered);
    tcase_add_loop_test(tests, wrong_is_refused, 0, CRN_COUNT(wrong));
    tcase_add_test(tests, token_is_not_told);
    tcase_add_loop_test(tests, bad_file_is_refused, 0, CRN_COUNT(bad_files));
    tcase_add_test(tests, files_that_are_none);
    tcase_add_test(tests, later_overrides);
    tcase_add_test(tests, wrong_environment_is_refused);
    tcase_add_test(tests, older_and_newer_programs);
    tcase_add_test(tests, token_file);
    tcase_add_test(tests, misuse);
    tcase_add_test(tests, manual_has_the_list);
    suite_add_tcase(suite, tests);
    return crn_test_run(suite);
}
