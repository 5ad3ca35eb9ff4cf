/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Typed values as bytes, so that their bytewise order is the order of the numbers: the database,
 * the sorted listings and the minimum and maximum functions then need no notion of types. The bytes
 * are part of the format (docs/format.md).
 */

#include "engine/states/keyed.h"
#include <endian.h>
#include <string.h>

#define SIGN_BIT ((uint64_t)1 << 63)

static void store_be64(uint8_t out[8], uint64_t bits)
{
    bits = htobe64(bits);
    memcpy(out, &bits, sizeof(bits));
}

static uint64_t load_be64(const void *data)
{
    uint64_t bits;
    memcpy(&bits, data, sizeof(bits));
    return be64toh(bits);
}

void cairn_encode_int64(int64_t value, uint8_t out[8])
{
    store_be64(out, (uint64_t)value ^ SIGN_BIT);
}

int64_t cairn_decode_int64(const void *data)
{
    return (int64_t)(load_be64(data) ^ SIGN_BIT);
}

/* IEEE 754 numbers sort like sign-and-magnitude integers: positive ones get the sign bit, negative
 * ones are turned over whole. Every bit pattern survives, NaNs and -0.0 included. */
void cairn_encode_double(double value, uint8_t out[8])
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    store_be64(out, (bits & SIGN_BIT) != 0 ? ~bits : bits | SIGN_BIT);
}

double cairn_decode_double(const void *data)
{
    uint64_t bits = load_be64(data);
    bits = (bits & SIGN_BIT) != 0 ? bits ^ SIGN_BIT : ~bits;
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

const char *crn_type_name(cairn_type type)
{
    switch (type) {
    case CAIRN_BYTES:
        return "bytes";
    case CAIRN_INT64:
        return "int64";
    case CAIRN_DOUBLE:
        return "double";
    case CAIRN_STRING:
        return "string";
    case CAIRN_STRUCT:
        return "struct";
    case CAIRN_AVRO:
        return "avro";
    case CAIRN_CUSTOM:
        return "custom";
    }
    return "unknown type";
}

const char *crn_kind_name(cairn_state_kind kind)
{
    switch (kind) {
    case CAIRN_KIND_VALUE:
        return "value";
    case CAIRN_KIND_LIST:
        return "list";
    case CAIRN_KIND_MAP:
        return "map";
    case CAIRN_KIND_REDUCING:
        return "reducing";
    case CAIRN_KIND_AGGREGATING:
        return "aggregating";
    case CAIRN_KIND_OPERATOR_LIST:
        return "operator list";
    case CAIRN_KIND_OPERATOR_UNION:
        return "operator union list";
    case CAIRN_KIND_BROADCAST:
        return "broadcast map";
    }
    return "unknown kind";
}
