/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as what the database holds: a composite key, a value with and without its time,
 * a list (P11). Each has one spelling, so what can be taken apart gives the same bytes when it is
 * put together again. The first 24 bytes are also a time, a duration and a clock.
 */
#include "backends/state/keys.h"
#include "backends/state/values.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void must_be(const struct cairn_buffer *bytes, const uint8_t *data, size_t size)
{
    crn_fuzz_must(bytes->size == size && (size == 0 || memcmp(bytes->data, data, size) == 0));
}

static void check_key(const uint8_t *data, size_t size, uint32_t max_parallelism)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    struct crn_key_parts parts;
    if (!crn_key_split(data, size, max_parallelism, &parts))
        return;
    crn_fuzz_must(
        crn_key_start(&bytes, parts.key_group, max_parallelism, parts.key, parts.key_size) == 0);
    crn_fuzz_must(crn_key_add_namespace(&bytes, parts.ns, parts.ns_size) == 0);
    crn_fuzz_must(crn_buf_append(&bytes, parts.map_key, parts.map_key_size) == 0);
    must_be(&bytes, data, size);
}

static void check_value(const uint8_t *data, size_t size, bool has_ttl)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    const uint8_t *value;
    size_t value_size;
    int64_t written_ms;
    if (!crn_value_split(data, size, has_ttl, &written_ms, &value, &value_size))
        return;
    crn_fuzz_must(crn_value_append(&bytes, has_ttl, written_ms, value, value_size) == 0);
    must_be(&bytes, data, size);
}

static void check_list(const uint8_t *data, size_t size, bool has_ttl)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    struct crn_reader reader = {.data = data, .size = size};
    struct crn_list_element element;
    int r;
    while ((r = crn_list_next_element(&reader, has_ttl, &element)) > 0)
        crn_fuzz_must(crn_list_append_element(&bytes, has_ttl, element.written_ms, element.data,
                                              element.size) == 0);
    crn_fuzz_must(r == 0 || r == CAIRN_ECORRUPT);
    must_be(&bytes, data, reader.position);
    crn_fuzz_must((r == 0) == (reader.position == size));
}

static void check_time(const uint8_t *data, size_t size)
{
    struct crn_reader reader = {.data = data, .size = size};
    uint64_t written, ttl_ms, now;
    if (!crn_read_be64(&reader, &written) || !crn_read_be64(&reader, &ttl_ms) ||
        !crn_read_be64(&reader, &now))
        return;
    __extension__ typedef __int128 wide;
    wide end = (wide)(int64_t)written + (wide)ttl_ms;
    bool expired = ttl_ms > 0 && end <= (int64_t)now;
    crn_fuzz_must(crn_ttl_expired((int64_t)written, ttl_ms, (int64_t)now) == expired);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t max_parallelisms[] = {1, 128, 129, 32768};
    for (size_t i = 0; i < CRN_COUNT(max_parallelisms); i++)
        check_key(data, size, max_parallelisms[i]);
    for (int has_ttl = 0; has_ttl <= 1; has_ttl++) {
        check_value(data, size, has_ttl);
        check_list(data, size, has_ttl);
    }
    check_time(data, size);
    return 0;
}
