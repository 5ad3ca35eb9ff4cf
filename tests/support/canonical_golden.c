/* SPDX-License-Identifier: Apache-2.0 */
/* What the golden canonical files hold, by name: for the tool that wrote them, and the test that
 * reads them for ever (P10). Never change what is here for a name; add names. */
#include "tests/support/canonical.h"

static void add(struct entries *entries, uint32_t state, uint32_t group, size_t group_bytes,
                const char *key, const char *value, size_t value_size)
{
    CRN_AUTO_BUFFER struct cairn_buffer composite = {0}, bytes = {0};
    if (group_bytes == 2)
        ck_assert_int_eq(crn_buf_append_be16(&composite, (uint16_t)group), 0);
    else
        ck_assert_int_eq(crn_buf_append_u8(&composite, (uint8_t)group), 0);
    ck_assert_int_eq(crn_buf_append_u8(&composite, (uint8_t)strlen(key)), 0);
    ck_assert_int_eq(crn_buf_append(&composite, key, strlen(key)), 0);
    ck_assert_int_eq(crn_buf_append_u8(&composite, 0), 0); /* no namespace */
    ck_assert_int_eq(crn_buf_append(&bytes, value, value_size), 0);
    entries_add(entries, state, group, &composite, &bytes);
}

/* One block that is packed, one that is not. */
static void example(struct entries *entries)
{
    char zeros[100] = {0};
    add(entries, 0, 43, 1, "user-1", "7", 1);
    add(entries, 0, 43, 1, "user-2", "12", 2);
    add(entries, 1, 43, 1, "user-1", zeros, sizeof(zeros));
}

/* Several blocks in a run, all key groups of two bytes. */
static void large(struct entries *entries)
{
    char key[16], value[200];
    for (uint32_t group = 300; group < 310; group++)
        for (uint32_t state = 0; state < 3; state++)
            for (unsigned int i = 0; i < (group == 305 && state == 1 ? 3000 : group % 3); i++) {
                (void)snprintf(key, sizeof(key), "key-%05u", 7 * i);
                for (size_t k = 0; k < sizeof(value); k++)
                    value[k] = (char)(k < 20 ? (i * 31 + k) * 7 : k / 8);
                add(entries, state, group, 2, key, value, 10 + i % 190);
            }
}

void golden_entries(const char *name, struct entries *entries)
{
    if (strcmp(name, "good-example") == 0 || strcmp(name, "good-identity") == 0)
        example(entries);
    else if (strcmp(name, "good-large") == 0)
        large(entries);
    else if (strcmp(name, "good-empty") != 0 && strcmp(name, "good-no-states") != 0 &&
             strcmp(name, "good-compatible-bit") != 0)
        ck_abort_msg("nobody knows what is in '%s'", name);
}

struct crn_canonical_header golden_header(const char *name)
{
    if (strcmp(name, "good-large") == 0) {
        struct crn_canonical_header header = header_new(3);
        header.max_parallelism = 4096;
        header.key_group_first = 300;
        header.key_group_last = 399;
        return header;
    }
    struct crn_canonical_header header = header_new(strcmp(name, "good-no-states") == 0 ? 0 : 2);
    header.has_identity = strcmp(name, "good-identity") == 0;
    for (size_t i = 0; header.has_identity && i < sizeof(header.identity); i++)
        header.identity[i] = (uint8_t)(0xa0 + i);
    return header;
}
