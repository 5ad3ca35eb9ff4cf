/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text at all as a key that a store lists, and as the name of a local file. A key is ours only
 * in the one spelling that our own writer gives it (P5, P11), so what is parsed is spelled anew and
 * compared; and every spelling, whatever the local file is called, is a key that a store takes and
 * that parses to the numbers it was made of.
 */
#include "backends/storage/storage.h"
#include "manifest/cluster.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

/* What stands in the key behind the numbers that it was parsed to. */
static const char *rest_of(const char *key, const struct crn_key_info *info)
{
    char bare[CRN_KEY_MAX];
    crn_key_object(bare, info->shared, info->epoch, info->id, info->number, "");
    size_t n = strlen(bare);
    crn_fuzz_must(strncmp(key, bare, n) == 0);
    return key + n;
}

static void check_key(const char *key)
{
    char again[CRN_KEY_MAX];
    struct crn_key_info info = crn_key_parse(key);
    if (info.type == CRN_KEY_FOREIGN)
        return;
    if (info.type == CRN_KEY_MARK) {
        crn_fuzz_must(strcmp(key, CRN_MARK_CLAIMED) == 0 || strcmp(key, CRN_MARK_DISPOSING) == 0);
        return;
    }
    if (info.type == CRN_KEY_MANIFEST) {
        crn_key_manifest(again, info.id);
    } else if (info.type == CRN_KEY_POST) {
        crn_key_post(again, info.epoch, info.number);
    } else if (info.type == CRN_KEY_MAIL) {
        crn_key_mail(again, info.epoch, info.worker, info.number);
    } else {
        const char *rest = rest_of(key, &info);
        crn_key_object(again, info.shared, info.epoch, info.id, info.number,
                       rest + (!info.shared && *rest == '-'));
    }
    crn_fuzz_must(strcmp(again, key) == 0);
    crn_fuzz_must(crn_store_key_is_valid(key));
}

static void check_name(const char *name, bool shared, uint64_t epoch, uint64_t id, uint64_t number)
{
    char key[CRN_KEY_MAX + 1];
    key[CRN_KEY_MAX] = 'x';
    crn_key_object(key, shared, epoch, id, number, name);
    crn_fuzz_must(key[CRN_KEY_MAX] == 'x' && strlen(key) < CRN_KEY_MAX - 1);
    crn_fuzz_must(crn_store_key_is_valid(key));
    struct crn_key_info info = crn_key_parse(key);
    crn_fuzz_must(info.type == CRN_KEY_OBJECT && info.shared == shared && info.epoch == epoch &&
                  info.id == id && info.number == number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CRN_AUTO_FREE char *text = crn_str_dup_n(data, size);
    if (text == NULL)
        return 0;
    check_key(text);
    for (int shared = 0; shared <= 1; shared++) {
        check_name(text, shared, 1, 1, 0);
        check_name(text, shared, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    }
    return 0;
}
