/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes golden manifests that do not exist yet: make_golden <tests/golden>. A file once written is
 * never touched again, so that what a release has written stays a test for all later ones (P10): to
 * add one, add a line to the table and run the tool.
 *
 * The name carries the verdict: good- (reads, and is written again identically), tolerated- (reads;
 * a writer of ours would have written it otherwise), bad- (CAIRN_ECORRUPT), unsupported-
 * (CAIRN_EVERSION).
 */
#include "manifest/internal.h"
#include "tests/support/payload.h"
#include "tests/support/records.h"

#include <stdio.h>
#include <string.h>

static void encode_free(struct crn_record *record, struct cairn_buffer *out)
{
    if (crn_record_encode(record, out, NULL) < 0)
        abort();
    crn_record_free(record);
}

static void good_fence(struct cairn_buffer *out)
{
    encode_free(crn_test_fence(), out);
}

static void good_aborted(struct cairn_buffer *out)
{
    encode_free(crn_test_aborted(), out);
}

static void good_savepoint_pointer(struct cairn_buffer *out)
{
    encode_free(crn_test_savepoint(), out);
}

static void good_canonical_savepoint(struct cairn_buffer *out)
{
    encode_free(crn_test_canonical_savepoint(), out);
}

static void good_canonical_identity(struct cairn_buffer *out)
{
    struct crn_record *record = crn_test_canonical_savepoint();
    cairn_file_info *info = &record->operators[0].subtasks[0].files[0].info;
    info->has_identity = 1;
    for (size_t i = 0; i < sizeof(info->identity); i++)
        info->identity[i] = (uint8_t)(0xa0 + i);
    encode_free(record, out);
}

static void good_native_savepoint(struct cairn_buffer *out)
{
    encode_free(crn_test_native_savepoint(), out);
}

static void good_canonical_checkpoint(struct cairn_buffer *out)
{
    encode_free(crn_test_canonical_checkpoint(), out);
}

static void good_claim(struct cairn_buffer *out)
{
    encode_free(crn_test_claim(), out);
}

static void good_full(struct cairn_buffer *out)
{
    encode_free(crn_test_full(), out);
}

static void good_checkpoint(struct cairn_buffer *out)
{
    encode_free(crn_test_checkpoint(), out);
}

static void good_packs(struct cairn_buffer *out)
{
    encode_free(crn_test_packed_checkpoint(), out);
}

static void good_many_files(struct cairn_buffer *out)
{
    encode_free(crn_test_many_files(100), out);
}

static void good_no_operators(struct cairn_buffer *out)
{
    struct crn_record *record = crn_test_fence();
    record->info.kind = CAIRN_RECORD_CHECKPOINT;
    encode_free(record, out);
}

/* The payload of a record that keeps the rules. */
static void payload_of(struct crn_record *record, struct cairn_buffer *payload)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    encode_free(record, &bytes);
    crn_test_frame_payload(bytes.data, bytes.size, payload);
}

static void tolerated_compatible_bit(struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_fence(), &payload);
    struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    frame.compatible = 0x80000001u;
    crn_test_frame_put(&frame, out);
}

static void tolerated_longer_header(struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_fence(), &payload);
    struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    frame.header_size = 64;
    crn_test_frame_put(&frame, out);
}

static void tolerated_unknown_fields(struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_fence(), &payload);
    crn_test_pb_number(&payload, 1000, 7);
    crn_test_pb_bytes(&payload, 1001, "from a later version", 20);
    const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&frame, out);
}

static void tolerated_not_packed(struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_checkpoint(), &payload);
    const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&frame, out);
}

/* As it was before a record could say where a savepoint is. The file there is of that time. */
static void tolerated_early_savepoint(struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_fence(), &payload);
    crn_test_pb_number(&payload, 2, CAIRN_RECORD_SAVEPOINT);
    const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&frame, out);
}

static void unsupported_version(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[8] = 2;
    crn_test_frame_seal(out->data, out->size);
}

static void unsupported_feature(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[16] = 2;
    crn_test_frame_seal(out->data, out->size);
}

/* Only what never moves is there: magic, version, checksum. */
static void unsupported_other_layout(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[8] = 9;
    memset(out->data + 12, 0xee, 12);
    out->size = 32;
    crn_test_frame_seal(out->data, out->size);
}

static void bad_empty(struct cairn_buffer *out)
{
    crn_buf_clear(out);
}

static void bad_magic(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[6] = '\n'; /* as if it had gone through a conversion of line ends */
    crn_test_frame_seal(out->data, out->size);
}

static void bad_truncated(struct cairn_buffer *out)
{
    good_checkpoint(out);
    out->size /= 2;
}

static void bad_trailing_byte(struct cairn_buffer *out)
{
    good_fence(out);
    if (crn_buf_append_u8(out, 0) < 0)
        abort();
}

static void bad_sealed_trailing_byte(struct cairn_buffer *out)
{
    bad_trailing_byte(out);
    crn_test_frame_seal(out->data, out->size);
}

static void bad_flipped_payload_bit(struct cairn_buffer *out)
{
    good_checkpoint(out);
    out->data[100] ^= 0x10;
}

static void bad_flipped_version_bit(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[8] ^= 0x02;
}

static void bad_version_0(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[8] = 0;
    crn_test_frame_seal(out->data, out->size);
}

static void bad_header_size(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[20] = 36;
    crn_test_frame_seal(out->data, out->size);
}

static void bad_two_lengths(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[32] ^= 1;
    crn_test_frame_seal(out->data, out->size);
}

static void bad_lz4_bomb(struct cairn_buffer *out)
{
    struct crn_test_frame frame = crn_test_frame_of("\x1f\x00\x01\x00\xff\xff\xff\xff", 8);
    frame.incompatible = CRN_FRAME_LZ4;
    frame.raw_size = CRN_LIMIT_MANIFEST;
    crn_test_frame_put(&frame, out);
}

static void bad_lz4_garbage(struct cairn_buffer *out)
{
    struct crn_test_frame frame = crn_test_frame_of("\xf0\xff\xff\xff\xff\xff\xff\xff", 8);
    frame.incompatible = CRN_FRAME_LZ4;
    frame.raw_size = 200;
    crn_test_frame_put(&frame, out);
}

static void bad_not_a_record(struct cairn_buffer *out)
{
    const struct crn_test_frame frame = crn_test_frame_of("not protobuf at all", 19);
    crn_test_frame_put(&frame, out);
}

static void bad_no_fields(struct cairn_buffer *out)
{
    const struct crn_test_frame frame = crn_test_frame_of("", 0);
    crn_test_frame_put(&frame, out);
}

/* A fence with one field written once more: the last one counts. */
static void with_field(struct cairn_buffer *out, uint32_t field, uint64_t number, const void *data,
                       size_t size)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_fence(), &payload);
    if (data != NULL)
        crn_test_pb_bytes(&payload, field, data, size);
    else
        crn_test_pb_number(&payload, field, number);
    const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&frame, out);
}

static void bad_id_0(struct cairn_buffer *out)
{
    with_field(out, 1, 0, NULL, 0);
}

static void bad_kind_99(struct cairn_buffer *out)
{
    with_field(out, 2, 99, NULL, 0);
}

static void bad_short_uuid(struct cairn_buffer *out)
{
    with_field(out, 3, 0, "fifteen bytes!!", 15);
}

static void bad_log_start(struct cairn_buffer *out)
{
    with_field(out, 5, 4, NULL, 0);
}

static void bad_job_with_slash(struct cairn_buffer *out)
{
    with_field(out, 7, 0, "../etc", 6);
}

static void bad_fence_with_content(struct cairn_buffer *out)
{
    with_field(out, 16, 0, "\x08\x01", 2);
}

/* A checkpoint whose only table is changed after it was encoded: texts of the same length, so that
 * the payload keeps its form. */
static void with_text(struct cairn_buffer *out, const char *from, const char *to)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_full(), &payload);
    uint8_t *at = memmem(payload.data, payload.size, from, strlen(from));
    if (at == NULL || strlen(from) != strlen(to))
        abort();
    memcpy(at, to, strlen(to));
    const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&frame, out);
}

static void bad_file_name_escapes(struct cairn_buffer *out)
{
    with_text(out, "000008.sst", "../../.ssh");
}

static void bad_object_escapes(struct cairn_buffer *out)
{
    with_text(out, "shared/e1-c1-8.sst", "../other/MANIFEST1");
}

/* A pack that whoever knows no packs would take for the file. */
static void bad_slices_without_bit(struct cairn_buffer *out)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0};
    payload_of(crn_test_packed_checkpoint(), &payload);
    const struct crn_test_frame frame = crn_test_frame_of(payload.data, payload.size);
    crn_test_frame_put(&frame, out);
}

static void bad_bit_without_slices(struct cairn_buffer *out)
{
    good_fence(out);
    out->data[16] = CRN_FRAME_SLICES;
    crn_test_frame_seal(out->data, out->size);
}

static void bad_object_of_other_checkpoint(struct cairn_buffer *out)
{
    with_text(out, "shared/e1-c1-8.sst", "shared/e1-c2-8.sst");
}

static void bad_inlined_bytes(struct cairn_buffer *out)
{
    with_text(out, "MANIFEST-000005\n", "MANIFEST-000006\n");
}

static const struct golden {
    const char *name;
    void (*make)(struct cairn_buffer *out);
} goldens[] = {
    {"good-fence", good_fence},
    {"good-aborted", good_aborted},
    {"good-savepoint-pointer", good_savepoint_pointer},
    {"good-canonical-savepoint", good_canonical_savepoint},
    {"good-canonical-identity", good_canonical_identity},
    {"good-native-savepoint", good_native_savepoint},
    {"good-canonical-checkpoint", good_canonical_checkpoint},
    {"good-claim", good_claim},
    {"good-full", good_full},
    {"good-checkpoint", good_checkpoint},
    {"good-packs", good_packs},
    {"good-many-files", good_many_files},
    {"good-no-operators", good_no_operators},
    {"tolerated-compatible-bit", tolerated_compatible_bit},
    {"tolerated-longer-header", tolerated_longer_header},
    {"tolerated-unknown-fields", tolerated_unknown_fields},
    {"tolerated-not-packed", tolerated_not_packed},
    {"tolerated-early-savepoint", tolerated_early_savepoint},
    {"unsupported-version", unsupported_version},
    {"unsupported-feature", unsupported_feature},
    {"unsupported-other-layout", unsupported_other_layout},
    {"bad-empty", bad_empty},
    {"bad-magic", bad_magic},
    {"bad-truncated", bad_truncated},
    {"bad-trailing-byte", bad_trailing_byte},
    {"bad-sealed-trailing-byte", bad_sealed_trailing_byte},
    {"bad-flipped-payload-bit", bad_flipped_payload_bit},
    {"bad-flipped-version-bit", bad_flipped_version_bit},
    {"bad-version-0", bad_version_0},
    {"bad-header-size", bad_header_size},
    {"bad-two-lengths", bad_two_lengths},
    {"bad-lz4-bomb", bad_lz4_bomb},
    {"bad-lz4-garbage", bad_lz4_garbage},
    {"bad-not-a-record", bad_not_a_record},
    {"bad-no-fields", bad_no_fields},
    {"bad-id-0", bad_id_0},
    {"bad-kind-99", bad_kind_99},
    {"bad-short-uuid", bad_short_uuid},
    {"bad-log-start", bad_log_start},
    {"bad-job-with-slash", bad_job_with_slash},
    {"bad-fence-with-content", bad_fence_with_content},
    {"bad-file-name-escapes", bad_file_name_escapes},
    {"bad-object-escapes", bad_object_escapes},
    {"bad-object-of-other-checkpoint", bad_object_of_other_checkpoint},
    {"bad-inlined-bytes", bad_inlined_bytes},
    {"bad-slices-without-bit", bad_slices_without_bit},
    {"bad-bit-without-slices", bad_bit_without_slices},
};

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: make_golden <directory>\n");
        return 2;
    }
    for (size_t i = 0; i < CRN_COUNT(goldens); i++) {
        CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
        char path[4096];
        (void)snprintf(path, sizeof(path), "%s/%s", argv[1], goldens[i].name);
        FILE *file = fopen(path, "wbx");
        if (file == NULL)
            continue; /* it is there already */
        goldens[i].make(&bytes);
        if (fwrite(bytes.data, 1, bytes.size, file) != bytes.size || fclose(file) != 0) {
            perror(path);
            return 1;
        }
        printf("%s\n", path);
    }
    return 0;
}
