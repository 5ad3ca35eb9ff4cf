/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes golden posts and mails that do not exist yet: make_golden_cluster <tests/golden-cluster>.
 * A file once written is never touched again (P10): to add one, add a line and run the tool. What
 * stands behind the first '@' of a name is the key, with '@' for '/'; before it is the verdict, as
 * in make_golden.c.
 */
#include "base/file.h"
#include "manifest/internal.h"
#include "tests/support/messages.h"
#include "tests/support/payload.h"

#include <stdio.h>
#include <string.h>

static const char *directory;

static void write_new(const char *name, const char *key, const struct cairn_buffer *bytes)
{
    CRN_AUTO_FREE char *path = NULL;
    CRN_AUTO_ERROR cairn_error *error = NULL;
    if (crn_str_printf(&path, NULL, "%s/%s@%s", directory, name, key) < 0)
        abort();
    for (char *at = path + strlen(directory) + 1; *at != '\0'; at++)
        if (*at == '/')
            *at = '@';
    if (access(path, F_OK) == 0)
        return;
    if (crn_file_write_new(path, bytes->data, bytes->size, false, &error) < 0) {
        (void)fprintf(stderr, "%s\n", cairn_error_message(error));
        abort();
    }
    printf("%s\n", path);
}

static void must(int r)
{
    if (r < 0)
        abort();
}

static void put_post(const char *name, struct crn_post post)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    char key[CRN_KEY_MAX];
    must(crn_post_encode(&post, &bytes, NULL));
    crn_key_post(key, post.epoch, post.number);
    write_new(name, key, &bytes);
    crn_post_done(&post);
}

static void put_mail(const char *name, struct crn_mail mail)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    char key[CRN_KEY_MAX];
    must(crn_mail_encode(&mail, &bytes, NULL));
    crn_key_mail(key, mail.epoch, mail.worker, mail.number);
    write_new(name, key, &bytes);
    crn_mail_done(&mail);
}

/* A frame around fields that our own writer would not write so. */
static void put_frame(const char *name, uint32_t version, const struct cairn_buffer *payload)
{
    CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
    struct crn_test_frame frame = crn_test_frame_of(payload->data, payload->size);
    frame.version = version;
    crn_test_frame_put(&frame, &bytes);
    write_new(name, "cluster/e7/post-3", &bytes);
}

static void put_odd_ones(void)
{
    CRN_AUTO_BUFFER struct cairn_buffer payload = {0}, bytes = {0};
    struct crn_post post = crn_test_post(CRN_POST_TRIGGER);
    crn_test_post_payload(&post, &payload);
    put_frame("unsupported-version", 2, &payload);
    put_frame("tolerated-not-packed", 1, &payload);
    crn_test_pb_number(&payload, 8, 0);
    put_frame("bad-default-written-out", 1, &payload);
    crn_buf_clear(&payload);
    crn_test_post_payload(&post, &payload);
    crn_test_pb_bytes(&payload, 1000, "from a later version", 20);
    put_frame("tolerated-unknown-field", 1, &payload);
    crn_test_pb_number(&payload, 1, 7);
    put_frame("bad-field-twice", 1, &payload);
    crn_buf_clear(&payload);
    post.kind = (enum crn_post_kind)99;
    crn_test_post_payload(&post, &payload);
    put_frame("bad-kind-99", 1, &payload);
    crn_buf_clear(&payload);
    post = crn_test_post(CRN_POST_TRIGGER);
    post.number = 4;
    crn_test_post_payload(&post, &payload);
    put_frame("bad-key-of-another", 1, &payload);
    post.number = 3;
    must(crn_post_encode(&post, &bytes, NULL));
    bytes.data[50] ^= 1;
    write_new("bad-flipped-bit", "cluster/e7/post-3", &bytes);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return EXIT_FAILURE;
    directory = argv[1];
    put_post("good-plan", crn_test_post(CRN_POST_PLAN));
    put_post("good-start", crn_test_post(CRN_POST_START));
    put_post("good-trigger", crn_test_post(CRN_POST_TRIGGER));
    put_post("good-trigger-savepoint", crn_test_savepoint_post());
    put_post("good-complete", crn_test_post(CRN_POST_COMPLETE));
    put_post("good-aborted", crn_test_post(CRN_POST_ABORTED));
    put_post("good-savepoint", crn_test_post(CRN_POST_SAVEPOINT));
    put_post("good-stopped", crn_test_post(CRN_POST_STOPPED));
    put_post("good-independent", crn_test_post(CRN_POST_INDEPENDENT));
    put_post("good-ended", crn_test_post(CRN_POST_ENDED));
    put_post("good-replaced", crn_test_post(CRN_POST_REPLACED));
    put_mail("good-join", crn_test_mail(CRN_MAIL_JOIN));
    put_mail("good-alive", crn_test_mail(CRN_MAIL_ALIVE));
    put_mail("good-ack", crn_test_mail(CRN_MAIL_ACK));
    put_mail("good-decline", crn_test_mail(CRN_MAIL_DECLINE));
    put_mail("good-leave", crn_test_mail(CRN_MAIL_LEAVE));
    put_odd_ones();
    return EXIT_SUCCESS;
}
