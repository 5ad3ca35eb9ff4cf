/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worked examples of docs/format.md are true (P10): the hex blocks are read from the document
 * itself, and must be byte for byte the golden files that their marks name, which decode. A line
 * "<!-- hex: NAME -->" marks a block of a whole object, "<!-- hex payload: NAME -->" one of its
 * unpacked payload, "<!-- hex cluster: NAME -->" one of a post or mail; the block is between the
 * next two fences, and '#' starts a comment. The example behind "<!-- mark -->" is a mark, as it
 * stands.
 */
#include "base/file.h"
#include "manifest/cluster.h"
#include "manifest/marks.h"
#include "tests/support/payload.h"
#include "tests/support/tap.h"

#include <stdio.h>
#include <string.h>

static void read_source(const char *path, struct cairn_buffer *out)
{
    CRN_AUTO_FREE uint8_t *data = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    char full[4096];
    size_t size;
    (void)snprintf(full, sizeof(full), CRN_TEST_SOURCE_ROOT "/%s", path);
    ck_assert_msg(crn_file_read_all(full, (size_t)1 << 24, &data, &size, &error) == 0, "%s",
                  cairn_error_message(error));
    ck_assert_int_eq(crn_buf_append(out, data, size), 0);
}

/* Bytes of a line; false if there is anything but pairs of digits and white space. */
static bool append_hex(const char *line, struct cairn_buffer *out)
{
    unsigned byte;
    int n;
    line += strspn(line, " ");
    while (*line != '\0' && *line != '\n' && *line != '#') {
        if (sscanf(line, "%2x%n", &byte, &n) != 1 || n != 2)
            return false;
        ck_assert_int_eq(crn_buf_append_u8(out, (uint8_t)byte), 0);
        line += 2;
        line += strspn(line, " ");
    }
    return true;
}

/* Reads the block behind a mark. */
static void read_block(FILE *document, struct cairn_buffer *out)
{
    char line[1024];
    int fences = 0;
    while (fences < 2 && fgets(line, sizeof(line), document) != NULL)
        if (strncmp(line, "```", 3) == 0)
            fences++;
        else if (fences == 1)
            ck_assert_msg(append_hex(line, out), "not hex: %s", line);
    ck_assert_int_eq(fences, 2);
}

/* A post or a mail; its name says its key. */
static void check_message(const char *name, const struct cairn_buffer *block)
{
    CRN_AUTO_BUFFER struct cairn_buffer golden = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    CRN_AUTO_POST struct crn_post post = {0};
    CRN_AUTO_MAIL struct crn_mail mail = {0};
    char path[256], key[128];
    (void)snprintf(path, sizeof(path), "tests/golden-cluster/%s", name);
    read_source(path, &golden);
    ck_assert_uint_eq(block->size, golden.size);
    ck_assert_mem_eq(block->data, golden.data, golden.size);
    (void)snprintf(key, sizeof(key), "%s", strchr(name, '@') + 1);
    for (char *at = key; (at = strchr(at, '@')) != NULL;)
        *at = '/';
    const int r = strstr(key, "/post-") != NULL
                      ? crn_post_decode(key, block->data, block->size, &post, &error)
                      : crn_mail_decode(key, block->data, block->size, &mail, &error);
    ck_assert_msg(r == 0, "%s", cairn_error_message(error));
}

static void check_block(const char *name, bool is_payload, const struct cairn_buffer *block)
{
    CRN_AUTO_BUFFER struct cairn_buffer golden = {0}, payload = {0};
    CRN_AUTO_RECORD struct crn_record *record = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    char path[256];
    (void)snprintf(path, sizeof(path), "tests/golden/%s", name);
    read_source(path, &golden);
    const struct cairn_buffer *expected = &golden;
    if (is_payload) {
        crn_test_frame_payload(golden.data, golden.size, &payload);
        expected = &payload;
    } else {
        ck_assert_msg(crn_record_decode(name, block->data, block->size, &record, &error) == 0, "%s",
                      cairn_error_message(error));
    }
    ck_assert_uint_eq(block->size, expected->size);
    ck_assert_mem_eq(block->data, expected->data, expected->size);
}

START_TEST(examples_are_the_golden_files)
{
    FILE *document = fopen(CRN_TEST_SOURCE_ROOT "/docs/format.md", "r");
    ck_assert_ptr_nonnull(document);
    char line[1024], name[64];
    int objects = 0, payloads = 0, messages = 0;
    while (fgets(line, sizeof(line), document) != NULL) {
        const bool is_payload = sscanf(line, "<!-- hex payload: %63s -->", name) == 1;
        const bool is_message = sscanf(line, "<!-- hex cluster: %63s -->", name) == 1;
        if (!is_payload && !is_message && sscanf(line, "<!-- hex: %63s -->", name) != 1)
            continue;
        CRN_AUTO_BUFFER struct cairn_buffer block = {0};
        read_block(document, &block);
        if (is_message)
            check_message(name, &block);
        else
            check_block(name, is_payload, &block);
        *(is_payload ? &payloads : is_message ? &messages : &objects) += 1;
    }
    (void)fclose(document);
    ck_assert_int_ge(objects, 2);
    ck_assert_int_ge(payloads, 1);
    ck_assert_int_ge(messages, 2);
}
END_TEST

/* The text behind its comment, between the fences. */
START_TEST(the_mark_is_one)
{
    CRN_AUTO_BUFFER struct cairn_buffer document = {0}, again = {0};
    CRN_AUTO_MARK struct crn_mark mark = {0};
    CRN_AUTO_ERROR cairn_error *error = NULL;
    read_source("docs/format.md", &document);
    static const char before[] = "<!-- mark -->\n```\n";
    const char *start = strstr((const char *)document.data, before);
    ck_assert_ptr_nonnull(start);
    start += strlen(before);
    const size_t size = (size_t)(strstr(start, "```") - start);
    ck_assert_msg(crn_mark_decode(CRN_MARK_CLAIMED, start, size, &mark, &error) == 0, "%s",
                  cairn_error_message(error));
    ck_assert_int_eq(crn_mark_encode(&mark, &again, NULL), 0);
    ck_assert_mem_eq(again.data, start, size);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("format_doc");
    TCase *c = tcase_create("examples");
    tcase_set_timeout(c, 10);
    tcase_add_test(c, examples_are_the_golden_files);
    tcase_add_test(c, the_mark_is_one);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
