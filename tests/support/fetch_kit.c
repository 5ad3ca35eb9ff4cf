/* SPDX-License-Identifier: Apache-2.0 */
/* Files in a memory store that wants ranges, and fetches of them: fetch_kit.h. */
#include "tests/support/fetch_kit.h"

#include "backends/storage/storage.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

char kit_root[200];
cairn_store *kit_store; /* a fault store */
static cairn_store_ops inner_ops;
struct crn_file kit_files[FILES_MAX];
char kit_names[FILES_MAX][32], kit_objects[FILES_MAX][64];
uint8_t *kit_contents[FILES_MAX];
const struct crn_file *kit_wanted[FILES_MAX];
size_t kit_count;

static uint64_t wants_ranges(cairn_store *any)
{
    (void)any;
    return RANGE;
}

void kit_open_store(cairn_store *inner, bool in_ranges)
{
    inner_ops = *inner->ops;
    inner_ops.link_out = NULL;
    inner_ops.range_bytes = in_ranges ? wants_ranges : NULL;
    inner->ops = &inner_ops;
    ck_assert_int_eq(crn_fault_store_open(inner, &kit_store, NULL), 0);
}

void kit_setup(void)
{
    const char *tmp = getenv("TMPDIR");
    cairn_store *memory;
    (void)snprintf(kit_root, sizeof kit_root, "%s/cairn-fetch-XXXXXX", tmp != NULL ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(kit_root));
    ck_assert_int_eq(crn_memory_store_open(&memory, NULL), 0);
    kit_open_store(memory, true);
    kit_count = 0;
}

void kit_teardown(void)
{
    cairn_store_close(kit_store);
    for (size_t i = 0; i < kit_count; i++)
        free(kit_contents[i]);
    ck_assert_int_eq(crn_file_remove_tree(kit_root, NULL), 0);
}

const char *kit_in_root(const char *name)
{
    static char path[4][300];
    static unsigned next;
    char *ret = path[next++ % 4];
    (void)snprintf(ret, sizeof path[0], "%s/%s", kit_root, name);
    return ret;
}

void kit_put(const char *object, const void *data, size_t size)
{
    struct crn_bytes_source source;
    cairn_put_how how;
    char key[100];
    (void)snprintf(key, sizeof key, "job/%s", object);
    crn_bytes_source_init(&source, data, size);
    ck_assert_int_eq(kit_store->ops->put(kit_store, key, &source.source, &how, NULL), 0);
}

/* A file of that many bytes, which nobody has stored. */
struct crn_file *kit_make_file(size_t size)
{
    size_t i = kit_count++;
    uint64_t random = 88172645463325252u + i;
    ck_assert_uint_lt(i, FILES_MAX);
    kit_contents[i] = malloc(size + 1);
    ck_assert_ptr_nonnull(kit_contents[i]);
    for (size_t at = 0; at < size; at++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        kit_contents[i][at] = (uint8_t)(random >> 56);
    }
    (void)snprintf(kit_names[i], sizeof kit_names[i], "%06zu.sst", i + 1);
    (void)snprintf(kit_objects[i], sizeof kit_objects[i], "shared/e1-c1-%zu.sst", i + 1);
    kit_files[i] = (struct crn_file){.info = {.role = CAIRN_FILE_TABLE,
                                              .name = kit_names[i],
                                              .object = kit_objects[i],
                                              .size = size,
                                              .has_xxh3 = 1,
                                              .has_crc32c = 1,
                                              .checkpoint_id = 1}};
    struct crn_hash128 hash = crn_hash128_of(kit_contents[i], size);
    memcpy(kit_files[i].info.xxh3, hash.bytes, sizeof hash.bytes);
    kit_files[i].info.crc32c = crn_crc32c(0, kit_contents[i], size);
    kit_wanted[i] = &kit_files[i];
    return &kit_files[i];
}

void kit_add_file(size_t size)
{
    (void)kit_make_file(size);
    kit_put(kit_objects[kit_count - 1], kit_contents[kit_count - 1], size);
}

/* The last `count` files in one object, in this order, so far apart. */
void kit_make_pack(size_t count, size_t gap)
{
    CRN_AUTO_BUFFER struct cairn_buffer pack = {0};
    static const uint8_t zero[1024];
    size_t first = kit_count - count;
    for (size_t i = first; i < kit_count; i++) {
        kit_files[i].info.object = "shared/e1-c1-99.pack";
        kit_files[i].info.object_offset = pack.size;
        ck_assert_int_eq(crn_buf_append(&pack, kit_contents[i], kit_files[i].info.size), 0);
        for (size_t done = 0; done < gap; done += sizeof zero)
            ck_assert_int_eq(crn_buf_append(&pack, zero, sizeof zero), 0);
    }
    for (size_t i = first; i < kit_count; i++)
        kit_files[i].info.object_size = pack.size;
    kit_put("shared/e1-c1-99.pack", pack.data, pack.size);
}

void kit_count_gets(void)
{
    crn_fault_store_arm(kit_store, &(struct crn_fault_plan){.ops = CRN_FAULT_GET});
}

/* Into a new directory, kept beside it. */
int kit_fetch_into(const char *name, uint32_t threads, const char *kept,
                   struct crn_downloads *downloads, cairn_error **reterr)
{
    const char *directory = kit_in_root(name);
    struct crn_fetch_request request = {.store = kit_store,
                                        .job = "job",
                                        .files = kit_wanted,
                                        .count = kit_count,
                                        .directory = directory,
                                        .link = true,
                                        .threads = threads,
                                        .downloads = downloads,
                                        .kept = kept};
    ck_assert_int_eq(crn_file_make_dirs(directory, NULL), 0);
    return crn_fetch(&request, NULL, reterr);
}

int kit_fetch(uint32_t threads, const char *kept, cairn_error **reterr)
{
    ck_assert_int_eq(crn_file_remove_tree(kit_in_root("to"), NULL), 0);
    return kit_fetch_into("to", threads, kept, NULL, reterr);
}

bool kit_is_right(const char *path, size_t i)
{
    uint8_t *data;
    size_t size;
    ck_assert_int_eq(crn_file_read_all(path, 64u << 20, &data, &size, NULL), 0);
    bool same = size == kit_files[i].info.size && memcmp(data, kit_contents[i], size) == 0;
    free(data);
    return same;
}

/* All files, or, after a failure, some: but nothing else. */
size_t kit_check_directory(const char *directory)
{
    char **found;
    size_t count;
    ck_assert_int_eq(crn_file_list_dir(kit_in_root(directory), &found, &count, NULL), 0);
    for (size_t f = 0; f < count; f++) {
        size_t i = 0;
        char path[300];
        while (i < kit_count && strcmp(kit_names[i], found[f]) != 0)
            i++;
        ck_assert_msg(i < kit_count, "'%s' is left", found[f]);
        (void)snprintf(path, sizeof path, "%s/%s", kit_in_root(directory), found[f]);
        ck_assert_msg(kit_is_right(path, i), "'%s' has other bytes", found[f]);
    }
    crn_file_free_names(found, count);
    return count;
}

void kit_expect_all(uint32_t threads, const char *kept)
{
    cairn_error *error = NULL;
    int r = kit_fetch(threads, kept, &error);
    ck_assert_msg(r == 0, "%s: %s", cairn_error_name(r), cairn_error_message(error));
    ck_assert_uint_eq(kit_check_directory("to"), kit_count);
}

/* Two large ones, two small ones, four slices: and how many gets they take. */
uint64_t kit_add_mixture(void)
{
    kit_add_file(3 * RANGE + 5);
    kit_add_file(2 * RANGE);
    kit_add_file(1000);
    kit_add_file(2 * RANGE - 1); /* not large */
    for (size_t i = 0; i < 4; i++)
        (void)kit_make_file(100 + 3000 * i);
    kit_make_pack(4, 1024);
    return 4 + 2 + 1 + 1 + 1;
}
