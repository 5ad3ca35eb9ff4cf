/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source: words out of text files, each sent to the worker that owns it.
 *
 * The position in each file is operator state, stored in the barrier, so that a checkpoint has it
 * as of the very word that the barrier was sent behind. As elements of a list that is split they
 * are dealt out anew when the job is started with another number of workers: a file then goes on to
 * be read by whoever has got its position.
 */
#include "examples/cluster/cluster.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- positions: 8 bytes of offset, and the file's name ---- */

static int store_positions(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct words *words = context;
    (void)task, (void)checkpoint_id;
    int r = cairn_operator_list_clear(words->positions, NULL);
    for (size_t i = 0; i < words->file_count && r == 0; i++) {
        unsigned char element[8 + sizeof *words->names];
        const size_t n = strlen(words->names[i]);
        cairn_encode_int64(words->offsets[i], element);
        memcpy(element + 8, words->names[i], n);
        r = cairn_operator_list_add(words->positions, element, 8 + n, NULL);
    }
    return r;
}

static int add_file(struct words *words, const char *name, size_t size, int64_t offset)
{
    void *names = realloc(words->names, (words->file_count + 1) * sizeof *words->names);
    if (names != NULL)
        words->names = names;
    int64_t *offsets = realloc(words->offsets, (words->file_count + 1) * sizeof *offsets);
    if (offsets != NULL)
        words->offsets = offsets;
    if (names == NULL || offsets == NULL || size >= sizeof *words->names)
        return worker_fail(words->node.worker, "cannot have another file", CAIRN_ENOMEM, NULL);
    memcpy(words->names[words->file_count], name, size);
    words->names[words->file_count][size] = '\0';
    words->offsets[words->file_count++] = offset;
    return 0;
}

static int restore_positions(struct words *words)
{
    const void *data;
    size_t size;
    for (size_t i = 0; cairn_operator_list_at(words->positions, i, &data, &size) == 0; i++)
        if (size <= 8 ||
            add_file(words, (const char *)data + 8, size - 8, cairn_decode_int64(data)) < 0)
            return worker_fail(words->node.worker, "a stored position is none", CAIRN_ECORRUPT,
                               NULL);
    return 0;
}

/* The first start: which file is whose goes by its name. */
static int choose_files(struct words *words)
{
    struct worker *w = words->node.worker;
    struct dirent **entries;
    char path[PATH_SIZE];
    int r = 0;
    path_in(path, w->options, "input");
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0)
        return worker_fail(w, path, CAIRN_EIO, NULL);
    uint32_t number = 0;
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        if (r == 0 && name[0] != '.' && number++ % w->options->workers == w->options->index)
            r = add_file(words, name, strlen(name), 0);
        free(entries[i]);
    }
    free(entries);
    return r;
}

int open_words(struct words *words)
{
    struct worker *w = words->node.worker;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_error *error = NULL;
    options.parallelism = w->options->workers;
    options.subtask = w->options->index;
    options.before_barrier = store_positions;
    options.context = words;
    int r = cairn_task_open(w->job, "words", &options, &words->node.task, &error);
    if (r == 0)
        r = cairn_operator_list_state(words->node.task, "positions", CAIRN_SPLIT, CAIRN_BYTES,
                                      &words->positions, &error);
    if (r < 0)
        return worker_fail(w, "cannot open the source", r, error);
    return cairn_job_restored(w->job, NULL) == 1 ? restore_positions(words) : choose_files(words);
}

void close_words(struct words *words)
{
    for (uint32_t i = 0; i < words->node.worker->options->workers; i++)
        link_close(&words->outputs[i]);
    free(words->names);
    free(words->offsets);
}

/* ---- sending ---- */

static int flush(struct words *words, struct link *output)
{
    int r;
    while ((r = link_flush(output)) == 0)
        if (atomic_load(&words->node.worker->stop))
            return -1;
    return r < 0 ? worker_lost_link(&words->node) : 0;
}

static int send_to(struct words *words, uint32_t output, enum message_type type, const void *data,
                   size_t size)
{
    struct link *link = &words->outputs[output];
    while (link_put(link, type, data, size) == 0)
        if (flush(words, link) < 0)
            return -1;
    return 0;
}

/* What is not a word concerns everybody, and at once. */
static int send_to_all(struct words *words, enum message_type type, const void *data, size_t size)
{
    for (uint32_t i = 0; i < words->node.worker->options->workers; i++)
        if (send_to(words, i, type, data, size) < 0 || flush(words, &words->outputs[i]) < 0)
            return -1;
    return 0;
}

static int send_barrier(struct node *node, const cairn_barrier *barrier)
{
    uint8_t bytes[CAIRN_BARRIER_BYTES];
    cairn_barrier_encode(barrier, bytes);
    return send_to_all((struct words *)node, MESSAGE_BARRIER, bytes, sizeof bytes);
}

static int connect_outputs(struct words *words)
{
    struct worker *w = words->node.worker;
    const unsigned char self = (unsigned char)w->options->index;
    for (uint32_t i = 0; i < w->options->workers; i++) {
        const struct place place = {w->options->dir, cairn_job_epoch(w->job), i};
        int fd;
        while ((fd = place_connect(&place)) == -1)
            if (atomic_load(&w->stop) || cairn_job_get_state(w->job) != CAIRN_JOB_RUNNING)
                return worker_lost_link(&words->node);
        if (fd < 0)
            return worker_fail(w, strerror(errno), CAIRN_EIO, NULL);
        link_init(&words->outputs[i], fd);
    }
    return send_to_all(words, MESSAGE_HELLO, &self, 1);
}

/* ---- reading ---- */

static size_t read_word(FILE *in, int64_t *offset, char word[WORD_MAX])
{
    size_t n = 0;
    for (int c; (c = getc_unlocked(in)) != EOF;) {
        ++*offset;
        if (isascii(c) && isalpha(c)) {
            if (n < WORD_MAX)
                word[n++] = (char)tolower(c);
        } else if (n > 0) {
            break;
        }
    }
    return n;
}

/* A slower source, to have something to watch. */
static void pace(const struct words *words, uint64_t sent)
{
    const uint64_t rate = words->node.worker->options->words_per_sec;
    const struct timespec a_hundredth = {.tv_nsec = 10000000};
    if (rate > 0 && sent % (rate / 100 + 1) == 0)
        (void)nanosleep(&a_hundredth, NULL);
}

static int send_file(struct words *words, size_t file, uint64_t *sent)
{
    struct worker *w = words->node.worker;
    char path[PATH_SIZE], name[300], word[WORD_MAX];
    size_t n;
    int r = 0;
    (void)snprintf(name, sizeof name, "input/%s", words->names[file]);
    path_in(path, w->options, name);
    FILE *in = fopen(path, "rb");
    if (in == NULL || fseek(in, (long)words->offsets[file], SEEK_SET) != 0)
        r = worker_fail(w, path, CAIRN_EIO, NULL);
    while (r == 0 && (n = read_word(in, &words->offsets[file], word)) > 0) {
        int to = cairn_subtask_of_key(word, n, w->options->workers, 128);
        r = send_to(words, (uint32_t)to, MESSAGE_WORD, word, n);
        if (r == 0)
            r = serve_events(&words->node, send_barrier);
        pace(words, ++*sent);
    }
    if (r == 0 && ferror(in) != 0)
        r = worker_fail(w, path, CAIRN_EIO, NULL);
    if (in != NULL)
        fclose(in);
    return r;
}

void *run_words(void *argument)
{
    struct words *words = argument;
    uint64_t sent = 0;
    int r = connect_outputs(words);
    for (size_t i = 0; r == 0 && i < words->file_count; i++)
        r = send_file(words, i, &sent);
    if (r == 0 && send_to_all(words, MESSAGE_END, "", 0) == 0)
        finish_and_wait(&words->node);
    return NULL;
}
