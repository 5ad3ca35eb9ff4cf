/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Would a service with these operators start from this snapshot, and with what? The same rules, in
 * the same words, as when it starts: engine/restore/match.c and plan.c. Only the manifest is read.
 *
 * The worst verdict decides what is returned: what makes a start impossible, then what would be
 * dropped. All items are told in any case.
 */
#include "engine/backends.h"
#include "engine/inspect/snapshot.h"
#include "engine/options.h"
#include "engine/restore/match.h"
#include "engine/restore/plan.h"
#include "engine/states/keyed.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

struct check {
    const struct crn_record *record;
    const cairn_check_options *options;
    const struct crn_state_backend *backend;
    int code; /* the worst so far */
    cairn_error *error;
};

/* What cannot start outranks what is dropped. */
static void note_failure(struct check *check, int code, cairn_error *error)
{
    if (check->code == 0 || (check->code == CAIRN_ENONRESTORED && code != CAIRN_ENONRESTORED)) {
        cairn_error_free(check->error);
        check->error = CRN_TAKE(error);
        check->code = code;
    }
    cairn_error_free(error);
}

static void tell(const struct check *check, cairn_verdict verdict, const char *uid,
                 const char *state, const char *detail, uint64_t stored_bytes)
{
    const cairn_check_item item = {
        .verdict = verdict,
        .operator_uid = uid,
        .state = state,
        .detail = detail,
        .stored_bytes = stored_bytes,
    };
    if (check->options->item != NULL)
        check->options->item(check->options->context, &item);
}

/* CAIRN_ENOMEM ends the check; everything else is a verdict. */
static int tell_mismatch(struct check *check, const char *uid, const char *state, uint64_t bytes,
                         int code, cairn_error *error, cairn_error **reterr)
{
    if (code == CAIRN_ENOMEM)
        return crn_err_move(reterr, &error, code);
    tell(check, CAIRN_VERDICT_MISMATCH, uid, state, cairn_error_message(error), bytes);
    note_failure(check, code, error);
    return 0;
}

static uint64_t stored_bytes(const struct crn_operator *op)
{
    uint64_t sum = 0;
    for (size_t s = 0; s < op->subtask_count; s++)
        if (__builtin_add_overflow(sum, op->subtasks[s].info.full_bytes, &sum))
            return UINT64_MAX;
    return sum;
}

static const struct crn_operator *find_operator(const struct crn_record *record, const char *uid)
{
    for (size_t i = 0; i < record->operator_count; i++)
        if (strcmp(record->operators[i].info.uid, uid) == 0)
            return &record->operators[i];
    return NULL;
}

static const cairn_planned_state *find_planned_state(const cairn_planned_operator *planned,
                                                     const char *name)
{
    for (size_t i = 0; i < planned->state_count; i++)
        if (strcmp(planned->states[i].name, name) == 0)
            return &planned->states[i];
    return NULL;
}

static const cairn_state_info *find_stored_state(const struct crn_operator *op, const char *name)
{
    for (size_t i = 0; i < op->state_count; i++)
        if (strcmp(op->states[i].name, name) == 0)
            return &op->states[i];
    return NULL;
}

/* Can every subtask's files be read? */
static int check_files(const struct check *check, const struct crn_operator *op,
                       cairn_error **reterr)
{
    struct crn_restore_plan plan = {0};
    int r = crn_restore_plan_make(op, check->backend->file_kind, 0, op->info.max_parallelism - 1,
                                  &plan, reterr);
    if (r < 0)
        crn_err_prefix(reterr, "operator '%s'", op->info.uid);
    crn_restore_plan_done(&plan);
    return r;
}

static int check_state(struct check *check, const struct crn_operator *op,
                       const cairn_planned_state *planned, cairn_error **reterr)
{
    const char *uid = op->info.uid;
    const cairn_state_info *stored = find_stored_state(op, planned->name);
    if (stored == NULL) {
        tell(check, CAIRN_VERDICT_NEW, uid, planned->name, "not in the snapshot: starts empty", 0);
        return 0;
    }
    const cairn_state_info wanted = {
        .name = planned->name,
        .kind = planned->kind,
        .value_type = planned->value_type,
        .map_key_type = planned->map_key_type,
        .ttl_ms = planned->ttl_ms,
    };
    CRN_AUTO_BUFFER struct cairn_buffer how = {0};
    cairn_error *error = NULL;
    int r = crn_match_state(stored, &wanted, planned->serializer, &how, &error);
    if (r < 0)
        return tell_mismatch(check, uid, planned->name, 0, r, error, reterr);
    if (crn_buf_append_u8(&how, 0) < 0)
        return crn_err_nomem(reterr);
    tell(check, CAIRN_VERDICT_RESTORED, uid, planned->name,
         how.size > 1 ? (const char *)how.data : "as it is", 0);
    return 0;
}

static int check_states(struct check *check, const struct crn_operator *op,
                        const cairn_planned_operator *planned, cairn_error **reterr)
{
    if (planned->states_unknown != 0)
        return 0;
    for (size_t i = 0; i < planned->state_count; i++)
        CRN_TRY(check_state(check, op, &planned->states[i], reterr));
    for (size_t i = 0; i < op->state_count; i++)
        if (find_planned_state(planned, op->states[i].name) == NULL)
            tell(check, CAIRN_VERDICT_KEPT, op->info.uid, op->states[i].name,
                 "not registered: it is kept, and goes into every checkpoint", 0);
    return 0;
}

static int check_stored(struct check *check, const struct crn_operator *op,
                        const cairn_planned_operator *planned, cairn_error **reterr)
{
    const uint32_t parallelism = planned->parallelism != 0 ? planned->parallelism : 1;
    const struct crn_match_operator wanted = {
        .parallelism = parallelism,
        .max_parallelism = planned->max_parallelism,
        .key_type = planned->key_type,
        .namespace_type = planned->namespace_type,
    };
    cairn_error *error = NULL;
    int r = crn_match_operator(&op->info, &wanted, &error);
    if (r == 0)
        r = check_files(check, op, &error);
    if (r < 0)
        return tell_mismatch(check, op->info.uid, NULL, stored_bytes(op), r, error, reterr);
    CRN_AUTO_FREE char *detail = NULL;
    CRN_TRY(parallelism == op->info.parallelism
                ? crn_str_printf(&detail, reterr, "as it is, parallelism %" PRIu32, parallelism)
                : crn_str_printf(&detail, reterr,
                                 "rescaled from parallelism %" PRIu32 " to %" PRIu32,
                                 op->info.parallelism, parallelism));
    tell(check, CAIRN_VERDICT_RESTORED, op->info.uid, NULL, detail, stored_bytes(op));
    return check_states(check, op, planned, reterr);
}

static int check_planned(struct check *check, const cairn_planned_operator *planned,
                         cairn_error **reterr)
{
    const struct crn_operator *op = find_operator(check->record, planned->uid);
    if (op != NULL)
        return check_stored(check, op, planned, reterr);
    tell(check, CAIRN_VERDICT_NEW, planned->uid, NULL, "not in the snapshot: starts empty", 0);
    for (size_t i = 0; planned->states_unknown == 0 && i < planned->state_count; i++)
        tell(check, CAIRN_VERDICT_NEW, planned->uid, planned->states[i].name,
             "its operator is not in the snapshot: starts empty", 0);
    return 0;
}

static void check_dropped(struct check *check, const struct crn_operator *op)
{
    cairn_error *error = NULL;
    for (size_t i = 0; i < check->options->operator_count; i++)
        if (strcmp(check->options->operators[i].uid, op->info.uid) == 0)
            return;
    tell(check, CAIRN_VERDICT_DROPPED, op->info.uid, NULL,
         "no operator of this uid: an error, or dropped with allow_non_restored_state",
         stored_bytes(op));
    int r = crn_err_fail(&error, CAIRN_ENONRESTORED, NULL,
                         "operator '%s' has state in the snapshot, but the service does not open "
                         "it: open it, or set allow_non_restored_state to drop it",
                         op->info.uid);
    note_failure(check, r, error);
}

static int check_plan(const cairn_check_options *options, cairn_error **reterr)
{
    if (options->operator_count > 0 && options->operators == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "operators is NULL");
    for (size_t i = 0; i < options->operator_count; i++) {
        const cairn_planned_operator *planned = &options->operators[i];
        if (planned->uid == NULL || !crn_text_is_name(planned->uid))
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "planned operator %zu has no valid uid",
                                i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(options->operators[k].uid, planned->uid) == 0)
                return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "operator '%s' is planned twice",
                                    planned->uid);
        if (planned->state_count > 0 && planned->states == NULL)
            return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "states of operator '%s' is NULL",
                                planned->uid);
        for (size_t s = 0; s < planned->state_count; s++)
            if (planned->states[s].name == NULL || !crn_text_is_name(planned->states[s].name))
                return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                                    "planned state %zu of operator '%s' has no valid name", s,
                                    planned->uid);
    }
    return 0;
}

int cairn_check(const cairn_snapshot *snapshot, const cairn_check_options *options,
                cairn_error **reterr)
{
    cairn_check_options o;
    struct check check = {.options = &o};
    if (snapshot == NULL)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "snapshot is NULL");
    CRN_TRY(crn_options_in(&o, sizeof o, options, "cairn_check_options", reterr));
    CRN_TRY(check_plan(&o, reterr));
    CRN_TRY(crn_backend_find(o.state_backend, &check.backend, reterr));
    check.record = snapshot->record;
    int r = 0;
    for (size_t i = 0; r == 0 && i < o.operator_count; i++)
        r = check_planned(&check, &o.operators[i], reterr);
    for (size_t i = 0; r == 0 && i < check.record->operator_count; i++)
        check_dropped(&check, &check.record->operators[i]);
    if (r == 0 && check.code < 0)
        return crn_err_move(reterr, &check.error, check.code);
    cairn_error_free(check.error);
    return r;
}
