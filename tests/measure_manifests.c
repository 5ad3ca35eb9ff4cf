/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures how a manifest grows with its files, for docs/benchmarks.md: its bytes, the time to
 * encode it, to commit it, to read it back, and to plan a restore at another parallelism, and the
 * most memory that each takes. Files are as RocksDB's are: numbered tables of 64 MiB with keys of
 * 19 bytes, over subtasks of a hundred files.
 *
 * What is asserted is that what was read is what was written. CAIRN_MEASURE_FILES is the largest
 * number of files (10,000): all powers of ten from 100 are measured; CAIRN_MEASURE_CSV where the
 * figures go, too; CAIRN_TEST_S3 the store (one in memory).
 */
#include "backends/storage/storage.h"
#include "base/thread.h"
#include "engine/log/joblog.h"
#include "engine/restore/plan.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define FILES_PER_SUBTASK 100u
#define KEY_GROUPS 32768u
#define PLANS 64u /* of tasks that are measured */

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void fill_random(void *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)to)[i] = (uint8_t)next_random();
}

/* --- memory --- */

static double memory_of(const char *field)
{
    char line[256];
    double kib = -1;
    FILE *file = fopen("/proc/self/status", "re");
    ck_assert_ptr_nonnull(file);
    while (kib < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtod(line + strlen(field) + 1, NULL);
    (void)fclose(file);
    ck_assert(kib >= 0);
    return kib / 1024;
}

struct window {
    double start_mib;
    uint64_t start_us;
};

static struct window window_open(void)
{
    (void)malloc_trim(0);
    FILE *file = fopen("/proc/self/clear_refs", "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs("5", file), 0);
    ck_assert_int_eq(fclose(file), 0);
    return (struct window){memory_of("VmRSS"), crn_now_us()};
}

struct cost {
    double ms, mib;
};

static struct cost window_close(const struct window *window)
{
    double ms = (double)(crn_now_us() - window->start_us) / 1e3;
    return (struct cost){ms, memory_of("VmHWM") - window->start_mib};
}

/* --- records --- */

static void set_key(const uint8_t **field, size_t *size, uint32_t group)
{
    uint8_t key[19] = {(uint8_t)(group >> 8), (uint8_t)group, 15};
    fill_random(key + 3, sizeof key - 3);
    ck_assert_int_eq(crn_record_set_bytes(field, size, key, sizeof key), 0);
}

static void add_table(struct crn_record *record, struct crn_subtask *subtask, uint64_t number)
{
    struct crn_file *file = crn_subtask_add_file(subtask);
    char name[32], object[CRN_KEY_MAX];
    ck_assert_ptr_nonnull(file);
    (void)snprintf(name, sizeof name, "%06" PRIu64 ".sst", subtask->file_count + 10);
    crn_key_object(object, true, record->info.epoch, record->info.id, number, name);
    ck_assert_int_eq(crn_record_set_text(&file->info.name, name), 0);
    ck_assert_int_eq(crn_record_set_text(&file->info.object, object), 0);
    file->info.role = CAIRN_FILE_TABLE;
    file->info.size = (UINT64_C(64) << 20) + next_random() % (UINT64_C(4) << 20);
    file->info.has_xxh3 = file->info.has_crc32c = 1;
    fill_random(file->info.xxh3, sizeof file->info.xxh3);
    file->info.crc32c = (uint32_t)next_random();
    file->info.checkpoint_id = record->info.id;
    file->info.epoch = record->info.epoch;
    file->info.number = subtask->file_count + 10;
    file->info.level = 1 + (uint32_t)(next_random() % 5);
    file->info.sequence_first = next_random() % 1000000000;
    file->info.sequence_last = file->info.sequence_first + next_random() % 1000000;
    set_key(&file->info.smallest, &file->info.smallest_size, subtask->info.key_group_first);
    set_key(&file->info.largest, &file->info.largest_size, subtask->info.key_group_last);
}

static struct crn_record *make_record(const struct crn_test_job *job, uint64_t files)
{
    struct crn_record *record = crn_test_job_record(job, CAIRN_RECORD_CHECKPOINT);
    uint32_t subtasks = (uint32_t)(files / FILES_PER_SUBTASK);
    record->info.base_id = 0;
    for (uint32_t s = 0; s < subtasks; s++) {
        struct crn_subtask *subtask = NULL;
        if (s == 0) {
            subtask = crn_test_job_subtask(record, "count");
            record->operators[0].info.max_parallelism = KEY_GROUPS;
            record->operators[0].info.parallelism = subtasks;
        } else {
            subtask = crn_operator_add_subtask(&record->operators[0]);
            ck_assert_ptr_nonnull(subtask);
            ck_assert_int_eq(crn_record_set_text(&subtask->info.backend, "rocksdb"), 0);
        }
        subtask->info.index = s;
        subtask->info.sequence = UINT64_C(1) << 40;
        fill_random(subtask->info.generation, sizeof subtask->info.generation);
        subtask->info.key_group_first = (s * KEY_GROUPS + subtasks - 1) / subtasks;
        subtask->info.key_group_last = ((s + 1) * KEY_GROUPS - 1) / subtasks;
        for (uint32_t f = 0; f < FILES_PER_SUBTASK; f++)
            add_table(record, subtask, (uint64_t)s * FILES_PER_SUBTASK + f);
    }
    crn_record_finish(record);
    return record;
}

/* --- what is measured --- */

enum { ENCODE, COMMIT, READ, PLAN, STEPS };

static struct cost measure_encode(const struct crn_record *record, size_t *ret_bytes)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    struct window window = window_open();
    ck_assert_int_eq(crn_record_encode(record, &bytes, NULL), 0);
    *ret_bytes = bytes.size;
    return window_close(&window);
}

static struct cost measure_commit(struct crn_test_job *job, const struct crn_record *record)
{
    struct crn_record *found = NULL;
    struct window window = window_open();
    ck_assert_int_eq(crn_joblog_commit(job->store, record, &job->head_hash, &found, NULL), 0);
    return window_close(&window);
}

static struct cost measure_read(const struct crn_test_job *job, const struct crn_record *written,
                                struct crn_record **ret)
{
    struct window window = window_open();
    ck_assert_int_eq(
        crn_joblog_read_record(job->store, job->name, written->info.id, ret, NULL, NULL, NULL), 0);
    struct cost cost = window_close(&window);
    ck_assert_uint_eq((*ret)->info.file_count, written->info.file_count);
    ck_assert_uint_eq((*ret)->info.full_bytes, written->info.full_bytes);
    return cost;
}

/* Of a task at twice the parallelism, on average of some. */
static struct cost measure_plan(const struct crn_record *record)
{
    const struct crn_operator *op = &record->operators[0];
    uint32_t parallelism = op->info.parallelism * 2, step = (parallelism + PLANS - 1) / PLANS;
    uint32_t count = 0;
    struct window window = window_open();
    for (uint32_t s = 0; s < parallelism; s += step, count++) {
        struct crn_restore_plan plan = {0};
        uint32_t first = (s * KEY_GROUPS + parallelism - 1) / parallelism;
        uint32_t last = ((s + 1) * KEY_GROUPS - 1) / parallelism;
        ck_assert_int_eq(crn_restore_plan_make(op, "rocksdb", first, last, &plan, NULL), 0);
        ck_assert_uint_ge(plan.count, 1);
        crn_restore_plan_done(&plan);
    }
    struct cost cost = window_close(&window);
    cost.ms /= count;
    return cost;
}

static void measure(struct crn_test_job *job, uint64_t files, FILE *csv)
{
    struct cost costs[STEPS];
    size_t bytes = 0;
    struct crn_record *read = NULL;
    struct crn_record *record = make_record(job, files);
    costs[ENCODE] = measure_encode(record, &bytes);
    costs[COMMIT] = measure_commit(job, record);
    costs[READ] = measure_read(job, record, &read);
    costs[PLAN] = measure_plan(read);
    crn_record_free(read);
    crn_record_free(job->head);
    job->head = record;
    printf("# %9" PRIu64 " %10zu %8.1f", files, bytes, (double)bytes / (double)files);
    for (size_t i = 0; i < STEPS; i++)
        printf(" %9.2f %8.1f", costs[i].ms, costs[i].mib);
    printf("\n");
    if (csv == NULL)
        return;
    (void)fprintf(csv, "%" PRIu64 ",%zu", files, bytes);
    for (size_t i = 0; i < STEPS; i++)
        (void)fprintf(csv, ",%.3f,%.3f", costs[i].ms, costs[i].mib);
    (void)fprintf(csv, "\n");
}

START_TEST(measure_manifests)
{
    const char *uri = getenv("CAIRN_TEST_S3"), *most = getenv("CAIRN_MEASURE_FILES");
    const char *path = getenv("CAIRN_MEASURE_CSV");
    FILE *csv = path != NULL ? fopen(path, "we") : NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_test_job job;
    cairn_store *store;
    uint64_t last = most != NULL ? strtoull(most, NULL, 10) : 10000;
    ck_assert(path == NULL || csv != NULL);
    ck_assert_msg(cairn_store_open(uri != NULL ? uri : "memory:", &store, &error) == 0, "%s",
                  cairn_error_message(error));
    crn_test_job_init(&job, store, "manifests");
    printf("# %9s %10s %8s %18s %18s %18s %18s\n", "files", "bytes", "a file", "encode ms, MiB",
           "commit ms, MiB", "read ms, MiB", "plan ms a task");
    if (csv != NULL)
        (void)fprintf(csv, "files,bytes,encode_ms,encode_mib,commit_ms,commit_mib,read_ms,read_mib,"
                           "plan_ms,plan_mib\n");
    for (uint64_t files = FILES_PER_SUBTASK; files <= last; files *= 10)
        measure(&job, files, csv);
    if (csv != NULL)
        ck_assert_int_eq(fclose(csv), 0);
    crn_test_job_done(&job);
    cairn_store_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_manifests");
    TCase *tcase = tcase_create("measure");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, measure_manifests);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
