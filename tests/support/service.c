/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service that the tests of compatibility run: how its versions open, and what they know by
 * themselves. What is written follows from the key alone, so that a version that was started from
 * nothing but a snapshot can be asked for all of it.
 */
#include "tests/support/service.h"
#include "base/cleanup.h"
#include "tests/support/tap.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HOUR_MS 3600000u
#define MAX_PARALLELISM 128u /* Cairn's for few subtasks */

static const char old_address[] = "{\"type\":\"record\",\"name\":\"address\",\"fields\":["
                                  "{\"name\":\"street\",\"type\":\"string\"},"
                                  "{\"name\":\"city\",\"type\":\"string\"}]}";
static const char new_address[] = "{\"type\":\"record\",\"name\":\"address\",\"fields\":["
                                  "{\"name\":\"city\",\"type\":\"string\"},"
                                  "{\"name\":\"zip\",\"type\":\"long\",\"default\":7}]}";

static const char *address_schema(const struct service *service)
{
    return service->options.new_schemas ? new_address : old_address;
}

static int profile_serializer(const struct service *service, cairn_serializer **ret,
                              cairn_error **reterr)
{
    static const cairn_field old_fields[] = {{"name", CAIRN_STRING, NULL, 0},
                                             {"age", CAIRN_INT64, NULL, 0}};
    static const cairn_field new_fields[] = {{"age", CAIRN_INT64, NULL, 0},
                                             {"email", CAIRN_STRING, "none", 4}};
    return cairn_struct_serializer(
        "profile", service->options.new_schemas ? new_fields : old_fields, 2, ret, reterr);
}

/* ---- opening ---- */

static int add_size(void *context, const void *accumulator, size_t accumulator_size,
                    const void *input, size_t input_size, cairn_buffer *out)
{
    uint8_t bytes[8];
    (void)context;
    (void)input;
    int64_t before = accumulator != NULL ? cairn_decode_int64(accumulator) : 0;
    ck_assert(accumulator == NULL || accumulator_size == 8);
    cairn_encode_int64(before + (int64_t)input_size, bytes);
    return cairn_buffer_append(out, bytes, sizeof bytes);
}

static int open_schemas(const struct service *service, struct service_task *t, cairn_error **reterr)
{
    cairn_serializer *profile = NULL, *address = NULL;
    cairn_state_options options = CAIRN_STATE_OPTIONS_INIT;
    int r = profile_serializer(service, &profile, reterr);
    if (r == 0)
        r = cairn_avro_serializer(address_schema(service), &address, reterr);
    options.serializer = profile;
    if (r == 0)
        r = cairn_value_state(t->task, "profile", CAIRN_STRUCT, &options, &t->profile, reterr);
    options.serializer = address;
    if (r == 0)
        r = cairn_value_state(t->task, "address", CAIRN_AVRO, &options, &t->address, reterr);
    cairn_serializer_release(profile);
    cairn_serializer_release(address);
    return r;
}

static int open_orders(const struct service *service, struct service_task *t, cairn_error **reterr)
{
    static const cairn_aggregate_functions sizes = {.add = add_size};
    const struct service_options *o = &service->options;
    cairn_state_options expiring = CAIRN_STATE_OPTIONS_INIT;
    expiring.ttl_ms = HOUR_MS;
    int r = cairn_value_state(t->task, "total", CAIRN_INT64, o->other_expiry ? &expiring : NULL,
                              &t->total, reterr);
    if (r == 0)
        r = cairn_list_state(t->task, "lines", CAIRN_STRING, NULL, &t->lines, reterr);
    if (r == 0)
        r = cairn_map_state(t->task, "items", CAIRN_STRING, CAIRN_INT64, NULL, &t->items, reterr);
    if (r == 0 && !o->without_sum)
        r = cairn_reducing_state(t->task, "sum", CAIRN_INT64, cairn_reduce_sum_int64, NULL, NULL,
                                 &t->sum, reterr);
    if (r == 0)
        r = cairn_aggregating_state(t->task, "mean", CAIRN_INT64, &sizes, NULL, &t->mean, reterr);
    if (r == 0)
        r = cairn_value_state(t->task, "session", CAIRN_STRING, o->other_expiry ? NULL : &expiring,
                              &t->session, reterr);
    if (r == 0 && o->with_note)
        r = cairn_value_state(t->task, "note", CAIRN_STRING, NULL, &t->note, reterr);
    return r == 0 ? open_schemas(service, t, reterr) : r;
}

static int open_tallies(const struct service *service, struct service_task *t, cairn_error **reterr)
{
    (void)service;
    int r = cairn_value_state(t->task, "seen", CAIRN_INT64, NULL, &t->seen, reterr);
    if (r == 0)
        r = cairn_operator_list_state(t->task, "offsets", CAIRN_SPLIT, CAIRN_INT64, &t->offsets,
                                      reterr);
    if (r == 0)
        r = cairn_operator_list_state(t->task, "peers", CAIRN_UNION, CAIRN_INT64, &t->peers,
                                      reterr);
    if (r == 0)
        r = cairn_broadcast_state(t->task, "rules", CAIRN_STRING, CAIRN_INT64, &t->rules, reterr);
    return r;
}

static int open_operator(struct service *service, const char *uid, cairn_type key_type,
                         struct service_task *tasks,
                         int (*open_states)(const struct service *service, struct service_task *t,
                                            cairn_error **reterr),
                         cairn_error **reterr)
{
    cairn_task_options options = CAIRN_TASK_OPTIONS_INIT;
    options.parallelism = service->options.parallelism;
    options.max_parallelism = service->options.max_parallelism;
    options.key_type = key_type;
    options.namespace_type = CAIRN_STRING;
    options.memtable_bytes = 64 << 10;
    for (uint32_t i = 0; i < options.parallelism; i++) {
        options.subtask = tasks[i].subtask = i;
        int r = cairn_task_open(service->job, uid, &options, &tasks[i].task, reterr);
        if (r == 0)
            r = open_states(service, &tasks[i], reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int open_audit(struct service *service, cairn_error **reterr)
{
    cairn_value *log;
    int64_t number;
    int r = cairn_task_open(service->job, "audit", NULL, &service->audit, reterr);
    if (r == 0)
        r = cairn_value_state(service->audit, "log", CAIRN_INT64, NULL, &log, reterr);
    if (r < 0)
        return r;
    /* A new operator starts empty; the job's next incarnation knows it. */
    bool is_known = service->options.restore_uri == NULL;
    ck_assert_int_eq(cairn_task_set_key(service->audit, "key", 3), 0);
    ck_assert_int_eq(cairn_value_get_int64(log, &number, reterr), is_known);
    return cairn_value_put_int64(log, 1, reterr);
}

/* Every subtask has all elements of a union; the first keeps them. */
static void settle_peers(struct service *service)
{
    size_t size = cairn_operator_list_size(service->tallies[0].peers);
    for (uint32_t i = 1; i < service->options.parallelism; i++) {
        ck_assert_uint_eq(cairn_operator_list_size(service->tallies[i].peers), size);
        CRN_TEST_OK(cairn_operator_list_clear(service->tallies[i].peers, reterr));
    }
}

static int open_tasks(struct service *service, cairn_error **reterr)
{
    const struct service_options *o = &service->options;
    const char *orders = o->orders_uid != NULL ? o->orders_uid : "orders";
    int r = 0;
    for (int turn = 0; turn < 2 && r == 0; turn++) {
        bool is_tallies = (turn == 0) == o->tallies_first;
        if (!is_tallies)
            r = open_operator(service, orders, CAIRN_STRING, service->orders, open_orders, reterr);
        else if (!o->without_tallies)
            r = open_operator(service, "tallies", CAIRN_INT64, service->tallies, open_tallies,
                              reterr);
    }
    if (r == 0 && !o->without_tallies)
        settle_peers(service);
    if (r == 0 && o->with_audit)
        r = open_audit(service, reterr);
    return r == 0 ? cairn_job_start(service->job, reterr) : r;
}

static int64_t read_clock(void *context)
{
    return ((const struct ground *)context)->clock_ms;
}

int service_open(struct ground *ground, const struct service_options *options, struct service *ret,
                 cairn_error **reterr)
{
    char store[SERVICE_PATH_MAX], local[SERVICE_PATH_MAX], name[64];
    cairn_job_options job = CAIRN_JOB_OPTIONS_INIT;
    *ret = (struct service){.ground = ground, .options = *options};
    if (ret->options.parallelism == 0)
        ret->options.parallelism = 2;
    ck_assert_uint_le(ret->options.parallelism, SERVICE_TASKS_MAX);
    (void)snprintf(name, sizeof name, "local-%u", ground->services);
    ground_path(ground, name, local);
    ground_path(ground, "store", store);
    (void)snprintf(ret->name, sizeof ret->name, "service-%u", ground->services++);
    if (options->job != NULL)
        (void)snprintf(ret->name, sizeof ret->name, "%s", options->job);
    job.store_uri = store;
    job.local_dir = local;
    job.num_retained = 2;
    job.inline_threshold_bytes =
        options->inline_threshold_bytes != 0 ? options->inline_threshold_bytes : 1;
    job.state_memory_bytes = 8 << 20;
    job.state_backend = options->backend;
    job.restore_uri = options->restore_uri;
    job.claim_mode = options->claim_mode;
    job.allow_non_restored_state = options->allow_non_restored_state;
    job.now_ms = read_clock;
    job.now_context = ground;
    int r = cairn_job_open(ret->name, &job, &ret->job, reterr);
    if (r == 0)
        r = open_tasks(ret, reterr);
    if (r < 0)
        service_close(ret);
    return r;
}

void service_close(struct service *service)
{
    cairn_job_close(service->job);
    for (uint32_t i = 0; i < SERVICE_TASKS_MAX; i++) {
        cairn_task_close(service->orders[i].task);
        cairn_task_close(service->tallies[i].task);
    }
    cairn_task_close(service->audit);
    *service = (struct service){0};
}

/* ---- what is in it ---- */

/* The subtask that has a key. */
static struct service_task *owner(struct service *service, struct service_task *tasks,
                                  const void *key, size_t size)
{
    uint32_t max = service->options.max_parallelism;
    int subtask = cairn_subtask_of_key(key, size, service->options.parallelism,
                                       max != 0 ? max : MAX_PARALLELISM);
    ck_assert_int_ge(subtask, 0);
    ck_assert_int_eq(cairn_task_set_key(tasks[subtask].task, key, size), 0);
    return &tasks[subtask];
}

static struct service_task *owner_of_order(struct service *service, int key, char text[24])
{
    (void)snprintf(text, 24, "order-%03d", key);
    return owner(service, service->orders, text, strlen(text));
}

static struct service_task *owner_of_tally(struct service *service, int key)
{
    uint8_t bytes[8];
    cairn_encode_int64(key, bytes);
    return owner(service, service->tallies, bytes, sizeof bytes);
}

/* One line of JSON, as the new schemas or the old ones have it. */
static void address_text(char out[128], int key, bool is_new, bool has_zip)
{
    if (is_new)
        (void)snprintf(out, 128, "{\"city\":\"city %d\",\"zip\":%d}", key, has_zip ? key : 7);
    else
        (void)snprintf(out, 128, "{\"street\":\"street %d\",\"city\":\"city %d\"}", key, key);
}

static void write_schemas(struct service *service, struct service_task *t, int key)
{
    cairn_serializer *serializer;
    cairn_struct *record;
    const void *data;
    void *address;
    size_t size;
    char text[128];
    const char *schema = address_schema(service);
    cairn_schema_info info = {.bytes = (const uint8_t *)schema, .size = strlen(schema)};
    CRN_TEST_OK(profile_serializer(service, &serializer, reterr));
    CRN_TEST_OK(cairn_struct_new(serializer, &record, reterr));
    const char *field = service->options.new_schemas ? "email" : "name";
    (void)snprintf(text, sizeof text, "%s %d", field, key);
    ck_assert_int_eq(cairn_struct_set_int64(record, cairn_struct_field(record, "age"), key), 0);
    ck_assert_int_eq(
        cairn_struct_set_bytes(record, cairn_struct_field(record, field), text, strlen(text)), 0);
    CRN_TEST_OK(cairn_struct_encode(record, &data, &size, reterr));
    CRN_TEST_OK(cairn_value_put(t->profile, data, size, reterr));
    cairn_struct_free(record);
    cairn_serializer_release(serializer);

    address_text(text, key, service->options.new_schemas, true);
    CRN_TEST_OK(cairn_value_from_json(CAIRN_AVRO, &info, text, &address, &size, reterr));
    CRN_TEST_OK(cairn_value_put(t->address, address, size, reterr));
    free(address);
}

static void write_order(struct service *service, int key)
{
    char text[24];
    uint8_t number[8];
    struct service_task *t = owner_of_order(service, key, text);
    cairn_encode_int64(key, number);
    CRN_TEST_OK(cairn_value_put_int64(t->total, key * 7, reterr));
    CRN_TEST_OK(cairn_map_put(t->items, "first", 5, number, sizeof number, reterr));
    CRN_TEST_OK(cairn_map_put(t->items, text, strlen(text), number, sizeof number, reterr));
    if (t->sum != NULL) {
        CRN_TEST_OK(cairn_reducing_add_int64(t->sum, key, reterr));
        CRN_TEST_OK(cairn_reducing_add_int64(t->sum, 1, reterr));
    }
    CRN_TEST_OK(cairn_aggregating_add(t->mean, text, strlen(text), reterr));
    CRN_TEST_OK(cairn_aggregating_add(t->mean, "more", 4, reterr));
    CRN_TEST_OK(cairn_value_put_string(t->session, text, reterr));
    if (t->note != NULL)
        CRN_TEST_OK(cairn_value_put_string(t->note, text, reterr));
    write_schemas(service, t, key);
    ck_assert_int_eq(cairn_task_set_namespace(t->task, "window", 6), 0);
    CRN_TEST_OK(cairn_list_add(t->lines, text, strlen(text), reterr));
    CRN_TEST_OK(cairn_list_add(t->lines, "end", 3, reterr));
}

void service_write(struct service *service, int first, int end)
{
    for (int key = first; key < end; key++) {
        write_order(service, key);
        if (service->options.without_tallies)
            continue;
        struct service_task *t = owner_of_tally(service, key);
        CRN_TEST_OK(cairn_value_put_int64(t->seen, key * 3, reterr));
        CRN_TEST_OK(cairn_operator_list_add_int64(t->offsets, key, reterr));
    }
    if (service->options.without_tallies)
        return;
    CRN_TEST_OK(cairn_operator_list_add_int64(service->tallies[0].peers, end, reterr));
    for (uint32_t i = 0; i < service->options.parallelism; i++) {
        uint8_t number[8];
        cairn_encode_int64(end, number);
        CRN_TEST_OK(cairn_broadcast_put(service->tallies[i].rules, "limit", 5, number,
                                        sizeof number, reterr));
    }
}

/* ---- asking for it ---- */

int64_t service_total(struct service *service, int key)
{
    char text[24];
    int64_t number = -1;
    CRN_TEST_OK(cairn_value_get_int64(owner_of_order(service, key, text)->total, &number, reterr));
    return number;
}

bool service_has_session(struct service *service, int key)
{
    char text[24];
    const void *data;
    size_t size;
    struct service_task *t = owner_of_order(service, key, text);
    int r = 0;
    CRN_TEST_OK(r = cairn_value_get(t->session, &data, &size, reterr));
    return r == 1;
}

static void check_text(cairn_value *state, const char *text)
{
    const void *data;
    size_t size;
    cairn_error *error = NULL;
    int r = cairn_value_get(state, &data, &size, &error);
    ck_assert_msg(r == 1, "%d: %s", r, cairn_error_message(error));
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(data, text, size);
}

static void check_schemas(struct service *service, struct service_task *t, int key, bool is_new)
{
    cairn_serializer *serializer;
    cairn_struct *record;
    const void *data, *field;
    size_t size;
    int64_t age;
    char text[128], *json;
    bool reads_new = service->options.new_schemas;
    const char *schema = address_schema(service);
    cairn_schema_info info = {.bytes = (const uint8_t *)schema, .size = strlen(schema)};
    CRN_TEST_OK(profile_serializer(service, &serializer, reterr));
    CRN_TEST_OK(cairn_struct_new(serializer, &record, reterr));
    ck_assert_int_eq(cairn_value_get(t->profile, &data, &size, NULL), 1);
    CRN_TEST_OK(cairn_struct_decode(record, data, size, reterr));
    ck_assert_int_eq(cairn_struct_get_int64(record, cairn_struct_field(record, "age"), &age), 0);
    ck_assert_int_eq(age, key);
    const char *other = reads_new ? "email" : "name";
    (void)snprintf(text, sizeof text, "%s %d", other, key);
    if (reads_new && !is_new)
        (void)snprintf(text, sizeof text, "none");
    ck_assert_int_eq(
        cairn_struct_get_bytes(record, cairn_struct_field(record, other), &field, &size), 0);
    ck_assert_uint_eq(size, strlen(text));
    ck_assert_mem_eq(field, text, size);
    cairn_struct_free(record);
    cairn_serializer_release(serializer);

    address_text(text, key, reads_new, is_new);
    ck_assert_int_eq(cairn_value_get(t->address, &data, &size, NULL), 1);
    CRN_TEST_OK(cairn_value_to_json(CAIRN_AVRO, &info, data, size, &json, reterr));
    ck_assert_str_eq(json, text);
    free(json);
}

static void check_order(struct service *service, int key, bool is_new)
{
    char text[24];
    int64_t number = 0;
    const void *data;
    size_t size;
    struct service_task *t = owner_of_order(service, key, text);
    ck_assert_int_eq(cairn_value_get_int64(t->total, &number, NULL), 1);
    ck_assert_int_eq(number, key * 7);
    ck_assert_int_eq(cairn_map_get(t->items, "first", 5, &data, &size, NULL), 1);
    ck_assert_int_eq(cairn_decode_int64(data), key);
    ck_assert_int_eq(cairn_map_get(t->items, text, strlen(text), &data, &size, NULL), 1);
    ck_assert_int_eq(cairn_decode_int64(data), key);
    if (t->sum != NULL) {
        ck_assert_int_eq(cairn_reducing_get_int64(t->sum, &number, NULL), 1);
        ck_assert_int_eq(number, key + 1);
    }
    ck_assert_int_eq(cairn_aggregating_get(t->mean, &data, &size, NULL), 1);
    ck_assert_int_eq(cairn_decode_int64(data), (int64_t)strlen(text) + 4);
    check_text(t->session, text);
    check_schemas(service, t, key, is_new);
    ck_assert_int_eq(cairn_task_set_namespace(t->task, "window", 6), 0);
    ck_assert_int_eq(cairn_list_load(t->lines, NULL), 2);
    ck_assert_int_eq(cairn_list_at(t->lines, 0, &data, &size), 0);
    ck_assert_mem_eq(data, text, size);
    ck_assert_int_eq(cairn_list_at(t->lines, 1, &data, &size), 0);
    ck_assert_mem_eq(data, "end", size);
}

static void check_tallies(struct service *service, int end)
{
    const void *data;
    size_t size, count = 0;
    int64_t number, sum = 0;
    for (int key = 0; key < end; key++) {
        struct service_task *t = owner_of_tally(service, key);
        ck_assert_int_eq(cairn_value_get_int64(t->seen, &number, NULL), 1);
        ck_assert_int_eq(number, key * 3);
    }
    for (uint32_t i = 0; i < service->options.parallelism; i++) {
        const struct service_task *t = &service->tallies[i];
        for (size_t k = 0; k < cairn_operator_list_size(t->offsets); k++, count++) {
            ck_assert_int_eq(cairn_operator_list_at(t->offsets, k, &data, &size), 0);
            sum += cairn_decode_int64(data);
        }
        ck_assert_uint_eq(cairn_broadcast_size(t->rules), 1);
        ck_assert_int_eq(cairn_broadcast_get(t->rules, "limit", 5, &data, &size), 1);
        ck_assert_int_eq(cairn_decode_int64(data), end);
    }
    ck_assert_uint_eq(count, (size_t)end);
    ck_assert_int_eq(sum, (int64_t)end * (end - 1) / 2);
    const cairn_operator_list *peers = service->tallies[0].peers;
    ck_assert_uint_gt(cairn_operator_list_size(peers), 0);
    ck_assert_int_eq(
        cairn_operator_list_at(peers, cairn_operator_list_size(peers) - 1, &data, &size), 0);
    ck_assert_int_eq(cairn_decode_int64(data), end);
}

void service_check(struct service *service, int first_new, int end)
{
    for (int key = 0; key < end; key++)
        check_order(service, key, key >= first_new);
    for (int key = end; key < end + 5; key++)
        ck_assert_int_eq(service_total(service, key), -1);
    if (!service->options.without_tallies)
        check_tallies(service, end);
}
