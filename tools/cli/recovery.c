/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a service that `cairn run -s SNAPSHOT` keeps running goes on from. The first start is from
 * the snapshot, whatever the job has. A later one is from the job's newest checkpoint, if one was
 * completed since that first start; else from the snapshot again, or the older checkpoints, which
 * the user has turned away from, would silently win.
 *
 * So the end of every job's log in the store is remembered before the first start. What counts has
 * a higher id and a later epoch: an earlier process of the job, not yet fenced off, may have
 * committed meanwhile. A checkpoint that a claimed snapshot has become counts as any other, and so
 * does a savepoint that the job was stopped with: a plain start goes on from either.
 *
 * The store may hold jobs of other services, which start anew, too. The service's job is the one
 * whose records name its process; if none does (a script between us and the service, another
 * machine), the one that was started from the snapshot.
 *
 * Nothing is guessed: if a log cannot be read, there is no start until it can be. Once a checkpoint
 * was seen the question is settled, and the store is not asked again.
 */

#include "tools/cli/run.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A job of the store, as it was before the first start. */
struct mark {
    char *name;
    uint64_t last_id, epoch;
    bool is_passed_over; /* a savepoint, or damaged so that no service can have opened it */
    bool is_source;      /* it holds the snapshot itself */
};

struct cli_recovery {
    char *uri;              /* of the snapshot, absolute */
    const char *claim_mode; /* the setting's word */
    char *store;            /* NULL: there are no restarts */
    char *source_job;       /* whose snapshot it is */
    uint8_t source_uuid[16];
    struct mark *marks;
    size_t mark_count;
    char *settled_job; /* goes on by itself from now on; NULL: none so far */
};

/* How sure it is that a job is the service's. */
enum evidence { NO_EVIDENCE, FROM_SNAPSHOT, OF_PROCESS };

/* What a job has done since the first start. */
struct progress {
    enum evidence evidence; /* the strongest; what follows is of the jobs that have it */
    char *job;
    uint64_t id; /* to go on from; 0: nothing */
    bool is_stop;
    char *unreadable; /* why that cannot be told; NULL: it can */
};

static void cleanup_store(cairn_store **store)
{
    cairn_store_close(*store);
}
#define AUTO_STORE CLI_CLEANUP(cleanup_store)

static void progress_done(struct progress *progress)
{
    free(progress->job);
    free(progress->unreadable);
}

void cli_recovery_free(struct cli_recovery *recovery)
{
    if (!recovery)
        return;
    for (size_t i = 0; i < recovery->mark_count; i++)
        free(recovery->marks[i].name);
    free(recovery->marks);
    free(recovery->uri);
    free(recovery->store);
    free(recovery->source_job);
    free(recovery->settled_job);
    free(recovery);
}

/* --- the jobs of the store --- */

struct names {
    char **items;
    size_t count;
};

static void names_done(struct names *names)
{
    cairn_names_free(names->items, names->count);
}

/* A store that is not there has no jobs; *ret_store is NULL then. */
static int list_jobs(const struct cli_recovery *recovery, cairn_store **ret_store,
                     struct names *ret_names, cairn_error **reterr)
{
    AUTO_STORE cairn_store *store = NULL;
    CLI_AUTO_FREE char *job = NULL;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    int r = cairn_store_open_existing(recovery->store, &store, &job, NULL, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    if (r == 0)
        cli_caveat_store(store);
    if (r == 0 && job)
        return cli_raise(reterr, CAIRN_EINVAL,
                         "'%s' is no store but the directory of job or savepoint '%s' in one",
                         recovery->store, job);
    if (r == 0)
        r = cairn_store_jobs(store, &ret_names->items, &ret_names->count, &error);
    if (r < 0)
        return cli_raise(reterr, r, "the store '%s' cannot be read: %s", recovery->store,
                         cairn_error_message(error));
    *ret_store = store;
    store = NULL;
    return 0;
}

static int raise_log(const char *job, int code, const cairn_error *why, cairn_error **reterr)
{
    return cli_raise(reterr, code, "the log of job '%s' cannot be read: %s", job,
                     cairn_error_message(why));
}

static int mark_job(const struct cli_recovery *recovery, cairn_store *store, struct mark *mark,
                    cairn_error **reterr)
{
    CLI_AUTO_LOG cairn_log *log = NULL;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    int r = cairn_log_open(store, mark->name, &log, &error);
    if (r == CAIRN_ENOTFOUND)
        return 0;
    if (r < 0 && cairn_error_class_of(r) != CAIRN_CLASS_DATA)
        return raise_log(mark->name, r, error, reterr);
    mark->is_passed_over = r < 0 || cairn_log_is_savepoint(log);
    for (size_t i = 0; r == 0 && i < cairn_log_size(log); i++) {
        const cairn_record_info *info = cairn_log_at(log, i);
        mark->last_id = info->id;
        if (info->epoch > mark->epoch)
            mark->epoch = info->epoch;
        mark->is_source |=
            memcmp(info->uuid, recovery->source_uuid, sizeof recovery->source_uuid) == 0;
    }
    return 0;
}

static int mark_all(struct cli_recovery *recovery, cairn_error **reterr)
{
    AUTO_STORE cairn_store *store = NULL;
    CLI_CLEANUP(names_done) struct names names = {0};
    int r = list_jobs(recovery, &store, &names, reterr);
    if (r < 0 || names.count == 0)
        return r;
    recovery->marks = calloc(names.count, sizeof *recovery->marks);
    if (!recovery->marks)
        return cli_raise(reterr, CAIRN_ENOMEM, "out of memory");
    for (size_t i = 0; r == 0 && i < names.count; i++) {
        struct mark *mark = &recovery->marks[recovery->mark_count++];
        mark->name = cli_printf("%s", names.items[i]);
        r = mark_job(recovery, store, mark, reterr);
    }
    return r;
}

static const struct mark *find_mark(const struct cli_recovery *recovery, const char *name)
{
    static const struct mark none = {0};
    for (size_t i = 0; i < recovery->mark_count; i++)
        if (strcmp(recovery->marks[i].name, name) == 0)
            return &recovery->marks[i];
    return &none;
}

/* --- what has come since --- */

static bool is_of_process(const cairn_record_info *info, pid_t child)
{
    char host[256] = "";
    if (child <= 0 || gethostname(host, sizeof host - 1) < 0)
        return false;
    return info->pid == (uint64_t)child && strcmp(info->host, host) == 0;
}

/* Of what was copied into the job right at its start only that copy's record tells from where, and
 * that may be gone; but it is what the later ones were restored from. */
static bool is_from_snapshot(const struct cli_recovery *recovery, const struct mark *mark,
                             const cairn_record_info *info)
{
    bool copies = strcmp(recovery->claim_mode, "no-claim") != 0;
    return mark->is_source ||
           (info->source_id != 0 && strcmp(info->source_job, recovery->source_job) == 0) ||
           (copies && info->restored_id > mark->last_id);
}

static void read_progress(const struct cli_recovery *recovery, const struct mark *mark,
                          const cairn_log *log, pid_t child, struct progress *ret)
{
    bool has_begun = false;
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        const cairn_record_info *info = cairn_log_at(log, i);
        if (info->id <= mark->last_id)
            continue;
        if (info->state == CAIRN_STATE_UNREADABLE && !ret->unreadable)
            ret->unreadable = cli_printf("record %" PRIu64 " of job '%s' cannot be read: %s",
                                         info->id, ret->job, info->reason);
        if (info->epoch <= mark->epoch)
            continue;
        has_begun = true;
        if (is_of_process(info, child))
            ret->evidence = OF_PROCESS;
        else if (ret->evidence == NO_EVIDENCE && is_from_snapshot(recovery, mark, info))
            ret->evidence = FROM_SNAPSHOT;
        if (info->is_stop ||
            (info->kind == CAIRN_RECORD_CHECKPOINT && info->state == CAIRN_STATE_COMPLETE)) {
            ret->id = info->id;
            ret->is_stop = info->is_stop;
        }
    }
    /* What cannot be read is another service's, or there is something to go on from anyway. */
    if (ret->id != 0 || (has_begun && ret->evidence == NO_EVIDENCE)) {
        free(ret->unreadable);
        ret->unreadable = NULL;
    }
}

static int look_at_job(const struct cli_recovery *recovery, cairn_store *store, const char *name,
                       pid_t child, struct progress *ret, cairn_error **reterr)
{
    CLI_AUTO_LOG cairn_log *log = NULL;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    const struct mark *mark = find_mark(recovery, name);
    if (mark->is_passed_over)
        return 0;
    int r = cairn_log_open(store, name, &log, &error);
    if (r == CAIRN_ENOTFOUND || (r == 0 && cairn_log_is_savepoint(log)))
        return 0;
    if (r < 0 && cairn_error_class_of(r) != CAIRN_CLASS_DATA)
        return raise_log(name, r, error, reterr);
    if (r < 0) {
        ret->unreadable =
            cli_printf("the log of job '%s' cannot be read: %s", name, cairn_error_message(error));
        return 0;
    }
    ret->job = cli_printf("%s", name);
    read_progress(recovery, mark, log, child, ret);
    return 0;
}

/* Of several jobs of the service (it may run more than one) one that has something to go on from.
 */
static bool is_better(const struct progress *a, const struct progress *b)
{
    return a->evidence != b->evidence ? a->evidence > b->evidence : a->id != 0 && b->id == 0;
}

static int look(const struct cli_recovery *recovery, pid_t child, struct progress *ret,
                cairn_error **reterr)
{
    AUTO_STORE cairn_store *store = NULL;
    CLI_CLEANUP(names_done) struct names names = {0};
    CLI_AUTO_FREE char *unreadable = NULL;
    int r = list_jobs(recovery, &store, &names, reterr);
    for (size_t i = 0; r == 0 && i < names.count; i++) {
        CLI_CLEANUP(progress_done) struct progress progress = {0};
        r = look_at_job(recovery, store, names.items[i], child, &progress, reterr);
        if (progress.unreadable && !unreadable)
            unreadable = cli_printf("%s", progress.unreadable);
        if (r == 0 && is_better(&progress, ret)) {
            struct progress worse = *ret;
            *ret = progress;
            progress = worse;
        }
    }
    /* It may be about the service's job, unless that is known for sure. */
    bool matters = ret->evidence != OF_PROCESS || ret->unreadable;
    if (r == 0 && ret->id == 0 && unreadable && matters)
        return cli_raise(reterr, CAIRN_ECORRUPT, "%s", unreadable);
    return r;
}

/* --- the environment --- */

static int set_variable(const char *name, const char *value, cairn_error **reterr)
{
    return setenv(name, value, 1) == 0 ? 0 : cli_raise(reterr, CAIRN_ENOMEM, "out of memory");
}

static int hand_over(const struct cli_recovery *recovery, cairn_error **reterr)
{
    int r = set_variable("CAIRN_RESTORE_URI", recovery->uri, reterr);
    return r < 0 ? r : set_variable("CAIRN_RESTORE_CLAIM_MODE", recovery->claim_mode, reterr);
}

static void take_back(void)
{
    unsetenv("CAIRN_RESTORE_URI");
    unsetenv("CAIRN_RESTORE_CLAIM_MODE");
}

int cli_recovery_choose(struct cli_recovery *recovery, pid_t child, cairn_error **reterr)
{
    CLI_CLEANUP(progress_done) struct progress progress = {0};
    if (recovery->settled_job) {
        CLI_AUTO_FREE char *job = cli_text_safe(recovery->settled_job);
        fprintf(stderr, "cairn: going on from the newest checkpoint of job '%s'\n", job);
        return 0;
    }
    int r = look(recovery, child, &progress, reterr);
    if (r < 0)
        return r;
    CLI_AUTO_FREE char *job = cli_text_safe(progress.job ? progress.job : "");
    CLI_AUTO_FREE char *store = cli_text_safe(recovery->store);
    if (progress.evidence == NO_EVIDENCE) {
        fprintf(stderr,
                "cairn: the service has not begun its job in '%s': from the snapshot again\n",
                store);
        return hand_over(recovery, reterr);
    }
    if (progress.id == 0) {
        fprintf(stderr,
                "cairn: no checkpoint of job '%s' since the start: from the snapshot again\n", job);
        return hand_over(recovery, reterr);
    }
    fprintf(stderr, "cairn: going on from %s %" PRIu64 " of job '%s'\n",
            progress.is_stop ? "the savepoint that was its end," : "checkpoint", progress.id, job);
    take_back();
    recovery->settled_job = progress.job;
    progress.job = NULL;
    return 0;
}

/* --- the snapshot --- */

/* That it is there, is one, and can be read: better told now than by a service that fails again and
 * again. */
static int read_snapshot(const char *path, struct cli_recovery *recovery, cairn_error **reterr)
{
    AUTO_STORE cairn_store *store = NULL;
    CLI_AUTO_SNAPSHOT cairn_snapshot *snapshot = NULL;
    CLI_AUTO_FREE char *job = NULL;
    uint64_t id = 0;
    int r = cairn_store_open_existing(path, &store, &job, &id, reterr);
    if (r < 0)
        return r;
    cli_caveat_store(store);
    if (!job) {
        cli_hint("`cairn jobs` lists the jobs and savepoints of a store");
        return cli_raise(reterr, CAIRN_EINVAL,
                         "'%s' is no snapshot but a whole store: name the directory of a savepoint "
                         "or job in it",
                         path);
    }
    r = cairn_snapshot_open(store, job, id, &snapshot, reterr);
    if (r < 0)
        return r;
    recovery->source_job = cli_printf("%s", cairn_snapshot_job(snapshot));
    memcpy(recovery->source_uuid, cairn_snapshot_record(snapshot)->uuid,
           sizeof recovery->source_uuid);
    return 0;
}

static int check_snapshot(const char *path, struct cli_recovery *recovery, cairn_error **reterr)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    int r = read_snapshot(path, recovery, &error);
    if (r == CAIRN_ENOTFOUND)
        cli_hint("name the directory of a savepoint or job, or leave -s out to go on from the "
                 "job's own newest checkpoint");
    return r < 0 ? cli_raise(reterr, r, "cannot start from '%s': %s", path,
                             cairn_error_message(error))
                 : 0;
}

static void cleanup_recovery(struct cli_recovery **recovery)
{
    cli_recovery_free(*recovery);
}

int cli_recovery_begin(const char *snapshot, const char *claim_mode, const char *store,
                       struct cli_recovery **ret, cairn_error **reterr)
{
    CLI_CLEANUP(cleanup_recovery) struct cli_recovery *recovery = calloc(1, sizeof *recovery);
    if (!recovery)
        return cli_raise(reterr, CAIRN_ENOMEM, "out of memory");
    recovery->uri = cli_path_absolute(snapshot);
    recovery->claim_mode = claim_mode;
    recovery->store = store ? cli_path_absolute(store) : NULL;
    int r = check_snapshot(snapshot, recovery, reterr);
    if (r == 0 && store)
        r = mark_all(recovery, reterr);
    if (r == 0)
        r = hand_over(recovery, reterr);
    if (r < 0)
        return r;
    CLI_AUTO_FREE char *path = cli_text_safe(snapshot);
    fprintf(stderr, "cairn: starting from '%s' (%s)\n", path, claim_mode);
    *ret = recovery;
    recovery = NULL;
    return 0;
}
