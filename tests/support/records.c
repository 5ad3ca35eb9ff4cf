/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records for tests. Fixed ones are spelled out; random ones draw every field from a seed, within
 * the rules of docs/format.md, so that a round trip of a few thousand of them has met every field
 * with and without a value.
 */
#include "tests/support/records.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t crn_test_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t crn_test_seed(void)
{
    const char *text = getenv("CAIRN_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("# CAIRN_SEED=%" PRIu64 "\n", seed);
    (void)fflush(stdout);
    return seed;
}

static void *have(void *pointer)
{
    if (pointer == NULL)
        abort();
    return pointer;
}

static void set_text(const char **field, const char *text)
{
    if (crn_record_set_text(field, text) < 0)
        abort();
}

static void set_bytes(const uint8_t **field, size_t *field_size, const void *data, size_t size)
{
    if (crn_record_set_bytes(field, field_size, data, size) < 0)
        abort();
}

static struct crn_record *start(cairn_record_kind kind, uint64_t id, uint64_t log_start,
                                uint64_t epoch)
{
    struct crn_record *record = have(crn_record_new());
    record->info.kind = kind;
    record->info.id = id;
    record->info.log_start = log_start;
    record->info.epoch = epoch;
    for (size_t i = 0; i < sizeof(record->info.uuid); i++)
        record->info.uuid[i] = (uint8_t)(0xa0 + i + id);
    record->has_previous_hash = id > log_start;
    for (size_t i = 0; record->has_previous_hash && i < sizeof(record->previous_hash.bytes); i++)
        record->previous_hash.bytes[i] = (uint8_t)(0x11 + i * 0x2b);
    record->job = have(strdup("orders"));
    record->info.trigger_time_ms = (int64_t)(1700000000000u + id * 10000u);
    record->info.commit_time_ms = record->info.trigger_time_ms + 321;
    record->info.duration_us = 320789;
    set_text(&record->info.host, "node-1");
    record->info.pid = 4711;
    set_text(&record->info.library_version, "0.1.0");
    set_text(&record->info.reason, "");
    return record;
}

static struct crn_operator *add_operator(struct crn_record *record, const char *uid,
                                         uint32_t parallelism, uint32_t max_parallelism)
{
    struct crn_operator *op = have(crn_record_add_operator(record));
    set_text(&op->info.uid, uid);
    set_text(&op->info.name, "");
    op->info.parallelism = parallelism;
    op->info.max_parallelism = max_parallelism;
    return op;
}

static cairn_state_info *add_state(struct crn_operator *op, const char *name, cairn_state_kind kind,
                                   cairn_type value_type)
{
    cairn_state_info *state = have(crn_operator_add_state(op));
    set_text(&state->name, name);
    state->kind = kind;
    state->value_type = value_type;
    return state;
}

static struct crn_subtask *add_subtask(struct crn_operator *op, uint32_t index)
{
    struct crn_subtask *subtask = have(crn_operator_add_subtask(op));
    const uint32_t p = op->info.parallelism, m = op->info.max_parallelism;
    subtask->info.index = index;
    subtask->info.key_group_first = (index * m + p - 1) / p;
    subtask->info.key_group_last = ((index + 1) * m - 1) / p;
    set_text(&subtask->info.backend, "rocksdb");
    for (size_t i = 0; i < sizeof(subtask->info.generation); i++)
        subtask->info.generation[i] = (uint8_t)(0x10 * index + i);
    subtask->info.sequence = 1000;
    subtask->info.barrier_us = 150 + index;
    subtask->info.flush_us = 80000;
    subtask->info.capture_us = 900;
    subtask->info.upload_us = 120000;
    return subtask;
}

static void set_object(struct crn_file *file, uint64_t number)
{
    char key[CRN_KEY_MAX];
    crn_key_object(key, file->info.role == CAIRN_FILE_TABLE, file->info.epoch,
                   file->info.checkpoint_id, number, file->info.name);
    set_text(&file->info.object, key);
}

/* A savepoint shares nothing: its tables are where its other files are. */
static void set_shared(const struct crn_record *record, struct crn_file *file)
{
    char key[CRN_KEY_MAX];
    crn_key_object(key, record->info.kind == CAIRN_RECORD_CHECKPOINT, file->info.epoch,
                   file->info.checkpoint_id, file->info.number, file->info.name);
    set_text(&file->info.object, key);
}

struct crn_file *crn_test_add_table(struct crn_subtask *subtask, uint64_t number, uint64_t size,
                                    uint64_t checkpoint_id, uint64_t epoch)
{
    struct crn_file *file = have(crn_subtask_add_file(subtask));
    char name[32];
    (void)snprintf(name, sizeof(name), "%06" PRIu64 ".sst", number);
    file->info.role = CAIRN_FILE_TABLE;
    set_text(&file->info.name, name);
    file->info.size = size;
    file->info.has_crc32c = 1;
    file->info.crc32c = (uint32_t)(number * 2654435761u + checkpoint_id);
    file->info.checkpoint_id = checkpoint_id;
    file->info.epoch = epoch;
    file->info.number = number;
    file->info.sequence_first = number;
    file->info.sequence_last = number + 10;
    set_bytes(&file->info.smallest, &file->info.smallest_size, "\x01\x02key", 5);
    set_bytes(&file->info.largest, &file->info.largest_size, "\x7f\x02key", 5);
    set_object(file, number);
    return file;
}

void crn_test_pack(struct crn_file *file, bool shared, uint64_t number, uint64_t offset,
                   uint64_t object_size)
{
    char key[CRN_KEY_MAX];
    crn_key_object(key, shared, file->info.epoch, file->info.checkpoint_id, number, CRN_PACK_NAME);
    set_text(&file->info.object, key);
    file->info.object_offset = offset;
    file->info.object_size = object_size;
}

struct crn_file *crn_test_add_inlined(struct crn_subtask *subtask, cairn_file_role role,
                                      const char *name, const void *data, size_t size,
                                      uint64_t checkpoint_id, uint64_t epoch)
{
    struct crn_file *file = have(crn_subtask_add_file(subtask));
    file->info.role = role;
    set_text(&file->info.name, name);
    file->info.size = size;
    if (size > 0) {
        file->inlined = have(malloc(size));
        memcpy(file->inlined, data, size);
    }
    const struct crn_hash128 hash = crn_hash128_of(data, size);
    file->info.has_xxh3 = 1;
    memcpy(file->info.xxh3, hash.bytes, sizeof(hash.bytes));
    file->info.checkpoint_id = checkpoint_id;
    file->info.epoch = epoch;
    return file;
}

static struct crn_file *add_database_object(struct crn_subtask *subtask, const char *name,
                                            uint64_t size, uint64_t checkpoint_id, uint64_t epoch,
                                            uint64_t number)
{
    struct crn_file *file = have(crn_subtask_add_file(subtask));
    file->info.role = CAIRN_FILE_DATABASE;
    set_text(&file->info.name, name);
    file->info.size = size;
    file->info.has_xxh3 = 1;
    memset(file->info.xxh3, (int)(0x30 + number), sizeof(file->info.xxh3));
    file->info.checkpoint_id = checkpoint_id;
    file->info.epoch = epoch;
    set_object(file, number);
    return file;
}

static void add_history(struct crn_record *record, uint64_t id, cairn_record_kind kind)
{
    struct crn_history *entry = have(crn_record_add_history(record));
    entry->info.id = id;
    entry->info.kind = kind;
    entry->info.state = kind == CAIRN_RECORD_ABORTED     ? CAIRN_STATE_ABORTED
                        : kind == CAIRN_RECORD_FENCE     ? CAIRN_STATE_FENCE
                        : kind == CAIRN_RECORD_SAVEPOINT ? CAIRN_STATE_SAVEPOINT
                                                         : CAIRN_STATE_SUBSUMED;
    if (kind == CAIRN_RECORD_SAVEPOINT) {
        set_text(&entry->info.location, "/mnt/elsewhere");
        entry->info.format = id % 2 == 1 ? CAIRN_NATIVE : CAIRN_CANONICAL;
    }
    entry->info.epoch = 1;
    entry->info.trigger_time_ms = (int64_t)(1700000000000u + id * 10000u);
    entry->info.commit_time_ms = entry->info.trigger_time_ms + 100;
    entry->info.duration_us = 99000 + id;
    set_text(&entry->info.reason, kind == CAIRN_RECORD_ABORTED ? "timed out after 600 s" : "");
    if (kind != CAIRN_RECORD_CHECKPOINT)
        return;
    entry->info.barrier_max_us = 180;
    entry->info.full_bytes = 1000000 * id;
    entry->info.new_bytes = 60000 * id;
    entry->info.file_count = 12 + id;
    entry->info.new_file_count = 4;
    entry->info.is_full = id == 2;
}

struct crn_record *crn_test_fence(void)
{
    struct crn_record *record = start(CAIRN_RECORD_FENCE, 3, 2, 2);
    record->info.restored_id = 2;
    crn_record_finish(record);
    return record;
}

struct crn_record *crn_test_aborted(void)
{
    struct crn_record *record = start(CAIRN_RECORD_ABORTED, 5, 4, 1);
    set_text(&record->info.reason, "subtask 1 of 'count': no space left");
    add_history(record, 1, CAIRN_RECORD_FENCE);
    add_history(record, 2, CAIRN_RECORD_CHECKPOINT);
    add_history(record, 3, CAIRN_RECORD_ABORTED);
    add_history(record, 4, CAIRN_RECORD_CHECKPOINT);
    crn_record_finish(record);
    return record;
}

struct crn_record *crn_test_savepoint(void)
{
    struct crn_record *record = start(CAIRN_RECORD_SAVEPOINT, 6, 4, 1);
    record->info.format = CAIRN_NATIVE;
    set_text(&record->info.location, "file:///mnt/savepoints/savepoint-orders-6");
    add_history(record, 4, CAIRN_RECORD_CHECKPOINT);
    add_history(record, 5, CAIRN_RECORD_SAVEPOINT);
    crn_record_finish(record);
    return record;
}

/* Started from another job's snapshot. */
static void set_source(struct crn_record *record, cairn_claim_mode mode)
{
    set_text(&record->info.source_location, "s3://archive/savepoint-old-orders-90");
    set_text(&record->info.source_job, "old-orders");
    record->info.source_id = 90;
    for (size_t i = 0; i < sizeof(record->info.source_uuid); i++)
        record->info.source_uuid[i] = (uint8_t)(0xd0 + i);
    record->info.source_mode = mode;
}

struct crn_record *crn_test_claim(void)
{
    struct crn_record *record = start(CAIRN_RECORD_FENCE, 1, 1, 1);
    set_source(record, CAIRN_CLAIM);
    crn_record_finish(record);
    return record;
}

static void add_schema(cairn_state_info *state, uint32_t tag, const char *name, uint32_t version,
                       const char *data)
{
    const cairn_schema_info schema = {.tag = tag,
                                      .name = name,
                                      .version = version,
                                      .bytes = (const uint8_t *)data,
                                      .size = strlen(data)};
    if (crn_state_add_schema(state, &schema) < 0)
        abort();
}

struct crn_file *crn_test_add_canonical(struct crn_subtask *subtask, uint32_t first, uint32_t last,
                                        uint64_t checkpoint_id, uint64_t epoch, uint64_t number)
{
    struct crn_file *file = have(crn_subtask_add_file(subtask));
    char name[40];
    (void)snprintf(name, sizeof(name), "state-%05" PRIu32 ".cairn", first);
    file->info.role = CAIRN_FILE_CANONICAL;
    set_text(&file->info.name, name);
    file->info.size = 50000 + first;
    file->info.has_xxh3 = 1;
    memset(file->info.xxh3, (int)(0x50 + number), sizeof(file->info.xxh3));
    file->info.has_crc32c = 1;
    file->info.crc32c = (uint32_t)(number * 2654435761u);
    file->info.checkpoint_id = checkpoint_id;
    file->info.epoch = epoch;
    file->info.key_group_first = first;
    file->info.key_group_last = last;
    file->info.entry_count = 1200 + last;
    set_object(file, number);
    return file;
}

/* Two subtasks of keyed state with schemas, in canonical files: of a savepoint or a checkpoint. */
static void add_canonical_operator(struct crn_record *record)
{
    const uint64_t id = record->info.id, epoch = record->info.epoch;
    struct crn_operator *op = add_operator(record, "carts", 2, 128);
    add_schema(add_state(op, "cart", CAIRN_KIND_MAP, CAIRN_STRUCT), 1, "cart", 0, "\x01items");
    add_schema(&op->states[0], 3, "cart", 0, "\x02items and prices");
    op->states[0].map_key_type = CAIRN_STRING;
    add_schema(add_state(op, "last", CAIRN_KIND_VALUE, CAIRN_AVRO), 1, "Order", 0, "\"long\"");
    add_schema(add_state(op, "log", CAIRN_KIND_LIST, CAIRN_CUSTOM), 0, "", 7, "");
    add_state(op, "total", CAIRN_KIND_VALUE, CAIRN_DOUBLE);
    for (uint32_t i = 0; i < 2; i++) {
        struct crn_subtask *subtask = add_subtask(op, i);
        set_text(&subtask->info.backend, "canonical");
        memset(subtask->info.generation, 0, sizeof(subtask->info.generation));
        (void)crn_test_add_canonical(subtask, 64 * i, 64 * i + 31, id, epoch, 10 * i);
        (void)crn_test_add_canonical(subtask, 64 * i + 32, 64 * i + 63, id, epoch, 10 * i + 1);
        (void)crn_test_add_inlined(subtask, CAIRN_FILE_OPERATOR_STATE, "operator-state",
                                   "\0\1position", 10, id, epoch);
    }
}

struct crn_record *crn_test_canonical_savepoint(void)
{
    struct crn_record *record = start(CAIRN_RECORD_SAVEPOINT, 21, 21, 4);
    record->info.restored_id = 17;
    add_canonical_operator(record);
    crn_record_finish(record);
    return record;
}

struct crn_record *crn_test_canonical_checkpoint(void)
{
    struct crn_record *record = start(CAIRN_RECORD_CHECKPOINT, 3, 2, 2);
    record->info.is_full = 1;
    set_source(record, CAIRN_NO_CLAIM);
    add_history(record, 2, CAIRN_RECORD_CHECKPOINT);
    set_text(&record->history[0].info.source_location, record->info.source_location);
    add_canonical_operator(record);
    crn_record_finish(record);
    return record;
}

struct crn_record *crn_test_native_savepoint(void)
{
    struct crn_record *record = start(CAIRN_RECORD_SAVEPOINT, 22, 22, 4);
    record->info.format = CAIRN_NATIVE;
    struct crn_operator *op = add_operator(record, "count", 1, 128);
    add_state(op, "count", CAIRN_KIND_VALUE, CAIRN_INT64);
    struct crn_subtask *subtask = add_subtask(op, 0);
    set_shared(record, crn_test_add_table(subtask, 8, 4096, 22, 4));
    set_shared(record, crn_test_add_table(subtask, 9, 8192, 22, 4));
    (void)add_database_object(subtask, "MANIFEST-000005", 20000, 22, 4, 2);
    (void)crn_test_add_inlined(subtask, CAIRN_FILE_DATABASE, "CURRENT", "MANIFEST-000005\n", 16, 22,
                               4);
    crn_record_finish(record);
    return record;
}

struct crn_record *crn_test_full(void)
{
    struct crn_record *record = start(CAIRN_RECORD_CHECKPOINT, 1, 1, 1);
    record->info.is_full = 1;
    struct crn_operator *op = add_operator(record, "count", 1, 128);
    add_state(op, "count", CAIRN_KIND_VALUE, CAIRN_INT64);
    struct crn_subtask *subtask = add_subtask(op, 0);
    (void)crn_test_add_table(subtask, 8, 4096, 1, 1);
    (void)crn_test_add_inlined(subtask, CAIRN_FILE_DATABASE, "CURRENT", "MANIFEST-000005\n", 16, 1,
                               1);
    crn_record_finish(record);
    return record;
}

/* Operators are added out of order: finishing sorts them. */
struct crn_record *crn_test_checkpoint(void)
{
    struct crn_record *record = start(CAIRN_RECORD_CHECKPOINT, 17, 9, 3);
    record->info.base_id = 9;
    record->info.restored_id = 9;
    add_history(record, 8, CAIRN_RECORD_ABORTED);
    add_history(record, 9, CAIRN_RECORD_CHECKPOINT);

    struct crn_operator *count = add_operator(record, "count-by-word", 2, 128);
    set_text(&count->info.name, "Count by word");
    count->info.key_type = CAIRN_STRING;
    count->info.namespace_type = CAIRN_INT64;
    add_state(count, "count", CAIRN_KIND_VALUE, CAIRN_INT64);
    add_state(count, "seen", CAIRN_KIND_MAP, CAIRN_BYTES)->map_key_type = CAIRN_STRING;
    count->states[1].ttl_ms = 86400000;
    add_state(count, "count", CAIRN_KIND_OPERATOR_LIST, CAIRN_INT64);
    for (uint32_t i = 0; i < 2; i++) {
        struct crn_subtask *subtask = add_subtask(count, 1 - i);
        (void)crn_test_add_table(subtask, 12, 64000, 9, 2);
        struct crn_file *file = crn_test_add_table(subtask, 15 + i, 32000, 17, 3);
        file->state = 1;
        file->info.level = 6;
        file->info.has_xxh3 = 1;
        memset(file->info.xxh3, 0xc3, sizeof(file->info.xxh3));
        (void)add_database_object(subtask, "MANIFEST-000005", 20000, 17, 3, 30 + i);
        (void)crn_test_add_inlined(subtask, CAIRN_FILE_DATABASE, "CURRENT", "MANIFEST-000005\n", 16,
                                   17, 3);
        (void)crn_test_add_inlined(subtask, CAIRN_FILE_OPERATOR_STATE, "operator-state",
                                   "\0\1position", 10, 17, 3);
    }

    struct crn_operator *alerts = add_operator(record, "alerts", 1, 4096);
    add_state(alerts, "rules", CAIRN_KIND_BROADCAST, CAIRN_STRING)->map_key_type = CAIRN_STRING;
    (void)crn_test_add_inlined(add_subtask(alerts, 0), CAIRN_FILE_OPERATOR_STATE, "operator-state",
                               "", 0, 17, 3);
    crn_record_finish(record);
    return record;
}

struct crn_record *crn_test_packed_checkpoint(void)
{
    struct crn_record *record = crn_test_checkpoint();
    record->info.requests = 7;
    record->info.sent_bytes = 123456;
    record->history[1].info.requests = 9;
    record->history[1].info.sent_bytes = 60900;
    struct crn_operator *count = &record->operators[1];
    for (uint32_t i = 0; i < 2; i++) {
        struct crn_subtask *subtask = &count->subtasks[i];
        crn_test_pack(crn_test_add_table(subtask, 20, 1500, 17, 3), true, 50 + i, 0, 4000);
        crn_test_pack(crn_test_add_table(subtask, 21, 2500, 17, 3), true, 50 + i, 1500, 4000);
        for (uint32_t j = 0; j <= 1 + i; j++)
            crn_test_pack(crn_test_add_table(subtask, 3 + j, 1000 * (j + 1), 9, 2), true, 7,
                          500 * j * (j + 1), 6000);
        crn_test_pack(&subtask->files[2], false, 60 + i, 0, 20300);
        crn_test_pack(add_database_object(subtask, "000023.blob", 300, 17, 3, 0), false, 60 + i,
                      20000, 20300);
    }
    crn_record_finish(record);
    return record;
}

struct crn_record *crn_test_many_files(size_t files)
{
    struct crn_record *record = start(CAIRN_RECORD_CHECKPOINT, 9, 9, 2);
    record->info.base_id = 8;
    struct crn_operator *op = add_operator(record, "wide", 1, 128);
    add_state(op, "all", CAIRN_KIND_LIST, CAIRN_BYTES);
    struct crn_subtask *subtask = add_subtask(op, 0);
    subtask->info.sequence = UINT64_MAX;
    for (size_t i = 0; i < files; i++)
        (void)crn_test_add_table(subtask, i + 1, 1000 + i, 1 + i % 9, 1 + (i % 9) / 8);
    crn_record_finish(record);
    return record;
}

static uint64_t below(uint64_t *state, uint64_t n)
{
    return crn_test_random(state) % n;
}

/* Small, large and extreme numbers alike. */
static uint64_t any_number(uint64_t *state)
{
    return crn_test_random(state) >> below(state, 64);
}

static const char *any_text(uint64_t *state)
{
    static const char *const texts[] = {"", "a", "node-1", "\xc3\xa9t\xc3\xa9 \xe2\x82\xac",
                                        "with 'quotes' and / and \\"};
    return texts[below(state, CRN_COUNT(texts))];
}

static void random_table(struct crn_subtask *subtask, const struct crn_record *record,
                         uint64_t number, uint32_t state_count, uint64_t *state)
{
    const bool is_new = record->info.base_id == 0 || below(state, 2) == 0;
    const uint64_t id = is_new ? record->info.id : 1 + below(state, record->info.base_id);
    struct crn_file *file =
        crn_test_add_table(subtask, number, any_number(state) >> 2, id,
                           is_new ? record->info.epoch : 1 + below(state, record->info.epoch));
    set_shared(record, file);
    if (below(state, 3) == 0 &&
        file->info.size > 0) /* with a pack to itself, as far as is known here */
        crn_test_pack(file, record->info.kind == CAIRN_RECORD_CHECKPOINT, crn_test_random(state),
                      below(state, 2) * 7, 7 + file->info.size + below(state, 3));
    file->state = (uint32_t)below(state, state_count);
    file->info.level = (uint32_t)below(state, 7);
    file->info.has_xxh3 = (uint8_t)below(state, 2);
    if (file->info.has_xxh3) {
        memset(file->info.xxh3, (int)below(state, 256), sizeof(file->info.xxh3));
        file->info.has_crc32c = (uint8_t)below(state, 2);
    }
    file->info.crc32c = file->info.has_crc32c ? (uint32_t)any_number(state) : 0;
    file->info.sequence_last = below(state, 1001);
    file->info.sequence_first = below(state, file->info.sequence_last + 1);
    uint8_t key[40];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)crn_test_random(state);
    const size_t size = below(state, sizeof(key));
    set_bytes(&file->info.smallest, &file->info.smallest_size, key, size / 2);
    set_bytes(&file->info.largest, &file->info.largest_size, key, size);
}

static void random_canonical_files(struct crn_subtask *subtask, const struct crn_record *record,
                                   uint64_t *state)
{
    const uint32_t end = subtask->info.key_group_last + 1;
    uint32_t first = subtask->info.key_group_first;
    set_text(&subtask->info.backend, "canonical");
    while (first < end && below(state, 4) > 0) {
        first += (uint32_t)below(state, end - first);
        const uint32_t last = first + (uint32_t)below(state, end - first);
        struct crn_file *file = crn_test_add_canonical(subtask, first, last, record->info.id,
                                                       record->info.epoch, any_number(state));
        file->info.entry_count = any_number(state);
        file->info.has_identity = (uint8_t)below(state, 2);
        for (size_t i = 0; file->info.has_identity && i < sizeof(file->info.identity); i++)
            file->info.identity[i] = (uint8_t)crn_test_random(state);
        first = last + 1;
    }
}

static void random_schemas(cairn_state_info *info, uint64_t *state)
{
    static const cairn_type types[] = {CAIRN_STRUCT, CAIRN_AVRO, CAIRN_CUSTOM};
    info->value_type = types[below(state, CRN_COUNT(types))];
    uint32_t tag = (uint32_t)below(state, 3);
    for (uint64_t n = 1 + below(state, 4); n > 0; n--) {
        const uint32_t version = info->value_type == CAIRN_CUSTOM ? (uint32_t)any_number(state) : 0;
        add_schema(info, tag, any_text(state), version, any_text(state));
        tag += 1 + (uint32_t)below(state, 200);
    }
}

static void random_files(struct crn_subtask *subtask, const struct crn_record *record,
                         uint32_t keyed_count, uint64_t *state)
{
    const uint64_t id = record->info.id, epoch = record->info.epoch;
    uint8_t data[64];
    memset(data, (int)below(state, 256), sizeof(data));
    if (below(state, 2) == 0)
        (void)crn_test_add_inlined(subtask, CAIRN_FILE_OPERATOR_STATE, "operator-state", data,
                                   below(state, sizeof(data)), id, epoch);
    if (below(state, 3) == 0) {
        random_canonical_files(subtask, record, state);
        return;
    }
    if (keyed_count > 0)
        for (uint64_t n = below(state, 5), number = any_number(state) / 2; n > 0; n--)
            random_table(subtask, record, number += 1 + below(state, 3), keyed_count, state);
    if (below(state, 2) == 0)
        (void)add_database_object(subtask, "MANIFEST-000004", any_number(state) >> 1, id, epoch,
                                  any_number(state));
    if (below(state, 2) == 0)
        (void)crn_test_add_inlined(subtask, CAIRN_FILE_DATABASE, "CURRENT", data,
                                   below(state, sizeof(data)), id, epoch);
}

static void random_operator(struct crn_record *record, size_t i, uint64_t *state)
{
    static const uint32_t groups[] = {128, 10, 4096, 32768};
    char name[32];
    (void)snprintf(name, sizeof(name), "op-%zu", i);
    struct crn_operator *op = add_operator(record, name, 1 + (uint32_t)below(state, 5),
                                           groups[below(state, CRN_COUNT(groups))]);
    set_text(&op->info.name, any_text(state));
    op->info.key_type = (cairn_type)below(state, 4);
    op->info.namespace_type = (cairn_type)below(state, 4);
    const uint32_t keyed_count = (uint32_t)below(state, 4);
    for (uint32_t j = 0; j < keyed_count; j++) {
        (void)snprintf(name, sizeof(name), "state-%u", j);
        cairn_state_info *info = add_state(op, name, (cairn_state_kind)(1 + below(state, 5)),
                                           (cairn_type)below(state, 4));
        info->ttl_ms = any_number(state);
        if (info->kind == CAIRN_KIND_MAP)
            info->map_key_type = (cairn_type)below(state, 4);
        if (below(state, 3) == 0)
            random_schemas(info, state);
    }
    if (below(state, 2) == 0)
        add_state(op, "state-0", CAIRN_KIND_BROADCAST, CAIRN_STRING)->map_key_type =
            (cairn_type)below(state, 4);
    for (uint32_t j = op->info.parallelism; j > 0; j--) {
        struct crn_subtask *subtask = add_subtask(op, j - 1);
        subtask->info.barrier_us = any_number(state);
        subtask->info.start_delay_us = any_number(state);
        subtask->info.align_us = any_number(state);
        subtask->info.in_flight_bytes = any_number(state);
        subtask->info.is_finished = any_number(state) % 2 == 1;
        random_files(subtask, record, keyed_count, state);
    }
}

struct crn_record *crn_test_random_record(uint64_t *state)
{
    const cairn_record_kind kind = (cairn_record_kind)(1 + below(state, 4));
    const uint64_t id = 1 + any_number(state) / 2;
    const bool is_pointer = kind == CAIRN_RECORD_SAVEPOINT && below(state, 2) == 0;
    const bool is_alone = kind == CAIRN_RECORD_SAVEPOINT && !is_pointer;
    struct crn_record *record = start(kind, id, is_alone ? id : 1 + below(state, id),
                                      1 + below(state, 1 + any_number(state) / 2));
    record->info.restored_id = below(state, id);
    record->ids_ahead = (uint32_t)below(state, 10);
    record->info.trigger_time_ms = (int64_t)any_number(state) * (below(state, 2) == 0 ? 1 : -1);
    record->info.duration_us = any_number(state);
    record->info.pid = any_number(state);
    record->info.requests = any_number(state);
    record->info.sent_bytes = any_number(state);
    set_text(&record->info.host, any_text(state));
    if (kind == CAIRN_RECORD_ABORTED)
        set_text(&record->info.reason, "because");
    if (is_pointer)
        set_text(&record->info.location, "elsewhere \xe2\x82\xac");
    if (kind == CAIRN_RECORD_SAVEPOINT)
        record->info.format = (cairn_savepoint_format)below(state, 2);
    if (below(state, 2) == 0)
        set_source(record, (cairn_claim_mode)below(state, 3));
    const uint64_t history = is_alone ? 0 : below(state, CRN_LIMIT_HISTORY + 1);
    for (uint64_t i = 1; i <= history && i < id; i++)
        add_history(record, i, (cairn_record_kind)(1 + below(state, 4)));
    if (crn_record_is_restorable(record)) {
        record->info.base_id = is_alone ? 0 : below(state, id);
        record->info.is_full = record->info.base_id == 0 && below(state, 2) == 0;
        for (size_t i = below(state, 4); i > 0; i--)
            random_operator(record, i, state);
    }
    crn_record_finish(record);
    return record;
}
