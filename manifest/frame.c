/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame: what stands around the payload of every manifest object.
 *
 *   header (40 bytes, little-endian) | payload | XXH3-64 of everything before
 *
 * A reader must be able to say two different things about bytes it cannot use: "these are damaged"
 * and "these are newer than I am" (P8, P10). So three places never move, whatever the version: the
 * magic at the start, the version right behind it, and the checksum in the last 8 bytes. The
 * checksum is looked at before anything but the magic is believed, and it covers the version and
 * the feature bits: a flipped bit there is damage, never "newer".
 *
 * Nothing is allocated by a number out of the header unless the bytes that are really there could
 * have grown to it (P11): LZ4 cannot do better than 255 to 1.
 */
#include "manifest/internal.h"
#include <lz4.h>
#include <string.h>

/* The high first byte, the line ends and the missing final zero show at once a file that went
 * through a conversion of text. */
static const uint8_t magic[8] = {0x89, 'C', 'A', 'I', 'R', 'N', '\r', '\n'};

#define OFFSET_VERSION 8u
#define OFFSET_COMPATIBLE 12u
#define OFFSET_INCOMPATIBLE 16u
#define OFFSET_HEADER_SIZE 20u
#define OFFSET_STORED_SIZE 24u
#define OFFSET_RAW_SIZE 32u

#define KNOWN_INCOMPATIBLE (CRN_FRAME_LZ4 | CRN_FRAME_SLICES)
#define LZ4_RATIO_MAX 255u

static void put_le(uint8_t *at, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *at, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void crn_frame_done(struct crn_frame *frame)
{
    free(frame->owned);
    *frame = (struct crn_frame){0};
}

/* Stores the payload behind the header that `out` ends with; returns how many bytes it took, and
 * adds the bit that says how. Capacity for `size` bytes is there. */
static size_t store_payload(const void *payload, size_t size, struct cairn_buffer *out,
                            uint32_t *incompatible)
{
    uint8_t *to = out->data + out->size;
    /* A capacity one below the payload makes LZ4 give up unless it saves something. */
    int packed = size > 1 ? LZ4_compress_default(payload, (char *)to, (int)size, (int)size - 1) : 0;
    if (packed > 0) {
        *incompatible |= CRN_FRAME_LZ4;
        return (size_t)packed;
    }
    if (size > 0)
        memcpy(to, payload, size);
    return size;
}

int crn_frame_write(const void *payload, size_t size, uint32_t incompatible,
                    struct cairn_buffer *out, cairn_error **reterr)
{
    const size_t overhead = CRN_FRAME_HEADER_SIZE + CRN_FRAME_CHECKSUM_SIZE;
    if (size > CRN_LIMIT_MANIFEST - overhead)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "manifest of %zu bytes is larger than the limit of %u", size,
                            CRN_LIMIT_MANIFEST);
    const size_t start = out->size;
    if (crn_buf_reserve(out, overhead + size) < 0)
        return crn_err_nomem(reterr);
    out->size += CRN_FRAME_HEADER_SIZE;
    const size_t stored = store_payload(payload, size, out, &incompatible);
    out->size += stored;

    uint8_t *header = out->data + start;
    memcpy(header, magic, sizeof magic);
    put_le(header + OFFSET_VERSION, CRN_FRAME_VERSION, 4);
    put_le(header + OFFSET_COMPATIBLE, 0, 4);
    put_le(header + OFFSET_INCOMPATIBLE, incompatible, 4);
    put_le(header + OFFSET_HEADER_SIZE, CRN_FRAME_HEADER_SIZE, 4);
    put_le(header + OFFSET_STORED_SIZE, stored, 8);
    put_le(header + OFFSET_RAW_SIZE, size, 8);
    uint8_t checksum[CRN_FRAME_CHECKSUM_SIZE];
    put_le(checksum, crn_hash64_of(header, out->size - start), sizeof checksum);
    return crn_buf_append(out, checksum, sizeof checksum);
}

/* What an object is called that should have been read from this key. */
static const char *noun(const char *object)
{
    switch (crn_key_parse(object).type) {
    case CRN_KEY_POST:
        return "post";
    case CRN_KEY_MAIL:
        return "mail";
    case CRN_KEY_MANIFEST:
    case CRN_KEY_OBJECT:
    case CRN_KEY_MARK:
    case CRN_KEY_FOREIGN:
        break;
    }
    return "manifest";
}

/* Magic and checksum: are these the bytes that some writer once wrote? */
static int check_whole(const char *object, const uint8_t *data, size_t size, cairn_error **reterr)
{
    if (size < sizeof magic || memcmp(data, magic, sizeof magic) != 0)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object, "'%s' is not a Cairn %s", object,
                            noun(object));
    /* The version field must be there before it can be believed. */
    if (size < OFFSET_VERSION + 4 + CRN_FRAME_CHECKSUM_SIZE)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object, "%s '%s' is cut off after %zu bytes",
                            noun(object), object, size);
    if (size > CRN_LIMIT_MANIFEST)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                            "%s '%s' has %zu bytes, the limit is %u", noun(object), object, size,
                            CRN_LIMIT_MANIFEST);
    const size_t body = size - CRN_FRAME_CHECKSUM_SIZE;
    if (get_le(data + body, CRN_FRAME_CHECKSUM_SIZE) != crn_hash64_of(data, body))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                            "%s '%s' does not match its checksum: damaged or cut off", noun(object),
                            object);
    return 0;
}

/* Version and feature bits: may this reader go on? */
static int check_version(const char *object, const uint8_t *data, size_t size, cairn_error **reterr)
{
    const uint32_t version = (uint32_t)get_le(data + OFFSET_VERSION, 4);
    if (version > CRN_FRAME_VERSION)
        return crn_err_fail(reterr, CAIRN_EVERSION, object,
                            "%s '%s' has format version %u, this library reads up to %u: "
                            "use a newer one",
                            noun(object), object, version, CRN_FRAME_VERSION);
    if (version == 0 || size < CRN_FRAME_HEADER_SIZE + CRN_FRAME_CHECKSUM_SIZE)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                            "%s '%s' has %zu bytes of format version %u, which is not "
                            "possible",
                            noun(object), object, size, version);
    const uint32_t unknown =
        (uint32_t)get_le(data + OFFSET_INCOMPATIBLE, 4) & ~(uint32_t)KNOWN_INCOMPATIBLE;
    if (unknown != 0)
        return crn_err_fail(reterr, CAIRN_EVERSION, object,
                            "%s '%s' uses features (bits 0x%x) that this library does not "
                            "know: use a newer one",
                            noun(object), object, unknown);
    return 0;
}

static int unpack(const char *object, const uint8_t *stored, size_t stored_size, uint64_t raw_size,
                  struct crn_frame *frame, cairn_error **reterr)
{
    if (raw_size > CRN_LIMIT_MANIFEST || raw_size > LZ4_RATIO_MAX * (uint64_t)stored_size)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                            "%s '%s' claims that %zu bytes unpack to %llu", noun(object), object,
                            stored_size, (unsigned long long)raw_size);
    frame->owned = malloc(raw_size > 0 ? raw_size : 1);
    if (frame->owned == NULL)
        return crn_err_nomem(reterr);
    int n = LZ4_decompress_safe((const char *)stored, (char *)frame->owned, (int)stored_size,
                                (int)raw_size);
    if (n < 0 || (uint64_t)n != raw_size)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                            "%s '%s' does not unpack to the %llu bytes that it claims",
                            noun(object), object, (unsigned long long)raw_size);
    frame->payload = frame->owned;
    frame->payload_size = raw_size;
    return 0;
}

int crn_frame_read(const char *object, const void *data, size_t size, struct crn_frame *ret,
                   cairn_error **reterr)
{
    const uint8_t *bytes = data;
    CRN_TRY(check_whole(object, bytes, size, reterr));
    CRN_TRY(check_version(object, bytes, size, reterr));

    const uint64_t header_size = get_le(bytes + OFFSET_HEADER_SIZE, 4);
    const uint64_t stored_size = get_le(bytes + OFFSET_STORED_SIZE, 8);
    const uint64_t raw_size = get_le(bytes + OFFSET_RAW_SIZE, 8);
    const uint64_t body = size - CRN_FRAME_CHECKSUM_SIZE;
    if (header_size < CRN_FRAME_HEADER_SIZE || header_size > body ||
        stored_size != body - header_size)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                            "%s '%s' has %zu bytes, its header describes others", noun(object),
                            object, size);

    CRN_AUTO_FRAME struct crn_frame frame = {
        .version = (uint32_t)get_le(bytes + OFFSET_VERSION, 4),
        .compatible = (uint32_t)get_le(bytes + OFFSET_COMPATIBLE, 4),
        .incompatible = (uint32_t)get_le(bytes + OFFSET_INCOMPATIBLE, 4),
        .payload = bytes + header_size,
        .payload_size = stored_size,
    };
    if ((frame.incompatible & CRN_FRAME_LZ4) != 0)
        CRN_TRY(unpack(object, frame.payload, stored_size, raw_size, &frame, reterr));
    else if (raw_size != stored_size)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, object,
                            "%s '%s' is not packed but has two different lengths", noun(object),
                            object);
    *ret = frame;
    frame = (struct crn_frame){0};
    return 0;
}
