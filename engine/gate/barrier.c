/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barriers as bytes, for services whose channels carry bytes. docs/format.md has them.
 *
 * What comes off a wire is believed only if its checksum is right (P11): a record that is taken for
 * a barrier would cut the stream in the wrong place.
 */
#include "base/hash.h"
#include "cairn/gate.h"

#include <string.h>

#define BARRIER_VERSION 1
#define FLAGS_KNOWN (CAIRN_BARRIER_SAVEPOINT | CAIRN_BARRIER_CANCELLED)

/* magic (2), version, flags, id (8), trigger time (8), checksum (4) */
#define AT_VERSION 2
#define AT_FLAGS 3
#define AT_ID 4
#define AT_TIME 12
#define AT_CHECKSUM 20

static const uint8_t magic[AT_VERSION] = {'C', 'B'};

static void put_be(uint8_t *to, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        to[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

static uint64_t get_be(const uint8_t *from, unsigned n)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < n; i++)
        value = value << 8 | from[i];
    return value;
}

static uint32_t checksum_of(const uint8_t *bytes)
{
    return (uint32_t)crn_hash64_of(bytes, AT_CHECKSUM);
}

void cairn_barrier_encode(const cairn_barrier *barrier, uint8_t out[CAIRN_BARRIER_BYTES])
{
    memcpy(out, magic, sizeof magic);
    out[AT_VERSION] = BARRIER_VERSION;
    out[AT_FLAGS] = (uint8_t)(barrier->flags & FLAGS_KNOWN);
    put_be(out + AT_ID, barrier->checkpoint_id, 8);
    put_be(out + AT_TIME, (uint64_t)barrier->trigger_time_ms, 8);
    put_be(out + AT_CHECKSUM, checksum_of(out), 4);
}

int cairn_barrier_decode(const void *data, size_t size, cairn_barrier *ret_barrier)
{
    const uint8_t *bytes = data;
    if (bytes == NULL || ret_barrier == NULL)
        return CAIRN_EINVAL;
    if (size != CAIRN_BARRIER_BYTES || memcmp(bytes, magic, sizeof magic) != 0 ||
        bytes[AT_VERSION] != BARRIER_VERSION || (bytes[AT_FLAGS] & ~FLAGS_KNOWN) != 0 ||
        get_be(bytes + AT_CHECKSUM, 4) != checksum_of(bytes) || get_be(bytes + AT_ID, 8) == 0)
        return CAIRN_ECORRUPT;
    *ret_barrier = (cairn_barrier){
        .checkpoint_id = get_be(bytes + AT_ID, 8),
        .trigger_time_ms = (int64_t)get_be(bytes + AT_TIME, 8),
        .flags = bytes[AT_FLAGS],
    };
    return 0;
}
