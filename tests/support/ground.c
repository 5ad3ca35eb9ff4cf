/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the services of the tests of compatibility run, the snapshots that are taken of them, and
 * what is stored at a URI.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "tests/support/service.h"
#include "tests/support/tap.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WAIT_MS 1u
#define PATIENCE 10000u /* waits before a snapshot is given up */

const char *const service_backends[SERVICE_BACKENDS] = {"rocksdb", "heap"};

void ground_init(struct ground *ground)
{
    char savepoints[SERVICE_PATH_MAX];
    const char *tmp = getenv("TMPDIR");
    *ground = (struct ground){.clock_ms = INT64_C(1800000000000)};
    (void)snprintf(ground->root, sizeof ground->root, "%s/crn-service-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(ground->root));
    ground_path(ground, "savepoints", savepoints);
    ck_assert_int_eq(mkdir(savepoints, 0777), 0);
}

void ground_done(struct ground *ground)
{
    CRN_TEST_OK(crn_file_remove_tree(ground->root, reterr));
}

void ground_path(const struct ground *ground, const char *name, char out[SERVICE_PATH_MAX])
{
    (void)snprintf(out, SERVICE_PATH_MAX, "%s/%s", ground->root, name);
}

/* ---- snapshots of a service that runs ---- */

/* One event of a task. true: the checkpoint is complete for it. */
static bool poll_task(struct service *service, cairn_task *task)
{
    cairn_event event;
    CRN_TEST_OK(cairn_task_wait(task, WAIT_MS, &event, reterr));
    ck_assert_int_ne(event.type, CAIRN_EVENT_ABORTED);
    service->is_independent |= event.type == CAIRN_EVENT_INDEPENDENT;
    return event.type == CAIRN_EVENT_COMPLETED;
}

static size_t poll_all(struct service *service)
{
    size_t completed = 0;
    for (uint32_t i = 0; i < service->options.parallelism; i++) {
        completed += poll_task(service, service->orders[i].task);
        if (!service->options.without_tallies)
            completed += poll_task(service, service->tallies[i].task);
    }
    if (service->audit != NULL)
        completed += poll_task(service, service->audit);
    return completed;
}

cairn_checkpoint_info service_checkpoint(struct service *service)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    size_t left = service->options.parallelism * (service->options.without_tallies ? 1u : 2u) +
                  (service->audit != NULL);
    CRN_TEST_OK(cairn_job_trigger(service->job, NULL, reterr));
    for (unsigned i = 0; i < PATIENCE && left > 0; i++)
        left -= poll_all(service);
    ck_assert_uint_eq(left, 0);
    /* What comes behind it. */
    (void)poll_all(service);
    ck_assert_int_eq(cairn_job_last_checkpoint(service->job, &info), 1);
    return info;
}

static void take_savepoint(struct service *service, cairn_savepoint_format format,
                           char uri[SERVICE_PATH_MAX])
{
    char target[SERVICE_PATH_MAX];
    cairn_savepoint_handle *handle;
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    cairn_savepoint_info info = CAIRN_SAVEPOINT_INFO_INIT;
    ground_path(service->ground, "savepoints", target);
    options.target_uri = target;
    options.format = format;
    CRN_TEST_OK(cairn_savepoint_begin(service->job, &options, &handle, reterr));
    for (unsigned i = 0; i < PATIENCE && info.phase < CAIRN_SAVEPOINT_COMPLETE; i++) {
        (void)poll_all(service);
        CRN_TEST_OK(cairn_savepoint_status(handle, &info, reterr));
    }
    CRN_TEST_OK(cairn_savepoint_wait(handle, 0, &info, reterr));
    cairn_savepoint_close(handle);
    ck_assert_uint_lt(strlen(info.location), SERVICE_PATH_MAX);
    memcpy(uri, info.location, strlen(info.location) + 1);
}

void service_snapshot(struct service *service, enum snapshot_kind kind, char uri[SERVICE_PATH_MAX])
{
    char name[80];
    if (kind == SNAPSHOT_CHECKPOINT) {
        (void)service_checkpoint(service);
        (void)snprintf(name, sizeof name, "store/%s", service->name);
        ground_path(service->ground, name, uri);
    } else {
        take_savepoint(service, kind == SNAPSHOT_NATIVE ? CAIRN_NATIVE : CAIRN_CANONICAL, uri);
    }
}

void ground_snapshot(struct ground *ground, enum snapshot_kind kind, const char *backend,
                     char uri[SERVICE_PATH_MAX])
{
    struct service service;
    struct service_options options = {.backend = backend};
    CRN_TEST_OK(service_open(ground, &options, &service, reterr));
    service_write(&service, 0, SERVICE_KEYS / 2);
    (void)service_checkpoint(&service);
    service_write(&service, SERVICE_KEYS / 2, SERVICE_KEYS);
    service_snapshot(&service, kind, uri);
    service_close(&service);
}

void service_go_on(struct service *service, int first_new)
{
    struct service again;
    struct ground *ground = service->ground;
    struct service_options options = service->options;
    char name[64];
    (void)snprintf(name, sizeof name, "%s", service->name);
    options.job = name;
    options.restore_uri = NULL;
    options.claim_mode = CAIRN_NO_CLAIM;
    options.allow_non_restored_state = false; /* once is enough */
    service_write(service, SERVICE_KEYS, SERVICE_KEYS + 5);
    (void)service_checkpoint(service);
    service_close(service);
    CRN_TEST_OK(service_open(ground, &options, &again, reterr));
    service_check(&again, first_new, SERVICE_KEYS + 5);
    service_close(&again);
}

/* ---- what is stored ---- */

void stored_snapshot_open(const char *uri, struct stored_snapshot *ret)
{
    *ret = (struct stored_snapshot){0};
    CRN_TEST_OK(cairn_store_open_existing(uri, &ret->store, &ret->name, NULL, reterr));
    ck_assert_ptr_nonnull(ret->name);
    CRN_TEST_OK(cairn_snapshot_open(ret->store, ret->name, 0, &ret->snapshot, reterr));
}

void stored_snapshot_close(struct stored_snapshot *stored)
{
    cairn_snapshot_close(stored->snapshot);
    cairn_store_close(stored->store);
    free(stored->name);
}

char *stored_entries(const char *uri)
{
    struct stored_snapshot stored;
    stored_snapshot_open(uri, &stored);
    char *entries = crn_test_entries(stored.snapshot, NULL);
    stored_snapshot_close(&stored);
    return entries;
}

void stored_verify(const char *uri)
{
    struct stored_snapshot stored;
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    options.full = 1;
    stored_snapshot_open(uri, &stored);
    CRN_TEST_OK(cairn_verify(stored.store, stored.name, &options, &report, reterr));
    ck_assert_uint_ge(report.checkpoints, 1);
    ck_assert_uint_ge(report.bytes_checked, report.bytes_covered);
    stored_snapshot_close(&stored);
}

struct service_options ground_take(struct ground *ground, enum snapshot_kind kind, int backend,
                                   char uri[SERVICE_PATH_MAX])
{
    ground_snapshot(ground, kind, service_backends[backend], uri);
    return (struct service_options){.backend = service_backends[backend], .restore_uri = uri};
}
