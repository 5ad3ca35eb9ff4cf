/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the golden snapshots, and never changes one: what is there stays as it was released (P10).
 *
 * Usage: make_golden_snapshots tests/golden-snapshots PREFIX
 *
 * For each kind a directory PREFIX-<kind> is added, unless it exists, and its entries as text,
 * PREFIX-<kind>.txt, which a person should look at once. The checkpoints are job directories with
 * two checkpoints, of which RocksDB's second is an increment of the first. The first half of the
 * keys was written under schemas that are older than those of the second.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "tests/support/service.h"
#include "tests/support/tap.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEYS 24
#define KEYS_OF_OLD_SCHEMAS 12

static const char *to_directory, *prefix;

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wxe");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

/* RocksDB's OPTIONS are compressed in a manifest; canonical files shall be objects. */
static uint32_t inline_threshold(enum snapshot_kind kind, const char *backend)
{
    return kind != SNAPSHOT_CANONICAL && strcmp(backend, "rocksdb") == 0 ? 128 << 10 : 0;
}

static void make(const char *kind_name, enum snapshot_kind kind, const char *backend)
{
    struct ground ground;
    struct service service;
    char uri[SERVICE_PATH_MAX], to[SERVICE_PATH_MAX], text[SERVICE_PATH_MAX + 8], command[2000];
    struct service_options options = {.job = prefix,
                                      .backend = backend,
                                      .inline_threshold_bytes = inline_threshold(kind, backend)};
    (void)snprintf(to, sizeof to, "%s/%s-%s", to_directory, prefix, kind_name);
    (void)snprintf(text, sizeof text, "%s.txt", to);
    if (access(to, F_OK) == 0) {
        printf("%s is there\n", to);
        return;
    }
    ground_init(&ground);
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_write(&service, 0, KEYS_OF_OLD_SCHEMAS);
    (void)service_checkpoint(&service);
    service_close(&service);
    options.new_schemas = true;
    CRN_TEST_OK(service_open(&ground, &options, &service, reterr));
    service_write(&service, KEYS_OF_OLD_SCHEMAS, KEYS);
    service_snapshot(&service, kind, uri);
    service_close(&service);
    char *entries = stored_entries(uri);
    (void)snprintf(command, sizeof command, "cp -R '%s' '%s'", uri, to);
    ck_assert_int_eq(system(command), 0);
    write_text(text, entries);
    free(entries);
    ground_done(&ground);
    printf("%s is new\n", to);
}

START_TEST(make_all)
{
    make("rocksdb-checkpoint", SNAPSHOT_CHECKPOINT, "rocksdb");
    make("heap-checkpoint", SNAPSHOT_CHECKPOINT, "heap");
    make("canonical-savepoint", SNAPSHOT_CANONICAL, "rocksdb");
    make("native-savepoint", SNAPSHOT_NATIVE, "rocksdb");
}
END_TEST

int main(int argc, char **argv)
{
    if (argc != 3) {
        (void)fprintf(stderr, "usage: make_golden_snapshots DIRECTORY PREFIX\n");
        return 2;
    }
    to_directory = argv[1];
    prefix = argv[2];
    TCase *tc = tcase_create("make");
    tcase_add_test(tc, make_all);
    Suite *suite = suite_create("make_golden_snapshots");
    suite_add_tcase(suite, tc);
    return crn_test_run(suite);
}
