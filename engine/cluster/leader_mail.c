/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the workers say to their coordinator. One round: list the mails, read those that come next
 * of each worker, several at once, turn them into facts under job->lock, remove them.
 *
 * Mails of a worker are dense and are handled in their order; what is listed behind a gap waits for
 * the next round. A worker that nobody waits for any more (it joined too late, or was let go) gets
 * no answer but START, in which it is not; its mails are removed like others.
 *
 * A mail is untrusted (P11): one that cannot be read, or an acknowledgement that does not have
 * exactly the subtasks of its worker, is that worker's failure and reaches no record. Mails are
 * removed when they have been handled, so a crash in between leaves them to whoever takes the job
 * over, who removes the whole board.
 */
#include "engine/cluster/leader_internal.h"

#include "engine/restore/parallel.h"
#include "engine/savepoint/savepoint.h"

#include <string.h>

#define REMOVE_BATCH 500u

struct letter {
    uint8_t worker[16];
    uint64_t number;
    bool is_due; /* to be read in this round */
    bool has_failed;
    struct crn_mail mail; /* empty if it has not been read */
};

struct letters {
    struct crn_leader *leader;
    struct letter *items;
    size_t count, capacity;
};

static void letters_done(struct letters *letters)
{
    for (size_t i = 0; i < letters->count; i++)
        crn_mail_done(&letters->items[i].mail);
    free(letters->items);
}

static int add_letter(void *context, const char *key, const struct crn_key_info *info)
{
    struct letters *letters = context;
    (void)key;
    if (letters->count == letters->capacity) {
        size_t capacity = letters->capacity == 0 ? 64 : letters->capacity * 2;
        struct letter *items = reallocarray(letters->items, capacity, sizeof *items);
        if (items == NULL)
            return CAIRN_ENOMEM;
        letters->items = items;
        letters->capacity = capacity;
    }
    struct letter *letter = &letters->items[letters->count++];
    *letter = (struct letter){.number = info->number};
    memcpy(letter->worker, info->worker, sizeof letter->worker);
    return 0;
}

static int compare_letters(const void *a, const void *b)
{
    const struct letter *x = a, *y = b;
    int order = memcmp(x->worker, y->worker, sizeof x->worker);
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

static struct crn_remote_worker *find_worker_locked(const struct crn_leader *leader,
                                                    const uint8_t uuid[16])
{
    for (size_t i = 0; i < leader->worker_count; i++)
        if (memcmp(leader->workers[i]->uuid, uuid, 16) == 0)
            return leader->workers[i];
    return NULL;
}

/* Which are next in turn, of each worker. */
static void choose_due(struct letters *letters)
{
    const struct crn_leader *leader = letters->leader;
    uint64_t next = 0;
    crn_mutex_lock(&leader->job->lock);
    for (size_t i = 0; i < letters->count; i++) {
        struct letter *letter = &letters->items[i];
        if (i == 0 || memcmp(letter[-1].worker, letter->worker, sizeof letter->worker) != 0) {
            const struct crn_remote_worker *worker = find_worker_locked(leader, letter->worker);
            next = worker != NULL ? worker->next_mail : leader->started ? 0 : 1;
        }
        letter->is_due = next != 0 && letter->number == next;
        next += letter->is_due;
    }
    crn_mutex_unlock(&leader->job->lock);
}

static int read_letter(void *context, size_t i, cairn_error **reterr)
{
    struct letters *letters = context;
    struct letter *letter = &letters->items[i];
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (!letter->is_due)
        return 0;
    int r = crn_board_read_mail(&letters->leader->board, letter->worker, letter->number,
                                &letter->mail, &error);
    /* What is damaged is its worker's trouble; a store that does not answer is everybody's. */
    if (cairn_error_class_of(r) == CAIRN_CLASS_RETRY || r == CAIRN_ENOMEM)
        return crn_err_move(reterr, &error, r);
    letter->has_failed = r < 0;
    if (r < 0)
        crn_log_write(&letters->leader->job->log, CAIRN_LOG_WARNING, "cluster",
                      "what a worker sent cannot be read: %s", cairn_error_message(error));
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * What they say
 * ------------------------------------------------------------------------------------------ */

/* One that comes again under its name takes the place of the one that was there. */
static void forget_namesake_locked(struct crn_leader *leader, const char *name)
{
    for (size_t i = 0; i < leader->worker_count; i++)
        if (strcmp(leader->workers[i]->name, name) == 0) {
            crn_remote_worker_unref(leader->workers[i]);
            leader->worker_count--;
            memmove(&leader->workers[i], &leader->workers[i + 1],
                    (leader->worker_count - i) * sizeof(*leader->workers));
            return;
        }
}

static int take_join_locked(struct crn_leader *leader, struct crn_mail *mail)
{
    struct crn_remote_worker *worker = calloc(1, sizeof *worker);
    struct crn_remote_worker **workers =
        reallocarray(leader->workers, leader->worker_count + 1, sizeof(*workers));
    if (workers != NULL)
        leader->workers = workers;
    if (worker == NULL || workers == NULL) {
        free(worker);
        return CAIRN_ENOMEM;
    }
    atomic_init(&worker->refs, 1);
    memcpy(worker->uuid, mail->worker, sizeof worker->uuid);
    worker->name = CRN_TAKE(mail->name);
    worker->host = CRN_TAKE(mail->host);
    worker->pid = mail->pid;
    worker->subtasks = CRN_TAKE(mail->subtasks);
    worker->subtask_count = mail->subtask_count;
    mail->subtask_count = 0;
    worker->next_mail = 2;
    worker->seen = mail->seen;
    worker->heard_us = crn_now_us();
    forget_namesake_locked(leader, worker->name);
    workers[leader->worker_count++] = worker;
    return 0;
}

static const struct crn_joined_subtask *find_subtask(const struct crn_remote_worker *worker,
                                                     const char *uid, uint32_t index)
{
    for (size_t i = 0; i < worker->subtask_count; i++)
        if (worker->subtasks[i].subtask == index && strcmp(worker->subtasks[i].uid, uid) == 0)
            return &worker->subtasks[i];
    return NULL;
}

/* Exactly its own subtasks; that none comes twice is a rule of records. */
static bool has_own_subtasks(const struct crn_remote_worker *worker,
                             const struct crn_record *record)
{
    size_t count = 0;
    for (size_t o = 0; o < record->operator_count; o++) {
        const struct crn_operator *op = &record->operators[o];
        for (size_t s = 0; s < op->subtask_count; s++, count++) {
            const struct crn_joined_subtask *own =
                find_subtask(worker, op->info.uid, op->subtasks[s].info.index);
            if (own == NULL || own->parallelism != op->info.parallelism ||
                own->max_parallelism != op->info.max_parallelism)
                return false;
        }
    }
    return count == worker->subtask_count;
}

static void decline_locked(struct crn_attempt *attempt, const struct crn_remote_worker *worker,
                           int code, const char *why)
{
    cairn_error *error = NULL;
    (void)crn_err_fail(&error, code, NULL, "worker '%s': %s", worker->name, why);
    crn_attempt_decline_locked(attempt, NULL, code, &error);
    cairn_error_free(error);
}

static void take_ack_locked(struct crn_leader *leader, const struct crn_remote_worker *worker,
                            struct crn_mail *mail)
{
    struct crn_attempt *attempt = crn_flight_find_locked(leader->job, mail->id);
    if (attempt == NULL || worker->index >= attempt->remote_count)
        return; /* over */
    struct crn_remote_part *remote = &attempt->remotes[worker->index];
    const uint64_t base_id = mail->record->info.base_id;
    if (remote->record != NULL)
        return;
    if (!has_own_subtasks(worker, mail->record)) {
        decline_locked(attempt, worker, CAIRN_ECORRUPT,
                       "it acknowledged with other subtasks than it has");
        return;
    }
    if (base_id != 0 && base_id < attempt->remote_floor) {
        decline_locked(attempt, worker, CAIRN_EINTERNAL,
                       "it built on a checkpoint that may be gone");
        return;
    }
    remote->record = CRN_TAKE(mail->record);
    remote->next = attempt->remote_acks;
    attempt->remote_acks = remote;
    if (attempt->savepoint != NULL)
        crn_savepoint_barrier_taken(attempt);
    crn_cond_signal(&leader->job->wake_driver);
}

static void take_decline_locked(struct crn_leader *leader, const struct crn_remote_worker *worker,
                                const struct crn_mail *mail)
{
    struct crn_attempt *attempt = crn_flight_find_locked(leader->job, mail->id);
    if (attempt != NULL && worker->index < attempt->remote_count &&
        attempt->remotes[worker->index].record == NULL)
        decline_locked(attempt, worker, mail->code, mail->text);
}

static void take_leave_locked(struct crn_leader *leader, struct crn_remote_worker *worker,
                              const struct crn_mail *mail)
{
    CRN_AUTO_FREE char *why = NULL;
    (void)crn_str_printf(&why, NULL, "has left: %s", mail->text); /* only words */
    crn_leader_lose_locked(leader, worker, why != NULL ? why : "has left");
}

static int take_letter_locked(struct crn_leader *leader, struct letter *letter)
{
    struct crn_mail *mail = &letter->mail;
    struct crn_remote_worker *worker = find_worker_locked(leader, letter->worker);
    if (worker == NULL) {
        /* It may have started since the letter was chosen: then nobody joins any more. */
        const bool may_join =
            !leader->started && !letter->has_failed && mail->kind == CRN_MAIL_JOIN;
        return may_join ? take_join_locked(leader, mail) : 0;
    }
    worker->next_mail = letter->number + 1;
    worker->heard_us = crn_now_us();
    if (letter->has_failed) {
        crn_leader_lose_locked(leader, worker, "has sent something that cannot be read");
        return 0;
    }
    if (mail->seen > worker->seen)
        worker->seen = mail->seen;
    switch (mail->kind) {
    case CRN_MAIL_ACK:
        take_ack_locked(leader, worker, mail);
        break;
    case CRN_MAIL_DECLINE:
        take_decline_locked(leader, worker, mail);
        break;
    case CRN_MAIL_LEAVE:
        take_leave_locked(leader, worker, mail);
        break;
    case CRN_MAIL_JOIN:
    case CRN_MAIL_ALIVE:
        break;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * What nobody needs any more
 * ------------------------------------------------------------------------------------------ */

struct rubbish {
    char keys[REMOVE_BATCH][CRN_KEY_MAX];
    char *list[REMOVE_BATCH];
    size_t count;
};

static void flush_rubbish(struct crn_leader *leader, struct rubbish *rubbish)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (rubbish->count == 0)
        return;
    crn_pace_book(&leader->pace, crn_now_us(), 1);
    if (crn_board_remove(&leader->board, rubbish->list, rubbish->count, &error) < 0)
        crn_log_write(&leader->job->log, CAIRN_LOG_DEBUG, "cluster",
                      "read mails are left until the job is opened again: %s",
                      cairn_error_message(error));
    rubbish->count = 0;
}

static char *next_key(struct crn_leader *leader, struct rubbish *rubbish)
{
    if (rubbish->count == REMOVE_BATCH)
        flush_rubbish(leader, rubbish);
    char *key = rubbish->keys[rubbish->count];
    rubbish->list[rubbish->count++] = key;
    return key;
}

/* The newest post that every worker has read something after; the newest of all is never below it.
 */
static uint64_t lowest_seen(const struct crn_leader *leader)
{
    uint64_t lowest = UINT64_MAX;
    crn_mutex_lock(&leader->job->lock);
    for (size_t i = 0; i < leader->worker_count && leader->started; i++)
        if (leader->workers[i]->seen < lowest)
            lowest = leader->workers[i]->seen;
    crn_mutex_unlock(&leader->job->lock);
    if (lowest == UINT64_MAX)
        return 0;
    return lowest < leader->next_post ? lowest : leader->next_post - 1;
}

static void remove_read(struct crn_leader *leader, const struct letters *letters)
{
    CRN_AUTO_FREE struct rubbish *rubbish = calloc(1, sizeof *rubbish);
    const uint64_t seen = lowest_seen(leader);
    if (rubbish == NULL)
        return;
    crn_mutex_lock(&leader->job->lock);
    const bool started = leader->started;
    crn_mutex_unlock(&leader->job->lock);
    for (size_t i = 0; i < letters->count; i++) {
        const struct letter *letter = &letters->items[i];
        crn_mutex_lock(&leader->job->lock);
        const struct crn_remote_worker *worker = find_worker_locked(leader, letter->worker);
        const bool is_read = worker != NULL ? letter->number < worker->next_mail : started;
        crn_mutex_unlock(&leader->job->lock);
        if (is_read)
            crn_key_mail(next_key(leader, rubbish), leader->board.epoch, letter->worker,
                         letter->number);
    }
    for (; leader->removed_posts < seen; leader->removed_posts++)
        crn_key_post(next_key(leader, rubbish), leader->board.epoch, leader->removed_posts);
    flush_rubbish(leader, rubbish);
}

/* ------------------------------------------------------------------------------------------ *
 * A round
 * ------------------------------------------------------------------------------------------ */

static int read_due(struct letters *letters, cairn_error **reterr)
{
    struct crn_parallel parallel = {
        .count = letters->count,
        .threads = letters->leader->job->options.transfer_threads,
        .name = "cairn-mail",
        .work = read_letter,
        .context = letters,
    };
    if (letters->count == 0)
        return 0;
    qsort(letters->items, letters->count, sizeof *letters->items, compare_letters);
    choose_due(letters);
    size_t due = 0;
    for (size_t i = 0; i < letters->count; i++)
        due += letters->items[i].is_due;
    crn_pace_book(&letters->leader->pace, crn_now_us(), due);
    if (due == 1)
        parallel.threads = 1;
    return due == 0 ? 0 : crn_parallel_run(&parallel, reterr);
}

/* A store that takes its time, or does not answer, keeps workers as long as it keeps us: that is
 * nobody's silence. From round to round if it fails. */
static void forgive(struct crn_leader *leader, uint64_t began_us, bool has_failed)
{
    const uint64_t now_us = crn_now_us();
    const uint64_t took_us = now_us - (leader->blind_us != 0 ? leader->blind_us : began_us);
    crn_mutex_lock(&leader->job->lock);
    for (size_t i = 0; i < leader->worker_count; i++)
        leader->workers[i]->heard_us += took_us;
    crn_mutex_unlock(&leader->job->lock);
    leader->blind_us = has_failed ? now_us : 0;
}

static int take_all(struct letters *letters)
{
    struct cairn_job *job = letters->leader->job;
    int r = 0;
    crn_mutex_lock(&job->lock);
    for (size_t i = 0; i < letters->count && r == 0; i++)
        if (letters->items[i].is_due)
            r = take_letter_locked(letters->leader, &letters->items[i]);
    crn_mutex_unlock(&job->lock);
    return r;
}

void crn_leader_read_mails(struct crn_leader *leader)
{
    struct cairn_job *job = leader->job;
    CRN_CLEANUP(letters_done) struct letters letters = {.leader = leader};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const uint64_t began_us = crn_now_us();
    const bool was_blind = leader->blind_us != 0;
    crn_pace_book(&leader->pace, began_us, 1);
    int r = crn_board_each_mail(&leader->board, add_letter, &letters, &error);
    if (r == 0)
        r = read_due(&letters, &error);
    forgive(leader, began_us, r < 0);
    if (r == 0)
        leader->listed_us = began_us;
    if (r < 0) { /* nothing of this round has been taken: all of it comes again */
        crn_log_write(&job->log, was_blind ? CAIRN_LOG_DEBUG : CAIRN_LOG_WARNING, "cluster",
                      "job '%s': its workers cannot be heard, trying again: %s", job->name,
                      error != NULL ? cairn_error_message(error) : cairn_error_text(r));
        return;
    }
    /* Out of memory: what was not taken is still there, and comes again. */
    if (take_all(&letters) == 0)
        remove_read(leader, &letters);
}
