/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of a canonical file: packing, checksum, unpacking.
 *
 * A block is a header and stored bytes: the entries as they are, or one LZ4 frame with independent
 * blocks and the content's size, whichever is smaller. LZ4's own content checksum is left out:
 * ours, XXH3-64 over header and stored bytes, is looked at before anything is unpacked, and costs a
 * tenth. Its seed is the file's: a block of another file is found out like a damaged one.
 *
 * Unpacking trusts nothing (P11): a raw size that LZ4 could not have reached is refused before
 * memory is taken for it, and the frame must give exactly that size from exactly the stored bytes.
 */
#include "backends/state/canonical_internal.h"

#include <lz4frame.h>

/* LZ4 trades ratio for speed with it: half of a typical value does not shrink, and it looks there
 * in larger steps. */
#define LZ4_LEVEL (-4)
#define PACK_MIN 64u /* below, a frame's own bytes eat the gain */

static LZ4F_preferences_t preferences(size_t raw_size)
{
    return (LZ4F_preferences_t){.frameInfo = {.blockSizeID = LZ4F_max4MB,
                                              .blockMode = LZ4F_blockIndependent,
                                              .contentSize = raw_size},
                                .compressionLevel = LZ4_LEVEL,
                                .autoFlush = 1};
}

int crn_canonical_block_encode(const struct crn_canonical_block *block, const uint8_t *raw,
                               uint64_t seed, struct cairn_buffer *out)
{
    LZ4F_preferences_t lz4 = preferences(block->raw_size);
    size_t bound = LZ4F_compressFrameBound(block->raw_size, &lz4);
    size_t packed = SIZE_MAX;

    CRN_TRY(crn_buf_reserve(out, CRN_CANONICAL_BLOCK_HEADER + bound));
    uint8_t *header = out->data + out->size, *stored = header + CRN_CANONICAL_BLOCK_HEADER;
    if (block->raw_size >= PACK_MIN)
        packed = LZ4F_compressFrame(stored, bound, raw, block->raw_size, &lz4);
    /* An error of LZ4 is a size beyond all others: then, too, the bytes are stored as they are. */
    bool is_packed = packed < block->raw_size;
    uint32_t stored_size = is_packed ? (uint32_t)packed : block->raw_size;
    if (!is_packed)
        memcpy(stored, raw, block->raw_size);
    crn_put_le32(header + 8, stored_size);
    crn_put_le32(header + 12, block->raw_size);
    crn_put_le32(header + 16, block->entry_count);
    crn_put_le32(header + 20, is_packed ? CRN_CANONICAL_BLOCK_LZ4 : 0);
    crn_put_le16(header + 24, block->state);
    crn_put_le16(header + 26, block->key_group);
    crn_put_le64(
        header,
        crn_hash64_seeded(header + 8, CRN_CANONICAL_BLOCK_HEADER - 8 + (size_t)stored_size, seed));
    out->size += CRN_CANONICAL_BLOCK_HEADER + (size_t)stored_size;
    return 0;
}

bool crn_canonical_block_decode(const uint8_t *data, struct crn_canonical_block *ret)
{
    *ret = (struct crn_canonical_block){.stored_size = crn_get_le32(data + 8),
                                        .raw_size = crn_get_le32(data + 12),
                                        .entry_count = crn_get_le32(data + 16),
                                        .flags = crn_get_le32(data + 20),
                                        .state = crn_get_le16(data + 24),
                                        .key_group = crn_get_le16(data + 26)};
    if (ret->entry_count == 0 || ret->entry_count > ret->raw_size / CRN_CANONICAL_ENTRY_MIN)
        return false;
    if (ret->flags == 0)
        return ret->stored_size == ret->raw_size;
    return ret->flags == CRN_CANONICAL_BLOCK_LZ4 && ret->stored_size < ret->raw_size &&
           ret->raw_size / CRN_CANONICAL_LZ4_RATIO_MAX <= ret->stored_size;
}

bool crn_canonical_block_intact(const uint8_t *data, const struct crn_canonical_block *block,
                                uint64_t seed)
{
    size_t size = CRN_CANONICAL_BLOCK_HEADER - 8 + (size_t)block->stored_size;
    return crn_get_le64(data) == crn_hash64_seeded(data + 8, size, seed);
}

/* ---- unpacking ---- */

struct crn_canonical_unpacker {
    LZ4F_dctx *lz4;
};

void crn_canonical_unpacker_free(struct crn_canonical_unpacker *unpacker)
{
    if (!unpacker)
        return;
    (void)LZ4F_freeDecompressionContext(unpacker->lz4);
    free(unpacker);
}

static int unpacker_new(struct crn_canonical_unpacker **ret)
{
    struct crn_canonical_unpacker *unpacker = calloc(1, sizeof(*unpacker));
    if (!unpacker || LZ4F_isError(LZ4F_createDecompressionContext(&unpacker->lz4, LZ4F_VERSION))) {
        free(unpacker);
        return CAIRN_ENOMEM;
    }
    *ret = unpacker;
    return 0;
}

/* LZ4 unpacks in place only what has room for a whole block of its own, else by way of a copy. */
static size_t room_for(size_t raw_size)
{
    static const size_t blocks[] = {(size_t)64 << 10, (size_t)256 << 10, (size_t)1 << 20};
    for (size_t i = 0; i < CRN_COUNT(blocks); i++)
        if (raw_size <= blocks[i])
            return blocks[i];
    return raw_size + ((size_t)4 << 20);
}

static bool frame_keeps_rules(const LZ4F_frameInfo_t *frame, size_t raw_size)
{
    return frame->contentSize == raw_size && frame->frameType == LZ4F_frame &&
           frame->blockMode == LZ4F_blockIndependent && frame->dictID == 0 &&
           frame->contentChecksumFlag == LZ4F_noContentChecksum &&
           frame->blockChecksumFlag == LZ4F_noBlockChecksum;
}

/* What an error of LZ4 is for us: damage, unless it got no memory. */
static int failure_of(size_t code)
{
    return strstr(LZ4F_getErrorName(code), "allocation") ? CAIRN_ENOMEM : CAIRN_ECORRUPT;
}

static int unpack(LZ4F_dctx *lz4, const uint8_t *stored, size_t stored_size, uint8_t *raw,
                  size_t room, size_t raw_size)
{
    const LZ4F_decompressOptions_t options = {.stableDst = 1};
    LZ4F_frameInfo_t frame;
    size_t used = stored_size, made = 0;

    LZ4F_resetDecompressionContext(lz4);
    size_t hint = LZ4F_getFrameInfo(lz4, &frame, stored, &used);
    if (LZ4F_isError(hint))
        return failure_of(hint);
    if (!frame_keeps_rules(&frame, raw_size))
        return CAIRN_ECORRUPT;
    do {
        size_t in = stored_size - used, out = room - made;
        hint = LZ4F_decompress(lz4, raw + made, &out, stored + used, &in, &options);
        if (LZ4F_isError(hint))
            return failure_of(hint);
        used += in;
        made += out;
        if (made > raw_size || (hint != 0 && in == 0 && out == 0))
            return CAIRN_ECORRUPT;
    } while (hint != 0);
    return made == raw_size && used == stored_size ? 0 : CAIRN_ECORRUPT;
}

int crn_canonical_block_unpack(struct crn_canonical_unpacker **unpacker, const uint8_t *stored,
                               const struct crn_canonical_block *block, struct cairn_buffer *raw)
{
    size_t room = room_for(block->raw_size);

    if (!*unpacker)
        CRN_TRY(unpacker_new(unpacker));
    crn_buf_clear(raw);
    CRN_TRY(crn_buf_reserve(raw, room));
    CRN_TRY(unpack((*unpacker)->lz4, stored, block->stored_size, raw->data, room, block->raw_size));
    raw->size = block->raw_size;
    return 0;
}
