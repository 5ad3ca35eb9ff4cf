/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files that are sent together (P4, P8, P6), by a job with an oracle beside it. Proves that
 * every checkpoint's new small tables are one object per subtask, that no more requests are spent
 * than objects are new and three for each subtask, that a pack is given up when less than half of
 * it is in use, and that the state comes back whatever was referenced, sent again or restarted.
 * Then what looks at stored files: a flipped bit is blamed on the file and the object, a wrong size
 * is found once per pack, explain and diff tell slices apart, collection leaves what is live.
 * Snapshots with packs are taken over by copies of whole packs, or through this machine where the
 * store has no copies.
 */
#include "tests/support/claim_kit.h"

#include "backends/storage/storage.h"
#include "engine/log/joblog.h"

#include <stdio.h>
#include <string.h>

static void setup(void)
{
    fixture_init(&f, false);
    oracle_init(&oracle);
    seed = 77;
}

static void setup_disk(void)
{
    fixture_init(&f, true);
    oracle_init(&oracle);
    seed = 78;
}

static void teardown(void)
{
    fixture_done(&f);
}

static struct crn_record *read_record(const char *job, uint64_t id)
{
    struct crn_record *record = NULL;
    ck_ok(crn_joblog_read_record(f.store, job, id, &record, NULL, NULL, reterr));
    return record;
}

static uint64_t checkpoint(struct subject *s, unsigned changes, bool full)
{
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    oracle_mutate(&oracle, s, &seed, changes);
    ck_ok(subject_checkpoint(s, full, &info, reterr));
    return info.id;
}

/* ------------------------------------------------------------------------------------------ *
 * The shape of checkpoints
 * ------------------------------------------------------------------------------------------ */

struct seen {
    uint64_t packs, slices, given_up, new_objects;
};

static bool is_in(const struct crn_subtask *subtask, size_t end, const char *object)
{
    for (size_t i = 0; i < end; i++)
        if (subtask->files[i].info.object != NULL &&
            strcmp(subtask->files[i].info.object, object) == 0)
            return true;
    return false;
}

static uint64_t used_of(const struct crn_subtask *subtask, const char *object)
{
    uint64_t used = 0;
    for (size_t i = 0; i < subtask->file_count; i++)
        if (subtask->files[i].info.object != NULL &&
            strcmp(subtask->files[i].info.object, object) == 0)
            used += subtask->files[i].info.size;
    return used;
}

/* One object for the new tables, and one for the other new files; of packs at least half is used.
 */
static void check_objects(const struct crn_subtask *subtask, uint64_t id, struct seen *seen)
{
    unsigned of_tables = 0, of_others = 0;
    for (size_t i = 0; i < subtask->file_count; i++) {
        const struct crn_file *file = &subtask->files[i];
        if (file->info.object == NULL || is_in(subtask, i, file->info.object))
            continue;
        bool is_new = file->info.checkpoint_id == id;
        *(file->info.role == CAIRN_FILE_TABLE ? &of_tables : &of_others) += is_new;
        seen->new_objects += is_new;
        if (!crn_file_is_slice(file))
            continue;
        uint64_t used = used_of(subtask, file->info.object);
        ck_assert_uint_ge(2 * used, file->info.object_size);
        ck_assert(!is_new || used == file->info.object_size);
        seen->packs += is_new;
    }
    ck_assert_uint_le(of_tables, 1);
    ck_assert_uint_le(of_others, 1);
}

static const struct crn_file *find_table(const struct crn_subtask *subtask, uint64_t number)
{
    for (size_t i = 0; i < subtask->file_count; i++)
        if (subtask->files[i].info.role == CAIRN_FILE_TABLE &&
            subtask->files[i].info.number == number)
            return &subtask->files[i];
    return NULL;
}

/* A table that the checkpoint before has as well is where it was, unless that is a pack of which
 * too little is left. */
static void check_known(const struct crn_subtask *before, const struct crn_subtask *now,
                        struct seen *seen)
{
    for (size_t i = 0; i < now->file_count; i++) {
        const struct crn_file *file = &now->files[i];
        const struct crn_file *known =
            file->info.role == CAIRN_FILE_TABLE ? find_table(before, file->info.number) : NULL;
        if (known == NULL)
            continue;
        seen->slices += crn_file_is_slice(known);
        if (strcmp(known->info.object, file->info.object) == 0) {
            ck_assert_uint_eq(known->info.object_offset, file->info.object_offset);
            continue;
        }
        ck_assert(crn_file_is_slice(known));
        ck_assert_uint_eq(used_of(now, known->info.object), 0);
        uint64_t still = 0;
        for (size_t k = 0; k < now->file_count; k++) {
            const struct crn_file *other = now->files[k].info.role == CAIRN_FILE_TABLE
                                               ? find_table(before, now->files[k].info.number)
                                               : NULL;
            if (other != NULL && strcmp(other->info.object, known->info.object) == 0)
                still += other->info.size;
        }
        ck_assert_uint_lt(2 * still, known->info.object_size);
        seen->given_up++;
    }
}

/* All that a checkpoint asks of the store, its record and what goes with it included; one in a row
 * of them, since removals come after the waiter was told. */
START_TEST(a_checkpoint_takes_few_requests)
{
    struct subject s;
    uint64_t objects = 0;
    f.options.num_retained = 1;
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (int i = 0; i < 3; i++)
        (void)checkpoint(&s, 20, false);
    fixture_disarm(&f, CRN_FAULT_ANY & ~(unsigned)CRN_FAULT_FLUSH); /* which sends nothing */
    for (int i = 0; i < 10; i++) {
        CRN_AUTO_RECORD struct crn_record *record = read_record("job", checkpoint(&s, 20, false));
        struct seen seen = {0};
        for (size_t o = 0; o < record->operator_count; o++)
            for (size_t k = 0; k < record->operators[o].subtask_count; k++)
                check_objects(&record->operators[o].subtasks[k], record->info.id, &seen);
        objects += seen.new_objects;
    }
    uint64_t calls = crn_fault_store_calls(f.store) - 10; /* read_record() */
    subject_close(&s);
    printf("# %u calls for %u new objects in 10 checkpoints\n", (unsigned)calls, (unsigned)objects);
    ck_assert_uint_le(calls, objects + UINT64_C(10) * (3 + 2)); /* commit, removal */
    ck_assert_uint_le(objects, UINT64_C(10) * SUBJECT_TASKS * 2);
}
END_TEST

/* previous NULL: nothing was built on it. */
static void check_shape(const struct crn_record *record, const struct crn_record *previous,
                        struct seen *seen)
{
    uint64_t objects = seen->new_objects;
    size_t subtasks = 0;
    for (size_t o = 0; o < record->operator_count; o++)
        for (size_t s = 0; s < record->operators[o].subtask_count; s++, subtasks++) {
            const struct crn_subtask *subtask = &record->operators[o].subtasks[s];
            check_objects(subtask, record->info.id, seen);
            if (previous != NULL)
                check_known(&previous->operators[o].subtasks[s], subtask, seen);
        }
    objects = seen->new_objects - objects;
    ck_assert_uint_ge(record->info.requests, objects);
    ck_assert_uint_le(record->info.requests, objects + 3 * subtasks);
    ck_assert_uint_ge(record->info.sent_bytes, record->info.new_bytes / 2);
}

static void follow_oracle(unsigned rounds, struct seen *seen)
{
    struct subject s;
    struct crn_record *previous = NULL;
    f.options.num_retained = 3;
    f.options.inline_threshold_bytes = 1; /* so that files that are no tables are packed, too */
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (unsigned i = 0; i < rounds; i++) {
        if (i % 7 == 6) {
            subject_close(&s);
            store_check_tidy(f.store, "job");
            ck_ok(subject_open(&f, "job", &s, reterr));
            check_state(&s);
        }
        bool full = i % 10 == 9;
        uint64_t id = checkpoint(&s, 12, full);
        struct crn_record *record = read_record("job", id);
        check_shape(record, full ? NULL : previous, seen);
        crn_record_free(previous);
        previous = record;
    }
    crn_record_free(previous);
    subject_close(&s);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}

START_TEST(a_job_with_packs_keeps_its_state)
{
    struct seen seen = {0};
    follow_oracle(40, &seen);
    ck_assert_uint_gt(seen.packs, 40);
    ck_assert_uint_gt(seen.slices, 100);
    ck_assert_uint_gt(seen.given_up, 5);
}
END_TEST

/* A directory behind a decorator is not known to link. What is in requests is not counted there. */
START_TEST(so_does_one_over_rocksdb)
{
    struct subject s;
    struct seen seen = {0};
    struct crn_record *previous = NULL;
    f.options.inline_threshold_bytes = 1;
    ck_ok(subject_open(&f, "job", &s, reterr));
    for (unsigned i = 0; i < 12; i++) {
        struct crn_record *record = read_record("job", checkpoint(&s, 20, false));
        ck_assert_uint_eq(record->info.requests, 0);
        for (size_t k = 0; k < record->operators[1].subtask_count; k++) {
            check_objects(&record->operators[1].subtasks[k], record->info.id, &seen);
            if (previous != NULL)
                check_known(&previous->operators[1].subtasks[k], &record->operators[1].subtasks[k],
                            &seen);
        }
        crn_record_free(previous);
        previous = record;
    }
    crn_record_free(previous);
    subject_close(&s);
    ck_assert_uint_gt(seen.packs, 12);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}
END_TEST

/* Files that are no smaller than the limit, or nothing at all. */
START_TEST(packing_can_be_switched_off)
{
    struct subject s;
    f.options.pack_below_bytes = _i == 0 ? 1 : 2;
    ck_ok(subject_open(&f, "job", &s, reterr));
    CRN_AUTO_RECORD struct crn_record *record = read_record("job", checkpoint(&s, 40, false));
    for (size_t o = 0; o < record->operator_count; o++)
        for (size_t i = 0; i < record->operators[o].subtasks[0].file_count; i++)
            ck_assert(!crn_file_is_slice(&record->operators[o].subtasks[0].files[i]));
    subject_close(&s);
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Who looks at them
 * ------------------------------------------------------------------------------------------ */

/* A slice of the record that is not the first in its pack; NULL: there is none. */
static const struct crn_file *find_slice(const struct crn_record *record)
{
    for (size_t o = 0; o < record->operator_count; o++)
        for (size_t s = 0; s < record->operators[o].subtask_count; s++) {
            const struct crn_subtask *subtask = &record->operators[o].subtasks[s];
            for (size_t i = 0; i < subtask->file_count; i++)
                if (subtask->files[i].info.object_offset > 0)
                    return &subtask->files[i];
        }
    return NULL;
}

/* Puts the object anew, `size` bytes of it, with a bit turned over at `offset`. */
static void spoil(const char *key, uint64_t offset, uint64_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    struct crn_bytes_source source;
    ck_ok(crn_store_get_bytes(f.store, key, SIZE_MAX, &bytes, reterr));
    bytes.data[offset] ^= 4;
    store_remove(f.store, key);
    crn_bytes_source_init(&source, bytes.data, size < bytes.size ? size : bytes.size);
    ck_ok(f.store->ops->put(f.store, key, &source.source, NULL, reterr));
}

struct problems {
    unsigned count;
    char object[256], message[1024];
};

static void note_problem(void *context, uint64_t id, const cairn_error *error)
{
    struct problems *problems = context;
    (void)id;
    problems->count++;
    (void)snprintf(problems->object, sizeof problems->object, "%s", cairn_error_object(error));
    (void)snprintf(problems->message, sizeof problems->message, "%s", cairn_error_message(error));
}

static int verify(bool full, struct problems *problems, cairn_verify_report *report)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    *problems = (struct problems){0};
    *report = (cairn_verify_report)CAIRN_VERIFY_REPORT_INIT;
    options.full = full;
    options.problem = note_problem;
    options.context = problems;
    return cairn_verify(f.store, "job", &options, report, NULL);
}

/* A job with two retained checkpoints that share packs; *ret_record: the newest. */
static void make_job(struct crn_record **ret_record)
{
    struct subject s;
    f.options.num_retained = 2;
    f.options.inline_threshold_bytes = 1;
    ck_ok(subject_open(&f, "job", &s, reterr));
    (void)checkpoint(&s, 40, false);
    *ret_record = read_record("job", checkpoint(&s, 3, false));
    subject_close(&s);
}

START_TEST(damage_names_the_file_and_the_object)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    CRN_AUTO_FREE char *key = NULL;
    struct problems problems;
    cairn_verify_report report;
    make_job(&record);
    const cairn_file_info *info = &find_slice(record)->info;
    ck_ok(crn_joblog_key("job", info->object, &key, reterr));
    ck_assert_int_eq(verify(true, &problems, &report), 0);

    spoil(key, info->object_offset + info->size / 2, UINT64_MAX);
    ck_assert_int_eq(verify(false, &problems, &report), 0); /* the size is right */
    ck_assert_int_eq(verify(true, &problems, &report), CAIRN_ECORRUPT);
    ck_assert_uint_eq(problems.count, 1); /* of all the files in it */
    ck_assert_str_eq(problems.object, key);
    ck_assert_ptr_nonnull(strstr(problems.message, info->name));
    struct subject s;
    ck_fails(subject_open(&f, "job", &s, reterr), CAIRN_ECORRUPT, info->name);
}
END_TEST

START_TEST(a_pack_of_another_size_is_one_problem)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    CRN_AUTO_FREE char *key = NULL;
    struct problems problems;
    cairn_verify_report report, shallow;
    cairn_usage usage = CAIRN_USAGE_INIT;
    make_job(&record);
    const cairn_file_info *info = &find_slice(record)->info;
    ck_ok(crn_joblog_key("job", info->object, &key, reterr));
    ck_ok(cairn_job_usage(f.store, "job", &usage, reterr));
    ck_assert_int_eq(verify(true, &problems, &report), 0);
    ck_assert_int_eq(verify(false, &problems, &shallow), 0);
    ck_assert_uint_eq(report.objects, 2 + usage.live_count); /* each pack once */
    ck_assert_uint_eq(shallow.objects, report.objects);
    ck_assert_uint_eq(shallow.bytes_covered, usage.live_bytes + usage.manifest_bytes);

    spoil(key, 0, info->object_size - 1);
    ck_assert_int_eq(verify(false, &problems, &report), CAIRN_ECORRUPT);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_str_eq(problems.object, key);
    store_remove(f.store, key);
    ck_assert_int_eq(verify(false, &problems, &report), CAIRN_EMISSING);
    ck_assert_uint_eq(problems.count, 1);
}
END_TEST

START_TEST(explain_and_diff_know_slices)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    cairn_explanation *explanation = NULL;
    make_job(&record);
    const cairn_file_info *info = &find_slice(record)->info;
    ck_ok(cairn_explain(f.store, "job", info->object, &explanation, reterr));
    const cairn_explanation_info *told = cairn_explanation_get(explanation);
    ck_assert_uint_eq(told->size, info->object_size);
    ck_assert_str_eq(told->problem, "");
    ck_assert_uint_ge(told->slice_count, 2);
    ck_assert_uint_le(told->slice_bytes, info->object_size);
    ck_assert_uint_ge(2 * told->slice_bytes, info->object_size);
    cairn_explanation_close(explanation);

    cairn_snapshot *first = NULL, *second = NULL;
    cairn_diff *diff = NULL;
    ck_ok(cairn_snapshot_open(f.store, "job", record->info.id - 1, &first, reterr));
    ck_ok(cairn_snapshot_open(f.store, "job", record->info.id, &second, reterr));
    ck_ok(cairn_diff_open(first, second, &diff, reterr));
    uint64_t both = 0, added = 0;
    for (size_t i = 0; i < cairn_diff_size(diff); i++) {
        const cairn_diff_entry *entry = cairn_diff_at(diff, i);
        both += entry->change == 0 && entry->file->object_size > 0;
        added += entry->change > 0;
    }
    ck_assert_uint_gt(both, 1);
    ck_assert_uint_eq(added, record->info.new_file_count);
    cairn_diff_close(diff);
    cairn_snapshot_close(first);
    cairn_snapshot_close(second);
}
END_TEST

START_TEST(collection_leaves_packs_that_are_live)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    cairn_usage usage = CAIRN_USAGE_INIT;
    make_job(&record);
    store_put_text(f.store, "job/shared/e1-c2-900.pack", "left by a crash");
    ck_ok(cairn_job_usage(f.store, "job", &usage, reterr));
    ck_assert_uint_eq(usage.dead_count, 1);
    ck_ok(cairn_gc(f.store, "job", NULL, &report, reterr));
    ck_assert_uint_eq(report.removed_count, 1);
    store_check_tidy(f.store, "job");
    oracle_check_store(&oracle, &f, f.store, "job");
}
END_TEST

/* ------------------------------------------------------------------------------------------ *
 * Taking over
 * ------------------------------------------------------------------------------------------ */

/* The store copies each object once, packs whole. */
START_TEST(a_snapshot_with_packs_is_taken_over)
{
    static const cairn_claim_mode modes[] = {CAIRN_NO_CLAIM, CAIRN_CLAIM, CAIRN_LEGACY};
    struct subject s;
    struct crn_record *source = NULL;
    make_job(&source);
    const char **objects = NULL;
    size_t count = 0;
    const struct crn_record *const one = source;
    ck_assert_int_eq(crn_log_live_objects(&one, 1, &objects, &count), 0);
    free(objects);
    f.options.pack_below_bytes = 0;
    start_from("job", modes[_i]);
    fixture_disarm(&f, CRN_FAULT_COPY);
    ck_ok(subject_open(&f, "new", &s, reterr));
    check_state(&s);
    if (modes[_i] != CAIRN_NO_CLAIM)
        ck_assert_uint_eq(crn_fault_store_calls(f.store), count);
    (void)go_on(&s, "new");
    subject_close(&s);
    store_check_tidy(f.store, "new");
    crn_record_free(source);
}
END_TEST

/* From a store in memory into a directory nothing can be copied: packs come through this machine,
 * and their slices are verified on the way (P8). */
START_TEST(packs_are_streamed_between_stores)
{
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    CRN_AUTO_FREE char *directory = fixture_dir(&f, "other");
    CRN_AUTO_FREE char *key = NULL;
    cairn_store *other = NULL, *source = f.store;
    struct subject s;
    make_job(&record);
    ck_ok(crn_posix_store_open(directory, CRN_TRANSFER_COPY, true, &other, reterr));
    start_from("job", CAIRN_LEGACY);
    if (_i == 1) {
        const cairn_file_info *info = &find_slice(record)->info;
        ck_ok(crn_joblog_key("job", info->object, &key, reterr));
        spoil(key, info->object_offset, UINT64_MAX);
    }
    f.options.store = other;
    if (_i == 1) {
        ck_fails(subject_open(&f, "new", &s, reterr), CAIRN_ECORRUPT, key);
    } else {
        ck_ok(subject_open(&f, "new", &s, reterr));
        check_state(&s);
        subject_close(&s);
        store_check_tidy(other, "new");
    }
    f.options.store = source;
    cairn_store_close(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("packs");
    TCase *tcase = tcase_create("memory");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_job_with_packs_keeps_its_state);
    tcase_add_test(tcase, a_checkpoint_takes_few_requests);
    tcase_add_loop_test(tcase, packing_can_be_switched_off, 0, 2);
    tcase_add_test(tcase, damage_names_the_file_and_the_object);
    tcase_add_test(tcase, a_pack_of_another_size_is_one_problem);
    tcase_add_test(tcase, explain_and_diff_know_slices);
    tcase_add_test(tcase, collection_leaves_packs_that_are_live);
    tcase_add_loop_test(tcase, a_snapshot_with_packs_is_taken_over, 0, 3);
    tcase_add_loop_test(tcase, packs_are_streamed_between_stores, 0, 2);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("disk");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup_disk, teardown);
    tcase_add_test(tcase, so_does_one_over_rocksdb);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
