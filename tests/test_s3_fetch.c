/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching out of a bucket, from a server of our own that breaks connections and counts requests: a
 * file takes one, a large one the question for its size and one per range; whichever of them is
 * cut, refused or not answered, the file is whole in the end or not there (P8), and a second fetch
 * asks for what is missing only.
 */
#include "tests/support/s3/fake_kit.h"

#include "base/file.h"
#include "engine/transfer/fetch.h"

#include <stdio.h>
#include <string.h>

#define PART ((size_t)5 << 20)
#define LARGE (2 * PART + 12345)
#define SMALL ((size_t)300000)

static char root[200], to[240], kept[240];
static uint8_t *content;
static struct crn_file files[2];
static cairn_store *in_parts;

static void store_file(struct crn_file *file, const char *name, const char *object, size_t size)
{
    struct crn_bytes_source source;
    cairn_put_how how;
    char key[64];
    struct crn_hash128 hash = crn_hash128_of(content, size);
    (void)snprintf(key, sizeof key, "job/%s", object);
    crn_bytes_source_init(&source, content, size);
    ck_assert_int_eq(in_parts->ops->put(in_parts, key, &source.source, &how, NULL), 0);
    *file = (struct crn_file){.info = {.role = CAIRN_FILE_TABLE,
                                       .name = name,
                                       .object = object,
                                       .size = size,
                                       .has_xxh3 = 1,
                                       .checkpoint_id = 1}};
    memcpy(file->info.xxh3, hash.bytes, sizeof hash.bytes);
}

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    uint64_t random = 4711;
    (void)snprintf(root, sizeof root, "%s/cairn-fetch-XXXXXX", tmp != NULL ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(to, sizeof to, "%s/to", root);
    (void)snprintf(kept, sizeof kept, "%s/kept", root);
    fake_kit_open();
    ck_assert_int_eq(fake_kit_store("&part_bytes=5242880&retry_ms=4000&request_timeout_ms=2000",
                                    false, &in_parts, NULL),
                     0);
    content = malloc(LARGE);
    ck_assert_ptr_nonnull(content);
    for (size_t i = 0; i < LARGE; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        content[i] = (uint8_t)(random >> 56);
    }
    store_file(&files[0], "000001.sst", "shared/e1-c1-1.sst", LARGE);
    store_file(&files[1], "000002.sst", "shared/e1-c1-2.sst", SMALL);
}

static void teardown(void)
{
    in_parts->ops->close(in_parts);
    fake_kit_close();
    free(content);
    ck_assert_int_eq(crn_file_remove_tree(root, NULL), 0);
}

/* @return requests */
static unsigned fetch(size_t first, size_t count, uint32_t threads, int *ret, cairn_error **reterr)
{
    const struct crn_file *wanted[] = {&files[0], &files[1]};
    struct crn_fetch_request request = {.store = in_parts,
                                        .job = "job",
                                        .files = wanted + first,
                                        .count = count,
                                        .directory = to,
                                        .threads = threads,
                                        .kept = kept};
    unsigned before = fake_requests(fake);
    ck_assert_int_eq(crn_file_remove_tree(to, NULL), 0);
    ck_assert_int_eq(crn_file_make_dirs(to, NULL), 0);
    *ret = crn_fetch(&request, NULL, reterr);
    return fake_requests(fake) - before;
}

static void check_file(const char *name, size_t size)
{
    char path[300];
    uint8_t *data;
    size_t found;
    (void)snprintf(path, sizeof path, "%s/%s", to, name);
    ck_assert_int_eq(crn_file_read_all(path, LARGE, &data, &found, NULL), 0);
    ck_assert_uint_eq(found, size);
    ck_assert(memcmp(data, content, size) == 0);
    free(data);
}

static unsigned fetch_right(size_t first, size_t count, uint32_t threads)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r;
    unsigned requests = fetch(first, count, threads, &r, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
    if (first == 0)
        check_file("000001.sst", LARGE);
    if (first + count == 2)
        check_file("000002.sst", SMALL);
    return requests;
}

START_TEST(a_file_takes_one_request_and_a_large_one_few)
{
    ck_assert_uint_eq(fetch_right(1, 1, 4), 1);
    ck_assert_uint_eq(fetch_right(0, 1, 4), 1 + 3);
    ck_assert_uint_eq(fetch_right(0, 2, 4), 0); /* kept */
}
END_TEST

/* Wherever an answer breaks off, it is asked for again. */
START_TEST(a_cut_answer_is_asked_for_again)
{
    static const uint64_t at[] = {0, 20, 3000, (uint64_t)2 << 20, PART - 1};
    for (unsigned get = 0; get < 4; get++) {
        ck_assert_int_eq(crn_file_remove_tree(kept, NULL), 0);
        fake_clear(fake);
        fake_add(fake, &(struct fake_rule){.method = "GET",
                                           .in = "e1-c1-",
                                           .skip = get,
                                           .times = 1,
                                           .what = FAKE_CUT_OUT,
                                           .at = at[_i] < SMALL || get < 2 ? at[_i] : 3000});
        ck_assert_uint_ge(fetch_right(0, 2, 1), 1 + 3 + 1);
    }
}
END_TEST

/* What was there when it failed for good is not asked for again. */
START_TEST(a_refused_fetch_is_gone_on_with)
{
    char *answer = fake_error(403, "AccessDenied", "");
    CRN_AUTO_ERROR cairn_error *error = NULL;
    int r;
    fake_add(fake, &(struct fake_rule){.method = "GET",
                                       .in = "e1-c1-1",
                                       .skip = (unsigned)_i,
                                       .times = 1,
                                       .what = FAKE_REFUSE,
                                       .answer = answer});
    ck_assert_uint_eq(fetch(0, 2, 1, &r, &error), 1 + (unsigned)_i + 1);
    expect_error(r, CAIRN_EACCES, &error, "e1-c1-1.sst", NULL);
    fake_clear(fake);
    ck_assert_uint_eq(fetch_right(0, 2, 1), 1 + (3 - (unsigned)_i) + 1);
    free(answer);
}
END_TEST

/* A whole object has no size before the answer: that an answer takes too long is noticed all the
 * same, and it is asked for again. */
START_TEST(an_answer_that_does_not_come_is_not_waited_for)
{
    fake_add(fake,
             &(struct fake_rule){
                 .method = "GET", .in = "e1-c1-2", .times = 1, .what = FAKE_STALL, .at = 8000});
    ck_assert_uint_eq(fetch_right(1, 1, 1), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("s3_fetch");
    TCase *tcase = tcase_create("s3_fetch");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_file_takes_one_request_and_a_large_one_few);
    tcase_add_loop_test(tcase, a_cut_answer_is_asked_for_again, 0, 5);
    tcase_add_loop_test(tcase, a_refused_fetch_is_gone_on_with, 0, 3);
    tcase_add_test(tcase, an_answer_that_does_not_come_is_not_waited_for);
    suite_add_tcase(suite, tcase);
    return crn_test_run(suite);
}
