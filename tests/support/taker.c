/* SPDX-License-Identifier: Apache-2.0 */
/* A job that takes savepoints; see taker.h. */
#include "tests/support/taker.h"

#include "backends/storage/storage.h"
#include "cairn/inspect.h"

#include <string.h>

void taker_init(struct taker *t, enum kind kind)
{
    cairn_store *inner = NULL;
    memset(t, 0, sizeof *t);
    fixture_init(&t->f, kind != FAKE);
    if (kind == HEAP)
        t->f.backend = crn_heap_backend;
    if (kind != FAKE) {
        t->target_dir = fixture_dir(&t->f, "savepoints");
        ck_ok(crn_posix_store_open(t->target_dir, CRN_TRANSFER_AUTO, true, &inner, reterr));
    } else {
        ck_ok(crn_memory_store_open(&inner, reterr));
    }
    ck_ok(crn_fault_store_open(inner, &t->target, reterr));
    t->random = 7;
    oracle_init(&t->oracle);
    ck_ok(subject_open(&t->f, "job", &t->s, reterr));
}

void taker_done(struct taker *t)
{
    if (t->s.job != NULL)
        subject_close(&t->s);
    cairn_store_close(t->target);
    free(t->target_dir);
    fixture_done(&t->f);
}

void mutate(struct taker *t)
{
    oracle_mutate(&t->oracle, &t->s, &t->random, 40);
}

cairn_savepoint_options options_for(cairn_store *target, cairn_savepoint_format format)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    options.target_store = target;
    options.format = format;
    return options;
}

int take(struct taker *t, const cairn_savepoint_options *options, cairn_savepoint_info *ret,
         cairn_error **reterr)
{
    struct pump pump = {0};
    pump_start(&pump, &t->s.tasks[1], SUBJECT_TASKS - 1);
    int r = cairn_task_savepoint(t->s.tasks[0], options, ret, reterr);
    pump_stop(&pump);
    return r;
}

void checkpoint(struct taker *t)
{
    ck_ok(subject_checkpoint(&t->s, false, NULL, reterr));
}

char *name_of(uint64_t id)
{
    char *name = NULL;
    ck_ok(crn_str_printf(&name, reterr, "savepoint-job-%llu", (unsigned long long)id));
    return name;
}

void expect_state(struct taker *t, cairn_store *store, uint64_t id, const struct oracle *oracle)
{
    struct fixture other = t->f;
    struct subject s;
    CRN_AUTO_FREE char *name = name_of(id);
    CRN_AUTO_FREE char *local_dir = fixture_dir(&t->f, "reader");
    cairn_store *memory = NULL;
    ck_ok(crn_memory_store_open(&memory, reterr));
    ck_ok(crn_fault_store_open(memory, &other.store, reterr));
    other.options.store = other.store;
    other.options.local_dir = local_dir;
    other.options.restore_store = store;
    other.options.restore_name = name;
    ck_ok(subject_open(&other, "reader", &s, reterr));
    const char *difference = oracle_compare(oracle, &s);
    ck_assert_msg(difference == NULL, "savepoint %llu: %s", (unsigned long long)id, difference);
    subject_close(&s);
    cairn_store_close(other.store);
}

void expect_whole(cairn_store *store, uint64_t id)
{
    CRN_AUTO_FREE char *name = name_of(id);
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    options.full = 1;
    ck_ok(cairn_verify(store, name, &options, &report, reterr));
    ck_assert_uint_eq(report.whole, 1);
    store_check_tidy(store, name);
}
