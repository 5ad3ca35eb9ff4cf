/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures what it costs to look at a job with many objects: time, and the most memory at a time,
 * for docs/benchmarks.md. Two checkpoints share nine tenths of their tables, and a twentieth of all
 * objects is dead. Each way of looking runs in a process of its own, which opens the store anew;
 * its memory is what it grows by from then on.
 *
 * What is asserted is that each one finds exactly what is there. CAIRN_MEASURE_OBJECTS is how many
 * objects there are (1,000); CAIRN_TEST_S3 the store (a directory).
 */
#include "backends/storage/storage.h"
#include "base/file.h"
#include "base/thread.h"
#include "cairn/inspect.h"
#include "tests/support/stored_job.h"
#include "tests/support/tap.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOB "orders"
#define SUBTASKS 100u
#define THREADS 8u

static char *uri;
static uint64_t live_count, dead_count; /* that should be there */

static uint64_t wanted_objects(void)
{
    const char *text = getenv("CAIRN_MEASURE_OBJECTS");
    uint64_t n = text != NULL ? strtoull(text, NULL, 10) : 1000;
    ck_assert_msg(n >= 1000 && n <= 10000000, "CAIRN_MEASURE_OBJECTS: from 1000 to 10000000");
    return n;
}

static cairn_store *open_store(void)
{
    cairn_store *store = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    ck_assert_msg(cairn_store_open(uri, &store, &error) == 0, "%s", cairn_error_message(error));
    return store;
}

/* --- the job --- */

/* Objects are made in memory first, and brought to the store by several threads. */
struct copying {
    cairn_store *from, *to;
    char **keys;
    size_t count, capacity;
    atomic_size_t next;
};

static int collect_key(void *context, const char *key, const cairn_object_stat *stat)
{
    struct copying *copying = context;
    (void)stat;
    if (copying->count == copying->capacity) {
        copying->capacity = copying->capacity ? 2 * copying->capacity : 1024;
        copying->keys = reallocarray(copying->keys, copying->capacity, sizeof(char *));
        ck_assert_ptr_nonnull(copying->keys);
    }
    copying->keys[copying->count++] = strdup(key);
    return 0;
}

static void *copy_objects(void *context)
{
    struct copying *copying = context;
    for (size_t i; (i = atomic_fetch_add(&copying->next, 1)) < copying->count;) {
        CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
        CRN_AUTO_ERROR cairn_error *error = NULL;
        struct crn_bytes_source source;
        cairn_put_how how;
        const char *key = copying->keys[i];
        ck_assert_int_eq(crn_store_get_bytes(copying->from, key, SIZE_MAX, &bytes, NULL), 0);
        crn_bytes_source_init(&source, bytes.data, bytes.size);
        int r = copying->to->ops->put(copying->to, key, &source.source, &how, &error);
        ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    }
    return NULL;
}

static void copy_all(cairn_store *from, cairn_store *to)
{
    struct copying copying = {.from = from, .to = to};
    pthread_t threads[THREADS];
    ck_assert_int_eq(from->ops->list(from, "", collect_key, &copying, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(crn_thread_start(&threads[i], "copy", copy_objects, &copying, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    for (size_t i = 0; i < copying.count; i++)
        free(copying.keys[i]);
    free(copying.keys);
}

/* `count` new tables, numbered from `first`, evenly over the subtasks. */
static void add_tables(const struct crn_test_job *job, struct crn_record *record, uint64_t first,
                       uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        char text[40];
        (void)snprintf(text, sizeof text, "table %" PRIu64, first + i);
        (void)crn_test_job_table(job, record, &record->operators[0].subtasks[i * SUBTASKS / count],
                                 first + i, text);
    }
}

static uint64_t reuse_tables(struct crn_record *record, const struct crn_record *base)
{
    uint64_t count = 0;
    for (size_t s = 0; s < SUBTASKS; s++) {
        const struct crn_subtask *from = &base->operators[0].subtasks[s];
        for (size_t f = 0; f < from->file_count * 9 / 10; f++, count++)
            (void)crn_test_job_reuse(&record->operators[0].subtasks[s], &from->files[f]);
    }
    return count;
}

static struct crn_record *new_checkpoint(const struct crn_test_job *job)
{
    struct crn_record *record = crn_test_job_record(job, CAIRN_RECORD_CHECKPOINT);
    for (size_t s = 0; s < SUBTASKS; s++)
        crn_test_job_subtask(record, "count")->info.sequence = UINT32_MAX;
    record->info.base_id = job->head != NULL ? job->head->info.id : 0;
    return record;
}

/* Ids 1 and 2 are checkpoints, id 3 was aborted and left its objects behind. */
static void write_job(cairn_store *store)
{
    uint64_t all = wanted_objects(), first = all * 86 / 100;
    cairn_store *memory;
    struct crn_test_job job;
    ck_assert_int_eq(crn_memory_store_open(&memory, NULL), 0);
    crn_test_job_init(&job, memory, JOB);
    struct crn_record *one = new_checkpoint(&job);
    add_tables(&job, one, 1, first);
    job.store = store;
    crn_test_job_commit(&job, one); /* before its objects: nobody looks yet */
    job.store = memory;
    struct crn_record *two = new_checkpoint(&job);
    uint64_t reused = reuse_tables(two, one);
    add_tables(&job, two, first + 1, first - reused);
    live_count = first + (first - reused);
    dead_count = all - live_count;
    for (uint64_t i = 0; i < dead_count; i++) {
        char object[CRN_KEY_MAX];
        crn_key_object(object, true, 1, 3, i, "000001.sst");
        crn_test_job_put(&job, object, "dead", 4);
    }
    job.store = store;
    crn_test_job_commit(&job, two);
    crn_test_job_commit_kind(&job, CAIRN_RECORD_ABORTED);
    copy_all(memory, store);
    crn_test_job_done(&job);
    cairn_store_close(memory);
}

/* --- ways of looking at it --- */

static void look_log(cairn_store *store)
{
    cairn_log *log = NULL;
    ck_assert_int_eq(cairn_log_open(store, JOB, &log, NULL), 0);
    ck_assert_uint_eq(cairn_log_size(log), 3);
    ck_assert_uint_gt(cairn_log_at(log, 1)->exclusive_bytes, 0);
    cairn_log_close(log);
}

static void look_usage(cairn_store *store)
{
    cairn_usage usage = CAIRN_USAGE_INIT;
    ck_assert_int_eq(cairn_job_usage(store, JOB, &usage, NULL), 0);
    ck_assert_uint_eq(usage.live_count, live_count);
    ck_assert_uint_eq(usage.dead_count, dead_count);
    ck_assert_uint_eq(usage.missing_count, 0);
}

static void verify(cairn_store *store, bool full)
{
    cairn_verify_options options = CAIRN_VERIFY_OPTIONS_INIT;
    cairn_verify_report report = CAIRN_VERIFY_REPORT_INIT;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    options.full = full;
    options.threads = THREADS;
    int r = cairn_verify(store, JOB, &options, &report, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    ck_assert_uint_eq(report.objects, live_count + 2); /* and the manifests */
    ck_assert_uint_eq(report.whole, 2);
}

static void look_verify(cairn_store *store)
{
    verify(store, false);
}

static void look_verify_full(cairn_store *store)
{
    verify(store, true);
}

static void collect(cairn_store *store, bool dry_run)
{
    cairn_gc_options options = CAIRN_GC_OPTIONS_INIT;
    cairn_gc_report report = CAIRN_GC_REPORT_INIT;
    options.dry_run = dry_run;
    ck_assert_int_eq(cairn_gc(store, JOB, &options, &report, NULL), 0);
    ck_assert_uint_eq(report.removed_count, dead_count);
}

static void look_gc(cairn_store *store)
{
    collect(store, true);
}

static void run_gc(cairn_store *store)
{
    collect(store, false);
}

/* Last, since it ends the job's objects. */
static const struct way {
    const char *name;
    void (*look)(cairn_store *store);
} ways[] = {
    {"log (cairn ls)", look_log},
    {"usage (cairn du)", look_usage},
    {"verify, names and sizes", look_verify},
    {"verify, every byte", look_verify_full},
    {"gc, nothing removed", look_gc},
    {"gc", run_gc},
};

struct figures {
    double seconds, grown_mib;
};

/* VmRSS or VmHWM of this process, in 2^20 bytes. */
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

static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs("5", file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void look_in_child(const struct way *way, int fd)
{
    cairn_store *store = open_store();
    struct figures figures;
    (void)malloc_trim(0);
    forget_peak();
    double before_mib = memory_of("VmRSS");
    uint64_t start_us = crn_now_us();
    way->look(store);
    figures.seconds = (double)(crn_now_us() - start_us) / 1e6;
    figures.grown_mib = memory_of("VmHWM") - before_mib;
    cairn_store_close(store);
    ck_assert_int_eq(write(fd, &figures, sizeof figures), sizeof figures);
}

static struct figures measure(const struct way *way)
{
    struct figures figures;
    int fds[2], status;
    ck_assert_int_eq(pipe(fds), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        look_in_child(way, fds[1]);
        _exit(EXIT_SUCCESS);
    }
    (void)close(fds[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s failed", way->name);
    ck_assert_int_eq(read(fds[0], &figures, sizeof figures), sizeof figures);
    (void)close(fds[0]);
    return figures;
}

START_TEST(measure_looking)
{
    char dir[] = "/tmp/cairn-measure-XXXXXX";
    const char *s3 = getenv("CAIRN_TEST_S3");
    if (s3 == NULL)
        ck_assert_ptr_nonnull(mkdtemp(dir));
    uri = strdup(s3 != NULL ? s3 : dir);
    cairn_store *store = open_store();
    uint64_t start_us = crn_now_us();
    write_job(store);
    cairn_store_close(store);
    (void)malloc_trim(0);
    printf("# %" PRIu64 " live objects and %" PRIu64 " dead ones in two checkpoints of %u subtasks "
           "%s (made in %.1f s)\n",
           live_count, dead_count, SUBTASKS, s3 != NULL ? "in a bucket" : "in a directory",
           (double)(crn_now_us() - start_us) / 1e6);
    printf("# %-24s %10s %10s %16s\n", "", "seconds", "MiB", "bytes an object");
    for (size_t i = 0; i < CRN_COUNT(ways); i++) {
        struct figures f = measure(&ways[i]);
        printf("# %-24s %10.2f %10.1f %16.0f\n", ways[i].name, f.seconds, f.grown_mib,
               f.grown_mib * 1048576 / (double)(live_count + dead_count));
        (void)fflush(stdout);
    }
    if (s3 == NULL)
        ck_assert_int_eq(crn_file_remove_tree(dir, NULL), 0);
    free(uri);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure_objects");
    TCase *tcase = tcase_create("measure");
    tcase_set_timeout(tcase, 1800);
    tcase_add_test(tcase, measure_looking);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
