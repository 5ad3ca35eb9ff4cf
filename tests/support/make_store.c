/* SPDX-License-Identifier: Apache-2.0 */

/*
 * make_store STORE shop|tiny|many|fresh|failing|saved|stopped|removed: a small store for the tests
 * of the tool, made as any service makes one.
 *
 *   shop  three retained checkpoints (3, 4 and 6), a subsumed one (2), an aborted attempt (5); two
 *         operators, one of them with two subtasks; a state of every kind; nothing inlined
 *   tiny  one checkpoint of one entry
 *   many  one checkpoint of more entries than a pipe holds
 *   fresh no checkpoint yet
 *   failing three aborted attempts, and nothing else
 *   saved checkpoint 2, a canonical savepoint 3 and a native one 4 in STORE.saved, checkpoint 5
 * with one entry changed, one new and one gone; values with fields, expiry, operator state
 *   stopped checkpoint 2, and a canonical savepoint 3 in STORE.saved, with which the job was
 * stopped; its task had finished removed what is left of a job that was cancelled and removed its
 * checkpoint 2
 *
 * make_store newer MANIFEST: gives a manifest a format version from the future, with the right
 * checksum.
 *
 * The wall clock is ours, and no state is written so often that a compaction could begin: what
 * varies from run to run is only durations, sizes in bytes, uuids and names of machines.
 */

#include "base/hash.h"
#include "cairn/cairn.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEW_YEAR_MS 1767225600000 /* 2026-01-01 00:00:00 UTC */
#define MINUTE_MS 60000

static atomic_llong clock_ms = NEW_YEAR_MS;

static int64_t now_ms(void *context)
{
    (void)context;
    return atomic_load(&clock_ms);
}

static cairn_error *error;

static void check(int r)
{
    if (r >= 0)
        return;
    fprintf(stderr, "make_store: %s\n", error ? cairn_error_message(error) : cairn_error_text(r));
    exit(1);
}

struct orders {
    cairn_task *task;
    cairn_value *count, *seen;
    cairn_map *clicks;
    cairn_list *recent;
    cairn_reducing *total;
};

struct source {
    cairn_task *task;
    cairn_operator_list *offsets, *hosts;
    cairn_broadcast *rules;
};

static int refuse(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    (void)task;
    return checkpoint_id == *(const uint64_t *)context ? CAIRN_EUNAVAIL : 0;
}

static void open_orders(cairn_job *job, uint32_t subtask, struct orders *o)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.name = "Orders per customer";
    options.parallelism = 2;
    options.subtask = subtask;
    options.key_type = CAIRN_STRING;
    options.namespace_type = CAIRN_INT64;
    cairn_state_options expiring = CAIRN_STATE_OPTIONS_INIT;
    expiring.ttl_ms = 90 * MINUTE_MS;
    check(cairn_task_open(job, "orders", &options, &o->task, &error));
    check(cairn_value_state(o->task, "count", CAIRN_INT64, NULL, &o->count, &error));
    check(cairn_value_state(o->task, "seen", CAIRN_DOUBLE, &expiring, &o->seen, &error));
    check(cairn_map_state(o->task, "clicks", CAIRN_STRING, CAIRN_INT64, NULL, &o->clicks, &error));
    check(cairn_list_state(o->task, "recent", CAIRN_BYTES, NULL, &o->recent, &error));
    check(cairn_reducing_state(o->task, "total", CAIRN_INT64, cairn_reduce_sum_int64, NULL, NULL,
                               &o->total, &error));
}

static void open_source(cairn_job *job, uint64_t *refused, struct source *s)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.before_barrier = refuse;
    options.context = refused;
    check(cairn_task_open(job, "source", &options, &s->task, &error));
    check(cairn_operator_list_state(s->task, "offsets", CAIRN_SPLIT, CAIRN_INT64, &s->offsets,
                                    &error));
    check(
        cairn_operator_list_state(s->task, "hosts", CAIRN_UNION, CAIRN_STRING, &s->hosts, &error));
    check(cairn_broadcast_state(s->task, "rules", CAIRN_STRING, CAIRN_BYTES, &s->rules, &error));
}

static struct orders *route(struct orders orders[2], const char *customer)
{
    struct orders *o = &orders[cairn_subtask_of_key(customer, strlen(customer), 2, 128)];
    check(cairn_task_set_key(o->task, customer, strlen(customer)));
    return o;
}

/* Ask for a checkpoint and poll every task until it is over. */
static void take(cairn_job *job, cairn_task *const *tasks, size_t count, cairn_event_type expected)
{
    atomic_fetch_add(&clock_ms, MINUTE_MS);
    check(cairn_job_trigger(job, NULL, &error));
    for (size_t over = 0; over < count;) {
        for (size_t i = 0; i < count; i++) {
            cairn_event event;
            check(cairn_task_wait(tasks[i], 1, &event, &error));
            if (event.type != CAIRN_EVENT_COMPLETED && event.type != CAIRN_EVENT_ABORTED)
                continue;
            if (event.type != expected) {
                fprintf(stderr, "make_store: checkpoint %llu ended otherwise than expected\n",
                        (unsigned long long)event.checkpoint_id);
                exit(1);
            }
            over++;
        }
    }
}

/* What each round writes; see the head of this file for why so little. */
static void write_round(struct orders orders[2], struct source *source, int round)
{
    static const char *const customers[] = {"ada", "bob", "J\xc3\xb6rg", "eve\033[31m"};
    check(cairn_operator_list_clear(source->offsets, &error));
    check(cairn_operator_list_add_int64(source->offsets, 100 * round, &error));
    for (size_t i = 0; i < sizeof(customers) / sizeof(customers[0]) && round <= 3; i++) {
        struct orders *o = route(orders, customers[i]);
        check(cairn_value_put_int64(o->count, (int64_t)i - 2 + round, &error));
    }
    if (round == 1) {
        struct orders *o = route(orders, "ada");
        check(cairn_task_set_namespace_int64(o->task, NEW_YEAR_MS));
        check(cairn_map_put(o->clicks, "/cart", 5, "\x80\0\0\0\0\0\0\7", 8, &error));
        check(cairn_map_put(o->clicks, "/", 1, "\x80\0\0\0\0\0\0\1", 8, &error));
        check(cairn_operator_list_add(source->hosts, "alpha", 5, &error));
        check(cairn_broadcast_put(source->rules, "free", 4, "\x00\xff", 2, &error));
        check(cairn_broadcast_put(source->rules, "vip", 3, "always", 6, &error));
    }
    if (round == 2) {
        struct orders *o = route(orders, "bob");
        check(cairn_list_add(o->recent, "tea", 3, &error));
        check(cairn_list_add(o->recent, "\x01\x02", 2, &error));
        check(cairn_reducing_add_int64(o->total, 40, &error));
        check(cairn_reducing_add_int64(o->total, 2, &error));
    }
    if (round == 5) {
        struct orders *o = route(orders, "ada");
        check(cairn_value_put_double(o->seen, 0.1, &error));
    }
}

static void make_shop(cairn_job *job)
{
    uint64_t refused = 5;
    struct orders orders[2];
    struct source source;
    open_orders(job, 0, &orders[0]);
    open_orders(job, 1, &orders[1]);
    open_source(job, &refused, &source);
    check(cairn_job_start(job, &error));
    cairn_task *const tasks[] = {orders[0].task, orders[1].task, source.task};
    for (int round = 1; round <= 5; round++) {
        write_round(orders, &source, round);
        take(job, tasks, 3, round == 4 ? CAIRN_EVENT_ABORTED : CAIRN_EVENT_COMPLETED);
    }
    cairn_job_close(job);
    for (int i = 0; i < 3; i++)
        cairn_task_close(tasks[i]);
}

static void make_counter(cairn_job *job, int64_t count)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_task *task;
    cairn_value *value;
    options.key_type = CAIRN_INT64;
    check(cairn_task_open(job, "counter", &options, &task, &error));
    check(cairn_value_state(task, "value", CAIRN_BYTES, NULL, &value, &error));
    check(cairn_job_start(job, &error));
    for (int64_t key = -7; key < count - 7; key++) {
        check(cairn_task_set_key_int64(task, key));
        check(cairn_value_put(value, "seven", 5, &error));
    }
    if (count > 0)
        take(job, &task, 1, CAIRN_EVENT_COMPLETED);
    cairn_job_close(job);
    cairn_task_close(task);
}

static int refuse_always(void *context, cairn_task *task, uint64_t checkpoint_id)
{
    (void)context;
    (void)task;
    (void)checkpoint_id;
    return CAIRN_EUNAVAIL;
}

static void make_failing(cairn_job *job)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_task *task;
    options.before_barrier = refuse_always;
    check(cairn_task_open(job, "counter", &options, &task, &error));
    check(cairn_job_start(job, &error));
    for (int i = 0; i < 3; i++)
        take(job, &task, 1, CAIRN_EVENT_ABORTED);
    cairn_job_close(job);
    cairn_task_close(task);
}

static cairn_serializer *parcel_serializer(void)
{
    static const cairn_field fields[] = {{.name = "weight", .type = CAIRN_DOUBLE},
                                         {.name = "to", .type = CAIRN_STRING},
                                         {.name = "seal", .type = CAIRN_BYTES}};
    cairn_serializer *serializer;
    check(cairn_struct_serializer("parcel", fields, 3, &serializer, &error));
    return serializer;
}

static void put_parcel(cairn_task *task, cairn_value *parcels, cairn_struct *parcel,
                       const char *key, double weight, const char *to)
{
    const void *data;
    size_t size;
    check(cairn_task_set_key(task, key, strlen(key)));
    check(cairn_struct_set_double(parcel, 0, weight));
    check(cairn_struct_set_bytes(parcel, 1, to, strlen(to)));
    check(cairn_struct_set_bytes(parcel, 2, "\x00\xff", 2));
    check(cairn_struct_encode(parcel, &data, &size, &error));
    check(cairn_value_put(parcels, data, size, &error));
}

static void save(cairn_task *task, const char *target, cairn_savepoint_format format)
{
    cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
    atomic_fetch_add(&clock_ms, MINUTE_MS);
    options.target_uri = target;
    options.format = format;
    check(cairn_task_savepoint(task, &options, NULL, &error));
}

static void make_saved(cairn_job *job, const char *target)
{
    cairn_serializer *serializer = parcel_serializer();
    cairn_struct *parcel;
    cairn_task *task;
    cairn_value *parcels;
    cairn_list *stops;
    cairn_operator_list *position;
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    cairn_state_options with_fields = CAIRN_STATE_OPTIONS_INIT;
    cairn_state_options expiring = CAIRN_STATE_OPTIONS_INIT;
    options.key_type = CAIRN_STRING;
    with_fields.serializer = serializer;
    expiring.ttl_ms = 90 * MINUTE_MS;
    check(cairn_struct_new(serializer, &parcel, &error));
    check(cairn_task_open(job, "parcels", &options, &task, &error));
    check(cairn_value_state(task, "parcel", CAIRN_STRUCT, &with_fields, &parcels, &error));
    check(cairn_list_state(task, "stops", CAIRN_INT64, &expiring, &stops, &error));
    check(cairn_operator_list_state(task, "position", CAIRN_SPLIT, CAIRN_INT64, &position, &error));
    check(cairn_job_start(job, &error));
    put_parcel(task, parcels, parcel, "p1", 0.5, "Ada, \"Love\" Lane");
    check(cairn_list_add_int64(stops, 7, &error));
    check(cairn_list_add_int64(stops, -8, &error));
    put_parcel(task, parcels, parcel, "p2", 2, "Bob");
    check(cairn_operator_list_add_int64(position, 42, &error));
    take(job, &task, 1, CAIRN_EVENT_COMPLETED);
    save(task, target, CAIRN_CANONICAL);
    save(task, target, CAIRN_NATIVE);
    put_parcel(task, parcels, parcel, "p1", 0.75, "Ada, \"Love\" Lane");
    put_parcel(task, parcels, parcel, "p3", 3, "J\xc3\xb6rg");
    check(cairn_task_set_key(task, "p2", 2));
    check(cairn_value_clear(parcels, &error));
    take(job, &task, 1, CAIRN_EVENT_COMPLETED);
    cairn_job_close(job);
    cairn_task_close(task);
    cairn_struct_free(parcel);
    cairn_serializer_release(serializer);
}

/* A checkpoint, and an end. target NULL: the job is cancelled. */
static void make_ended(cairn_job *job, const char *target)
{
    cairn_task *task;
    cairn_value *value;
    check(cairn_task_open(job, "counter", NULL, &task, &error));
    check(cairn_value_state(task, "value", CAIRN_INT64, NULL, &value, &error));
    check(cairn_job_start(job, &error));
    check(cairn_task_set_key(task, "k", 1));
    check(cairn_value_put_int64(value, 7, &error));
    take(job, &task, 1, CAIRN_EVENT_COMPLETED);
    atomic_fetch_add(&clock_ms, MINUTE_MS);
    if (target != NULL) {
        cairn_savepoint_options options = CAIRN_SAVEPOINT_OPTIONS_INIT;
        options.target_uri = target;
        options.stop = 1;
        check(cairn_task_finish(task, &error));
        check(cairn_savepoint(job, &options, NULL, &error));
    } else {
        check(cairn_job_cancel(job, &error));
    }
    cairn_job_close(job);
    cairn_task_close(task);
}

static int make_job(const char *store, const char *name)
{
    char local[4096], saved[4096];
    cairn_job *job;
    cairn_job_options options = CAIRN_JOB_OPTIONS_INIT;
    /* A bucket's URI: behind the path stand the options. */
    const bool is_bucket = strncmp(store, "s3:", 3) == 0;
    const char *end = is_bucket ? strchrnul(store, '?') : store + strlen(store);
    const int n = (int)(end - store);
    const char *scratch = getenv("TMPDIR");
    if (snprintf(saved, sizeof(saved), "%.*s.saved%s", n, store, end) >= (int)sizeof(saved) ||
        (is_bucket
             ? snprintf(local, sizeof(local), "%s/make_store.local", scratch ? scratch : "/tmp")
             : snprintf(local, sizeof(local), "%s.local", store)) >= (int)sizeof(local))
        return 2;
    options.store_uri = store;
    options.local_dir = local;
    options.now_ms = now_ms;
    bool shop = strcmp(name, "shop") == 0, has_files = shop || strcmp(name, "saved") == 0;
    options.num_retained = has_files ? 3 : 1;
    options.inline_threshold_bytes = has_files ? 1 : 1 << 20;
    if (getenv("MAKE_STORE_UNPACKED"))
        options.pack_below_bytes = 1; /* none */
    options.on_cancel = CAIRN_DELETE;
    check(cairn_job_open(name, &options, &job, &error));
    if (shop)
        make_shop(job);
    else if (strcmp(name, "saved") == 0)
        make_saved(job, saved);
    else if (strcmp(name, "stopped") == 0)
        make_ended(job, saved);
    else if (strcmp(name, "removed") == 0)
        make_ended(job, NULL);
    else if (strcmp(name, "failing") == 0)
        make_failing(job);
    else
        make_counter(job, strcmp(name, "many") == 0 ? 20000 : strcmp(name, "fresh") == 0 ? 0 : 1);
    return 0;
}

/* The version stands at offset 8, the XXH3-64 of all before it in the last 8 bytes; see
 * docs/format.md. */
static int make_newer(const char *path)
{
    uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "r+b");
    if (!file)
        return 1;
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    bool good = size >= 24 && size < sizeof(bytes);
    if (good) {
        bytes[8] = 99;
        uint64_t sum = crn_hash64_of(bytes, size - 8);
        for (size_t i = 0; i < 8; i++)
            bytes[size - 8 + i] = (uint8_t)(sum >> (8 * i));
        rewind(file);
        good = fwrite(bytes, 1, size, file) == size;
    }
    return fclose(file) == 0 && good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "newer") == 0)
        return make_newer(argv[2]);
    if (argc == 3)
        return make_job(argv[1], argv[2]);
    fputs("usage: make_store STORE shop|tiny|many|fresh|failing|saved|stopped|removed\n"
          "       make_store newer MANIFEST\n",
          stderr);
    return 2;
}
