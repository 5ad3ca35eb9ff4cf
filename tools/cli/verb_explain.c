/* SPDX-License-Identifier: Apache-2.0 */

/* cairn explain: who needs an object, since when, and what would happen without it. */

#include "tools/cli/cli.h"
#include <string.h>

/* A person may point at the object as a file below PATH: what it is called from there. Else as it
 * is written. */
static char *name_from_path(const char *path, const char *object)
{
    char *name = cli_place_below(path, object);
    return name ? name : cli_printf("%s", object);
}

/* Errors name objects with the job in front; the library wants them without. */
static const char *strip_job(const char *object, const char *job)
{
    size_t n = strlen(job);
    return strncmp(object, job, n) == 0 && object[n] == '/' ? object + n + 1 : object;
}

static const cairn_record_info *find_record(const cairn_log *log, uint64_t id)
{
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        if (cairn_log_at(log, i)->id == id)
            return cairn_log_at(log, i);
    }
    return NULL;
}

static const char *describe_status(const cairn_explanation_info *info)
{
    switch (info->status) {
    case CAIRN_OBJECT_LIVE:
        return "live: a retained checkpoint needs it";
    case CAIRN_OBJECT_DEAD:
        return "dead: no retained checkpoint needs it; gc removes it";
    case CAIRN_OBJECT_UNRESOLVED:
        return "unresolved: of a checkpoint in flight, or left by a crash; gc removes it";
    case CAIRN_OBJECT_MANIFEST:
        return "manifest: a record of the job's log";
    case CAIRN_OBJECT_FOREIGN:
        return "foreign: not Cairn's; never touched";
    case CAIRN_OBJECT_CLUSTER:
        return "cluster: what processes of the running job tell one another";
    case CAIRN_OBJECT_UNKNOWN:
        break;
    }
    return "unknown";
}

static void print_references(const cairn_explanation *explanation,
                             const cairn_explanation_info *info)
{
    for (size_t i = 0; i < info->reference_count; i++)
        printf("%s%" PRIu64, i ? ", " : "", cairn_explanation_reference(explanation, i));
}

static bool is_usable(const cairn_explanation_info *info)
{
    return info->exists && !*info->problem;
}

/* What hangs on a record of the log. Without the newest checkpoint's, the job cannot know where to
 * begin. */
static void print_manifest_consequence(const cairn_explanation_info *info, const cairn_log *log,
                                       const cairn_record_info *record)
{
    const cairn_record_info *newest = NULL;
    for (size_t i = 0; i < cairn_log_size(log); i++) {
        if (cairn_log_at(log, i)->state == CAIRN_STATE_COMPLETE)
            newest = cairn_log_at(log, i);
    }
    bool was_other = record && record->kind != 0 && record->kind != CAIRN_RECORD_CHECKPOINT;
    printf("%-11s gc refuses to work", is_usable(info) ? "without it" : "as it is");
    if (record && record->kind == CAIRN_RECORD_CHECKPOINT)
        printf(", checkpoint %" PRIu64 " %s be restored", record->id,
               is_usable(info) ? "could not" : "cannot");
    if (record && !was_other && (!newest || newest->id <= record->id))
        printf(", the job opens only with restore_fallback or start_empty");
    putchar('\n');
}

/* What hangs on it, as one sentence. */
static void print_consequence(const cairn_explanation *explanation,
                              const cairn_explanation_info *info)
{
    if (info->reference_count > 0) {
        printf("%-11s %s ", is_usable(info) ? "without it" : "as it is",
               cli_plural(info->reference_count, "checkpoint", "checkpoints"));
        print_references(explanation, info);
        printf(" %s be restored\n", is_usable(info) ? "could not" : "cannot");
    } else {
        printf("without it  nothing is lost\n");
    }
}

/* The record that a manifest is, or what later ones remember of it. */
static const cairn_record_info *record_of_manifest(const cairn_explanation_info *info,
                                                   const cairn_log *log)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    uint64_t id;
    if (info->status != CAIRN_OBJECT_MANIFEST || cli_args_id(info->object, &id, &error) < 0)
        return NULL;
    return find_record(log, id);
}

static void print_text(const cairn_explanation *explanation, const cairn_log *log)
{
    const cairn_explanation_info *info = cairn_explanation_get(explanation);
    const cairn_file_info *file = info->file;
    CLI_AUTO_FREE char *object = cli_text_safe(info->object);
    printf("object      %s\n", object);
    const bool makes_savepoint =
        info->status == CAIRN_OBJECT_MANIFEST && cairn_log_is_savepoint(log);
    printf("status      %s\n", makes_savepoint ? "manifest: it makes its directory a savepoint"
                                               : describe_status(info));
    if (info->exists)
        printf("size        %s (%" PRIu64 " bytes)\n", cli_size(info->size).text, info->size);
    if (*info->problem) {
        CLI_AUTO_FREE char *problem = cli_text_safe(info->problem);
        printf("problem     %s%s%s\n", cli_style_on(CLI_BAD), problem, cli_style_off(CLI_BAD));
    }
    if (file) {
        CLI_AUTO_FREE char *name = cli_text_safe(file->name);
        CLI_AUTO_FREE char *uid = cli_text_quote(info->operator_uid, strlen(info->operator_uid));
        const cairn_record_info *record = find_record(log, file->checkpoint_id);
        if (info->slice_count > 0)
            printf("pack        %s %s in use, %s of %s\n", cli_count(info->slice_count).text,
                   cli_plural(info->slice_count, "file", "files"), cli_size(info->slice_bytes).text,
                   cli_size(file->object_size).text);
        printf("what        %s file %s of operator %s, subtask %u", cli_role_name(file->role), name,
               uid, info->subtask);
        if (file->role == CAIRN_FILE_TABLE) {
            CLI_AUTO_FREE char *state = cli_text_safe(file->state ? file->state : "-");
            printf(", state %s, level %u", state, file->level);
        }
        printf("\nsince       checkpoint %" PRIu64 ", %s\n", file->checkpoint_id,
               record ? cli_time(record->trigger_time_ms).text : "before the history begins");
        printf("needed by   ");
        print_references(explanation, info);
        putchar('\n');
    }
    if (info->status != CAIRN_OBJECT_MANIFEST) {
        print_consequence(explanation, info);
        return;
    }
    const cairn_record_info *record = record_of_manifest(info, log);
    if (record && record->kind != 0)
        printf("what        record of kind %s, %s\n", cli_kind_name(record->kind),
               cli_time(record->commit_time_ms).text);
    if (makes_savepoint)
        printf("%-11s nothing can be restored from the directory\n",
               is_usable(info) ? "without it" : "as it is");
    else
        print_manifest_consequence(info, log, record);
}

static void print_json(const char *job, const cairn_explanation *explanation)
{
    const cairn_explanation_info *info = cairn_explanation_get(explanation);
    struct json_object *document = cli_json_object(), *references = cli_json_array();
    for (size_t i = 0; i < info->reference_count; i++)
        cli_json_push(references,
                      json_object_new_uint64(cairn_explanation_reference(explanation, i)));
    cli_json_put_text(document, "job", job);
    cli_json_put_text(document, "object", info->object);
    cli_json_put_text(document, "status", cli_status_name(info->status));
    cli_json_put_bool(document, "exists", info->exists);
    cli_json_put_u64(document, "size", info->size);
    cli_json_put_text(document, "problem", *info->problem ? info->problem : NULL);
    cli_json_put(document, "file", info->file ? cli_json_file(info->file, NULL, NULL) : NULL);
    if (info->slice_count > 0) {
        cli_json_put_u64(document, "slice_count", info->slice_count);
        cli_json_put_u64(document, "slice_bytes", info->slice_bytes);
    }
    cli_json_put_text(document, "operator_uid", info->file ? info->operator_uid : NULL);
    if (info->file)
        cli_json_put_u64(document, "subtask", info->subtask);
    else
        cli_json_put(document, "subtask", NULL);
    cli_json_put(document, "references", references);
    cli_json_print(document);
}

int cli_explain(const struct cli_args *args, cairn_error **reterr)
{
    CLI_AUTO_TARGET struct cli_target target = {0};
    CLI_AUTO_LOG cairn_log *log = NULL;
    CLI_AUTO_FREE char *object = name_from_path(args->words[0], args->words[1]);
    cairn_explanation *explanation = NULL;
    int r = cli_target_open_for(args, object, &target, reterr);
    if (r == 0)
        r = cairn_log_open(target.store, target.job, &log, reterr);
    if (r == 0)
        r = cairn_explain(target.store, target.job, strip_job(object, target.job), &explanation,
                          reterr);
    if (r == CAIRN_ENOTFOUND)
        cli_hint("`cairn inspect --files PATH ID` lists the objects of a checkpoint");
    if (r < 0)
        return r;
    if (args->json)
        print_json(target.job, explanation);
    else
        print_text(explanation, log);
    cairn_explanation_close(explanation);
    return 0;
}
