/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process of a job of several, which is made to die: the child of test_cluster_crash.c.
 *
 *     cluster_child DIR SEED ROUNDS coordinator|worker|alone INDEX WORKERS STORE LOCAL
 * [OPTION=VALUE]...
 *
 * Options: interval, poll, heartbeat, timeout, join (all in ms), pace (microseconds between
 * records), finish (1: a task whose keys are all at ROUNDS finishes).
 *
 * Every process appends to DIR/journal, one write() a line:
 *
 *     opened PID ROLE INDEX EPOCH
 *     restored EPOCH INDEX WORKERS ID SUM TOTAL  by each worker: what it has, and what all of that
 * checkpoint had barrier ID EPOCH INDEX SUM                 right before a barrier is taken
 *     complete ID EPOCH INDEX                    when Cairn said so to a worker; INDEX -1: to the
 * coordinator did COMMAND CODE                           the coordinator, of a word that it found
 * in DIR/command
 *
 * While DIR/outage-ROLE-INDEX, or DIR/outage, is there, this process' store answers nothing.
 */
#include "tests/support/cluster_child.h"

#include "backends/storage/fault.h"
#include "base/thread.h"
#include "cairn/cairn.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct child {
    const char *directory, *role, *store_uri, *local_dir;
    uint64_t seed, rounds, interval_ms, poll_ms, heartbeat_ms, timeout_ms, join_ms, pace_us, finish;
    uint32_t index, workers;
    int journal;
    cairn_store *store;
    cairn_job *job;
    /* The task: */
    cairn_task *task;
    cairn_value *count;
    cairn_operator_list *sums; /* each subtask's: index, workers, sum */
    cairn_file_sink *lines;
    int64_t sum; /* of the counts of this subtask's keys */
    bool is_finished;
    atomic_bool is_over;
};

static int tell(const char *what, int r, cairn_error *error)
{
    fprintf(stderr, "%d: %s: %s: %s (object '%s')\n", (int)getpid(), what, cairn_error_name(r),
            cairn_error_message(error), cairn_error_object(error));
    cairn_error_free(error);
    switch (r) {
    case CAIRN_EFENCED:
        return CRASH_CHILD_FENCED;
    case CAIRN_EFAILED:
        return CRASH_CHILD_FAILED;
    case CAIRN_ETIMEOUT:
        return CLUSTER_CHILD_TIMEOUT;
    case CAIRN_EEXIST:
        return CLUSTER_CHILD_TWICE;
    case CAIRN_ECANCELED:
        return CRASH_CHILD_DONE;
    default:
        return CLUSTER_CHILD_ERROR;
    }
}

static void print_log(void *context, const cairn_log_line *line)
{
    const struct child *c = context;
    fprintf(stderr, "%d %s %u: %s: %s\n", (int)getpid(), c->role, (unsigned)c->index,
            line->component, line->message);
}

__attribute__((format(printf, 2, 3))) static void journal(struct child *c, const char *format, ...)
{
    char line[300];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (write(c->journal, line, (size_t)n) != n)
        abort();
}

/* ------------------------------------------------------------------------------------------ *
 * The store, and its outages
 * ------------------------------------------------------------------------------------------ */

static bool is_there(const struct child *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool is_there(const struct child *c, const char *format, ...)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/", c->directory);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(path + n, sizeof path - (size_t)n, format, args);
    va_end(args);
    return access(path, F_OK) == 0;
}

static void *mind_outages(void *argument)
{
    struct child *c = argument;
    struct crn_fault_plan plan = {.ops = CRN_FAULT_ANY,
                                  .mode = CRN_FAULT_NEVER,
                                  .at = 1,
                                  .and_after = true,
                                  .code = CAIRN_EUNAVAIL};
    while (!atomic_load(&c->is_over)) {
        const bool is_out =
            is_there(c, "outage") || is_there(c, "outage-%s-%u", c->role, (unsigned)c->index);
        if (is_out != (plan.mode == CRN_FAULT_BEFORE)) {
            plan.mode = is_out ? CRN_FAULT_BEFORE : CRN_FAULT_NEVER;
            crn_fault_store_arm(c->store, &plan);
        }
        crn_sleep_us(5000);
    }
    return NULL;
}

static int open_store(struct child *c, cairn_error **reterr)
{
    cairn_store *inner;
    int r = cairn_store_open(c->store_uri, &inner, reterr);
    return r < 0 ? r : crn_fault_store_open(inner, &c->store, reterr);
}

/* ------------------------------------------------------------------------------------------ *
 * The task
 * ------------------------------------------------------------------------------------------ */

static bool owns(const struct child *c, int64_t key)
{
    uint8_t bytes[8];
    cairn_encode_int64(key, bytes);
    return cairn_subtask_of_key(bytes, sizeof bytes, c->workers, 128) == (int)c->index;
}

static int store_sum(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct child *c = context;
    uint8_t element[24];
    (void)task;
    cairn_encode_int64(c->index, element);
    cairn_encode_int64(c->workers, element + 8);
    cairn_encode_int64(c->sum, element + 16);
    journal(c, "barrier %" PRIu64 " %" PRIu64 " %u %" PRId64 "\n", checkpoint_id,
            cairn_job_epoch(c->job), (unsigned)c->index, c->sum);
    int r = cairn_operator_list_clear(c->sums, NULL);
    return r < 0 ? r : cairn_operator_list_add(c->sums, element, sizeof element, NULL);
}

static int open_task(struct child *c, cairn_error **reterr)
{
    char output[PATH_MAX];
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_file_sink_options sink = CAIRN_FILE_SINK_OPTIONS_INIT;
    options.parallelism = c->workers;
    options.subtask = c->index;
    options.max_parallelism = 128;
    options.key_type = CAIRN_INT64;
    options.before_barrier = store_sum;
    options.context = c;
    (void)snprintf(output, sizeof output, "%s/output", c->directory);
    sink.directory = output;
    int r = cairn_task_open(c->job, "count", &options, &c->task, reterr);
    if (r == 0)
        r = cairn_value_state(c->task, "count", CAIRN_INT64, NULL, &c->count, reterr);
    if (r == 0)
        r = cairn_operator_list_state(c->task, "sums", CAIRN_UNION, CAIRN_BYTES, &c->sums, reterr);
    if (r == 0)
        r = cairn_file_sink_open(c->task, "lines", &sink, &c->lines, reterr);
    return r;
}

/* What was restored: every process says its part, and the test compares. What it can see itself, it
 * does. */
static int check_restored(struct child *c, cairn_error **reterr)
{
    cairn_checkpoint_info restored = CAIRN_CHECKPOINT_INFO_INIT;
    int64_t total = 0, own = -1;
    const void *data;
    size_t size;
    for (int64_t key = 0; key < (int64_t)CLUSTER_KEYS; key++) {
        int64_t n = 0;
        if (!owns(c, key))
            continue;
        int r = cairn_task_set_key_int64(c->task, key);
        if (r == 0)
            r = cairn_value_get_int64(c->count, &n, reterr);
        if (r < 0)
            return r;
        c->sum += n;
    }
    for (size_t i = 0; cairn_operator_list_at(c->sums, i, &data, &size) == 0; i++) {
        const uint8_t *element = data;
        total += cairn_decode_int64(element + 16);
        if (cairn_decode_int64(element) == c->index &&
            cairn_decode_int64(element + 8) == c->workers)
            own = cairn_decode_int64(element + 16);
    }
    (void)cairn_job_restored(c->job, &restored);
    journal(c, "restored %" PRIu64 " %u %u %" PRIu64 " %" PRId64 " %" PRId64 "\n",
            cairn_job_epoch(c->job), (unsigned)c->index, (unsigned)c->workers, restored.id, c->sum,
            total);
    if (own < 0 || own == c->sum)
        return 0;
    fprintf(stderr, "%d: the keys sum up to %" PRId64 ", and the operator state says %" PRId64 "\n",
            (int)getpid(), c->sum, own);
    return CAIRN_EINTERNAL;
}

/* One record: the next step of the next key. @return 1, 0: there is none, or an error */
static int step(struct child *c, int64_t *key, cairn_error **reterr)
{
    char line[64];
    for (uint32_t i = 0; i < CLUSTER_KEYS; i++) {
        int64_t n = 0;
        *key = (*key + 1) % CLUSTER_KEYS;
        if (!owns(c, *key))
            continue;
        int r = cairn_task_set_key_int64(c->task, *key);
        if (r == 0)
            r = cairn_value_get_int64(c->count, &n, reterr);
        if (r < 0)
            return r;
        if (n >= (int64_t)c->rounds)
            continue;
        int size = snprintf(line, sizeof line, "%" PRId64 " %" PRId64 "\n", *key, n + 1);
        r = cairn_value_put_int64(c->count, n + 1, reterr);
        if (r == 0)
            r = cairn_file_sink_write(c->lines, line, (size_t)size, reterr);
        c->sum += r == 0;
        return r < 0 ? r : 1;
    }
    return 0;
}

/* @return 1: the job has stopped, 0: go on, or an error */
static int take_event(struct child *c, const cairn_event *first, cairn_error **reterr)
{
    cairn_event event = *first;
    int r = 0;
    bool is_stopping = false;
    do {
        if (event.type == CAIRN_EVENT_COMPLETED)
            journal(c, "complete %" PRIu64 " %" PRIu64 " %u\n", event.checkpoint_id,
                    cairn_job_epoch(c->job), (unsigned)c->index);
        is_stopping |= event.type == CAIRN_EVENT_STOPPING;
        is_stopping &= event.type != CAIRN_EVENT_ABORTED;
        if (event.type == CAIRN_EVENT_STOPPED)
            return 1;
        event.type = CAIRN_EVENT_NONE;
        if (is_stopping)
            r = cairn_task_wait(c->task, 100, &event, reterr);
    } while (r == 0 && is_stopping);
    return r;
}

static int work(struct child *c, cairn_error **reterr)
{
    int64_t key = 0;
    cairn_event event;
    for (int r = 0; r == 0;) {
        int more = c->is_finished ? 0 : step(c, &key, reterr);
        if (more < 0)
            return more;
        if (more == 0 && c->finish != 0 && !c->is_finished) {
            r = cairn_task_finish(c->task, reterr);
            c->is_finished = r == 0;
        }
        if (r == 0)
            r = more > 0 ? cairn_task_poll(c->task, &event, reterr)
                         : cairn_task_wait(c->task, 20, &event, reterr);
        if (r == 0)
            r = take_event(c, &event, reterr);
        if (r != 0)
            return r;
        if (c->pace_us > 0)
            crn_sleep_us(c->pace_us);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * The coordinator
 * ------------------------------------------------------------------------------------------ */

static int save(struct child *c, bool stop, cairn_savepoint_format format, cairn_error **reterr)
{
    char target[PATH_MAX];
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    (void)snprintf(target, sizeof target, "%s/savepoints", c->directory);
    options.target_uri = target;
    options.stop = stop;
    options.format = format;
    return cairn_savepoint(c->job, &options, NULL, reterr);
}

static int carry_out(struct child *c, const char *command, cairn_error **reterr)
{
    cairn_trigger_options options = CAIRN_TRIGGER_OPTIONS_INIT;
    if (strcmp(command, "stop") == 0)
        return save(c, true, CAIRN_CANONICAL, reterr);
    if (strcmp(command, "savepoint") == 0)
        return save(c, false, CAIRN_CANONICAL, reterr);
    if (strcmp(command, "native") == 0)
        return save(c, false, CAIRN_NATIVE, reterr);
    if (strcmp(command, "cancel") == 0)
        return cairn_job_cancel(c->job, reterr);
    options.full = strcmp(command, "full") == 0;
    return cairn_job_checkpoint(c->job, &options, NULL, reterr);
}

static void obey(struct child *c)
{
    char path[PATH_MAX], taken[PATH_MAX + 32], command[32] = "";
    (void)snprintf(path, sizeof path, "%s/command", c->directory);
    (void)snprintf(taken, sizeof taken, "%s-%d", path, (int)getpid());
    if (rename(path, taken) != 0)
        return;
    FILE *file = fopen(taken, "r");
    if (file == NULL || fscanf(file, "%31s", command) != 1)
        abort();
    fclose(file);
    (void)unlink(taken);
    cairn_error *error = NULL;
    int r = carry_out(c, command, &error);
    fprintf(stderr, "%d: command '%s': %s: %s\n", (int)getpid(), command, cairn_error_name(r),
            cairn_error_message(error));
    cairn_error_free(error);
    journal(c, "did %s %d\n", command, r);
}

static int coordinate(struct child *c, cairn_error **reterr)
{
    uint64_t told = 0;
    for (int state; (state = cairn_job_get_state(c->job)) != CAIRN_JOB_STOPPED;) {
        cairn_checkpoint_info last = CAIRN_CHECKPOINT_INFO_INIT;
        if (cairn_job_last_checkpoint(c->job, &last) == 1 && last.id != told) {
            told = last.id;
            journal(c, "complete %" PRIu64 " %" PRIu64 " -1\n", last.id, last.epoch);
        }
        if (state == CAIRN_JOB_CANCELLED || state == CAIRN_JOB_FAILED || state == CAIRN_JOB_FENCED)
            return cairn_job_trigger(c->job, NULL, reterr); /* why */
        obey(c);
        crn_sleep_us(5000);
    }
    return 1;
}

/* ------------------------------------------------------------------------------------------ *
 * The process
 * ------------------------------------------------------------------------------------------ */

static int run(struct child *c, cairn_error **reterr)
{
    const bool is_coordinator = strcmp(c->role, "coordinator") == 0;
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    options.store = c->store;
    options.local_dir = c->local_dir;
    options.checkpoint_interval_ms = c->interval_ms;
    options.checkpoint_timeout_ms = 20000;
    options.num_retained = 2;
    options.state_memory_bytes = 16 << 20;
    options.log = print_log;
    options.log_context = c;
    options.role = is_coordinator                   ? CAIRN_COORDINATOR
                   : strcmp(c->role, "worker") == 0 ? CAIRN_WORKER
                                                    : CAIRN_ALONE;
    options.worker_count = is_coordinator ? c->workers : 0;
    options.poll_interval_ms = c->poll_ms;
    options.heartbeat_ms = c->heartbeat_ms;
    options.worker_timeout_ms = c->timeout_ms;
    options.join_timeout_ms = c->join_ms;
    int r = cairn_job_open(CRASH_JOB, &options, &c->job, reterr);
    if (r < 0)
        return r;
    journal(c, "opened %d %s %u %" PRIu64 "\n", (int)getpid(), c->role, (unsigned)c->index,
            cairn_job_epoch(c->job));
    if (!is_coordinator) {
        r = open_task(c, reterr);
        if (r == 0)
            r = check_restored(c, reterr);
    }
    if (r == 0)
        r = cairn_job_start(c->job, reterr);
    if (r == 0)
        journal(c, "started %d %s %u %" PRIu64 "\n", (int)getpid(), c->role, (unsigned)c->index,
                cairn_job_epoch(c->job));
    if (r == 0)
        r = is_coordinator ? coordinate(c, reterr) : work(c, reterr);
    return r;
}

static int parse(struct child *c, int argc, char **argv)
{
    if (argc < 9)
        return -1;
    c->directory = argv[1];
    c->seed = strtoull(argv[2], NULL, 10);
    c->rounds = strtoull(argv[3], NULL, 10);
    c->role = argv[4];
    c->index = (uint32_t)strtoul(argv[5], NULL, 10);
    c->workers = (uint32_t)strtoul(argv[6], NULL, 10);
    c->store_uri = argv[7];
    c->local_dir = argv[8];
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"interval=", &c->interval_ms},   {"poll=", &c->poll_ms},
                   {"heartbeat=", &c->heartbeat_ms}, {"timeout=", &c->timeout_ms},
                   {"join=", &c->join_ms},           {"pace=", &c->pace_us},
                   {"finish=", &c->finish}};
    for (int i = 9; i < argc; i++) {
        bool is_known = false;
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
            const size_t n = strlen(numbers[k].name);
            if (strncmp(argv[i], numbers[k].name, n) == 0) {
                *numbers[k].value = strtoull(argv[i] + n, NULL, 10);
                is_known = true;
            }
        }
        if (!is_known)
            return -1;
    }
    return c->rounds <= CLUSTER_ROUNDS_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct child c = {0};
    char path[PATH_MAX];
    cairn_error *error = NULL;
    pthread_t minder;
    if (parse(&c, argc, argv) < 0) {
        fprintf(stderr, "bad arguments\n");
        return CRASH_CHILD_USAGE;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody stays when the test is ended */
    (void)snprintf(path, sizeof path, "%s/journal", c.directory);
    c.journal = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    int r = c.journal < 0 ? CAIRN_EIO : open_store(&c, &error);
    if (r < 0)
        return tell("store", r, error);
    if (crn_thread_start(&minder, "outages", mind_outages, &c, &error) < 0)
        return CLUSTER_CHILD_ERROR;
    r = run(&c, &error);
    int code = r < 0 ? tell("ended", r, error) : CRASH_CHILD_DONE;
    atomic_store(&c.is_over, true);
    (void)pthread_join(minder, NULL);
    crn_fault_store_arm(c.store, &(struct crn_fault_plan){.mode = CRN_FAULT_NEVER});
    cairn_job_close(c.job);
    cairn_task_close(c.task);
    cairn_store_close(c.store);
    (void)close(c.journal);
    return code;
}
