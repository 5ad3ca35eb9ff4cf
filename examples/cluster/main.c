/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job in several processes whose output is exactly once, whichever of them is killed, and
 * whenever. cluster.h says what it computes, and which file to read for what.
 *
 *     cluster --dir DIR [--words-per-sec N] coordinator of 3
 *     cluster --dir DIR [--words-per-sec N] worker 0 of 3       and so on
 *
 * The texts are in DIR/input. The processes find each other through DIR/snapshots, or the store
 * that the settings name (`cairn help settings`): CAIRN_STORE=s3://..., say. Start them in any
 * order, each under what starts it again when it fails:
 *
 *     cairn run -- cluster --dir DIR worker 0 of 3
 *
 * They end when all texts have been read, or when the coordinator gets SIGTERM. Start them again,
 * with another number of workers if you like, and they go on from there.
 */
#include "examples/cluster/cluster.h"

#include <getopt.h>

#include <stdlib.h>
#include <string.h>

volatile sig_atomic_t terminated;

static void on_signal(int number)
{
    terminated = number;
}

void path_in(char out[PATH_SIZE], const struct options *options, const char *name)
{
    (void)snprintf(out, PATH_SIZE, "%s/%s", options->dir, name);
}

static void print_log(void *context, const cairn_log_line *line)
{
    fprintf(stderr, "%s: %s: %s\n", (const char *)context, line->component, line->message);
}

static int run(struct options *o, cairn_role role)
{
    char name[64], store[PATH_SIZE], local[PATH_SIZE];
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    cairn_settings *settings = NULL;
    cairn_error *error = NULL;
    if (role == CAIRN_WORKER)
        (void)snprintf(name, sizeof name, "worker-%u", (unsigned)o->index);
    else
        (void)snprintf(name, sizeof name, "coordinator");
    path_in(store, o, "snapshots");
    path_in(local, o, name);
    options.store_uri = store;
    options.local_dir = local; /* each process its own */
    options.checkpoint_interval_ms = 5000;
    options.role = role;
    options.worker_count = role == CAIRN_COORDINATOR ? o->workers : 0;
    options.worker_name = role == CAIRN_WORKER ? name : NULL;
    options.log = print_log;
    options.log_context = name;
    options.log_level = CAIRN_LOG_WARNING;
    /* Over that goes what the operator has set, such as the store and all intervals. */
    int r = cairn_settings_load(NULL, &settings, &error);
    if (r == 0)
        r = cairn_settings_apply(settings, &options, &error);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", name, cairn_error_message(error));
    else
        r = role == CAIRN_COORDINATOR ? run_coordinator(o, &options) : run_worker(o, &options);
    cairn_error_free(error);
    cairn_settings_free(settings);
    return r < 0 ? 1 : r;
}

static bool read_number(const char *text, uint32_t end, uint32_t *ret)
{
    char *rest;
    unsigned long n = strtoul(text, &rest, 10);
    *ret = (uint32_t)n;
    return rest != text && *rest == '\0' && n < end;
}

/* "coordinator of N", "worker I of N". @return -1: neither */
static int parse_role(struct options *o, char **words, int count)
{
    if (count == 3 && strcmp(words[0], "coordinator") == 0 && strcmp(words[1], "of") == 0 &&
        read_number(words[2], WORKERS_MAX + 1, &o->workers) && o->workers > 0)
        return CAIRN_COORDINATOR;
    if (count == 4 && strcmp(words[0], "worker") == 0 && strcmp(words[2], "of") == 0 &&
        read_number(words[3], WORKERS_MAX + 1, &o->workers) &&
        read_number(words[1], o->workers, &o->index))
        return CAIRN_WORKER;
    return -1;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"dir", required_argument, NULL, 'd'},
                                                 {"words-per-sec", required_argument, NULL, 'w'},
                                                 {NULL, 0, NULL, 0}};
    struct options o = {0};
    struct sigaction action = {.sa_handler = on_signal};
    bool is_wrong = false;
    for (int c; (c = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (c == 'd')
            o.dir = optarg;
        else if (c == 'w')
            o.words_per_sec = strtoull(optarg, NULL, 10);
        else
            is_wrong = true;
    }
    int role = parse_role(&o, argv + optind, argc - optind);
    if (is_wrong || role < 0 || o.dir == NULL) {
        fprintf(stderr,
                "usage: cluster --dir DIR [--words-per-sec N] coordinator of N | worker I of N\n");
        return 2;
    }
    if (role == CAIRN_COORDINATOR) { /* a worker just dies: whoever wants to end the job asks the
                                        coordinator */
        (void)sigaction(SIGTERM, &action, NULL);
        (void)sigaction(SIGINT, &action, NULL);
    }
    return run(&o, (cairn_role)role);
}
