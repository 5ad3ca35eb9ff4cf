/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service over a source that can be read again: it follows a Redis stream of orders, keeps count
 * and total for each user, and writes a line for every order. Each order counts once and each line
 * appears once, whatever is killed when.
 *
 *     redis-stream --redis SOCKET|HOST:PORT --stream NAME --results DIR
 *
 * An entry of the stream has the fields `user` and `amount` (XADD orders * user ann amount 7), and
 * gives the line "ID USER COUNT TOTAL" in a file in DIR. One with the field `end` ends the input.
 * Everything about the job is a setting (`cairn help settings`):
 *
 *     CAIRN_STORE=/srv/snapshots CAIRN_LOCAL_DIR=/var/tmp/orders CAIRN_CHECKPOINT_INTERVAL=1s \
 *         cairn run -- redis-stream --redis /run/redis/redis.sock --stream orders --results
 * /srv/orders
 *
 * Three things make it exactly once. The id of the last entry is operator state, so it belongs to
 * the same moment as the counts. The results go through a file sink, whose files appear when a
 * checkpoint that holds their lines is complete. And when the service starts again, it reads on
 * from that id: Redis keeps the entries until they are trimmed. So trim only below what `cairn cat
 * -s position` shows (XTRIM orders MINID that); that more was trimmed is noticed at the start.
 *
 * Redis has to keep what it has acknowledged (appendonly yes). A lost connection ends the service:
 * whoever starts it again, `cairn run` for one, starts it from the newest checkpoint.
 * redis-stream.sh shows all of it.
 */
#include <cairn/cairn.h>

#include <getopt.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MS                                                                                   \
    100 /* a barrier waits that long at the most for a stream in which nothing happens */
#define BATCH 500
#define ID_MAX 48 /* two 64-bit numbers and '-' */

struct service {
    const char *address, *stream, *results;
    redisContext *redis;
    cairn_job *job;
    cairn_task *task;
    cairn_value *counts, *totals;  /* keyed state: of the current user */
    cairn_operator_list *position; /* operator state: id of the last entry that counts */
    cairn_file_sink *sink;
    char id[ID_MAX]; /* the same, now */
    uint64_t orders; /* since this start */
    bool at_end, stopped;
};

static int fail(const char *what, cairn_error *error)
{
    fprintf(stderr, "redis-stream: %s: %s\n", what, cairn_error_message(error));
    cairn_error_free(error);
    return -1;
}

static void print_log(void *context, const cairn_log_line *line)
{
    (void)context;
    fprintf(stderr, "%s: %s\n", line->component, line->message);
}

/* --- the job --- */

static int store_position(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    struct service *s = context;
    (void)task;
    (void)checkpoint_id;
    int r = cairn_operator_list_clear(s->position, NULL);
    return r < 0 ? r : cairn_operator_list_add(s->position, s->id, strlen(s->id), NULL);
}

static int open_job(struct service *s)
{
    cairn_error *error = NULL;
    cairn_settings *settings = NULL;
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    options.checkpoint_interval_ms = 1000;
    options.log = print_log;
    options.log_level = CAIRN_LOG_WARNING;
    int r = cairn_settings_load(NULL, &settings, &error);
    if (r == 0)
        r = cairn_settings_apply(settings, &options, &error);
    if (r == 0)
        r = cairn_job_open("orders", &options, &s->job, &error);
    cairn_settings_free(settings);
    return r < 0 ? fail("cannot open the job", error) : 0;
}

static int open_task(struct service *s)
{
    cairn_error *error = NULL;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_file_sink_options sink_options = CAIRN_FILE_SINK_OPTIONS_INIT;
    options.key_type = CAIRN_STRING;
    options.before_barrier = store_position;
    options.context = s;
    sink_options.directory = s->results;
    sink_options.suffix = ".txt";
    if (cairn_task_open(s->job, "orders-by-user", &options, &s->task, &error) < 0 ||
        cairn_value_state(s->task, "count", CAIRN_INT64, NULL, &s->counts, &error) < 0 ||
        cairn_value_state(s->task, "total", CAIRN_INT64, NULL, &s->totals, &error) < 0 ||
        cairn_operator_list_state(s->task, "position", CAIRN_SPLIT, CAIRN_STRING, &s->position,
                                  &error) < 0 ||
        cairn_file_sink_open(s->task, "results", &sink_options, &s->sink, &error) < 0 ||
        cairn_job_start(s->job, &error) < 0)
        return fail("cannot start", error);
    return 0;
}

/* Go on behind the entry that the restored checkpoint has last. */
static int restore_position(struct service *s)
{
    const void *data;
    size_t size;
    snprintf(s->id, sizeof s->id, "0-0");
    if (cairn_operator_list_at(s->position, 0, &data, &size) == 0) {
        if (size >= sizeof s->id) {
            fprintf(stderr, "redis-stream: the stored position is no entry's id\n");
            return -1;
        }
        memcpy(s->id, data, size);
        s->id[size] = 0;
    }
    printf("reading '%s' on behind %s\n", s->stream, s->id);
    fflush(stdout);
    return 0;
}

/* --- Redis --- */

static int fail_redis(const struct service *s, const redisReply *reply)
{
    fprintf(stderr, "redis-stream: Redis at '%s': %s\n", s->address,
            reply != NULL                       ? reply->str
            : s->redis != NULL && s->redis->err ? s->redis->errstr
                                                : "no answer");
    return -1;
}

static int connect_redis(struct service *s)
{
    const char *colon = strrchr(s->address, ':');
    const struct timeval patience = {.tv_sec = 5};
    if (s->address[0] == '/' || colon == NULL) {
        s->redis = redisConnectUnixWithTimeout(s->address, patience);
    } else {
        char host[256];
        snprintf(host, sizeof host, "%.*s", (int)(colon - s->address), s->address);
        s->redis = redisConnectWithTimeout(host, atoi(colon + 1), patience);
    }
    if (s->redis == NULL || s->redis->err || redisSetTimeout(s->redis, patience) != REDIS_OK)
        return fail_redis(s, NULL);
    return 0;
}

static bool parse_id(const char *text, uint64_t ret[2])
{
    int n = 0;
    return sscanf(text, "%" SCNu64 "-%" SCNu64 "%n", &ret[0], &ret[1], &n) == 2 && text[n] == 0;
}

struct stream_info {
    uint64_t first[2], last[2], deleted[2]; /* ids; deleted: the highest that was, by XDEL */
};

/* The values of these names in the reply, as far as they are there. */
static void parse_info(const redisReply *reply, struct stream_info *ret)
{
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *value = reply->element[i + 1];
        if (name->str == NULL)
            continue;
        if (strcmp(name->str, "first-entry") == 0 && value->elements > 0)
            value = value->element[0];
        uint64_t *id = strcmp(name->str, "first-entry") == 0            ? ret->first
                       : strcmp(name->str, "last-generated-id") == 0    ? ret->last
                       : strcmp(name->str, "max-deleted-entry-id") == 0 ? ret->deleted
                                                                        : NULL;
        if (id != NULL && value->str != NULL)
            (void)parse_id(value->str, id);
    }
}

static bool is_above(const uint64_t a[2], const uint64_t b[2])
{
    return a[0] > b[0] || (a[0] == b[0] && a[1] > b[1]);
}

/* What was trimmed cannot be read again. Trimming takes the lowest ids, so as long as the last
 * entry that counts is there, or one below it, none behind it was taken. */
static int check_trimmed(const struct service *s)
{
    static const uint64_t nothing[2] = {0, 0};
    struct stream_info info = {0};
    uint64_t at[2] = {0, 0};
    redisReply *reply = redisCommand(s->redis, "XINFO STREAM %s", s->stream);
    bool is_missing = reply != NULL && reply->type == REDIS_REPLY_ERROR &&
                      strstr(reply->str, "no such key") != NULL; /* nobody has ordered so far? */
    int r = reply == NULL || (reply->type != REDIS_REPLY_ARRAY && !is_missing)
                ? fail_redis(s, reply)
                : 0;
    if (r == 0 && !is_missing)
        parse_info(reply, &info);
    freeReplyObject(reply);
    (void)parse_id(s->id, at); /* if it is none, XREAD says so */
    if (r < 0 || !is_above(at, nothing))
        return r; /* the first start takes what there is */
    const bool is_empty = !is_above(info.first, nothing);
    if (!is_missing && !is_above(info.deleted, at) &&
        !(is_empty ? is_above(info.last, at) : is_above(info.first, at)))
        return 0;
    fprintf(stderr,
            "redis-stream: entries of '%s' behind %s were trimmed or deleted before they were "
            "read\n",
            s->stream, s->id);
    return -1;
}

/* --- orders --- */

/* Field of an entry; NULL: it has none of that name. */
static const redisReply *field(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (strcmp(fields->element[i]->str, name) == 0)
            return fields->element[i + 1];
    return NULL;
}

static bool parse_amount(const redisReply *text, int64_t *ret)
{
    int n = 0;
    return text != NULL && sscanf(text->str, "%9" SCNd64 "%n", ret, &n) == 1 &&
           (size_t)n == text->len;
}

static int count_order(struct service *s, const char *id, const redisReply *user, int64_t amount)
{
    cairn_error *error = NULL;
    char line[512];
    int64_t count = 0, total = 0;
    if (cairn_task_set_key(s->task, user->str, user->len) < 0 ||
        cairn_value_get_int64(s->counts, &count, &error) < 0 ||
        cairn_value_get_int64(s->totals, &total, &error) < 0 ||
        cairn_value_put_int64(s->counts, ++count, &error) < 0 ||
        cairn_value_put_int64(s->totals, total += amount, &error) < 0)
        return fail("cannot count", error);
    int n = snprintf(line, sizeof line, "%s %.*s %" PRId64 " %" PRId64 "\n", id, (int)user->len,
                     user->str, count, total);
    if (cairn_file_sink_write(s->sink, line, (size_t)n, &error) < 0)
        return fail("cannot write", error);
    s->orders++;
    return 0;
}

/* An entry that is no order is told and passed over: the stream goes on. */
static int process(struct service *s, const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2)
        return fail_redis(s, NULL);
    const char *id = entry->element[0]->str;
    const redisReply *fields = entry->element[1];
    if (field(fields, "end") != NULL) {
        s->at_end = true; /* and the position stays before it, so that a restart sees it, too */
        return 0;
    }
    const redisReply *user = field(fields, "user");
    int64_t amount;
    if (user == NULL || user->len == 0 || user->len > 100 ||
        !parse_amount(field(fields, "amount"), &amount))
        fprintf(stderr, "redis-stream: entry %s is no order\n", id);
    else if (count_order(s, id, user, amount) < 0)
        return -1;
    snprintf(s->id, sizeof s->id, "%s", id);
    return 0;
}

/* Cancelled, or replaced by another process: nobody is to start this one again, so it ends with
 * status 0. Everything else is a failure. */
static int end_or_fail(struct service *s, int code, cairn_error *error)
{
    if (code != CAIRN_ECANCELED && code != CAIRN_EFENCED)
        return fail("stopped", error);
    fprintf(stderr, "redis-stream: %s\n", cairn_error_message(error));
    cairn_error_free(error);
    s->stopped = true;
    return 0;
}

/* The safe point. The savepoint that the job stops with is waited for: nothing is read meanwhile.
 */
static int poll_task(struct service *s)
{
    cairn_event event = {0};
    cairn_error *error = NULL;
    int r = cairn_task_poll(s->task, &event, &error);
    const uint64_t id = event.checkpoint_id;
    bool waits = r == 0 && event.type == CAIRN_EVENT_STOPPING;
    while (r == 0 && waits) {
        r = cairn_task_wait(s->task, 1000, &event, &error);
        waits = event.type != CAIRN_EVENT_STOPPED &&
                (event.type != CAIRN_EVENT_ABORTED || event.checkpoint_id != id);
    }
    if (r < 0)
        return end_or_fail(s, r, error);
    s->stopped = event.type == CAIRN_EVENT_STOPPED;
    return 0;
}

static int process_batch(struct service *s, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_NIL) /* nothing new for BLOCK_MS */
        return poll_task(s);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1)
        return fail_redis(s, reply->type == REDIS_REPLY_ERROR ? reply : NULL);
    const redisReply *entries = reply->element[0]->element[1];
    int r = 0;
    for (size_t i = 0; i < entries->elements && r == 0 && !s->at_end && !s->stopped; i++) {
        r = process(s, entries->element[i]);
        if (r == 0)
            r = poll_task(s);
    }
    return r;
}

static int run(struct service *s)
{
    int r = 0;
    while (r == 0 && !s->at_end && !s->stopped) {
        redisReply *reply = redisCommand(s->redis, "XREAD COUNT %d BLOCK %d STREAMS %s %s", BATCH,
                                         BLOCK_MS, s->stream, s->id);
        r = reply != NULL ? process_batch(s, reply) : fail_redis(s, NULL);
        freeReplyObject(reply);
    }
    return r;
}

/* A last checkpoint, and the event that lets the sink show what belongs to it. */
static int finish(struct service *s)
{
    cairn_event event = {0};
    cairn_error *error = NULL;
    cairn_checkpoint_info info = CAIRN_CHECKPOINT_INFO_INIT;
    int r = cairn_task_checkpoint(s->task, NULL, &info, &error);
    while (r == 0 && (event.type != CAIRN_EVENT_COMPLETED || event.checkpoint_id < info.id))
        r = cairn_task_wait(s->task, 1000, &event, &error);
    return r < 0 ? fail("the last checkpoint", error) : 0;
}

static int parse(struct service *s, int argc, char **argv)
{
    static const struct option options[] = {{"redis", required_argument, NULL, 'r'},
                                            {"stream", required_argument, NULL, 's'},
                                            {"results", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (c) {
        case 'r':
            s->address = optarg;
            break;
        case 's':
            s->stream = optarg;
            break;
        case 'o':
            s->results = optarg;
            break;
        default:
            return -1;
        }
    return s->address && s->stream && s->results && optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct service s = {0};
    if (parse(&s, argc, argv) < 0) {
        fprintf(stderr,
                "usage: redis-stream --redis SOCKET|HOST:PORT --stream NAME --results DIR\n");
        return 2;
    }
    int r = connect_redis(&s);
    if (r == 0)
        r = open_job(&s);
    if (r == 0)
        r = open_task(&s);
    if (r == 0)
        r = restore_position(&s);
    if (r == 0)
        r = check_trimmed(&s);
    if (r == 0)
        r = run(&s);
    if (r == 0 && !s.stopped)
        r = finish(&s);
    if (r == 0)
        printf("%s: %" PRIu64 " orders since this start\n", s.stopped ? "stopped" : "done",
               s.orders);
    cairn_job_close(s.job);
    cairn_task_close(s.task);
    redisFree(s.redis);
    return r == 0 ? 0 : 1;
}
