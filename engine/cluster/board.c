/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Posts and mails in a store: the effects for manifest/cluster.h.
 *
 * A post's number is decided by the store's create-if-absent, as an id of the log is, and an answer
 * that was lost is made up for in the same way: the same bytes are created again until somebody's
 * post is there, and it is compared. Unlike the log, the sequence decides nothing but who speaks:
 * what is committed, the log alone says. So a writer that slept through the removal of a whole
 * board and posts there again is heard by nobody, and harms nobody; the next collection removes it.
 *
 * A coordinator that has been replaced goes on posting until it notices. It makes its posts one
 * after another, each at the number behind the last; whoever replaces it posts at the number behind
 * the newest, and if that is taken meanwhile, at the next. So the successor's post comes right
 * behind some post of the old one, without a gap, and the old one meets it at its own next number
 * (P7).
 *
 * No locks; any thread. @crash a post or mail is there or not, whole; repeating the call settles
 * it.
 */
#include "engine/cluster/board.h"

#include "backends/storage/storage.h"
#include "base/thread.h"
#include "engine/log/joblog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ATTEMPTS 4u /* whoever calls tries again, too */
#define PAUSE_US 10000u
/* Each time the number is taken, the old coordinator has got one further; it has few things to say.
 */
#define REPLACE_ATTEMPTS 1000u
#define BOARDS "cluster/"

/* 10, 20, 40, ... ms, each made up to twice as long by chance, so that writers that collide part.
 */
static void pause_before_retry(unsigned attempt)
{
    const uint64_t base = (uint64_t)PAUSE_US << attempt;
    crn_sleep_us(base + crn_random_u64() % base);
}

static bool is_worth_retry(int r)
{
    return r == CAIRN_EUNKNOWN || r == CAIRN_EUNAVAIL || r == CAIRN_ETIMEOUT;
}

/* --- posts --- */

/* A post on its way. */
struct posting {
    const struct crn_board *board;
    const struct crn_post *post;
    char name[CRN_KEY_MAX]; /* below the job's prefix */
    char *key;
    struct cairn_buffer bytes;
    bool in_doubt;            /* some attempt may have been applied, or may still be */
    bool is_unsure;           /* the same, but by a store that does not keep its contract */
    enum crn_post_kind found; /* of another's post that has the number; 0: not known */
};

static void posting_done(struct posting *posting)
{
    free(posting->key);
    crn_buf_done(&posting->bytes);
}

/* What was read, without its story for people if it is just not there. */
static int get(const struct crn_board *board, const char *name, size_t limit,
               struct cairn_buffer *data, char **ret_key, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_TRY(crn_joblog_key(board->job, name, ret_key, reterr));
    const int r = crn_store_get_bytes(board->store, *ret_key, limit, data, &error);
    if (r == CAIRN_ENOTFOUND)
        return r;
    return r < 0 ? crn_err_move(reterr, &error, r) : 0;
}

/* The decoders name the key below the job's prefix. */
static int of_job(const struct crn_board *board, int r, cairn_error **reterr)
{
    if (r < 0)
        crn_err_prefix(reterr, "job '%s'", board->job);
    return r;
}

static int fail_taken(const struct posting *posting, const struct crn_post *found,
                      cairn_error **reterr)
{
    const bool is_named = found->kind == CRN_POST_REPLACED && found->text[0] != '\0';
    return crn_err_fail(reterr, CAIRN_EFENCED, posting->key,
                        "job '%s' was taken over by %s: '%s' is not this coordinator's",
                        posting->board->job, is_named ? found->text : "another coordinator",
                        posting->key);
}

/* Whose post has the number? 0: this one. */
static int read_back(struct posting *posting, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer data = {0};
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_POST struct crn_post found = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = get(posting->board, posting->name, CRN_LIMIT_POST, &data, &key, &error);
    if (r == CAIRN_ENOTFOUND) /* who removes posts has read on beyond it, or collects the board */
        return crn_err_fail(reterr, CAIRN_EFENCED, posting->key,
                            "job '%s': '%s' was another coordinator's and was removed again",
                            posting->board->job, posting->key);
    if (r == 0 && data.size == posting->bytes.size &&
        memcmp(data.data, posting->bytes.data, data.size) == 0)
        return 0;
    if (r == 0)
        r = crn_post_decode(posting->name, data.data, data.size, &found, &error);
    if (r == CAIRN_EVERSION) /* this library wrote nothing newer than itself */
        return crn_err_fail(
            reterr, CAIRN_EFENCED, posting->key,
            "job '%s': a newer version of Cairn has taken over: '%s' cannot be read",
            posting->board->job, posting->key);
    if (r < 0)
        return crn_err_move(reterr, &error, of_job(posting->board, r, &error));
    if (memcmp(found.uuid, posting->post->uuid, sizeof found.uuid) == 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, posting->key,
                            "job '%s': '%s' has this post's uuid but other bytes",
                            posting->board->job, posting->key);
    posting->found = found.kind;
    return fail_taken(posting, &found, reterr);
}

/* Answers after which a store that does not keep its contract may have it all the same. */
static bool may_stand(int r)
{
    return r == CAIRN_EUNAVAIL || r == CAIRN_EIO;
}

/* Somebody else has the number, or nobody can read who. */
static bool is_read(int r)
{
    return r == CAIRN_EFENCED || cairn_error_class_of(r) == CAIRN_CLASS_DATA;
}

static int settle(struct posting *posting, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_store *store = posting->board->store;
    int r = read_back(posting, &error);
    if (is_read(r))
        return crn_err_move(reterr, &error, r);
    if (r == 0) /* seen is not yet durable */
        r = store->ops->flush(store, &error);
    if (r == 0)
        return 0;
    posting->in_doubt = true; /* somebody has it; not knowing who, or for how long, is the doubt */
    return crn_err_move(reterr, &error, r);
}

/* One try. What is_worth_retry() is not settled. */
static int try_post(struct posting *posting, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    cairn_store *store = posting->board->store;
    const int r =
        store->ops->create(store, posting->key, posting->bytes.data, posting->bytes.size, &error);
    if (r == CAIRN_EEXIST)
        return settle(posting, reterr);
    posting->in_doubt |= r == CAIRN_EUNKNOWN || r == CAIRN_ETIMEOUT;
    posting->is_unsure |= may_stand(r);
    return r < 0 ? crn_err_move(reterr, &error, r) : 0;
}

static int post_and_settle(struct posting *posting, cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r = 0;
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (attempt > 0)
            pause_before_retry(attempt - 1);
        cairn_error_free(CRN_TAKE(error));
        r = try_post(posting, &error);
        if (r == 0)
            return 0;
        if (!is_worth_retry(r))
            break;
    }
    /* An error that is clear now does not clear up an earlier one; what was read does. */
    const bool in_doubt = posting->in_doubt || (posting->is_unsure && !may_stand(r));
    if (is_read(r) || !in_doubt)
        return crn_err_move(reterr, &error, r);
    return crn_err_fail(reterr, CAIRN_EUNKNOWN, posting->key,
                        "job '%s': it is not known whether '%s' was written: %s",
                        posting->board->job, posting->key, cairn_error_message(error));
}

static int post_at(const struct crn_board *board, struct crn_post *post,
                   enum crn_post_kind *ret_found, cairn_error **reterr)
{
    static const uint8_t zeros[sizeof post->uuid];
    CRN_CLEANUP(posting_done) struct posting posting = {.board = board, .post = post};
    if (memcmp(post->uuid, zeros, sizeof zeros) == 0)
        crn_random_bytes(post->uuid, sizeof post->uuid);
    post->epoch = board->epoch;
    crn_key_post(posting.name, post->epoch, post->number);
    CRN_TRY(crn_joblog_key(board->job, posting.name, &posting.key, reterr));
    CRN_TRY(of_job(board, crn_post_encode(post, &posting.bytes, reterr), reterr));
    const int r = post_and_settle(&posting, reterr);
    *ret_found = posting.found;
    return r;
}

int crn_board_post(const struct crn_board *board, struct crn_post *post, cairn_error **reterr)
{
    enum crn_post_kind found;
    return post_at(board, post, &found, reterr);
}

int crn_board_read_post(const struct crn_board *board, uint64_t number, struct crn_post *ret,
                        cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer data = {0};
    CRN_AUTO_FREE char *key = NULL;
    char name[CRN_KEY_MAX];
    crn_key_post(name, board->epoch, number);
    CRN_TRY(get(board, name, CRN_LIMIT_POST, &data, &key, reterr));
    return of_job(board, crn_post_decode(name, data.data, data.size, ret, reterr), reterr);
}

/* --- mails --- */

void crn_unsettled_done(struct crn_unsettled *unsettled)
{
    crn_buf_done(&unsettled->bytes);
    unsettled->name[0] = '\0';
}

/* The same bytes may be put again and again. CAIRN_EUNKNOWN if any try may have been applied. */
static int put_mail(const struct crn_board *board, const char *name,
                    const struct cairn_buffer *bytes, cairn_error **reterr)
{
    CRN_AUTO_FREE char *key = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    bool in_doubt = false;
    int r = 0;
    CRN_TRY(crn_joblog_key(board->job, name, &key, reterr));
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct crn_bytes_source source;
        cairn_put_how how;
        if (attempt > 0)
            pause_before_retry(attempt - 1);
        cairn_error_free(CRN_TAKE(error));
        crn_bytes_source_init(&source, bytes->data, bytes->size);
        r = board->store->ops->put(board->store, key, &source.source, &how, &error);
        in_doubt |= r == CAIRN_EUNKNOWN || r == CAIRN_ETIMEOUT || r == CAIRN_EIO;
        if (!is_worth_retry(r))
            break;
    }
    if (r == 0 || !in_doubt)
        return r < 0 ? crn_err_move(reterr, &error, r) : 0;
    return crn_err_fail(reterr, CAIRN_EUNKNOWN, key,
                        "job '%s': it is not known whether '%s' was written: %s", board->job, key,
                        cairn_error_message(error));
}

static int put_unsettled(const struct crn_board *board, struct crn_unsettled *unsettled,
                         cairn_error **reterr)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (unsettled->bytes.size == 0)
        return 0;
    const int r = put_mail(board, unsettled->name, &unsettled->bytes, &error);
    if (r < 0) /* of the mail behind it nothing is in doubt */
        return crn_err_fail(reterr, r == CAIRN_EUNKNOWN ? CAIRN_EUNAVAIL : r, unsettled->name, "%s",
                            cairn_error_message(error));
    crn_unsettled_done(unsettled);
    return 0;
}

int crn_board_send(const struct crn_board *board, struct crn_mail *mail,
                   struct crn_unsettled *unsettled, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    char name[CRN_KEY_MAX];
    mail->epoch = board->epoch;
    crn_key_mail(name, mail->epoch, mail->worker, mail->number);
    CRN_TRY(of_job(board, crn_mail_encode(mail, &bytes, reterr), reterr));
    CRN_TRY(put_unsettled(board, unsettled, reterr));
    const int r = put_mail(board, name, &bytes, reterr);
    if (r == CAIRN_EUNKNOWN) {
        memcpy(unsettled->name, name, sizeof name);
        unsettled->bytes = bytes;
        bytes = (struct cairn_buffer){0};
    }
    return r;
}

int crn_board_read_mail(const struct crn_board *board, const uint8_t worker[16], uint64_t number,
                        struct crn_mail *ret, cairn_error **reterr)
{
    CRN_AUTO_BUFFER struct cairn_buffer data = {0};
    CRN_AUTO_FREE char *key = NULL;
    char name[CRN_KEY_MAX];
    crn_key_mail(name, board->epoch, worker, number);
    CRN_TRY(get(board, name, CRN_LIMIT_MAIL, &data, &key, reterr));
    return of_job(board, crn_mail_decode(name, data.data, data.size, ret, reterr), reterr);
}

struct mail_listing {
    crn_board_mail_fn fn;
    void *context;
};

static int pass_mail(void *context, const char *key, const cairn_object_stat *stat)
{
    const struct mail_listing *listing = context;
    const struct crn_key_info info = crn_key_parse(key);
    (void)stat;
    return info.type == CRN_KEY_MAIL ? listing->fn(listing->context, key, &info) : 0;
}

int crn_board_each_mail(const struct crn_board *board, crn_board_mail_fn fn, void *context,
                        cairn_error **reterr)
{
    struct mail_listing listing = {fn, context};
    char prefix[CRN_KEY_MAX];
    crn_key_mails(prefix, board->epoch);
    return crn_joblog_list(board->store, board->job, prefix, pass_mail, &listing, reterr);
}

static void free_keys(char **keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(keys[i]);
    free(keys);
}

int crn_board_remove(const struct crn_board *board, char *const *keys, size_t n,
                     cairn_error **reterr)
{
    if (n == 0)
        return 0;
    char **full = calloc(n, sizeof *full);
    if (full == NULL)
        return crn_err_nomem(reterr);
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = crn_joblog_key(board->job, keys[i], &full[i], reterr);
    if (r == 0)
        r = board->store->ops->remove(board->store, (const char *const *)full, n, reterr);
    free_keys(full, n);
    return r;
}

/* --- boards --- */

/* Epochs below a limit that may have a board, as directories tell. */
struct epochs {
    const char *prefix;
    uint64_t limit;
    uint64_t highest;
};

/* "e7/" is the directory of epoch 7 if it could be a post's. */
static int note_directory(void *context, const char *segment, const cairn_object_stat *stat)
{
    struct epochs *epochs = context;
    char key[CRN_KEY_MAX];
    if (stat != NULL || snprintf(key, sizeof key, BOARDS "%spost-1", segment) >= (int)sizeof key)
        return 0;
    const struct crn_key_info info = crn_key_parse(key);
    if (info.type == CRN_KEY_POST && info.epoch < epochs->limit && info.epoch > epochs->highest)
        epochs->highest = info.epoch;
    return 0;
}

/* The highest number that a post of the epoch has; 0: no post is there. */
static int note_post(void *context, const char *key, const cairn_object_stat *stat)
{
    uint64_t *highest = context;
    const struct crn_key_info info = crn_key_parse(key);
    (void)stat;
    if (info.type == CRN_KEY_POST && info.number > *highest)
        *highest = info.number;
    return 0;
}

static int find_newest_post(const struct crn_board *board, uint64_t *ret, cairn_error **reterr)
{
    char prefix[CRN_KEY_MAX];
    (void)snprintf(prefix, sizeof prefix, BOARDS "e%" PRIu64 "/post-", board->epoch);
    *ret = 0;
    return crn_joblog_list(board->store, board->job, prefix, note_post, ret, reterr);
}

/* The highest epoch below the limit that has a post, and that post; both 0: none. A directory
 * without one is what late mails leave. */
static int find_board(cairn_store *store, const char *job, uint64_t limit, uint64_t *ret_epoch,
                      uint64_t *ret_number, cairn_error **reterr)
{
    CRN_AUTO_FREE char *prefix = NULL;
    CRN_TRY(crn_joblog_key(job, BOARDS, &prefix, reterr));
    for (;;) {
        struct epochs epochs = {.limit = limit};
        CRN_TRY(store->ops->list_segments(store, prefix, note_directory, &epochs, reterr));
        *ret_epoch = epochs.highest;
        *ret_number = 0;
        if (epochs.highest == 0)
            return 0;
        const struct crn_board board = {store, job, epochs.highest};
        CRN_TRY(find_newest_post(&board, ret_number, reterr));
        if (*ret_number > 0)
            return 0;
        limit = epochs.highest;
    }
}

int crn_board_newest(cairn_store *store, const char *job, uint64_t *ret_epoch, cairn_error **reterr)
{
    uint64_t epoch = 0, number = 0;
    CRN_TRY(find_board(store, job, UINT64_MAX, &epoch, &number, reterr));
    *ret_epoch = epoch;
    return 0;
}

static bool is_last(enum crn_post_kind kind)
{
    return kind == CRN_POST_ENDED || kind == CRN_POST_REPLACED;
}

/* 1: nobody posts behind this one; 0: somebody may, as far as can be told. */
static int look_whether_last(const struct crn_board *board, uint64_t number, cairn_error **reterr)
{
    CRN_AUTO_POST struct crn_post post = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    const int r = crn_board_read_post(board, number, &post, &error);
    if (r == 0)
        return is_last(post.kind);
    /* One that cannot be read has its number all the same. */
    if (r == CAIRN_ENOTFOUND || cairn_error_class_of(r) == CAIRN_CLASS_DATA)
        return 0;
    return crn_err_move(reterr, &error, r);
}

int crn_board_replace(const struct crn_board *board, const char *words, cairn_error **reterr)
{
    struct crn_board old = *board;
    uint64_t number = 0;
    CRN_TRY(find_board(board->store, board->job, board->epoch, &old.epoch, &number, reterr));
    const int last = old.epoch == 0 ? 1 : look_whether_last(&old, number, reterr);
    if (last != 0)
        return last < 0 ? last : 0;
    for (unsigned attempt = 0; attempt < REPLACE_ATTEMPTS; attempt++) {
        CRN_AUTO_ERROR cairn_error *error = NULL;
        enum crn_post_kind found;
        number++;
        struct crn_post post = {
            .kind = CRN_POST_REPLACED, .number = number, .text = (char *)(uintptr_t)words};
        const int r = post_at(&old, &post, &found, &error);
        if (r == 0 || (r == CAIRN_EFENCED && is_last(found)))
            return 0;
        if (!is_read(r))
            return crn_err_move(reterr, &error, r);
    }
    return crn_err_fail(reterr, CAIRN_EBUSY, board->job,
                        "job '%s': the coordinator of epoch %" PRIu64
                        ", which is to be replaced, keeps posting: try again",
                        board->job, old.epoch);
}
