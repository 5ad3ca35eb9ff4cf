/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes golden canonical files that do not exist yet: make_golden_canonical
 * <tests/golden-canonical>. A file once written is never touched again (P10). The name carries the
 * verdict: good-, bad- (CAIRN_ECORRUPT), unsupported- (CAIRN_EVERSION). They are also the seeds of
 * the fuzz target.
 */
#include "tests/support/canonical.h"

static void write_bytes(const char *directory, const char *name, const uint8_t *data, size_t size)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (access(path, F_OK) == 0)
        return;
    ck_ok(crn_file_write_new(path, data, size, false, reterr));
    printf("%s: %zu bytes\n", path, size);
}

static void write_good(const char *directory, const char *name)
{
    struct crn_canonical_header header = golden_header(name);
    struct entries entries = {0};
    char path[300];
    golden_entries(name, &entries);
    temp_path(path, sizeof(path));
    write_file(path, &header, &entries);
    struct memory_file file = load_file(path);
    write_bytes(directory, name, file.data, file.input.size);
    file_free(&file);
    header_free(&header);
    entries_free(&entries);
    temp_remove(path);
}

/* The empty file with one word of its header set. */
static void write_odd(const char *directory, const char *name, size_t at, uint32_t value)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/good-empty", directory);
    struct memory_file file = load_file(path);
    size_t size = crn_get_le32(file.data + 20) - 8;
    crn_put_le32(file.data + at, value);
    crn_put_le64(file.data + size, crn_hash64_of(file.data, size));
    write_bytes(directory, name, file.data, file.input.size);
    file_free(&file);
}

static void write_forged(const char *directory, const char *name, const char *stored, size_t size,
                         uint32_t flags, uint32_t raw_size)
{
    const struct forged forged = {{{stored, size, 2, 0, 5, flags, raw_size}}, 1, 0, 0, 0};
    struct memory_file file = forge(&forged);
    write_bytes(directory, name, file.data, file.input.size);
    file_free(&file);
}

static const char *golden_directory;

/* As a test, so that what tests share works here. */
START_TEST(make_golden)
{
    static const char *const good[] = {"good-empty", "good-no-states", "good-example", "good-large",
                                       "good-identity"};
    const char *to = golden_directory;
    for (size_t i = 0; i < CRN_COUNT(good); i++)
        write_good(to, good[i]);
    write_odd(to, "good-compatible-bit", 12, 1u << 31);
    write_odd(to, "unsupported-version", 8, 2);
    write_odd(to, "unsupported-feature", 16, 1);
    write_odd(to, "unsupported-feature-beside-identity", 16, 6);
    write_odd(to, "bad-no-identity", 16, 2);
    write_odd(to, "bad-version-0", 8, 0);
    write_odd(to, "bad-key-groups", 28, 128);
    write_forged(to, "bad-order", "\0\2\1\5bX\1\1\1aY", 11, 0, 0);
    write_forged(to, "bad-trailing-bytes", "\0\2\1\5aX\1\1\1bYZZ", 13, 0, 0);
    write_forged(to, "bad-lz4-bomb", "\0\2\1\5aX\1\1\1bY", 11, 1, 2806);
    write_forged(to, "bad-lz4-garbage", "\0\2\1\5aX\1\1\1bY", 11, 1, 200);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc != 2)
        return EXIT_FAILURE;
    golden_directory = argv[1];
    Suite *suite = suite_create("make_golden");
    TCase *files = tcase_create("files");
    tcase_add_test(files, make_golden);
    suite_add_tcase(suite, files);
    return crn_test_run(suite);
}
