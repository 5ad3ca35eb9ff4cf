/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_CANONICAL_INTERNAL_H
#define CRN_STATE_CANONICAL_INTERNAL_H

#include "backends/state/canonical.h"

#include <endian.h>
#include <string.h>

/* What the canonical*.c files share: the frame of the file as docs/format.md has it. Nothing else
 * includes this but tests. All numbers of fixed size are little-endian. */

#define CRN_CANONICAL_MAGIC                                                                        \
    "\x89"                                                                                         \
    "CRNCF\r\n"
#define CRN_CANONICAL_MAGIC_SIZE 8u
#define CRN_CANONICAL_VERSION 1u
/* The magic, the three words behind it, the header's size and its checksum in its last 8 bytes
 * keep their places in every version. */
#define CRN_CANONICAL_HEADER_FIXED 40u
/* Incompatible feature bits. 1 stays undefined: a golden file is unsupported by it. */
#define CRN_CANONICAL_FEATURE_IDENTITY 2u
#define CRN_CANONICAL_HEADER_MIN 32u
#define CRN_CANONICAL_HEADER_MAX ((uint32_t)2 << 20)
#define CRN_CANONICAL_CHECKSUM_SIZE 8u
#define CRN_CANONICAL_FOOTER_SIZE 32u

#define CRN_CANONICAL_BLOCK_HEADER 28u
#define CRN_CANONICAL_BLOCK_RAW_MAX UINT32_MAX
#define CRN_CANONICAL_BLOCK_LZ4 1u /* flag: the stored bytes are an LZ4 frame */
#define CRN_CANONICAL_LZ4_RATIO_MAX 255u
#define CRN_CANONICAL_ENTRY_MIN 4u /* three sizes and a byte of the key */
#define CRN_CANONICAL_RUN_MIN 4u   /* in the index: four varints */
#define CRN_CANONICAL_RUN_MAX 26u  /* two of at most 3 bytes, two of at most 10 */

/* All blocks of one key group and one state, which stand one behind the other. */
struct crn_canonical_run {
    uint64_t offset, stored_bytes, entry_count;
    uint16_t key_group, state;
};

struct crn_canonical_block {
    uint32_t stored_size, raw_size, entry_count, flags;
    uint16_t state, key_group;
};

static inline void crn_put_le16(uint8_t *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof(value));
}
static inline void crn_put_le32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof(value));
}
static inline void crn_put_le64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof(value));
}
static inline uint16_t crn_get_le16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return le16toh(value);
}
static inline uint32_t crn_get_le32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return le32toh(value);
}
static inline uint64_t crn_get_le64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

static inline size_t crn_canonical_group_bytes(uint32_t max_parallelism)
{
    return max_parallelism <= 128 ? 1 : 2;
}
/* Of a key that has so many bytes. */
static inline uint32_t crn_canonical_group_of(const uint8_t *key, size_t group_bytes)
{
    return group_bytes == 1 ? key[0] : (uint32_t)key[0] << 8 | key[1];
}

/* canonical_header.c. NULL if the header keeps the rules, else what it breaks. */
const char *crn_canonical_header_flaw(const struct crn_canonical_header *header);
int crn_canonical_header_encode(const struct crn_canonical_header *header, struct cairn_buffer *out,
                                cairn_error **reterr);
/* Size of the whole header by its first CRN_CANONICAL_HEADER_MIN bytes. */
int crn_canonical_header_size(const uint8_t *data, const char *object, uint32_t *ret,
                              cairn_error **reterr);
/* `ret` has memory of its own, for _done(). */
int crn_canonical_header_decode(const uint8_t *data, uint32_t size, const char *object,
                                struct crn_canonical_header *ret, cairn_error **reterr);
void crn_canonical_header_done(struct crn_canonical_header *header);
/* Of the checksums of blocks and index. */
uint64_t crn_canonical_seed(const struct crn_canonical_header *header);

/* canonical_block.c. Appends a block: its header, and `raw` packed if that makes it smaller. */
int crn_canonical_block_encode(const struct crn_canonical_block *block, const uint8_t *raw,
                               uint64_t seed, struct cairn_buffer *out);
/* Reads the header. false: it breaks a rule that needs nothing else to be seen. */
bool crn_canonical_block_decode(const uint8_t *data, struct crn_canonical_block *ret);
/* Header and stored bytes are what was written, to a file of this seed. */
bool crn_canonical_block_intact(const uint8_t *data, const struct crn_canonical_block *block,
                                uint64_t seed);
/* Unpacks into `raw` (cleared first). CAIRN_ECORRUPT, CAIRN_ENOMEM. */
struct crn_canonical_unpacker;
int crn_canonical_block_unpack(struct crn_canonical_unpacker **unpacker, const uint8_t *stored,
                               const struct crn_canonical_block *block, struct cairn_buffer *raw);
void crn_canonical_unpacker_free(struct crn_canonical_unpacker *unpacker);

/* canonical_pack.c. Blocks that are not packed yet, one behind the other in `raw`. */
#define CRN_CANONICAL_BATCH_BLOCKS 256u
struct crn_canonical_batch {
    struct cairn_buffer raw;
    struct crn_canonical_block blocks[CRN_CANONICAL_BATCH_BLOCKS];
    size_t block_count;
};
struct crn_canonical_packer;
int crn_canonical_packer_create(const char *path, const struct crn_canonical_header *header,
                                struct crn_canonical_packer **ret, cairn_error **reterr);
/* To be filled, in the file's order; push() empties it. What failed fails again. */
struct crn_canonical_batch *crn_canonical_packer_batch(struct crn_canonical_packer *packer);
int crn_canonical_packer_push(struct crn_canonical_packer *packer, cairn_error **reterr);
/* The last batch, index and end; the file is synced. Sets identity, size and sums. */
int crn_canonical_packer_finish(struct crn_canonical_packer *packer,
                                struct crn_canonical_summary *ret, cairn_error **reterr);
/* Waits for what is being written. The file stays. */
void crn_canonical_packer_free(struct crn_canonical_packer *packer);

/* canonical_output.c: a new file that grows at its end. */
struct crn_canonical_output;
int crn_canonical_output_create(const char *path, struct crn_canonical_output **ret,
                                cairn_error **reterr);
/* Where bytes are appended; push() after each block, finish() after all. */
struct cairn_buffer *crn_canonical_output_buffer(struct crn_canonical_output *output);
int crn_canonical_output_push(struct crn_canonical_output *output, cairn_error **reterr);
uint64_t crn_canonical_output_position(const struct crn_canonical_output *output);
int crn_canonical_output_finish(struct crn_canonical_output *output,
                                struct crn_canonical_summary *ret, cairn_error **reterr);
void crn_canonical_output_free(struct crn_canonical_output *output);

/* canonical_read.c: what scans see of a reader. */
struct crn_canonical_reader {
    struct crn_canonical_input input;
    struct crn_canonical_header header;
    uint64_t seed;
    struct crn_canonical_run *runs; /* by key group and state; blocks without gaps */
    size_t run_count;
};
/* The first run of a key group at least so high. */
size_t crn_canonical_first_run(const struct crn_canonical_reader *reader, uint32_t key_group);
int crn_canonical_corrupt(const struct crn_canonical_input *input, uint64_t offset,
                          cairn_error **reterr, const char *what);

#endif
