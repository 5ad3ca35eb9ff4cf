/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Errors as the user sees them: what happened, to what, and what to do next. The message is the
 * library's own; the hint follows from the code, and the exit status from the code's class, so that
 * a script can tell "try again" from "wake somebody".
 */

#include "tools/cli/cli.h"
#include "cairn/store.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int cli_raise(cairn_error **reterr, int code, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    (void)cairn_error_set(reterr, code, NULL, 0, n < 0 ? cairn_error_text(code) : text);
    if (n >= 0)
        free(text);
    return code;
}

static const struct {
    int code;
    const char *hint;
} hints[] = {
    {CAIRN_ENOMEM, "free some memory, or use fewer --threads"},
    {CAIRN_EUNSUPPORTED, "leave out --link, and ?transfer= in the store's URI"},
    {CAIRN_EMISMATCH, "`cairn inspect PATH` shows what is stored"},
    {CAIRN_ENOTFOUND, "`cairn ls --all PATH` shows what there is and what there was"},
    {CAIRN_EEXIST, "give a directory that does not exist yet, or an empty one"},
    {CAIRN_EFENCED, "a newer process has the job; nothing needs to be done here"},
    {CAIRN_EABORTED, "`cairn ls --all PATH` shows the reason"},
    {CAIRN_EBUSY, "stop the other process, or wait for it"},
    {CAIRN_EUNAVAIL, "try again; if it lasts, look at the store"},
    {CAIRN_EUNKNOWN, "run it again: repeating it is safe"},
    {CAIRN_ETIMEOUT, "try again; if it lasts, look at the store"},
    {CAIRN_ECORRUPT, "`cairn verify --full PATH` finds all damage and which checkpoints are whole; "
                     "restore an older one, or the objects from a copy of the store"},
    {CAIRN_EVERSION, "use a newer version of cairn for this store; nothing was changed"},
    {CAIRN_EMISSING, "`cairn explain PATH OBJECT` tells who needs it; restore an older checkpoint, "
                     "or the object from a copy of the store"},
    {CAIRN_EIO, "look at the disk and the system's log, then run it again"},
    {CAIRN_ENOSPC, "free some space, then run it again"},
    {CAIRN_EACCES, "run it as the user who may read (for gc: write) the store"},
    {CAIRN_EINTERNAL, "this is a defect in Cairn: please report it with this message"},
};

static const char *chosen_hint; /* by whoever knows better than the table */

void cli_hint(const char *hint)
{
    chosen_hint = hint;
}

/* It is about the directory for temporary files, or something that we have made in it. */
static bool is_scratch(const cairn_error *error)
{
    const char *parent = getenv("TMPDIR");
    const char *object = cairn_error_object(error);
    if (!parent || !*parent)
        parent = "/tmp";
    size_t n = strlen(parent);
    return strncmp(object, parent, n) == 0 &&
           (object[n] == '\0' || strncmp(object + n, "/cairn-", strlen("/cairn-")) == 0);
}

/* Of verbs that ask a running job: it is not a store that has to be looked at. */
static const char *find_running_hint(int code)
{
    switch (code) {
    case CAIRN_ENOTFOUND:
        return "`cairn list` shows the jobs that run here, `cairn status` the latest checkpoints";
    case CAIRN_EABORTED:
        return "`cairn status` shows what its tasks do, and how the latest checkpoints ended";
    case CAIRN_EBUSY:
        return "wait for what is under way: `cairn status` shows it";
    default:
        return NULL;
    }
}

static bool is_about_bucket(const struct cli_args *args)
{
    const char *places[] = {args ? args->words[0] : NULL, args ? args->to : NULL};
    for (size_t i = 0; i < CLI_COUNT(places); i++)
        if (places[i] && cli_place_is_bucket(places[i]))
            return true;
    return false;
}

static const char *find_hint(const struct cli_verb *verb, const struct cli_args *args, int code,
                             const cairn_error *error)
{
    if (cairn_error_class_of(code) == CAIRN_CLASS_LOCAL && is_scratch(error))
        return "set TMPDIR to a directory with room that you may write to";
    if (chosen_hint)
        return chosen_hint;
    const char *hint = verb && (verb->options & CLI_RUN_DIR) ? find_running_hint(code) : NULL;
    if (hint)
        return hint;
    if (code == CAIRN_EACCES && is_about_bucket(args))
        return "look at the keys and what they may do: docs/operations.md, \"A store in a bucket\"";
    for (size_t i = 0; i < CLI_COUNT(hints); i++) {
        if (hints[i].code == code)
            return hints[i].hint;
    }
    return NULL;
}

/* The hint with PATH and OBJECT replaced by what they are, so that its commands can be copied. */
static void print_hint(const char *hint, const struct cli_args *args, const char *object)
{
    CLI_AUTO_FREE char *path = args && args->words[0] ? cli_text_shell(args->words[0]) : NULL;
    CLI_AUTO_FREE char *job = args && args->job ? cli_text_shell(args->job) : NULL;
    CLI_AUTO_FREE char *thing = cli_text_shell(object);
    const bool knows_path = path && (job || !args->job);
    fputs("  hint: ", stderr);
    while (*hint) {
        if (strncmp(hint, "PATH", 4) == 0 && knows_path) {
            fprintf(stderr, "%s%s%s", path, job ? " -j " : "", job ? job : "");
            hint += 4;
        } else if (strncmp(hint, "OBJECT", 6) == 0 && thing && *object) {
            fputs(thing, stderr);
            hint += 6;
        } else {
            fputc(*hint++, stderr);
        }
    }
    fputc('\n', stderr);
}

int cli_report(const struct cli_verb *verb, const struct cli_args *args, int code,
               const cairn_error *error)
{
    const char *message = cairn_error_message(error);
    if (!*message)
        message = cairn_error_text(code);
    bool interrupted = code == CAIRN_ECANCELED && cli_interrupted();
    if (interrupted)
        message = "interrupted";
    CLI_AUTO_FREE char *safe = cli_text_safe(message);
    (void)fflush(stdout);
    fprintf(stderr, "cairn: %s\n", safe);
    const char *hint = find_hint(verb, args, code, error);
    if (hint)
        print_hint(hint, args, cairn_error_object(error));
    else if (code == CAIRN_EINVAL)
        fprintf(stderr, "  hint: see `cairn help%s%s`\n", verb ? " " : "", verb ? verb->name : "");
    if (interrupted)
        return 128 + cli_interrupted(); /* as a shell has it of who dies of the signal */
    int status = (int)cairn_error_class_of(code);
    return status != 0 ? status : CAIRN_CLASS_INTERNAL;
}
