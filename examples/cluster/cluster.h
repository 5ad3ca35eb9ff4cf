/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLUSTER_H
#define CLUSTER_H

#include <cairn/cairn.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * A job in several processes, here of two workers:
 *
 *     coordinator     begins checkpoints, commits them; has no tasks
 *
 *     worker 0        words 0 ---+--> counts 0 ---> files
 *                                 \ /
 *                                  X    sockets, by word
 *                                 / \
 *     worker 1        words 1 ---+--> counts 1 ---> files
 *
 * "words" reads the text files below DIR/input, each subtask its share of them. "counts" has a
 * number for each word, and writes a line at each of its occurrences: "the 1", "the 2", ... below
 * DIR/output. So whoever sorts these lines sees whether anything is missing, or there twice.
 *
 *     main.c         the command line, and the job's options
 *     coordinator.c  what one process does for all of them
 *     worker.c       opening tasks, their threads, their events
 *     links.c        how records and barriers travel between processes: no word of Cairn but the
 * barrier words.c        the source, and the positions in its files counts.c       keyed state,
 * behind a gate, in front of a file sink
 */

#define JOB "cluster"
#define WORKERS_MAX 64
#define WORD_MAX 200
#define PATH_SIZE 4096

struct options {
    const char *dir;
    uint32_t workers, index; /* of a worker: which it is */
    uint64_t words_per_sec;  /* of each source; 0: as many as there is room for */
};

/* ---- links.c ---- */

enum message_type { MESSAGE_NONE, MESSAGE_WORD, MESSAGE_BARRIER, MESSAGE_END, MESSAGE_HELLO };

struct message {
    enum message_type type;
    uint32_t size;
    unsigned char data[256];
};

/* One direction of one connection. */
struct link {
    int fd; /* -1: none */
    size_t first, end;
    unsigned char bytes[16384];
};

/* Where the "counts" of a worker are to be found. The epoch is in the name, so that nobody gets
 * connected with a process of an earlier incarnation of the job, which may not have noticed yet
 * that it is over. Where the place has a fixed address, a TCP port say, say hello with the epoch in
 * its stead. */
struct place {
    const char *dir;
    uint64_t epoch;
    uint32_t index;
};
int place_listen(const struct place *place);
void place_remove(const struct place *place);
/* @return a socket, -1: nobody listens there yet, -2: it cannot be, see errno */
int place_connect(const struct place *place);
/* Someone who has connected; waits for a moment. @return a socket, or -1 */
int link_accept(int listener);

void link_init(struct link *link, int fd);
void link_close(struct link *link);
/* Messages are gathered, and go out by link_flush(). @return 1, or 0: there is no room, flush first
 */
int link_put(struct link *link, enum message_type type, const void *data, size_t size);
/* Waits for a moment, if it must. @return 1: all is sent, 0: not yet, -1: the connection is lost */
int link_flush(struct link *link);
/* @return 1 and the next message, 0: none is there, -1: the connection is lost, or what comes is
 * not ours */
int link_take(struct link *link, struct message *ret);
/* Waits for a moment until one of those that have a flag can be read. */
void links_wait(const struct link *links, const bool *wanted, uint32_t count);

/* ---- worker.c ---- */

struct worker;

/* One task, and who polls it. */
struct node {
    struct worker *worker;
    cairn_task *task;
    bool has_stopped; /* the job has, with a savepoint */
};

struct words {
    struct node node;
    char (*names)[256]; /* of the files that are this task's */
    int64_t *offsets;   /* of the next byte to read in each */
    size_t file_count;
    cairn_operator_list *positions;
    struct link outputs[WORKERS_MAX];
};

struct counts {
    struct node node;
    cairn_gate *gate;
    cairn_value *count;
    cairn_file_sink *files;
    struct link inputs[WORKERS_MAX];
    uint32_t open_inputs;
};

struct worker {
    const struct options *options;
    cairn_job *job;
    struct words words;
    struct counts counts;
    atomic_bool stop; /* a thread has failed: end */
    int code;         /* of what failed first; 0: nothing did */
};

/* From opening to the end. @return the process's exit status */
int run_worker(const struct options *options, const cairn_job_options *job_options);
/* Says what went wrong, and ends both threads. @return -1 */
int worker_fail(struct worker *worker, const char *what, int code, cairn_error *error);
/* A connection is lost. Mostly since the job is over for another reason, which is worth waiting
 * for. @return -1 */
int worker_lost_link(struct node *node);
/* Events, until there is none. At a barrier calls at_barrier, if there is one, to send it on.
 * @return 0, or -1: the task has to end, since the job has stopped, or something failed */
int serve_events(struct node *node,
                 int (*at_barrier)(struct node *node, const cairn_barrier *barrier));
/* The task's input is at its end; what it has is in every checkpoint from now on, and it only waits
 * for the end of the job. */
void finish_and_wait(struct node *node);

/* ---- words.c, counts.c ---- */

int open_words(struct words *words);
void *run_words(void *words);
void close_words(struct words *words);
int open_counts(struct counts *counts);
void *run_counts(void *counts);
void close_counts(struct counts *counts);

/* ---- coordinator.c, main.c ---- */

int run_coordinator(const struct options *options, const cairn_job_options *job_options);
/* DIR and a name in it. */
void path_in(char out[PATH_SIZE], const struct options *options, const char *name);
extern volatile sig_atomic_t terminated; /* SIGTERM or SIGINT has come */

#endif
