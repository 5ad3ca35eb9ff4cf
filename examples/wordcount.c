/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service that counts words, and survives being killed at any moment.
 *
 *     wordcount --dir DIR --input FILE --output FILE [--interval-ms N] [--words-per-sec N]
 *
 * Input is read from a position that is part of each checkpoint. After a crash the service starts
 * again with the same command: Cairn gives back counts and position of the newest checkpoint, which
 * belong together, so every word is counted exactly once. At the end of the input the counts are
 * written as "count word" lines.
 *
 * What an operator may want to change (`cairn help settings`) is taken from the file that
 * $CAIRN_SETTINGS names and from the environment. So this starts it from a savepoint, and again
 * whenever it crashes:
 *
 *     cairn run -s SAVEPOINT -- wordcount --dir DIR --input FILE --output FILE
 *
 * It can be stopped with `cairn stop` (needs control.listen), and then ends with status 0.
 *
 * A word is a run of ASCII letters, in lower case.
 */
#include <cairn/cairn.h>

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORD_MAX 256

struct service {
    const char *dir, *input, *output;
    uint64_t interval_ms, words_per_sec;

    cairn_job *job;
    cairn_task *task;
    cairn_value *counts;           /* keyed state: the count of the current word */
    cairn_operator_list *position; /* operator state: where to read on */

    FILE *in;
    int64_t offset; /* of the next byte to read */
    uint64_t words; /* since this start */
    bool stopped;   /* with a savepoint, cancelled, or replaced by another process */
};

static int fail(const char *what, cairn_error *error)
{
    fprintf(stderr, "wordcount: %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return -1;
}

static void print_log(void *context, const cairn_log_line *line)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", line->component, line->message);
}

/* Called right before the state of a checkpoint is taken: the position must be of this very moment.
 */
static int store_position(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct service *s = context;
    (void)task;
    (void)checkpoint_id;
    int r = cairn_operator_list_clear(s->position, NULL);
    return r < 0 ? r : cairn_operator_list_add_int64(s->position, s->offset, NULL);
}

/* The job with these options, and over them what the operator has set. */
static int open_job(struct service *s, cairn_job_options *options)
{
    cairn_error *error = NULL;
    cairn_settings *settings = NULL;
    int r = cairn_settings_load(NULL, &settings, &error);
    if (r == 0)
        r = cairn_settings_apply(settings, options, &error);
    if (r == 0)
        r = cairn_job_open("wordcount", options, &s->job, &error);
    cairn_settings_free(settings);
    return r < 0 ? fail("cannot open the job", error) : 0;
}

static int open_service(struct service *s)
{
    char store[4096], local[4096];
    cairn_error *error = NULL;
    snprintf(store, sizeof store, "%s/snapshots", s->dir);
    snprintf(local, sizeof local, "%s/local", s->dir);

    cairn_job_options job_options = CAIRN_JOB_OPTIONS_INIT;
    job_options.store_uri = store;
    job_options.local_dir = local;
    job_options.checkpoint_interval_ms = s->interval_ms;
    job_options.num_retained = 3;
    job_options.log = print_log;
    if (open_job(s, &job_options) < 0)
        return -1;

    cairn_task_options task_options = CAIRN_TASK_OPTIONS_INIT;
    task_options.name = "count words";
    task_options.key_type = CAIRN_STRING;
    task_options.before_barrier = store_position;
    task_options.context = s;
    if (cairn_task_open(s->job, "count-by-word", &task_options, &s->task, &error) < 0 ||
        cairn_value_state(s->task, "count", CAIRN_INT64, NULL, &s->counts, &error) < 0 ||
        cairn_operator_list_state(s->task, "position", CAIRN_SPLIT, CAIRN_INT64, &s->position,
                                  &error) < 0 ||
        cairn_job_start(s->job, &error) < 0)
        return fail("cannot start", error);
    return 0;
}

/* Go on where the restored checkpoint left off. */
static int open_input(struct service *s)
{
    const void *data;
    size_t size;
    s->in = fopen(s->input, "rb");
    if (s->in == NULL) {
        fprintf(stderr, "wordcount: cannot open '%s': %s\n", s->input, strerror(errno));
        return -1;
    }
    if (cairn_operator_list_at(s->position, 0, &data, &size) == 0)
        s->offset = cairn_decode_int64(data);
    if (fseek(s->in, (long)s->offset, SEEK_SET) != 0) {
        fprintf(stderr, "wordcount: cannot seek in '%s': %s\n", s->input, strerror(errno));
        return -1;
    }
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    if (cairn_job_restored(s->job, &info) == 1)
        printf("restored checkpoint %" PRIu64 ", reading on at byte %" PRId64 "\n", info.id,
               s->offset);
    else
        printf("no checkpoint yet, reading from the start\n");
    fflush(stdout);
    return 0;
}

static size_t read_word(struct service *s, char word[WORD_MAX])
{
    size_t n = 0;
    for (int c; (c = getc_unlocked(s->in)) != EOF;) {
        s->offset++;
        if (isascii(c) && isalpha(c)) {
            if (n < WORD_MAX)
                word[n++] = (char)tolower(c);
        } else if (n > 0) {
            break;
        }
    }
    return n;
}

static int count_word(struct service *s, const char *word, size_t n)
{
    cairn_error *error = NULL;
    int64_t count = 0;
    if (cairn_task_set_key(s->task, word, n) < 0 ||
        cairn_value_get_int64(s->counts, &count, &error) < 0 ||
        cairn_value_put_int64(s->counts, count + 1, &error) < 0)
        return fail("cannot count", error);
    return 0;
}

/* A slower input, to have something to watch. */
static void pace(const struct service *s, const struct timespec *start)
{
    struct timespec due = *start;
    if (s->words_per_sec == 0 || s->words % 1000 != 0)
        return;
    uint64_t us = s->words * 1000000 / s->words_per_sec;
    due.tv_sec += (time_t)(us / 1000000);
    due.tv_nsec += (long)(us % 1000000) * 1000;
    if (due.tv_nsec >= 1000000000) {
        due.tv_sec++;
        due.tv_nsec -= 1000000000;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

/* Cancelled, or replaced by another process: nobody is to start this one again, so it ends with
 * status 0. Everything else is a failure. */
static int end_or_fail(struct service *s, int code, cairn_error *error)
{
    if (code != CAIRN_ECANCELED && code != CAIRN_EFENCED)
        return fail("stopped", error);
    fprintf(stderr, "wordcount: %s\n", cairn_error_message(error));
    cairn_error_free(error);
    s->stopped = true;
    return 0;
}

/* The savepoint that the job stops with has been taken of this task: nothing is read until it is
 * known whether that came to be complete. */
static int wait_for_stop(struct service *s)
{
    cairn_event event = {0};
    cairn_error *error = NULL;
    while (event.type != CAIRN_EVENT_STOPPED && event.type != CAIRN_EVENT_ABORTED) {
        int r = cairn_task_wait(s->task, 1000, &event, &error);
        if (r < 0)
            return end_or_fail(s, r, error);
    }
    s->stopped = event.type == CAIRN_EVENT_STOPPED;
    return 0;
}

static int run(struct service *s)
{
    char word[WORD_MAX];
    size_t n;
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (!s->stopped && (n = read_word(s, word)) > 0) {
        cairn_event event;
        cairn_error *error = NULL;
        if (count_word(s, word, n) < 0)
            return -1;
        s->words++;
        int r = cairn_task_poll(s->task, &event, &error);
        if (r < 0)
            r = end_or_fail(s, r, error);
        else if (event.type == CAIRN_EVENT_STOPPING)
            r = wait_for_stop(s);
        if (r < 0)
            return r;
        pace(s, &start);
    }
    cairn_error *error = NULL;
    if (s->stopped)
        return 0;
    if (cairn_task_checkpoint(s->task, NULL, NULL, &error) < 0)
        return fail("the last checkpoint", error);
    return 0;
}

static int write_counts(struct service *s)
{
    cairn_error *error = NULL;
    cairn_iterator *iterator;
    cairn_entry entry;
    int r;
    FILE *out = fopen(s->output, "w");
    if (out == NULL) {
        fprintf(stderr, "wordcount: cannot write '%s': %s\n", s->output, strerror(errno));
        return -1;
    }
    r = cairn_task_iterate(s->task, "count", &iterator, &error);
    if (r == 0) {
        while ((r = cairn_iterator_next(iterator, &entry, &error)) == 1)
            fprintf(out, "%" PRId64 " %.*s\n", cairn_decode_int64(entry.value), (int)entry.key_size,
                    (const char *)entry.key);
        cairn_iterator_close(iterator);
    }
    if (fclose(out) != 0 && r == 0) {
        fprintf(stderr, "wordcount: cannot write '%s': %s\n", s->output, strerror(errno));
        return -1;
    }
    return r < 0 ? fail("cannot read the counts", error) : 0;
}

static int parse(struct service *s, int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"input", required_argument, NULL, 'i'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"interval-ms", required_argument, NULL, 't'},
                                            {"words-per-sec", required_argument, NULL, 'w'},
                                            {NULL, 0, NULL, 0}};
    s->interval_ms = 1000;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (c) {
        case 'd':
            s->dir = optarg;
            break;
        case 'i':
            s->input = optarg;
            break;
        case 'o':
            s->output = optarg;
            break;
        case 't':
            s->interval_ms = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            s->words_per_sec = strtoull(optarg, NULL, 10);
            break;
        default:
            return -1;
        }
    return s->dir != NULL && s->input != NULL && s->output != NULL && optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct service s = {0};
    if (parse(&s, argc, argv) < 0) {
        fprintf(stderr, "usage: wordcount --dir DIR --input FILE --output FILE [--interval-ms N] "
                        "[--words-per-sec N]\n");
        return 2;
    }
    int r = open_service(&s);
    if (r == 0)
        r = open_input(&s);
    if (r == 0)
        r = run(&s);
    if (r == 0 && s.stopped)
        printf("stopped: %" PRIu64 " words since this start\n", s.words);
    if (r == 0 && !s.stopped)
        r = write_counts(&s);
    if (r == 0 && !s.stopped)
        printf("done: %" PRIu64 " words since this start\n", s.words);
    cairn_job_close(s.job);
    cairn_task_close(s.task);
    if (s.in != NULL)
        fclose(s.in);
    return r == 0 ? 0 : 1;
}
