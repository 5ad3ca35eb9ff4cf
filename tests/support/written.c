/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Savepoints of a known content, through the public calls only: what differs between two shapes
 * follows from the numbers in them.
 */

#include "tests/support/written.h"
#include "base/cleanup.h"
#include "tests/support/entries.h"
#include "tests/support/tap.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OK CRN_TEST_OK

static const cairn_state_info states[] = {
    {.name = "value", .kind = CAIRN_KIND_VALUE, .value_type = CAIRN_INT64},
    {.name = "list", .kind = CAIRN_KIND_LIST, .value_type = CAIRN_STRING, .ttl_ms = 1000},
    {.name = "map",
     .kind = CAIRN_KIND_MAP,
     .value_type = CAIRN_INT64,
     .map_key_type = CAIRN_STRING},
};

static void put_key(cairn_writer *writer, const char *uid, int64_t i, int64_t value)
{
    uint8_t key[8], number[8];
    char text[32];
    cairn_encode_int64(i, key);
    cairn_encode_int64(value, number);
    cairn_entry entry = {.key = key, .key_size = 8, .value = number, .value_size = 8};
    OK(cairn_writer_put(writer, uid, "value", &entry, -1, reterr));
    entry.ns = number;
    entry.ns_size = i % 3 == 0 ? 8 : 0; /* with the value a part of it */
    for (int64_t n = 0; n < i % 4; n++) {
        (void)snprintf(text, sizeof text, "%" PRId64, n * n * n);
        entry.map_key = text;
        entry.map_key_size = strlen(text);
        OK(cairn_writer_put(writer, uid, "map", &entry, -1, reterr));
    }
    entry.map_key_size = 0;
    entry.ns_size = 0;
    entry.value = text;
    for (int64_t n = 0; n < (i + value) % 3; n++) {
        entry.value_size = (size_t)snprintf(text, sizeof text, "%" PRId64, value + n);
        OK(cairn_writer_put(writer, uid, "list", &entry, i, reterr));
    }
}

static void put_operator(cairn_writer *writer, const char *uid, const struct crn_test_shape *shape)
{
    cairn_writer_operator options = CAIRN_WRITER_OPERATOR_INIT;
    options.parallelism = strcmp(uid, "b") == 0 ? 1 : shape->parallelism;
    options.max_parallelism = 128;
    options.key_type = options.namespace_type = CAIRN_INT64;
    OK(cairn_writer_add_operator(writer, uid, &options, reterr));
    for (size_t i = 0; i < CRN_COUNT(states); i++)
        OK(cairn_writer_add_state(writer, uid, &states[i], NULL, reterr));
    for (int64_t i = shape->first; i < shape->end; i++)
        put_key(writer, uid, i, i % 7 == 0 ? i + shape->shift : i);
    if (strcmp(uid, "a") == 0) {
        cairn_state_info info = {.name = "positions", .kind = CAIRN_KIND_OPERATOR_LIST};
        cairn_entry entry = {.value = "position", .value_size = 8};
        OK(cairn_writer_add_state(writer, uid, &info, NULL, reterr));
        OK(cairn_writer_put(writer, uid, "positions", &entry, -1, reterr));
    }
}

void crn_test_write(cairn_store *store, const char *name, const char *scratch,
                    const struct crn_test_shape *shape)
{
    cairn_writer_options options = CAIRN_WRITER_OPTIONS_INIT;
    cairn_commit_options commit = CAIRN_COMMIT_OPTIONS_INIT;
    cairn_writer *writer;
    options.scratch_dir = scratch;
    OK(cairn_writer_open(NULL, &options, &writer, reterr));
    if (shape->only_op != NULL) {
        put_operator(writer, shape->only_op, shape);
    } else {
        put_operator(writer, "b", shape);
        put_operator(writer, "a", shape);
    }
    commit.format = shape->format;
    commit.name = name;
    OK(cairn_writer_commit(writer, store, &commit, NULL, reterr));
    cairn_writer_close(writer);
}
