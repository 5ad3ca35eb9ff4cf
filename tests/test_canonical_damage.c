/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged canonical files, and what the writer refuses.
 *
 * Proves: a file that is cut anywhere, or has any one bit flipped, is CAIRN_ECORRUPT to whoever
 * reads it, never a wrong value (P8, P11); a newer version with a right checksum is CAIRN_EVERSION;
 * blocks, indexes and LZ4 frames that lie behind right checksums are found out; so is a file, or a
 * block of one, that is whole but not of the file that is meant. The writer takes
 * nothing that is out of order and leaves no half file. Errors of the input and of a full disk come
 * out as they are.
 */
#include "tests/support/canonical.h"

#include <lz4frame.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- damage ---- */

/* A file with packed and plain blocks, in two states. */
static struct memory_file small_file(struct entries *entries)
{
    static const struct shape shape = {128, 3, 9, 2, 60, 4, 90};
    struct crn_canonical_header header = header_new(2);
    char path[300];
    header.key_group_first = shape.first;
    header.key_group_last = shape.last;
    entries_fill(entries, &shape);
    temp_path(path, sizeof(path));
    write_file(path, &header, entries);
    struct memory_file file = load_file(path);
    header_free(&header);
    temp_remove(path);
    return file;
}

START_TEST(every_truncation)
{
    struct entries entries = {0};
    struct memory_file file = small_file(&entries);
    uint64_t size = file.input.size;
    ck_assert_int_eq(read_whole(&file, &entries), 0);
    for (file.input.size = 0; file.input.size < size; file.input.size++) {
        if (read_whole(&file, &entries) != CAIRN_ECORRUPT)
            ck_abort_msg("cut at %llu of %llu", (unsigned long long)file.input.size,
                         (unsigned long long)size);
    }
    /* Nor may there be more. */
    uint8_t *more = calloc(1, size + 100);
    ck_assert_ptr_nonnull(more);
    memcpy(more, file.data, size);
    free(file.data);
    file.data = more;
    for (file.input.size = size + 1; file.input.size < size + 100; file.input.size++)
        ck_assert_int_eq(read_whole(&file, &entries), CAIRN_ECORRUPT);
    file_free(&file);
    entries_free(&entries);
}
END_TEST

START_TEST(every_bit_flip)
{
    struct entries entries = {0};
    struct memory_file file = small_file(&entries);
    for (size_t bit = 0; bit < 8 * file.input.size; bit++) {
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (read_whole(&file, &entries) != CAIRN_ECORRUPT)
            ck_abort_msg("bit %zu of byte %zu", bit % 8, bit / 8);
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_int_eq(read_whole(&file, &entries), 0);
    file_free(&file);
    entries_free(&entries);
}
END_TEST

static void seal_header(struct memory_file *file)
{
    size_t size = crn_get_le32(file->data + 20) - 8;
    crn_put_le64(file->data + size, crn_hash64_of(file->data, size));
}

START_TEST(versions)
{
    struct entries entries = {0};
    struct memory_file file = small_file(&entries);
    static const struct {
        size_t at;
        uint32_t value;
        int code;
    } cases[] = {{8, 2, CAIRN_EVERSION},
                 {8, 0, CAIRN_ECORRUPT},
                 {16, 0, CAIRN_ECORRUPT /* the identity is no name */},
                 {16, 1, CAIRN_EVERSION},
                 {16, 3, CAIRN_EVERSION},
                 {16, 1u << 31, CAIRN_EVERSION},
                 {12, UINT32_MAX, 0},
                 {24, 0, CAIRN_ECORRUPT},
                 {24, 32769, CAIRN_ECORRUPT},
                 {28, 10, CAIRN_ECORRUPT},
                 {32, 128, CAIRN_ECORRUPT},
                 {36, 1, CAIRN_ECORRUPT},
                 {36, 3, CAIRN_ECORRUPT},
                 {36, UINT32_MAX, CAIRN_ECORRUPT},
                 {24, 129, CAIRN_ECORRUPT /* other key groups */}};
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        uint32_t before = crn_get_le32(file.data + cases[i].at);
        crn_put_le32(file.data + cases[i].at, cases[i].value);
        seal_header(&file);
        int r = read_whole(&file, &entries);
        ck_assert_msg(r == cases[i].code, "case %zu: %s", i, cairn_error_name(r));
        crn_put_le32(file.data + cases[i].at, before);
        seal_header(&file);
    }
    ck_assert_int_eq(read_whole(&file, &entries), 0);
    file_free(&file);
    entries_free(&entries);
}
END_TEST

/* ---- other files ---- */

/* Two files of the same keys and sizes, with other values, of which only `data` and identity
 * differ. */
static struct memory_file one_of_two(char value, struct crn_canonical_summary *ret)
{
    struct crn_canonical_header header = header_new(2);
    struct crn_canonical_writer *writer = NULL;
    char path[300];
    temp_path(path, sizeof(path));
    ck_ok(crn_canonical_create(path, &header, &writer, reterr));
    for (uint32_t group = 3; group < 6; group++)
        for (uint32_t state = 0; state < 2; state++) {
            const char key[] = {(char)group, 'k'};
            ck_ok(crn_canonical_put(writer, state, key, sizeof(key), &value, 1, reterr));
        }
    ck_ok(crn_canonical_finish(writer, ret, reterr));
    struct memory_file file = load_file(path);
    ck_assert_mem_eq(file.data + CRN_CANONICAL_HEADER_FIXED, ret->identity, 16);
    header_free(&header);
    temp_remove(path);
    return file;
}

static void open_fails(struct memory_file *file, const char *part)
{
    struct crn_canonical_reader *reader = NULL;
    file->input.context = file;
    ck_fails(crn_canonical_open(&file->input, &reader, reterr), CAIRN_ECORRUPT, part);
    ck_assert_ptr_null(reader);
}

START_TEST(another_file)
{
    static const char other[] = "another file than the manifest means";
    struct crn_canonical_summary a_summary, b_summary;
    struct memory_file a = one_of_two('a', &a_summary), b = one_of_two('b', &b_summary);
    ck_assert_uint_eq(a.input.size, b.input.size);
    ck_assert_int_ne(memcmp(a_summary.identity, b_summary.identity, 16), 0);
    ck_assert_int_eq(read_whole(&b, NULL), 0); /* whoever knows of no identity takes any */
    b.input.identity = b_summary.identity;
    ck_assert_int_eq(read_whole(&b, NULL), 0);
    b.input.identity = a_summary.identity;
    open_fails(&b, other);

    /* A header that claims to be the one that is meant does not help. */
    memcpy(b.data + CRN_CANONICAL_HEADER_FIXED, a_summary.identity, 16);
    seal_header(&b);
    open_fails(&b, "the checksum of its index");

    struct memory_file early = load_file(CRN_TEST_SOURCE_ROOT "/tests/golden-canonical/good-empty");
    ck_assert_int_eq(read_whole(&early, NULL), 0);
    early.input.identity = a_summary.identity;
    open_fails(&early, other);
    file_free(&early);
    file_free(&a);
    file_free(&b);
}
END_TEST

/* Blocks of the one in the other, whose header and index are its own. */
START_TEST(spliced_blocks)
{
    struct crn_canonical_summary a_summary, b_summary;
    struct memory_file a = one_of_two('a', &a_summary), b = one_of_two('b', &b_summary);
    size_t block = crn_get_le32(a.data + 20), spliced = 0;
    a.input.identity = a_summary.identity;
    ck_assert_int_eq(read_whole(&a, NULL), 0);
    for (; spliced < 6; spliced++) {
        size_t size = CRN_CANONICAL_BLOCK_HEADER + crn_get_le32(a.data + block + 8);
        uint8_t own[64];
        ck_assert_uint_le(size, sizeof(own));
        ck_assert_mem_eq(a.data + block + 8, b.data + block + 8, size - 8 - 1); /* but the value */
        memcpy(own, a.data + block, size);
        memcpy(a.data + block, b.data + block, size);
        ck_assert_int_eq(read_whole(&a, NULL), CAIRN_ECORRUPT);
        memcpy(a.data + block, own, size);
        block += size;
    }
    ck_assert_int_eq(read_whole(&a, NULL), 0);
    file_free(&a);
    file_free(&b);
}
END_TEST

/* ---- lies behind right checksums ---- */

struct lie {
    const char *name;
    struct forged forged;
    const char *part; /* of the error; NULL: reads */
};

/* A raw block's bytes: entries are shared, rest, value size, key, value. */
#define RAW(text) text, sizeof(text) - 1

static const struct lie lies[] = {
    {"truth", {{{RAW("\0\2\1\5aX\1\1\1bY"), 2, 0, 5, 0, 0}}, 1, 0, 0, 0}, NULL},
    {"two blocks",
     {{{RAW("\0\2\1\5aX"), 1, 0, 5, 0, 0}, {RAW("\0\2\1\5bX"), 1, 0, 5, 0, 0}}, 2, 0, 0, 0},
     NULL},
    {"equal keys", {{{RAW("\0\2\1\5aX\2\0\1Y\0\0"), 2, 0, 5, 0, 0}}, 1, 0, 0, 0}, "out of order"},
    {"descending", {{{RAW("\0\2\1\5bX\1\1\1aY"), 2, 0, 5, 0, 0}}, 1, 0, 0, 0}, "out of order"},
    {"shares less than it could",
     {{{RAW("\0\2\1\5aX\0\2\1\5bY"), 2, 0, 5, 0, 0}}, 1, 0, 0, 0},
     "out of order"},
    {"shares more than there is",
     {{{RAW("\0\2\1\5aX\3\1\1bY"), 2, 0, 5, 0, 0}}, 1, 0, 0, 0},
     "out of order"},
    {"shares at the beginning", {{{RAW("\1\1\1aX"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "out of order"},
    {"block repeats a key",
     {{{RAW("\0\2\1\5aX"), 1, 0, 5, 0, 0}, {RAW("\0\2\1\5aX"), 1, 0, 5, 0, 0}}, 2, 0, 0, 0},
     "out of order"},
    {"block goes back",
     {{{RAW("\0\2\1\5bX"), 1, 0, 5, 0, 0}, {RAW("\0\2\1\5aX"), 1, 0, 5, 0, 0}}, 2, 0, 0, 0},
     "out of order"},
    {"other key group", {{{RAW("\0\2\1\6aX"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "another key group"},
    {"slides into another key group",
     {{{RAW("\0\2\1\5aX\0\2\1\6aX"), 2, 0, 5, 0, 0}}, 1, 0, 0, 0},
     "another key group"},
    {"no key", {{{RAW("\0\0\1X\0\0"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "out of order"},
    {"key too long", {{{RAW("\0\5\1\5aX"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "longer"},
    {"value too long", {{{RAW("\0\2\2\5aX"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "longer"},
    {"overlong size", {{{RAW("\x80\0\2\1\5aX"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "sizes"},
    {"endless size", {{{RAW("\0\2\xff\xff\xff\xff\xff\xff"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "sizes"},
    {"bytes too many", {{{RAW("\0\2\1\5aXY"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "more bytes"},
    {"entries too few", {{{RAW("\0\2\1\5aX\1\1\1bY"), 1, 0, 5, 0, 0}}, 1, 0, 0, 0}, "more bytes"},
    {"entries too many", {{{RAW("\0\2\1\5aX\0\0"), 2, 0, 5, 0, 0}}, 1, 0, 0, 0}, "sizes"},
    {"no entry", {{{RAW("\0\2\1\5aX"), 0, 0, 5, 0, 0}}, 1, 0, 1, 0}, "rules"},
    {"other state", {{{RAW("\0\2\1\5aX"), 1, 1, 5, 0, 0}}, 1, 0, 0, 0}, "another key group or"},
    {"other group", {{{RAW("\0\2\1\5aX"), 1, 0, 6, 0, 0}}, 1, 0, 0, 0}, "another key group or"},
    {"unknown flag", {{{RAW("\0\2\1\5aX"), 1, 0, 5, 2, 0}}, 1, 0, 0, 0}, "rules"},
    {"not LZ4", {{{RAW("\0\2\1\5aX"), 1, 0, 5, 1, 99}}, 1, 0, 0, 0}, "unpacked"},
    {"more than LZ4 can do", {{{RAW("\0\2\1\5aX"), 1, 0, 5, 1, 2000}}, 1, 0, 0, 0}, "rules"},
    {"plain of another size", {{{RAW("\0\2\1\5aX"), 1, 0, 5, 0, 7}}, 1, 0, 0, 0}, "rules"},
    {"run has more", {{{RAW("\0\2\1\5aX"), 1, 0, 5, 0, 0}}, 1, 0, 1, 0}, "fewer entries"},
    {"run has less", {{{RAW("\0\2\1\5aX\1\1\1bY"), 2, 0, 5, 0, 0}}, 1, 0, -1, 0}, "more entries"},
    {"run ends in its block", {{{RAW("\0\2\1\5aX"), 1, 0, 5, 0, 0}}, 1, -1, 0, 0}, "add up"},
    {"run goes on", {{{RAW("\0\2\1\5aX"), 1, 0, 5, 0, 0}}, 1, 1, 0, 0}, "rules"},
    {"entries do not add up", {{{RAW("\0\2\1\5aX"), 1, 0, 5, 0, 0}}, 1, 0, 0, 1}, "add up"},
};

START_TEST(lies_are_found)
{
    const struct lie *lie = &lies[_i];
    struct memory_file file = forge(&lie->forged);
    struct crn_canonical_reader *reader = NULL;
    struct crn_canonical_scan *scan = NULL;
    struct crn_canonical_entry entry;
    cairn_error *error = NULL;
    file.input.context = &file;
    int r = crn_canonical_open(&file.input, &reader, &error);
    if (r == 0)
        r = crn_canonical_scan(reader, -1, 0, 127, &scan, &error);
    while (r == 0 && (r = crn_canonical_next(scan, &entry, &error)) > 0)
        r = 0;
    if (!lie->part)
        ck_assert_msg(r == 0, "%s: %s", lie->name, cairn_error_message(error));
    else if (r != CAIRN_ECORRUPT || !strstr(cairn_error_message(error), lie->part))
        ck_abort_msg("%s: %s", lie->name, cairn_error_message(error));
    if (scan && r < 0) /* for good */
        ck_fails(crn_canonical_next(scan, &entry, reterr), CAIRN_ECORRUPT, "failed before");
    crn_canonical_scan_end(scan);
    crn_canonical_close(reader);
    cairn_error_free(error);
    file_free(&file);
}
END_TEST

/* In pieces: LZ4F_compressFrame() would improve on some of the preferences. */
static size_t compress(const LZ4F_preferences_t *preferences, const uint8_t *raw, size_t raw_size,
                       uint8_t *out, size_t room)
{
    LZ4F_cctx *lz4 = NULL;
    ck_assert(!LZ4F_isError(LZ4F_createCompressionContext(&lz4, LZ4F_VERSION)));
    size_t size = LZ4F_compressBegin(lz4, out, room, preferences);
    ck_assert(!LZ4F_isError(size));
    size_t n = LZ4F_compressUpdate(lz4, out + size, room - size, raw, raw_size, NULL);
    ck_assert(!LZ4F_isError(n));
    size += n;
    n = LZ4F_compressEnd(lz4, out + size, room - size, NULL);
    ck_assert(!LZ4F_isError(n));
    (void)LZ4F_freeCompressionContext(lz4);
    return size + n;
}

/* Frames that LZ4 itself would take. */
START_TEST(forged_frames)
{
    static const LZ4F_preferences_t frames[] = {
        {.frameInfo = {.blockMode = LZ4F_blockIndependent, .contentSize = 1000}},
        {.frameInfo = {.blockMode = LZ4F_blockLinked, .contentSize = 1000}},
        {.frameInfo = {.blockMode = LZ4F_blockIndependent}},
        {.frameInfo = {.blockMode = LZ4F_blockIndependent,
                       .contentSize = 1000,
                       .contentChecksumFlag = LZ4F_contentChecksumEnabled}},
        {.frameInfo = {.blockMode = LZ4F_blockIndependent,
                       .contentSize = 1000,
                       .blockChecksumFlag = LZ4F_blockChecksumEnabled}},
        {.frameInfo = {.blockMode = LZ4F_blockIndependent, .contentSize = 1000, .dictID = 7}},
    };
    static const uint8_t raw[1000] = {0, 2, 0xe2, 7, 5, 'a'};
    static uint8_t stored[200000];
    for (size_t i = 0; i < CRN_COUNT(frames); i++)
        for (size_t trailing = 0; trailing < 2; trailing++) {
            size_t size = compress(&frames[i], raw, sizeof(raw), stored, sizeof(stored));
            const struct forged odd = {
                {{(char *)stored, size + trailing, 1, 0, 5, CRN_CANONICAL_BLOCK_LZ4, 1000}},
                1,
                0,
                0,
                0};
            struct memory_file file = forge(&odd);
            struct crn_canonical_reader *reader = open_reader(&file);
            struct crn_canonical_scan *scan = NULL;
            struct crn_canonical_entry entry;
            ck_ok(crn_canonical_scan(reader, -1, 0, 127, &scan, reterr));
            if (i == 0 && trailing == 0) {
                ck_assert_int_eq(ck_ok(crn_canonical_next(scan, &entry, reterr)), 1);
                ck_assert_uint_eq(entry.value_size, 994);
            } else {
                ck_fails(crn_canonical_next(scan, &entry, reterr), CAIRN_ECORRUPT, "unpacked");
            }
            crn_canonical_scan_end(scan);
            crn_canonical_close(reader);
            file_free(&file);
        }
}
END_TEST

/* ---- the writer's refusals ---- */

START_TEST(order_is_kept)
{
    static const struct {
        uint32_t state;
        const char *key;
        size_t size;
        const char *part;
    } cases[] = {{1, "\5m", 2, "not above"},       {1, "\5l", 2, "not above"},
                 {1, "\5", 1, "not above"},        {0, "\5z", 2, "out of order"},
                 {1, "\4z", 2, "out of order"},    {1, "\2z", 2, "key groups"},
                 {1, "\x0az", 2, "key groups"},    {2, "\5z", 2, "of a state"},
                 {1, "", 0, "without a key group"}};
    char path[300];
    struct crn_canonical_header header = header_new(2);
    header.key_group_first = 3;
    header.key_group_last = 9;
    for (size_t i = 0; i < CRN_COUNT(cases); i++) {
        struct crn_canonical_writer *writer = NULL;
        struct crn_canonical_summary summary;
        temp_path(path, sizeof(path));
        ck_ok(crn_canonical_create(path, &header, &writer, reterr));
        ck_ok(crn_canonical_put(writer, 1, "\5m", 2, "x", 1, reterr));
        ck_fails(
            crn_canonical_put(writer, cases[i].state, cases[i].key, cases[i].size, "x", 1, reterr),
            CAIRN_EINVAL, cases[i].part);
        /* What would be right is refused as well from now on, and no file comes of it. */
        ck_fails(crn_canonical_put(writer, 1, "\5n", 2, "x", 1, reterr), CAIRN_EINVAL, path);
        ck_fails(crn_canonical_finish(writer, &summary, reterr), CAIRN_EINVAL, path);
        ck_assert_int_ne(access(path, F_OK), 0);
        temp_remove(path);
    }
    header_free(&header);
}
END_TEST

START_TEST(headers_are_checked)
{
    static const char *const twice[] = {"a", "b", "a"}, *const odd[] = {"a", "\n"};
    const struct crn_canonical_header headers[] = {
        {0, 0, 0, twice, 2},     {32769, 0, 1, twice, 2}, {128, 0, 128, twice, 2},
        {128, 3, 2, twice, 2},   {128, 0, 1, twice, 3},   {128, 0, 1, odd, 2},
        {128, 0, 1, NULL, 4097},
    };
    for (size_t i = 0; i < CRN_COUNT(headers); i++) {
        struct crn_canonical_writer *writer = NULL;
        ck_fails(crn_canonical_create("/nowhere/file", &headers[i], &writer, reterr), CAIRN_EINVAL,
                 "header of '/nowhere/file'");
    }
    struct crn_canonical_writer *writer = NULL;
    const struct crn_canonical_header good = {128, 0, 1, twice, 2};
    ck_fails(crn_canonical_create("/nowhere/file", &good, &writer, reterr), CAIRN_EIO, "/nowhere");
    char path[300];
    temp_path(path, sizeof(path));
    ck_ok(crn_file_write_new(path, "mine", 4, false, reterr));
    ck_fails(crn_canonical_create(path, &good, &writer, reterr), CAIRN_EIO, path);
    temp_remove(path);
}
END_TEST

START_TEST(giving_up_leaves_nothing)
{
    struct crn_canonical_header header = header_new(1);
    struct crn_canonical_writer *writer = NULL;
    char path[300];
    temp_path(path, sizeof(path));
    ck_ok(crn_canonical_create(path, &header, &writer, reterr));
    ck_ok(crn_canonical_put(writer, 0, "\1a", 2, "x", 1, reterr));
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_ok(crn_canonical_finish(writer, NULL, reterr));
    ck_assert_int_ne(access(path, F_OK), 0);
    header_free(&header);
    temp_remove(path);
}
END_TEST

/* ---- errors from outside ---- */

START_TEST(input_errors)
{
    static const struct shape shape = {128, 0, 127, 2, 100, 100, 300};
    struct entries entries = {0};
    struct crn_canonical_header header = header_new(2);
    char path[300];
    entries_fill(&entries, &shape);
    temp_path(path, sizeof(path));
    write_file(path, &header, &entries);
    struct memory_file file = load_file(path);
    unsigned int reads = 0;
    for (int r = -1; r != 0; reads++) {
        file.reads_left = reads;
        r = read_whole(&file, &entries);
        ck_assert(r == 0 || r == CAIRN_EUNAVAIL);
        ck_assert_uint_lt(reads, 100);
    }
    ck_assert_uint_ge(reads, 4); /* header, index and some windows */
    header_free(&header);
    file_free(&file);
    entries_free(&entries);
    temp_remove(path);
}
END_TEST

/* A limit on the size of files is as good as a full disk: write() gives EFBIG. */
START_TEST(write_errors)
{
    static const struct shape shape = {128, 0, 127, 1, 100, 300, 100};
    struct entries entries = {0};
    struct crn_canonical_header header = header_new(1);
    char path[300];
    entries_fill(&entries, &shape);
    ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    for (rlim_t limit = 0; limit < 3000000; limit = 2 * limit + 1000) {
        struct crn_canonical_writer *writer = NULL;
        struct crn_canonical_summary summary;
        const struct rlimit low = {limit, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
        temp_path(path, sizeof(path));
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
        ck_ok(crn_canonical_create(path, &header, &writer, reterr));
        int r = put_entries(writer, &entries, NULL);
        cairn_error *error = NULL;
        int end = crn_canonical_finish(writer, &summary, &error);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
        if (end == 0) {
            ck_assert_int_eq(r, 0);
            ck_assert_uint_le(summary.size, limit);
        } else {
            ck_assert_int_eq(end, CAIRN_EIO);
            ck_assert_ptr_nonnull(strstr(cairn_error_message(error), path));
            ck_assert_int_ne(access(path, F_OK), 0);
        }
        cairn_error_free(error);
        temp_remove(path);
        if (limit < 100000)
            ck_assert_int_lt(end, 0);
    }
    header_free(&header);
    entries_free(&entries);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("canonical_damage");
    TCase *damage = tcase_create("damage"), *errors = tcase_create("errors");
    tcase_set_timeout(damage, 30);
    tcase_set_timeout(errors, 30);
    tcase_add_test(damage, every_truncation);
    tcase_add_test(damage, every_bit_flip);
    tcase_add_test(damage, versions);
    tcase_add_test(damage, another_file);
    tcase_add_test(damage, spliced_blocks);
    tcase_add_loop_test(damage, lies_are_found, 0, (int)CRN_COUNT(lies));
    tcase_add_test(damage, forged_frames);
    tcase_add_test(errors, order_is_kept);
    tcase_add_test(errors, headers_are_checked);
    tcase_add_test(errors, giving_up_leaves_nothing);
    tcase_add_test(errors, input_errors);
    tcase_add_test(errors, write_errors);
    suite_add_tcase(s, damage);
    suite_add_tcase(s, errors);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
